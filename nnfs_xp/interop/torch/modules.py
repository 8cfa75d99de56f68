"""Modules for the layers that PyTorch has no modules for; made when they are first needed.

They stand in this module under their names, so that copies and pickles of a model find them.
"""

from __future__ import annotations

import functools
from typing import Any

from nnfs_xp.backend.importing import import_library
from nnfs_xp.interop.torch.picture_modules import NAMES as _PICTURES
from nnfs_xp.interop.torch.picture_modules import picture_classes
from nnfs_xp.interop.torch.tabular import NAMES as _TABULAR
from nnfs_xp.interop.torch.tabular import tabular

REMEDY = "pip install 'nnfs-xp[torch]'"

NAMES = ("Residual", "Concatenate", "BatchNorm", "GaussianNoise", *_TABULAR, *_PICTURES)
"""The names of the classes."""


def load_torch() -> Any:
    """Import PyTorch.

    Raises
    ------
    BackendError
        PyTorch is not installed.
    """
    return import_library("torch", REMEDY)


@functools.cache
def modules() -> dict[str, Any]:
    """The classes by name."""
    torch = load_torch()
    module: Any = torch.nn.Module
    sequential: Any = torch.nn.Sequential

    class Residual(sequential):  # type: ignore[misc] # PyTorch is Any here
        """Modules in a row, their output added to their inputs: `nnfs_xp.Residual`."""

        def forward(self, inputs: Any) -> Any:
            return inputs + super().forward(inputs)

    class Concatenate(sequential):  # type: ignore[misc] # PyTorch is Any here
        """Branches of the same inputs, their outputs side by side: `nnfs_xp.Concatenate`.

        `dim` is the axis of the features: 1 where the channels come first.
        """

        dim = -1

        def forward(self, inputs: Any) -> Any:
            return torch.cat([branch(inputs) for branch in self], dim=self.dim)

    class BatchNorm(torch.nn.BatchNorm1d):  # type: ignore[misc,name-defined] # PyTorch is Any here
        """PyTorch's over the last axis of samples of any shape: `nnfs_xp.BatchNorm`."""

        def forward(self, inputs: Any) -> Any:
            return super().forward(inputs.reshape(-1, inputs.shape[-1])).reshape(inputs.shape)

    class GaussianNoise(module):  # type: ignore[misc] # PyTorch is Any here
        """Normal noise added in training: `nnfs_xp.GaussianNoise`."""

        def __init__(self, deviation: float) -> None:
            super().__init__()
            self.deviation = deviation

        def forward(self, inputs: Any) -> Any:
            if not self.training:
                return inputs
            return inputs + self.deviation * torch.randn_like(inputs)

        def extra_repr(self) -> str:
            return f"deviation={self.deviation}"

    own = (Residual, Concatenate, BatchNorm, GaussianNoise)
    classes = {each.__name__: each for each in (*own, *tabular(torch))}
    classes |= {each.__name__: each for each in picture_classes(torch, classes)}
    for name, each in classes.items():
        each.__module__, each.__qualname__ = __name__, name
    return classes


def class_named(name: str) -> Any:
    """PyTorch's module of that name, or the one here where PyTorch has none."""
    return getattr(load_torch().nn, name, None) or modules()[name]


def __getattr__(name: str) -> Any:
    if name in NAMES:
        return modules()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
