"""The state of a training: what a checkpoint holds, and what an epoch can be begun again from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnfs_xp import _checks
from nnfs_xp._checks import shown
from nnfs_xp._settings import settings_of
from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of, to_numpy
from nnfs_xp.errors import CheckpointError
from nnfs_xp.interop.model_file import check_arrays, describe, put, use_present_names
from nnfs_xp.interop.tensor_file import MALFORMED, Arrays
from nnfs_xp.learning import Learner
from nnfs_xp.schedules import Schedule
from nnfs_xp.training.callbacks import Callback, Training
from nnfs_xp.training.course import Course
from nnfs_xp.training.history import History

_MOST = 2**53
"""More epochs or steps than any training does, and all whole numbers up to it are floats."""


_FORMERLY = {"fuse": True, "precision": "float32", "accumulate": 1, "transform": None}
"""What runs had whose checkpoints say nothing of it."""


def describe_run(
    learner: Learner, course: Course, callbacks: Sequence[Callback], **run: Any
) -> dict[str, Any]:
    """What must be the same for a training to go on: model, loss, optimizer, sizes and more."""
    shards = learner.group.shards
    return {
        "model": describe(learner.model),
        "dtype": learner.model.dtype,
        "loss": settings_of(learner.loss),
        "optimizer": settings_of(learner.optimizer),
        "metrics": [settings_of(metric) for metric in course.totals.metrics],
        "callbacks": [type(callback).__name__ for callback in callbacks],
        "seed": learner.seed,
        "fuse": learner.fuse,
        "precision": learner.precision,
        **({} if shards is None else {"shards": shards}),
        **run,
    }


def check_run(found: Any, expected: dict[str, Any], path: Path) -> None:
    """Refuse a checkpoint of another run.

    Raises
    ------
    CheckpointError
        The message names what differs.
    """
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} describes no run.")
    found = {**_FORMERLY, **found}
    for description in (found, expected):
        use_present_names(description)
    for name in {**expected, **found}:
        if found.get(name) != expected.get(name):
            raise CheckpointError(
                f"{path} is of another run: its {shown(name.replace('_', ' '))} is "
                f"{shown(found.get(name))}, now it is {shown(expected.get(name))}. Use the "
                "settings and data of that run, or another folder."
            )


def device_arrays(learner: Learner) -> dict[str, Array]:
    """All arrays that training changes, by name: weights, buffers, the optimizer's state."""
    flat = learner.model.flat
    state = learner.optimizer.state(learner.model)
    return (
        {"weights": flat.all_values}
        | {f"buffer.{name}": array for name, array in learner.model.buffers().items()}
        | {f"optimizer.{name}": array for name, array in state.items()}
        | {f"precision.{name}": array for name, array in learner.state().items()}
    )


class Snapshot:
    """A copy of a training's arrays and counters, on the device, to return to."""

    def __init__(self, learner: Learner, course: Course) -> None:
        self._arrays = {
            name: backend_of(array).xp.asarray(array, copy=True)
            for name, array in device_arrays(learner).items()
        }
        self.step = course.step
        self._counters = learner.optimizer.iterations, learner.count, course.step

    def restore(self, learner: Learner, course: Course) -> None:
        """Put the training back to where it was, with the weights and not their averages."""
        learner.use_averages(False)
        for name, array in device_arrays(learner).items():
            array[...] = self._arrays[name]
        learner.optimizer.iterations, learner.count, course.step = self._counters
        learner.reseed(learner.count)


def capture(
    learner: Learner,
    course: Course,
    callbacks: Sequence[Callback],
    run: dict[str, Any],
    first_epoch: int,
) -> tuple[dict[str, Any], Arrays]:
    """What a checkpoint holds of a training: a description for JSON, and arrays.

    It is the same however many processes train: all of them ask for it.
    """
    schedules = {name: each.state() for name, each in learner.optimizer.schedules().items()}
    states = [callback.state() for callback in callbacks]
    held = device_arrays(learner).items()
    arrays = {name: to_numpy(each) for name, each in held if not name.startswith("optimizer.")}
    for name, array in learner.optimizer_state():  # whole, also where each process has a part
        if learner.group.rank == 0:
            host = to_numpy(array)
            arrays[f"optimizer.{name}"] = host if learner.group.size == 1 else host.copy()
    totals = course.totals.collected(learner.group)
    arrays |= {f"totals.{name}": array for name, array in totals.state().items()}
    arrays |= {
        f"callback.{number}.{name}": value
        for number, state in enumerate(states)
        for name, value in state.items()
        if isinstance(value, np.ndarray)
    }
    description = {
        "run": run,
        "first_epoch": first_epoch,
        "epoch": course.epoch,
        "step": course.step,
        "steps_done": learner.count,
        "iterations": learner.optimizer.iterations,
        "stopping": course.stopping,
        "history": dict(course.history),
        "schedule": schedules.get("learning_rate", {}),
        **({"decay_schedule": schedules["weight_decay"]} if "weight_decay" in schedules else {}),
        "callbacks": [
            {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}
            for state in states
        ],
    }
    return description, arrays


@dataclass(frozen=True)
class Bounds:
    """What the counts of a checkpoint must agree with.

    Attributes
    ----------
    n_samples, step_samples, n_steps : int or None
        Of an epoch, of a step, and steps of an epoch; None where they are not known.
    figure_names : list of str
    """

    n_samples: int | None
    step_samples: int | None
    n_steps: int | None
    figure_names: list[str]

    def samples_after(self, step: int) -> int | None:
        """The samples of so many steps of an epoch, where that is known."""
        if self.n_samples is None or self.step_samples is None:
            return None
        return min(step * self.step_samples, self.n_samples)


def restore(
    learner: Learner,
    course: Course,
    training: Training,
    callbacks: Sequence[Callback],
    bounds: Bounds,
    description: dict[str, Any],
    arrays: Arrays,
    path: Path,
) -> int:
    """Put a training where the checkpoint was written; return the epoch its `fit` began at.

    Raises
    ------
    CheckpointError
        The checkpoint does not fit, and nothing was changed.
    """
    totals = course.totals.anew()
    try:
        state = _by_part(_own_parts(learner, arrays), len(callbacks))
        targets = device_arrays(learner)
        check_arrays(targets, state.own)
        if state.own.keys() != targets.keys():
            raise CheckpointError(f"it holds {shown(min(state.own.keys() - targets.keys()))}.")
        for name in targets.keys() & {"weights", "optimizer.average"}:
            if not np.isfinite(state.own[name]).all():
                raise CheckpointError(f"its {name} are not finite.")
        counts = _counts(description, bounds)
        history = _history(description, counts, bounds)
        totals.load_state(state.totals, totals.widths)
        if bounds.samples_after(counts["step"]) not in (None, totals.count):
            raise CheckpointError("its totals are not those of so many steps.")
        if not isinstance(description["stopping"], bool):
            raise CheckpointError("it does not say whether the training stops.")
        learnt = _learnt(description["callbacks"], state.callbacks)
        for callback, each in zip(callbacks, learnt, strict=True):
            callback.check_state(training, each)
        parts: list[tuple[Callback | Schedule, Any]] = list(zip(callbacks, learnt, strict=True))
        for name, schedule in learner.optimizer.schedules().items():
            key = "schedule" if name == "learning_rate" else "decay_schedule"
            parts.append((schedule, description[key]))
        _load_all(parts)
    except MALFORMED as error:
        raise CheckpointError(
            f"{path} describes no state of this training: {shown(error)}"
        ) from error
    learner.use_averages(False)
    put(targets, state.own)
    course.epoch, course.step = counts["epoch"], counts["step"]
    learner.count = counts["steps_done"]
    learner.optimizer.iterations = counts["iterations"]
    course.stopping = description["stopping"]
    course.history, course.totals = history, totals
    learner.reseed(learner.count)
    return counts["first_epoch"]


def _own_parts(learner: Learner, arrays: Arrays) -> Arrays:
    """The arrays, of the optimizer's state what this process keeps of it."""
    own = learner.sharing.own_values(learner.model.flat)
    if own is None:
        return arrays
    learner.optimizer.part_state(learner.model, own)
    whole = (learner.model.flat.size,)
    return {
        name: array[own]
        if name.startswith("optimizer.") and name != "optimizer.average" and array.shape == whole
        else array
        for name, array in arrays.items()
    }


class _Parts(NamedTuple):
    own: Arrays
    totals: Arrays
    callbacks: list[Arrays]


def _by_part(arrays: Arrays, n_callbacks: int) -> _Parts:
    """The arrays by whom they belong to, under the names that these gave them."""
    parts = _Parts({}, {}, [{} for _ in range(n_callbacks)])
    for full_name, array in arrays.items():
        owner, _, name = full_name.partition(".")
        if owner == "totals":
            parts.totals[name] = array
        elif owner == "callback":
            number, _, name = name.partition(".")
            parts.callbacks[_checks.check_count("callback", int(number), least=0)][name] = array
        else:
            parts.own[full_name] = array
    return parts


def _counts(description: dict[str, Any], bounds: Bounds) -> dict[str, int]:
    counts = {
        name: _checks.check_count(name, description[name], least=0)
        for name in ("first_epoch", "epoch", "step", "steps_done", "iterations")
    }
    epochs = counts["epoch"] - counts["first_epoch"]
    n_steps = _MOST if bounds.n_steps is None else bounds.n_steps
    steps = counts["step"] if bounds.n_steps is None else epochs * n_steps + counts["step"]
    if (
        epochs < 0
        or counts["step"] > n_steps
        or counts["steps_done"] < steps
        or max(counts.values()) > _MOST
    ):
        per_epoch = "" if bounds.n_steps is None else f" with {bounds.n_steps} steps an epoch"
        raise CheckpointError(f"its counts do not agree{per_epoch}: {shown(counts)}.")
    return counts


def _history(description: dict[str, Any], counts: dict[str, int], bounds: Bounds) -> History:
    found = description["history"]
    epochs = counts["epoch"] - counts["first_epoch"]
    names = set(bounds.figure_names if epochs else ())
    if set(found) != names or not all(
        isinstance(column, list)
        and len(column) == epochs
        and all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in column)
        for column in found.values()
    ):
        raise CheckpointError(f"its history is none of {epochs} epochs.")
    return History({name: [float(each) for each in column] for name, column in found.items()})


def _learnt(descriptions: Any, arrays: list[Arrays]) -> list[dict[str, Any]]:
    """What each callback is to take up."""
    if not isinstance(descriptions, list) or len(descriptions) != len(arrays):
        raise CheckpointError(f"it holds no states of {len(arrays)} callbacks.")
    return [{**each, **own} for each, own in zip(descriptions, arrays, strict=True)]


def _load_all(parts: list[tuple[Callback | Schedule, Any]]) -> None:
    """Hand each its state. Where one raises, all have their former ones."""
    former = [(part, deepcopy(part.state())) for part, _ in parts]
    try:
        for part, state in parts:
            try:
                part.load_state(state)
            except Exception as error:  # of a class that somebody else wrote
                text = f"{type(part).__name__} cannot take up its state: {shown(error)}"
                raise CheckpointError(text) from error
    except BaseException:
        for part, state in former:
            with suppress(Exception):  # the error to be told is the first
                part.load_state(state)
        raise
