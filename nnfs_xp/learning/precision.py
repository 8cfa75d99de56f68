"""The precisions that a training step can have."""

from __future__ import annotations

from nnfs_xp.backend import Backend
from nnfs_xp.errors import ArgumentError, BackendError, DTypeError
from nnfs_xp.layers import Embedding, Layer

PRECISIONS = ("float32", "tf32", "float16", "bfloat16")


def check_precision(precision: str, model: Layer, backend: Backend) -> None:
    """Refuse a precision that the model or the backend cannot have."""
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
            if type(layer).regularization_loss is not Layer.regularization_loss:
                raise ArgumentError(
                    f"`precision` 'float16' scales gradients, also those of the penalty that "
                    f"{type(layer).__name__} adds by itself. Take 'bfloat16', which does not."
                )
    if precision != "tf32":
        first = model.links()[0]
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
