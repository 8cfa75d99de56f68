"""A model: layers one after the other."""

from __future__ import annotations

from typing import Unpack

from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import summary
from nnfs_xp.layers.base import Layer, Shape
from nnfs_xp.layers.composite import Stack
from nnfs_xp.parameters import Options


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
    input_shape : tuple of int, optional
        The shape of one sample, where the first layer does not tell it or samples are no rows;
        None for an axis of any length. All layers are checked to fit it.
    **options
        `trainable`, `weight_decay` and `learning_rate_scale`, for all layers within: see `Layer`.

    Raises
    ------
    ShapeError
        A layer cannot take the output of the one before it, or a sample of `input_shape`.
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
        if type(self) is not Sequential and not self.is_plain_block:
            return (self,)  # it may run its layers in a way of its own
        links: list[Layer] = []
        for layer in self.children:
            alone = getattr(layer, "fuse", self.fuse) != self.fuse  # it stays by itself
            links += (layer,) if alone else layer.links()
        return tuple(links)

    @property
    def is_plain_block(self) -> bool:
        """Whether it is a `Block` that runs its layers as a `Sequential` does."""
        return False

    def summary(
        self, batch_size: int | None = None, optimizer: summary.HasState | None = None
    ) -> str:
        """A table of the layers: place, name, shape of the output, parameters and their memory.

        The layers within a layer follow it, indented; its own row counts theirs too. A notebook
        shows it as HTML.

        Parameters
        ----------
        batch_size : int, optional
            Also say what a training step with so many samples will need, and what it holds of each
            layer until the next step: its output, if `backward` needs it, what else is kept for
            that, and the gradient of its inputs. Layers are taken to run as a `Trainer` runs them,
            in the model's own data type.
        optimizer : Optimizer, optional
            Also count what it keeps.

        Returns
        -------
        str

        Raises
        ------
        ArgumentError
            `batch_size` is no number of samples, or `optimizer` is none.
        """
        return summary.summarize(self, batch_size, optimizer)

    def _repr_html_(self) -> str:
        """The table of `summary`, for a notebook."""
        return summary.summarize(self)._repr_html_()


class Block(Sequential):
    """A piece of a network that goes by one name: layers one behind the other, as in `Sequential`.

    Derive from it for a piece with equations of its own, in which several layers work together:
    its ``__init__`` builds the layers and hands them on. It is shown under its name, and needs
    nothing else for files, ONNX, PyTorch, Keras, half precision and the like than its layers have.
    In a file it stands with its layers, and where the class is not known it is loaded as a `Block`
    of its name.

    Parameters
    ----------
    *layers : Layer
        At least one, each its own object.
    name : str, optional
        What a summary calls it; by default its class.
    seed : int, optional
    fuse : bool
    input_shape : tuple of int, optional
        As in `Sequential`.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> class Bottleneck(nn.Block):
    ...     # output = inputs + relu(inputs @ U) @ V, with fewer neurons between
    ...     def __init__(self, n_features, n_between, *, dtype="float32"):
    ...         self.n_features, self.n_between = n_features, n_between
    ...         down = nn.Dense(n_features, n_between, dtype=dtype)
    ...         up = nn.Dense(n_between, n_features, dtype=dtype)
    ...         super().__init__(nn.Residual(down, nn.ReLU(), up))
    >>> model = nn.Sequential(Bottleneck(8, 2), nn.Dense(8, 3), seed=0)
    >>> model.layers[0].config()
    {'n_features': 8, 'n_between': 2, 'dtype': 'float32'}
    """

    def __init__(
        self,
        *layers: Layer,
        name: str | None = None,
        seed: int | None = None,
        fuse: bool = True,
        input_shape: Shape | int | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(*layers, seed=seed, fuse=fuse, input_shape=input_shape, **options)
        if name is not None and (not isinstance(name, str) or not name):
            raise ArgumentError(f"`name` must be a text, and not empty; got {name!r}.")
        self.name = name

    @property
    def kind(self) -> str:
        return self.name or super().kind

    @property
    def is_plain_block(self) -> bool:
        kind, passes = type(self), ("forward", "backward", "backward_parameters")
        return all(getattr(kind, name) is getattr(Sequential, name) for name in passes)
