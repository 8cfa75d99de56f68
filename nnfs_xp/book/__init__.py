"""The names of *Neural Networks from Scratch*: a reader's script changes its imports only.

Signatures, argument order, defaults and attributes are the book's; the mathematics is that of
the library's layers, so the same script runs on every backend (``layer.to("cupy")``), and the
defects of the book's code are not repeated. ``import nnfs_xp.book as nnfs`` serves for
``nnfs.init()`` too.

Source: H. Kinsley and D. Kukieła, *Neural Networks from Scratch in Python*, 2020.
"""

from nnfs_xp.book._arrays import init
from nnfs_xp.book.accuracy import Accuracy, Accuracy_Categorical, Accuracy_Regression
from nnfs_xp.book.datasets import sine_data, spiral_data, vertical_data
from nnfs_xp.book.layers import (
    Activation_Linear,
    Activation_ReLU,
    Activation_Sigmoid,
    Activation_Softmax,
    Layer_Dense,
    Layer_Dropout,
    Layer_Input,
)
from nnfs_xp.book.losses import (
    Activation_Softmax_Loss_CategoricalCrossentropy,
    Loss,
    Loss_BinaryCrossentropy,
    Loss_CategoricalCrossentropy,
    Loss_MeanAbsoluteError,
    Loss_MeanSquaredError,
)
from nnfs_xp.book.model import Model
from nnfs_xp.book.optimizers import (
    Optimizer_Adagrad,
    Optimizer_Adam,
    Optimizer_RMSprop,
    Optimizer_SGD,
)

__all__ = [
    "Accuracy",
    "Accuracy_Categorical",
    "Accuracy_Regression",
    "Activation_Linear",
    "Activation_ReLU",
    "Activation_Sigmoid",
    "Activation_Softmax",
    "Activation_Softmax_Loss_CategoricalCrossentropy",
    "Layer_Dense",
    "Layer_Dropout",
    "Layer_Input",
    "Loss",
    "Loss_BinaryCrossentropy",
    "Loss_CategoricalCrossentropy",
    "Loss_MeanAbsoluteError",
    "Loss_MeanSquaredError",
    "Model",
    "Optimizer_Adagrad",
    "Optimizer_Adam",
    "Optimizer_RMSprop",
    "Optimizer_SGD",
    "init",
    "sine_data",
    "spiral_data",
    "vertical_data",
]
