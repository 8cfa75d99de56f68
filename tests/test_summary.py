"""The table of a model's layers, as text and as HTML."""

from __future__ import annotations

import gc
import tracemalloc
from html.parser import HTMLParser

import numpy as np
import pytest
from cases import LAYERS

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import summary
from nnfs_xp.layers.footprint import Footprint
from nnfs_xp.layers.step_memory import step_memory
from nnfs_xp.learning.memory import bytes_per_sample


def nested(dtype="float32"):
    inner = nn.Sequential(nn.ReLU(), nn.Dropout(0.1), nn.Dense(128, 64, dtype=dtype))
    return nn.Sequential(nn.Dense(64, 128, dtype=dtype), inner, nn.Dense(64, 10, dtype=dtype))


def test_rows_give_place_shape_parameters_and_memory():
    found = summary.rows(nested())
    assert [row[:6] for row in found] == [
        ("0", "Dense", 0, "(batch, 128)", 8320, 4 * 8320),
        ("1", "Sequential", 0, "(batch, 64)", 8256, 4 * 8256),
        ("1.0", "ReLU", 1, "(batch, 128)", 0, 0),
        ("1.1", "Dropout", 1, "(batch, 128)", 0, 0),
        ("1.2", "Dense", 1, "(batch, 64)", 8256, 4 * 8256),
        ("2", "Dense", 0, "(batch, 10)", 650, 4 * 650),
    ]
    assert {f"{row.name}.weights" for row in found if row.kind == "Dense"} < set(
        nested().parameters()
    )
    assert [row.n_bytes for row in summary.rows(nested("float64"))] == [
        2 * row.n_bytes for row in found
    ]


def test_the_text_lines_up(backend):
    model = nested().to(backend)
    lines = model.summary().splitlines()
    assert lines[0].split() == ["Layer", "Output", "shape", "Parameters", "Memory"]
    assert lines[2].split() == ["0", "Dense", "(batch,", "128)", "8,320", "32.5", "KiB"]
    assert lines[4].index("ReLU") == lines[2].index("Dense") + 2, "what is nested is indented"
    assert {lines[i].index("(batch") for i in range(2, 8)} == {lines[0].index("Output")}
    assert lines[-2:] == [
        f"17,226 parameters, float32, on {nn.get_backend(backend).name}",
        "67.3 KiB, and as much again for their gradients",
    ]
    assert lines[1] == lines[-3] == "-" * max(map(len, lines[:-2]))


def test_a_summary_leaves_the_model_as_it_is():
    model = nested()
    flat = model.flat
    model.layers[1].summary()
    model.summary()
    assert model.flat is flat


def test_shapes_that_the_inputs_decide():
    model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh(), nn.Dense(3, 2)), seed=0)
    assert [row.shape for row in summary.rows(model)][-1] == "(batch, 2)"
    silent = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh()))
    assert [row.shape for row in summary.rows(silent)] == [
        "as the inputs",
        "(batch, …)",
        "as the inputs",
    ]
    assert silent.summary().endswith("no parameters")


class Branches(nn.Layer):
    """A container of another kind, which does not say what its children take."""

    def __init__(self, *children):
        super().__init__()
        self.children = children

    def output_shape(self, input_shape):
        return (sum(child.output_shape(input_shape)[0] for child in self.children),)


class Late(Branches):
    """Its children take something else than itself."""

    def output_shape(self, input_shape):
        return input_shape


def test_containers_of_other_kinds():
    branches = Branches(nn.Dense(4, 3), nn.Sequential(nn.Dense(4, 2), nn.ReLU()))
    model = nn.Sequential(nn.Dense(5, 4), branches, nn.Dense(5, 1))
    assert [(row.name, row.shape) for row in summary.rows(model)] == [
        ("0", "(batch, 4)"),
        ("1", "(batch, 5)"),
        ("1.0", "(batch, 3)"),
        ("1.1", "(batch, 2)"),
        ("1.1.0", "(batch, 2)"),
        ("1.1.1", "(batch, 2)"),
        ("2", "(batch, 1)"),
    ]
    late = nn.Sequential(nn.Dense(5, 4), Late(nn.Dense(7, 3)), nn.Dense(4, 1))
    assert [row.shape for row in summary.rows(late)][2] == "(batch, …)"
    assert "25 parameters, float32, on numpy" in summary.summarize(branches)
    (row,) = summary.rows(nn.Dense(4, 3))
    assert row[:6] == ("", "Dense", 0, "(batch, 3)", 15, 60)


def test_values_that_are_not_trained_are_counted_apart():
    class Mean(nn.Layer):
        mean = nn.Buffer()

        def __init__(self):
            super().__init__()
            self.create_buffers(mean=[0.0] * 7)

    text = nn.Sequential(nn.Dense(7, 7), Mean()).summary()
    assert text.endswith("7 more values that are not trained")


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5 * 2**20, "5.0 MiB"),
        (3 * 2**30, "3.0 GiB"),
        (2**50, "1,024.0 TiB"),
    ],
)
def test_memory_reads_well(n_bytes, text):
    assert summary.size_text(n_bytes) == text


class Reader(HTMLParser):
    """The tags that are open, and the cells of the table."""

    def __init__(self):
        super().__init__()
        self.open, self.rows, self.tags = [], [], set()

    def handle_starttag(self, tag, attributes):
        assert not attributes
        self.tags.add(tag)
        if tag != "br":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_a_notebook_shows_the_same_table_with_its_text_escaped():
    class Odd(nn.ReLU):
        pass

    Odd.__name__ = "<script>&"
    model = nn.Sequential(nn.Dense(4, 3), nn.Sequential(Odd()), seed=0)
    text = model._repr_html_()
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert reader.tags == {"table", "thead", "tbody", "tr", "th", "td", "p", "br"}
    assert reader.rows[0] == ["", "Layer", "Output shape", "Parameters", "Memory"]
    assert reader.rows[1] == ["0", "Dense", "(batch, 3)", "15", "60 B"]
    assert reader.rows[3] == ["1.0", "\xa0\xa0<script>&", "(batch, 3)", "0", ""]
    assert "<script>" not in text
    assert "15 parameters, float32, on numpy" in text


def test_a_notebook_shows_what_summary_returns():
    model = nested()
    text = model.summary(batch_size=32, optimizer=nn.Adam())
    reader = Reader()
    reader.feed(text._repr_html_())
    assert reader.rows[0] == ["", "Layer", "Output shape", "Parameters", "Memory", "Step"]
    assert [row[-1] for row in reader.rows[1:]] == [
        line.split("  ")[-1].strip() for line in text.splitlines()[2:8]
    ]
    assert text.splitlines()[-1] in text._repr_html_()
    assert model.summary()._repr_html_() == model._repr_html_()


def step_of(model):
    """What a step holds of each layer for a sample, by its place."""
    return {row.name: row.n_step_bytes for row in summary.rows(model, step_memory(model))}


def test_a_step_by_hand():
    assert step_of(nested()) == {
        "0": 0,  # its output is the ReLU's, and nobody needs the gradient of the batch
        "1": 4 * (2 * 128) + 4 * (2 * 128) + 128 + 4 * (64 + 128),
        "1.0": 4 * (2 * 128),  # output and dinputs
        "1.1": 4 * (2 * 128) + 128,  # and the mask
        "1.2": 4 * (64 + 128),  # the output is kept by the next one
        "2": 4 * (10 + 64),
    }
    assert step_of(nested("float64"))["1.0"] == 8 * 2 * 128
    model = nested()
    lines = model.summary(batch_size=100, optimizer=nn.Adam(average_decay=0.9)).splitlines()
    held = 100 * (step_of(model)["1"] + step_of(model)["2"])
    room = 100 * 4 * (10 + 2 * 128)
    assert lines[-3:] == [
        f"{summary.size_text(3 * 4 * 17226)} for the state of Adam",
        f"in a step the layers hold {summary.size_text(held)}, the batch 25.0 KiB, and "
        f"{summary.size_text(room)} are to work in",
        "a step with 100 samples needs about "
        + summary.size_text(held + room + 100 * 4 * 64 + 5 * 4 * 17226),
    ]
    assert lines[0].split()[-1] == "Step"
    assert lines[4].endswith(summary.size_text(100 * 4 * 256))
    assert lines[1] == lines[8] == "-" * max(map(len, lines[:8]))


def test_layers_that_run_alone_hold_more():
    rows = [nn.Dense(4, 5), nn.ReLU(), nn.Dense(5, 6), nn.ReLU(), nn.Dense(6, 2)]
    assert step_of(nn.Sequential(*rows)) == {
        "0": 0, "1": 4 * 10, "2": 0, "3": 4 * 12, "4": 4 * 2,
    }  # fmt: skip
    assert step_of(nn.Sequential(*rows, fuse=False)) == {
        "0": 0, "1": 4 * 10, "2": 4 * 5, "3": 4 * 12, "4": 4 * (6 + 2),
    }  # fmt: skip


def test_frozen_layers_before_the_first_that_is_trained_have_no_gradient():
    body = nn.Block(nn.Dense(4, 5), nn.Tanh(), nn.Dense(5, 6), nn.Tanh())
    model = nn.Sequential(body, nn.Dense(6, 2))
    assert step_of(model)["0"] == 4 * (2 * 5 + 5 + 2 * 6)
    body.trainable = False
    assert step_of(model) == {
        "0": 4 * (5 + 6), "0.0": 0, "0.1": 4 * 5, "0.2": 0, "0.3": 4 * 6, "1": 4 * 2,
    }  # fmt: skip
    assert model.summary(64, nn.Adam()).count(" for the state of Adam") == 1
    assert f"{2 * 4 * 14} B for the state of Adam" in model.summary(64, nn.Adam())


def test_a_layer_that_the_loss_takes_in_holds_nothing():
    model = nn.Sequential(nn.Dense(4, 3), nn.Softmax())
    assert step_of(model) == {"0": 4 * 3, "1": 0}
    assert step_memory(model).room == 4 * (3 + 3)


def test_tied_parameters_have_a_gradient_for_each_use():
    words = nn.Embedding(50, 8, seed=0)
    head = nn.Dense(8, 50, seed=0).tie("weights", words, transposed=True)
    model = nn.Sequential(words, nn.Tanh(), head, input_shape=(3,))
    always = 4 * (model.flat.all_values.size + model.flat.all_gradients.size)
    needed = always + 7 * step_memory(model).total
    assert model.summary(7).endswith(f"needs about {summary.size_text(needed)}")


def test_a_layer_of_ones_own_says_what_it_keeps():
    class Mine(nn.Layer):
        pass

    class Thrifty(nn.Layer):
        footprint = Footprint(keeps_inputs=False, keeps_output=False, makes_dinputs=False)

        def kept_bytes(self, input_shape, n_bytes):
            return n_bytes * input_shape[0] + 1

    def held(layer):
        return step_of(nn.Sequential(nn.Dense(2, 5), layer, nn.Tanh(), nn.Dense(5, 1)))

    assert held(Mine()) == {"0": 4 * 5, "1": 4 * 10, "2": 4 * 10, "3": 4 * 6}
    assert held(Thrifty()) == {"0": 0, "1": 4 * 5 + 1, "2": 4 * 10, "3": 4 * 6}
    branches = Branches(nn.Dense(4, 3), nn.Sequential(nn.Dense(4, 2), nn.ReLU()))
    found = step_of(nn.Sequential(nn.Dense(5, 4), branches, nn.Dense(5, 1)))
    assert found["1"] == found["1.0"] + found["1.1"] + 4 * (4 + 5)
    assert found["1.1"] == 4 * (2 + 2 + 4)


def test_what_is_not_known_is_said():
    model = nn.Sequential(nn.Embedding(20, 8), nn.Flatten(), nn.Dense(24, 2))
    lines = model.summary(batch_size=9).splitlines()
    assert [line.split()[-1] for line in lines[2:5]] == ["?", "?", "?"]
    assert lines[-1] == (
        "a step with 9 samples needs more than 1.6 KiB; for the rest, say the shape of a sample: "
        "input_shape=(…)"
    )
    known = nn.Sequential(*model.layers, input_shape=(3,)).summary(batch_size=1).splitlines()
    assert [line.split()[-2:] for line in known[2:5]] == [["120", "B"], ["0", "B"], ["104", "B"]]
    assert known[-1].startswith("a step with 1 sample needs about ")
    assert bytes_per_sample(model) == 1.0
    late = nn.Sequential(nn.Dense(5, 4), Late(nn.Dense(7, 3)), nn.Dense(4, 1))
    assert late.summary(1).splitlines()[-1].startswith("a step with 1 sample needs more than ")
    silent = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh()))
    assert "needs more than 0 B" in silent.summary(1)


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True, "128"])
def test_a_batch_size_that_is_none(batch_size):
    with pytest.raises(ArgumentError, match=r"^`batch_size` must be a whole number of at least 1"):
        nested().summary(batch_size)


@pytest.mark.parametrize("batch_size", [None, 8])
def test_an_optimizer_that_is_none(batch_size):
    with pytest.raises(ArgumentError, match=r"^`optimizer` must be an Optimizer object; got 'ad"):
        nested().summary(batch_size, "adam")


def test_an_optimizer_without_a_batch_size():
    plain = nested().summary()
    assert nested().summary(optimizer=nn.SGD(0.1)) == plain
    assert nested().summary(optimizer=nn.Adam()) == f"{plain}\n134.6 KiB for the state of Adam"


SINGLE = [case for case in LAYERS if not case.build("float64").children]


@pytest.mark.parametrize("case", SINGLE, ids=lambda case: case.name)
def test_each_layer_keeps_what_it_says(case):
    """The arrays that it kept, and those that it made, are those of its footprint."""
    layer = case.build("float64")
    inputs = np.ascontiguousarray(np.concatenate([case.inputs] * 20, axis=0))
    output = layer.forward(inputs, training=True)
    dvalues = np.ones_like(output)
    dinputs = layer.backward(dvalues)
    arrays = [each for each in layer._kept[2] if isinstance(each, np.ndarray)]

    def keeps(array):
        return any(np.shares_memory(each, array) for each in arrays)

    says = layer.footprint
    assert says.makes_output == (not np.shares_memory(output, inputs))
    assert says.makes_dinputs == (not np.shares_memory(dinputs, dvalues))
    assert says.keeps_inputs == keeps(inputs)
    if says.makes_output:
        assert says.keeps_output == keeps(output)
    beside = [
        each.nbytes
        for each in arrays
        if not np.shares_memory(each, inputs) and not np.shares_memory(each, output)
        if each.size >= min(inputs.size, output.size)  # not a number for each row or column
    ]
    assert sum(beside) == len(inputs) * layer.kept_bytes(inputs.shape[1:], 8)
    assert bool(beside) == (layer.kept_bytes(inputs.shape[1:], 8) > 0)


def dense_and_dropout(dtype):
    return nn.Sequential(
        nn.Dense(64, 256, dtype=dtype), nn.ReLU(), nn.Dropout(0.1),
        nn.Dense(256, 192, dtype=dtype), nn.ReLU(), nn.Dropout(0.1),
        nn.Dense(192, 10, dtype=dtype), seed=0,
    )  # fmt: skip


def batch_norm(dtype):
    return nn.Sequential(
        nn.BatchNorm(64, dtype=dtype), nn.Dense(64, 256, dtype=dtype),
        nn.BatchNorm(256, dtype=dtype), nn.ReLU(), nn.Dense(256, 256, dtype=dtype),
        nn.BatchNorm(256, dtype=dtype), nn.SiLU(), nn.Dense(256, 10, dtype=dtype), seed=0,
    )  # fmt: skip


def residual(dtype):
    block = nn.Residual(nn.Dense(256, 128, dtype=dtype), nn.ReLU(), nn.Dense(128, 256, dtype=dtype))
    return nn.Sequential(
        nn.Dense(64, 256, dtype=dtype), nn.ReLU(), block, nn.Tanh(),
        nn.Residual(nn.Dense(256, 256, dtype=dtype), nn.GELU()),
        nn.Dense(256, 10, dtype=dtype), seed=0,
    )  # fmt: skip


def side_by_side(dtype):
    deep = nn.Sequential(nn.Dense(256, 128, dtype=dtype), nn.ReLU(), nn.Dense(128, 96, dtype=dtype))
    return nn.Sequential(
        nn.Dense(64, 256, dtype=dtype), nn.ReLU(), nn.Concatenate(nn.Linear(), deep),
        nn.Dense(352, 10, dtype=dtype), seed=0,
    )  # fmt: skip


def embedding(dtype):
    return nn.Sequential(
        nn.Embedding(50, 32, dtype=dtype), nn.Flatten(), nn.Dense(12 * 32, 64, dtype=dtype),
        nn.ReLU(), nn.Dense(64, 10, dtype=dtype), nn.Softmax(), seed=0, input_shape=(12,),
    )  # fmt: skip


def layer_norm(dtype):
    return nn.Sequential(
        nn.Dense(64, 256, dtype=dtype), nn.LayerNorm(256, dtype=dtype), nn.ELU(),
        nn.Dense(256, 256, dtype=dtype), nn.LayerNorm(256, dtype=dtype), nn.Sigmoid(),
        nn.Dense(256, 10, dtype=dtype), seed=0,
    )  # fmt: skip


def sequences(dtype):
    return nn.Sequential(
        nn.Dense(16, 64, dtype=dtype), nn.LayerNorm(64, dtype=dtype), nn.GELU(),
        nn.GaussianNoise(0.1), nn.Dense(64, 48, dtype=dtype), nn.ReLU(), nn.AlphaDropout(0.1),
        nn.Dense(48, 5, dtype=dtype), seed=0, input_shape=(20, 16),
    )  # fmt: skip


def numbers(dtype):
    activations = [nn.ParametricActivation(nn.Mish(), 256, dtype=dtype)]
    activations += [nn.ParametricActivation(nn.SELU(), 128, dtype=dtype)]
    return nn.Sequential(
        nn.Scale(48, dtype=dtype), nn.PeriodicEmbedding(48, 6, 4, dtype=dtype),
        nn.Dense(192, 256, dtype=dtype), activations[0],
        nn.Dense(256, 128, dtype=dtype), activations[1], nn.Dense(128, 10, dtype=dtype), seed=0,
    )  # fmt: skip


def ensemble(dtype):
    return nn.Sequential(
        nn.Dense(64, 128, dtype=dtype), nn.Mish(), nn.Repeat(4), nn.Scale((4, 128), dtype=dtype),
        nn.Dense(128, 128, dtype=dtype), nn.ReLU(), nn.MemberDense(4, 128, 10, dtype=dtype),
        seed=0,
    )  # fmt: skip


def convolutions(dtype):
    return nn.Sequential(
        nn.Conv2D(3, 16, 3, padding="same", dtype=dtype), nn.ReLU(),
        nn.DepthwiseConv2D(16, 3, strides=2, dtype=dtype), nn.Tanh(),
        nn.Conv2D(16, 32, 1, dtype=dtype), nn.ReLU(),
        nn.Conv2DTranspose(32, 8, 2, strides=2, dtype=dtype), nn.Tanh(), nn.Flatten(),
        nn.Dense(14 * 14 * 8, 10, dtype=dtype), seed=0, input_shape=(16, 16, 3),
    )  # fmt: skip


def pools(dtype):
    return nn.Sequential(
        nn.Conv2D(3, 16, 3, padding="same", dtype=dtype), nn.MaxPool2D(2), nn.ReLU(),
        nn.GroupNorm(16, 4, dtype=dtype), nn.Upsample2D(2), nn.AveragePool2D(2),
        nn.BatchNorm(16, scale=False, dtype=dtype), nn.SiLU(), nn.ZeroPad2D(1),
        nn.Reshape((-1, 16)), nn.MaxPool1D(2), nn.GlobalMaxPool(), nn.Dense(16, 10, dtype=dtype),
        seed=0, input_shape=(16, 16, 3),
    )  # fmt: skip


def split(dtype):
    numbers = nn.Sequential(nn.Columns(0, 8), nn.PeriodicEmbedding(8, 8, 8, dtype=dtype))
    others = nn.Sequential(nn.Columns(8, 40), nn.Dense(32, 64, dtype=dtype), nn.Mish())
    return nn.Sequential(
        nn.Concatenate(numbers, others), nn.Dense(128, 256, dtype=dtype), nn.ReLU(),
        nn.Dense(256, 10, dtype=dtype), seed=0, input_shape=(40,),
    )  # fmt: skip


def trained(model, n):
    """A trainer that has made a step on n samples, and these."""
    random, shape = np.random.default_rng(0), model.input_shape
    if isinstance(model.layers[0], nn.Embedding):
        x = random.integers(0, model.layers[0].n_values, (n, *shape))
    else:
        x = random.standard_normal((n, *shape)).astype(model.dtype)
    *places, n_classes = model.output_shape(shape)
    y = random.integers(0, n_classes, (n, *places))
    softmax = isinstance(model.layers[-1], nn.Softmax)
    loss = nn.CategoricalCrossentropy() if softmax else nn.SoftmaxCategoricalCrossentropy()
    trainer = nn.Trainer(model, loss, nn.Adam(), (), backend="numpy")
    trainer.train_step(x, y)
    return trainer, x, y


def allocated(model, n):
    """Bytes of a training step on n samples: at its peak, beside what was there before it."""
    trainer, x, y = trained(model, n)
    for layer in trainer.learner.layers():
        layer.let_go()
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(3):  # the calls are noted and compared, or not
            trainer.train_step(x, y)  # the next one holds what it left until that is made anew
        tracemalloc.reset_peak()
        trainer.train_step(x, y)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "build",
    [
        dense_and_dropout, batch_norm, residual, side_by_side, embedding, layer_norm, sequences,
        numbers, ensemble, split, convolutions, pools,
    ],
)  # fmt: skip
def test_a_step_needs_what_was_said(build, dtype):
    """Within 0.75 to 1.3 of what NumPy allocates.

    What layers hold is right to a hundredth. What they work in differs with the kernels, which may
    be NumPy's, compiled or the standard's, and is taken from the widest layer; the optimizer's work
    on the parameters is left out.
    """
    model, n = build(dtype), 500
    peak = allocated(model, n)
    step = step_memory(model)
    assert step.known
    assert 0.75 * peak < n * (step.held + step.room) < 1.3 * peak
    assert bytes_per_sample(model) == step.total


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize(
    "build",
    [
        dense_and_dropout, batch_norm, residual, side_by_side, layer_norm, numbers, ensemble, split,
        convolutions, pools,
    ],
)  # fmt: skip
def test_what_layers_hold_is_right_to_a_hundredth(build, fuse):
    """All but arrays of a number for each row or column."""
    model, n = build("float32"), 500
    model.run_fused(fuse)
    _, x, _ = trained(model, n)
    held = {}
    for _, layer in model.walk():
        for array in (*(layer._kept[2] if layer._kept else ()), vars(layer).get("dinputs")):
            if isinstance(array, np.ndarray) and not np.shares_memory(array, x):
                while isinstance(array.base, np.ndarray):
                    array = array.base
                held[id(array)] = array.nbytes
    output = n * 4 * 10  # which the step holds, and not the last layer
    step = step_memory(model)
    assert n * step.held == pytest.approx(sum(held.values()) + output, rel=0.01)
