"""One `fit` that is watched: what is looked at in it, and what is written of it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from math import prod
from numbers import Real
from time import time
from typing import Any

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp._typing import Array
from nnfs_xp.errors import TrainingWarning
from nnfs_xp.flat_parameters import FlatParameters
from nnfs_xp.layers.chain import Chain, Pass
from nnfs_xp.training.callbacks import Figures
from nnfs_xp.training.layer_figures import figures_of, layer_of, names_of
from nnfs_xp.training.sight import Sight
from nnfs_xp.training.watch_file import WatchWriter
from nnfs_xp.training.watch_pictures import Wrong, image_shape_of, shown_shape, weight_images

_MOST_SAMPLES = 200
_MOST_OUTPUTS = 2**22
"""Numbers that the layers may put out for the samples together."""

_PICTURES_EVERY = 10
"""Looks; the double of it from `_PICTURES` pictures on, and so on, so that the file stays small."""

_PICTURES = 50


class WatchedFit:
    """Looks at a `fit` through a `Sight`, and writes what there is to see.

    Parameters
    ----------
    sight : Sight
    writer : WatchWriter
    samples, classes, image_shape
        As `Watch` takes them.

    Raises
    ------
    NnfsError
        The samples are unfit, or make no such images.
    """

    def __init__(
        self,
        sight: Sight,
        writer: WatchWriter,
        samples: tuple[Any, Any] | None,
        classes: Sequence[str] | None,
        image_shape: Sequence[int] | None,
    ) -> None:
        self._sight = sight
        self._writer = writer
        self._classes = classes
        self._begun_at = self._written = sight.step
        self._before: tuple[FlatParameters, Array] | None = None
        self._n_looks = self._n_pictures = self._next_pictures = 0
        self._blind = False
        self._links = sight.model.links()
        self._chain = Chain(self._links, fuse=False)
        x, y = sight.samples(_MOST_SAMPLES, samples)
        n = self._fitting(x)
        self._x, y = x[:n, ...], y[:n, ...]
        self._shape = image_shape_of(self._x, image_shape, self._links)
        self._wrong = None
        if sight.loss.has_classes:
            counted = sight.loss.counted(y, (y.shape[0],))
            self._wrong = Wrong(self._x, y, self._shape, classes, counted)

    def begin(self) -> None:
        """Write what is trained, and how."""
        sight, shape = self._sight, self._shape
        model = sight.model
        names, parameters = names_of(model), model.parameters()
        shown_names = {names[id(layer)] for layer in self._links} | set(map(layer_of, parameters))
        self._writer.append(
            {
                "is": "run",
                "version": 1,
                "time": time(),
                "model": shown(" → ".join(shown(repr(layer), 60) for layer in self._links), 400),
                "loss": shown(repr(sight.loss)),
                "optimizer": shown(repr(sight.optimizer)),
                "n_parameters": sum(prod(each.shape) for each in parameters.values()),
                "batch_size": sight.batch_size,
                "steps_per_epoch": sight.steps_per_epoch,
                "step": sight.step,
                "layers": [
                    {"name": names[id(layer)], "kind": type(layer).__name__}
                    for _, layer in model.walk()
                    if names[id(layer)] in shown_names
                ],
                "classes": self._classes,
                "image_shape": None if shape is None else shown_shape(shape),
            }
        )

    def look(self, *, last: bool) -> bool:
        """Look at the layers, or keep the weights for that: see `Callback.look`."""
        if self._blind or self._sight.step == self._begun_at:
            return False
        try:
            with np.errstate(all="ignore"):
                return self._look(last=last)
        except Exception as error:  # of a layer of one's own, say, or for want of memory
            self._close_eyes(error)
            return False

    def end_epoch(self, epoch: int, figures: Figures) -> None:
        """Write the figures of an epoch."""
        self._write_losses()
        numbers = {name: value for name, value in figures.items() if isinstance(value, Real)}
        row = {"is": "epoch", "epoch": epoch, "step": self._sight.step, "time": time()}
        self._writer.append({**row, "figures": numbers})

    def end(self) -> None:
        """Write that the training ended by itself."""
        self._write_losses()
        row = {"is": "end", "step": self._sight.step, "time": time(), "how": "finished"}
        self._writer.append(row)

    def close(self) -> None:
        """Write the losses that are left, and close the file."""
        with suppress(Exception):  # what ended the training is to be told, not this
            self._write_losses()
        self._writer.close()

    def _fitting(self, x: Array) -> int:
        """How many of the samples the layers do not put out too much for."""
        try:
            passes = self._chain.trace(x[:1, ...])
        except Exception as error:  # of a layer of one's own
            self._close_eyes(error)
            return 1
        n = _MOST_OUTPUTS // max(1, sum(prod(each.output.shape) for each in passes))
        return min(max(1, n), x.shape[0])

    def _close_eyes(self, error: Exception) -> None:
        self._blind = True
        warnings.warn(
            "the training goes on, but its layers are not looked at: "
            f"{type(error).__name__}: {shown(error)}",
            TrainingWarning,
            stacklevel=2,
        )

    def _look(self, *, last: bool) -> bool:
        """Keep the weights for the time of one step; then look, and let go of them."""
        sight = self._sight
        flat = sight.model.flat
        if self._before is None and not last:
            self._before = flat, flat.backend.xp.asarray(flat.values, copy=True)
            return True
        before, self._before = self._before, None
        self._write_losses()
        passes = self._chain.trace(self._x)
        figures = figures_of(
            sight.model,
            list(zip(self._links, passes, strict=True)),
            None if last else before,
            gradients=sight.gradients_are_whole,
        )
        self._writer.append(
            {
                "is": "look",
                "step": sight.step,
                "time": time(),
                "learning_rate": sight.optimizer.current_learning_rate,
                "layers": figures,
            }
        )
        if last or self._n_looks >= self._next_pictures:
            self._n_pictures += 1
            every = _PICTURES_EVERY << (self._n_pictures // _PICTURES)
            self._next_pictures = self._n_looks + every
            self._write_pictures(passes)
        self._n_looks += 1
        return False

    def _write_pictures(self, passes: list[Pass]) -> None:
        sight = self._sight
        row: dict[str, Any] = {"misclassified": None, "n_wrong": None}
        row["n_samples"] = self._x.shape[0]
        if self._wrong is not None:
            row = self._wrong.row(sight.predictions([each.output for each in passes]))
        weights = weight_images(self._links, self._shape)
        if weights is not None or row["n_wrong"] is not None:
            self._writer.append({"is": "pictures", "step": sight.step, "weights": weights, **row})

    def _write_losses(self) -> None:
        """Write the losses that are not written yet."""
        first, losses = self._sight.losses_from(self._written)
        if losses.size:
            self._written = first + len(losses)
            self._writer.append_losses(first, losses)
