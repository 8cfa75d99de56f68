"""Running out of a device's memory: what is said, and what is given back."""

from __future__ import annotations

import traceback
from typing import Any, Self

from nnfs_xp.errors import OutOfMemoryError
from nnfs_xp.layers import Layer
from nnfs_xp.layers.step_memory import step_memory
from nnfs_xp.layers.summary import size_text
from nnfs_xp.learning.recording import Recorder

_SHARE = 0.8
"""Of the free memory, what a batch that is called fitting takes: pools leave gaps."""


class MemoryExplained:
    """Turns an error of the device's allocator into one that says what would fit.

    What the step had allocated is given back first, so that training can go on with less.

    Parameters
    ----------
    recorder : Recorder
    batch : int or array
        How many samples are worked on together, or these.
    """

    def __init__(self, recorder: Recorder, batch: Any) -> None:
        self._recorder = recorder
        self.batch = batch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, frames: Any) -> None:
        if isinstance(error, Exception):
            self._explain(error, frames)

    def _explain(self, error: Exception, frames: Any) -> None:
        backend = self._recorder.learner.backend
        memory = backend.memory() if backend.is_out_of_memory(error) else None
        if memory is None:
            return
        reason = str(error).strip() or type(error).__name__
        at_failure = memory.used + self._recorder.memory
        traceback.clear_frames(frames)  # the arrays in the frames that it went through
        batch = self.batch
        batch_size = batch if isinstance(batch, int) else int(batch.shape[0])
        _let_go(self._recorder)
        memory = backend.memory()
        assert memory is not None  # it was not before
        least = bytes_per_sample(self._recorder.learner.model)
        per_sample = max(least, (at_failure - memory.used) / batch_size)
        fitting = min(int(_SHARE * memory.free / per_sample), batch_size // 2)
        advice = (
            f"A `batch_size` of {2 ** (fitting.bit_length() - 1)} should fit."
            if fitting
            else "No smaller batch will do: use a smaller model."
        )
        free, total = size_text(memory.free), size_text(memory.total)
        raise OutOfMemoryError(
            f"{backend.name} has not enough memory for a batch of {batch_size} samples: "
            f"{reason}; {free} of {total} are free without it. {advice}"
        )


def bytes_per_sample(model: Layer) -> float:
    """How much memory a training step takes for each sample, as far as shapes are known."""
    return max(step_memory(model).total, 1.0)


def _let_go(recorder: Recorder) -> None:
    recorder.forget()
    for layer in recorder.learner.layers():
        layer.let_go()
    recorder.learner.backend.release_memory()
