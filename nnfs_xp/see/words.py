"""What a user of the page writes, as objects: ``Dense(4), ReLU(), Dense(2)``, say.

Only classes of the library are called, and only with numbers, texts and the like: nothing that is
written is run.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from inspect import signature
from typing import Any, NamedTuple

from nnfs_xp import layers, losses, optimizers
from nnfs_xp._checks import shown
from nnfs_xp._settings import arguments_of
from nnfs_xp.errors import ArgumentError, NnfsError
from nnfs_xp.layers import Layer, Sequential
from nnfs_xp.losses import Loss
from nnfs_xp.optimizers import Optimizer

MOST_LAYERS = 32
WIDEST = 4096
_LONGEST = 2000
_INPUTS = ("n_inputs", "n_features", "n_channels")
"""What the first argument of a layer is called that is told how wide its inputs are."""


class _Call(NamedTuple):
    name: str
    positional: list[Any]
    named: dict[str, Any]


def layers_of(text: str, n_inputs: int, *, seed: int = 0) -> Sequential:
    """A network of the layers in a text, in float64.

    Parameters
    ----------
    text : str
        As in Python, parted by commas. The width of the inputs may be left out:
        ``Dense(4), ReLU(), Dense(2)``.
    n_inputs : int
        Of the first layer.
    seed : int
        Of the first weights.

    Raises
    ------
    ArgumentError
        It cannot be read, names no layer, or the layers refuse their arguments.

    Examples
    --------
    >>> layers_of("Dense(4), ReLU, Dense(2)", 3)
    Sequential(Dense(3, 4, dtype='float64'), ReLU(), Dense(4, 2, dtype='float64'))
    """
    known = _classes(layers, Layer)
    calls = _calls(text, "layers")
    if not calls:
        raise ArgumentError("name at least one layer: Dense(4), ReLU(), Dense(2), say.")
    if len(calls) > MOST_LAYERS:
        raise ArgumentError(f"there may be {MOST_LAYERS} layers here; got {len(calls)}.")
    shape: tuple[Any, ...] = (n_inputs,)
    built = []
    for call in calls:
        layer = _layer(call, known, shape)
        try:
            shape = layer.output_shape(shape)
        except NnfsError as error:
            raise ArgumentError(f"{call.name} does not fit here: {error}") from None
        built.append(layer)
    return Sequential(*built, seed=seed)


def loss_of(text: str) -> Loss:
    """The loss in a text: ``MeanSquaredError()``, say.

    Raises
    ------
    ArgumentError
    """
    loss: Loss = _one(text, "loss", _classes(losses, Loss))
    return loss


def optimizer_of(text: str) -> Optimizer:
    """The optimizer in a text: ``Adam(0.05)``, say.

    Raises
    ------
    ArgumentError
    """
    optimizer: Optimizer = _one(text, "optimizer", _classes(optimizers, Optimizer))
    return optimizer


def names_of_layers() -> list[str]:
    """The layers that a text can name."""
    return sorted(_classes(layers, Layer))


def names_of_losses() -> list[str]:
    """The losses that a text can name."""
    return sorted(_classes(losses, Loss))


def names_of_optimizers() -> list[str]:
    """The optimizers that a text can name."""
    return sorted(_classes(optimizers, Optimizer))


def _classes(room: Any, base: type) -> dict[str, type]:
    """The classes of a room that can be built from numbers and texts, and are no base classes."""
    found = {name: getattr(room, name) for name in room.__all__}
    method = "apply" if base is Optimizer else "forward"
    return {
        name: each
        for name, each in found.items()
        if isinstance(each, type)
        and issubclass(each, base)
        and getattr(each, method) is not getattr(base, method)
        and not (issubclass(each, Layer) and each.takes_layers())
        and "optimizer" not in arguments_of(each).names
    }


def _layer(call: _Call, known: Mapping[str, type], shape: tuple[Any, ...]) -> Layer:
    kind = _find(call.name, "layer", known)
    parameters = signature(kind).parameters
    positional, named = list(call.positional), dict(call.named)
    required = [
        n
        for n, p in parameters.items()
        if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    missing = len(required) - len(positional) - len(set(required) & named.keys())
    if required[:1] and required[0] in _INPUTS and missing == 1 and required[0] not in named:
        positional.insert(0, shape[-1])
    if "dtype" in parameters:
        named.setdefault("dtype", "float64")
    widths = dict(zip(parameters, positional, strict=False)) | named
    for name, value in widths.items():
        if name.startswith("n_") and isinstance(value, int) and value > WIDEST:
            raise ArgumentError(f"{call.name}: {name} may be {WIDEST} here; got {value}.")
    layer: Layer = _build(kind, call.name, positional, named)
    return layer


def _one(text: str, what: str, known: Mapping[str, type]) -> Any:
    calls = _calls(text, what)
    if len(calls) != 1:
        raise ArgumentError(f"name one {what}; got {len(calls)}.")
    (call,) = calls
    return _build(_find(call.name, what, known), call.name, call.positional, call.named)


def _find(name: str, what: str, known: Mapping[str, type]) -> type:
    if name not in known:
        raise ArgumentError(
            f"there is no {what} {shown(name)}; known are {', '.join(sorted(known))}."
        )
    return known[name]


def _build(kind: type, name: str, positional: list[Any], named: dict[str, Any]) -> Any:
    try:
        return kind(*positional, **named)
    except NnfsError as error:
        raise ArgumentError(f"{name}: {shown(str(error), 300)}") from None
    except TypeError:
        takes = ", ".join(arguments_of(kind)[0])
        raise ArgumentError(f"{name} cannot take these arguments; it has {takes}.") from None


def _calls(text: str, what: str) -> list[_Call]:
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise ArgumentError(f"`{what}` must be a text of at most {_LONGEST} letters.")
    try:
        tree = ast.parse(f"[{text}\n]", mode="eval").body
        if not isinstance(tree, ast.List):
            raise ValueError("it closes the bracket")
        return [_call(each) for each in tree.elts]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise ArgumentError(
            f"cannot read {shown(text)}. Write {what} as in Python, with numbers and texts only: "
            "Dense(4), ReLU(), Adam(0.05)."
        ) from None


def _call(node: ast.expr) -> _Call:
    if isinstance(node, ast.Name):
        return _Call(node.id, [], {})
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise ValueError("it is neither a name nor a call of one")
    named = {each.arg: ast.literal_eval(each.value) for each in node.keywords}
    if None in named:
        raise ValueError("** is no argument")
    return _Call(
        node.func.id,
        [ast.literal_eval(each) for each in node.args],
        {str(name): value for name, value in named.items()},
    )
