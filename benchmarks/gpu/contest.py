"""Peers side by side on one GPU; one that fails or hangs is left out, with the reason noted."""

from __future__ import annotations

import json
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from benchmarks.contest import OURS, take_turns
from benchmarks.gpu.results import Results, Setting

START, BUILD, ASK = 60.0, 60.0, 20.0
"""Seconds that a peer has for its imports, for building and compiling, and for anything else."""

_LEAST = 5.0
"""Seconds that it has even where those of the contest are over."""

_MOST_OF_A_LOG = 40_000
"""Characters of what ours has logged."""


class PeerError(Exception):
    """The peer cannot go on."""


class LateError(PeerError):
    """It has not answered in time, and would not the next time."""


class OursError(Exception):
    """Ours cannot go on, so that there is nothing to compare."""


class Peer:
    """A worker process, asked line by line, with a time limit for each answer.

    Parameters
    ----------
    name : str
    setting : Setting
    precision : str
    end : float
        By the monotonic clock, from which on it has little time for any answer.
    """

    def __init__(self, name: str, setting: Setting, precision: str, end: float = math.inf) -> None:
        self.name, self._end = name, end
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 # closed with the process
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-X", "faulthandler", "-m", "benchmarks.gpu.worker"),
                *(name, setting.backend, setting.device, precision),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,  # so that what `select` sees is all there is
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End the process, and give back what it held."""
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._log):
            assert file is not None
            file.close()

    def ask(self, *words: object, limit: float = ASK) -> Any:
        """What it answers.

        Raises
        ------
        PeerError
            It failed, ended, or took too long.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        except OSError:
            raise PeerError("its process ended") from None
        return self.answer(limit)

    def answer(self, limit: float) -> Any:
        """What it says next."""
        assert self._process.stdout is not None
        limit = min(limit, max(_LEAST, self._end - time.monotonic()))
        ready, _, _ = select.select([self._process.stdout], [], [], limit)
        if not ready:
            self._process.send_signal(signal.SIGABRT)  # it then tells where it is
            time.sleep(1.0)
            raise LateError(f"no answer in {limit:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise PeerError(f"its process ended with the status {code}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"].strip().splitlines()[0])
        return answer["found"]

    def log(self, most: int = 4000) -> str:
        """The end of what it said on standard error."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - most))
        return self._log.read().decode(errors="replace")


class Contest:
    """Peers that are asked in turn; a context manager that ends their processes.

    Parameters
    ----------
    names : sequence of str
        Ours among them.
    setting : Setting
    precision : str
    results : Results
        Told of the peers that fall out. Where ours does, `OursError` is raised.
    seconds : float
        How long all of it may take.
    """

    def __init__(
        self,
        names: Sequence[str],
        setting: Setting,
        precision: str,
        results: Results,
        seconds: float = math.inf,
    ) -> None:
        self._names, self._setting, self._precision = names, setting, precision
        self._end = time.monotonic() + seconds
        self._results = results
        self._failed: list[str] = []
        self.peers: list[Peer] = []

    def __enter__(self) -> Self:
        try:
            self._start(self._names)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End all processes; what ours has logged is shown."""
        for peer in self.peers:
            if peer.name == OURS:
                print(f"--- {OURS} has logged\n{peer.log(_MOST_OF_A_LOG)}\n---", flush=True)
            peer.end()
        self.peers.clear()

    def _start(self, names: Sequence[str]) -> None:
        started = [Peer(name, self._setting, self._precision, self._end) for name in names]
        self.peers += started  # all import at the same time
        self.each(lambda peer: peer.answer(START) if peer in started else None, "at its start")
        self._failed = []

    def each(self, question: Callable[[Peer], Any], when: str) -> dict[str, Any]:
        """What each answers, by name."""
        answers = {}
        for peer in tuple(self.peers):
            try:
                answers[peer.name] = question(peer)
            except PeerError as error:
                self._drop(peer, when, error)
        return answers

    def _drop(self, peer: Peer, when: str, error: PeerError) -> None:
        print(f"--- {peer.name}, {when}: {error}\n{peer.log()}\n---", flush=True)
        if peer.name == OURS:
            raise OursError(f"{when}: {error}")
        reason = f"{when}{' and from then on' if isinstance(error, LateError) else ''}: {error}"
        self._results.absent(f"{peer.name}, {self._precision}", reason)
        self.peers.remove(peer)
        peer.end()
        if not isinstance(error, LateError):
            self._failed.append(peer.name)

    def begin(self, work: str, batch: int) -> dict[str, list[float]]:
        """Have all build the work; the losses of their first steps.

        A peer that failed at another size gets a new process.
        """
        when = f"at batch {batch}"
        if self._failed:
            self._start(self._failed)
        self.each(lambda peer: peer.ask("build", work, batch, limit=BUILD), when)
        return self.each(lambda peer: peer.ask("losses", 3, limit=BUILD), when)

    def time(self, when: str, rounds: int, seconds: float) -> dict[str, list[float]]:
        """Seconds of a step, by peer and round; the device is waited for at the end of a turn."""
        counts: dict[str, int] = {}

        def count(peer: Peer) -> None:
            peer.ask("step", 3)
            taken = peer.ask("step", 10) / 10
            counts[peer.name] = max(2, math.ceil(seconds / taken))

        self.each(count, when)
        failed: dict[str, PeerError] = {}

        def turn(peer: Peer) -> float:
            if peer.name in failed:
                return math.nan
            try:
                number = counts[peer.name]
                peer.ask("step", max(1, number // 4))
                return float(peer.ask("step", number)) / number
            except PeerError as error:
                failed[peer.name] = error
                return math.nan

        times = take_turns(self.peers, rounds, turn)  # type: ignore[arg-type] # it takes names
        for peer in tuple(self.peers):
            if peer.name in failed:
                self._drop(peer, when, failed[peer.name])
        return {peer.name: times[peer.name] for peer in self.peers}


def difference(found: Sequence[float], expected: Sequence[float]) -> float:
    """The largest relative difference; NaN where a value is not finite."""
    if not all(map(math.isfinite, [*found, *expected])):
        return math.nan
    return max(abs(a - b) / abs(b or 1.0) for a, b in zip(found, expected, strict=True))
