"""What the command line trains: each data set, and how a network learns it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from nnfs_xp.data import (
    CIFAR10_CLASSES,
    FASHION_CLASSES,
    Split,
    augment,
    hold_out,
    load_cifar10,
    load_digits,
    load_fashion_mnist,
    load_mnist,
    spiral_data,
)
from nnfs_xp.data.transforms import Transform
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.layers import Sequential
from nnfs_xp.losses import CategoricalCrossentropy, Loss
from nnfs_xp.networks import (
    Shape,
    build_cnn,
    build_mlp,
    build_residual_cnn,
    build_whitened_cnn,
    whiten,
)
from nnfs_xp.optimizers import SGD, Adam, AdamW, Optimizer
from nnfs_xp.schedules import OneCycle

MODELS = ("mlp", "cnn")
"""The kinds of networks: dense layers on rows of features, convolutions on pictures."""


def _adam(learning_rate: float, decay: float, steps: int) -> Optimizer:
    del steps
    return Adam(learning_rate, decay=decay)


def _one_cycle(
    learning_rate: float, decay: float, steps: int, *, weight_decay: float = 0.0
) -> Optimizer:
    """AdamW with a rate that rises and falls to nothing."""
    del decay
    return AdamW(OneCycle(learning_rate, max(steps, 2)), weight_decay=weight_decay)


def _nesterov(learning_rate: float, decay: float, steps: int) -> Optimizer:
    """SGD with a rate that rises from a fifth, and falls to 7 hundredths."""
    del decay
    schedule = OneCycle(
        learning_rate, max(steps, 2), rising_share=0.23, start_divisor=5.0, final_divisor=1 / 0.35
    )
    return SGD(schedule, momentum=0.85, nesterov=True, weight_decay=0.009)


@dataclass(frozen=True)
class Plan:
    """A network for a data set, and how it learns where nothing else is said.

    Attributes
    ----------
    build : callable (shape of a sample, hidden, number of classes, dropout, seed) -> Sequential
    hidden : tuple of int
        The widths of the hidden layers; of a network of convolutions the filters of each stage.
    epochs, batch_size, learning_rate, decay, dropout
        See `Trainer.fit`, `Adam` and `Dropout`.
    optimizer : callable (learning rate, decay, steps) -> Optimizer
        For a training of so many steps.
    fixed_length : bool
        Whether the learning rate follows a course over all steps, so that their number must be
        known from the start.
    label_smoothing : float
        See `CategoricalCrossentropy`.
    augmentation : callable (shape of a sample) -> transform, optional
        What `Trainer.fit` does to each batch.
    begin : callable (model, samples), optional
        Gives the model the first weights that follow from the training samples.
    """

    build: Callable[[Shape, tuple[int, ...], int, float, int], Sequential]
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    decay: float = 0.0
    dropout: float = 0.0
    optimizer: Callable[[float, float, int], Optimizer] = _adam
    fixed_length: bool = False
    label_smoothing: float = 0.0
    augmentation: Callable[[Shape], Transform] | None = None
    begin: Callable[[Sequential, Any], None] | None = None

    def loss(self) -> Loss:
        """What the network is trained with."""
        return CategoricalCrossentropy(self.label_smoothing)


@dataclass(frozen=True)
class Recipe:
    """A data set, and the plans for it.

    Attributes
    ----------
    load : callable
        Gives the data, split for the final test.
    classes : tuple of str
        Their names in the order of the labels.
    n_features : int
    unit : float
        What a feature of 1 stands for in the data set's own units: 255 grey levels, say. The
        features of a file to predict from are divided by it.
    plans : dict of Plan
        By the kinds of network; the first is trained where none is named.
    image_shape : tuple of int, optional
        (height, width), or in colours (height, width, 3), where the features are the pixels of an
        image.
    """

    load: Callable[[], Split]
    classes: tuple[str, ...]
    n_features: int
    unit: float
    plans: dict[str, Plan]
    image_shape: tuple[int, ...] | None = None

    def plan(self, model: str) -> Plan:
        """The plan for that kind of network.

        Raises
        ------
        ArgumentError
            There is none.
        """
        if model not in self.plans:
            raise ArgumentError(f"--model {model} needs images, and this data set has none.")
        return self.plans[model]

    def sample_shape(self, model: str) -> Shape:
        """The shape of a sample for that kind of network: a row, or a picture."""
        if model == "cnn" and self.image_shape is not None:
            return (*self.image_shape, *((1,) if len(self.image_shape) == 2 else ()))
        return (self.n_features,)

    def load_as(self, shape: Shape) -> Split:
        """The data, each sample in that shape."""
        data = self.load()
        return data._replace(
            X_train=data.X_train.reshape(-1, *shape), X_test=data.X_test.reshape(-1, *shape)
        )

    def kind_of(self, shape: Shape) -> str | None:
        """The kind of network that takes samples of the shape; None if none does."""
        return next((model for model in self.plans if self.sample_shape(model) == shape), None)


def _shifted(shape: Shape) -> Transform:
    return augment.Shift(_room(2, shape), mode="zeros")


def _alternating(shape: Shape) -> Transform:
    """Pictures that are turned left to right in every second epoch, and shifted."""
    return augment.Compose(augment.Flip(alternating=True), augment.Shift(_room(2, shape)))


def _mirrored(most: int, shape: Shape) -> Transform:
    """Pictures that may be turned left to right, and shifted by so many pixels."""
    most = _room(most, shape)
    return augment.Compose(augment.Flip(), *([augment.Shift(most)] if most else []))


def _room(most: int, shape: Shape) -> int:
    """So many pixels, but at most a quarter of the smaller side of such pictures."""
    return min(most, min(shape[:2]) // 4)


CNN = {
    "digits": Plan(
        build=build_cnn,
        hidden=(32, 64),
        epochs=15,
        batch_size=64,
        learning_rate=0.005,
        optimizer=_one_cycle,
        fixed_length=True,
    ),
    "mnist": Plan(
        build=build_cnn,
        hidden=(32, 64),
        epochs=10,
        batch_size=128,
        learning_rate=0.005,
        optimizer=_one_cycle,
        fixed_length=True,
        augmentation=_shifted,
    ),
    "fashion-mnist": Plan(
        build=build_cnn,
        hidden=(32, 64),
        epochs=15,
        batch_size=128,
        learning_rate=0.005,
        optimizer=partial(_one_cycle, weight_decay=0.01),
        fixed_length=True,
        augmentation=partial(_mirrored, 2),
    ),
    "cifar10": Plan(  # after Jordan 2024, *94% on CIFAR-10 in 3.29 Seconds on a Single GPU*
        build=build_whitened_cnn,
        hidden=(64, 256, 256),
        epochs=10,
        batch_size=1024,
        learning_rate=1.5,
        optimizer=_nesterov,
        fixed_length=True,
        label_smoothing=0.2,
        augmentation=_alternating,
        begin=whiten,
    ),
    "images": Plan(
        build=build_residual_cnn,
        hidden=(32, 64, 128),
        epochs=30,
        batch_size=64,
        learning_rate=0.005,
        optimizer=partial(_one_cycle, weight_decay=0.05),
        fixed_length=True,
        label_smoothing=0.1,
        augmentation=partial(_mirrored, 4),
    ),
}
"""The plans for networks of convolutions: of data sets, and of folders of images."""

_MNIST_ROWS = Plan(
    build=build_mlp,
    hidden=(512, 256),
    epochs=5,
    batch_size=128,
    learning_rate=0.002,
    decay=0.002,
    dropout=0.2,
)

MLP = {
    "digits": Plan(
        build=build_mlp,
        hidden=(128, 64),
        epochs=60,
        batch_size=32,
        learning_rate=0.003,
        decay=0.003,
        dropout=0.3,
    ),
    "spiral": Plan(
        build=build_mlp,
        hidden=(64, 64),
        epochs=60,
        batch_size=32,
        learning_rate=0.005,
        decay=0.001,
    ),
    "mnist": _MNIST_ROWS,
    "fashion-mnist": replace(_MNIST_ROWS, epochs=10),
    "cifar10": replace(_MNIST_ROWS, epochs=20),
    "images": replace(_MNIST_ROWS, epochs=20),
}
"""The plans for networks of dense layers."""

IMAGES = {"cnn": CNN["images"], "mlp": MLP["images"]}
"""The plans for folders of images."""


def _spiral() -> Split:
    return hold_out(*spiral_data(samples=1000, classes=3, seed=0), share=0.2, seed=0)


_DIGITS = tuple("0123456789")

RECIPES = {
    "digits": Recipe(
        load=load_digits,
        classes=_DIGITS,
        n_features=64,
        unit=16,
        plans={"mlp": MLP["digits"], "cnn": CNN["digits"]},
        image_shape=(8, 8),
    ),
    "spiral": Recipe(
        load=_spiral,
        classes=("0", "1", "2"),
        n_features=2,
        unit=1,
        plans={"mlp": MLP["spiral"]},
    ),
    "mnist": Recipe(
        load=load_mnist,
        classes=_DIGITS,
        n_features=784,
        unit=255,
        plans={"mlp": MLP["mnist"], "cnn": CNN["mnist"]},
        image_shape=(28, 28),
    ),
    "fashion-mnist": Recipe(
        load=load_fashion_mnist,
        classes=FASHION_CLASSES,
        n_features=784,
        unit=255,
        plans={"mlp": MLP["fashion-mnist"], "cnn": CNN["fashion-mnist"]},
        image_shape=(28, 28),
    ),
    "cifar10": Recipe(
        load=partial(load_cifar10, compact=True),
        classes=CIFAR10_CLASSES,
        n_features=3072,
        unit=255,
        plans={"cnn": CNN["cifar10"], "mlp": MLP["cifar10"]},
        image_shape=(32, 32, 3),
    ),
}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises
    ------
    DataError
        There is no recipe of that name.
    """
    if name not in RECIPES:
        raise DataError(
            f"unknown data set {name!r}; known are {', '.join(RECIPES)}, .csv and .parquet "
            "files, and folders of images."
        )
    return RECIPES[name]
