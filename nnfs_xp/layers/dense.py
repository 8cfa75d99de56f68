"""The dense layer: every input to every neuron."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.backend import host_generator
from nnfs_xp.errors import ShapeError
from nnfs_xp.initializers import Initializer, by_what_follows, glorot_uniform, he_normal
from nnfs_xp.kernels import standard
from nnfs_xp.layers.activations import ReLU
from nnfs_xp.layers.base import Layer
from nnfs_xp.layers.stages import Stage
from nnfs_xp.parameters import Gradient, Parameter


class Dense(Layer):
    """Every neuron weighs all inputs and adds its bias.

    Parameters
    ----------
    n_inputs, n_neurons : int
    weight_regularizer_l1, weight_regularizer_l2 : float
        Strength of the penalties on the weights, l1 * sum(abs(weights)) and
        l2 * sum(weights**2).
    bias_regularizer_l1, bias_regularizer_l2 : float
        Strength of the penalties on the biases, of the same form.
    max_norm : float, optional
        After each step, the weights into each neuron are scaled down to a Euclidean norm of at
        most this (Srivastava et al. 2014, *Dropout*, section 5.1).
    initializer : callable or None
        Draws the weights: see `nnfs_xp.initializers`, where the default is explained, too. None
        leaves them 0, to be assigned. Biases start at 0.
    seed : int, optional
        Of the initial weights; by default they differ from run to run.
    dtype : {"float32", "float64"}

    Attributes
    ----------
    weights, dweights : array, shape (n_inputs, n_neurons)
    biases, dbiases : array, shape (1, n_neurons)
    dinputs : array, shape (batch, n_inputs)

    Raises
    ------
    ShapeError, DTypeError, BackendError
        From `forward` and `backward`: arrays that do not fit the layer.
    NotReadyError
        From `backward` without a training `forward` before it.

    Notes
    -----
    Forward: output = inputs @ weights + biases.

    Backward: dweights = inputs.T @ dvalues, dbiases = the sum of dvalues over the batch,
    dinputs = dvalues @ weights.T. A penalty adds l1 * sign(weights) + 2 * l2 * weights to
    dweights.

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

    weights = Parameter(decay=True)
    biases = Parameter()
    dweights = Gradient()
    dbiases = Gradient()

    def __init__(
        self,
        n_inputs: int,
        n_neurons: int,
        *,
        weight_regularizer_l1: float = 0.0,
        weight_regularizer_l2: float = 0.0,
        bias_regularizer_l1: float = 0.0,
        bias_regularizer_l2: float = 0.0,
        max_norm: float | None = None,
        initializer: Initializer | None = by_what_follows,
        seed: int | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.n_inputs = _checks.check_count("n_inputs", n_inputs)
        self.n_neurons = _checks.check_count("n_neurons", n_neurons)
        check = _checks.check_range
        self.weight_regularizer_l1 = check("weight_regularizer_l1", weight_regularizer_l1, 0)
        self.weight_regularizer_l2 = check("weight_regularizer_l2", weight_regularizer_l2, 0)
        self.bias_regularizer_l1 = check("bias_regularizer_l1", bias_regularizer_l1, 0)
        self.bias_regularizer_l2 = check("bias_regularizer_l2", bias_regularizer_l2, 0)
        self.max_norm = None if max_norm is None else check("max_norm", max_norm, 0, open_low=True)
        self.initializer: Initializer | None = _checks.check_initializer(initializer)
        self._adopted: Initializer = he_normal
        self.create_parameters(
            dtype, weights=(self.n_inputs, self.n_neurons), biases=(1, self.n_neurons)
        )
        self.initialize(host_generator(seed))

    def initialize(self, generator: Any) -> None:
        draw = self._adopted if self.initializer is by_what_follows else self.initializer
        if draw is not None:
            self.weights = draw(generator, (self.n_inputs, self.n_neurons))
        self.biases[...] = 0.0

    def adopt_initializer(self, following: Initializer) -> Initializer:
        self._adopted = following
        return glorot_uniform

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs, self.n_inputs)
        output: Array = self.kernels_for(inputs).dense(xp, inputs, self.weights, self.biases)
        if training:
            self.keep(output, inputs)
        return output

    def backward(self, dvalues: Array) -> Array:
        self.backward_parameters(dvalues)
        self.dinputs = self.kernels_for(dvalues).dense_backward(self.xp, dvalues, self.weights)
        return self.dinputs

    def backward_parameters(self, dvalues: Array) -> None:
        xp, inputs = self.recall(dvalues)
        # dweights = inputs.T @ dvalues, dbiases = the sum of dvalues over the batch
        self.kernels_for(dvalues).dense_gradients(xp, inputs, dvalues, self.dweights, self.dbiases)
        if self._flat is None or not self._flat.penalties_wait:
            self.add_penalties()

    def extended(self, following: Any, *, keeps_dinputs: bool = True) -> Stage | None:
        if type(self) is Dense and type(following) is ReLU:
            return DenseRow((DenseReLU(self, following),), keeps_dinputs)
        return None

    def add_penalties(self) -> None:
        if self._flat is not None and self._flat.penalties_wait:
            return
        for values, gradient, l1, l2 in self._penalties():
            if l1:
                gradient += l1 * standard.sign(self.xp, values)
            if l2:
                self.kernels_for(values).add_l2(self.xp, gradient, values, l2)

    def regularization_loss(self) -> Array | None:
        terms: list[Array] = []
        for values, _, l1, l2 in self._penalties():
            if l1:
                terms.append(l1 * self.xp.sum(self.xp.abs(values)))
            if l2:
                terms.append(l2 * self.kernels_for(values).sum_squares(self.xp, values))
        return sum(terms[1:], start=terms[0]) if terms else None

    def constrain(self) -> None:
        if self.max_norm is not None:
            xp, w = self.xp, self.weights
            norms = xp.sqrt(xp.sum(w * w, axis=0, keepdims=True))
            w *= self.max_norm / xp.maximum(norms, self.max_norm)

    def _penalties(self) -> list[tuple[Array, Array, float, float]]:
        """The penalized parameters: values, gradient, strengths of L1 and L2."""
        penalties = []
        l1, l2 = self.weight_regularizer_l1, self.weight_regularizer_l2
        if l1 or l2:
            penalties.append((self.weights, self.dweights, l1, l2))
        l1, l2 = self.bias_regularizer_l1, self.bias_regularizer_l2
        if l1 or l2:
            penalties.append((self.biases, self.dbiases, l1, l2))
        return penalties

    def config(self) -> dict[str, Any]:
        return {
            "n_inputs": self.n_inputs,
            "n_neurons": self.n_neurons,
            "weight_regularizer_l1": self.weight_regularizer_l1,
            "weight_regularizer_l2": self.weight_regularizer_l2,
            "bias_regularizer_l1": self.bias_regularizer_l1,
            "bias_regularizer_l2": self.bias_regularizer_l2,
            "max_norm": self.max_norm,
            "dtype": self.dtype,
        }

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.n_inputs,)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if input_shape != (self.n_inputs,):
            raise ShapeError(
                f"Dense({self.n_inputs}, {self.n_neurons}) takes samples of shape "
                f"({self.n_inputs},); got {input_shape}."
            )
        return (self.n_neurons,)


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
    Forward, for each part: output = max(inputs @ weights + biases, 0), the next one's inputs.

    Backward, from the last part to the first, with dz the gradient of inputs @ weights + biases:
    dweights = inputs.T @ dz, dbiases = the sum of dz over the batch, dinputs = dz @ weights.T; the
    dz of the part before it = dinputs where inputs > 0, else 0.

    Source: *Neural Networks from Scratch*, chapter 9, where one neuron's backward pass goes
    through the ReLU, the sum and the products at once.
    """

    works_in_half = True

    def __init__(self, parts: tuple[DenseReLU, ...], keeps_dinputs: bool) -> None:
        self.parts = parts
        self.keeps_dinputs = keeps_dinputs

    def on(self, replace: Callable[[Any], Any]) -> Stage:
        parts = tuple(DenseReLU(replace(dense), relu) for dense, relu in self.parts)
        return DenseRow(parts, self.keeps_dinputs)

    def extended(self, following: Any, *, keeps_dinputs: bool = True) -> Stage | None:
        *before, last = self.parts
        if type(following) is Dense and last.relu is not None:
            parts = (*self.parts, DenseReLU(following, None))
        elif type(following) is ReLU and last.relu is None:
            parts = (*before, DenseReLU(last.dense, following))
        else:
            return None
        return DenseRow(parts, keeps_dinputs)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        for dense, relu in self.parts:
            xp, kernels = dense.check_inputs(inputs, dense.n_inputs), dense.kernels_for(inputs)
            if relu is None:
                output = kernels.dense(xp, inputs, dense.weights, dense.biases)
            else:
                output = kernels.dense_relu(xp, inputs, dense.weights, dense.biases)
            if training:
                dense.keep(output, inputs)
                if relu is not None:
                    relu.keep(output, output)
            inputs = output
        return inputs

    def backward(self, dvalues: Array) -> Array:
        dz = self._backward(dvalues)
        dense = self.parts[0].dense
        dense.dinputs = dense.kernels_for(dz).dense_backward(dense.xp, dz, dense.weights)
        return dense.dinputs

    def backward_parameters(self, dvalues: Array) -> None:
        self._backward(dvalues)

    def _backward(self, dvalues: Array) -> Array:
        """Set all gradients of parameters; return the first part's dz."""
        dz, inputs, following = dvalues, dvalues, None  # of and for the dense layer behind
        for dense, relu in reversed(self.parts):
            kernels = dense.kernels_for(dz)
            if relu is None:
                xp, inputs = dense.recall(dz)
                kernels.dense_gradients(xp, inputs, dz, dense.dweights, dense.dbiases)
            else:
                if following is None:
                    dz = self._through(relu, dense, dz)
                elif self.keeps_dinputs:
                    xp, weights = following.xp, following.weights
                    following.dinputs = kernels.dense_backward(xp, dz, weights)
                    dz = self._through(relu, dense, following.dinputs)
                else:
                    xp, output = relu.recall(inputs)  # of the shape of their gradient
                    weights, dbiases = following.weights, dense.dbiases
                    dz = kernels.dense_backward_relu(xp, dz, weights, output, dbiases)
                relu.dinputs = dz
                xp, inputs = dense.recall(dz)
                kernels.matmul_into(xp, inputs.T, dz, dense.dweights)
            if dense._flat is None or not dense._flat.penalties_wait:
                dense.add_penalties()
            following = dense
        return dz

    @staticmethod
    def _through(relu: ReLU, dense: Dense, dvalues: Array) -> Array:
        """The dz of a part, given the gradient of its ReLU's output; sets dbiases."""
        xp, output = relu.recall(dvalues)
        dense.recall(dvalues)  # the ReLU may have run behind another layer since
        kernels = dense.kernels_for(dvalues)
        dz: Array = kernels.relu_backward_biases(xp, dvalues, output, dense.dbiases)
        return dz
