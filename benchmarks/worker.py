"""One peer in a process of its own: it does what it is told on standard input, and times it.

A line asks, ``build a 128``, ``losses 5``, ``step 40`` or ``infer 40``; a line of JSON answers.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.work import WORKS, Contestant


class Worker:
    """Holds what the peer has built."""

    def __init__(self, peer: str) -> None:
        self.module = importlib.import_module(f"benchmarks.peers.{peer}")
        self.contestant: Contestant
        self.done = 0

    def answer(self, command: str, *arguments: str) -> Any:
        """What the command asks for: seconds, or losses."""
        if command == "build":
            self.contestant = self.module.build(WORKS[arguments[0]], int(arguments[1]))
            self.done = 0
            return None
        count = int(arguments[0])
        if command == "losses":
            return [float(loss) for loss in self._run(count, self._step)]
        call = self._step if command == "step" else self._infer
        begin = time.perf_counter()
        results = self._run(count, call)
        self.contestant.wait(results[-1])
        return time.perf_counter() - begin

    def _run(self, count: int, call: Callable[[Any, Any], Any]) -> list[Any]:
        data = self.contestant.data
        results = []
        for _ in range(count):
            results.append(call(*data[self.done % len(data)]))
            self.done += 1
            if len(results) > 8:  # as a loop that looks at a loss now and then
                del results[0]
        return results

    def _step(self, x: Any, y: Any) -> Any:
        return self.contestant.step(x, y)

    def _infer(self, x: Any, y: Any) -> Any:
        del y
        return self.contestant.infer(x)


def main() -> None:
    """Answer until the input ends."""
    worker = Worker(sys.argv[1])
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(worker.answer(*line.split())), flush=True)


if __name__ == "__main__":
    main()
