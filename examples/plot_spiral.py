"""
How a network learns the spiral
===============================

The spiral has three arms, which no straight line separates. The pictures show which class the
network gives to each point of the plane while it is trained.
"""

# %%
# The data and the network
# ------------------------
# Two numbers go in, three scores come out, one for each arm.
# `~nnfs_xp.SoftmaxCategoricalCrossentropy` takes the scores as they are.

import matplotlib.pyplot as plt
import numpy as np

import nnfs_xp as nn

X, y = nn.data.spiral_data(samples=100, classes=3, seed=0)
model = nn.Sequential(
    nn.Dense(2, 64), nn.ReLU(), nn.Dense(64, 64), nn.ReLU(), nn.Dense(64, 3), seed=0
)
trainer = nn.Trainer(
    model, nn.SoftmaxCategoricalCrossentropy(), nn.Adam(0.01), backend="numpy", seed=0
)

# %%
# While it trains
# ---------------
# A second call of `fit` goes on where the first ended. So we can look at the network in between.

axis = np.linspace(-1.1, 1.1, 120)
grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
colors = np.array([[0.0, 0.45, 0.7], [0.84, 0.37, 0.0], [0.0, 0.62, 0.45]])

figure, panels = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
done, losses = 0, []
for panel, epochs in zip(panels, (1, 20, 50, 200), strict=True):
    history = trainer.fit(X, y, epochs=epochs - done, progress=False)
    losses += history["loss"]
    done = epochs
    mixed = trainer.predict_proba(grid) @ colors  # each class counts as much as it is sure
    extent = (axis[0], axis[-1], axis[0], axis[-1])
    panel.imshow(mixed.reshape(120, 120, 3), origin="lower", extent=extent, alpha=0.55)
    panel.scatter(*X.T, c=colors[y], s=9, edgecolors="white", linewidths=0.4)
    accuracy = trainer.evaluate(X, y)["accuracy"]
    panel.set(title=f"{done} epochs: {accuracy:.0%} right", xticks=[], yticks=[])
plt.show()

# %%
# The trained network
# -------------------
# `~nnfs_xp.plots.plot_decision_boundary` draws the same in one call. The stronger the colour, the
# surer the network. On the lines two classes tie.

print(f"loss {losses[0]:.3f} after the first epoch, {losses[-1]:.3f} after the last")
nn.plots.plot_decision_boundary(trainer, X, y)
