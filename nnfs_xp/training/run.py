"""One call of `fit`: the loop over epochs and steps, and what surrounds it."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend import host_generator, to_numpy
from nnfs_xp.data.batching import batches
from nnfs_xp.errors import ArgumentError, CheckpointError, DivergenceError, TrainingWarning
from nnfs_xp.learning import Recorder
from nnfs_xp.learning.epoch import Epoch
from nnfs_xp.schedules import Schedule
from nnfs_xp.training.callbacks import Callback, Training
from nnfs_xp.training.checkpoints import Checkpoints
from nnfs_xp.training.course import Course
from nnfs_xp.training.diagnosis import diagnose
from nnfs_xp.training.evaluation import evaluate
from nnfs_xp.training.history import History, numbers_in
from nnfs_xp.training.progress import Progress
from nnfs_xp.training.signals import StopSignals
from nnfs_xp.training.state import Bounds, Snapshot, capture, check_run, describe_run, restore

_log = logging.getLogger("nnfs_xp")


@dataclass
class Run:
    """Trains on prepared data, and knows how to go on where an earlier run was cut.

    Parameters
    ----------
    training : Training
        Handed to the callbacks.
    recorder : Recorder
        Makes the steps.
    course : Course
        Where the training is.
    data : tuple of arrays
        All of n samples, on the device or, where they do not fit there, on the host.
    validation : tuple of arrays or None
    batch_size : int
    shuffle : bool
    callbacks : list of Callback
    checkpoints : Checkpoints or None
    """

    training: Training
    recorder: Recorder
    course: Course
    data: tuple[Any, ...]
    validation: tuple[Any, ...] | None
    batch_size: int
    shuffle: bool
    callbacks: list[Callback]
    checkpoints: Checkpoints | None

    def __post_init__(self) -> None:
        data, validation, batch_size = self.data, self.validation, self.batch_size
        self.learner = self.recorder.learner
        self.n_samples = data[0].shape[0]
        self.n_steps = math.ceil(self.n_samples / batch_size)
        self.description = describe_run(
            self.learner,
            self.course,
            self.callbacks,
            batch_size=batch_size,
            shuffle=self.shuffle,
            samples=self.n_samples,
            validation_samples=None if validation is None else validation[0].shape[0],
            weighted=len(data) > 2,
        )
        model, backend = self.learner.model, self.learner.backend
        self._data = Epoch(backend, model.dtype or "float32", data, batch_size, self.n_steps)
        self._callback_failed = self._unsaved = False
        self._check_rest(data[0].shape)

    def _check_rest(self, shape: tuple[int, ...]) -> None:
        """Refuse a last batch that is too small for a layer; of sequences, all places count."""
        rest = min(self.n_samples % self.batch_size or self.batch_size, self.n_samples)
        for layer, taken in self.learner.model.shapes_within(shape[1:]):
            places = prod(axis or 1 for axis in taken[:-1])
            least = layer.smallest_batch
            if rest * places < least:
                raise ArgumentError(
                    f"with {self.n_samples} samples and `batch_size` {self.batch_size}, a batch "
                    f"would have {rest}; a layer of the model needs {least} at least."
                )

    def execute(self, epochs: int, *, resume: bool, progress: bool) -> History:
        """Train for a number of epochs, those before a resumed checkpoint included."""
        course = self.course
        self._begin(resume)
        last_epoch = self.first_epoch + epochs
        with (
            Progress(last_epoch, self.n_samples, self.batch_size, shown=progress) as bar,
            StopSignals() if self.checkpoints else nullcontext(StopSignals()) as signals,
        ):
            try:
                self._call("on_train_begin")
                while course.epoch < last_epoch and not course.stopping:
                    self._epoch(bar, signals)
                if self._unsaved:
                    self._save()
            except Exception:
                begun = course.step or course.epoch > self.first_epoch
                if self._callback_failed and begun and self._is_finite():
                    self._save()
                raise
            finally:
                self.recorder.forget("epoch")  # and with it the data
        self.learner.use_averages(True)
        self._call("on_train_end")
        return course.history

    def _begin(self, resume: bool) -> None:
        learner, course = self.learner, self.course
        learner.ready()
        names = course.totals.names
        validated = [] if self.validation is None else [f"val_{name}" for name in names]
        figure_names = [*names, *validated, "learning_rate"]
        schedule = learner.optimizer.learning_rate
        if isinstance(schedule, Schedule):
            schedule.check_figures(figure_names)
        for callback in self.callbacks:
            callback.check_figures(figure_names)
        if not learner.optimizer.serves(learner.model):
            raise ArgumentError(
                "the optimizer has stepped another model: its count of steps, and the learning "
                "rate that follows from it, are that model's. Make one for each model."
            )
        found = None if self.checkpoints is None else self._found(self.checkpoints, resume)
        if found is not None:
            description, _, path = found
            check_run(description.get("run"), self.description, path)
            bounds = Bounds(self.n_samples, self.batch_size, self.n_steps, figure_names)
            self.first_epoch = restore(
                learner, course, self.training, self.callbacks, bounds, *found
            )
            _log.info("going on from %s: epoch %d, step %d", path, course.epoch + 1, course.step)
        else:
            learner.use_averages(False)
            learner.reseed(learner.count)
            course.begin()
            self.first_epoch = course.epoch
            for callback in self.callbacks:
                callback.reset()
        course.figure_names = figure_names

    @staticmethod
    def _found(checkpoints: Checkpoints, resume: bool) -> Any:
        """The checkpoint to go on from, or None."""
        checkpoints.open()
        if not resume:
            if checkpoints.files():
                raise CheckpointError(
                    f"{checkpoints.folder} holds checkpoints of an earlier run. Go on from "
                    "them with resume=True, or name another folder."
                )
            return None
        found = checkpoints.load()
        if found is None:
            _log.info("no checkpoint in %s: starting anew", checkpoints.folder)
        return found

    def _epoch(self, bar: Progress, signals: StopSignals) -> None:
        course = self.course
        self._call("on_epoch_begin")
        bar.begin_epoch(course.epoch + 1, course.step * self.batch_size)
        self._snapshot = Snapshot(self.learner, course)
        data, first = self._data, course.step
        data.begin(self._order() if data.on_device else None)
        host = None if data.on_device else self._batches(first)
        for index in range(first, self.n_steps):
            batch = None if host is None else next(host)
            unwatched = index > first + 1 and not self.callbacks
            self.recorder.step_in_epoch(data, index, batch, course.totals, unwatched=unwatched)
            course.step += 1
            self._call("on_step_end")
            bar.end_batch(data.size_of(index), self.training.figures_so_far)
            self._after_step(signals)
        self._end_epoch(bar)
        self._unsaved = True
        if signals.noted is not None:
            self._save()
            self._end(signals)
        elif self.checkpoints is not None and self.checkpoints.due_at_epoch_end():
            self._save()

    def _order(self) -> np.ndarray[Any, Any] | None:
        """The order of the epoch's samples, the same each time that it is asked for."""
        if not self.shuffle:
            return None
        return host_generator(self.learner.seed, self.course.epoch).permutation(self.n_samples)

    def _batches(self, start: int) -> Iterator[tuple[Array, ...]]:
        """The epoch's batches, the first so many left out."""
        return batches(self.data, self.learner.backend, self.batch_size, self._order(), start)

    def _after_step(self, signals: StopSignals) -> None:
        if self.checkpoints is None or self.course.step == self.n_steps:
            return
        if signals.noted is not None:
            self._check_finite()
            self._save()
            self._end(signals)
        elif self.checkpoints.due(self.course.step):
            self._check_finite()
            self._save()

    def _end_epoch(self, bar: Progress) -> None:
        learner, course = self.learner, self.course
        figures_now = course.totals.read()
        self._check_finite()
        with self._averages():
            if self.validation is not None:
                validated = evaluate(learner, course.totals.anew(), self.validation)
                figures_now |= {f"val_{name}": value for name, value in validated.items()}
                if not math.isfinite(figures_now["val_loss"]):
                    self._diverge(f"the validation loss became {figures_now['val_loss']}", "")
            bar.end_epoch(figures_now)
            figures = numbers_in(figures_now)
            figures["learning_rate"] = learner.optimizer.current_learning_rate
            schedule = learner.optimizer.learning_rate
            if isinstance(schedule, Schedule):
                schedule.observe(figures)
            course.end_epoch(figures)
            self._call("on_epoch_end", figures)

    @contextmanager
    def _averages(self) -> Iterator[None]:
        self.learner.use_averages(True)
        try:
            yield
        finally:
            self.learner.use_averages(False)

    def _call(self, hook: str, *arguments: Any) -> None:
        first: Exception | None = None
        for callback in self.callbacks:
            try:
                getattr(callback, hook)(self.training, *arguments)
            except Exception as error:  # the other callbacks are called all the same
                first = first or error
        if first is not None:
            self._callback_failed = True
            raise first

    def _save(self) -> None:
        """Write a checkpoint, if any are kept."""
        if self.checkpoints is None:
            return
        course = self.course
        content = capture(self.learner, course, self.callbacks, self.description, self.first_epoch)
        path = self.checkpoints.save(course.epoch, course.step, *content)
        self._saved = "no new checkpoint could be kept" if path is None else f"checkpoint in {path}"
        self._unsaved = False

    def _end(self, signals: StopSignals) -> None:
        """End the program as the signal would have, now that the checkpoint is there."""
        text = f"stopped after epoch {self.course.epoch}, step {self.course.step}; {self._saved}"
        _log.info(text)
        error = signals.end(text)
        if isinstance(error, SystemExit):
            warnings.warn(text, TrainingWarning, stacklevel=2)
        raise error

    def _check_finite(self) -> None:
        """Raise where the loss or a weight is NaN or infinite: once an epoch or checkpoint."""
        if self._is_finite():
            return
        learner, course = self.learner, self.course
        loss = course.totals.read(collected=False)["loss"]
        begun = self._snapshot.step
        losses = to_numpy(self._data.losses)[begun : course.step]
        bad = next((n for n, each in enumerate(losses) if not math.isfinite(each)), len(losses) - 1)
        what = (
            "a weight became NaN or infinite" if math.isfinite(loss) else f"the loss became {loss}"
        )
        self._snapshot.restore(learner, course)
        first = course.step
        for number, batch in enumerate(self._batches(first)):
            if number == bad:
                where = diagnose(self.recorder, *batch)
                step = f", step {first + bad + 1}"
                # Replayed without the callbacks, a step that these had spoilt is sound.
                found = "" if where.startswith("nothing") else f": first in {where}"
                self._diverge(what, step + found)
            learner.step(*batch)

    def _is_finite(self) -> bool:
        """Whether the weights are, and the loss of the steps of this epoch."""
        learner, totals = self.learner, self.course.totals
        xp, values = learner.backend.xp, learner.model.flat.values
        loss = totals.read(collected=False)["loss"] if totals.count else 0.0
        return math.isfinite(loss) and bool(xp.all(xp.isfinite(values)))

    def _diverge(self, what: str, where: str) -> None:
        self._snapshot.restore(self.learner, self.course)
        raise DivergenceError(
            f"{what} in epoch {self.course.epoch + 1}{where}. The model has its weights from "
            "before that epoch. Lower the learning rate, clip gradients with clip_norm, or scale "
            "the inputs."
        )
