"""The layers: explicit forward, explicit backward."""

from nnfs_xp.layers.activations import LeakyReLU, Linear, ReLU, Sigmoid, Softmax, Tanh
from nnfs_xp.layers.base import Layer
from nnfs_xp.layers.containers import Concatenate, Residual
from nnfs_xp.layers.convolution import Conv1D, Conv2D
from nnfs_xp.layers.dense import Dense
from nnfs_xp.layers.depthwise import DepthwiseConv2D, SeparableConv2D
from nnfs_xp.layers.dropout import AlphaDropout, Dropout
from nnfs_xp.layers.embedding import Embedding
from nnfs_xp.layers.global_pooling import GlobalAveragePool, GlobalMaxPool
from nnfs_xp.layers.group_norm import GroupNorm
from nnfs_xp.layers.members import MemberDense, Repeat
from nnfs_xp.layers.noise import GaussianNoise
from nnfs_xp.layers.normalization import BatchNorm, LayerNorm
from nnfs_xp.layers.parametric import ParametricActivation
from nnfs_xp.layers.periodic import PeriodicEmbedding
from nnfs_xp.layers.pooling import AveragePool1D, AveragePool2D, MaxPool1D, MaxPool2D
from nnfs_xp.layers.resampling import Upsample2D, ZeroPad2D
from nnfs_xp.layers.scale import Scale
from nnfs_xp.layers.sequential import Block, Sequential
from nnfs_xp.layers.shape import Columns, Flatten, Reshape
from nnfs_xp.layers.smooth_activations import ELU, GELU, SELU, Mish, SiLU, Softplus
from nnfs_xp.layers.stochastic import StochasticLayer
from nnfs_xp.layers.transposed import Conv1DTranspose, Conv2DTranspose

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "AlphaDropout",
    "AveragePool1D",
    "AveragePool2D",
    "BatchNorm",
    "Block",
    "Columns",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianNoise",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "GroupNorm",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MaxPool1D",
    "MaxPool2D",
    "MemberDense",
    "Mish",
    "ParametricActivation",
    "PeriodicEmbedding",
    "ReLU",
    "Repeat",
    "Reshape",
    "Residual",
    "Scale",
    "SeparableConv2D",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "StochasticLayer",
    "Tanh",
    "Upsample2D",
    "ZeroPad2D",
]
