"""
CIFAR-10, with blocks of one's own
==================================

A residual network of blocks that have names: each is a class of a few lines, and a summary, files,
ONNX and PyTorch know it by its layers. The same lines train on a CUDA GPU where one can be used,
and on the CPU elsewhere.

Usage: python examples/train_cifar10.py [EPOCHS]
"""

import logging
import sys

import nnfs_xp as nn

logging.basicConfig(level=logging.INFO, format="%(message)s")

BATCH_SIZE = 256


class Convolution(nn.Block):
    """output = relu(norm(inputs * filters)), where * is a convolution of 3 x 3."""

    def __init__(self, n_channels, n_filters):
        self.n_channels, self.n_filters = n_channels, n_filters
        convolution = nn.Conv2D(n_channels, n_filters, 3, padding="same", use_bias=False)
        super().__init__(convolution, nn.BatchNorm(n_filters), nn.ReLU())


class Stage(nn.Block):
    """Half as many rows and columns, other filters, and a way around two convolutions.

    y = pool(convolution(inputs)), output = y + convolution(convolution(y)).
    """

    def __init__(self, n_channels, n_filters):
        self.n_channels, self.n_filters = n_channels, n_filters
        around = nn.Residual(Convolution(n_filters, n_filters), Convolution(n_filters, n_filters))
        super().__init__(Convolution(n_channels, n_filters), nn.MaxPool2D(2), around)


X_train, y_train, X_test, y_test = nn.data.load_cifar10(compact=True)

model = nn.Sequential(
    Stage(3, 64),
    Stage(64, 128),
    Stage(128, 256),
    nn.GlobalAveragePool(),
    nn.Dense(256, 10),
    seed=0,
    input_shape=(32, 32, 3),
)
print(model.summary())

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 12
rate = nn.OneCycle(0.01, steps=epochs * -(-len(y_train) // BATCH_SIZE))
trainer = nn.Trainer(
    model,
    nn.SoftmaxCategoricalCrossentropy(label_smoothing=0.1),
    nn.AdamW(rate, weight_decay=0.05),
    backend="auto",
    seed=0,
)
trainer.fit(
    X_train,
    y_train,
    epochs=epochs,
    batch_size=BATCH_SIZE,
    validation_data=(X_test, y_test),
    transform=nn.data.augment.Compose(nn.data.augment.Flip(), nn.data.augment.Shift(4)),
)
views = (nn.data.augment.mirrored,)  # what the mirror image gives is averaged with the rest
accuracy = trainer.evaluate(X_test, y_test, views=views)["accuracy"]
print(f"test accuracy {accuracy:.4f}")
nn.save(model, "cifar10.safetensors")
