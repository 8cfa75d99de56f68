"""The parametric activation: how far an activation bends each feature is learnt."""

from __future__ import annotations

from typing import Any, Unpack

from nnfs_xp import _checks
from nnfs_xp._rows import as_before, as_rows
from nnfs_xp._typing import Array
from nnfs_xp.errors import ArgumentError
from nnfs_xp.initializers import Initializer
from nnfs_xp.layers.base import Layer, Shape
from nnfs_xp.layers.composite import Composite
from nnfs_xp.layers.footprint import Footprint, Held, Need, Sizes
from nnfs_xp.parameters import Gradient, Options, Parameter


class AlphaOptions(Options, total=False):
    """What can be said of the shares of a `ParametricActivation`: see `Layer`."""

    alpha_regularizer_l1: float
    alpha_regularizer_l2: float


class ParametricActivation(Composite):
    """An activation that bends each feature by a learnt share: not at all, fully, or more.

    Parameters
    ----------
    activation : Layer
        Works on each number by itself and has no parameters: `Mish` or `SELU`, for example.
    n_features : int
    dtype : {"float32", "float64"}
    **options
        Of alpha: `alpha_regularizer_l1`, `alpha_regularizer_l2`, `trainable`,
        `learning_rate_scale`. `Layer` says what they mean.

    Attributes
    ----------
    alpha, dalpha : array, shape (1, n_features)
        The share, 1 at first.
    dinputs : array, shape (batch, …, n_features)

    Raises
    ------
    ArgumentError
        The activation does not work on each number by itself, or has parameters.
    ShapeError, DTypeError, BackendError
        From `forward` and `backward`: arrays that do not fit the layer.
    NotReadyError
        From `backward` without a training `forward` before it.

    Notes
    -----
    Forward: output = inputs + alpha * (f(inputs) - inputs), f being the activation, shape
    (batch, …, n_features).

    Backward: dalpha = the sum of dvalues * (f(inputs) - inputs) over the batch,
    dinputs = dvalues * (1 - alpha) + the activation's own dinputs for dvalues * alpha.

    Source: Holzmüller, Grinsztajn and Steinwart 2024, *Better by Default: Strong Pre-Tuned MLPs
    and Boosted Trees on Tabular Data*, section 3.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.ParametricActivation(nn.Mish(), 4)
    ParametricActivation(Mish(), 4)
    """

    footprint = Footprint(room=3)

    alpha_regularizer_l1: float
    alpha_regularizer_l2: float

    alpha = Parameter()
    dalpha = Gradient()

    def __init__(
        self,
        activation: Layer,
        n_features: int,
        *,
        dtype: str = "float32",
        **options: Unpack[AlphaOptions],
    ) -> None:
        if isinstance(activation, Layer) and (
            not activation.elementwise or activation.parameters()
        ):
            raise ArgumentError(
                "`activation` must work on each number by itself and have no parameters, as "
                f"Mish() does; got {activation!r}."
            )
        self.n_features = _checks.check_count("n_features", n_features)
        super().__init__(activation)
        self.create_parameters(dtype, alpha=(1, self.n_features))
        self.set_options(**options)
        self.initialize(None)

    def initialize(self, generator: Any) -> None:
        del generator  # nothing is drawn
        self.alpha[...] = 1.0

    def adopt_initializer(self, following: Initializer) -> Initializer:
        return self.children[0].adopt_initializer(following)

    def check_fit(self) -> None:
        pass  # an activation takes any shape, and keeps it

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs, self.n_features)
        bent = self.children[0].forward(inputs, training)
        rows = as_rows(xp, inputs), as_rows(xp, bent)
        output = as_before(xp, self.kernels_for(inputs).blend(xp, *rows, self.alpha), inputs)
        if training:
            self.keep(output, *rows)
        return output

    def backward(self, dvalues: Array) -> Array:
        dbent = self._backward(dvalues)
        self.dinputs = dvalues - dbent  # dvalues * (1 - alpha)
        self.dinputs += self.children[0].backward(dbent)
        return self.dinputs

    def backward_parameters(self, dvalues: Array) -> None:
        self._backward(dvalues)

    def _backward(self, dvalues: Array) -> Array:
        """Set dalpha; return dvalues * alpha, the gradient of what the activation gave."""
        xp, inputs, bent = self.recall(dvalues)
        dbent = self.kernels_for(dvalues).blend_backward(
            xp, as_rows(xp, dvalues), inputs, bent, self.alpha, self.dalpha
        )
        self.add_penalties()
        return as_before(xp, dbent, dvalues)

    def _held(self, sizes: Sizes, need: Need) -> Held:
        held = self.children[0]._held(sizes, need._replace(output=True))
        own = sizes.output(self) * (need.output + (need.backward and need.dinputs))
        return Held({**held.layers, id(self): own}, keeps_inputs=True)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.n_features,)

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_features(input_shape, self.n_features)
        return input_shape
