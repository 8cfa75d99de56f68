"""The layers: explicit forward, explicit backward."""

from nnfs_xp.layers.activations import LeakyReLU, Linear, ReLU, Sigmoid, Softmax, Tanh
from nnfs_xp.layers.base import Layer
from nnfs_xp.layers.containers import Concatenate, Residual
from nnfs_xp.layers.dense import Dense
from nnfs_xp.layers.dropout import AlphaDropout, Dropout
from nnfs_xp.layers.embedding import Embedding
from nnfs_xp.layers.members import MemberDense, Repeat
from nnfs_xp.layers.noise import GaussianNoise
from nnfs_xp.layers.normalization import BatchNorm, LayerNorm
from nnfs_xp.layers.parametric import ParametricActivation
from nnfs_xp.layers.periodic import PeriodicEmbedding
from nnfs_xp.layers.scale import Scale
from nnfs_xp.layers.sequential import Block, Sequential
from nnfs_xp.layers.shape import Columns, Flatten
from nnfs_xp.layers.smooth_activations import ELU, GELU, SELU, Mish, SiLU, Softplus
from nnfs_xp.layers.stochastic import StochasticLayer

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "AlphaDropout",
    "BatchNorm",
    "Block",
    "Columns",
    "Concatenate",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianNoise",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MemberDense",
    "Mish",
    "ParametricActivation",
    "PeriodicEmbedding",
    "ReLU",
    "Repeat",
    "Residual",
    "Scale",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "StochasticLayer",
    "Tanh",
]
