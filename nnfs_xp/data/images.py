"""Images from a folder with a sub-folder for each class, with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnfs_xp.data.image_batches import LEVELS, ImageFolder, decoded
from nnfs_xp.data.image_classes import find_images
from nnfs_xp.data.image_files import (
    Decoding,
    Header,
    check_channels,
    check_size,
    check_unreadable,
    each_of,
    pillow,
    read_header,
    reasons_of,
)
from nnfs_xp.data.scaled import Scaled
from nnfs_xp.errors import ArgumentError, DataError


class ImageSurvey(NamedTuple):
    """What there is in a folder of images, as far as their headers tell.

    Attributes
    ----------
    classes : tuple of str
    counts : tuple of int
        The images of each class.
    size : tuple of int or None
        (height, width) of all images; None where there are several.
    channels : int
        1 where all images are grey, else 3.
    """

    classes: tuple[str, ...]
    counts: tuple[int, ...]
    size: tuple[int, int] | None
    channels: int


class Images(NamedTuple):
    """Images in memory. Unpacks as ``X, y, classes``.

    Attributes
    ----------
    X : Scaled or ndarray
        Of shape (n, height, width, channels), values from 0 to 1.
    y : ndarray of int64, shape (n,)
        The place of each image's class in `classes`.
    classes : tuple of str
    """

    X: Any
    y: np.ndarray[Any, Any]
    classes: tuple[str, ...]


def survey_images(
    folder: str | PathLike[str],
    *,
    unreadable: str = "refuse",
    classes: Sequence[str] | None = None,
) -> ImageSurvey:
    """Look what there is in a folder of images: classes, sizes, and whether there are colours.

    Parameters
    ----------
    folder, unreadable, classes
        As of `ImageFolder`. Files are refused or left out by their headers alone.

    Raises
    ------
    DataError
        As of `ImageFolder`.
    BackendError
        Pillow is not installed.
    """
    skip = check_unreadable(unreadable)
    place, found = find_images(folder, classes)
    headers = each_of(read_header, found.paths)
    # Who reads the images then is told what is left out.
    found = found.without(place, reasons_of(found.paths, headers), skip, says=False)
    fit = [each for each in headers if isinstance(each, Header)]
    sizes = {each.size for each in fit}
    counts = np.bincount(found.labels, minlength=len(found.classes)).tolist()
    return ImageSurvey(
        found.classes,
        tuple(counts),
        sizes.pop() if len(sizes) == 1 else None,
        max(each.channels for each in fit),
    )


def load_images(
    folder: str | PathLike[str],
    *,
    size: int | tuple[int, int] | None = None,
    channels: int = 3,
    unreadable: str = "refuse",
    classes: Sequence[str] | None = None,
    compact: bool = True,
) -> Images:
    """All images of a folder that has a sub-folder for each class, in memory.

    Parameters
    ----------
    folder, size, channels, unreadable, classes
        As of `ImageFolder`. Refused images are all found, and counted, before any is returned.
    compact : bool
        Whether the pixels stay bytes until a batch of them is taken, as `Scaled`: a quarter of
        the memory, and the same values. Else X is a float32 array.

    Raises
    ------
    ArgumentError, BackendError, DataError
        As of `ImageFolder`.
    """
    found = ImageFolder(
        folder, size=size, channels=channels, unreadable=unreadable, classes=classes
    )
    X = found.pixels()
    return Images(X if compact else X[:], found.labels, found.classes)


def read_images(
    paths: Sequence[str | PathLike[str]],
    *,
    size: int | tuple[int, int],
    channels: int = 3,
) -> Scaled:
    """The images in these files, as a network that was trained on a folder of images takes them.

    Parameters
    ----------
    paths : sequence of path
    size, channels
        As of `ImageFolder`.

    Returns
    -------
    Scaled
        Of shape (n, height, width, channels), values from 0 to 1.

    Raises
    ------
    ArgumentError, BackendError
    DataError
        Files are missing, damaged, or no images. The message counts them, and names the first few.
    """
    wanted, channels = check_size(size), check_channels(channels)
    if wanted is None:
        raise ArgumentError("`size` must be a whole number or two; got None.")
    if not len(paths):
        raise DataError("`paths` names no images.")
    pillow()
    files = [Path(path) for path in paths]
    return Scaled(decoded(None, files, Decoding(wanted, channels), None), LEVELS)
