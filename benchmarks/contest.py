"""Peers side by side: each in a process of its own, taking turns."""

from __future__ import annotations

import importlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any, Self

from benchmarks.worker import Worker

OURS = "nnfs_xp"

PEERS = (
    OURS,
    "nnfs_xp@numpy",
    "floor",
    "plain",
    "book",
    "torch_eager",
    "torch_compile",
    "jax_jit",
    "sklearn_mlp",
    "thinc_layers",
)
"""Modules of `benchmarks.peers`; behind an @ the kernels, for ``NNFS_XP_KERNELS``, or the number of
threads, for ``NNFS_XP_BENCHMARK_THREADS``."""

_REST = 0.15
"""Seconds before each turn: the threads of an OpenBLAS that has just been used keep their cores
busy for some 0.1 s, at the cost of whoever comes next."""


class AbsentError(Exception):
    """The peer cannot be imported."""


class Peer:
    """A worker process, asked line by line."""

    worker = "benchmarks.worker"
    """The module that it runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        module, _, setting = name.partition("@")
        variable = "NNFS_XP_BENCHMARK_THREADS" if setting.isdecimal() else "NNFS_XP_KERNELS"
        environment = {variable: setting} if setting else {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.worker, module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **environment},
        )
        found = self._answer()
        if found != "ready":
            raise AbsentError(found)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, *words: object) -> Any:
        """What it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended; python -m {self.worker} shows why")
        return json.loads(line)


class Neighbour:
    """A peer in the same process as the others: their threads meet."""

    def __init__(self, name: str) -> None:
        self.name = name
        module, _, kernels = name.partition("@")
        if kernels:
            raise AbsentError("one process has one set of kernels")
        try:
            self._worker = Worker(importlib.import_module(f"benchmarks.peers.{module}"))
        except ImportError as error:
            raise AbsentError(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, command: str, *words: object) -> Any:
        """What it answers."""
        return getattr(self._worker, command)(*map(str, words))


def installed(
    names: Sequence[str], stack: ExitStack, *, together: bool = False
) -> list[Peer | Neighbour]:
    """Those that can be imported, started; the others are named on standard error."""
    peers: list[Peer | Neighbour] = []
    for name in names:
        try:
            peer: Peer | Neighbour = Neighbour(name) if together else Peer(name)
            stack.enter_context(peer)
            peers.append(peer)
        except AbsentError as error:
            print(f"without {name}: {error}", file=sys.stderr)
    return peers


def take_turns(peers: Sequence[Peer | Neighbour], rounds: int, turn: Any) -> dict[str, list[float]]:
    """What ``turn(peer)`` gives for each, by name; each round has another order."""
    times: dict[str, list[float]] = {peer.name: [] for peer in peers}
    generator = random.Random(0)  # noqa: S311 # of orders
    for _ in range(rounds):
        for peer in generator.sample(peers, len(peers)):
            time.sleep(_REST)
            times[peer.name].append(turn(peer))
    return times


def compare(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """For each peer the median, and the median ratio of our time to its in the same round."""
    ours = times[OURS]
    return {
        name: {
            "median": median(column),
            "ratio": median(mine / its for mine, its in zip(ours, column, strict=True)),
        }
        for name, column in times.items()
    }
