"""A model: layers one after the other."""

from __future__ import annotations

from nnfs_xp.layers import summary
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
        """A table of the layers: place, name, shape of the output, parameters and their memory.

        The layers within a layer follow it, indented; its own row counts their parameters too.
        """
        return summary.text(self)

    def _repr_html_(self) -> str:
        """The same table, for a notebook."""
        return summary.html(self)
