"""What every layer is: a forward pass, a backward pass, and perhaps parameters."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Signature, signature
from math import nan
from typing import Any, TypeAlias

from nnfs_xp import _checks
from nnfs_xp._settings import arguments_of
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.backend import backend_of
from nnfs_xp.distributed.share import Share
from nnfs_xp.errors import ArgumentError, NotReadyError, ShapeError
from nnfs_xp.initializers import Initializer
from nnfs_xp.kernels.standard import Kernels
from nnfs_xp.layers.footprint import Footprint, Held, Need, Sizes
from nnfs_xp.layers.has_parameters import HasParameters
from nnfs_xp.layers.stages import Stage

_EMPTY = Signature.empty
_DRAWN = {"seed", "initializer", "fuse"}
"""Arguments that are about how a layer begins or runs, and not what it is."""

Shape: TypeAlias = tuple[Any, ...]
"""The shape of one sample: whole numbers, and None for an axis of any length."""


def shapes_agree(one: Shape, other: Shape) -> bool:
    """Whether two shapes can be one and the same."""
    if one == other:
        return True
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(a is None or b is None or a == b for a, b in pairs)


class Layer(HasParameters):
    """Base class of the layers; derive from it to write one of your own.

    A layer gives `forward` and `backward`. A layer with parameters declares them in its class body
    as `Parameter` and `Gradient`, makes room for them with `create_parameters` in ``__init__``,
    draws them in `initialize`, and ends its `backward` with `add_penalties`. A layer that changes
    the shape of its inputs says how in `output_shape`.

    Samples have any shape: features lie on the last axis, and everything before it is batch.

    Parameters
    ----------
    **options
        What is said of the layer's parameters. Each is an attribute, too, of every layer that has
        such parameters, and can be set later.
    trainable : bool or tuple of str
        Whether the parameters are trained, or the names of those that are. Frozen parameters have
        no part in updates, decay, clipping, averages and penalties. Set on a container, it is
        set on all layers within.
    weight_decay : bool, float or dict of str to float
        Whether an optimizer's weight decay acts on weights, or what it is multiplied by for them.
        A dict has such numbers by the names of parameters: ``{"weights": 16.0, "biases": 0.5}``
        has biases decay as well, and those that it does not name decay as they do by default.
    learning_rate_scale : float or dict of str to float
        What the optimizer's learning rate is multiplied by for these parameters, or such numbers
        by their names; for those that a dict does not name it is 1.
    weight_regularizer_l1, weight_regularizer_l2 : float
        Strength of the penalties on the weights, l1 * sum(abs(weights)) and
        l2 * sum(weights**2).
    bias_regularizer_l1, bias_regularizer_l2 : float
        Strength of the penalties on the biases, of the same form. A parameter of another name,
        gamma say, has its own, as ``gamma_regularizer_l1``.
    max_norm : float, optional
        After each step, the weights into each neuron, or of each code, are scaled down to a
        Euclidean norm of at most this (Srivastava et al. 2014, *Dropout*, section 5.1).

    Attributes
    ----------
    dinputs : array
        What the last `backward` returned.
    share : Share or None
        Which rows of a batch the layer is given, while several processes train on it together: for
        layers that look beyond their rows, as `BatchNorm` does.
    preferred_initializer : callable or None
        Of an activation: which initializer the weights before it are best drawn by.
    elementwise : bool
        Whether each number of the output follows from the one at its place in the inputs alone, so
        that a picture can show a box for each.
    smallest_batch : int
        How many samples a training forward needs at least.
    works_in_half : bool
        Whether the layer takes float16 and bfloat16 in a training step with that precision, its
        parameters rounded. Else it works in float32 there, and what goes in and out is cast.
    first_in_float32 : bool
        Whether it does so as a model's first layer all the same: where numbers that are far from 0
        would lose too much before it has brought them near.
    footprint : Footprint
        Which arrays a training step makes and holds, for a summary. By default inputs and output
        are kept for `backward`; `kept_bytes` says what else is.
    recordable : bool
        Whether a CUDA device may record the layer's steps as a graph and launch that instead: its
        settings are attributes that `config` names, arrays that last are each a `Buffer`, others
        are handed to `keep`, and random numbers follow from `reseed`. A class of your own says so
        in its own body; `nnfs_xp.testing.check_layer` then holds it to it.
    """

    children: tuple[Layer, ...] = ()
    preferred_initializer: Initializer | None = None
    elementwise: bool = False
    passes_values: bool = False
    """Whether its outputs are values of its inputs, so that what follows may refuse these."""
    smallest_batch: int = 1
    says_input_shape: bool = False
    """Whether `input_shape` is the one shape that samples have, as it was given."""
    works_in_half: bool = False
    first_in_float32: bool = False
    footprint: Footprint = Footprint()
    recordable: bool
    dinputs: Array
    share: Share | None = None

    def __repr__(self) -> str:
        try:
            return f"{type(self).__name__}({', '.join(self._shown())})"
        except AttributeError:  # it is half built
            return f"{type(self).__name__}(...)"

    def _shown(self) -> list[str]:
        """What built the layer, but for arguments that have their defaults."""
        parts = [repr(layer) for layer in self.children] if self.takes_layers() else []
        known = signature(type(self)).parameters
        for name, value in self.config().items():
            default = known[name].default if name in known else None
            if default is _EMPTY:
                parts.append(repr(value))
            elif value != default:
                parts.append(f"{name}={value!r}")
        return parts

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

    def initialize_from(self, inputs: Array, generator: Any) -> Array:
        """Draw the parameters anew so that they fit these inputs; return the output for them.

        For `initialize_from_data`. By default the parameters stay as they are.

        Parameters
        ----------
        inputs : array
            As `forward` takes them, and the output is that of inference.
        generator : numpy.random.Generator
            On the host.

        Raises
        ------
        ArgumentError
            There are layers with parameters within, and the class does not say what they take.
        """
        del generator
        if any(layer._shapes for child in self.children for _, layer in child.walk()):
            raise ArgumentError(
                f"{type(self).__name__} does not say how to `initialize_from` data what is in it."
            )
        return self.forward(inputs)

    def adopt_initializer(self, following: Initializer) -> Initializer:
        """Take the initializer that what follows prefers; return the one for what comes before."""
        return self.preferred_initializer or following

    def reseed(self, seed: int, stream: int, step: int = 0) -> None:
        """Say where the random numbers that the layer draws in training go on.

        For layers that draw any: with `Backend.random_bits`, from this seed and stream, the
        step counted up with each training forward.
        """

    def config(self) -> dict[str, Any]:
        """The arguments that build a layer like this one: numbers, strings, lists.

        By default those of the constructor that are attributes of the layer, and the options of
        its parameters, if the constructor takes them.
        """
        names, takes_options, _ = arguments_of(type(self))
        given = {n: getattr(self, n) for n in names if n not in _DRAWN and hasattr(self, n)}
        return given | (self.options() if takes_options else {})

    @classmethod
    def takes_layers(cls) -> bool:
        """Whether the constructor is given the layers within."""
        return arguments_of(cls)[2]

    @property
    def kind(self) -> str:
        """What a summary calls the layer: by default its class."""
        return type(self).__name__

    @property
    def input_shape(self) -> Shape | None:
        """The shape of one sample that the layer takes; None where it takes several.

        Of a layer that works on the last axis, it is that of a row; more axes may stand before.
        """
        return None

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of one sample's output, given that of its input.

        An axis may be None, which stands for any length.

        Raises
        ------
        ShapeError
            The layer cannot take such an input.
        """
        return input_shape

    def child_input_shapes(self, input_shape: Shape | None) -> list[Shape | None]:
        """The shape of one sample that each of the children takes, None where it is unknown.

        For containers, to be shown in a summary. By default each takes what the container does.
        """
        return [input_shape for _ in self.children]

    def shapes_within(self, input_shape: Shape | None) -> list[tuple[Layer, Shape]]:
        """The layer and all within it, each with the shape of one sample that it takes.

        () where that is unknown.
        """
        found: list[tuple[Layer, Shape]] = [(self, () if input_shape is None else input_shape)]
        shapes = self.child_input_shapes(input_shape)
        for child, shape in zip(self.children, shapes, strict=True):
            found += child.shapes_within(shape)
        return found

    def kept_bytes(self, input_shape: Shape, n_bytes: int) -> int:
        """What a training `forward` keeps for one sample beside its inputs and output, in bytes.

        For a summary, which says what a step will need: see `footprint`.

        Parameters
        ----------
        input_shape : tuple of int
            The shape of the sample.
        n_bytes : int
            Of a number.
        """
        del input_shape, n_bytes
        return 0

    def _held(self, sizes: Sizes, need: Need) -> Held:
        """What a training step holds of the layer and of all within it."""
        held: dict[int, float] = {}
        for child in self.children:
            held |= child._held(sizes, Need(backward=need.backward)).layers
        shape = sizes.shape(self)
        if shape is None:
            return Held(held | {id(self): nan}, keeps_inputs=True)
        mine = self.footprint
        output = need.output or mine.keeps_output
        # Unless the class says how to leave them out, dinputs are made that nobody needs.
        dinputs = need.dinputs or type(self).backward_parameters is Layer.backward_parameters
        n_bytes: float = self.kept_bytes(shape, sizes.n_bytes)
        if output and mine.makes_output:
            n_bytes += sizes.output(self)
        if need.backward and dinputs and mine.makes_dinputs:
            n_bytes += sizes.inputs(self)
        keeps_inputs = mine.keeps_inputs or (output and not mine.makes_output)
        return Held(held | {id(self): n_bytes}, keeps_inputs)

    @property
    def takes_sparse(self) -> bool:
        """Whether it takes a `nnfs_xp.backend.SparseArray`: see `Chain`."""
        return False

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
        dtype = None if self._flat is None else self._flat.all_values.dtype
        return _checks.check_batch("inputs", inputs, self.backend, dtype, n_features).xp

    def check_features(self, input_shape: Shape, n_features: int) -> None:
        """Refuse samples whose last axis has not so many features: for `output_shape`."""
        if not input_shape or input_shape[-1] not in (None, n_features):
            wanted = f"(…, {n_features})" if len(input_shape) > 1 else f"({n_features},)"
            raise ShapeError(f"{self!r} takes samples of shape {wanted}; got {input_shape}.")

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
