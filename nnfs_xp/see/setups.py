"""What is played with: a model, its loss and optimizer, and the samples that it learns from."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, backend_of, get_backend
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.beneath import HasNetwork, layer_of
from nnfs_xp.layers import Layer, Sequential, Softmax
from nnfs_xp.losses import (
    CategoricalCrossentropy,
    Loss,
    MeanSquaredError,
    SoftmaxCategoricalCrossentropy,
)
from nnfs_xp.optimizers import SGD, Optimizer
from nnfs_xp.see import words
from nnfs_xp.see.problems import PROBLEMS, find_problem
from nnfs_xp.see.tracing import inputs_for, targets_for
from nnfs_xp.training.preparation import check_lengths

DEFAULT = "circles"
_LARGEST_SEED = 2**32


@dataclass(frozen=True)
class Setup:
    """All that a play begins with. It is copied, and so stays as it is.

    Attributes
    ----------
    model : Layer
    loss : Loss
    optimizer : Optimizer
    X : array, shape (n, …)
    y : array
        As the loss takes it.
    batch_size : int
    seed : int
        Of the order of the samples.
    data, layers : str
        What the page's form says of them.
    image_shape : tuple of int, optional
        (height, width), where the features are the pixels of an image.
    """

    model: Layer
    loss: Loss
    optimizer: Optimizer
    X: Array
    y: Array
    batch_size: int
    seed: int
    data: str
    layers: str
    image_shape: tuple[int, int] | None = None

    @property
    def words(self) -> dict[str, Any]:
        """What the page's form shows."""
        return {
            "data": self.data,
            "layers": self.layers,
            "loss": repr(self.loss),
            "optimizer": repr(self.optimizer),
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    @property
    def backend(self) -> Backend:
        """Where the model and the samples are."""
        return backend_of(self.X)

    @property
    def n_samples(self) -> int:
        """How many samples there are."""
        return int(self.X.shape[0])


@dataclass(frozen=True)
class Wish:
    """What a page's form, or a call of `play`, asks for; None is left to the data set.

    Attributes
    ----------
    data : str, optional
        The name of a data set; ``"own"`` for the user's.
    layers : str, optional
    loss : Loss or str, optional
    optimizer : Optimizer or str, optional
    batch_size : int, optional
    seed : int
    """

    data: Any = None
    layers: Any = None
    loss: Any = None
    optimizer: Any = None
    batch_size: Any = None
    seed: Any = 0


@dataclass(frozen=True)
class Workshop:
    """Makes the setups that a page asks for.

    Attributes
    ----------
    own : Setup or None
        The user's own: what ``data`` with the name ``"own"`` stands for.
    start : Wish
        What the page begins with.
    """

    own: Setup | None = None
    start: Wish = Wish()

    @property
    def data_names(self) -> list[str]:
        """The data sets to choose from."""
        return [*(["own"] if self.own is not None else []), *PROBLEMS]

    def first(self) -> Setup:
        """What a page begins with."""
        return self.make(self.start)

    def make(self, wish: Wish) -> Setup:
        """The setup that is wished for.

        Raises
        ------
        NnfsError
            Something cannot be read, or does not fit.
        """
        seed = _checks.check_count("seed", wish.seed, least=0)
        if seed > _LARGEST_SEED:
            raise ArgumentError(f"`seed` must be at most {_LARGEST_SEED}.")
        own = self.own
        data = wish.data if wish.data is not None else DEFAULT if own is None else "own"
        given = self.start if own is None else own
        loss = _meant(wish.loss, given.loss, words.loss_of)
        optimizer = _meant(wish.optimizer, given.optimizer, words.optimizer_of)
        if data == "own" and own is not None:
            return _again(own, wish, loss or own.loss, optimizer or own.optimizer)
        problem = find_problem(data)
        X, y = problem.load(seed)
        text = problem.layers if wish.layers is None else wish.layers
        model = words.layers_of(text, X.shape[1], seed=seed)
        if problem.first_weights is not None and text == problem.layers:
            dense: Any = model.layers[0]
            dense.weights, dense.biases = problem.first_weights
        return made_of(
            model,
            X,
            y,
            loss=loss,
            optimizer=words.optimizer_of(problem.optimizer) if optimizer is None else optimizer,
            batch_size=wish.batch_size,
            seed=seed,
            data=data,
            layers=text,
            image_shape=problem.image_shape,
        )


def _meant(wish: Any, given: Any, read: Callable[[str], Any]) -> Any:
    """What a wish means: an object as it is, or, of its words, the one that was given or a new one.

    So an object that words cannot build, with a schedule say, stays while its words do.
    """
    if wish is None or not isinstance(wish, str):
        return wish
    return given if given is not None and wish == repr(given) else read(wish)


def _again(own: Setup, wish: Wish, loss: Loss, optimizer: Optimizer) -> Setup:
    """The user's own setup with what is wished for in its place."""
    model: Layer = own.model
    layers = own.layers if wish.layers is None else wish.layers
    if layers != own.layers:
        if own.X.ndim != 2:
            raise ArgumentError("samples that are no rows go with their own model only.")
        model = words.layers_of(layers, own.X.shape[1], seed=wish.seed).to(own.backend)
    return made_of(
        model,
        own.X,
        own.y,
        loss=loss,
        optimizer=optimizer,
        batch_size=own.batch_size if wish.batch_size is None else wish.batch_size,
        seed=wish.seed,
        layers=layers,
        image_shape=own.image_shape,
    )


def made_of(
    model: Layer | HasNetwork,
    X: Any,
    y: Any,
    *,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    data: str = "own",
    layers: str | None = None,
    image_shape: tuple[int, int] | None = None,
) -> Setup:
    """A setup of a model and data, checked; the model is copied.

    Parameters
    ----------
    model : Layer
    X, y : array of any backend
    loss : Loss, optional
        By default cross-entropy for whole numbers, and else the mean squared error.
    optimizer : Optimizer, optional
        By default `SGD` with a learning rate of 0.1.
    batch_size : int, optional
        By default all samples, at most 1,000.
    seed : int
    data, layers : str
        What the page's form says of them; by default the layers themselves.
    image_shape : tuple of int, optional

    Raises
    ------
    NnfsError
        The parts do not fit together.
    """
    model = copy.deepcopy(layer_of(model))
    if not model.parameters():
        raise ArgumentError("the network has no weights to learn. Put a Dense layer into it, say.")
    if not isinstance(model, Sequential):
        model = Sequential(model)
    backend = model.backend or get_backend("numpy")
    X = inputs_for(model, X, backend)
    y = backend.asarray(y)
    check_lengths(X, y)
    if loss is None:
        loss = _loss_for(model, y, X)
    if not isinstance(loss, Loss):
        raise ArgumentError(f"`loss` must be a Loss; got {loss!r}.")
    optimizer = SGD(0.1) if optimizer is None else optimizer
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"`optimizer` must be an Optimizer; got {optimizer!r}.")
    n = int(X.shape[0])
    size = min(n, 1000) if batch_size is None else _checks.check_count("batch_size", batch_size)
    return Setup(
        model,
        loss,
        copy.deepcopy(optimizer),
        X,
        targets_for(model, loss, X, y),
        min(size, n),
        seed,
        data,
        ", ".join(repr(layer) for layer in model.layers) if layers is None else layers,
        image_shape,
    )


def _loss_for(model: Sequential, y: Array, X: Array) -> Loss:
    is_floating = backend_of(y).is_floating(y.dtype)
    if is_floating or tuple(y.shape) == tuple(model.forward(X[:1, ...]).shape):
        return MeanSquaredError()
    if isinstance(model.layers[-1], Softmax):
        return CategoricalCrossentropy()
    return SoftmaxCategoricalCrossentropy()
