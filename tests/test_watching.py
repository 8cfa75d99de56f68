"""The page that watches trainings: what it reads of files that grow, are torn, cut or forged."""

from __future__ import annotations

import base64
import json
import os
import sys
import time

import numpy as np
import pytest

from nnfs_xp.see import watching
from nnfs_xp.see.run_digest import RunDigest
from nnfs_xp.see.run_files import MOST_RUNS, WatchReader, find_runs
from nnfs_xp.see.thinning import MOST_BUCKETS, MOST_COLUMNS, Series, Strip
from nnfs_xp.see.watching import WatchSession

RUN = {
    "is": "run",
    "version": 1,
    "time": 1.0,
    "model": "Dense(4, 3) → ReLU",
    "loss": "MeanSquaredError",
    "optimizer": "SGD(0.1)",
    "n_parameters": 15,
    "steps_per_epoch": 10,
    "step": 0,
    "layers": [{"name": "0", "kind": "Dense"}, {"name": "1", "kind": "ReLU"}],
    "classes": None,
    "image_shape": [2, 3],
}


def steps(first, losses):
    return {"is": "steps", "first": first, "losses": list(losses)}


def look(step, norm=0.5, **more):
    layer = {"gradient_norm": norm, "outputs": [0.0, 1.0, [1, 4, 0]], "units": 3, "dead": 1, **more}
    return {"is": "look", "step": step, "time": 2.0, "learning_rate": 0.1, "layers": {"0": layer}}


def epoch(number, step, **figures):
    return {"is": "epoch", "epoch": number, "step": step, "time": 3.0, "figures": figures}


def image(height, width):
    return base64.b64encode(bytes(range(height * width))).decode()


PICTURES = {
    "is": "pictures",
    "step": 20,
    "weights": {"shape": [2, 3], "low": -1.0, "high": 2.0, "images": [image(2, 3)]},
    "misclassified": [{"index": 7, "true": "1", "predicted": "<b>", "image": image(2, 3)}],
    "n_wrong": 3,
    "n_samples": 9,
}
END = {"is": "end", "step": 20, "time": 4.0, "how": "finished"}
WHOLE_RUN = [
    RUN,
    steps(0, np.linspace(2, 1, 10)),
    look(10),
    epoch(1, 10, loss=1.5, val_loss=1.6),
    steps(10, np.linspace(1, 0.5, 10)),
    look(20, 0.25),
    epoch(2, 20, loss=0.7, val_loss=0.9),
    PICTURES,
    END,
]


def lines(*rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def write(folder, *rows, mode="ab"):
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "watch.jsonl", mode) as file:
        file.write(b"".join(row if isinstance(row, bytes) else lines(row) for row in rows))


class Page:
    """What the front end keeps of the answers, merged as it merges them."""

    def __init__(self, session, layer="0"):
        self.session, self.layer = session, layer
        self.cursors, self.heads, self.curves = {}, {}, {}
        self.inside, self.inside_cursor, self.inside_run = {}, None, None
        self.last = None

    def look(self, *names):
        for _ in range(1000):
            query = {"do": "look", "runs": list(names), "since": self.cursors}
            if names:
                query["inside"] = {
                    "run": names[0],
                    "since": self.inside_cursor,
                    "layer": self.layer,
                    "layer_since": self.inside_cursor,
                }
            self.last = json.loads(json.dumps(self.session.handle(query), allow_nan=False))
            assert "error" not in self.last
            self.merge(self.last)
            if not self.last["more"]:
                return self
        raise AssertionError("it never came to an end")

    def merge(self, answer):
        for name, news in answer["news"].items():
            if news["whole"]:
                self.curves[name] = {}
            self.cursors[name], self.heads[name] = news["cursor"], news["head"]
            merge_all(self.curves[name], news["series"])
        if (new := answer.get("inside")) is None:
            return
        if new["whole"]:
            self.inside = {}
        self.inside_cursor = new["cursor"]
        for layer in new["layers"]:
            merge_all(self.inside.setdefault(layer["name"], {}), layer["series"])
        if "pictures" in new:
            self.inside["pictures"] = new["pictures"]
        for name, strip in new["strips"].items():
            old = [c for c in self.inside.get(name, []) if c[0] < strip["from"]]
            self.inside[name] = old + strip["columns"]

    def loss(self, name):
        series = self.curves[name]["loss"]
        return dict(zip(series["x"], series["y"], strict=True))


def merge_all(held, news):
    for name, new in news.items():
        old = held.setdefault(name, {})
        for places, values in (("x", "y"), ("at", "mean")):
            if places in new:
                pairs = zip(old.get(places, []), old.get(values, []), strict=True)
                kept = [pair for pair in pairs if pair[0] < new["from"]]
                old[places] = [x for x, _ in kept] + new[places]
                old[values] = [y for _, y in kept] + new[values]


def page_of(folder, *names):
    return Page(WatchSession(folder)).look(*names)


# The file


def test_all_kinds_of_rows_arrive(tmp_path):
    write(tmp_path / "a", *WHOLE_RUN)
    page = page_of(tmp_path, "a")
    head = page.heads["a"]
    assert head["model"] == RUN["model"]
    assert (head["step"], head["epoch"], head["finished"], head["skipped"]) == (20, 2, True, 0)
    assert head["figures"] == {"loss": 0.7, "val_loss": 0.9}
    assert list(page.loss("a")) == list(range(1, 21))
    assert page.curves["a"]["learning_rate"]["x"] == [10, 20]
    assert page.curves["a"]["figure/val_loss"] == {"x": [1, 2], "y": [1.6, 0.9]}
    assert page.inside["0"]["gradient_norm"] == {"x": [10, 20], "y": [0.5, 0.25]}
    assert page.inside["0"]["dead"]["y"] == [1, 1]
    assert [column[:3] for column in page.inside["outputs"]] == [[10, 0, 1], [20, 0, 1]]
    assert base64.b64decode(page.inside["outputs"][0][3]) == bytes([128, 255, 0])
    assert page.inside["pictures"]["misclassified"][0]["predicted"] == "<b>"


def test_a_line_counts_when_it_is_whole(tmp_path):
    row = lines(steps(0, [1.0, 0.5]))
    write(tmp_path, RUN, row[:20])
    page = page_of(tmp_path, ".")
    assert page.heads["."]["step"] == 0
    write(tmp_path, row[20:-1])
    assert page.look(".").heads["."]["step"] == 0
    write(tmp_path, b"\n")
    assert page.look(".").heads["."]["step"] == 2
    assert page.heads["."]["skipped"] == 0


def test_a_row_behind_a_torn_line_is_read(tmp_path):
    write(tmp_path, RUN, steps(0, [1.0, 0.5]), lines(steps(2, [0.4]))[:25], RUN | {"step": 2})
    write(tmp_path, steps(2, [0.3]))
    page = page_of(tmp_path, ".")
    assert page.loss(".") == {1: 1.0, 2: 0.5, 3: 0.3}
    assert page.heads["."]["skipped"] == 1


FAULTS = {
    "no JSON": b"hello\n",
    "a list": b"[1, 2]\n",
    "a number": b"7\n",
    "no kind": lines({"step": 3}),
    "an unknown kind": lines({"is": "dance"}),
    "a kind that is a list": lines({"is": ["run"]}),
    "losses that are text": lines(steps(2, ["a"])),
    "losses that are no list": lines({"is": "steps", "first": 2, "losses": 3.0}),
    "losses that are true": lines(steps(2, [True])),
    "a step below zero": lines(steps(-1, [1.0])),
    "a step that is a float": lines({"is": "steps", "first": 2.5, "losses": [1.0]}),
    "a step beyond what JavaScript counts": lines(steps(2**60, [1.0])),
    "a number of 5,000 digits": b'{"is": "steps", "first": ' + b"9" * 5000 + b', "losses": [1]}\n',
    "deep JSON": b'{"is": "steps", "first": ' + b"[" * 200_000 + b"\n",
    "no UTF-8": b'{"is": "steps", "first": 2, "losses": ["\xff\xfe"]}\n',
    "zeros": b"\x00" * 4000 + b"\n",
    "a look without layers": lines({"is": "look", "step": 9}),
    "a layer that is a list": lines({"is": "look", "step": 9, "layers": {"0": [1]}}),
    "a histogram of text": lines(look(9, outputs=[0, 1, "abc"])),
    "a histogram below zero": lines(look(9, outputs=[0, 1, [-1, 2]])),
    "a short histogram": lines(look(9, outputs=[0, 1])),
    "an epoch without figures": lines({"is": "epoch", "epoch": 1, "step": 9}),
    "a figure that is a dict": lines(epoch(1, 9, loss={})),
    "a run without layers": lines({**RUN, "layers": None}),
    "a picture of other size": lines(
        PICTURES | {"weights": {"shape": [9, 9], "low": 0, "high": 1, "images": [image(2, 3)]}}
    ),
    "a picture that is no base64": lines(
        PICTURES | {"weights": {"shape": [2, 3], "low": 0, "high": 1, "images": ["<script>"]}}
    ),
    "a picture of huge size": lines(
        PICTURES | {"weights": {"shape": [2**30, 2**30], "low": 0, "high": 1, "images": []}}
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_lines_are_skipped_and_counted(tmp_path, fault):
    write(tmp_path, RUN, steps(0, [1.0, 0.5]), FAULTS[fault], steps(2, [0.25]))
    page = page_of(tmp_path, ".")
    assert page.loss(".") == {1: 1.0, 2: 0.5, 3: 0.25}
    assert page.heads["."]["skipped"] == 1


def test_a_line_without_end_is_skipped_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("nnfs_xp.see.run_files._LONGEST_LINE", 10_000)
    monkeypatch.setattr("nnfs_xp.see.run_files._CHUNK", 1_000)
    write(tmp_path, RUN, b"[" + b"1," * 50_000)
    file = WatchReader(tmp_path / "watch.jsonl")
    assert sum(len(rows) for rows in file.chunks()) == 1
    assert len(file._line) <= 11_000
    write(tmp_path, b"1]\n", END)
    assert [row for rows in file.chunks() for row in rows] == [END]
    assert file.n_skipped == 1


def test_what_is_no_number_is_a_gap(tmp_path):
    losses = b'{"is": "steps", "first": 0, "losses": [1.0, null, NaN, 1e999, -1e999, 0.5]}\n'
    write(tmp_path, RUN, losses, lines(steps(6, [10**400])))
    page = page_of(tmp_path, ".")
    gaps = dict.fromkeys((2, 3, 4, 5, 7))
    assert page.loss(".") == {1: 1.0, 6: 0.5} | gaps
    assert page.heads["."]["nan_at"] == 2
    assert page.heads["."]["last_loss"] is None


def test_huge_numbers_stay_finite(tmp_path):
    big = sys.float_info.max
    write(tmp_path, RUN, steps(0, [big, -big, big] * 2000), look(9, big))
    page = page_of(tmp_path, ".")  # which writes JSON without NaN and infinity
    assert max(page.loss(".").values()) > 1e308


def test_only_new_bytes_are_read(tmp_path):
    write(tmp_path, *WHOLE_RUN[:2])
    file = WatchReader(tmp_path / "watch.jsonl")
    assert [row["is"] for rows in file.chunks() for row in rows] == ["run", "steps"]
    assert list(file.chunks()) == []
    write(tmp_path, WHOLE_RUN[2])
    assert [row["is"] for rows in file.chunks() for row in rows] == ["look"]


@pytest.mark.parametrize("how", ["cut", "replaced", "rewritten longer"])
def test_another_file_is_begun_anew(tmp_path, how):
    write(tmp_path, RUN, b"rubbish\n", steps(0, np.ones(50)))
    page = page_of(tmp_path, ".")
    assert len(page.loss(".")) == 50
    other = [RUN | {"time": 9.0}, steps(0, [0.5])]
    if how == "replaced":
        (tmp_path / "new").mkdir()
        write(tmp_path / "new", *other, b" " * 5000)
        os.replace(tmp_path / "new" / "watch.jsonl", tmp_path / "watch.jsonl")
    else:
        write(tmp_path, *other, *([b" " * 5000] if how != "cut" else []), mode="wb")
    page.look(".")
    assert page.loss(".") == {1: 0.5}
    assert page.heads["."]["skipped"] == 0


def test_an_emptied_file_is_forgotten(tmp_path):
    write(tmp_path, *WHOLE_RUN)
    page = page_of(tmp_path, ".")
    write(tmp_path, mode="wb")
    page.look(".")
    assert page.curves["."] == {}
    assert page.heads["."]["step"] == 0


def test_rows_that_a_later_run_makes_void_are_dropped(tmp_path):
    write(tmp_path, *WHOLE_RUN[:-1])
    page = page_of(tmp_path, ".")
    write(tmp_path, RUN | {"step": 12}, steps(12, [9.0, None]))
    for read in (page.look("."), page_of(tmp_path, ".")):
        loss = read.loss(".")
        assert list(loss) == list(range(1, 15))
        assert (loss[12], loss[13], loss[14]) == (pytest.approx(0.944444), 9.0, None)
        assert read.curves["."]["figure/loss"] == {"x": [1], "y": [1.5]}
        assert read.inside["0"]["gradient_norm"]["x"] == [10]
        assert [column[0] for column in read.inside["outputs"]] == [10]
        assert read.inside["pictures"] is None
        assert read.heads["."]["nan_at"] == 14


def test_a_further_fit_keeps_what_was_there(tmp_path):
    write(tmp_path, *WHOLE_RUN, RUN | {"step": 20}, steps(20, [0.4]), epoch(1, 30, loss=0.3))
    page = page_of(tmp_path, ".")
    assert list(page.loss(".")) == list(range(1, 22))
    assert page.curves["."]["figure/loss"] == {"x": [1, 2, 3], "y": [1.5, 0.7, 0.3]}
    assert not page.heads["."]["finished"]


def test_a_fit_from_the_start_forgets_all(tmp_path):
    write(tmp_path, *WHOLE_RUN)
    page = page_of(tmp_path, ".")
    write(tmp_path, RUN)
    for read in (page.look("."), page_of(tmp_path, ".")):
        assert read.curves["."] == {}
        assert read.inside == {}


def test_a_look_at_the_same_step_takes_the_place_of_the_former(tmp_path):
    write(tmp_path, RUN, look(10, 0.5), look(10, 0.25), look(5, 9.0))
    page = page_of(tmp_path, ".")
    assert page.inside["0"]["gradient_norm"] == {"x": [10], "y": [0.25]}
    assert page.heads["."]["skipped"] == 1


# Thinning


@pytest.mark.parametrize("n", [1, 499, 1_000, 20_000, 123_457])
def test_thinning_keeps_extremes(n):
    values = np.random.default_rng(n).normal(size=n)
    if n > 1:
        values[n // 3], values[n // 2] = 1e6, -1e6
    series = Series()
    for start in range(0, n, 777):
        series.put(start, values[start : start + 777].tolist(), start + 1)
    news = series.news(-1, means=True)
    assert len(news["x"]) <= 2 * MOST_BUCKETS
    assert news["x"] == sorted(set(news["x"]))
    assert (min(news["y"]), max(news["y"])) == pytest.approx((values.min(), values.max()), rel=1e-5)
    np.testing.assert_allclose(news["y"], values[news["x"]], rtol=1e-5)
    assert len(news["mean"]) == len(news["at"]) <= MOST_BUCKETS


def test_buckets_do_not_depend_on_how_numbers_came_in():
    values = np.random.default_rng(0).normal(size=5_000).tolist()
    values[3_000] = None
    whole, single = Series(), Series()
    whole.put(0, values, 1)
    for i, value in enumerate(values):
        single.put(i, [value], i)
    for key, got in single.news(-1, means=True).items():
        assert got == pytest.approx(whole.news(-1, means=True)[key])
    assert 3_000 in whole.news(-1)["x"]


def test_a_cut_in_a_bucket_keeps_what_lies_before():
    series = Series()
    series.put(0, [float(i) for i in range(2_000)], 1)
    series.cut(1_001, 2)
    assert series.last == 1_001
    news = series.news(1)
    assert news["from"] == 0
    assert news["x"][-1] in range(997, 1_002)
    series.put(1_002, [7.0], 3)
    assert 7.0 in series.news(2)["y"]


def test_numbers_far_apart_are_thinned():
    series = Series()
    for i in range(3_000):
        series.put(i * 10**9, [float(i)], i + 1)
    assert MOST_BUCKETS / 8 < len(series.news(-1)["x"]) <= 2 * MOST_BUCKETS


def test_a_series_says_only_what_is_new():
    series = Series()
    series.put(0, [1.0] * 300, 1)
    assert series.news(1) is None
    series.put(300, [2.0], 2)
    assert series.news(1) == {"from": 300, "x": [300], "y": [2.0]}


def test_a_strip_keeps_the_last_and_is_bounded():
    strip = Strip()
    for step in range(0, 100_000, 7):
        strip.put(step, ["thing"], step + 1)
    columns = strip.news(-1)["columns"]
    assert MOST_COLUMNS / 2 - 1 <= len(columns) <= MOST_COLUMNS
    assert columns[-1] == [step, "thing"]


@pytest.mark.parametrize("seed", range(5))
def test_what_came_bit_by_bit_equals_a_fresh_read(tmp_path, seed):
    rng = np.random.default_rng(seed)
    session, names = WatchSession(tmp_path), ["a"]
    page, step, number, content = Page(session), 0, 0, lines(RUN)
    for _ in range(120):
        n = int(rng.integers(1, 60))
        losses = [None if rng.random() < 0.01 else float(v) for v in rng.normal(size=n)]
        content += lines(steps(step, losses))
        step += n
        if rng.random() < 0.5:
            content += lines(look(step, float(rng.random())))
        if rng.random() < 0.2:
            number += 1
            content += lines(epoch(number, step, loss=float(rng.random())), PICTURES)
        if rng.random() < 0.05:
            step = int(rng.integers(step // 2, step))
            content += lines(RUN | {"step": step})
        if rng.random() < 0.1:
            content += b"rubbish\n"
        part = int(rng.integers(len(content) + 1))
        write(tmp_path / "a", content[:part])
        content = content[part:]
        page.look(*names)
    write(tmp_path / "a", content)
    page.look(*names)
    fresh = page_of(tmp_path, *names)
    assert page.heads == fresh.heads
    assert page.curves == fresh.curves
    assert page.inside == fresh.inside
    assert page.heads["a"]["step"] == step


# The folder and the session


def test_a_folder_that_is_not_there_yet(tmp_path):
    session = WatchSession(tmp_path / "later")
    assert session.handle({"do": "open"})["view"] == "watch"
    assert session.handle({"do": "open"})["runs"] == []
    write(tmp_path / "later" / "a", RUN)
    (run,) = session.handle({"do": "look"})["runs"]
    assert (run["name"], run["finished"], run["age"] < 60) == ("a", False, True)


def test_runs_that_come_later_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "_SEARCH_EVERY", 0.0)
    write(tmp_path / "a", *WHOLE_RUN)
    session = WatchSession(tmp_path)
    assert [run["name"] for run in session.handle({"do": "open"})["runs"]] == ["a"]
    write(tmp_path / "b", RUN)
    runs = session.handle({"do": "look"})["runs"]
    assert [(run["name"], run["finished"]) for run in runs] == [("a", True), ("b", False)]


def test_the_search_is_bounded_in_depth_and_number(tmp_path):
    for name in (".", "a", "a/b/c", "a/b/c/d", ".hidden"):
        write(tmp_path / name, RUN)
    assert list(find_runs(tmp_path)) == [".", "a", "a/b/c"]
    for i in range(MOST_RUNS + 20):
        write(tmp_path / "many" / str(i), RUN)
    assert len(find_runs(tmp_path)) == MOST_RUNS


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_no_link_is_followed(tmp_path):
    write(tmp_path / "outside", RUN)
    inside = tmp_path / "inside"
    write(inside / "a", RUN)
    (inside / "link").symlink_to(tmp_path / "outside")
    (inside / "b").mkdir()
    (inside / "b" / "watch.jsonl").symlink_to(tmp_path / "outside" / "watch.jsonl")
    (inside / "loop").symlink_to(inside)
    assert list(find_runs(inside)) == ["a"]
    assert list(WatchReader(inside / "b" / "watch.jsonl").chunks()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_does_not_hold_up_the_page(tmp_path):
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "watch.jsonl")
    assert find_runs(tmp_path) == {}
    assert list(WatchReader(tmp_path / "a" / "watch.jsonl").chunks()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_names_are_text(tmp_path):
    name = "<img src=x onerror=alert(1)>"
    write(tmp_path / name, *WHOLE_RUN)
    page = page_of(tmp_path, name)
    assert page.heads[name]["step"] == 20
    assert [run["name"] for run in page.last["runs"]] == [name]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep names as text")
def test_a_name_that_is_no_text_is_shown_as_some(tmp_path):
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(folder)
    with open(folder + b"/watch.jsonl", "wb") as file:
        file.write(lines(*WHOLE_RUN))
    (run,) = WatchSession(tmp_path).handle({"do": "open"})["runs"]
    assert run["name"].encode() == "\N{REPLACEMENT CHARACTER}".encode()
    assert page_of(tmp_path, run["name"]).heads[run["name"]]["step"] == 20


def test_text_in_rows_can_be_sent(tmp_path):
    write(tmp_path, b'{"is": "look", "step": 1, "layers": {"\\ud800": {"gradient_norm": 1.0}}}\n')
    session = WatchSession(tmp_path)
    session.handle({"do": "look", "runs": ["."]})
    answer = session.handle({"do": "look", "runs": ["."], "inside": {"run": "."}})
    assert json.dumps(answer, ensure_ascii=False).encode()
    assert [layer["name"] for layer in answer["inside"]["layers"]] == ["?"]


@pytest.mark.parametrize(
    "query",
    [
        None,
        [],
        {},
        {"do": "dance"},
        {"do": ["look"]},
        {"do": "look", "runs": 7},
        {"do": "look", "runs": [["a"]]},
        {"do": "look", "since": []},
        {"do": "look", "inside": "a"},
    ],
)
def test_bad_queries_are_answered_in_a_sentence(tmp_path, query):
    write(tmp_path / "a", *WHOLE_RUN)
    answer = WatchSession(tmp_path).handle(query)
    assert answer.keys() == {"error"}
    assert answer["error"].endswith(".")


@pytest.mark.parametrize("cursor", [7, "x", ":", "a:b", "0:1", {}, None, "²:²", ":" + "9" * 9999])
def test_a_strange_cursor_gets_all(tmp_path, cursor):
    write(tmp_path / "a", *WHOLE_RUN)
    session = WatchSession(tmp_path)
    query = {"do": "look", "runs": ["a"], "since": {"a": cursor}}
    query["inside"] = {"run": "a", "since": cursor, "layer": [], "layer_since": cursor}
    answer = session.handle(query)
    assert answer["news"]["a"]["whole"]
    assert len(answer["news"]["a"]["series"]["loss"]["x"]) == 20
    assert answer["inside"]["whole"]


def test_only_runs_that_were_found_are_read(tmp_path):
    write(tmp_path / "outside", *WHOLE_RUN)
    write(tmp_path / "inside" / "a", *WHOLE_RUN)
    session = WatchSession(tmp_path / "inside")
    names = ["../outside", str(tmp_path / "outside"), "b", "", "a\0"]
    answer = session.handle({"do": "look", "runs": names, "inside": {"run": "../outside"}})
    assert answer["news"] == {}
    assert answer["inside"] is None


def test_a_fault_inside_is_no_exception(tmp_path, monkeypatch, caplog):
    def fail(_folder):
        raise RuntimeError("a fault")

    monkeypatch.setattr(watching, "find_runs", fail)
    assert "error" in WatchSession(tmp_path).handle({"do": "open"})
    assert "a fault" in caplog.text


def test_a_fault_in_a_digest_does_not_stop_the_others():
    digest = RunDigest()
    digest.take(RUN)
    with pytest.raises(KeyError):
        digest.take({"is": "steps"})
    digest.take(steps(0, [1.0]))
    assert digest.head()["step"] == 1


def test_fifty_long_runs_are_bounded(tmp_path):
    n_runs, n_steps = 50, 20_000
    losses = np.random.default_rng(0).normal(size=n_steps).tolist()
    rows = [RUN]
    for start in range(0, n_steps, 100):
        rows += [steps(start, losses[start : start + 100]), look(start + 100)]
        rows += [epoch(start // 100 + 1, start + 100, loss=1.0, val_loss=2.0)]
    content = lines(*rows)
    for i in range(n_runs):
        write(tmp_path / f"run-{i:02}", content)
    session = WatchSession(tmp_path)
    names = [run["name"] for run in session.handle({"do": "open"})["runs"]]
    assert len(names) == n_runs
    page, size, answers = Page(session), 0, 0
    while page.last is None or page.last["more"]:
        query = {"do": "look", "runs": names, "since": page.cursors}
        answer = session.handle(query)
        assert len(json.dumps(answer)) < 6_000_000
        size += len(json.dumps(answer["news"]))
        page.last = answer
        page.merge(answer)
        answers += 1
    assert answers < 1_000
    for name in names:
        assert page.heads[name]["step"] == n_steps
        assert len(page.curves[name]["loss"]["x"]) <= 2 * MOST_BUCKETS
        y = page.curves[name]["loss"]["y"]
        assert (min(y), max(y)) == pytest.approx((min(losses), max(losses)), rel=1e-5)
    assert size < 100_000 * n_runs
    # Nothing new: nothing but the list of runs.
    quiet = session.handle({"do": "look", "runs": names, "since": page.cursors})
    assert (quiet["news"], quiet["more"]) == ({}, False)
    write(tmp_path / names[7], steps(n_steps, [0.5]))
    news = session.handle({"do": "look", "runs": names, "since": page.cursors})["news"]
    assert list(news) == [names[7]]
    assert len(json.dumps(news)) < 1_500


def test_more_runs_than_are_shown_at_once(tmp_path):
    for i in range(watching.MOST_CHOSEN + 15):
        write(tmp_path / str(i), RUN, steps(0, [1.0]))
    session = WatchSession(tmp_path)
    names = [run["name"] for run in session.handle({"do": "open"})["runs"]]
    assert len(Page(session).look(*names).heads) == watching.MOST_CHOSEN
    for name in names:
        Page(session).look(name)
    assert len(session._runs) <= watching.MOST_CHOSEN + 10


def test_two_pages_of_one_session_do_not_disturb_each_other(tmp_path):
    write(tmp_path / "a", *WHOLE_RUN[:3])
    session = WatchSession(tmp_path)
    one, two = Page(session).look("a"), Page(session).look("a")
    write(tmp_path / "a", *WHOLE_RUN[3:])
    assert one.look("a").curves == two.look("a").curves == page_of(tmp_path, "a").curves


def test_forged_files_are_read_without_a_fault(tmp_path):
    rng = np.random.default_rng(0)
    session = WatchSession(tmp_path)
    write(tmp_path, RUN)
    content = lines(*WHOLE_RUN)
    words = [b"null", b"-1", b"1e999", b'""', b"[]", b"{}", b"true", b"99999999999999999999", b"\n"]
    for _ in range(300):
        forged = bytearray(content)
        for _ in range(int(rng.integers(1, 6))):
            start = int(rng.integers(len(forged)))
            length = int(rng.integers(0, 12))
            forged[start : start + length] = words[int(rng.integers(len(words)))]
        write(tmp_path, bytes(forged), mode="wb")
        inside = {"run": ".", "layer": "0"}
        for _ in range(2):
            answer = session.handle({"do": "look", "runs": ["."], "inside": inside})
            assert "error" not in answer
            json.dumps(answer, allow_nan=False)


def test_the_age_is_of_the_last_row(tmp_path):
    write(tmp_path / "a", RUN)
    then = time.time() - 500
    os.utime(tmp_path / "a" / "watch.jsonl", (then, then))
    (run,) = WatchSession(tmp_path).handle({"do": "open"})["runs"]
    assert 499 <= run["age"] < 560


def test_the_learning_rate_comes_also_from_epochs(tmp_path):
    rows = [epoch(1, 10, learning_rate=0.5), epoch(2, 20, learning_rate=0.25), look(20), look(25)]
    write(tmp_path, RUN, *rows)
    page = page_of(tmp_path, ".")
    assert page.curves["."]["learning_rate"] == {"x": [10, 20, 25], "y": [0.5, 0.1, 0.1]}
