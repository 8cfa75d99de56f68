"""Convolutions beside PyTorch's in float64: outputs and all gradients to 1e-12."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import nnfs_xp as nn

torch = pytest.importorskip("torch")

PADDINGS = ["valid", "same", "sides"]
SIDES = ((2, 1), (0, 3))
GROUPS = {"whole": (1, 4, 6), "groups": (2, 4, 6), "depthwise": (4, 4, 8)}
"""Groups, channels and filters."""


def close(found, expected):
    """Equal to 1e-12 of the largest number."""
    expected = np.asarray(expected)
    largest = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(nn.to_numpy(found), expected, rtol=1e-12, atol=1e-12 * largest)


def tensor(array):
    return torch.tensor(np.array(array), requires_grad=True)


def numbers(*shape):
    return np.random.default_rng(shape).normal(size=shape)


def padded(x, layer, inputs):
    """PyTorch's picture, channels first, with the padding of ours around it."""
    pictures = inputs if layer.n_axes == 2 else inputs[:, None]
    (top, bottom), (left, right) = layer.window_of(pictures).padding
    sides = (left, right, top, bottom) if layer.n_axes == 2 else (left, right)
    return torch.nn.functional.pad(x, sides)


def first(array):
    """Channels first, from channels last."""
    return np.moveaxis(array, -1, 1)


def last(array):
    return np.moveaxis(array, 1, -1)


def compare(layer, inputs, run, weights_of):
    """Hold a layer against PyTorch: `run` of a picture, weights and biases, channels first."""
    if layer.use_bias:
        layer.biases = numbers(1, layer.n_filters)
    order, back = weights_of
    x, w = tensor(first(inputs)), tensor(np.transpose(layer.weights, order))
    b = tensor(layer.biases[0]) if layer.use_bias else None
    expected = run(x, w, b)
    output = layer.forward(inputs, training=True)
    close(output, last(expected.detach().numpy()))
    assert output.shape[1:] == layer.output_shape(inputs.shape[1:])
    dvalues = numbers(*output.shape)
    (expected * torch.tensor(first(dvalues).copy())).sum().backward()
    close(layer.backward(dvalues), last(x.grad.numpy()))
    close(layer.dweights, np.transpose(w.grad.numpy(), back))
    if b is not None:
        close(layer.dbiases[0], b.grad.numpy())


CONV_2D = (3, 2, 0, 1), (2, 3, 1, 0)
CONV_1D = (2, 1, 0), (2, 1, 0)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_conv_2d(kernel, padding, groups, n):
    n_groups, channels, filters = GROUPS[groups]
    inputs = numbers(n, 11, 9, channels)
    ran = 0
    for strides, dilation in itertools.product([1, 2, 3], [1, 2]):
        layer = nn.Conv2D(
            *(channels, filters, kernel),
            strides=strides,
            padding=SIDES if padding == "sides" else padding,
            dilation=dilation,
            groups=n_groups,
            use_bias=strides != 2,
            seed=0,
            dtype="float64",
        )
        compare(
            layer,
            inputs,
            lambda x, w, b, layer=layer: torch.nn.functional.conv2d(
                padded(x, layer, inputs), w, b, layer._strides, 0, layer._dilation, layer.groups
            ),
            CONV_2D,
        )
        ran += 1
    assert ran == 6


@pytest.mark.parametrize(
    ("kernel", "strides", "dilation"),
    [((3, 1), (2, 1), 1), ((1, 4), 1, (1, 2)), ((2, 5), (1, 3), (3, 1)), ((5, 3), (3, 2), 1)],
)
@pytest.mark.parametrize("padding", PADDINGS)
def test_conv_2d_of_other_heights_than_widths(kernel, strides, dilation, padding):
    inputs = numbers(2, 10, 13, 3)
    layer = nn.Conv2D(
        *(3, 5, kernel),
        strides=strides,
        padding=SIDES if padding == "sides" else padding,
        dilation=dilation,
        seed=0,
        dtype="float64",
    )
    compare(
        layer,
        inputs,
        lambda x, w, b: torch.nn.functional.conv2d(
            padded(x, layer, inputs), w, b, layer._strides, 0, layer._dilation
        ),
        CONV_2D,
    )


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_conv_1d(kernel, padding, groups, n):
    n_groups, channels, filters = GROUPS[groups]
    inputs = numbers(n, 14, channels)
    ran = 0
    for strides, dilation in itertools.product([1, 2, 3], [1, 2]):
        layer = nn.Conv1D(
            *(channels, filters, kernel),
            strides=strides,
            padding=SIDES[1] if padding == "sides" else padding,
            dilation=dilation,
            groups=n_groups,
            seed=0,
            dtype="float64",
        )
        compare(
            layer,
            inputs,
            lambda x, w, b, layer=layer: torch.nn.functional.conv1d(
                padded(x, layer, inputs), w, b, layer.strides, 0, layer.dilation, layer.groups
            ),
            CONV_1D,
        )
        ran += 1
    assert ran == 6


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("padding", PADDINGS)
def test_depthwise(padding, strides, multiplier):
    inputs = numbers(2, 9, 8, 5)
    layer = nn.DepthwiseConv2D(
        *(5, 3),
        multiplier=multiplier,
        strides=strides,
        padding=SIDES if padding == "sides" else padding,
        seed=0,
        dtype="float64",
    )
    compare(
        layer,
        inputs,
        lambda x, w, b: torch.nn.functional.conv2d(
            padded(x, layer, inputs), w, b, layer._strides, 0, 1, 5
        ),
        CONV_2D,
    )


@pytest.mark.parametrize("padding", PADDINGS)
def test_separable(padding):
    inputs = numbers(2, 9, 8, 3)
    layer = nn.SeparableConv2D(
        *(3, 4, 3),
        multiplier=2,
        padding=SIDES if padding == "sides" else padding,
        seed=0,
        dtype="float64",
    )
    depthwise, pointwise = layer.layers
    x, w, v = (
        tensor(first(inputs)),
        tensor(np.transpose(depthwise.weights, CONV_2D[0])),
        tensor(np.transpose(pointwise.weights, CONV_2D[0])),
    )
    between = torch.nn.functional.conv2d(padded(x, depthwise, inputs), w, groups=3)
    expected = torch.nn.functional.conv2d(between, v)
    output = layer.forward(inputs, training=True)
    close(output, last(expected.detach().numpy()))
    dvalues = numbers(*output.shape)
    (expected * torch.tensor(first(dvalues).copy())).sum().backward()
    close(layer.backward(dvalues), last(x.grad.numpy()))
    close(depthwise.dweights, np.transpose(w.grad.numpy(), CONV_2D[1]))
    close(pointwise.dweights, np.transpose(v.grad.numpy(), CONV_2D[1]))


TRANSPOSED = {"whole": (1, 4, 6), "groups": (2, 4, 6), "depthwise": (4, 4, 4), "fewer": (2, 4, 2)}


def transposed(x, w, b, layer, size):
    """PyTorch's, from which the padding of ours is cut off, and then the biases added."""
    (top, _), (left, _) = layer.window(*size).padding
    strides, dilation = layer._strides, layer._dilation
    full = torch.nn.functional.conv_transpose2d(
        x, w, None, strides, 0, layer._more, layer.groups, dilation
    )
    # Where "same" leaves a stride larger than the window, there are rows that no window reaches.
    below = max(0, top + size[0] - full.shape[2])
    right = max(0, left + size[1] - full.shape[3])
    full = torch.nn.functional.pad(full, (0, right, 0, below))
    output = full[:, :, top : top + size[0], left : left + size[1]]
    return output if b is None else output + b[:, None, None]


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("groups", TRANSPOSED)
@pytest.mark.parametrize("padding", ["valid", "more", "same", "sides"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_conv_2d_transpose(kernel, padding, groups, n):
    n_groups, channels, filters = TRANSPOSED[groups]
    inputs = numbers(n, 5, 4, channels)
    ran = 0
    for strides, dilation in itertools.product([1, 2, 3], [1, 2]):
        more = strides - 1 if padding in ("more", "sides") else 0
        layer = nn.Conv2DTranspose(
            *(channels, filters, kernel),
            strides=strides,
            padding={"same": "same", "sides": ((1, 0), (0, 2))}.get(padding, "valid"),
            output_padding=more,
            dilation=dilation,
            groups=n_groups,
            use_bias=strides != 2,
            seed=0,
            dtype="float64",
        )
        size = layer.output_size(5, 4)
        compare(
            layer,
            inputs,
            lambda x, w, b, layer=layer, size=size: transposed(x, w, b, layer, size),
            CONV_2D,
        )
        ran += 1
    assert ran == 6


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("pad", [0, 1])
def test_conv_2d_transpose_with_pytorchs_own_padding(pad, more):
    inputs = numbers(2, 6, 5, 4)
    layer = nn.Conv2DTranspose(
        *(4, 6, 3),
        strides=2,
        padding=((pad, pad), (pad, pad)),
        output_padding=more,
        groups=2,
        seed=0,
        dtype="float64",
    )
    compare(
        layer,
        inputs,
        lambda x, w, b: torch.nn.functional.conv_transpose2d(x, w, b, 2, pad, more, 2),
        CONV_2D,
    )


@pytest.mark.parametrize("groups", TRANSPOSED)
@pytest.mark.parametrize("more", [0, 1])
def test_conv_1d_transpose(more, groups):
    n_groups, channels, filters = TRANSPOSED[groups]
    inputs = numbers(3, 7, channels)
    layer = nn.Conv1DTranspose(
        *(channels, filters, 4),
        strides=2,
        padding=(1, 1),
        output_padding=more,
        groups=n_groups,
        seed=0,
        dtype="float64",
    )
    compare(
        layer,
        inputs,
        lambda x, w, b: torch.nn.functional.conv_transpose1d(x, w, b, 2, 1, more, n_groups),
        CONV_1D,
    )


POOL_SIDES = ((1, 0), (0, 1))


def around(x, layer, inputs, value):
    """PyTorch's picture with a value where ours has its padding."""
    pictures = inputs if layer.n_axes == 2 else inputs[:, None]
    (top, bottom), (left, right) = layer.window_of(pictures).padding
    sides = (left, right, top, bottom) if layer.n_axes == 2 else (left, right)
    return torch.nn.functional.pad(x, sides, value=value)


def compare_pool(layer, inputs, run):
    """Hold a pool against PyTorch: `run` of a picture with channels first."""
    x = tensor(first(inputs))
    expected = run(x)
    output = layer.forward(inputs, training=True)
    close(output, last(expected.detach().numpy()))
    dvalues = numbers(*output.shape)
    (expected * torch.tensor(first(dvalues).copy())).sum().backward()
    close(layer.backward(dvalues), last(x.grad.numpy()))


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("dims", [1, 2])
def test_pools(dims, size, padding, n):
    functional = torch.nn.functional
    inputs = numbers(n, 11, 9, 3) if dims == 2 else numbers(n, 11, 3)
    inputs = np.round(inputs, 0 if size == 2 else 9)  # with many that are equal, too
    given = {"sides": POOL_SIDES if dims == 2 else POOL_SIDES[1]}.get(padding, padding)
    maximum, mean = (
        (nn.MaxPool2D, nn.AveragePool2D) if dims == 2 else (nn.MaxPool1D, nn.AveragePool1D)
    )
    max_pool = functional.max_pool2d if dims == 2 else functional.max_pool1d
    avg_pool = functional.avg_pool2d if dims == 2 else functional.avg_pool1d
    ran = 0
    for strides in (None, 1, 2, 3):
        layer = maximum(size, strides=strides, padding=given)
        compare_pool(
            layer,
            inputs,
            lambda x, layer=layer: max_pool(
                around(x, layer, inputs, -torch.inf), size, layer.strides
            ),
        )
        for counts in (False, True):
            layer = mean(size, strides=strides, padding=given, counts_padding=counts)

            def means(x, layer=layer, counts=counts):
                found = avg_pool(around(x, layer, inputs, 0.0), size, layer.strides)
                if counts:
                    return found
                ones = around(torch.ones_like(x), layer, inputs, 0.0)
                return found / avg_pool(ones, size, layer.strides)

            compare_pool(layer, inputs, means)
            ran += 1
    assert ran == 8
