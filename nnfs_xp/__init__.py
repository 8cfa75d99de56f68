"""Neural networks with every line of backpropagation in view, on every array backend.

Each name is imported when first used, so that ``import nnfs_xp`` costs next to nothing. A room's
names are listed in the room, as ``__all__``; here and in ``__init__.pyi``, rooms are.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

__version__ = "0.1.0"

_MODULES = (
    *("data", "distributed", "errors", "initializers", "interop", "layers", "losses", "metrics"),
    *("optimizers", "plots", "see", "training"),
)
"""What is to be had as a module."""

_ROOMS: dict[str, tuple[str, ...] | None] = {
    "backend": ("Backend", "available_backends", "get_backend", "register_backend", "to_numpy"),
    "errors": ("NnfsError",),
    "parameters": None,
    "layers": None,
    "losses": None,
    "metrics": None,
    "optimizers": None,
    "schedules": None,
    "interop": ("export_onnx", "load", "save"),
    "training": None,
}
"""The rooms whose names are to be had here, from the ground up: these names, or all (None)."""


def _names_of(room: str) -> tuple[str, ...]:
    return _ROOMS[room] or tuple(import_module(f"{__name__}.{room}").__all__)


def __getattr__(name: str) -> Any:
    if name == "__all__":
        value: Any = sorted({*_MODULES, *(each for room in _ROOMS for each in _names_of(room))})
    elif name in _MODULES:
        return import_module(f"{__name__}.{name}")
    else:
        # Import statements ask for other modules here before they import them: import no room then.
        private = name.startswith("_") or name in {each.name for each in iter_modules(__path__)}
        room = next((room for room in _ROOMS if not private and name in _names_of(room)), None)
        if room is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    names: list[str] = list(__getattr__("__all__"))
    return names
