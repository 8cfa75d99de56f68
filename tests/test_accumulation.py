"""Steps on several batches: the gradients of all, added up for one update."""

from __future__ import annotations

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError

RNG = np.random.default_rng(5)
X = RNG.standard_normal((130, 6))
Y = RNG.integers(0, 3, 130)


def new_trainer(backend="numpy", loss=None, layers=None, dtype="float64", **settings):
    layers = layers or [
        nn.Dense(6, 9, dtype=dtype, weight_regularizer_l2=0.01, max_norm=1.5),
        nn.LayerNorm(9, dtype=dtype),
        nn.ReLU(),
        nn.Dense(9, 3, dtype=dtype, bias_regularizer_l1=0.001),
    ]
    optimizer = settings.pop("optimizer", None) or nn.Adam(0.01, clip_norm=0.5, weight_decay=0.01)
    loss = loss or nn.SoftmaxCategoricalCrossentropy()
    model = nn.Sequential(*layers, seed=1)
    return nn.Trainer(model, loss, optimizer, backend=backend, seed=2, **settings)


def flat(trainer):
    return nn.to_numpy(trainer.model.flat.values)


@pytest.mark.parametrize("accumulate", [2, 3, 7])
def test_several_batches_are_one_that_is_larger(backend, accumulate):
    """The last step, of fewer batches, and the last batch, of fewer samples, included."""
    parts, whole = new_trainer(backend), new_trainer(backend)
    common = {"epochs": 3, "shuffle": False, "progress": False, "validation_data": (X, Y)}
    found = parts.fit(X, Y, batch_size=8, accumulate=accumulate, **common)
    wanted = whole.fit(X, Y, batch_size=8 * accumulate, **common)
    n_steps = 3 * -(-130 // (8 * accumulate))
    assert parts.optimizer.iterations == whole.optimizer.iterations == n_steps
    np.testing.assert_allclose(flat(parts), flat(whole), rtol=1e-9, atol=1e-12)
    for name, figures in wanted.items():
        np.testing.assert_allclose(found[name], figures, rtol=1e-9)


def test_weights_and_labels_that_do_not_count():
    """Batches count by the labels that count in them."""
    labels = np.where(RNG.random(130) < 0.6, Y, -1)
    weights = RNG.uniform(0, 2, 130)
    found = []
    for batch_size, accumulate in ((10, 4), (40, 1)):
        loss = nn.SoftmaxCategoricalCrossentropy(ignore_index=-1)
        trainer = new_trainer(loss=loss, optimizer=nn.SGD(0.1))
        sizes = {"batch_size": batch_size, "accumulate": accumulate, "shuffle": False}
        trainer.fit(X, labels, sample_weight=weights, epochs=2, progress=False, **sizes)
        found.append(flat(trainer))
    np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-12)


def test_batches_in_which_no_label_counts(backend):
    """They add nothing to the step, and do not make it smaller."""
    labels = np.full(40, -1)
    labels[12] = 2
    parts = [(X[n : n + 10], labels[n : n + 10]) for n in range(0, 40, 10)]
    found = []
    for source, accumulate in ((parts, 4), ([(X[:40], labels)], 1)):
        loss = nn.SoftmaxCategoricalCrossentropy(ignore_index=-1)
        trainer = new_trainer(backend, loss=loss, optimizer=nn.SGD(0.1))
        before = flat(trainer).copy()
        history = trainer.fit(source, accumulate=accumulate, progress=False)
        assert np.abs(flat(trainer) - before).max() > 0.01
        found.append((flat(trainer), history["loss"], trainer.evaluate(source)["loss"]))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_a_step_in_which_no_label_counts():
    loss = nn.SoftmaxCategoricalCrossentropy(ignore_index=-1)
    trainer = new_trainer(loss=loss, optimizer=nn.SGD(0.1), metrics=())
    parts = [(X[:10], np.full(10, -1)), (X[10:20], np.full(10, -1))]
    history = trainer.fit(parts, accumulate=2, progress=False)
    assert np.isfinite(flat(trainer)).all()
    assert trainer.optimizer.iterations == 1
    assert len(history["loss"]) == 1


def test_indices_and_shares_by_turns(backend):
    """The loss is the mean over all that count, whichever kind of target comes first."""
    shares = np.eye(3)[Y[:60]]
    labels = np.where(np.arange(60) % 3 == 0, -1, Y[:60])
    batches = [(X[:20], shares[:20]), (X[20:50], labels[20:50]), (X[50:60], shares[50:60])]
    for found in (batches, batches[1:], batches[:2]):
        loss = nn.SoftmaxCategoricalCrossentropy(ignore_index=-1)
        trainer = new_trainer(backend, loss=loss, optimizer=nn.SGD(1e-12))
        losses, counts = [], []
        for x, y in found:
            losses.append(trainer.evaluate(x, y)["loss"] - trainer.model.regularization_loss())
            counts.append(len(y) if y.ndim == 2 else np.sum(y != -1))
        wanted = np.average([float(each) for each in losses], weights=counts)
        wanted += float(trainer.model.regularization_loss())
        assert trainer.evaluate(found)["loss"] == pytest.approx(wanted, rel=1e-9)
        history = trainer.fit(found, accumulate=3, progress=False)
        assert history["loss"] == pytest.approx([wanted], rel=1e-9)


def test_batches_of_a_source():
    parts = [(X[n : n + 13], Y[n : n + 13]) for n in range(0, 130, 13)]
    wholes = [(X[n : n + 39], Y[n : n + 39]) for n in range(0, 130, 39)]
    one, other = new_trainer(), new_trainer()
    one.fit(lambda: parts, accumulate=3, epochs=2, progress=False)
    other.fit(wholes, epochs=2, progress=False)
    np.testing.assert_allclose(flat(one), flat(other), rtol=1e-9, atol=1e-12)


def test_a_tied_parameter():
    def layers():
        embedding = nn.Embedding(7, 4, dtype="float64")
        last = nn.Dense(4, 7, dtype="float64")
        last.tie("weights", embedding, transposed=True)
        return [embedding, last]

    codes = RNG.integers(0, 7, (40, 5))
    found = []
    for batch_size, accumulate in ((5, 4), (20, 1)):
        trainer = new_trainer(layers=layers(), optimizer=nn.SGD(0.5))
        sizes = {"batch_size": batch_size, "accumulate": accumulate, "shuffle": False}
        trainer.fit(codes, codes, epochs=2, progress=False, **sizes)
        found.append(flat(trainer))
    np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-12)


def test_each_batch_has_masks_of_its_own():
    masks = []

    class Kept(nn.Dropout):
        def forward(self, inputs, training=False):
            output = super().forward(inputs, training)
            if training:
                masks.append(output != 0)
            return output

    layers = [nn.Dense(6, 50, dtype="float64"), Kept(0.5), nn.Dense(50, 3, dtype="float64")]
    new_trainer(layers=layers).fit(X[:60], Y[:60], batch_size=20, accumulate=3, progress=False)
    assert len(masks) == 3
    assert 0.4 < np.mean(masks[0] == masks[1]) < 0.6


def test_steps_are_updates():
    seen = []
    callback = nn.LambdaCallback(
        on_step_end=lambda trainer: seen.append((trainer.step, trainer.optimizer.iterations))
    )
    trainer = new_trainer()
    trainer.fit(X, Y, batch_size=10, accumulate=4, callbacks=[callback], progress=False)
    assert seen == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_it_goes_on_in_the_middle(tmp_path):
    def stop(trainer):
        if (trainer.epoch, trainer.step) == (1, 2):
            trainer.stop(now=True)

    def layers():
        return [nn.Dense(6, 9), nn.Dropout(0.3), nn.Dense(9, 3)]

    settings = {"epochs": 3, "batch_size": 10, "accumulate": 3, "progress": False}
    whole, cut, resumed = (new_trainer(layers=layers()) for _ in range(3))
    wanted = whole.fit(X, Y, **settings)
    settings["checkpoint"] = tmp_path
    cut.fit(X, Y, callbacks=[nn.LambdaCallback(on_step_end=stop)], **settings)
    assert (cut.epoch, cut.step, cut.optimizer.iterations) == (1, 2, 7)
    settings["callbacks"] = [nn.LambdaCallback(on_step_end=lambda trainer: None)]
    with pytest.raises(nn.errors.CheckpointError, match="its accumulate is 3, now it is 1"):
        new_trainer(layers=layers()).fit(X, Y, resume=True, **(settings | {"accumulate": 1}))
    found = resumed.fit(X, Y, resume=True, **settings)
    assert found == wanted
    np.testing.assert_array_equal(flat(resumed), flat(whole))


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
def test_divergence_in_the_middle_of_a_step():
    layers = [nn.Dense(6, 3)]
    trainer = new_trainer(layers=layers, optimizer=nn.SGD(1e38))
    before = flat(trainer).copy()
    with pytest.raises(nn.errors.DivergenceError, match=r"epoch 1, step 2"):
        trainer.fit(X, Y, batch_size=10, accumulate=2, progress=False)
    np.testing.assert_array_equal(flat(trainer), before)


def test_nothing_is_left_of_a_step_that_was_cut():
    """A step that fails in the middle leaves nothing to the next one."""
    parts = [(X[:10], Y[:10]), (X[10:20], Y[10:20])]

    class Fails(nn.Linear):
        on = True

        def forward(self, inputs, training=False):
            if training and self.on and inputs[0, 0] == X[10, 0]:
                raise RuntimeError("mine")
            return super().forward(inputs, training)

    failing = Fails()
    layers = [failing, nn.Dense(6, 3, dtype="float64")]
    trainer = new_trainer(layers=layers, optimizer=nn.SGD(0.1))
    with pytest.raises(RuntimeError, match="mine"):
        trainer.fit(parts, accumulate=2, progress=False)
    failing.on = False
    other = new_trainer(layers=[nn.Dense(6, 3, dtype="float64")], optimizer=nn.SGD(0.1))
    for each in (trainer, other):
        each.fit(parts, accumulate=2, progress=False)
    np.testing.assert_allclose(flat(trainer), flat(other), rtol=1e-12)


@pytest.mark.parametrize("accumulate", [0, -1, 1.5, "2", None, True])
def test_no_such_number(accumulate):
    with pytest.raises(ArgumentError, match="`accumulate` must be a whole number of at least 1"):
        new_trainer().fit(X, Y, accumulate=accumulate, progress=False)
