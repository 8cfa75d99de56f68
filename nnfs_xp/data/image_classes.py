"""Which image files there are in a folder of classes, and which of them can be taken."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnfs_xp._checks import quoted, shown
from nnfs_xp.data.image_files import ENDINGS, pillow
from nnfs_xp.errors import ArgumentError, DataError

_log = logging.getLogger("nnfs_xp")

_NAMED = 5
REMEDY = "Mend or remove them, or leave them out with unreadable='skip'."


class UnfitImagesError(DataError):
    """Images cannot be taken.

    Attributes
    ----------
    complaint : str
        Which, and why: the message but for what can be done.
    """

    def __init__(self, complaint: str, remedy: str = "") -> None:
        super().__init__(complaint, remedy)
        self.complaint = complaint

    def __str__(self) -> str:
        return " ".join(filter(None, self.args))


class Found(NamedTuple):
    """Files that can be taken, as far as is known."""

    classes: tuple[str, ...]
    paths: list[Path]
    labels: np.ndarray[Any, Any]
    skipped: tuple[tuple[Path, str], ...] = ()

    def without(
        self, folder: Path, reasons: dict[Path, str], skip: bool, *, says: bool = True
    ) -> Found:
        """Those that no reason is known against, or an error. It says which it leaves out."""
        if not reasons:
            return self
        unfit = tuple(reasons.items())
        text = complaint(folder, len(self.paths), unfit)
        if not skip:
            raise UnfitImagesError(text, REMEDY)
        kept = [number for number, path in enumerate(self.paths) if path not in reasons]
        labels = self.labels[kept]
        counts = np.bincount(labels, minlength=len(self.classes))
        if not counts.all():
            name = self.classes[int(counts.argmin())]
            raise DataError(f"no image of the class {name!r} is left: {text}")
        if says:
            _log.warning("left out: %s", text)
        paths = [self.paths[number] for number in kept]
        return Found(self.classes, paths, labels, self.skipped + unfit)


def find_images(folder: str | PathLike[str], classes: Sequence[str] | None) -> tuple[Path, Found]:
    """The folder, and the files in it that are images by their names.

    Raises
    ------
    ArgumentError, BackendError, DataError
        As of `find_classes`, or Pillow is not installed.
    """
    pillow()
    place = Path(folder)
    names, files = find_classes(place, classes)
    labels = np.repeat(np.arange(len(names), dtype=np.int64), [len(paths) for paths in files])
    return place, Found(names, [path for paths in files for path in paths], labels)


def find_classes(
    folder: Path, classes: Sequence[str] | None
) -> tuple[tuple[str, ...], list[list[Path]]]:
    """The classes of a folder, and the image files of each: those below the sub-folder of its name.

    Parameters
    ----------
    folder : Path
    classes : sequence of str, optional
        The names of the sub-folders. By default all, sorted, but for hidden ones.

    Raises
    ------
    DataError
        There is no such folder, or no class, or a class without images.
    """
    found, n_images = _sub_folders(folder)
    if classes is None and not found:
        has = f"has {_images(n_images)} itself, but" if n_images else "has"
        raise DataError(
            f"the folder {folder} {has} no sub-folders. Put the images of each class into a "
            "sub-folder of its name."
        )
    names = tuple(found) if classes is None else _names(classes)
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"the folder {folder} has no sub-folder {_some(map(repr, missing))}. "
            f"It has {_some(map(repr, found)) or 'none'}."
        )
    files = [images_below(folder / name) for name in names]
    empty = [repr(name) for name, paths in zip(names, files, strict=True) if not paths]
    if empty:
        raise DataError(
            f"the folder {folder} has no images of {'the class' if len(empty) == 1 else 'classes'} "
            f"{_some(empty)}. Images are files whose names end in {', '.join(ENDINGS)}."
        )
    return names, files


def images_of_each(folder: Path) -> dict[str, list[Path]]:
    """The images below each sub-folder that would be a class, by its name; those without are left.

    Raises
    ------
    DataError
        The folder cannot be read.
    """
    found = {name: images_below(folder / name) for name in _sub_folders(folder)[0]}
    return {name: paths for name, paths in found.items() if paths}


def check_no_more(folder: Path, classes: Sequence[str]) -> None:
    """Refuse a folder with images of other classes than those of a training.

    Raises
    ------
    DataError
    """
    more = {name: each for name, each in images_of_each(folder).items() if name not in classes}
    if more:
        one = len(more) == 1
        named = _some(f"{name!r} ({_images(len(paths))})" for name, paths in more.items())
        raise DataError(
            f"the folder {folder} has {'a class' if one else 'classes'} that the training did not "
            f"have: {named}. Those it had are {_some(map(repr, classes))}. Move "
            f"{'it' if one else 'them'} elsewhere, or train with images of "
            f"{'it' if one else 'them'}."
        )


def _sub_folders(folder: Path) -> tuple[list[str], int]:
    """The names of the sub-folders, sorted, but for hidden ones; and how many images lie beside."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error.strerror or error}.") from None
    names = [each.name for each in entries if each.is_dir() and not each.name.startswith(".")]
    return names, sum(_is_image(each.name) for each in entries)


def _images(n: int) -> str:
    return "1 image" if n == 1 else f"{n:,} images"


def _names(classes: Any) -> tuple[str, ...]:
    names = () if isinstance(classes, str) else tuple(classes)
    if not names or not all(isinstance(each, str) for each in names):
        raise ArgumentError(f"`classes` must be names of sub-folders; got {quoted(classes)}.")
    if len(set(names)) < len(names):
        raise ArgumentError(f"`classes` has a name twice: {quoted(classes)}.")
    return names


def images_below(folder: Path) -> list[Path]:
    """The images in a folder and in those within it, sorted."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        found += [Path(place, name) for name in sorted(files) if _is_image(name)]
    return found


def _is_image(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def complaint(folder: Path | None, n_files: int, reasons: Sequence[tuple[Path, str]]) -> str:
    """What is wrong with some files: how many, and of the first few which and why."""
    where = "" if folder is None else f" in {folder}"
    named = [
        f"{shown(str(path if folder is None else path.relative_to(folder)))}: {reason}"
        for path, reason in reasons[:_NAMED]
    ]
    more = f"; and {len(reasons) - _NAMED:,} more" if len(reasons) > _NAMED else ""
    return (
        f"{len(reasons):,} of {n_files:,} images{where} cannot be taken: {'; '.join(named)}{more}."
    )


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
