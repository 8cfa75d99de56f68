"""One call of `fit`: the loop over epochs and steps, and what surrounds it."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from nnfs_xp._checks import of_argument
from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import (
    ArgumentError,
    CheckpointError,
    DataError,
    DivergenceError,
    LabelError,
    NnfsError,
    TrainingWarning,
)
from nnfs_xp.learning import Recorder
from nnfs_xp.learning.epoch import Batch
from nnfs_xp.training.accord import Accord, Decision, check_seen_by_all, whole_batch
from nnfs_xp.training.callbacks import (
    Callback,
    Training,
    acts_on,
    check_all_paths,
    is_called_on,
)
from nnfs_xp.training.checkpoints import Checkpoints
from nnfs_xp.training.course import Course
from nnfs_xp.training.diagnosis import diagnose
from nnfs_xp.training.evaluation import evaluate
from nnfs_xp.training.feeding import Evaluated, Fed
from nnfs_xp.training.history import History, numbers_in
from nnfs_xp.training.looking import Looking
from nnfs_xp.training.progress import Progress, Shown
from nnfs_xp.training.sight import Sight
from nnfs_xp.training.signals import StopSignals
from nnfs_xp.training.state import Bounds, Snapshot, capture, check_run, describe_run, restore
from nnfs_xp.training.step_losses import StepLosses
from nnfs_xp.training.trust import Trust
from nnfs_xp.training.uniting import check_same_data, check_same_weights, unite

_log = logging.getLogger("nnfs_xp")

_STEPS = 16
"""Recorded steps from one agreement to the next."""


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
    fed : Fed
        What it is trained on.
    validation : Evaluated or None
    callbacks : list of Callback
    checkpoints : Checkpoints or None
    """

    training: Training
    recorder: Recorder
    course: Course
    fed: Fed
    validation: Evaluated | None
    callbacks: list[Callback]
    checkpoints: Checkpoints | None

    def __post_init__(self) -> None:
        self.learner = self.recorder.learner
        self.group = self.learner.group
        self._data = self.fed.epoch
        mine = [each for each in self.callbacks if is_called_on(self.group.rank, each)]
        self._accord = Accord(self.group, mine)
        self._actors = [each for each in self.callbacks if not each.only_watches]
        course, validation = self.course, self.validation
        self._losses = StepLosses(self.learner, self._data, lambda: course.step)
        sight = Sight(self.learner, self.fed, validation, course.totals, self._losses)
        self._looking = Looking(self._accord, sight)
        self.description = describe_run(
            self.learner,
            course,
            self._actors,
            validation_samples=None if validation is None else validation.n_samples,
            **self.fed.description,
            accumulate=self._data.accumulate,
        )
        self._callback_failed = self._unsaved = False
        self._saved = "there was nothing to keep"
        self._named_figures: set[str] = set()

    def execute(self, epochs: int, *, resume: bool, progress: Shown) -> History:
        """Train for a number of epochs, those before a resumed checkpoint included."""
        course = self.course
        self._begin(epochs, resume)
        last_epoch = self.first_epoch + epochs
        progress = progress if self.group.rank == 0 else False
        with (
            Progress(last_epoch, self._data.n_steps, self._data.n_samples, shown=progress) as bar,
            StopSignals() if self.checkpoints else nullcontext(StopSignals()) as signals,
        ):
            read = [self._data]
            if self.validation is not None and self.validation.epoch is not None:
                read.append(self.validation.epoch)
            if self.group.size == 1:  # else all go on to the step after which they agree
                for epoch in read:
                    epoch.interrupted = lambda: signals.noted is not None
            try:
                self._looking.begin()
                self._call("on_train_begin")
                self._decided = Decision.alone(course, signals).agreed(self.group)
                while course.epoch < last_epoch and not self._decided.ends:
                    self._epoch(bar, signals)
                if self._unsaved:
                    self._save()
            except Exception as error:
                if self.group.size > 1:  # what all were to save is saved: see `_call`
                    raise
                from_outside = self._callback_failed or isinstance(error, NnfsError)
                diverged = isinstance(error, DivergenceError)
                if from_outside and not diverged:
                    if self._has_begun and self._is_finite():
                        self._save()
                    if signals.noted is not None:  # which may be why the source failed
                        self._decided = Decision.alone(course, signals)
                        self._end(signals)
                raise
            finally:
                self.recorder.forget("epoch")  # and with it the data
                self.learner.forget_sums()
        self.group.settle()
        self._looking.end()
        self.learner.use_averages(True)
        self._call("on_train_end")
        return course.history

    def _begin(self, epochs: int, resume: bool) -> None:
        learner, course = self.learner, self.course
        learner.ready()
        learner.check_state()
        course.cut = False
        figures = course.figures(validated=self.validation is not None)
        figure_names = list(figures)
        for schedule in learner.optimizer.schedules().values():
            schedule.check_figures(figures)
        for callback in self.callbacks:
            callback.check_figures(figures)
        if not learner.optimizer.serves(learner.model):
            raise ArgumentError(
                "the optimizer has stepped another model: its count of steps, and the learning "
                "rate that follows from it, are that model's. Make one for each model."
            )
        found = None
        if self.checkpoints is not None:
            found = self._found(self.checkpoints, resume)
        validated = () if self.validation is None else self.validation.whole
        # Here those that only watch count too: a process without callbacks would not take part when
        # the others agree whether one has failed.
        names = [type(callback).__name__ for callback in self.callbacks]
        told = {"epochs": epochs, "resume": resume, **self.description, "callbacks": names}
        check_same_data(learner, self.fed.whole, validated, **told)
        if found is not None:
            description, _, path = found
            check_run(description.get("run"), self.description, path)
        else:
            course.check_schedules(learner.optimizer)
        check_all_paths(self._accord.callbacks)
        if found is not None:
            bounds = Bounds(
                self._data.n_samples, self.fed.step_samples, self._data.n_steps, figure_names
            )
            self.first_epoch = restore(learner, course, self.training, self._actors, bounds, *found)
            course.mark_callbacks(self.callbacks)
            if self.group.rank:
                course.totals.let_go_of_rows()  # which rank 0 has
            self._resume(path)
        else:
            learner.use_averages(False)
            unite(learner)
            learner.reseed(learner.count)
            course.begin()
            self.first_epoch = course.epoch
            course.begin_callbacks(self.callbacks)
        course.figure_names = figure_names

    def _resume(self, path: Path) -> None:
        """Go on in the middle of an epoch where the data can, else at its start; say which."""
        course = self.course
        epoch, step = course.epoch + 1, course.step
        if step and not self._data.seeks:
            course.step = 0
            course.totals.clear()
            _log.warning(
                "going on from %s, made after step %d of epoch %d: at the start of that epoch, "
                "for the source of batches cannot be entered in its middle",
                *(path, step, epoch),
            )
        else:
            _log.info("going on from %s: epoch %d, after step %d", path, epoch, step)

    def _found(self, checkpoints: Checkpoints, resume: bool) -> Any:
        """The checkpoint to go on from, or None: rank 0 reads it for all."""
        found = self.group.on_rank_0(lambda: self._read(checkpoints, resume))
        check_seen_by_all(self.group, checkpoints.folder)
        return found

    @staticmethod
    def _read(checkpoints: Checkpoints, resume: bool) -> Any:
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
        course, data = self.course, self._data
        self._call("on_epoch_begin")
        bar.begin_epoch(course.epoch + 1, course.step, course.totals.count)
        self._snapshot = Snapshot(self.learner, course)
        looking = self._looking
        # Actors are called in any case: a hook may be set on them in the middle of an epoch.
        calls = any(
            not each.only_watches or acts_on(each, "on_step_end") for each in self._accord.callbacks
        )
        self._losses.begin_epoch(course.step)
        trust = Trust(self._actors, data, course.step)
        with closing(self._steps()) as steps:
            for group in steps:
                index = course.step
                unwatched = trust.covers(index, group)
                try:
                    self.recorder.step_in_epoch(
                        data, index, group, course.totals, unwatched=unwatched
                    )
                except LabelError as error:
                    if not data.transforms:
                        raise
                    raise LabelError(
                        f"{error} They are as `transform` made them. If it has `n_classes`, give "
                        "as many as the model has outputs."
                    ) from error
                course.step += 1
                if looking.wanted:
                    self._losses.last_batches = len(group)
                    if monotonic() >= looking.due:
                        self._look()
                if calls:
                    self._call("on_step_end")
                n_samples = sum([batch.whole for batch in group])
                bar.end_batch(n_samples, self.training.figures_so_far)
                self._after_step(signals)
                if self._decided.cut and course.step != data.n_steps:
                    return
        self._losses.end_epoch()
        self._end_epoch(bar)
        self._unsaved = True
        due = self.checkpoints is not None and self.checkpoints.due_at_epoch_end()
        self._decide(signals, due)
        if self._decided.signal or self._decided.due:
            self._save()
        if self._decided.signal:
            self._end(signals)

    def _steps(self) -> Generator[tuple[Batch, ...], None, None]:
        """The batches of the rest of the present epoch, those of one step together."""
        course = self.course
        return self._data.walk(course.epoch, course.step, self.learner.count)

    def _after_step(self, signals: StopSignals) -> None:
        course = self.course
        if course.step == self._data.n_steps:
            return  # the epoch's end comes at once
        due = self.checkpoints is not None and self.checkpoints.due(course.step)
        if self.group.size == 1:
            decides = due or course.cut or signals.noted is not None
        else:
            decides = self._decides_at(course.step)
        if not decides:
            return
        self._decide(signals, due)
        if self._decided.signal or self._decided.cut or self._decided.due:
            self._check_finite()
            self._save()
        if self._decided.signal:
            self._end(signals)

    def _decides_at(self, step: int) -> bool:
        """Whether the processes agree after that step: on a GPU, which nobody waits for, rarely."""
        every = None if self.checkpoints is None else self.checkpoints.every_steps
        if self._actors or not self.recorder.records or (every and step % every == 0):
            return True
        return step % _STEPS == 0

    def _decide(self, signals: StopSignals, due: bool) -> None:
        """Decide, for all processes alike, whether to stop, to save and to fail.

        What comes while they agree, a signal say, is for the next time.
        """
        own = Decision.alone(self.course, signals, due and self.group.rank == 0)
        self._decided = own.agreed(self.group)
        if self.group.size == 1:
            return
        self.course.stopping = self.course.stopping or self._decided.stopping
        self._fail_together(saves=True)

    def _fail_together(self, *, saves: bool) -> None:
        """Raise in all processes where a callback has raised in one."""
        if self.callbacks and self.group.agree(self._accord.failed)[0]:
            if saves and self._has_begun and self._is_finite():
                self._save()
            self._accord.raise_failure()

    @property
    def _has_begun(self) -> bool:
        """Whether a step was made: before that there is nothing to save."""
        return bool(self.course.step or self.course.epoch > self.first_epoch)

    def _end_epoch(self, bar: Progress) -> None:
        learner, course = self.learner, self.course
        self.group.settle()
        figures_now, n_samples = course.totals.collected(self.group).read(), course.totals.count
        self._check_finite()
        with self._averages():
            if self.validation is not None:
                with of_argument("validation_data"):
                    validated = evaluate(
                        self.recorder, course.totals.anew(), self.validation.batches(course.epoch)
                    )
                figures_now |= {f"val_{name}": value for name, value in validated.items()}
                if not math.isfinite(figures_now["val_loss"]):
                    self._diverge(f"the validation loss became {figures_now['val_loss']}", "")
            bar.end_epoch(figures_now)
            figures = numbers_in(figures_now)
            figures["learning_rate"] = learner.optimizer.current_learning_rate
            schedules = {id(each): each for each in learner.optimizer.schedules().values()}
            for schedule in schedules.values():  # once, where both settings follow one
                schedule.observe(figures)
                course.mark_schedules(learner.optimizer)
            course.end_epoch(figures)
            self._warn_of_figures(figures)
            check_same_weights(learner, course.epoch, n_samples)
            self._call("on_epoch_end", figures)

    def _warn_of_figures(self, figures: dict[str, float]) -> None:
        """Name each figure that is NaN or infinite, once."""
        for name, value in figures.items() if self.group.rank == 0 else ():
            if not math.isfinite(value) and name not in self._named_figures:
                self._named_figures.add(name)
                what = "NaN" if math.isnan(value) else "infinite"
                warnings.warn(
                    f"`{name}` is {what} after epoch {self.course.epoch}: callbacks that watch it "
                    "see no improvement.",
                    TrainingWarning,
                    stacklevel=2,
                )

    @contextmanager
    def _averages(self) -> Iterator[None]:
        self.learner.use_averages(True)
        try:
            yield
        finally:
            self.learner.use_averages(False)

    def _look(self) -> None:
        """Have callbacks look, when the device has done what it was asked to."""
        self.group.settle()
        self.learner.backend.synchronize()
        self._looking.look()
        self._raise_own()

    def _raise_own(self) -> None:
        """Raise what a callback raised, where there is no other process to agree with."""
        if self.group.size == 1 and self._accord.failed:
            self._callback_failed = True
            self._accord.raise_failure()

    def _call(self, hook: str, *arguments: Any) -> None:
        self._accord.call(hook, self.training, *arguments)
        if self.group.size == 1:
            self._raise_own()
        elif hook not in ("on_step_end", "on_epoch_end"):  # behind these all agree anyway
            self._fail_together(saves=hook == "on_epoch_begin")

    def _save(self) -> None:
        """Write a checkpoint, if any are kept: what all processes have, by rank 0."""
        if self.checkpoints is None:
            return
        course = self.course
        self.group.settle()
        content = capture(self.learner, course, self._actors, self.description, self.first_epoch)
        if self.group.rank:
            self._unsaved = False
            return
        path = self.checkpoints.save(course.epoch, course.step, *content)
        self._saved = "no new checkpoint could be kept" if path is None else f"checkpoint in {path}"
        self._unsaved = False

    def _end(self, signals: StopSignals) -> None:
        """End the program as the signal would have, now that the checkpoint is there."""
        text = f"stopped after epoch {self.course.epoch}, step {self.course.step}; {self._saved}"
        signals.noted = self._decided.signal
        if self.group.rank:
            raise signals.end(text)
        _log.info(text)
        error = signals.end(text)
        if isinstance(error, SystemExit):
            warnings.warn(text, TrainingWarning, stacklevel=2)
        raise error

    def _check_finite(self) -> None:
        """Raise where the loss or a weight is NaN or infinite: once an epoch or checkpoint."""
        if self._is_finite():
            return
        course = self.course
        loss = course.totals.read_loss()
        first = self._snapshot.step * self._data.accumulate
        losses = to_numpy(self._data.losses)[first : course.step * self._data.accumulate]
        bad = next((n for n, each in enumerate(losses) if not math.isfinite(each)), len(losses) - 1)
        bad = -int(self.group.agree(-bad)[0])
        self._losses.keep()
        what = (
            "a weight became NaN or infinite" if math.isfinite(loss) else f"the loss became {loss}"
        )
        self._snapshot.restore(self.learner, course)
        with suppress(DataError):  # a source may give no more, or others
            self._replay(first, bad, what)
        self._diverge(what, f", step {1 + (first + bad) // self._data.accumulate}")

    def _replay(self, first: int, bad: int, what: str) -> None:
        """Train again up to the bad batch, and raise with what is found there."""
        learner, data = self.learner, self._data
        with closing(self._steps()) as steps:
            index = 0
            for group in steps:
                for place, batch in enumerate(group):
                    arrays = data.arrays_of(batch)
                    if index == bad:
                        where = diagnose(self.recorder, *whole_batch(self.group, batch, arrays))
                        step = f", step {1 + (first + bad) // data.accumulate}"
                        # Replayed without the callbacks, a step that these had spoilt is sound.
                        found = "" if where.startswith("nothing") else f": first in {where}"
                        self._diverge(what, step + found)
                    adds, updates = data.accumulate > 1, place == len(group) - 1
                    learner.step(*arrays, adds=adds, updates=updates, share=batch.share)
                    index += 1

    def _is_finite(self) -> bool:
        """Whether the weights are, and the loss of the steps of this epoch."""
        learner, totals = self.learner, self.course.totals
        xp, values = learner.backend.xp, learner.model.flat.values
        self.group.settle()
        loss = totals.read_loss() if totals.count else 0.0
        finite = math.isfinite(loss) and bool(xp.all(xp.isfinite(values)))
        return not self.group.agree(not finite)[0]

    def _diverge(self, what: str, where: str) -> None:
        self._snapshot.restore(self.learner, self.course)
        hint = ""
        if self._data.transforms:
            hint = " Or see to the transform: a label that is no class makes the loss NaN too."
        raise DivergenceError(
            f"{what} in epoch {self.course.epoch + 1}{where}. The model has its weights from "
            "before that epoch. Lower the learning rate, clip gradients with clip_norm, or scale "
            f"the inputs.{hint}"
        )
