"""Models from Keras and to it: outputs, gradients, running averages, weights, what is refused."""

from __future__ import annotations

import inspect
import sys

import keras
import numpy as np
import pytest
import torch
from cases import LAYERS, shaped
from keras import layers as kl

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, BackendError, DTypeError, ShapeError
from nnfs_xp.interop.keras import custom_objects, from_keras, to_keras
from nnfs_xp.interop.keras.layers import CONTAINERS, ROWS
from nnfs_xp.interop.torch import from_torch

# Keras 3.15 hands tensors of PyTorch 2.13 to NumPy 2.4 by a protocol that this warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

rng = np.random.default_rng(7)
X = rng.normal(size=(6, 4)).astype(np.float32)
RANDOM = (nn.Dropout, nn.AlphaDropout, nn.GaussianNoise)
# On PyTorch and JAX, Keras multiplies in float32 whatever the layers' data type is.
TOLERANCE = 64 * float(np.finfo("float32").eps)


def close(actual, expected, tolerance=TOLERANCE):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def architecture(model):
    return [(prefix, type(layer), layer.config()) for prefix, layer in model.walk()]


def assert_same(model, other):
    """The same layers with the same weights, bit for bit."""
    assert architecture(model) == architecture(other)
    arrays, others = model.parameters() | model.buffers(), other.parameters() | other.buffers()
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        assert array.dtype == others[name].dtype
        np.testing.assert_array_equal(array, others[name])


def assert_agree(model, theirs, inputs, *, training):
    """Outputs and all gradients of one pass, from random dvalues, penalties included."""
    x = torch.tensor(inputs, requires_grad=True)
    for variable in theirs.trainable_weights:
        variable.value.grad = None
    expected = theirs(x, training=training)
    ours = model.forward(inputs, training=training)
    close(ours, expected.detach().numpy())
    if not training:
        return
    dvalues = np.random.default_rng(1).normal(size=ours.shape).astype(inputs.dtype)
    ((expected * torch.tensor(dvalues)).sum() + sum(theirs.losses)).backward()
    dinputs = model.backward(dvalues)
    if x.grad is not None:
        close(dinputs, x.grad.numpy())
    gradients = model.gradients()
    assert len(gradients) == len(theirs.trainable_weights)
    for gradient, variable in zip(gradients.values(), theirs.trainable_weights, strict=True):
        close(gradient, variable.value.grad.numpy().reshape(gradient.shape))


def ours(dtype="float32"):
    """A model of ours with all kinds of parameters, nested."""
    return nn.Sequential(
        nn.Dense(4, 8, weight_regularizer_l1=0.01, bias_regularizer_l2=0.02, dtype=dtype),
        nn.BatchNorm(8, momentum=0.8, epsilon=1e-4, dtype=dtype),
        nn.ReLU(),
        nn.Sequential(nn.Sequential(nn.Dense(8, 5, max_norm=2.0, dtype=dtype)), nn.GELU("tanh")),
        nn.Residual(nn.LayerNorm(5, epsilon=1e-4, dtype=dtype), nn.Dense(5, 5, dtype=dtype)),
        nn.Concatenate(nn.Linear(), nn.Sequential(nn.Dense(5, 2, dtype=dtype), nn.Tanh())),
        nn.Dense(7, 3, dtype=dtype),
        seed=0,
    )


def theirs():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            kl.Dense(8, activation="relu", kernel_regularizer=keras.regularizers.L2(0.02)),
            kl.BatchNormalization(momentum=0.7),
            kl.Dense(5, bias_regularizer="l1"),
            kl.LeakyReLU(),
            keras.Sequential([kl.Dense(5, activation="gelu"), kl.LayerNormalization()]),
            kl.ReLU(negative_slope=0.1),
            kl.Dense(3, activation="softmax", kernel_constraint=keras.constraints.MaxNorm(2.0)),
        ]
    )
    for variable in model.trainable_weights:  # so that scales are not 1 and shifts not 0
        variable.assign(variable + 0.1 * torch.randn(variable.shape))
    return model


TABULAR = {
    nn.Scale: lambda: nn.Scale(4),
    nn.ParametricActivation: lambda: nn.ParametricActivation(nn.Mish(), 4),
    nn.PeriodicEmbedding: lambda: nn.PeriodicEmbedding(4),
    nn.Columns: lambda: nn.Columns(1, 3),
    nn.Repeat: lambda: nn.Repeat(3),
    nn.MemberDense: lambda: nn.MemberDense(3, 4, 2),
}
"""Layers for tables, of which Keras has none."""


@pytest.mark.parametrize("build", TABULAR.values(), ids=lambda build: type(build()).__name__)
def test_layers_for_tables_are_refused_by_name(build):
    layer = build()
    name = type(layer).__name__
    with pytest.raises(ArgumentError, match=rf"layer 0 is a {name}, which has no counterpart in"):
        to_keras(nn.Sequential(layer))


def public():
    names = (getattr(nn, name) for name in nn.layers.__all__)
    return set(names) - {nn.layers.Layer, nn.StochasticLayer, nn.Block}


def test_every_layer_has_a_row():
    rows = [row.ours for row in (*ROWS, *CONTAINERS)]
    assert len(rows) == len(set(rows))
    assert set(rows) == public() - set(TABULAR)


def test_rows_of_one_keras_layer_read_alike():
    readers = {row.theirs: row.read for row in ROWS}
    assert all(row.read is readers[row.theirs] for row in ROWS)
    assert all(issubclass(getattr(kl, name), kl.Layer) for name in readers)
    assert len(readers) < len(ROWS)  # Activation


def test_every_row_has_all_parameters_and_buffers():
    named = {}
    for case in LAYERS:
        for _, layer in case.build("float32").walk():
            separable = isinstance(layer, nn.SeparableConv2D)
            names = layer.parameters() if separable else {**layer._shapes, **layer._buffers}
            named.setdefault(type(layer), set()).update(names)
    for row in ROWS:
        assert row.weights.keys() == named[row.ours]
    assert any(row.weights for row in ROWS)


# A layer without parameters has no data type, and float32 in Keras.
WITH_ROWS = [case for case in LAYERS if getattr(nn, case.name) not in TABULAR]


def lacking(layer):
    """Whether the layer has settings that Keras has not."""
    padding, name = getattr(layer, "padding", "valid"), type(layer).__name__
    by_numbers = not isinstance(padding, str) and name != "ZeroPad2D"
    if name.endswith("Transpose"):
        return by_numbers or layer.groups > 1
    if "Pool" in name:
        return by_numbers
    larger = [getattr(layer, each, 1) not in (1, (1, 1)) for each in ("strides", "dilation")]
    return all(larger)


LACKING = [case for case in WITH_ROWS if lacking(case.build("float32"))]
WITH_ROWS = [case for case in WITH_ROWS if case not in LACKING]


@pytest.mark.parametrize("case", LACKING, ids=lambda case: case.name)
def test_layers_with_settings_that_keras_lacks_are_refused(case):
    with pytest.raises(ArgumentError, match=rf"{case.name}\(.* has no counterpart in Keras"):
        to_keras(case.build("float32"), input_shape=case.inputs.shape[1:])


CASES = [(case, case.build("float64").dtype or "float32") for case in WITH_ROWS]
CASES += [(case, "float32") for case, dtype in CASES if dtype == "float64"]


@pytest.mark.parametrize(("case", "dtype"), CASES, ids=lambda each: getattr(each, "name", each))
def test_every_layer_goes_to_keras_and_back(case, dtype):
    layer = case.build(dtype)
    inputs = case.inputs.astype(dtype)
    model = to_keras(layer, input_shape=inputs.shape[1:])
    assert model.built
    assert_agree(layer, model, inputs, training=False)
    assert model(torch.tensor(inputs)).dtype == getattr(torch, dtype)
    if case.name == "Conv1D":  # has zeros before it there, for which there is no layer here
        with pytest.raises(ArgumentError, match="ZeroPadding1D has no counterpart here"):
            from_keras(model)
    elif layer.dtype is not None:
        back = from_keras(model)
        if isinstance(layer, nn.Sequential) and case.name != "SeparableConv2D":
            assert_same(
                nn.Block(*back.layers, name="Bent") if case.name == "Block" else back, layer
            )
        else:
            assert_same(back.layers[0], layer)
    if not isinstance(layer, RANDOM):
        assert_agree(layer, model, inputs, training=True)


@pytest.mark.parametrize("axes", [(2,), (1, 2)], ids=["sequences", "grids"])
@pytest.mark.parametrize(
    "case", [case for case in WITH_ROWS if case.of_any_shape], ids=lambda case: case.name
)
def test_every_layer_does_the_same_on_samples_of_any_shape(case, axes):
    if case.name.startswith("Global") and case.inputs.ndim + len(axes) > 4:
        with pytest.raises(ArgumentError, match="for pictures and sequences only"):
            to_keras(case.build("float32"), input_shape=shaped(case.inputs, axes).shape[1:])
        return
    inputs = shaped(case.inputs, axes).astype("float32")
    layer = case.build("float32")
    model = to_keras(layer, input_shape=inputs.shape[1:])
    assert_agree(layer, model, inputs, training=False)
    back = from_keras(model)
    np.testing.assert_allclose(back.forward(inputs), layer.forward(inputs), rtol=1e-5, atol=1e-6)


def test_frozen_layers_stay_frozen():
    model = built(kl.Dense(3), kl.BatchNormalization(), kl.Dense(2))
    for layer in model.layers[:2]:
        layer.trainable = False
    found = from_keras(model)
    assert [layer.trainable for layer in found.layers] == [False, False, True]
    assert [layer.trainable for layer in to_keras(found).layers] == [False, False, True]
    close(found.forward(X, training=True), model(torch.tensor(X), training=True).detach().numpy())
    found.layers[2].trainable = ("biases",)
    with pytest.raises(ArgumentError, match="layer 2, biases alone is trained"):
        to_keras(found)


def test_what_keras_cannot_share_or_takes_otherwise():
    words = nn.Embedding(7, 4)
    model = nn.Sequential(words, nn.Dense(4, 7).tie("weights", words, transposed=True))
    with pytest.raises(ArgumentError, match=r"`1.weights` is another layer's parameter"):
        to_keras(model)
    for layer in (kl.BatchNormalization(axis=1), kl.Softmax(axis=1)):
        theirs = keras.Sequential([keras.Input((3,)), kl.Embedding(5, 3), layer])
        with pytest.raises(ArgumentError, match="takes axis 1 for the features"):
            from_keras(theirs)


def test_a_dense_layer_between_embedding_and_flatten():
    theirs = keras.Sequential(
        [keras.Input((2,), dtype="int32"), kl.Embedding(5, 3), kl.Dense(2), kl.Flatten()]
    )
    codes = np.random.default_rng(0).integers(0, 5, (6, 2))
    found = from_keras(theirs)
    close(found.forward(codes), theirs(torch.tensor(codes)).detach().numpy())


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "selu", "gelu", "silu", "swish"])
@pytest.mark.parametrize("kind", [kl.Activation, lambda name: kl.Dense(4, activation=name)])
def test_activations_by_name(name, kind):
    model = keras.Sequential([keras.Input((4,)), kind(name)])
    assert_agree(from_keras(model), model, X, training=True)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softplus", "softmax", "linear", None])
def test_more_activations_by_name(name):
    model = keras.Sequential([keras.Input((4,)), kl.Dense(3, activation=name), kl.Identity()])
    found = from_keras(model)
    assert len(found.layers) == (2 if name in ("linear", None) else 3)
    assert_agree(found, model, X, training=True)


def test_a_model_of_theirs_computes_the_same_here():
    model = theirs()
    found = from_keras(model)
    kinds = [type(layer).__name__ for layer in found.layers]
    assert kinds[:4] == ["Dense", "ReLU", "BatchNorm", "Dense"]
    assert kinds[4:] == ["LeakyReLU", "Sequential", "LeakyReLU", "Dense", "Softmax"]
    assert found.layers[2].epsilon == 1e-3
    assert found.layers[4].negative_slope == 0.3
    assert found.layers[7].max_norm == 2.0
    assert found.layers[3].bias_regularizer_l1 == pytest.approx(0.01)
    assert_agree(found, model, X, training=False)
    assert_agree(found, model, X, training=True)


def test_a_model_of_ours_computes_the_same_there():
    model = ours()
    found = to_keras(model)
    assert type(found) is keras.Sequential
    assert_agree(model, found, X, training=False)
    assert_agree(model, found, X, training=True)
    assert_same(from_keras(to_keras(ours())), ours())


def test_running_averages_differ_by_the_estimate_of_the_variance():
    model = nn.Sequential(nn.BatchNorm(4, momentum=0.8, epsilon=1e-3))
    found = to_keras(model)
    model.forward(X, training=True)
    found(torch.tensor(X), training=True)
    layer, their = model.layers[0], found.layers[0]
    close(layer.running_mean[0], their.moving_mean.value.numpy())
    change = layer.running_variance[0] - 0.8
    their_change = their.moving_variance.value.numpy() - 0.8
    close(change, their_change * 6 / 5)  # unbiased here and in PyTorch, of the 6 samples there
    moved = from_keras(found)
    assert moved.layers[0].running_mean.any()
    assert_agree(moved, found, X, training=False)


@pytest.mark.parametrize("kind", [nn.Dropout, nn.AlphaDropout])
def test_what_is_dropped_becomes_the_same_value(kind):
    ones = np.ones((20, 20), np.float32)
    layer = kind(0.3, seed=0)
    values = np.unique(np.round(layer.forward(ones, training=True), 5))
    expected = to_keras(layer)(torch.tensor(ones), training=True).numpy()
    assert len(values) == 2
    close(values, np.unique(np.round(expected, 5)), 2e-5)


def test_weights_are_copies_and_float64_is_kept():
    model = ours("float64")
    found = to_keras(model)
    back = from_keras(found)
    assert back.dtype == "float64"
    for variable in found.weights:
        variable.assign(torch.zeros(variable.shape))
    assert_same(model, ours("float64"))
    assert_same(back, ours("float64"))


def test_get_weights_and_set_weights_have_the_order_of_the_layers():
    model = ours()
    weights = to_keras(model).get_weights()
    assert [each.shape for each in weights][:6] == [(4, 8), (8,), (8,), (8,), (8,), (8,)]
    blank = nn.Sequential(*ours().layers, seed=1)
    filled = from_keras(weights, like=blank)
    assert_same(filled, model)
    assert not np.array_equal(blank.layers[0].weights, model.layers[0].weights)
    other = to_keras(blank)
    other.set_weights(weights)
    assert_same(from_keras(other), model)


def test_lists_of_weights_that_do_not_fit():
    like = nn.Sequential(nn.Dense(4, 3))
    good = [np.ones((4, 3), "f4"), np.ones(3, "f4")]
    for weights, kind, complaint in [
        (good[:1], ArgumentError, "2 arrays of weights; got 1"),
        ([good[0].T, good[1]], ShapeError, r"weights\[0\], for `0\.weights`.*\(4, 3\); got"),
        ([good[0], good[1][None]], ShapeError, r"weights\[1\].*\(3,\); got \(1, 3\)"),
        ([good[0].astype("f8"), good[1]], DTypeError, r"weights\[0\].*float64"),
        ([good[0], np.array(["a"] * 3)], DTypeError, r"weights\[1\]"),
    ]:
        with pytest.raises(kind, match=complaint):
            from_keras(weights, like=like)
    with pytest.raises(ArgumentError, match="hand over `like`"):
        from_keras(good)
    with pytest.raises(ArgumentError, match="`like` must be a layer"):
        from_keras(good, like=3)
    with pytest.raises(ArgumentError, match="layer 0 is a Scale"):
        from_keras(good, like=nn.Sequential(Scale()))


def test_a_model_with_an_embedding_need_not_tell_its_columns():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Dense(6, 2), seed=0)
    codes = np.array([[0, 1], [4, 3]])
    found = to_keras(model)
    assert not found.built
    close(model.forward(codes), found(torch.tensor(codes)).detach().numpy())
    assert_same(from_keras(found), model)


PICTURES = np.random.default_rng(0).normal(size=(2, 11, 10, 4)).astype("float32")


@pytest.mark.parametrize("padding", ["valid", "same", ((1, 2), (0, 1))])
@pytest.mark.parametrize(("strides", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2)])
@pytest.mark.parametrize("kernel_size", [1, 2, (3, 2), 5])
def test_convolutions(kernel_size, strides, dilation, padding):
    settings = {"strides": strides, "dilation": dilation, "padding": padding}
    layers = [
        nn.Conv2D(4, 6, kernel_size, groups=2, **settings),
        nn.DepthwiseConv2D(4, kernel_size, multiplier=2, use_bias=False, **settings),
        nn.SeparableConv2D(4, 3, kernel_size, **settings),
    ]
    if isinstance(padding, str):
        more = range(1 if padding == "same" else strides)
        layers += [
            nn.Conv2DTranspose(4, 3, kernel_size, output_padding=each, **settings) for each in more
        ]
    for layer in layers:
        model = to_keras(layer, input_shape=PICTURES.shape[1:])
        assert_agree(layer, model, PICTURES, training=False)
        back = from_keras(model)
        close(back.forward(PICTURES), layer.forward(PICTURES))
        if isinstance(padding, str):
            assert_same(back.layers[0], layer)
        else:
            zeros = back.layers[0].layers[0]
            assert isinstance(zeros, nn.ZeroPad2D)
            assert zeros.padding == padding


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [None, 1, 2])
@pytest.mark.parametrize("size", [2, 3, (3, 2)])
def test_pools(size, strides, padding):
    for kind in (nn.MaxPool2D, nn.AveragePool2D):
        layer = kind(size, strides=strides, padding=padding)
        model = to_keras(layer, input_shape=PICTURES.shape[1:])
        assert_same(from_keras(model).layers[0], layer)
        # On PyTorch, Keras takes means otherwise where the padding has two different sides.
        if kind is nn.MaxPool2D or padding == "valid":
            assert_agree(layer, model, PICTURES, training=False)


def test_what_sees_no_step_ahead():
    theirs = built(kl.Conv1D(3, 3, dilation_rate=2, padding="causal"), shape=(11, 4))
    found = from_keras(theirs)
    assert found.layers[0].padding == (4, 0)
    assert_agree(found, theirs, PICTURES[:, :, 0, :], training=True)
    assert to_keras(found).layers[0].padding == "causal"


def test_a_network_of_pictures_of_theirs():
    keras.utils.set_random_seed(0)
    theirs = built(
        kl.ZeroPadding2D(((1, 0), (0, 2))),
        kl.Conv2D(6, 3, padding="same", activation="relu", kernel_regularizer="l2"),
        kl.BatchNormalization(axis=3, scale=False),
        kl.SeparableConv2D(8, 3, strides=2, padding="same", activation="gelu"),
        kl.GroupNormalization(4, gamma_regularizer="l1"),
        kl.MaxPooling2D(2),
        kl.UpSampling2D((2, 1)),
        kl.Conv2DTranspose(4, 2, strides=3),
        kl.Flatten(),
        kl.Reshape((-1, 4)),
        kl.AveragePooling1D(2),
        kl.GlobalMaxPooling1D(),
        kl.Dense(2),
        shape=PICTURES.shape[1:],
    )
    found = from_keras(theirs)
    assert_agree(found, theirs, PICTURES, training=True)
    assert_agree(found, theirs, PICTURES, training=False)
    again = to_keras(found)
    shapes = [each.shape for each in theirs.get_weights()]
    assert [each.shape for each in again.get_weights()] == shapes
    twin = from_keras(again.get_weights(), like=found)
    np.testing.assert_array_equal(twin.forward(PICTURES), found.forward(PICTURES))


@pytest.mark.parametrize(
    "layer",
    [
        kl.Conv2D(2, 1, data_format="channels_first"),
        kl.DepthwiseConv2D(1, data_format="channels_first"),
        kl.MaxPooling2D(2, data_format="channels_first"),
        kl.AveragePooling1D(2, data_format="channels_first"),
        kl.GlobalAveragePooling2D(data_format="channels_first"),
        kl.UpSampling2D(2, data_format="channels_first"),
        kl.ZeroPadding2D(1, data_format="channels_first"),
    ],
    ids=lambda layer: layer.name,
)
def test_channels_first_is_refused(layer):
    layer.build((None, *(4,) * (2 if isinstance(layer, kl.AveragePooling1D) else 3)))
    with pytest.raises(ArgumentError, match="`data_format` must be 'channels_last', as here"):
        from_keras(layer)


@pytest.mark.parametrize(
    ("layer", "complaint"),
    [
        (kl.UpSampling2D(2, interpolation="bilinear"), "`interpolation` must be 'nearest'"),
        (kl.GlobalMaxPooling2D(keepdims=True), "`keepdims` must be False"),
        (kl.Conv2DTranspose(2, 3, strides=2, padding="same", output_padding=1), "`output_padding`"),
        (kl.SeparableConv2D(2, 3, depthwise_regularizer="l2"), "must be alike"),
        (kl.GroupNormalization(2, axis=1), "`axis` must be that of the features"),
        (kl.Conv2D(2, 3, kernel_constraint=keras.constraints.MaxNorm(2.0)), "MaxNorm"),
        (kl.ZeroPadding1D(1), "ZeroPadding1D has no counterpart"),
    ],
    ids=lambda each: getattr(each, "name", None),
)
def test_layers_for_pictures_without_a_counterpart(layer, complaint):
    shape = (6, 4) if isinstance(layer, kl.ZeroPadding1D) else (6, 6, 4)
    with pytest.raises(ArgumentError, match=complaint):
        from_keras(built(layer, shape=shape))


def test_our_own_classes_are_saved_by_keras(tmp_path):
    model = ours()
    to_keras(model).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(
        tmp_path / "model.keras", custom_objects=custom_objects(), compile=False
    )
    assert_same(from_keras(loaded), model)
    assert_agree(model, loaded, X, training=False)


def test_a_subclass_without_a_call_of_its_own_and_a_single_layer():
    class Net(keras.Sequential):
        pass

    model = Net([keras.Input((4,)), kl.Dense(2, activation="tanh")])
    assert_agree(from_keras(model), model, X, training=True)
    single = from_keras(model.layers[0])
    assert [type(layer) for layer in single.layers] == [nn.Dense, nn.Tanh]


@pytest.mark.parametrize(
    "layer",
    [
        kl.Dense(4, use_bias=False),
        kl.BatchNormalization(center=False),
        kl.BatchNormalization(scale=False),
        kl.LayerNormalization(center=False),
        kl.LayerNormalization(scale=False),
    ],
    ids=lambda layer: layer.name,
)
def test_parameters_that_are_left_out_there_can_be_added(layer):
    model = keras.Sequential([keras.Input((4,)), layer])
    if isinstance(layer, kl.Dense):
        with pytest.raises(ArgumentError, match=r"has no `\w+`.*add_parameters"):
            from_keras(model)
    else:
        lean = from_keras(model)
        assert len(lean.parameters()) == len(model.trainable_weights)
        assert_agree(lean, model, X, training=False)
    found = from_keras(model, add_parameters=True)
    for training in (False, True):
        expected = model(torch.tensor(X), training=training).detach().numpy()
        close(found.forward(X, training=training), expected)


def built(*layers, shape=(4,)):
    return keras.Sequential([keras.Input(shape), *layers])


def functional():
    inputs = keras.Input((4,))
    return keras.Model(inputs, kl.Add()([inputs, kl.Dense(4)(inputs)]))


class DenseOfMyOwn(kl.Dense):
    pass


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (lambda: built(kl.PReLU(name="p")), "layer `p`, a PReLU: .*no counterpart"),
        (lambda: built(keras.Sequential([kl.PReLU(name="p")], name="s")), "layer `s/p`, a PReLU"),
        (lambda: built(kl.Dense(2, activation="hard_tanh", name="d")), "layer `d`.*'hard_tanh'"),
        (lambda: built(kl.Dense(2, activation=lambda x: 2 * x)), "'<lambda>'"),
        (lambda: built(kl.ReLU(max_value=6)), "`max_value` must be None; got 6"),
        (lambda: built(kl.ReLU(threshold=1)), "`threshold`"),
        (lambda: built(kl.ReLU(negative_slope=1.5)), "negative_slope"),
        (lambda: built(kl.Softmax(axis=0)), "`axis`"),
        (lambda: built(kl.Flatten(data_format="channels_first")), "`data_format`"),
        (lambda: built(kl.Dropout(0.5, noise_shape=(1, 4))), "`noise_shape`"),
        (lambda: built(kl.Dropout(1.0)), "rate"),
        (lambda: built(kl.BatchNormalization(axis=2), shape=(2, 4, 3)), "`axis`"),
        (lambda: built(kl.BatchNormalization(beta_constraint="non_neg")), "`beta_constraint`"),
        (lambda: built(kl.LayerNormalization(axis=[1, 2]), shape=(2, 4)), "`axis`"),
        (lambda: built(kl.Embedding(5, 2, mask_zero=True)), "`mask_zero`"),
        (lambda: built(kl.Dense(2, kernel_constraint="non_neg")), "NonNeg"),
        (
            lambda: built(kl.Dense(2, kernel_constraint=keras.constraints.MaxNorm(2, axis=1))),
            "MaxN",
        ),
        (lambda: built(kl.Dense(2, bias_constraint="non_neg")), "`bias_constraint`"),
        (lambda: built(kl.Dense(2, kernel_regularizer="orthogonal_regularizer")), "Orthogonal"),
        (lambda: built(kl.Dense(2, activity_regularizer="l2")), "`activity_regularizer`"),
        (lambda: built(DenseOfMyOwn(2, name="mine")), "layer `mine`, a DenseOfMyOwn"),
        (lambda: keras.Sequential([kl.Dense(2)]), "before it is built"),
        (functional, "only keras.Sequential can be taken apart"),
    ],
)
def test_layers_without_a_counterpart(model, complaint):
    with pytest.raises(ArgumentError, match=complaint):
        from_keras(model())


SIMPLE = {
    "activation": "relu",
    "axes": -1,
    "axis": -1,
    "bin_boundaries": [0.0, 1.0],
    "cell": kl.LSTMCell(2),
    "cells": [kl.LSTMCell(2)],
    "cropping": 1,
    "dims": (1,),
    "equation": "ab,bc->ac",
    "factor": 0.1,
    "filters": 2,
    "function": lambda x: x,
    "head_dim": 2,
    "height": 4,
    "height_factor": 0.1,
    "input_dim": 5,
    "kernel_size": 2,
    "key_dim": 2,
    "layer": kl.LSTM(2),
    "layers": [kl.Rescaling(0.5)],
    "max_number": 2,
    "module": torch.nn.Linear(4, 2),
    "n": 2,
    "num_heads": 2,
    "num_key_value_heads": 1,
    "num_query_heads": 2,
    "num_tokens": 3,
    "output_dim": 2,
    "output_shape": 3,
    "output_size": 2,
    "pool_size": 2,
    "rate": 0.5,
    "scale": 0.5,
    "size": 2,
    "stddev": 0.1,
    "target_shape": (2, 2),
    "units": 3,
    "width": 4,
    "width_factor": 0.1,
}
"""What the layers of Keras need to be made, by the names of their arguments."""

NOT_MADE = {
    "FlaxLayer",
    "HashedCrossing",
    "Hashing",
    "IntegerLookup",
    "JaxLayer",
    "RandomPosterization",
    "StringLookup",
    "TFSMLayer",
    "TextVectorization",
}
"""Those that need another library than PyTorch, or other arguments."""


def stock_layers():
    """One of each of Keras' layers."""
    kinds = {kind for kind in vars(kl).values() if isinstance(kind, type)}
    made, left_out = [], set()
    for kind in sorted(kinds, key=lambda kind: kind.__name__):
        if not issubclass(kind, kl.Layer):
            continue
        parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
        wanted = ("bin_boundaries", "num_tokens")  # Keras says that they are not needed
        needed = [each for each in parameters if each.default is each.empty or each.name in wanted]
        names = [each.name for each in needed if each.kind is each.POSITIONAL_OR_KEYWORD]
        keywords = {"shape": (4,)} if kind is kl.InputLayer else {}
        try:
            made.append(kind(**{name: SIMPLE[name] for name in names}, **keywords))
        except (KeyError, ImportError, ValueError):
            left_out.add(kind.__name__)
    return made, left_out


@pytest.mark.filterwarnings("ignore")
def test_every_layer_of_keras_has_a_counterpart_or_is_refused_by_name():
    made, left_out = stock_layers()
    assert left_out <= NOT_MADE, left_out - NOT_MADE
    assert len(made) > 100
    known = {name for row in ROWS for name in (row.theirs, *row.also)}
    read, data = set(), set()
    for layer in made:
        name = type(layer).__name__
        if name in known:
            places = {"1D": (6,), "2D": (6, 6)}.get(name.removesuffix("Transpose")[-2:], ())
            layer.build((None, *places, 32 if name == "GroupNormalization" else 4))
            read.add(type(from_keras(layer)))
            continue
        for source in (layer, keras.Sequential([layer])):
            if isinstance(layer, kl.InputLayer) and source is not layer:
                continue
            with pytest.raises(ArgumentError) as caught:
                from_keras(source)
            message = str(caught.value)
            assert f"{name}: {name}" in message
            assert "has no counterpart here. " in message
            assert "convert the layers" in message
        data |= {name} if "prepares the data" in message else set()
    assert len(read) > 20
    assert {"Rescaling", "Normalization", "Discretization", "RandomFlip"} <= data
    assert not data & {"Conv3D", "LSTM", "MultiHeadAttention", "PReLU"}


class OwnScale(kl.Rescaling):
    def call(self, inputs):
        return inputs


class OwnRow(keras.Sequential):
    def call(self, *args, **keywords):
        return 2 * super().call(*args, **keywords)


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (lambda: built(OwnScale(2.0)), "OwnScale is no layer of Keras' own, and nothing tells"),
        (lambda: built(DenseOfMyOwn(2)), "DenseOfMyOwn is no layer of Keras' own"),
        (lambda: OwnRow([keras.Input((4,)), kl.Dense(2)]), "OwnRow: its class has a `call` of its"),
    ],
)
def test_classes_of_ones_own_are_refused_as_such(model, complaint):
    with pytest.raises(ArgumentError, match=complaint):
        from_keras(model())


def test_what_has_no_counterpart_comes_before_its_data_type():
    model = keras.Sequential([keras.Input((4,)), kl.Rescaling(2.0, dtype="float16"), kl.Dense(2)])
    with pytest.raises(ArgumentError, match="Rescaling prepares the data"):
        from_keras(model)


def test_layers_of_other_types():
    with pytest.raises(DTypeError, match="float16 and float32"):
        from_keras(built(kl.Dense(2, dtype="mixed_float16")))
    with pytest.raises(DTypeError, match="float32 and float64"):
        from_keras(built(kl.Dense(2), kl.ReLU(dtype="float64")))
    for source in (3, None, "model.keras"):
        with pytest.raises(ArgumentError, match="from_keras takes"):
            from_keras(source)
    with pytest.raises(ArgumentError, match="`like` is for lists"):
        from_keras(built(kl.Dense(2)), like=nn.Dense(4, 2))


class Scale(nn.Layer):
    factors = nn.Parameter()
    dfactors = nn.Gradient()

    def __init__(self):
        super().__init__()
        self.create_parameters("float32", factors=(1, 3))


def test_layers_of_ones_own_are_refused():
    with pytest.raises(ArgumentError, match=r"layer 1\.0 is a Scale.*in Keras. Convert the layers"):
        to_keras(nn.Sequential(nn.Dense(2, 3), nn.Sequential(Scale())))
    with pytest.raises(ArgumentError, match="`model` must be a layer"):
        to_keras(kl.Dense(3))
    with pytest.raises(ShapeError, match="takes samples of shape"):
        to_keras(nn.Sequential(nn.Dense(2, 3)), input_shape=(4,))


def replaced():
    model = built(kl.Dense(2, name="d"))
    model.layers[0].call = lambda x: x
    return model


class OwnCall(keras.Sequential):
    def __call__(self, *args, **keywords):
        return 2 * super().__call__(*args, **keywords)


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (replaced, "layer `d`, a Dense: its call was replaced"),
        (lambda: OwnCall([keras.Input((4,)), kl.Dense(2)]), "OwnCall: its call was replaced"),
        (lambda: built(kl.LayerNormalization(rms_scaling=True)), "`rms_scaling` must be False"),
    ],
)
@pytest.mark.filterwarnings("ignore:You passed `rms_scaling=True`")
def test_what_does_not_show_is_refused(model, complaint):
    with pytest.raises(ArgumentError, match=complaint):
        from_keras(model())


def test_a_model_of_keras_is_not_read_by_from_torch():
    with pytest.raises(ArgumentError, match="which from_keras reads"):
        from_torch(built(kl.Dense(2)))


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softmax"])
def test_activations_of_the_operators(name):
    model = built(kl.Dense(4, activation=getattr(keras.ops, name)))
    assert_agree(from_keras(model), model, X, training=True)


@pytest.mark.parametrize(
    "model",
    [
        nn.ReLU(),
        nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Dropout(0.5), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Sequential(nn.Tanh())),
        nn.Residual(nn.Softplus()),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_model_that_leaves_its_shape_open_goes_there_and_back(model):
    back = from_keras(to_keras(model))
    assert_same(back if isinstance(model, nn.Sequential) else back.layers[0], model)


def test_a_class_of_ones_own_that_changes_nothing_is_its_parent():
    class Own(nn.Sequential):
        pass

    class OwnDense(nn.Dense):
        pass

    model = Own(OwnDense(4, 3, seed=0), nn.ReLU())
    assert_agree(model, to_keras(model), X, training=True)
    filled = from_keras(to_keras(model).get_weights(), like=Own(OwnDense(4, 3, seed=1)))
    np.testing.assert_array_equal(filled.layers[0].weights, model.layers[0].weights)


@pytest.mark.parametrize("shape", [(-1,), (3.5,), "a", (0,), None])
def test_shapes_that_are_none(shape):
    model = nn.Sequential(nn.Embedding(5, 3), nn.Flatten())
    if shape is None:
        assert not to_keras(model, input_shape=shape).built
        return
    with pytest.raises(ArgumentError, match="`input_shape` must be a whole number"):
        to_keras(model, input_shape=shape)


def test_a_shape_of_one_axis_is_a_number():
    assert to_keras(nn.Dense(3, 2), input_shape=3).input_shape == (None, 3)


def test_codes_that_float32_does_not_tell_apart_are_refused(monkeypatch):
    monkeypatch.setattr("nnfs_xp.interop.translation._MOST_CODES", 4)
    with pytest.raises(ArgumentError, match=r"tells 4 codes apart; the Embedding has 5"):
        to_keras(nn.Embedding(5, 2))
    assert to_keras(nn.Embedding(5, 2, dtype="float64")).dtype == "float64"


def test_without_keras(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(BackendError, match=r"keras.*nnfs-xp\[keras\]"):
        to_keras(nn.ReLU())
    with pytest.raises(BackendError, match=r"nnfs-xp\[keras\].*KERAS_BACKEND"):
        from_keras(object())
    weights = [np.ones((4, 3), "f4"), np.zeros(3, "f4")]
    filled = from_keras(weights, like=nn.Dense(4, 3))
    np.testing.assert_array_equal(filled.weights, weights[0])
