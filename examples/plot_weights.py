"""
What the first layer looks for
==============================

Each neuron of the first layer weighs all pixels. Its weights, laid out like the pixels, are an
image of what it looks for: red is ink that opens it, blue ink that shuts it.
"""

# %%
# Before and after training
# -------------------------
# The bundled digits are 8 x 8 pixels. Weight decay takes from each weight a little in each step,
# so that what no image needs fades away.

import nnfs_xp as nn

X, y, X_test, y_test = nn.data.load_digits()
model = nn.Sequential(nn.Dense(64, 25), nn.ReLU(), nn.Dense(25, 10), nn.Softmax(), seed=0)
nn.plots.plot_weights(model)

# %%
# At first they are noise.

optimizer = nn.AdamW(0.005, weight_decay=0.1)
trainer = nn.Trainer(model, nn.CategoricalCrossentropy(), optimizer, backend="numpy", seed=0)
trainer.fit(X, y, epochs=40, progress=False)
print(f"test accuracy {trainer.evaluate(X_test, y_test)['accuracy']:.3f}")
nn.plots.plot_weights(model)

# %%
# After training, pixels that lie along a stroke go together. Some neurons have faded: none of the
# images opens their ReLU any more, so decay is all that acts on their weights.
#
# What the layers answer
# ----------------------
# Histograms of each layer's output over the test images: much of what ReLU gives is 0.

nn.plots.plot_activations(trainer, X_test)
