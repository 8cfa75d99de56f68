"""The training side of watching: what a training tells of itself while it goes on, in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._checks import shown
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.paths import check_writable, make_folder, path_of
from nnfs_xp.training.callbacks import Callback, Figures, Training
from nnfs_xp.training.sight import Sight
from nnfs_xp.training.watch_file import FILE, WatchWriter
from nnfs_xp.training.watched_fit import WatchedFit


class Watch(Callback):
    """Tells of a training while it goes on, in a file that ``nnfs-xp watch`` shows as a page.

    There are the loss of each step, the figures of each epoch, and now and then a look at the
    network: for each layer the norms of its gradients, of its weights and of what one step changes
    of them, histograms of its gradients and of its outputs, and the neurons that are silent for
    all samples; more rarely the first layer's weights as images, and the samples that are
    classified wrongly.

    It changes nothing of the training, and takes no more of its time than its share: it looks when
    the time for it has been earned. At the end of a `fit` it looks also where it has not, if that
    takes at most 50 ms, as it nearly always does. A training that goes on from a checkpoint, or a
    further `fit`, adds to the file. Only the first of several processes writes. It is for `fit`:
    in a loop of your own, `GradientFlow` can be called.

    Parameters
    ----------
    folder : str or Path
        Made before the training begins. The file in it is called ``watch.jsonl``. Where it cannot
        be written later, the disk being full say, a warning says so, and the training goes on.
    share : float
        Of the training's time that may be spent on looking, above 0 and at most 1.
    samples : (X, y), optional
        Whose outputs, and whose classes, are looked at: the first 200, as `fit` takes them. By
        default the first of the validation data, or, without any or where they are no arrays, of
        the training data. Fewer where the layers put out much for each.
    classes : sequence of str, optional
        The names of the classes, in the order of the labels.
    image_shape : tuple of int, optional
        Of a sample as an image, (height, width) or (height, width, 1 or 3), whose colours are
        averaged. By default a sample's own shape, if that is (height, width, 1 or 3); or a square,
        if a sample is a row of at least 16 numbers that make one and have weights of their own in
        the first layer. Of images with a side above 32, only every second pixel is kept, or every
        third, and so on.

    Raises
    ------
    ArgumentError
        The folder cannot be written into, `share` is none, or another argument is of the wrong
        kind.
    ShapeError
        From `fit`: samples make no images of `image_shape`.

    Notes
    -----
    Histograms are of at most about 2,000 values of a layer, evenly taken, and leave out what is
    NaN or infinite. A neuron is silent where an activation gives exactly 0 for all samples: a
    `ReLU` can come to that, while a `LeakyReLU` or a `Tanh` that no longer learns goes unseen by
    it. Of a step on several batches (`accumulate`) the loss is the mean of theirs.
    With `shard_optimizer`, where a process has the gradients of its part alone, they are left out.

    Examples
    --------
    >>> import nnfs_xp as nn, json, tempfile
    >>> X, y = nn.data.spiral_data(samples=100, classes=3, seed=0)
    >>> model = nn.Sequential(nn.Dense(2, 64), nn.ReLU(), nn.Dense(64, 3), seed=0)
    >>> trainer = nn.Trainer(
    ...     model, nn.SoftmaxCategoricalCrossentropy(), nn.Adam(0.05), backend="numpy"
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     watch = nn.Watch(folder)
    ...     history = trainer.fit(X, y, epochs=2, callbacks=[watch], progress=False)
    ...     lines = (watch.folder / "watch.jsonl").read_text().splitlines()
    >>> [json.loads(line)["is"] for line in lines]
    ['run', 'steps', 'epoch', 'steps', 'epoch', 'look', 'pictures', 'end']
    """

    only_watches = True

    def __init__(
        self,
        folder: str | Path,
        *,
        share: float = 0.005,
        samples: tuple[Any, Any] | None = None,
        classes: Sequence[str] | None = None,
        image_shape: tuple[int, ...] | None = None,
    ) -> None:
        self.folder = path_of(folder, "folder")
        self.share = _checks.check_range("share", share, 0, open_low=True)
        if self.share > 1:
            raise ArgumentError(f"`share` must be at most 1; got {share!r}.")
        if samples is not None and not (isinstance(samples, (tuple, list)) and len(samples) == 2):
            raise ArgumentError(f"`samples` must be (X, y); got {shown(repr(samples))}.")
        self.samples = samples
        if isinstance(classes, str):
            raise ArgumentError(f"`classes` must be a sequence of names; got {classes!r}.")
        self.classes = None if classes is None else list(map(str, classes))
        self.image_shape = None if image_shape is None else _image_shape(image_shape)
        self.look_share = self.share
        self._fit: WatchedFit | None = None

    def check_paths(self) -> Iterable[Path]:
        self.folder = make_folder(self.folder)
        return [check_writable(self.folder / FILE)]

    def begin_looking(self, sight: Sight) -> None:
        if self._fit is not None:
            raise ArgumentError(f"{self!r} watches another fit just now. Make one for each.")
        writer = WatchWriter(self.folder / FILE)
        self._fit = WatchedFit(sight, writer, self.samples, self.classes, self.image_shape)
        self._fit.begin()

    def look(self, sight: Sight, *, last: bool = False) -> bool:
        del sight
        return self._watched.look(last=last)

    def on_epoch_end(self, trainer: Training, figures: Figures) -> None:
        self._watched.end_epoch(trainer.epoch, figures)

    def on_train_end(self, trainer: Training) -> None:
        del trainer
        self._watched.end()

    def let_go(self) -> None:
        if self._fit is not None:
            self._fit.close()
        self._fit = None

    @property
    def _watched(self) -> WatchedFit:
        if self._fit is None:
            raise ArgumentError(f"{self!r} was let go by another fit. Make one for each.")
        return self._fit


def _image_shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, (tuple, list)) or not (
        len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    ):
        raise ArgumentError(
            "`image_shape` must be (height, width) or (height, width, 1 or 3); got "
            f"{shown(repr(shape))}."
        )
    return tuple(_checks.check_count("image_shape", side) for side in shape)
