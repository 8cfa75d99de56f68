"""Ending a training where it can go on from: Ctrl-C and SIGTERM wait for the step's end."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

_STATUS = 128
"""What a shell adds to a signal's number for the exit status."""


class StopSignals:
    """While it lasts, the first Ctrl-C or SIGTERM is noted only; the second acts at once.

    Outside the main thread, where Python handles no signals, it does nothing; a signal that is
    ignored, as Ctrl-C is for commands in the background, stays so.

    Attributes
    ----------
    noted : int or None
        The number of the signal that came.
    """

    def __init__(self) -> None:
        self.noted: int | None = None
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.noted is None:
            self.noted = number
        else:
            self._give_back()
            signal.raise_signal(number)

    def _give_back(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}

    def end(self, text: str) -> BaseException:
        """The exception that ends the program as the signal would have, with that text."""
        if self.noted == signal.SIGTERM:
            return SystemExit(_STATUS + signal.SIGTERM)
        return KeyboardInterrupt(text)
