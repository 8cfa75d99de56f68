"""What layers share that have filters: their weights and biases, and how these are drawn."""

from __future__ import annotations

from math import prod
from typing import Any, Unpack

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.backend import get_backend, host_generator
from nnfs_xp.errors import ArgumentError
from nnfs_xp.initializers import Initializer, by_what_follows, glorot_uniform, he_normal
from nnfs_xp.layers.base import Shape
from nnfs_xp.layers.data_dependent import initialize_neurons
from nnfs_xp.layers.footprint import Footprint
from nnfs_xp.layers.windowed import Windowed
from nnfs_xp.parameters import Gradient, Parameter, WeightAndBiasOptions


class WithFilters(Windowed):
    """Base class of the convolutions, and of the transposed ones: see `Conv2D` for the arguments.

    A class whose weights are kept in another order than they are drawn in says so in `arranged`.
    """

    works_in_half = True
    footprint = Footprint(keeps_output=False, room=1)
    size_name = "kernel_size"

    weight_regularizer_l1: float
    weight_regularizer_l2: float
    bias_regularizer_l1: float
    bias_regularizer_l2: float
    max_norm: float | None

    weights = Parameter(decay=True, norm_axis=(0, 1, 2), is_matrix=True)
    biases = Parameter()
    dweights = Gradient()
    dbiases = Gradient()

    def __init__(
        self,
        n_channels: int,
        n_filters: int,
        kernel_size: Any,
        *,
        strides: Any = 1,
        padding: Any = "valid",
        dilation: Any = 1,
        groups: int = 1,
        use_bias: bool = True,
        initializer: Initializer | None = by_what_follows,
        seed: int | None = None,
        dtype: str = "float32",
        **options: Unpack[WeightAndBiasOptions],
    ) -> None:
        super().__init__(kernel_size, strides, padding, dilation, **options)
        self.n_channels = _checks.check_count("n_channels", n_channels)
        self.n_filters = _checks.check_count("n_filters", n_filters)
        self.kernel_size = self._said(self._size)
        self.groups = _checks.check_count("groups", groups)
        if self.n_channels % self.groups or self.n_filters % self.groups:
            raise ArgumentError(
                f"`groups` must divide `n_channels` and `n_filters`, {self.n_channels} and "
                f"{self.n_filters}; got {self.groups}."
            )
        self.use_bias = _checks.check_bool("use_bias", use_bias)
        self.initializer: Initializer | None = _checks.check_initializer(initializer)
        self._adopted: Initializer = he_normal
        shapes = {"weights": self.arranged_shape}
        if self.use_bias:
            shapes["biases"] = (1, self.n_filters)
        elif self.bias_regularizer_l1 or self.bias_regularizer_l2:
            raise ArgumentError("there are no biases to be penalised, as `use_bias` is False.")
        self.create_parameters(dtype, **shapes)
        self.initialize(host_generator(seed))

    def _does_without(self, name: str) -> bool:
        return name == "biases" and not vars(self).get("use_bias", True)

    @property
    def drawn_shape(self) -> tuple[int, ...]:
        """The shape that the weights are drawn in: taps, channels of a group, filters."""
        taps = self._size[2 - self.n_axes :]
        return (*taps, self.n_channels // self.groups, self.n_filters)

    @property
    def arranged_shape(self) -> tuple[int, ...]:
        """The shape that the weights have."""
        return self.drawn_shape

    def arranged(self, drawn: Any) -> Any:
        """What was drawn, on the host, in the order of the weights."""
        return drawn

    def initialize(self, generator: Any) -> None:
        draw = self._adopted if self.initializer is by_what_follows else self.initializer
        if draw is not None:
            as_drawn = as_matrix(draw)
            self.draw(
                "weights",
                lambda generator, _: self.arranged(as_drawn(generator, self.drawn_shape)),
                generator,
            )
        if self.use_bias:
            self.biases[...] = 0.0

    def initialize_from(self, inputs: Array, generator: Any) -> Array:
        return initialize_neurons(self, inputs, generator, self.drawn_shape, self.arranged)

    def adopt_initializer(self, following: Initializer) -> Initializer:
        self._adopted = following
        return glorot_uniform

    @property
    def _filters(self) -> Array:
        """The weights with the taps of the height and the width in front."""
        return self.weights if self.n_axes == 2 else self.weights[None, ...]

    @property
    def _dfilters(self) -> Array:
        return self.dweights if self.n_axes == 2 else self.dweights[None, ...]

    @property
    def input_shape(self) -> Shape:
        return (*(None,) * self.n_axes, self.n_channels)


def as_matrix(draw: Initializer) -> Initializer:
    """Draw filters as the matrix of patches by filters, unless the initializer takes filters.

    One that does says so by an attribute ``takes_filters``: see `nnfs_xp.initializers.dirac`.
    """
    if getattr(draw, "takes_filters", False):
        return draw

    def draw_filters(generator: Any, shape: tuple[int, ...]) -> Any:
        host = get_backend("numpy")
        matrix = host.asarray(draw(generator, (prod(shape[:-1]), shape[-1])))
        return host.xp.reshape(matrix, shape)

    return draw_filters
