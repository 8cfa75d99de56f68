"""What every optimizer is: one pass over a model's flat buffers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypedDict
from weakref import WeakKeyDictionary, WeakSet

from nnfs_xp import _checks
from nnfs_xp._settings import repr_of
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.errors import ArgumentError, NotReadyError
from nnfs_xp.flat_parameters import FlatParameters, Part
from nnfs_xp.layers.base import Layer
from nnfs_xp.schedules import Schedule

State = dict[str, Array]

_AVERAGE = "average"

_MANY = 2**15
"""Parameters whose updates make it worth while to load compiled kernels."""


class OtherOptions(TypedDict, total=False):
    """What every optimizer can do besides its own formula and weight decay: see `Optimizer`."""

    clip_norm: float | None
    clip_value: float | None
    average_decay: float | None


class Options(OtherOptions, total=False):
    """What every optimizer can do besides its own formula: see `Optimizer`."""

    weight_decay: float | Schedule


class Optimizer:
    """Base class of the optimizers; derive from it to write one of your own.

    An optimizer names its state in `state_names` and gives `apply`. The state belongs to the
    optimizer, not to the layers: arrays like the flat buffer, zeros before the first step, for
    each model that it has stepped. There is one count of steps for all of these; a `Trainer` asks
    for an optimizer of its model's own.

    Parameters
    ----------
    learning_rate : float or Schedule
    decay : float
        The learning rate is divided by 1 + decay * iterations, as in the book (chapter 10).
        For a learning rate that is a number.
    clip_norm : float, optional
        Gradients are scaled down, all of a model's by one factor, to a Euclidean norm of at
        most this (Pascanu, Mikolov and Bengio 2013, *On the difficulty of training recurrent
        neural networks*, algorithm 1).
    clip_value : float, optional
        Each gradient is then kept within ± this.
    weight_decay : float or Schedule
        The share of itself, times the learning rate, that a weight loses in each step, apart
        from the gradient; biases and the parameters of normalizations keep theirs (Loshchilov
        and Hutter 2019, *Decoupled Weight Decay Regularization*, algorithms 1 and 2; as in
        PyTorch, and unlike the paper, multiplied by the learning rate). A layer can say
        otherwise of its own parameters: see `Layer.weight_decay`.
    average_decay : float, optional
        Keep a running average of the weights, average = average_decay * average +
        (1 - average_decay) * weights after each step, that starts at the first step's weights.
        A `Trainer` validates with the averages, and leaves them in the model when `fit` ends
        (Polyak and Juditsky 1992, *Acceleration of Stochastic Approximation by Averaging*).

    Attributes
    ----------
    iterations : int
        Steps done so far.
    """

    state_names: tuple[str, ...] = ()
    copied_names: tuple[str, ...] = ()
    """Those of `state_names` that start as the parameters are, and not at 0."""
    works_in_parts = True
    """Whether `apply` can be handed any part of the parameters, wherever it is cut."""
    _scale = 1.0

    def __init__(
        self,
        learning_rate: float | Schedule,
        decay: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        weight_decay: float | Schedule = 0.0,
        average_decay: float | None = None,
    ) -> None:
        self.decay = _checks.check_range("decay", decay, 0)
        if isinstance(learning_rate, Schedule):
            if decay:
                raise ArgumentError("`decay` is for a learning rate that is a number, no schedule.")
            self.learning_rate: float | Schedule = learning_rate
        else:
            self.learning_rate = _checks.check_range(
                "learning_rate", learning_rate, 0, open_low=True
            )
        self.clip_norm = _above_0("clip_norm", clip_norm)
        self.clip_value = _above_0("clip_value", clip_value)
        if isinstance(weight_decay, Schedule):
            self.weight_decay: float | Schedule = weight_decay
        else:
            self.weight_decay = _checks.check_range("weight_decay", weight_decay, 0)
        if average_decay is not None:
            average_decay = _checks.check_range("average_decay", average_decay, 0, 1)
        self.average_decay = average_decay
        self.iterations = 0
        self._states: WeakKeyDictionary[Layer, State] = WeakKeyDictionary()
        self._exchanged: WeakSet[Layer] = WeakSet()
        self._layouts: WeakKeyDictionary[Layer, tuple[str, ...]] = WeakKeyDictionary()
        self._n_whole: WeakKeyDictionary[Layer, int] = WeakKeyDictionary()

    __repr__ = repr_of

    @property
    def current_learning_rate(self) -> float:
        """The learning rate of the next step.

        Within `apply`, that of the parameters at hand: see `Layer.learning_rate_scale`.
        """
        if isinstance(self.learning_rate, Schedule):
            rate = self.learning_rate.rate(self.iterations)
        else:
            rate = self.learning_rate * (1 / (1 + self.decay * self.iterations))
        return rate if self._scale == 1.0 else rate * self._scale

    @property
    def current_weight_decay(self) -> float:
        """The weight decay of the next step, which the learning rate multiplies."""
        decay = self.weight_decay
        return decay.rate(self.iterations) if isinstance(decay, Schedule) else decay

    def schedules(self) -> dict[str, Schedule]:
        """The settings that follow a schedule, by name."""
        settings = {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay}
        return {name: each for name, each in settings.items() if isinstance(each, Schedule)}

    def step(self, model: Layer) -> None:
        """Update the model's parameters by its gradients, and count the step.

        Raises
        ------
        ArgumentError
            It is no model or layer.
        """
        if not isinstance(model, Layer):
            kind = type(model).__name__
            raise ArgumentError(f"`model` must be a Sequential or another layer; got {kind}.")
        self.update(model)
        self.iterations += 1

    def update(self, layer: Layer) -> None:
        """Update the parameters without counting: for steps made of several layers."""
        flat = layer.flat
        self._update_values(layer, flat, None)
        if flat.has_bounds or self.average_decay is not None:
            self.follow_values(layer)

    def update_values(self, layer: Layer, own: slice) -> None:
        """The first half of `update`: all but what looks at the new values.

        Parameters
        ----------
        layer : Layer
        own : slice
            The place in the flat buffers that is updated, and that state is kept for: where several
            processes update a part each.
        """
        self._update_values(layer, layer.flat, own)

    def _update_values(self, layer: Layer, flat: FlatParameters, own: slice | None) -> None:
        state = self._state(layer, flat, own)
        xp = flat.backend.xp
        self._clip(xp, flat)
        if own is not None:
            state = self._cut(layer, flat, state, own)
            self._update_parts(xp, flat.parts_within(own), state)
            return
        parts = self.parts_of(flat)
        if len(parts) == 1 and parts[0].scale == 1.0:
            self._update_part(xp, parts[0], state)
        else:
            self._update_parts(xp, parts, state)

    def follow_values(self, layer: Layer) -> None:
        """The second half of `update`: bound the new values, and take them into the average."""
        flat = layer.flat
        if flat.has_bounds:
            layer.constrain()
        if self.average_decay is not None:
            average, kernels = self.state(layer)[_AVERAGE], flat.backend.kernels
            kernels.average(flat.backend.xp, average, flat.values, self.average_decay)

    def walk(self) -> Iterator[Optimizer]:
        """The optimizer, and those that it is made of."""
        yield self

    def parts_of(self, flat: FlatParameters) -> tuple[Part, ...]:
        """The parts of the parameters that `apply` is handed, one after the other.

        By default one for each learning rate: see `Layer.learning_rate_scale`.
        """
        return flat.parts

    def _update_parts(self, xp: Namespace, parts: tuple[Part, ...], state: State) -> None:
        """Update each part at a learning rate of its own."""
        for part in parts:
            self._scale = part.scale
            try:
                mine = {n: array[part.place] for n, array in state.items() if n != _AVERAGE}
                self._update_part(xp, part, mine)
            finally:
                self._scale = 1.0

    def _update_part(self, xp: Namespace, part: Part, state: State) -> None:
        if self.weight_decay and part.decays:
            rate, decay = self.current_learning_rate, self.current_weight_decay
            for place, multiple in part.decays:
                strength = decay if multiple == 1.0 else decay * multiple
                part.backend.kernels.shrink(xp, part.values[place], rate, strength)
        self.apply(xp, part, state)

    def apply(self, xp: Namespace, flat: Part, state: State) -> None:
        """Change `flat.values`, in place, by `flat.gradients` and the state.

        This is the formula. `self.iterations` counts the steps before this one. `flat` has all
        parameters that are trained, or, where some learn at another rate, a part of them.
        """
        raise NotImplementedError

    def _clip(self, xp: Namespace, flat: FlatParameters) -> None:
        g, kernels = flat.gradients, flat.backend.kernels
        if self.clip_norm is not None:
            g *= self.clip_norm / xp.maximum(kernels.norm(xp, g), self.clip_norm)
        if self.clip_value is not None:
            kernels.clip(xp, g, self.clip_value)

    def state(self, layer: Layer) -> State:
        """The arrays that the optimizer keeps for a model, on the model's backend."""
        return self._state(layer, layer.flat)

    def _state(self, layer: Layer, flat: FlatParameters, own: slice | None = None) -> State:
        if flat.kept_for is not None and flat.kept_for[0] is self:
            known: State = flat.kept_for[1]
            return known
        kept = self._states.get(layer)
        if kept is None:
            if flat.size >= _MANY:
                flat.backend.prepare(flat.dtype)
            values = flat.values if own is None else flat.values[own]
            size = values.shape[0]
            kept = {name: flat.zeros(n, size) for n, name in enumerate(self.state_names, 2)}
            for name in self.copied_names:
                kept[name][...] = values
            if self.average_decay is not None:
                kept[_AVERAGE] = flat.backend.xp.asarray(flat.values, copy=True)
        elif self._layouts.get(layer, flat.layout) != flat.layout or (
            own is None and self._n_whole.get(layer, flat.size) != flat.size
        ):
            raise ArgumentError(
                "the model has other parameters, or trains others, than when the optimizer first "
                "stepped it. Make a new optimizer."
            )
        elif any(not flat.backend.owns(array) for array in kept.values()):
            kept = {name: flat.backend.asarray(array) for name, array in kept.items()}
        self._states[layer] = kept
        self._layouts[layer], self._n_whole[layer] = flat.layout, flat.size
        flat.kept_for = self, kept
        return kept

    def part_state(self, layer: Layer, own: slice) -> State:
        """What `state` gives, of the parameters in one place of the flat buffers."""
        flat = layer.flat
        return self._cut(layer, flat, self._state(layer, flat, own), own)

    def _cut(self, layer: Layer, flat: FlatParameters, state: State, own: slice) -> State:
        """The state of one part; where it is that of all, it is cut, and the rest is let go."""
        size, xp = own.stop - own.start, flat.backend.xp
        parts = {name: array for name, array in state.items() if name != _AVERAGE}
        if all(array.shape[0] == size for array in parts.values()):
            return state
        if any(array.shape[0] != flat.size for array in parts.values()):
            raise ArgumentError(
                "the optimizer keeps its state for another part of the model than this process "
                "updates. Make a new optimizer."
            )
        cut = {name: xp.asarray(array[own], copy=True) for name, array in parts.items()}
        self._states[layer] = state = {**state, **cut}
        flat.kept_for = self, state
        return state

    def keeps_part(self, layer: Layer) -> bool:
        """Whether it keeps the state of a part of these parameters only."""
        flat = layer.flat
        if self._n_whole.get(layer) != flat.size:
            return False
        return any(array.shape[0] != flat.size for array in self.kept(layer).values())

    def kept(self, layer: Layer) -> State:
        """The arrays of `state` as they are now, unchecked; none before it was called."""
        return self._states.get(layer, {})

    def exchange_average(self, layer: Layer) -> None:
        """Put the averages of the weights into the model, and the weights in their place.

        Called again, it puts them back. So a model can be evaluated, or saved, with averages.

        Raises
        ------
        NotReadyError
            The optimizer keeps no average: see `average_decay`.
        """
        if self.average_decay is None:
            raise NotReadyError("the optimizer keeps no average; build it with average_decay.")
        flat, average = layer.flat, self.state(layer)[_AVERAGE]
        weights = flat.backend.xp.asarray(flat.values, copy=True)
        flat.values[...] = average
        average[...] = weights
        if layer in self._exchanged:
            self._exchanged.remove(layer)
        else:
            self._exchanged.add(layer)

    def is_exchanged(self, layer: Layer) -> bool:
        """Whether the model has the averages, and not the weights that are trained."""
        return layer in self._exchanged

    def serves(self, layer: Layer) -> bool:
        """Whether this model took part in the steps so far, if there were any."""
        return not self.iterations or layer in self._states

    def __getstate__(self) -> dict[str, Any]:
        # Copied together with its models, as a trainer does, it keeps the state for the copies.
        states, exchanged = list(self._states.items()), list(self._exchanged)
        layouts = list(self._layouts.items())
        kept = {"_states": states, "_exchanged": exchanged, "_layouts": layouts}
        return {**self.__dict__, **kept, "_n_whole": list(self._n_whole.items())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        states, exchanged = WeakKeyDictionary(state["_states"]), WeakSet(state["_exchanged"])
        layouts = WeakKeyDictionary(state.get("_layouts", ()))
        sizes = WeakKeyDictionary(state.get("_n_whole", ()))
        kept = {"_states": states, "_exchanged": exchanged, "_layouts": layouts}
        self.__dict__.update({**state, **kept, "_n_whole": sizes})


def _above_0(name: str, value: float | None) -> float | None:
    return None if value is None else _checks.check_range(name, value, 0, open_low=True)
