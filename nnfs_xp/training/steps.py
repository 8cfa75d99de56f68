"""One training step: forward, loss, backward, update; in the model's precision or in half of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend
from nnfs_xp.errors import ArgumentError, BackendError, DTypeError
from nnfs_xp.layers import Dense, Embedding, Layer, Sequential
from nnfs_xp.layers.fusion import Stage, fused
from nnfs_xp.parameters import FlatParameters

if TYPE_CHECKING:
    from nnfs_xp.training.trainer import Trainer

PRECISIONS = ("float32", "tf32", "float16", "bfloat16")


def chain_of(model: Layer) -> tuple[Layer, ...]:
    """The layers that a model runs one after the other, those of models within it included."""
    if type(model) is not Sequential:
        return (model,)
    return tuple(layer for child in model.layers for layer in chain_of(child))


def check_precision(precision: str, model: Layer, backend: Backend) -> Backend:
    """Refuse a precision that the model or the backend cannot have; return the backend with it.

    Raises
    ------
    ArgumentError
        It is no precision, or the model's parameters are not float32.
    BackendError
        The backend has no such type, or the device no such arithmetic.
    """
    if precision not in PRECISIONS:
        raise ArgumentError(f"`precision` must be one of {PRECISIONS}; got {precision!r}.")
    if precision == "float32":
        return backend
    if (model.dtype or "float32") != "float32":
        raise ArgumentError(
            f"`precision` {precision!r} is for a model with float32 parameters; got {model.dtype}."
        )
    if precision != "tf32":
        if any(isinstance(layer, Embedding) for layer in _behind_the_first(model)):
            raise ArgumentError(
                f"`precision` {precision!r} rounds what goes into an Embedding behind other layers."
            )
        try:
            backend.dtype(precision)
        except DTypeError as error:
            raise BackendError(f"`precision` {precision!r}: {error}") from error
    return backend.with_precision(precision)


class Step:
    """Makes the training steps of a trainer.

    Parameters
    ----------
    trainer : Trainer
    chain : sequence of Layer
        What the model runs, without a last layer that the loss takes in.
    """

    def __init__(self, trainer: Trainer, chain: Sequence[Layer]) -> None:
        self.trainer = trainer
        self.stages = fused(chain, keep_dinputs=False)

    def compute(self, x: Array, *targets: Array) -> tuple[Array, Array]:
        """All of a step but the counting; the model's output and the loss, from before it."""
        output = _forward(self.stages, x)
        loss, dvalues = self.trainer.fused_loss.calculate_and_backward(output, *targets)
        _backward(self.stages, dvalues)
        return output, self._update(loss)

    def _update(self, loss: Array) -> Array:
        """Update the parameters by their gradients; returns the loss with the penalties."""
        model = self.trainer.model
        penalty = model.regularization_loss()
        self.trainer.optimizer.update(model)
        return loss if penalty is None else loss + penalty

    def reseed(self, seed: int, step: int) -> None:
        """Have the layers draw what they draw at that step."""
        _reseed(self.trainer.model, seed, step)

    def layers(self) -> list[Layer]:
        """All layers that take part."""
        return [layer for _, layer in self.trainer.model.walk()]

    def state(self) -> dict[str, Array]:
        """The arrays that are kept from step to step, beside the model's and the optimizer's."""
        return {}


class HalfStep(Step):
    """Steps whose layers work in half precision, on weights that are kept in float32.

    A twin of the model in the narrow type does the forward and backward passes; the loss, the
    gradients that the optimizer sees and the weights are float32. In float16 the loss' gradient is
    scaled up before it goes back, so that small gradients do not vanish, and a step whose gradients
    are not finite changes no weight and halves the scale; after 2,000 good steps in a row it
    doubles.

    Notes
    -----
    Source: Micikevicius et al. 2018, *Mixed Precision Training*, section 3.
    """

    first_scale = 2.0**16
    interval = 2000

    def __init__(self, trainer: Trainer, chain: Sequence[Layer], precision: str) -> None:
        super().__init__(trainer, chain)
        model, backend = trainer.model, trainer.backend
        self._dtype = backend.dtype(precision)
        self._twin = _narrow_twin(model, backend, precision)
        self._takes_codes = isinstance(chain[0], Embedding)
        n = len(chain)
        self.stages = fused(chain_of(self._twin)[:n], keep_dinputs=False)
        xp, device = backend.xp, backend.device
        self._scales = precision == "float16"
        first = self.first_scale if self._scales else 1.0
        self._scale = xp.asarray(first, dtype=xp.float32, device=device)
        self._good = xp.asarray(0.0, dtype=xp.float32, device=device)

    def compute(self, x: Array, *targets: Array) -> tuple[Array, Array]:
        trainer, twin = self.trainer, self._twin
        backend, flat = trainer.backend, trainer.model.flat
        xp, kernels = backend.xp, backend.kernels
        kernels.narrow_into(xp, flat.values, twin.flat.values)
        if self._takes_codes:  # of which the narrow type does not hold all
            x = xp.astype(x, xp.int64)
        elif backend.is_floating(x.dtype):
            x = xp.astype(x, self._dtype)
        output = xp.astype(_forward(self.stages, x), xp.float32)
        loss, dvalues = trainer.fused_loss.calculate_and_backward(output, *targets)
        factor = self._scale  # 1, unless it scales
        if self._scales:
            dvalues, factor = dvalues * self._scale, 1 / self._scale
        _backward(self.stages, xp.astype(dvalues, self._dtype))
        kernels.widen(xp, twin.flat.gradients, flat.gradients, factor)
        for _, layer in trainer.model.walk():
            if isinstance(layer, Dense):
                layer.add_penalties()
        return output, self._update(loss) if not self._scales else self._update_if_finite(loss)

    def _update_if_finite(self, loss: Array) -> Array:
        """`_update`, taken back where a gradient is not finite: without waiting to know."""
        trainer = self.trainer
        flat, xp = trainer.model.flat, trainer.backend.xp
        changed = [flat.values, *trainer.optimizer.state(trainer.model).values()]
        before = [xp.asarray(array, copy=True) for array in changed]
        finite = xp.all(xp.isfinite(flat.gradients))
        loss = self._update(loss)
        for array, former in zip(changed, before, strict=True):
            array[...] = xp.where(finite, array, former)
        good = xp.where(finite, self._good + 1, 0.0)
        grown = good >= self.interval
        factor = xp.where(finite, xp.where(grown, 2 * self._scale, self._scale), self._scale / 2)
        self._scale[...] = xp.maximum(factor, 1.0)
        self._good[...] = xp.where(grown, 0.0, good)
        return loss

    def reseed(self, seed: int, step: int) -> None:
        super().reseed(seed, step)
        _reseed(self._twin, seed, step)

    def layers(self) -> list[Layer]:
        return [*super().layers(), *(layer for _, layer in self._twin.walk())]

    def state(self) -> dict[str, Array]:
        return {"scale": self._scale, "good_steps": self._good} if self._scales else {}


def _behind_the_first(model: Layer) -> Iterator[Layer]:
    first = chain_of(model)[0]
    return (layer for _, layer in model.walk() if layer is not first)


def _forward(stages: Sequence[Stage], x: Array) -> Array:
    for stage in stages:
        x = stage.forward(x, training=True)
    return x


def _backward(stages: Sequence[Stage], dvalues: Array) -> None:
    for stage in reversed(stages[1:]):
        dvalues = stage.backward(dvalues)
    stages[0].backward_parameters(dvalues)


def _reseed(model: Layer, seed: int, step: int) -> None:
    for stream, (_, layer) in enumerate(model.walk()):
        layer.reseed(seed, stream, step)


def _narrow_twin(model: Layer, backend: Backend, dtype: str) -> Layer:
    """A copy with parameters of the narrow type, which keeps its buffers where the model does."""
    twin = copy.deepcopy(model)
    if twin._flat is not None:
        FlatParameters(twin, backend, dtype)
    for (_, layer), (_, original) in zip(twin.walk(), model.walk(), strict=True):
        layer._buffers = original._buffers
        if isinstance(layer, Dense):  # penalties are added in float32, to gradients without a scale
            layer.weight_regularizer_l1 = layer.weight_regularizer_l2 = 0.0
            layer.bias_regularizer_l1 = layer.bias_regularizer_l2 = 0.0
    return twin
