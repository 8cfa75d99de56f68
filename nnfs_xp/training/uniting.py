"""Making the processes that train together one: the same settings, data, weights and seed."""

from __future__ import annotations

import zlib
from math import prod
from typing import Any

import numpy as np

import nnfs_xp
from nnfs_xp._settings import settings_of
from nnfs_xp._typing import Array
from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError, DistributedError
from nnfs_xp.interop.model_file import describe
from nnfs_xp.layers import Layer
from nnfs_xp.learning import Learner

_MOST = 2**24
"""Elements of samples that are compared; of more, as many, taken evenly."""


def unite(learner: Learner) -> None:
    """Have all processes of the learner's group begin alike: rank 0's weights, buffers and counts.

    Raises
    ------
    DistributedError
        A process has another version, model, loss, optimizer or setting.
    ArgumentError
        A layer draws random numbers that differ from process to process.
    """
    group = learner.group
    if group.size == 1:
        return
    model, backend = learner.model, learner.backend
    group.compare(
        version_of_nnfs_xp=nnfs_xp.__version__,
        version_of_NumPy=np.__version__,
        timeout=group.timeout,
        shards=group.shards,
        backend=backend.name.partition(":")[0],
        kernels=type(backend.kernels).__name__,
        model=describe(model),
        dtype=model.dtype,
        number_of_parameters=0 if model._flat is None else model.flat.all_values.shape[0],
        loss=settings_of(learner.loss),
        optimizer=settings_of(learner.optimizer),
        precision=learner.precision,
        fuse=learner.fuse,
    )
    if model._flat is None:
        return
    for array in _arrays_of(learner):
        host = np.array(to_numpy(array))
        group.broadcast_into(host)
        array[...] = backend.asarray(host)
    learner.count, learner.optimizer.iterations = group.broadcast(
        (learner.count, learner.optimizer.iterations)
    )


def _arrays_of(learner: Learner) -> list[Array]:
    """What rank 0 has of a training that the others are to have; what is held in parts is not."""
    flat = learner.model.flat
    arrays = [flat.all_values, *learner.model.buffers().values(), *learner.state().values()]
    kept = learner.optimizer.kept(learner.model).values()
    return arrays + [array for array in kept if array.shape == flat.values.shape]


def check_same_data(
    learner: Learner, arrays: tuple[Any, ...], validated: tuple[Any, ...], **settings: Any
) -> None:
    """Refuse to train where a process has other data, or another setting of `fit`.

    Raises
    ------
    DistributedError
    """
    if learner.group.size > 1:
        names = "X", "y", "sample_weight"
        sums = {name: _checksum(each) for name, each in zip(names, arrays, strict=False)}
        for name, each in zip(names, validated, strict=False):
            sums[f"validation_{name}"] = _checksum(each)
        learner.group.compare(**settings, **sums)


def _checksum(array: Any) -> str:
    """What tells arrays apart: shape, data type and values, or evenly taken ones of many."""
    n = array.shape[0]
    step = max(1, prod(array.shape) // _MOST)
    rows = to_numpy(array[slice(0, n, step), ...])
    checksum = zlib.crc32(np.ascontiguousarray(rows).data)
    return f"{rows.dtype} of shape {tuple(array.shape)} with the checksum {checksum:08x}"


def check_same_weights(learner: Learner, epoch: int, n_samples: int) -> None:
    """Refuse to go on where processes have come to different weights, or were given other batches.

    Raises
    ------
    DistributedError
    """
    group = learner.group
    if group.size == 1:
        return
    own = zlib.crc32(np.ascontiguousarray(to_numpy(learner.model.flat.all_values)).data)
    highest, lowest, most, fewest = group.agree(own, -own, n_samples, -n_samples)
    if most != -fewest:
        raise DistributedError(
            f"the processes were given {-fewest:.0f} and {most:.0f} samples in epoch {epoch}. A "
            "source must give the same batches in all processes."
        )
    if highest != -lowest:
        raise DistributedError(
            f"the processes have different weights after epoch {epoch}. A layer, loss or callback "
            "of your own works otherwise from process to process: it draws random numbers without "
            "`reseed`, or looks at time, rank or files."
        )


def check_draws(learner: Learner, x: Any) -> None:
    """Refuse layers that draw random numbers of which nobody can say what they are.

    Parameters
    ----------
    learner : Learner
    x : array
        Samples to try layers on that are not of this package and say nothing of `reseed`.

    Raises
    ------
    ArgumentError
    """
    drawing = [layer for layer in learner.layers() if _may_draw(layer)]
    if learner.group.size == 1 or not drawing:
        return
    backend, buffers = learner.backend, learner.model.buffers()
    x = backend.asarray(x[:2, ...])
    before = {name: np.array(to_numpy(array)) for name, array in buffers.items()}
    outputs = []
    for _ in range(2):
        learner.reseed(learner.count)
        outputs.append(np.array(to_numpy(learner.chain.forward(x, True))))
        for name, array in buffers.items():
            array[...] = backend.asarray(before[name])
    if not np.array_equal(outputs[0], outputs[1], equal_nan=True):
        names = ", ".join(sorted({type(layer).__name__ for layer in drawing}))
        raise ArgumentError(
            f"a layer of your own ({names}) gives the same samples another output each time: it "
            "draws random numbers without `reseed`, which would differ from process to process. "
            "Derive it from nn.StochasticLayer, and draw with draw_bits."
        )


def _may_draw(layer: Layer) -> bool:
    """Whether it is of a class of one's own that does not say where its random numbers go on."""
    own = type(layer).__module__.partition(".")[0] != __name__.partition(".")[0]
    return own and not layer.children and type(layer).reseed is Layer.reseed
