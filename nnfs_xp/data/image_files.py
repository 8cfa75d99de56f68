"""Image files: what their headers tell, and how their pixels are read, with Pillow."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from nnfs_xp import _checks
from nnfs_xp._checks import quoted
from nnfs_xp.data.sources import told
from nnfs_xp.errors import ArgumentError, BackendError, NnfsError

_Each = TypeVar("_Each")
_T = TypeVar("_T")
Bytes: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Of the names of image files, in small letters."""

_GREY = {"1": 1, "L": 1, "LA": 1, "La": 1}
_COLOURS = {"P": 3, "PA": 3, "RGB": 3, "RGBA": 3, "RGBa": 3, "RGBX": 3, "CMYK": 3, "YCbCr": 3}
_COLOURS |= {"HSV": 3, "LAB": 3}
_CHANNELS = _GREY | _COLOURS
"""Of images of Pillow's modes with 8 bits a value; others would lose what is in them."""

_TRANSPOSED = (5, 6, 7, 8)
"""The values of EXIF's orientation that exchange height and width."""

_ORIENTATION = 0x0112
_THREADS = 8


class Header(NamedTuple):
    """What an image file says of itself: the size as it is shown, and 1 channel or 3."""

    size: tuple[int, int]
    channels: int


class UnfitError(Exception):
    """Why a file cannot be taken."""


def pillow() -> Any:
    """Pillow's module ``Image``.

    Raises
    ------
    BackendError
        It is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise BackendError("images need Pillow; pip install 'nnfs-xp[images]'") from None
    return Image


def read_header(path: Path) -> Header:
    """The size and the channels of an image, without its pixels.

    Raises
    ------
    UnfitError
        It is no image, or has too many pixels, or more than 8 bits a value.
    """
    with _Opened(path) as image:
        # Of a .png that has not told it yet, Pillow would read all pixels to look behind them.
        may_turn = image.format != "PNG" or "exif" in image.info
        turned = may_turn and image.getexif().get(_ORIENTATION) in _TRANSPOSED
        if turned and image.format == "TIFF":  # which Pillow turns, sooner or later by its version
            image.load()
            turned = image.getexif().get(_ORIENTATION) in _TRANSPOSED
        width, height = image.size[::-1] if turned else image.size
        return Header((height, width), _CHANNELS[image.mode])


class Decoding(NamedTuple):
    """How images become arrays.

    Attributes
    ----------
    size : tuple of int or None
        (height, width) of the arrays: the middle of the image is taken, as large as can be of
        that shape, and resized. None for the image's own size.
    channels : int
        1 for grey, 3 for red, green and blue.
    """

    size: tuple[int, int] | None
    channels: int

    def read(self, path: Path) -> Bytes:
        """The image as it is shown, (height, width, channels), transparent parts on white.

        Raises
        ------
        UnfitError
            The file is damaged, or as for `read_header`.
        """
        from PIL import ImageOps

        with _Opened(path) as image:
            image = ImageOps.exif_transpose(image)
            image = _opaque(image).convert("L" if self.channels == 1 else "RGB")
            if self.size is not None and self.size != (image.height, image.width):
                image = _filling(image, *self.size)
            pixels = np.asarray(image, dtype=np.uint8)
        return pixels.reshape(*pixels.shape[:2], self.channels)


class _Opened:
    """An image of Pillow's, open; whatever is wrong with it is an `UnfitError`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Any:
        Image = pillow()
        try:
            is_file = stat.S_ISREG(self._path.stat().st_mode)
        except OSError as error:
            raise UnfitError(f"it cannot be read ({error.strerror or error})") from error
        if not is_file:  # a pipe would be waited for
            raise UnfitError("it is no plain file")
        try:
            self._image = Image.open(self._path)
        except Exception as error:  # a forged file may raise anything
            raise UnfitError(_reason(error)) from error
        width, height = self._image.size
        most = Image.MAX_IMAGE_PIXELS
        if most is not None and width * height > most:
            self._image.close()
            raise UnfitError(
                f"it has {width} x {height} pixels, more than Pillow's limit of {most:,}"
            )
        if self._image.mode not in _CHANNELS:
            self._image.close()
            raise UnfitError(
                f"it is of mode {self._image.mode}, with more than 8 bits for each value of a pixel"
            )
        return self._image

    def __exit__(self, kind: Any, error: BaseException | None, frames: Any) -> None:
        self._image.close()
        if isinstance(error, Exception) and not isinstance(error, (NnfsError, UnfitError)):
            raise UnfitError(_reason(error)) from error


def _reason(error: Exception) -> str:
    bombs = pillow().DecompressionBombError, pillow().DecompressionBombWarning
    if isinstance(error, bombs):
        return "it has more pixels than Pillow's limit"
    if type(error).__name__ == "UnidentifiedImageError":
        return "it is no image, or damaged"
    return f"it is damaged ({told(error)})"


def _opaque(image: Any) -> Any:
    """The image with its transparent parts on white."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    white = pillow().new("RGBA", image.size, "white")
    return pillow().alpha_composite(white, image)


def _filling(image: Any, height: int, width: int) -> Any:
    """The middle of the image, as large as can be, resized."""
    scale = min(image.width / width, image.height / height)
    left = (image.width - scale * width) / 2
    top = (image.height - scale * height) / 2
    box = (left, top, left + scale * width, top + scale * height)
    return image.resize((width, height), pillow().Resampling.BILINEAR, box)


def each_of(
    function: Callable[[_Each], _T],
    files: Iterable[_Each],
    pool: ThreadPoolExecutor | None = None,
) -> list[_T | UnfitError]:
    """What the function makes of each file, or why it cannot, in several threads."""

    def tried(file: _Each) -> _T | UnfitError:
        try:
            return function(file)
        except UnfitError as error:
            return error

    if pool is not None:
        return list(pool.map(tried, files))
    with warnings.catch_warnings(), ThreadPoolExecutor(n_threads()) as own:
        # Pillow warns of what `_Opened` refuses.
        warnings.simplefilter("ignore", pillow().DecompressionBombWarning)
        return list(own.map(tried, files))


def n_threads() -> int:
    """How many threads decode images: Pillow lets others work while it does."""
    return min(_THREADS, os.cpu_count() or 1)


def check_size(size: Any) -> tuple[int, int] | None:
    """Refuse what is neither None, a number nor a pair of numbers; return height and width."""
    if size is None:
        return None
    pair = size if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2:
        raise ArgumentError(f"`size` must be a whole number or two; got {quoted(size)}.")
    height, width = (_checks.check_count("size", each) for each in pair)
    return height, width


def check_channels(channels: Any) -> int:
    """Refuse what is neither 1 nor 3."""
    if channels not in (1, 3) or isinstance(channels, bool):
        raise ArgumentError(f"`channels` must be 1 (grey) or 3 (colours); got {quoted(channels)}.")
    return int(channels)


def check_unreadable(unreadable: Any) -> bool:
    """Refuse what is no way to treat unfit files; return whether they are skipped."""
    if unreadable not in ("refuse", "skip"):
        raise ArgumentError(f"`unreadable` must be 'refuse' or 'skip'; got {quoted(unreadable)}.")
    return bool(unreadable == "skip")


def reasons_of(paths: list[Path], found: Sequence[Any]) -> dict[Path, str]:
    """The files that cannot be taken, by what `each_of` has found, and why."""
    pairs = zip(paths, found, strict=True)
    return {path: str(each) for path, each in pairs if isinstance(each, UnfitError)}
