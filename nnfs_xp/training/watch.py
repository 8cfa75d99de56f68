"""The training side of watching: what a training tells of itself while it goes on, in a file."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from math import prod
from numbers import Real
from pathlib import Path
from time import time
from typing import Any

import numpy as np

from nnfs_xp import _checks
from nnfs_xp._checks import shown
from nnfs_xp._typing import Array
from nnfs_xp.errors import ArgumentError, TrainingWarning
from nnfs_xp.flat_parameters import FlatParameters
from nnfs_xp.interop.paths import check_writable, make_folder, path_of
from nnfs_xp.layers.chain import Chain
from nnfs_xp.training.callbacks import Callback, Figures, Training
from nnfs_xp.training.layer_figures import figures_of, names_of
from nnfs_xp.training.sight import Sight
from nnfs_xp.training.watch_file import FILE, WatchFile
from nnfs_xp.training.watch_pictures import Wrong, image_shape_of, shown_shape, weight_images

_MOST_SAMPLES = 200
_MOST_OUTPUTS = 2**22
"""Numbers that the layers may put out for the samples together."""

_PICTURES_EVERY = 10
"""Looks; the double of it from `_PICTURES` pictures on, and so on, so that the file stays small."""

_PICTURES = 50


class Watch(Callback):
    """Tells of a training while it goes on, in a file that ``nnfs-xp watch`` shows as a page.

    There are the loss of each step, the figures of each epoch, and now and then a look at the
    network: for each layer the norms of its gradients, of its weights and of what one step changes
    of them, histograms of its gradients and of its outputs, and the neurons of a `ReLU` that are
    silent for all samples; more rarely the first layer's weights as images, and the samples that
    are classified wrongly.

    It changes nothing of the training, and takes no more of its time than its share: it looks when
    the time for it has been earned, and in a training of a second or two perhaps never. A training
    that goes on from a checkpoint, or a further `fit`, adds to the file. Only the first of several
    processes writes. It is for `fit`: in a loop of your own, `GradientFlow` can be called.

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
        Of a sample as an image, (height, width) or (height, width, 3), whose colours are averaged.
        By default a square, if a sample is a row of at least 16 numbers that make one and have
        weights of their own in the first layer. Of images with a side above 32, only every second pixel is kept, or every third, and so on.

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
    NaN or infinite. Of a step on several batches (`accumulate`) the loss is the mean of theirs.
    With `shard_optimizer`, where a process has the gradients of its part alone, they are left out.

    Examples
    --------
    >>> import nnfs_xp as nn, tempfile
    >>> X, y = nn.data.spiral_data(samples=100, classes=3, seed=0)
    >>> model = nn.Sequential(nn.Dense(2, 64), nn.ReLU(), nn.Dense(64, 3), seed=0)
    >>> trainer = nn.Trainer(
    ...     model, nn.SoftmaxCategoricalCrossentropy(), nn.Adam(0.05), backend="numpy"
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     watch = nn.Watch(folder)
    ...     history = trainer.fit(X, y, epochs=2, callbacks=[watch], progress=False)
    ...     lines = (watch.folder / "watch.jsonl").read_text().splitlines()
    >>> [line[:13] for line in lines]
    ['{"is":"run","', '{"is":"steps"', '{"is":"epoch"', '{"is":"steps"', '{"is":"epoch"', '{"is":"end","']
    """  # noqa: E501 # the output of an example stands as it is

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
        self._file: WatchFile | None = None
        self._sight: Sight | None = None

    @property
    def look_share(self) -> float:  # type: ignore[override] # it is read alone
        return self.share

    def check_paths(self) -> Iterable[Path]:
        self.folder = make_folder(self.folder)
        return [check_writable(self.folder / FILE)]

    def begin_looking(self, sight: Sight) -> None:
        self._sight = sight
        self._file = WatchFile(self.folder / FILE)
        self._written = self._begun_at = sight.step
        self._before: tuple[FlatParameters, Array] | None = None
        self._looks = self._pictures = 0
        self._next_pictures = 0
        self._blind = False
        model = sight.model
        self._links = model.links()
        self._chain = Chain(self._links, fuse=False)
        x, y = sight.samples(_MOST_SAMPLES, self.samples)
        n = self._fitting(x)
        self._x, y = x[:n, ...], y[:n, ...]
        shape = image_shape_of(self._x, self.image_shape, self._links)
        self._shape = shape
        self._wrong = None
        if sight.loss.has_classes:
            counted = sight.loss.counted(y, (y.shape[0],))
            self._wrong = Wrong(self._x, y, shape, self.classes, counted)
        names = names_of(model)
        ran = {id(layer) for layer in self._links}
        layers = [layer for _, layer in model.walk() if id(layer) in ran or layer._shapes]
        self._write(
            {
                "is": "run",
                "version": 1,
                "time": time(),
                "model": shown(" → ".join(shown(repr(layer), 60) for layer in self._links), 400),
                "loss": shown(repr(sight.loss)),
                "optimizer": shown(repr(sight.optimizer)),
                "n_parameters": sum(prod(each.shape) for each in model.parameters().values()),
                "batch_size": sight.batch_size,
                "steps_per_epoch": sight.steps_per_epoch,
                "step": sight.step,
                "layers": [{"name": names[id(la)], "kind": type(la).__name__} for la in layers],
                "classes": self.classes,
                "image_shape": None if shape is None else shown_shape(shape),
            }
        )

    def _fitting(self, x: Array) -> int:
        """How many of the samples the layers do not put out too much for."""
        try:
            outputs = self._chain.trace(x[:1, ...])
        except Exception as error:  # of a layer of one's own
            self._close_eyes(error)
            return 1
        n = _MOST_OUTPUTS // max(1, sum(prod(each.output.shape) for each in outputs))
        return min(max(1, n), x.shape[0])

    def _close_eyes(self, error: Exception) -> None:
        self._blind = True
        warnings.warn(
            "the training goes on, but its layers are not looked at: "
            f"{type(error).__name__}: {shown(error)}",
            TrainingWarning,
            stacklevel=2,
        )

    def look(self, sight: Sight, *, last: bool = False) -> bool:
        if self._blind or sight.step == self._begun_at:
            return False
        try:
            with np.errstate(all="ignore"):
                return self._look(sight, last=last)
        except Exception as error:  # of a layer of one's own, say, or for want of memory
            self._close_eyes(error)
            return False

    def _look(self, sight: Sight, *, last: bool) -> bool:
        """Keep the weights for the time of one step; then look, and let go of them."""
        flat = sight.model.flat
        if self._before is None and not last:
            self._before = flat, flat.backend.xp.asarray(flat.values, copy=True)
            return True
        before, self._before = self._before, None
        self._write_losses()
        outputs = [each.output for each in self._chain.trace(self._x)]
        figures = figures_of(
            sight.model,
            list(zip(self._links, outputs, strict=True)),
            None if last else before,
            gradients=sight.gradients_are_whole,
        )
        self._write(
            {
                "is": "look",
                "step": sight.step,
                "time": time(),
                "learning_rate": sight.optimizer.current_learning_rate,
                "layers": figures,
            }
        )
        if last or self._looks >= self._next_pictures:
            self._pictures += 1
            every = _PICTURES_EVERY << (self._pictures // _PICTURES)
            self._next_pictures = self._looks + every
            self._write_pictures(sight, outputs)
        self._looks += 1
        return False

    def _write_pictures(self, sight: Sight, outputs: list[Array]) -> None:
        row: dict[str, Any] = {"misclassified": None, "n_wrong": None}
        row["n_samples"] = self._x.shape[0]
        if self._wrong is not None:
            row = self._wrong.row(sight.predictions(outputs))
        weights = weight_images(self._links, self._shape)
        if weights is not None or row["n_wrong"] is not None:
            self._write({"is": "pictures", "step": sight.step, "weights": weights, **row})

    def on_epoch_end(self, trainer: Training, figures: Figures) -> None:
        self._write_losses()
        numbers = {name: value for name, value in figures.items() if isinstance(value, Real)}
        step = trainer.optimizer.iterations
        row = {"is": "epoch", "epoch": trainer.epoch, "step": step, "time": time()}
        self._write({**row, "figures": numbers})

    def on_train_end(self, trainer: Training) -> None:
        self._write_losses()
        step = trainer.optimizer.iterations
        self._write({"is": "end", "step": step, "time": time(), "how": "finished"})

    def let_go(self) -> None:
        if self._file is not None:
            with suppress(Exception):  # what ended the training is to be told, not this
                self._write_losses()
            self._file.close()
        self._file = self._sight = self._before = None
        self._x = self._wrong = self._chain = self._links = None  # type: ignore[assignment]

    def _write_losses(self) -> None:
        """Write the losses that are not written yet."""
        assert self._sight is not None
        assert self._file is not None
        first, losses = self._sight.losses_from(self._written)
        if not losses.size:
            return
        self._written = first + len(losses)
        self._file.append_losses(first, losses)

    def _write(self, row: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.append(row)


def _image_shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, (tuple, list)) or not (
        len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    ):
        raise ArgumentError(
            "`image_shape` must be (height, width) or (height, width, 3); got "
            f"{shown(repr(shape))}."
        )
    return tuple(_checks.check_count("image_shape", side) for side in shape)
