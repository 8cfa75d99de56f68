"""
A layer of your own
===================

The layer multiplies each feature by a learnt number that stays above 0. This example writes it,
checks it, trains with it, and saves it with its model.
"""

# %%
# The layer
# ---------
# The class has the layer's two equations. Features lie on the last axis, and everything before it
# is batch: so it takes rows, sequences and pictures.

import tempfile
from pathlib import Path

import numpy as np

import nnfs_xp as nn
from nnfs_xp.testing import check_layer


class Gain(nn.Layer):
    """Multiplies each feature by a number of its own, which stays above 0.

    Forward: output = inputs * exp(gain), shapes (batch, …, n_features) and (1, n_features).
    Backward: dgain = the sum of output * dvalues over the batch, dinputs = dvalues * exp(gain).
    """

    gain = nn.Parameter()
    dgain = nn.Gradient()

    def __init__(self, n_features, *, dtype="float32"):
        super().__init__()
        self.n_features = n_features
        self.create_parameters(dtype, gain=(1, n_features))
        self.initialize(None)

    def initialize(self, generator):
        self.gain[...] = 0.0

    def forward(self, inputs, training=False):
        xp = self.check_inputs(inputs, self.n_features)
        output = inputs * xp.exp(self.gain)
        if training:
            self.keep(output, output)
        return output

    def backward(self, dvalues):
        xp, output = self.recall(dvalues)
        axes = tuple(range(output.ndim - 1))
        self.dgain[...] = xp.reshape(xp.sum(output * dvalues, axis=axes), (1, -1))
        self.dinputs = dvalues * xp.exp(self.gain)
        self.add_penalties()
        return self.dinputs


# %%
# The check
# ---------
# `check_layer` compares gradients with central differences. It also checks shapes, dtypes and the
# device, and that the layer writes to no argument and waits for nothing.

generator = np.random.default_rng(0)
for shape in [(5, 4), (2, 3, 4)]:
    check_layer(Gain(4), generator.normal(size=shape).astype(np.float32))
print("the layer keeps the contract")

# %%
# The training
# ------------
# It stands in a model like any other layer.

X_train, y_train, X_test, y_test = nn.data.load_digits()
model = nn.Sequential(
    Gain(64), nn.Dense(64, 64), nn.ReLU(), Gain(64), nn.Dense(64, 10), nn.Softmax(), seed=0
)
trainer = nn.Trainer(model, nn.CategoricalCrossentropy(), nn.Adam(0.005), seed=0)
trainer.fit(X_train, y_train, epochs=15, progress=False)
print(f"test accuracy {trainer.evaluate(X_test, y_test)['accuracy']:.4f}")

# %%
# The file
# --------
# A model file holds no code. So to load it, hand the class over.

with tempfile.TemporaryDirectory() as folder:
    nn.save(model, Path(folder) / "gains.safetensors")
    again = nn.load(Path(folder) / "gains.safetensors", custom_layers=[Gain])
print(f"loaded again: {type(again.layers[0]).__name__} and {len(again.layers) - 1} more layers")
