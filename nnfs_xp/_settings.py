"""The arguments that an object was built with, as JSON can hold them and as Python writes them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from numbers import Integral, Real
from os import PathLike
from reprlib import Repr, recursive_repr
from typing import Any, NamedTuple


def settings_of(part: Any) -> dict[str, Any]:
    """The class and the arguments of a loss, an optimizer, a schedule and the like.

    The arguments are read from attributes of their names, as the classes here keep them;
    one that is not kept is left out, and so is one in `later_settings`, those that older
    checkpoints do not know, while it has its default. Objects among them are described in turn.
    """
    return {"class": type(part).__name__, "config": _arguments(part)}


def _arguments(part: Any) -> dict[str, Any]:
    names: dict[str, None] = {}
    later = getattr(part, "later_settings", ())
    for each in type(part).__mro__:
        if "__init__" in vars(each) and each is not object:
            for name, parameter in inspect.signature(vars(each)["__init__"]).parameters.items():
                is_new = name in later and getattr(part, name, None) == parameter.default
                named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
                if named and not is_new:
                    names[name] = None
    names.pop("self", None)
    return {name: plain(getattr(part, name)) for name in names if hasattr(part, name)}


def plain(value: Any) -> Any:
    """The value as JSON can hold it; a tuple becomes a list."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if callable(value):
        return getattr(value, "__qualname__", type(value).__name__)
    return settings_of(value)


class Arguments(NamedTuple):
    """What the constructor of a class takes.

    Attributes
    ----------
    names : tuple of str
        In order, those included that it hands on to a base.
    takes_others : bool
        Whether it takes keyword arguments of any name.
    takes_many : bool
        Whether it takes any number of positional arguments.
    """

    names: tuple[str, ...]
    takes_others: bool
    takes_many: bool


_arguments_of: dict[type, Arguments] = {}


def arguments_of(kind: type) -> Arguments:
    """What the constructor of a class takes, and the base's, where it hands keywords on."""
    if kind in _arguments_of:
        return _arguments_of[kind]
    names: dict[str, None] = {}
    others = many = False
    for each in kind.__mro__:
        if "__init__" not in vars(each) or each is object:
            continue
        parameters = list(inspect.signature(vars(each)["__init__"]).parameters.values())[1:]
        kinds = {parameter.kind for parameter in parameters}
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                names[parameter.name] = None
        many = many or inspect.Parameter.VAR_POSITIONAL in kinds
        others = inspect.Parameter.VAR_KEYWORD in kinds
        if not others:
            break
    _arguments_of[kind] = Arguments(tuple(names), others, many)
    return _arguments_of[kind]


@recursive_repr("...")
def repr_of(part: Any) -> str:
    """The class and its arguments, but for those that have their defaults: a class' ``__repr__``.

    Arguments are read from attributes of their names, as by `settings_of`. It never raises, reads
    no array, and cuts what is long.

    Examples
    --------
    >>> class Halving:
    ...     __repr__ = repr_of
    ...
    ...     def __init__(self, initial_rate, every=10):
    ...         self.initial_rate, self.every = initial_rate, every
    >>> Halving(0.1), Halving(0.1, every=5)
    (Halving(0.1), Halving(0.1, every=5))
    """
    name = type(part).__name__
    try:
        arguments = ", ".join(_shown_arguments(part))
        return f"{name}({arguments if len(arguments) <= 4 * _MOST else '...'})"
    except Exception:  # of what somebody else wrote; it may be half built
        return f"{name}(...)"


def _shown_arguments(part: Any) -> Iterator[str]:
    by_place = True
    for parameter in _parameters(type(part)):
        name, kind = parameter.name, parameter.kind
        value = _kept(part, name)
        if kind is parameter.VAR_POSITIONAL and isinstance(value, (list, tuple)):
            yield from (_REPR.repr(each) for each in value)
        elif kind is parameter.VAR_KEYWORD and isinstance(value, dict):
            yield from (f"{key}={_REPR.repr(each)}" for key, each in value.items())
        elif value is _MISSING or _is(value, parameter.default):
            by_place = False
        elif by_place and kind is not parameter.KEYWORD_ONLY and parameter.default is _REQUIRED:
            yield _REPR.repr(value)
        else:
            by_place = False
            yield f"{name}={_REPR.repr(value)}"


def _parameters(kind: type) -> Iterator[inspect.Parameter]:
    """Those of the constructor, and of the base's, where it hands keywords on."""
    seen = set()
    for each in kind.__mro__:
        if "__init__" not in vars(each) or each is object:
            continue
        parameters = list(inspect.signature(vars(each)["__init__"]).parameters.values())[1:]
        for parameter in parameters:
            if parameter.name not in seen:
                seen.add(parameter.name)
                yield parameter
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return


_REQUIRED = inspect.Parameter.empty
_MISSING = object()


def _kept(part: Any, name: str) -> Any:
    """The argument of that name; what is handed on to a monitor, its own name too, that keeps."""
    monitor: Any = getattr(part, "monitor", None)
    if name == "monitor" and hasattr(monitor, "name"):
        return monitor.name
    value = getattr(part, name, _MISSING)
    return getattr(monitor, name, _MISSING) if value is _MISSING else value


def _is(value: Any, default: Any) -> bool:
    plain_ones = (bool, int, float, str, tuple)
    return value is default or (
        isinstance(value, plain_ones) and isinstance(default, plain_ones) and value == default
    )


class _Arguments(Repr):
    """Writes values as Python does, and cuts those that are long."""

    def repr1(self, x: Any, level: int) -> str:
        if isinstance(x, PathLike):
            return repr(str(x))
        if hasattr(x, "shape") and hasattr(x, "dtype") and not isinstance(x, Real):
            return f"<{type(x).__name__} of shape {tuple(x.shape)}>"
        if isinstance(x, Real) and not isinstance(x, (bool, int, float)):
            return repr(int(x) if isinstance(x, Integral) else float(x))
        if type(x) in (list, tuple, dict, set, frozenset, str, int):
            return super().repr1(x, level)
        return self.repr_instance(x, level)

    def repr_instance(self, x: Any, level: int) -> str:
        del level
        if isinstance(x, float):
            return repr(float(x))
        if inspect.isroutine(x) or isinstance(x, type):
            return str(getattr(x, "__qualname__", type(x).__name__))
        own: Any = type(x).__repr__
        if own is object.__repr__:
            return f"<{type(x).__name__}>"
        try:
            text = repr(x)
        except Exception:  # of what somebody else wrote
            return f"<{type(x).__name__}>"
        return text if len(text) <= _MOST else f"{text[:_MOST]}..."


_MOST = 500
_REPR = _Arguments()
_REPR.maxlevel = 3
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = _REPR.maxset = _REPR.maxfrozenset = 8
_REPR.maxstring = _REPR.maxlong = 200
