"""
What the first layer looks for
==============================

Each neuron of the first layer weighs all pixels. Its weights, laid out like the pixels, are an
image of what it looks for. Ink on red pixels opens the neuron, ink on blue pixels shuts it.
"""

# %%
# Before and after training
# -------------------------
# The bundled digits are 8 x 8 pixels. Weight decay takes a little from each weight in each step. So
# a weight that no image needs fades away.

import nnfs_xp as nn

X, y, X_test, y_test = nn.data.load_digits()
model = nn.Sequential(nn.Dense(64, 25), nn.ReLU(), nn.Dense(25, 10), nn.Softmax(), seed=0)
nn.plots.plot_weights(model)

# %%
# Before training, the weights are noise.

optimizer = nn.AdamW(0.005, weight_decay=0.1)
trainer = nn.Trainer(model, nn.CategoricalCrossentropy(), optimizer, backend="numpy", seed=0)
trainer.fit(X, y, epochs=40, progress=False)
print(f"test accuracy {trainer.evaluate(X_test, y_test)['accuracy']:.3f}")
nn.plots.plot_weights(model)

# %%
# After training, pixels that lie along a stroke have similar weights. Some neurons have faded: no
# image opens their ReLU any more, so only decay acts on their weights.
#
# What the layers answer
# ----------------------
# These are histograms of each layer's output over the test images. Much of what ReLU gives is 0.

nn.plots.plot_activations(trainer, X_test)
