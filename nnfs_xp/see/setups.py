"""What is played with: a model, its loss and optimizer, and the samples that it learns from."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.backend import get_backend
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
from nnfs_xp.see import chapter_figures, words
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
    words : dict of str to str
        What the page's form shows: ``data``, ``layers``, ``loss``, ``optimizer``.
    image_shape : tuple of int, optional
    """

    model: Layer
    loss: Loss
    optimizer: Optimizer
    X: Array
    y: Array
    batch_size: int
    seed: int
    words: dict[str, Any]
    image_shape: tuple[int, int] | None = None

    @property
    def n_samples(self) -> int:
        """How many samples there are."""
        return int(self.X.shape[0])


@dataclass(frozen=True)
class Workshop:
    """Makes setups of what a page's form says, for one's own model and data too.

    Attributes
    ----------
    own : Setup or None
        What ``data`` with the name ``"own"`` stands for.
    """

    own: Setup | None = None
    start: dict[str, Any] = field(default_factory=dict)

    @property
    def data_names(self) -> list[str]:
        """The data sets to choose from."""
        return [*(["own"] if self.own is not None else []), *PROBLEMS]

    def first(self) -> Setup:
        """What a page begins with."""
        return self.own if self.own is not None and not self.start else self.make(**self.start)

    def make(
        self,
        data: Any = None,
        layers: Any = None,
        loss: Any = None,
        optimizer: Any = None,
        batch_size: Any = None,
        seed: Any = 0,
    ) -> Setup:
        """A setup of words; what is left out is the data set's own choice.

        Raises
        ------
        NnfsError
            Something cannot be read, or does not fit.
        """
        seed = _checks.check_count("seed", seed, least=0)
        if seed > _LARGEST_SEED:
            raise ArgumentError(f"`seed` must be at most {_LARGEST_SEED}.")
        if data is None:
            data = DEFAULT if self.own is None else "own"
        if data == "own" and self.own is not None:
            return self._own(self.own, layers, loss, optimizer, batch_size, seed)
        problem = find_problem(data)
        X, y = problem.load(seed)
        text = layers or problem.layers
        model = words.layers_of(text, X.shape[1], seed=seed)
        if data == "neuron" and text == problem.layers:
            _as_chapter(model)
        made = made_of(
            model,
            X,
            y,
            loss=words.loss_of(loss) if loss else None,
            optimizer=words.optimizer_of(optimizer or problem.optimizer),
            batch_size=batch_size,
            seed=seed,
            image_shape=problem.image_shape,
        )
        made.words.update(data=data, layers=text)
        return made

    def _own(
        self, own: Setup, layers: Any, loss: Any, optimizer: Any, batch_size: Any, seed: int
    ) -> Setup:
        model = own.model
        if layers and layers != own.words["layers"]:
            if own.X.ndim != 2:
                raise ArgumentError("samples that are no rows go with their own model only.")
            model = words.layers_of(layers, own.X.shape[1], seed=seed).to(
                own.model.backend or "numpy"
            )
        keeps_loss = not loss or loss == own.words["loss"]
        keeps = not optimizer or optimizer == own.words["optimizer"]
        made = made_of(
            model,
            own.X,
            own.y,
            loss=own.loss if keeps_loss else words.loss_of(loss),
            optimizer=own.optimizer if keeps else words.optimizer_of(optimizer),
            batch_size=batch_size or own.batch_size,
            seed=seed,
            image_shape=own.image_shape,
        )
        made.words.update(data="own", layers=layers or own.words["layers"])
        return made


def made_of(
    model: Layer | HasNetwork,
    X: Any,
    y: Any,
    *,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    batch_size: int | None = None,
    seed: int = 0,
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
    image_shape : tuple of int, optional

    Raises
    ------
    NnfsError
        The parts do not fit together.
    """
    model = copy.deepcopy(layer_of(model))
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
        {
            "data": "own",
            "layers": ", ".join(repr(layer) for layer in model.layers),
            "loss": repr(loss),
            "optimizer": repr(optimizer),
        },
        image_shape,
    )


def _loss_for(model: Sequential, y: Array, X: Array) -> Loss:
    is_floating = str(y.dtype).rpartition(".")[2].startswith(("float", "bfloat"))
    if is_floating or tuple(y.shape) == tuple(model.forward(X[:1, ...]).shape):
        return MeanSquaredError()
    if isinstance(model.layers[-1], Softmax):
        return CategoricalCrossentropy()
    return SoftmaxCategoricalCrossentropy()


def _as_chapter(model: Sequential) -> None:
    """Give the model the chapter's weights and bias."""
    dense: Any = model.layers[0]
    dense.weights, dense.biases = chapter_figures.WEIGHTS, chapter_figures.BIAS
