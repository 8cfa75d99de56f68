"""What each of the processes does that `benchmarks.distributed` starts."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

import nnfs_xp as nn
from benchmarks.work import Work
from nnfs_xp.distributed import Group

PARTS = "gradients", "sum", "update", "agreement"
AGREED = 0.0, 0.0, 0.0, 0.0
"""As many numbers as `fit` has the processes agree on after a step."""

_MOST_CALLS = 500
"""Of sums, timed one by one in a turn."""

_MOST_STEPS = 64
"""Of an epoch."""

Figures = dict[str, list[float]]
Turn = Callable[[Group], Figures]


def key(*what: object) -> str:
    """What a list of figures goes by."""
    return " ".join(map(str, what))


class Job:
    """The place of this process among those that mpiexec started.

    Attributes
    ----------
    groups : dict of int to Group
        The first n processes, for each n that is measured and that this one belongs to.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        from nnfs_xp.distributed.mpi import MPIGroup, import_mpi

        mpi = import_mpi()
        self._comm = mpi.COMM_WORLD.Dup()
        self.rank = self._comm.Get_rank()
        self.groups: dict[int, Group] = {}
        for n in counts:
            inside = self.rank < n
            part = self._comm.Split(0 if inside else mpi.UNDEFINED, self.rank)
            if inside:
                self.groups[n] = MPIGroup(part)

    def turn(self, n: int, action: Callable[[Group], Any]) -> Any:
        """What the action gives in the first n processes, while the others sleep."""
        found = action(self.groups[n]) if n in self.groups else None
        request = self._comm.Ibarrier()
        while not request.Test():
            time.sleep(0.002)  # whoever waits is to leave the memory and the cores to the others
        return found

    def rounds(self, turns: Sequence[tuple[int, Turn]], rounds: int, figures: Figures) -> None:
        """Have all take their turns, in every other round backwards; rank 0 adds what it found."""
        for number in range(rounds):
            for n, action in turns if number % 2 else reversed(turns):
                found = self.turn(n, action)
                for name, values in found.items() if self.rank == 0 else ():
                    figures.setdefault(name, []).extend(values)


def taken(action: Callable[[], object], count: int) -> float:
    """The seconds of one of so many calls, one after the other."""
    begin = time.perf_counter()
    for _ in range(count):
        action()
    return (time.perf_counter() - begin) / count


def enough(group: Group, action: Callable[[], object], seconds: float) -> int:
    """How many calls take that long, the same number in all processes."""
    taken(action, 3)
    lowest = min(taken(action, 1) for _ in range(3))
    return max(4, math.ceil(group.agree(seconds / lowest)[0]))


def sizes_of(net: str) -> tuple[int, ...]:
    """The widths of a net that is written as ``784-512-10``."""
    return tuple(map(int, net.split("-")))


def trainer_of(net: str, group: Group | None, **settings: Any) -> nn.Trainer:
    """A trainer of a net with ReLU between its layers."""
    layers: list[nn.Layer] = []
    for n_inputs, n_neurons in pairwise(sizes_of(net)):
        layers += [nn.Dense(n_inputs, n_neurons), nn.ReLU()]
    model = nn.Sequential(*layers[:-1], seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    return nn.Trainer(model, loss, nn.Adam(1e-4), backend="numpy", group=group, **settings)


class Steps:
    """Training steps of a net on batches that the processes of a group share."""

    def __init__(
        self, net: str, batch: int, group: Group, *, shard_optimizer: bool = False
    ) -> None:
        self.group = group
        self.learner = trainer_of(net, group, shard_optimizer=shard_optimizer).learner
        own = self.learner.sharing.own
        self._batches = [own(each) for each in Work("", sizes_of(net)).data(batch)]

    def _next(self) -> tuple[Any, Any]:
        self._batches.append(self._batches.pop(0))
        return self._batches[-1]

    def step(self) -> None:
        """A step as `fit` makes it."""
        share, rows = self._next()
        self.learner.step(*rows, share=share)
        self.group.agree(*AGREED)

    def parts(self, seconds: dict[str, float]) -> None:
        """The same step, with a look at the clock between its parts, which are added up."""
        share, rows = self._next()
        learner, clock = self.learner, time.perf_counter
        learner.ready()
        learner.reseed(learner.count)
        marks = [clock()]
        if share is None:
            learner.gradients(*rows)
        else:
            _, loss = learner.sharing.gradients(learner, share, *rows)
        marks.append(clock())
        if share is not None:
            whole = learner.needs_whole_gradients
            learner.sharing.sum(loss, learner.model.flat, whole=whole)
        marks.append(clock())
        learner.update()
        learner.count_batch()
        marks.append(clock())
        self.group.agree(*AGREED)
        marks.append(clock())
        for name, (begin, end) in zip(PARTS, pairwise(marks), strict=True):
            seconds[name] += end - begin


def of_steps(net: str, batch: int, seconds: float, *, shard_optimizer: bool = False) -> Turn:
    """The turns of one net, batch and number of processes."""
    kept: list[tuple[Steps, int]] = []

    def turn(group: Group) -> Figures:
        if not kept:
            steps = Steps(net, batch, group, shard_optimizer=shard_optimizer)
            kept.append((steps, enough(group, steps.step, seconds)))
        steps, count = kept[0]
        taken(steps.step, max(1, count // 4))
        found = {key("step", net, group.size, batch): [taken(steps.step, count)]}
        parts = dict.fromkeys(PARTS, 0.0)
        for _ in range(count):
            steps.parts(parts)
        for name, total in parts.items():
            found[key(name, net, group.size, batch)] = [total / count]
        return found

    return turn


def of_sums(n_bytes: int, seconds: float) -> Turn:
    """The turns of one size of sums: through the group, and of two arrays in each process."""
    own, other = (np.full(max(1, n_bytes // 4), 0.0, np.float32) for _ in range(2))
    counts: list[int] = []

    def turn(group: Group) -> Figures:
        def add() -> None:
            group.add(own)

        def add_here() -> None:
            np.add(own, other, out=own)

        if not counts:
            counts.append(min(_MOST_CALLS, enough(group, add, seconds)))
        found = {}
        for name, action in (("add", add), ("here", add_here)):
            taken(action, max(1, counts[0] // 4))
            group.agree(0.0)
            times = [taken(action, 1) for _ in range(counts[0])]
            found[key(name, n_bytes, group.size)] = times
        return found

    return turn


def of_agreement(seconds: float) -> Turn:
    """The turns of decisions."""

    def turn(group: Group) -> Figures:
        def agree() -> None:
            group.agree(*AGREED)

        count = min(_MOST_CALLS, enough(group, agree, seconds))
        return {key("agree", group.size): [taken(agree, 1) for _ in range(count)]}

    return turn


def of_epochs(net: str, batch: int, seconds: float) -> Turn:
    """The turns of one process that trains without a group, and in a group of one."""
    kept: list[Any] = []

    def begin(group: Group) -> None:
        trainers = {"without": trainer_of(net, None), "alone": trainer_of(net, group)}
        x, y = Work("", sizes_of(net)).data(batch)[0]
        step = trainer_of(net, None).train_step
        count = min(_MOST_STEPS, enough(group, lambda: step(x, y), seconds))
        kept.extend((trainers, count, np.tile(x, (count, 1)), np.tile(y, count)))
        for name in trainers:
            epoch(name)  # makes arrays, and notes calls

    def epoch(name: str) -> float:
        trainers, count, X, y = kept
        fit = partial(trainers[name].fit, X, y, batch_size=batch, progress=False)
        return taken(fit, 1) / int(count)

    def turn(group: Group) -> Figures:
        if not kept:
            begin(group)
        found: Figures = {key("without", net): [], key("alone", net): []}
        for order in (("without", "alone"), ("alone", "without")) * 2:
            for name in order:
                found[key(name, net)].append(epoch(name))
        one, other = (np.asarray(each.model.flat.values) for each in kept[0].values())
        same = one.tobytes() == other.tobytes() and bool(np.isfinite(one).all())
        return {**found, key("same bits", net): [float(same)]}

    return turn


def take_part(options: argparse.Namespace) -> Figures:
    """Do what one of the processes does: measure everything. Rank 0 has the figures."""
    figures: Figures = {}
    job = Job(options.processes)
    for net in options.nets:
        turns = [
            (n, of_steps(net, batch, options.seconds, shard_optimizer=options.shard_optimizer))
            for n, batch in shares(options.processes, options.batch)
        ]
        turns.append((1, of_epochs(net, options.batch, options.seconds)))
        job.rounds(turns, options.rounds, figures)
    several = [n for n in options.processes if n > 1]
    turns = [(n, of_agreement(options.seconds / 4)) for n in several]
    for n_bytes in sizes_of_sums(options):
        turns += [(n, of_sums(n_bytes, options.seconds / 2)) for n in several]
    job.rounds(turns, options.rounds, figures)
    return figures


def shares(processes: Sequence[int], batch: int) -> list[tuple[int, int]]:
    """Numbers of processes and the batches that they share: of strong and of weak scaling."""
    return list(dict.fromkeys((n, whole) for n in processes for whole in (batch, n * batch)))


def n_bytes_of(net: str) -> int:
    """What the gradients of a net take."""
    return sum(4 * (n + 1) * m for n, m in pairwise(sizes_of(net)))


def sizes_of_sums(options: argparse.Namespace) -> list[int]:
    """The bytes of the sums that are measured."""
    return sorted({*options.sizes, *map(n_bytes_of, options.nets)})
