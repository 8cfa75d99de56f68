"""Training: a model, a loss and an optimizer put to work on data."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from operator import index
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, Memory, get_backend, host_generator, is_array, to_numpy
from nnfs_xp.data.batching import batches
from nnfs_xp.data.sparse import SparseRows, is_sparse
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import Layer
from nnfs_xp.layers.fusion import fused
from nnfs_xp.losses import Loss
from nnfs_xp.metrics import Metric
from nnfs_xp.optimizers import Optimizer
from nnfs_xp.training.callbacks import Callback
from nnfs_xp.training.checkpoints import Checkpoints
from nnfs_xp.training.history import History
from nnfs_xp.training.memory import memory_explained
from nnfs_xp.training.preparation import check_lengths, check_shape, prepare_inputs
from nnfs_xp.training.recording import Recorder
from nnfs_xp.training.run import Run
from nnfs_xp.training.steps import HalfStep, Step, chain_of, check_precision
from nnfs_xp.training.totals import Totals
from nnfs_xp.training.weights import prepare_weights

_EVALUATION_BATCH = 1024


class MetricKind(NamedTuple):
    """What is known of a metric once it has seen a sample.

    Attributes
    ----------
    width : int
        How many sums, or columns, it accumulates.
    number : bool
        Whether its figure is one, and so has a history.
    """

    width: int
    number: bool


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
        outputs, or of values. A `Metric` sees what the model puts out.
    backend : str or Backend
    seed : int
        Of the shuffles and of the random numbers that layers draw. The initial weights are the
        model's own.
    precision : {"float32", "tf32", "float16", "bfloat16"}
        What training steps compute in; weights, loss and the optimizer's state are float32 in
        all. ``"tf32"`` lets the products of a CUDA device round their factors to 10 bits behind
        the point. In the last two dense layers, the ReLUs behind them and `Dropout` work in that
        type in a step, on a rounded copy of the weights, with the gradients scaled for float16.
        Evaluation and prediction are in float32.
    graph : bool
        Whether a CUDA device may run a step as a graph, recorded after the first of its kind: the
        same results, in one launch. Other devices run it as it is.

    Attributes
    ----------
    epoch : int
        Epochs done so far.
    step : int
        Steps done so far in the present epoch.
    history : History
        Of the last `fit`, also where that was interrupted.
    figure_names : list of str
        The keys that the history of the present `fit` has.
    recorder : Recorder
        Makes the steps; ``recorder.refused`` is None, or why none is recorded as a graph.

    Raises
    ------
    ArgumentError
        A part is of the wrong kind, or two metrics have one name.
    BackendError
        The backend cannot be used.

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
        *,
        precision: str = "float32",
        graph: bool = True,
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
        check_precision(precision, model, self.backend)
        self.precision = precision
        host_generator(seed)  # refuses what is no seed
        self.seed = index(seed)
        self.epoch = self.step = self.steps_done = 0
        self.stopping = False
        self.history = History()
        self.figure_names: list[str] = []
        model.to(self.backend)
        self.backend.kernels.prepare(model.dtype or "float32")

        layers = chain_of(model)
        closed = loss.fused_with(layers[-1]) if len(layers) > 1 else None
        self.chain = layers if closed is None else layers[:-1]
        self.fused_loss = loss if closed is None else closed
        with self.backend.active():
            if precision in ("float16", "bfloat16"):
                self._step: Step = HalfStep(model, self.chain, self.backend, precision)
            else:
                self._step = Step(model, self.chain, self.backend, precision)
        self._stages = fused(self.chain)
        self.recorder = Recorder(wanted=graph)
        self.metrics = self._metrics(metrics)
        self.totals = Totals(self.metrics, self.backend)
        self.metric_kinds: dict[str, MetricKind] = {}
        self._prepared = False
        self._flat_targets = False
        self.reseed()

    def _metrics(self, metrics: Sequence[str | Metric]) -> list[Metric]:
        """The metrics, and whether they need the activation that the fused loss takes in."""
        if isinstance(metrics, (str, Metric)) or not isinstance(metrics, Sequence):
            raise ArgumentError(f"`metrics` must be a list or a tuple; got {metrics!r}.")
        for metric in metrics:
            if metric != "accuracy" and not isinstance(metric, Metric):
                raise ArgumentError(f"a metric is a Metric object or 'accuracy'; got {metric!r}.")
        given = any(isinstance(metric, Metric) for metric in metrics)
        whole = given and self.fused_loss is not self.loss
        self._closing = chain_of(self.model)[-1] if whole else None
        loss = self.loss if whole else self.fused_loss
        return [m if isinstance(m, Metric) else loss.accuracy() for m in metrics]

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: tuple[Any, Any] | None = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        shuffle: bool = True,
        progress: bool = True,
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | Checkpoints | None = None,
        resume: bool = False,
    ) -> History:
        """Train on the data for a number of epochs. Called again, it goes on.

        Parameters
        ----------
        X : array of any backend, shape (n, ...), or SciPy sparse matrix
            Cast to the model's data type, and moved to its device at once if it fits there. A
            sparse matrix becomes dense a batch at a time.
        y : array of any backend
            Targets as the loss takes them: class indices (n,) or one-hot rows (n, k) for the
            categorical ones; (n, outputs), or (n,) for one output, for the others.
        epochs, batch_size : int
        validation_data : tuple of (X, y), optional
            Evaluated after each epoch.
        sample_weight : array of any backend, shape (n,), optional
            How much each sample counts, in the loss and the metrics, beside the others: scaled
            to a mean of 1.
        class_weight : mapping, array or "balanced", optional
            The same for each class: a mapping from labels to weights, a weight for each class
            in order, or ``"balanced"``, which makes all classes count the same.
        shuffle : bool
            Whether each epoch takes the samples in a new order.
        progress : bool
            Whether to show a line for each epoch, on a terminal or in a notebook.
        callbacks : sequence of Callback
        checkpoint : str, Path or Checkpoints, optional
            A folder: the state of the training is kept there at the end of each epoch, and more
            often if `Checkpoints` says so. The first Ctrl-C or SIGTERM then finishes the step,
            saves, and ends the program with the status 130 or 143; the second ends it at once.
        resume : bool
            Go on from the newest checkpoint in the folder, if there is one: to the same weights
            and history, bit for bit, as if the training had never been cut. The model, the
            settings and the data must be those of then; `epochs` may be more.

        Returns
        -------
        History
            The loss, penalties included, and the metrics, averaged over each epoch's samples
            as they were trained on.

        Raises
        ------
        ShapeError, DTypeError, LabelError, DataError, ArgumentError
            The data or settings are unfit; nothing was trained.
        CheckpointError
            The checkpoints are of another run, or the folder cannot be used.
        DivergenceError
            The loss or a weight became NaN or infinite. The model has its weights from before
            that epoch.
        """
        epochs = _checks.check_count("epochs", epochs)
        batch_size = _checks.check_count("batch_size", batch_size)
        checkpoints = _checkpoints(checkpoint, resume)
        if not isinstance(callbacks, (list, tuple)):
            raise ArgumentError(f"`callbacks` must be a list or a tuple; got {callbacks!r}.")
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise ArgumentError(f"a callback is a Callback object; got {callback!r}.")
        with self.backend.active(), memory_explained(self, batch_size):
            y = self.backend.asarray(y)
            flat_targets = y.ndim == 1
            data = self._prepare(X, y, sample_weight, class_weight)
            validation = None
            if validation_data is not None:
                validation = self._prepare(*_checks.pair_of("validation_data", validation_data))
            self._flat_targets = flat_targets
            self._prepare_metrics(data[1])
            settings = batch_size, bool(shuffle), list(callbacks), checkpoints
            run = Run(self, data, validation, *settings)
            return run.execute(epochs, resume=resume, progress=progress)

    def stop(self) -> None:
        """Make the present epoch of `fit` the last one: for callbacks."""
        self.stopping = True

    def train_step(self, x: Array, y: Array) -> Array:
        """Train on one batch.

        Waits for nothing: the loss is computed on the device, and stays there until read. So
        the values of labels are not looked at; with a categorical loss, a label that is no class
        makes the loss NaN.

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
        with self.backend.active(), memory_explained(self, x):
            self.use_averages(False)
            return self.recorder.step(self, x, y)

    def evaluate(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        batch_size: int = _EVALUATION_BATCH,
    ) -> dict[str, Any]:
        """The loss, penalties included, and the metrics on some data, by name.

        Parameters and errors as for `fit`.
        """
        batch_size = _checks.check_count("batch_size", batch_size)
        with self.backend.active(), memory_explained(self, batch_size):
            data = self._prepare(X, y, sample_weight)
            if not self._prepared:
                self._prepare_metrics(data[1])
            return self.evaluate_prepared(data, batch_size)

    def predict(self, X: Any, *, batch_size: int = _EVALUATION_BATCH) -> np.ndarray[Any, Any]:
        """What the model says of each sample. Many threads may ask at once.

        Parameters
        ----------
        X : array of any backend, shape (n, ...), or SciPy sparse matrix
            Taken in pieces, so that it may be larger than the device's memory, or, as a
            `numpy.memmap`, than the machine's.
        batch_size : int
            Samples that go through the model together.

        Returns
        -------
        ndarray
            The class indices, shape (n,); or 0 and 1 for yes-or-no outputs, or values for a
            regression, shape (n, outputs), or (n,) if `fit` was given such targets.
        """
        output = self._outputs(X, batch_size, self.fused_loss.predictions)
        return output[:, 0] if self._flat_targets and output.shape[1:] == (1,) else output

    def predict_proba(self, X: Any, *, batch_size: int = _EVALUATION_BATCH) -> np.ndarray[Any, Any]:
        """The probability of each class, or of yes for yes-or-no outputs; shape (n, outputs).

        Raises
        ------
        NnfsError
            The loss is a regression's.
        """
        return self._outputs(X, batch_size, self.fused_loss.probabilities)

    def memory(self) -> Memory | None:
        """The device's memory, that of recorded steps included; None on the CPU.

        What is ``reserved`` grows as needed and is not given back meanwhile, and so is the peak.
        """
        memory = self.backend.memory()
        if memory is None:
            return None
        recorded = self.recorder.memory
        return memory._replace(used=memory.used + recorded, reserved=memory.reserved + recorded)

    def make_step(self, x: Array, *targets: Array) -> tuple[Array, Array]:
        """One training step; the output that metrics see, and the loss, both from before it.

        Targets are y, and the samples' weights if there are any.
        """
        self.reseed()  # others may have had the layers draw
        result = self.compute_step(x, *targets)
        self.count_step()
        return result

    def compute_step(self, x: Array, *targets: Array) -> tuple[Array, Array]:
        """All of `make_step` that is done on the device."""
        output, loss = self._step.compute(self, x, *targets)
        return self._seen(output), loss

    def count_step(self) -> None:
        """All of `make_step` that is done on the host."""
        self.optimizer.iterations += 1
        self.steps_done += 1

    def evaluate_prepared(
        self, data: tuple[Any, ...], batch_size: int = _EVALUATION_BATCH
    ) -> dict[str, Any]:
        """`evaluate` on data that are checked and placed."""
        penalty = self.model.regularization_loss()
        totals = Totals(self.metrics, self.backend)
        for x, *targets in batches(data, self.backend, batch_size):
            output = self._forward(x)
            loss = self.fused_loss.calculate(output, *targets)
            totals.add(loss if penalty is None else loss + penalty, self._seen(output), *targets)
        return totals.read()

    def use_averages(self, wanted: bool) -> None:
        """Have the averages of the weights in the model, if the optimizer keeps any, or not."""
        optimizer = self.optimizer
        if optimizer.average_decay is not None and wanted != optimizer.is_exchanged(self.model):
            optimizer.exchange_average(self.model)

    def reseed(self) -> None:
        """Have the layers draw, from the next step on, what they draw at that step."""
        self._step.reseed(self, self.steps_done)

    def working_layers(self) -> list[Layer]:
        """All layers that take part in a training step."""
        return self._step.layers(self)

    def precision_state(self) -> dict[str, Array]:
        """The arrays that steps in half precision keep from one to the next."""
        return self._step.state()

    def reseed_on_device(self, step: Any) -> None:
        """The same for a step that is counted on the device, while it is recorded."""
        self._step.reseed(self, step)

    def _forward(self, x: Array) -> Array:
        for stage in self._stages:
            x = stage.forward(x)
        return x

    def _seen(self, output: Array) -> Array:
        """What the metrics take: the model's output, where one of them needs more than logits."""
        return output if self._closing is None else self._closing.forward(output)

    def _outputs(self, X: Any, batch_size: int, interpret: Any) -> np.ndarray[Any, Any]:
        batch_size = _checks.check_count("batch_size", batch_size)
        if is_sparse(X):
            X = SparseRows(X)
        elif not is_array(X):
            X = to_numpy(X)
        check_shape(tuple(X.shape), self.model)
        parts = []
        with self.backend.active(), memory_explained(self, batch_size):
            for start in range(0, X.shape[0], batch_size):
                piece = X[start : min(start + batch_size, X.shape[0]), ...]
                x = self.backend.asarray(prepare_inputs(piece, self.model, self.backend))
                parts.append(to_numpy(interpret(self._forward(x))))
        return np.concatenate(parts)

    def _prepare(
        self, X: Any, y: Any, sample_weight: Any = None, class_weight: Any = None
    ) -> tuple[Any, ...]:
        """The data as batches are taken from them: inputs, targets, and weights if any."""
        X = prepare_inputs(X, self.model, self.backend)
        y = self.backend.asarray(y)
        check_lengths(X, y)
        output = self._forward(self.backend.asarray(X[:1, ...]))
        n_outputs = output.shape[1]
        y = self.fused_loss.prepare_targets(y, n_outputs, output.dtype)
        for metric in self.metrics:  # one that does not fit the model says so before training
            sums = metric.accumulate(self._seen(output), y[:1, ...])
            figure = metric.result(to_numpy(sums).astype(np.float64))
            self.metric_kinds[metric.name] = MetricKind(sums.shape[-1], isinstance(figure, Real))
        weights = prepare_weights(
            y, n_outputs, sample_weight, class_weight, has_classes=self.loss.has_classes
        )
        if weights is None:
            return X, y
        return X, y, self.backend.asarray(weights, self.model.dtype or "float32")

    def _prepare_metrics(self, y: Any) -> None:
        for metric in self.metrics:
            metric.prepare(y)
        self._prepared = True


def _checkpoints(checkpoint: Any, resume: bool) -> Checkpoints | None:
    if checkpoint is None:
        if resume:
            raise ArgumentError("`resume` needs `checkpoint`: the folder to go on from.")
        return None
    if isinstance(checkpoint, Checkpoints):
        return checkpoint
    if not isinstance(checkpoint, (str, Path)):
        raise ArgumentError(f"`checkpoint` must be a folder or Checkpoints; got {checkpoint!r}.")
    return Checkpoints(checkpoint)
