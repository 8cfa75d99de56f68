"""The progress bar and lines: what they say, that they fit, when and where they are shown."""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import suppress
from math import ceil
from types import SimpleNamespace

import numpy as np
import pytest
import tqdm

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError
from nnfs_xp.training import progress
from nnfs_xp.training.progress import Progress, _clock, _fitted, check_progress

FIGURES = {"loss": 0.17312, "accuracy": 0.95321, "val_loss": 0.12312, "val_accuracy": 0.97112}
MANY = FIGURES | {f"{v}top_{k}_accuracy": 0.98761 for k in (3, 5) for v in ("", "val_")}


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def lines(self):
        return [line.rstrip() for line in self.getvalue().replace("\r", "\n").split("\n")]

    def last_two(self):
        """The last line with a bar, and the last one."""
        lines = [line for line in self.lines() if line]
        return [line for line in lines if "|" in line][-1], lines[-1]


@pytest.fixture
def terminal(monkeypatch):
    screen = Terminal()
    fake = SimpleNamespace(stderr=screen, stdout=sys.stdout, modules=sys.modules)
    monkeypatch.setattr(progress, "sys", fake)  # pytest puts its own sys.stderr back
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(progress, "_SECONDS", 0)
    return screen


def run(figures, *, epoch=60, epochs=60, n_samples=60_000, batch_size=128, steps=120):
    during = {name: value for name, value in figures.items() if not name.startswith("val_")}
    with Progress(epochs, ceil(n_samples / batch_size), n_samples, shown=True) as line:
        line.begin_epoch(epoch)
        for _ in range(steps):
            line.end_batch(batch_size, lambda: during)
        line.end_epoch(figures)


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("figures", [FIGURES, MANY])
@pytest.mark.parametrize("epoch", [9, 1000])
def test_every_line_fits_the_terminal(terminal, monkeypatch, columns, figures, epoch):
    monkeypatch.setenv("COLUMNS", str(columns))
    run(figures, epoch=epoch, epochs=1000)
    lines = [line for line in terminal.lines() if line]
    assert len(lines) >= 120
    assert max(map(len, lines)) < columns
    assert all(line.startswith(f"epoch {epoch}/1000") for line in lines)


def test_the_line_of_80_columns(terminal):
    run(FIGURES)
    during, last = terminal.last_two()
    assert during.startswith("epoch 60/60 |")
    assert "| step 120/469 loss 0.1731 accuracy 0.9532 0:" in during
    assert during.endswith(" left")
    assert last.startswith("epoch 60/60 loss 0.1731 (val 0.1231) accuracy 0.9532 (val 0.9711)")


def test_a_wide_terminal_shows_all(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    run(MANY)
    during, last = terminal.last_two()
    for part in ("step 120/469", "top_5_accuracy 0.9876", "samples/s", " left"):
        assert part in during
    assert last.endswith("samples/s")
    assert "top_5_accuracy 0.9876 (val 0.9876)" in last


def test_an_epoch_that_goes_on_counts_what_was_done_before(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    now = iter([0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr(progress, "monotonic", lambda: next(now))
    with Progress(2, 10, 1000, shown=True) as line:
        line.begin_epoch(2, 7, 700)
        line.end_batch(100, lambda: {"loss": 0.5})
        line.end_epoch({"loss": 0.5})
    during, last = terminal.last_two()
    assert "step 8/10 loss 0.5 100 samples/s 0:02 left" in during
    assert last == "epoch 2/2 loss 0.5 50 samples/s"


def test_what_gives_way_does_so_in_order():
    parts = ["step 1/9", "loss 1", "accuracy 1", "1 samples/s", "0:01 left"]
    gives_way = (parts[3], parts[0])
    for space, expected in (
        (99, parts),
        (len(" ".join(parts)), parts),
        (len(" ".join(parts)) - 1, [*parts[:3], parts[4]]),
        (30, [*parts[1:3], parts[4]]),
        (20, parts[1:3]),
        (3, parts[1:2]),
    ):
        assert _fitted(parts, gives_way, space) == expected
        assert parts[0] == "step 1/9", "the argument is left alone"


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


class Log(io.StringIO):
    """A standard error that is no terminal: what was flushed of it, and when."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self.seen = []

    def flush(self):
        text = self.getvalue()
        assert text.endswith("\n")
        self.seen.append((self.clock.seconds, text[:-1]))
        self.seek(self.truncate(0))

    @property
    def seconds(self):
        return [second for second, _ in self.seen]

    @property
    def lines(self):
        assert self.getvalue() == "", "all of it was flushed"
        return [line for _, line in self.seen]


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "monotonic", clock)
    return clock


@pytest.fixture
def log(monkeypatch, clock):
    log = Log(clock)
    fake = SimpleNamespace(stderr=log, stdout=sys.stdout, modules=sys.modules)
    monkeypatch.setattr(progress, "sys", fake)
    return log


def train_by(clock, shown, *, epochs, steps, seconds, sizes=(), before=0):
    """A training whose steps of 100 samples take so long each, and its validation nothing."""
    n_steps, n_samples = sizes or (steps, 100 * steps)
    with Progress(epochs, n_steps, n_samples, shown=shown) as line:
        for epoch in range(1, epochs + 1):
            done = before if epoch == 1 else 0
            line.begin_epoch(epoch, done, 100 * done)
            for _ in range(steps - done):
                clock.seconds += seconds
                line.end_batch(100, lambda: {"loss": 0.17312, "accuracy": 0.95321})
            line.end_epoch(FIGURES)


EPOCH = "loss 0.1731 (val 0.1231) accuracy 0.9532 (val 0.9711)"


def test_lines_are_one_for_each_epoch(clock, log):
    train_by(clock, "lines", epochs=3, steps=4, seconds=1)
    assert log.seen == [
        (4, f"epoch 1/3 {EPOCH} 100 samples/s 0:08 left"),
        (8, f"epoch 2/3 {EPOCH} 100 samples/s 0:04 left"),
        (12, f"epoch 3/3 {EPOCH} 100 samples/s"),
    ]


def test_lines_stay_plain_on_a_terminal(clock, terminal):
    train_by(clock, "lines", epochs=2, steps=4, seconds=1)
    assert terminal.getvalue() == (
        f"epoch 1/2 {EPOCH} 100 samples/s 0:04 left\nepoch 2/2 {EPOCH} 100 samples/s\n"
    )


def test_lines_that_were_asked_for_come_however_short_the_epochs_are(clock, log):
    train_by(clock, "lines", epochs=1000, steps=2, seconds=0.0005)
    assert len(log.lines) == 1000
    assert [line.split()[1] for line in log.lines] == [f"{n}/1000" for n in range(1, 1001)]


@pytest.mark.parametrize("shown", ["lines", True])
def test_a_long_epoch_has_a_line_each_minute(clock, log, shown):
    train_by(clock, shown, epochs=2, steps=1000, seconds=0.25)
    assert log.seconds == [60, 120, 180, 240, 250, 310, 370, 430, 490, 500]
    during = "loss 0.1731 accuracy 0.9532 400 samples/s"
    assert log.lines[0] == f"epoch 1/2 step 240/1000 {during} 7:20 left"
    assert log.lines[4] == f"epoch 1/2 {EPOCH} 400 samples/s 4:10 left"
    assert log.lines[8] == f"epoch 2/2 step 960/1000 {during} 0:10 left"
    assert log.lines[9] == f"epoch 2/2 {EPOCH} 400 samples/s"


def test_a_job_of_less_than_a_minute_says_nothing(clock, log):
    train_by(clock, True, epochs=59, steps=4, seconds=0.25)
    assert clock.seconds == 59
    assert log.lines == []


def test_a_longer_job_has_a_line_for_each_epoch_from_the_second_minute_on(clock, log):
    train_by(clock, True, epochs=8, steps=5, seconds=5)
    assert log.seconds == [60, 75, 100, 125, 150, 175, 200]
    assert log.lines[0].startswith("epoch 3/8 step 2/5 loss 0.1731 accuracy 0.9532 ")
    assert [line.split()[1] for line in log.lines[1:]] == [f"{n}/8" for n in range(3, 9)]
    assert all(EPOCH in line for line in log.lines[1:])


@pytest.mark.parametrize("epochs", [1000, 1001, 1005])
def test_short_epochs_of_a_long_job_have_at_most_a_line_a_second(clock, log, epochs):
    train_by(clock, True, epochs=epochs, steps=2, seconds=0.0625)
    first = [60 + second for second in range(int(clock.seconds) - 59)]
    held = [] if clock.seconds in first else [clock.seconds]
    assert log.seconds == first + held, "the last epoch has its line in any case"
    assert log.lines[0].startswith("epoch 480/")
    assert log.lines[-1].startswith(f"epoch {epochs}/{epochs} {EPOCH}")


def test_a_training_cut_short_leaves_the_line_of_its_last_epoch(clock, log):
    with suppress(KeyboardInterrupt), Progress(9, 1, 100, shown=True) as line:
        for epoch, second in ((1, 61), (2, 61.5), (3, 61.75)):
            clock.seconds = second
            line.begin_epoch(epoch)
            line.end_batch(100, dict)
            line.end_epoch(FIGURES)
        line.begin_epoch(4)
        raise KeyboardInterrupt
    assert [line.split()[1] for line in log.lines] == ["1/9", "3/9"]


def test_the_time_left_counts_validation_and_what_an_earlier_run_did(clock, log):
    with Progress(3, 10, 1000, shown="lines") as line:
        line.begin_epoch(2, 5, 500)
        for _ in range(5):
            clock.seconds += 1
            line.end_batch(100, dict)
        clock.seconds += 5  # of validation
        line.end_epoch({"loss": 0.5})
    assert log.lines == ["epoch 2/3 loss 0.5 50 samples/s 0:20 left"]


def test_epochs_of_unknown_length(clock, log):
    train_by(clock, "lines", epochs=2, steps=800, seconds=0.125, sizes=(None, None))
    during = "loss 0.1731 accuracy 0.9532 800 samples/s"
    assert log.seen == [
        (60, f"epoch 1/2 step 480 {during}"),
        (100, f"epoch 1/2 {EPOCH} 800 samples/s 1:40 left"),
        (160, f"epoch 2/2 step 480 {during}"),
        (200, f"epoch 2/2 {EPOCH} 800 samples/s"),
    ]


def test_epochs_of_an_unknown_number_of_samples_are_measured_in_steps(clock, log):
    train_by(clock, "lines", epochs=2, steps=800, seconds=0.125, sizes=(800, None), before=160)
    during = "loss 0.1731 accuracy 0.9532 800 samples/s"
    assert log.seen[0] == (60, f"epoch 1/2 step 640/800 {during} 2:00 left")
    assert log.seen[1] == (80, f"epoch 1/2 {EPOCH} 800 samples/s 1:40 left")


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((10, 1000), "epoch 1/1 |####    | step 5/10 loss 0.5 100 samples/s 0:05 left"),
        ((10, None), "epoch 1/1 |####    | step 5/10 loss 0.5 100 samples/s 0:05 left"),
        ((None, None), "epoch 1/1 step 5 loss 0.5 100 samples/s"),
    ],
    ids=["samples", "steps", "neither"],
)
def test_the_bar_counts_what_is_known(clock, terminal, sizes, expected):
    with Progress(1, *sizes, shown=True) as line:
        line.begin_epoch(1)
        for _ in range(5):
            clock.seconds += 1
            line.end_batch(100, lambda: {"loss": 0.5})
        assert [line for line in terminal.lines() if line][-1] == expected
        line.end_epoch({"loss": 0.5})
    assert [line for line in terminal.lines() if line][-1] == "epoch 1/1 loss 0.5 100 samples/s"


@pytest.mark.parametrize("value", [True, False, "lines"])
def test_what_progress_can_be(value):
    assert check_progress(value) is value


@pytest.mark.parametrize("value", [None, 1, 0, "line", "auto", b"lines", [], np.ones(2)])
def test_what_progress_cannot_be(value):
    message = re.escape(f"`progress` must be True, False or 'lines'; got {value!r}.")
    with pytest.raises(ArgumentError, match=message):
        check_progress(value)
    with pytest.raises(ArgumentError, match=message):
        Progress(1, 1, 1, shown=value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0:00"), (59.6, "1:00"), (61, "1:01"), (3599, "59:59"), (3725, "1:02:05")],
)
def test_times(seconds, text):
    assert _clock(seconds) == text


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


def pipe_without_reader():
    reader, writer = os.pipe()
    os.close(reader)
    return open(writer, "w", buffering=1)


class FullDisk(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


def terminal_hung_up():
    ours, its = pytest.importorskip("pty").openpty()
    os.close(ours)

    class Terminal(io.FileIO):
        def isatty(self):
            return True  # as it was when the training began

    return io.TextIOWrapper(io.BufferedWriter(Terminal(its, "w")), line_buffering=True)


@pytest.mark.parametrize("shown", [True, "lines"])
@pytest.mark.parametrize(
    "make", [lambda: None, closed, pipe_without_reader, FullDisk, terminal_hung_up]
)
def test_a_stream_that_takes_nothing_does_not_end_a_training(monkeypatch, make, shown):
    stream = make()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "_SECONDS", 0)
    monkeypatch.setattr(progress, "_MINUTE", 0)
    try:
        assert train(shown).epoch == 2
    finally:
        with suppress(AttributeError, OSError):
            stream.close()


@pytest.fixture
def kernel(monkeypatch):
    """A notebook's kernel, as far as it can be told."""
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    return shell


def train(shown=True):
    X, y, *_ = nn.data.load_digits()
    model = nn.Sequential(nn.Dense(64, 10), nn.Softmax(), seed=0)
    trainer = nn.Trainer(model, nn.CategoricalCrossentropy(), nn.Adam(), backend="numpy")
    data = {"validation_data": (X[100:], y[100:])}
    trainer.fit(X[:100], y[:100], epochs=2, progress=shown, **data)
    return trainer


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize(("shown", "widgets"), [(True, None), ("lines", None), ("lines", True)])
def test_a_notebook_has_lines_where_widgets_are_missing_or_lines_asked_for(
    monkeypatch, capsys, shown, widgets
):
    monkeypatch.setattr(progress, "find_spec", {"ipywidgets": widgets}.get)
    train(shown)
    out, err = capsys.readouterr()
    assert err == ""
    first, second = out.splitlines()
    assert first.startswith("epoch 1/2 loss ")
    assert second.startswith("epoch 2/2 loss ")
    assert "(val " in second


@pytest.mark.usefixtures("kernel")
def test_a_notebook_with_widgets_gets_a_bar_for_each_epoch(monkeypatch, capsys):
    bars = []

    class Bar(tqdm.tqdm):
        def __init__(self, **options):
            super().__init__(**options, file=io.StringIO())
            self.closed = False
            bars.append(self)

        def close(self):
            self.closed = True
            super().close()

    monkeypatch.setitem(sys.modules, "tqdm.notebook", SimpleNamespace(tqdm=Bar))
    monkeypatch.setattr(progress, "find_spec", lambda name: name)
    train()
    assert capsys.readouterr() == ("", "")
    assert len(bars) == 2
    for epoch, bar in enumerate(bars, start=1):
        assert (bar.n, bar.total, bar.closed) == (100, 100, True)
        assert bar.bar_format == f"epoch {epoch}/2 {{bar}} {{desc}}"
        assert bar.desc.startswith("loss ")
        assert bar.desc.endswith("samples/s")


@pytest.mark.parametrize("shell", [None, SimpleNamespace()], ids=["Python", "IPython"])
def test_elsewhere_a_short_training_shows_nothing_but_lines_that_are_asked_for(
    monkeypatch, capsys, shell
):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    train()
    assert capsys.readouterr() == ("", "")
    train("lines")
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split()[:3] for line in err.splitlines()] == [
        ["epoch", "1/2", "loss"],
        ["epoch", "2/2", "loss"],
    ]


@pytest.mark.usefixtures("kernel")
def test_where_it_is_asked_for_only(terminal):
    with Progress(1, 2, 10, shown=False) as line:
        line.begin_epoch(1)
        line.end_batch(5, dict)
        line.end_epoch(FIGURES)
    assert terminal.getvalue() == ""
