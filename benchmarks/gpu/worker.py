"""A peer in a process of its own, as `benchmarks.worker`, for a GPU.

Started with the peer's name, our backend, the device and the precision. A line asks: ``build a
128``, then ``losses 3``, ``step 40`` or ``refused``. A line of JSON answers: ``{"found": …}``, or
``{"error": …}`` with more on standard error.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from types import SimpleNamespace
from typing import Any

from benchmarks import worker
from benchmarks.gpu.contestants import Ours, make_builder, refusal
from benchmarks.gpu.works import GPU_WORKS


class Worker(worker.Worker):
    """Holds what the peer has built."""

    def __init__(self, name: str, backend: str, device: str, precision: str) -> None:
        self.name, self.backend, self.device, self.precision = name, backend, device, precision
        super().__init__(SimpleNamespace(build=make_builder(name, backend, device, precision)))

    def build(self, work: str, batch: str) -> None:
        """Make ready for steps of a work."""
        vars(self).pop("contestant", None)  # its memory first
        self.contestant = self.module.build(GPU_WORKS[work], int(batch))
        self.done = 0

    def losses(self, count: str) -> list[float]:
        """The losses of the next steps, each read before the next: PyTorch's graphs reuse it."""
        step = self.contestant.step
        return [float(self._run(1, step)[0]) for _ in range(int(count))]

    def refused(self) -> str | None:
        """Why steps are not recorded as graphs."""
        made = self.contestant
        return refusal(made.trainer) if isinstance(made, Ours) else None


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # so that no library's own lines come between
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # others need memory too
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("nnfs_xp").setLevel(logging.DEBUG)  # which algorithm each product has
    if sys.argv[3] == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"

    def answer(**content: Any) -> None:
        print(json.dumps(content), file=answers, flush=True)

    try:
        held = Worker(*sys.argv[1:])
    except Exception as error:
        traceback.print_exc()
        answer(error=str(error) or type(error).__name__)
        return
    answer(found="ready")
    for line in sys.stdin:
        command, *arguments = line.split()
        try:
            found = getattr(held, command)(*arguments)
        except Exception as error:
            traceback.print_exc()
            answer(error=f"{type(error).__name__}: {error}"[:500])
        else:
            answer(found=found)


if __name__ == "__main__":
    main()
