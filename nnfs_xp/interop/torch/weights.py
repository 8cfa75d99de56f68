"""Weights as files that PyTorch writes and reads, in safetensors: needs no PyTorch."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp.errors import CheckpointError, NnfsError
from nnfs_xp.interop.atomic import write_file
from nnfs_xp.interop.beneath import HasNetwork, layer_of
from nnfs_xp.interop.paths import check_readable, path_of
from nnfs_xp.interop.tensor_file import MALFORMED, WIDENED, Arrays, form
from nnfs_xp.interop.torch.names import Names, fill, fits, state_dict
from nnfs_xp.layers import Layer

_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")


def save_torch_weights(
    model: Layer | HasNetwork, path: str | Path, *, names: Names | None = None
) -> None:
    """Write the weights as PyTorch would, whole or not at all.

    Read them with ``module.load_state_dict(safetensors.torch.load_file(path))``.

    Parameters
    ----------
    model : Layer, or nnfs_xp.book.Model
    path : str or Path
        By custom ending in ``.safetensors``.
    names : mapping of str to str, optional
        What modules are called in the file: from the path of a layer of the model to the path of
        its module, as in ``{"0": "fc1", "2": "fc2"}``, or ``{"": "net"}`` for the whole model. By
        default as in a `torch.nn.Sequential` of the same layers, as here.

    Raises
    ------
    CheckpointError
        The file cannot be written.
    ArgumentError
        A layer with parameters has no counterpart in PyTorch.

    Notes
    -----
    Names and layouts: ``0.weight`` of shape (n_neurons, n_inputs) and ``0.bias`` of shape
    (n_neurons,) for the dense layer at place 0; see the guide to PyTorch for the others.
    """
    import safetensors.numpy

    path, model = _no_pickle(path_of(path)), layer_of(model)
    write_file(path, safetensors.numpy.save(state_dict(model, names), metadata={"format": "pt"}))


def load_torch_weights(
    model: Layer | HasNetwork, path: str | Path, *, names: Names | None = None
) -> None:
    """Fill the model with the weights that PyTorch wrote: all, or none where one does not fit.

    Write them with ``safetensors.torch.save_file(module.state_dict(), path)``.

    Parameters
    ----------
    model : Layer, or nnfs_xp.book.Model
    path : str or Path
        A safetensors file; its bfloat16 is read as float32. Pickles (``.pt``, ``.pth``,
        ``.bin``) are not read: they can execute code.
    names : mapping of str to str, optional
        As in `save_torch_weights`.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, no safetensors, or its names, shapes or data types do not
        fit the model.
    """
    path, model = _no_pickle(path_of(path)), layer_of(model)
    try:
        fits(model, _read(path, form), names)  # before a tensor takes memory
        fill(model, _read(path, partial(_tensor, path)), names)
    except CheckpointError:
        raise
    except NnfsError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _no_pickle(path: Path) -> Path:
    if path.suffix.lower() in _PICKLES:
        raise _pickle_error(path)
    return path


def _pickle_error(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} is a pickle, which can execute code and is never read or written here. Turn it "
        f"into safetensors, with PyTorch: safetensors.torch.save_file(torch.load({path.name!r}, "
        f"weights_only=True), {path.with_suffix('.safetensors').name!r})."
    )


def _read(path: Path, take: Callable[[Any, str], Any]) -> Arrays:
    """What `take` returns for each tensor of a safetensors file, whoever wrote it.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or no safetensors.
    """
    from safetensors import SafetensorError, safe_open

    check_readable(path, "safetensors")
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: take(file, name) for name in file.keys()}  # noqa: SIM118 # no dict
    except NnfsError:
        raise
    except (SafetensorError, OSError, *MALFORMED) as error:
        if _begins_like_a_pickle(path):
            raise _pickle_error(path) from None
        raise CheckpointError(
            f"{path} is no safetensors file, or damaged: {shown(error)}."
        ) from error


def _tensor(path: Path, file: Any, name: str) -> np.ndarray[Any, Any]:
    """A tensor of an open file; bfloat16 becomes float32, of which it is the upper half."""
    piece = file.get_slice(name)
    if piece.get_dtype() not in WIDENED:
        array: np.ndarray[Any, Any] = file.get_tensor(name)
        return array
    with path.open("rb") as raw:
        (length,) = struct.unpack("<Q", raw.read(8))
        begin, end = json.loads(raw.read(length))[name]["data_offsets"]
    halves = np.fromfile(path, "<u2", (end - begin) // 2, offset=8 + length + begin)
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(piece.get_shape())


def _begins_like_a_pickle(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05")
    except OSError:
        return False
