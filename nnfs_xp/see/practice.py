"""A training that is stepped by hand, and can go back to its start."""

from __future__ import annotations

import copy

from nnfs_xp.backend import host_generator
from nnfs_xp.see.setups import Setup
from nnfs_xp.see.tracing import Trace, keep_state, trace_here


class Practice:
    """A copy of a setup's model on its way, one traced pass after another.

    Parameters
    ----------
    setup : Setup

    Attributes
    ----------
    model : Layer
    optimizer : Optimizer
    seen : Trace
        The last pass: of the present weights, on the present batch.
    batch : list of int
        The rows of the data that it went over.
    losses : list of float
        Before each step that was made.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self.rewind()

    def rewind(self) -> None:
        """Go to the start: the first weights, bit for bit, and the same order of samples."""
        self.model = copy.deepcopy(self._setup.model)
        self.optimizer = copy.deepcopy(self._setup.optimizer)
        self.losses: list[float] = []
        self._order = host_generator(self._setup.seed)
        self._left: list[int] = []
        self._begin_batch()

    def step(self) -> None:
        """Update the weights by the last pass, and run the next batch."""
        assert self.seen.mean is not None
        self.losses.append(self.seen.mean)
        self.optimizer.step(self.model)
        self._begin_batch()

    def look_again(self) -> None:
        """Run the present batch once more, with other weights say, as if for the first time."""
        self._bring_back()
        self._look()

    def _look(self) -> None:
        """Run the present batch forward and back, layer by layer."""
        X, y = self._setup.X, self._setup.y
        if len(self.batch) < self._setup.n_samples:
            backend = self._setup.backend
            rows = backend.asarray(self.batch)
            X, y = (backend.xp.take(array, rows, axis=0) for array in (X, y))
        self.seen: Trace = trace_here(self.model, X, y, loss=self._setup.loss)

    def _begin_batch(self) -> None:
        self._take_batch()
        self._bring_back = keep_state(self.model)
        self._look()

    def _take_batch(self) -> None:
        n, size = self._setup.n_samples, self._setup.batch_size
        if size == n:
            self.batch = list(range(n))
            return
        # A rest that some layer cannot train on is left out, as BatchNorm's of one sample.
        if len(self._left) < max(each.smallest_batch for _, each in self.model.walk()):
            self._left = self._order.permutation(n).tolist()
        self.batch, self._left = self._left[:size], self._left[size:]
