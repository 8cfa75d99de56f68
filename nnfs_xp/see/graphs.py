"""The picture of one pass through a network: forward in black, and back in red."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from nnfs_xp import _checks
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.beneath import HasNetwork
from nnfs_xp.layers import Layer
from nnfs_xp.losses import Loss
from nnfs_xp.see import columns
from nnfs_xp.see.fields import Field
from nnfs_xp.see.neurons import Neurons
from nnfs_xp.see.operations import Operations, is_dense
from nnfs_xp.see.pen import Column, Event, Pen, Port
from nnfs_xp.see.picture import Picture
from nnfs_xp.see.scene import Scene
from nnfs_xp.see.tracing import LayerTrace, Trace, trace

DETAILS = ("operations", "neurons", "fields", "layers")
"""How closely a network can be drawn, from the smallest to the largest."""

_MOST_WEIGHTS = 40
_MOST_NUMBERS = 300
_MOST_LINES = 5000
_MOST_PARAMETERS = 10_000
_MARGIN = 14.0


def graph(
    model: Layer | HasNetwork,
    X: Any,
    y: Any = None,
    *,
    loss: Loss | None = None,
    dvalues: Any = None,
    sample: int = 0,
    detail: str = "auto",
) -> Picture:
    """Draw a network with the values of one pass, and the derivatives that flow back.

    The numbers are those of the layers, which run one by one. Where a picture shows the products
    of inputs and weights, they are worked out, and made sure of: they add up to what the layer
    computed. Each layer and loss is drawn, those of your own too.

    Parameters
    ----------
    model, X, y, loss, dvalues
        As in `nnfs_xp.see.trace`. All samples of X go through the network together.
    sample : int
        Which of them is shown. Derivatives are those of the mean loss over all samples; that of a
        weight is the sum over the samples.
    detail : {"auto", "operations", "neurons", "fields", "layers"}
        A box for each multiplication and sum; a line for each weight; heat maps, a square for
        each number; or for each layer norms, histograms and heat maps of at most 64 by 64 means.
        ``"auto"``: operations up to 40 weights, neurons while there are at most 300 numbers and
        lines, fields up to 10,000 parameters, and layers beyond.

    Returns
    -------
    Picture
        A frame for each step forward, and for each step back.

    Raises
    ------
    ShapeError, DTypeError, LabelError, DataError
        The data do not fit the model or the loss.
    ArgumentError
        An argument is none of those above.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> model = nn.Sequential(nn.Dense(2, 3), nn.ReLU(), nn.Dense(3, 2), seed=0)
    >>> loss = nn.SoftmaxCategoricalCrossentropy()
    >>> picture = nn.see.graph(model, [[0.5, -1.0]], [1], loss=loss)
    >>> picture.frames[0]
    'Layer 0: multiply each input by its weight.'
    >>> picture.svg(-1).startswith("<svg")
    True
    """
    seen = trace(model, X, y, loss=loss, dvalues=dvalues)
    return Picture(scene_of(seen, sample=sample, detail=detail))


def scene_of(
    seen: Trace,
    *,
    sample: int = 0,
    detail: str = "auto",
    fine: bool = False,
    title: str = "Backpropagation through a network",
) -> Scene:
    """Lay out the picture of a trace.

    Parameters
    ----------
    seen : Trace
    sample, detail
        See `graph`.
    fine : bool
        Whether each operation has a frame of its own.
    title : str
    """
    sample = _checks.check_count("sample", sample, least=0)
    if sample >= seen.n_samples:
        raise ArgumentError(
            f"`sample` must be below {seen.n_samples}, the number of samples; got {sample}."
        )
    if detail == "auto":
        detail = detail_for(seen)
    elif detail not in DETAILS:
        known = ", ".join(map(repr, ("auto", *DETAILS)))
        raise ArgumentError(f"`detail` must be one of {known}; got {detail!r}.")
    n_lines = sum(prod(each.parameters["weights"].shape) for each in seen.layers if is_dense(each))
    if detail in ("operations", "neurons") and n_lines > _MOST_LINES:
        raise ArgumentError(
            f"{n_lines:,} weights are too many to draw as {detail}; {_MOST_LINES:,} are the most. "
            "Choose fields or layers."
        )
    drawn = _columns(seen, sample, detail, fine)
    values = {key: value for column in drawn for key, value in column.values.items()}
    events = _events(drawn, seen)
    born: dict[str, int] = {}
    for frame, event in enumerate(events):
        born |= {key: frame for key in event.keys if key not in born}
    height = max(column.height for column in drawn) + 2 * _MARGIN
    pen, ports, x = Pen(values, born), list[Port](), _MARGIN
    for column in drawn:
        ports = column.draw(pen, x, height / 2, ports)
        x += column.width
    captions = tuple(event.caption for event in events)
    return Scene(x + _MARGIN, height, tuple(pen.items), captions, values, title)


def detail_for(seen: Trace) -> str:
    """How closely a network of that size is drawn: see `graph`."""
    weights = [each.parameters["weights"] for each in seen.layers if is_dense(each)]
    n_weights = sum(prod(each.shape) for each in weights)
    n_parameters = sum(prod(p.shape) for each in seen.layers for p in each.parameters.values())
    n_units = sum(prod(each.output.shape[1:]) for each in seen.layers)
    n_numbers = 2 * (n_units + prod(seen.inputs.shape[1:])) + n_weights
    if n_numbers <= _MOST_NUMBERS:
        return "operations" if n_weights <= _MOST_WEIGHTS else "neurons"
    return "fields" if n_parameters <= _MOST_PARAMETERS else "layers"


def _columns(seen: Trace, sample: int, detail: str, fine: bool) -> list[Column]:
    loss: list[Column] = [] if seen.loss is None else [columns.Loss(seen, sample)]
    if detail in ("fields", "layers"):
        fields: list[Column] = [Field(each, whole=detail == "fields") for each in seen.layers]
        return [*fields, *loss]
    first = seen.layers[0]
    drawn = [_column(each, sample, detail, each is first, fine) for each in seen.layers]
    if isinstance(drawn[0], Operations) and drawn[0].holds_inputs:
        return [*drawn, *loss]
    return [columns.Inputs(first, sample), *drawn, *loss]


def _column(each: LayerTrace, sample: int, detail: str, first: bool, fine: bool) -> Column:
    if is_dense(each) and detail == "operations":
        return Operations(each, sample, first=first, fine=fine)
    if is_dense(each):
        return Neurons(each, sample)
    if each.layer.elementwise:
        return columns.Units(each, sample, fine=fine)
    return columns.Block(each, sample)


def _events(drawn: Sequence[Column], seen: Trace) -> list[Event]:
    """What each frame adds: forward column by column, and back."""
    events = [event for column in drawn for event in column.forward()]
    if seen.layers[-1].dvalues is None:
        return events
    known = [key for column in drawn for key in column.values]
    layers = [column for column in drawn if not isinstance(column, columns.Inputs | columns.Loss)]

    def arrives(index: int) -> tuple[str, ...]:
        """The keys of the derivatives that arrive at a layer's output, or at the inputs."""
        start = f"{seen.layers[max(index, 0)].name}."
        start += "dvalues" if index >= 0 else "dinputs"
        return tuple(key for key in known if key.startswith(start))

    last = len(layers) - 1
    given = "by the output" if seen.loss is not None else "that comes from behind"
    events.append(Event(f"Start back: the derivative of the loss {given}.", arrives(last)))
    for index in range(last, -1, -1):
        each = seen.layers[index]
        back = layers[index].backward() or [
            Event(f"Back through layer {each.name}, {each.layer.kind}.", ())
        ]
        end = back[-1]
        events += [*back[:-1], Event(end.caption, (*end.keys, *arrives(index - 1)))]
    return [*events, Event("The complete graph: all values and all derivatives.", ())]
