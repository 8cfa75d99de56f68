"""The scaling layer: a factor of its own for each feature."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Unpack

from nnfs_xp import _checks
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.backend import host_generator
from nnfs_xp.errors import ArgumentError
from nnfs_xp.initializers import Initializer
from nnfs_xp.layers.base import Layer, Shape
from nnfs_xp.layers.footprint import Footprint
from nnfs_xp.layers.members import check_batch_of_members, check_sample_of_members
from nnfs_xp.parameters import Gradient, Options, Parameter


class ScaleOptions(Options, total=False):
    """What can be said of the factors of a `Scale`: see `Layer`."""

    scale_regularizer_l1: float
    scale_regularizer_l2: float


class Scale(Layer):
    """Multiplies each feature by a factor of its own.

    Parameters
    ----------
    shape : int or pair of int
        How many features there are, n; or (k, n), where the last two axes of the inputs are the k
        members of an ensemble and their n features: each member then has factors of its own.
    initializer : callable, optional
        Draws the factors: `nnfs_xp.initializers.random_signs`, for example. By default they
        are 1.
    seed : int, optional
        Of the factors that the initializer draws; by default they differ from run to run.
    dtype : {"float32", "float64"}
    **options
        Of the factors: `scale_regularizer_l1`, `scale_regularizer_l2`, `trainable`,
        `weight_decay`, `learning_rate_scale`. `Layer` says what they mean.

    Attributes
    ----------
    scale, dscale : array, shape (1, n), or (k, n)
    dinputs : array, shape (batch, …, n), or (batch, …, k, n)

    Raises
    ------
    ShapeError, DTypeError, BackendError
        From `forward` and `backward`: arrays that do not fit the layer.
    NotReadyError
        From `backward` without a training `forward` before it.

    Notes
    -----
    Forward: output = inputs * scale, in the shape of the inputs.

    Backward: dscale = the sum of dvalues * inputs over the batch, dinputs = dvalues * scale.

    Source: Holzmüller, Grinsztajn and Steinwart 2024, *Better by Default: Strong Pre-Tuned MLPs
    and Boosted Trees on Tabular Data*, section 3; for members of an ensemble, Wen, Tran and Ba
    2020, *BatchEnsemble*, section 3.1.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.Scale(4).scale.shape, nn.Scale((8, 4)).scale.shape
    ((1, 4), (8, 4))
    """

    footprint = Footprint(keeps_output=False, room=2)

    scale_regularizer_l1: float
    scale_regularizer_l2: float

    scale = Parameter(decay=True)
    dscale = Gradient()

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        initializer: Initializer | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        **options: Unpack[ScaleOptions],
    ) -> None:
        super().__init__(**options)
        self.shape = _checked(shape)
        self.initializer: Initializer | None = _checks.check_initializer(initializer)
        self.create_parameters(
            dtype, scale=(1, self.shape) if isinstance(self.shape, int) else self.shape
        )
        self.initialize(host_generator(seed))

    def initialize(self, generator: Any) -> None:
        self.scale[...] = 1.0
        self.draw("scale", self.initializer, generator)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        self.check_inputs(inputs)
        output: Array = inputs * self.scale
        if training:
            self.keep(output, inputs)
        return output

    def backward(self, dvalues: Array) -> Array:
        self.backward_parameters(dvalues)
        self.dinputs = dvalues * self.scale
        return self.dinputs

    def backward_parameters(self, dvalues: Array) -> None:
        xp, inputs = self.recall(dvalues)
        one_row = (-1, prod(self.dscale.shape))
        # dscale = the sum of dvalues * inputs over the batch
        self.kernels_for(dvalues).scale_gradient(
            xp, *(xp.reshape(array, one_row) for array in (dvalues, inputs, self.dscale))
        )
        self.add_penalties()

    def check_inputs(self, inputs: Array, n_features: int | None = None) -> Namespace:
        if isinstance(self.shape, int):
            return super().check_inputs(inputs, self.shape)
        xp = super().check_inputs(inputs, n_features)
        check_batch_of_members(inputs.shape, *self.shape)
        return xp

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.shape,) if isinstance(self.shape, int) else self.shape

    def output_shape(self, input_shape: Shape) -> Shape:
        if isinstance(self.shape, int):
            self.check_features(input_shape, self.shape)
        else:
            check_sample_of_members(self, input_shape, *self.shape)
        return input_shape


def _checked(shape: Any) -> int | tuple[int, int]:
    """Refuse what is neither a number of features nor one of members and one of features."""
    if not isinstance(shape, (tuple, list)):
        return _checks.check_count("shape", shape)
    if len(shape) != 2:
        raise ArgumentError(
            "`shape` must be a number of features, or a pair of members and features; got "
            f"{_checks.quoted(shape)}."
        )
    n_members, n_features = (_checks.check_count("shape", n) for n in shape)
    return n_members, n_features
