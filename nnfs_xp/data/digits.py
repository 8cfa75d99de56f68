"""The bundled data set: handwritten digits, small enough to train on offline in seconds.

*Optical Recognition of Handwritten Digits*, E. Alpaydin and C. Kaynak, UCI Machine Learning
Repository, 1998, doi:10.24432/C50P49, licensed CC BY 4.0. These are the 1,797 images of its
test file: 8 x 8 pixels, each the number of dark pixels, 0 to 16, in a 4 x 4 block of the scan.
"""

from __future__ import annotations

import numpy as np

from nnfs_xp.data.splits import Split, hold_out


def load_digits() -> Split:
    """The handwritten digits, split into 1,438 images for training and 359 for the test.

    Returns
    -------
    Split
        ``X_train, y_train, X_test, y_test``: pixels as float32 (n, 64) in [0, 1] and labels as
        int64 (n,) from 0 to 9. The split is always the same, with each digit in proportion.
    """
    from importlib.resources import files  # slow to import

    with (
        files("nnfs_xp.data").joinpath("digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as archive,
    ):
        X = archive["images"].astype(np.float32) / 16
        y = archive["labels"].astype(np.int64)
    return hold_out(X, y, share=0.2, seed=0)
