"""What every layer is: a forward pass, a backward pass, and perhaps parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import Signature, signature
from math import prod
from typing import Any, Self

from nnfs_xp import _checks
from nnfs_xp._typing import Array, DType, Namespace
from nnfs_xp.backend import Backend, backend_of, get_backend
from nnfs_xp.errors import ArgumentError, DTypeError, NotReadyError, ShapeError
from nnfs_xp.initializers import Initializer
from nnfs_xp.kernels.standard import Kernels
from nnfs_xp.layers.stages import Stage
from nnfs_xp.parameters import Buffer, FlatParameters, Gradient, Parameter, check_room, owned

_EMPTY = Signature.empty


class Layer:
    """Base class of the layers; derive from it to write one of your own.

    A layer gives `forward` and `backward`, and `config` with the arguments that build it
    again. A layer with parameters declares them in its class body as `Parameter` and
    `Gradient`, makes room for them with `create_parameters` in ``__init__``, and draws them
    in `initialize`. A layer that changes the shape of its inputs says how in `output_shape`.

    Attributes
    ----------
    dinputs : array
        What the last `backward` returned.
    preferred_initializer : callable or None
        Of an activation: which initializer the weights before it are best drawn by.
    smallest_batch : int
        How many samples a training forward needs at least.
    works_in_half : bool
        Whether the layer takes float16 and bfloat16 in a training step with that precision, its
        parameters rounded. Else it works in float32 there, and what goes in and out is cast.
    recordable : bool
        Whether a CUDA device may record the layer's steps as a graph and launch that instead: its
        settings are attributes that `config` names, arrays that last are each a `Buffer`, others
        are handed to `keep`, and random numbers follow from `reseed`. A class of your own says so
        in its own body; `nnfs_xp.testing.check_layer` then holds it to it.
    """

    children: tuple[Layer, ...] = ()
    preferred_initializer: Initializer | None = None
    smallest_batch: int = 1
    works_in_half: bool = False
    recordable: bool
    dinputs: Array

    def __init__(self) -> None:
        self._place: Backend | None = None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._values: dict[str, Array] = {}
        self._gradients: dict[str, Array] = {}
        self._buffers: dict[str, Array] = {}
        self._flat: FlatParameters | None = None
        self._kept: tuple[tuple[int, ...], DType, tuple[Any, ...]] | None = None

    def __repr__(self) -> str:
        if self.children and not self.config():
            parts = [repr(layer) for layer in self.children]
        else:
            known = signature(type(self)).parameters
            parts = [
                f"{value!r}" if known[name].default is _EMPTY else f"{name}={value!r}"
                for name, value in self.config().items()
                if name in known and value != known[name].default
            ]
        return f"{type(self).__name__}({', '.join(parts)})"

    def forward(self, inputs: Array, training: bool = False) -> Array:
        """The layer's output. With ``training=True`` keeps what `backward` needs."""
        raise NotImplementedError

    def backward(self, dvalues: Array) -> Array:
        """The gradient of the inputs, given that of the output; sets the parameters' gradients."""
        raise NotImplementedError

    def backward_parameters(self, dvalues: Array) -> None:
        """Set the parameters' gradients only: all that the first layer of a model needs."""
        self.backward(dvalues)

    def initialize(self, generator: Any) -> None:
        """Draw the layer's parameters anew from a host `numpy.random.Generator`."""

    def adopt_initializer(self, following: Initializer) -> Initializer:
        """Take the initializer that what follows prefers; return the one for what comes before."""
        return self.preferred_initializer or following

    def reseed(self, seed: int, stream: int, step: int = 0) -> None:
        """Say where the random numbers that the layer draws in training go on.

        For layers that draw any: with `Backend.random_bits`, from this seed and stream, the
        step counted up with each training forward.
        """

    def config(self) -> dict[str, Any]:
        """The arguments that build a layer like this one: numbers, strings, lists."""
        return {}

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """The shape of one sample that the layer takes, or None where it takes several."""
        return None

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one sample's output, given that of its input.

        Raises
        ------
        ShapeError
            The layer cannot take such an input.
        """
        return input_shape

    def child_input_shapes(
        self, input_shape: tuple[int, ...] | None
    ) -> list[tuple[int, ...] | None]:
        """The shape of one sample that each of the children takes, None where it is unknown.

        For containers, to be shown in a summary. By default each takes what the container does.
        """
        return [input_shape for _ in self.children]

    def regularization_loss(self) -> Array | None:
        """The penalty on the layer's parameters, a 0-d array, or None where there is none."""
        return None

    def add_penalties(self) -> None:
        """Add the gradient of `regularization_loss` to the gradients of the parameters.

        `backward` does so at its end, but not in a `Trainer`'s step, which adds all penalties
        after the backward pass: see `FlatParameters.penalties_wait`.
        """
        for child in self.children:
            child.add_penalties()

    def links(self) -> tuple[Layer, ...]:
        """The layers that a chain runs for this one: itself, or those it runs in order."""
        return (self,)

    def extended(self, following: Any, *, keeps_dinputs: bool = True) -> Stage | None:
        """The stage that runs this layer and the following one as one: see `Stage.extended`."""
        del following, keeps_dinputs
        return None

    def on(self, replace: Callable[[Any], Any]) -> Stage:
        """What `replace` gives for this layer: see `Stage.on`."""
        stage: Stage = replace(self)
        return stage

    def constrain(self) -> None:
        """Bring the parameters back within the layer's constraints, after each step."""
        for child in self.children:
            child.constrain()

    def check_values(self, inputs: Array) -> None:
        """Refuse inputs whose values the layer cannot take, on whatever backend they are.

        Reads them, so it waits for the device: for once before training, not for each batch.

        Raises
        ------
        DataError
            Saying which values there are and which there may be.
        """

    def check_inputs(self, inputs: Array, n_features: int | None = None) -> Namespace:
        """Refuse inputs that the layer cannot take; return their namespace."""
        dtype = None if self._flat is None else self._flat.values.dtype
        return _checks.check_batch("inputs", inputs, self.backend, dtype, n_features).xp

    def kernels_for(self, array: Array) -> Kernels:
        """The numeric parts for the layer's backend, or the array's: see `Backend.kernels`."""
        return (self.backend or backend_of(array)).kernels

    def keep(self, output: Array, *values: Any) -> None:
        """Keep the values for `recall` in backward."""
        self._kept = (output.shape, output.dtype, values)

    def let_go(self) -> None:
        """Forget what `keep` kept and `dinputs`, with their memory."""
        self._kept = None
        self.__dict__.pop("dinputs", None)

    def recall(self, dvalues: Array) -> tuple[Any, ...]:
        """The namespace and what the last training forward kept, if dvalues fit its output."""
        if self._kept is None:
            raise NotReadyError(
                f"{type(self).__name__}.backward needs a forward pass with training=True first."
            )
        shape, dtype, values = self._kept
        xp = _checks.check_batch("dvalues", dvalues, self.backend, dtype).xp
        if dvalues.shape != shape:
            raise ShapeError(
                f"`dvalues` must have the shape of the output, {tuple(shape)}; "
                f"got {tuple(dvalues.shape)}."
            )
        return xp, *values

    def create_parameters(self, dtype: str, **shapes: tuple[int, ...]) -> None:
        """Make room for parameters of these shapes, zeros on NumPy for a start.

        A class that derives from a layer with parameters may call it for more of its own.
        """
        dtype = _checks.check_dtype(dtype)
        for name in shapes:
            if not (
                isinstance(getattr(type(self), name, None), Parameter)
                and isinstance(getattr(type(self), f"d{name}", None), Gradient)
            ):
                raise ArgumentError(
                    f"{type(self).__name__} must declare `{name} = Parameter()` and "
                    f"`d{name} = Gradient()` in its class body."
                )
        check_room(sum(map(prod, shapes.values())))
        self._shapes = {**self._shapes, **shapes}
        FlatParameters(self, get_backend("numpy"), dtype)

    def create_buffers(self, **values: Any) -> None:
        """Give the arrays declared as `Buffer` their first values, on NumPy for a start."""
        for name in values:
            if not isinstance(getattr(type(self), name, None), Buffer):
                raise ArgumentError(
                    f"{type(self).__name__} must declare `{name} = Buffer()` in its class body."
                )
        host = get_backend("numpy")
        self._buffers = {name: owned(host, value) for name, value in values.items()}

    @property
    def backend(self) -> Backend | None:
        """Where the layer lives.

        None for a layer without parameters until `to` gives it a place: it follows its inputs.
        """
        return self._place if self._flat is None else self._flat.backend

    @property
    def xp(self) -> Namespace:
        """The namespace of the layer's parameters."""
        backend = self.backend
        if backend is None:
            raise NotReadyError(f"{type(self).__name__} has no parameters, and no place yet.")
        return backend.xp

    @property
    def flat(self) -> FlatParameters:
        """The flat buffers of this layer alone, with those of the layers within it.

        A layer within a model shares the model's buffers. Asking for its own takes it out of
        them; they are built anew when next asked for.
        """
        if self._flat is None:
            raise NotReadyError(f"{type(self).__name__} has no parameters.")
        if self._flat.owner is not self or self._flat.stale:
            return self._gather()
        return self._flat

    def _gather(self) -> FlatParameters:
        """A buffer of all parameters within, where the first of them lives."""
        flats = [layer._flat for _, layer in self.walk() if layer._shapes and layer._flat]
        dtypes = sorted({flat.dtype for flat in flats})
        if len(dtypes) > 1:
            raise DTypeError(
                f"all layers of a model must have one dtype; got {' and '.join(dtypes)}."
            )
        return FlatParameters(self, flats[0].backend, dtypes[0])

    @property
    def dtype(self) -> str | None:
        """The data type of the parameters, ``"float32"`` say; None without parameters."""
        return None if self._flat is None else self._flat.dtype

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """The layer and all within it, each with the prefix of its parameters' names."""
        left = [(prefix, self)]  # no recursion, whose cost would grow with the depth
        while left:
            prefix, layer = left.pop()
            yield prefix, layer
            parts = [(f"{prefix}{n}.", child) for n, child in enumerate(layer.children)]
            left += reversed(parts)

    def parameters(self) -> dict[str, Array]:
        """The parameters by name, views into the flat buffer, in the order of the layers."""
        return {p + name: layer._values[name] for p, layer in self.walk() for name in layer._shapes}

    def gradients(self) -> dict[str, Array]:
        """The gradients of the parameters, under the same names."""
        return {
            p + name: layer._gradients[name] for p, layer in self.walk() for name in layer._shapes
        }

    def buffers(self) -> dict[str, Array]:
        """The arrays that are kept and saved but not trained, named like `parameters`."""
        return {
            p + name: array for p, layer in self.walk() for name, array in layer._buffers.items()
        }

    def to(self, backend: str | Backend) -> Self:
        """Move the layer, its parameters and gradients included; returns the layer.

        What a training forward kept does not move: `backward` needs a new one.
        """
        target = get_backend(backend)
        with target.active():
            if self._flat is not None:
                self.flat.to(target)
            for _, layer in self.walk():
                layer.place_on(target)
        return self

    def place_on(self, backend: Backend) -> None:
        """Take a place beside the parameters, which the flat buffers move."""
        self._place = backend
        self._buffers = {name: owned(backend, array) for name, array in self._buffers.items()}
        self._kept = None

    # Copying and pickling leave the views out and build new ones over buffers of the copy's own.
    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_flat", "_values", "_gradients", "_kept", "dinputs"):
            state.pop(name, None)
        if self._flat is not None:
            xp = self._flat.backend.xp
            state["_copies"] = {k: xp.asarray(v, copy=True) for k, v in self._values.items()}
            state["_copied_to"] = self._flat.backend, self._flat.dtype
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        copies, place = state.pop("_copies", {}), state.pop("_copied_to", None)
        self.__dict__.update(state)
        self._values, self._gradients, self._flat, self._kept = {}, {}, None, None
        if place is not None:
            FlatParameters(self, *place)
            for name, value in copies.items():
                setattr(self, name, value)
