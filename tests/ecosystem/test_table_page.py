"""The report of a trained table as one HTML page, and what the model is compared with in it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import skrub
from sklearn.metrics import confusion_matrix

from nnfs_xp.errors import ArgumentError
from nnfs_xp.reports import rivals
from nnfs_xp.reports.figures import class_figures, number_figures
from nnfs_xp.reports.page import (
    Findings,
    Rival,
    boosting_rival,
    permuted_importances,
    write_page,
)
from nnfs_xp.training import History

EVIL = "<script>alert(1)</script>"
EVIL_ATTRIBUTE = '" onload="alert(2)'
LOADING = ("src", "href", "xlink:href", "srcset", "action", "data", "poster", "background")


def rows(n=60, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"size": rng.normal(50, 20, n), "town": rng.choice(["Oslo", EVIL], n)})
    frame["built"] = pd.Timestamp("1990-01-01") + pd.to_timedelta(rng.integers(0, 9000, n), "D")
    frame[EVIL] = rng.choice(["a", EVIL_ATTRIBUTE], n)
    frame.loc[frame.index == 3, ["size", "town", "built"]] = None
    frame.index = pd.RangeIndex(101, 101 + n)
    return frame


def history(**more):
    return History(loss=[3.0, 2.0, 1.5], val_loss=[3.1, float("nan"), 2.0], **more)


def of_values(n=60, **changes):
    rng = np.random.default_rng(1)
    y_true = rng.normal(100, 30, n)
    y_pred = y_true + rng.normal(0, 5, n)
    findings = Findings(
        title=f"{EVIL}.csv: regression of 'price'",
        task="regression",
        classes=(),
        figures=number_figures(y_true, y_pred),
        rivals=(Rival("always the mean", number_figures(y_true, np.full(n, 100.0))),),
        frame=rows(n),
        y_true=y_true,
        y_pred=y_pred,
        probabilities=None,
        intervals=np.stack([y_pred - 8, y_pred + 8], axis=1),
        interval=0.9,
        importances=((EVIL, 0.5, 0.01), ("size", 0.1, float("nan")), ("town", -0.1, 0.1)),
        dropped={"id": f"each row has its own, {EVIL}"},
        warnings=(f"column {EVIL!r}: 3 cells",),
        settings={"hidden": (8,), "batch_size": None, EVIL: EVIL_ATTRIBUTE},
        history=history(),
        seconds=1.25,
    )
    return replace(findings, **changes)


def of_classes(k=3, n=60, **changes):
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet(np.ones(k), n)
    y_true = np.array([rng.choice(k, p=each) for each in probabilities])
    names = (EVIL, EVIL_ATTRIBUTE, *(f"class {c}" for c in range(2, k)))[:k]
    findings = of_values(
        n,
        task="classification",
        classes=names,
        figures=class_figures(y_true, probabilities),
        rivals=(Rival(EVIL, class_figures(y_true, np.eye(k)[np.zeros(n, int)])),),
        y_true=y_true,
        y_pred=probabilities.argmax(axis=1),
        probabilities=probabilities,
        intervals=None,
    )
    return replace(findings, **changes)


class Page(HTMLParser):
    """What a browser makes of a page: its elements, and the cells of its tables by heading."""

    def __init__(self, text):
        super().__init__()
        self.text, self.tags, self.tables, self.words = text, [], {}, []
        self._open, self._heading = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open.append(tag)
        if tag == "h2":
            self._heading = ""
        if tag == "tr":
            self.tables.setdefault(self._heading, []).append([])
        if tag in ("th", "td"):
            self.tables[self._heading][-1].append("")

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if "style" in self._open or "script" in self._open:
            return
        self.words.append(data)
        if "h2" in self._open:
            self._heading += data
        if {"th", "td"} & set(self._open):
            self.tables[self._heading][-1][-1] += data

    def all(self, tag):
        return [attributes for each, attributes in self.tags if each == tag]

    def column(self, heading, name):
        head, *lines = self.tables[heading]
        return [line[head.index(name)] for line in lines]


def written(folder, findings, table=None):
    write_page(folder / "page.html", findings, table)
    return Page((folder / "page.html").read_text("utf-8"))


ALL = {
    "values": of_values(),
    "no intervals": of_values(intervals=None, importances=(), rivals=(), history=History()),
    "one row": of_values(n=1),
    "two classes": of_classes(2),
    "three classes": of_classes(3),
    "many classes": of_classes(40, 300),
    "no probabilities": of_classes(3, probabilities=None),
    "one row of classes": of_classes(2, 1),
    "one class": of_classes(2, y_true=np.zeros(60, np.int64)),
}

# The page ------------------------------------------------------------------------------------


@pytest.mark.parametrize("findings", ALL.values(), ids=ALL)
def test_the_page_loads_nothing_runs_nothing_and_reads_well(tmp_path, findings):
    page = written(tmp_path, findings)
    for tag, attributes in page.tags:
        for name in LOADING:
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
    assert not {"script", "link", "iframe", "img", "image", "object"} & {
        tag for tag, _ in page.tags
    }
    assert not re.findall(r"@import|url\((?!#)", page.text)
    assert EVIL in "".join(page.words)
    policy = [each["content"] for each in page.all("meta") if "http-equiv" in each]
    assert [each.split(";")[0] for each in policy] == ["default-src 'none'"]
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert len(page.all("h2")) == len(page.all("section")) >= 6
    assert {each["scope"] for each in page.all("th")} == {"col", "row"}
    assert all(each["role"] == "img" and each["aria-label"] for each in page.all("svg"))
    assert "color-scheme: light dark" in page.text
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = {each.group(1) for each in re.finditer(r'(?:href="|url\()#([^")]+)', page.text)}
    assert used <= set(ids)


def test_the_summary_compares(tmp_path):
    findings = of_values()
    own, other = findings.figures["mae"], findings.rivals[0].figures["mae"]
    text = "".join(written(tmp_path, findings).words)
    compared = f"off by {own:.4g} on average. For comparison, always the mean: {other:.4g}."
    assert f"On 60 rows that training has not seen, the model is {compared}" in text
    assert "The training took 1.25 seconds." in text
    findings = of_classes(3)
    share = np.mean(findings.y_true == findings.y_pred)
    assert f"is right for {share:.1%} of them" in "".join(written(tmp_path, findings).words)


def test_the_best_of_each_figure_is_bold(tmp_path):
    own = {"r2": 0.5, "mae": 2.0, "rmse": None}
    other = Rival("other", {"r2": 0.25, "mae": 1.0, "rmse": None})
    page = written(tmp_path, of_values(figures=own, rivals=(other,)))
    assert page.column("How good it is", "model") == ["0.5", "2", "undefined"]
    assert page.column("How good it is", "other") == ["0.25", "1", "undefined"]
    assert "in units of the target" in page.column("How good it is", "what it means")[1]
    assert re.findall("<strong>(.*?)</strong>", page.text) == ["0.5", "1"]


def test_mistakes_are_counted(tmp_path):
    findings = of_classes(3, y_true=np.zeros(60, np.uint8))
    lines = written(tmp_path, findings).tables["Where it errs"]
    expected = confusion_matrix(findings.y_true, findings.y_pred, labels=range(3))
    assert [line[1:] for line in lines[1:]] == expected.astype(str).tolist()
    assert lines[0][1:] == [line[0] for line in lines[1:]] == list(findings.classes)


def test_of_many_classes_the_most_frequent_mistakes_are_told(tmp_path):
    y_true, y_pred = np.repeat([0, 5, 7, 39], [9, 4, 3, 2]), np.repeat([0, 6, 39, 7], [9, 4, 3, 2])
    findings = of_classes(40, 18, y_true=y_true, y_pred=y_pred)
    lines = written(tmp_path, findings).tables["Where it errs"][1:]
    told = [["class 5", "class 6", "4"], ["class 7", "class 39", "3"], ["class 39", "class 7", "2"]]
    assert lines == told


def test_the_worst_rows_come_with_their_names_and_cells(tmp_path):
    findings = of_values()
    findings.y_pred[3] = findings.y_true[3] - 1000.0
    page = written(tmp_path, findings)
    head, first, *others = page.tables["The rows that it predicts worst"]
    assert head == [
        "row",
        "true",
        "predicted",
        "predicted minus true",
        EVIL,
        "size",
        "town",
        "built",
    ]
    assert (first[0], first[3], first[5:]) == ("104", "-1000", ["missing"] * 3)
    order = np.argsort(-np.abs(findings.y_pred - findings.y_true))[:10]
    assert [line[0] for line in (first, *others)] == [str(101 + row) for row in order]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", line[7]) for line in others)


def test_the_worst_classified_rows_are_the_least_likely(tmp_path):
    findings = of_classes(3)
    likely = findings.probabilities[np.arange(60), findings.y_true]
    lines = written(tmp_path, findings).tables["The rows that it predicts worst"][1:]
    assert [line[0] for line in lines] == [str(101 + row) for row in np.argsort(likely)[:10]]
    assert [float(line[3]) for line in lines] == pytest.approx(np.sort(likely)[:10], rel=1e-3)
    assert lines[0][1] == findings.classes[findings.y_true[np.argmin(likely)]]


def test_of_many_columns_those_that_matter_are_shown(tmp_path):
    frame = pd.DataFrame(np.zeros((60, 50)), columns=[f"c{j}" for j in range(50)])
    drops = tuple((f"c{j}", float(j), 0.0) for j in reversed(range(50)))
    page = written(tmp_path, of_values(frame=frame, importances=drops))
    assert page.tables["The rows that it predicts worst"][0][4:] == [
        f"c{j}" for j in range(49, 29, -1)
    ]
    assert len(page.tables["What it goes by"]) == 1 + 30
    assert "20 more columns matter less" in page.text
    assert "with 20 of 50 columns" in page.text


def test_importances_are_bars(tmp_path):
    page = written(tmp_path, of_values())
    assert page.column("What it goes by", "standard deviation") == ["0.01", "unknown", "0.1"]
    bars = [each["style"] for each in page.all("td") if each.get("class") == "bar"][-3:]
    assert bars == ["--share:1.000", "--share:0.200", "--share:0.000"]


def test_intervals_are_counted_from_small_to_large_predictions(tmp_path):
    y_pred = np.arange(100.0)
    off = np.where(y_pred < 20, 9.0, 0.0)
    intervals = np.stack([y_pred - 1, y_pred + 1], axis=1)
    findings = of_values(
        100, y_pred=y_pred, y_true=y_pred + off, intervals=intervals, interval=0.95
    )
    page = written(tmp_path, findings)
    assert "80.0% of the true values lie in their intervals; 95% should." in page.text
    shares = page.column("How sure it is", "values in their intervals")
    assert shares == ["0.0%", *["100.0%"] * 4]
    assert page.column("How sure it is", "median width") == ["2"] * 5


def test_calibration_tells_how_far_off_the_probabilities_are(tmp_path):
    said = np.repeat([0.2, 0.8], 50)
    came_true = np.concatenate([np.arange(50) < 15, np.arange(50) < 45]).astype(int)
    probabilities = np.stack([1 - said, said], axis=1)
    findings = of_classes(2, 100, y_true=came_true, probabilities=probabilities)
    label = next(each["aria-label"] for each in written(tmp_path, findings).all("svg"))
    assert EVIL_ATTRIBUTE in label
    assert "the points are 0.100 off it" in label


def test_there_is_a_curve_for_each_figure_that_changes(tmp_path):
    def labels(**more):
        page = written(tmp_path, of_classes(history=history(**more)))
        return [each["aria-label"] for each in page.all("svg")][1:]

    assert labels(learning_rate=[0.1] * 3) == ["The loss after each epoch."]
    assert len(labels(val_accuracy=[0.1, 0.2, 0.3], learning_rate=[0.1, 0.2, 0.1])) == 3


def test_what_was_left_out_is_told(tmp_path):
    words = written(tmp_path, of_values()).words
    assert f"id: each row has its own, {EVIL}" in words
    assert f"column {EVIL!r}: 3 cells" in words
    assert written(tmp_path, of_values(dropped={}, warnings=())).words.count("None.") == 2


def test_broken_characters_do_not_break_the_page(tmp_path):
    frame = rows().rename(columns={"size": "nul \x00"})
    page = written(tmp_path, of_values(title="half \ud800", frame=frame))
    assert "<h1>half &#55296;</h1>" in page.text
    assert r"nul \x00" in page.tables["The rows that it predicts worst"][0]


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path):
    with pytest.raises(ArgumentError, match="`path` must be"):
        write_page(3, of_values(), None)
    with pytest.raises(OSError, match="make the folder"):
        write_page(tmp_path / "nowhere" / "page.html", of_values(), None)
    written(tmp_path, of_values())
    with pytest.raises(TypeError):
        write_page(tmp_path / "page.html", of_values(history=None), None)
    assert (tmp_path / "page.html").read_text("utf-8").endswith("</html>\n")
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


# The report of the columns -------------------------------------------------------------------


def test_the_columns_have_a_report_that_loads_nothing_either(tmp_path):
    page = written(tmp_path, of_values(), rows().assign(price=1.0))
    (frame,) = page.all("iframe")
    assert frame["sandbox"] == "allow-scripts"
    assert frame["title"]
    report = Page(frame["srcdoc"])
    for tag, attributes in report.tags:
        for name in LOADING:
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
        assert not {"onload", "onerror", "onclick"} & set(attributes)
    harmless = rows().replace({EVIL: "Rome", EVIL_ATTRIBUTE: "b"}).rename(columns={EVIL: "c"})
    again = Page(
        written(tmp_path, of_values(), harmless.assign(price=1.0)).all("iframe")[0]["srcdoc"]
    )
    assert len(report.all("script")) == len(again.all("script")) > 0
    assert not re.findall(r"@import|url\((?!#|data:)|<a [^>]*http", frame["srcdoc"])


def test_the_report_is_of_at_most_10_000_rows(tmp_path, monkeypatch):
    seen = []

    class Report:
        def __init__(self, table, **_options):
            seen.append(len(table))

        def html(self):
            return '<a href="https://x.org/y">words</a>'

    monkeypatch.setattr(skrub, "TableReport", Report)
    page = written(tmp_path, of_values(), pd.DataFrame({"x": np.arange(10_001)}))
    assert seen == [10_000]
    assert [each["srcdoc"] for each in page.all("iframe")] == ["words"]


def test_a_report_that_fails_is_told_and_the_page_is_there(tmp_path, monkeypatch, caplog):
    def fail(*_table, **_options):
        raise ValueError(EVIL)

    monkeypatch.setattr(skrub, "TableReport", fail)
    page = written(tmp_path, of_values(), rows())
    assert f"skrub's report of them failed: ValueError: {EVIL}" in page.words
    assert "report of the columns failed" in caplog.text


# What the model is compared with -------------------------------------------------------------


def linear(frame):
    return number_figures(frame["y"].to_numpy(), frame["x"].to_numpy())["r2"]


def test_importances_are_the_drops_of_the_score():
    x = np.random.default_rng(0).normal(size=4000)
    frame = pd.DataFrame({"unused": pd.Series(["a", "b"] * 2000, dtype="str"), "x": x})
    before = frame.copy()
    seen = []

    def score(shuffled):
        seen.append(shuffled)
        pd.testing.assert_series_equal(shuffled.dtypes, frame.dtypes)
        return number_figures(x, shuffled["x"].to_numpy())["r2"]

    (first, drop, spread), unused = permuted_importances(score, frame, repeats=3)
    assert len(seen) == 1 + 2 * 3
    assert first == "x"
    # R² of a shuffled copy is 1 - 2 on average, 0.03 is the spread of a correlation of 4,000 rows.
    assert drop == pytest.approx(2, abs=0.1)
    assert 0 < spread < 0.1
    assert unused == ("unused", 0.0, 0.0)
    pd.testing.assert_frame_equal(frame, before)
    assert permuted_importances(score, frame, repeats=3) == ((first, drop, spread), unused)
    assert permuted_importances(score, frame, repeats=3, seed=1)[0][1] != drop


def test_importances_stop_in_time(monkeypatch, caplog):
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 4.0], "z": [0.0, 0.0, 1.0]})
    ticks = iter(range(100))
    monkeypatch.setattr(rivals, "monotonic", lambda: float(next(ticks)))
    found = permuted_importances(linear, frame, seconds=4.5)  # enough for one of x, y, z, and x
    assert {name: np.isnan(spread) for name, _, spread in found} == {
        "x": False,
        "y": True,
        "z": True,
    }
    assert caplog.text == ""
    assert len(permuted_importances(linear, frame, seconds=2.5)) == 2
    assert "1 of 3 columns have no importance: 2.5 s were too short" in caplog.text


def boosted(task, n_classes, y, **more):
    frame = rows(len(y))
    return boosting_rival(frame[:200], y[:200], frame[200:], y[200:], task, n_classes, 0, **more)


def test_boosting_learns_numbers_texts_and_times():
    frame = rows(300)
    y = frame["size"].fillna(50).to_numpy() + 50 * (frame["town"] == "Oslo").to_numpy()
    rival = boosted("regression", 0, y)
    assert rival.name == "gradient boosting"
    assert rival.figures["r2"] > 0.9
    assert list(rival.figures) == list(number_figures(y, y))
    assert boosted("regression", 0, y) == rival


def test_boosting_takes_classes_with_one_row_or_none():
    y = (rows(300)["size"].fillna(50) > 50).to_numpy().astype(np.int64) * 2
    y[0] = 3  # the only one; class 1 is in the test only
    y[250] = 1
    rival = boosted("classification", 4, y)
    assert rival.figures["accuracy"] > 0.9
    assert list(rival.figures) == ["accuracy", "f1", "roc_auc"]


def test_boosting_tells_of_rows_and_time_that_it_lacked(monkeypatch):
    y = rows(300)["size"].fillna(50).to_numpy()
    assert boosted("regression", 0, y, seconds=0).name == "gradient boosting, stopped after 0 s"
    monkeypatch.setattr(rivals, "_MOST_ROWS", 100)
    assert boosted("regression", 0, y).name == "gradient boosting on 100 rows"


def test_without_boosting_there_is_no_rival(caplog):
    assert boosted("regression", 0, np.full(300, np.nan)) is None
    assert "no comparison with gradient boosting: ValueError" in caplog.text
