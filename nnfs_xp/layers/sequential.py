"""A model: layers one after the other."""

from __future__ import annotations

from nnfs_xp.layers import summary
from nnfs_xp.layers.base import Layer
from nnfs_xp.layers.composite import Stack


class Sequential(Stack):
    """Layers one behind the other, each taking the output of the one before. Is itself a layer.

    All parameters of the layers move into one buffer of the model's own, with their values.

    Parameters
    ----------
    *layers : Layer
        At least one, each its own object.
    seed : int, optional
        Draws all parameters anew, from one generator, layer by layer, each by what follows it:
        see `nnfs_xp.initializers.by_what_follows`. Without it the layers keep those that they
        have.
    fuse : bool
        Whether layers that can run as one do: the same numbers in fewer passes. False has each
        layer run alone, in the layers within too, by the methods that its class shows.

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

    def links(self) -> tuple[Layer, ...]:
        if type(self) is not Sequential:  # it may run its layers in a way of its own
            return (self,)
        links: list[Layer] = []
        for layer in self.children:
            alone = getattr(layer, "fuse", self.fuse) != self.fuse  # it stays by itself
            links += (layer,) if alone else layer.links()
        return tuple(links)

    def summary(self) -> str:
        """A table of the layers: place, name, shape of the output, parameters and their memory.

        The layers within a layer follow it, indented; its own row counts their parameters too.
        """
        return summary.text(self)

    def _repr_html_(self) -> str:
        """The table of `summary`, for a notebook."""
        return summary.html(self)
