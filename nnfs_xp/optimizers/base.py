"""What every optimizer is: one pass over a model's flat buffers."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from nnfs_xp import _checks
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.layers.base import Layer
from nnfs_xp.parameters import FlatParameters

State = dict[str, Array]


class Optimizer:
    """Base class of the optimizers; derive from it to write one of your own.

    An optimizer names its state in `state_names` and gives `apply`. The state belongs to the
    optimizer, not to the layers: arrays like the flat buffer, zeros before the first step, for
    each model that it has stepped.

    Parameters
    ----------
    learning_rate : float
    decay : float
        The learning rate is divided by 1 + decay * iterations, as in the book (chapter 10).

    Attributes
    ----------
    iterations : int
        Steps done so far.
    """

    state_names: tuple[str, ...] = ()

    def __init__(self, learning_rate: float, decay: float = 0.0) -> None:
        self.learning_rate = _checks.check_range("learning_rate", learning_rate, 0, open_low=True)
        self.decay = _checks.check_range("decay", decay, 0)
        self.iterations = 0
        self._states: WeakKeyDictionary[Layer, State] = WeakKeyDictionary()

    @property
    def current_learning_rate(self) -> float:
        """The learning rate of the next step."""
        return self.learning_rate * (1 / (1 + self.decay * self.iterations))

    def step(self, model: Layer) -> None:
        """Update the model's parameters by its gradients, and count the step."""
        self.update(model)
        self.iterations += 1

    def update(self, layer: Layer) -> None:
        """Update the parameters without counting: for steps made of several layers."""
        flat = layer.flat
        self.apply(flat.backend.xp, flat, self.state(layer))

    def apply(self, xp: Namespace, flat: FlatParameters, state: State) -> None:
        """Change `flat.values`, in place, by `flat.gradients` and the state.

        Here is the formula. `self.iterations` counts the steps before this one.
        """
        raise NotImplementedError

    def state(self, layer: Layer) -> State:
        """The arrays that the optimizer keeps for a model, on the model's backend."""
        flat = layer.flat
        kept = self._states.get(layer)
        if kept is None:
            xp = flat.backend.xp
            kept = {name: xp.zeros_like(flat.values) for name in self.state_names}
        elif any(not flat.backend.owns(array) for array in kept.values()):
            kept = {name: flat.backend.asarray(array) for name, array in kept.items()}
        else:
            return kept
        self._states[layer] = kept
        return kept

    def __getstate__(self) -> dict[str, Any]:
        # Copied together with its models, as a trainer does, it keeps the state for the copies.
        return {**self.__dict__, "_states": list(self._states.items())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _states=WeakKeyDictionary(state["_states"]))
