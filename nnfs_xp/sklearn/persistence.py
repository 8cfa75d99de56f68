"""An estimator's training as plain values, so that pickle, joblib and skops keep no objects."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from nnfs_xp import layers
from nnfs_xp.backend import get_backend, to_numpy
from nnfs_xp.errors import BackendError
from nnfs_xp.interop.model_file import build, describe, fill, host_arrays
from nnfs_xp.layers import Layer
from nnfs_xp.training import Trainer


def pack_network(network: Layer) -> dict[str, Any]:
    """The network as text and arrays, or as the object that it is if it has layers of one's own."""
    ours = all(getattr(layers, type(la).__name__, None) is type(la) for _, la in network.walk())
    return {
        "backend": network.backend.name if network.backend is not None else "numpy",
        "network": json.dumps(describe(network)) if ours else network,
        "arrays": {name: np.array(array) for name, array in host_arrays(network).items()},
    }


def unpack_network(packed: dict[str, Any]) -> Layer:
    """The network that `pack_network` packed, on its backend if usable, else on NumPy."""
    kept = packed["network"]
    network: Layer = build(json.loads(kept)) if isinstance(kept, str) else kept
    fill(network.to("numpy"), packed["arrays"])
    try:
        backend = get_backend(packed["backend"])
    except BackendError:
        backend = get_backend("numpy")
    return network.to(backend)


def pack_trainer(trainer: Trainer) -> dict[str, Any]:
    """The state of the training, beside the network's weights."""
    optimizer, schedule = trainer.optimizer, trainer.optimizer.learning_rate
    state = optimizer.kept(trainer.model)
    schedules = {name: each.state() for name, each in optimizer.schedules().items()}
    return {
        "kinds": [type(optimizer).__name__, type(schedule).__name__],
        "iterations": optimizer.iterations,
        "exchanged": optimizer.is_exchanged(trainer.model),
        "state": {name: np.array(to_numpy(array)) for name, array in state.items()},
        "schedule": schedules.get("learning_rate", {}),
        **({"decay_schedule": schedules["weight_decay"]} if "weight_decay" in schedules else {}),
        "epoch": trainer.epoch,
        "steps_done": trainer.learner.count,
        "seed": trainer.learner.seed,
    }


def unpack_trainer(packed: dict[str, Any], trainer: Trainer) -> None:
    """Let a new trainer go on where the packed one stopped.

    An optimizer of another kind, as parameters that were set since may ask for, begins anew.
    """
    learner = trainer.learner
    trainer.course.epoch, learner.count = packed["epoch"], packed["steps_done"]
    learner.seed = packed["seed"]
    optimizer, schedule = trainer.optimizer, trainer.optimizer.learning_rate
    if packed["kinds"] != [type(optimizer).__name__, type(schedule).__name__]:
        return
    optimizer.iterations = packed["iterations"]
    model = trainer.model
    weights = to_numpy(model.flat.values).copy()
    if packed["exchanged"]:
        optimizer.exchange_average(model)
        model.flat.values[...] = trainer.backend.asarray(weights)  # they were exchanged before
    for name, array in optimizer.state(model).items() if packed["iterations"] else ():
        if name in packed["state"]:
            array[...] = trainer.backend.asarray(packed["state"][name])
    for name, each in optimizer.schedules().items():
        learnt = packed["schedule"] if name == "learning_rate" else packed.get("decay_schedule")
        if learnt:
            each.load_state(learnt)
