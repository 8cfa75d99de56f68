"""What the package offers, as a type checker and a reader see it; loaded by __init__.py."""

from . import data, errors, layers, losses, metrics, optimizers, plots, training
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
    StochasticLayer,
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
from .optimizers import SGD, Adagrad, Adam, AdamW, Lion, Optimizer, RMSprop
from .parameters import Buffer, Gradient, Parameter
from .schedules import (
    CosineDecay,
    ExponentialDecay,
    InverseTimeDecay,
    OneCycle,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
)
from .training import GradientFlow, History, Trainer

__version__: str

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Backend",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "Buffer",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CosineDecay",
    "Dense",
    "Dropout",
    "ExponentialDecay",
    "Gradient",
    "GradientFlow",
    "History",
    "InverseTimeDecay",
    "Layer",
    "LeakyReLU",
    "Linear",
    "Lion",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "NnfsError",
    "OneCycle",
    "Optimizer",
    "Parameter",
    "RMSprop",
    "ReLU",
    "ReduceOnPlateau",
    "RegressionAccuracy",
    "Schedule",
    "Sequential",
    "Sigmoid",
    "SigmoidBinaryCrossentropy",
    "Softmax",
    "SoftmaxCategoricalCrossentropy",
    "StepDecay",
    "StochasticLayer",
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
    "plots",
    "save",
    "to_numpy",
    "training",
]
