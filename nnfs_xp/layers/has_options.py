"""What is said of a layer's parameters: frozen, penalised, bounded, learning at another rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.errors import ArgumentError
from nnfs_xp.flat_parameters import FlatParameters
from nnfs_xp.kernels import standard
from nnfs_xp.kernels.standard import Kernels
from nnfs_xp.parameters import Parameter, Tie, declared


class HasOptions:
    """The part of `Layer` that holds what is said of its parameters, and acts on it."""

    children: tuple[Any, ...] = ()
    _shapes: dict[str, tuple[int, ...]]
    _values: dict[str, Array]
    _gradients: dict[str, Array]
    _sums: dict[str, Array]
    _ties: dict[str, Tie]
    _flat: FlatParameters | None

    _declared: tuple[Parameter, ...] = ()
    """The parameters that the class declares."""
    _penalises_itself: bool = False
    """Whether the class has penalties of its own."""
    _bounds_itself: bool = False
    """Whether the class has bounds of its own."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls._declared = declared(cls)
        own = (cls.regularization_loss, cls.add_penalties, cls.add_penalty)
        usual = HasOptions.regularization_loss, HasOptions.add_penalties, HasOptions.add_penalty
        cls._penalises_itself = own != usual
        cls._bounds_itself = cls.constrain is not HasOptions.constrain

    def __init__(self, **options: Any) -> None:
        self._trainable: bool | tuple[str, ...] = True
        self._weight_decay: bool | float | dict[str, float] = True
        self._learning_rate_scale: float | dict[str, float] = 1.0
        vars(self).update(self._defaults())
        self.set_options(**options)

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """The layer and all within it, each with the prefix of its parameters' names."""
        left = [(prefix, self)]  # no recursion, whose cost would grow with the depth
        while left:
            prefix, layer = left.pop()
            yield prefix, layer
            parts = [(f"{prefix}{n}.", child) for n, child in enumerate(layer.children)]
            left += reversed(parts)

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """The options of the parameters that the class declares, and what they are by default."""
        options: dict[str, Any] = {}
        for each in cls._declared:
            options |= {each.l1: 0.0, each.l2: 0.0}
            if each.norm_axis is not None:
                options["max_norm"] = None
        return options

    @classmethod
    def default_options(cls) -> dict[str, Any]:
        """All options that a layer of this class takes, and what they are by default."""
        common = {"trainable": True, "weight_decay": True, "learning_rate_scale": 1.0}
        return cls._defaults() | common

    def options(self) -> dict[str, Any]:
        """The options that are not what they are by default, and that say something.

        Penalties on a parameter that the layer does without say nothing.
        """
        defaults = self.default_options()
        left_out = self._idle_penalties()
        values = {name: getattr(self, name) for name in defaults if self._declared}
        return {
            name: value
            for name, value in values.items()
            if value != defaults[name] and name not in left_out
        }

    def set_options(self, **options: Any) -> None:
        """Set what is said of the layer's parameters: see the attributes of `Layer`.

        Raises
        ------
        TypeError
            The layer has no such option.
        ArgumentError
            It cannot have such a value.
        """
        known = self.default_options()
        for name, value in options.items():
            if name not in known:
                raise TypeError(
                    f"{type(self).__name__} got an unexpected keyword argument {name!r}; its "
                    f"options are {', '.join(known)}"
                )
            if name == "max_norm" and value is not None:
                value = _checks.check_range(name, value, 0, open_low=True)
            elif "_regularizer_" in name:
                value = _checks.check_range(name, value, 0)
                self._check_penalised(name, value)
            setattr(self, name, value)

    def _does_without(self, name: str) -> bool:
        """Whether the layer leaves out a parameter that its class declares."""
        del name
        return False

    def _idle_penalties(self) -> dict[str, str]:
        """The options that would penalise what the layer does without, each with its name."""
        without = [each for each in self._declared if self._does_without(each.name)]
        return {option: each.name for each in without for option in (each.l1, each.l2)}

    def _check_penalised(self, option: str, value: float) -> None:
        """Refuse a penalty on a parameter that the layer does without."""
        name = self._idle_penalties().get(option) if value else None
        if name is not None:
            raise ArgumentError(
                f"there is nothing for `{option}` to penalise: {self!r} has no {name}."
            )

    @property
    def trainable(self) -> bool | tuple[str, ...]:
        """Whether the layer's parameters are trained; of a container, whether any within is.

        It can be set: to True or False, also for all within a container, or, of a layer, to the
        names of those parameters that are trained, ``("biases",)`` say.
        """
        if self.children and any(layer._shapes for _, layer in self.walk()):
            return self.trained
        return self._trainable

    @trainable.setter
    def trainable(self, wanted: bool | tuple[str, ...] | list[str]) -> None:
        if not isinstance(wanted, bool):
            known = [each.name for each in self._declared]
            if self.children or not isinstance(wanted, (tuple, list)) or set(wanted) - set(known):
                names = "" if self.children else f", or a tuple of names among {tuple(known)}"
                raise ArgumentError(f"`trainable` must be True or False{names}; got {wanted!r}.")
            wanted = tuple(name for name in known if name in wanted)
        for _, layer in self.walk():
            layer._trainable = wanted
        self._arrange_anew()

    @property
    def weight_decay(self) -> bool | float | dict[str, float]:
        """What the optimizer's weight decay is multiplied by for the layer's parameters.

        True and False stand for 1 and 0. One number is for those parameters that decay by default;
        a dict has numbers by name, and those that it does not name decay as they do by default.
        """
        wanted = self._weight_decay
        return dict(wanted) if isinstance(wanted, dict) else wanted

    @weight_decay.setter
    def weight_decay(self, wanted: bool | float | Mapping[str, float]) -> None:
        if not isinstance(wanted, bool):
            wanted = self._by_name("weight_decay", wanted, open_low=False)
        for _, layer in self.walk():
            layer._weight_decay = wanted
        self._arrange_anew()

    @property
    def learning_rate_scale(self) -> float | dict[str, float]:
        """What the optimizer's learning rate is multiplied by for the layer's parameters.

        A dict has numbers by name; for those that it does not name it is 1.
        """
        scale = self._learning_rate_scale
        return dict(scale) if isinstance(scale, dict) else scale

    @learning_rate_scale.setter
    def learning_rate_scale(self, scale: float | Mapping[str, float]) -> None:
        scale = self._by_name("learning_rate_scale", scale, open_low=True)
        for _, layer in self.walk():
            layer._learning_rate_scale = scale
        self._arrange_anew()

    def _by_name(self, option: str, value: Any, *, open_low: bool) -> float | dict[str, float]:
        """A number, or numbers by the names of parameters, checked."""
        if not isinstance(value, Mapping):
            return _checks.check_range(option, value, 0, open_low=open_low)
        if any(layer._declared for _, layer in self.walk() if layer is not self):
            raise ArgumentError(
                f"`{option}` of a {type(self).__name__} must be one for all layers within; got "
                f"{dict(value)!r}. Numbers by name are said of each layer."
            )
        known = [each.name for each in self._declared]
        for name in value:
            if name not in known:
                raise ArgumentError(
                    f"`{option}` names {name!r}; the parameters of {type(self).__name__} are "
                    f"{', '.join(known) or 'none'}."
                )
        return {
            name: _checks.check_range(f"{option}[{name!r}]", each, 0, open_low=open_low)
            for name, each in value.items()
        }

    def learning_rate_scale_of(self, name: str) -> float:
        """What the optimizer's learning rate is multiplied by for the parameter of that name."""
        scale = self._learning_rate_scale
        return scale.get(name, 1.0) if isinstance(scale, dict) else scale

    def weight_decay_of(self, name: str) -> float:
        """What the optimizer's weight decay is multiplied by for it; 0 where it does not decay."""
        parameter: Parameter = getattr(type(self), name)
        wanted, usual = self._weight_decay, float(parameter.decay)
        return wanted.get(name, usual) if isinstance(wanted, dict) else wanted * usual

    def _arrange_anew(self) -> None:
        """Have the buffers built anew when they are next asked for."""
        for _, layer in self.walk():
            if layer._flat is not None:
                layer._flat.stale = True

    def trains(self, name: str) -> bool:
        """Whether the parameter of that name is trained, and not frozen."""
        if name in self._ties:
            tie = self._ties[name]
            trained: bool = tie.layer.trains(tie.name)
            return trained
        wanted = self._trainable
        return wanted if isinstance(wanted, bool) else name in wanted

    @property
    def trained(self) -> bool:
        """Whether any parameter within is trained."""
        return any(layer.trains(name) for _, layer in self.walk() for name in layer._shapes)

    def _penalized(self, name: str) -> bool:
        return name in self._shapes and name not in self._ties and self.trains(name)

    def regularization_loss(self) -> Array | None:
        """The penalty on all parameters within, a 0-d array, or None where there is none.

        Frozen parameters have none.
        """
        penalty: Array | None = None
        settings = self.__dict__
        for each in self._declared:
            l1, l2 = settings[each.l1], settings[each.l2]
            if (l1 or l2) and self._penalized(each.name):
                values = self._values[each.name]
                if l1:
                    term = l1 * self.xp.sum(self.xp.abs(values))
                    penalty = term if penalty is None else penalty + term
                if l2:
                    term = l2 * self._kernels.sum_squares(self.xp, values)
                    penalty = term if penalty is None else penalty + term
        for child in self.children:
            term = child.regularization_loss()
            if term is not None:
                penalty = term if penalty is None else penalty + term
        return penalty

    def add_penalties(self) -> None:
        """Add the gradient of `regularization_loss` to the gradients of the parameters.

        `backward` does so at its end, but not in a `Trainer`'s step, which adds all penalties
        after the backward pass: see `FlatParameters.penalties_wait`.
        """
        if self._flat is not None and self._flat.penalties_wait:
            return
        settings = self.__dict__
        for each in self._declared:
            if settings[each.l1] or settings[each.l2]:
                self.add_penalty(each.name)
        for child in self.children:
            child.add_penalties()

    def add_penalty(self, name: str) -> None:
        """Add the gradient of the penalty on the parameter of that name."""
        each: Parameter = getattr(type(self), name)
        settings = vars(self)
        l1, l2 = settings[each.l1], settings[each.l2]
        if (l1 or l2) and self._penalized(name):
            values, gradient = self._values[name], self._sums.get(name, self._gradients[name])
            if l1:
                gradient += l1 * standard.sign(self.xp, values)
            if l2:
                self._kernels.add_l2(self.xp, gradient, values, l2)

    def constrain(self) -> None:
        """Bring the parameters back within the layer's bounds, after each step."""
        largest = self.__dict__.get("max_norm")
        if largest is not None:
            for each in self._declared:
                if each.norm_axis is not None and self._penalized(each.name):
                    w = self._values[each.name]
                    w *= largest / self.xp.maximum(self._norms(each, w), largest)
        for child in self.children:
            child.constrain()

    def _norms(self, parameter: Parameter, values: Array) -> Array:
        """The norms that `max_norm` bounds, in a shape that goes with the values."""
        squares = self.xp.sum(values * values, axis=parameter.norm_axis, keepdims=True)
        norms: Array = self.xp.sqrt(squares)
        return norms

    @property
    def _kernels(self) -> Kernels:
        assert self._flat is not None
        return self._flat.backend.kernels

    @property
    def xp(self) -> Namespace:
        """The namespace of the layer's parameters."""
        raise NotImplementedError
