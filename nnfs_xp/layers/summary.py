"""The table of a model's layers, as text and as HTML: shapes, parameters, memory."""

from __future__ import annotations

from html import escape
from math import prod
from typing import Any, NamedTuple

from nnfs_xp.errors import ShapeError
from nnfs_xp.layers.base import Layer, Shape

_HEAD = ("", "Layer", "Output shape", "Parameters", "Memory")


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
    """

    name: str
    kind: str
    depth: int
    shape: str
    n_parameters: int
    n_bytes: int


def rows(model: Layer) -> list[Row]:
    """A row for each layer within the model, at any depth; one for the model if it has none."""
    places = {id(layer): prefix for prefix, layer in model.walk()}
    if not model.children:
        return [_row(model, "", 0, model.input_shape, places)]
    return _rows_within(model, model.input_shape, "", 0, places)


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
    """What is frozen of the layer, and whose parameters it uses."""
    own = [name for name in layer._shapes if name not in layer._ties]
    frozen = [name for name in own if not layer.trains(name)]
    remarks = [f"{' and '.join(frozen)} frozen"] if frozen else []
    if own and frozen == own:
        remarks = ["frozen"]
    for name, tie in layer._ties.items():
        whose = f"{places.get(id(tie.layer), '')}{tie.name}"
        remarks.append(f"{name} of {whose}{', transposed' if tie.transposed else ''}")
    return remarks


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


def text(model: Layer) -> str:
    """The table as lines of text."""
    table = [_HEAD, *map(_cells, rows(model))]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    sides = (str.ljust,) * 3 + (str.rjust,) * 2
    lines = [
        "  ".join(
            side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)
        ).rstrip()
        for row in table
    ]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([lines[0], rule, *lines[1:], rule, *totals(model)])


def html(model: Layer) -> str:
    """The table as HTML, every text escaped."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in _HEAD)
    body = "".join(
        "<tr>" + "".join(f"<td>{_escaped(cell)}</td>" for cell in _cells(row)) + "</tr>"
        for row in rows(model)
    )
    below = "<br>".join(map(escape, totals(model)))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{below}</p>"


def _escaped(cell: str) -> str:
    """The cell's text, its indentation kept."""
    return "&nbsp;" * (len(cell) - len(cell.lstrip())) + escape(cell.lstrip())


def _cells(row: Row) -> tuple[str, ...]:
    memory = size_text(row.n_bytes) if row.n_parameters else ""
    kind = "  " * row.depth + row.kind
    return row.name, kind, row.shape, f"{row.n_parameters:,}", memory


def totals(model: Layer) -> list[str]:
    """What the whole model holds, as lines of text."""
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
    return [*lines, f"{kept:,} more values that are not trained"] if kept else lines


def size_text(n_bytes: float) -> str:
    """So many bytes, as people write it."""
    if n_bytes < 1024:
        return f"{n_bytes:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        n_bytes /= 1024
        if n_bytes < 1024:
            return f"{n_bytes:.1f} {unit}"
    return f"{n_bytes / 1024:,.1f} TiB"
