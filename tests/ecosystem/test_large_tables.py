"""Tables that are read in pieces: the sample, the batches, the training, and the command."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import warnings
import weakref
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from nnfs_xp.backend import host_generator
from nnfs_xp.cli import main
from nnfs_xp.data.table_files import open_in_pieces, open_table
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.tables import TableWarning, fitting, large, sampling, train_table
from nnfs_xp.tables.large import is_large, survey
from nnfs_xp.tables.piecewise import TableBatches
from nnfs_xp.tables.preparing import prepare
from nnfs_xp.tables.settings import TableSettings, Wishes

ROOT = Path(__file__).parents[2]
N = 1500
QUICK = {"hidden": (8,), "epochs": 2, "batch_size": 64, "backend": "numpy", "progress": False}


@pytest.fixture(autouse=True)
def _small_limits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(large, "MANY_ROWS", 1000)
    monkeypatch.setattr(large, "MANY_BYTES", 10_000)
    monkeypatch.setattr(large, "MANY_PACKED_BYTES", 5000)
    monkeypatch.setattr(large, "SAMPLE", 400)
    monkeypatch.setattr(large, "PIECE_ROWS", 200)
    monkeypatch.setattr(sampling, "_MOST_VALUES", 20)


def houses(n=N, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"size": rng.normal(60, 20, n), "town": rng.choice(["Rome", "Oslo"], n)})
    frame["price"] = 3 * frame["size"] + 50 * (frame["town"] == "Rome")
    frame["kind"] = np.where(frame["price"] > 205, "villa", "hut")
    return frame


def write(frame, name="houses.parquet"):
    if name.endswith(".parquet"):
        frame.to_parquet(name, index=False, row_group_size=350)
    else:
        frame.to_csv(name, index=False)
    return Path(name)


def prepared_of(path, target, **said):
    return prepare(path, target, TableSettings(), Wishes(**said))


@pytest.fixture
def trainings(monkeypatch):
    """The data and the validation of each training of a network."""
    found = []

    def train(network, data, validation, *others, **options):
        found.append((data, validation))
        return real(network, data, validation, *others, **options)

    real = fitting.train
    monkeypatch.setattr(fitting, "train", train)
    return found


def batches_of(path, target="kind", kept=(), learnt=None, **said):
    """The batches of a file, without rows of these numbers; and the columns' encoder sees sizes."""
    prepared = prepared_of(path, target, **said)

    class Sizes:
        """Gives the sizes as they are, by which rows are known."""

        def transform(self, frame):
            return frame[["size"]].to_numpy()

    learnt = learnt or np.asarray
    parts = prepared.large, prepared.target, prepared.features, Sizes(), learnt, np.array(kept, int)
    return TableBatches(*parts, 64, 0)


def rows_in(batches, frame, epoch=0, first=0):
    """The indices in the frame of the rows of an epoch, in their order."""
    sizes = np.concatenate([X[:, 0] for X, _ in batches.walk(epoch, first)])
    place = {np.float32(size): index for index, size in enumerate(frame["size"])}
    return [place[size] for size in sizes]


# Which files ----------------------------------------------------------------------------------


def test_parquet_is_large_by_its_rows():
    assert not is_large(write(houses(1000)))
    assert is_large(write(houses(1001)))
    assert is_large(str(write(houses(1001))))


def test_text_is_large_by_its_bytes():
    assert is_large(write(houses(400), "a.csv"))
    assert not is_large(write(houses(20), "a.csv"))
    text = write(houses(), "a.csv").read_bytes()
    packed = gzip.compress(text)
    assert len(packed) > 10_000
    Path("a.csv.gz").write_bytes(packed)
    assert is_large("a.csv.gz")
    Path("a.csv.gz").write_bytes(gzip.compress(text[:9000]))
    assert not is_large("a.csv.gz")


def test_what_can_only_be_read_as_a_whole_is_not():
    houses(400).to_json("a.jsonl", orient="records", lines=True)
    houses(400).to_json("b", orient="records", lines=True)
    houses(400).to_excel("a.xlsx", index=False)
    with pa.ipc.new_file("a.arrow", pa.Table.from_pandas(houses(400)).schema) as file:
        file.write(pa.Table.from_pandas(houses(400)))
    write(houses()).rename("whole.parquet")
    Path("a.parquet.gz").write_bytes(gzip.compress(Path("whole.parquet").read_bytes()))
    names = ("a.jsonl", "b", "a.xlsx", "a.arrow", "a.parquet.gz")
    assert all(Path(name).stat().st_size > 10_000 for name in names)
    assert not any(is_large(name) for name in names)
    assert not is_large(houses(2000))


def test_a_file_that_is_not_there_is_refused_as_ever():
    with pytest.raises(DataError, match=r"cannot read nowhere\.csv"):
        train_table("nowhere.csv", "kind", **QUICK)


# The sample -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["houses.parquet", "houses.csv"])
def test_the_sample_is_the_rows_with_the_smallest_keys(name):
    frame, first = houses(), 1 if name.endswith("parquet") else 2
    table = survey(write(frame, name), "price", seed=7)
    assert table.n_rows == N
    assert table.sizes.sum() == N
    assert table.sizes.max() == 200
    keys = np.concatenate(
        [host_generator(7, 2, n).random(size) for n, size in enumerate(table.sizes)]
    )
    expected = np.sort(np.argsort(keys)[:400])
    assert (np.asarray(table.sample.rows) - first).tolist() == expected.tolist()
    sizes = np.array(table.sample.columns["size"].to_pylist(), float)
    assert sizes == pytest.approx(frame["size"].to_numpy()[expected])
    assert table.sample.place(0) == f"{name} (sample of 400 rows): row {expected[0] + first}"


def test_another_seed_draws_others():
    path = write(houses())
    rows = [survey(path, "price", seed=seed).sample.rows.tolist() for seed in (0, 0, 1)]
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]
    assert 700 < np.mean(rows[0]) < 800


def test_every_class_is_in_the_sample_twice_where_the_file_has_two():
    frame = houses(5000)
    frame["kind"] = "hut"
    frame.loc[[1234, 3456, 4321], "kind"] = "villa"
    frame.loc[2222, "kind"] = "castle"
    table = survey(write(frame), "kind", seed=0)
    values = table.sample.columns["kind"].to_pylist()
    assert table.sample.n_rows == 400
    assert values.count("castle") == 1
    assert values.count("villa") == 2
    assert {1235, 3457, 2223} <= set(table.sample.rows.tolist())
    with pytest.warns(TableWarning, match="1 of 3 classes of 'kind' have a single row.*castle"):
        model = train_table("houses.parquet", "kind", **QUICK)
    assert model.classes == ("castle", "hut", "villa")


def test_targets_that_are_hardly_classes_are_drawn_as_any(monkeypatch):
    monkeypatch.setattr(sampling, "_MOST_VALUES", 3)
    frame = houses().assign(kind=np.arange(N) % 5)
    table = survey(write(frame), "kind", seed=0)
    keys = np.concatenate(
        [host_generator(0, 2, n).random(size) for n, size in enumerate(table.sizes)]
    )
    assert (table.sample.rows - 1).tolist() == np.sort(np.argsort(keys)[:400]).tolist()


def test_a_sample_never_holds_much_more_than_its_rows():
    drawn = sampling.Sample(50, 0)
    for piece in open_in_pieces(write(houses()), rows=20):
        drawn.add(piece, large._target_column(piece, "price", large.Reading()))
        assert sum(each.n_rows for each in drawn._tables) <= 100 + 20
    assert drawn.table().n_rows == 50


def test_a_column_that_counts_shuffled_rows_is_left_out_by_its_sample():
    frame = houses().assign(number=np.random.default_rng(0).permutation(N))
    with pytest.warns(TableWarning, match="'number' is left out: it counts the rows"):
        prepared = prepared_of(write(frame), "kind")
    assert prepared.features.names == ["size", "town", "price"]
    whole_numbers = frame.assign(number=np.random.default_rng(0).integers(50, size=N))
    prepared = prepared_of(write(whole_numbers), "kind")
    assert "number" in prepared.features.names


# The batches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["houses.parquet", "houses.csv"])
def test_an_epoch_has_each_row_once_but_those_that_are_kept(name):
    frame, first = houses(), 1 if name.endswith("parquet") else 2
    kept = [3, 199, 200, 777, N - 1]
    batches = batches_of(write(frame, name), kept=[row + first for row in kept])
    assert batches.n_samples == N - 5
    rows = rows_in(batches, frame)
    assert sorted(rows) == sorted(set(range(N)) - set(kept))
    found = list(batches.walk(0))
    assert [len(y) for _, y in found] == [64] * 23 + [(N - 5) % 64]
    assert len(batches) == len(found) == 24
    assert np.concatenate([y for _, y in found]).tolist() == (
        (frame["kind"] == "villa").astype(int)[rows].tolist()
    )


def test_each_epoch_has_an_order_of_its_own_within_the_pieces():
    frame = houses()
    batches = batches_of(write(frame))
    orders = [rows_in(batches, frame, epoch) for epoch in (0, 0, 1)]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    ends = [0, *np.cumsum(batches.table.sizes)]
    for low, high in pairwise(ends):
        assert sorted(orders[2][low:high]) == list(range(low, high))
        assert orders[2][low:high] != list(range(low, high))


def test_an_epoch_can_be_entered_anywhere(monkeypatch):
    monkeypatch.setattr("nnfs_xp.tables.piecewise._AT_ONCE", 50)
    batches = batches_of(write(houses()), kept=[1, 400, 401])
    whole = list(batches.walk(1))
    for first in range(len(batches)):
        rest = list(batches.walk(1, first))
        assert len(rest) == len(whole) - first
        for (X, y), (expected_X, expected_y) in zip(rest, whole[first:], strict=True):
            assert np.array_equal(X, expected_X)
            assert np.array_equal(y, expected_y)
    assert list(batches.walk(1, len(batches))) == []
    assert np.array_equal(batches[5][0], list(batches.walk(0))[5][0])
    with pytest.raises(IndexError):
        batches[len(batches)]


@pytest.mark.parametrize("name", ["houses.parquet", "houses.csv"])
def test_rows_without_a_target_are_left_out_also_a_piece_of_them(name):
    frame = houses()
    frame.loc[150:650, "kind"] = None
    with pytest.warns(TableWarning, match=r"of 400 rows are left out.*\(sample of 400 rows\)"):
        batches = batches_of(write(frame, name))
    assert 0 in batches.sizes
    rows = rows_in(batches, frame)
    assert sorted(rows) == [row for row in range(N) if not 150 <= row <= 650]
    assert len(batches) == len(list(batches.walk(0)))


@pytest.mark.parametrize(("task", "n_missing"), [("classification", 3), ("regression", 7)])
def test_what_is_missing_is_counted_as_the_target_reads_it(task, n_missing):
    frame = houses()
    labels = ("2", "1") if task == "regression" else ("high", "low")
    frame["level"] = np.where(frame["size"] > 60, *labels)
    frame.loc[[0, 300, 600], "level"] = ["NA", " null ", "-9"]
    frame.loc[[100, 400, 700, 900], "level"] = ["none", "-", "NaT", "-nan"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TableWarning)
        batches = batches_of(write(frame, "houses.csv"), "level", task=task, missing=["-9"])
    assert batches.n_samples == N - n_missing
    rows = rows_in(batches, frame)
    assert len(rows) == N - n_missing
    assert not {0, 300, 600} & set(rows)
    assert ({100, 400, 700, 900} <= set(rows)) == (task == "classification")


@pytest.mark.parametrize("values", [[1, 2**60], [True, False], [1.5, 2.5], ["a", "b"]])
def test_targets_of_all_types_are_counted(values):
    frame = houses()
    frame["level"] = pd.array([*values, None] * (N // 3))
    with pytest.warns(TableWarning, match="are left out"):
        batches = batches_of(write(frame), "level", categorical=["level"])
    assert batches.n_samples == 2 * N // 3 == sum(len(y) for _, y in batches.walk(0))
    assert len(batches.target.classes) == 2


def test_no_more_than_a_piece_is_held(monkeypatch):
    batches = batches_of(write(houses()))
    pieces = []

    def watched(*given, **options):
        for piece in open_in_pieces(*given, **options):
            pieces.append(weakref.ref(piece))
            yield piece
            del piece

    monkeypatch.setattr(large, "open_in_pieces", watched)
    for _ in batches.walk(0):
        assert sum(each() is not None for each in pieces) <= 2, (
            "one is let go when the next is here"
        )
    assert len(pieces) == len(batches.table.sizes) > 5
    pieces.clear()
    survey(Path("houses.parquet"), "kind")
    assert len(pieces) > 5
    assert sum(each() is not None for each in pieces) == 0


def test_a_bad_cell_is_named_wherever_it_is():
    frame = houses().astype({"size": object})
    bad = next(row for row in range(1400, N) if row + 2 not in drawn_rows(frame))
    frame.loc[bad, "size"] = "wide"
    with pytest.raises(
        DataError, match=rf"houses.csv: row {bad + 2}, column 'size': 'wide' is no n"
    ):
        train_table(write(frame, "houses.csv"), "price", **QUICK)


def drawn_rows(frame):
    return survey(write(frame, "houses.csv"), "price").sample.rows.tolist()


def test_a_class_that_the_sample_could_not_show_is_named(monkeypatch):
    monkeypatch.setattr(sampling, "_MOST_VALUES", 1)
    frame = houses()
    bad = next(row for row in range(1400, N) if row + 2 not in drawn_rows(frame))
    frame.loc[bad, "kind"] = "castle"
    with pytest.raises(DataError, match=rf"row {bad + 2}, column 'kind': 'castle' is no class"):
        train_table(write(frame, "houses.csv"), "kind", **QUICK)


@pytest.mark.parametrize("n", [10, N - 100, N - 1, N + 1, N + 100, N + 300])
def test_a_file_that_has_changed_is_refused(n):
    batches = batches_of(write(houses()))
    write(houses(n))
    with pytest.raises(DataError, match=r"houses\.parquet has changed since it was first"):
        list(batches.walk(0))


# The training ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["houses.parquet", "houses.csv"])
def test_a_model_learns_from_all_rows_but_those_it_is_tested_on(name, trainings):
    path, first = write(houses(6000), name), 1 if name.endswith("parquet") else 2
    model = train_table(path, "kind", **QUICK | {"epochs": 8})
    assert model.report.figures["accuracy"] > 0.95
    ((batches,), validation) = trainings[0]
    n_tested, n_validated = model.report.rows, len(validation[1])
    assert (n_tested, n_validated) == (80, 48)
    assert batches.n_samples == 6000 - n_tested - n_validated
    assert len(set(batches.kept.tolist())) == n_tested + n_validated
    assert set(batches.kept.tolist()) <= set(np.asarray(batches.table.sample.rows).tolist())
    assert batches.kept.min() >= first
    assert model.settings["trained_on"] == 6000 - n_tested
    assert model.settings["folds"] == 1
    assert model.history.epochs == 8
    small = houses(200, seed=1)
    assert np.mean(model.predict(small) == small["kind"]) > 0.95


def test_a_regression_learns_with_intervals_and_several_members():
    path = write(houses(6000))
    model = train_table(path, "price", ensemble=2, interval=0.8, **QUICK | {"epochs": 12})
    assert model.report.figures["r2"] > 0.9
    assert model.predict_interval(houses(5), 0.8).shape == (5, 2)


def test_a_test_of_its_own_leaves_more_rows_to_train_on(trainings):
    model = train_table(write(houses()), "kind", test=houses(100, seed=1), **QUICK)
    ((batches,), validation) = trainings[0]
    assert batches.n_samples == N - len(validation[1]) == N - 60
    assert model.report.rows == 100
    test = write(houses(1200, seed=1), "later.parquet")
    model = train_table("houses.parquet", "kind", test=test, **QUICK)
    assert model.report.rows == 400, "a large one is sampled"


def test_no_more_is_tested_than_it_takes(monkeypatch):
    monkeypatch.setattr(large, "MOST_TESTED", 60)
    model = train_table(write(houses()), "kind", test_share=0.5, **QUICK)
    assert model.report.rows == 60
    assert model.settings["test_share"] == pytest.approx(0.15)


def test_warnings_are_told_of_the_line_that_trains():
    with pytest.warns(TableWarning, match="left out") as told:
        train_table(write(houses().assign(same=1.0)), "kind", **QUICK)
    assert {Path(each.filename).name for each in told} == {Path(__file__).name}


def test_a_training_is_made_again_by_its_seed():
    path = write(houses())
    weights = [
        train_table(path, "kind", seed=seed, **QUICK).network.flat.values for seed in (0, 0, 1)
    ]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_a_cut_training_goes_on_in_the_middle_of_an_epoch_to_the_same_weights(monkeypatch):
    path = write(houses())
    uncut = train_table(path, "kind", **QUICK)
    walked = []

    def walk(self, epoch, first=0):
        for number, batch in enumerate(real(self, epoch, first), first):
            walked.append((epoch, number))
            if (epoch, number) == (1, 9) and "cut" not in os.environ:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    real = TableBatches.walk
    monkeypatch.setattr(TableBatches, "walk", walk)
    with pytest.raises(KeyboardInterrupt):
        train_table(path, "kind", checkpoint="kept", **QUICK)
    assert (1, 20) not in walked
    monkeypatch.setenv("cut", "done")
    walked.clear()
    resumed = train_table(path, "kind", checkpoint="kept", resume=True, **QUICK)
    walked.remove((0, 0))  # which is looked at in any case
    assert min(number for epoch, number in walked if epoch == 1) > 0, "in the middle"
    assert np.array_equal(resumed.network.flat.values, uncut.network.flat.values)
    assert resumed.history == uncut.history
    assert resumed.report.figures == uncut.report.figures


def test_several_networks_are_refused_before_all_is_read():
    path = write(houses())
    with pytest.raises(ArgumentError, match=r"`folds` must be 1 for houses\.parquet, .*; got 5"):
        train_table(path, "kind", folds=5, **QUICK)
    assert train_table(path, "kind", folds=1, **QUICK).settings["folds"] == 1


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"target": "kid"}, "has no column 'kid', which is to be predicted. Did you mean 'kind'"),
        ({"drop": ["siz"]}, "has no column 'siz', which is to be dropped. Did you mean 'size'"),
        ({"numeric": ["twn"]}, "has no column 'twn', which is named as numeric"),
        ({"text": ["siz"]}, "has no column 'siz', which is named as a date or text"),
    ],
)
def test_absent_columns_are_refused_before_all_is_read(said, complaint, monkeypatch):
    monkeypatch.setattr(large, "Sample", None)
    with pytest.raises(DataError, match=re.escape(complaint)):
        train_table(write(houses()), **{"target": "kind", **said}, **QUICK)


def test_progress_is_shown_of_the_first_reading_too(capsys):
    train_table(write(houses()), "kind", **QUICK | {"progress": "lines"})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert re.fullmatch(r"reading 1/1 \d+k? samples/s", lines[0])
    assert lines[1].startswith("epoch 1/2 loss ")


def test_few_columns_make_pieces_of_many_rows_and_many_of_few(monkeypatch):
    monkeypatch.setattr(large, "_PIECE_CELLS", 400)
    table = survey(write(houses()), "kind")
    assert table.sizes.tolist() == [100] * 15, "400 cells in 4 columns"


def test_a_row_group_of_parquet_is_not_held_as_a_whole():
    rng = np.random.default_rng(0)
    pd.DataFrame(rng.normal(size=(400_000, 8))).rename(columns=str).to_parquet(
        "wide.parquet", row_group_size=400_000, use_dictionary=False
    )
    pool = pa.default_memory_pool()
    before, most = pool.bytes_allocated(), 0
    for _ in open_in_pieces("wide.parquet", rows=10_000):
        most = max(most, pool.bytes_allocated() - before)
    assert most < 400_000 * 8 * 8 / 3


# The command ----------------------------------------------------------------------------------


def command(*arguments):
    return main([str(each) for each in arguments])


def test_the_command_trains_tests_again_and_predicts(capsys):
    write(houses(), "houses.csv")
    options = ["--target", "kind", "--hidden", 8, "--epochs", 2, "--backend", "numpy"]
    assert command("train", "houses.csv", *options, "--out", "run") == 0
    out = capsys.readouterr().out
    assert "houses.csv: 1500 rows; classification of 'kind', 2 classes" in out
    assert "on 1420 rows in" in out
    facts = json.loads(Path("run/run.json").read_text("utf-8"))
    assert facts["report"]["rows"] == 80
    assert Path("run/report.html").stat().st_size > 1000
    report = out[out.index("test on 80 rows") : out.index("report in")]
    assert command("evaluate", "run") == 0
    assert capsys.readouterr().out == report
    write(houses(30, seed=3), "new.csv")
    assert command("predict", "run", "new.csv", "-o", "predictions.csv") == 0
    assert len(pd.read_csv("predictions.csv")) == 30


def test_the_command_names_the_columns_where_the_target_is_missing(capsys):
    assert command("train", write(houses()), "--backend", "numpy") == 2
    assert "It has 'size', 'town', 'price', 'kind'." in capsys.readouterr().err


# The benchmark --------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="memory is measured as POSIX tells it")
def test_the_benchmark_trains_within_bounds():
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks",
            "large_table",
            "--rows",
            "120000",
            "--hidden",
            "8",
            "--epochs",
            "4",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("| 120,000 |"))
    peak, accuracy = [float(cell.replace(",", "")) for cell in row.strip("| ").split(" | ")[-2:]]
    assert peak < 2048
    assert accuracy > 0.7


def test_open_table_still_reads_a_large_file_as_a_whole():
    assert open_table(write(houses())).n_rows == N
