"""Say why a module of PyTorch cannot be read, and what to do."""

from __future__ import annotations

from typing import Any

_AROUND = "Convert the modules around it, each row of them as a torch.nn.Sequential."
_WRITE = "Write a layer like it, as docs/extending.md shows."

_LOSSES = {
    "BCELoss": "BinaryCrossentropy",
    "BCEWithLogitsLoss": "SigmoidBinaryCrossentropy",
    "CrossEntropyLoss": "SoftmaxCategoricalCrossentropy",
    "HuberLoss": "Huber",
    "L1Loss": "MeanAbsoluteError",
    "MSELoss": "MeanSquaredError",
    "NLLLoss": "CategoricalCrossentropy, on probabilities",
    "NLLLoss2d": "CategoricalCrossentropy, on probabilities",
    "PoissonNLLLoss": "Poisson",
    "SmoothL1Loss": "Huber",
}
"""The losses here that PyTorch's losses are nearest to."""

_HOLDERS = ("Container", "Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList")

_DROPOUT = "Outside training it changes nothing: leave it out. nnfs_xp.Dropout drops single values."
_FEATURES_LAST = "nnfs_xp.BatchNorm takes samples of any shape, with the features last."
_LAYER_NORM = "The nearest is nnfs_xp.LayerNorm, over the last axis."
_FIXED_SLOPE = "nnfs_xp.LeakyReLU has a slope that stays as it is."
_ON_LOGITS = "Leave it out, and train with nnfs_xp.{}, which takes logits."

_INSTEAD = {
    "BatchNorm3d": _FEATURES_LAST,
    "CELU": "nnfs_xp.ELU computes the same where `alpha` is 1.",
    "Dropout1d": _DROPOUT,
    "Dropout2d": _DROPOUT,
    "Dropout3d": _DROPOUT,
    "EmbeddingBag": "nnfs_xp.Embedding gives the vector of each code, not their mean.",
    "FeatureAlphaDropout": _DROPOUT.replace("Dropout", "AlphaDropout"),
    "Hardswish": "The nearest is nnfs_xp.SiLU.",
    "InstanceNorm1d": _LAYER_NORM,
    "InstanceNorm2d": _LAYER_NORM,
    "InstanceNorm3d": _LAYER_NORM,
    "LogSigmoid": _ON_LOGITS.format("SigmoidBinaryCrossentropy"),
    "LogSoftmax": _ON_LOGITS.format("SoftmaxCategoricalCrossentropy"),
    "PReLU": _FIXED_SLOPE,
    "RMSNorm": _LAYER_NORM,
    "RReLU": _FIXED_SLOPE,
    "SyncBatchNorm": _FEATURES_LAST,
}
"""What there is here in the place of modules; for all others, a layer is to be written."""


def is_stock(torch: Any, kind: type) -> bool:
    """Whether a class is one of `torch.nn`."""
    return any(kind is each for each in vars(torch.nn).values())


def why_unknown(torch: Any, module: Any) -> str:
    """Why a module that is no container, and that no row is of, cannot be read."""
    kind = type(module)
    name = kind.__name__
    if any(each.__module__.startswith("keras.") for each in kind.__mro__):
        return "it is a layer of Keras, which from_keras reads."
    if is_stock(torch, kind):
        becomes = getattr(kind, "cls_to_become", None) or kind  # where it is lazy
        return f"{name} has no counterpart here. {_advice(becomes.__name__)}"
    if torch.nn.utils.parametrize.is_parametrized(module):
        return (
            "its parameters are computed from others. Make them parameters first, with "
            "torch.nn.utils.parametrize.remove_parametrizations(module, name)."
        )
    if "_orig_mod" in module._modules:
        return "it is compiled. Hand over what was compiled: its `_orig_mod`."
    if module._modules:
        return (
            "only torch.nn.Sequential and what has its forward can be taken apart: nothing tells "
            f"what the forward of {name} does. Hand over the Sequential in it, or its state_dict() "
            "and, as `like`, the model that it is."
        )
    return f"{name} is none of torch.nn, and nothing tells what it computes. {_WRITE} {_AROUND}"


def _advice(name: str) -> str:
    """What to do about a module of `torch.nn`."""
    if name in _HOLDERS:
        return (
            "It only holds others, and computes nothing. Convert the modules that compute, each "
            "row of them as torch.nn.Sequential(*modules)."
        )
    if name == "DataParallel":
        return "Convert the module in it: its `module`."
    if name.endswith(("Loss", "Loss2d")):
        loss = _LOSSES.get(name)
        instead = f"nnfs_xp.{loss}" if loss else "one like it, as docs/extending.md shows"
        return f"It is a loss: leave it out, and train with {instead}."
    return f"{_INSTEAD.get(name, _WRITE)} {_AROUND}"
