"""Running sums of the loss and the metrics, on the device until they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from itertools import zip_longest
from math import prod
from numbers import Real
from typing import Any, Self

import numpy as np

from nnfs_xp._checks import check_weights
from nnfs_xp._rows import as_rows
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, is_array, to_numpy
from nnfs_xp.distributed import Group, Share
from nnfs_xp.distributed.ordered import OrderedSum
from nnfs_xp.errors import ArgumentError, CheckpointError, NotReadyError, ShapeError
from nnfs_xp.metrics import Metric

_MOST = 2**53
"""More samples than anybody has, and all whole numbers up to it are floats."""


class Totals:
    """The loss and the metrics of what was added so far.

    Parameters
    ----------
    metrics : sequence of Metric
    backend : Backend
    as_seen : callable (output, kind) -> array, optional
        What a metric of that kind sees of what the layers put out: see `Metric.sees`. By default
        that itself.
    counted : callable (y_true, places) -> array or None, optional
        Which targets count: `Loss.counted`.

    Attributes
    ----------
    count : int
        The samples so far.
    metrics : sequence of Metric
        Those given; from `prepare` on, copies of those that learn there.
    names : list of str
        The figures that are numbers, and so have a history. `try_out` finds them.
    widths : dict of str to int
        How many sums, or columns, each metric accumulates, by its name. `try_out` finds them.

    Raises
    ------
    ArgumentError
        A metric's name is no text, or empty, or makes a key that another figure of a history has.
    """

    def __init__(
        self,
        metrics: Sequence[Metric],
        backend: Backend,
        as_seen: Callable[[Array, str], Array] = lambda output, _: output,
        counted: Callable[[Array, tuple[int, ...]], Array | None] | None = None,
    ) -> None:
        _check_names(metrics)
        self.metrics = self._given = metrics
        self.names = ["loss"]
        self._as_seen = as_seen
        self._counted = counted
        self._n_axes = 2
        self.widths: dict[str, int] = {}
        self._prepared = False
        self._collects = any(metric.collects for metric in metrics)
        self._backend = backend
        self.count = 0
        self._loss: Array | None = None
        self._labels: Array | None = None
        self._sums: dict[str, list[Array]] = {metric.name: [] for metric in metrics}

    def anew(self) -> Self:
        """Totals of the same metrics, of nothing so far."""
        new = type(self)(self.metrics, self._backend, self._as_seen, self._counted)
        new.names, new.widths, new._prepared = self.names, self.widths, self._prepared
        new._n_axes, new._given = self._n_axes, self._given
        return new

    def try_out(self, output: Array, y: Array) -> None:
        """Have each metric take a batch: one that does not fit the model raises here."""
        self.names = ["loss"]
        self._n_axes = output.ndim
        for metric in self.metrics:
            counted = None if self._counted is None else self._counted(y, output.shape[:-1])
            rows, targets, weights = self._rows(output, y, None, counted)
            try:
                seen = self._as_seen(rows, metric.sees)
            except ArgumentError as error:
                raise ArgumentError(f"metric {metric.name!r}: {error}") from None
            sums = metric.accumulate(seen, targets, weights)
            figure = _figure(metric, sums)
            self.widths[metric.name] = sums.shape[-1]
            if isinstance(figure, Real):
                self.names.append(metric.name)

    def prepare(self, y: Array, *, again: bool = True) -> None:
        """Show the metrics all targets; where `again` is False, only if they have seen none.

        They are copies, so that what they learn is not that of another training with the same
        objects.
        """
        if again or not self._prepared:
            self.metrics = [
                each if type(each).prepare is Metric.prepare else copy(each) for each in self._given
            ]
            rows = target_rows(self._backend, y, self._n_axes)
            for metric in self.metrics:
                metric.prepare(rows)
        self._prepared = True

    def _rows(
        self, output: Array, y: Array, sample_weight: Array | None, counted: Array | None
    ) -> tuple[Array, Array, Array | None]:
        """What metrics take: rows of outputs, targets that are classes, and their weights.

        What does not count has the weight 0, and the class 0 in its place.
        """
        if output.ndim == 2 and counted is None:
            return output, y, sample_weight
        xp, places = self._backend.xp, output.shape[:-1]
        if sample_weight is not None:
            spread = check_weights(sample_weight, output, places)
            sample_weight = xp.broadcast_to(spread, places)
        if counted is not None:
            y = xp.where(counted, y, xp.zeros_like(y))
            weights = xp.astype(counted, output.dtype)
            sample_weight = weights if sample_weight is None else weights * sample_weight
        if sample_weight is not None:
            sample_weight = xp.reshape(sample_weight, (-1,))
        return as_rows(xp, output), target_rows(self._backend, y, output.ndim), sample_weight

    def _number_of(self, counted: Array | None, output: Array) -> Array:
        """How many targets count, on the device: all where `counted` is None."""
        xp = self._backend.xp
        if counted is None:
            n = prod(output.shape[:-1])
            whole: Array = xp.full((), float(n), dtype=output.dtype, device=self._backend.device)
            return whole
        labels: Array = xp.sum(xp.astype(counted, output.dtype))
        return labels

    @property
    def started(self) -> bool:
        """Whether anything was ever added, so that there are arrays to add to."""
        return self._loss is not None

    @property
    def arrays(self) -> tuple[Array, ...]:
        """What `accumulate` adds to, in place."""
        sums = (self._sums[metric.name] for metric in self.metrics if not metric.collects)
        loss = [each for each in (self._loss, self._labels) if each is not None]
        return *loss, *(part for parts in sums for part in parts)

    def add(
        self,
        loss: Array,
        output: Array,
        y: Array,
        sample_weight: Array | None = None,
        *,
        share: Share | None = None,
    ) -> None:
        """Add a batch, without waiting for the device.

        Parameters
        ----------
        loss : 0-d array
            The mean over the batch, weighted as by `Loss.calculate`.
        output : array, shape (batch, …, outputs)
            What the layers put out.
        y : array
        sample_weight : array, shape (batch,) or (batch, …), optional
        share : Share, optional
            Where several processes have a part of the batch each, which part output and targets
            are of. What is summed is then that of the whole batch, in all of them.
        """
        self.count += output.shape[0] if share is None else share.whole
        self.accumulate(loss, output, y, sample_weight, share=share)
        if self._collects:
            self.collect_step(output, y, sample_weight, share=share)

    def accumulate(
        self,
        loss: Array,
        output: Array,
        y: Array,
        sample_weight: Array | None = None,
        *,
        share: Share | None = None,
    ) -> None:
        """Add what are sums; the arrays stay those of the first batch."""
        n: Any
        if share is None:
            n, labels, sums = output.shape[0], *self._sums_of(output, y, sample_weight)
        else:
            n, labels, sums = share.whole, *self._sums_of_all(share, output, y, sample_weight)
        n = n if labels is None else labels
        if self._loss is None:
            self._loss = self._own(loss * n)
            self._labels = None if labels is None else self._own(labels)
        else:
            self._loss += loss * n
            if labels is not None and self._labels is not None:
                self._labels += labels
        for parts, each in sums:
            if parts:
                parts[0] += each
            else:
                parts.append(self._own(each))

    def _sums_of(
        self, output: Array, y: Array, sample_weight: Array | None
    ) -> tuple[Array | None, list[tuple[list[Array], Array]]]:
        """How many targets count, if not all do; and the sums of each metric, with their place."""
        counted = None if self._counted is None else self._counted(y, output.shape[:-1])
        labels = None if self._counted is None else self._number_of(counted, output)
        rows = output
        if counted is not None or output.ndim != 2:
            rows, y, sample_weight = self._rows(output, y, sample_weight, counted)
        views: dict[str, Array] = {}
        found = []
        for metric in self.metrics:
            if not metric.collects:
                sums = metric.accumulate(self._view(rows, metric, views), y, sample_weight)
                parts = self._sums[metric.name]
                self._check(metric, sums, rows.shape[0], parts)
                found.append((parts, sums))
        return labels, found

    def _sums_of_all(
        self, share: Share, output: Array, y: Array, sample_weight: Array | None
    ) -> tuple[Array | None, list[tuple[list[Array], Array]]]:
        """What `_sums_of` gives, summed over the processes that share the batch."""
        xp = self._backend.xp
        totals: list[OrderedSum] = []
        for rows, part in share.parts:
            # A part without rows counts as nothing, and has one row to find the shapes by.
            place = rows if part.n else slice(0, 1)
            weights = None if sample_weight is None else sample_weight[place, ...]
            labels, sums = self._sums_of(output[place, ...], y[place, ...], weights)
            found = [*([] if labels is None else [labels]), *(each for _, each in sums)]
            totals = totals or [OrderedSum() for _ in found]
            for total, each in zip(totals, found, strict=True):
                total.add(each if part.n else xp.zeros_like(each))
        summed = [self._own(total.total) for total in totals]
        share.group.add(*summed)
        count = None if labels is None else summed.pop(0)
        return count, [(parts, each) for (parts, _), each in zip(sums, summed, strict=True)]

    def collect(self, output: Array, y: Array, sample_weight: Array | None = None) -> None:
        """Keep what metrics need of each sample."""
        if not self._collects:
            return
        counted = None if self._counted is None else self._counted(y, output.shape[:-1])
        rows, y, sample_weight = self._rows(output, y, sample_weight, counted)
        views: dict[str, Array] = {}
        for metric in self.metrics:
            if metric.collects:
                columns = metric.accumulate(self._view(rows, metric, views), y, sample_weight)
                parts = self._sums[metric.name]
                self._check(metric, columns, rows.shape[0], parts)
                parts.append(self._own(columns))

    def _view(self, rows: Array, metric: Metric, views: dict[str, Array]) -> Array:
        """What the metric sees of the rows, worked out once for all metrics of its kind."""
        kind = metric.sees
        if kind not in views:
            views[kind] = self._as_seen(rows, kind)
        return views[kind]

    def clear(self) -> None:
        """Begin anew, with the same arrays."""
        self.count = 0
        for array in self.arrays:
            array[...] = 0  # of whatever kind
        for metric in self.metrics:
            if metric.collects:
                self._sums[metric.name].clear()

    def _own(self, array: Array) -> Array:
        own: Array = self._backend.xp.asarray(array, copy=True)
        return own

    @staticmethod
    def _check(metric: Metric, sums: Array, n: int, parts: list[Array]) -> None:
        fits = sums.ndim == 2 and sums.shape[0] == n if metric.collects else sums.ndim == 1
        if not fits or (parts and parts[0].shape[-1] != sums.shape[-1]):
            wanted = f"({n}, columns)" if metric.collects else "(sums,), the same for each batch"
            raise ShapeError(
                f"{type(metric).__name__}.accumulate must give shape {wanted}; "
                f"got {tuple(sums.shape)}."
            )

    def read(self, *, collected: bool = True) -> dict[str, Any]:
        """The mean loss and the metrics' figures, by name. Waits for the device.

        Parameters
        ----------
        collected : bool
            Whether to work out the metrics that need all scores at once, which takes a while.

        Raises
        ------
        NotReadyError
            Nothing was added.
        """
        figures: dict[str, Any] = {"loss": self.read_loss()}
        for metric in self.metrics:
            if metric.collects and not collected:
                continue
            figures[metric.name] = _figure(metric, self._sum(metric))
        return figures

    def read_loss(self) -> float:
        """The mean loss alone. Waits for the device.

        Raises
        ------
        NotReadyError
            Nothing was added.
        """
        if self._loss is None or not self.count:
            raise NotReadyError("nothing was added to the figures yet.")
        count: float = self.count
        if self._labels is not None:
            count = max(float(to_numpy(self._labels)), 1.0)
        return float(to_numpy(self._loss)) / count

    def collected(self, group: Group) -> Totals:
        """These, of which each process has the sums of all, with what all of them collected."""
        if group.size == 1 or not self._collects:
            return self
        whole = self.anew()
        whole.count, whole._loss, whole._labels = self.count, self._loss, self._labels
        whole._sums = {name: list(parts) for name, parts in self._sums.items()}
        collecting = [metric.name for metric in self.metrics if metric.collects]
        told = group.gather({n: [to_numpy(part) for part in self._sums[n]] for n in collecting})
        for name in collecting:
            rows = _in_order([parts[name] for parts in told])
            whole._sums[name] = [self._backend.asarray(each) for each in rows]
        return whole

    def collect_step(
        self,
        output: Array,
        y: Array,
        sample_weight: Array | None = None,
        *,
        share: Share | None = None,
    ) -> None:
        """Keep what metrics need of each sample of a step, where these rows count."""
        self.collect(output, y, sample_weight)
        if share is not None and not share.n:
            self._leave_last_rows()

    def _leave_last_rows(self) -> None:
        """Keep nothing of the last batch, whose rows stood in for none, but that it was there."""
        for metric in self.metrics:
            if metric.collects:
                parts = self._sums[metric.name]
                parts[-1] = parts[-1][:0, ...]

    def let_go_of_rows(self) -> None:
        """Leave what was collected to another process."""
        for metric in self.metrics:
            if metric.collects:
                parts = self._sums[metric.name]
                parts[:] = [part[:0, ...] for part in parts]

    def over(self, group: Group) -> Totals:
        """Totals of all that processes added each for itself; themselves where there is one."""
        if group.size == 1:
            return self
        whole, backend = self.anew(), self._backend
        parts = {  # step by step, so that rows can be put in their order
            metric.name: [to_numpy(part) for part in self._sums[metric.name]]
            for metric in self.metrics
            if metric.collects
        }
        host = self.state()
        for name in ("count", *(f"metric.{name}" for name in parts)):
            host.pop(name, None)
        told = group.gather((self.count, host, parts))
        whole.count = sum(count for count, _, _ in told)
        sums: dict[str, Any] = {}
        for _, theirs, _ in told:
            for name, array in theirs.items():
                sums[name] = sums[name] + array if name in sums else array
        if not sums:
            return whole
        whole._loss = backend.asarray(sums["loss"].copy())
        if "labels" in sums:
            whole._labels = backend.asarray(sums["labels"].copy())
        for metric in self.metrics:
            if metric.collects:
                rows = _in_order([parts[metric.name] for _, _, parts in told])
                whole._sums[metric.name] = [backend.asarray(each) for each in rows]
            else:
                whole._sums[metric.name] = [backend.asarray(sums[f"metric.{metric.name}"].copy())]
        return whole

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """All that was added, as arrays of the dtypes in which it is held; for `load_state`.

        Keys are ``count``, and, once anything was added, ``loss``, ``labels`` where not all
        targets count, and ``metric.`` with each metric's name behind it.
        """
        arrays = {"count": np.array(float(self.count))}
        if self._loss is not None and self.count:
            arrays["loss"] = to_numpy(self._loss)
            if self._labels is not None:
                arrays["labels"] = to_numpy(self._labels)
            arrays |= {f"metric.{each.name}": to_numpy(self._sum(each)) for each in self.metrics}
        return {name: array.copy() for name, array in arrays.items()}

    def load_state(
        self, state: Mapping[str, np.ndarray[Any, Any]], widths: Mapping[str, int]
    ) -> None:
        """Go on from what `state` gave, on any backend, bit for bit.

        Parameters
        ----------
        state : mapping of str to ndarray
        widths : mapping of str to int
            How many sums, or columns, each metric accumulates: see the attribute.

        Raises
        ------
        CheckpointError
            It cannot have given that, and nothing was changed.
        """
        count = state.get("count")
        if count is None or count.shape != () or not 0 <= float(count) < _MOST or count % 1:
            raise CheckpointError("its totals count no samples.")
        expected: dict[str, tuple[int, ...]] = {"count": ()}
        if count:
            expected["loss"] = ()
            if "labels" in state and self._counted is not None:
                expected["labels"] = ()
            for metric in self.metrics:
                name = f"metric.{metric.name}"
                n_rows = state[name].shape[0] if name in state and state[name].ndim == 2 else 0
                whole = n_rows and not n_rows % int(count)  # several places to a sample
                rows = (n_rows if whole else int(count),) if metric.collects else ()
                expected[name] = (*rows, widths.get(metric.name, -1))
        if {name: array.shape for name, array in state.items()} != expected or any(
            array.dtype.kind != "f" for array in state.values()
        ):
            raise CheckpointError("its totals are no sums of the loss and the metrics.")
        if count and not np.isfinite(state["loss"]):
            raise CheckpointError("the loss in its totals is not finite.")
        self.count = int(count)
        self._loss = self._backend.asarray(state["loss"].copy()) if count else None
        labels = state.get("labels")
        self._labels = None if labels is None else self._backend.asarray(labels.copy())
        self._sums = {
            each.name: [self._backend.asarray(state[f"metric.{each.name}"].copy())] if count else []
            for each in self.metrics
        }

    def _sum(self, metric: Metric) -> Array:
        parts = self._sums[metric.name]
        if len(parts) > 1:
            parts[:] = [self._backend.xp.concat(parts, axis=0)]
        return parts[0]


def _in_order(parts: list[list[np.ndarray[Any, Any]]]) -> list[np.ndarray[Any, Any]]:
    """What processes collected, step by step and each in the order of ranks, as one array if any.

    Parameters
    ----------
    parts : list of list of ndarray
        Of each process, of each step.
    """
    rows = [part for step in zip_longest(*parts) for part in step if part is not None]
    return [np.concatenate(rows)] if rows else []


def _figure(metric: Metric, sums: Array) -> Any:
    """The metric's figure; a float where it is an array of one."""
    figure = metric.result(to_numpy(sums).astype(np.float64))
    return float(to_numpy(figure)) if is_array(figure) and figure.ndim == 0 else figure


def target_rows(backend: Backend, y: Array, n_axes: int) -> Array:
    """Targets of outputs that have so many axes, all places one below the other."""
    if n_axes <= 2:
        return y
    rows: Array = backend.xp.reshape(y, (-1, *y.shape[n_axes - 1 :]))
    return rows


def _check_names(metrics: Sequence[Metric]) -> None:
    taken = {"loss", "val_loss", "learning_rate", "epoch"}  # the last heads a column of a table
    for metric in metrics:
        name = getattr(metric, "name", None)
        if not isinstance(name, str) or not name:
            raise ArgumentError(
                f"{type(metric).__name__}.name must be a text, and not empty; got {name!r}."
            )
        of_metric = {name, f"val_{name}"}
        if of_metric & taken:
            raise ArgumentError(
                f"two figures are called {min(of_metric & taken)!r}; set another name on one of "
                "the metrics."
            )
        taken |= of_metric
