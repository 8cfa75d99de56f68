"""Batches of the images in a folder of classes, read when they are taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp._checks import check_range
from nnfs_xp.data.image_classes import REMEDY, Found, UnfitImagesError, complaint, find_images
from nnfs_xp.data.image_files import (
    Bytes,
    Decoding,
    Header,
    UnfitError,
    check_channels,
    check_size,
    check_unreadable,
    each_of,
    n_threads,
    read_header,
    reasons_of,
)
from nnfs_xp.data.scaled import Scaled
from nnfs_xp.data.shards import Shards
from nnfs_xp.data.splits import held_out_rows

LEVELS = 255
"""What a byte of a pixel is divided by."""


class ImageFolder(Shards):
    """Batches of the images in a folder that has a sub-folder for each class.

    It is a sequence of batches (x, y) for `Trainer.fit`: x is float32 of shape
    (batch, height, width, channels), from 0 to 1, and y holds the places of the classes in
    `classes`. Files are read when a batch is taken, by several threads; `Trainer` reads ahead.

    Images are as a viewer shows them: EXIF's orientation is applied, and what is transparent is on
    white. Of a sequence of images, in a .gif for example, the first is taken.

    Parameters
    ----------
    folder : path
        Images are files below the sub-folders whose names end in .jpg, .jpeg, .png, .bmp, .gif,
        .webp, .tif, .tiff, .pgm or .ppm. Hidden files and folders, and other files, do not count.
    size : int or pair of int, optional
        (height, width) that images are brought to: resized so that they fill it, and then the
        middle of it taken. By default they must be of one size, the most frequent one.
    channels : {3, 1}
        3 for red, green and blue, 1 for grey; images of the other kind are converted.
    batch_size : int
    shuffle : bool
        Whether each epoch has the images in a new order.
    seed : int
        Of the orders.
    unreadable : {"refuse", "skip"}
        What happens to images that are damaged, of another size, of more than 8 bits for a value,
        or with more pixels than Pillow's limit. By default they are refused: by their headers at
        once, and what only reading finds, when it is read. "skip" reads all images once at the
        beginning, leaves these out, and logs which and why.
    classes : sequence of str, optional
        The sub-folders that are classes, in the order of their labels. By default all, sorted.
        Those of the training are given for a folder to test on.

    Attributes
    ----------
    classes : tuple of str
    labels : ndarray of int64, shape (n,)
    paths : list of Path
    image_shape : tuple of int
        (height, width, channels)
    skipped : tuple of (Path, str)
        What was left out, and why.

    Raises
    ------
    ArgumentError
    BackendError
        Pillow is not installed.
    DataError
        There is no such folder, no class or no image of a class; or images are refused. The
        message counts them, and names the first few.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        *,
        size: int | tuple[int, int] | None = None,
        channels: int = 3,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int = 0,
        unreadable: str = "refuse",
        classes: Sequence[str] | None = None,
    ) -> None:
        wanted, skip = check_size(size), check_unreadable(unreadable)
        channels = check_channels(channels)
        place, found = find_images(folder, classes)
        headers = each_of(read_header, found.paths)
        reasons = reasons_of(found.paths, headers)
        if wanted is None:
            wanted = _most_frequent(headers, place, len(found.paths), reasons)
            reasons |= _other_sizes(found.paths, headers, wanted)
        found = found.without(place, reasons, skip)
        decoding = Decoding(wanted, channels)
        if skip:
            found = found.without(place, _damaged(found.paths, decoding), skip)
        self._begin(place, found, decoding, batch_size, shuffle=shuffle, seed=seed)

    def _begin(
        self, folder: Path, found: Found, decoding: Decoding, batch_size: int, **order: Any
    ) -> None:
        super().__init__([len(found.paths)], batch_size, **order)
        assert decoding.size is not None
        self.folder = folder
        self.classes, self.paths, self.labels, self.skipped = found
        self.image_shape = (*decoding.size, decoding.channels)
        self._decoding = decoding
        self._pool: ThreadPoolExecutor | None = None

    def hold_out(self, share: float, seed: int = 0) -> tuple[ImageFolder, ImageFolder]:
        """The images in two parts, of which the second has a share of each class.

        Parameters
        ----------
        share : float
            The share of the images to hold out, in (0, 1).
        seed : int

        Returns
        -------
        rest, held_out : ImageFolder
            The images are drawn as `hold_out` of `nn.data` draws them. Those held out are not
            shuffled.

        Raises
        ------
        ArgumentError
            The share is out of its range.
        LabelError
            The images are too few for two parts.
        """
        share = check_range("share", share, 0, 1, open_low=True)
        rest, held_out = held_out_rows(self.labels, share=share, seed=seed)
        return self._part(rest, shuffle=self.shuffle), self._part(held_out, shuffle=False)

    def pixels(self) -> Scaled:
        """The pixels of all images, as bytes that are divided when they are taken.

        Raises
        ------
        DataError
            Some cannot be read.
        """
        images = decoded(self.folder, self.paths, self._decoding, self._open(0))
        return Scaled(images, LEVELS)

    def _part(self, rows: np.ndarray[Any, Any], *, shuffle: bool) -> ImageFolder:
        part = ImageFolder.__new__(type(self))
        paths = [self.paths[row] for row in rows.tolist()]
        found = Found(self.classes, paths, self.labels[rows])
        part._begin(
            self.folder, found, self._decoding, self.batch_size, shuffle=shuffle, seed=self.seed
        )
        return part

    def _open(self, shard: int) -> ThreadPoolExecutor:
        del shard
        if self._pool is None:
            self._pool = ThreadPoolExecutor(n_threads(), "nnfs_xp reading images")
        return self._pool

    def _take(self, data: ThreadPoolExecutor, rows: Any) -> tuple[Any, ...]:
        rows = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        paths = [self.paths[row] for row in rows.tolist()]
        images = decoded(self.folder, paths, self._decoding, data)
        return Scaled(images, LEVELS)[:], self.labels[rows]

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_pool": None}


def decoded(
    folder: Path | None, paths: list[Path], decoding: Decoding, pool: ThreadPoolExecutor | None
) -> Bytes:
    """The pixels of the images, all of one size.

    Raises
    ------
    DataError
        Some cannot be read.
    """
    assert decoding.size is not None
    images = np.empty((len(paths), *decoding.size, decoding.channels), dtype=np.uint8)

    def read(numbered: tuple[int, Path]) -> None:
        number, path = numbered
        images[number] = decoding.read(path)

    reasons = reasons_of(paths, each_of(read, enumerate(paths), pool))
    if reasons:
        remedy = "Mend them, or leave them out." if folder is None else REMEDY
        raise UnfitImagesError(complaint(folder, len(paths), tuple(reasons.items())), remedy)
    return images


def _damaged(paths: list[Path], decoding: Decoding) -> dict[Path, str]:
    """The files that cannot be read to their end, and why."""

    def read(path: Path) -> None:
        decoding.read(path)

    return reasons_of(paths, each_of(read, paths))


def _most_frequent(
    headers: Sequence[Header | UnfitError], folder: Path, n_files: int, reasons: dict[Path, str]
) -> tuple[int, int]:
    sizes = Counter(each.size for each in headers if isinstance(each, Header))
    if not sizes:
        raise UnfitImagesError(complaint(folder, n_files, tuple(reasons.items())))
    return sizes.most_common(1)[0][0]


def _other_sizes(
    paths: list[Path], headers: Sequence[Header | UnfitError], wanted: tuple[int, int]
) -> dict[Path, str]:
    height, width = wanted
    return {
        path: (
            f"it is of {each.size[0]} x {each.size[1]} pixels, where most are of "
            f"{height} x {width} (`size` brings all to one)"
        )
        for path, each in zip(paths, headers, strict=True)
        if isinstance(each, Header) and each.size != wanted
    }
