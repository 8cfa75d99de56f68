"""Training: a model, a loss and an optimizer put to work on data."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, Memory, backend_of
from nnfs_xp.data.transforms import Transform
from nnfs_xp.distributed import Group
from nnfs_xp.distributed.group import ALONE
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import Layer
from nnfs_xp.learning import Recorder, new_learner
from nnfs_xp.learning.memory import MemoryExplained
from nnfs_xp.learning.totals import Totals
from nnfs_xp.losses import Loss
from nnfs_xp.metrics import Metric
from nnfs_xp.optimizers import Optimizer
from nnfs_xp.training.callbacks import Callback
from nnfs_xp.training.checkpoints import Checkpoints
from nnfs_xp.training.course import Course
from nnfs_xp.training.evaluation import EVALUATION_BATCH, Views, evaluate, outputs
from nnfs_xp.training.feeding import (
    evaluation_of,
    feed_arrays,
    feed_source,
    gives_batches,
    unpacked,
)
from nnfs_xp.training.history import History
from nnfs_xp.training.progress import Shown, check_progress
from nnfs_xp.training.run import Run
from nnfs_xp.training.uniting import check_draws, unite


class Trainer:
    """Trains a model, and evaluates it and predicts with it.

    A model that ends in `Softmax` is trained with the fused gradient when the loss is
    `CategoricalCrossentropy`, and one that ends in `Sigmoid` when it is `BinaryCrossentropy`. The
    loss that is reported is then that of the logits, which no probability of 0 can spoil.

    Parameters
    ----------
    model : Layer
        Moved to the backend.
    loss : Loss
    optimizer : Optimizer
    metrics : sequence of Metric or "accuracy"
        Reported beside the loss. ``"accuracy"`` is the loss' own: of classes, of yes-or-no
        outputs, or of values. A `Metric` sees what `predict` or `predict_proba` would say, by
        its kind: see `Metric.sees`.
    backend : str or Backend
    seed : int or None
        Of the shuffles and of the random numbers that layers draw. The initial weights are the
        model's own. None draws one, which the attribute `seed` and a line of the log tell.
    precision : {"float32", "tf32", "float16", "bfloat16"}
        What training steps compute in; weights, loss and the optimizer's state are float32 in
        all. ``"tf32"`` lets the products of a CUDA device round their factors to 10 bits behind
        the point. In the last two dense layers, the ReLUs behind them and `Dropout` work in that
        type in a step, on a rounded copy of the weights, with the gradients scaled for float16.
        Evaluation and prediction are in float32.
    graph : bool
        Whether a CUDA device may run a step as a graph, recorded after the first of its kind, and
        a CPU with Numba work gradients out by the calls of an earlier step: the same results with
        less of Python. False has the layers work out each step.
    fuse : bool, optional
        Whether layers that can run as one do: the same numbers, but for rounding, in fewer
        passes. False has each layer run alone, in the model's containers too, by the methods that
        its class shows. The model stays so. By default as the outermost container says.
    threads : int, optional
        How many threads of a CPU steps and predictions run on, at most those that NumPy's BLAS
        has. By default the number is measured while they are made, and follows what else the
        machine does, unless the environment (``OMP_NUM_THREADS`` and its like) or threadpoolctl
        says how many. With Numba and NumPy's own OpenBLAS it changes no bit of any result. Else it
        changes how sums are rounded; a `fit` with `checkpoint` then keeps to the BLAS' number.
    group : Group, optional
        The processes that train together: see `nnfs_xp.distributed.group`. All make the same
        calls, with the same data. Each works on its rows of each batch, so that `batch_size` is
        that of all together, and the weights are those that one process would come to. Rank 0's
        weights and seed are taken by all.
    shard_optimizer : bool
        Whether each process of the group keeps the optimizer's state for its part of the
        parameters only, and updates these: for models that fill a GPU (Rajbhandari et al. 2020,
        *ZeRO*, section 5.1).

    Attributes
    ----------
    learner : Learner
        The model, the loss and the optimizer, and the step that they make together.
    course : Course
        Where the training is.
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
        seed: int | None = 0,
        *,
        precision: str = "float32",
        graph: bool = True,
        fuse: bool | None = None,
        threads: int | None = None,
        group: Group | None = None,
        shard_optimizer: bool = False,
    ) -> None:
        if group is not None and not isinstance(group, Group):
            raise ArgumentError(f"`group` must be a Group; got {group!r}.")
        self.group = ALONE if group is None else group
        with self.group.together():
            self.learner = new_learner(
                model,
                loss,
                optimizer,
                backend,
                seed=seed,
                precision=precision,
                fuse=fuse,
                group=self.group,
                shard_optimizer=_checks.check_bool("shard_optimizer", shard_optimizer),
            )
            with self.learner.backend.active():
                unite(self.learner)
        if threads is not None:
            threads = _checks.check_count("threads", threads)
        graph = _checks.check_bool("graph", graph)
        self.recorder = Recorder(self.learner, wanted=graph, threads=threads)
        self.course = Course(self._totals(metrics))
        self._flat_axes = -1
        self._batch_axes: int | None = None

    def _totals(self, metrics: Sequence[str | Metric]) -> Totals:
        """Totals of the metrics, checked."""
        if isinstance(metrics, (str, Metric)) or not isinstance(metrics, Sequence):
            raise ArgumentError(f"`metrics` must be a list or a tuple; got {metrics!r}.")
        for metric in metrics:
            if metric != "accuracy" and not isinstance(metric, Metric):
                raise ArgumentError(f"a metric is a Metric object or 'accuracy'; got {metric!r}.")
        learner, loss = self.learner, self.learner.fused_loss
        wanted = [each if isinstance(each, Metric) else loss.accuracy() for each in metrics]
        for metric in wanted:
            if metric.sees not in ("probabilities", "predictions", "classes", "outputs"):
                raise ArgumentError(
                    f"{type(metric).__name__}.sees must be 'probabilities', 'predictions', "
                    f"'classes' or 'outputs'; got {metric.sees!r}."
                )
            if loss.has_probabilities:
                metric.check_probabilities()
        counted = loss.counted if loss.ignores_some else None
        return Totals(wanted, learner.backend, learner.as_seen, counted)

    def __repr__(self) -> str:
        parts = [self.model, self.loss, self.optimizer]
        return f"Trainer({', '.join(map(repr, parts))}, {self.backend.name!r}, seed={self.seed})"

    @property
    def model(self) -> Layer:
        """The model that is trained."""
        return self.learner.model

    @property
    def loss(self) -> Loss:
        """The loss as it was given."""
        return self.learner.loss

    @property
    def optimizer(self) -> Optimizer:
        """What updates the weights; it can be replaced between steps."""
        return self.learner.optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        self.learner.optimizer = optimizer

    @property
    def backend(self) -> Backend:
        """Where the model is trained."""
        return self.learner.backend

    @property
    def seed(self) -> int:
        """Of the shuffles and the random numbers: as it was given, or drawn."""
        return self.learner.seed

    @property
    def epoch(self) -> int:
        """Epochs done so far."""
        return self.course.epoch

    @property
    def step(self) -> int:
        """Steps done so far in the present epoch."""
        return self.course.step

    @property
    def history(self) -> History:
        """The history of the last `fit`, also where that was interrupted."""
        return self.course.history

    @property
    def figure_names(self) -> list[str]:
        """The keys that the history of the present `fit` has."""
        return self.course.figure_names

    @property
    def stopping(self) -> bool:
        """Whether the present epoch of `fit` is the last one."""
        return self.course.stopping

    def figures_so_far(self) -> dict[str, Any]:
        """The loss and the metrics of the present epoch so far, without those that collect.

        Waits for the device. For `on_step_end`: at other times there may be nothing to read.

        Raises
        ------
        NotReadyError
            The epoch has had no step.
        """
        return self.course.totals.read(collected=False)

    def stop(self, now: bool = False) -> None:
        """Make the present epoch of `fit` the last one, or the present step: for callbacks.

        Parameters
        ----------
        now : bool
            Whether to end after the present step, in the middle of the epoch. If there are
            checkpoints, one is written, and `fit` with ``resume=True`` goes on there.
        """
        if now:
            self.course.cut = True
        else:
            self.course.stopping = True

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        shuffle: bool = True,
        transform: Transform | None = None,
        accumulate: int = 1,
        progress: Shown = True,
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | Checkpoints | None = None,
        resume: bool = False,
    ) -> History:
        """Train on the data for a number of epochs. Called again, it goes on.

        Parameters
        ----------
        X : array of any backend, shape (n, ...), SciPy sparse matrix, or source of batches
            Cast to the model's data type, and moved to its device at once if it fits there. A
            sparse matrix stays sparse on NumPy where at most one value in 50 is stored, a batch
            has 32,768 values or more, and the first layer is a `Dense`; else it becomes dense a
            batch at a time. A source is anything that gives batches (x, y) or
            (x, y, sample_weight) and can be walked anew in each epoch: a list, a generator
            function, a PyTorch `DataLoader`, a sequence, what `nnfs_xp.data` has for files. A
            thread reads ahead; `batch_size`, `shuffle` and the order are the source's.
        y : array of any backend
            Targets as the loss takes them: class indices (n, …) or rows of shares (n, …, k) for
            the categorical ones; (n, …, outputs), or (n, …) for one output, for the others. None
            with a source, which gives them.
        epochs, batch_size : int
        validation_data : (X, y), (X, y, sample_weight) or source of batches, optional
            Evaluated after each epoch.
        sample_weight : array of any backend, shape (n,) or (n, …), optional
            How much each sample counts, or each place in it, in the loss and the metrics, beside
            the others: scaled to a mean of 1. Weights in the batches of a source are taken as
            they are.
        class_weight : mapping, array or "balanced", optional
            How much each class counts: a mapping from labels to weights (or a Series by label), a
            weight for each class in order, or ``"balanced"``, which makes all classes count the
            same.
        shuffle : bool
            Whether each epoch takes the samples in a new order.
        transform : callable (batch, random) -> batch, optional
            What is done to each batch before it is trained on, for augmentation say: the batch is
            a tuple (x, y) or (x, y, sample_weight) of arrays on the device, `random` a
            `nnfs_xp.data.Random`, whose numbers are the same on every backend, and again after a
            resume. `nnfs_xp.data.OnHost` has it run on the host, in the thread that reads ahead.
        accumulate : int
            How many batches a step is made on: their gradients are added up before the update, as
            if they were one batch. For batches that the device has no room for together.
        progress : True, False or "lines"
            True shows a bar on a terminal or in a notebook; elsewhere a line for each epoch, from
            the second minute on. ``"lines"`` prints a line for each epoch in any case.
        callbacks : sequence of Callback
        checkpoint : str, Path or Checkpoints, optional
            A folder: the state of the training is kept there at the end of each epoch, and more
            often if `Checkpoints` says so. The first Ctrl-C or SIGTERM then finishes the step,
            saves, and ends the program with the status 130 or 143; the second ends it at once.
        resume : bool
            Go on from the newest checkpoint in the folder, if there is one: to the same weights
            and history, bit for bit, as if the training had never been cut. The model, the
            settings and the data must be those of then; `epochs` may be more. A source of batches
            that cannot be entered in its middle, being no sequence, begins its epoch again.

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
        check_progress(progress)
        epochs = _checks.check_count("epochs", epochs)
        batch_size = _checks.check_count("batch_size", batch_size)
        accumulate = min(_checks.check_count("accumulate", accumulate), sys.maxsize)
        shuffle = _checks.check_bool("shuffle", shuffle)
        checkpoints = _checkpoints(checkpoint, _checks.check_bool("resume", resume))
        if not isinstance(callbacks, (list, tuple)):
            raise ArgumentError(f"`callbacks` must be a list or a tuple; got {callbacks!r}.")
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise ArgumentError(f"a callback is a Callback object; got {callback!r}.")
        learner, totals = self.learner, self.course.totals
        has_batches = gives_batches(X, y, sample_weight)
        settings: dict[str, Any] = {
            "class_weight": class_weight,
            "transform": transform,
            "accumulate": accumulate,
        }
        with (
            self.group.together(),
            _alone(self),
            self.backend.active(),
            MemoryExplained(self.recorder, batch_size) as memory,
        ):
            if has_batches:
                fed = feed_source(learner, totals, X, epoch=self.epoch, **settings)
                memory.batch = fed.first[0].shape[0]
            else:
                data = X, y, sample_weight
                settings |= {"batch_size": batch_size, "shuffle": shuffle}
                fed = feed_arrays(learner, totals, data, **settings)
            with ExitStack() as opened:
                opened.callback(fed.epoch.close)
                for callback in callbacks:
                    opened.callback(callback.let_go)
                validation = None
                if validation_data is not None:
                    parts = unpacked("validation_data", validation_data)
                    with _checks.of_argument("validation_data"):
                        validation = evaluation_of(learner, totals, *parts, number=self.epoch)
                    opened.callback(validation.close)
                self._flat_axes = fed.y_axes
                self._batch_axes = len(fed.first[0].shape)
                totals.prepare(self.backend.asarray(fed.targets))
                check_draws(learner, fed.whole[0])
                others = list(callbacks), checkpoints
                run = Run(self, self.recorder, self.course, fed, validation, *others)
                repeatable = checkpoints is not None or self.group.shards is not None
                with self.recorder.pace.held(repeatable=repeatable):
                    return run.execute(epochs, resume=resume, progress=progress)

    def train_step(self, x: Array, y: Array, sample_weight: Array | None = None) -> Array:
        """Train on one batch.

        Waits for nothing: the loss is computed on the device, and stays there until read. So
        the values of labels are not looked at; with a categorical loss, a label that is no class
        makes the loss NaN.

        Parameters
        ----------
        x : array, shape (batch, ...)
        y : array
        sample_weight : array, shape (batch,) or (batch, …), optional
            All on the trainer's backend, x and the weights in the model's data type. In a group the
            batch of all processes together, of which each takes its part.

        Returns
        -------
        0-d array
            The loss before the step, penalties included.
        """
        learner, batch = self.learner, _batch(x, y, sample_weight)
        with self.group.together(), learner.backend.active(), MemoryExplained(self.recorder, x):
            learner.use_averages(False)
            return self.recorder.step(*batch)

    def gradients(self, x: Array, y: Array, sample_weight: Array | None = None) -> Array:
        """Set the gradients of the model's parameters, penalties included, without an update.

        Read or change them by ``model.gradients()``, then call `update`; or leave it. It is the
        first half of `train_step`, which has the same parameters, and waits for nothing. Called
        again, it counts as another batch: dropout draws anew, and `BatchNorm` goes on with its
        running averages.

        Returns
        -------
        0-d array
            The loss, penalties included.
        """
        learner, batch = self.learner, _batch(x, y, sample_weight)
        with self.group.together(), learner.backend.active(), MemoryExplained(self.recorder, x):
            learner.use_averages(False)
            learner.ready()
            learner.reseed(learner.count)
            loss = self.recorder.gradients(*batch)
            learner.count += 1
            return learner.add_penalties(loss)

    def update(self) -> None:
        """Update the parameters by the gradients that are there, and count the step."""
        learner = self.learner
        with self.group.together(), learner.backend.active(), MemoryExplained(self.recorder, 1):
            learner.use_averages(False)
            learner.ready()
            self.recorder.update()
            learner.optimizer.iterations += 1

    def evaluate(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        batch_size: int = EVALUATION_BATCH,
        views: Views = (),
    ) -> dict[str, Any]:
        """The loss, penalties included, and the metrics on some data, by name.

        Parameters and errors as for `fit`, and `views` as for `predict`. All processes of a group
        must ask for it, with the same data, of which each takes its part.
        """
        batch_size = _checks.check_count("batch_size", batch_size)
        memory = MemoryExplained(self.recorder, batch_size)
        with self.group.together(), self.backend.active(), memory:
            totals = self.course.totals
            data = evaluation_of(self.learner, totals, X, y, sample_weight, batch_size=batch_size)
            self.group.compare(samples_to_evaluate=data.n_samples)
            totals.prepare(data.targets, again=False)
            try:
                return evaluate(self.recorder, totals.anew(), data.batches(0), views)
            finally:
                data.close()

    def predict(
        self, X: Any, *, batch_size: int = EVALUATION_BATCH, views: Views = ()
    ) -> np.ndarray[Any, Any]:
        """What the model says of each sample. Many threads may ask at once.

        In a group each process does all of it, for itself: so one alone may ask.

        Parameters
        ----------
        X : array of any backend, shape (n, ...), SciPy sparse matrix, or source of batches
            Taken in pieces, so that it may be larger than the device's memory, or, as a
            `numpy.memmap`, than the machine's. Of batches that are tuples, x is the first entry.
            Arrays in a list are batches where they have as many axes as those of `fit` had, or,
            before it, one more than the model's samples; else samples.
        batch_size : int
            Samples that go through the model together.
        views : sequence of callables (x) -> x
            Each takes a batch of inputs, an array on the device, and gives the same samples seen in
            another way: ``nn.data.augment.mirrored``, say. What the layers put out for these and
            for the samples as they are is averaged: logits where the loss works on them, else
            probabilities or values.

        Returns
        -------
        ndarray
            The class indices, shape (n,); or 0 and 1 for yes-or-no outputs, or values for a
            regression, shape (n, outputs), or (n,) if `fit` was given such targets. Where samples
            are no rows, (n, …) and (n, …, outputs).
        """
        interpret = self.learner.fused_loss.predictions
        output = outputs(self.recorder, X, batch_size, interpret, self._batch_axes, views)
        flat = output.shape[-1:] == (1,) and self._flat_axes == output.ndim - 1
        return output[..., 0] if flat else output

    def predict_proba(
        self, X: Any, *, batch_size: int = EVALUATION_BATCH, views: Views = ()
    ) -> np.ndarray[Any, Any]:
        """The probability of each class, or of yes for yes-or-no outputs; shape (n, …, outputs).

        Parameters as for `predict`.

        Raises
        ------
        NnfsError
            The loss is a regression's.
        """
        interpret = self.learner.fused_loss.probabilities
        return outputs(self.recorder, X, batch_size, interpret, self._batch_axes, views)

    def memory(self) -> Memory | None:
        """The device's memory, that of recorded steps included; None on the CPU.

        What is ``reserved`` grows as needed and is not given back meanwhile, and so is the peak.
        """
        memory = self.backend.memory()
        if memory is None:
            return None
        recorded = self.recorder.memory
        return memory._replace(used=memory.used + recorded, reserved=memory.reserved + recorded)


_in_training: WeakSet[Trainer] = WeakSet()


@contextmanager
def _alone(trainer: Trainer) -> Iterator[None]:
    """Refuse a second `fit` of a trainer while one goes on."""
    if trainer in _in_training:
        raise ArgumentError(
            "this trainer is in a `fit` already. A callback may call train_step, evaluate or "
            "predict; to train from several threads, make a trainer for each."
        )
    _in_training.add(trainer)
    try:
        yield
    finally:
        _in_training.discard(trainer)


def _batch(x: Array, y: Array, sample_weight: Array | None) -> tuple[Array, ...]:
    """The parts of a batch that is handed over, which must be arrays."""
    batch = (x, y) if sample_weight is None else (x, y, sample_weight)
    for part in batch:
        backend_of(part)  # which refuses what is none
    return batch


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
