"""A model that learns: what one training step is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from operator import index
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._checks import shown
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, host_generator
from nnfs_xp.distributed import Group, Share
from nnfs_xp.distributed.group import ALONE, local_backend
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import Layer
from nnfs_xp.layers.chain import Chain
from nnfs_xp.layers.composite import Composite
from nnfs_xp.learning.accumulation import GradientSums
from nnfs_xp.learning.precision import check_precision
from nnfs_xp.learning.replay import Replay
from nnfs_xp.learning.sharing import Sharing
from nnfs_xp.losses import Loss
from nnfs_xp.optimizers import Optimizer

_log = logging.getLogger("nnfs_xp")


class Learner:
    """A model, a loss and an optimizer, and the training step that they make together.

    Parameters
    ----------
    model : Layer
        Moved to the backend.
    loss : Loss
    optimizer : Optimizer
    backend : str or Backend
    seed : int or None
        Of the random numbers that layers draw. None draws one.
    precision : str
        One that the class computes in; here ``"float32"``. `new_learner` takes any.
    fuse : bool, optional
        Whether layers that can run as one do, in the model's containers too; the model stays so.
        By default as the outermost container says.
    group : Group, optional
        The processes that make each step together. By default this one does alone.
    shard_optimizer : bool
        Whether each process of the group updates a part of the parameters, and keeps the
        optimizer's state for that part alone.

    Attributes
    ----------
    seed : int
    count : int
        Batches trained on so far.
    links : tuple of Layer
        The layers that a step runs one after the other.
    chain : Chain
        These layers as they run in float32.
    fused_loss : Loss
        The loss of what the chain gives: `loss`, or one that computes the model's last layer too.
    closing : Layer or None
        The model's last layer, where `fused_loss` takes it in and `links` leaves it out.
    replay, output_replay : Replay
        What works gradients out, and outputs outside of training, by calls of a batch before, on a
        CPU.

    Raises
    ------
    ArgumentError
        A part is of the wrong kind, the seed is none, or the precision is none for this model.
    BackendError
        The backend cannot be used, or has no such precision.
    """

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        optimizer: Optimizer,
        backend: str | Backend = "auto",
        *,
        seed: int | None = 0,
        precision: str = "float32",
        fuse: bool | None = None,
        group: Group | None = None,
        shard_optimizer: bool = False,
    ) -> None:
        for name, value, kind in (
            ("model", model, Layer),
            ("loss", loss, Loss),
            ("optimizer", optimizer, Optimizer),
        ):
            _check_kind(name, value, kind)
        self.model = model
        self.loss = loss
        self._optimizer = optimizer
        self.group = ALONE if group is None else group
        self.backend = local_backend(backend, self.group)
        check_precision(precision, model, self.backend)
        self.precision = precision
        self.sharing = Sharing(self.group, shard_optimizer=shard_optimizer)
        self.group.compare(seed=seed)
        self.seed: int = self.group.broadcast(_seed(seed))
        self.count = 0
        self._sums: GradientSums | None = None
        model.to(self.backend)
        self.backend.prepare(model.dtype or "float32")
        if fuse is not None:
            fuse = _checks.check_bool("fuse", fuse)
        if fuse is not None and isinstance(model, Composite):
            model.run_fused(fuse)

        layers = model.links()
        fused_loss = loss.fused_with(layers[-1]) if len(layers) > 1 else None
        self.closing = None if fused_loss is None else layers[-1]
        self.fused_loss = loss if fused_loss is None else fused_loss
        self.fuse = getattr(model, "fuse", True) if fuse is None else fuse
        self.links = layers if fused_loss is None else layers[:-1]
        self._drawing = _drawing(model)
        self._arrange()
        self.replay = Replay(self, trains=True)
        self.output_replay = Replay(self, trains=False)
        self.reseed(0)

    def check_state(self) -> None:
        """Refuse an optimizer whose state or whose update does not fit how parameters are updated.

        Raises
        ------
        ArgumentError
        """
        optimizer, model = self.optimizer, self.model
        if self.sharing.shards_optimizer:
            if type(optimizer).update is not Optimizer.update:
                raise ArgumentError(
                    f"`shard_optimizer` does not go with {type(optimizer).__name__}, which has an "
                    "`update` of its own. Give `apply` alone, which works on any part."
                )
            if not optimizer.works_in_parts:
                raise ArgumentError(
                    f"`shard_optimizer` does not go with {type(optimizer).__name__}, which looks "
                    "at whole matrices: a process may have a part of one. Leave it out, or take "
                    "another optimizer."
                )
        elif optimizer.keeps_part(model):
            raise ArgumentError(
                "the optimizer keeps its state for a part of the model, from a training with "
                "`shard_optimizer`. Make a new optimizer, or train in that group."
            )

    @property
    def draws(self) -> bool:
        """Whether any layer draws random numbers."""
        return bool(self._drawing)

    @property
    def optimizer(self) -> Optimizer:
        """What updates the weights."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        _check_kind("optimizer", optimizer, Optimizer)
        self._optimizer = optimizer

    @property
    def sends_gradients(self) -> bool:
        """Whether a stage's gradients stay as they are after its backward pass."""
        return True

    def _arrange(self) -> None:
        """Find out what runs, and how far back a step goes: layers may be frozen at any time."""
        self.sharing.check(self.model)
        self.chain = Chain(self.links, fuse=self.fuse, keeps_dinputs=False)
        self._first = self.chain.first_trained
        self._arranged_for = None if self.model._flat is None else self.model.flat

    def ready(self) -> None:
        """Make ready for steps with the layers as they are now.

        Raises
        ------
        ArgumentError
            Every parameter is frozen.
        """
        flat = self.model._flat
        if flat is None:
            return
        if flat is not self._arranged_for or not flat.size or flat.stale:
            flat = self.model.flat
            self._arrange()
            if not flat.size:
                raise ArgumentError(
                    "every parameter of the model is frozen; set trainable = True on a layer of it."
                )
        if self.sharing.shards_optimizer:
            self.optimizer.part_state(self.model, self.group.flat_part(flat.size))

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_arranged_for": None, "_sums": None}

    def step(
        self,
        x: Array,
        *targets: Array,
        adds: bool = False,
        updates: bool = True,
        share: Share | None = None,
    ) -> tuple[Array, Array]:
        """Make one training step, or one batch's part of it.

        Parameters
        ----------
        x : array, shape (batch, ...)
        *targets : array
            y, and the samples' weights if there are any.
        adds : bool
            Whether the gradients are added to those of the step's batches before.
        updates : bool
            Whether the step ends with this batch.
        share : Share, optional
            Which rows of the batch these are, where several processes make the step.

        Returns
        -------
        output, loss : array
            What the chain put out for these rows and the batch's loss, penalties included, both
            from before the step.
        """
        self.ready()
        self.reseed(self.count)  # another trainer may have advanced the layers' generators
        result = self.compute(x, *targets, adds=adds, updates=updates, share=share)
        self.count_batch(updates=updates)
        return result

    def compute(
        self,
        x: Array,
        *targets: Array,
        adds: bool = False,
        updates: bool = True,
        share: Share | None = None,
    ) -> tuple[Array, Array]:
        """Do what `step` does on the device: all but the counting."""
        if share is None:
            output, loss = self.gradients(x, *targets)
        else:
            sends = updates and not adds and self.sends_gradients
            output, loss = self.sharing.gradients(self, share, x, *targets, sends=sends)
        if adds:
            gradients = self.model.flat.gradients
            alone = share is None
            n = self.fused_loss.n_counted(output, targets[0]) if alone else self.sharing.counted
            self.sums.add(gradients, n)
            if updates:
                self.sums.give_mean(gradients)
        if share is not None:
            flat = self.model.flat if updates else None
            self.sharing.sum(loss, flat, whole=self.needs_whole_gradients)
        if not updates:
            return output, self.with_penalties(loss)
        loss = self.add_penalties(loss)
        self.update()
        return output, loss

    def gradients(self, x: Array, *targets: Array) -> tuple[Array, Array]:
        """Set the parameters' gradients, penalties left out; return the output and the loss."""
        if self.sharing.share is not None and self.fused_loss.ignores_some:
            return self._gradients(x, *targets)  # what is counted is summed over the processes
        done = self.replay.results(self, x, *targets)
        if done is None:
            with self.replay.noting(self, x, *targets) as note:
                done = note(*self._gradients(x, *targets))
        output, loss = done
        return output, loss

    def all_gradients(self, x: Array, *targets: Array, share: Share | None) -> tuple[Array, Array]:
        """What `gradients` does, over the processes that share the batch."""
        if share is None:
            return self.gradients(x, *targets)
        output, loss = self.sharing.gradients(self, share, x, *targets)
        self.sharing.sum(loss, self.model.flat)
        return output, loss

    def _gradients(self, x: Array, *targets: Array) -> tuple[Array, Array]:
        output = self.chain.forward(x, True)
        loss, dvalues = self.fused_loss.calculate_and_backward(output, *targets)
        dvalues = self.sharing.weigh(self, output, targets[0], dvalues)
        self._backward(self.chain, dvalues)
        return output, loss

    def output(self, x: Array) -> Array:
        """What the chain puts out for a batch, outside of training. Several threads may ask."""
        done = self.output_replay.results(self, x)
        if done is None:
            with self.output_replay.noting(self, x) as note:
                done = note(self.chain.forward(x))
        return done[0]

    @property
    def replays(self) -> tuple[Replay, ...]:
        """What works by noted calls."""
        return self.replay, self.output_replay

    def _backward(self, chain: Chain, dvalues: Array) -> None:
        flat = self.model.flat
        flat.penalties_wait = True
        try:
            chain.backward_parameters(dvalues, self._first or 0, self.sharing.sender)
            flat.sum_ties()
        finally:
            flat.penalties_wait = False

    @property
    def sums(self) -> GradientSums:
        """Where the gradients of the batches of one step are added up."""
        gradients = self.model.flat.gradients
        if self._sums is None or self._sums.arrays[0].shape != gradients.shape:
            self._sums = GradientSums(self.backend, gradients)
        return self._sums

    def forget_sums(self) -> None:
        """Give back the room for `sums`, with what was added up of a step."""
        self._sums = None

    def add_penalties(self, loss: Array) -> Array:
        """Add the penalties' gradients to the parameters'; return the loss with the penalties."""
        flat = self.model._flat
        if flat is not None and not flat.has_penalties:
            return loss
        self.model.add_penalties()
        return self.with_penalties(loss)

    def with_penalties(self, loss: Array) -> Array:
        """The loss with the penalties."""
        penalty = self.model.regularization_loss()
        return loss if penalty is None else loss + penalty

    @property
    def needs_whole_gradients(self) -> bool:
        """Whether an update looks at all gradients at once, even where it changes a part."""
        return self.optimizer.clip_norm is not None

    def update(self) -> None:
        """Update the parameters by their gradients."""
        if not self.sharing.shards_optimizer:
            self.optimizer.update(self.model)
            return
        flat = self.model.flat
        self.optimizer.update_values(self.model, self.group.flat_part(flat.size))
        self.group.share_parts(flat.values)
        self.optimizer.follow_values(self.model)

    def as_seen(self, output: Array, kind: str) -> Array:
        """What a metric sees of what the chain put out, by its kind: see `Metric.sees`."""
        if kind != "outputs":
            return self.fused_loss.as_seen(output, kind)
        return output if self.closing is None else self.closing.forward(output)

    def count_batch(self, *, updates: bool = True) -> None:
        """Do what `step` does on the host: count the batch, and the update."""
        self.optimizer.iterations += updates
        self.count += 1

    def reseed(self, count: Any) -> None:
        """Have the layers draw what they draw at the batch of that count."""
        self._drawn_at = count
        for stream, layer in self._drawing:
            layer.reseed(self.seed, stream, count)

    def optimizer_state(self) -> Iterator[tuple[str, Array]]:
        """The arrays of the optimizer's state, whole, one after the other.

        All processes of a group must ask for them. Where each keeps a part, they are put together
        in one array, which the next one overwrites.
        """
        flat = self.model.flat
        own, whole = self.sharing.own_values(flat), None
        for name, array in self.optimizer.state(self.model).items():
            if own is None or name == "average":
                yield name, array
                continue
            whole = flat.backend.xp.zeros_like(flat.values) if whole is None else whole
            whole[own] = array
            self.group.share_parts(whole)
            yield name, whole

    def draw_again(self) -> None:
        """Have the layers draw what they draw at the batch at hand, for another part of it."""
        self.reseed(self._drawn_at)

    def use_averages(self, wanted: bool) -> None:
        """Have the averages of the weights in the model, if the optimizer keeps any, or not."""
        optimizer = self.optimizer
        if optimizer.average_decay is not None and wanted != optimizer.is_exchanged(self.model):
            optimizer.exchange_average(self.model)

    def layers(self) -> list[Layer]:
        """All layers that take part in a step."""
        return [layer for _, layer in self.model.walk()]

    def state(self) -> dict[str, Array]:
        """The arrays that a step leaves for the next, beside the model's and the optimizer's."""
        return {}


class TF32Learner(Learner):
    """Makes steps in which the products of a CUDA device may round their factors to TF32."""

    def gradients(self, x: Array, *targets: Array) -> tuple[Array, Array]:
        with self.backend.rounding_to_tf32():
            return super().gradients(x, *targets)


def _check_kind(name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise ArgumentError(
            f"`{name}` must be {article} {kind.__name__} object; got {shown(repr(value))}."
        )


def _seed(seed: int | None) -> int:
    """The seed, or one that is drawn."""
    generator = host_generator(seed)  # refuses what is no seed
    if seed is not None:
        return index(seed)
    drawn = int(generator.integers(2**31))
    _log.info("the seed of this training is %d, drawn", drawn)
    return drawn


def _drawing(model: Layer) -> list[tuple[int, Layer]]:
    """The layers that draw random numbers, each with the number of its stream."""
    layers = enumerate(layer for _, layer in model.walk())
    return [(n, layer) for n, layer in layers if type(layer).reseed is not Layer.reseed]
