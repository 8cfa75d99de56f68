"""The arrays of an estimator's dense layers, as a list that passes assignments on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnfs_xp.errors import ShapeError
from nnfs_xp.layers import Dense


class LayerArrays(list[np.ndarray[Any, Any]]):
    """The weights or the biases of layers; what is assigned to an element goes to its layer.

    Parameters
    ----------
    layers : sequence of Dense
    name : {"weights", "biases"}
    arrays : sequence of ndarray
        As they are shown.
    """

    def __init__(
        self, layers: Sequence[Dense], name: str, arrays: Sequence[np.ndarray[Any, Any]]
    ) -> None:
        super().__init__(arrays)
        self._layers = layers
        self._name = name

    def __setitem__(self, key: Any, value: Any) -> None:
        places = range(len(self))[key]
        places = [places] if isinstance(places, int) else list(places)
        values = [value] if isinstance(key, int) else list(value)
        if len(values) != len(places):
            raise ShapeError(f"expected {len(places)} arrays; got {len(values)}.")
        for place, each in zip(places, values, strict=True):
            if np.shape(each) != self[place].shape:
                raise ShapeError(
                    f"the {self._name} of dense layer {place} must have shape "
                    f"{self[place].shape}; got {np.shape(each)}."
                )
        for place, each in zip(places, values, strict=True):
            layer = self._layers[place]
            setattr(layer, self._name, np.reshape(each, getattr(layer, self._name).shape))
            super().__setitem__(place, np.asarray(each))
