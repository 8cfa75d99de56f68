"""Neural networks with every line of backpropagation in view, on every array backend."""

import logging as _logging

from nnfs_xp import data, errors
from nnfs_xp.backend import Backend, available_backends, get_backend, to_numpy
from nnfs_xp.errors import NnfsError
from nnfs_xp.interop import load, save
from nnfs_xp.layers import (
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
from nnfs_xp.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SigmoidBinaryCrossentropy,
    SoftmaxCategoricalCrossentropy,
)
from nnfs_xp.metrics import BinaryAccuracy, CategoricalAccuracy, Metric, RegressionAccuracy
from nnfs_xp.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from nnfs_xp.parameters import Gradient, Parameter
from nnfs_xp.training import History, Trainer

__version__ = "0.1.0"

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
    "load",
    "save",
    "to_numpy",
]

_logging.getLogger(__name__).addHandler(_logging.NullHandler())
