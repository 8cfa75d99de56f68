"""One call of `fit`: the loop over epochs and steps, and what surrounds it."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend import host_generator, to_numpy
from nnfs_xp.data.batching import batches
from nnfs_xp.errors import ArgumentError, CheckpointError, DivergenceError, TrainingWarning
from nnfs_xp.schedules import Schedule
from nnfs_xp.training.callbacks import Callback
from nnfs_xp.training.checkpoints import Checkpoints
from nnfs_xp.training.diagnosis import diagnose
from nnfs_xp.training.history import History, numbers_in
from nnfs_xp.training.progress import Progress
from nnfs_xp.training.recording import Epoch
from nnfs_xp.training.signals import StopSignals
from nnfs_xp.training.state import Bounds, Snapshot, capture, check_run, describe_run, restore

if TYPE_CHECKING:
    from nnfs_xp.training.trainer import Trainer

_log = logging.getLogger("nnfs_xp")


class Run:
    """Trains on prepared data, and knows how to go on where an earlier run was cut.

    Parameters
    ----------
    trainer : Trainer
    data : tuple of arrays
        All of n samples, on the device or, where they do not fit there, on the host.
    validation : tuple of arrays or None
    batch_size : int
    shuffle : bool
    callbacks : list of Callback
    checkpoints : Checkpoints or None
    """

    def __init__(
        self,
        trainer: Trainer,
        data: tuple[Any, ...],
        validation: tuple[Any, ...] | None,
        batch_size: int,
        shuffle: bool,
        callbacks: list[Callback],
        checkpoints: Checkpoints | None,
    ) -> None:
        self.trainer = trainer
        self.data = data
        self.validation = validation
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.callbacks = callbacks
        self.checkpoints = checkpoints
        self.n_samples = data[0].shape[0]
        self.n_steps = math.ceil(self.n_samples / batch_size)
        self.description = describe_run(
            trainer,
            callbacks,
            batch_size=batch_size,
            shuffle=shuffle,
            samples=self.n_samples,
            validation_samples=None if validation is None else validation[0].shape[0],
            weighted=len(data) > 2,
        )
        self._steps = Epoch(trainer, data, batch_size, self.n_steps)
        self._callback_failed = self._unsaved = False
        smallest = max(layer.smallest_batch for _, layer in trainer.model.walk())
        rest = self.n_samples % batch_size or batch_size
        if min(rest, self.n_samples) < smallest:
            raise ArgumentError(
                f"with {self.n_samples} samples and `batch_size` {batch_size}, a batch would have "
                f"{min(rest, self.n_samples)}; a layer of the model needs {smallest} at least."
            )

    def execute(self, epochs: int, *, resume: bool, progress: bool) -> History:
        """Train for a number of epochs, those before a resumed checkpoint included."""
        trainer = self.trainer
        self._begin(resume)
        last_epoch = self.first_epoch + epochs
        with (
            Progress(last_epoch, self.n_samples, self.batch_size, shown=progress) as bar,
            StopSignals() if self.checkpoints else _no_signals() as signals,
        ):
            try:
                self._call("on_train_begin")
                while trainer.epoch < last_epoch and not trainer.stopping:
                    self._epoch(bar, signals)
                if self._unsaved:
                    self._save()
            except Exception:
                begun = trainer.step or trainer.epoch > self.first_epoch
                if self._callback_failed and begun and self._is_finite():
                    self._save()
                raise
            finally:
                trainer.recorder.forget("epoch")  # and with it the data
        trainer.use_averages(True)
        self._call("on_train_end")
        return trainer.history

    def _begin(self, resume: bool) -> None:
        trainer = self.trainer
        names = ["loss", *(m.name for m in trainer.metrics if trainer.metric_kinds[m.name].number)]
        validated = [] if self.validation is None else [f"val_{name}" for name in names]
        figure_names = [*names, *validated, "learning_rate"]
        schedule = trainer.optimizer.learning_rate
        if isinstance(schedule, Schedule):
            schedule.check_figures(figure_names)
        for callback in self.callbacks:
            callback.check_figures(figure_names)
        if not trainer.optimizer.serves(trainer.model):
            raise ArgumentError(
                "the optimizer has stepped another model: its count of steps, and the learning "
                "rate that follows from it, are that model's. Make one for each model."
            )
        found = None
        if self.checkpoints is not None:
            self.checkpoints.open()
            if resume:
                found = self.checkpoints.load()
            elif self.checkpoints.files():
                raise CheckpointError(
                    f"{self.checkpoints.folder} holds checkpoints of an earlier run. Go on from "
                    "them with resume=True, or name another folder."
                )
        if found is not None:
            description, _, path = found
            check_run(description.get("run"), self.description, path)
            bounds = Bounds(self.n_samples, self.batch_size, self.n_steps, figure_names)
            self.first_epoch = restore(trainer, self.callbacks, bounds, *found)
            _log.info("going on from %s: epoch %d, step %d", path, trainer.epoch + 1, trainer.step)
        else:
            trainer.use_averages(False)
            trainer.history, trainer.stopping, trainer.step = History(), False, 0
            trainer.totals.clear()
            trainer.reseed()
            self.first_epoch = trainer.epoch
            for callback in self.callbacks:
                callback.reset()
            if resume and self.checkpoints is not None:
                _log.info("no checkpoint in %s: starting anew", self.checkpoints.folder)
        trainer.figure_names = figure_names

    def _epoch(self, bar: Progress, signals: StopSignals) -> None:
        trainer = self.trainer
        self._call("on_epoch_begin")
        bar.begin_epoch(trainer.epoch + 1, trainer.step * self.batch_size)
        self._snapshot = Snapshot(trainer)
        epoch, first = self._steps, trainer.step
        epoch.begin(self._order() if epoch.on_device else None)
        host = None if epoch.on_device else self._batches(first)
        for index in range(first, self.n_steps):
            batch = None if host is None else next(host)
            unwatched = index > first + 1 and not self.callbacks
            trainer.recorder.step_in_epoch(trainer, epoch, index, batch, unwatched=unwatched)
            trainer.step += 1
            self._call("on_step_end")
            bar.end_batch(epoch.size_of(index), self._figures_so_far)
            self._after_step(signals)
        self._end_epoch(bar)
        self._unsaved = True
        if signals.noted is not None:
            self._save()
            self._end(signals)
        elif self.checkpoints is not None and self.checkpoints.due_at_epoch_end():
            self._save()

    def _figures_so_far(self) -> dict[str, Any]:
        return self.trainer.totals.read(collected=False)

    def _order(self) -> np.ndarray[Any, Any] | None:
        """The order of the epoch's samples, the same each time that it is asked for."""
        if not self.shuffle:
            return None
        return host_generator(self.trainer.seed, self.trainer.epoch).permutation(self.n_samples)

    def _batches(self, start: int) -> Iterator[tuple[Array, ...]]:
        """The epoch's batches, the first so many left out."""
        return batches(self.data, self.trainer.backend, self.batch_size, self._order(), start)

    def _after_step(self, signals: StopSignals) -> None:
        if self.checkpoints is None or self.trainer.step == self.n_steps:
            return
        if signals.noted is not None:
            self._check_finite()
            self._save()
            self._end(signals)
        elif self.checkpoints.due(self.trainer.step):
            self._check_finite()
            self._save()

    def _end_epoch(self, bar: Progress) -> None:
        trainer = self.trainer
        row = trainer.totals.read()
        self._check_finite()
        with self._averages():
            if self.validation is not None:
                validated = trainer.evaluate_prepared(self.validation)
                row |= {f"val_{name}": value for name, value in validated.items()}
                if not math.isfinite(row["val_loss"]):
                    self._diverge(f"the validation loss became {row['val_loss']}", "")
            bar.end_epoch(row)
            figures = numbers_in(row)
            figures["learning_rate"] = trainer.optimizer.current_learning_rate
            schedule = trainer.optimizer.learning_rate
            if isinstance(schedule, Schedule):
                schedule.observe(figures)
            trainer.history.append(figures)
            trainer.epoch += 1
            trainer.step = 0
            trainer.totals.clear()
            self._call("on_epoch_end", figures)

    @contextmanager
    def _averages(self) -> Iterator[None]:
        self.trainer.use_averages(True)
        try:
            yield
        finally:
            self.trainer.use_averages(False)

    def _call(self, hook: str, *arguments: Any) -> None:
        first: Exception | None = None
        for callback in self.callbacks:
            try:
                getattr(callback, hook)(self.trainer, *arguments)
            except Exception as error:  # the others still see what they are to see
                first = first or error
        if first is not None:
            self._callback_failed = True
            raise first

    def _save(self) -> None:
        """Write a checkpoint, if any are kept."""
        if self.checkpoints is None:
            return
        trainer = self.trainer
        content = capture(trainer, self.callbacks, self.description, self.first_epoch)
        path = self.checkpoints.save(trainer.epoch, trainer.step, *content)
        self._saved = "no new checkpoint could be kept" if path is None else f"checkpoint in {path}"
        self._unsaved = False

    def _end(self, signals: StopSignals) -> None:
        """End the program as the signal would have, now that the checkpoint is there."""
        trainer = self.trainer
        text = f"stopped after epoch {trainer.epoch}, step {trainer.step}; {self._saved}"
        _log.info(text)
        error = signals.end(text)
        if isinstance(error, SystemExit):
            warnings.warn(text, TrainingWarning, stacklevel=2)
        raise error

    def _check_finite(self) -> None:
        """Raise where the loss or a weight is NaN or infinite: once an epoch or checkpoint."""
        if self._is_finite():
            return
        trainer = self.trainer
        loss = trainer.totals.read(collected=False)["loss"]
        begun = self._snapshot.step
        losses = to_numpy(self._steps.losses)[begun : trainer.step]
        bad = next((n for n, each in enumerate(losses) if not math.isfinite(each)), len(losses) - 1)
        what = (
            "a weight became NaN or infinite" if math.isfinite(loss) else f"the loss became {loss}"
        )
        self._snapshot.restore(trainer)
        first = trainer.step
        for number, batch in enumerate(self._batches(first)):
            if number == bad:
                where = diagnose(trainer, *batch)
                step = f", step {first + bad + 1}"
                # Replayed without the callbacks, a step that these had spoilt is sound.
                found = "" if where.startswith("nothing") else f": first in {where}"
                self._diverge(what, step + found)
            trainer.make_step(*batch)

    def _is_finite(self) -> bool:
        """Whether the weights are, and the loss of the steps of this epoch."""
        xp, values = self.trainer.backend.xp, self.trainer.model.flat.values
        loss = (
            self.trainer.totals.read(collected=False)["loss"] if self.trainer.totals.count else 0.0
        )
        return math.isfinite(loss) and bool(xp.all(xp.isfinite(values)))

    def _diverge(self, what: str, where: str) -> None:
        epoch = self.trainer.epoch + 1
        self._snapshot.restore(self.trainer)
        raise DivergenceError(
            f"{what} in epoch {epoch}{where}. The model has its weights from before that epoch. "
            "Lower the learning rate, clip gradients with clip_norm, or scale the inputs."
        )


@contextmanager
def _no_signals() -> Iterator[StopSignals]:
    yield StopSignals()
