"""The command ``nnfs-xp``: train, evaluate and predict from a terminal."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp.cli.parser import build_parser
from nnfs_xp.cli.results import INTERRUPTED
from nnfs_xp.distributed.launched import told_rank
from nnfs_xp.distributed.watch import is_told
from nnfs_xp.errors import DivergenceError, NnfsError, TrainingWarning

_BROKEN_PIPE = 141
"""As a shell reports a command that a closed pipe ended."""

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without our letters gets a "?"
            stream.reconfigure(errors="replace")
    parser = build_parser()
    options = parser.parse_args(arguments)
    if not hasattr(options, "command"):
        parser.print_help()
        return 2
    quiet = nullcontext() if told_rank() else _log_shown()  # rank 0 speaks for all processes
    try:
        with quiet, np.errstate(all="ignore"):  # divergence has an error of its own
            status = int(options.command(options))
            if sys.stdout is not None:  # None where it was closed
                sys.stdout.flush()
            return status
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; Python would complain at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except DivergenceError as error:
        _say(f"nnfs-xp: {error}", error)
        return 1
    except (NnfsError, OSError) as error:
        notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
        _say(f"nnfs-xp: error: {error}{notes}", error)
        return 2
    except MemoryError as error:
        _say(f"nnfs-xp: error: not enough memory. {error}", error)
        return 2
    except KeyboardInterrupt:
        print("nnfs-xp: interrupted", file=sys.stderr)
        return INTERRUPTED


def _say(text: str, error: BaseException) -> None:
    """Say an error, unless another process of the training says it."""
    if not is_told(error):
        print(text, file=sys.stderr)


@contextmanager
def _log_shown() -> Iterator[None]:
    """Show the library's log lines and warnings on standard error."""
    log = logging.getLogger("nnfs_xp")
    handler = logging.StreamHandler(sys.stderr)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", TrainingWarning)
            # A picture has a box for a letter that its font lacks.
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            warnings.showwarning = _show_warning
            yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Show the message alone, not where it came from."""
    print(f"nnfs-xp: warning: {shown(str(message), 1000)}", file=sys.stderr)
