"""The progress of a training on a table, in Python and on the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nnfs_xp.cli import main
from nnfs_xp.errors import ArgumentError
from nnfs_xp.tables import train_table
from nnfs_xp.training import progress

QUICK = {"hidden": (8,), "epochs": 3, "folds": 1, "patience": 9, "backend": "numpy"}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def houses(n=120):
    size = np.random.default_rng(0).normal(60, 20, n)
    return pd.DataFrame({"size": size, "price": 3 * size, "kind": np.where(size > 60, "big", "s")})


def assert_lines(text, epochs):
    """A line for each epoch, with the figures of training and validation, and nothing else."""
    lines = text.splitlines()
    assert [line.split()[1] for line in lines] == [f"{n}/3" for n in range(1, epochs + 1)]
    for line in lines:
        assert re.match(r"epoch \d/3 loss \S+ \(val \S+\) .*\dk? samples/s( 0:0\d left)?$", line)


@pytest.mark.parametrize("target", ["kind", "price"])
def test_lines_are_one_for_each_epoch(capsys, target):
    model = train_table(houses(), target, progress="lines", **QUICK)
    out, err = capsys.readouterr()
    assert out == ""
    assert model.history.epochs == 3
    assert_lines(err, 3)


@pytest.mark.parametrize("target", ["kind", "price"])
def test_without_a_terminal_lines_begin_after_the_first_minute(capsys, monkeypatch, target):
    train_table(houses(), target, **QUICK)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(progress, "_MINUTE", 0)
    monkeypatch.setattr(progress, "_SPACING", 1e9)
    train_table(houses(), target, **QUICK)
    lines = [line.split()[1] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["1/3", "3/3"], "the last line is held back no longer than the training"


def test_anything_else_is_refused_before_the_table_is_read():
    with pytest.raises(ArgumentError, match="must be True, False or 'lines'; got 'bar'"):
        train_table("nowhere.csv", "kind", progress="bar", **QUICK)


def test_on_the_command_line_lines_go_to_standard_error(capsys, monkeypatch):
    monkeypatch.setattr("nnfs_xp.cli.tables.write_report", lambda *_, **__: None)
    monkeypatch.setattr("nnfs_xp.cli.tables.draw_table_pictures", lambda *_, **__: None)
    houses().to_csv("houses.csv", index=False)
    options = ["train", "houses.csv", "--target", "kind", "--epochs", "3", "--hidden", "8"]
    options += ["--folds", "1"]
    results = {}
    for word in ("lines", "auto", "off"):
        more = ["--backend", "numpy", "--progress", word, "--out", word]
        assert main([*options, *more]) == 0
        results[word] = capsys.readouterr()
    record = json.loads(Path("lines/run.json").read_text("utf-8"))
    assert_lines(results["lines"].err, record["settings"]["epochs_done"])
    assert "samples/s" not in results["lines"].out
    assert results["auto"].err == results["off"].err == ""
    lengths = {len(each.out.splitlines()) for each in results.values()}
    assert len(lengths) == 1, "results are printed all the same"
    assert "trained network" in results["off"].out
