"""The folder of a trained table: the fitted pipeline by skops, and JSON beside it."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
import zipfile
from dataclasses import asdict
from errno import EINVAL
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.pipeline import Pipeline

import nnfs_xp
from nnfs_xp._checks import check_count, check_range, shown
from nnfs_xp.backend import get_backend
from nnfs_xp.errors import BackendError, CheckpointError
from nnfs_xp.interop.atomic import write_atomically
from nnfs_xp.sklearn import MLPClassifier, MLPRegressor
from nnfs_xp.tables.features import Feature, Features
from nnfs_xp.tables.model import TableModel
from nnfs_xp.tables.pipeline import Clip
from nnfs_xp.tables.report import figures_from
from nnfs_xp.tables.target import Target
from nnfs_xp.training import History

MODEL, RUN = "model.skops", "run.json"
_FORMAT = 1


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


TRUSTED = (*map(_name, (MLPClassifier, MLPRegressor, Clip)), "numpy.dtype")
"""What a file may hold beside skops' own list; nothing that a file says adds to it."""

_LARGEST = 2**31
"""Bytes of a model file, unpacked; a small file that says it holds more is refused."""


def save_table_model(model: TableModel, folder: str | Path, **facts: Any) -> None:
    """Write a model into a folder: ``model.skops`` and ``run.json``.

    Parameters
    ----------
    model : TableModel
    folder : str or Path
        Made where it is not there.
    **facts
        What else to write into ``run.json``; as JSON has it.

    Raises
    ------
    CheckpointError
        The files cannot be written; each that was there before is as it was.
    """
    content = skops.io.dumps(model.pipeline)
    record = {
        "table": _FORMAT,
        "task": model.task,
        "target": asdict(model.target),
        "features": [asdict(feature) for feature in model.features.used],
        "dropped": model.features.dropped,
        "decimal_commas": sorted(model.commas),
        "constant": model.constant,
        "settings": model.settings,
        "report": None if model.report is None else model.report.as_dict(),
        "history": model.history,
        "versions": {
            "nnfs_xp": nnfs_xp.__version__,
            **{name: version(name) for name in ("scikit-learn", "skops", "numpy", "pandas")},
        },
        "sha256": hashlib.sha256(content).hexdigest(),
        **facts,
    }
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / MODEL, content)
        write_atomically(folder / RUN, text.encode())
    except OSError as error:
        raise CheckpointError(f"cannot write the model to {folder}: {error.strerror}.") from error


def load_table_model(folder: str | Path, backend: str = "numpy") -> TableModel:
    """The model that `save_table_model` or ``nnfs-xp train`` left in a folder.

    Nothing in the files is run: skops builds objects of a fixed list of types only.

    Parameters
    ----------
    folder : str or Path
    backend : str
        Where it is to predict: see `get_backend`.

    Raises
    ------
    CheckpointError
        The files are missing, damaged, changed, or not of this kind.
    """
    folder = Path(folder)
    record = read_record(folder)
    if record is None:
        raise CheckpointError(f"{folder / RUN} is not that of a table's model.")
    try:
        model = _model(record)
        digest = str(record["sha256"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder / RUN} is damaged: {shown(error)}.") from error
    get_backend(backend)  # refused by an error of its own
    model.pipeline = _load_pipeline(folder / MODEL, digest)
    try:
        fits = _fits(model)
        if fits:
            model.to(backend)
            _try(model)
    except BackendError:
        raise
    except Exception as error:
        # What another version or a forger left out can be missed anywhere in scikit-learn.
        raise CheckpointError(
            f"{folder / MODEL} does not predict: {shown(error)}. It is damaged, or of another "
            f"version: {_versions(record)}."
        ) from error
    if not fits:
        raise CheckpointError(f"{folder / MODEL} holds another model than {RUN} beside it says.")
    return model


def _try(model: TableModel) -> None:
    """Predict an empty row; raise whatever goes wrong."""
    columns = model.pipeline[0]
    kept = {name: list(names) for name, _, names in columns.transformers_}
    numbers, categories = model.features.of_kind("number"), model.features.of_kind("category")
    if (kept.get("numbers", []), kept.get("categories", [])) != (numbers, categories):
        raise ValueError("its columns are of other kinds")
    if categories:
        known = columns.named_transformers_["categories"].categories_
        if len(known) != len(categories) or any(np.ndim(each) != 1 for each in known):
            raise ValueError("its categories are none")
    row = pd.DataFrame(
        {
            each.name: [np.nan] if each.kind == "number" else np.array([""], dtype=object)
            for each in model.features.used
        }
    )
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        shape = np.shape(model.scores(row))
    wanted = (1,) if model.task == "regression" else (1, len(model.classes))
    if shape != wanted:
        raise ValueError(f"it gives an array of shape {shape}")


def _versions(record: dict[str, Any]) -> str:
    """The versions in the record and those that are here, for a message."""
    said = record.get("versions")
    said = said if isinstance(said, dict) else {}
    here = {"nnfs_xp": nnfs_xp.__version__, "scikit-learn": version("scikit-learn")}
    return ", ".join(
        f"{name} {shown(said.get(name, 'unknown'), 20)} then, {now} now"
        for name, now in here.items()
    )


def read_record(folder: Path) -> dict[str, Any] | None:
    """The ``run.json`` of a table's model; None where it is that of another training.

    Raises
    ------
    CheckpointError
        The file is missing or damaged.
    """
    path = folder / RUN
    try:
        _check_file(path)
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is missing or damaged: {shown(error)}.") from error
    if not isinstance(record, dict) or "table" not in record:
        return None
    if type(record["table"]) is not int or record["table"] != _FORMAT:
        raise CheckpointError(
            f"{path} is of a newer nnfs_xp, or damaged; its format is {shown(record['table'])}."
        )
    return record


def _model(record: dict[str, Any]) -> TableModel:
    """The model without its pipeline, checked as far as predictions need it."""
    said = dict(record["target"])
    target = Target(said["name"], said["task"], said["kind"], tuple(said["classes"]))
    used = tuple(Feature(each["name"], each["kind"]) for each in record["features"])
    labels = {type(label) for label in target.classes}
    sound = (
        target.task in ("classification", "regression")
        and (len(target.classes) >= 2) == (target.task == "classification")
        and len(labels) <= 1
        and labels <= {str, bool, int, float}
        and all(isinstance(name, str) for name in (target.name, *(each.name for each in used)))
        and {target.kind, *(each.kind for each in used)} <= {"number", "category"}
    )
    if not sound:
        raise ValueError("its target or features are none")
    dropped = {str(name): str(reason) for name, reason in record["dropped"].items()}
    history = History()
    for name, values in record["history"].items():
        history[str(name)] = [float(value) for value in values]
    report = None if record["report"] is None else figures_from(record["report"])
    constant, settings = record["constant"], record["settings"]
    if type(constant) not in (int, float) or not isfinite(constant):
        raise ValueError("its constant is no number")
    if target.classes and constant not in range(len(target.classes)):
        raise ValueError("its constant is no class")
    if not isinstance(settings, dict):
        raise ValueError("its settings are none")
    check_range("test_share", settings["test_share"], 0, open_low=True)
    check_count("seed", settings["seed"], least=0)
    for name in ("dataset", "test", "separator"):
        if not isinstance(record.get(name), str | None):
            raise ValueError(f"its {name} is {shown(record[name])}")
    commas = record.get("decimal_commas", [])
    if not isinstance(commas, list) or not all(isinstance(name, str) for name in commas):
        raise ValueError("its decimal_commas are no columns")
    return TableModel(
        None,
        target,
        Features(used, dropped),
        float(constant),
        settings,
        history,
        report,
        frozenset(commas),
    )


def _check_file(path: Path) -> None:
    """Refuse a pipe, which would be waited for."""
    if path.exists() and not path.is_file():
        raise OSError(EINVAL, "it is no regular file")


def _load_pipeline(path: Path, digest: str) -> Any:
    try:
        _check_file(path)
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}.") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise CheckpointError(f"{path} is damaged or changed: its checksum is not that of {RUN}.")
    try:
        _check_size(content)
        return skops.io.loads(content, trusted=list(TRUSTED))
    except skops.io.exceptions.UntrustedTypesFoundException as error:
        raise CheckpointError(
            f"{path} is refused: it holds what no model of a table does. {shown(error)}"
        ) from error
    except Exception as error:
        # A forged file can fail anywhere in skops, NumPy or scikit-learn.
        raise CheckpointError(
            f"{path} is no model of a table, or damaged: {shown(error)}."
        ) from error


def _check_size(content: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(each.file_size for each in archive.infolist())
    if size > _LARGEST:
        raise ValueError(f"it would unpack to {size} bytes")


def _fits(model: TableModel) -> bool:
    """Whether the pipeline is of our making and for the columns and classes of the record."""
    pipeline = model.pipeline
    if type(pipeline) is not Pipeline or len(pipeline.steps) != 2:
        return False
    columns, network = pipeline[0], pipeline[1]
    names = list(getattr(columns, "feature_names_in_", []))
    if type(columns) is not ColumnTransformer or names != model.features.names:
        return False
    if model.task == "regression":
        return type(network) is TransformedTargetRegressor and (
            type(getattr(network, "regressor_", None)) is MLPRegressor
        )
    classes = list(getattr(network, "classes_", []))
    return type(network) is MLPClassifier and classes == list(model.target.labels)
