"""Modules for the layers for tables, which PyTorch has no modules for."""

from __future__ import annotations

from math import pi
from typing import Any

NAMES = (
    "Scale",
    "ParametricActivation",
    "PeriodicEmbedding",
    "Columns",
    "Repeat",
    "MemberDense",
)
"""The names of the classes, which are those of the layers."""


def tabular(torch: Any) -> tuple[Any, ...]:
    """The classes, in the order of `NAMES`."""
    module: Any = torch.nn.Module

    def parameter(*shape: int) -> Any:
        return torch.nn.Parameter(torch.empty(shape))

    class Scale(module):  # type: ignore[misc] # PyTorch is Any here
        """A factor of its own for each feature: `nnfs_xp.Scale`."""

        def __init__(self, *shape: int) -> None:
            super().__init__()
            self.scale = parameter(*shape)

        def forward(self, inputs: Any) -> Any:
            return inputs * self.scale

    class ParametricActivation(module):  # type: ignore[misc] # PyTorch is Any here
        """An activation that bends by a learnt share: `nnfs_xp.ParametricActivation`."""

        def __init__(self, activation: Any, n_features: int) -> None:
            super().__init__()
            self.activation = activation
            self.alpha = parameter(n_features)

        def forward(self, inputs: Any) -> Any:
            return inputs + self.alpha * (self.activation(inputs) - inputs)

    class PeriodicEmbedding(module):  # type: ignore[misc] # PyTorch is Any here
        """Waves of learnt frequencies, and the feature: `nnfs_xp.PeriodicEmbedding`."""

        def __init__(self, n_features: int, n_frequencies: int, n_dimensions: int) -> None:
            super().__init__()
            self.frequencies = parameter(n_features, n_frequencies)
            self.phases = parameter(n_features, n_frequencies)
            self.weight = parameter(n_features, n_frequencies, n_dimensions - 1)
            self.bias = parameter(n_features, n_dimensions - 1)

        def forward(self, inputs: Any) -> Any:
            x = inputs[..., None]
            cosines = torch.cos(2 * pi * self.frequencies * x + self.phases)
            learnt = torch.einsum("...fk,fkj->...fj", cosines, self.weight) + self.bias
            return torch.cat([learnt, x], dim=-1).flatten(-2)

    class Columns(module):  # type: ignore[misc] # PyTorch is Any here
        """Some of the features: `nnfs_xp.Columns`."""

        def __init__(self, start: int, stop: int) -> None:
            super().__init__()
            self.start, self.stop = start, stop

        def forward(self, inputs: Any) -> Any:
            return inputs[..., self.start : self.stop]

        def extra_repr(self) -> str:
            return f"{self.start}, {self.stop}"

    class Repeat(module):  # type: ignore[misc] # PyTorch is Any here
        """Each row for all members of an ensemble: `nnfs_xp.Repeat`."""

        def __init__(self, n_members: int) -> None:
            super().__init__()
            self.n_members = n_members

        def forward(self, inputs: Any) -> Any:
            return torch.stack([inputs] * self.n_members, dim=-2)

        def extra_repr(self) -> str:
            return f"{self.n_members}"

    class MemberDense(module):  # type: ignore[misc] # PyTorch is Any here
        """A dense layer for each member of an ensemble: `nnfs_xp.MemberDense`."""

        def __init__(self, n_members: int, n_inputs: int, n_neurons: int) -> None:
            super().__init__()
            self.weight = parameter(n_members, n_inputs, n_neurons)
            self.bias = parameter(n_members, n_neurons)

        def forward(self, inputs: Any) -> Any:
            return torch.einsum("...ki,kio->...ko", inputs, self.weight) + self.bias

    return Scale, ParametricActivation, PeriodicEmbedding, Columns, Repeat, MemberDense
