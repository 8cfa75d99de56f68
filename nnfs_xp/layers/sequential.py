"""A model: layers one after the other."""

from __future__ import annotations

from math import prod

from nnfs_xp.layers.composite import Row


class Sequential(Row):
    """Layers in a row, each taking the output of the one before. Is itself a layer.

    All parameters of the layers move into one buffer of the model's own, with their values.

    Parameters
    ----------
    *layers : Layer
        At least one, each its own object.
    seed : int, optional
        Draws all parameters anew, from one generator, layer by layer, each as it suits what
        follows: see `nnfs_xp.initializers.by_what_follows`. Without it the layers keep those
        that they have.

    Raises
    ------
    ShapeError
        A layer cannot take the output of the one before it.
    DTypeError
        The layers differ in the data type of their parameters.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> model = nn.Sequential(nn.Dense(64, 32), nn.ReLU(), nn.Dense(32, 10), seed=0)
    >>> sorted(model.parameters())
    ['0.biases', '0.weights', '2.biases', '2.weights']
    """

    def summary(self) -> str:
        """A table of the layers: name, shape of a sample's output, number of parameters."""
        rows = [("", "Layer", "Output shape", "Parameters")]
        shape = self.input_shape
        for index, layer in enumerate(self.children):
            shape = None if shape is None else layer.output_shape(shape)
            size = sum(prod(array.shape) for array in layer.parameters().values())
            text = "as the inputs" if shape is None else f"(batch, {', '.join(map(str, shape))})"
            rows.append((str(index), type(layer).__name__, text, f"{size:,}"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            f"{a:>{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}"
            for a, b, c, d in rows
        ]
        lines.insert(1, "-" * len(lines[0]))
        lines.append(lines[1])
        if self._flat is None:
            lines.append("no parameters")
        else:
            flat = self.flat
            lines.append(f"{flat.size:,} parameters, {flat.dtype}, on {flat.backend.name}")
        return "\n".join(lines)
