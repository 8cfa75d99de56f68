"""The table of a model's layers, as text and as HTML: shapes, parameters, memory."""

from __future__ import annotations

from html import escape
from math import isnan, nan, prod
from typing import Any, NamedTuple, Protocol

from nnfs_xp import _checks
from nnfs_xp.errors import ArgumentError, ShapeError
from nnfs_xp.layers.base import Layer, Shape
from nnfs_xp.layers.step_memory import StepMemory, number_bytes, step_memory

_HEAD = ("", "Layer", "Output shape", "Parameters", "Memory")


class HasState(Protocol):
    """What a summary asks of an optimizer."""

    state_names: tuple[str, ...]
    average_decay: float | None


class Summary(str):
    """The table as text, which a notebook shows as HTML."""

    __slots__ = ("_html",)
    _html: str

    def _repr_html_(self) -> str:
        return self._html


class Row(NamedTuple):
    """A layer of the table.

    Attributes
    ----------
    name : str
        Its place, as in the names of its parameters: ``1.0`` is the first layer within layer 1.
    kind : str
        Its class, and what of it is frozen or another layer's.
    depth : int
        In how many containers of the model it lies.
    shape : str
        Of its output.
    n_parameters, n_bytes : int
        Of its parameters and those within it, without the gradients and what is another layer's.
    n_step_bytes : float
        Of what a training step holds of it and those within it for each sample; NaN where that is
        not known.
    """

    name: str
    kind: str
    depth: int
    shape: str
    n_parameters: int
    n_bytes: int
    n_step_bytes: float = nan


def rows(model: Layer, step: StepMemory | None = None) -> list[Row]:
    """A row for each layer within the model, at any depth; one for the model if it has none."""
    places = {id(layer): prefix for prefix, layer in model.walk()}
    if not model.children:
        found, layers = [_row(model, "", 0, model.input_shape, places)], [model]
    else:
        found = _rows_within(model, model.input_shape, "", 0, places)
        layers = [layer for _, layer in model.walk()][1:]
    if step is None:
        return found
    return [
        row._replace(n_step_bytes=step.of(layer)) for row, layer in zip(found, layers, strict=True)
    ]


def _rows_within(
    container: Layer, shape: Shape | None, prefix: str, depth: int, places: dict[int, str]
) -> list[Row]:
    found = []
    shapes = container.child_input_shapes(shape)
    for index, (child, taken) in enumerate(zip(container.children, shapes, strict=True)):
        found.append(_row(child, f"{prefix}{index}", depth, taken, places))
        found += _rows_within(child, taken, f"{prefix}{index}.", depth + 1, places)
    return found


def _row(layer: Layer, name: str, depth: int, taken: Shape | None, places: dict[int, str]) -> Row:
    n = sum(_sizes(layer))
    bits = int((_first(layer, "dtype") or "0").lstrip("bfloat"))
    kind = ", ".join([layer.kind, *_remarks(layer, places)])
    return Row(name, kind, depth, _shape_text(layer, taken), n, n * bits // 8)


def _sizes(layer: Layer, *, frozen: bool = False) -> list[int]:
    """The sizes of the parameters within, or of the frozen ones alone."""
    return [
        prod(part._shapes[name])
        for _, part in layer.walk()
        for name in part._shapes
        if name not in part._ties and not (frozen and part.trains(name))
    ]


def _remarks(layer: Layer, places: dict[int, str]) -> list[str]:
    """What is frozen of the layer, whose parameters it uses, and what learns at another rate."""
    own = [name for name in layer._shapes if name not in layer._ties]
    frozen = [name for name in own if not layer.trains(name)]
    remarks = [f"{' and '.join(frozen)} frozen"] if frozen else []
    if own and frozen == own:
        remarks = ["frozen"]
    for name, tie in layer._ties.items():
        whose = f"{places.get(id(tie.layer), '')}{tie.name}"
        remarks.append(f"{name} of {whose}{', transposed' if tie.transposed else ''}")
    trained = [name for name in own if layer.trains(name)]
    rates = {name: layer.learning_rate_scale_of(name) for name in trained}
    decays = {name: layer.weight_decay_of(name) for name in trained}
    usual = {name: float(getattr(type(layer), name).decay) for name in trained}
    return (
        remarks
        + _changed("rate", rates, dict.fromkeys(trained, 1.0))
        + _changed("decay", decays, usual)
    )


def _changed(what: str, numbers: dict[str, float], usual: dict[str, float]) -> list[str]:
    """By what the optimizer's rate or decay is multiplied for parameters, where it is unusual."""
    changed = {name: number for name, number in numbers.items() if number != usual[name]}
    return [f"{name} {what} × {number:g}" for name, number in changed.items()]


def _first(layer: Layer, attribute: str) -> Any:
    """The attribute of the first layer that has parameters of its own; None if none does."""
    owners = (each for _, each in layer.walk() if each.dtype is not None)
    return getattr(next(owners, None), attribute, None)


def _shape_text(layer: Layer, taken: Shape | None) -> str:
    if taken is None and type(layer).output_shape is Layer.output_shape:
        return "as the inputs"
    try:
        shape = None if taken is None else layer.output_shape(taken)
    except (ShapeError, TypeError):  # of a container that does not say what its children take
        shape = None
    axes = (None,) if shape is None else shape
    return f"(batch, {', '.join('…' if axis is None else str(axis) for axis in axes)})"


def summarize(
    model: Layer, batch_size: int | None = None, optimizer: HasState | None = None
) -> Summary:
    """The table, with what a training step needs if there is a batch size.

    Raises
    ------
    ArgumentError
        `batch_size` is no number of samples, or `optimizer` is none.
    """
    table, below = _table(model, batch_size), totals(model, batch_size, optimizer)
    result = Summary(_text(table, below))
    result._html = _html(table, below)
    return result


def _table(model: Layer, batch_size: int | None) -> list[tuple[str, ...]]:
    if batch_size is None:
        return [_HEAD, *map(_cells, rows(model))]
    n = _checks.check_count("batch_size", batch_size)
    cells = [
        (*_cells(row), size_text(n * row.n_step_bytes)) for row in rows(model, step_memory(model))
    ]
    return [(*_HEAD, "Step"), *cells]


def _text(table: list[tuple[str, ...]], below: list[str]) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    sides = (str.ljust,) * 3 + (str.rjust,) * (len(widths) - 3)
    lines = [
        "  ".join(
            side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)
        ).rstrip()
        for row in table
    ]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([lines[0], rule, *lines[1:], rule, *below])


def _html(table: list[tuple[str, ...]], below: list[str]) -> str:
    """Every text escaped."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{_escaped(cell)}</td>" for cell in cells) + "</tr>"
        for cells in table[1:]
    )
    foot = "<br>".join(map(escape, below))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{foot}</p>"


def _escaped(cell: str) -> str:
    """The cell's text, its indentation kept."""
    return "&nbsp;" * (len(cell) - len(cell.lstrip())) + escape(cell.lstrip())


def _cells(row: Row) -> tuple[str, ...]:
    memory = size_text(row.n_bytes) if row.n_parameters else ""
    kind = "  " * row.depth + row.kind
    return row.name, kind, row.shape, f"{row.n_parameters:,}", memory


def totals(
    model: Layer, batch_size: int | None = None, optimizer: HasState | None = None
) -> list[str]:
    """What the whole model holds, and a training step needs, as lines of text."""
    row = _row(model, "", 0, None, {})
    frozen = sum(_sizes(model, frozen=True))
    if not row.n_parameters:
        lines = ["no parameters"]
    else:
        dtype, backend = _first(model, "dtype"), _first(model, "backend")
        lines = [
            f"{row.n_parameters:,} parameters, {dtype}, on {backend.name}"
            + (f", {frozen:,} of them frozen" if frozen else ""),
            f"{size_text(row.n_bytes)}, and as much again for their gradients",
        ]
    kept = sum(prod(array.shape) for array in model.buffers().values())
    if kept:
        lines.append(f"{kept:,} more values that are not trained")
    size = number_bytes(model)
    state = size * (row.n_parameters - frozen) * _n_state(optimizer)
    if state:
        lines.append(f"{size_text(state)} for the state of {type(optimizer).__name__}")
    if batch_size is not None:
        always = row.n_bytes + size * _n_gradients(model) + state
        lines += _step_lines(step_memory(model), batch_size, always)
    return lines


def _n_state(optimizer: HasState | None) -> int:
    """How many arrays like the trained parameters an optimizer keeps."""
    if optimizer is None:
        return 0
    try:
        return len(optimizer.state_names) + (optimizer.average_decay is not None)
    except AttributeError:
        raise ArgumentError(
            f"`optimizer` must be an Optimizer object; got {optimizer!r}."
        ) from None


def _n_gradients(model: Layer) -> int:
    """How many gradients there are, those that are added up for tied parameters counted."""
    ties = [
        (tie, layer._shapes[name]) for _, layer in model.walk() for name, tie in layer._ties.items()
    ]
    roots = {(id(tie.layer), tie.name): shape for tie, shape in ties}
    tied = [shape for _, shape in ties] + list(roots.values())
    return sum(_sizes(model)) + sum(map(prod, tied))


def _step_lines(step: StepMemory, batch_size: int, always: int) -> list[str]:
    """What a step needs, beside what the parameters take `always`."""
    parts = [size_text(batch_size * each) for each in (step.held, step.inputs, step.room)]
    needed = size_text(always + batch_size * step.total)
    samples = f"{batch_size:,} sample{'s' if batch_size > 1 else ''}"
    if not step.known:
        return [
            f"a step with {samples} needs more than {needed}; for the rest, say the shape of a "
            "sample: input_shape=(…)"
        ]
    return [
        "in a step the layers hold {}, the batch {}, and {} are to work in".format(*parts),
        f"a step with {samples} needs about {needed}",
    ]


def size_text(n_bytes: float) -> str:
    """So many bytes, as people write it; "?" for NaN."""
    if isnan(n_bytes):
        return "?"
    if n_bytes < 1024:
        return f"{n_bytes:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        n_bytes /= 1024
        if n_bytes < 1024:
            return f"{n_bytes:.1f} {unit}"
    return f"{n_bytes / 1024:,.1f} TiB"
