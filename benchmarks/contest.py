"""Peers side by side: each in a process of its own, taking turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any, Self

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
"""Modules of `benchmarks.peers`; behind an @ the kernels, for ``NNFS_XP_KERNELS``."""

_REST = 0.06
"""Seconds before each turn: threads of the BLAS before keep their core for some 20 ms."""


class AbsentError(Exception):
    """The peer cannot be imported."""


class Peer:
    """A worker process, asked line by line."""

    def __init__(self, name: str) -> None:
        self.name = name
        module, _, kernels = name.partition("@")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **({"NNFS_XP_KERNELS": kernels} if kernels else {})},
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
            raise SystemExit(f"{self.name} ended; python -m benchmarks.worker shows why")
        return json.loads(line)


def installed(names: Sequence[str], stack: ExitStack) -> list[Peer]:
    """Those that can be imported, started; the others are named on standard error."""
    peers = []
    for name in names:
        try:
            peers.append(stack.enter_context(Peer(name)))
        except AbsentError as error:
            print(f"without {name}: {error}", file=sys.stderr)
    return peers


def take_turns(peers: Sequence[Peer], rounds: int, turn: Any) -> dict[str, list[float]]:
    """What ``turn(peer)`` gives for each, by name; every second round goes backwards."""
    times: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for number in range(rounds):
        for peer in peers if number % 2 else reversed(peers):
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
