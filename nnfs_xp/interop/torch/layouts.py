"""Where the channels are in PyTorch's module of a model.

Layers here take the features last. PyTorch's modules for pictures and sequences take the channels
first, (batch, channels, height, width), and a `torch.nn.Flatten` behind them lays out rows channel
by channel, not place by place. So a model with such layers takes the channels first there, from
its inputs on, or from where its samples get their shape; and the weights of a `Dense` that takes
such rows lie in another order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from nnfs_xp.errors import NnfsError
from nnfs_xp.interop.beneath import class_among
from nnfs_xp.interop.torch.layers import BY_LAYER
from nnfs_xp.interop.torch.rows import Fits, Place, Row
from nnfs_xp.layers import Concatenate, Flatten, Layer, Residual, Sequential

START = 0
"""Stands for the inputs of the model, as the `id` of a layer does for its output."""


class Layout(NamedTuple):
    """How a value lies in PyTorch.

    Attributes
    ----------
    kind : {"last", "first", "flat"}
        The features last, as here; the channels first; or rows, channel by channel.
    n_axes : int
        Of "first", those between batch and channels; 0 where it is not known.
    n_channels : int or None
        Of "first" and "flat".
    origin : int or None
        Where the value got its layout, which could be another one: `START`, or the id of a layer.
    """

    kind: str = "last"
    n_axes: int = 0
    n_channels: int | None = None
    origin: int | None = None


class Layouts:
    """How what comes to each layer of a model lies in PyTorch.

    Parameters
    ----------
    model : Layer
    wants : mapping of int to int
        By the id of a layer, how many axes there are between batch and channels where its module
        takes the channels first: for those that take them anywhere.
    by_place : set of int
        The ids of the `Flatten` layers whose modules lay out rows place by place.

    Attributes
    ----------
    before : dict of int to Layout
        By the id of a layer.
    by_place : set of int
        As above, and all others that have to: where nothing behind them ends the order of features.
    first : dict of int to int
        Where channels become first, and the number of axes between batch and channels.
    """

    def __init__(
        self,
        model: Layer,
        wants: Mapping[int, int] | None = None,
        by_place: set[int] | None = None,
    ) -> None:
        self._wants = wants or {}
        self.by_place = set(by_place or ())
        self.first: dict[int, int] = {}
        self.before: dict[int, Layout] = {}
        while not self._is_settled(model):
            pass

    def of(self, layer: Layer) -> Layout:
        """How what comes to the layer lies."""
        return self.before.get(id(layer), Layout())

    def _is_settled(self, model: Layer) -> bool:
        """Whether one walk of the model finds nothing that has to lie otherwise."""
        self.before.clear()
        try:
            end = self._walk(model, self._open(START))
            if end.kind == "flat":
                raise _OtherwiseError(by_place=end.origin)
        except _OtherwiseError as found:
            if found.by_place is not None:
                self.by_place.add(found.by_place)
            else:
                self.first[found.first] = found.n_axes
            return False
        return True

    def _open(self, origin: int) -> Layout:
        """A value that may have its channels first or last."""
        if origin in self.first:
            return Layout("first", self.first[origin], None, origin)
        return Layout(origin=origin)

    def _walk(self, layer: Layer, layout: Layout) -> Layout:
        """Note the layout for all layers within; return that of the output."""
        self.before[id(layer)] = layout
        kind = class_among({Sequential: 0, Residual: 0, Concatenate: 0}, layer, "forward")
        if kind is Sequential:
            return self._through(layer, layout)
        if kind is None:
            return self._behind(layer, layout)
        if kind is Residual:
            ends = [layout, self._through(layer, layout)]
        else:
            ends = [self._walk(child, layout) for child in layer.children]
        for end in ends:
            if end.kind == "flat":
                raise _OtherwiseError(by_place=end.origin)
        if kind is Concatenate:
            channels = [end.n_channels for end in ends]
            n_channels = None if None in channels else sum(each or 0 for each in channels)
            return ends[0]._replace(n_channels=n_channels)
        return ends[-1]

    def _through(self, layer: Layer, layout: Layout) -> Layout:
        for child in layer.children:
            layout = self._walk(child, layout)
        return layout

    def _behind(self, layer: Layer, layout: Layout) -> Layout:
        row = row_of(layer)
        fits = Fits() if row is None or row.layout is None else row.layout
        self._ask(layer, fits, layout)
        if layout.kind == "flat":
            if fits.flat is None:
                raise _OtherwiseError(by_place=layout.origin)
            return layout if fits.flat == "keeps" else Layout()
        if isinstance(layer, Flatten):
            in_order = layout.kind == "last" or layout.n_channels == 1
            if layout.n_channels is None and not in_order:
                self.by_place.add(id(layer))
            if in_order or id(layer) in self.by_place:
                return Layout()
            return Layout("flat", 0, layout.n_channels, id(layer))
        if fits.leaves == "open":
            return self._open(id(layer))
        if fits.first is None or fits.leaves == "row":
            return Layout()
        if layout.kind == "last":
            return layout
        return layout._replace(n_channels=_channels_behind(layer, layout))

    def _ask(self, layer: Layer, fits: Fits, layout: Layout) -> None:
        """Have the channels come first from their origin on, where the layer wants that."""
        wanted = getattr(layer, "n_axes", 0) if fits.wants_first else self._wants.get(id(layer))
        if wanted is None or layout.origin is None or layout.kind == "flat":
            return
        if layout.kind == "last" or (wanted and not layout.n_axes):
            raise _OtherwiseError(first=layout.origin, n_axes=wanted)


class _OtherwiseError(Exception):
    """A value has to lie otherwise than it was taken to."""

    def __init__(self, first: int = START, n_axes: int = 0, by_place: int | None = None) -> None:
        super().__init__()
        self.first, self.n_axes, self.by_place = first, n_axes, by_place


def _channels_behind(layer: Layer, layout: Layout) -> int | None:
    try:
        shape = layer.output_shape((*(None,) * layout.n_axes, layout.n_channels))
    except NnfsError:
        return None
    return None if shape[-1] is None else int(shape[-1])


def row_of(layer: Layer) -> Row | None:
    """The row of a layer, or of what it derives from and changes nothing of."""
    kind = class_among(BY_LAYER, layer, "forward", "backward")
    return BY_LAYER[kind] if kind else None


def in_their_order(place: Place, layout: Layout) -> Place:
    """A place whose features lie channel by channel there, if they do so in that layout."""
    along, n_channels = place.along, layout.n_channels
    if layout.kind != "flat" or along is None or n_channels is None:
        return place

    def theirs(value: Any) -> Any:
        return place.theirs(np.take(value, _by_channel(value.shape[along], n_channels), axis=along))

    def ours(tensor: Any) -> Any:
        value = place.ours(tensor)
        back = np.argsort(_by_channel(value.shape[along], n_channels))
        return np.take(value, back, axis=along)

    return place._replace(theirs=theirs, ours=ours)


def _by_channel(n_features: int, n_channels: int) -> np.ndarray[Any, Any]:
    """Which feature of a row here stands at each place of a row there."""
    return np.arange(n_features).reshape(-1, n_channels).T.ravel()
