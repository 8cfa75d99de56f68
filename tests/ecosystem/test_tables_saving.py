"""The folder of a table's model: it predicts as before, or is refused by a line."""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer

from nnfs_xp.data.table_files import open_table
from nnfs_xp.errors import BackendError, CheckpointError
from nnfs_xp.tables import files, load_table_model, save_table_model, train_table

QUICK = {"hidden": (8,), "epochs": 3, "folds": 1, "backend": "numpy", "progress": False}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def everything(n=200, seed=0):
    """A column of each kind, with gaps, and targets of each kind."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"size": rng.normal(50, 20, n), "town": rng.choice(["Oslo", "Rome"], n)})
    frame["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 999, n), "D")
    frame["note"] = [
        f"the {rng.choice(['old', 'new', 'big'])} {rng.choice(['barn', 'mill'])} in lane {i}"
        for i in range(n)
    ]
    frame["street"] = [f"street {i % 45}" for i in range(n)]
    frame["price"] = 3 * frame["size"] + 40 * (frame["town"] == "Rome")
    frame["dear"] = np.where(frame["price"] > 170, "yes", "no")
    frame["garden"] = rng.random(n) < 0.5
    frame["floors"] = rng.integers(1, 4, n)
    frame.loc[3, "size"], frame.loc[5, "town"], frame.loc[9, "day"] = np.nan, None, pd.NaT
    return frame


@pytest.fixture(scope="module")
def model():
    return train_table(everything(), "dear", drop=["price"], **QUICK)


def scores_of(model, frame):
    return model.scores(model.read(open_table(frame)))


def record():
    return json.loads(Path("kept/run.json").read_text("utf-8"))


def write_record(change):
    Path("kept/run.json").write_text(json.dumps({**record(), **change}))


def forge(content, name="columns.skops"):
    """Put something else into the folder, with a checksum that fits."""
    content = content if isinstance(content, bytes) else skops.io.dumps(content)
    Path("kept", name).write_bytes(content)
    write_record({"sha256": {**record()["sha256"], name: hashlib.sha256(content).hexdigest()}})


# What is saved -----------------------------------------------------------------------------------


def test_the_decimal_sign_of_the_target_is_kept():
    lines = [f"{i};{2 * i},5" for i in range(40)]
    Path("trained.csv").write_text("\n".join(["size;price", *lines]))
    Path("later.csv").write_text("size;price\n1;2,125\n2;4,375\n")  # thousands, or decimals
    save_table_model(train_table("trained.csv", "price", numeric=["size"], **QUICK), "kept")
    assert load_table_model("kept").evaluate("later.csv").y_true.tolist() == [2.125, 4.375]


@pytest.mark.parametrize(
    ("target", "more"),
    [
        ("price", {}),
        ("price", {"folds": 3, "interval": 0.8}),
        ("price", {"ensemble": 3}),
        ("dear", {"folds": 2, "ensemble": 2}),
        ("garden", {}),
        ("floors", {}),
    ],
)
def test_what_is_saved_predicts_as_before(target, more):
    model = train_table(everything(), target, **{**QUICK, **more})
    save_table_model(model, "deep/kept", note="mine")
    loaded = load_table_model("deep/kept")
    new = everything(seed=1)
    scores, again = scores_of(model, new), scores_of(loaded, new)
    np.testing.assert_array_equal(again, scores)
    np.testing.assert_array_equal(loaded.predict(new), model.predict(new))
    assert (loaded.task, loaded.classes) == (model.task, model.classes)
    assert [type(label) for label in loaded.classes] == [type(label) for label in model.classes]
    assert str(loaded.report) == str(model.report)
    assert loaded.history == model.history
    assert loaded.features == model.features
    assert loaded.target == model.target
    assert loaded.scale == model.scale
    assert loaded.temperature == model.temperature
    np.testing.assert_array_equal(loaded.residuals, model.residuals)
    if target == "price":
        intervals = loaded.predict_interval(new, 0.8)
        np.testing.assert_array_equal(intervals, model.predict_interval(new, 0.8))
    with np.errstate(all="raise"):
        elsewhere = load_table_model("deep/kept", "array_api_strict")
    np.testing.assert_allclose(scores_of(elsewhere, new), scores, 1e-4)


def test_the_record_says_what_there_is_to_know(model):
    save_table_model(model, "kept", note="mine")
    said = record()
    assert said["note"] == "mine"
    assert said["target"] == {
        "name": "dear",
        "task": "classification",
        "kind": "category",
        "classes": ["no", "yes"],
    }
    assert {(each["name"], each["kind"]) for each in said["features"]} >= {
        ("size", "number"),
        ("town", "category"),
        ("day", "date"),
        ("note", "text"),
    }
    assert said["versions"].keys() == {"nnfs_xp", "scikit-learn", "skrub", "skops", "numpy"}
    assert {path.name for path in Path("kept").iterdir()} == {
        files.MODEL,
        files.TABLE_MODEL,
        files.RUN,
    }


def test_a_file_needs_no_types_but_those_of_a_short_list(model):
    assert len(model.columns.transformers_) == 6, "all that columns may go through"
    save_table_model(model, "kept")
    wanted = skops.io.get_untrusted_types(file="kept/columns.skops")
    assert set(wanted) == set(files.TRUSTED)
    with zipfile.ZipFile("kept/columns.skops") as archive:
        assert {name.rpartition(".")[2] for name in archive.namelist()} <= {"json", "npy", "npz"}


def test_a_model_is_written_over_whole_or_not_at_all(model):
    save_table_model(model, "kept")
    before = Path("kept/run.json").read_bytes()
    Path("a-file").write_text("")
    with pytest.raises(CheckpointError, match=r"cannot write the model to a-file: .*[.]$"):
        save_table_model(model, "a-file")
    save_table_model(model, "kept", note="again")
    assert Path("kept/run.json").read_bytes() != before
    assert load_table_model("kept").classes == ("no", "yes")


# What is refused ---------------------------------------------------------------------------------


class Foreign:
    """What no file may bring."""

    def __init__(self):
        self.x = 1


def test_foreign_changed_and_damaged_files_are_refused(model):
    save_table_model(model, "kept")
    for name in ("columns.skops", "model.safetensors"):
        content = Path("kept", name).read_bytes()
        Path("kept", name).write_bytes(content[:500] + b"?" + content[501:])
        with pytest.raises(CheckpointError, match=f"{name} is damaged or changed: its checksum"):
            load_table_model("kept")
        Path("kept", name).write_bytes(content)
    forge(Foreign())
    with pytest.raises(CheckpointError, match=r"holds what no model of a table does.*Foreign"):
        load_table_model("kept")
    for content in (b"no zip", b"", Path("kept/model.safetensors").read_bytes()):
        forge(content)
        with pytest.raises(CheckpointError, match="is no model of a table, or damaged"):
            load_table_model("kept")
    other = train_table(everything().drop(columns="town"), "dear", drop=["price"], **QUICK)
    for wrong in ({"a": 1}, model.columns.transformers_[0][1], other.columns):
        forge(wrong)
        with pytest.raises(CheckpointError, match=r"columns.skops does not predict: "):
            load_table_model("kept")
    forge(model.columns)
    assert (load_table_model("kept").predict(everything()) == model.predict(everything())).all()
    for content in (b"", b"no tensors", Path("kept/columns.skops").read_bytes()):
        forge(content, "model.safetensors")
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            load_table_model("kept")


def test_the_network_of_another_model_is_refused(model):
    other = train_table(everything(), "floors", drop=["price"], **QUICK)
    save_table_model(other, "other")
    save_table_model(model, "kept")
    forge(Path("other/model.safetensors").read_bytes(), "model.safetensors")
    with pytest.raises(CheckpointError, match=r"does not predict: .* of another model"):
        load_table_model("kept")


def test_a_type_that_skops_would_trust_elsewhere_is_refused(model):
    """Another transformer, with something in it that a file must not choose: a function."""
    from sklearn.preprocessing import FunctionTransformer

    save_table_model(model, "kept")
    forge(ColumnTransformer([("f", FunctionTransformer(os.getcwd), ["size"])]))
    with pytest.raises(CheckpointError, match=r"columns.skops (is refused|does not predict)"):
        load_table_model("kept")


def test_what_unpacks_to_too_much_is_refused(model, monkeypatch):
    save_table_model(model, "kept")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * 2_000_000)
    assert len(bomb.getvalue()) < 5000
    monkeypatch.setattr(files, "_LARGEST", 1_000_000)
    forge(bomb.getvalue())
    with pytest.raises(CheckpointError, match="it would unpack to 2000000 bytes"):
        load_table_model("kept")


@pytest.mark.parametrize("name", ["columns.skops", "model.safetensors", "run.json"])
def test_every_byte_of_the_files_counts(model, name):
    save_table_model(model, "kept")
    content = Path("kept", name).read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(content), 25):
        changed = content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
        if name == "run.json":
            Path("kept/run.json").write_bytes(changed)
        else:
            forge(changed, name)
        with suppress(CheckpointError), warnings.catch_warnings():  # any other error fails the test
            warnings.simplefilter("ignore")
            refused -= 1
            load_table_model("kept")
            refused += 1
    assert refused < 0, "some were refused"


@pytest.mark.parametrize(
    "change",
    [
        {"table": 3},
        {"table": True},
        {"table": "2"},
        {"target": None},
        {"target": {"name": "dear"}},
        {"target": {"name": "dear", "task": "sorting", "kind": "category", "classes": ["a", "b"]}},
        {"target": {"name": "dear", "task": "classification", "kind": "category", "classes": []}},
        {"target": {"name": "dear", "task": "regression", "kind": "number", "classes": ["a", "b"]}},
        {"target": {"name": 5, "task": "classification", "kind": "category", "classes": ["a", 1]}},
        {"features": [{"name": "size", "kind": "words"}]},
        {"features": [{"name": 5, "kind": "number"}]},
        {"features": []},
        {"features": 7},
        {"dropped": 7},
        {"reading": {"missing": 5, "commas": [], "day_first": []}},
        {"reading": {"missing": [5], "commas": [], "day_first": []}},
        {"reading": {"more": []}},
        {"constant": "x"},
        {"constant": 5},
        {"constant": float("inf")},
        {"temperature": 0},
        {"temperature": float("nan")},
        {"temperature": None},
        {"residuals": ["x"]},
        {"residuals": 5},
        {"settings": {}},
        {"settings": []},
        {"settings": {"test_share": "x", "seed": 0}},
        {"report": {"rows": 1}},
        {"history": 7},
        {"history": {"loss": ["x"]}},
        {"sha256": "0"},
        {"sha256": {}},
        {"sha256": None},
    ],
)
def test_a_record_that_was_changed_is_refused(model, change):
    save_table_model(model, "kept")
    write_record(change)
    with pytest.raises(CheckpointError, match=r"run\.json") as caught:
        load_table_model("kept")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("scale", [None, {}, {"low": 0, "high": 1, "mean": 0, "deviation": "x"}, 5])
def test_a_scale_that_is_none_is_refused(scale):
    save_table_model(train_table(everything(), "price", **QUICK), "kept")
    write_record({"scale": scale})
    with pytest.raises(CheckpointError, match=r"run\.json is damaged"):
        load_table_model("kept")


def test_a_folder_that_holds_no_model_is_refused(model):
    with pytest.raises(CheckpointError, match=r"run.json is missing or damaged"):
        load_table_model("nowhere")
    save_table_model(model, "kept")
    for text in ("", "[]", '{"dataset": "digits"}', "[" * 100_000, '{"table": 2'):
        Path("kept/run.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"run.json is"):
            load_table_model("kept")
    for name in ("columns.skops", "model.safetensors"):
        save_table_model(model, "kept")
        Path("kept", name).unlink()
        with pytest.raises(CheckpointError, match=f"{name} is missing or damaged: No such file"):
            load_table_model("kept")


def test_an_unfinished_and_an_older_folder_are_refused(model):
    save_table_model(model, "kept")
    whole = record()
    del whole["sha256"]
    Path("kept/run.json").write_text(json.dumps(whole))
    with pytest.raises(CheckpointError, match=r"the training in kept is not finished.*--resume"):
        load_table_model("kept")
    former = {"table": 1, "task": "classification", "sha256": "0", "classes": ["a", "b"]}
    Path("old").mkdir()
    Path("old/run.json").write_text(json.dumps(former))
    Path("old/model.skops").write_bytes(b"PK\x03\x04")
    with pytest.raises(CheckpointError, match=r"run.json is of an older nnfs_xp, .*Train anew"):
        load_table_model("old")


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(model):
    save_table_model(model, "kept")
    for name in ("columns.skops", "run.json", "model.safetensors"):
        Path("kept", name).rename("aside")
        os.mkfifo(f"kept/{name}")
        with pytest.raises(CheckpointError, match=f"{name}.* no regular file"):
            load_table_model("kept")
        Path("aside").replace(f"kept/{name}")


def test_a_model_that_cannot_predict_is_refused_with_both_versions(model):
    save_table_model(model, "kept")
    broken = skops.io.loads(Path("kept/columns.skops").read_bytes(), trusted=list(files.TRUSTED))
    del broken.named_transformers_["numbers"].named_steps["squash"].robust_scaler_
    forge(broken)
    with pytest.raises(CheckpointError, match=r"does not predict: .*nnfs_xp .* then, .* now"):
        load_table_model("kept")
    forge(model.columns)
    kinds = [{**each, "kind": "number"} for each in record()["features"]]
    write_record({"features": kinds})
    with pytest.raises(CheckpointError, match=r"does not predict: .* of another model"):
        load_table_model("kept")


def test_a_backend_that_is_not_there_is_refused_by_its_own_error(model):
    save_table_model(model, "kept")
    with pytest.raises(BackendError, match="unknown backend 'moons'"):
        load_table_model("kept", "moons")
