"""What is behind the page to play with: its sessions, a weight from near, words, recordings."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.cli import main
from nnfs_xp.errors import ArgumentError, NnfsError
from nnfs_xp.see import front_end, hosts, words
from nnfs_xp.see.closeup import Weight, central_difference, digits_agreeing, next_step
from nnfs_xp.see.playing import PlaySession
from nnfs_xp.see.problems import PROBLEMS
from nnfs_xp.see.setups import Wish, Workshop, made_of
from nnfs_xp.see.tracing import trace_here
from nnfs_xp.see.views import _decisions

MIXED = "Dense(4, weight_regularizer_l2=0.01), BatchNorm(), Tanh(), Dropout(0.3), Dense(2)"
"""Layers with penalties, running averages and random numbers."""


def session(**start):
    return PlaySession(Workshop(start=Wish(**start)))


def told(answer):
    """The answer as a browser has it, which must be no error."""
    assert "error" not in answer, answer
    return json.loads(front_end.as_json(answer))


def weights_of(playing):
    return {name: array.copy() for name, array in playing._practice.model.parameters().items()}


@pytest.mark.parametrize("data", PROBLEMS)
def test_each_data_set_can_be_learnt(data):
    playing = session(data=data)
    first = told(playing.handle({"do": "open"}))
    assert first["view"] == "play"
    assert first["frames"]
    assert "<svg" in first["svg"]
    last = told(playing.handle({"do": "step", "n": 60, "layout": first["layout"]}))
    assert last["loss"] < first["loss"]
    assert last["step"] == len(last["losses"]) == 60
    assert "svg" not in last
    assert last["patch"]


def test_steps_are_those_of_a_plain_loop():
    playing = session(data="circles", optimizer="SGD(0.3, momentum=0.5)")
    setup = Workshop().make(Wish(data="circles", optimizer="SGD(0.3, momentum=0.5)"))
    model, loss, optimizer = copy.deepcopy((setup.model, setup.loss, setup.optimizer))
    model.run_fused(False)
    losses = []
    for _ in range(10):
        y_pred = model.forward(setup.X, training=True)
        losses.append(float(loss.calculate(y_pred, setup.y)))
        model.backward(loss.backward(y_pred, setup.y))
        optimizer.step(model)
    answer = playing.handle({"do": "step", "n": 10})
    assert answer["losses"] == losses
    for name, array in weights_of(playing).items():
        np.testing.assert_array_equal(array, model.parameters()[name])


def test_rewinding_gives_the_first_weights_bit_for_bit():
    playing = session(layers=MIXED, optimizer="Adam(0.05)", batch_size=7)
    first, weights = told(playing.handle({"do": "open"})), weights_of(playing)
    buffers = copy.deepcopy(playing._practice.model.buffers())
    ahead = told(playing.handle({"do": "step", "n": 30}))
    playing.handle({"do": "set", "key": "0.weights[0,0]", "value": 9.0})
    again = told(playing.handle({"do": "rewind"}))
    assert again["losses"] == []
    for name, array in weights_of(playing).items():
        np.testing.assert_array_equal(array, weights[name])
    for name, array in playing._practice.model.buffers().items():
        np.testing.assert_array_equal(array, buffers[name])
    assert again["loss"] == first["loss"]
    once_more = told(playing.handle({"do": "step", "n": 30}))
    assert once_more["losses"] == ahead["losses"]


def test_a_rest_that_is_too_small_to_train_on_is_left_out():
    playing = session(layers=MIXED, batch_size=79)
    for _ in range(3):
        assert told(playing.handle({"do": "step"}))["n_samples"] == 79
    plain = session(layers="Dense(2)", batch_size=79)
    assert told(plain.handle({"do": "step"}))["n_samples"] == 1


def test_sessions_do_not_disturb_each_other():
    workshop = Workshop()
    one, other = PlaySession(workshop), PlaySession(workshop)
    before = told(other.handle({"do": "open"}))
    one.handle({"do": "step", "n": 20})
    one.handle({"do": "set", "key": "0.weights[0,0]", "value": 5.0})
    one.handle({"do": "set up", "data": "spiral"})
    assert told(other.handle({"do": "open"})) == before


def test_what_is_shown_of_a_weight_changes_nothing():
    watched = session(layers=MIXED, optimizer="Adam(0.05, average_decay=0.9)", batch_size=7)
    plain = session(layers=MIXED, optimizer="Adam(0.05, average_decay=0.9)", batch_size=7)
    watched.handle({"do": "choose", "key": "0.weights[1,2]"})
    for _ in range(5):
        told(watched.handle({"do": "step"}))
        told(watched.handle({"do": "check"}))
        plain.handle({"do": "step"})
    for name, array in weights_of(watched).items():
        np.testing.assert_array_equal(array, plain._practice.model.parameters()[name])


@pytest.mark.parametrize("layers", [MIXED, "Dense(4), ReLU(), Dense(2), Softmax()", "Dense(2)"])
def test_gradients_of_weights_agree_with_differences(layers):
    playing = session(
        layers=layers, loss="CategoricalCrossentropy()" if "Softmax" in layers else None
    )
    playing.handle({"do": "step", "n": 3})
    n_checked = 0
    for name, array in playing._practice.model.parameters().items():
        for index in np.ndindex(*array.shape):
            key = f"{name}[{','.join(map(str, index))}]"
            weight = Weight.of(playing._practice.model, key)
            numeric = central_difference(
                weight, playing._practice.model, playing._setup.loss, playing._practice.seen
            )
            gradient = weight.read(playing._practice.model.gradients())
            assert gradient == pytest.approx(numeric, rel=1e-6, abs=1e-9), key
            n_checked += 1
    assert n_checked >= 6


def test_parts_of_the_samples_add_up_to_the_gradient():
    playing = session(layers="Dense(3), Tanh(), Dense(2)")
    for key in ("0.weights[1,2]", "2.biases[1]", "2.weights[0,0]"):
        chosen = told(playing.handle({"do": "choose", "key": key}))["chosen"]
        assert len(chosen["parts"]["parts"]) == 80
        assert sum(chosen["parts"]["parts"]) == pytest.approx(chosen["gradient"], rel=1e-10)


def test_parts_tell_penalties_from_what_comes_through_tied_layers():
    one = nn.Dense(3, 3, dtype="float64", weight_regularizer_l2=0.1)
    other = nn.Dense(3, 3, dtype="float64").tie("weights", one)
    tied = nn.Sequential(one, nn.Tanh(), other, seed=0)
    X, y = np.random.default_rng(0).normal(size=(5, 3)), np.array([0, 1, 2, 0, 1])
    playing = PlaySession(Workshop(own=made_of(tied, X, y)))
    chosen = told(playing.handle({"do": "choose", "key": "0.weights[1,2]"}))["chosen"]
    parts = chosen["parts"]
    assert parts["penalty"] == pytest.approx(0.2 * chosen["value"])
    assert abs(parts["elsewhere"]) > 1e-3
    total = sum(parts["parts"]) + parts["penalty"] + parts["elsewhere"]
    assert total == pytest.approx(chosen["gradient"]) == pytest.approx(chosen["numeric"], rel=1e-6)


def test_rounding_is_no_penalty():
    X, y = np.random.default_rng(0).normal(size=(300, 3)), np.arange(300) % 2
    model = nn.Sequential(nn.Dense(3, 5), nn.ReLU(), nn.Dense(5, 2), seed=0)
    playing = PlaySession(Workshop(own=made_of(model, X, y, optimizer=nn.Adam(0.05))))
    playing.handle({"do": "step", "n": 200})
    for i in range(3):
        for j in range(5):
            query = {"do": "choose", "key": f"0.weights[{i},{j}]"}
            parts = told(playing.handle(query))["chosen"]["parts"]
            assert parts["penalty"] == parts["elsewhere"] == 0


def test_setting_a_weight_to_its_value_changes_nothing():
    """Neither the masks that are drawn nor running averages go on."""
    playing = session(layers=MIXED, batch_size=20)
    playing.handle({"do": "step", "n": 2})
    before = told(playing.handle({"do": "choose", "key": "0.weights[0,0]"}))
    for _ in range(3):
        query = {"do": "set", "key": "0.weights[0,0]", "value": before["chosen"]["value"]}
        after = told(playing.handle(query))
        assert after["loss"] == before["loss"]
        assert after["chosen"] == before["chosen"]
        assert after["ground"] == before["ground"]
    curve = before["chosen"]["curve"]
    assert curve["y"][30] == pytest.approx(before["loss"], rel=0.2)


def test_the_loss_curve_goes_through_the_loss_with_the_gradient_as_slope():
    chosen = told(session().handle({"do": "choose", "key": "0.weights[0,0]"}))["chosen"]
    x, y = chosen["curve"]["x"], chosen["curve"]["y"]
    assert len(x) == len(y) == 61
    assert x[30] == chosen["value"]
    assert y[30] == pytest.approx(session().handle({"do": "open"})["loss"])
    slope = (y[31] - y[29]) / (x[31] - x[29])
    assert slope == pytest.approx(chosen["gradient"], rel=0.02)


OPTIMIZERS = [
    "SGD(0.1)", "SGD(0.1, momentum=0.9)", "SGD(0.1, momentum=0.9, nesterov=True)", "Adagrad(0.1)",
    "RMSprop(0.01)", "Adam(0.05)", "Adam(0.1, amsgrad=True)", "AdamW(0.1)", "Lion(0.01)",
    "Muon(0.02)", "Muon(0.02, others=('0.weights',), others_scale=0.5, weight_decay=0.1)",
    "Adam(0.1, clip_norm=0.01, weight_decay=0.1)", "SGD(0.1, decay=0.5, clip_value=0.001)",
]  # fmt: skip


@pytest.mark.parametrize("text", OPTIMIZERS)
def test_the_rule_written_out_is_the_step_that_is_made(text):
    for key in ("0.weights[1,2]", "4.biases[1]"):
        playing = session(layers=MIXED, optimizer=text, batch_size=9)
        playing.handle({"do": "step", "n": 3})
        lines = told(playing.handle({"do": "choose", "key": key}))["chosen"]["rule"]
        (line,) = (line for line in lines if line.startswith(("w ← ", "w = ")))
        said = float(line.rpartition("= ")[2])
        moved = told(playing.handle({"do": "step"}))["chosen"]["value"]
        assert said == pytest.approx(moved, rel=6e-3, abs=6e-4), lines
        assert not any(each.startswith("then the layer's bounds") for each in lines)


def test_every_optimizer_has_its_rule():
    assert {text.partition("(")[0] for text in OPTIMIZERS} == set(words.names_of_optimizers())


@pytest.mark.parametrize("name", ["0.weights", "0.biases"])
@pytest.mark.parametrize("build", [lambda: nn.SGD(0.5), lambda: nn.Adam(0.1), nn.Muon])
def test_slow_weights_that_follow_are_told(build, name):
    model = nn.Sequential(nn.Dense(2, 3, seed=0, dtype="float64"))
    loss, X, y = nn.MeanSquaredError(), np.ones((2, 2)), np.ones((2, 3))
    optimizer = nn.Lookahead(build(), k=2, alpha=0.25)
    for said in ("in 1 more steps", "s + 0.250·(w − s)", "in 1 more steps"):
        trace_here(model, X, y, loss=loss)
        weight = Weight.of(model, f"{name}[{'1,2' if name == '0.weights' else '2'}]")
        lines = next_step(weight, model, optimizer)
        assert any(said in line for line in lines), lines
        line = next(each for each in reversed(lines) if each.startswith(("w ← ", "w = ")))
        optimizer.step(model)
        after = weight.read(model.parameters())
        assert float(line.rpartition("= ")[2]) == pytest.approx(after, rel=6e-3, abs=6e-4), lines


def test_bounds_and_frozen_weights_are_told():
    setup = Workshop().make(Wish(layers="Dense(3, max_norm=0.01), Dense(2, trainable=False)"))
    playing = PlaySession(Workshop(own=setup))
    bounded = told(playing.handle({"do": "choose", "key": "0.weights[0,0]"}))["chosen"]["rule"]
    assert bounded[-1].startswith("then the layer's bounds hold")
    frozen = told(playing.handle({"do": "choose", "key": "1.weights[0,0]"}))["chosen"]["rule"]
    assert frozen == ["The weight is frozen: no step moves it."]


def test_a_rule_of_ones_own_is_told_by_its_step():
    class Halving(nn.Optimizer):
        def apply(self, xp, flat, state):
            flat.values *= 0.5

    model = nn.Sequential(nn.Dense(2, 1, seed=0, dtype="float64"))
    loss, X = nn.MeanSquaredError(), np.ones((2, 2))
    trace_here(model, X, np.ones((2, 1)), loss=loss)
    lines = next_step(Weight.of(model, "0.weights[0,0]"), model, Halving(1.0))
    assert lines[0].startswith("Halving steps by its own rule")
    assert float(lines[1].removeprefix("w = ")) == pytest.approx(
        model.layers[0].weights[0, 0] / 2, rel=1e-2
    )


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("weights[0,0]", "w decays: w − α·λ·w = 1.00 − 0.0500·0.800·1.00 = 0.960"),
        ("biases[0]", "w decays: w − α·λ·w = 1.00 − 0.100·0.200·1.00 = 0.980"),
    ],
)
def test_a_decay_of_its_own_is_told(key, line):
    said = {
        "learning_rate_scale": {"weights": 0.5},
        "weight_decay": {"weights": 4.0, "biases": 1.0},
    }
    model = nn.Sequential(nn.Dense(2, 1, seed=0, dtype="float64", **said))
    model.layers[0].weights, model.layers[0].biases = [[1.0], [1.0]], [[1.0]]
    trace_here(model, np.ones((2, 2)), np.ones((2, 1)), loss=nn.MeanSquaredError())
    optimizer = nn.SGD(0.1, weight_decay=nn.StepDecay(0.2, every=5))
    lines = next_step(Weight.of(model, f"0.{key}"), model, optimizer)
    assert lines[0] == line


def test_digits_that_agree_are_counted():
    assert digits_agreeing(1.0, 1.0) == digits_agreeing(0.0, 0.0) == 16
    assert digits_agreeing(1.0, 1.0001) == 4
    assert digits_agreeing(1.0, -1.0) == 0
    assert digits_agreeing(float("nan"), 1.0) == 0


QUERIES = [
    {}, {"do": None}, {"do": ["step"]}, {"do": "leave"}, {"do": "step", "n": 0},
    {"do": "step", "n": -1}, {"do": "step", "n": 10**9}, {"do": "step", "n": 1.5},
    {"do": "step", "n": True}, {"do": "sample"}, {"do": "sample", "sample": -1},
    {"do": "sample", "sample": 80}, {"do": "choose", "key": "0.weights[-1,0]"},
    {"do": "choose", "key": "0.weights[9,9]"}, {"do": "choose", "key": "0.weights[0]"},
    {"do": "choose", "key": "__class__[0]"}, {"do": "choose", "key": ["0.weights[0,0]"]},
    {"do": "choose", "key": "0.weights[" + "9" * 300 + "]"}, {"do": "set", "key": "0.weights[0,0]"},
    {"do": "set", "key": "0.weights[0,0]", "value": float("nan")},
    {"do": "set", "key": "0.weights[0,0]", "value": 1e300},
    {"do": "set", "key": "0.weights[0,0]", "value": 10**400},
    {"do": "set", "key": "0.weights[0,0]", "value": "1"}, {"do": "check"},
    {"do": "detail", "detail": "finest"}, {"do": "detail", "detail": []},
    {"do": "set up", "layers": "ReLU()"}, {"do": "set up", "data": "digits", "layers": "Flatten()"},
    {"do": "set up", "layers": "4"}, {"do": "set up", "layers": "nn.Dense(4)"},
    {"do": "set up", "layers": "Dense + ReLU"}, {"do": "set up", "layers": "Dense(2)] + [ReLU"},
    {"do": "set up", "optimizer": "Adam(lr=0.1)"},
    {"do": "lens", "name": "0.weights", "row": -1, "column": 0},
    {"do": "lens", "name": "0.weights", "row": 2, "column": 0},
    {"do": "lens", "row": 0, "column": 0},
    {"do": "set up", "data": "<img src=x onerror=alert(1)>"}, {"do": "set up", "data": {}},
    {"do": "set up", "layers": "__import__('os').system('true')"}, {"do": "set up", "layers": "("},
    {"do": "set up", "layers": "(" * 1900}, {"do": "set up", "layers": "Dense(2)" * 1000},
    {"do": "set up", "layers": "Dense(10**9)"}, {"do": "set up", "layers": "Dense(99999)"},
    {"do": "set up", "layers": "Dense('2')"}, {"do": "set up", "layers": "Dense(2, color=1)"},
    {"do": "set up", "layers": "Dense(2, **{'a': 1})"},
    {"do": "set up", "layers": "Residual(ReLU())"},
    {"do": "set up", "layers": "Layer()"}, {"do": "set up", "layers": ["Dense(2)"]},
    {"do": "set up", "layers": ",".join(["ReLU"] * 40)}, {"do": "set up", "layers": "Dense(1)"},
    {"do": "set up", "layers": "Embedding(3, 3), Dense(2)"}, {"do": "set up", "layers": " "},
    {"do": "set up", "loss": "Huber(), Huber()"}, {"do": "set up", "optimizer": "Adam(-1)"},
    {"do": "set up", "optimizer": "Optimizer(1)"}, {"do": "set up", "batch_size": -3},
    {"do": "set up", "seed": -1}, {"do": "set up", "seed": 10**30}, {"do": "set up", "seed": "x"},
]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: json.dumps(query)[:60])
def test_queries_that_make_no_sense_change_nothing(query):
    playing = session()
    playing.handle({"do": "step", "n": 2})
    before = told(playing.handle({"do": "open"}))
    answer = playing.handle(query)
    assert list(answer) == ["error"]
    assert answer["error"].strip()
    assert "Traceback" not in answer["error"]
    assert told(playing.handle({"do": "open"})) == before


def test_a_network_that_diverges_is_shown_all_the_same():
    playing = session(data="sine", optimizer="SGD(1e10)", layers="Dense(4), Dense(1)")
    with np.errstate(all="ignore"):
        answer = told(playing.handle({"do": "step", "n": 40}))
        assert answer["loss"] is None
        chosen = told(playing.handle({"do": "choose", "key": "0.weights[0,0]"}))
        assert chosen["chosen"]["digits"] == 0
        assert told(playing.handle({"do": "rewind"}))["loss"] > 0


def test_huge_numbers_are_no_error():
    X = np.random.default_rng(0).normal(size=(5, 3))
    model = nn.Sequential(nn.Dense(3, 1, dtype="float64", seed=0))
    for optimizer in (nn.Adam(0.1), nn.RMSprop(0.1), nn.Adagrad(0.1)):
        with np.errstate(all="ignore"):
            setup = made_of(model, X, 1e160 * X[:, :1], optimizer=optimizer)
            playing = PlaySession(Workshop(own=setup))
            assert told(playing.handle({"do": "choose", "key": "0.weights[0,0]"}))["chosen"]["rule"]
            playing.handle({"do": "set", "key": "0.weights[0,0]", "value": 1.0})
            told(playing.handle({"do": "step", "n": 3}))


def test_scores_of_either_sign_are_divided_at_0():
    setup = Workshop().make(Wish(layers="Dense(4), Tanh(), Dense(1)", loss="Hinge()"))
    playing = PlaySession(Workshop(own=setup))
    ground = playing._ground
    output = setup.model.forward(ground.grid)
    scores = np.concatenate([-output, output], axis=1)
    expected = _decisions(scores)
    from nnfs_xp.see.scene import data_url

    assert told(playing.handle({"do": "open"}))["ground"]["image"] == data_url(expected)
    chosen = np.all(expected[..., :3] == (213, 94, 0), axis=-1).ravel()
    np.testing.assert_array_equal(chosen, setup.loss.predictions(output).ravel() > 0)


def test_a_square_of_means_is_looked_at_in_its_middle():
    playing = session(data="digits")
    query = {"do": "lens", "name": "0.output", "row": 127, "column": 3, "rows": 128, "columns": 16}
    answer = told(playing.handle(query))
    assert answer["at"] == [298, 3]
    assert len(answer["values"]) == 4


def test_the_lens_works_on_each_backend(backend):
    model = nn.Sequential(nn.Dense(2, 3, seed=0), nn.Flatten()).to(backend)
    setup = made_of(model, np.ones((2, 2)), [0, 1])
    playing = PlaySession(Workshop(own=setup))
    answer = told(playing.handle({"do": "lens", "name": "0.dbiases", "row": 0, "column": 2}))
    assert len(answer["values"][0]) == 3


def test_the_lens_shows_numbers_around_a_square():
    playing = session(data="digits")
    answer = told(playing.handle({"do": "lens", "name": "0.dweights", "row": 30, "column": 1}))
    assert (answer["row"], answer["column"]) == (28, 0)
    gradient = playing._practice.model.gradients()["0.weights"]
    np.testing.assert_allclose(answer["values"], gradient[28:33, :4])


def test_samples_and_details_can_be_chosen():
    playing = session()
    first = told(playing.handle({"do": "sample", "sample": 7}))
    assert first["row"] == first["sample"] == 7
    drawn = told(playing.handle({"do": "detail", "detail": "neurons"}))
    assert drawn["drawn_as"] == "neurons"
    assert "see-positive" in drawn["svg"]


def test_a_model_of_ones_own_is_copied():
    model = nn.Sequential(nn.Embedding(5, 4, seed=0), nn.Flatten(), nn.Dense(8, 3, seed=0))
    before = {name: array.copy() for name, array in model.parameters().items()}
    setup = made_of(model, [[0, 1], [2, 3], [4, 4]], [0, 1, 2], optimizer=nn.Adam(0.1))
    playing = PlaySession(Workshop(own=setup))
    first = told(playing.handle({"do": "open"}))
    assert first["setup"]["data"] == "own"
    last = told(playing.handle({"do": "step", "n": 20}))
    assert last["loss"] < first["loss"]
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(array, before[name])
    spiral = told(playing.handle({"do": "set up", "data": "spiral"}))
    assert spiral["setup"]["data"] == "spiral"
    back = told(playing.handle({"do": "set up", "data": "own"}))
    assert back["loss"] == first["loss"]


def test_objects_that_words_cannot_build_are_kept():
    """A schedule, or a loss of one's own, while their words in the form stay."""

    class Doubled(nn.MeanSquaredError):
        def forward(self, y_pred, y_true):
            return 2 * super().forward(y_pred, y_true)

    start = Wish(data="sine", loss=Doubled(), optimizer=nn.SGD(nn.ExponentialDecay(0.1, 0.9, 5)))
    playing = PlaySession(Workshop(start=start))
    first = told(playing.handle({"do": "open"}))
    plain = session(data="sine").handle({"do": "open"})
    assert first["loss"] == pytest.approx(2 * plain["loss"])
    told(playing.handle({"do": "step", "n": 9}))
    again = told(playing.handle({"do": "set up", **first["setup"], "layers": "Dense(1)"}))
    assert again["setup"]["optimizer"] == first["setup"]["optimizer"]
    assert isinstance(playing._setup.loss, Doubled)


def test_own_data_go_with_written_layers():
    model = nn.Sequential(nn.Dense(3, 2, seed=0, dtype="float64"))
    setup = made_of(model, np.eye(3), [0, 1, 1])
    playing = PlaySession(Workshop(own=setup))
    told(playing.handle({"do": "set up", "data": "own", "layers": "Dense(5), Tanh(), Dense(2)"}))
    assert playing._practice.model.parameters()["0.weights"].shape == (3, 5)


def test_a_session_works_on_each_backend(backend):
    model = nn.Sequential(
        nn.Dense(2, 3, seed=0, dtype="float64"), nn.ReLU(), nn.Dense(3, 2, seed=1, dtype="float64")
    )
    X, y = np.array([[0.5, -1.0], [1.0, 2.0], [-1.0, 0.3]]), np.array([0, 1, 1])
    here = PlaySession(Workshop(own=made_of(model.to(backend), X, y)))
    there = PlaySession(Workshop(own=made_of(model.to("numpy"), X, y)))
    for query in (
        {"do": "choose", "key": "0.weights[1,2]"},
        {"do": "step", "n": 4},
        {"do": "open"},
    ):
        one, other = told(here.handle(query)), told(there.handle(query))
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-9)
        assert one["chosen"]["gradient"] == pytest.approx(other["chosen"]["gradient"], rel=1e-6)
        assert one["chosen"]["digits"] >= 6


def test_recordings_hold_the_session(tmp_path):
    path = nn.see.record(tmp_path / "xor.html", data="xor", steps=4, title="a < b")
    text = path.read_text("utf-8")
    assert "<title>a &lt; b</title>" in text
    answers = hosts.recorded(session(data="xor"), 4, 0, "auto")
    assert [each["step"] for each in answers] == [0, 1, 2, 3, 4]
    assert all("patch" in each for each in answers[1:])
    assert "choices" not in answers[0]
    assert answers[4]["loss"] == session(data="xor").handle({"do": "step", "n": 4})["loss"]


def test_playing_refuses_what_does_not_fit(tmp_path):
    model = nn.Sequential(nn.Dense(2, 2, seed=0))
    normed = nn.Sequential(nn.Dense(2, 2, seed=0), nn.BatchNorm(2))
    for arguments, text in (
        ({"model": model}, "`X` and `y`"),
        ({"X": [[1.0]]}, "go with a `model`"),
        ({"model": model, "X": [[1.0, 2.0]], "y": [0], "data": "xor"}, "leave `model` out"),
        ({"data": "nothing"}, "no data set"),
        ({"model": model, "X": [[1.0, 2.0]], "y": [7]}, "y"),
        ({"model": model, "X": [[1.0]], "y": [0]}, "`X` must have shape"),
        ({"model": model, "X": [[1.0, 2.0]], "y": [0], "loss": "mse"}, "`loss` must be"),
        ({"model": model, "X": [[1.0, 2.0]], "y": [0], "optimizer": 3}, "`optimizer` must be"),
        ({"loss": "mse"}, "`loss` must be a Loss"),
        ({"model": model, "X": [[1.0, 2.0]], "y": [0], "image_shape": (2, 2)}, "`image_shape`"),
        ({"open_browser": "yes"}, "open_browser"),
        ({"model": nn.ReLU(), "X": [[1.0, 2.0]], "y": [0]}, "no weights to learn"),
        ({"model": normed, "X": [[1.0, 2.0]], "y": [0]}, "BatchNorm"),
    ):
        with pytest.raises(NnfsError, match=text):
            nn.see.play(**arguments)
    for steps in (-1, 10_000, 1.5):
        with pytest.raises(ArgumentError):
            nn.see.record(tmp_path / "a.html", steps=steps)
    with pytest.raises(ArgumentError, match=r"\.html"):
        nn.see.record(tmp_path / "a.svg")
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match="is a file"):
        nn.see.watch(tmp_path / "file")


def test_commands_write_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["figure", "9-7"]) == 0
    assert (tmp_path / "figure-9-7.svg").read_text("utf-8") == nn.see.chapter("9-7").svg()
    assert main(["figure", "9.18", "-o", "all.svg", "--animated"]) == 0
    assert "@keyframes" in (tmp_path / "all.svg").read_text("utf-8")
    assert main(["figure", "9-19"]) == 2
    assert main(["figure", "9-1", "-o", "f.bmp"]) == 2
    assert "error: `path` must end in one of" in capsys.readouterr().err


@pytest.fixture
def served(monkeypatch):
    """The pages that a command served; none waits."""
    pages = []
    monkeypatch.setattr(nn.see.Page, "wait", lambda page: pages.append(page))
    return pages


def test_commands_serve_pages(tmp_path, capsys, served):
    table = tmp_path / "own.csv"
    table.write_text("a,b,target\n1,2,0\n2,30,1\n3,4,2\n", "utf-8")
    values = tmp_path / "values.csv"
    values.write_text("1,0.5\n2,0.7\n", "utf-8")
    model = tmp_path / "model.safetensors"
    nn.save(nn.Sequential(nn.Dense(2, 2, seed=0)), model)
    for arguments in (
        ["play"],
        ["play", "xor", "--layers", "Dense(3), Dense(2)", "--optimizer", "SGD(0.1)"],
        ["play", str(table), "--batch-size", "2"],
        ["play", str(values), "--loss", "MeanAbsoluteError()"],
        ["play", "moons", "--model", str(model)],
        ["watch", str(tmp_path / "later")],
    ):
        assert main([*arguments, "--no-browser"]) == 0, arguments
    assert len(served) == 6
    said = capsys.readouterr().out
    assert said.count("at http://127.0.0.1:") == 6
    assert said.count("features are scaled") == 2
    assert "later yet; the page waits for it" in said


@pytest.fixture
def played(monkeypatch):
    """What `play` was called with."""
    calls, play = [], nn.see.play
    monkeypatch.setattr(nn.see, "play", lambda *a, **k: calls.append((a, k)) or play(*a, **k))
    return calls


@pytest.mark.usefixtures("served")
def test_the_last_column_of_a_file_is_classes_or_values(tmp_path, played):
    def targets(numbers, *arguments):
        path = tmp_path / "own.csv"
        path.write_text("".join(f"{n},{n}\n" for n in numbers), "utf-8")
        assert main(["play", str(path), "--no-browser", *arguments]) == 0
        return played[-1][0][2]

    assert targets([0, 1, 2, 2]).tolist() == [0, 1, 2, 2]
    assert targets(range(64)).shape == (64, 1)
    assert targets([0.5, 1]).shape == (2, 1)
    assert targets([-1, 1]).shape == (2, 1)
    assert targets([0, 1, 2], "--loss", "MeanSquaredError()").shape == (3, 1)
    many = targets(range(64), "--loss", "SoftmaxCategoricalCrossentropy()")
    assert many.tolist() == list(range(64))


@pytest.mark.usefixtures("served")
def test_images_of_digits_are_shown_with_a_model_too(tmp_path, played):
    model = tmp_path / "model.safetensors"
    nn.save(nn.Sequential(nn.Dense(64, 10, seed=0)), model)
    assert main(["play", "digits", "--model", str(model), "--no-browser"]) == 0
    assert played[-1][1]["image_shape"] == (8, 8)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["play", "nothing"], "nothing is neither a file nor a data set"),
        (["play", "--layers", "Dense("], "cannot read Dense("),
        (["play", "--optimizer", "Fast(3)"], "there is no optimizer Fast"),
        (["play", "--model", "model.safetensors"], "--model needs data"),
        (["play", "xor", "--model", "m.safetensors", "--layers", "Dense(2)"], "does not go with"),
        (["play", "xor", "--model", "no.safetensors"], "no.safetensors"),
        (["play", "--port", "70000"], "65535"),
        (["play", "--allow-host", "*"], "*"),
    ],
)
def test_commands_say_what_is_wrong(arguments, text, capsys, served):
    assert main([*arguments, "--no-browser"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("nnfs-xp: error: ")
    assert text in said
    assert not served


def test_importing_the_library_loads_nothing_of_it():
    program = (
        "import sys, nnfs_xp; nnfs_xp.Dense(2, 2);"
        "print([n for n in sys.modules if n.startswith('nnfs_xp.see') or n == 'http.server'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_picture_needs_neither_matplotlib_nor_a_widget():
    program = (
        "import sys; sys.modules['matplotlib'] = sys.modules['anywidget'] = None;"
        "import nnfs_xp as nn; nn.see.chapter('9-3').svg(); nn.see.play(data='neuron').close()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
