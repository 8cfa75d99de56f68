"""Several devices, and what a device may lack."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import types

import cupy
import pytest

import nnfs_xp as nn
from nnfs_xp.errors import BackendError
from nnfs_xp.kernels.cupy import cublaslt

BACKEND = nn.get_backend("cupy")

SECOND = """
from itertools import product

import numpy as np
import nnfs_xp as nn
from nnfs_xp.backend import get_backend, to_numpy

X = np.random.default_rng(0).standard_normal((100, 8)).astype("float32")
y = np.random.default_rng(1).integers(0, 3, 100)
results = []
for name, precision in product(("cupy", "cupy:1"), ("float32", "tf32", "float16", "bfloat16")):
    model = nn.Sequential(
        nn.Dense(8, 16), nn.ReLU(), nn.BatchNorm(16), nn.Dropout(0.1), nn.Dense(16, 3), seed=0
    )
    loss = nn.SoftmaxCategoricalCrossentropy()
    optimizer = nn.Adam(1e-2, average_decay=0.9)
    trainer = nn.Trainer(model, loss, optimizer, backend=name, precision=precision)
    trainer.fit(X, y, epochs=4, batch_size=32, validation_data=(X, y), progress=False)
    backend = get_backend(name)
    assert trainer.recorder.refused is None
    assert model.flat.values.device.id == backend.device.id == (name == "cupy:1")
    assert backend.memory().used > 0
    trainer.train_step(backend.asarray(X[:20]), backend.asarray(y[:20]))
    trainer.predict(X)
    results.append(to_numpy(model.flat.values))
np.testing.assert_array_equal(results[:4], results[4:])

first, second = get_backend("cupy"), get_backend("cupy:1")
layer = nn.Dense(8, 3).to("cupy:1")
try:
    layer.forward(second.asarray(X))
except nn.errors.BackendError as error:
    assert "cupy:1 is not the active device, which is cupy:0" in str(error), error
else:
    raise AssertionError("a layer worked on another device than is active")
with second.active():
    assert layer.forward(second.asarray(X)).device.id == 1
x = second.asarray(X)
for call in (
    lambda: nn.Dense(8, 3).to("cupy").forward(x),
    lambda: nn.MeanSquaredError().forward(first.asarray(X), x),
):
    try:
        call()
    except nn.errors.BackendError as error:
        assert "cupy:1" in str(error), error
    else:
        raise AssertionError("arrays of another device were taken")
try:
    get_backend("cupy:7")
except nn.errors.BackendError as error:
    assert "CUDA device(s)" in str(error)
print("both")
"""


def test_the_second_device():
    environment = {**os.environ, "CUDA_ON_CPU_DEVICES": "2"}
    real = "stand-in" not in cupy.__version__
    if real and cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one device; the stand-in has two")
    command = [sys.executable, "-c", SECOND]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "both\n", done.stderr


@pytest.mark.parametrize(
    ("capability", "refused"),
    [
        ("75", ["tf32", "bfloat16"]),
        ("60", ["tf32", "bfloat16", "float16"]),
        ("80", []),
        ("120", []),
    ],
)
def test_a_card_that_lacks_an_arithmetic(capability, refused, monkeypatch):
    class OtherCard(cupy.cuda.Device):
        compute_capability = capability

    monkeypatch.setattr(BACKEND, "device", OtherCard(0))
    for precision in ("tf32", "bfloat16", "float16"):
        model = nn.Sequential(nn.Dense(4, 3), seed=0)
        arguments = model, nn.MeanSquaredError(), nn.SGD(0.1), ()
        if precision in refused:
            with pytest.raises(BackendError, match=f"'{precision}' needs a GPU of compute capab"):
                nn.Trainer(*arguments, backend="cupy", precision=precision)
        else:
            nn.Trainer(*arguments, backend="cupy", precision=precision)


def without_nvmath():
    return {"nvmath": None, "nvmath.bindings": None}


def of_another_version():
    bindings = types.ModuleType("nvmath.bindings")
    return {"nvmath.bindings": bindings}


def without_the_library():
    class NotSupportedError(RuntimeError):
        pass

    def get_version():
        raise NotSupportedError("Failed to dlopen libcublasLt.so.13\nand more")

    lt = types.ModuleType("nvmath.bindings.cublasLt")
    lt.get_version = get_version
    bindings = types.ModuleType("nvmath.bindings")
    bindings.cublasLt = lt
    return {"nvmath.bindings": bindings, "nvmath.bindings.cublasLt": lt}


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        (without_nvmath, "ModuleNotFoundError"),
        (of_another_version, "ImportError: cannot import name 'cublasLt'"),
        (without_the_library, "NotSupportedError: Failed to dlopen libcublasLt.so.13)"),
    ],
)
def test_without_a_usable_nvmath_there_is_one_line_and_training(
    modules, reason, monkeypatch, caplog
):
    monkeypatch.delitem(sys.modules, "nvmath.bindings.cublasLt", raising=False)
    for name, module in modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    cublaslt.library.cache_clear()
    try:
        model = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 2), seed=0)
        trainer = nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(0.1), (), backend="cupy")
        x = BACKEND.asarray([[1.0, 2.0, 3.0, 4.0]], "float32")
        with caplog.at_level(logging.WARNING, logger="nnfs_xp"):
            losses = [float(trainer.train_step(x, x[:, :2])) for _ in range(5)]
    finally:
        monkeypatch.undo()
        cublaslt.library.cache_clear()
    assert losses[-1] < losses[0]
    (record,) = caplog.records
    assert reason in record.getMessage()
    assert "pip install 'nnfs-xp[cuda13]'" in record.getMessage()
