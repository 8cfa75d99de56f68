"""One peer in a process of its own: it does what it is told on standard input, and times it.

A line asks: ``build a 128``, then ``losses 5``, ``step 40``, ``infer 40`` or ``predict 40``;
``train 0``, then ``epoch`` or ``accuracy``; ``memory``. A line of JSON answers.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.work import WORKS, Contestant


class Worker:
    """Holds what the peer has built."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.contestant: Contestant
        self.training: Any
        self.done = 0

    def build(self, work: str, batch: str) -> None:
        """Make ready for steps of a work."""
        self.contestant = self.module.build(WORKS[work], int(batch))
        self.done = 0

    def losses(self, count: str) -> list[float]:
        """The losses of the next steps."""
        return [float(loss) for loss in self._run(int(count), self.contestant.step)]

    def step(self, count: str) -> float:
        """The seconds that so many steps take."""
        return self._time(int(count), self.contestant.step)

    def infer(self, count: str) -> float:
        """The seconds that so many forward passes take."""
        infer = self.contestant.infer
        return self._time(int(count), lambda x, _: infer(x))

    def predict(self, count: str) -> float:
        """The seconds that so many predictions take; forward passes where a peer has no other."""
        predict = self.contestant.predict or self.contestant.infer
        return self._time(int(count), lambda x, _: predict(x))

    def train(self, seed: str) -> None:
        """Make ready for epochs on MNIST."""
        self.training = self.module.Training(int(seed))

    def epoch(self) -> float:
        """The seconds that an epoch on MNIST takes."""
        begin = time.perf_counter()
        self.training.epoch()
        return time.perf_counter() - begin

    def accuracy(self) -> float:
        """The accuracy on the test images."""
        return float(self.training.accuracy())

    def memory(self) -> float:
        """The most memory so far, in MB."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6

    def _time(self, count: int, call: Callable[[Any, Any], Any]) -> float:
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


def main() -> None:
    """Answer until the input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # so that no peer's own lines come between
    try:
        worker = Worker(importlib.import_module(f"benchmarks.peers.{sys.argv[1]}"))
    except ImportError as error:
        print(json.dumps(str(error)), file=answers, flush=True)
        return
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        command, *arguments = line.split()
        print(json.dumps(getattr(worker, command)(*arguments)), file=answers, flush=True)


if __name__ == "__main__":
    main()
