"""The layers of ensembles: members side by side, which see the same samples."""

from __future__ import annotations

from typing import Any, Unpack

from nnfs_xp import _checks
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.backend import get_backend, host_generator
from nnfs_xp.errors import ShapeError
from nnfs_xp.initializers import Initializer, by_what_follows, glorot_uniform, he_normal
from nnfs_xp.layers.base import Layer, Shape, shapes_agree
from nnfs_xp.layers.data_dependent import initialize_neurons
from nnfs_xp.layers.footprint import Footprint
from nnfs_xp.parameters import Gradient, Parameter, WeightAndBiasOptions


def check_batch_of_members(shape: Shape, n_members: int, n_features: int) -> None:
    """Refuse a shape of inputs that does not end in so many members and features."""
    if len(shape) < 3 or tuple(shape[-2:]) != (n_members, n_features):
        raise ShapeError(
            f"`inputs` must have shape (batch, …, {n_members}, {n_features}); got {tuple(shape)}. "
            f"Repeat({n_members}) gives each sample to all members."
        )


def check_sample_of_members(layer: Layer, shape: Shape, n_members: int, n_features: int) -> None:
    """Refuse the like of samples, for `Layer.output_shape`; an axis may be None."""
    if len(shape) < 2 or not shapes_agree(shape[-2:], (n_members, n_features)):
        raise ShapeError(
            f"{layer!r} takes samples of shape (…, {n_members}, {n_features}); got {shape}. "
            f"Repeat({n_members}) gives each sample to all members."
        )


class Repeat(Layer):
    """Gives each row of features to all members of an ensemble, which share one pass.

    Parameters
    ----------
    n_members : int

    Notes
    -----
    Forward: output = the inputs, n_members times side by side: shape (batch, …, n_members, n),
    from (batch, …, n).

    Backward: dinputs = the sum of dvalues over the members.

    Source: Gorishniy, Kotelnikov and Babenko 2025, *TabM: Advancing Tabular Deep Learning with
    Parameter-Efficient Ensembling*, section 3.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.Repeat(8).output_shape((4,))
    (8, 4)
    """

    passes_values = True
    footprint = Footprint(keeps_inputs=False, keeps_output=False, room=0)

    def __init__(self, n_members: int) -> None:
        super().__init__()
        self.n_members = _checks.check_count("n_members", n_members)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        output: Array = xp.repeat(inputs[..., None, :], self.n_members, axis=-2)
        if training:
            self.keep(output)
        return output

    def backward(self, dvalues: Array) -> Array:
        (xp,) = self.recall(dvalues)
        self.dinputs = xp.sum(dvalues, axis=-2)
        return self.dinputs

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.n_members, *input_shape[-1:])


class MemberDense(Layer):
    """A dense layer for each member of an ensemble, with weights and biases of its own.

    Parameters
    ----------
    n_members, n_inputs, n_neurons : int
    initializer : callable or None
        Draws the weights of each member as those of a `Dense`: see `nnfs_xp.initializers`. None
        leaves them 0, to be assigned. Biases start at 0.
    seed : int, optional
        Of the initial weights; by default they differ from run to run.
    dtype : {"float32", "float64"}
    **options
        Of the weights and biases: `weight_regularizer_l1`, `weight_regularizer_l2`,
        `bias_regularizer_l1`, `bias_regularizer_l2`, `max_norm`, `trainable`, `weight_decay`,
        `learning_rate_scale`. `Layer` says what they mean.

    Attributes
    ----------
    weights, dweights : array, shape (n_members, n_inputs, n_neurons)
    biases, dbiases : array, shape (n_members, n_neurons)
    dinputs : array, shape (batch, …, n_members, n_inputs)

    Raises
    ------
    ShapeError, DTypeError, BackendError
        From `forward` and `backward`: arrays that do not fit the layer.
    NotReadyError
        From `backward` without a training `forward` before it.

    Notes
    -----
    Forward, for each member k: output_k = inputs_k @ weights_k + biases_k, shape (batch, …,
    n_members, n_neurons).

    Backward: dweights_k = inputs_k.T @ dvalues_k, dbiases_k = the sum of dvalues_k over the batch,
    dinputs_k = dvalues_k @ weights_k.T, where all axes before the last two are batch.

    Source: Gorishniy, Kotelnikov and Babenko 2025, *TabM: Advancing Tabular Deep Learning with
    Parameter-Efficient Ensembling*, section 3, where each member has a head of its own.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> ensemble = nn.Sequential(nn.Repeat(8), nn.MemberDense(8, 4, 3), seed=0)
    >>> ensemble.output_shape((4,))
    (8, 3)
    """

    footprint = Footprint(keeps_output=False, room=2)
    recordable = False  # CuPy's products of many matrices are not

    weight_regularizer_l1: float
    weight_regularizer_l2: float
    bias_regularizer_l1: float
    bias_regularizer_l2: float
    max_norm: float | None

    weights = Parameter(decay=True, norm_axis=1)
    biases = Parameter()
    dweights = Gradient()
    dbiases = Gradient()

    def __init__(
        self,
        n_members: int,
        n_inputs: int,
        n_neurons: int,
        *,
        initializer: Initializer | None = by_what_follows,
        seed: int | None = None,
        dtype: str = "float32",
        **options: Unpack[WeightAndBiasOptions],
    ) -> None:
        super().__init__(**options)
        self.n_members = _checks.check_count("n_members", n_members)
        self.n_inputs = _checks.check_count("n_inputs", n_inputs)
        self.n_neurons = _checks.check_count("n_neurons", n_neurons)
        self.initializer: Initializer | None = _checks.check_initializer(initializer)
        self._adopted: Initializer = he_normal
        self.create_parameters(
            dtype,
            weights=(self.n_members, self.n_inputs, self.n_neurons),
            biases=(self.n_members, self.n_neurons),
        )
        self.initialize(host_generator(seed))

    def initialize(self, generator: Any) -> None:
        draw = self._adopted if self.initializer is by_what_follows else self.initializer
        if draw is not None:
            self.draw("weights", _for_each_member(draw), generator)
        self.biases[...] = 0.0

    def initialize_from(self, inputs: Array, generator: Any) -> Array:
        return initialize_neurons(self, inputs, generator)

    def adopt_initializer(self, following: Initializer) -> Initializer:
        self._adopted = following
        return glorot_uniform

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        rows = xp.reshape(inputs, (-1, self.n_members, self.n_inputs))
        products = self.kernels_for(inputs).member_dense(xp, rows, self.weights, self.biases)
        output: Array = xp.reshape(products, (*inputs.shape[:-1], self.n_neurons))
        if training:
            self.keep(output, rows)
        return output

    def backward(self, dvalues: Array) -> Array:
        self.backward_parameters(dvalues)
        xp, rows = self.xp, self._rows(dvalues)
        dinputs = self.kernels_for(dvalues).member_dense_backward(xp, rows, self.weights)
        self.dinputs = xp.reshape(dinputs, (*dvalues.shape[:-1], self.n_inputs))
        return self.dinputs

    def backward_parameters(self, dvalues: Array) -> None:
        xp, inputs = self.recall(dvalues)
        rows = self._rows(dvalues)
        self.kernels_for(dvalues).member_dense_gradients(
            xp, inputs, rows, self.dweights, self.dbiases
        )
        self.add_penalties()

    def _rows(self, dvalues: Array) -> Array:
        rows: Array = self.xp.reshape(dvalues, (-1, self.n_members, self.n_neurons))
        return rows

    def check_inputs(self, inputs: Array, n_features: int | None = None) -> Namespace:
        xp = super().check_inputs(inputs, n_features)
        check_batch_of_members(inputs.shape, self.n_members, self.n_inputs)
        return xp

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.n_members, self.n_inputs)

    def output_shape(self, input_shape: Shape) -> Shape:
        check_sample_of_members(self, input_shape, self.n_members, self.n_inputs)
        return (*input_shape[:-1], self.n_neurons)


def _for_each_member(draw: Initializer) -> Initializer:
    """Draw the weights of each member by themselves, one after the other."""

    def draw_all(generator: Any, shape: tuple[int, ...]) -> Any:
        host = get_backend("numpy")
        return host.xp.stack([host.asarray(draw(generator, shape[1:])) for _ in range(shape[0])])

    return draw_all
