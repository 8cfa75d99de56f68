"""PyTorch's convolutions do what their twins in `nnfs_xp.kernels.standard.Kernels` do."""

from __future__ import annotations

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.kernels import for_torch
from nnfs_xp.kernels.standard import StandardKernels, Window

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.oracle  # nox -s tests-torch runs this

WINDOWS = {
    "pixel": Window((1, 1)),
    "strided pixel": Window((1, 1), (2, 3)),
    "valid": Window((3, 3)),
    "same": Window((3, 3), padding=((1, 1), (1, 1))),
    "uneven": Window((2, 4), (2, 2), ((0, 1), (1, 2))),
    "dilated": Window((3, 2), (1, 2), ((2, 2), (1, 1)), (2, 3)),
    "of one row": Window((1, 5), padding=((0, 0), (2, 2))),
    "rows left over": Window((2, 2), (3, 3)),
    "padded beyond": Window((2, 2), padding=((3, 0), (0, 3))),
}
GROUPS = {"one group": (4, 4, 6), "grey": (1, 1, 3), "groups": (6, 3, 4), "depthwise": (3, 1, 6)}
"""Channels, channels a group, and filters."""


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def tensors(backend, dtype, *shapes):
    rng = np.random.default_rng(5)
    return [backend.asarray(rng.normal(size=shape), dtype) for shape in shapes]


def check_overlay(dtype, window, channels, each, n_filters, n=3, height=9, width=8):
    """Compare all three passes with the standard's, values and what is written."""
    backend = nn.get_backend("torch")
    xp, standard, ours = backend.xp, StandardKernels(), for_torch()
    x, w, b, d = tensors(
        backend,
        dtype,
        (n, height, width, channels),
        (*window.size, each, n_filters),
        (1, n_filters),
        (n, *window.places(height, width), n_filters),
    )
    before = [each.clone() for each in (x, w, b, d)]

    def agree(found, expected):
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        scale = float(expected.abs().max()) + 1
        atol = 64 * torch.finfo(expected.dtype).eps * scale
        np.testing.assert_allclose(nn.to_numpy(found), nn.to_numpy(expected), rtol=0, atol=atol)

    for biases in (b, None):
        for relu in (False, True):
            found = ours.convolve(xp, x, w, biases, window, relu)
            agree(found, standard.convolve(xp, x, w, biases, window, relu))
            assert found.is_contiguous()
    agree(
        ours.convolve_backward(xp, d, w, window, tuple(x.shape)),
        standard.convolve_backward(xp, d, w, window, tuple(x.shape)),
    )
    for wanted in (True, False):
        written = []
        for kernels in (ours, standard):
            dw, db = torch.full_like(w, 9.0), torch.full_like(b, 9.0)
            kernels.convolve_gradients(xp, x, d, dw, db if wanted else None, window)
            written.append((dw, db))
        for found, expected in zip(*written, strict=True):
            agree(found, expected)
    for now, then in zip((x, w, b, d), before, strict=True):
        assert torch.equal(now, then)


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_all_passes(window, groups, dtype):
    check_overlay(dtype, window, *groups)


@pytest.mark.parametrize(("n", "height", "width"), [(1, 9, 8), (1, 3, 3), (2, 3, 9)])
def test_pictures_of_any_size(n, height, width, dtype):
    check_overlay(dtype, WINDOWS["same"], 4, 4, 6, n, height, width)
    check_overlay(dtype, WINDOWS["valid"], 1, 1, 1, n, height, width)


def test_tensors_that_are_not_contiguous(dtype):
    backend = nn.get_backend("torch")
    window, xp = WINDOWS["same"], backend.xp
    x, w = tensors(backend, dtype, (5, 3, 9, 7), (3, 3, 5, 4))
    x = x.permute(1, 2, 3, 0)  # one axis of any order
    found = for_torch().convolve(xp, x, w, None, window)
    expected = StandardKernels().convolve(xp, x, w, None, window)
    np.testing.assert_allclose(nn.to_numpy(found), nn.to_numpy(expected), rtol=1e-4, atol=1e-4)


def test_nan_passes_through_a_relu():
    backend = nn.get_backend("torch")
    x, w = tensors(backend, "float32", (1, 4, 4, 2), (1, 1, 2, 3))
    x[0, 1, 2, 0] = float("nan")
    output = for_torch().convolve(backend.xp, x, w, None, Window((1, 1)), relu=True)
    assert torch.isnan(output[0, 1, 2]).all()
    assert int(torch.isnan(output).sum()) == 3


def test_nothing_is_recorded_to_be_differentiated():
    backend = nn.get_backend("torch")
    layer = nn.Conv2D(2, 3, 3, seed=0).to("torch")
    x = backend.asarray(np.ones((2, 5, 5, 2)), "float32")
    output = layer.forward(x, training=True)
    dinputs = layer.backward(output)
    assert not output.requires_grad
    assert not dinputs.requires_grad


def test_the_environment_chooses(monkeypatch):
    monkeypatch.setenv("NNFS_XP_KERNELS", "standard")
    assert type(for_torch()) is StandardKernels
    monkeypatch.setenv("NNFS_XP_KERNELS", "")
    assert type(for_torch()).__name__ == "TorchKernels"
    assert nn.get_backend("torch").kernels.convolve.__func__ is not StandardKernels.convolve


def test_it_overrides_kernels_of_the_standard_alone():
    test_kernels = pytest.importorskip("test_kernels")
    test_kernels.check_overrides(type(for_torch()))


@pytest.mark.parametrize("each", [2, 4], ids=["groups", "one group"])
def test_an_axis_of_length_1_may_have_any_stride(each):
    """PyTorch's own pass gave other numbers for a stride of 0, as NumPy's ``x[:, None]`` has it."""
    generator = np.random.default_rng(3)
    x = torch.asarray(generator.normal(size=(2, 8, 4))[:, None])
    dvalues = torch.asarray(generator.normal(size=(2, 3, 6))[:, None])
    assert 0 in x.stride()
    xp, window, found = nn.get_backend("torch").xp, Window((1, 3), (1, 2)), []
    for each_set in (for_torch(), StandardKernels()):
        dweights = torch.empty((1, 3, each, 6), dtype=torch.float64)
        each_set.convolve_gradients(xp, x, dvalues, dweights, None, window)
        found.append(dweights.numpy())
    np.testing.assert_allclose(*found, rtol=0, atol=1e-12)
