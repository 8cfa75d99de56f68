"""The dense layer: every input to every neuron."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

from nnfs_xp import _checks
from nnfs_xp._rows import as_before, as_rows
from nnfs_xp._typing import Array
from nnfs_xp.backend import host_generator
from nnfs_xp.errors import ShapeError
from nnfs_xp.initializers import Initializer, by_what_follows, glorot_uniform, he_normal
from nnfs_xp.layers.activations import ReLU
from nnfs_xp.layers.base import Layer, Shape
from nnfs_xp.layers.data_dependent import initialize_neurons
from nnfs_xp.layers.footprint import Footprint, Held, Need, Sizes
from nnfs_xp.layers.stages import Stage
from nnfs_xp.parameters import Gradient, Parameter, WeightAndBiasOptions


class Dense(Layer):
    """Every neuron weighs all inputs and adds its bias.

    Parameters
    ----------
    n_inputs, n_neurons : int
    initializer : callable or None
        Draws the weights: see `nnfs_xp.initializers`, where the default is explained, too. None
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
    weights, dweights : array, shape (n_inputs, n_neurons)
    biases, dbiases : array, shape (1, n_neurons)
    dinputs : array, shape (batch, …, n_inputs)

    Raises
    ------
    ShapeError, DTypeError, BackendError
        From `forward` and `backward`: arrays that do not fit the layer.
    NotReadyError
        From `backward` without a training `forward` before it.

    Notes
    -----
    Forward: output = inputs @ weights + biases, shape (batch, …, n_neurons).

    Backward: dweights = inputs.T @ dvalues, dbiases = the sum of dvalues over the batch,
    dinputs = dvalues @ weights.T, where all axes before the last are batch. A penalty adds
    l1 * sign(weights) + 2 * l2 * weights to dweights.

    Source: Kinsley and Kukieła 2020, *Neural Networks from Scratch*, chapters 3, 9 and 14.

    Examples
    --------
    >>> import numpy as np
    >>> import nnfs_xp as nn
    >>> layer = nn.Dense(4, 3, seed=0)
    >>> output = layer.forward(np.ones((2, 4), dtype=np.float32), training=True)
    >>> layer.backward(np.ones_like(output)).shape
    (2, 4)
    """

    works_in_half = True
    footprint = Footprint(keeps_output=False, room=1)

    weight_regularizer_l1: float
    weight_regularizer_l2: float
    bias_regularizer_l1: float
    bias_regularizer_l2: float
    max_norm: float | None

    weights = Parameter(decay=True, norm_axis=0, is_matrix=True)
    biases = Parameter()
    dweights = Gradient()
    dbiases = Gradient()

    def __init__(
        self,
        n_inputs: int,
        n_neurons: int,
        *,
        initializer: Initializer | None = by_what_follows,
        seed: int | None = None,
        dtype: str = "float32",
        **options: Unpack[WeightAndBiasOptions],
    ) -> None:
        super().__init__(**options)
        self.n_inputs = _checks.check_count("n_inputs", n_inputs)
        self.n_neurons = _checks.check_count("n_neurons", n_neurons)
        self.initializer: Initializer | None = _checks.check_initializer(initializer)
        self._adopted: Initializer = he_normal
        self.create_parameters(
            dtype, weights=(self.n_inputs, self.n_neurons), biases=(1, self.n_neurons)
        )
        self.initialize(host_generator(seed))

    def initialize(self, generator: Any) -> None:
        draw = self._adopted if self.initializer is by_what_follows else self.initializer
        self.draw("weights", draw, generator)
        self.biases[...] = 0.0

    def initialize_from(self, inputs: Array, generator: Any) -> Array:
        return initialize_neurons(self, inputs, generator)

    def adopt_initializer(self, following: Initializer) -> Initializer:
        self._adopted = following
        return glorot_uniform

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs, self.n_inputs)
        rows = as_rows(xp, inputs)
        output = self.kernels_for(inputs).dense(xp, rows, self.weights, self.biases)
        output = as_before(xp, output, inputs)
        if training:
            self.keep(output, rows)
        return output

    def backward(self, dvalues: Array) -> Array:
        self.backward_parameters(dvalues)
        xp, rows = self.xp, as_rows(self.xp, dvalues)
        dinputs = self.kernels_for(dvalues).dense_backward(xp, rows, self.weights)
        self.dinputs = as_before(xp, dinputs, dvalues)
        return self.dinputs

    def backward_parameters(self, dvalues: Array) -> None:
        xp, inputs = self.recall(dvalues)
        rows = as_rows(xp, dvalues)
        # dweights = inputs.T @ dvalues, dbiases = the sum of dvalues over the batch
        self.kernels_for(dvalues).dense_gradients(xp, inputs, rows, self.dweights, self.dbiases)
        self.add_penalties()

    def extended(self, following: Any, *, keeps_dinputs: bool = True) -> Stage | None:
        if type(self) is Dense and type(following) is ReLU:
            return DenseRow((DenseReLU(self, following),), keeps_dinputs)
        return None

    @property
    def takes_sparse(self) -> bool:
        return type(self) is Dense  # which multiplies its inputs, and asks nothing else of them

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.n_inputs,)

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_features(input_shape, self.n_inputs)
        return (*input_shape[:-1], self.n_neurons)


class DenseReLU(NamedTuple):
    """A dense layer and the ReLU behind it, or None where there is none."""

    dense: Dense
    relu: ReLU | None


class DenseRow:
    """Dense layers with ReLUs between them, run as one: the same numbers in fewer passes.

    Biases and ReLUs are part of the products. The layers keep and set what they keep and set when
    they run alone, with one exception: where `keeps_dinputs` is False, a dense layer behind a
    ReLU gets no `dinputs`, since the ReLU masks them as they leave the product.

    Parameters
    ----------
    parts : tuple of DenseReLU
    keeps_dinputs : bool
        Whether all layers get their `dinputs`.

    Notes
    -----
    All axes before the last are batch, and are one axis within the row.

    Forward, for each part: output = max(inputs @ weights + biases, 0), the next one's inputs.

    Backward, from the last part to the first, with dz the gradient of inputs @ weights + biases:
    dweights = inputs.T @ dz, dbiases = the sum of dz over the batch, dinputs = dz @ weights.T; the
    dz of the part before it = dinputs where inputs > 0, else 0.

    Source: *Neural Networks from Scratch*, chapter 9, where one neuron's backward pass goes
    through the ReLU, the sum and the products at once.
    """

    works_in_half = True
    takes_sparse = True

    def __init__(self, parts: tuple[DenseReLU, ...], keeps_dinputs: bool) -> None:
        self.parts = parts
        self.keeps_dinputs = keeps_dinputs
        self._before: tuple[int, ...] = ()  # the last axis, where inputs were no rows

    def on(self, replace: Callable[[Any], Any]) -> Stage:
        parts = tuple(DenseReLU(replace(dense), relu) for dense, relu in self.parts)
        return DenseRow(parts, self.keeps_dinputs)

    def extended(self, following: Any, *, keeps_dinputs: bool = True) -> Stage | None:
        *before, last = self.parts
        if type(following) is Dense and last.relu is not None:
            if following.trained != last.dense.trained:
                return None  # what is frozen may need no backward pass
            parts = (*self.parts, DenseReLU(following, None))
        elif type(following) is ReLU and last.relu is None:
            parts = (*before, DenseReLU(last.dense, following))
        else:
            return None
        return DenseRow(parts, keeps_dinputs)

    @property
    def trained(self) -> bool:
        """Whether any of the parameters is trained."""
        return any(dense.trained for dense, _ in self.parts)

    def _held(self, sizes: Sizes, need: Need) -> Held:
        held: dict[int, float] = {}
        dinputs = need.dinputs
        for dense, relu in self.parts:
            held[id(dense)] = sizes.inputs(dense) if need.backward and dinputs else 0.0
            if relu is not None:  # the products become its output, in place
                held[id(relu)] = sizes.output(dense) * (1 + need.backward)
            elif need.output:
                held[id(dense)] += sizes.output(dense)
            dinputs = self.keeps_dinputs
        return Held(held, keeps_inputs=True)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        given, first = inputs, self.parts[0].dense
        xp = first.check_inputs(given, first.n_inputs)
        inputs, kernels = as_rows(xp, given), first.kernels_for(given)
        for dense, relu in self.parts:
            if dense._flat is not first._flat or inputs.shape[1] != dense.n_inputs:
                dense.check_inputs(inputs, dense.n_inputs)  # what it made itself is right else
            if relu is None:
                output = kernels.dense(xp, inputs, dense.weights, dense.biases)
            else:
                output = kernels.dense_relu(xp, inputs, dense.weights, dense.biases)
            if training:
                dense.keep(output, inputs)
                if relu is not None:
                    relu.keep(output, output)
            inputs = output
        if training:
            self._before = () if given.ndim == 2 else given.shape[:-1]
        return output if given.ndim == 2 else as_before(xp, output, given)

    def backward(self, dvalues: Array) -> Array:
        dz = self._backward(dvalues)
        dense = self.parts[0].dense
        dinputs = dense.kernels_for(dz).dense_backward(dense.xp, dz, dense.weights)
        dense.dinputs = as_before(dense.xp, dinputs, dvalues)
        return dense.dinputs

    def backward_parameters(self, dvalues: Array) -> None:
        self._backward(dvalues)

    def _backward(self, dvalues: Array) -> Array:
        """Set all gradients of parameters; return the first part's dz."""
        dz, inputs, following = dvalues, dvalues, None  # of and for the dense layer behind
        if self._before or dvalues.ndim != 2:
            dz = inputs = self._rows(dvalues)
        last = self.parts[-1]
        xp = (last.relu or last.dense).recall(dz)[0]  # which checks what came from outside
        kernels = last.dense.kernels_for(dz)
        for dense, relu in reversed(self.parts):
            if relu is None:
                (inputs,) = _kept(dense, dz)
                kernels.dense_gradients(xp, inputs, dz, dense.dweights, dense.dbiases)
            else:
                if following is None or self.keeps_dinputs:
                    dinputs = dz
                    if following is not None:
                        dinputs = kernels.dense_backward(xp, dz, following.weights)
                        following.dinputs = as_before(xp, dinputs, dvalues)
                    (output,), _ = _kept(relu, dinputs), _kept(dense, dinputs)
                    dz = kernels.relu_backward_biases(xp, dinputs, output, dense.dbiases)
                else:
                    (output,) = _kept(relu, inputs)  # of the shape of their gradient
                    weights, dbiases = following.weights, dense.dbiases
                    dz = kernels.dense_backward_relu(xp, dz, weights, output, dbiases)
                relu.dinputs = dz if dvalues.ndim == 2 else as_before(xp, dz, dvalues)
                (inputs,) = _kept(dense, dz)
                kernels.matmul_into(xp, inputs.T, dz, dense.dweights)
            if dense._flat is None or not dense._flat.penalties_wait:
                dense.add_penalties()
            following = dense
        return dz

    def _rows(self, dvalues: Array) -> Array:
        """The rows of dvalues, which must have the shape that the output had."""
        last = self.parts[-1].dense
        if not self._before:
            last.recall(dvalues)  # refuses them, unless there was no forward pass
        shape = (*self._before, last.n_neurons)
        if dvalues.shape != shape:
            raise ShapeError(
                f"`dvalues` must have the shape of the output, {shape}; got {tuple(dvalues.shape)}."
            )
        return as_rows(last.xp, dvalues)


def _kept(layer: Layer, dvalues: Array) -> tuple[Any, ...]:
    """What the layer's last training forward kept, given the gradient of its output.

    A ReLU may have run behind another layer since.
    """
    if layer._kept is None or layer._kept[0] != dvalues.shape:
        layer.recall(dvalues)  # which says what is wrong
    values: tuple[Any, ...] = layer._kept[2]
    return values
