"""The progress line: what it says, that it fits, and where it is shown."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest
import tqdm

import nnfs_xp as nn
from nnfs_xp.training import progress
from nnfs_xp.training.progress import Progress, _fitted

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
    with Progress(epochs, n_samples, batch_size, shown=True) as line:
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
    with Progress(2, 1000, 100, shown=True) as line:
        line.begin_epoch(2, done=700)
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


@pytest.fixture
def kernel(monkeypatch):
    """A notebook's kernel, as far as it can be told."""
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    return shell


def train():
    X, y, *_ = nn.data.load_digits()
    model = nn.Sequential(nn.Dense(64, 10), nn.Softmax(), seed=0)
    trainer = nn.Trainer(model, nn.CategoricalCrossentropy(), nn.Adam(), backend="numpy")
    trainer.fit(X[:100], y[:100], epochs=2, validation_data=(X[100:], y[100:]))


@pytest.mark.usefixtures("kernel")
def test_a_notebook_without_widgets_gets_a_line_of_text_for_each_epoch(monkeypatch, capsys):
    monkeypatch.setattr(progress, "find_spec", {}.get)
    train()
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
def test_elsewhere_nothing_is_shown(monkeypatch, capsys, shell):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    train()
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("kernel")
def test_where_it_is_asked_for_only(terminal):
    with Progress(1, 10, 5, shown=False) as line:
        line.begin_epoch(1)
        line.end_batch(5, dict)
        line.end_epoch(FIGURES)
    assert terminal.getvalue() == ""
