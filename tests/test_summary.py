"""The table of a model's layers, as text and as HTML."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

import nnfs_xp as nn
from nnfs_xp.layers import summary


def nested(dtype="float32"):
    inner = nn.Sequential(nn.ReLU(), nn.Dropout(0.1), nn.Dense(128, 64, dtype=dtype))
    return nn.Sequential(nn.Dense(64, 128, dtype=dtype), inner, nn.Dense(64, 10, dtype=dtype))


def test_rows_give_place_shape_parameters_and_memory():
    found = summary.rows(nested())
    assert found == [
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
    assert "25 parameters, float32, on numpy" in summary.text(branches)
    assert summary.rows(nn.Dense(4, 3)) == [("", "Dense", 0, "(batch, 3)", 15, 60)]


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
