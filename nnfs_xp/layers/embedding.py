"""The embedding: a row of learnt numbers for each of several things."""

from __future__ import annotations

from math import nan, prod
from typing import Any, Unpack

from nnfs_xp import _checks
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.backend import backend_of, host_generator
from nnfs_xp.errors import DataError
from nnfs_xp.initializers import Initializer, standard_normal
from nnfs_xp.layers.base import Layer, Shape
from nnfs_xp.layers.footprint import Footprint
from nnfs_xp.parameters import Gradient, Parameter, WeightOptions


class Embedding(Layer):
    """Looks up a row of a learnt table for each code: words, weekdays, makes of car.

    It comes first in a model, and gives a row for each code: (batch, …, n_dimensions). With
    `Flatten` behind it, the rows of a sample become one. A code out of range gives NaN,
    without waiting for the device; `check_values` finds one before.

    Parameters
    ----------
    n_values : int
        How many codes there are, from 0 on.
    n_dimensions : int
        How many numbers stand for each.
    initializer : callable or None
        Draws the table: see `nnfs_xp.initializers`. None leaves it 0, to be assigned.
    seed : int, optional
        Of the initial table; by default it differs from run to run.
    dtype : {"float32", "float64"}
    **options
        Of the table: `weight_regularizer_l1`, `weight_regularizer_l2`, `max_norm` of each row,
        `trainable`, `weight_decay`, `learning_rate_scale`. `Layer` says what they mean.

    Attributes
    ----------
    weights, dweights : array, shape (n_values, n_dimensions)
    dinputs : array, shape (batch, …)
        Zeros: codes have no gradient.

    Notes
    -----
    Forward: output = weights[inputs], shape (batch, …, n_dimensions), for inputs of shape
    (batch, …): codes of an integer type, or whole numbers in the layer's own.

    Backward: dweights[c] = the sum of dvalues over the places where the code c stood.

    Source: Bengio et al. 2003, *A Neural Probabilistic Language Model*, section 2; for tables,
    Guo and Berkhahn 2016, *Entity Embeddings of Categorical Variables*, section 3.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> weekdays = nn.Embedding(7, 2, seed=0)
    >>> model = nn.Sequential(weekdays, nn.Flatten(), nn.Dense(2, 1))
    >>> weekdays.output_shape((1,))
    (1, 2)
    """

    footprint = Footprint(keeps_inputs=False, keeps_output=False, room=2)

    weight_regularizer_l1: float
    weight_regularizer_l2: float
    max_norm: float | None

    weights = Parameter(decay=True, norm_axis=1)
    dweights = Gradient()

    def __init__(
        self,
        n_values: int,
        n_dimensions: int,
        *,
        initializer: Initializer | None = standard_normal,
        seed: int | None = None,
        dtype: str = "float32",
        **options: Unpack[WeightOptions],
    ) -> None:
        super().__init__(**options)
        self.n_values = _checks.check_count("n_values", n_values)
        self.n_dimensions = _checks.check_count("n_dimensions", n_dimensions)
        self.initializer: Initializer | None = _checks.check_initializer(initializer)
        self.create_parameters(dtype, weights=(self.n_values, self.n_dimensions))
        self.initialize(host_generator(seed))

    def initialize(self, generator: Any) -> None:
        self.draw("weights", self.initializer, generator)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        floats = inputs.dtype == self.weights.dtype
        codes = xp.round(inputs) if floats else xp.astype(inputs, xp.int64)
        known = (codes >= 0) & (codes < self.n_values)
        codes = xp.astype(xp.where(known, codes, xp.zeros_like(codes)), xp.int64)
        shape = (*inputs.shape, self.n_dimensions)
        rows = xp.reshape(xp.take(self.weights, xp.reshape(codes, (-1,)), axis=0), shape)
        output: Array = xp.where(known[..., None], rows, nan)
        if training:
            self.keep(output, codes)
        return output

    def backward(self, dvalues: Array) -> Array:
        self.backward_parameters(dvalues)
        _, codes = self.recall(dvalues)
        self.dinputs = self.xp.zeros(
            codes.shape, dtype=self.weights.dtype, device=self.weights.device
        )
        return self.dinputs

    def backward_parameters(self, dvalues: Array) -> None:
        xp, codes = self.recall(dvalues)
        codes, rows = xp.reshape(codes, (-1,)), xp.reshape(dvalues, (-1, self.n_dimensions))
        self.kernels_for(dvalues).embedding_gradient(xp, codes, rows, self.dweights)
        self.add_penalties()

    def check_inputs(self, inputs: Array, n_features: int | None = None) -> Namespace:
        place = self.backend or backend_of(inputs)
        dtype = self.weights.dtype
        if place.owns(inputs) and place.xp.isdtype(inputs.dtype, "integral"):
            dtype = inputs.dtype
        _checks.check_batch("inputs", inputs, place, dtype, n_features)
        return place.xp

    def check_values(self, inputs: Array) -> None:
        xp = backend_of(inputs).xp
        low, high = float(xp.min(inputs)), float(xp.max(inputs))
        whole = bool(xp.all(inputs == xp.round(inputs)))
        if not (whole and low >= 0 and high < self.n_values):
            raise DataError(
                f"the inputs of Embedding({self.n_values}, {self.n_dimensions}) must be whole "
                f"numbers from 0 to {self.n_values - 1}; got values from {low:g} to {high:g}"
                f"{'' if whole else ', not all of them whole'}. Encode them first."
            )

    @property
    def input_shape(self) -> Shape:
        return (None,)

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.n_dimensions)

    def kept_bytes(self, input_shape: Shape, n_bytes: int) -> int:
        del n_bytes
        return 8 * prod(input_shape)  # codes of int64
