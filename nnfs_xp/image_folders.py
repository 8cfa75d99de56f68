"""Folders of images as data sets: what lies in them, and the recipe for them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp.data import Split, hold_out, load_images, survey_images
from nnfs_xp.data.image_classes import UnfitImagesError, check_no_more, images_of_each
from nnfs_xp.errors import DataError
from nnfs_xp.networks import Shape
from nnfs_xp.recipes import IMAGES, Recipe

_SIZE = 64
"""Pixels from edge to edge of images that are of several sizes, or larger."""

_TEST_SHARE = 0.1
_LEVELS = 255
_TRAIN, _TEST = "train", "test"

TO_TRAIN = "Mend or remove them, or leave them out with --skip-damaged."
TO_TEST = "Mend or remove them, or name another folder."
"""What can be done on the command line about images that cannot be taken."""


@dataclass(frozen=True)
class ImageSettings:
    """What is known of a folder of images before they are read.

    Attributes
    ----------
    image : tuple of int
        (height, width, 1 or 3) that the images are brought to.
    classes : tuple of str
        The sub-folders with images, in the order of the labels.
    files : str
        A digest of the images' names and sizes.
    """

    image: Shape
    classes: tuple[str, ...]
    files: str


def look_at(folder: Path, size: int | None, *, skip_damaged: bool) -> ImageSettings:
    """See which images there are in a folder, of which size, and whether they have colours.

    Parameters
    ----------
    folder : Path
        With a sub-folder of images for each class; or with sub-folders ``train`` and ``test`` that
        have these.
    size : int or None
        Of the images, from edge to edge. By default their own where all are alike and of at most
        64 pixels, and else 64.
    skip_damaged : bool
        Whether files that are no images are left out.

    Raises
    ------
    DataError
        The folder is not there, has no classes or a single one, or holds what is no image.
    BackendError
        Pillow is not installed.
    """
    part = _parts(folder)[0]
    with _remedied(TO_TRAIN):
        seen = survey_images(part, unreadable=_unreadable(skip_damaged))
    if len(seen.classes) < 2:
        raise DataError(
            f"the folder {part} has one class only, {seen.classes[0]!r}: there is nothing to tell "
            "it from. Put the images of each class into a sub-folder of its name."
        )
    height, width = (size, size) if size else seen.size or (_SIZE, _SIZE)
    if size is None and max(height, width) > _SIZE:
        height = width = _SIZE
    return ImageSettings((height, width, seen.channels), seen.classes, digest_of(folder))


def digest_of(folder: Path) -> str:
    """A digest of the names and the sizes of all images in a folder: other files do not count.

    Raises
    ------
    DataError
        The folder is not there.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}.")
    digest = hashlib.sha256()
    for path in _images_in(folder):
        size = path.stat().st_size if path.is_file() else None  # of a link to nowhere, say
        digest.update(os.fsencode(f"{path.relative_to(folder)}\0{size}\0"))
    return digest.hexdigest()


def holds_images(folder: Path) -> bool:
    """Whether it is a folder of images that can be trained on, as far as names tell."""
    return bool(_images_in(folder))


def _images_in(folder: Path) -> list[Path]:
    """The images of all classes, of the folder's two parts where it has them."""
    parts = [part for part in _parts(folder) if part is not None]
    return [path for part in parts for paths in images_of_each(part).values() for path in paths]


def recipe_of_images(
    folder: Path,
    image: Shape,
    classes: tuple[str, ...],
    *,
    skip_damaged: bool = False,
    whole: bool = False,
    remedy: str = TO_TRAIN,
) -> Recipe:
    """The recipe for a folder of images.

    Parameters
    ----------
    folder, skip_damaged
        As of `look_at`.
    image, classes
        As `look_at` found them.
    whole : bool
        Whether all images are for the test, where there is no folder for it.
    remedy : str
        What can be done about images that cannot be taken: `TO_TRAIN` or `TO_TEST`.
    """

    def load() -> Split:
        with _remedied(remedy):
            return _load(folder, image, classes, skip_damaged=skip_damaged, whole=whole)

    return Recipe(
        load=load,
        classes=classes,
        n_features=prod(image),
        unit=_LEVELS,
        plans=IMAGES,
        image_shape=image[:2] if image[2] == 1 else image,
    )


def _load(
    folder: Path, image: Shape, classes: tuple[str, ...], *, skip_damaged: bool, whole: bool
) -> Split:
    """The images, split for the final test as the folder is, or by a tenth of each class."""
    height, width, channels = image

    def read(part: Path) -> tuple[Any, np.ndarray[Any, Any]]:
        check_no_more(part, classes)
        X, y, _ = load_images(
            part,
            size=(height, width),
            channels=channels,
            unreadable=_unreadable(skip_damaged),
            classes=classes,
        )
        return X, y

    train, test = _parts(folder)
    if test is not None:
        return Split(*read(train), *read(test))
    X, y = read(folder)
    if whole:
        return Split(X.part(np.arange(0)), y[:0], X, y)
    return hold_out(X, y, share=_TEST_SHARE, seed=0)


@contextmanager
def _remedied(remedy: str) -> Iterator[None]:
    """Name what can be done on the command line about images that cannot be taken."""
    try:
        yield
    except UnfitImagesError as error:
        raise DataError(f"{error.complaint} {remedy}") from error


def _parts(folder: Path) -> tuple[Path, Path | None]:
    """The folders to train on and to test on; where there are none, the folder itself and None."""
    train, test = folder / _TRAIN, folder / _TEST
    return (train, test) if train.is_dir() and test.is_dir() else (folder, None)


def _unreadable(skip_damaged: bool) -> str:
    return "skip" if skip_damaged else "refuse"
