"""
An autoencoder that takes noise away
====================================

The network is given images with noise, and learns to put out the images without it. In its middle
there are only 24 numbers for 64 pixels: it has to learn what digits have in common (Vincent et al.
2008, *Extracting and Composing Robust Features with Denoising Autoencoders*).
"""

# %%
# The network
# -----------
# Layer by layer it leads to fewer numbers, the code, and back again. `~nnfs_xp.GaussianNoise` adds
# noise in training only, new noise in each step: so the targets are the inputs themselves.

import matplotlib.pyplot as plt
import numpy as np

import nnfs_xp as nn

X, _, X_test, _ = nn.data.load_digits()
NOISE = 0.3

encoder = nn.Block(nn.Dense(64, 96), nn.ReLU(), nn.Dense(96, 24), name="encoder")
decoder = nn.Block(nn.ReLU(), nn.Dense(24, 96), nn.ReLU(), nn.Dense(96, 64), name="decoder")
model = nn.Sequential(nn.GaussianNoise(NOISE), encoder, decoder, nn.Sigmoid(), seed=0)

# %%
# Training
# --------
# Pixels are between 0 and 1, and so are a sigmoid's outputs.

trainer = nn.Trainer(
    model, nn.MeanSquaredError(), nn.Adam(0.003), metrics=(), backend="numpy", seed=0
)
history = trainer.fit(X, X, epochs=80, batch_size=64, progress=False)
print(model.summary())

# %%
# How much noise is gone
# ----------------------
# The test images get noise that the network has not seen.

noisy = X_test + NOISE * np.random.default_rng(0).standard_normal(X_test.shape)
cleaned = trainer.predict(noisy)
before, after = (np.mean((images - X_test) ** 2) for images in (noisy, cleaned))
print(f"mean squared error: {before:.4f} with noise, {after:.4f} without")

figure, axes = plt.subplots(3, 8, figsize=(8, 3.2), layout="constrained")
for row, images in zip(axes, (X_test, noisy, cleaned), strict=True):
    for panel, image in zip(row, images, strict=False):
        panel.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        panel.set(xticks=[], yticks=[])
for row, name in zip(axes, ("image", "with noise", "cleaned"), strict=True):
    row[0].set_ylabel(name)
plt.show()

# %%
# The code
# --------
# The encoder is a layer like any other. What it puts out can be used for something else: here, for
# finding the training image whose code is the nearest.

codes, codes_test = encoder.forward(X), encoder.forward(X_test[:8])
nearest = np.argmin(np.linalg.norm(codes_test[:, None] - codes, axis=2), axis=1)

figure, axes = plt.subplots(2, 8, figsize=(8, 2.2), layout="constrained")
for row, images in zip(axes, (X_test, X[nearest]), strict=True):
    for panel, image in zip(row, images, strict=False):
        panel.imshow(image.reshape(8, 8), cmap="gray_r")
        panel.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("image")
axes[1, 0].set_ylabel("nearest")
plt.show()
