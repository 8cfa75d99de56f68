"""Files that the commit ba756eb wrote, before the room learning was there, load and go on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.backend import to_numpy
from nnfs_xp.interop.model_file import use_present_names
from nnfs_xp.interop.tensor_file import read_tensors
from nnfs_xp.testing import check_layer

FORMER = Path(__file__).parent / "former"
KIND = "nnfs_xp checkpoint"
RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 6)).astype("float32")
Y = RNG.integers(0, 3, 40)
EPS = 2.0**-23


def layers():
    return [
        nn.Dense(6, 8, weight_regularizer_l2=1e-2, max_norm=3.0),
        nn.ReLU(),
        nn.BatchNorm(8),
        nn.Dropout(0.2),
        nn.Residual(nn.Dense(8, 8, bias_regularizer_l1=1e-3), nn.ReLU(), nn.Dense(8, 8)),
        nn.Tanh(),
        nn.LayerNorm(8),
        nn.Concatenate(nn.Linear(), nn.Sequential(nn.Dense(8, 4), nn.ReLU())),
        nn.Dense(12, 3),
    ]


def trainer(precision):
    return nn.Trainer(
        nn.Sequential(*layers(), seed=0),
        nn.SoftmaxCategoricalCrossentropy(),
        nn.Adam(nn.schedules.CosineDecay(1e-2, steps=16), clip_norm=1.0, average_decay=0.9),
        backend="numpy",
        precision=precision,
        seed=5,
    )


def fit(trained, folder, **settings):
    return trained.fit(
        X,
        Y,
        epochs=4,
        batch_size=12,
        validation_data=(X, Y),
        callbacks=[nn.EarlyStopping(patience=50)],
        progress=False,
        checkpoint=nn.Checkpoints(folder, every_steps=1, keep=100),
        **settings,
    )


def test_a_model_file():
    model = nn.load(FORMER / "model.safetensors", backend="numpy")
    expected = np.load(FORMER / "outputs.npy")
    np.testing.assert_allclose(model.forward(X), expected, rtol=0, atol=16 * EPS)
    for layer in model.layers:
        layer.to("numpy")
    check_layer(model.layers[0], X)


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_checkpoint_goes_on(precision, tmp_path):
    """From the middle of an epoch to where the training that wrote it came.

    The bits of a product are the BLAS's own; where that is the same, the numbers are the same.
    """
    (middle,) = (FORMER / precision).glob("checkpoint-000002-*.safetensors")
    (end,) = (FORMER / precision).glob("checkpoint-000004-*.safetensors")
    shutil.copy(middle, tmp_path)
    trained = trainer(precision)
    history = fit(trained, tmp_path, resume=True)
    assert history.epochs == 4
    description, expected = read_tensors(end, KIND)
    found = read_tensors(tmp_path / end.name, KIND)
    assert found[0].keys() == description.keys()
    for name in ("epoch", "step", "steps_done", "iterations", "stopping", "first_epoch"):
        assert found[0][name] == description[name], name
    for each in (description, found[0]):
        use_present_names(each["run"])
    later = {"fuse": True, "precision": "float32", "accumulate": 1, "transform": None}
    assert found[0]["run"] == later | description["run"]
    coarse = 2.0**-10 if precision == "float16" else EPS
    for name, values in description["history"].items():
        np.testing.assert_allclose(history[name], values, rtol=64 * coarse, err_msg=name)
    assert found[1].keys() == expected.keys()
    for name, array in expected.items():
        atol = 64 * coarse * max(1.0, float(np.max(np.abs(array), initial=0.0)))
        np.testing.assert_allclose(found[1][name], array, rtol=0, atol=atol, err_msg=name)
    trained.learner.use_averages(False)
    np.testing.assert_array_equal(to_numpy(trained.model.flat.values), found[1]["weights"])
