"""Modules for pictures and sequences: PyTorch's, of any padding and layout, and what it lacks."""

from __future__ import annotations

from itertools import chain
from typing import Any

WINDOWED = (
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "MaxPool1d",
    "MaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "Upsample",
    "ZeroPad2d",
    "GroupNorm",
)
"""PyTorch's modules for the channels first, of each of which there is one here: ``AnyConv2d``."""

OVER_CHANNELS = (
    "Linear",
    "LayerNorm",
    "Scale",
    "ParametricActivation",
    "PeriodicEmbedding",
    "Columns",
)
"""Modules for the features last, of each of which there is one here: ``LinearOverChannels``."""

NAMES = (
    *(f"Any{name}" for name in WINDOWED),
    *(f"{name}OverChannels" for name in OVER_CHANNELS),
    "FlattenPlaces",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Reshape",
)
"""The names of the classes."""


def picture_classes(torch: Any, others: dict[str, Any]) -> list[Any]:
    """The classes; `others` are those that some of them derive from, where PyTorch has none."""
    bases = {name: getattr(torch.nn, name, None) or others.get(name) for name in OVER_CHANNELS}
    over = [
        type(f"{name}OverChannels", (_over_channels(base),), {}) for name, base in bases.items()
    ]
    return [*_windowed(torch), *over, *_whole(torch)]


def _windowed(torch: Any) -> list[Any]:
    functional = torch.nn.functional

    class Windows:
        """What is added to a module of PyTorch's.

        Attributes
        ----------
        features_last : bool
            Whether it takes and gives the channels last.
        sides : str, tuple or None
            The padding, as layers here have it, where PyTorch's own cannot say it.
        """

        features_last = False
        sides: Any = None
        fill = 0.0

        def forward(self, inputs: Any) -> Any:
            if not self.features_last:
                return self.over(inputs)
            return self.over(inputs.movedim(-1, 1)).movedim(1, -1)

        def over(self, pictures: Any) -> Any:
            return super().forward(self.padded(pictures))  # type: ignore[misc] # of the other base

        def padded(self, pictures: Any) -> Any:
            if self.sides is None:
                return pictures
            pairs = self.pairs(tuple(pictures.shape[2:]))
            return functional.pad(pictures, [*chain(*reversed(pairs))], value=self.fill)

        def pairs(self, size: tuple[int, ...]) -> list[tuple[int, int]]:
            """Rows and columns around pictures of that size."""
            if self.sides != "same":
                return list(self.sides)
            found = []
            names = ("kernel_size", "stride", "dilation")
            settings = [_each(getattr(self, name, 1), len(size)) for name in names]
            for length, kernel, stride, dilation in zip(size, *settings, strict=True):
                windows = -(-length // stride)
                total = max((windows - 1) * stride + dilation * (kernel - 1) + 1 - length, 0)
                found.append((total // 2, total - total // 2))
            return found

        def extra_repr(self) -> str:
            own = f"features_last={self.features_last}, sides={self.sides}"
            return f"{super().extra_repr()}, {own}"  # type: ignore[misc] # of the other base

    class Largest(Windows):
        fill = float("-inf")

    class Means(Windows):
        def over(self, pictures: Any) -> Any:
            means = super().over(pictures)
            if self.sides is None or self.count_include_pad:  # type: ignore[attr-defined] # PyTorch's
                return means
            return means / super().over(torch.ones_like(pictures))

    class Back(Windows):
        def over(self, pictures: Any) -> Any:
            output = super(Windows, self).forward(pictures)  # type: ignore[misc] # PyTorch's
            for axis, (before, behind) in enumerate(self.cut(output.ndim - 2), 2):
                output = output.narrow(axis, before, output.shape[axis] - before - behind)
            return output

        def cut(self, n_axes: int) -> list[tuple[int, int]]:
            """Rows and columns that are cut off."""
            if self.sides is None:
                return []
            strides = _each(self.stride, n_axes)  # type: ignore[attr-defined] # PyTorch's
            return self.pairs(tuple(strides))  # as for a picture of one pixel

    special = {"MaxPool": Largest, "AvgPool": Means, "ConvTranspose": Back}
    return [
        type(f"Any{name}", (special.get(name[:-2], Windows), getattr(torch.nn, name)), {})
        for name in WINDOWED
    ]


def _each(value: Any, n_axes: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,) * n_axes


def _over_channels(base: Any) -> Any:
    class OverChannels(base):  # type: ignore[misc] # PyTorch is Any here
        """PyTorch's over the channels of pictures, or sequences, that come first."""

        def forward(self, inputs: Any) -> Any:
            return super().forward(inputs.movedim(1, -1)).movedim(-1, 1)

    return OverChannels


def _whole(torch: Any) -> list[Any]:
    module: Any = torch.nn.Module

    class FlattenPlaces(module):  # type: ignore[misc] # PyTorch is Any here
        """Each sample as one row, place by place, where the channels come first."""

        def forward(self, inputs: Any) -> Any:
            return inputs.movedim(1, -1).flatten(1)

    class GlobalPool(module):  # type: ignore[misc] # PyTorch is Any here
        def __init__(self, channels_first: bool = False) -> None:
            super().__init__()
            self.channels_first = channels_first

        def places(self, inputs: Any) -> Any:
            """The inputs in shape (batch, channels, places)."""
            first = inputs if self.channels_first else inputs.movedim(-1, 1)
            return first.flatten(2)

        def extra_repr(self) -> str:
            return f"channels_first={self.channels_first}"

    class GlobalAveragePool(GlobalPool):
        """The mean of each channel over all places: `nnfs_xp.GlobalAveragePool`."""

        def forward(self, inputs: Any) -> Any:
            return self.places(inputs).mean(dim=-1)

    class GlobalMaxPool(GlobalPool):
        """The largest number of each channel over all places: `nnfs_xp.GlobalMaxPool`."""

        def forward(self, inputs: Any) -> Any:
            return self.places(inputs).max(dim=-1).values

    class Reshape(module):  # type: ignore[misc] # PyTorch is Any here
        """Samples in another shape, with the features last in it: `nnfs_xp.Reshape`."""

        def __init__(
            self, shape: tuple[int, ...], takes_first: bool = False, gives_first: bool = False
        ) -> None:
            super().__init__()
            self.shape = tuple(shape)
            self.takes_first, self.gives_first = takes_first, gives_first

        def forward(self, inputs: Any) -> Any:
            values = inputs.movedim(1, -1) if self.takes_first else inputs
            output = values.reshape(len(values), *self.shape)
            return output.movedim(-1, 1) if self.gives_first else output

        def extra_repr(self) -> str:
            own = f"takes_first={self.takes_first}, gives_first={self.gives_first}"
            return f"{self.shape}, {own}"

    return [FlattenPlaces, GlobalAveragePool, GlobalMaxPool, Reshape]
