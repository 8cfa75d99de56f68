"""Discovery, selection, and the way of arrays between backends."""

from __future__ import annotations

import copy
import importlib
import importlib.metadata
import importlib.util
import logging
import pickle
import subprocess
import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nnfs_xp as nn
from nnfs_xp.backend import discovery as rooms
from nnfs_xp.backend import registry
from nnfs_xp.errors import BackendError, DTypeError
from nnfs_xp.testing import check_layer, no_synchronization


@pytest.fixture
def fresh(monkeypatch):
    """No backend found yet, and no wish in the environment."""
    monkeypatch.delenv("NNFS_XP_BACKEND", raising=False)
    registry._loaded.cache_clear()
    rooms._automatic.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    registry._loaded.cache_clear()
    rooms._automatic.cache_clear()


def fake_cupy(available=True, count=1, works=True, driver=13000):
    """A module that answers as CuPy does on a machine with, or without, a usable GPU."""
    cupy = types.ModuleType("cupy")
    cupy.__version__ = "14.2.0"

    class Device:
        def __init__(self, number=0):
            self.id = number

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    def ones(*_, **__):
        if not works:
            raise ImportError("libcublas.so.13: cannot open shared object file\nmore")
        return np.ones((2, 2))

    cupy.is_available = lambda: available
    cupy.ones, cupy.float32, cupy.ndarray = ones, np.float32, type("ndarray", (), {})
    properties = {"name": b"Fake H200"}
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: count,
        getDeviceProperties=lambda _: properties,
        driverGetVersion=lambda: driver,
        runtimeGetVersion=lambda: 13000,
    )
    cupy.cuda = types.SimpleNamespace(Device=Device, runtime=runtime)
    return cupy


def install(monkeypatch, cupy):
    """Make `import cupy` give this module, and array_api_compat.cupy something like it."""
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    compat = types.ModuleType("array_api_compat.cupy")
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", compat)


def fail(monkeypatch, error, *libraries):
    """Make the import of these libraries raise the error."""
    for name in [*sys.modules]:
        if name.partition(".")[0] in libraries:
            monkeypatch.delitem(sys.modules, name)
    real = importlib.import_module

    def import_module(name, package=None):
        if name.partition(".")[0] in libraries:
            raise error
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", import_module)


def uninstall(monkeypatch, *libraries):
    """Make the import of these libraries fail as if they were not installed."""
    for library in libraries:
        fail(monkeypatch, ModuleNotFoundError(library, name=library), library)


class TestSelection:
    def test_auto_is_numpy_without_cupy_and_logs_why_once(self, fresh, caplog):
        uninstall(fresh, "cupy")
        with caplog.at_level(logging.INFO, logger="nnfs_xp"):
            assert nn.get_backend().name == "numpy"
            assert nn.get_backend("auto").name == "numpy"
        (record,) = caplog.records
        assert "numpy" in record.getMessage()
        assert "cupy is not installed; pip install" in record.getMessage()

    def test_auto_is_cupy_with_a_usable_gpu(self, fresh, caplog):
        install(fresh, fake_cupy())
        with caplog.at_level(logging.INFO, logger="nnfs_xp"):
            assert nn.get_backend("auto").name == "cupy"
        assert "a CUDA GPU is usable" in caplog.text

    @pytest.mark.parametrize(
        ("cupy", "reason"),
        [
            (fake_cupy(available=False, driver=0), "no CUDA driver or no CUDA device"),
            (fake_cupy(available=False), "no CUDA driver or no CUDA device"),
            (
                fake_cupy(available=False, driver=12040),
                "the driver serves CUDA 12.4, and this CuPy needs 13. Update the driver, or",
            ),
            (fake_cupy(works=False), "libcublas.so.13: cannot open shared object file; to install"),
        ],
        ids=["no driver", "no device", "old driver", "no toolkit"],
    )
    def test_auto_is_numpy_where_cupy_does_not_work(self, fresh, caplog, cupy, reason):
        install(fresh, cupy)
        with caplog.at_level(logging.INFO, logger="nnfs_xp"):
            assert nn.get_backend("auto").name == "numpy"
        assert reason in caplog.text
        with pytest.raises(BackendError, match=reason):
            nn.get_backend("cupy")

    def test_a_broken_installation_says_so(self, fresh):
        fail(fresh, OSError("invalid ELF header"), "cupy")
        with pytest.raises(BackendError, match="invalid ELF header"):
            nn.get_backend("cupy")

    def test_a_driver_that_raises(self, fresh):
        def available():
            raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")

        cupy = fake_cupy(driver=11080)
        cupy.is_available = available
        install(fresh, cupy)
        with pytest.raises(BackendError, match=r"the driver serves CUDA 11\.8"):
            nn.get_backend("cupy")
        registry._loaded.cache_clear()
        cupy.cuda.runtime.driverGetVersion = lambda: 13000
        with pytest.raises(BackendError, match="cudaErrorInsufficientDriver"):
            nn.get_backend("cupy")

    def test_builds_for_two_versions_of_cuda_at_once(self, fresh):
        found = {"cupy-cuda12x", "cupy-cuda13x"}

        def version(name):
            if name not in found:
                raise importlib.metadata.PackageNotFoundError(name)
            return "14.2.0"

        fresh.setattr(importlib.metadata, "version", version)
        install(fresh, fake_cupy())
        with pytest.raises(BackendError, match="cupy-cuda12x and cupy-cuda13x are installed over"):
            nn.get_backend("cupy")
        found.remove("cupy-cuda12x")
        assert nn.get_backend("cupy").name == "cupy"

    def test_the_environment_says_what_auto_means(self, fresh):
        fresh.setenv("NNFS_XP_BACKEND", "array_api_strict")
        assert nn.get_backend("auto").name == "array_api_strict"
        assert nn.get_backend("numpy").name == "numpy"
        fresh.setenv("NNFS_XP_BACKEND", "auto")
        assert nn.get_backend("auto").name in ("numpy", "cupy")
        fresh.setenv("NNFS_XP_BACKEND", "pytorch")
        with pytest.raises(BackendError, match="NNFS_XP_BACKEND=pytorch: unknown backend"):
            nn.get_backend("auto")

    def test_numbers_name_cupys_devices(self, fresh):
        install(fresh, fake_cupy(count=2))
        assert nn.get_backend("cupy:1").name == "cupy:1"
        assert nn.get_backend("cupy:1").device.id == 1
        assert nn.get_backend("cupy:0").name == "cupy"
        with pytest.raises(BackendError, match=r"2 CUDA device"):
            nn.get_backend("cupy:2")
        with pytest.raises(BackendError, match="'cupy:1'"):
            nn.get_backend("cupy:first")

    @pytest.mark.parametrize("name", ["", "jax", "NumPy", "torch.cuda", 3, None])
    def test_unknown_backends(self, name):
        with pytest.raises(BackendError, match=r"unknown backend|a backend is a name"):
            nn.get_backend(name)

    @pytest.mark.parametrize(
        "name", ["numpy:gpu", "array_api_strict:device9", "torch:nowhere", "torch:meta"]
    )
    def test_unknown_devices(self, name):
        if name.startswith("torch"):
            pytest.importorskip("torch")
        with pytest.raises(BackendError):
            nn.get_backend(name)

    def test_a_backend_is_given_back(self, backend):
        assert nn.get_backend(backend) is backend
        assert pickle.loads(pickle.dumps(backend)) == backend

    def test_backends_are_equal_by_library_and_device(self, backend):
        names = ("numpy", "array_api_strict", "array_api_strict:device1")
        for name in names:
            for other in names:
                equal = nn.get_backend(name) == nn.get_backend(other)
                assert equal is (name == other)
        assert backend == nn.get_backend(backend.name)
        assert backend != backend.name
        assert hash(backend) == hash(pickle.loads(pickle.dumps(backend)))

    def test_available_backends(self, fresh):
        install(fresh, fake_cupy())
        answers = nn.available_backends()
        assert answers["numpy"] == f"{np.__version__}, cpu"
        assert answers["cupy"] == "14.2.0, cuda:0 (Fake H200)"
        assert set(answers) >= {"numpy", "cupy", "torch", "array_api_strict"}
        uninstall(fresh, "cupy", "torch", "array_api_strict")
        registry._loaded.cache_clear()
        answers = nn.available_backends()
        for name in ("cupy", "torch", "array_api_strict"):
            assert f"{name} is not installed; pip install" in answers[name]
        assert rooms.usable_backends() == ["numpy"]


ARRAYS = hnp.arrays(
    dtype=st.sampled_from(["float32", "float64", "int64", "int32", "uint8", "bool"]),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, max_side=4),
)


@given(a=ARRAYS)
def test_there_and_back(backend, a):
    there = backend.asarray(a)
    assert backend.owns(there)
    assert registry.backend_of(there) == backend
    back = nn.to_numpy(there)
    assert isinstance(back, np.ndarray)
    assert back.dtype == a.dtype
    np.testing.assert_array_equal(back, a)


class TestArrays:
    def test_from_every_backend_to_every_other(self, backend):
        for name in rooms.usable_backends():
            source = nn.get_backend(name).asarray([[1.0, 2.0]], "float32")
            moved = backend.asarray(source, "float64")
            assert backend.owns(moved)
            assert str(nn.to_numpy(moved).dtype) == "float64"
            np.testing.assert_array_equal(nn.to_numpy(moved), [[1.0, 2.0]])

    def test_an_array_that_fits_is_not_copied(self, backend):
        array = backend.asarray([1.0, 2.0])
        assert backend.asarray(array) is array
        assert backend.asarray(array, array.dtype) is array

    def test_an_array_of_its_own_is_cast_on_the_device(self, backend):
        array = backend.asarray([1.0, 2.0], "float64")
        with no_synchronization():
            cast = backend.asarray(array, "float32")
            same = backend.asarray(array)
        assert same is array
        assert cast.dtype == backend.xp.float32
        assert nn.to_numpy(cast).tolist() == [1.0, 2.0]

    def test_what_the_device_has_no_type_for_is_cast_before_it_is_sent(self, monkeypatch):
        backend, sent = nn.get_backend("array_api_strict"), []
        send = backend.from_numpy
        monkeypatch.setattr(backend, "from_numpy", lambda a: sent.append(a.dtype) or send(a))
        backend.asarray([1.0, 2.0], "float32")
        assert sent == [np.float32]

    @pytest.mark.parametrize(
        "awkward",
        [
            np.arange(6.0).reshape(2, 3)[::-1, ::-1],
            np.arange(6.0).reshape(2, 3).T,
            np.arange(6, dtype=">f8"),
            np.broadcast_to(np.float32(3), (2, 2)),
            np.float64(2.5),
            [[1, 2], [3, 4]],
        ],
        ids=["reversed", "transposed", "big-endian", "read-only", "scalar", "list"],
    )
    def test_awkward_sources(self, backend, awkward):
        np.testing.assert_array_equal(nn.to_numpy(backend.asarray(awkward)), awkward)

    @pytest.mark.parametrize(
        "source", [["a", "b"], [object()], [[1, 2], [3]], None, np.array(["x"])]
    )
    def test_what_holds_no_numbers(self, backend, source):
        with pytest.raises(DTypeError):
            backend.asarray(source)

    def test_backend_of_something_else(self):
        with pytest.raises(DTypeError, match="got list"):
            registry.backend_of([1.0])

    def test_subclasses_of_numpys_arrays_are_numpys(self):
        matrix = np.ma.masked_array([[1.0, 2.0]])
        assert registry.backend_of(matrix).name == "numpy"

    def test_synchronize_and_memory(self, backend):
        backend.synchronize()
        memory = backend.memory()
        assert memory is None or 0 < memory.free <= memory.total
        backend.release_memory()


@pytest.mark.parametrize("statement", ["import nnfs_xp", "from nnfs_xp import *"])
def test_import_loads_nothing_that_is_optional(statement):
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "nnfs_xp" in loaded
    assert ("numpy" in loaded) is (statement != "import nnfs_xp")
    for name in ("torch", "cupy", "array_api_strict", "tqdm", "matplotlib", "pooch", "pytest"):
        assert name not in loaded


class RenamedStrict(nn.Backend):
    """A copy of array_api_strict under another name, as somebody's own library."""

    def __init__(self):
        spec = importlib.util.find_spec("array_api_strict")
        renamed = importlib.util.spec_from_file_location(
            "renamed_strict",
            spec.origin,
            submodule_search_locations=spec.submodule_search_locations,
        )
        xp = importlib.util.module_from_spec(renamed)
        sys.modules["renamed_strict"] = xp
        renamed.loader.exec_module(xp)
        super().__init__("renamed", xp, xp.Device("CPU_DEVICE"), type(xp.asarray(0)))

    def to_numpy(self, array):
        return np.asarray(array)


def test_a_backend_of_ones_own_serves_everywhere(monkeypatch):
    monkeypatch.setattr(registry, "REGISTERED", {})
    mine = RenamedStrict()
    with pytest.raises(nn.errors.DTypeError):
        registry.backend_of(mine.asarray([1.0]))
    nn.register_backend(mine)
    assert nn.get_backend("renamed") is mine
    X, y = nn.data.spiral_data(10, 3, seed=0)
    weights = []
    for backend in ("renamed", "numpy"):
        model = nn.Sequential(nn.Dense(2, 4), nn.ReLU(), nn.Dense(4, 3), nn.Softmax(), seed=0)
        trainer = nn.Trainer(model, nn.CategoricalCrossentropy(), nn.Adam(), backend=backend)
        trainer.fit(X, y, epochs=2, progress=False)
        weights.append(nn.to_numpy(model.flat.values))
        assert copy.deepcopy(model).backend == trainer.backend
    np.testing.assert_allclose(*weights, rtol=1e-4, atol=1e-6)
    layer = nn.Dense(2, 3, seed=0).to("renamed")
    check_layer(layer, mine.asarray(X[:5]))
    with pytest.raises(nn.errors.ArgumentError, match="taken"):
        nn.register_backend(nn.get_backend("numpy"))
    with pytest.raises(nn.errors.ArgumentError, match="Backend object"):
        nn.register_backend("mine")


def test_gradients_that_torch_tracks_are_left_out():
    torch = pytest.importorskip("torch")
    layer = nn.Dense(4, 3, seed=0).to("torch")
    layer.weights = torch.nn.Linear(4, 3).weight.T
    layer.weights = layer.weights * 2
    assert not layer.weights.requires_grad
    X = torch.ones((5, 4), requires_grad=True)
    trainer = nn.Trainer(layer, nn.MeanSquaredError(), nn.SGD(0.1), backend="torch")
    trainer.fit(X, torch.ones((5, 3)), progress=False)
    assert not layer.weights.requires_grad
    with pytest.raises(nn.errors.BackendError, match="detach"):
        layer.forward(X, training=True)


def test_weights_may_be_assigned_from_their_own_transpose(backend):
    layer = nn.Dense(3, 3, seed=0).to(backend)
    before = nn.to_numpy(layer.weights).copy()
    layer.weights = layer.weights.T
    assert np.array_equal(nn.to_numpy(layer.weights), before.T)


@pytest.mark.parametrize("kind", ["bfloat16", "complex64"])
def test_what_numpy_cannot_hold_or_is_not_real_is_refused(kind):
    torch = pytest.importorskip("torch")
    tensor = torch.ones((2, 2), dtype=getattr(torch, kind))
    with pytest.raises(nn.errors.DTypeError):
        nn.to_numpy(tensor)
    for name in ("numpy", "array_api_strict"):
        with pytest.raises(nn.errors.DTypeError):
            nn.get_backend(name).asarray(tensor, "float32")
    if kind == "complex64":
        with pytest.raises(nn.errors.DTypeError, match="real"):
            nn.get_backend("torch").asarray(tensor, "float32")


def test_masked_values_are_refused():
    masked = np.ma.masked_array([1.0, 2.0], mask=[False, True])
    with pytest.raises(nn.errors.DTypeError, match="masked"):
        nn.to_numpy(masked)


class Column:
    """A column as any library may have it."""

    dtype = "any"

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=object)


class Frame:
    """Columns by name, of any library."""

    def __init__(self, **columns):
        self._columns = {name: Column(values) for name, values in columns.items()}

    @property
    def columns(self):
        return [*self._columns]

    def items(self):
        return self._columns.items()

    def __len__(self):
        return len(next(iter(self._columns.values())).values)

    def __array__(self, dtype=None, copy=None):
        columns = [np.asarray(column) for column in self._columns.values()]
        return np.stack(columns, axis=1) if columns else np.empty((0, 0))


def test_frames_and_columns_of_any_library(backend):
    frame = Frame(a=[1, 2], b=[True, False])
    moved = backend.asarray(frame)
    assert moved.dtype == backend.xp.int64
    assert nn.to_numpy(moved).tolist() == [[1, 1], [2, 0]]
    np.testing.assert_array_equal(
        nn.to_numpy(Frame(a=[1, None], b=[True, float("nan")])), [[1.0, 1.0], [np.nan, np.nan]]
    )
    assert nn.to_numpy(Column([2**62 + 1, 2])).tolist() == [2**62 + 1, 2]
    with pytest.raises(DTypeError, match=r"the column 'b' \(any\)\. Encode it"):
        backend.asarray(Frame(a=[1, 2], b=["x", None]))
    with pytest.raises(DTypeError, match="Column of dtype any"):
        backend.asarray(Column(["x"]))


@pytest.mark.parametrize("dtype", ["nope", "float16x", "ones"])
def test_dtypes_that_a_library_lacks(backend, dtype):
    with pytest.raises(nn.errors.DTypeError, match="has no data type"):
        backend.asarray([1.0], dtype)


def test_numpys_dtypes_will_do(backend):
    for dtype in (np.float32, np.dtype("float32"), "float32"):
        assert backend.asarray([1.0], dtype).dtype == backend.xp.float32
    assert nn.Dense(2, 2, dtype=np.dtype("float64")).dtype == "float64"
