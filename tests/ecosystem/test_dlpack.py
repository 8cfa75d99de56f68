"""Arrays of other libraries in the same memory, by DLPack, and parameters in theirs."""

from __future__ import annotations

import subprocess
import sys

import array_api_strict
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import nnfs_xp as nn
from nnfs_xp.errors import BackendError, DTypeError
from nnfs_xp.interop import dlpack
from nnfs_xp.interop.dlpack import from_dlpack


def address(array):
    """Where the first element lies."""
    if isinstance(array, torch.Tensor):
        return array.data_ptr()
    if isinstance(array, jax.Array):
        return array.unsafe_buffer_pointer()
    return np.asarray(array).__array_interface__["data"][0]


SOURCES = {
    "numpy": lambda: np.arange(6, dtype=np.float32).reshape(2, 3),
    "torch": lambda: torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "array_api_strict": lambda: array_api_strict.reshape(
        array_api_strict.arange(6, dtype=array_api_strict.float32), (2, 3)
    ),
    "jax": lambda: jnp.arange(6, dtype=jnp.float32).reshape(2, 3),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("target", ["auto", "numpy", "torch", "array_api_strict"])
def test_the_memory_is_the_same(source, target):
    theirs = SOURCES[source]()
    if (source, target) == ("jax", "torch"):
        with pytest.raises(BackendError, match=r"read-only.*Copy: get_backend\('torch'\)\.asarray"):
            from_dlpack(theirs, target)
        return
    ours = from_dlpack(theirs, target)
    assert nn.get_backend(target).owns(ours)
    assert address(ours) == address(theirs)
    assert nn.to_numpy(ours).tolist() == [[0, 1, 2], [3, 4, 5]]
    if source != "jax":
        ours[0, 1] = 7.0
        assert float(theirs[0, 1]) == 7.0
        theirs[1, 2] = 8.0
        assert float(ours[1, 2]) == 8.0


def test_arrays_of_jax_become_read_only():
    ours = from_dlpack(jnp.ones(3), "numpy")
    with pytest.raises(ValueError, match="read-only"):
        ours[0] = 2.0


@pytest.mark.parametrize("target", ["numpy", "torch"])
def test_views_are_shared_as_they_lie(target):
    theirs = np.arange(24.0).reshape(4, 6)[1::2, ::3].T
    ours = from_dlpack(theirs, target)
    assert nn.to_numpy(ours).tolist() == theirs.tolist()
    assert address(ours) == address(theirs)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "float16", "float64"])
@pytest.mark.parametrize("target", ["numpy", "torch"])
def test_data_types_are_kept(dtype, target):
    theirs = np.ones(3, dtype)
    assert str(from_dlpack(theirs, target).dtype).removeprefix("torch.") == dtype


def test_bfloat16_stays_within_torch():
    tensor = torch.ones(3, dtype=torch.bfloat16)
    assert address(from_dlpack(tensor, "torch")) == address(tensor)
    for array in (tensor, jnp.ones(3, jnp.bfloat16)):
        with pytest.raises(DTypeError, match=r"numpy cannot take over this .*bfloat16"):
            from_dlpack(array, "numpy")
    with pytest.raises(DTypeError, match="bfloat16"):
        from_dlpack(jnp.ones(3, jnp.bfloat16), "torch")  # it might be written to there


def test_what_torch_cannot_have_ends_no_process():
    backwards = np.arange(4.0)[::-1]
    assert from_dlpack(backwards, "numpy").tolist() == [3, 2, 1, 0]
    frozen = np.arange(4.0)
    frozen.flags.writeable = False
    for array, complaint in ((backwards, "backwards"), (frozen, "read-only")):
        with pytest.raises(BackendError, match=f"{complaint}.*asarray"):
            from_dlpack(array, "torch")


class OnDevice:
    """An array elsewhere, as far as DLPack tells."""

    def __init__(self, *device):
        self.device = device

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **keywords):
        raise BufferError("not to be read here")


@pytest.mark.parametrize("target", ["numpy", "torch", "array_api_strict"])
def test_memory_of_another_device(target):
    with pytest.raises(BackendError, match=rf"{target} does not reach .*CUDA GPU, number 1.*copy"):
        from_dlpack(OnDevice(2, 1), target)
    with pytest.raises(BackendError, match="a device of kind 99"):
        from_dlpack(OnDevice(99, 0), target)


def test_auto_asks_for_cupy_where_the_memory_is_a_gpus(monkeypatch):
    def without_gpu(name):
        if name == "auto":
            return nn.get_backend("numpy")
        raise BackendError(f"{name} is not usable")

    monkeypatch.setattr(dlpack, "get_backend", without_gpu)
    for number, name in ((0, "cupy"), (1, "cupy:1")):
        with pytest.raises(BackendError, match=f"on a CUDA GPU, and {name} is not usable"):
            from_dlpack(OnDevice(2, number))


def test_auto_is_a_backend_that_reaches_the_memory(monkeypatch):
    monkeypatch.setenv("NNFS_XP_BACKEND", "torch")
    assert isinstance(from_dlpack(np.ones(2)), torch.Tensor)
    with pytest.raises(BackendError, match=r"numpy cannot take over this OnDevice.*not to be read"):
        from_dlpack(OnDevice(3, 0), "numpy")  # pinned memory, which the CPU reaches


@pytest.mark.parametrize(
    ("array", "kind", "complaint"),
    [
        ([1.0], DTypeError, "expected an array with __dlpack__; got list"),
        (3, DTypeError, "got int"),
        (np.array(["a"]), DTypeError, "numpy cannot take over"),
        (np.ones(2, ">f4"), DTypeError, "byte order"),
        (torch.ones(2, dtype=torch.complex64), DTypeError, "real numbers; got complex64"),
        (torch.ones(2, requires_grad=True), BackendError, r"detach\(\)"),
        (torch.ones(2, device="meta"), BackendError, "cannot be shared"),
    ],
)
def test_what_cannot_be_shared(array, kind, complaint):
    with pytest.raises(kind, match=complaint):
        from_dlpack(array, "numpy")


class Odd:
    """An array whose protocol is broken."""

    def __init__(self, device=(1, 0)):
        self.device = device

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **_):
        raise KeyError("lost")


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (torch.conj(torch.ones(3, dtype=torch.complex64) * 2j).imag, r"resolve_neg\(\)"),
        (np.ma.array([1.0, 2.0], mask=[True, False]), r"its mask.*filled"),
        (Odd(), "numpy cannot take over this Odd .*lost"),
        (Odd(("a", "b")), "this Odd cannot be shared"),
        (Odd(None), "this Odd cannot be shared"),
    ],
)
def test_what_is_more_than_its_memory_or_broken(array, complaint):
    for target in ("numpy", "torch"):
        with pytest.raises(BackendError, match=complaint):
            from_dlpack(array, target)
    if isinstance(array, torch.Tensor):
        assert from_dlpack(array.resolve_neg(), "numpy").tolist() == [-2.0] * 3


def test_a_backend_that_there_is_not():
    with pytest.raises(BackendError, match="unknown backend 'jax'"):
        from_dlpack(np.ones(2), "jax")


# The other way: parameters in other libraries --------------------------------


def test_parameters_are_shared_with_numpy_and_torch(backend):
    model = nn.Sequential(nn.Dense(5, 7), nn.BatchNorm(7), seed=0).to(backend)
    arrays = model.parameters() | model.buffers() | model.gradients()
    for array in arrays.values():
        for theirs in (np.from_dlpack(array), torch.from_dlpack(array)):
            assert address(theirs) == address(array)
    tensor = torch.from_dlpack(model.parameters()["0.weights"])
    tensor[0, 0] = 7.0
    assert float(model.layers[0].weights[0, 0]) == 7.0
    model.layers[0].weights[...] = 3.0
    assert bool((tensor == 3).all())


def test_a_step_of_training_is_seen_through_the_tensor():
    model = nn.Sequential(nn.Dense(4, 3), seed=0)
    trainer = nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(0.1), backend="numpy")
    trainer.train_step(np.ones((2, 4), np.float32), np.ones((2, 3), np.float32))
    tensor = torch.from_dlpack(model.parameters()["0.weights"])
    before = tensor.clone()
    trainer.train_step(np.ones((2, 4), np.float32), np.ones((2, 3), np.float32))
    assert not torch.equal(tensor, before)


def test_all_parameters_are_shared_with_jax_at_once():
    model = nn.Sequential(nn.Dense(5, 7), nn.ReLU(), nn.Dense(7, 3), seed=0)
    flat = model.flat.values
    theirs = jax.dlpack.from_dlpack(flat, copy=False)
    assert address(theirs) == address(flat)
    np.testing.assert_array_equal(theirs, flat)
    first = model.parameters()["0.weights"]
    assert address(jax.dlpack.from_dlpack(first, copy=False)) == address(first)


def test_a_parameter_off_the_grid_of_jax_is_copied_by_it():
    model = nn.Sequential(nn.Dense(5, 7), nn.ReLU(), nn.Dense(7, 3), seed=0)
    second = model.parameters()["2.weights"]
    assert address(second) % 64
    np.testing.assert_array_equal(jax.dlpack.from_dlpack(second), second)
    with pytest.raises(ValueError, match="not aligned to 64 bytes"):
        jax.dlpack.from_dlpack(second, copy=False)


# Arrays of other libraries, as they are --------------------------------------


@pytest.fixture
def trainer():
    model = nn.Sequential(nn.Dense(4, 3), seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    return nn.Trainer(model, loss, nn.SGD(0.1), metrics=("accuracy",), backend="numpy")


X = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
Y = np.arange(8) % 3

KINDS = {
    "jax": jnp.asarray,
    "torch": torch.tensor,
    "tracked": lambda a: torch.tensor(a, requires_grad=a.dtype == np.float32),
    "strict": array_api_strict.asarray,
    "shared": lambda a: from_dlpack(torch.tensor(a), "numpy"),
    "read-only": lambda a: from_dlpack(jnp.asarray(a), "numpy"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_trainer_takes_arrays_of_other_libraries(trainer, kind):
    turn = KINDS[kind]
    other = nn.Trainer(
        nn.Sequential(nn.Dense(4, 3), seed=0), trainer.loss, nn.SGD(0.1), backend="numpy"
    )
    history = trainer.fit(turn(X), turn(Y), epochs=2, batch_size=3, progress=False)
    expected = other.fit(X, Y, epochs=2, batch_size=3, progress=False)
    assert history["loss"] == expected["loss"]
    np.testing.assert_array_equal(trainer.predict_proba(turn(X)), other.predict_proba(X))
    np.testing.assert_array_equal(trainer.predict(turn(X)), other.predict(X))
    assert trainer.evaluate(turn(X), turn(Y))["loss"] == other.evaluate(X, Y)["loss"]


def test_a_layer_by_itself_takes_what_was_shared():
    layer = nn.Dense(4, 3, seed=0)
    expected = layer.forward(X)
    for theirs in (torch.tensor(X), jnp.asarray(X)):
        np.testing.assert_array_equal(layer.forward(from_dlpack(theirs, "numpy")), expected)
        with pytest.raises((BackendError, DTypeError)):
            layer.forward(theirs)


def test_numpy_and_its_memory_need_no_other_library():
    script = """
import sys
import numpy as np
from nnfs_xp.interop.dlpack import from_dlpack
a = np.ones(3)
assert np.shares_memory(from_dlpack(a, "numpy"), a)
assert not {"torch", "jax"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
