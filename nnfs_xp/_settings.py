"""The arguments that an object was built with, as JSON can hold them."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple


def settings_of(part: Any) -> dict[str, Any]:
    """The class and the arguments of a loss, an optimizer, a schedule and the like.

    The arguments are read from attributes of their names, as the classes here keep them;
    one that is not kept is left out. Objects among them are described in turn.
    """
    return {"class": type(part).__name__, "config": _arguments(part)}


def _arguments(part: Any) -> dict[str, Any]:
    names: dict[str, None] = {}
    for each in type(part).__mro__:
        if "__init__" in vars(each) and each is not object:
            for name, parameter in inspect.signature(vars(each)["__init__"]).parameters.items():
                if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
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
