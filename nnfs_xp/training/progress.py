"""The progress bar: epoch, loss, metrics and samples a second, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from time import monotonic
from types import TracebackType
from typing import Self

_SECONDS = 0.2
"""Between two looks at the device's figures, since each look waits for the device."""


class Progress:
    """A bar for each epoch, on standard error where that is a terminal, else silent.

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
        self._pending = 0
        self._due = 0.0

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

    def begin_epoch(self, epoch: int) -> None:
        """Start a bar."""
        if self._shown:
            from tqdm import tqdm

            self._bar = tqdm(
                total=self._n_samples,
                desc=f"epoch {epoch}/{self._epochs}",
                unit=" samples",
                unit_scale=True,
                file=sys.stderr,
                dynamic_ncols=True,
            )
            self._pending, self._due = 0, monotonic() + _SECONDS

    def end_batch(self, n_samples: int, read: Callable[[], Mapping[str, float]]) -> None:
        """Count samples; when due, read the figures and draw."""
        if self._shown:
            self._pending += n_samples
            if monotonic() >= self._due:
                self._draw(read())

    def end_epoch(self, figures: Mapping[str, float]) -> None:
        """Draw the epoch's figures and leave them standing."""
        if self._shown:
            self._draw(figures)
            self._bar.close()

    def _draw(self, figures: Mapping[str, float]) -> None:
        text = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(self._pending)
        self._bar.refresh()
        self._pending, self._due = 0, monotonic() + _SECONDS
