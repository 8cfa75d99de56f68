"""The state of a training: what a checkpoint holds, and what an epoch can be begun again from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnfs_xp._settings import settings_of
from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of, to_numpy
from nnfs_xp.errors import CheckpointError
from nnfs_xp.interop.model_file import describe
from nnfs_xp.interop.tensor_file import MALFORMED, Arrays
from nnfs_xp.schedules import Schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nnfs_xp.training.callbacks import Callback
    from nnfs_xp.training.trainer import Trainer


def describe_run(trainer: Trainer, callbacks: Sequence[Callback], **run: Any) -> dict[str, Any]:
    """What must be the same for a training to go on: model, loss, optimizer, sizes and more."""
    return {
        "model": describe(trainer.model),
        "dtype": trainer.model.dtype,
        "loss": settings_of(trainer.loss),
        "optimizer": settings_of(trainer.optimizer),
        "metrics": [settings_of(metric) for metric in trainer.metrics],
        "callbacks": [type(callback).__name__ for callback in callbacks],
        "seed": trainer.seed,
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
    for name in expected.keys() | found.keys():
        if found.get(name) != expected.get(name):
            raise CheckpointError(
                f"{path} is of another run: its {name.replace('_', ' ')} is {found.get(name)}, "
                f"now it is {expected.get(name)}. Use the settings and data of that run, or "
                "another folder."
            )


def device_arrays(trainer: Trainer) -> dict[str, Array]:
    """All arrays that training changes, by name: weights, buffers, the optimizer's state."""
    flat = trainer.model.flat
    state = trainer.optimizer.state(trainer.model)
    return (
        {"weights": flat.values}
        | {f"buffer.{name}": array for name, array in trainer.model.buffers().items()}
        | {f"optimizer.{name}": array for name, array in state.items()}
    )


class Snapshot:
    """A copy of a training's arrays and counters, on the device, to return to."""

    def __init__(self, trainer: Trainer) -> None:
        self._arrays = {
            name: backend_of(array).xp.asarray(array, copy=True)
            for name, array in device_arrays(trainer).items()
        }
        self._counters = trainer.optimizer.iterations, trainer.steps_done, trainer.step

    def restore(self, trainer: Trainer) -> None:
        """Put the trainer back to where it was."""
        for name, array in device_arrays(trainer).items():
            array[...] = self._arrays[name]
        trainer.optimizer.iterations, trainer.steps_done, trainer.step = self._counters
        trainer.reseed()


def capture(
    trainer: Trainer, callbacks: Sequence[Callback], run: dict[str, Any], first_epoch: int
) -> tuple[dict[str, Any], Arrays]:
    """What a checkpoint holds of a training: a description for JSON, and arrays."""
    schedule = trainer.optimizer.learning_rate
    states = [callback.state() for callback in callbacks]
    arrays = {name: to_numpy(array) for name, array in device_arrays(trainer).items()}
    arrays |= {f"totals.{name}": array for name, array in trainer.totals.state().items()}
    arrays |= {
        f"callback.{number}.{name}": value
        for number, state in enumerate(states)
        for name, value in state.items()
        if isinstance(value, np.ndarray)
    }
    description = {
        "run": run,
        "first_epoch": first_epoch,
        "epoch": trainer.epoch,
        "step": trainer.step,
        "steps_done": trainer.steps_done,
        "iterations": trainer.optimizer.iterations,
        "stopping": trainer.stopping,
        "history": dict(trainer.history),
        "schedule": schedule.state() if isinstance(schedule, Schedule) else {},
        "callbacks": [
            {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}
            for state in states
        ],
    }
    return description, arrays


def restore(
    trainer: Trainer,
    callbacks: Sequence[Callback],
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
    targets = device_arrays(trainer)
    for name, array in targets.items():
        value = arrays.get(name)
        if value is None or value.shape != tuple(array.shape):
            raise CheckpointError(f"{path} holds no {name} of shape {tuple(array.shape)}.")
    try:
        counters = {
            name: int(description[name])
            for name in ("first_epoch", "epoch", "step", "steps_done", "iterations")
        }
        if min(counters.values()) < 0:
            raise CheckpointError(f"{path} counts below 0: {counters}.")
        history = {
            str(name): [float(value) for value in values]
            for name, values in description["history"].items()
        }
        schedule = trainer.optimizer.learning_rate
        if isinstance(schedule, Schedule):
            schedule.load_state(description["schedule"])
        for number, callback in enumerate(callbacks):
            prefix = f"callback.{number}."
            own = {
                name.removeprefix(prefix): value
                for name, value in arrays.items()
                if name.startswith(prefix)
            }
            callback.load_state({**description["callbacks"][number], **own})
        trainer.totals.load_state(
            {
                name.removeprefix("totals."): value
                for name, value in arrays.items()
                if name.startswith("totals.")
            }
        )
    except MALFORMED as error:
        raise CheckpointError(f"{path} describes no state of a training: {error}.") from error
    for name, array in targets.items():
        array[...] = backend_of(array).asarray(arrays[name])
    trainer.epoch, trainer.step = counters["epoch"], counters["step"]
    trainer.steps_done = counters["steps_done"]
    trainer.optimizer.iterations = counters["iterations"]
    trainer.stopping = bool(description.get("stopping"))
    trainer.history.clear()
    trainer.history.update(history)
    trainer.reseed()
    return counters["first_epoch"]
