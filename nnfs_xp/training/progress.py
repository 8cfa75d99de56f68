"""The progress line: epoch, step, loss, metrics, samples a second and time left.

On a terminal and in a Jupyter notebook; silent elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from math import ceil
from shutil import get_terminal_size
from time import monotonic
from typing import Any, Self

_SECONDS = 0.2
"""Between two looks at the device's figures, since each look waits for the device."""

_BAR = 8
"""Cells of the bar on a terminal."""


class Progress:
    """A line for each epoch.

    On standard error where that is a terminal; as a widget in a notebook that has ipywidgets,
    and in one that has not as plain text, when the epoch has ended; nowhere else.

    Parameters
    ----------
    epochs, n_samples, batch_size : int
    shown : bool
        False for none at all.
    """

    def __init__(self, epochs: int, n_samples: int, batch_size: int, *, shown: bool) -> None:
        self._epochs = epochs
        self._n_samples = n_samples
        self._batch_size = batch_size
        self._place = _place() if shown else None
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin_epoch(self, epoch: int, done: int = 0) -> None:
        """Start a line, with so many samples done before."""
        self._name = f"epoch {epoch}/{self._epochs}"
        self._epochs_left = self._epochs - epoch
        self._before, self._pending, self._done = done, done, 0
        self._begin = monotonic()
        self._due = self._begin + _SECONDS
        if self._place == "terminal":
            from tqdm import tqdm

            self._bar = tqdm(total=self._n_samples, file=sys.stderr, bar_format=self._name)
        elif self._place == "notebook":
            from tqdm.notebook import tqdm as tqdm_notebook

            form = self._name + " {bar} {desc}"
            self._bar = tqdm_notebook(total=self._n_samples, bar_format=form)

    def end_batch(self, n_samples: int, read: Callable[[], Mapping[str, float]]) -> None:
        """Count samples; when due, read the figures and draw."""
        self._pending += n_samples
        self._done += n_samples
        if self._bar is not None and monotonic() >= self._due:
            figures = _texts(read())
            rate = self._done / (monotonic() - self._begin)
            done = self._before + self._done
            left = (self._n_samples * (1 + self._epochs_left) - done) / rate
            step, speed = f"step {self._steps(done)}/{self._steps(self._n_samples)}", _rate(rate)
            self._draw([step, *figures, speed, f"{_clock(left)} left"], (speed, step), bar=True)

    def end_epoch(self, figures: Mapping[str, float]) -> None:
        """Draw the epoch's figures and leave them standing."""
        if self._place is None:
            return
        rate = self._done / max(monotonic() - self._begin, 1e-9)
        parts = [*_texts(figures), _rate(rate)]
        if self._bar is not None:
            self._draw(parts, parts[-1:], bar=False)
            self._bar.close()
        else:
            sys.stdout.write(" ".join([self._name, *parts]) + "\n")

    def _steps(self, n_samples: int) -> int:
        return ceil(n_samples / self._batch_size)

    def _draw(self, parts: Sequence[str], gives_way: Sequence[str], *, bar: bool) -> None:
        if self._place == "terminal":
            columns = get_terminal_size().columns - 1  # each time: it may have been resized
            form = f"{self._name} |{{bar:{_BAR}}}| " if bar else f"{self._name} "
            taken = len(self._name) + 1 + (_BAR + 3 if bar else 0)
            self._bar.ncols, self._bar.bar_format = columns, form + "{desc}"
            text = " ".join(_fitted(parts, gives_way, columns - taken))[: columns - taken]
        else:
            text = " ".join(parts)
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(self._pending)
        self._bar.refresh()
        self._pending, self._due = 0, monotonic() + _SECONDS


def _place() -> str | None:
    """Where progress can be shown: "terminal", "notebook", as "lines" there, or nowhere."""
    if sys.stderr is not None and sys.stderr.isatty():
        return "terminal"
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    if get_ipython is None or getattr(get_ipython(), "kernel", None) is None:
        return None
    return "lines" if find_spec("ipywidgets") is None else "notebook"


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
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
