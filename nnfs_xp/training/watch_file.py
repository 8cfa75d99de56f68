"""The file that a training which is watched appends lines to."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp.errors import TrainingWarning

FILE = "watch.jsonl"
"""Its name, in the folder of the training."""

_MOST_UNWRITTEN = 2**22
"""Bytes that wait for a disk that is full."""


class WatchWriter:
    """Appends lines to the file; where it cannot be written, they wait."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._waiting = b""
        self._failed = False

    def append(self, row: Mapping[str, Any]) -> None:
        """Write an object as a line: numbers with 7 digits, null where one is not finite."""
        self._write(json.dumps(_plain(row), allow_nan=False, separators=(",", ":")))

    def append_losses(self, first: int, losses: np.ndarray[Any, Any]) -> None:
        """Write the losses of steps, from the step of that number on, as a line."""
        numbers = ("%.7g," * len(losses) % tuple(losses.tolist()))[:-1]
        for word in ("-inf", "inf", "nan") if not np.isfinite(losses).all() else ():
            numbers = numbers.replace(word, "null")
        self._write(f'{{"is":"steps","first":{first},"losses":[{numbers}]}}')

    def _write(self, line: str) -> None:
        """Write a line, and those that wait; warn the first time that it cannot be done."""
        if len(self._waiting) < _MOST_UNWRITTEN:
            self._waiting += line.encode() + b"\n"
        try:
            if self._descriptor is None:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
                self._descriptor = os.open(self._path, flags, 0o666)
            while self._waiting:
                done = os.write(self._descriptor, self._waiting)
                self._waiting = self._waiting[done:]
        except OSError as error:
            if not self._failed:
                self._failed = True
                warnings.warn(
                    f"the training goes on, but what is watched could not be written: {error}",
                    TrainingWarning,
                    stacklevel=2,
                )

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = None


def _plain(value: Any) -> Any:
    """The value as JSON can hold it."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, Integral):
        return int(value)
    number = float(value)
    if not isfinite(number):
        return None
    return number if abs(number) >= 1e7 else float(f"{number:.7g}")
