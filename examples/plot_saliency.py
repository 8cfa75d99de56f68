"""
Which pixels matter
===================

The gradient of an output by the inputs says how the output changes when a pixel gets a little
darker. Laid out like the pixels, it is an image of what the network looks at (Simonyan et al. 2014,
*Deep Inside Convolutional Networks*).
"""

# %%
# A network on the bundled digits
# -------------------------------

import matplotlib.pyplot as plt
import numpy as np

import nnfs_xp as nn

X, y, X_test, y_test = nn.data.load_digits()
model = nn.Sequential(
    *(nn.Dense(64, 64), nn.ReLU(), nn.Dropout(0.3)),
    *(nn.Dense(64, 10), nn.Softmax()),
    seed=0,
)
trainer = nn.Trainer(model, nn.CategoricalCrossentropy(), nn.Adam(0.003), backend="numpy", seed=0)
trainer.fit(X, y, epochs=30, progress=False)
print(f"test accuracy {trainer.evaluate(X_test, y_test)['accuracy']:.3f}")

# %%
# What speaks for a digit
# -----------------------
# `~nnfs_xp.input_gradients` gives the gradient of one output, by each pixel of each image. Of a
# network that ends in a softmax it is the score before the softmax. Ink on red pixels makes the
# network surer of the digit, ink on blue ones less sure.

digits = [np.flatnonzero(y_test == digit)[0] for digit in (0, 3, 4, 6, 8)]
figure, axes = plt.subplots(2, 5, figsize=(8, 3.4), layout="constrained")
for (above, below), index in zip(axes.T, digits, strict=True):
    image = X_test[index]
    gradient = nn.input_gradients(trainer, image[None, :], output=int(y_test[index]))[0]
    limit = np.abs(gradient).max()
    above.imshow(image.reshape(8, 8), cmap="gray_r")
    below.imshow(gradient.reshape(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit)
    above.set(title=f"a {y_test[index]}", xticks=[], yticks=[])
    below.set(xticks=[], yticks=[])
plt.show()

# %%
# Whether it is true
# ------------------
# Given targets, it is the gradient of each image's loss. The five pixels with the largest gradients
# are inverted in each image, and then any five. If the gradients tell what matters, the first
# misleads the network more.

found = np.abs(nn.input_gradients(trainer, X_test, y_test))
random = np.random.default_rng(0).random(X_test.shape)
accuracies = {"none": trainer.evaluate(X_test, y_test)["accuracy"]}
for name, order in (("that matter", found), ("at random", random)):
    chosen = np.argsort(order, axis=1)[:, -5:]
    changed = X_test.copy()
    np.put_along_axis(changed, chosen, 1 - np.take_along_axis(X_test, chosen, axis=1), axis=1)
    accuracies[name] = trainer.evaluate(changed, y_test)["accuracy"]
    print(f"five pixels {name} inverted: accuracy {accuracies[name]:.3f}")

figure, axes = plt.subplots(figsize=(6, 2.2), layout="constrained")
bars = axes.barh(list(accuracies), list(accuracies.values()), color="#0072B2")
axes.bar_label(bars, fmt="{:.0%}", padding=3)
axes.set(xlabel="accuracy with five pixels inverted", xlim=(0, 1.1))
axes.invert_yaxis()
plt.show()
