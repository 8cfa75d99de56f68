"""The arguments that an object was built with, as JSON can hold them."""

from __future__ import annotations

import inspect
from typing import Any


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
    return {name: _plain(getattr(part, name)) for name in names if hasattr(part, name)}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if callable(value):
        return getattr(value, "__qualname__", type(value).__name__)
    return settings_of(value)
