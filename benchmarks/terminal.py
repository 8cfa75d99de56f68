"""A terminal that nobody looks at, so that progress is displayed as to a user."""

from __future__ import annotations

import os
import pty
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def terminal() -> Iterator[list[int]]:
    """While it lasts, standard error is a pseudo-terminal; what it shows is counted."""
    master, slave = pty.openpty()
    shown = [0]

    def drain() -> None:
        while True:
            try:
                content = os.read(master, 2**16)
            except OSError:  # the other side is closed
                return
            if not content:
                return
            shown[0] += len(content)

    reader = threading.Thread(target=drain)
    reader.start()
    former = sys.stderr
    with open(slave, "w", encoding="utf-8") as sys.stderr:
        try:
            yield shown
        finally:
            sys.stderr.flush()
    sys.stderr = former
    reader.join()
    os.close(master)
