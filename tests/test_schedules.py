"""Learning-rate schedules, against PyTorch's where it has the same, and their settings."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp._monitor import Monitor
from nnfs_xp._settings import settings_of

STEPS = 40


def rates(schedule, steps=STEPS):
    return [schedule.rate(step) for step in range(steps)]


def torch_rates(build, steps=STEPS, rate=0.1):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], rate)
    scheduler = build(torch.optim.lr_scheduler, optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (nn.StepDecay(0.1, every=7, factor=0.3), lambda t, o: t.StepLR(o, 7, 0.3)),
        (nn.ExponentialDecay(0.1, 0.9), lambda t, o: t.ExponentialLR(o, 0.9)),
        (nn.CosineDecay(0.1, STEPS), lambda t, o: t.CosineAnnealingLR(o, STEPS)),
        (
            nn.CosineDecay(0.1, 9, final_rate=0.01, restarts=True),
            lambda t, o: t.CosineAnnealingWarmRestarts(o, 9, eta_min=0.01),
        ),
        (
            nn.CosineDecay(0.1, 5, restarts=True, growth=2),
            lambda t, o: t.CosineAnnealingWarmRestarts(o, 5, T_mult=2),
        ),
        (
            nn.OneCycle(0.5, STEPS),
            lambda t, o: t.OneCycleLR(o, 0.5, total_steps=STEPS, cycle_momentum=False),
        ),
    ],
)
def test_rates_are_those_of_torch(mine, theirs):
    steps = STEPS - 1  # OneCycleLR refuses a step beyond its last
    np.testing.assert_allclose(
        rates(mine, steps), torch_rates(theirs, steps), rtol=1e-9, atol=1e-15
    )


def test_the_books_decay_is_the_optimizers():
    schedule, optimizer = nn.InverseTimeDecay(0.5, 0.1), nn.SGD(0.5, decay=0.1)
    for step in range(5):
        optimizer.iterations = step
        assert (
            optimizer.current_learning_rate == schedule.rate(step) == 0.5 * (1 / (1 + 0.1 * step))
        )
        assert nn.SGD(schedule).current_learning_rate == 0.5


def test_warm_up_rises_in_a_line_and_then_falls_to_the_end():
    found = rates(nn.CosineDecay(0.4, 10, warmup_steps=4, final_rate=0.1), 20)
    assert found[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])
    assert found[9] == pytest.approx(0.1 + 0.3 * (1 + math.cos(math.pi / 2)) / 2)
    assert found[14:] == pytest.approx([0.1] * 6)


def test_exponential_decay_counts_in_its_unit():
    assert nn.ExponentialDecay(0.1, 0.25, per=10).rate(5) == pytest.approx(0.05)


def test_one_cycle_stays_at_its_end():
    schedule = nn.OneCycle(1.0, 10)
    assert schedule.rate(9) == schedule.rate(1000) == pytest.approx(1 / 25 / 1e4)


def test_a_plateau_reduces_the_rate_as_torch_does():
    torch = pytest.importorskip("torch")
    losses = [5, 4, 4, 4.1, 3.99995, 4, 4, 3, 2, 2, 2, 2, 2, 2, float("nan"), 1]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=2, threshold=1e-4, threshold_mode="abs"
    )
    mine = nn.ReduceOnPlateau(0.1, monitor="loss", factor=0.5, patience=2)
    found = []
    for loss in losses:
        theirs.step(loss)
        mine.observe({"loss": loss})
        found.append(mine.rate(0))
        assert mine.rate(0) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert len(set(found)) == 4, "the rate fell three times"


def test_a_plateau_waits_for_the_end_of_the_warm_up():
    schedule = nn.Warmup(nn.ReduceOnPlateau(0.1, monitor="loss", patience=1), steps=20)
    for epoch in range(10):
        assert schedule.rate(2 * epoch + 1) == pytest.approx(0.1 * (2 * epoch + 2) / 20)
        schedule.observe({"loss": 1.0})
    found = []
    for epoch in range(10, 14):
        found.append(schedule.rate(2 * epoch + 1))
        schedule.observe({"loss": 1.0})
    assert found == pytest.approx([0.1, 0.1, 0.1, 0.01])


def test_what_a_plateau_has_seen_can_be_taken_up_again():
    def run(cut):
        def build():
            return nn.ReduceOnPlateau(
                0.1, monitor="accuracy", mode="max", patience=1, min_rate=0.02, cooldown=1
            )

        schedule = build()
        for epoch, accuracy in enumerate([0.5, 0.6, 0.6, 0.6, 0.5, 0.5, 0.5]):
            if epoch == cut:
                state = schedule.state()
                schedule = build()
                schedule.load_state(state)
            schedule.observe({"accuracy": accuracy})
        return schedule.rate(0), schedule.state()

    assert all(run(cut) == run(None) for cut in range(7))
    assert run(None)[0] == 0.02


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.StepDecay(0.1, every=0),
        lambda: nn.StepDecay(0.1, every=3, factor=1.0),
        lambda: nn.StepDecay(-0.1, every=3),
        lambda: nn.ExponentialDecay(0.1, 1.5),
        lambda: nn.ExponentialDecay(0.1, 0.5, per=0),
        lambda: nn.CosineDecay(0.1, 0),
        lambda: nn.CosineDecay(0.1, 10, final_rate=0.2),
        lambda: nn.CosineDecay(0.1, 10, warmup_steps=-1),
        lambda: nn.CosineDecay(0.1, 10, growth=0.5),
        lambda: nn.OneCycle(0.1, 1),
        lambda: nn.OneCycle(0.1, 10, rising_share=1.0),
        lambda: nn.FlatCosine(0.1, 0),
        lambda: nn.FlatCosine(0.1, 10, flat_share=1.0),
        lambda: nn.FlatCosine(0.1, 10, final_rate=0.2),
        lambda: nn.CosLog(0.0, 10),
        lambda: nn.CosLog(0.1, 0),
        lambda: nn.CosLog(0.1, 10, cycles=0),
        lambda: nn.InverseTimeDecay(0.1, -1),
        lambda: nn.ReduceOnPlateau(0.1, factor=0),
        lambda: nn.ReduceOnPlateau(0.1, mode="up"),
        lambda: nn.ReduceOnPlateau(0.1, monitor=""),
        lambda: nn.ReduceOnPlateau(0.1, patience=-1),
        lambda: nn.ReduceOnPlateau(0.1, cooldown=-1),
        lambda: nn.Warmup(0.1, 0),
        lambda: nn.Warmup("fast", 3),
        lambda: nn.Warmup(0.1, 3, start=-0.1),
        lambda: nn.Warmup(nn.StepDecay(0.1, every=3), 3, start=0.2),
        lambda: nn.Adam(nn.StepDecay(0.1, every=3), decay=0.1),
        lambda: nn.SGD("fast"),
        lambda: nn.SGD(clip_norm=0.0),
        lambda: nn.SGD(clip_value=-1.0),
        lambda: nn.SGD(average_decay=1.0),
        lambda: nn.SGD(weight_decay=-0.1),
        lambda: nn.AdamW(weight_decay="much"),
        lambda: nn.Dense(2, 3, max_norm=0.0),
    ],
)
def test_settings_out_of_range_are_refused(build):
    with pytest.raises(nn.errors.ArgumentError):
        build()


def test_coslog_rises_and_falls_as_often_as_it_is_told():
    steps, peak = 3000, 0.3
    for cycles in (1, 2, 4):
        schedule = nn.CosLog(peak, steps, cycles=cycles)
        found = np.array(rates(schedule, steps + 1))
        bounds = [(2**n - 1) / (2**cycles - 1) * steps for n in range(cycles + 1)]
        for start, end in pairwise(bounds):
            within = found[math.ceil(start) : math.floor(end) + 1]
            top = int(within.argmax())
            assert within[top] == pytest.approx(peak, rel=1e-3)
            assert (np.diff(within[: top + 1]) >= 0).all()
            assert (np.diff(within[top:]) <= 0).all()
            for bound in (start, end):
                assert schedule.rate(round(bound)) == pytest.approx(0.0, abs=1e-3 * peak)
    expected = peak * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * 0.37))) / 2
    assert nn.CosLog(peak, 100).rate(37) == pytest.approx(expected, rel=1e-12)
    assert nn.CosLog(peak, 100).rate(10**6) == pytest.approx(0.0, abs=1e-12)


def test_a_flat_cosine_stays_and_then_falls_as_a_cosine():
    schedule = nn.FlatCosine(0.4, 40, flat_share=0.25, final_rate=0.1)
    assert rates(schedule, 11) == [0.4] * 11
    half = nn.CosineDecay(0.4, 30, final_rate=0.1)
    assert rates(schedule, 60)[10:] == pytest.approx(rates(half, 50), rel=1e-12)
    assert nn.FlatCosine(0.4, 40).rate(40) == nn.FlatCosine(0.4, 40).rate(99) == 0.0
    whole = nn.FlatCosine(0.4, 40, flat_share=0.0)
    assert rates(whole) == pytest.approx(rates(nn.CosineDecay(0.4, 40)), rel=1e-12)


@pytest.mark.parametrize("kind", [nn.SGD, nn.AdamW, nn.Lion])
def test_a_weight_decay_follows_a_schedule(backend, kind):
    layer = nn.Dense(2, 1, dtype="float64", seed=0).to(backend)
    expected = nn.to_numpy(layer.weights).copy()
    optimizer = kind(0.1, weight_decay=nn.StepDecay(0.5, every=2))
    for decay in (0.5, 0.5, 0.05, 0.05):
        assert optimizer.current_weight_decay == pytest.approx(decay)
        optimizer.step(layer)
        expected = expected * (1 - 0.1 * decay)
        np.testing.assert_allclose(nn.to_numpy(layer.weights), expected, rtol=1e-12)
    assert set(optimizer.schedules()) == {"weight_decay"}


def test_a_schedule_of_two_settings_learns_once_from_each_epoch():
    schedule = nn.ReduceOnPlateau(0.1, monitor="loss", patience=1)
    seen = []
    schedule.observe = lambda figures: seen.append(figures["loss"])
    model = nn.Sequential(nn.Dense(3, 1, seed=0))
    optimizer = nn.AdamW(schedule, weight_decay=schedule)
    trainer = nn.Trainer(model, nn.MeanSquaredError(), optimizer, backend="numpy", metrics=())
    history = trainer.fit(np.ones((8, 3)), np.ones(8), epochs=3, progress=False)
    assert seen == history["loss"]


def test_a_plateau_lowers_the_weight_decay_of_a_training():
    schedule = nn.ReduceOnPlateau(0.5, monitor="loss", mode="max", patience=0, factor=0.5)
    model = nn.Sequential(nn.Dense(3, 1, seed=0))
    optimizer = nn.SGD(0.05, weight_decay=schedule)
    trainer = nn.Trainer(model, nn.MeanSquaredError(), optimizer, backend="numpy", metrics=())
    trainer.fit(np.eye(3), np.arange(3.0), epochs=3, progress=False)
    assert optimizer.current_weight_decay == 0.5 * 0.5**2, "the loss fell twice"
    other = nn.Trainer(
        nn.Sequential(nn.Dense(3, 1, seed=0)),
        nn.MeanSquaredError(),
        nn.SGD(0.05, weight_decay=schedule),
        backend="numpy",
        metrics=(),
    )
    with pytest.raises(nn.errors.ArgumentError, match="has learnt from another training"):
        other.fit(np.eye(3), np.arange(3.0), epochs=1, progress=False)


def test_gradients_are_clipped_to_a_norm_all_together(backend):
    torch = pytest.importorskip("torch")
    model = nn.Sequential(nn.Dense(3, 2, dtype="float64"), nn.Dense(2, 1, dtype="float64")).to(
        backend
    )
    generator = np.random.default_rng(0)
    for limit in (0.5, 100.0):
        before = nn.to_numpy(model.flat.values).copy()
        gradients = generator.normal(size=before.shape)
        model.flat.gradients[...] = backend.asarray(gradients)
        theirs = torch.nn.Parameter(torch.tensor(before))
        theirs.grad = torch.tensor(gradients)
        torch.nn.utils.clip_grad_norm_(theirs, limit)
        nn.SGD(1.0, clip_norm=limit).step(model)
        moved = before - nn.to_numpy(model.flat.values)
        np.testing.assert_allclose(moved, theirs.grad.numpy(), rtol=1e-5)  # torch adds 1e-6


def test_a_step_keeps_the_weights_into_each_neuron_within_the_norm(backend):
    layer = nn.Dense(3, 2, max_norm=2.0, initializer=None, dtype="float64").to(backend)
    layer.weights = [[3.0, 0.1], [4.0, 0.2], [0.0, 0.3]]
    nn.SGD(0.1).step(layer)
    expected = [[3 * 0.4, 0.1], [4 * 0.4, 0.2], [0.0, 0.3]]
    np.testing.assert_allclose(nn.to_numpy(layer.weights), expected, rtol=1e-10)


def test_an_average_of_the_weights_is_kept_and_exchanged(backend):
    layer = nn.Dense(1, 1, initializer=None, dtype="float64").to(backend)
    optimizer = nn.SGD(1.0, average_decay=0.5)
    average = weight = 0.0
    for gradient in (1.0, -3.0, 2.0):
        layer.dweights[...] = gradient
        optimizer.step(layer)
        weight -= gradient
        average = 0.5 * average + 0.5 * weight
    assert float(nn.to_numpy(layer.weights)[0, 0]) == weight
    optimizer.exchange_average(layer)
    assert float(nn.to_numpy(layer.weights)[0, 0]) == average
    optimizer.exchange_average(layer)
    assert float(nn.to_numpy(layer.weights)[0, 0]) == weight
    with pytest.raises(nn.errors.NotReadyError, match="average_decay"):
        nn.SGD(1.0).exchange_average(layer)


def test_decay_leaves_biases_alone(backend):
    layer = nn.Dense(2, 2, seed=0).to(backend)
    layer.biases = [[1.0, 2.0]]
    weights = nn.to_numpy(layer.weights).copy()
    nn.SGD(0.1, weight_decay=0.5).step(layer)
    np.testing.assert_allclose(nn.to_numpy(layer.weights), 0.95 * weights, rtol=1e-6)
    assert nn.to_numpy(layer.biases).tolist() == [[1.0, 2.0]]


def test_gradients_are_clipped_to_the_norm_first_and_then_each(backend):
    layer = nn.Dense(2, 1, initializer=None, dtype="float64").to(backend)
    layer.dweights = [[3.0], [4.0]]
    nn.SGD(1.0, clip_norm=1.0, clip_value=0.7).step(layer)
    np.testing.assert_allclose(nn.to_numpy(layer.weights), [[-0.6], [-0.7]], rtol=1e-9)


def test_no_gradient_is_clipped_to_none(backend):
    layer = nn.Dense(2, 1, seed=0).to(backend)
    before = nn.to_numpy(layer.weights).copy()
    nn.SGD(1.0, clip_norm=1.0).step(layer)
    np.testing.assert_array_equal(nn.to_numpy(layer.weights), before)


def test_decay_of_weights_follows_the_learning_rate_of_the_step(backend):
    layer = nn.Dense(1, 1, initializer=None, dtype="float64").to(backend)
    layer.weights = [[1.0]]
    optimizer = nn.SGD(0.1, decay=1.0, weight_decay=0.5)
    optimizer.step(layer)
    optimizer.step(layer)
    assert float(nn.to_numpy(layer.weights)[0, 0]) == pytest.approx(0.95 * 0.975)


def test_weights_are_within_the_norm_after_a_step_that_leads_out(backend):
    layer = nn.Dense(2, 1, initializer=None, max_norm=1.0, dtype="float64").to(backend)
    layer.dweights = [[-30.0], [-40.0]]
    optimizer = nn.SGD(1.0, average_decay=0.0)
    optimizer.step(layer)
    np.testing.assert_allclose(nn.to_numpy(layer.weights), [[0.6], [0.8]], rtol=1e-9)
    average = nn.to_numpy(optimizer.state(layer)["average"])
    np.testing.assert_allclose(average[:2], [0.6, 0.8], rtol=1e-9)


def test_a_plateau_stops_at_the_least_rate_which_the_initial_one_is_not_below():
    for least, expected in ((0.1, 0.1), (0.05, 0.05), (0.0, 0.1 * 0.1**2)):
        schedule = nn.ReduceOnPlateau(0.1, monitor="loss", patience=0, min_rate=least)
        for _ in range(3):
            schedule.observe({"loss": 1.0})
        assert schedule.rate(0) == pytest.approx(expected, rel=1e-14)
    with pytest.raises(nn.errors.ArgumentError, match=r"`min_rate` must be at most 0\.1, the init"):
        nn.ReduceOnPlateau(0.1, min_rate=1.0)
    with pytest.raises(nn.errors.ArgumentError, match=r"`rate` must be between 0\.05 and the"):
        nn.ReduceOnPlateau(0.1, min_rate=0.05).load_state({"rate": 0.01, "best": 1.0, "waited": 0})


@pytest.mark.parametrize("direction", ["min", "max", None])
def test_a_mode_goes_before_what_a_metric_says(direction):
    for mode in ("min", "max"):
        monitor = Monitor("mine", mode)
        monitor.check({"loss": "min", "mine": direction})
        monitor.observe({"mine": 0.5})
        assert monitor.observe({"mine": 0.4}) is (mode == "min")
        assert monitor.waited == (0 if mode == "min" else 1)


@pytest.mark.parametrize("direction", ["min", "max"])
def test_auto_goes_by_what_a_metric_says(direction):
    monitor = Monitor("mine")
    monitor.check({"loss": "min", "mine": direction})
    found = [monitor.observe({"mine": value}) for value in (0.5, math.nan, 0.4, 0.6)]
    assert found == [True, False, direction == "min", direction == "max"]


def test_auto_refuses_what_has_no_direction():
    monitor = Monitor("mine")
    complaint = r"'mine' is better. Give mode='min' or mode='max', or set `direction`"
    with pytest.raises(nn.errors.ArgumentError, match=complaint):
        monitor.check({"loss": "min", "mine": None})
    with pytest.raises(nn.errors.ArgumentError, match=complaint):
        nn.ReduceOnPlateau(0.1, monitor="mine").observe({"mine": 0.5})


def test_without_a_trainer_auto_knows_of_losses():
    for name in ("loss", "val_loss"):
        schedule = nn.ReduceOnPlateau(0.1, monitor=name, patience=0, factor=0.5)
        rates = []
        for value in (3.0, 2.0, 2.5):
            schedule.observe({name: value})
            rates.append(schedule.rate(0))
        assert rates == [0.1, 0.1, 0.05]


def test_a_best_that_was_none_fits_whichever_way_is_better_now():
    for best in (-math.inf, math.inf):
        monitor = Monitor("mine", "min")
        monitor.load_state({"best": best, "waited": 2})
        assert monitor.waited == 2
        assert monitor.observe({"mine": 7.0})
        assert monitor.state() == {"best": 7.0, "waited": 0}
    monitor = Monitor("mine")
    monitor.load_state({"best": 0.5, "waited": 1})
    monitor.check({"mine": "max"})
    assert monitor.state() == {"best": 0.5, "waited": 1}
    assert not monitor.observe({"mine": 0.4})
    for state in ({"best": math.nan, "waited": 0}, {"best": True, "waited": 0}):
        with pytest.raises(nn.errors.ArgumentError, match="is no number"):
            monitor.load_state(state)


def test_epochs_after_a_cut_do_not_count_as_waiting():
    def rates(cooldown):
        schedule = nn.ReduceOnPlateau(
            1.0, monitor="loss", patience=1, factor=0.5, cooldown=cooldown
        )
        found = []
        for _ in range(9):
            schedule.observe({"loss": 1.0})
            found.append(schedule.rate(0))
        return found

    assert rates(0) == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625]
    assert rates(2) == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_a_cooldown_is_that_of_torch():
    torch = pytest.importorskip("torch")
    losses = [5, 5, 5, 5, 5, 4, 4, 4, 4, 4, 4, 4, float("nan"), 4, 4, 3, 3, 3, 3, 3]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=1, cooldown=2, threshold=1e-4, threshold_mode="abs"
    )
    mine = nn.ReduceOnPlateau(0.1, monitor="loss", factor=0.5, patience=1, cooldown=2)
    found = []
    for loss in losses:
        theirs.step(loss)
        mine.observe({"loss": loss})
        found.append(mine.rate(0))
        assert mine.rate(0) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert len(set(found)) == 5, "the rate fell four times"


def test_a_state_from_before_there_was_a_cooldown():
    schedule = nn.ReduceOnPlateau(0.1, monitor="loss", cooldown=3)
    schedule.load_state({"rate": 0.05, "best": 2.0, "waited": 4})
    assert schedule.state() == {"rate": 0.05, "cooling": 0, "best": 2.0, "waited": 4}
    plateau = nn.ReduceOnPlateau(0.1)
    assert "cooldown" not in settings_of(plateau)["config"], "older checkpoints know of none"
    assert settings_of(schedule)["config"]["cooldown"] == 3


def test_a_warm_up_leads_to_the_first_rate_of_what_comes_after():
    schedule = nn.Warmup(nn.StepDecay(0.4, every=2), 4)
    assert rates(schedule, 8) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.04, 0.04])
    assert rates(nn.Warmup(0.5, 5, start=0.25), 7) == pytest.approx(
        [0.3, 0.35, 0.4, 0.45, 0.5, 0.5, 0.5]
    )
    cosine = nn.CosineDecay(0.3, 12, final_rate=0.01)
    built_in = nn.CosineDecay(0.3, 12, final_rate=0.01, warmup_steps=5)
    assert rates(nn.Warmup(cosine, 5)) == pytest.approx(rates(built_in), rel=1e-14)


def test_a_warm_up_hands_figures_and_states_through():
    def build():
        return nn.Warmup(nn.ReduceOnPlateau(0.4, monitor="mine", patience=0, factor=0.5), 2)

    schedule = build()
    with pytest.raises(nn.errors.ArgumentError, match="no figure 'mine'"):
        schedule.check_figures({"loss": "min"})
    schedule.check_figures({"loss": "min", "mine": "max"})
    for value in (0.5, 0.4):
        schedule.observe({"mine": value})
    assert rates(schedule, 4) == pytest.approx([0.1, 0.2, 0.2, 0.2])
    again = build()
    again.check_figures({"mine": "max"})
    again.load_state(schedule.state())
    assert again.state() == schedule.state()
    assert rates(again, 4) == rates(schedule, 4)
    constant = nn.Warmup(0.5, 2)
    constant.check_figures({})
    constant.observe({})
    assert constant.state() == {}


def test_a_figure_counts_as_better_by_more_than_the_least_difference():
    monitor = Monitor("loss", min_delta=0.25)
    found = [monitor.observe({"loss": loss}) for loss in (1.0, 0.75, 0.5, 0.5)]
    assert found == [True, False, True, False]


def test_one_cycle_rises_for_its_share_as_in_torch():
    mine = nn.OneCycle(0.5, STEPS, rising_share=0.6, start_divisor=10.0, final_divisor=100.0)
    theirs = torch_rates(
        lambda t, o: t.OneCycleLR(
            o,
            0.5,
            total_steps=STEPS,
            pct_start=0.6,
            div_factor=10.0,
            final_div_factor=100.0,
            cycle_momentum=False,
        ),
        STEPS - 1,
    )
    np.testing.assert_allclose(rates(mine, STEPS - 1), theirs, rtol=1e-9)
