"""Several processes come to the weights that one comes to; threads stand in for them."""

from __future__ import annotations

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.errors import (
    ArgumentError,
    CheckpointError,
    DataError,
    DistributedError,
    DivergenceError,
)
from nnfs_xp.interop.tensor_file import read_tensors
from nnfs_xp.testing import fake_groups, in_threads

RNG = np.random.default_rng(0)
N = 391  # 6 batches of 64, and one of 7
X, Y = RNG.normal(size=(N, 12)).astype("float32"), RNG.integers(0, 4, N)
WEIGHTS = RNG.uniform(0.5, 1.5, N)


class Ordered(nn.metrics.Metric):
    """A metric that collects, and for which the order counts."""

    collects = True
    name = "ordered"

    def accumulate(self, y_pred, y_true, sample_weight=None):
        return y_pred[:, :1]

    def result(self, columns):
        return float(np.sum(columns[:, 0] * np.arange(len(columns))))


def drawing(seed=0):
    """A network that draws whatever there is to draw, and looks across the batch."""
    return nn.Sequential(
        *(nn.GaussianNoise(0.1), nn.Dense(12, 24), nn.BatchNorm(24), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Dense(24, 16), nn.SELU(), nn.AlphaDropout(0.1), nn.Dense(16, 4)),
        seed=seed,
    )


def plain(seed=0, **options):
    return nn.Sequential(nn.Dense(12, 24, **options), nn.ReLU(), nn.Dense(24, 4), seed=seed)


def classes():
    return nn.SoftmaxCategoricalCrossentropy()


def trainer(group=None, model=drawing, optimizer=None, **settings):
    optimizer = nn.SGD(0.05, momentum=0.9) if optimizer is None else optimizer()
    settings = {"loss": classes, "backend": "numpy", "seed": 3, **settings}
    loss = settings.pop("loss")()
    return nn.Trainer(model(), loss, optimizer, group=group, **settings)


def fitted(group=None, X=X, y=Y, fit=None, **settings):
    """The weights, buffers and history of a training."""
    made = trainer(group, **settings)
    fit = {"epochs": 3, "batch_size": 64, "progress": False, **(fit or {})}
    history = made.fit(X, y, **fit)
    arrays = [made.model.flat.all_values, *made.model.buffers().values()]
    return [np.array(nn.to_numpy(array), np.float64) for array in arrays], dict(history)


def distance(found, expected):
    """The largest relative distance of two lists of arrays, in the Euclidean norm."""
    pairs = zip(found, expected, strict=True)
    return max(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-9) for a, b in pairs)


def assert_as_alone(size, rtol=1e-6, **settings):
    """Each of so many processes has what one alone has; return what that is."""
    expected, history = fitted(**settings)
    found = in_threads(fake_groups(size), lambda group: fitted(group, **settings))
    assert len(found) == size
    for arrays, figures in found:
        assert distance(arrays, expected) <= rtol
        assert figures.keys() == history.keys()
        for name, values in history.items():
            np.testing.assert_allclose(figures[name], values, rtol=1e-4, atol=1e-6, err_msg=name)
        for arrays_0, one in zip(found[0][0], arrays, strict=True):
            np.testing.assert_array_equal(one, arrays_0)
    return expected, history


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("rest", [7, 1, 2])
def test_several_processes_come_to_what_one_comes_to(size, rest, backend):
    rows = slice(0, 384 + rest)
    fit = {"epochs": 2, "validation_data": (X[:50], Y[:50])}

    def model():
        return drawing() if rest > 1 else plain()  # BatchNorm takes no single sample

    # Threads that share a device cannot record: one waits for it while another records.
    settings = {"fit": fit, "model": model, "backend": backend, "graph": False}
    assert_as_alone(size, X=X[rows], y=Y[rows], **settings)


def test_a_hundred_steps():
    assert_as_alone(2, fit={"epochs": 15})


def test_a_group_of_one_changes_no_bit():
    expected, history = fitted(model=plain, optimizer=lambda: nn.Adam(0.01))
    group = nn.distributed.group("none")
    found, figures = fitted(group, model=plain, optimizer=lambda: nn.Adam(0.01))
    assert figures == history
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def penalised():
    return plain(weight_regularizer_l2=1e-2, bias_regularizer_l1=1e-3, max_norm=1.0)


def tied():
    first, second = nn.Dense(12, 12), nn.Dense(12, 12)
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Dense(12, 4), seed=0)
    second.tie("weights", first, "weights", transposed=True)
    return model


def frozen():
    model = drawing()
    model.layers[2].trainable = False
    return model


def clipped():
    return nn.SGD(0.1, clip_norm=0.5, clip_value=0.1, average_decay=0.9, weight_decay=0.01)


TRAININGS = {
    "penalties and bounds": {"model": penalised},
    "clipping and averages": {"model": plain, "optimizer": clipped},
    "frozen batch norm": {"model": frozen},
    "tied weights": {"model": tied},
    "sample weights": {"fit": {"sample_weight": WEIGHTS}},
    "class weights": {"fit": {"class_weight": "balanced"}},
    "accumulation": {"fit": {"accumulate": 3}},
    "in order": {"fit": {"shuffle": False}},
    "float64": {"model": lambda: nn.Sequential(nn.Dense(12, 4, dtype="float64"), seed=0)},
    "no graph": {"model": plain, "graph": False},
    "alone, layer by layer": {"fuse": False},
    "drawn seed": {"model": plain, "seed": None, "fit": {"shuffle": False}},
    "schedule": {"optimizer": lambda: nn.SGD(nn.ReduceOnPlateau(0.1, patience=0, monitor="loss"))},
    "metrics": {"metrics": ("accuracy", nn.metrics.F1(), Ordered())},
}


@pytest.mark.parametrize("name", TRAININGS)
def test_whatever_a_training_does(name):
    assert_as_alone(2, **TRAININGS[name])


def test_labels_that_are_left_out():
    y = np.where(RNG.random(N) < 0.4, -1, Y)
    y[384:388] = -1  # the first process' rows of the last batch
    loss = lambda: nn.SoftmaxCategoricalCrossentropy(ignore_index=-1)  # noqa: E731
    assert_as_alone(2, y=y, loss=loss, fit={"shuffle": False})


def test_samples_of_several_places():
    x = RNG.normal(size=(N, 5, 12)).astype("float32")
    y = RNG.integers(-1, 4, (N, 5))
    loss = lambda: nn.SoftmaxCategoricalCrossentropy(ignore_index=-1)  # noqa: E731
    assert_as_alone(3, X=x, y=y, loss=loss)


def test_regression():
    y = X[:, :2] * 3 + 1
    model = lambda: nn.Sequential(nn.Dense(12, 8), nn.Tanh(), nn.Dense(8, 2), seed=0)  # noqa: E731
    metrics = nn.metrics.R2(), nn.metrics.MAE()
    assert_as_alone(2, y=y, model=model, loss=nn.MeanSquaredError, metrics=metrics)


def jittered(batch, random):
    x, y = batch
    order = random.permutation(x.shape[0])  # across the whole batch
    return random.xp.take(x, order, axis=0) + random.normal(x.shape) * 0.1, random.xp.take(
        y, order, axis=0
    )


@pytest.mark.parametrize("transform", [jittered, nn.data.OnHost(jittered)])
def test_transforms_work_on_whole_batches(transform):
    assert_as_alone(2, fit={"transform": transform})


def batches():
    for start in range(0, N, 64):
        yield X[start : start + 64], Y[start : start + 64]


@pytest.mark.parametrize("source", [batches, list(batches())])
@pytest.mark.parametrize("transform", [None, jittered])
def test_batches_of_a_source_are_split(source, transform):
    fit = {"transform": transform, "validation_data": source}
    expected, history = fitted(X=source, y=None, fit=fit)
    for arrays, figures in in_threads(
        fake_groups(2), lambda group: fitted(group, X=source, y=None, fit=fit)
    ):
        assert distance(arrays, expected) <= 1e-6
        np.testing.assert_allclose(figures["val_loss"], history["val_loss"], rtol=1e-5)


def test_sparse_samples_and_samples_on_the_host():
    few = np.where(RNG.random((N, 2000)) < 0.01, 1, 0).astype("uint8")
    model = lambda: nn.Sequential(nn.Dense(2000, 8), nn.ReLU(), nn.Dense(8, 4), seed=0)  # noqa: E731
    assert_as_alone(2, X=nn.data.Scaled(few), model=model)


def test_half_precision():
    assert_as_alone(2, rtol=2e-3, precision="float16", model=plain)


def by_hand(group=None):
    made = trainer(group)
    losses = []
    for start in range(0, N, 64):
        x, y = X[start : start + 64], Y[start : start + 64]
        losses.append(float(made.train_step(x, y)))
        losses.append(float(made.gradients(x, y)))
        made.update()
    return [np.array(made.model.flat.values)], losses


def test_a_loop_of_ones_own_hands_over_whole_batches():
    expected, losses = by_hand()
    for arrays, found in in_threads(fake_groups(2), by_hand):
        assert distance(arrays, expected) <= 1e-6
        np.testing.assert_allclose(found, losses, rtol=1e-5)


def test_evaluation_is_shared_and_prediction_is_not():
    metrics = ("accuracy", Ordered())
    alone = trainer(metrics=metrics)
    expected, labels = alone.evaluate(X, Y, batch_size=100), alone.predict(X)

    def work(group):
        made = trainer(group, metrics=metrics)
        found = made.evaluate(X, Y, batch_size=100), made.evaluate(X[:1], Y[:1])
        return (*found, made.predict(X) if group.rank == 0 else None)  # rank 0 for itself

    for place, (figures, of_one, predicted) in enumerate(in_threads(fake_groups(2), work)):
        assert figures == pytest.approx(expected, rel=1e-6)
        assert of_one == pytest.approx(alone.evaluate(X[:1], Y[:1]), nan_ok=True)
        assert place or (predicted == labels).all()


@pytest.mark.parametrize("rest", [7, 1])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_shards_have_the_same_bits_on_any_number_of_processes(rest, accumulate):
    rows = slice(0, 384 + rest)

    def model():
        return nn.Sequential(
            *(nn.Dense(12, 24), nn.ReLU(), nn.Dropout(0.2), nn.GaussianNoise(0.1)),
            nn.Dense(24, 4),
            seed=0,
        )

    fit = {"accumulate": accumulate}
    settings = {"model": model, "optimizer": lambda: nn.Adam(0.01), "X": X[rows], "y": Y[rows]}
    expected, _ = fitted(fake_groups(1, shards=8)[0], fit=fit, **settings)
    plain, _ = fitted(fit=fit, **settings)
    assert distance(expected, plain) < 1e-3
    for size in (2, 4, 8):
        for found, _ in in_threads(
            fake_groups(size, shards=8), lambda group: fitted(group, fit=fit, **settings)
        ):
            np.testing.assert_array_equal(found[0], expected[0])


def test_shards_with_labels_that_are_left_out():
    y = np.where(RNG.random(N) < 0.4, -1, Y)
    loss = lambda: nn.SoftmaxCategoricalCrossentropy(ignore_index=-1)  # noqa: E731
    settings = {"y": y, "loss": loss, "model": plain}
    expected, _ = fitted(**settings)
    for size in (1, 2):
        for found, _ in in_threads(
            fake_groups(size, shards=2), lambda group: fitted(group, **settings)
        ):
            assert distance(found, expected) <= 1e-6


def test_shards_and_layers_that_look_across_the_batch():
    with pytest.raises(ArgumentError, match="BatchNorm"):
        trainer(fake_groups(1, shards=2)[0])


def doubled(batch, random):
    x, y = batch
    xp = random.xp
    return xp.concat([x, x[:3]]), xp.concat([y, y[:3]])


def halved(batch, _):
    return tuple(part[: (part.shape[0] + 1) // 2] for part in batch)


@pytest.mark.parametrize("transform", [doubled, halved])
@pytest.mark.parametrize("place", [lambda transform: transform, nn.data.OnHost])
@pytest.mark.parametrize("source", [False, True])
def test_transforms_may_change_the_number_of_samples(transform, place, source):
    data = {"X": list(batches()), "y": None} if source else {}
    assert_as_alone(3, fit={"transform": place(transform)}, model=plain, **data)


def test_steps_on_batches_of_other_shares():
    """In a step of four batches the last of 7 rows is shared otherwise than those of 64."""
    assert_as_alone(3, fit={"accumulate": 4, "shuffle": False}, model=plain)


def test_shards_and_a_batch_in_which_no_label_counts():
    y = Y.copy()
    y[64:128] = -1
    loss = lambda: nn.SoftmaxCategoricalCrossentropy(ignore_index=-1)  # noqa: E731
    settings = {"y": y, "loss": loss, "model": plain, "fit": {"accumulate": 2, "shuffle": False}}
    expected, _ = fitted(**settings)
    for found, _ in in_threads(fake_groups(2, shards=4), lambda group: fitted(group, **settings)):
        assert distance(found, expected) <= 1e-6


def test_shards_in_half_precision():
    settings = {"model": plain, "precision": "float16"}
    expected, _ = fitted(**settings)
    found = in_threads(fake_groups(2, shards=8), lambda group: fitted(group, **settings))
    for arrays, _ in found:
        np.testing.assert_array_equal(arrays[0], found[0][0][0])
        assert distance(arrays, expected) < 5e-3


def test_batch_norm_that_is_trained_later_and_shards():
    model = drawing()
    model.layers[2].trainable = False
    made = trainer(fake_groups(1, shards=2)[0], model=lambda: model)
    model.layers[2].trainable = True
    with pytest.raises(ArgumentError, match="BatchNorm"):
        made.fit(X, Y, progress=False)


OPTIMIZERS = {
    "Adam": lambda: nn.Adam(0.01),
    "AdamW": lambda: nn.AdamW(0.01, weight_decay=0.1, average_decay=0.9),
    "SGD": lambda: nn.SGD(0.1, momentum=0.9, clip_norm=0.5),
    "RMSprop": lambda: nn.RMSprop(0.01, clip_value=0.01),
    "Lookahead": lambda: nn.Lookahead(nn.SGD(0.1, momentum=0.9, clip_norm=0.5), k=2),
}


def scaled():
    model = drawing()
    model.layers[5].learning_rate_scale = 0.1
    return model


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_optimizer_in_parts_has_the_bits_of_a_whole_one(size, optimizer):
    settings = {"optimizer": OPTIMIZERS[optimizer], "model": scaled}
    whole = in_threads(fake_groups(size), lambda group: fitted(group, **settings))
    parts = in_threads(
        fake_groups(size), lambda group: fitted(group, shard_optimizer=True, **settings)
    )
    for (one, _), (other, _) in zip(whole, parts, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("build", [nn.Muon, lambda: nn.Lookahead(nn.Muon())])
def test_an_optimizer_of_whole_matrices_is_refused_in_parts(build):
    def work(group):
        made = trainer(group, optimizer=build, model=plain, shard_optimizer=True)
        with pytest.raises(ArgumentError, match="looks at whole matrices"):
            made.fit(X, Y, progress=False)
        return True

    assert all(in_threads(fake_groups(2), work))


def test_an_optimizer_in_parts_keeps_a_part():
    def work(group):
        made = trainer(group, optimizer=lambda: nn.Adam(0.01), shard_optimizer=True, model=plain)
        made.fit(X, Y, progress=False)
        kept = made.optimizer.kept(made.model)
        return made.model.flat.size, {name: array.shape[0] for name, array in kept.items()}

    for size, kept in in_threads(fake_groups(2), work):
        assert set(kept.values()) == {size // 2}
        assert len(kept) == 2


def test_an_optimizer_in_parts_keeps_no_more_at_any_time():
    sizes = []

    class Looking(nn.Callback):
        def on_step_end(self, trainer):
            sizes.append(max(a.shape[0] for a in trainer.optimizer.kept(trainer.model).values()))

        on_epoch_begin = on_step_end

    settings = {"optimizer": lambda: nn.Adam(0.01), "shard_optimizer": True, "model": plain}
    fit = {"callbacks": [Looking()], "epochs": 1}
    in_threads(fake_groups(2), lambda group: fitted(group, fit=fit, **settings))
    assert set(sizes) == {plain().flat.size // 2}


def test_an_optimizer_in_parts_in_half_precision():
    settings = {"optimizer": lambda: nn.Adam(0.01), "precision": "float16", "model": plain}
    settings |= {"X": X * 200}  # the first step overflows
    with np.errstate(all="ignore"):
        whole = in_threads(fake_groups(2), lambda group: quietly(group, **settings))
        parts = in_threads(
            fake_groups(2), lambda group: quietly(group, shard_optimizer=True, **settings)
        )
    np.testing.assert_array_equal(parts[0][0][0], whole[0][0][0])


def quietly(group, **settings):
    with np.errstate(all="ignore"):  # of this thread
        return fitted(group, **settings)


def test_divergence_with_an_optimizer_in_parts():
    settings = {"optimizer": lambda: nn.Adam(0.01), "shard_optimizer": True, "model": plain}
    x = X.copy()
    x[350] = 1e38

    def work(group):
        with pytest.raises(DivergenceError):
            quietly(group, X=x, **settings)

    in_threads(fake_groups(2), work)


def test_divergence_where_a_process_has_one_row():
    x = X[:387].copy()
    x[386] = 1e38  # of the last batch, of 3

    def work(group):
        with pytest.raises(DivergenceError, match="first in"):
            quietly(group, X=x, y=Y[:387], fit={"shuffle": False})

    in_threads(fake_groups(2), work)


class OwnUpdate(nn.SGD):
    def update(self, layer):
        super().update(layer)


def test_an_optimizer_with_an_update_of_its_own_in_parts():
    settings = {"optimizer": lambda: OwnUpdate(0.1), "shard_optimizer": True, "model": plain}
    for error in errors_of(lambda group: fitted(group, **settings)):
        assert "OwnUpdate" in str(error)


def test_state_of_a_part_is_not_taken_for_all():
    model, optimizer = plain(), nn.Adam(0.01)

    def work(group):
        if group.rank:
            return fitted(group, model=plain, optimizer=lambda: nn.Adam(0.01), shard_optimizer=True)
        made = trainer(group, lambda: model, lambda: optimizer, shard_optimizer=True)
        return made.fit(X, Y, epochs=3, batch_size=64, progress=False)

    in_threads(fake_groups(2), work)
    with pytest.raises(ArgumentError, match="for a part of the model"):
        trainer(None, lambda: model, lambda: optimizer).fit(X, Y, progress=False)


class Cut(nn.Callback):
    """Ends the training in the middle of an epoch, from one process."""

    def __init__(self, rank, at=(1, 3)):
        self.rank, self.at = rank, at

    def on_step_end(self, trainer):
        if trainer.group.rank == self.rank and (trainer.epoch, trainer.step) == self.at:
            trainer.stop(now=True)


METRICS = ("accuracy", Ordered())


@pytest.mark.parametrize("shard_optimizer", [False, True])
@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 1), (1, 2), (2, 3)])
def test_a_training_goes_on_with_more_or_fewer(tmp_path, before, after, shard_optimizer):
    settings = {"optimizer": lambda: nn.Adam(0.01), "metrics": METRICS}
    settings |= {"shard_optimizer": shard_optimizer}
    fit = {"epochs": 3, "validation_data": (X[:99], Y[:99])}
    expected = in_threads(fake_groups(after), lambda group: fitted(group, fit=fit, **settings))

    def begun(group):
        cut = {**fit, "checkpoint": tmp_path, "callbacks": [Cut(group.size - 1)]}
        return fitted(group, fit=cut, **settings)

    def resumed(group):
        on = {**fit, "checkpoint": tmp_path, "resume": True, "callbacks": [Cut(0, (9, 9))]}
        return fitted(group, fit=on, **settings)

    in_threads(fake_groups(before), begun)
    assert (tmp_path / "checkpoint-000001-000000003.safetensors").exists()
    found = in_threads(fake_groups(after), resumed)
    for (arrays, figures), (others, history) in zip(found, expected, strict=True):
        if before == after:
            for one, other in zip(arrays, others, strict=True):
                np.testing.assert_array_equal(one, other)
            assert figures == history
        else:
            assert distance(arrays, others) < 0.02  # Adam makes of rounding what SGD does not
            np.testing.assert_allclose(figures["val_loss"], history["val_loss"], rtol=0.02)


def test_averages_in_a_training_that_goes_on(tmp_path):
    settings = {"optimizer": lambda: nn.Adam(0.01, average_decay=0.9), "shard_optimizer": True}
    fit = {"epochs": 3}
    expected = in_threads(fake_groups(2), lambda group: fitted(group, fit=fit, **settings))
    cut = {**fit, "checkpoint": tmp_path, "callbacks": [Cut(1)]}
    in_threads(fake_groups(2), lambda group: fitted(group, fit=cut, **settings))
    on = {**fit, "checkpoint": tmp_path, "callbacks": [Cut(1, (9, 9))], "resume": True}
    found = in_threads(fake_groups(2), lambda group: fitted(group, fit=on, **settings))
    np.testing.assert_array_equal(found[1][0][0], expected[0][0][0])


@pytest.mark.parametrize("hook", ["on_epoch_end", "on_train_end"])
def test_a_callback_that_fails_leaves_the_checkpoint_of_one_process(tmp_path, hook):
    """With averages in the model while figures are worked out, and the best weights at the end."""

    def fail(trainer, *_):
        if trainer.group.rank == trainer.group.size - 1 and trainer.epoch == 2:
            raise ZeroDivisionError("planted")

    class Failing(nn.Callback):
        def __init__(self):
            setattr(self, hook, fail)

    def work(group, folder):
        optimizer = lambda: nn.SGD(0.05, average_decay=0.9)  # noqa: E731
        callbacks = [nn.EarlyStopping("loss", patience=9), Failing()]
        fit = {"callbacks": callbacks, "checkpoint": folder, "epochs": 2}
        with pytest.raises((ZeroDivisionError, DistributedError)):
            fitted(group, optimizer=optimizer, fit=fit)

    work(nn.distributed.group("none"), tmp_path / "1")
    in_threads(fake_groups(2), lambda group: work(group, tmp_path / "2"))
    one, two = (sorted((tmp_path / n).glob("checkpoint-*"))[-1] for n in "12")
    assert one.name == two.name
    (_, expected), (_, found) = (read_tensors(each, "nnfs_xp checkpoint") for each in (one, two))
    for name in ("weights", "optimizer.average"):
        assert distance([found[name]], [expected[name]]) <= 1e-6, name


def test_nothing_is_kept_of_a_training_that_did_not_begin(tmp_path):
    class Failing(nn.Callback):
        def on_train_begin(self, trainer):
            raise ZeroDivisionError("planted")

    fit = {"callbacks": [Failing()], "checkpoint": tmp_path}
    errors_of(lambda group: fitted(group, fit=fit))
    assert not list(tmp_path.iterdir())


def test_rank_0_decides_when_an_epoch_is_kept(tmp_path):
    fit = {"checkpoint": nn.Checkpoints(tmp_path, least_seconds=0.02), "epochs": 8}
    settings = {"metrics": METRICS, "shard_optimizer": True, "optimizer": lambda: nn.Adam(0.01)}

    def work(group):
        own = {**fit, "checkpoint": nn.Checkpoints(tmp_path, least_seconds=0.02)}
        return fitted(group, fit=own, **settings)

    in_threads(fake_groups(2), work)
    assert list(tmp_path.glob("checkpoint-000008*"))


class Signalled(nn.Callback):
    """Notes a signal while the processes agree, as the operating system may."""

    def __init__(self, rank, epoch, step):
        self.rank, self.at = rank, (epoch, step)

    def on_step_end(self, trainer):
        group = trainer.group
        if group.rank != self.rank or (trainer.epoch, trainer.step) != self.at:
            return
        agree = type(group).agree

        def late(*numbers):
            del group.agree
            found = agree(group, *numbers)
            trainer.stop(now=True)  # as a signal does, between two looks
            return found

        group.agree = late


@pytest.mark.parametrize("step", [3, 6, 7])
def test_what_comes_while_all_agree_is_for_the_next_time(tmp_path, step):
    def work(group):
        fit = {"callbacks": [Signalled(1, 1, step)], "checkpoint": tmp_path, "epochs": 5}
        made = trainer(group)
        made.fit(X, Y, batch_size=64, progress=False, **fit)
        return made.epoch, made.step

    one, other = in_threads(fake_groups(2), work)
    assert one == other
    assert one[0] < 5, "it stopped"


def test_running_averages_and_state_are_rank_0s():
    def work(group):
        model = drawing()
        model.layers[2].running_mean[...] = group.rank
        optimizer = nn.Adam(0.01)
        state = optimizer.state(model)
        for array in state.values():
            array[...] = 1 + group.rank
        optimizer.iterations = 5 + 5 * group.rank
        made = trainer(group, lambda: model, lambda: optimizer)
        found = [np.array(model.layers[2].running_mean), *map(np.array, state.values())]
        return made.optimizer.iterations, [array.max() for array in found]

    assert in_threads(fake_groups(2), work) == [(5, [0, 1, 1])] * 2


def test_what_is_collected_keeps_its_order():
    sizes = [(0, 64), (64, 65), (65, 129), (129, 200)]
    source = [(X[a:b], Y[a:b]) for a, b in sizes]
    settings = {"metrics": (Ordered(),), "model": plain, "X": source, "y": None}
    _, history = fitted(**settings)
    for _, figures in in_threads(fake_groups(2), lambda group: fitted(group, **settings)):
        np.testing.assert_allclose(figures["ordered"], history["ordered"], rtol=1e-4)
    alone = trainer(metrics=(Ordered(),)).evaluate(X, Y, batch_size=100)
    for found in in_threads(
        fake_groups(2),
        lambda group: trainer(group, metrics=(Ordered(),)).evaluate(X, Y, batch_size=100),
    ):
        assert found["ordered"] == pytest.approx(alone["ordered"], rel=1e-5)


def test_metrics_that_learn_from_targets_of_a_source():
    y = np.sort(X[:, :1] * 3 + 1, axis=0)
    source = [(X[start : start + 64], y[start : start + 64]) for start in range(0, N, 64)]
    model = lambda: nn.Sequential(nn.Dense(12, 1), seed=0)  # noqa: E731
    settings = {"model": model, "loss": nn.MeanSquaredError, "metrics": (nn.metrics.R2(),)}
    fit = {"validation_data": lambda: iter(source)}
    _, history = fitted(X=lambda: iter(source), y=None, fit=fit, **settings)
    for _, figures in in_threads(
        fake_groups(2),
        lambda group: fitted(group, X=lambda: iter(source), y=None, fit=fit, **settings),
    ):
        for name in ("r2", "val_r2"):
            np.testing.assert_allclose(figures[name], history[name], rtol=1e-4, err_msg=name)


def test_a_source_that_uses_its_arrays_again():
    def source():
        x, y = np.empty((64, 12), np.float32), np.empty(64, np.int64)
        for start in range(0, 384, 64):
            x[...], y[...] = X[start : start + 64], Y[start : start + 64]
            yield x, y

    expected, _ = fitted(X=source, y=None)
    for found, _ in in_threads(fake_groups(2), lambda group: fitted(group, X=source, y=None)):
        assert distance(found, expected) <= 1e-6


def test_sources_of_other_lengths_are_found():
    def work(group):
        sizes = [64, 64, 60 if group.rank else 64]
        return fitted(group, X=[(X[:n], Y[:n]) for n in sizes], y=None, model=plain)

    for error in errors_of(work):
        assert "were given 188 and 192 samples" in str(error)


def test_one_process_writes():
    calls = []

    class Writing(nn.Callback):
        def check_paths(self):
            return []

        def on_epoch_end(self, trainer, figures):
            calls.append(("writing", trainer.group.rank))

    class Looking(nn.Callback):
        def on_epoch_end(self, trainer, figures):
            calls.append(("looking", trainer.group.rank))

    def work(group):
        return fitted(group, fit={"callbacks": [Writing(), Looking()], "epochs": 1})

    in_threads(fake_groups(2), work)
    assert sorted(calls) == [("looking", 0), ("looking", 1), ("writing", 0)]


def test_logs_and_models_are_written_once(tmp_path):
    def work(group):
        callbacks = [nn.CSVLogger(tmp_path / "log.csv"), nn.EarlyStopping("loss", patience=1)]
        return fitted(group, fit={"callbacks": callbacks, "checkpoint": tmp_path / "kept"})

    (_, history), (_, other) = in_threads(fake_groups(2), work)
    assert history == other
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 1 + len(history["loss"])
    assert not [path.name for path in (tmp_path / "kept").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    "hook", ["on_train_begin", "on_epoch_begin", "on_step_end", "on_epoch_end"]
)
def test_a_callback_that_fails_in_one_process_ends_all(tmp_path, hook):
    def fail(trainer, *_):
        if trainer.group.rank == 1 and trainer.epoch >= (hook != "on_train_begin"):
            raise ZeroDivisionError("planted")

    class Failing(nn.Callback):
        def __init__(self):
            setattr(self, hook, fail)

    told = []

    def work(group):
        try:
            fitted(group, fit={"callbacks": [Failing()], "checkpoint": tmp_path / "kept"})
        except (ZeroDivisionError, DistributedError) as error:
            told.append((group.rank, type(error), str(error)))
            group.agree(1)  # they are together still

    in_threads(fake_groups(2), work)
    assert sorted(told, key=lambda each: each[0]) == [
        (0, DistributedError, "rank 1 of 2 failed: ZeroDivisionError: planted"),
        (1, ZeroDivisionError, "planted"),
    ]
    kept = list((tmp_path / "kept").glob("checkpoint-*"))
    assert kept or hook == "on_train_begin"


def test_divergence_is_found_by_all():
    x = X.copy()
    x[350] = 1e30  # of the second process, in the last whole batch

    def work(group):
        with pytest.raises(DivergenceError) as caught, np.errstate(all="ignore"):
            fitted(group, X=x, model=plain, fit={"shuffle": False, "epochs": 2})
        return str(caught.value)

    one, other = in_threads(fake_groups(2), work)
    assert one == other
    with pytest.raises(DivergenceError) as caught, np.errstate(all="ignore"):
        fitted(X=x, model=plain, fit={"shuffle": False, "epochs": 2})
    assert str(caught.value) == one


DIFFERENT = {
    "X": lambda rank: {"X": X + rank},
    "y": lambda rank: {"y": (Y + rank) % 4},
    "batch size": lambda rank: {"fit": {"batch_size": 64 - rank}},
    "shuffle": lambda rank: {"fit": {"shuffle": bool(rank)}},
    "model": lambda rank: {"model": lambda: plain() if rank else drawing()},
    "optimizer": lambda rank: {"optimizer": lambda: nn.SGD(0.1 * (1 + rank))},
    "loss": lambda rank: {
        "loss": lambda: nn.SoftmaxCategoricalCrossentropy(label_smoothing=0.1 * rank)
    },
    "dtype": lambda rank: {
        "model": lambda: nn.Sequential(nn.Dense(12, 4, dtype=f"float{32 << rank}"), seed=0)
    },
    "seed": lambda rank: {"seed": rank},
    "callbacks": lambda rank: {"fit": {"callbacks": [nn.EarlyStopping("loss")] * rank}},
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_processes_of_different_minds_are_refused(name):
    def work(group):
        with pytest.raises(DistributedError) as caught:
            fitted(group, **DIFFERENT[name](group.rank))
        return str(caught.value)

    for text in in_threads(fake_groups(2), work):
        assert f"rank 1 of 2 has another {name.replace('_', ' ')}" in text or name == "dtype"
        assert "than rank 0" in text


def test_weights_and_seed_are_rank_0s():
    def work(group):
        return fitted(group, model=lambda: drawing(seed=group.rank), seed=None)

    (one, history), (other, figures) = in_threads(fake_groups(2), work)
    assert history == figures
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_bad_data_are_bad_for_all():
    x = X.copy()
    x[3] = np.nan
    for error in errors_of(lambda group: fitted(group, X=x)):
        assert isinstance(error, DataError)


def errors_of(work, size=2):
    found = []

    def run(group):
        try:
            with group.together():
                work(group)
        except Exception as error:
            found.append((group.rank, error))

    in_threads(fake_groups(size, timeout=20), run)
    assert len(found) == size
    return [error for _, error in sorted(found, key=lambda each: each[0])]


def test_bad_data_of_one_end_all():
    x = X.copy()
    x[3] = np.nan
    first, second = errors_of(lambda group: fitted(group, X=x if group.rank else X))
    assert isinstance(second, DataError)
    assert isinstance(first, DistributedError)
    assert "rank 1 of 2 failed: DataError" in str(first)


@pytest.mark.parametrize("size", [2, 5])
def test_a_batch_smaller_than_the_group(size):
    small = {"fit": {"batch_size": size - 1}, "model": plain}
    few = {"X": X[: size - 1], "y": Y[: size - 1], "model": plain}
    for error in errors_of(lambda group: fitted(group, **few), size):
        assert f"{size - 1} samples, fewer than the {size} processes" in str(error)
    for error in errors_of(lambda group: fitted(group, **small), size):
        assert isinstance(error, ArgumentError)
        assert f"{size - 1} samples, fewer than the {size} processes" in str(error)
    for error in errors_of(lambda group: trainer(group).train_step(X[:1], Y[:1]), size):
        assert isinstance(error, ArgumentError)


def test_a_source_of_small_batches():
    for error in errors_of(lambda group: fitted(group, X=[(X[:1], Y[:1])], y=None, model=plain)):
        assert "fewer than the 2 processes" in str(error)


class Drawn(nn.ReLU):
    """A layer that draws from a generator of its own."""

    def forward(self, inputs, training=False):
        output = super().forward(inputs, training)
        return output * np.random.default_rng().random() if training else output


def test_a_layer_that_draws_without_reseed():
    model = lambda: nn.Sequential(nn.Dense(12, 8), Drawn(), nn.Dense(8, 4), seed=0)  # noqa: E731
    for error in errors_of(lambda group: fitted(group, model=model)):
        assert isinstance(error, ArgumentError)
        assert "Drawn" in str(error)
        assert "draw_bits" in str(error)


class Drifting(nn.Callback):
    def on_step_end(self, trainer):
        if trainer.group.rank:
            trainer.model.flat.values[0] += 1


def test_weights_that_drift_apart_are_found():
    for error in errors_of(lambda group: fitted(group, fit={"callbacks": [Drifting()]})):
        assert "different weights after epoch 1" in str(error)


def test_a_folder_that_only_rank_0_sees(tmp_path):
    def work(group):
        return fitted(group, fit={"checkpoint": tmp_path / f"of-rank-{group.rank}"})

    for error in errors_of(work):
        assert isinstance(error, CheckpointError)
        assert "rank 1 does not see" in str(error)


def test_checkpoints_of_other_shards_are_refused(tmp_path):
    def work(group, **more):
        return fitted(group, model=plain, fit={"checkpoint": tmp_path, **more})

    in_threads(fake_groups(1, shards=2), work)
    with pytest.raises(CheckpointError, match="shards"):
        in_threads(fake_groups(1, shards=4), lambda group: work(group, resume=True))


@pytest.mark.parametrize("group", ["mpi", 2, object()])
def test_what_is_no_group_is_refused(group):
    with pytest.raises(ArgumentError, match="`group` must be a Group"):
        trainer(group)
