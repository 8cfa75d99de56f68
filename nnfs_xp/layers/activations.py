"""Activation functions: what follows a dense layer, element by element or row by row."""

from __future__ import annotations

from nnfs_xp import _checks
from nnfs_xp._rows import as_before, as_rows
from nnfs_xp._typing import Array
from nnfs_xp.initializers import glorot_uniform, he_normal
from nnfs_xp.layers.base import Layer
from nnfs_xp.layers.footprint import Footprint


class ReLU(Layer):
    """Rectified linear unit.

    Notes
    -----
    Forward: output = max(inputs, 0), shape (batch, ...).

    Backward: dinputs = dvalues where inputs > 0, else 0.

    Source: *Neural Networks from Scratch*, chapters 4 and 9.
    """

    elementwise = True
    preferred_initializer = staticmethod(he_normal)
    footprint = Footprint(keeps_inputs=False, room=2)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        output: Array = xp.maximum(inputs, 0.0)
        if training:
            self.keep(output, output)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, output = self.recall(dvalues)
        d, rows = as_rows(xp, dvalues), as_rows(xp, output)
        dinputs = self.kernels_for(dvalues).relu_backward(xp, d, rows)
        self.dinputs = as_before(xp, dinputs, dvalues)
        return self.dinputs


class LeakyReLU(Layer):
    """Rectified linear unit that lets a little of what is negative through.

    Parameters
    ----------
    negative_slope : float
        Slope below 0, in [0, 1).

    Notes
    -----
    Forward: output = inputs where inputs > 0, else negative_slope * inputs.

    Backward: dinputs = dvalues where inputs > 0, else negative_slope * dvalues.

    Source: Maas, Hannun and Ng 2013, *Rectifier Nonlinearities Improve Neural Network Acoustic
    Models*, equation 2.
    """

    elementwise = True
    preferred_initializer = staticmethod(he_normal)
    footprint = Footprint(keeps_output=False)

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = _checks.check_range("negative_slope", negative_slope, 0, 1)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        output = self.kernels_for(inputs).leaky_relu(xp, inputs, self.negative_slope)
        if training:
            self.keep(output, inputs)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, inputs = self.recall(dvalues)
        kernels = self.kernels_for(dvalues)
        self.dinputs = kernels.leaky_relu_backward(xp, dvalues, inputs, self.negative_slope)
        return self.dinputs


class Sigmoid(Layer):
    """Logistic function, to (0, 1): probabilities of independent yes-or-no outputs.

    Notes
    -----
    Forward: output = 1 / (1 + exp(-inputs)), shape (batch, ...).

    Backward: dinputs = dvalues * output * (1 - output).

    Source: *Neural Networks from Scratch*, chapter 16.
    """

    elementwise = True
    preferred_initializer = staticmethod(glorot_uniform)
    footprint = Footprint(keeps_inputs=False, room=4, loss_room=4)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        output = self.kernels_for(inputs).sigmoid(xp, inputs)
        if training:
            self.keep(output, output)
        return output

    def backward(self, dvalues: Array) -> Array:
        _, output = self.recall(dvalues)
        self.dinputs = dvalues * output * (1 - output)
        return self.dinputs


class Tanh(Layer):
    """Hyperbolic tangent, to (-1, 1).

    Notes
    -----
    Forward: output = tanh(inputs), shape (batch, ...).

    Backward: dinputs = dvalues * (1 - output**2).

    Source: Goodfellow, Bengio and Courville 2016, *Deep Learning*, section 6.3.2.
    """

    elementwise = True
    preferred_initializer = staticmethod(glorot_uniform)
    footprint = Footprint(keeps_inputs=False, room=2)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        output: Array = xp.tanh(inputs)
        if training:
            self.keep(output, output)
        return output

    def backward(self, dvalues: Array) -> Array:
        _, output = self.recall(dvalues)
        self.dinputs = dvalues * (1 - output * output)
        return self.dinputs


class Softmax(Layer):
    """Normalized exponentials over the last axis: a probability for each class.

    Trained with `CategoricalCrossentropy` at the end of a model, the two gradients are taken
    together, as in `SoftmaxCategoricalCrossentropy`.

    Notes
    -----
    Forward: s = exp(inputs) / sum(exp(inputs)) for each row, shape (batch, …, classes).

    Backward: dinputs = J @ dvalues for each row, where J = diag(s) - s sᵀ is the row's
    Jacobian. Multiplied out: dinputs = s * (dvalues - sum(s * dvalues)), which needs no matrix
    for each sample.

    Source: *Neural Networks from Scratch*, chapters 4 and 9.
    """

    preferred_initializer = staticmethod(glorot_uniform)
    footprint = Footprint(keeps_inputs=False, loss_room=1)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        output = self.kernels_for(inputs).softmax(xp, inputs)
        if training:
            self.keep(output, output)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, output = self.recall(dvalues)
        self.dinputs = output * (dvalues - xp.sum(output * dvalues, axis=-1, keepdims=True))
        return self.dinputs


class Linear(Layer):
    """The identity: the activation of a regression's last layer.

    Notes
    -----
    Forward: output = inputs. Backward: dinputs = dvalues.

    Source: *Neural Networks from Scratch*, chapter 17.
    """

    elementwise = True
    preferred_initializer = staticmethod(glorot_uniform)
    footprint = Footprint(
        keeps_inputs=False, keeps_output=False, makes_output=False, makes_dinputs=False, room=0
    )

    def forward(self, inputs: Array, training: bool = False) -> Array:
        self.check_inputs(inputs)
        if training:
            self.keep(inputs)
        return inputs

    def backward(self, dvalues: Array) -> Array:
        self.recall(dvalues)
        self.dinputs = dvalues
        return self.dinputs
