"""The layers: explicit forward, explicit backward."""

from nnfs_xp.layers.activations import LeakyReLU, Linear, ReLU, Sigmoid, Softmax, Tanh
from nnfs_xp.layers.base import Layer
from nnfs_xp.layers.dense import Dense
from nnfs_xp.layers.dropout import Dropout
from nnfs_xp.layers.sequential import Sequential
from nnfs_xp.layers.stochastic import StochasticLayer

__all__ = [
    "Dense",
    "Dropout",
    "Layer",
    "LeakyReLU",
    "Linear",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "StochasticLayer",
    "Tanh",
]
