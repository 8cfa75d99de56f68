"""Training: a model, a loss and an optimizer put to work on data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, get_backend, host_generator, to_numpy
from nnfs_xp.data.batching import batches, place
from nnfs_xp.errors import ArgumentError, DataError, DivergenceError, LabelError, ShapeError
from nnfs_xp.layers import Layer, Sequential
from nnfs_xp.losses import Loss
from nnfs_xp.metrics import Metric
from nnfs_xp.optimizers import Optimizer
from nnfs_xp.training.history import History
from nnfs_xp.training.progress import Progress

_EVALUATION_BATCH = 1024


class Trainer:
    """Trains a model, and evaluates it and predicts with it.

    A model that ends in `Softmax` is trained with the fused gradient when the loss is
    `CategoricalCrossentropy`; likewise `Sigmoid` with `BinaryCrossentropy`. The loss that is
    reported is then that of the logits, which no probability of 0 can spoil.

    Parameters
    ----------
    model : Layer
        Moved to the backend.
    loss : Loss
    optimizer : Optimizer
    metrics : sequence of Metric or "accuracy"
        Reported beside the loss. ``"accuracy"`` is the loss' own: of classes, of yes-or-no
        outputs, or of values.
    backend : str or Backend
    seed : int
        Of the shuffles and of the random numbers that layers draw. The initial weights are the
        model's own.

    Attributes
    ----------
    epoch : int
        Epochs done so far.
    history : History
        Of the last `fit`, also where that was interrupted.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> X, y = nn.data.spiral_data(samples=100, classes=3, seed=0)
    >>> model = nn.Sequential(nn.Dense(2, 64), nn.ReLU(), nn.Dense(64, 3), seed=0)
    >>> trainer = nn.Trainer(
    ...     model, nn.SoftmaxCategoricalCrossentropy(), nn.Adam(0.05), backend="numpy"
    ... )
    >>> history = trainer.fit(X, y, epochs=100, progress=False)
    >>> history["loss"][-1] < history["loss"][0]
    True
    """

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        optimizer: Optimizer,
        metrics: Sequence[str | Metric] = ("accuracy",),
        backend: str | Backend = "auto",
        seed: int = 0,
    ) -> None:
        for name, value, kind in (
            ("model", model, Layer),
            ("loss", loss, Loss),
            ("optimizer", optimizer, Optimizer),
        ):
            if not isinstance(value, kind):
                raise ArgumentError(f"`{name}` must be a {kind.__name__} object; got {value!r}.")
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.backend = get_backend(backend)
        host_generator(seed)  # refuses what is no seed
        self.seed = seed
        self.epoch = 0
        self.history = History()
        model.to(self.backend)

        layers = model.layers if isinstance(model, Sequential) else (model,)
        fused = loss.fused_with(layers[-1]) if len(layers) > 1 else None
        self._layers = layers if fused is None else layers[:-1]
        self._loss = loss if fused is None else fused
        self.metrics = [self._metric(metric) for metric in metrics]
        for stream, (_, layer) in enumerate(model.walk()):
            layer.reseed(seed, stream)
        self._flat_targets = False

    def _metric(self, metric: str | Metric) -> Metric:
        if isinstance(metric, Metric):
            return metric
        if metric == "accuracy":
            return self._loss.accuracy()
        raise ArgumentError(f"a metric is a Metric object or 'accuracy'; got {metric!r}.")

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: tuple[Any, Any] | None = None,
        shuffle: bool = True,
        progress: bool = True,
    ) -> History:
        """Train on the data for a number of epochs. Called again, it goes on.

        Parameters
        ----------
        X : array of any backend, shape (n, ...)
            Cast to the model's data type, and moved to its device at once if it fits there.
        y : array of any backend
            Targets as the loss takes them: class indices (n,) or one-hot rows (n, k) for the
            categorical ones; (n, outputs), or (n,) for one output, for the others.
        epochs, batch_size : int
        validation_data : tuple of (X, y), optional
            Evaluated after each epoch.
        shuffle : bool
            Whether each epoch takes the samples in a new order.
        progress : bool
            Whether to show a line for each epoch, on a terminal or in a notebook.

        Returns
        -------
        History
            The loss, penalties included, and the metrics, averaged over each epoch's samples
            as they were trained on.

        Raises
        ------
        ShapeError, DTypeError, LabelError, DataError, ArgumentError
            The data or settings are unfit; nothing was trained.
        DivergenceError
            The loss became NaN or infinite.
        """
        epochs = _checks.check_count("epochs", epochs)
        batch_size = _checks.check_count("batch_size", batch_size)
        y = self.backend.asarray(y)
        flat_targets = y.ndim == 1
        X, y = self._prepare(X, y)
        validation = None
        if validation_data is not None:
            validation = self._prepare(*_checks.pair_of("validation_data", validation_data))
        self._flat_targets = flat_targets
        for metric in self.metrics:
            metric.prepare(y)
        self.history = history = History()
        n = X.shape[0]
        with Progress(self.epoch + epochs, n, batch_size, shown=progress) as bar:
            for _ in range(epochs):
                bar.begin_epoch(self.epoch + 1)
                order = host_generator(self.seed, self.epoch).permutation(n)
                row = self._train_epoch(X, y, batch_size, order if shuffle else None, bar)
                if validation is not None:
                    figures = self._evaluate(*validation, _EVALUATION_BATCH)
                    row |= {f"val_{name}": value for name, value in figures.items()}
                bar.end_epoch(row)
                history.append({**row, "learning_rate": self.optimizer.current_learning_rate})
                self.epoch += 1
        return history

    def train_step(self, x: Array, y: Array) -> Array:
        """Train on one batch.

        Waits for nothing: the loss is computed on the device, and stays there until read. So
        the values of labels are not looked at; a label that is no class makes the loss NaN.

        Parameters
        ----------
        x : array, shape (batch, ...)
        y : array
            Both on the trainer's backend, x in the model's data type.

        Returns
        -------
        0-d array
            The loss before the step, penalties included.
        """
        _, loss = self._step(x, y)
        return loss

    def evaluate(self, X: Any, y: Any, *, batch_size: int = _EVALUATION_BATCH) -> dict[str, float]:
        """The loss, penalties included, and the metrics on some data, by name.

        Parameters and errors as for `fit`.
        """
        batch_size = _checks.check_count("batch_size", batch_size)
        return self._evaluate(*self._prepare(X, y), batch_size)

    def predict(self, X: Any, *, batch_size: int = _EVALUATION_BATCH) -> np.ndarray[Any, Any]:
        """What the model says of each sample.

        Parameters
        ----------
        X : array of any backend, shape (n, ...)
        batch_size : int

        Returns
        -------
        ndarray
            The class indices, shape (n,); or 0 and 1 for yes-or-no outputs, or values for a
            regression, shape (n, outputs), or (n,) if `fit` was given such targets.
        """
        output = self._outputs(X, batch_size, self._loss.predictions)
        return output[:, 0] if self._flat_targets and output.shape[1:] == (1,) else output

    def predict_proba(self, X: Any, *, batch_size: int = _EVALUATION_BATCH) -> np.ndarray[Any, Any]:
        """The probability of each class, or of yes for yes-or-no outputs; shape (n, outputs).

        Raises
        ------
        NnfsError
            The loss is a regression's.
        """
        return self._outputs(X, batch_size, self._loss.probabilities)

    def _step(self, x: Array, y: Array) -> tuple[Array, Array]:
        """One training step; the model's output and the loss, both from before it."""
        output = self._forward(x, training=True)
        loss = self._loss.calculate(output, y)
        dvalues = self._loss.backward(output, y)
        for layer in reversed(self._layers[1:]):
            dvalues = layer.backward(dvalues)
        self._layers[0].backward_parameters(dvalues)
        penalty = self.model.regularization_loss()
        self.optimizer.step(self.model)
        return output, loss if penalty is None else loss + penalty

    def _forward(self, x: Array, training: bool = False) -> Array:
        for layer in self._layers:
            x = layer.forward(x, training)
        return x

    def _train_epoch(
        self, X: Any, y: Any, batch_size: int, order: Any, bar: Progress
    ) -> dict[str, float]:
        totals = _Totals(self.metrics, self.backend)
        for x_batch, y_batch in batches((X, y), self.backend, batch_size, order):
            output, loss = self._step(x_batch, y_batch)
            totals.add(loss, output, y_batch)
            bar.end_batch(x_batch.shape[0], totals.read)
        row = totals.read()
        if not math.isfinite(row["loss"]):
            raise DivergenceError(
                f"the loss became {row['loss']} in epoch {self.epoch + 1}. Lower the learning "
                "rate, or scale the inputs."
            )
        return row

    def _evaluate(self, X: Any, y: Any, batch_size: int) -> dict[str, float]:
        penalty = self.model.regularization_loss()
        totals = _Totals(self.metrics, self.backend)
        for x_batch, y_batch in batches((X, y), self.backend, batch_size):
            output = self._forward(x_batch)
            loss = self._loss.calculate(output, y_batch)
            totals.add(loss if penalty is None else loss + penalty, output, y_batch)
        return totals.read()

    def _outputs(self, X: Any, batch_size: int, interpret: Any) -> np.ndarray[Any, Any]:
        batch_size = _checks.check_count("batch_size", batch_size)
        X = self._prepare_inputs(X)
        parts = [
            to_numpy(interpret(self._forward(x)))
            for (x,) in batches((X,), self.backend, batch_size)
        ]
        return np.concatenate(parts)

    def _prepare_inputs(self, X: Any) -> Any:
        """The inputs on the device in the model's data type, if they are fit for the model."""
        X = place(X, self.backend, self.model.dtype or "float32")
        shape = tuple(X.shape)
        expected = self.model.input_shape
        if len(shape) < 2:
            raise ShapeError(
                f"`X` must have shape (samples, features); got {shape}. For one sample, use "
                "X.reshape(1, -1); for one feature, X.reshape(-1, 1)."
            )
        if 0 in shape:
            raise ShapeError(f"`X` is empty: shape {shape}. At least 1 sample is needed.")
        if expected is not None and shape[1:] != expected:
            hint = " Did you mean to transpose?" if shape[:1] == expected else ""
            wanted = ", ".join(map(str, expected))
            raise ShapeError(f"`X` must have shape (samples, {wanted}); got {shape}.{hint}")
        xp = self.backend.xp if self.backend.owns(X) else np
        if not bool(xp.all(xp.isfinite(X))):
            raise DataError("`X` holds NaN or infinity. Remove or fill those samples.")
        return X

    def _prepare(self, X: Any, y: Any) -> tuple[Any, Any]:
        X = self._prepare_inputs(X)
        y = self.backend.asarray(y)
        if y.ndim == 0 or y.shape[0] != X.shape[0]:
            raise LabelError(
                f"`y` must have one entry for each of the {X.shape[0]} samples; "
                f"got shape {tuple(y.shape)}."
            )
        output = self._forward(self.backend.asarray(X[:1, ...]))
        return X, self._loss.prepare_targets(y, output.shape[1], output.dtype)


class _Totals:
    """Running sums of the loss and the metrics, on the device until they are read."""

    def __init__(self, metrics: list[Metric], backend: Backend) -> None:
        self._metrics = metrics
        self._xp = backend.xp
        self._count = 0
        self._sums: list[Array] = []

    def add(self, loss: Array, output: Array, y: Array) -> None:
        n = output.shape[0]
        terms = [loss * n, *(self._xp.sum(m.forward(output, y)) for m in self._metrics)]
        self._count += n
        if self._sums:
            self._sums = [total + term for total, term in zip(self._sums, terms, strict=True)]
        else:
            self._sums = terms

    def read(self) -> dict[str, float]:
        names = ["loss", *(metric.name for metric in self._metrics)]
        values = (float(total) / self._count for total in self._sums)  # type: ignore[arg-type] # 0-d
        return dict(zip(names, values, strict=True))
