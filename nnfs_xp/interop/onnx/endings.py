"""What a file is to give: the model's own output, logits or probabilities."""

from __future__ import annotations

from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.beneath import class_among
from nnfs_xp.interop.onnx.converters import CONVERTERS, identity
from nnfs_xp.layers import Layer, Sequential, Sigmoid, Softmax

OUTPUTS = ("model", "logits", "probabilities", "sigmoid")

Change = tuple[Layer | None, Layer | None]


def change_of_ending(model: Layer, output: str, output_shape: tuple[int, ...]) -> Change:
    """The layer to leave out of the model, and the one to put behind it; mostly None.

    Parameters
    ----------
    model : Layer
    output : {"model", "logits", "probabilities", "sigmoid"}
        See `export_onnx`.
    output_shape : tuple of int
        Of one sample.

    Raises
    ------
    ArgumentError
        The model cannot give such an output.
    """
    if output not in OUTPUTS:
        names = ", ".join(map(repr, OUTPUTS))
        raise ArgumentError(f"`output` must be one of {names}; got {output!r}.")
    last = final_activation(model)
    if output == "model":
        return None, None
    if output == "logits":
        return last, None
    if last is None:
        added = Sigmoid() if output == "sigmoid" or output_shape[-1:] == (1,) else Softmax()
        return None, added
    if output == "sigmoid" and not isinstance(last, Sigmoid):
        raise ArgumentError(
            "`output` cannot be 'sigmoid' for a model that ends in Softmax; ask for "
            "'probabilities', or for 'logits'."
        )
    return None, None


def final_activation(model: Layer) -> Layer | None:
    """The Softmax or Sigmoid that gives the model's output; None if there is none.

    It may lie within a `Sequential`, and before layers that only pass on what they get.
    """
    kind = class_among(CONVERTERS, model, "forward")
    if kind in (Softmax, Sigmoid):
        return model
    if kind is not Sequential:
        return None
    for child in reversed(model.children):
        within = class_among(CONVERTERS, child, "forward")
        if within is None or CONVERTERS[within] is not identity:
            return final_activation(child)
    return None
