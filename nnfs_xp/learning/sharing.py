"""Batches that several processes train on together: who works on what, and what it counts for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, as_dense
from nnfs_xp.distributed import Group, Share
from nnfs_xp.distributed.ordered import OrderedSum
from nnfs_xp.errors import ArgumentError
from nnfs_xp.flat_parameters import FlatParameters
from nnfs_xp.layers import Layer
from nnfs_xp.layers.chain import Chain
from nnfs_xp.learning.sender import LEAST, Sender
from nnfs_xp.losses import Loss


class Working(Protocol):
    """What works out gradients: see `Learner`."""

    model: Layer
    backend: Backend
    chain: Chain
    fused_loss: Loss

    def layers(self) -> list[Layer]: ...
    def gradients(self, x: Array, *targets: Array) -> tuple[Array, Array]: ...
    def output(self, x: Array) -> Array: ...
    def draw_again(self) -> None: ...


def own_rows(group: Group, n: int) -> slice:
    """The rows of a batch of n that this process works on; without any, one that stands in."""
    part = group.part(n)
    return part if part.start < part.stop else slice(0, 1)


def share_of(group: Group, n: int) -> Share | None:
    """What `own_rows` are of a batch of n; None where this process has it for itself."""
    if group.is_alone:
        return None
    part = group.part(n)
    return Share(group, part.start, part.stop - part.start, n)


def too_few(n: int, group: Group) -> str:
    """What is wrong with batches of n samples, where there are fewer than processes."""
    return (
        f"a batch has {n} samples, fewer than the {group.size} processes that share it. Choose a "
        "larger batch size, or start fewer processes."
    )


class Sharing:
    """How the gradients of one process' rows become those of the batch.

    Parameters
    ----------
    group : Group
    shard_optimizer : bool
        Whether each process updates a part of the parameters.

    Attributes
    ----------
    shards_optimizer : bool
        Whether each process updates a part of the parameters, and there are several.
    share : Share or None
        What is worked on at the moment; None outside of steps, and for a process alone.
    kind : tuple of int or None
        What noted calls are told apart by: how much these rows count.
    counted : int or 0-d array
        The number of losses of the batch.
    sender : Sender or None
        What is told of each stage whose gradients are there, where these are sent at once.
    """

    def __init__(self, group: Group, *, shard_optimizer: bool = False) -> None:
        self.group = group
        self.shards_optimizer = shard_optimizer and group.size > 1
        self.share: Share | None = None
        self.kind: tuple[int, int] | None = None
        self.sender: Sender | None = None
        self._weight: Any = 1.0  # what the mean loss of these rows counts in that of the batch
        self.counted: Any = 0
        self._chain: Chain | None = None
        self._layers: list[Layer] = []  # those of that chain

    def own(self, batch: tuple[Array, ...]) -> tuple[Share | None, tuple[Array, ...]]:
        """The share of a batch, which all were given, that is this process'; and its rows."""
        if self.group.is_alone:
            return None, batch
        n = batch[0].shape[0]
        if n < self.group.size:
            raise ArgumentError(too_few(n, self.group))
        rows = own_rows(self.group, n)
        parts = batch if self.group.size == 1 else tuple(each[rows, ...] for each in batch)
        return share_of(self.group, n), parts

    @contextmanager
    def of_layers(self, layers: list[Layer], share: Share) -> Iterator[None]:
        """While it lasts, the layers know which rows they are given."""
        self.share, self.kind = share, (share.n, share.whole)
        for layer in layers:
            layer.share = share
        try:
            yield
        finally:
            self.share = self.kind = None
            for layer in layers:
                layer.share = None

    def _layers_of(self, working: Working) -> list[Layer]:
        """The layers that take part in a step: asked for again where others may."""
        if working.chain is not self._chain:
            self._chain, self._layers = working.chain, working.layers()
        return self._layers

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_chain": None, "_layers": []}

    def weigh(self, working: Working, output: Array, y: Array, dvalues: Array) -> Array:
        """The gradient of these rows' mean loss as part of that of the batch's."""
        share = self.share
        if share is None:
            return dvalues
        xp, kernels = working.backend.xp, working.backend.kernels
        if self.group.shards is not None:
            return kernels.scaled(xp, dvalues, share.n / share.whole)
        self._weight, self.counted = share.weight(working.fused_loss.n_counted(output, y))
        return kernels.scaled(xp, dvalues, self._weight)

    def gradients(
        self, working: Working, share: Share, *batch: Array, sends: bool = False
    ) -> tuple[Array, Array]:
        """Set the gradients to this process' part of the batch's; return the output and the loss.

        The output is of the rows here, the loss these rows' part of the batch's mean; with shards,
        gradients and loss are those of the whole batch at once. With `sends` the gradients may be
        summed on the way, where that goes on beside the work on the device.
        """
        layers = self._layers_of(working)
        if self.group.shards is not None:
            return self._gradients_of_parts(working, layers, share, *batch)
        self.sender = self._new_sender(working.model.flat) if sends else None
        with self.of_layers(layers, share):
            output, loss = working.gradients(*batch)
        n = working.fused_loss.n_counted(output, batch[1])
        if isinstance(n, int):  # `weigh` was not called where noted calls were made
            self._weight, self.counted = share.weight(n)
        own: Array = working.backend.xp.asarray(loss * self._weight, copy=True)
        return output, own

    def _gradients_of_parts(
        self, working: Working, layers: list[Layer], share: Share, *batch: Array
    ) -> tuple[Array, Array]:
        """What `gradients` says, where each batch has a fixed number of parts.

        A part counts with the number c of its losses: the gradient is sum(c * g) / sum(c). It is
        worked out times the part's share of the rows, for float16 holds no more, and then
        multiplied by c over that share.
        """
        xp, flat = working.backend.xp, working.model.flat
        total, counts, losses = OrderedSum(), OrderedSum(), OrderedSum()
        outputs: list[Array] = []
        for rows, part in share.parts:
            count = xp.zeros_like(flat.gradients[:1])
            gradients, loss = xp.zeros_like(flat.gradients), xp.zeros_like(count)
            if part.n:
                own = [as_dense(array)[rows, ...] for array in batch]
                working.draw_again()
                with self.of_layers(layers, part):
                    output, mean = working.gradients(*own)
                outputs.append(output)
                count += working.fused_loss.n_counted(output, own[1])
                gradients += flat.gradients * (count * (part.whole / part.n))
                loss += mean * count
            total.add(gradients)
            counts.add(count)
            losses.add(loss)
        flat.gradients[...] = total.total
        whole, loss = (xp.asarray(each.total, copy=True) for each in (counts, losses))
        self.group.add(flat.gradients, whole, loss)
        self.counted = whole[0, ...]
        whole = xp.maximum(whole, 1.0)
        flat.gradients /= whole
        if not outputs:
            outputs = [working.output(batch[0])]
        joined = outputs[0] if len(outputs) == 1 else xp.concat(outputs)
        return joined, (loss / whole)[0, ...]

    def sum(self, loss: Array, flat: FlatParameters | None, *, whole: bool = True) -> None:
        """Sum the loss over the processes, and the gradients, where `gradients` has not.

        Parameters
        ----------
        loss : 0-d array
        flat : FlatParameters or None
            Those with the gradients, if they are to be summed.
        whole : bool
            Whether all gradients are needed, also where each process updates a part.
        """
        if self.group.shards is not None:
            return
        sender, self.sender = self.sender, None
        if sender is not None:
            sender.finish()
            flat = None
        if flat is None:
            self.group.add(loss)
        elif whole or not self.shards_optimizer:
            self.group.add(flat.gradients, loss)
        else:
            self.group.add_part(flat.gradients)
            self.group.add(loss)

    def _new_sender(self, flat: FlatParameters) -> Sender | None:
        """What sends gradients on the way; None where they had better go in one."""
        gradients: Any = flat.gradients
        if flat.has_ties or self.shards_optimizer or not self.group.sums_beside(gradients):
            return None
        return Sender(self.group, flat) if gradients.nbytes > LEAST else None

    def own_values(self, flat: FlatParameters) -> slice | None:
        """The part of the parameters that this process updates; None where that is all."""
        return self.group.flat_part(flat.size) if self.shards_optimizer else None

    def check(self, model: Layer) -> None:
        """Refuse what cannot be done in parts.

        Raises
        ------
        ArgumentError
            A layer looks across the samples of a batch, and shards are worked on one by one.
        """
        if self.group.shards is None:
            return
        for _, layer in model.walk():
            if layer.smallest_batch > 1 and layer.trainable:
                raise ArgumentError(
                    f"`shards` does not go with {type(layer).__name__}, which looks across the "
                    "samples of a batch: each shard is worked on by itself. Leave `shards` out, or "
                    "use LayerNorm."
                )
