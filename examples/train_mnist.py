"""
MNIST, on a GPU or without
==========================

The same lines train on a CUDA GPU where one can be used, and on the CPU elsewhere.

Usage: python examples/train_mnist.py [EPOCHS]
"""

import logging
import sys

import nnfs_xp as nn

logging.basicConfig(level=logging.INFO, format="%(message)s")

X_train, y_train, X_test, y_test = nn.data.load_mnist()

model = nn.Sequential(
    nn.Dense(784, 512),
    nn.ReLU(),
    nn.Dropout(0.2),
    nn.Dense(512, 512),
    nn.ReLU(),
    nn.Dropout(0.2),
    nn.Dense(512, 10),
    nn.Softmax(),
    seed=0,
)
print(model.summary())

trainer = nn.Trainer(
    model, nn.CategoricalCrossentropy(), nn.Adam(0.002, decay=0.002), backend="auto", seed=0
)
epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
trainer.fit(X_train, y_train, epochs=epochs, batch_size=128, validation_data=(X_test, y_test))
print(f"test accuracy {trainer.evaluate(X_test, y_test)['accuracy']:.4f}")
nn.save(model, "mnist.safetensors")
