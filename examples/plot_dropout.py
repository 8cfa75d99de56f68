"""
Learning curves with and without dropout
========================================

A network that is large for its data learns the data by heart. Dropout silences a share of the
neurons in each training step. So no neuron can rely on another too much.
"""

# %%
# Few images, some with a wrong label
# -----------------------------------
# Of 400 images, about one in five gets a label at random. To learn such a label by heart is of no
# use. The same network is trained twice. The second time, training drops half of each hidden layer.
# Evaluation drops nothing.

import matplotlib.pyplot as plt
import numpy as np

import nnfs_xp as nn

X, y, X_test, y_test = nn.data.load_digits()
X, y = X[:400], y[:400]
random = np.random.default_rng(0)
y = np.where(random.random(400) < 0.2, random.integers(0, 10, 400), y)


def train(rate):
    """Train on the few images; the history."""
    model = nn.Sequential(
        *(nn.Dense(64, 128), nn.ReLU(), nn.Dropout(rate)),
        *(nn.Dense(128, 128), nn.ReLU(), nn.Dropout(rate)),
        *(nn.Dense(128, 10), nn.Softmax()),
        seed=0,
    )
    loss, optimizer = nn.CategoricalCrossentropy(), nn.Adam(0.002)
    trainer = nn.Trainer(model, loss, optimizer, backend="numpy", seed=0)
    return trainer.fit(X, y, epochs=60, validation_data=(X_test, y_test), progress=False)


without, with_dropout = train(0.0), train(0.5)

# %%
# The curves
# ----------
# `~nnfs_xp.plots.plot_history` draws one history, a panel for each figure.

nn.plots.plot_history(without, title="Without dropout")

# %%
# Without dropout the training loss goes on falling, and the validation loss rises again: the
# network learns the wrong labels, too. With dropout it cannot learn them by heart.

figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for panel, name in zip(panels, ("loss", "accuracy"), strict=True):
    for history, label, color in (
        (without, "without", "#D55E00"),
        (with_dropout, "with dropout", "#0072B2"),
    ):
        panel.plot(history[name], color=color, alpha=0.5, linestyle="--")
        panel.plot(history[f"val_{name}"], color=color, label=label)
    panel.set(xlabel="epoch", ylabel=name)
    panel.grid(alpha=0.3)
    panel.legend(title="validation; training dashed")
plt.show()

for label, history in (("without", without), ("with", with_dropout)):
    loss, accuracy = history["val_loss"][-1], history["val_accuracy"][-1]
    print(f"{label} dropout: validation loss {loss:.3f}, accuracy {accuracy:.3f}")
