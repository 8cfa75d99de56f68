"""MNIST and Fashion-MNIST, from their official files.

MNIST: Y. LeCun, C. Cortes and C. J. C. Burges, 1998. Fashion-MNIST: H. Xiao, K. Rasul and
R. Vollgraf, 2017, licensed MIT. Each has 60,000 images for training and 10,000 for the test,
28 x 28 pixels, in ten classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp._checks import check_bool
from nnfs_xp.data.downloads import ENVIRONMENT, download, folders_of
from nnfs_xp.data.idx import read_idx
from nnfs_xp.data.scaled import Scaled
from nnfs_xp.data.splits import Split
from nnfs_xp.errors import DataError

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
}

_SHA256 = {
    "mnist": {
        "t10k-images-idx3": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "train-images-idx3": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    },
    "fashion-mnist": {
        "t10k-images-idx3": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        "train-images-idx3": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    },
}
"""Checksums of the files, by what their names begin with."""


def load_mnist(*, compact: bool = False) -> Split:
    """The MNIST handwritten digits.

    The four .gz files are searched for in ``$NNFS_XP_DATA/mnist`` and in the user's cache, else
    downloaded there, with checksums, which takes the extra ``data``.

    Parameters
    ----------
    compact : bool
        Whether the pixels stay bytes until a batch of them is taken, as `Scaled`: a quarter of
        the memory, and the same values.

    Returns
    -------
    Split
        ``X_train, y_train, X_test, y_test``: pixels as float32 (n, 784) in [0, 1] and labels as
        int64 (n,), with n = 60,000 and 10,000.

    Raises
    ------
    DataError
        The files are not found and cannot be downloaded, or one is damaged.
    """
    return _load("mnist", compact)


def load_fashion_mnist(*, compact: bool = False) -> Split:
    """Fashion-MNIST: images of clothes in ten classes, named in `FASHION_CLASSES`.

    As `load_mnist`, with the files in ``$NNFS_XP_DATA/fashion-mnist`` or in the user's cache.
    """
    return _load("fashion-mnist", compact)


def _load(name: str, compact: bool) -> Split:
    check_bool("compact", compact)
    parts: list[Any] = []
    for kind in ("train", "t10k"):
        images = read_idx(_find(name, f"{kind}-images-idx3"))
        path = _find(name, f"{kind}-labels-idx1")
        labels = read_idx(path)
        fits = images.ndim == 3 and images.shape[1:] == (28, 28) and len(images) > 0
        if not fits or labels.shape != images.shape[:1]:
            raise DataError(
                f"{path.parent}: images of shape {images.shape} and labels of shape "
                f"{labels.shape} do not belong together."
            )
        if labels.size and labels.max() > 9:
            raise DataError(f"{path} holds the label {labels.max()}; labels go from 0 to 9.")
        pixels = Scaled(images.reshape(-1, 784), 255)
        parts += [pixels if compact else pixels[:], labels.astype(np.int64)]
    return Split(*parts)


def _find(name: str, stem: str) -> Path:
    """The path of a data set's file, downloaded if need be."""
    file = f"{stem}-ubyte.gz"
    folders = folders_of(name)
    for folder in folders:
        if (folder / file).is_file():
            return folder / file
    places = " or ".join(str(folder) for folder in folders)
    remedy = (
        f"Put the data set's four official .gz files into {places}, or name the folder that holds "
        f"'{name}' in the environment variable {ENVIRONMENT}."
    )
    checksum = f"sha256:{_SHA256[name][stem]}"
    return download(file, name, folders[-1], _MIRRORS[name], checksum, remedy)
