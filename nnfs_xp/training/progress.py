"""The progress line: epoch, loss, metrics, samples a second and time left, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from shutil import get_terminal_size
from time import monotonic
from types import TracebackType
from typing import Self

_SECONDS = 0.2
"""Between two looks at the device's figures, since each look waits for the device."""


class Progress:
    """A line for each epoch, on standard error where that is a terminal, else silent.

    Parameters
    ----------
    epochs, n_samples : int
    shown : bool
        False for none at all.
    """

    def __init__(self, epochs: int, n_samples: int, *, shown: bool) -> None:
        self._epochs = epochs
        self._n_samples = n_samples
        self._shown = shown and sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shown and hasattr(self, "_bar"):
            self._bar.close()

    def begin_epoch(self, epoch: int, done: int = 0) -> None:
        """Start a line, with so many samples done before."""
        if self._shown:
            from tqdm import tqdm

            self._name = f"epoch {epoch}/{self._epochs}"
            self._bar = tqdm(
                total=self._n_samples,
                bar_format=self._name + " {percentage:3.0f}% |{bar:8}| {desc}",
                file=sys.stderr,
                ncols=get_terminal_size().columns,
            )
            self._epochs_left = self._epochs - epoch
            self._before = done
            self._pending, self._done = done, 0
            self._begin = monotonic()
            self._due = self._begin + _SECONDS

    def end_batch(self, n_samples: int, read: Callable[[], Mapping[str, float]]) -> None:
        """Count samples; when due, read the figures and draw."""
        if self._shown:
            self._pending += n_samples
            self._done += n_samples
            if monotonic() >= self._due:
                figures = _text(read())
                seconds = monotonic() - self._begin
                rate = self._done / seconds
                left = (
                    self._n_samples * (1 + self._epochs_left) - self._before - self._done
                ) / rate
                self._draw(f"{figures} {_rate(rate)} {_clock(left)} left")

    def end_epoch(self, figures: Mapping[str, float]) -> None:
        """Draw the epoch's figures and leave them standing."""
        if self._shown:
            rate = self._done / max(monotonic() - self._begin, 1e-9)
            self._bar.bar_format = self._name + " {desc}"
            self._draw(f"{_text(figures)} {_rate(rate)}")
            self._bar.close()

    def _draw(self, text: str) -> None:
        self._bar.ncols = get_terminal_size().columns  # it may have been resized
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(self._pending)
        self._bar.refresh()
        self._pending, self._due = 0, monotonic() + _SECONDS


def _text(figures: Mapping[str, object]) -> str:
    """``loss 0.1731 (val 0.1231) accuracy 0.9532 (val 0.9711)``; numbers only."""
    parts = []
    for name, value in figures.items():
        if name.startswith("val_") or not isinstance(value, int | float):
            continue
        validation = figures.get(f"val_{name}")
        parts.append(f"{name} {value:.4g}")
        if validation is not None:
            parts.append(f"(val {validation:.4g})")
    return " ".join(parts)


def _rate(rate: float) -> str:
    return f"{rate / 1000:.0f}k samples/s" if rate >= 1000 else f"{rate:.0f} samples/s"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
