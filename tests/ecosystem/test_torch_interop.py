"""Models from PyTorch and to it: outputs, gradients, running averages, files, what is refused."""

from __future__ import annotations

import copy
import inspect
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import warnings

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from cases import LAYERS, shaped
from torch import nn as tnn

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, BackendError, CheckpointError, DTypeError, ShapeError
from nnfs_xp.interop.torch import from_torch, load_torch_weights, save_torch_weights, to_torch
from nnfs_xp.interop.torch.layers import CONTAINERS, ROWS
from nnfs_xp.interop.torch.modules import modules

rng = np.random.default_rng(7)
X = rng.normal(size=(6, 4))
RANDOM = (nn.Dropout, nn.AlphaDropout, nn.GaussianNoise)
CHANNELS_FIRST = {
    "AveragePool1D",
    "AveragePool2D",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "DepthwiseConv2D",
    "GroupNorm",
    "MaxPool1D",
    "MaxPool2D",
    "SeparableConv2D",
    "Upsample2D",
    "ZeroPad2D",
}
"""Layers whose modules, alone, take the channels first."""


TOLERANCE = {"float64": 1e-9, "float32": 64 * float(np.finfo("float32").eps)}


def close(actual, expected, dtype="float64"):
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def close_gradients(actual, expected, dtype="float64"):
    """In float32, where terms cancel, rounding is relative to these, not to what they leave."""
    largest = float(np.max(np.abs(expected), initial=0.0)) if dtype == "float32" else 1.0
    scale = max(1.0, largest)
    close(actual / scale, expected / scale, dtype)


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


def their_gradients(model, module):
    """PyTorch's gradients under our names and in our layouts, written without the package."""
    names = {"weights": "weight", "biases": "bias", "gamma": "weight", "beta": "bias"}
    gradients, modules = {}, dict(module.named_modules())
    for prefix, layer in model.walk():
        for name in layer._shapes:
            theirs = getattr(modules[prefix.removesuffix(".")], names.get(name, name)).grad.numpy()
            if name == "weights" and hasattr(layer, "kernel_size"):
                theirs = np.moveaxis(theirs, (0, 1), (-1, -2))
            elif isinstance(layer, nn.Dense) and name == "weights":
                theirs = theirs.T
            gradients[prefix + name] = theirs.reshape(layer._shapes[name])
    return gradients


def assert_agree(model, module, inputs, *, training, dtype="float64", channels_first=False):
    """Outputs, running averages and all gradients of one pass, from random dvalues."""

    def turned(array):
        return np.moveaxis(array, 1, -1) if channels_first else array

    module.train(training)
    module.zero_grad()
    if isinstance(model, nn.Embedding):
        x = torch.tensor(inputs.astype(np.int64))
    else:
        given = np.moveaxis(inputs, -1, 1) if channels_first else inputs
        x = torch.tensor(given.astype(dtype), requires_grad=True)
    expected = module(x)
    ours = model.forward(inputs.astype(dtype), training=training)
    close(ours, turned(expected.detach().numpy()), dtype)
    if not training:
        return
    dvalues = np.random.default_rng(1).normal(size=ours.shape).astype(dtype)
    expected.backward(torch.tensor(np.moveaxis(dvalues, -1, 1) if channels_first else dvalues))
    dinputs = model.backward(dvalues)
    if x.grad is not None:
        close_gradients(dinputs, turned(x.grad.numpy()), dtype)
    gradients = their_gradients(model, module)
    assert gradients.keys() == model.gradients().keys()
    for name, gradient in model.gradients().items():
        close_gradients(gradient, gradients[name], dtype)
    state = module.state_dict()
    for name, buffer in model.buffers().items():
        theirs = name.replace("running_variance", "running_var")
        close(buffer[0], state[theirs].numpy(), dtype)


def mlp(dtype="float64"):
    """A model of ours with all kinds of parameters, nested."""
    return nn.Sequential(
        nn.Dense(4, 8, dtype=dtype),
        nn.BatchNorm(8, momentum=0.8, epsilon=1e-3, dtype=dtype),
        nn.ReLU(),
        nn.Sequential(nn.Dense(8, 5, dtype=dtype), nn.GELU("tanh")),
        nn.Residual(nn.LayerNorm(5, epsilon=1e-4, dtype=dtype), nn.Dense(5, 5, dtype=dtype)),
        nn.Concatenate(nn.Linear(), nn.Sequential(nn.Dense(5, 2, dtype=dtype), nn.Tanh())),
        nn.Dense(7, 3, dtype=dtype),
        seed=0,
    )


def their_mlp(dtype=torch.float64):
    torch.manual_seed(0)
    module = tnn.Sequential(
        tnn.Linear(4, 8),
        tnn.BatchNorm1d(8, momentum=0.3, eps=1e-4),
        tnn.LeakyReLU(0.2),
        tnn.Sequential(tnn.Linear(8, 5), tnn.Identity(), tnn.Softplus()),
        tnn.LayerNorm(5, eps=1e-4),
        tnn.SiLU(inplace=True),
        tnn.Linear(5, 3),
        tnn.Softmax(dim=-1),
    )
    for parameter in module.parameters():  # so that scales are not 1 and shifts not 0
        parameter.data.add_(0.1 * torch.randn(parameter.shape))
    return module.to(dtype)


def test_every_layer_has_a_row():
    rows = [row.ours for row in (*ROWS, *CONTAINERS)]
    assert len(rows) == len(set(rows))
    public = {getattr(nn, name) for name in nn.layers.__all__}
    blocks = {kind for kind in public if issubclass(kind, nn.Block)}  # which are Sequential there
    assert set(rows) == public - {nn.layers.Layer, nn.StochasticLayer, *blocks}


def test_rows_of_one_module_read_alike():
    readers = {name: row.read for row in ROWS for name in (row.theirs, *row.also)}
    for row in ROWS:
        assert all(row.read is readers[name] for name in (row.theirs, *row.also))
    assert len({row.theirs for row in ROWS}) == len(ROWS) - 1  # Conv2d


def test_every_row_has_all_parameters_and_buffers():
    named = {}
    for case in LAYERS:
        for _, layer in case.build("float32").walk():
            named.setdefault(type(layer), set()).update(layer._shapes, layer._buffers)
    for row in ROWS:
        assert {place.name for place in row.weights.values()} == named[row.ours]
    assert any(row.weights for row in ROWS)


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layer_goes_to_torch_and_back(case, dtype):
    layer = case.build(dtype)
    module = to_torch(layer, drop_penalties=True)
    assert not module.training
    layout = {"dtype": dtype, "channels_first": case.name in CHANNELS_FIRST}
    assert_agree(layer, module, case.inputs, training=False, **layout)
    bare = without_penalties(layer)
    back = from_torch(module)
    if isinstance(layer, nn.Block):
        for one, other in zip(back.layers, layer.layers, strict=True):
            assert_same(one, other)
    elif module.state_dict() or layer.dtype is None:
        assert_same(back, bare) if not _is_said_in_numbers(layer) else _assert_alike(back, bare)
    else:  # nothing in the module tells the data type
        assert back.config() == {**bare.config(), "dtype": "float32"}
    if not isinstance(layer, RANDOM):
        assert_agree(bare, module, case.inputs, training=True, **layout)


def _is_said_in_numbers(layer):
    """Whether its padding is "same" here, and numbers in PyTorch."""
    return case_name(layer).endswith("Transpose") and layer.padding == "same"


def case_name(layer):
    return type(layer).__name__


def _assert_alike(layer, other):
    assert {**layer.config(), "padding": 0, "output_padding": 0} == {
        **other.config(),
        "padding": 0,
        "output_padding": 0,
    }
    for name, array in layer.parameters().items():
        np.testing.assert_array_equal(array, other.parameters()[name])


OF_ANY_SHAPE = [case for case in LAYERS if case.of_any_shape]


@pytest.mark.parametrize("axes", [(2,), (1, 2)], ids=["sequences", "grids"])
@pytest.mark.parametrize("case", OF_ANY_SHAPE, ids=lambda case: case.name)
def test_every_layer_does_the_same_on_samples_of_any_shape(case, axes):
    inputs = shaped(case.inputs, axes)
    model = nn.Sequential(case.build("float64"), input_shape=inputs.shape[1:])
    module = to_torch(model, drop_penalties=True)
    if case.name == "Embedding":  # whose codes are integers there
        expected = module(torch.tensor(inputs).long()).detach().numpy()
        np.testing.assert_array_equal(model.forward(inputs), expected)
        return
    assert_agree(model, module, inputs, training=False, dtype="float64")
    without_penalties(model)
    if not isinstance(model.layers[0], RANDOM):
        assert_agree(model, module, inputs, training=True, dtype="float64")
    back = from_torch(module)
    if module.state_dict() or model.layers[0].dtype is None:  # else nothing tells the data type
        np.testing.assert_allclose(back.forward(inputs), model.forward(inputs), rtol=1e-12)


def test_what_takes_axis_1_for_the_features_is_refused_for_sequences():
    for theirs in (tnn.BatchNorm1d(3), tnn.Softmax(dim=1)):
        module = tnn.Sequential(tnn.Embedding(5, 3), theirs)
        with pytest.raises(
            ArgumentError, match=rf"`1`, a {type(theirs).__name__}: it takes axis 1"
        ):
            from_torch(module)
        assert from_torch(tnn.Sequential(tnn.Linear(2, 3), theirs)).layers[1]
    with pytest.raises(ShapeError, match=r"layer 1 does not fit.*Dense\(4, 2\)"):
        from_torch(tnn.Sequential(tnn.Embedding(5, 3), tnn.Linear(4, 2)))


def test_frozen_parameters_stay_frozen():
    module = tnn.Sequential(
        tnn.Linear(4, 5), tnn.BatchNorm1d(5), tnn.Linear(5, 5), tnn.LayerNorm(5), tnn.Linear(5, 3)
    )
    for parameter in [*module[0].parameters(), *module[1].parameters(), module[2].weight]:
        parameter.requires_grad_(False)
    model = from_torch(module)
    assert [la.trainable for la in model.layers] == [False, False, ("biases",), True, True]
    back = to_torch(model)
    assert [p.requires_grad for p in back.parameters()] == [
        p.requires_grad for p in module.parameters()
    ]


class TestSharedParameters:
    def test_a_tied_parameter_is_one_there_too(self):
        words = nn.Embedding(7, 4, seed=0)
        inner = nn.Dense(4, 4, seed=1)
        twin = nn.Dense(4, 4, seed=2).tie("weights", inner)
        head = nn.Dense(4, 7, seed=3).tie("weights", words, transposed=True)
        model = nn.Sequential(words, inner, nn.Tanh(), twin, head)
        module = to_torch(model)
        assert module[4].weight is module[0].weight
        assert module[3].weight is module[1].weight
        assert len(list(module.parameters())) == len(model.parameters()) == 5
        back = from_torch(module)
        assert back.ties() == model.ties()
        codes = np.random.default_rng(0).integers(0, 7, (3, 5)).astype("float32")
        np.testing.assert_array_equal(back.forward(codes), model.forward(codes))
        dvalues = np.ones((3, 5, 7), "float32")
        back.forward(codes, training=True)
        back.backward(dvalues)
        module.train()(torch.tensor(codes).long()).backward(torch.tensor(dvalues))
        expected = module[0].weight.grad.numpy()
        np.testing.assert_allclose(back.gradients()["0.weights"], expected, rtol=1e-5, atol=1e-5)

    def test_a_state_dict_may_leave_out_what_is_tied(self):
        words = nn.Embedding(7, 4, seed=0)
        model = nn.Sequential(words, nn.Dense(4, 7).tie("weights", words, transposed=True))
        state = to_torch(model).state_dict()
        assert set(state) == {"0.weight", "1.weight", "1.bias"}
        del state["1.weight"]
        state["0.weight"] = torch.ones(7, 4)
        filled = from_torch(state, like=model)
        assert (filled.layers[1].weights == 1).all()
        state["1.weight"] = torch.zeros(7, 4)
        with pytest.raises(ArgumentError, match=r"`1.weight` is another layer's parameter"):
            from_torch(state, like=model)

    def test_a_module_that_stands_twice(self):
        linear = tnn.Linear(3, 3)
        module = tnn.Sequential(linear, tnn.ReLU(), tnn.Sequential(linear))
        model = from_torch(module)
        assert set(model.parameters()) == {"0.weights", "0.biases"}
        x = torch.randn(4, 3)
        close(model.forward(x.numpy()), module(x).detach().numpy(), "float32")

    def test_what_pytorch_cannot_share(self):
        words = nn.Embedding(4, 7, seed=0)
        model = nn.Sequential(nn.Dense(4, 7).tie("weights", words))
        with pytest.raises(ArgumentError, match="lies outside"):
            to_torch(model)
        straight = nn.Dense(4, 7, seed=1).tie("weights", words)
        both = nn.Concatenate(nn.Sequential(words, nn.Flatten(), nn.Dense(14, 4), straight))
        with pytest.raises(ArgumentError, match=r"`0.3.weight` and `0.0.weight`.*two ways"):
            to_torch(both)


def without_penalties(layer):
    for _, each in layer.walk():
        each.set_options(**{name: 0.0 for name in each.options() if "_regularizer_" in name})
    return layer


def test_penalties_are_left_out_only_when_told():
    model = nn.Sequential(nn.Dense(4, 3, weight_regularizer_l1=0.1, max_norm=2.0))
    with pytest.raises(ArgumentError, match=r"layer 0 has weight_reg\w+_l1 and max_norm.*drop_pen"):
        to_torch(model)
    assert_agree(model, to_torch(model, drop_penalties=True), X, training=False, dtype="float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_of_theirs_computes_the_same_here(dtype):
    module = their_mlp(getattr(torch, dtype))
    model = from_torch(module)
    assert isinstance(model, nn.Sequential)
    assert model.dtype == dtype
    assert model.layers[1].momentum == 0.7
    for _ in range(3):  # the running averages move
        assert_agree(model, module, X, training=True, dtype=dtype)
        assert_agree(model, module, X, training=False, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_of_ours_computes_the_same_there(dtype):
    model = mlp(dtype)
    module = to_torch(model)
    assert type(module) is tnn.Sequential
    for _ in range(3):
        assert_agree(model, module, X, training=True, dtype=dtype)
        assert_agree(model, module, X, training=False, dtype=dtype)


def test_a_training_there_is_the_training_here():
    model = mlp()
    module = to_torch(model).train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    y = rng.normal(size=(6, 3))
    trainer = nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(0.1, momentum=0.9), backend="numpy")
    for _ in range(5):
        trainer.train_step(X, y)
        optimizer.zero_grad()
        tnn.functional.mse_loss(module(torch.tensor(X)), torch.tensor(y)).backward()
        optimizer.step()
    trained = from_torch(module)
    assert not np.array_equal(trained.layers[0].weights, mlp().layers[0].weights)
    for name, array in (model.parameters() | model.buffers()).items():
        close(array, (trained.parameters() | trained.buffers())[name])


def test_weights_are_copies():
    model = mlp()
    module = to_torch(model)
    back = from_torch(module)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.zero_()
    assert_same(model, mlp())
    assert_same(back, mlp())


def test_no_random_number_of_theirs_is_drawn():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    to_torch(mlp())
    assert torch.rand(1) == expected


@pytest.mark.parametrize(
    ("layer", "module"),
    [
        (nn.Dropout(0.3, seed=0), tnn.Dropout(0.3)),
        (nn.AlphaDropout(0.3, seed=0), tnn.AlphaDropout(0.3)),
    ],
)
def test_what_is_dropped_becomes_the_same_value(layer, module):
    for ours, theirs in ((layer, to_torch(layer).train()), (from_torch(module), module.train())):
        ones = np.ones((20, 20))
        values = np.unique(np.round(ours.forward(ones, training=True), 12))
        assert len(values) == 2
        expected = np.unique(np.round(theirs(torch.tensor(ones)).numpy(), 12))
        close(values, expected)


def test_noise_is_as_strong_there():
    module = to_torch(nn.GaussianNoise(0.5)).train()
    zeros = torch.zeros(100, 100)
    torch.manual_seed(0)
    assert 0.48 < float(module(zeros).std()) < 0.52
    assert torch.equal(module.eval()(zeros), zeros)
    assert "deviation=0.5" in repr(module)


def test_modules_of_our_own_can_be_copied_and_pickled():
    model = nn.Sequential(mlp(), nn.GaussianNoise(0.5))
    module = to_torch(model)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert_same(from_torch(twin), model)


def test_softplus_agrees_far_out():
    inputs = np.linspace(-30, 60, 91).reshape(7, 13)
    module = to_torch(nn.Softplus())
    assert_agree(nn.Softplus(), module, inputs, training=True)
    assert_agree(from_torch(tnn.Softplus()), tnn.Softplus(), inputs, training=True)


def test_a_sequential_with_names_and_a_subclass_without_a_forward():
    class Net(tnn.Sequential):
        pass

    activation = tnn.ReLU()  # the same object twice, which has nothing to share
    module = Net()
    module.add_module("first", tnn.Linear(4, 4))
    module.add_module("act1", activation)
    module.add_module("second", tnn.Linear(4, 4))
    module.add_module("act2", activation)
    model = from_torch(module)
    assert [type(layer) for layer in model.layers] == [nn.Dense, nn.ReLU, nn.Dense, nn.ReLU]
    close(model.forward(X.astype("f4")), module(torch.tensor(X.astype("f4"))).detach(), "float32")


@pytest.mark.parametrize(
    "module",
    [
        tnn.Sequential(tnn.Linear(4, 3, bias=False), tnn.ReLU()),
        tnn.Sequential(tnn.BatchNorm1d(4, affine=False)),
        tnn.Sequential(tnn.LayerNorm(4, elementwise_affine=False)),
        tnn.Sequential(tnn.LayerNorm(4, bias=False)),
    ],
    ids=str,
)
def test_parameters_that_are_left_out_there_can_be_added(module):
    module = module.double()
    if isinstance(module[0], tnn.Linear):
        with pytest.raises(ArgumentError, match=r"module `0`.*has no `\w+`.*add_parameters"):
            from_torch(module)
    else:
        lean = from_torch(module)
        assert len(lean.parameters()) == len(list(module.parameters()))
        assert to_torch(lean).state_dict().keys() == module.state_dict().keys()
    model = from_torch(module, add_parameters=True)
    dtype = model.dtype  # float32 where the module has no tensor that tells it
    for training in (True, False):
        module.train(training)
        expected = module(torch.tensor(X)).detach().numpy()
        close(model.forward(X.astype(dtype), training=training), expected, dtype)


class Net(tnn.Module):
    """What many write: its forward is its own."""

    def __init__(self):
        super().__init__()
        self.fc1 = tnn.Linear(4, 5)
        self.fc2 = tnn.Linear(5, 3)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))


class LinearOfMyOwn(tnn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def _hooked():
    module = tnn.Sequential(tnn.Linear(2, 2))
    module[0].register_forward_hook(lambda *_: None)
    return module


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        (
            tnn.Sequential(tnn.Linear(2, 3), tnn.Softmax(dim=0)),
            r"`1`, a Softmax: its `dim`.* got 0",
        ),
        (
            tnn.Sequential(tnn.Sequential(tnn.Conv3d(1, 1, 1))),
            r"`0\.0`, a Conv3d: .*no counterpart",
        ),
        (tnn.Sequential(tnn.PReLU()), "`0`, a PReLU"),
        (tnn.Sequential(tnn.LeakyReLU(1.5)), "`0`.*negative_slope"),
        (tnn.Sequential(tnn.ELU(-1.0)), "`0`.*alpha"),
        (tnn.Sequential(tnn.Softplus(beta=2.0)), "`0`.*`beta` must be 1; got 2.0"),
        (tnn.Sequential(tnn.Softplus(threshold=5)), "`0`.*threshold"),
        (tnn.Sequential(tnn.Dropout(1.0)), "`0`.*rate"),
        (tnn.Sequential(tnn.Flatten(0)), "`0`.*`start_dim`"),
        (tnn.Sequential(tnn.Flatten(1, 2)), "`0`.*`end_dim`"),
        (tnn.Sequential(tnn.BatchNorm1d(3, momentum=None)), "`0`.*`momentum` is None"),
        (tnn.Sequential(tnn.BatchNorm1d(3, momentum=0.0)), "`0`.*momentum"),
        (tnn.Sequential(tnn.BatchNorm1d(3, track_running_stats=False)), "`track_running_stats`"),
        (tnn.Sequential(tnn.LayerNorm((2, 3))), "`normalized_shape`"),
        (tnn.Sequential(tnn.Embedding(5, 2, padding_idx=0)), "`padding_idx`"),
        (tnn.Sequential(tnn.Embedding(5, 2, max_norm=1.0)), "`max_norm`"),
        (tnn.Sequential(tnn.Embedding(5, 2, scale_grad_by_freq=True)), "`scale_grad_by_freq`"),
        (tnn.Sequential(tnn.LazyLinear(3)), "`0`.*Call it once"),
        (tnn.Sequential(LinearOfMyOwn(2, 3)), "`0`, a LinearOfMyOwn"),
        (tnn.Sequential(tnn.utils.parametrizations.weight_norm(tnn.Linear(2, 2))), "`0`, a Param"),
        (Net(), "nothing tells what the forward of Net does.*state_dict"),
        (tnn.Sequential(Net()), "`0`, a Net"),
        (tnn.ModuleList([tnn.Linear(2, 2)]), "ModuleList"),
        (tnn.Sequential(), "at least one layer"),
        (_hooked(), "`0`.*hooks"),
    ],
)
def test_modules_without_a_counterpart(module, complaint):
    with pytest.raises(ArgumentError, match=complaint):
        from_torch(module)


SIMPLE = {
    "cutoffs": [2],
    "d_model": 4,
    "decoder_layer": tnn.TransformerDecoderLayer(4, 2, 8),
    "dim": 1,
    "embed_dim": 4,
    "embedding_dim": 2,
    "encoder_layer": tnn.TransformerEncoderLayer(4, 2, 8),
    "groups": 2,
    "hidden_size": 2,
    "in1_features": 4,
    "in2_features": 4,
    "in_channels": 2,
    "in_features": 4,
    "input_size": 4,
    "kernel_size": 2,
    "mode": "LSTM",
    "module": tnn.Linear(4, 2),
    "n_classes": 4,
    "nhead": 2,
    "norm_type": 2,
    "normalized_shape": 4,
    "num_channels": 4,
    "num_chunks": 1,
    "num_classes": 4,
    "num_embeddings": 7,
    "num_features": 4,
    "num_groups": 2,
    "num_heads": 2,
    "num_layers": 1,
    "out_channels": 2,
    "out_features": 3,
    "output_size": 2,
    "padding": 1,
    "size": 3,
    "threshold": 0.1,
    "unflattened_size": (2, 2),
    "upscale_factor": 2,
    "downscale_factor": 2,
    "value": 0.0,
    "bias": True,
}
"""What the modules of PyTorch need to be made, by the names of their arguments."""

SPECIAL = {
    "AdaptiveAvgPool1d": {"output_size": 1},
    "AdaptiveAvgPool2d": {"output_size": 1},
    "AdaptiveMaxPool1d": {"output_size": 1},
    "AdaptiveMaxPool2d": {"output_size": 1},
    "Container": {"within": tnn.Linear(4, 2)},
    "FractionalMaxPool2d": {"kernel_size": 2, "output_size": 2},
    "FractionalMaxPool3d": {"kernel_size": 2, "output_size": 2},
    "GRU": {"input_size": 4, "hidden_size": 2},
    "LSTM": {"input_size": 4, "hidden_size": 2},
    "RNN": {"input_size": 4, "hidden_size": 2},
    "Softmax": {"dim": -1},
    "Upsample": {"scale_factor": 2},
    "UpsamplingNearest2d": {"scale_factor": 2},
    "Transformer": {"d_model": 4, "nhead": 2, "dim_feedforward": 8},
}
"""What those need whose arguments do not tell, or by default make them large."""

HOLDERS = {"Container", "Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList"}


def stock_classes():
    found = {each for each in vars(tnn).values() if isinstance(each, type)}
    return sorted(
        (each for each in found if issubclass(each, tnn.Module)), key=lambda each: each.__name__
    )


def built(kind, name):
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    needed = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    arguments = SPECIAL.get(name) or {each: SIMPLE[each] for each in needed}
    if name == "Sequential":
        return kind(tnn.Linear(4, 3))
    module = kind(**arguments)
    if isinstance(module, tnn.ParameterList):
        module.append(torch.zeros(2))
    if isinstance(module, tnn.ModuleList):
        module.append(tnn.Linear(4, 2))
    return module.eval()


OWN = set(modules())
KNOWN = {name for row in ROWS for name in (row.theirs, *row.also)} - OWN | {"Sequential"}


def _pictures_for(name):
    """What a module for pictures, or sequences, is given; None for any other."""
    n_channels = {"BatchNorm2d": 4, "GroupNorm": 4}.get(name, 2)
    pictures = torch.tensor(rng.normal(size=(2, n_channels, 6, 8)), dtype=torch.float32)
    if name.startswith("Adaptive"):
        pictures = pictures if name.endswith("2d") else pictures[:, :, 0, :]
        return {"pictures": pictures, "behind": [tnn.Flatten()]}
    shaped = ("Conv", "MaxPool", "AvgPool", "Upsam", "ZeroPad", "BatchNorm2d", "GroupNorm")
    if not name.startswith(shaped):
        return None
    return {"pictures": pictures[:, :, 0, :] if name.endswith("1d") else pictures, "behind": []}


@pytest.fixture
def stock():
    """One of each of PyTorch's modules, some of which are out of date."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {kind.__name__: built(kind, kind.__name__) for kind in stock_classes()}


def test_every_module_of_torch_has_a_counterpart_or_is_refused_by_name(stock):
    assert len(stock) > 150
    read, refused, losses, lazy, named = set(), set(), set(), set(), set()
    for name, module in stock.items():
        becomes = getattr(type(module), "cls_to_become", None) or type(module)
        if becomes.__name__ in KNOWN:
            if becomes is not type(module):
                with pytest.raises(ArgumentError, match=f"a {name}: .*Call it once"):
                    from_torch(module)
                lazy.add(name)
            x = torch.tensor(X, dtype=torch.float32)
            x = (10 * x.abs()).long() % 7 if name == "Embedding" else x
            x = _pictures_for(becomes.__name__) or x
            if isinstance(x, dict):
                module, x = tnn.Sequential(module, *x["behind"]), x["pictures"]
            expected = module(x).detach().numpy()
            if x.ndim > 2:
                expected = np.moveaxis(expected, 1, -1)
                x = x.movedim(1, -1)
            close(from_torch(module).forward(x.numpy()), expected, "float32")
            read.add(name)
            continue
        for source in (module, tnn.Sequential(module)):
            with pytest.raises(ArgumentError) as caught:
                from_torch(source)
            message = str(caught.value)
            assert re.search(
                rf"^(the )?module( `0`)?, a {name}: {name} has no counterpart", message
            )
            assert "replaced" not in message
            assert "nothing tells" not in message
            assert re.search(r"Convert the module|leave it out", message)
        assert ("only holds others" in message) is (name in HOLDERS)
        losses |= {name} if "It is a loss" in message else set()
        named |= set(re.findall(r"nnfs_xp\.(\w+)", message))
        refused.add(name)
    assert read - lazy == KNOWN
    assert {"LazyBatchNorm1d", "LazyLinear", "LazyConv2d", "LazyConvTranspose1d"} <= lazy
    assert {"MultiheadAttention", "ParameterList", "TransformerEncoder", "Conv3d"} <= refused
    stock_losses = {each for each in stock if each.endswith(("Loss", "Loss2d"))}
    assert losses == stock_losses
    assert len(losses) > 20
    assert all(hasattr(nn, each) for each in named)
    assert {"BatchNorm", "LayerNorm", "Huber", "SoftmaxCategoricalCrossentropy"} <= named


def test_a_class_that_derives_from_any_module_of_torch_is_refused_as_ones_own(stock):
    names = set()
    for kind in stock_classes():
        name = kind.__name__
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            own = type("Own", (kind,), {"forward": lambda self, x: 2 * x})
            module = built(own, name)
        for source in (module, tnn.Sequential(module)):
            with pytest.raises(ArgumentError) as caught:
                from_torch(source)
            assert "a Own: " in str(caught.value)
            assert "nothing tells" in str(caught.value)
            assert "no counterpart" not in str(caught.value)
        names.add(name)
    assert names == set(stock)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (
            lambda: tnn.utils.parametrizations.weight_norm(tnn.Linear(2, 2)),
            "computed from others.*remove_parametrizations",
        ),
        (
            lambda: torch.compile(tnn.Sequential(tnn.Tanh()), backend="eager"),
            "it is compiled.*`_orig_mod`",
        ),
        (lambda: tnn.DataParallel(tnn.Linear(2, 2)), "DataParallel has no counterpart.*`module`"),
    ],
)
def test_modules_around_another_one(make, complaint):
    for source in (make(), tnn.Sequential(make())):
        with pytest.raises(ArgumentError, match=complaint):
            from_torch(source)


class WithState(tnn.Linear):
    """One that puts more than tensors into its state dict."""

    def get_extra_state(self):
        return {"steps": 3}

    def set_extra_state(self, state):
        del state


def test_a_module_of_ones_own_with_more_than_tensors_is_refused_as_such():
    module = tnn.Sequential(WithState(2, 3))
    assert module.state_dict()["0._extra_state"] == {"steps": 3}
    with pytest.raises(ArgumentError, match=r"`0`, a WithState: WithState is none of torch\.nn"):
        from_torch(module)


def test_modules_of_other_shapes_and_types():
    with pytest.raises(ShapeError, match="layer 1"):
        from_torch(tnn.Sequential(tnn.Linear(2, 3), tnn.Linear(2, 3)))
    for module in (tnn.Linear(2, 2).half(), tnn.Linear(2, 2).bfloat16()):
        with pytest.raises(DTypeError, match=r"float16.*module\.float"):
            from_torch(module)
    with pytest.raises(DTypeError, match="float32 and float64"):
        from_torch(tnn.Sequential(tnn.Linear(2, 2), tnn.Linear(2, 2).double()))
    with pytest.raises(DTypeError, match=r"`weight`.*no values"):
        from_torch(tnn.Linear(2, 2, device="meta"))
    for source in (3, "model.pt", None):
        with pytest.raises(ArgumentError, match="state dict"):
            from_torch(source)
    with pytest.raises(ArgumentError, match="for state dicts"):
        from_torch(tnn.Linear(2, 2), activation=nn.ReLU)


class Scale(nn.Layer):
    factors = nn.Parameter()
    dfactors = nn.Gradient()

    def __init__(self):
        super().__init__()
        self.create_parameters("float32", factors=(1, 3))


def test_layers_of_ones_own_are_refused(tmp_path):
    model = nn.Sequential(nn.Dense(2, 3), nn.Sequential(Scale()))
    for call in (to_torch, lambda each: save_torch_weights(each, tmp_path / "w.safetensors")):
        with pytest.raises(
            ArgumentError, match=r"layer 1\.0 is a Scale.*no counterpart in PyTorch"
        ):
            call(model)
        with pytest.raises(ArgumentError, match="must be a layer"):
            call(tnn.Linear(2, 2))


def test_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendError, match=r"torch.*nnfs-xp\[torch\]"):
        to_torch(nn.ReLU())
    with pytest.raises(BackendError, match=r"nnfs-xp\[torch\]"):
        from_torch(object())


# State dicts ------------------------------------------------------------------


def test_a_state_dict_and_the_model_that_it_is_of():
    net = Net().double()
    like = nn.Sequential(
        nn.Dense(4, 5, dtype="float64"), nn.ReLU(), nn.Dense(5, 3, dtype="float64")
    )
    before = like.layers[0].weights.copy()
    model = from_torch(net.state_dict(), like=like, names={"0": "fc1", "2": "fc2"})
    close(model.forward(X), net(torch.tensor(X)).detach())
    np.testing.assert_array_equal(like.layers[0].weights, before)
    wrapped = tnn.ModuleDict({"net": to_torch(mlp())})
    assert_same(from_torch(wrapped.state_dict(), like=mlp(), names={"": "net"}), mlp())


def test_a_state_dict_and_an_activation():
    net = Net().double()
    close(
        from_torch(net.state_dict(), activation=nn.ReLU).forward(X), net(torch.tensor(X)).detach()
    )
    leaky = from_torch(net.state_dict(), activation=lambda: nn.LeakyReLU(0.3))
    assert leaky.layers[1].negative_slope == 0.3


def test_numbered_modules_are_taken_by_number():
    torch.manual_seed(0)
    module = tnn.Sequential(*(tnn.Linear(3, 3) for _ in range(12)))
    shuffled = dict(sorted(module.state_dict().items(), key=lambda item: item[0]))
    assert list(shuffled)[2] == "1.bias"
    assert list(shuffled)[4] == "10.bias"
    model = from_torch(shuffled, activation=nn.Linear)
    x = np.ones((1, 3), dtype=np.float32)
    close(model.forward(x), module(torch.tensor(x)).detach(), "float32")


def test_a_state_dict_without_biases():
    state = {"weight": np.ones((2, 3))}
    with pytest.raises(ArgumentError, match="has no `bias`"):
        from_torch(state, activation=nn.ReLU)
    model = from_torch(state, activation=nn.ReLU, add_parameters=True)
    np.testing.assert_array_equal(model.forward(np.ones((1, 3))), [[3.0, 3.0]])


WEIGHTS = {"a.weight": np.ones((5, 4)), "a.bias": np.ones(5), "b.weight": np.ones((3, 5))}
WEIGHTS["b.bias"] = np.ones(3)


@pytest.mark.parametrize(
    ("change", "kind", "complaint"),
    [
        ({"conv.weight": np.ones((2, 2, 3, 3))}, ShapeError, r"`conv\.weight`.*\(2, 2, 3, 3\)"),
        ({"b.running_mean": np.ones(3)}, ArgumentError, r"`b\.running_mean` of shape \(3,\)"),
        ({"c.weight": np.ones((2, 4))}, ShapeError, r"`c\.weight`.*cannot follow `b\.weight`"),
        ({"a.bias": np.ones(4)}, ShapeError, r"`a\.bias` must have shape \(5,\); got \(4,\)"),
        ({"a.bias": np.ones((1, 5))}, ShapeError, r"`a\.bias` must have shape"),
        ({"c.bias": np.ones(4)}, ArgumentError, r"no place for `c\.bias`"),
        ({"a.weight": np.ones((5, 4), "f4")}, DTypeError, "float32 and float64"),
        ({"a.weight": np.array(["x"])}, DTypeError, r"`a\.weight`"),
        ({"a.weight": torch.ones(5, 4, dtype=torch.bfloat16)}, DTypeError, r"`a\.weight`.*bfloat"),
    ],
)
def test_state_dicts_of_something_else(change, kind, complaint):
    with pytest.raises(kind, match=complaint):
        from_torch(WEIGHTS | change, activation=nn.ReLU)


def test_state_dicts_need_more():
    like = nn.Sequential(nn.Dense(4, 5, dtype="float64"))
    for keywords in ({}, {"like": like, "activation": nn.ReLU}):
        with pytest.raises(ArgumentError, match=r"either `like`.* or.*`activation`"):
            from_torch(WEIGHTS, **keywords)
    with pytest.raises(ArgumentError, match="`names` goes with `like`"):
        from_torch(WEIGHTS, activation=nn.ReLU, names={"0": "a"})
    for activation in (nn.ReLU(), "relu", lambda: 3):
        with pytest.raises(ArgumentError, match="`activation` must be what builds a layer"):
            from_torch(WEIGHTS, activation=activation)
    with pytest.raises(ArgumentError, match="no weight"):
        from_torch({}, activation=nn.ReLU)
    with pytest.raises(ArgumentError, match=r"`0\.bias` is missing; there are a\.bias"):
        from_torch(WEIGHTS, like=like)
    with pytest.raises(ArgumentError, match=r"no place for `b\.bias`, `b\.weight`"):
        from_torch(WEIGHTS, like=like, names={"0": "a"})
    with pytest.raises(ArgumentError, match="`names` must lead from"):
        from_torch(WEIGHTS, like=like, names={"7": "a"})
    two = nn.Sequential(nn.Dense(4, 5), nn.Dense(5, 3))
    with pytest.raises(ArgumentError, match="two layers the name 'a'"):
        from_torch(WEIGHTS, like=two, names={"0": "a", "1": "a"})
    with pytest.raises(ShapeError, match=r"`a\.weight` must have shape \(4, 5\).*transpose"):
        from_torch(
            {"a.weight": np.ones((5, 4)), "a.bias": np.ones(4)},
            like=nn.Dense(5, 4, dtype="float64"),
            names={"": "a"},
        )


@pytest.mark.parametrize("kind", ["inputs", "gradients"])
def test_what_overwrites_the_inputs_of_others_is_refused(kind):
    own = modules()
    for branch in (tnn.ReLU(inplace=True), tnn.Sequential(tnn.Identity(), tnn.ELU(inplace=True))):
        for container in (own["Residual"](branch), own["Concatenate"](branch, tnn.Identity())):
            with pytest.raises(ArgumentError, match=r"`0.*inplace=True can overwrite"):
                from_torch(container)
    module = tnn.Sequential(tnn.Linear(4, 4), tnn.ReLU(inplace=True)).double()
    assert_agree(from_torch(module), module, X, training=kind == "gradients")


def _sequential(change, *layers):
    module = tnn.Sequential(*(layers or (tnn.Linear(3, 3), tnn.Linear(3, 3))))
    change(module)
    return module


def _same_memory(name):
    def change(module):
        getattr(module[1], name).data = getattr(module[0], name).data

    return change


class OwnCall(tnn.Sequential):
    def __call__(self, x):
        return 2 * super().__call__(x)


NORM = tnn.BatchNorm1d(3, affine=False)


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        (_sequential(_same_memory("weight")), "`1`.*shares its `weight` with module `0`"),
        (_sequential(_same_memory("bias")), "`1`.*shares its `bias` with module `0`"),
        (
            _sequential(_same_memory("running_mean"), tnn.BatchNorm1d(3), tnn.BatchNorm1d(3)),
            "`1`.*shares its `running_mean` with module `0`",
        ),
        (tnn.Sequential(NORM, NORM), "`1`.*shares its `running_mean` with module `0`"),
        (
            _sequential(lambda m: m[1].eval(), tnn.Dropout(), tnn.BatchNorm1d(3)),
            "`1`.*`training` is False.*module `0` True.*train\\(\\) or eval\\(\\)",
        ),
        (_sequential(lambda m: setattr(m[0], "forward", lambda x: x)), "`0`.*was replaced"),
        (_sequential(lambda m: setattr(m, "forward", lambda x: x)), "the module.*was replaced"),
        (OwnCall(tnn.Linear(2, 2)), "OwnCall: its forward was replaced"),
        (_sequential(lambda m: m[0].register_full_backward_hook(lambda *_: None)), "`0`.*hooks"),
        (_sequential(lambda m: m[0].register_full_backward_pre_hook(lambda *_: None)), "hooks"),
        (_sequential(lambda m: m[0].weight.register_hook(lambda g: g)), "`0`.*hooks"),
        (_sequential(lambda m: m.add_module("2", None)), "`2`.*there is no module"),
        (_sequential(lambda m: delattr(m[0], "bias")), "`0`.*settings.*bias"),
        (_sequential(lambda m: setattr(m[0], "momentum", "x"), tnn.BatchNorm1d(3)), "`0`.*setti"),
        (_sequential(lambda m: setattr(m[0], "momentum", 0), tnn.BatchNorm1d(3)), "above 0.*got 0"),
        (tnn.Sequential(tnn.Softplus(1, None)), "`0`.*settings"),
        (_sequential(lambda m: setattr(m[0], "weight", None)), "`0`.*`weight` is None"),
        (_sequential(lambda m: setattr(m[0], "running_var", None), tnn.BatchNorm1d(3)), "is None"),
    ],
)
def test_what_does_not_show_is_refused(module, complaint):
    with pytest.raises(ArgumentError, match=complaint):
        from_torch(module, add_parameters=True)


def test_hooks_of_all_modules_are_refused():
    hook = tnn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        with pytest.raises(ArgumentError, match="hooks for all modules"):
            from_torch(tnn.Linear(2, 2))
    finally:
        hook.remove()
    assert isinstance(from_torch(tnn.Linear(2, 2)), nn.Dense)


def test_modules_that_all_train_or_all_do_not():
    for training in (True, False):
        module = tnn.Sequential(tnn.BatchNorm1d(3), tnn.Dropout()).train(training)
        assert len(from_torch(module).layers) == 2


def test_a_class_of_ones_own_that_changes_nothing_is_its_parent(tmp_path):
    class Own(nn.Sequential):
        pass

    class Reversed(nn.Sequential):
        def backward(self, dvalues):
            return -super().backward(dvalues)

    layer = nn.Dense(4, 3, dtype="float64", seed=0)
    assert_agree(Own(layer), to_torch(Own(layer)), X, training=True)
    save_torch_weights(Own(layer), tmp_path / "w.safetensors")
    load_torch_weights(Own(layer), tmp_path / "w.safetensors")
    with pytest.raises(ArgumentError, match="is a Reversed"):
        to_torch(Reversed(layer))


@pytest.mark.parametrize(
    ("keywords", "complaint"),
    [
        ({"source": {1: np.ones((2, 2))}, "activation": nn.ReLU}, "keys .* are names; got 1"),
        ({"source": {("a",): np.ones(2)}, "like": nn.Dense(2, 2)}, r"names; got \('a',\)"),
        ({"activation": nn.Dropout}, "`activation` must be what builds a layer"),
        ({"like": nn.Dense(5, 4), "names": ["a"]}, r"`names` must lead .* got \['a'\]"),
        ({"like": nn.Dense(5, 4), "names": "abc"}, "`names` must lead .* got 'abc'"),
        ({"like": nn.Dense(5, 4), "names": 5}, "`names` must lead .* got 5"),
    ],
)
def test_arguments_of_other_kinds(keywords, complaint):
    with pytest.raises(ArgumentError, match=complaint):
        from_torch(**{"source": WEIGHTS, **keywords})


def test_no_path():
    for call in (save_torch_weights, load_torch_weights):
        with pytest.raises(ArgumentError, match="`path` must be"):
            call(nn.Dense(2, 2), None)


# Files ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_reads_what_is_written_here(tmp_path, dtype):
    model = mlp(dtype)
    model.forward(X.astype(dtype), training=True)  # moves the running averages
    save_torch_weights(model, tmp_path / "w.safetensors")
    tensors = safetensors.torch.load_file(tmp_path / "w.safetensors")
    assert tensors["0.weight"].shape == (8, 4)
    assert tensors["0.bias"].shape == (8,)
    assert tensors["1.num_batches_tracked"].dtype == torch.int64
    module = to_torch(mlp(dtype))
    assert module.state_dict().keys() == tensors.keys()
    module.load_state_dict(tensors)
    assert_agree(model, module, X, training=False, dtype=dtype)
    with safetensors.safe_open(tmp_path / "w.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_what_torch_writes_is_read_here(tmp_path):
    module = their_mlp()
    module(torch.tensor(X))
    safetensors.torch.save_file(module.state_dict(), tmp_path / "w.safetensors")
    model = from_torch(their_mlp())
    load_torch_weights(model, tmp_path / "w.safetensors")
    assert_same(model, from_torch(module))
    assert_agree(model, module, X, training=False)


def test_a_file_of_another_module_with_names(tmp_path):
    net = Net()
    safetensors.torch.save_file(net.state_dict(), tmp_path / "net.safetensors")
    model = nn.Sequential(nn.Dense(4, 5), nn.ReLU(), nn.Dense(5, 3))
    names = {"0": "fc1", "2": "fc2"}
    load_torch_weights(model, tmp_path / "net.safetensors", names=names)
    x = X.astype(np.float32)
    close(model.forward(x), net(torch.tensor(x)).detach(), "float32")
    save_torch_weights(model, tmp_path / "back.safetensors", names=names)
    other = Net()
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "back.safetensors"))
    assert all(torch.equal(a, net.state_dict()[key]) for key, a in other.state_dict().items())


def test_float32_and_float16_are_read_into_wider_models(tmp_path):
    module = tnn.Linear(4, 3)
    for theirs in (module, module.half()):
        safetensors.torch.save_file(theirs.state_dict(), tmp_path / "w.safetensors")
        model = nn.Dense(4, 3, dtype="float64")
        load_torch_weights(model, tmp_path / "w.safetensors")
        np.testing.assert_array_equal(model.weights, theirs.weight.detach().double().numpy().T)


def test_files_need_no_torch(tmp_path):
    script = """
import sys
import warnings
sys.modules["torch"] = None
import nnfs_xp as nn
from nnfs_xp.interop.torch import load_torch_weights, save_torch_weights
model, other = (nn.Sequential(nn.Dense(2, 3), nn.BatchNorm(3), seed=s) for s in (0, 1))
save_torch_weights(model, "w.safetensors")
load_torch_weights(other, "w.safetensors")
assert (model.layers[0].weights == other.layers[0].weights).all()
assert "torch" not in {name for name, module in sys.modules.items() if module is not None}
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)


def test_files_that_are_no_weights_of_the_model(tmp_path):
    model = nn.Sequential(nn.Dense(4, 3))
    before = model.layers[0].weights.copy()
    weight, bias = np.ones((3, 4), "f4"), np.zeros(3, "f4")
    path = tmp_path / "w.safetensors"

    def refused(complaint, where=path):
        with pytest.raises(CheckpointError, match=complaint):
            load_torch_weights(model, where)
        np.testing.assert_array_equal(model.layers[0].weights, before)

    refused("there is no file")
    refused("a folder", tmp_path)
    for tensors, complaint in [
        ({"0.weight": weight}, r"w\.safetensors: `0\.bias` is missing"),
        ({"0.weight": weight, "0.bias": bias, "1.weight": bias}, r"no place for `1\.weight`"),
        ({"0.weight": weight.T.copy(), "0.bias": bias}, r"\(3, 4\); got \(4, 3\).*transpose"),
        ({"0.weight": weight, "0.bias": bias.astype("f8")}, r"`0\.bias` is float64.*dtype="),
        ({"0.weight": weight, "0.bias": bias.astype("i4")}, r"`0\.bias` is int32"),
    ]:
        safetensors.numpy.save_file(tensors, path)
        refused(complaint)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    refused("damaged")
    path.write_bytes(b"")
    refused("damaged")
    small = {"0.weight": torch.ones(3, 4).to(torch.float8_e4m3fn), "0.bias": torch.ones(3)}
    safetensors.torch.save_file(small, path)
    refused(r"w\.safetensors: `0\.weight` is of type F8_E4M3")


def test_bfloat16_is_read_as_float32(tmp_path):
    module = tnn.Linear(4, 3).bfloat16()
    with torch.no_grad():
        module.bias[:] = torch.tensor([float("inf"), -0.0, 1e-40])
    state = {"number": torch.ones(1), **module.state_dict()}
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({f"0.{n}": t for n, t in module.state_dict().items()}, path)
    model = nn.Sequential(nn.Dense(4, 3))
    load_torch_weights(model, path)
    np.testing.assert_array_equal(model.layers[0].weights, state["weight"].float().numpy().T)
    np.testing.assert_array_equal(model.layers[0].biases[0], state["bias"].float().numpy())


@pytest.mark.skipif(os.name != "posix", reason="other systems allocate all of the file")
def test_what_does_not_fit_is_refused_before_it_is_read(tmp_path):
    path, n = tmp_path / "w.safetensors", 2**40
    entry = {"dtype": "F32", "shape": [n // 4], "data_offsets": [0, n]}
    text = json.dumps({"0.weight": entry}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + n)  # of which the disk holds nothing
    with pytest.raises(CheckpointError, match=r"`0\.bias` is missing"):
        load_torch_weights(nn.Sequential(nn.Dense(4, 3)), path)


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "w.PTH", "w.pkl", "named.safetensors"])
def test_pickles_are_not_read(tmp_path, name):
    torch.save(tnn.Linear(2, 2).state_dict(), tmp_path / name)
    with pytest.raises(
        CheckpointError, match=r"pickle.*safetensors\.torch\.save_file\(torch\.load"
    ):
        load_torch_weights(nn.Dense(2, 2), tmp_path / name)
    if not name.endswith("safetensors"):
        with pytest.raises(CheckpointError, match="pickle"):
            save_torch_weights(nn.Dense(2, 2), tmp_path / name)


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot write .*: make the folder .*/absent first"):
        save_torch_weights(nn.Dense(2, 2), tmp_path / "absent" / "w.safetensors")
    path = tmp_path / "w.safetensors"
    save_torch_weights(nn.Dense(2, 2), path)
    before = path.read_bytes()
    with pytest.raises(ArgumentError):
        save_torch_weights(Scale(), path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["w.safetensors"]
