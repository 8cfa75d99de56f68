"""Images in files, for the command that predicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import nnfs_xp as nn
from nnfs_xp.data import read_images
from nnfs_xp.data.image_classes import images_below
from nnfs_xp.data.image_files import ENDINGS
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.networks import Shape
from nnfs_xp.recipes import Recipe

_TOGETHER = 256
"""Images that are read and predicted together."""


def are_images(files: Sequence[Path]) -> bool:
    """Whether these are images or folders of them, and not a table of numbers."""
    return any(path.is_dir() or path.suffix.casefold() in ENDINGS for path in files)


def predictions(
    trainer: nn.Trainer, recipe: Recipe, shape: Shape, files: Sequence[Path]
) -> Iterator[tuple[str, ...]]:
    """The rows of the table of predictions, of a model that takes samples of the shape.

    Raises
    ------
    ArgumentError
        The model takes no images.
    DataError
        A file is no image, or a folder has none.
    """
    if recipe.image_shape is None:
        raise ArgumentError("the model takes no images. Name a CSV file of numbers.")
    height, width, channels = recipe.sample_shape("cnn")
    paths = list(_all_of(files))
    yield "file", "prediction", "probability"
    for start in range(0, len(paths), _TOGETHER):
        some = paths[start : start + _TOGETHER]
        X = read_images(some, size=(height, width), channels=channels)
        probabilities = trainer.predict_proba(X.reshape(-1, *shape))
        for path, row in zip(some, probabilities, strict=True):
            label = row.argmax()
            yield str(path), recipe.classes[label], f"{row[label]:.4f}"


def _all_of(files: Sequence[Path]) -> Iterator[Path]:
    """The files, and the images in the folders among them."""
    for path in files:
        if not path.is_dir():
            yield path
            continue
        found = images_below(path)
        if not found:
            raise DataError(f"there are no images in the folder {path}.")
        yield from found
