"""Models of pictures and sequences from PyTorch and to it, where the channels come first there."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn as tnn

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, ShapeError
from nnfs_xp.interop.torch import from_torch, load_torch_weights, save_torch_weights, to_torch


def first(array):
    """With the channels in front, as PyTorch takes pictures."""
    return np.ascontiguousarray(np.moveaxis(array, -1, 1)) if array.ndim > 2 else array


def last(array):
    return np.moveaxis(array, 1, -1) if array.ndim > 2 else array


def close(actual, expected, tolerance=1e-9):
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def filled(model, seed=0):
    """The model with other numbers in each parameter and buffer."""
    rng = np.random.default_rng(seed)
    for _, layer in model.walk():
        for name, shape in layer._shapes.items():
            setattr(layer, name, rng.normal(size=shape))
        for name in layer._buffers:
            setattr(layer, name, rng.uniform(0.5, 1.5, getattr(layer, name).shape))
    return model


def assert_same(model, other):
    """The same layers with the same weights, bit for bit."""
    assert [(p, type(la), la.config()) for p, la in model.walk()] == [
        (p, type(la), la.config()) for p, la in other.walk()
    ]
    arrays, others = model.parameters() | model.buffers(), other.parameters() | other.buffers()
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, others[name])


def assert_agree(model, module, inputs, *, channels_first=True):
    """Outputs, and the gradient of the inputs, in training and out of it."""
    turn, back = (first, last) if channels_first else (np.asarray, np.asarray)
    for training in (False, True):
        module.train(training)
        x = torch.tensor(turn(inputs), requires_grad=True)
        output = module(x)
        ours = model.forward(inputs, training=training)
        close(ours, back(output.detach().numpy()))
    dvalues = np.random.default_rng(1).normal(size=ours.shape)
    output.backward(torch.tensor(turn(dvalues)))
    close(model.backward(dvalues), back(x.grad.numpy()))
    return {name: parameter.grad.numpy() for name, parameter in module.named_parameters()}


def pictures(*shape, n=2, seed=3):
    return np.random.default_rng(seed).normal(size=(n, *shape))


CONVOLUTIONS = list(
    itertools.product((1, 2, (3, 2)), (1, 2, (1, 2)), ("valid", "same", ((1, 1), (1, 1))), (1, 2))
)
EVEN = ("valid", "same", ((1, 1), (1, 1)))


@pytest.mark.parametrize(("kernel_size", "strides", "padding", "dilation"), CONVOLUTIONS)
@pytest.mark.parametrize("kind", ["Conv2D", "Conv2DTranspose", "DepthwiseConv2D"])
def test_convolutions(kind, kernel_size, strides, padding, dilation):
    arguments = (4, 6, kernel_size) if kind != "DepthwiseConv2D" else (4, kernel_size)
    keywords = {"groups": 2} if kind != "DepthwiseConv2D" else {"multiplier": 2}
    layer = getattr(nn, kind)(
        *arguments,
        strides=strides,
        padding=padding,
        dilation=dilation,
        use_bias=dilation == 1,
        dtype="float64",
        **keywords,
    )
    module = to_torch(filled(layer))
    gradients = assert_agree(layer, module, pictures(7, 9, 4))
    back = from_torch(module)
    if not (kind == "Conv2DTranspose" and padding == "same"):
        assert_same(back, layer)
    close(back.forward(pictures(5, 6, 4)), layer.forward(pictures(5, 6, 4)))
    close(gradients["weight"].transpose(2, 3, 1, 0), layer.dweights)
    if layer.use_bias:
        close(gradients["bias"], layer.dbiases[0])


@pytest.mark.parametrize(
    ("layer", "theirs"),
    [
        (nn.Conv2D(2, 3, 3), tnn.Conv2d(2, 3, 3)),
        (nn.Conv2D(2, 3, 3, padding="same"), tnn.Conv2d(2, 3, 3, padding="same")),
        (nn.Conv2D(2, 3, 3, strides=2, padding=((1, 1), (1, 1))), tnn.Conv2d(2, 3, 3, 2, 1)),
        (nn.Conv1D(2, 4, 3, groups=2, dilation=2), tnn.Conv1d(2, 4, 3, dilation=2, groups=2)),
        (
            nn.Conv2DTranspose(2, 3, 4, strides=2, padding="same"),
            tnn.ConvTranspose2d(2, 3, 4, 2, 1),
        ),
        (nn.Conv1DTranspose(2, 3, 3), tnn.ConvTranspose1d(2, 3, 3)),
        (nn.MaxPool2D(3, strides=2, padding=((1, 1), (1, 1))), tnn.MaxPool2d(3, 2, 1)),
        (nn.AveragePool1D(2), tnn.AvgPool1d(2)),
        (nn.Upsample2D((2, 3)), tnn.Upsample(scale_factor=(2, 3))),
        (nn.ZeroPad2D(((1, 2), (3, 4))), tnn.ZeroPad2d((3, 4, 1, 2))),
        (nn.GroupNorm(4, 2), tnn.GroupNorm(2, 4)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_pytorch_has_is_its_own_module(layer, theirs):
    module = to_torch(layer)
    assert type(module) is type(theirs)
    sample = pictures(*(6, 7, 2)[2 - getattr(layer, "n_axes", 2) :], seed=0).astype("float32")
    if isinstance(layer, nn.GroupNorm):
        sample = np.concatenate([sample, sample], axis=-1)
    theirs.load_state_dict(module.state_dict())
    x = torch.tensor(first(sample))
    assert torch.equal(module(x), theirs.eval()(x))


POOLS = list(itertools.product((2, (3, 2)), (None, 1, 2), (*EVEN, ((1, 0), (0, 1)))))


@pytest.mark.parametrize(("size", "strides", "padding"), POOLS)
@pytest.mark.parametrize("counts", [None, False, True])
def test_pools(counts, size, strides, padding):
    if counts is None:
        layer = nn.MaxPool2D(size, strides=strides, padding=padding)
    else:
        layer = nn.AveragePool2D(size, strides=strides, padding=padding, counts_padding=counts)
    module = to_torch(layer)
    assert_agree(layer, module, pictures(5, 7, 3))
    assert from_torch(module).config() == layer.config()


@pytest.mark.parametrize("padding", ["valid", "same", (1, 1), (1, 0)])
@pytest.mark.parametrize("strides", [1, 2])
def test_layers_for_sequences(padding, strides):
    layers = [
        nn.Conv1D(3, 4, 3, strides=strides, padding=padding, dtype="float64"),
        nn.Conv1DTranspose(3, 4, 3, strides=strides, padding=padding, dtype="float64"),
        nn.MaxPool1D(3, strides=strides, padding=padding),
        nn.AveragePool1D(3, strides=strides, padding=padding),
    ]
    for layer in layers:
        module = to_torch(filled(layer))
        assert_agree(layer, module, pictures(8, 3))
        close(from_torch(module).forward(pictures(9, 3)), layer.forward(pictures(9, 3)))


def network(dtype="float64"):
    return filled(
        nn.Sequential(
            nn.ZeroPad2D(((1, 0), (0, 1))),
            nn.Conv2D(3, 8, 3, padding="same", use_bias=False, dtype=dtype),
            nn.BatchNorm(8, dtype=dtype),
            nn.ReLU(),
            nn.Residual(
                nn.GroupNorm(8, 4, dtype=dtype),
                nn.SeparableConv2D(8, 8, 3, padding="same", dtype=dtype),
                nn.Dense(8, 8, dtype=dtype),
                nn.LayerNorm(8, dtype=dtype),
            ),
            nn.MaxPool2D(2),
            nn.Concatenate(
                nn.Sequential(nn.Conv2D(8, 4, 1, dtype=dtype), nn.Softmax()), nn.Columns(2, 5)
            ),
            nn.Upsample2D(2),
            nn.AveragePool2D(2, strides=1, padding="same"),
            nn.Dropout(0.0),
            nn.Flatten(),
            nn.Tanh(),
            nn.BatchNorm(7 * 36, scale=False, dtype=dtype),
            nn.Dense(7 * 36, 5, dtype=dtype),
            nn.Softmax(),
            input_shape=(6, 6, 3),
        )
    )


def test_a_whole_network_goes_there_and_back(tmp_path):
    model = network()
    module = to_torch(model)
    kinds = [type(each).__name__ for each in module]
    assert kinds[1:4] == ["Conv2d", "BatchNorm2d", "ReLU"]
    assert kinds[10:] == ["Flatten", "Tanh", "BatchNorm1d", "Linear", "Softmax"]
    gradients = assert_agree(model, module, pictures(6, 6, 3, n=4))
    by_channel = np.arange(7 * 36).reshape(36, 7).T.ravel()
    close(gradients["13.weight"].T, model.layers[13].dweights[by_channel])
    close(gradients["12.bias"], model.layers[12].dbeta[0, by_channel])
    close(gradients["4.1.0.weight"].transpose(2, 3, 1, 0), model.gradients()["4.1.0.weights"])
    back = from_torch(module)
    close(back.forward(pictures(6, 6, 3)), model.forward(pictures(6, 6, 3)))
    for name, array in (model.parameters() | model.buffers()).items():
        close((back.parameters() | back.buffers())[name], array)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        x = torch.tensor(first(pictures(6, 6, 3)))
        assert torch.equal(twin.eval()(x), module.eval()(x))
    save_torch_weights(model, tmp_path / "w.safetensors")
    tensors = safetensors.torch.load_file(tmp_path / "w.safetensors")
    for name, tensor in to_torch(model).state_dict().items():
        assert torch.equal(tensors[name], tensor)
    other = filled(network(), seed=9)
    load_torch_weights(other, tmp_path / "w.safetensors")
    assert_same(other, model)


def test_a_training_there_is_the_training_here():
    model = nn.Sequential(
        nn.Conv2D(2, 4, 3, strides=2, padding="same", dtype="float64"),
        nn.BatchNorm(4, center=False, dtype="float64"),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dense(4 * 9, 3, dtype="float64"),
        seed=0,
    )
    x, y = pictures(5, 6, 2, n=8), np.random.default_rng(0).normal(size=(8, 3))
    module = to_torch(model).train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    trainer = nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(0.05, momentum=0.9), backend="numpy")
    for _ in range(5):
        trainer.train_step(x, y)
        optimizer.zero_grad()
        tnn.functional.mse_loss(module(torch.tensor(first(x))), torch.tensor(y)).backward()
        optimizer.step()
    trained = from_torch(module)
    for name, array in (model.parameters() | model.buffers()).items():
        close(array, (trained.parameters() | trained.buffers())[name])


THEIRS = {
    "lenet": lambda: tnn.Sequential(
        tnn.Conv2d(1, 6, 5, padding=2),
        tnn.BatchNorm2d(6),
        tnn.ReLU(inplace=True),
        tnn.MaxPool2d(2),
        tnn.Conv2d(6, 12, 3, bias=False),
        tnn.BatchNorm2d(12, affine=False),
        tnn.Sigmoid(),
        tnn.AvgPool2d(2, padding=1),
        tnn.Dropout(0.0),
        tnn.Flatten(),
        tnn.Linear(12 * 4, 16),
        tnn.Linear(16, 3),
    ),
    "pooled": lambda: tnn.Sequential(
        tnn.BatchNorm2d(1),
        tnn.Conv2d(1, 4, 3, stride=2, padding=1),
        tnn.GroupNorm(2, 4),
        tnn.AdaptiveAvgPool2d(1),
        tnn.ReLU(),
        tnn.Flatten(),
        tnn.Linear(4, 3),
    ),
    "largest": lambda: tnn.Sequential(
        tnn.Conv2d(1, 4, (3, 1)), tnn.AdaptiveMaxPool2d((1, 1)), tnn.Flatten(), tnn.Linear(4, 3)
    ),
    "nested": lambda: tnn.Sequential(
        tnn.Sequential(tnn.Conv2d(1, 4, 3), tnn.ReLU(), tnn.AvgPool2d(2, count_include_pad=False)),
        tnn.Sequential(tnn.Flatten(), tnn.Linear(4 * 16, 3), tnn.Softmax(dim=1)),
    ),
    "pictures": lambda: tnn.Sequential(
        tnn.ZeroPad2d((1, 0, 2, 1)),
        tnn.Conv2d(1, 8, 3, groups=1),
        tnn.Conv2d(8, 16, 3, groups=8, padding="same"),
        tnn.Softmax(dim=1),
        tnn.Upsample(scale_factor=2),
        tnn.ConvTranspose2d(16, 2, 3, stride=2, padding=1, output_padding=1),
        tnn.UpsamplingNearest2d(scale_factor=2),
    ),
}


@pytest.mark.parametrize("name", THEIRS)
def test_a_network_of_theirs_computes_the_same_here(name):
    torch.manual_seed(0)
    module = THEIRS[name]().double()
    for parameter in module.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape))
    model = from_torch(module)
    assert_agree(model, module, pictures(10, 10, 1, n=4))
    again = to_torch(model)
    assert again.state_dict().keys() == module.state_dict().keys()
    for key, tensor in again.state_dict().items():
        if not key.endswith("tracked"):
            close(tensor.numpy(), module.state_dict()[key].numpy())
    assert_agree(from_torch(again), module, pictures(10, 10, 1, n=4))
    module = again
    twin = from_torch(module.state_dict(), like=filled(copy.deepcopy(model), 5))
    assert_same(twin, from_torch(module))


def test_sequences_of_theirs():
    torch.manual_seed(0)
    module = tnn.Sequential(
        tnn.Conv1d(3, 4, 3, padding=1),
        tnn.BatchNorm1d(4),
        tnn.ReLU(),
        tnn.MaxPool1d(2),
        tnn.ConvTranspose1d(4, 4, 2, stride=2),
        tnn.AvgPool1d(2),
        tnn.Flatten(),
        tnn.Linear(16, 2),
    ).double()
    model = from_torch(module)
    assert_agree(model, module, pictures(8, 3, n=4))
    assert type(to_torch(model)[1]) is tnn.BatchNorm1d


class LeNet(tnn.Module):
    """What many write: its forward is its own."""

    def __init__(self):
        super().__init__()
        self.conv = tnn.Conv2d(2, 3, 3)
        self.norm = tnn.BatchNorm2d(3)
        self.fc = tnn.Linear(3 * 9, 4)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        return self.fc(torch.nn.functional.max_pool2d(x, 2).flatten(1))


def test_a_state_dict_and_the_model_that_it_is_of():
    net = LeNet().double()
    like = nn.Sequential(
        nn.Conv2D(2, 3, 3, dtype="float64"),
        nn.BatchNorm(3, dtype="float64"),
        nn.ReLU(),
        nn.MaxPool2D(2),
        nn.Flatten(),
        nn.Dense(27, 4, dtype="float64"),
    )
    names = {"0": "conv", "1": "norm", "5": "fc"}
    model = from_torch(net.state_dict(), like=like, names=names)
    assert_agree(model, net, pictures(8, 8, 2, n=3))


def test_pictures_made_of_rows():
    model = filled(
        nn.Sequential(
            nn.Dense(5, 4 * 3 * 2, dtype="float64"),
            nn.BatchNorm(24, dtype="float64"),
            nn.Reshape((4, 3, 2)),
            nn.BatchNorm(2, scale=False, center=False, dtype="float64"),
            nn.Conv2DTranspose(2, 3, 4, strides=2, padding="same", dtype="float64"),
            nn.Reshape((-1,)),
            nn.Dense(144, 2, dtype="float64"),
        )
    )
    module = to_torch(model)
    assert [type(each).__name__ for each in module][3:5] == ["BatchNorm2d", "ConvTranspose2d"]
    assert_agree(model, module, pictures(5, n=4), channels_first=False)
    close(from_torch(module).forward(pictures(5)), model.forward(pictures(5)))


def test_sequences_whose_features_come_last():
    model = filled(
        nn.Sequential(
            nn.Embedding(7, 4, dtype="float64"),
            nn.Conv1D(4, 6, 3, padding="same", dtype="float64"),
            nn.BatchNorm(6, dtype="float64"),
            nn.GroupNorm(6, 3, dtype="float64"),
            nn.MaxPool1D(2),
            nn.Dense(6, 5, dtype="float64"),
            nn.GlobalMaxPool(),
            nn.Dense(5, 2, dtype="float64"),
            input_shape=(8,),
        )
    )
    module = to_torch(model)
    assert [type(each).__name__ for each in module][1:5] == [
        "AnyConv1d",
        "BatchNorm",
        "AnyGroupNorm",
        "AnyMaxPool1d",
    ]
    codes = np.random.default_rng(0).integers(0, 7, (3, 8)).astype("float64")
    expected = module(torch.tensor(codes).long()).detach().numpy()
    close(model.forward(codes), expected)
    close(from_torch(module).forward(codes), expected)
    assert "features_last=True" in repr(module)


@pytest.mark.parametrize(
    "behind",
    [
        (),
        (nn.Residual(nn.Dense(12, 12, dtype="float64")),),
        (nn.Columns(2, 8), nn.Dense(6, 2, dtype="float64")),
        (nn.Concatenate(nn.Linear(), nn.Dense(12, 2, dtype="float64")),),
    ],
    ids=["nothing", "residual", "columns", "concatenate"],
)
def test_rows_whose_order_shows_lie_place_by_place(behind):
    model = filled(
        nn.Sequential(nn.Conv2D(2, 3, 2, dtype="float64"), nn.Flatten(), *copy.deepcopy(behind))
    )
    module = to_torch(model)
    assert type(module[1]).__name__ == "FlattenPlaces"
    assert_agree(model, module, pictures(3, 3, 2))
    assert_same(from_torch(module), model)
    stock = tnn.Sequential(module[0], tnn.Flatten(), *module[2:])
    with pytest.raises(ArgumentError, match=r"`1`, a Flatten: .*channel by channel"):
        from_torch(stock)


def test_a_pool_alone_does_not_tell_the_channels():
    model = nn.Sequential(nn.MaxPool2D(2), nn.Flatten(), nn.Dense(12, 2))
    assert type(to_torch(model)[1]).__name__ == "FlattenPlaces"
    with pytest.raises(ArgumentError, match=r"`1`, a Flatten: .*how many channels"):
        from_torch(tnn.Sequential(tnn.MaxPool2d(2), tnn.Flatten(), tnn.Linear(12, 2)))


def test_a_tied_filter_is_one_there_too():
    one = nn.Conv2D(3, 3, 3, padding="same", seed=0)
    other = nn.Conv2DTranspose(3, 3, 3, padding="same", use_bias=False, seed=1).tie("weights", one)
    module = to_torch(nn.Sequential(one, nn.ReLU(), other))
    assert module[2].weight is module[0].weight
    back = from_torch(module)
    assert back.ties() == {"2.weights": ("0.weights", False)}


def test_frozen_filters_stay_frozen():
    module = tnn.Sequential(tnn.Conv2d(2, 3, 3), tnn.BatchNorm2d(3))
    module[0].weight.requires_grad_(False)
    module[1].weight.requires_grad_(False)
    model = from_torch(module)
    assert [layer.trainable for layer in model.layers] == [("biases",), ("beta",)]
    back = to_torch(model)
    assert [p.requires_grad for p in back.parameters()] == [False, True, False, True]


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        (tnn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), "`padding_mode` must be 'zeros'"),
        (tnn.Conv1d(1, 1, 3, padding=1, padding_mode="circular"), "`padding_mode`.*'circular'"),
        (tnn.MaxPool2d(2, ceil_mode=True), "`ceil_mode` must be False"),
        (tnn.MaxPool2d(2, dilation=2), "`dilation` must be 1; got 2"),
        (tnn.MaxPool1d(2, return_indices=True), "`return_indices`"),
        (tnn.AvgPool2d(2, divisor_override=3), "`divisor_override` must be None; got 3"),
        (tnn.AdaptiveAvgPool2d(2), "`output_size` must be 1, one number a channel; got 2"),
        (tnn.AdaptiveAvgPool2d(1), "keeps axes of length 1.*Flatten"),
        (tnn.Upsample(scale_factor=2, mode="bilinear"), "`mode` must be 'nearest'"),
        (tnn.Upsample(size=4), "`size` must be None"),
        (tnn.Upsample(scale_factor=1.5), "`scale_factor` must be whole; got 1.5"),
        (tnn.ZeroPad2d((-1, 0, 0, 0)), "padding"),
        (tnn.ReflectionPad2d(1), "ReflectionPad2d has no counterpart here"),
        (tnn.ConvTranspose2d(1, 1, 3, 2, dilation=3, output_padding=2), "output_padding"),
        (tnn.LazyConv2d(3, 3), "Call it once"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_has_no_counterpart(module, complaint):
    with pytest.raises(ArgumentError, match=complaint):
        from_torch(tnn.Sequential(module))


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        ((tnn.Conv2d(1, 4, 3), tnn.Linear(4, 2)), "`1`, a Linear: it takes the features last"),
        ((tnn.Conv2d(1, 4, 3), tnn.LayerNorm(4)), "`1`, a LayerNorm: it takes the features last"),
        ((tnn.Conv2d(1, 4, 3), tnn.Softmax(dim=-1)), "`1`, a Softmax: it takes the features last"),
        ((tnn.Conv2d(1, 4, 3), tnn.BatchNorm1d(4)), "`1`, a BatchNorm1d"),
        ((tnn.Embedding(5, 4), tnn.Conv1d(4, 2, 1)), "`1`, a Conv1d: it takes the features first"),
        ((tnn.Embedding(5, 4), tnn.GroupNorm(2, 4)), "`1`, a GroupNorm: it takes the features fi"),
    ],
    ids=lambda each: type(each[1]).__name__ if isinstance(each, tuple) else "",
)
def test_modules_of_two_layouts(module, complaint):
    with pytest.raises(ArgumentError, match=complaint):
        from_torch(tnn.Sequential(*module))


def test_layers_that_cannot_take_the_channels_first():
    model = nn.Sequential(nn.Conv2D(1, 4, 3), nn.MemberDense(5, 4, 2), input_shape=(5, 7, 1))
    with pytest.raises(ArgumentError, match=r"layer 1, a MemberDense, takes the features last"):
        to_torch(model)


def test_a_linear_of_the_wrong_size_is_refused():
    with pytest.raises(ShapeError, match="layer 2 does not fit"):
        from_torch(tnn.Sequential(tnn.Conv2d(1, 4, 3), tnn.AdaptiveAvgPool2d(1), tnn.Linear(5, 2)))
