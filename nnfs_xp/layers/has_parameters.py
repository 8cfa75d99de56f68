"""What a layer is beside its passes: an owner of parameters and buffers."""

from __future__ import annotations

from math import prod
from typing import Any, Self

from nnfs_xp import _checks
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.backend import Backend, get_backend
from nnfs_xp.errors import ArgumentError, BackendError, DTypeError, NotReadyError, ShapeError
from nnfs_xp.flat_parameters import FlatParameters, check_room, owned
from nnfs_xp.layers.has_options import HasOptions
from nnfs_xp.parameters import Buffer, Gradient, Parameter, Tie


class HasParameters(HasOptions):
    """The part of `Layer` that holds parameters and buffers, ties, moves and copies them."""

    def __init__(self, **options: Any) -> None:
        self._place: Backend | None = None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._values: dict[str, Array] = {}
        self._gradients: dict[str, Array] = {}
        self._sums: dict[str, Array] = {}
        self._ties: dict[str, Tie] = {}
        self._buffers: dict[str, Array] = {}
        self._flat: FlatParameters | None = None
        self._kept: Any = None
        super().__init__(**options)

    def tie(
        self,
        name: str,
        other: HasParameters,
        other_name: str | None = None,
        *,
        transposed: bool = False,
    ) -> Self:
        """Use another layer's parameter in the place of one of this layer's own.

        It is one parameter from then on: in the model that holds both layers, in its files, and in
        its count. Its gradient is the sum of what goes back through both layers; what is said of
        it, penalties for example, is said of the other layer.

        Parameters
        ----------
        name : str
            Of the parameter here, ``"weights"`` say.
        other : Layer
        other_name : str, optional
            Of the parameter there; by default the same name.
        transposed : bool
            Whether this layer uses its transpose.

        Returns
        -------
        Layer
            This layer.

        Raises
        ------
        ArgumentError
            There is no such parameter, or it would be tied to itself.
        ShapeError, DTypeError, BackendError
            The two differ in shape, data type or backend.

        Examples
        --------
        >>> import nnfs_xp as nn
        >>> words = nn.Embedding(100, 16, seed=0)
        >>> head = nn.Dense(16, 100, seed=0).tie("weights", words, transposed=True)
        >>> model = nn.Sequential(words, nn.Tanh(), head)
        >>> sorted(model.parameters())
        ['0.weights', '2.biases']
        """
        other_name = name if other_name is None else other_name
        for layer, each in ((self, name), (other, other_name)):
            if not isinstance(layer, HasParameters) or each not in layer._shapes:
                raise ArgumentError(f"{type(layer).__name__} has no parameter {each!r}.")
        if other_name in other._ties:
            root = other._ties[other_name]
            other, other_name = root.layer, root.name
            transposed = transposed != root.transposed
        if other is self and other_name == name:
            raise ArgumentError(f"`{name}` cannot be tied to itself.")
        theirs = other._shapes[other_name]
        if transposed and len(theirs) != 2:
            raise ShapeError(f"`{other_name}` of shape {theirs} has no transpose.")
        if self._shapes[name] != (theirs[::-1] if transposed else theirs):
            raise ShapeError(
                f"`{name}` of shape {self._shapes[name]} cannot be tied to `{other_name}` of shape "
                f"{theirs}{', transposed' if transposed else ''}."
                + (
                    ""
                    if transposed or self._shapes[name] != theirs[::-1]
                    else " Did you mean transposed=True?"
                )
            )
        if self.dtype != other.dtype:
            raise DTypeError(
                f"tied parameters must have one dtype; got {self.dtype}, {other.dtype}."
            )
        if self.backend != other.backend:
            names = [str(getattr(each.backend, "name", None)) for each in (self, other)]
            raise BackendError(f"tied parameters must be on one backend; got {', '.join(names)}.")
        self._ties[name] = Tie(other, other_name, transposed)
        self._values[name] = self._ties[name].values
        self._arrange_anew()
        return self

    def ties(self) -> dict[str, tuple[str, bool]]:
        """The tied parameters by name, each with the name of the one it is, and if transposed.

        Raises
        ------
        ArgumentError
            One is of a layer that is not within.
        """
        prefixes = {id(layer): prefix for prefix, layer in self.walk()}
        found = {}
        for prefix, layer in self.walk():
            for name, tie in layer._ties.items():
                if id(tie.layer) not in prefixes:
                    raise ArgumentError(_outside(prefix + name, tie))
                found[prefix + name] = prefixes[id(tie.layer)] + tie.name, tie.transposed
        return found

    def draw(self, name: str, initializer: Any, generator: Any) -> None:
        """Draw a parameter anew, unless it is another layer's, or there is no initializer."""
        if initializer is not None and name not in self._ties:
            setattr(self, name, initializer(generator, self._shapes[name]))

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
            self._gather()
        flat = self._flat
        if flat.ties_lead_out:
            self.ties()  # which says which one
        return flat

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

    def parameters(self) -> dict[str, Array]:
        """The parameters by name, views into the flat buffer, in the order of the layers."""
        return {prefix + name: layer._values[name] for prefix, layer, name in self._own()}

    def gradients(self) -> dict[str, Array]:
        """The gradients of the parameters, under the same names."""
        return {
            prefix + name: layer._sums.get(name, layer._gradients[name])
            for prefix, layer, name in self._own()
        }

    def _own(self) -> list[tuple[str, Any, str]]:
        """Each parameter within, once: its prefix, its layer and its name there."""
        layers = list(self.walk())
        within = {id(layer) for _, layer in layers}
        return [
            (prefix, layer, name)
            for prefix, layer in layers
            for name in layer._shapes
            if name not in layer._ties or id(layer._ties[name].layer) not in within
        ]

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
        if self._flat is not None and self._flat.backend is not backend:  # it holds no parameters
            self._flat.to(backend)
        self._buffers = {name: owned(backend, array) for name, array in self._buffers.items()}
        self._kept = None

    # Copying and pickling leave the views out and build new ones over buffers of the copy's own.
    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_flat", "_values", "_gradients", "_sums", "_kept", "dinputs"):
            state.pop(name, None)
        if self._flat is not None:
            backend = self._flat.backend
            with backend.active():
                state["_copies"] = {
                    name: backend.xp.asarray(values, copy=True)
                    for name, values in self._values.items()
                    if name not in self._ties
                }
            state["_copied_to"] = self._flat.backend, self._flat.dtype
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        copies, place = state.pop("_copies", {}), state.pop("_copied_to", None)
        self.__dict__.update(state)
        self._values, self._gradients, self._sums = {}, {}, {}
        self._flat, self._kept = None, None
        if place is not None:
            backend, dtype = place
            with backend.active():
                FlatParameters(self, backend, dtype)
                for name, value in copies.items():
                    setattr(self, name, value)


def _outside(name: str, tie: Tie) -> str:
    return (
        f"`{name}` is the `{tie.name}` of a {type(tie.layer).__name__} that lies outside. Put both "
        "layers into one model, and ask that."
    )
