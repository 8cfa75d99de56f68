"""What runs of a model: a layer, or several layers as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from nnfs_xp._typing import Array


class Stage(Protocol):
    """What a chain of layers runs: a layer, or what stands for several.

    Attributes
    ----------
    works_in_half : bool
        See `Layer`.
    takes_sparse : bool, optional
        Whether it takes a `nnfs_xp.backend.SparseArray`, and not only a dense one.
    trained : bool
        Whether any parameter within is trained.
    """

    works_in_half: bool

    @property
    def trained(self) -> bool: ...
    def forward(self, inputs: Array, training: bool = False) -> Array: ...
    def backward(self, dvalues: Array) -> Array: ...
    def backward_parameters(self, dvalues: Array) -> None: ...
    def extended(self, following: Any, *, keeps_dinputs: bool = True) -> Stage | None:
        """The stage that runs this one and the following as one; None where each runs alone.

        Parameters
        ----------
        following : Stage
        keeps_dinputs : bool
            Whether each layer within is to have its `dinputs` after a backward pass.
        """

    def on(self, replace: Callable[[Any], Any]) -> Stage:
        """A stage like this one, with what `replace` gives for each layer that has parameters."""


def fused(stages: Iterable[Stage], *, keeps_dinputs: bool = True) -> tuple[Stage, ...]:
    """The stages in order. Each is asked whether it runs as one with the stage behind it."""
    joined: list[Stage] = []
    for stage in stages:
        longer = joined[-1].extended(stage, keeps_dinputs=keeps_dinputs) if joined else None
        if longer is None:
            joined.append(stage)
        else:
            joined[-1] = longer
    return tuple(joined)
