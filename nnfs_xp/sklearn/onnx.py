"""Estimators and pipelines as ONNX files, by way of skl2onnx."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from nnfs_xp._checks import check_dtype, shown
from nnfs_xp.backend import to_numpy
from nnfs_xp.backend.importing import import_library
from nnfs_xp.errors import ArgumentError, NnfsError, ShapeError
from nnfs_xp.interop.onnx.converters import CONVERTERS
from nnfs_xp.interop.onnx.export import checked_custom, checked_opset, write_model
from nnfs_xp.interop.onnx.graph import OPSET, Converter, import_onnx
from nnfs_xp.interop.paths import path_of
from nnfs_xp.layers import Layer
from nnfs_xp.sklearn.classifier import MLPClassifier
from nnfs_xp.sklearn.onnx_converters import (
    classifier_shapes,
    classify,
    convert,
    estimate,
    regressor_shapes,
    tensor_type,
)
from nnfs_xp.sklearn.regressor import MLPRegressor


def export_onnx(
    estimator: Any,
    path: str | Path,
    X: Any = None,
    *,
    dtype: str = "float32",
    zipmap: bool = False,
    opset: int = OPSET,
    custom_layers: Mapping[type[Layer], Converter] | None = None,
) -> None:
    """Write a fitted estimator, or a pipeline with one in it, as an ONNX file, whole or not at all.

    The file takes batches of any size. A classifier's gives ``label`` and ``probabilities``, a
    regressor's ``variable``.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor, or what is made of them and what skl2onnx knows
    path : str or Path
        By custom ending in ``.onnx``.
    X : array-like or DataFrame, optional
        Samples, one is enough, such as the file is to take: each column of a data frame becomes
        an input of the column's name, which must be of letters, digits and underscores; an array
        becomes the one input ``inputs``. Integers and strings are taken as such, floats of any
        kind as `dtype`. By default there is one input, of floats.
    dtype : {"float32", "float64"}
        Of the inputs that are floats, and of what is computed from them. onnxruntime has not all
        transformers of scikit-learn in float64.
    zipmap : bool
        Whether probabilities come as a list of a dict for each sample, in place of an array.
    opset : int
        The version of ONNX's operators, from 17 on.
    custom_layers : mapping of Layer class to function, optional
        See `nnfs_xp.export_onnx`.

    Raises
    ------
    NotFittedError
        The estimator is not fitted; scikit-learn's error.
    BackendError
        ONNX or skl2onnx is not installed.
    ArgumentError
        A setting is out of range, or there is a part that cannot be converted.
    CheckpointError
        The file cannot be written.
    """
    path = path_of(path)
    check_is_fitted(estimator)
    onnx, skl2onnx = import_onnx(), _import_skl2onnx()
    opset, dtype = checked_opset(onnx, opset), check_dtype(dtype)
    register_converters(custom_layers)
    types = _input_types(estimator, X, dtype)
    try:
        proto = skl2onnx.to_onnx(
            estimator,
            initial_types=types,
            target_opset=opset,
            options={"zipmap": zipmap} if is_classifier(estimator) else None,
        )
    except NnfsError:
        raise
    except Exception as error:  # skl2onnx has no errors of its own for most of what it lacks
        named = X is None and hasattr(estimator, "feature_names_in_")
        hint = " Where columns have names, hand over a data frame as `X`." if named else ""
        raise ArgumentError(
            f"skl2onnx {skl2onnx.__version__} cannot convert {type(estimator).__name__}: "
            f"{shown(error, 500).rstrip('.')}.{hint}"
        ) from error
    changed = {each.name for each in proto.graph.input} - {name for name, _ in types}
    if changed:
        raise ArgumentError(
            f"skl2onnx would change names of columns to {shown(sorted(changed))}. Rename those "
            "that are called like an output of the file."
        )
    write_model(onnx, proto, path)


def register_converters(custom_layers: Mapping[type[Layer], Converter] | None = None) -> None:
    """Let skl2onnx convert the estimators of this package, wherever it meets them.

    `export_onnx` calls it. Call it yourself before you call skl2onnx.

    Parameters
    ----------
    custom_layers : mapping of Layer class to function, optional
        See `nnfs_xp.export_onnx`.
    """
    skl2onnx = _import_skl2onnx()
    converters = CONVERTERS | checked_custom(custom_layers)
    skl2onnx.update_registered_converter(
        MLPClassifier,
        "NnfsXpMLPClassifier",
        classifier_shapes,
        partial(convert, classify, converters),
        options={"zipmap": [True, False, "columns"], "nocl": [True, False]},
    )
    skl2onnx.update_registered_converter(
        MLPRegressor,
        "NnfsXpMLPRegressor",
        regressor_shapes,
        partial(convert, estimate, converters),
    )


def _import_skl2onnx() -> Any:
    return import_library("skl2onnx", "pip install skl2onnx 'nnfs-xp[onnx]'")


def _input_types(estimator: Any, X: Any, dtype: str) -> list[tuple[str, Any]]:
    """The inputs of the file, and their types: see `export_onnx`."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, guess_data_type

    floats = tensor_type(dtype)
    n_features = getattr(estimator, "n_features_in_", None)
    if X is None:
        if n_features is None:
            raise ArgumentError("what the file is to take is not known; hand over samples as `X`.")
        return [("inputs", floats([None, n_features]))]
    frame = hasattr(X, "columns")
    X = X if frame else to_numpy(X)
    if n_features is not None and (len(X.shape) != 2 or X.shape[1] != n_features):
        raise ShapeError(f"`X` must have shape (n, {n_features}); got {tuple(X.shape)}.")
    types = []
    if frame:
        _check_names(X.columns)
    for name, kind in guess_data_type(X):
        is_float = isinstance(kind, FloatTensorType | DoubleTensorType)
        shape = [None, *kind.shape[1:]]
        types.append((name if frame else "inputs", (floats if is_float else type(kind))(shape)))
    return types


def _check_names(columns: Iterable[Any]) -> None:
    """Refuse names that skl2onnx would change, two perhaps to the same."""
    seen = set()
    for name in columns:
        if not isinstance(name, str) or not re.fullmatch(r"(?![0-9])[\w+]+", name):
            raise ArgumentError(
                "columns that become inputs of a file must be called by letters, digits and "
                f"underscores, not beginning with a digit; got {shown(repr(name))}. Rename them "
                "before you fit."
            )
        if name in seen:
            raise ArgumentError(f"two columns are called {shown(repr(name))}. Rename one.")
        seen.add(name)
