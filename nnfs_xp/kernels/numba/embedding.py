"""The gradient of a table from which rows were looked up."""

from __future__ import annotations

from typing import Any

from nnfs_xp.kernels.numba.compilation import check_shapes, compiled, or_numpy
from nnfs_xp.kernels.numpy import Array, NumPyKernels


@compiled("F2", "labels", "F2")
def _add_to_rows(dvalues: Array, codes: Array, dweights: Array) -> None:
    for i in range(codes.size):
        for j in range(dvalues.shape[1]):
            dweights[codes[i], j] += dvalues[i, j]


class EmbeddingKernels(NumPyKernels):
    """What goes back through an embedding."""

    @or_numpy
    def embedding_gradient(self, xp: Any, codes: Array, dvalues: Array, dweights: Array) -> None:
        check_shapes(codes, dvalues[:, 0])
        check_shapes(dvalues[:1], dweights[:1])
        dweights[...] = 0
        _add_to_rows(dvalues, codes, dweights)
