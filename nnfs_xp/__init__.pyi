"""What the package offers, as a type checker and a reader see it; loaded by __init__.py."""

from . import data, errors, layers, losses, metrics, optimizers
from .backend import Backend, available_backends, get_backend, to_numpy
from .errors import NnfsError
from .interop import load, save
from .layers import (
    Dense,
    Dropout,
    Layer,
    LeakyReLU,
    Linear,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
)
from .losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SigmoidBinaryCrossentropy,
    SoftmaxCategoricalCrossentropy,
)
from .metrics import BinaryAccuracy, CategoricalAccuracy, Metric, RegressionAccuracy
from .optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from .parameters import Gradient, Parameter
from .training import History, Trainer

__version__: str

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Backend",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "Dense",
    "Dropout",
    "Gradient",
    "History",
    "Layer",
    "LeakyReLU",
    "Linear",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "NnfsError",
    "Optimizer",
    "Parameter",
    "RMSprop",
    "ReLU",
    "RegressionAccuracy",
    "Sequential",
    "Sigmoid",
    "SigmoidBinaryCrossentropy",
    "Softmax",
    "SoftmaxCategoricalCrossentropy",
    "Tanh",
    "Trainer",
    "available_backends",
    "data",
    "errors",
    "get_backend",
    "layers",
    "load",
    "losses",
    "metrics",
    "optimizers",
    "save",
    "to_numpy",
]
