"""Training steps in half precision, on weights that are kept in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nnfs_xp._typing import Array, DType
from nnfs_xp.backend import Backend, as_dense
from nnfs_xp.flat_parameters import FlatParameters
from nnfs_xp.layers import Layer
from nnfs_xp.layers.chain import Chain
from nnfs_xp.layers.composite import Composite
from nnfs_xp.layers.stages import Stage
from nnfs_xp.learning.learner import Learner, TF32Learner


class HalfPrecisionLearner(Learner):
    """Makes steps whose dense layers work in half precision.

    Layers that work in half precision (`Layer.works_in_half`) run in the narrow type, on rounded
    copies of their weights; the others run in float32 between two casts. The loss, the gradients
    that the optimizer sees and the weights are float32. In float16 the loss' gradient is scaled
    up before it goes back, so that small gradients do not vanish, and a step whose gradients are
    not finite changes no weight and halves the scale; after 2,000 good steps in a row it doubles.

    Parameters
    ----------
    precision : {"float16", "bfloat16"}
        The other parameters are those of `Learner`.

    Attributes
    ----------
    scale : 0-d array
        What gradients are multiplied by on their way back.

    Notes
    -----
    Source: Micikevicius et al. 2018, *Mixed Precision Training*, section 3.
    """

    first_scale = 2.0**16
    interval = 2000

    def __init__(self, *parts: Any, **settings: Any) -> None:
        super().__init__(*parts, **settings)
        self._scales = self.precision == "float16"
        first = self.first_scale if self._scales else 1.0
        xp, device = self.backend.xp, self.backend.device
        with self.backend.active():
            self.scale = xp.asarray(first, dtype=xp.float32, device=device)
            self._good = xp.asarray(0.0, dtype=xp.float32, device=device)
        self._cast()

    def _arrange(self) -> None:
        super()._arrange()
        if hasattr(self, "_half"):
            self._cast()

    def _cast(self) -> None:
        """Make the stages that run in half precision."""
        backend = self.backend
        self._dtype = backend.dtype(self.precision)
        with backend.active():
            self._rounded = _Rounded(self.model, backend, self.precision)
        first, *others = self.chain.stages
        stages = [self._rounded.stage(first, is_first=True), *map(self._rounded.stage, others)]
        self._half = Chain(stages, fuse=False)  # they are fused already
        self._rounds_inputs = not isinstance(stages[0], InFloat32)

    # A copy casts the layers of the copied model.
    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {k: v for k, v in state.items() if k not in ("_rounded", "_half", "_dtype")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._cast()

    def gradients(self, x: Array, *targets: Array) -> tuple[Array, Array]:
        xp, flat, rounded = self.backend.xp, self.model.flat, self._rounded
        rounded.follow(flat.all_values)
        x = as_dense(x)
        if self._rounds_inputs and self.backend.is_floating(x.dtype):
            x = xp.astype(x, self._dtype)
        output = xp.astype(self._half.forward(x, True), xp.float32)
        loss, dvalues = self.fused_loss.calculate_and_backward(output, *targets)
        dvalues = self.sharing.weigh(self, output, targets[0], dvalues)
        factor = self.scale  # 1, unless it scales
        if self._scales:
            dvalues, factor = dvalues * self.scale, 1 / self.scale
        self._backward(self._half, xp.astype(dvalues, self._dtype))
        rounded.widen(flat.all_gradients, factor)
        flat.sum_ties()
        return output, loss

    @property
    def sends_gradients(self) -> bool:
        return False  # they are widened when all are there

    @property
    def needs_whole_gradients(self) -> bool:
        return self._scales or super().needs_whole_gradients

    def update(self) -> None:
        if self._scales:
            self._update_if_finite()
        else:
            super().update()

    def _update_if_finite(self) -> None:
        """Update, and take it back where a gradient is not finite: without waiting to know."""
        model, xp = self.model, self.backend.xp
        changed = [model.flat.values, *self.optimizer.state(model).values()]
        before = [xp.asarray(array, copy=True) for array in changed]
        finite = xp.all(xp.isfinite(model.flat.gradients))
        super().update()
        for array, former in zip(changed, before, strict=True):
            array[...] = xp.where(finite, array, former)
        good = xp.where(finite, self._good + 1, 0.0)
        grown = good >= self.interval
        scale = xp.where(finite, xp.where(grown, 2 * self.scale, self.scale), self.scale / 2)
        self.scale[...] = xp.maximum(scale, 1.0)
        self._good[...] = xp.where(grown, 0.0, good)

    def layers(self) -> list[Layer]:
        return [*super().layers(), *self._rounded.layers]

    def state(self) -> dict[str, Array]:
        return {"scale": self.scale, "good_steps": self._good} if self._scales else {}


class InFloat32:
    """A stage that works in float32 between stages that work in a narrow type."""

    works_in_half = False

    def __init__(self, stage: Stage, narrow: DType, backend: Backend) -> None:
        self._stage = stage
        self._narrow = narrow
        self._backend = backend

    @property
    def trained(self) -> bool:
        """Whether any parameter within is trained."""
        return self._stage.trained

    def extended(self, following: Any, *, keeps_dinputs: bool = True) -> None:
        del following, keeps_dinputs

    def on(self, replace: Callable[[Any], Any]) -> Stage:
        return InFloat32(self._stage.on(replace), self._narrow, self._backend)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        return self._rounded(self._stage.forward(self._widened(inputs), training))

    def backward(self, dvalues: Array) -> Array:
        return self._rounded(self._stage.backward(self._widened(dvalues)))

    def backward_parameters(self, dvalues: Array) -> None:
        self._stage.backward_parameters(self._widened(dvalues))

    def _widened(self, values: Array) -> Array:
        if values.dtype != self._narrow:  # codes, say, or the inputs of the first layer
            return values
        xp = self._backend.xp
        wide: Array = xp.astype(values, xp.float32)
        return wide

    def _rounded(self, values: Array) -> Array:
        rounded: Array = self._backend.xp.astype(values, self._narrow)
        return rounded


class _Rounded:
    """The parameters of a model rounded, in a flat buffer of their own, and layers on them.

    For each layer of the model there is a shadow: an object of its class that has what the layer
    has, but for the parameters, which are the rounded ones.
    """

    _flat: FlatParameters

    def __init__(self, model: Layer, backend: Backend, precision: str) -> None:
        self._backend = backend
        self._shadows = {id(layer): _shadow_of(layer) for _, layer in model.walk()}
        for shadow in self._shadows.values():
            shadow._ties = {
                name: tie._replace(layer=self._shadows[id(tie.layer)])
                for name, tie in shadow._ties.items()
            }
        FlatParameters(self, backend, precision)  # type: ignore[arg-type] # it asks for walk alone
        self._flat.penalties_wait = True  # they are added in float32
        self._working: list[tuple[Layer, Layer, dict[str, Any]]] = []
        self._wide: list[tuple[Layer, str]] = []
        self._dtype = backend.dtype(precision)

    def walk(self) -> Iterator[tuple[str, Layer]]:
        """The shadows, for `FlatParameters`."""
        for shadow in self._shadows.values():
            yield "", shadow

    @property
    def layers(self) -> list[Layer]:
        """The shadows that work."""
        return [shadow for _, shadow, _ in self._working]

    def stage(self, stage: Stage, *, is_first: bool = False) -> Stage:
        """What runs in the place of a stage."""
        in_float32 = is_first and getattr(stage, "first_in_float32", False)
        if _works_in_half(stage) and not in_float32:
            return stage.on(self._shadow)
        return InFloat32(stage.on(self._in_float32), self._dtype, self._backend)

    def _in_float32(self, layer: Layer) -> Layer:
        """The layer itself, whose gradients are float32 already."""
        self._wide += [(within, name) for _, within in layer.walk() for name in within._shapes]
        return layer

    def _shadow(self, layer: Layer) -> Layer:
        """The layer on rounded parameters; one without any takes the data type it is given."""
        if not layer.children and not layer._shapes:
            return layer
        shadow = self._shadows[id(layer)]
        shadow._flat = self._flat
        if isinstance(shadow, Composite) and isinstance(layer, Composite):
            shadow.join([self.stage(stage) for stage in layer.stages])
        attributes = vars(layer)
        own = {k: v for k, v in vars(shadow).items() if attributes.get(k) is not v}
        self._working.append((layer, shadow, own))
        return shadow

    def follow(self, values: Array) -> None:
        """Round the weights anew, and give the shadows the settings that the layers have now."""
        for layer, shadow, own in self._working:
            vars(shadow).update(vars(layer))
            vars(shadow).update(own)
        self._backend.kernels.narrow_into(self._backend.xp, values, self._flat.all_values)

    def widen(self, gradients: Array, factor: Array) -> None:
        """Put the gradients of all layers, times the factor, into the model's buffer."""
        own = [layer._gradients[name] for layer, name in self._wide]
        scaled = [gradient * factor for gradient in own]
        self._backend.kernels.widen(self._backend.xp, self._flat.all_gradients, gradients, factor)
        for gradient, each in zip(own, scaled, strict=True):
            gradient[...] = each


def _shadow_of(layer: Layer) -> Layer:
    """An object of the layer's class with the layer's attributes, but with no parameters yet."""
    shadow: Layer = object.__new__(type(layer))
    vars(shadow).update(vars(layer), _values={}, _gradients={}, _sums={}, _flat=None, _kept=None)
    return shadow


def _works_in_half(stage: Stage) -> bool:
    """Whether the stage does. A class that overrides a pass has to say so anew."""
    kind = type(stage)
    said: Any = next(each for each in kind.__mro__ if "works_in_half" in vars(each))
    passes = ("forward", "backward", "backward_parameters")
    return bool(said.works_in_half) and all(
        getattr(kind, name) is getattr(said, name) for name in passes
    )


_LEARNERS: dict[str, type[Learner]] = {
    "tf32": TF32Learner,
    "float16": HalfPrecisionLearner,
    "bfloat16": HalfPrecisionLearner,
}


def new_learner(*parts: Any, precision: str, **settings: Any) -> Learner:
    """A learner that makes its steps in that precision; the arguments are those of `Learner`."""
    kind = _LEARNERS.get(str(precision), Learner)
    return kind(*parts, precision=precision, **settings)
