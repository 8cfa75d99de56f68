"""The book's layers and activations, over those of the library."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp._rows import as_before, as_rows
from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of
from nnfs_xp.book._arrays import default_dtype, floating
from nnfs_xp.errors import NotReadyError
from nnfs_xp.interop.beneath import hands_on
from nnfs_xp.layers import Dense, Dropout, Layer, Linear, ReLU, Sigmoid, Softmax


class _BookLayer(Layer):
    """Takes lists and any numbers, and keeps what the book's layers keep.

    These are `inputs` and `output`, and in every forward pass what `backward` needs.
    """

    inputs: Array
    _output: Array | None = None

    @hands_on
    def forward(self, inputs: Any, training: bool = True) -> Array:
        self.inputs = floating(inputs, self.backend, self.dtype)
        del training  # only Layer_Dropout tells training apart
        self._output = super().forward(self.inputs, training=True)
        return self._output

    @property
    def output(self) -> Array:
        """What the last `forward` returned."""
        if self._output is None:
            raise AttributeError(f"{type(self).__name__}.output is there after a forward pass.")
        return self._output

    @output.setter
    def output(self, value: Any) -> None:
        self._output = floating(value, self.backend)

    @hands_on
    def backward(self, dvalues: Any) -> Array:
        # The base class' is the library's layer: it comes next in the order of inheritance.
        array = floating(dvalues, self.backend, self.dtype)
        if self._kept is not None:  # a script's own loss may give float64 where float32 runs
            array = floating(array, dtype=self._kept[1])
        return super().backward(array)

    def predictions(self, outputs: Any) -> Array:
        """What a model answers whose last layer this is."""
        return floating(outputs, self.backend)


def _book_weights(generator: Any, shape: tuple[int, ...]) -> Any:
    del generator
    draw = np.random.standard_normal(shape)  # noqa: NPY002 # the book draws from the global state
    return 0.01 * draw.astype(default_dtype())


class Layer_Dense(_BookLayer, Dense):
    """`Dense` with the book's weights: 0.01 times the normal, from NumPy's global random state.

    Parameters
    ----------
    n_inputs, n_neurons : int
    weight_regularizer_l1, weight_regularizer_l2 : float
    bias_regularizer_l1, bias_regularizer_l2 : float
    dtype : {"float32", "float64"}, optional
        By default what `init` has set, else float64.

    Notes
    -----
    Source: *Neural Networks from Scratch*, chapters 3, 9 and 14.
    """

    def __init__(
        self,
        n_inputs: int,
        n_neurons: int,
        weight_regularizer_l1: float = 0,
        weight_regularizer_l2: float = 0,
        bias_regularizer_l1: float = 0,
        bias_regularizer_l2: float = 0,
        *,
        dtype: str | None = None,
    ) -> None:
        super().__init__(
            n_inputs,
            n_neurons,
            weight_regularizer_l1=weight_regularizer_l1,
            weight_regularizer_l2=weight_regularizer_l2,
            bias_regularizer_l1=bias_regularizer_l1,
            bias_regularizer_l2=bias_regularizer_l2,
            initializer=_book_weights,
            dtype=dtype or default_dtype(),
        )

    def add_penalty(self, name: str) -> None:
        super().add_penalty(name)
        # The book counts the sign of 0 as 1, which is where all biases start.
        l1 = {"weights": self.weight_regularizer_l1, "biases": self.bias_regularizer_l1}[name]
        if l1:
            values, gradient = self.parameters()[name], self.gradients()[name]
            gradient += l1 * self.xp.astype(values == 0, values.dtype)

    def get_parameters(self) -> tuple[Array, Array]:
        """Copies of the weights and the biases."""
        copy = self.xp.asarray
        return copy(self.weights, copy=True), copy(self.biases, copy=True)

    def set_parameters(self, weights: Any, biases: Any) -> None:
        """Set the weights and the biases."""
        self.weights = weights
        self.biases = biases


class Layer_Dropout(_BookLayer, Dropout):
    """`Dropout`, with the book's masks from NumPy's global random state, pass by pass.

    On other backends than NumPy it draws its masks where it runs, by `StochasticLayer`, with a
    seed from that state.

    Parameters
    ----------
    rate : float
        The share that is dropped, in [0, 1). Unlike in the book, the attribute of this name
        holds the same number, not 1 minus it: files and other programs take it as that.

    Attributes
    ----------
    binary_mask : array, of the inputs' shape
        What the last `forward` multiplied its inputs by: 0 or 1 / (1 - rate) in training,
        else 1.

    Notes
    -----
    Source: *Neural Networks from Scratch*, chapter 15.
    """

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self._seeded = False

    @hands_on
    def forward(self, inputs: Any, training: bool = True) -> Array:
        inputs = floating(inputs, self.backend, self.dtype)
        if training and not isinstance(inputs, np.ndarray):
            self._seed_once()
            return super().forward(inputs)
        self.inputs, xp = inputs, self.check_inputs(inputs)
        kept, scale = xp.ones_like(inputs, dtype=xp.bool), 1.0
        if training:
            keep_rate = 1 - self.rate
            draw = np.random.binomial(1, keep_rate, inputs.shape)  # noqa: NPY002 # the book's call
            kept, scale = draw == 1, 1 / keep_rate
        self.keep(inputs, as_rows(xp, kept), scale)
        self._output = inputs * self.binary_mask if training else inputs
        return self._output

    def _seed_once(self) -> None:
        if not self._seeded:
            seed = np.random.randint(2**31)  # noqa: NPY002 # so that a seeded script repeats
            self.reseed(int(seed), stream=0)
            self._seeded = True

    @property
    def binary_mask(self) -> Array:
        """The mask of the last `forward`, scaled."""
        if self._kept is None:
            raise NotReadyError("Layer_Dropout has a mask after a forward pass only.")
        _, _, (kept, scale) = self._kept
        xp = self.check_inputs(self.inputs)
        ones = as_rows(xp, xp.ones_like(self.inputs))
        mask = self.kernels_for(ones).dropout_backward(xp, ones, kept, scale)
        return as_before(xp, mask, self.inputs)


class Layer_Input(_BookLayer, Linear):
    """The inputs of a model, unchanged."""


class Activation_ReLU(_BookLayer, ReLU):
    """`ReLU`."""


class Activation_Linear(_BookLayer, Linear):
    """`Linear`."""


class _FromOutput(_BookLayer):
    """An activation whose backward needs its output alone, which a script may assign."""

    @property
    def output(self) -> Array:
        return super().output

    @output.setter
    def output(self, value: Any) -> None:
        self._output = floating(value, self.backend)
        self.keep(self._output, self._output)


class Activation_Softmax(_FromOutput, Softmax):
    """`Softmax`."""

    def predictions(self, outputs: Any) -> Array:
        array = floating(outputs, self.backend)
        labels: Array = backend_of(array).xp.argmax(array, axis=1)
        return labels


class Activation_Sigmoid(_FromOutput, Sigmoid):
    """`Sigmoid`."""

    def predictions(self, outputs: Any) -> Array:
        array = floating(outputs, self.backend)
        xp = backend_of(array).xp
        labels: Array = xp.astype(array > 0.5, xp.int64)
        return labels
