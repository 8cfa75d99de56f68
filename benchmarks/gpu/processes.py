"""Commands with a time limit: each with all that it starts, and all of that ended at the limit."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.gpu.results import ROOT

GRACE = 3.0
"""Seconds between the request to end and the end."""


def run_limited(
    command: Sequence[str],
    seconds: float,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a command for so long, its output behind what is in the log.

    Returns
    -------
    str
        ``"ok"``, or what went wrong: ``"status 3"``, ``"stopped after 9 s"``.
    """
    with (
        log.open("ab") as file,
        subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        ) as process,
    ):
        try:
            in_time = _ends(process, seconds)
            if not in_time:
                os.killpg(process.pid, signal.SIGINT)
                _ends(process, GRACE)
        finally:
            with suppress(ProcessLookupError):  # not waited for yet, so that the id is its own
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            if process.returncode is None:
                process.returncode = -signal.SIGKILL  # stuck in the driver: left to itself
    return ended(process.returncode) if in_time else f"stopped after {seconds:.0f} s"


def _ends(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the process ends in that time; it keeps its id."""
    end = time.monotonic() + seconds
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while os.waitid(os.P_PID, process.pid, how) is None:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def ended(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"status {status}" if status else "ok"
    with suppress(ValueError):
        return f"ended by {signal.Signals(-status).name}"
    return f"ended by signal {-status}"
