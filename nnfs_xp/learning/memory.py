"""Running out of a device's memory: what is said, and what is given back."""

from __future__ import annotations

import traceback
from math import prod
from typing import Any

from nnfs_xp.errors import OutOfMemoryError
from nnfs_xp.layers import Layer
from nnfs_xp.layers.summary import size_text
from nnfs_xp.learning.recording import Recorder

_COPIES = 3
"""Arrays of a layer's output's size that a step has at a time: it, its gradient, what is kept."""

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
        self._batch = batch

    def __enter__(self) -> None:
        pass

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
        batch = self._batch
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
    """About how much memory a training step takes for each sample, by the layers' shapes."""
    shape = model.input_shape
    if shape is None or None in shape:
        return 1.0
    size = 8 if model.dtype == "float64" else 4
    return float(size * (prod(shape) + _COPIES * _outputs(model, shape)))


def _outputs(layer: Layer, shape: tuple[int, ...]) -> int:
    """The elements of one sample's outputs, of the layer and all within it."""
    within = zip(layer.children, layer.child_input_shapes(shape), strict=True)
    inner = sum(_outputs(child, each) for child, each in within if each is not None)
    return inner or prod(layer.output_shape(shape))


def _let_go(recorder: Recorder) -> None:
    recorder.forget()
    for layer in recorder.learner.layers():
        layer.let_go()
    recorder.learner.backend.release_memory()
