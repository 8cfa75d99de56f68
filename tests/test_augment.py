"""Augmentation: what each transform does to pictures and targets, and the same on every backend."""

from __future__ import annotations

from math import cos, floor, radians, sin

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.data import InProcesses, OnHost, Random, augment
from nnfs_xp.data.shards import ArrayBatches
from nnfs_xp.errors import (
    ArgumentError,
    CheckpointError,
    DataError,
    DTypeError,
    LabelError,
    ShapeError,
)

RNG = np.random.default_rng(4)
X = RNG.random((12, 6, 5, 3)).astype("float32")
Y = np.arange(12) % 4
NUMBERED = np.arange(1, 31, dtype="float32").reshape(1, 6, 5, 1).repeat(40, axis=0)
"""Pictures of which each pixel tells its place."""


def random_on(backend, step=3, dtype="float32", **about):
    backend = nn.get_backend(backend) if isinstance(backend, str) else backend
    return Random(backend, 5, step, dtype, **about)


def on_numpy(transform, *batch, step=3, **about):
    dtype = str(batch[0].dtype)
    return transform(tuple(map(np.array, batch)), random_on("numpy", step, dtype, **about))


EXACT = [
    augment.Flip(),
    augment.Flip(alternating=True),
    augment.Shift(2),
    augment.Shift(3, mode="zeros"),
    augment.Crop(4),
    augment.Crop((6, 5), padding=2),
    augment.Crop(5, padding=3, mode="reflect"),
    augment.Cutout(3),
    augment.Compose(augment.Flip(), augment.Shift(2, mode="zeros"), augment.Crop(4)),
    augment.Compose(augment.Flip(), augment.Cutout(2), augment.Shift(1)),
    augment.CutMix(1.0, 4),
]
ROUNDED = [
    augment.Rotation(30),
    augment.Mixup(0.2, 4),
    augment.Normalize((0.5, 0.4, 0.3), (0.2, 0.25, 0.3)),
    augment.Compose(augment.Flip(), augment.Mixup(1.0, 4), augment.Rotation(10)),
]


@pytest.mark.parametrize("transform", [*EXACT, *ROUNDED], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_on_every_backend(backend, transform, dtype):
    about = {"epoch": 1, "samples": lambda: np.arange(20, 32)}
    x = X.astype(dtype)
    found = transform(
        (backend.asarray(x), backend.asarray(Y)), random_on(backend, dtype=dtype, **about)
    )
    wanted = on_numpy(transform, x, Y, **about)
    tolerance = 0 if transform in EXACT else 100 * np.finfo(dtype).eps
    for one, other in zip(found, wanted, strict=True):
        assert backend.owns(one)
        assert nn.to_numpy(one).dtype == other.dtype
        np.testing.assert_allclose(nn.to_numpy(one), other, rtol=tolerance, atol=tolerance)
    assert str(wanted[0].dtype) == dtype
    assert not np.array_equal(wanted[0], x)


def test_mirrored_or_not():
    (found,) = on_numpy(augment.Flip(), NUMBERED)
    mirrored = [np.array_equal(each, NUMBERED[0, :, ::-1]) for each in found]
    as_it_was = [np.array_equal(each, NUMBERED[0]) for each in found]
    assert [one != other for one, other in zip(mirrored, as_it_was, strict=True)] == [True] * 40
    assert 8 < sum(mirrored) < 32
    for probability, of_all in ((0.0, NUMBERED), (1.0, NUMBERED[:, :, ::-1])):
        (found,) = on_numpy(augment.Flip(probability=probability), NUMBERED)
        np.testing.assert_array_equal(found, of_all)


def test_an_alternating_flip_shows_both_sides_of_each_sample():
    flip = augment.Flip(alternating=True)
    order = np.random.default_rng(0).permutation(40)
    for epoch in range(3):
        seen = [
            on_numpy(flip, NUMBERED, step=epoch + 10, epoch=epoch + more, samples=each.copy)[0]
            for more, each in ((0, np.arange(40)), (1, order))
        ]
        again = np.empty_like(seen[1])
        again[order] = seen[1]
        np.testing.assert_array_equal(seen[0], again[:, :, ::-1])
        of_these = [np.array_equal(each, NUMBERED[0]) for each in seen[0]]
        assert 8 < sum(of_these) < 32


SHOWS = (RNG.random((48, 6, 5, 3)).astype("float32"), np.arange(48) % 4)


def batches_of(way):
    x, y = SHOWS
    shards = ArrayBatches([(x[:20], y[:20]), (x[20:], y[20:])], 8, shuffle=True, seed=3)
    return {
        "arrays": ((x, y), {"batch_size": 10}),
        "shards": ((shards,), {}),
        "processes": ((InProcesses(shards, 1),), {}),
    }[way]


@pytest.mark.parametrize("place", [lambda f: f, OnHost], ids=["device", "host"])
@pytest.mark.parametrize("way", ["arrays", "shards", "processes"])
def test_fit_tells_which_samples_a_batch_holds(way, place):
    seen = []

    def look(batch, random):
        x, _ = batch
        numbers = nn.to_numpy(random.samples)
        np.testing.assert_array_equal(nn.to_numpy(x), SHOWS[0][numbers])
        seen.append((random.epoch, numbers.tolist()))
        return batch

    data, settings = batches_of(way)
    new_trainer().fit(*data, transform=place(look), epochs=2, progress=False, **settings)
    orders = []
    for epoch in range(2):
        order = [number for of, numbers in seen if of == epoch for number in numbers]
        assert sorted(order) == list(range(48))
        orders.append(order)
    assert orders[0] != orders[1]


def test_batches_for_a_loop_tell_it_too():
    seen = []

    def look(batch, random):
        seen.append((random.epoch, random.samples.tolist()))
        return batch

    for transform in (look, OnHost(look)):
        walk = nn.data.batches(X, Y, batch_size=5, backend="numpy", transform=transform)
        assert [len(list(each)) for each in (walk, walk)] == [3, 3]
    parts = [list(range(5)), list(range(5, 10)), [10, 11]]
    assert seen == [(epoch, part) for epoch in (0, 1) for part in parts] * 2


def test_a_source_that_tells_no_numbers_is_refused_by_an_alternating_flip():
    trainer = new_trainer()
    flip = augment.Flip(alternating=True)
    with pytest.raises(DataError, match=r"Train on arrays, or .* samples\(epoch, number\)"):
        trainer.fit([(X, Y)], transform=flip, progress=False)
    trainer.fit([(X, Y)], transform=augment.Flip(), progress=False)


def padded(picture, sides, mode):
    (top, bottom), (left, right) = sides
    mode = {"zeros": "constant", "reflect": "reflect"}[mode]
    return np.pad(picture, ((top, bottom), (left, right), (0, 0)), mode=mode)


def parts_of(picture, height, width):
    """Every part of that size, as bytes."""
    rows, columns = picture.shape[0] - height + 1, picture.shape[1] - width + 1
    return {
        picture[i : i + height, j : j + width].tobytes()
        for i in range(rows)
        for j in range(columns)
    }


@pytest.mark.parametrize("mode", ["reflect", "zeros"])
@pytest.mark.parametrize("most", [1, 2, 4])
def test_a_shift_is_a_part_of_the_padded_picture(mode, most):
    many = NUMBERED.repeat(50, axis=0)
    (found,) = on_numpy(augment.Shift(most, mode=mode), many)
    allowed = parts_of(padded(NUMBERED[0], ((most, most), (most, most)), mode), 6, 5)
    seen = {each.tobytes() for each in found}
    assert seen == allowed


@pytest.mark.parametrize(
    ("size", "padding", "mode"),
    [
        (3, 0, "zeros"),
        ((2, 5), 0, "zeros"),
        (6, 1, "reflect"),
        ((7, 4), 2, "zeros"),
        (5, 4, "reflect"),
    ],
)
def test_a_crop_is_a_part_of_the_padded_picture(size, padding, mode):
    height, width = size if isinstance(size, tuple) else (size, size)
    many = NUMBERED.repeat(50, axis=0)
    (found,) = on_numpy(augment.Crop(size, padding=padding, mode=mode), many)
    assert found.shape == (2000, height, width, 1)
    sides = ((padding, padding), (padding, padding))
    assert {each.tobytes() for each in found} == parts_of(
        padded(NUMBERED[0], sides, mode), height, width
    )


def test_moves_that_follow_on_each_other_are_as_one_by_one():
    moves = [
        augment.Shift(3, mode="zeros"),
        augment.Flip(),
        augment.Crop(6, padding=2),
        augment.Shift(2),
        augment.Flip(),
    ]
    together, one_by_one = random_on("numpy"), random_on("numpy")
    found, y = augment.Compose(*moves)((X, Y), together)
    x = X
    for move in moves:
        x, _ = move((x, Y), one_by_one)
    np.testing.assert_array_equal(found, x)
    assert y is Y


def test_a_square_is_cut_out():
    ones = np.ones((400, 6, 5, 2), "float32")
    (found,) = on_numpy(augment.Cutout(3, fill=-1.0), ones)
    sizes = set()
    for picture in found:
        rows, columns = np.nonzero(picture[..., 0] == -1)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == height * width
        assert (picture[..., 0] == picture[..., 1]).all()
        sizes.add((height, width))
    assert sizes == {(2, 2), (2, 3), (3, 2), (3, 3)}


def turned(picture, angle):
    """The picture turned, pixel by pixel."""
    height, width, _ = picture.shape
    found = np.zeros_like(picture)
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    for i in range(height):
        for j in range(width):
            y = cos(angle) * (i - middle_y) - sin(angle) * (j - middle_x) + middle_y
            x = sin(angle) * (i - middle_y) + cos(angle) * (j - middle_x) + middle_x
            for row in (floor(y), floor(y) + 1):
                for column in (floor(x), floor(x) + 1):
                    if 0 <= row < height and 0 <= column < width:
                        share = (1 - abs(y - row)) * (1 - abs(x - column))
                        found[i, j] += share * picture[row, column]
    return found


def test_pictures_are_turned_about_their_middle():
    x = X.astype("float64")
    (found,) = on_numpy(augment.Rotation(40), x)
    angles = random_on("numpy", dtype="float64").uniform((12, 1, 1), -radians(40), radians(40))
    for picture, one, angle in zip(found, x, angles.ravel(), strict=True):
        np.testing.assert_allclose(picture, turned(one, angle), atol=1e-12)
    (as_it_was,) = on_numpy(augment.Rotation(0), x)
    np.testing.assert_allclose(as_it_was, x, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 3.0, 50.0])
def test_shares_are_of_the_beta_distribution(alpha):
    n = 50_000
    found = np.sort(random_on("numpy", dtype="float64").beta(n, alpha))
    wanted = np.sort(np.random.default_rng(0).beta(alpha, alpha, n))
    assert 0 <= found[0] <= found[-1] <= 1
    at = np.linspace(0.001, 0.999, 400)
    gap = np.abs(np.searchsorted(found, at) - np.searchsorted(wanted, at)).max() / n
    assert gap < 1.95 * (2 / n) ** 0.5, "beyond the 0.1 % point of Kolmogorov and Smirnov"
    assert np.isfinite(random_on("numpy").beta(n, alpha)).all()


def test_samples_and_targets_are_mixed_alike():
    rows = np.eye(12, dtype="float64")
    weights = np.arange(12.0)
    found, shares, mixed = on_numpy(augment.Mixup(1.0), rows, rows, weights)
    np.testing.assert_array_equal(found, shares)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-15)
    np.testing.assert_allclose(mixed, found @ weights, atol=1e-13)
    assert (found > 0).sum() > 12
    labels = on_numpy(augment.Mixup(1.0, 12), rows, np.arange(12))[1]
    np.testing.assert_array_equal(labels, found)
    (alone,) = on_numpy(augment.Mixup(1.0), rows)
    np.testing.assert_array_equal(alone, found)


def test_rectangles_are_exchanged_and_targets_by_their_area():
    n = 60
    x = np.broadcast_to(np.arange(n, dtype="float64")[:, None, None, None], (n, 6, 5, 2))
    found, shares = on_numpy(augment.CutMix(1.0, n), x, np.arange(n))
    sizes = set()
    for one, (picture, row) in enumerate(zip(found, shares, strict=True)):
        assert row.sum() == pytest.approx(1)
        assert (picture[..., 0] == picture[..., 1]).all()
        for number in np.unique(picture):
            assert row[int(number)] == pytest.approx((picture[..., 0] == number).mean())
        rows, columns = np.nonzero(picture[..., 0] != one)
        if len(rows):
            height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
            assert len(rows) == height * width
            sizes.add((height, width))
    assert len(sizes) > 8


def test_normalized_pictures():
    pictures, mean, deviation = X.astype("float64"), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    (found,) = on_numpy(augment.Normalize(mean, deviation), pictures)
    np.testing.assert_allclose(found, (pictures - mean) / deviation, atol=1e-14)
    (found,) = on_numpy(augment.Normalize(0.5, 2), pictures)
    np.testing.assert_allclose(found, (pictures - 0.5) / 2, atol=1e-14)


def new_trainer(backend="numpy", **settings):
    model = nn.Sequential(nn.Flatten(), nn.Dense(90, 16), nn.ReLU(), nn.Dense(16, 4), seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    return nn.Trainer(model, loss, nn.Adam(0.01), backend=backend, seed=9, **settings)


ALL = augment.Compose(
    augment.Flip(alternating=True),
    augment.Shift(1),
    augment.Cutout(2),
    augment.Mixup(0.4, 4),
    augment.CutMix(1.0),
)


@pytest.mark.parametrize("place", [lambda f: f, OnHost], ids=["device", "host"])
def test_the_same_training_on_every_backend(backend, place):
    settings = {"epochs": 3, "batch_size": 5, "progress": False}
    wanted = new_trainer().fit(X, Y, transform=ALL, **settings)
    found = new_trainer(backend).fit(X, Y, transform=place(ALL), **settings)
    np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=1e-5)
    assert found["accuracy"] == pytest.approx(wanted["accuracy"])
    plain = new_trainer().fit(X, Y, **settings)
    assert abs(wanted["loss"][-1] - plain["loss"][-1]) > 1e-3


@pytest.mark.parametrize("loss", [nn.CategoricalCrossentropy, nn.SoftmaxCategoricalCrossentropy])
def test_shares_of_classes_train_a_network(backend, loss):
    """Bars that stand or lie, mixed."""
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 200)
    x = 0.1 * random.standard_normal((200, 6, 6, 1))
    x[y == 0, 2:4] += 1
    x[y == 1, :, 2:4] += 1
    layers = [nn.Flatten(), nn.Dense(36, 8), nn.ReLU(), nn.Dense(8, 2)]
    layers += [nn.Softmax()] if loss is nn.CategoricalCrossentropy else []
    trainer = nn.Trainer(nn.Sequential(*layers, seed=0), loss(), nn.Adam(0.01), backend=backend)
    both = augment.Compose(augment.Mixup(1.0, n_classes=2), augment.CutMix(1.0, n_classes=2))
    history = trainer.fit(x, y, transform=both, epochs=30, progress=False)
    assert history["loss"][-1] < history["loss"][0]
    assert history["accuracy"][-1] > 0.7
    assert trainer.evaluate(x, y)["accuracy"] > 0.95


def test_a_training_is_resumed_with_the_same_augmentation_only(tmp_path):
    settings = {"batch_size": 5, "checkpoint": tmp_path, "progress": False}

    def stop(trainer):
        if (trainer.epoch, trainer.step) == (1, 2):
            trainer.stop(now=True)

    flip = augment.Compose(augment.Flip(alternating=True), augment.Shift(2))
    callbacks = [nn.LambdaCallback(on_step_end=stop)]
    new_trainer().fit(X, Y, transform=flip, epochs=3, callbacks=callbacks, **settings)
    settings["callbacks"] = [nn.LambdaCallback(on_step_end=lambda trainer: None)]
    other = augment.Compose(augment.Flip(alternating=True), augment.Shift(1))
    for transform in (other, OnHost(flip), augment.Flip()):
        with pytest.raises(CheckpointError, match="transform"):
            new_trainer().fit(X, Y, transform=transform, epochs=3, resume=True, **settings)
    resumed, whole = new_trainer(), new_trainer()
    found = resumed.fit(X, Y, transform=flip, epochs=3, resume=True, **settings)
    wanted = whole.fit(X, Y, transform=flip, epochs=3, **settings | {"checkpoint": None})
    assert found == wanted
    np.testing.assert_array_equal(resumed.model.flat.values, whole.model.flat.values)


@pytest.mark.parametrize(
    ("transform", "x", "error", "message"),
    [
        (augment.Flip(), X.reshape(12, -1), ShapeError, r"\(12, 90\)\. Reshape them"),
        (augment.Flip(), X[0], ShapeError, r"\(batch, height, width, channels\); got \(6, 5, 3\)"),
        (
            augment.Shift(1),
            np.zeros((64, 3, 32, 32), "float32"),
            ShapeError,
            r"got \(64, 3, 32, 32\); did you mean channels last\?",
        ),
        (augment.Compose(augment.Flip()), X[0], ShapeError, r"got \(6, 5, 3\)"),
        (augment.CutMix(1.0, 4), X.reshape(12, -1), ShapeError, "Reshape"),
        (
            augment.Cutout(2),
            X.astype("int64"),
            DTypeError,
            "must have a floating dtype; got .*int64",
        ),
        (augment.Mixup(1.0, 4), X.astype("int64"), DTypeError, "floating"),
        (augment.Shift(5), X, ShapeError, r"`most` must be below .* got 5 for pictures of 6 x 5"),
        (augment.Crop(3, padding=6, mode="reflect"), X, ShapeError, "`padding` must be below"),
        (augment.Crop(8, padding=1), X, ShapeError, r"`size` 8 is more than .* 6 x 5 with `padd"),
        (augment.Mixup(1.0), X, ArgumentError, "Mixup makes shares .* Give `n_classes`"),
        (augment.CutMix(1.0), X, ArgumentError, "CutMix makes shares"),
        (augment.Normalize((1, 2), 3), X, ShapeError, r"of 2 channels; got .* \(12, 6, 5, 3\)"),
    ],
    ids=lambda value: repr(value) if isinstance(value, augment.Augmentation) else "",
)
def test_batches_that_cannot_be_augmented_are_refused(backend, transform, x, error, message):
    batch = backend.asarray(x), backend.asarray(Y)
    with pytest.raises(error, match=message):
        transform(batch, random_on(backend))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: augment.Flip(probability=2),
            "must be at least 0 and at most 1; got 2",
        ),
        (lambda: augment.Rotation(361), "`degrees` must be at least 0 and at most 360; got 361"),
        (lambda: augment.Flip(alternating=1), "`alternating` must be True or False"),
        (lambda: augment.Flip(probability=0.2, alternating=True), "every second epoch; got .* 0.2"),
        (lambda: augment.Shift(-1), "`most` must be a whole number of at least 0"),
        (lambda: augment.Shift(1, mode="wrap"), "`mode` must be 'reflect' or 'zeros'; got 'wrap'"),
        (lambda: augment.Crop(0), "`size` must be a whole number of at least 1"),
        (lambda: augment.Crop((1, 2, 3)), "`size` must be a whole number or two"),
        (lambda: augment.Crop(3, padding=-1), "`padding`"),
        (lambda: augment.Cutout(0), "`size`"),
        (lambda: augment.Cutout(2, fill=float("nan")), "`fill` must be a finite number"),
        (lambda: augment.Rotation(-1), "`degrees`"),
        (lambda: augment.Mixup(0), "`alpha` must be above 0"),
        (lambda: augment.Mixup(1.0, 1), "`n_classes` must be a whole number of at least 2"),
        (lambda: augment.CutMix(float("inf")), "`alpha`"),
        (lambda: augment.Normalize(0.5, 0), "`deviation` must be above 0"),
        (lambda: augment.Normalize((1, 2), (1, 2, 3)), "as many channels; got 2 and 3"),
        (lambda: augment.Normalize((), 1), "`mean` must be a number, or one for each channel"),
        (lambda: augment.Compose(augment.Flip(), 3), "`transforms` must be functions; got 3"),
        (lambda: augment.Compose(OnHost(augment.Flip())), r"Give OnHost\(Compose"),
    ],
)
def test_settings_that_cannot_be(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("mix", [augment.Mixup, augment.CutMix])
def test_shares_of_other_classes_than_the_outputs(mix, n_classes):
    model = nn.Sequential(nn.Flatten(), nn.Dense(X[0].size, 3), nn.Softmax(), seed=0)
    trainer = nn.Trainer(model, nn.CategoricalCrossentropy(), nn.SGD(0.1), backend="numpy")
    transform = augment.Compose(augment.Flip(), mix(1.0, n_classes=n_classes))
    with pytest.raises(LabelError, match=r"3 columns.* as `transform` made .*`n_classes`"):
        trainer.fit(X, np.arange(len(X)) % 3, progress=False, transform=transform)


def test_they_say_what_they_are():
    shown = repr(augment.Compose(augment.Flip(alternating=True), augment.Crop(32, padding=4)))
    assert shown == "Compose(Flip(alternating=True), Crop(32, padding=4))"
