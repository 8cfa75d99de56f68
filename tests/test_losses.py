"""The losses beyond their contract: weights of samples, extreme outputs, defaults."""

from __future__ import annotations

from copy import copy

import numpy as np
import pytest
from cases import LOSSES
from hypothesis import given
from hypothesis import strategies as st
from test_contract import ids, make, make_targets

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, BackendError, DTypeError, LabelError, ShapeError
from nnfs_xp.training.weights import prepare_weights

WEIGHTS = np.array([2, 1, 3, 1, 1])


@pytest.mark.parametrize("case", LOSSES, ids=ids(LOSSES))
class TestWeights:
    def test_a_weight_is_a_number_of_repetitions(self, backend, case):
        """Up to the scale: weights of mean 1 divide by n, repetitions by their own number."""
        y_pred, y_true = make(backend, case.y_pred), make_targets(backend, case.y_true, "float64")
        weights = make(backend, WEIGHTS * (5 / WEIGHTS.sum()))
        repeated = (
            make(backend, np.repeat(case.y_pred, WEIGHTS, axis=0)),
            make_targets(backend, np.repeat(case.y_true, WEIGHTS, axis=0), "float64"),
        )
        mean = case.loss.calculate(y_pred, y_true, weights)
        expected = case.loss.calculate(*repeated)
        np.testing.assert_allclose(nn.to_numpy(mean), nn.to_numpy(expected), rtol=1e-14)

        gradient = nn.to_numpy(case.loss.backward(y_pred, y_true, weights))
        rows = nn.to_numpy(case.loss.backward(*repeated))
        starts = np.cumsum(WEIGHTS) - WEIGHTS
        summed = np.add.reduceat(rows, starts, axis=0)
        np.testing.assert_allclose(gradient, summed, rtol=1e-13, atol=1e-16)

    def test_torch_agrees_on_weights(self, backend, case):
        if case.torch is None:
            return
        torch = pytest.importorskip("torch")
        y_pred = torch.tensor(case.y_pred, requires_grad=True)
        floats = case.y_true.dtype.kind == "f"
        y_true = torch.tensor(case.y_true, dtype=y_pred.dtype if floats else None)
        weights = torch.tensor(WEIGHTS)
        rows = [case.torch(torch, y_pred[i : i + 1], y_true[i : i + 1]) for i in range(5)]
        expected = sum(w * row for w, row in zip(weights, rows, strict=True)) / 5
        expected.backward()
        mine = make(backend, case.y_pred), make_targets(backend, case.y_true, "float64")
        gradient = case.loss.backward(*mine, make(backend, WEIGHTS, "float64"))
        np.testing.assert_allclose(
            nn.to_numpy(gradient), y_pred.grad.numpy(), rtol=1e-12, atol=1e-14
        )

    def test_weights_that_do_not_fit(self, backend, case):
        y_pred, y_true = make(backend, case.y_pred), make_targets(backend, case.y_true, "float64")
        other = nn.get_backend("numpy" if backend.name != "numpy" else "array_api_strict")
        ones = np.ones(5)
        for weights, error, message in [
            (backend.asarray(ones[:4]), ShapeError, r"shape \(5,\), one weight for each"),
            (backend.asarray(ones[:, None]), ShapeError, r"got \(5, 1\)"),
            (backend.asarray(np.array(1.0)), ShapeError, r"got \(\)"),
            (backend.asarray(ones, "float32"), DTypeError, "dtype of the predictions"),
            (backend.asarray(ones.astype(int)), DTypeError, "dtype of the predictions"),
            (other.asarray(ones), BackendError, "Move it"),
        ]:
            for call in (case.loss.calculate, case.loss.backward):
                with pytest.raises(error, match=message):
                    call(y_pred, y_true, weights)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_both_passes_at_once(self, backend, case, dtype):
        y_pred, y_true = (
            make(backend, case.y_pred, dtype),
            make_targets(backend, case.y_true, dtype),
        )
        tolerance = 16 * np.finfo(dtype).eps
        for weights in ([], [make(backend, WEIGHTS, dtype)]):
            mean, gradient = case.loss.calculate_and_backward(y_pred, y_true, *weights)
            assert mean.dtype == gradient.dtype == y_pred.dtype
            for found, expected in (
                (mean, case.loss.calculate(y_pred, y_true, *weights)),
                (gradient, case.loss.backward(y_pred, y_true, *weights)),
            ):
                expected = nn.to_numpy(expected)
                atol = tolerance * np.abs(expected).max()
                np.testing.assert_allclose(nn.to_numpy(found), expected, rtol=tolerance, atol=atol)

    def test_a_class_derived_from_it_is_asked_for_both_passes(self, backend, case):
        class Doubled(type(case.loss)):
            def forward(self, y_pred, y_true):
                return 2 * super().forward(y_pred, y_true)

            def backward(self, y_pred, y_true, sample_weight=None):
                return 2 * super().backward(y_pred, y_true, sample_weight)

        doubled = copy(case.loss)
        doubled.__class__ = Doubled
        arguments = make(backend, case.y_pred), make_targets(backend, case.y_true, "float64")
        once = case.loss.calculate_and_backward(*arguments)
        twice = doubled.calculate_and_backward(*arguments)
        for one, two in zip(once, twice, strict=True):
            np.testing.assert_allclose(nn.to_numpy(two), 2 * nn.to_numpy(one), rtol=1e-12)

    def test_weights_that_do_not_fit_both_passes(self, backend, case):
        arguments = make(backend, case.y_pred), make_targets(backend, case.y_true, "float64")
        with pytest.raises(ShapeError, match=r"shape \(5,\), one weight for each"):
            case.loss.calculate_and_backward(*arguments, backend.asarray(np.ones(4)))


def test_classes_weighted_as_in_pytorch(backend):
    """Whose mean is over the weights: what weights of mean 1 make of ours."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    z, y, of_classes = rng.normal(size=(9, 3)), rng.integers(0, 3, 9), [0.5, 1.0, 4.0]
    logits = torch.tensor(z, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        logits, torch.tensor(y), weight=torch.tensor(of_classes, dtype=torch.float64)
    )
    expected.backward()
    weights = backend.asarray(prepare_weights(y, 3, class_weight=of_classes))
    loss = nn.SoftmaxCategoricalCrossentropy()
    pair = backend.asarray(z), backend.asarray(y)
    mean = nn.to_numpy(loss.calculate(*pair, weights))
    np.testing.assert_allclose(mean, expected.item(), rtol=1e-13)
    gradient = nn.to_numpy(loss.backward(*pair, weights))
    np.testing.assert_allclose(gradient, logits.grad.numpy(), rtol=1e-12, atol=1e-15)


INF = float("inf")
CATEGORICAL = [
    nn.SoftmaxCategoricalCrossentropy(),
    nn.SoftmaxCategoricalCrossentropy(label_smoothing=0.1),
    nn.FocalLoss(),
    nn.FocalLoss(gamma=0.5, alpha=[1.0, 2.0, 3.0]),
    nn.FocalLoss(gamma=0.0),
    nn.CategoricalHinge(),
]


class TestExtremes:
    @pytest.mark.parametrize("loss", CATEGORICAL)
    @pytest.mark.parametrize("one_hot", [False, True])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_logits_of_classes(self, backend, loss, one_hot, dtype):
        z = np.array(
            [
                [1e4, -1e4, 0],
                [-1e4, 1e4, 0],
                [3e38, -3e38, 0],
                [-3e38, 3e38, 0],
                [0, -INF, 1],
                [-INF, -INF, 5],
                [-INF, 0, 1],
            ]
        )
        y = np.array([0, 0, 0, 0, 0, 2, 0])
        y_true = np.eye(3, dtype=dtype)[y] if one_hot else y
        pair = backend.asarray(z, dtype), backend.asarray(y_true)
        with np.errstate(over="ignore"):  # 3e38 twice over is infinite in float32
            losses = nn.to_numpy(loss.forward(*pair))
            gradient = nn.to_numpy(loss.backward(*pair))
        assert not np.isnan(losses).any()
        assert np.isfinite(gradient).all()
        assert (losses >= 0).all()
        assert losses[-1] == INF
        smooth = isinstance(loss, nn.SoftmaxCategoricalCrossentropy) and loss.label_smoothing
        if not smooth:
            assert losses[0] == losses[2] == losses[5] == 0
            assert losses[1] >= 1e4

    @pytest.mark.parametrize("smoothing", [0.0, 0.2])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_logits_of_yes_or_no(self, backend, smoothing, dtype):
        loss = nn.SigmoidBinaryCrossentropy(label_smoothing=smoothing)
        z = np.array([[1e4], [-1e4], [3e38], [-3e38], [INF], [-INF], [1e4], [-INF]])
        y = np.array([1, 0, 1, 0, 1, 0, 0, 1])
        pair = backend.asarray(z, dtype), backend.asarray(y)
        losses = nn.to_numpy(loss.forward(*pair))
        assert not np.isnan(losses).any()
        if not smoothing:
            np.testing.assert_array_equal(losses, [0, 0, 0, 0, 0, 0, 1e4, INF])
            expected = np.array([0, 0, 0, 0, 0, 0, 1, -1]) / 8
            np.testing.assert_array_equal(nn.to_numpy(loss.backward(*pair))[:, 0], expected)

    @pytest.mark.parametrize("loss", CATEGORICAL)
    @pytest.mark.parametrize("bad", [-1, 3])
    def test_a_label_that_is_no_class_gives_nan(self, backend, loss, bad):
        pair = backend.asarray(np.eye(3) + 1 / 3), backend.asarray(np.array([0, bad, 2]))
        losses = nn.to_numpy(loss.forward(*pair))
        np.testing.assert_array_equal(np.isnan(losses), [False, True, False])
        gradient = nn.to_numpy(loss.backward(*pair))
        np.testing.assert_array_equal(np.isnan(gradient).any(axis=1), [False, True, False])

    @given(
        rows=st.lists(
            st.lists(st.floats(-1e300, 1e300) | st.just(-INF), min_size=3, max_size=3).filter(
                lambda row: max(row) > -INF
            ),
            min_size=1,
            max_size=4,
        ),
        label=st.integers(0, 2),
    )
    def test_no_logit_gives_nan(self, rows, label):
        y = np.full(len(rows), label)
        for loss in CATEGORICAL:
            with np.errstate(over="ignore"):
                assert not np.isnan(loss.forward(np.array(rows), y)).any()
                assert not np.isnan(loss.backward(np.array(rows), y)).any()

    def test_a_vector_without_a_direction(self, backend):
        loss = nn.CosineLoss()
        y_pred = backend.asarray(np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 0.0]]))
        y_true = backend.asarray(np.array([[1.0, 2.0], [0.0, 0.0], [-2.0, 0.0]]))
        np.testing.assert_allclose(nn.to_numpy(loss.forward(y_pred, y_true)), [1, 1, 2])
        np.testing.assert_allclose(nn.to_numpy(loss.backward(y_pred, y_true)), 0, atol=1e-15)

    def test_a_rate_of_zero(self, backend):
        loss = nn.Poisson(log_input=False)
        pair = backend.asarray(np.zeros((2, 1))), backend.asarray(np.array([0, 3]))
        assert np.isfinite(nn.to_numpy(loss.forward(*pair))).all()
        gradient = nn.to_numpy(loss.backward(*pair))
        assert np.isfinite(gradient).all()
        assert gradient[0, 0] > 0 > gradient[1, 0]


@given(smoothing=st.floats(0, 0.99), seed=st.integers(0, 100))
def test_smoothing_mixes_the_loss_with_that_of_all_classes(smoothing, seed):
    z = np.random.default_rng(seed).normal(size=(4, 3))
    y = np.array([0, 1, 2, 0])
    plain = nn.SoftmaxCategoricalCrossentropy()
    everywhere = sum(plain.forward(z, np.full(4, label)) for label in range(3)) / 3
    expected = (1 - smoothing) * plain.forward(z, y) + smoothing * everywhere
    np.testing.assert_allclose(
        nn.SoftmaxCategoricalCrossentropy(smoothing).forward(z, y), expected, rtol=1e-12
    )


@pytest.mark.parametrize(
    ("loss", "layer"),
    [(nn.CategoricalCrossentropy, nn.Softmax), (nn.BinaryCrossentropy, nn.Sigmoid)],
)
def test_a_fused_loss_smooths_as_much(loss, layer):
    assert loss(label_smoothing=0.3).fused_with(layer()).label_smoothing == 0.3
    assert loss(label_smoothing=0.3).fused_with(nn.Linear()) is None


def test_focal_loss_of_one_device_after_another(backend):
    loss = nn.FocalLoss(alpha=[1.0, 2.0])
    z, y = np.array([[0.5, 1.0]]), np.array([1])
    expected = loss.forward(z, y)
    for dtype in ("float32", "float64"):
        found = loss.forward(backend.asarray(z, dtype), backend.asarray(y))
        np.testing.assert_allclose(nn.to_numpy(found), expected, rtol=1e-6)
    np.testing.assert_array_equal(loss.forward(z, y), expected)


def test_what_outputs_stand_for(backend):
    z = np.array([[-1.0, 0.2, 3.0]])
    on_device = backend.asarray(z)

    def host(array):
        return nn.to_numpy(array)

    np.testing.assert_allclose(host(nn.Poisson().predictions(on_device)), np.exp(z))
    np.testing.assert_array_equal(host(nn.Poisson(log_input=False).predictions(on_device)), z)
    np.testing.assert_array_equal(host(nn.Hinge().predictions(on_device)), [[0, 1, 1]])
    np.testing.assert_array_equal(host(nn.CategoricalHinge().predictions(on_device)), [2])
    np.testing.assert_allclose(
        host(nn.FocalLoss().probabilities(on_device)), np.exp(z) / np.exp(z).sum()
    )
    for loss in (nn.Hinge(), nn.CategoricalHinge(), nn.Poisson(), nn.CosineLoss(), nn.Huber()):
        with pytest.raises(nn.NnfsError, match="no probabilities"):
            loss.probabilities(on_device)


def test_the_accuracy_of_rates_is_that_of_rates(backend):
    accuracy = nn.Poisson().accuracy()
    y = np.array([[1.0], [5.0], [9.0]])
    accuracy.prepare(backend.asarray(y))
    rates = y + np.array([[0.0], [0.001], [1.0]])
    seen = nn.Poisson().decisions(backend.asarray(np.log(rates)))
    values = accuracy.forward(seen, backend.asarray(y))
    np.testing.assert_array_equal(nn.to_numpy(values), [1, 1, 0])


class TestPinball:
    def test_it_learns_the_quantiles(self, backend):
        y = np.random.default_rng(3).exponential(size=2000).astype(np.float32)
        model = nn.Sequential(nn.Dense(1, 3, seed=0))
        loss = nn.PinballLoss((0.1, 0.5, 0.9))
        trainer = nn.Trainer(model, loss, nn.Adam(nn.CosineDecay(0.1, 600)), backend=backend)
        trainer.fit(np.ones((2000, 1)), y, epochs=60, batch_size=200, progress=False)
        found = trainer.predict(np.ones((1, 1)))
        assert found.shape == (1, 3)
        np.testing.assert_allclose(found[0], np.quantile(y, (0.1, 0.5, 0.9)), rtol=0.05)

    def test_metrics_see_the_middle(self, backend):
        model = nn.Sequential(nn.Dense(2, 4, seed=0))
        loss, metrics = nn.PinballLoss((0.9, 0.45, 0.1, 0.3)), [nn.MAE()]
        trainer = nn.Trainer(model, loss, nn.Adam(), metrics=metrics, backend=backend)
        x, y = np.random.default_rng(0).normal(size=(2, 20, 2))
        figures = trainer.evaluate(x, y[:, 0])
        expected = np.abs(trainer.predict(x)[:, 1] - y[:, 0]).mean()
        assert figures["mae"] == pytest.approx(expected, rel=1e-5)

    def test_samples_of_any_shape(self, backend):
        loss, rng = nn.PinballLoss(), np.random.default_rng(1)
        z, y = rng.normal(size=(4, 5, 3)), rng.normal(size=(4, 5))
        z, y = z.astype(np.float32), y.astype(np.float32)
        expected = loss.forward(backend.asarray(z.reshape(20, 3)), backend.asarray(y.reshape(20)))
        for targets in (y, y[..., None]):
            found = loss.forward(backend.asarray(z), backend.asarray(targets))
            assert tuple(found.shape) == (4, 5)
            np.testing.assert_array_equal(nn.to_numpy(found).ravel(), nn.to_numpy(expected))

    def test_on_the_target_the_gradient_is_that_of_the_middle(self, backend):
        z = backend.asarray(np.array([[2.0, 2.0, 2.0]], np.float32))
        y = backend.asarray(np.array([2.0], np.float32))
        found = nn.PinballLoss((0.1, 0.5, 0.9)).backward(z, y)
        np.testing.assert_allclose(nn.to_numpy(found), [[0.4 / 3, 0.0, -0.4 / 3]], atol=1e-7)

    def test_other_outputs_than_quantiles(self, backend):
        z, y = (backend.asarray(np.zeros(shape, np.float32)) for shape in ((4, 2), 4))
        loss = nn.PinballLoss()
        for call in (loss.forward, loss.backward, loss.calculate):
            with pytest.raises(ArgumentError, match="must be 2, one for each output; got 3"):
                call(z, y)
        with pytest.raises(ArgumentError, match="must be 2, one for each output; got 3"):
            loss.prepare_targets(y, 2, z.dtype)
        z = backend.asarray(np.zeros((4, 3), np.float32))
        with pytest.raises(LabelError, match=r"must have the shape .*\(4, 1\); got \(4, 3\)"):
            loss.forward(z, z)


class TestBadInput:
    def test_settings(self):
        for build in (
            lambda: nn.PinballLoss(()),
            lambda: nn.PinballLoss(0.5),
            lambda: nn.PinballLoss("0.5"),
            lambda: nn.PinballLoss((0.0, 0.5)),
            lambda: nn.PinballLoss((0.5, 1.0)),
            lambda: nn.PinballLoss((float("nan"),)),
            lambda: nn.Huber(0.0),
            lambda: nn.Huber(float("nan")),
            lambda: nn.FocalLoss(gamma=-1),
            lambda: nn.FocalLoss(alpha=0.25),
            lambda: nn.FocalLoss(alpha=[1.0, -1.0]),
            lambda: nn.CategoricalCrossentropy(label_smoothing=1.0),
            lambda: nn.SoftmaxCategoricalCrossentropy(label_smoothing=-0.1),
            lambda: nn.BinaryCrossentropy(label_smoothing="much"),
            lambda: nn.SigmoidBinaryCrossentropy(label_smoothing=2),
        ):
            with pytest.raises(ArgumentError):
                build()

    def test_alpha_of_another_number_of_classes(self, backend):
        loss = nn.FocalLoss(alpha=[1.0, 2.0])
        z, y = backend.asarray(np.zeros((4, 3))), backend.asarray(np.array([0, 1, 2, 0]))
        for call in (
            lambda: loss.forward(z, y),
            lambda: loss.backward(z, y),
            lambda: loss.prepare_targets(y, 3, z.dtype),
        ):
            with pytest.raises(ArgumentError, match="`alpha` must have 3 weights"):
                call()

    def test_negative_counts(self, backend):
        y = backend.asarray(np.array([1, -1]))
        with pytest.raises(LabelError, match="at least 0"):
            nn.Poisson().prepare_targets(y, 1, backend.xp.float64)

    @pytest.mark.parametrize("case", LOSSES, ids=ids(LOSSES))
    def test_outputs_that_are_no_batch(self, backend, case):
        z = make(backend, case.y_pred)
        y = make_targets(backend, case.y_true, "float64")
        for call in (case.loss.forward, case.loss.backward, case.loss.calculate):
            with pytest.raises(ShapeError, match="must have shape"):
                call(z[0, ...], y)

    @pytest.mark.parametrize("case", LOSSES, ids=ids(LOSSES))
    def test_targets_of_other_places(self, backend, case):
        z = make(backend, np.stack([case.y_pred, case.y_pred]))
        for y in (case.y_true, np.stack([case.y_true] * 2)[:, :-1], case.y_true[None, None]):
            for call in (case.loss.forward, case.loss.backward, case.loss.calculate):
                with pytest.raises(LabelError, match="must"):
                    call(z, make_targets(backend, y, "float64"))

    @pytest.mark.parametrize("case", LOSSES, ids=ids(LOSSES))
    def test_targets_of_another_floating_dtype(self, backend, case):
        y_pred = make(backend, case.y_pred, "float32")
        rows = case.y_true if case.y_true.ndim == 2 else np.eye(3)[case.y_true.astype(int)]
        if rows.shape != case.y_pred.shape:
            rows = rows[:, : case.y_pred.shape[1]]
        y_true = make(backend, rows.astype(np.float64))
        for call in (case.loss.forward, case.loss.backward, case.loss.calculate):
            with pytest.raises(DTypeError, match="dtype of the predictions"):
                call(y_pred, y_true)

    @pytest.mark.parametrize("kind", ["uint8", "uint16", "uint32", "uint64", "int8", "int32"])
    def test_integers_of_every_kind(self, backend, kind):
        loss = nn.SoftmaxCategoricalCrossentropy()
        logits = backend.asarray(np.zeros((3, 4)))
        for y in (np.array([0, 3, 1]), np.eye(4)[[0, 3, 1]]):
            y_true = backend.asarray(y.astype(kind))
            prepared = loss.prepare_targets(y_true, 4, logits.dtype)
            for labels in (prepared, y_true):
                losses = nn.to_numpy(loss.forward(logits, labels))
                np.testing.assert_allclose(losses, np.log(4))
        if kind.startswith("u"):
            with pytest.raises(LabelError, match="from 0 to 2"):
                loss.prepare_targets(backend.asarray(np.array([0, 3], dtype=kind)), 3, logits.dtype)


class Own(nn.Loss):
    """A loss of one's own: forward and backward, and nothing else."""

    def forward(self, y_pred, y_true):
        return ((y_pred - y_true) ** 2)[:, 0] / 2

    def backward(self, y_pred, y_true, sample_weight=None):
        return self.weigh((y_pred - y_true) / y_pred.shape[0], sample_weight)


def test_a_loss_of_ones_own_trains(backend):
    x = np.random.default_rng(0).normal(size=(40, 3))
    y = x[:, :1] * 2
    model = nn.Sequential(nn.Dense(3, 1), nn.Linear(), seed=0)
    trainer = nn.Trainer(model, Own(), nn.SGD(0.1), metrics=(), backend=backend)
    history = trainer.fit(x, y, epochs=20, progress=False)
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    assert trainer.predict(x).shape == (40, 1)
    with pytest.raises(ArgumentError, match=r"Own has no accuracy; give metrics=\(\)"):
        nn.Trainer(model, Own(), nn.SGD(0.1), backend=backend)
    assert not Own().has_classes


@pytest.mark.parametrize("case", LOSSES, ids=ids(LOSSES))
def test_losses_train(case):
    """Each loss, put to work by the Trainer, becomes less."""
    n_outputs = case.y_pred.shape[1]
    ends = {"CategoricalCrossentropy": [nn.Softmax()], "BinaryCrossentropy": [nn.Sigmoid()]}
    rates = case.name == "Poisson" and not case.loss.log_input
    end = [nn.Sigmoid()] if rates else ends.get(case.name, [])
    model = nn.Sequential(nn.Dense(5, n_outputs), *end, nn.Linear(), seed=0)
    trainer = nn.Trainer(model, case.loss, nn.SGD(0.05), backend="numpy")
    history = trainer.fit(np.eye(5), case.y_true, epochs=30, progress=False)
    assert history["loss"][-1] < history["loss"][0]
    assert case.loss.has_classes == (case.name in HAVE_CLASSES)


HAVE_CLASSES = {
    "CategoricalCrossentropy",
    "SoftmaxCategoricalCrossentropy",
    "BinaryCrossentropy",
    "SigmoidBinaryCrossentropy",
    "FocalLoss",
    "Hinge",
    "CategoricalHinge",
}
