"""One training step: forward, loss, backward, update; in the model's precision or in half of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nnfs_xp._typing import Array, DType
from nnfs_xp.backend import Backend
from nnfs_xp.errors import ArgumentError, BackendError, DTypeError
from nnfs_xp.layers import Dense, Dropout, Embedding, Layer, Sequential
from nnfs_xp.layers.composite import Composite
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


def check_precision(precision: str, model: Layer, backend: Backend) -> None:
    """Refuse a precision that the model or the backend cannot have.

    Raises
    ------
    ArgumentError
        It is no precision, or not for this model.
    BackendError
        The backend has no such type, or the device no such arithmetic.
    """
    if precision not in PRECISIONS:
        raise ArgumentError(f"`precision` must be one of {PRECISIONS}; got {precision!r}.")
    if precision == "float32":
        return
    if (model.dtype or "float32") != "float32":
        raise ArgumentError(
            f"`precision` {precision!r} is for a model with float32 parameters; got {model.dtype}."
        )
    if precision == "float16":
        for _, layer in model.walk():
            if type(layer).regularization_loss not in _KNOWN_PENALTIES:
                raise ArgumentError(
                    f"`precision` 'float16' scales gradients, also those of the penalty that "
                    f"{type(layer).__name__} adds by itself. Take 'bfloat16', which does not."
                )
    if precision != "tf32":
        first = chain_of(model)[0]
        if any(isinstance(la, Embedding) and la is not first for _, la in model.walk()):
            raise ArgumentError(
                f"`precision` {precision!r} rounds what goes into an Embedding that is not the "
                "model's first layer."
            )
        try:
            backend.dtype(precision)
        except DTypeError as error:
            raise BackendError(f"`precision` {precision!r}: {error}") from error
    backend.check_precision(precision)


_KNOWN_PENALTIES = (
    Layer.regularization_loss,
    Dense.regularization_loss,
    Composite.regularization_loss,
)


class Step:
    """Makes the training steps of a trainer.

    Parameters
    ----------
    model : Layer
    chain : sequence of Layer
        What the model runs, without a last layer that the loss takes in.
    backend : Backend
    precision : str
    """

    def __init__(
        self, model: Layer, chain: Sequence[Layer], backend: Backend, precision: str
    ) -> None:
        self._drawing = _drawing(model)
        self.stages = fused(chain, keep_dinputs=False)
        self._rounds = precision == "tf32"
        self._backend = backend

    def compute(self, trainer: Trainer, x: Array, *targets: Array) -> tuple[Array, Array]:
        """All of a step but the counting; the model's output and the loss, from before it."""
        if self._rounds:
            with self._backend.rounding_to_tf32():
                output, loss = self._gradients(trainer, x, targets)
        else:
            output, loss = self._gradients(trainer, x, targets)
        return output, self._update(trainer, loss)

    def _gradients(self, trainer: Trainer, x: Array, targets: Any) -> tuple[Array, Array]:
        """Forward and backward; the model's output and the loss."""
        output = _forward(self.stages, x)
        loss, dvalues = trainer.fused_loss.calculate_and_backward(output, *targets)
        _backward(self.stages, dvalues)
        return output, loss

    @staticmethod
    def _update(trainer: Trainer, loss: Array) -> Array:
        """Update the parameters by their gradients; returns the loss with the penalties."""
        penalty = trainer.model.regularization_loss()
        trainer.optimizer.update(trainer.model)
        return loss if penalty is None else loss + penalty

    def reseed(self, trainer: Trainer, step: Any) -> None:
        """Have the layers draw what they draw at that step."""
        for stream, layer in self._drawing:
            layer.reseed(trainer.seed, stream, step)

    def layers(self, trainer: Trainer) -> list[Layer]:
        """All layers that take part."""
        return [layer for _, layer in trainer.model.walk()]

    def state(self) -> dict[str, Array]:
        """The arrays that are kept from step to step, beside the model's and the optimizer's."""
        return {}


class HalfStep(Step):
    """Steps whose dense layers work in half precision, on weights that are kept in float32.

    A twin of the model does the forward and backward passes. Its `Dense` layers, their ReLUs and
    `Dropout` work in the narrow type, on rounded copies of the weights; its other layers work in
    float32, on the model's own parameters, and what goes in and out of them is cast. The loss,
    the gradients that the optimizer sees and the weights are float32. In float16 the loss'
    gradient is scaled up before it goes back, so that small gradients do not vanish, and a step
    whose gradients are not finite changes no weight and halves the scale; after 2,000 good steps
    in a row it doubles.

    Notes
    -----
    Source: Micikevicius et al. 2018, *Mixed Precision Training*, section 3.
    """

    first_scale = 2.0**16
    interval = 2000

    def __init__(
        self, model: Layer, chain: Sequence[Layer], backend: Backend, precision: str
    ) -> None:
        super().__init__(model, chain, backend, precision)
        self._origin = model, tuple(chain), backend, precision
        self._dtype = backend.dtype(precision)
        self._twin = copy.deepcopy(model)
        self._narrows_inputs = _is_narrow(chain[0]) or bool(chain[0].children)
        self._narrow = FlatParameters(self._twin, backend, precision)
        self._pairs: list[_Pair] = []
        self._own_gradients: list[tuple[Layer, Layer, str]] = []
        xp, device = backend.xp, backend.device
        for (_, layer), (_, original) in zip(self._twin.walk(), model.walk(), strict=True):
            self._pairs.append(_Pair(layer, original))
            if not _is_narrow(layer) and not layer.children:
                for method in ("forward", "backward", "backward_parameters"):
                    vars(layer)[method] = _Widened(layer, method, self._dtype, backend)
                for name, shape in layer._shapes.items():
                    layer._gradients[name] = xp.zeros(shape, dtype=xp.float32, device=device)
                    self._own_gradients.append((layer, original, name))
        self._drawing += _drawing(self._twin)
        self.stages = fused(chain_of(self._twin)[: len(chain)], keep_dinputs=False)
        self._scales = precision == "float16"
        first = self.first_scale if self._scales else 1.0
        self._scale = xp.asarray(first, dtype=xp.float32, device=device)
        self._good = xp.asarray(0.0, dtype=xp.float32, device=device)

    # A copy makes a twin of the copied model; the trainer then says where its layers draw on.
    def __getstate__(self) -> tuple[Any, ...]:
        return self._origin, self._scale, self._good

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        origin, scale, good = state
        HalfStep.__init__(self, *origin)
        self._scale[...], self._good[...] = scale, good

    def compute(self, trainer: Trainer, x: Array, *targets: Array) -> tuple[Array, Array]:
        backend, flat, narrow = trainer.backend, trainer.model.flat, self._narrow
        xp, kernels = backend.xp, backend.kernels
        self._follow()
        kernels.narrow_into(xp, flat.values, narrow.values)
        if self._narrows_inputs and backend.is_floating(x.dtype):
            x = xp.astype(x, self._dtype)
        output = xp.astype(_forward(self.stages, x), xp.float32)
        loss, dvalues = trainer.fused_loss.calculate_and_backward(output, *targets)
        factor = self._scale  # 1, unless it scales
        if self._scales:
            dvalues, factor = dvalues * self._scale, 1 / self._scale
        _backward(self.stages, xp.astype(dvalues, self._dtype))
        kernels.widen(xp, narrow.gradients, flat.gradients, factor)
        for layer, original, name in self._own_gradients:
            original._gradients[name][...] = layer._gradients[name] * factor
        for _, layer in trainer.model.walk():
            if isinstance(layer, Dense):
                layer.add_penalties()
        if self._scales:
            return output, self._update_if_finite(trainer, loss)
        return output, self._update(trainer, loss)

    def _follow(self) -> None:
        """Have the twin's layers do what the model's do now, on the arrays that these have now."""
        for pair in self._pairs:
            layer, original = pair.layer, pair.original
            vars(layer).update(pair.new_settings())
            layer._buffers = original._buffers
            if isinstance(layer, Dense):  # in float32, on gradients without a scale
                layer.weight_regularizer_l1 = layer.weight_regularizer_l2 = 0.0
                layer.bias_regularizer_l1 = layer.bias_regularizer_l2 = 0.0
            elif not layer.children:
                layer._values, layer._flat = original._values, original._flat

    def _update_if_finite(self, trainer: Trainer, loss: Array) -> Array:
        """`_update`, taken back where a gradient is not finite: without waiting to know."""
        model, xp = trainer.model, trainer.backend.xp
        changed = [model.flat.values, *trainer.optimizer.state(model).values()]
        before = [xp.asarray(array, copy=True) for array in changed]
        finite = xp.all(xp.isfinite(model.flat.gradients))
        loss = self._update(trainer, loss)
        for array, former in zip(changed, before, strict=True):
            array[...] = xp.where(finite, array, former)
        good = xp.where(finite, self._good + 1, 0.0)
        grown = good >= self.interval
        scale = xp.where(finite, xp.where(grown, 2 * self._scale, self._scale), self._scale / 2)
        self._scale[...] = xp.maximum(scale, 1.0)
        self._good[...] = xp.where(grown, 0.0, good)
        return loss

    def layers(self, trainer: Trainer) -> list[Layer]:
        return [*super().layers(trainer), *(layer for _, layer in self._twin.walk())]

    def state(self) -> dict[str, Array]:
        return {"scale": self._scale, "good_steps": self._good} if self._scales else {}


_TWINS_OWN = {
    *("_values", "_gradients", "_flat", "_kept", "_buffers", "_stages", "children", "dinputs"),
    *("seed", "stream", "step"),
}
"""Of a layer's attributes, those that its twin has for itself."""


def _is_narrow(layer: Layer) -> bool:
    """Whether the layer works in the narrow type."""
    return isinstance(layer, (Dense, Dropout))


class _Pair:
    """A layer of the twin, and the model's."""

    def __init__(self, layer: Layer, original: Layer) -> None:
        self.layer = layer
        self.original = original
        self._seen: dict[str, Any] = {}
        self.new_settings()  # those that the twin was made with

    def new_settings(self) -> dict[str, Any]:
        """The attributes of the model's layer that are other objects than when last asked for."""
        seen = self._seen
        new = {
            name: value
            for name, value in vars(self.original).items()
            if name not in _TWINS_OWN and not (name in seen and seen[name] is value)
        }
        seen.update(new)
        return new


class _Widened:
    """A method of a layer that works in float32 between layers that work in a narrow type."""

    def __init__(self, layer: Layer, name: str, narrow: DType, backend: Backend) -> None:
        self._layer = layer
        self._name = name
        self._narrow = narrow
        self._backend = backend

    def __call__(self, values: Array, *arguments: Any, **more: Any) -> Array | None:
        xp = self._backend.xp
        if values.dtype == self._narrow:
            values = xp.astype(values, xp.float32)
        method = getattr(type(self._layer), self._name)
        result: Array | None = method(self._layer, values, *arguments, **more)
        return None if result is None else xp.astype(result, self._narrow)


def _forward(stages: Sequence[Stage], x: Array) -> Array:
    for stage in stages:
        x = stage.forward(x, training=True)
    return x


def _backward(stages: Sequence[Stage], dvalues: Array) -> None:
    for stage in reversed(stages[1:]):
        dvalues = stage.backward(dvalues)
    stages[0].backward_parameters(dvalues)


def _drawing(model: Layer) -> list[tuple[int, Layer]]:
    """The layers that draw random numbers, each with the number of its stream."""
    layers = enumerate(layer for _, layer in model.walk())
    return [(n, layer) for n, layer in layers if type(layer).reseed is not Layer.reseed]
