"""The folder of a trained table: what is done with columns by skops, the network, and JSON."""

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
from sklearn.compose import ColumnTransformer

import nnfs_xp
from nnfs_xp._checks import check_count, check_range, shown
from nnfs_xp.backend import get_backend
from nnfs_xp.data.table_columns import Reading
from nnfs_xp.errors import BackendError, CheckpointError
from nnfs_xp.interop import load, save
from nnfs_xp.interop.atomic import write_atomically
from nnfs_xp.reports.figures import figures_from
from nnfs_xp.tables.features import Feature, Features
from nnfs_xp.tables.model import TableModel, TargetScale
from nnfs_xp.tables.target import Target
from nnfs_xp.training import History

MODEL, TABLE_MODEL, RUN = "model.safetensors", "columns.skops", "run.json"
_FORMAT = 2

TRUSTED = (
    "numpy.dtype",
    "sklearn.model_selection._split.KFold",
    "skrub._apply_to_cols.ApplyToCols",
    "skrub._apply_to_each_col.ApplyToEachCol",
    "skrub._datetime_encoder.DatetimeEncoder",
    "skrub._datetime_encoder._CircularEncoder",
    "skrub._squashing_scaler.SquashingScaler",
    "skrub._squashing_scaler._MinMaxScaler",
    "skrub._string_encoder.StringEncoder",
    "skrub._to_str.ToStr",
    "skrub.selectors._base.All",
)
"""What a file may hold beside skops' own list; nothing that a file says adds to it."""

_LARGEST = 2**31
"""Bytes of a file, unpacked; a small file that says it holds more is refused."""


def save_table_model(model: TableModel, folder: str | Path, **facts: Any) -> None:
    """Write a model into a folder: ``columns.skops``, ``model.safetensors`` and ``run.json``.

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
    columns = skops.io.dumps(model.columns)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / TABLE_MODEL, columns)
        save(model.network, folder / MODEL)
        digests = {name: _digest((folder / name).read_bytes()) for name in (TABLE_MODEL, MODEL)}
        record = _record(model) | {"sha256": digests} | facts
        write_record(folder, record)
    except OSError as error:
        raise CheckpointError(f"cannot write the model to {folder}: {error.strerror}.") from error


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write the ``run.json`` of a training on a table."""
    text = json.dumps({"table": _FORMAT, **record}, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / RUN, text.encode())


def _record(model: TableModel) -> dict[str, Any]:
    """All of the model that JSON can hold."""
    reading = {name: sorted(values) for name, values in vars(model.features.reading).items()}
    return {
        "task": model.task,
        "target": {
            name: getattr(model.target, name) for name in ("name", "task", "kind", "classes")
        },
        "features": [asdict(feature) for feature in model.features.used],
        "dropped": model.features.dropped,
        "reading": reading,
        "scale": None if model.scale is None else asdict(model.scale),
        "constant": model.constant,
        "temperature": model.temperature,
        "residuals": model.residuals.tolist(),
        "settings": model.settings,
        "report": None if model.report is None else model.report.as_dict(),
        "history": model.history,
        "versions": {
            "nnfs_xp": nnfs_xp.__version__,
            **{name: version(name) for name in ("scikit-learn", "skrub", "skops", "numpy")},
        },
    }


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
    if "sha256" not in record:
        raise CheckpointError(f"the training in {folder} is not finished. Go on with --resume.")
    try:
        model = _model(record)
        digests = {name: str(record["sha256"][name]) for name in (TABLE_MODEL, MODEL)}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder / RUN} is damaged: {shown(error)}.") from error
    get_backend(backend)  # refused by an error of its own
    for name, digest in digests.items():
        if _digest(_content(folder / name)) != digest:
            raise CheckpointError(
                f"{folder / name} is damaged or changed: its checksum is not that of {RUN}."
            )
    model.columns = _load_columns(folder / TABLE_MODEL)
    model.network = load(folder / MODEL, backend)  # type: ignore[assignment] # checked below
    try:
        _try(model)
    except BackendError:
        raise
    except Exception as error:
        # What another version or a forger left out can be missed anywhere in scikit-learn.
        raise CheckpointError(
            f"{folder / TABLE_MODEL} does not predict: {shown(error)}. It is damaged, of another "
            f"model than {RUN} beside it says, or of another version: {_versions(record)}."
        ) from error
    return model


def _try(model: TableModel) -> None:
    """Predict an empty row; raise whatever goes wrong."""
    if type(model.columns) is not ColumnTransformer:
        raise TypeError("it is no transformer of columns")
    if list(model.columns.feature_names_in_) != model.features.names:
        raise ValueError("its columns are others")
    empty = {"number": np.nan, "date": np.datetime64("NaT", "us"), "category": "", "text": ""}
    row = pd.DataFrame({each.name: [empty[each.kind]] for each in model.features.used})
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
    here = {"nnfs_xp": nnfs_xp.__version__, "skrub": version("skrub")}
    return ", ".join(
        f"{name} {shown(said.get(name, 'unknown'), 20)} then, {now} now"
        for name, now in here.items()
    )


def read_record(folder: Path) -> dict[str, Any] | None:
    """The ``run.json`` of a table's model; None where it is that of another training.

    Raises
    ------
    CheckpointError
        The file is missing, damaged or of another version.
    """
    path = folder / RUN
    try:
        record = json.loads(_content(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is missing or damaged: {shown(error)}.") from error
    if not isinstance(record, dict) or "table" not in record:
        return None
    if record["table"] == 1:
        raise CheckpointError(
            f"{path} is of an older nnfs_xp, whose models of tables were others. Train anew."
        )
    if type(record["table"]) is not int or record["table"] != _FORMAT:
        raise CheckpointError(
            f"{path} is of a newer nnfs_xp, or damaged; its format is {shown(record['table'])}."
        )
    return record


def _model(record: dict[str, Any]) -> TableModel:
    """The model without columns and network, checked as far as predictions need it."""
    said, kinds = dict(record["target"]), {"number", "category", "date", "text"}
    reading = Reading(**{name: frozenset(texts) for name, texts in record["reading"].items()})
    target = Target(said["name"], said["task"], said["kind"], tuple(said["classes"]), reading)
    used = tuple(Feature(each["name"], each["kind"]) for each in record["features"])
    labels = {type(label) for label in target.classes}
    sound = (
        target.task in ("classification", "regression")
        and (len(target.classes) >= 2) == (target.task == "classification")
        and len(labels) <= 1
        and labels <= {str, bool, int, float}
        and all(isinstance(name, str) for name in (target.name, *(each.name for each in used)))
        and all(isinstance(text, str) for texts in vars(reading).values() for text in texts)
        and {target.kind, *(each.kind for each in used)} <= kinds
    )
    if not sound:
        raise ValueError("its target or features are none")
    dropped = {str(name): str(reason) for name, reason in record["dropped"].items()}
    history = History()
    for name, values in record["history"].items():
        history[str(name)] = [float(value) for value in values]
    report = None if record["report"] is None else figures_from(record["report"])
    settings = record["settings"]
    if not isinstance(settings, dict):
        raise ValueError("its settings are none")
    check_range("test_share", settings["test_share"], 0, open_low=True)
    check_count("seed", settings["seed"], least=0)
    constant, temperature = _number(record["constant"]), _number(record["temperature"])
    if target.classes and constant not in range(len(target.classes)):
        raise ValueError("its constant is no class")
    scale = None
    if not target.classes:
        scale = TargetScale(**{name: _number(value) for name, value in record["scale"].items()})
    return TableModel(
        None,
        None,  # type: ignore[arg-type] # until it is loaded
        target,
        Features(used, dropped, reading),
        scale,
        constant,
        settings,
        check_range("temperature", temperature, 0, open_low=True),
        np.sort([_number(each) for each in record["residuals"]]),
        history,
        report,
    )


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not isfinite(value):
        raise ValueError(f"it has {shown(value, 20)} where a number should be")
    return float(value)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content(path: Path) -> bytes:
    """The bytes of a file; a pipe, which would be waited for, is refused."""
    try:
        if path.exists() and not path.is_file():
            raise OSError(EINVAL, "it is no regular file")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} is missing or damaged: {error.strerror}.") from error


def _load_columns(path: Path) -> Any:
    content = _content(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(each.file_size for each in archive.infolist())
        if size > _LARGEST:
            raise ValueError(f"it would unpack to {size} bytes")
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
