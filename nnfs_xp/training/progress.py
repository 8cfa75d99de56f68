"""The progress of a training: epoch, step, loss, metrics, samples a second and time left.

A bar on a terminal and in a Jupyter notebook, plain lines elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from math import inf
from shutil import get_terminal_size
from time import monotonic
from typing import Any, Literal, Self, TypeAlias

from nnfs_xp.errors import ArgumentError

Shown: TypeAlias = bool | Literal["lines"]

_SECONDS = 0.2
"""Between two looks at the device's figures for a bar, since each look waits for the device."""

_BAR = 8
"""Cells of the bar on a terminal."""

_MINUTE = 60.0
"""Seconds of silence before lines that nobody asked for, and between two of a long epoch."""

_SPACING = 1.0
"""Seconds between two lines that nobody asked for, however short the epochs are."""

_GONE = (AttributeError, OSError, ValueError)
"""What writing raises where the stream is None, nobody reads it any more, or it is closed."""


def check_progress(value: Any) -> Shown:
    """Refuse what does not say how progress is shown; return it."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value == "lines":
        return "lines"
    raise ArgumentError(f"`progress` must be True, False or 'lines'; got {value!r}.")


class Progress:
    """Shows how far a training is.

    Parameters
    ----------
    epochs : int
        The number of the last one.
    n_steps, n_samples : int or None
        Of an epoch, where that is known. A bar counts samples, or else steps.
    shown : bool or "lines"
        ``"lines"``: a plain line for each epoch, and one a minute within a long epoch, on
        standard error (in a notebook on standard output, since the other is red there).
        True: a bar on a terminal; in a notebook a widget, or lines where ipywidgets is missing;
        elsewhere lines from the second minute on, at most one a second. False: nothing.
    name : str
        What an epoch is called.

    Raises
    ------
    ArgumentError
        `shown` is none of these.
    """

    def __init__(
        self,
        epochs: int,
        n_steps: int | None,
        n_samples: int | None,
        *,
        shown: Shown,
        name: str = "epoch",
    ) -> None:
        self._name = name
        self._epochs = epochs
        self._n_steps = n_steps
        self._counts_steps = n_samples is None
        self._total = n_steps if n_samples is None else n_samples
        self._view = _choose_view(check_progress(shown), self._total)
        self._start: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Show what was held back, and leave it standing."""
        if self._view is not None:
            self._view.close()

    def begin_epoch(self, epoch: int, step_done: int = 0, samples_done: int = 0) -> None:
        """Start an epoch, with so many steps and samples of it done before."""
        self._epoch, self._step, self._samples = epoch, step_done, 0
        self._done = step_done if self._counts_steps else samples_done
        self._begin = monotonic()
        if self._start is None:
            position = self._position()
            self._start = self._begin
            self._start_position = epoch - 1 if position is None else position
        if self._view is not None:
            self._view.begin(f"{self._name} {epoch}/{self._epochs}")

    def end_batch(self, n_samples: int, read: Callable[[], Mapping[str, float]]) -> None:
        """Count a step and its samples; when due, read the figures and show them."""
        self._step += 1
        self._samples += n_samples
        self._done += 1 if self._counts_steps else n_samples
        if self._view is not None and monotonic() >= self._view.due:
            self._view.update(self._state(read(), self._position()))

    def end_epoch(self, figures: Mapping[str, float]) -> None:
        """Show the epoch's figures."""
        if self._view is not None:
            self._view.end(self._state(figures, self._epoch))

    def _position(self) -> float | None:
        """How many epochs are done, the present one in part; None where its length is unknown."""
        if not self._total:
            return None
        return self._epoch - 1 + min(self._done / self._total, 1)

    def _state(self, figures: Mapping[str, float], position: float | None) -> _State:
        now = monotonic()
        of_all = "" if self._n_steps is None else f"/{self._n_steps}"
        assert self._start is not None  # an epoch has begun
        left = ""
        if position is not None and self._start_position < position < self._epochs:
            pace = (now - self._start) / (position - self._start_position)
            left = f"{_clock(pace * (self._epochs - position))} left"
        return _State(
            done=self._done,
            step=f"step {self._step}{of_all}",
            figures=_texts(figures),
            speed=_rate(self._samples / max(now - self._begin, 1e-9)),
            left=left,
        )


@dataclass(frozen=True)
class _State:
    """How far a training is, as texts; `left` is empty where it is unknown."""

    done: int
    step: str
    figures: list[str]
    speed: str
    left: str


class _Forgiving:
    """A stream that may go away: what cannot be written is left out.

    Some releases of tqdm do not survive a write that fails while a bar is made.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(*_GONE):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(*_GONE):
            self._stream.flush()


class _Bar:
    """A bar for each epoch, on a terminal or as a widget."""

    def __init__(self, total: int | None, *, widget: bool) -> None:
        self._total = total
        self._widget = widget
        self._bar: Any = None
        self.due = inf

    def begin(self, name: str) -> None:
        self._name, self._bar = name, None
        if self._widget:
            from tqdm.notebook import tqdm as tqdm_notebook

            self._bar = tqdm_notebook(total=self._total, bar_format=name + " {bar} {desc}")
        else:
            from tqdm import tqdm

            stream: Any = _Forgiving(sys.stderr)
            with suppress(*_GONE):
                self._bar = tqdm(total=self._total, file=stream, bar_format=name)
        self.due = monotonic() + _SECONDS

    def update(self, state: _State) -> None:
        parts = list(filter(None, [state.step, *state.figures, state.speed, state.left]))
        cells = _BAR if self._total else 0
        self._draw(state.done, parts, (state.speed, state.step), cells)
        self.due = monotonic() + _SECONDS

    def end(self, state: _State) -> None:
        self._draw(state.done, [*state.figures, state.speed], (state.speed,), 0)
        self.close()

    def close(self) -> None:
        if self._bar is not None:
            with suppress(*_GONE):
                self._bar.close()

    def _draw(self, done: int, parts: Sequence[str], gives_way: Sequence[str], cells: int) -> None:
        if self._bar is None:
            return
        text = " ".join(parts)
        if not self._widget:
            columns = get_terminal_size().columns - 1  # each time: it may have been resized
            form = f"{self._name} |{{bar:{cells}}}| " if cells else f"{self._name} "
            space = columns - len(self._name) - 1 - (cells + 3 if cells else 0)
            self._bar.ncols, self._bar.bar_format = columns, form + "{desc}"
            text = " ".join(_fitted(parts, gives_way, space))[:space]
        self._bar.set_description_str(text, refresh=False)
        self._bar.n = done
        with suppress(*_GONE):
            self._bar.refresh()


class _Lines:
    """A plain line for each epoch, and one a minute within a long epoch.

    Parameters
    ----------
    asked : bool
        Whether they were asked for. If not, they begin after a minute, at most one a second.
    """

    def __init__(self, *, asked: bool) -> None:
        now = monotonic()
        self._silent_until = self._next = now + (0.0 if asked else _MINUTE)
        self._spacing = 0.0 if asked else _SPACING
        self._held = ""
        self.due = now + _MINUTE

    def begin(self, name: str) -> None:
        self._name = name
        self.due = max(self.due, monotonic() + _SPACING)  # a shorter epoch has its own line soon

    def update(self, state: _State) -> None:
        self._write(self._line(state.step, *state.figures, state.speed, state.left))

    def end(self, state: _State) -> None:
        line, now = self._line(*state.figures, state.speed, state.left), monotonic()
        if now >= self._next:
            self._next = now + self._spacing
            self._write(line)
        else:
            self._held = line

    def close(self) -> None:
        if self._held and monotonic() >= self._silent_until:
            self._write(self._held)

    def _line(self, *parts: str) -> str:
        return " ".join(filter(None, (self._name, *parts))) + "\n"

    def _write(self, line: str) -> None:
        self._held, self.due = "", monotonic() + _MINUTE
        stream = sys.stdout if _in_notebook() else sys.stderr
        with suppress(*_GONE):
            stream.write(line)
            stream.flush()


def _choose_view(shown: Shown, total: int | None) -> _Bar | _Lines | None:
    if shown == "lines":
        return _Lines(asked=True)
    if not shown:
        return None
    if _on_terminal():
        return _Bar(total, widget=False)
    if _in_notebook():
        return _Lines(asked=True) if find_spec("ipywidgets") is None else _Bar(total, widget=True)
    return _Lines(asked=False)


def _on_terminal() -> bool:
    with suppress(*_GONE):
        return sys.stderr.isatty()
    return False


def _in_notebook() -> bool:
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_ipython is not None and getattr(get_ipython(), "kernel", None) is not None


def _fitted(parts: Sequence[str], gives_way: Sequence[str], space: int) -> list[str]:
    """The parts that fit: first those named give way, in their order, then the last ones."""
    kept = list(parts)
    for part in gives_way:
        if len(" ".join(kept)) > space:
            kept.remove(part)
    while len(kept) > 1 and len(" ".join(kept)) > space:
        kept.pop()
    return kept


def _texts(figures: Mapping[str, float]) -> list[str]:
    """``loss 0.1731 (val 0.1231)``, ``accuracy 0.9532 (val 0.9711)``."""
    parts = []
    for name, value in figures.items():
        validation = figures.get(f"val_{name}")
        if not name.startswith("val_") and isinstance(value, float):
            more = "" if validation is None else f" (val {validation:.4g})"
            parts.append(f"{name} {value:.4g}{more}")
    return parts


def _rate(rate: float) -> str:
    return f"{rate / 1000:.0f}k samples/s" if rate >= 1000 else f"{rate:.0f} samples/s"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
