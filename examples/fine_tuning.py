"""
From one task to another
========================

A network learns to tell ten digits apart. Then its first layers are frozen, and a new head learns
another task from a few samples: whether a digit is even or odd. It does better than a network that
has to learn all of it from these few.
"""

# %%
# The first task
# --------------
# It has all samples.

import numpy as np

import nnfs_xp as nn

X_train, y_train, X_test, y_test = nn.data.load_digits()


def learn(model, X, y, epochs):
    """Train a model, and return its trainer."""
    trainer = nn.Trainer(model, nn.SoftmaxCategoricalCrossentropy(), nn.Adam(0.003), seed=0)
    trainer.fit(X, y, epochs=epochs, progress=False)
    return trainer


def body(seed):
    """The layers that find out what a digit is made of."""
    layers = nn.Dense(64, 64), nn.ReLU(), nn.Dense(64, 32), nn.ReLU()
    return nn.Block(*layers, name="body", seed=seed)


features = body(seed=0)
first = learn(nn.Sequential(features, nn.Dense(32, 10, seed=1)), X_train, y_train, epochs=30)
accuracy = first.evaluate(X_test, y_test)["accuracy"]
print(f"which digit: test accuracy {accuracy:.3f}")

# %%
# The second task
# ---------------
# It has 4 samples of each digit. The frozen layers stay as they are and cost no backward pass. Only
# the head is trained.

few = np.concatenate([np.flatnonzero(y_train == digit)[:4] for digit in range(10)])
X_few, odd_few, odd_test = X_train[few], y_train[few] % 2, y_test % 2

features.trainable = False
model = nn.Sequential(features, nn.Dense(32, 2, seed=2))
print(model.summary())
tuned = learn(model, X_few, odd_few, epochs=100)
print(f"even or odd, a new head: test accuracy {tuned.evaluate(X_test, odd_test)['accuracy']:.3f}")

# %%
# From nothing
# ------------
# A network of the same size that knows nothing of digits.

fresh = learn(nn.Sequential(body(seed=3), nn.Dense(32, 2, seed=2)), X_few, odd_few, epochs=100)
print(f"even or odd, all new: test accuracy {fresh.evaluate(X_test, odd_test)['accuracy']:.3f}")

# %%
# All of it, slowly
# -----------------
# The layers are thawed, and go on at a tenth of the head's learning rate. An optimizer keeps arrays
# for the parameters that it trains, so that where others are trained there must be a new one.

features.trainable = True
features.learning_rate_scale = 0.1
gentle = learn(model, X_few, odd_few, epochs=50)
print(f"even or odd, all tuned: test accuracy {gentle.evaluate(X_test, odd_test)['accuracy']:.3f}")
