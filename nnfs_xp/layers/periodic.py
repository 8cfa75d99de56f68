"""The periodic embedding: numbers as waves of learnt frequencies."""

from __future__ import annotations

from math import pi, prod, sqrt
from typing import Any, Unpack

from nnfs_xp import _checks
from nnfs_xp._rows import as_before, as_rows
from nnfs_xp._typing import Array
from nnfs_xp.backend import host_generator
from nnfs_xp.layers.base import Layer, Shape
from nnfs_xp.layers.footprint import Footprint
from nnfs_xp.parameters import Gradient, Parameter, WeightAndBiasOptions


class PeriodicOptions(WeightAndBiasOptions, total=False):
    """What can be said of the parameters of a `PeriodicEmbedding`: see `Layer`."""

    frequencies_regularizer_l1: float
    frequencies_regularizer_l2: float
    phases_regularizer_l1: float
    phases_regularizer_l2: float


class PeriodicEmbedding(Layer):
    """Several numbers for each feature: waves of learnt frequencies, mixed; and the feature itself.

    So a network need not bend a line many times where the target goes up and down with a feature.

    Parameters
    ----------
    n_features : int
    n_frequencies : int
        How many waves there are of each feature.
    n_dimensions : int
        How many numbers stand for each feature, at least 2. The last one is the feature itself.
    sigma : float
        The standard deviation of the frequencies at first: the larger it is, the faster the waves.
    seed : int, optional
        Of the initial parameters; by default they differ from run to run.
    dtype : {"float32", "float64"}
    **options
        Of the parameters: `weight_regularizer_l2`, `frequencies_regularizer_l2` and the like,
        `max_norm`, `trainable`, `weight_decay`, `learning_rate_scale`. `Layer` says what they
        mean.

    Attributes
    ----------
    frequencies, dfrequencies, phases, dphases : array, shape (n_features, n_frequencies)
    weights, dweights : array, shape (n_features, n_frequencies, n_dimensions - 1)
    biases, dbiases : array, shape (n_features, n_dimensions - 1)
    dinputs : array, shape (batch, …, n_features)

    Raises
    ------
    ShapeError, DTypeError, BackendError
        From `forward` and `backward`: arrays that do not fit the layer.
    NotReadyError
        From `backward` without a training `forward` before it.

    Notes
    -----
    Forward, for each feature x: angles = 2π * frequencies * x + phases, shape (batch, …,
    n_frequencies); output = [cos(angles) @ weights + biases, x], shape (batch, …, n_dimensions).
    The outputs of all features lie one behind the other: (batch, …, n_features * n_dimensions).

    Backward, with dy the part of a feature's dvalues that belongs to the waves, and dx the rest:
    dweights = cos(angles).T @ dy, dbiases = the sum of dy over the batch,
    dangles = -sin(angles) * (dy @ weights.T), dphases = the sum of dangles over the batch,
    dfrequencies = 2π * that of dangles * x, dinputs = dx + 2π * the sum of frequencies * dangles.

    At first the frequencies are normal with the deviation sigma, the phases uniform within ±π, the
    weights and biases uniform within ±1 / sqrt(n_frequencies).

    Source: Gorishniy, Rubachev and Babenko 2022, *On Embeddings for Numerical Features in Tabular
    Deep Learning*, equation 2; the phases, and the feature itself at the end, as PBLD in
    Holzmüller, Grinsztajn and Steinwart 2024, *Better by Default: Strong Pre-Tuned MLPs and
    Boosted Trees on Tabular Data*, section 3.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> model = nn.Sequential(nn.PeriodicEmbedding(5), nn.Dense(20, 1), seed=0)
    >>> model.layers[0].output_shape((5,))
    (20,)
    """

    footprint = Footprint(keeps_output=False)
    recordable = False  # CuPy's products of many matrices are not

    weight_regularizer_l1: float
    weight_regularizer_l2: float
    bias_regularizer_l1: float
    bias_regularizer_l2: float
    frequencies_regularizer_l1: float
    frequencies_regularizer_l2: float
    phases_regularizer_l1: float
    phases_regularizer_l2: float
    max_norm: float | None

    frequencies = Parameter()
    phases = Parameter()
    weights = Parameter(decay=True, norm_axis=1)
    biases = Parameter()
    dfrequencies = Gradient()
    dphases = Gradient()
    dweights = Gradient()
    dbiases = Gradient()

    def __init__(
        self,
        n_features: int,
        n_frequencies: int = 16,
        n_dimensions: int = 4,
        *,
        sigma: float = 0.1,
        seed: int | None = None,
        dtype: str = "float32",
        **options: Unpack[PeriodicOptions],
    ) -> None:
        super().__init__(**options)
        self.n_features = _checks.check_count("n_features", n_features)
        self.n_frequencies = _checks.check_count("n_frequencies", n_frequencies)
        self.n_dimensions = _checks.check_count("n_dimensions", n_dimensions, least=2)
        self.sigma = _checks.check_range("sigma", sigma, 0)
        waves = (self.n_features, self.n_frequencies)
        self.create_parameters(
            dtype,
            frequencies=waves,
            phases=waves,
            weights=(*waves, self.n_dimensions - 1),
            biases=(self.n_features, self.n_dimensions - 1),
        )
        self.initialize(host_generator(seed))

    def initialize(self, generator: Any) -> None:
        bound = 1 / sqrt(self.n_frequencies)
        self.draw(
            "frequencies", lambda draw, shape: self.sigma * draw.standard_normal(shape), generator
        )
        self.draw("phases", lambda draw, shape: draw.uniform(-pi, pi, shape), generator)
        for name in ("weights", "biases"):
            self.draw(name, lambda draw, shape: draw.uniform(-bound, bound, shape), generator)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs, self.n_features)
        rows = as_rows(xp, inputs)
        parameters = self.frequencies, self.phases, self.weights, self.biases
        output, *waves = self.kernels_for(inputs).periodic(xp, rows, *parameters)
        output = as_before(xp, output, inputs)
        if training:
            self.keep(output, rows, *waves)
        return output

    def backward(self, dvalues: Array) -> Array:
        dangles = self._backward(dvalues)
        xp, rows = self.xp, as_rows(self.xp, dvalues)
        dinputs = self.kernels_for(dvalues).periodic_backward(xp, rows, dangles, self.frequencies)
        self.dinputs = as_before(xp, dinputs, dvalues)
        return self.dinputs

    def backward_parameters(self, dvalues: Array) -> None:
        self._backward(dvalues)

    def _backward(self, dvalues: Array) -> Array:
        """Set the gradients of the parameters; return that of the angles."""
        xp, inputs, angles, cosines = self.recall(dvalues)
        gradients = self.dfrequencies, self.dphases, self.dweights, self.dbiases
        dangles = self.kernels_for(dvalues).periodic_gradients(
            xp, as_rows(xp, dvalues), inputs, angles, cosines, self.weights, *gradients
        )
        self.add_penalties()
        return dangles

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.n_features,)

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_features(input_shape, self.n_features)
        return (*input_shape[:-1], self.n_features * self.n_dimensions)

    def kept_bytes(self, input_shape: Shape, n_bytes: int) -> int:
        return 2 * n_bytes * prod(input_shape) * self.n_frequencies  # angles and cosines
