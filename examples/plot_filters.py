"""
What a network of convolutions sees
===================================

A convolution goes over the picture with small filters. Each filter gives a picture of its own, a
feature map: bright where the picture looks like the filter. The layers behind it do the same with
feature maps.
"""

# %%
# A small network on the bundled digits
# -------------------------------------
# The digits are 8 x 8 pixels of one grey channel. The channels are the last axis.

import nnfs_xp as nn

X, y, X_test, y_test = nn.data.load_digits()
X, X_test = X.reshape(-1, 8, 8, 1), X_test.reshape(-1, 8, 8, 1)

model = nn.Sequential(
    *(nn.Conv2D(1, 16, 3, padding="same", use_bias=False), nn.BatchNorm(16), nn.ReLU()),
    *(nn.Conv2D(16, 32, 3, padding="same", use_bias=False), nn.BatchNorm(32), nn.ReLU()),
    nn.MaxPool2D(2),
    nn.Flatten(),
    nn.Dense(4 * 4 * 32, 10),
    nn.Softmax(),
    input_shape=(8, 8, 1),
    seed=0,
)
trainer = nn.Trainer(model, nn.CategoricalCrossentropy(), nn.Adam(0.003), backend="numpy", seed=0)
trainer.fit(X, y, epochs=8, batch_size=64, progress=False)
print(f"test accuracy {trainer.evaluate(X_test, y_test)['accuracy']:.3f}")

# %%
# The filters
# -----------
# Red weighs a pixel's ink positively, blue negatively. A filter that is red on one side and blue on
# the other answers to edges.

nn.plots.plot_filters(model)

# %%
# The filters of the second convolution see the 16 feature maps of the first: a row for each filter.

nn.plots.plot_filters(model, layer="3", n=8)

# %%
# The feature maps
# ----------------
# What the layers make of one digit. The pool keeps the greatest of each four neighbours.

nn.plots.plot_feature_maps(trainer, X_test[0])

# %%
# What it gets wrong
# ------------------

nn.plots.plot_misclassified(X_test, y_test, trainer.predict(X_test), n=8)

# %%
# Which pixels matter
# -------------------
# The gradient of a digit's loss by its pixels has the shape of the picture.

saliency = abs(nn.input_gradients(trainer, X_test[:1], y_test[:1]))
row, column, _ = (int(axis[0]) for axis in (saliency[0] == saliency.max()).nonzero())
print(f"the loss of the first digit depends most on the pixel in row {row}, column {column}")
