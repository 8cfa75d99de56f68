"""Objects in the wrong place, values that a data type cannot hold: refused where they are given."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, DataError, DTypeError, ShapeError

X = np.random.default_rng(0).standard_normal((30, 4)).astype("float32")
Y = (X[:, 0] > 0).astype(int)


def new_trainer():
    model = nn.Sequential(nn.Dense(4, 2), seed=0)
    return nn.Trainer(model, nn.SoftmaxCategoricalCrossentropy(), nn.Adam(), backend="numpy")


@pytest.mark.parametrize("optimizer", ["adam", nn.Adam, None, nn.SoftmaxCategoricalCrossentropy()])
def test_an_optimizer_that_is_none(optimizer):
    trainer = new_trainer()
    with pytest.raises(ArgumentError, match="`optimizer` must be an Optimizer object; got"):
        trainer.optimizer = optimizer
    assert isinstance(trainer.optimizer, nn.Adam)
    trainer.optimizer = nn.SGD(0.1)
    assert trainer.fit(X, Y, progress=False).epochs == 1


@pytest.mark.parametrize("batch", [(X.tolist(), Y), (None, Y), (X, None), (X, Y.tolist())])
def test_a_batch_that_is_no_arrays(batch):
    trainer = new_trainer()
    for way in (trainer.train_step, trainer.gradients):
        with pytest.raises(DTypeError, match="expected an array of"):
            way(*batch)
    assert not trainer.optimizer.iterations


TOO_LARGE = np.full((4, 2), 1e300)


def test_weights_that_the_data_type_cannot_hold(backend):
    layer = nn.Dense(4, 2).to(backend)
    before = np.array(nn.to_numpy(layer.weights))
    message = r"`weights` holds values up to 1e\+300 in size, more than float32 can hold"
    for values in (TOO_LARGE, TOO_LARGE.tolist(), backend.asarray(TOO_LARGE)):
        with pytest.raises(DataError, match=message):
            layer.weights = values
    np.testing.assert_array_equal(nn.to_numpy(layer.weights), before)
    with pytest.raises(ShapeError, match="`biases` must have shape"):
        layer.biases = np.full(3, 1e300)
    wide = nn.Dense(4, 2, dtype="float64").to(backend)
    wide.weights = TOO_LARGE
    assert float(wide.weights[0, 0]) == 1e300
    layer.weights = np.full((4, 2), np.inf)  # as it is asked for
    norm = nn.BatchNorm(3).to(backend)
    with pytest.raises(DataError, match="`running_mean` holds values up to"):
        norm.running_mean = np.full((1, 3), -1e39)


def test_an_initializer_that_draws_such_weights():
    with pytest.raises(DataError, match="more than float32 can hold"):
        nn.Dense(4, 2, initializer=lambda generator, shape: np.full(shape, 1e300))


@pytest.mark.parametrize("initializer", [lambda: 0, lambda shape: 0, "glorot", 3])
def test_an_initializer_that_is_none(initializer):
    for build in (nn.Dense, nn.Embedding):
        with pytest.raises(ArgumentError, match=r"`initializer` must be a function \(generator"):
            build(4, 2, initializer=initializer)


def test_a_list_of_layers():
    with pytest.raises(ArgumentError, match=r"got \[Dense\(2, 2\)\]\. Write \* in front"):
        nn.Sequential([nn.Dense(2, 2)])


@pytest.mark.parametrize("data", [range(30), {1, 2}, bytearray(3), frozenset({1})])
def test_what_is_no_data_at_all(data):
    with pytest.raises(nn.NnfsError) as refused:
        new_trainer().fit(data, Y, progress=False)
    assert "gives batches" not in str(refused.value)
    with pytest.raises(ArgumentError, match="`y` is missing"):
        new_trainer().fit(data, progress=False)


@pytest.mark.parametrize("trainer", [None, 3, nn.Dense(4, 2)])
def test_what_is_no_trainer(trainer):
    for function in (nn.diagnose, nn.input_gradients):
        with pytest.raises(ArgumentError, match="`trainer` must be a Trainer; got"):
            function(trainer, X, Y)


def test_more_batches_than_there_can_be_make_one_step():
    trainer = new_trainer()
    trainer.fit(X, Y, batch_size=5, accumulate=2**70, progress=False)
    assert trainer.optimizer.iterations == 1


def test_objects_that_are_half_built_are_shown():
    for kind in (nn.Dense, nn.Sequential, nn.BatchNorm, nn.Embedding, nn.Residual):
        assert repr(object.__new__(kind)) == f"{kind.__name__}(...)"


def test_trainers_and_batches_are_shown(tmp_path):
    loss = "SoftmaxCategoricalCrossentropy()"
    shown = f"Trainer(Sequential(Dense(4, 2)), {loss}, Adam(), 'numpy', seed=0)"
    assert repr(new_trainer()) == shown
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", Y)
    source = nn.data.npy_batches(tmp_path, 8, shuffle=True)
    assert repr(source) == "<NpyBatches: 30 samples in 4 batches of 8, shuffled>"
    assert re.fullmatch(
        "<Batches: 4 batches on numpy>", repr(nn.data.batches(source, backend="numpy"))
    )


def test_batches_in_files_are_handed_on_by_their_paths(tmp_path):
    np.save(tmp_path / "X.npy", np.zeros((5000, 40), "float32"))
    np.save(tmp_path / "y.npy", np.zeros(5000, "int64"))
    source = nn.data.npy_batches(tmp_path)
    packed = pickle.dumps(source)
    assert len(packed) < 20_000
    np.testing.assert_array_equal(pickle.loads(packed)[3][0], source[3][0])


def test_a_seed_that_is_drawn(caplog):
    caplog.set_level("INFO")
    trainer = nn.Trainer(
        nn.Sequential(nn.Dense(4, 2), nn.Dropout(0.5), seed=0),
        nn.SoftmaxCategoricalCrossentropy(),
        nn.Adam(),
        backend="numpy",
        seed=None,
    )
    assert f"the seed of this training is {trainer.seed}, drawn" in caplog.text
    again = nn.Trainer(
        nn.Sequential(nn.Dense(4, 2), nn.Dropout(0.5), seed=0),
        nn.SoftmaxCategoricalCrossentropy(),
        nn.Adam(),
        backend="numpy",
        seed=trainer.seed,
    )
    assert trainer.fit(X, Y, progress=False) == again.fit(X, Y, progress=False)


@pytest.mark.parametrize("inputs", [X.tolist(), None, "rows"])
def test_layers_that_run_as_one_say_what_is_no_array(inputs):
    model = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 2), seed=0)
    with pytest.raises(DTypeError, match="expected an array of"):
        model.forward(inputs)


@pytest.mark.parametrize("model", [None, [nn.Dense(4, 2)], X])
def test_an_optimizer_steps_models(model):
    optimizer = nn.Adam()
    with pytest.raises(ArgumentError, match="`model` must be a Sequential or another layer; got"):
        optimizer.step(model)
    assert not optimizer.iterations


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"y": np.full(30, "no")}, "^y: expected numbers; got ndarray of dtype <U2"),
        ({"X": np.full((30, 4), "no")}, "^X: expected numbers; got ndarray of dtype <U2"),
        ({"sample_weight": ["a"] * 30}, "^sample_weight: expected numbers; got list"),
        ({"class_weight": [None, 1]}, "^class_weight: expected numbers; got list"),
    ],
)
def test_what_holds_no_numbers_is_named(data, message):
    trainer = new_trainer()
    with pytest.raises(DTypeError, match=message):
        trainer.fit(**{"X": X, "y": Y, "progress": False, **data})
    assert not trainer.optimizer.iterations
