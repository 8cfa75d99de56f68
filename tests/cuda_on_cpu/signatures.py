"""Checks that the real packages have what the stand-in offers: run it where they are installed.

The stand-in's names are asked for in another process, since both have the same module names.
"""

# ruff: noqa: T201 - it prints what it finds

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import warnings
from enum import IntEnum
from pathlib import Path
from typing import Any

_MODULES = (
    "cupy",
    "cupy.cuda",
    "cupy.cuda.nccl",
    "cupy.cuda.runtime",
    "cupy.linalg",
    "cupy.fft",
    "cupyx",
    "nvmath.bindings.cublas",
    "nvmath.bindings.cublasLt",
)
_CLASSES = {
    "cupy": ("ndarray", "RawModule", "RawKernel"),
    "cupy.cuda": ("Device", "Event", "Graph", "MemoryPointer", "MemoryPool", "Stream"),
    "cupy.cuda.memory": ("OutOfMemoryError",),
    "cupy.cuda.driver": ("CUDADriverError",),
    "cupy.cuda.compiler": ("CompileException",),
    "cupy.cuda.nccl": ("NcclCommunicator", "NcclError"),
    "cupy.cuda.runtime": ("CUDARuntimeError",),
}
_OF_THE_STAND_IN = {
    "cupy.cuda.runtime": {
        "check_device",
        "enter_device",
        "give_back",
        "leave_device",
        "take",
        "total_memory",
    },
    "nvmath.bindings.cublasLt": {"seed", "unsupported_epilogues"},
}
"""Public names of modules that are not CuPy's: only the stand-in and its tests use them."""


def _parameters(thing: Any) -> list[str] | None:
    """The names of the positional parameters, as far as they can be found out."""
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        # Compiled by Cython, with the signature in the first line of the text.
        line = (getattr(thing, "__doc__", None) or "").partition("\n")[0]
        found = re.match(r"[\w.]+\((.*)\)(?: ->.*)?$", line)
        if not found:
            return None
        words = [part.partition("=")[0].split()[-1] for part in found[1].split(",") if part.strip()]
        return [word for word in words if word.isidentifier() and word != "self"]
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [each.name for each in parameters if each.kind in kinds and each.name != "self"]


def _described(thing: Any) -> Any:
    if isinstance(thing, type) and issubclass(thing, IntEnum):
        return {"enum": {each.name: each.value for each in thing}}
    if callable(thing):
        return {"parameters": _parameters(thing)}
    return {"value": thing} if isinstance(thing, int) else {}


def describe() -> dict[str, Any]:
    """Everything public in the packages that are on the path."""
    found: dict[str, Any] = {}
    for name in _MODULES:
        module = importlib.import_module(name)
        for each in getattr(module, "__all__", None) or vars(module):
            thing = getattr(module, each)
            of_elsewhere = getattr(thing, "__module__", name) in ("__future__", "typing")
            if not each.startswith("_") and not inspect.ismodule(thing) and not of_elsewhere:
                found[f"{name}.{each}"] = _described(thing)
    for name, classes in _CLASSES.items():
        for each in classes:
            kind = getattr(importlib.import_module(name), each)
            for attribute in dir(kind):
                if not attribute.startswith("_"):
                    thing = inspect.getattr_static(kind, attribute)
                    found[f"{name}.{each}.{attribute}"] = _described(thing)
    return found


def _offered() -> dict[str, Any]:
    """What the stand-in offers, without what it has for itself."""
    folder = str(Path(__file__).parent)
    paths = [folder, *sys.path]
    program = "import json, signatures; print(json.dumps(signatures.describe()))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=True,
    )
    offered: dict[str, Any] = json.loads(done.stdout)
    for module, names in _OF_THE_STAND_IN.items():
        for name in names:
            offered.pop(f"{module}.{name}", None)
    imported = ("annotations", "Counter", "Any", "NamedTuple", "IntEnum")
    return {k: v for k, v in offered.items() if k.rpartition(".")[2] not in imported}


def _find(name: str) -> Any:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            if isinstance(thing, type) and part != parts[-1]:
                thing = inspect.getattr_static(thing, part)
            else:
                thing = getattr(thing, part)
        return thing
    raise ImportError(name)


def _flaw(name: str, offered: dict[str, Any]) -> str | None:
    try:
        thing = _find(name)
        real = _described(thing)
    except AttributeError:
        return "the real package has no such name"
    if "enum" in offered:
        members = real.get("enum", {})
        wrong = {k: v for k, v in offered["enum"].items() if members.get(k) != v}
        return f"other members: {wrong}" if wrong else None
    if "value" in offered and "value" in real and offered["value"] != real["value"]:
        return f"{offered['value']}, in the real one {real['value']}"
    ours, theirs = offered.get("parameters"), real.get("parameters")
    if not theirs and isinstance(thing, type):  # not to be made by users
        return None
    if ours and theirs is not None and ours != theirs[: len(ours)]:
        return f"parameters {ours}, in the real one {theirs}"
    return None


def _lacks_nccl() -> bool:
    """Whether the real CuPy finds no NCCL, so that nothing can be said of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return not importlib.import_module("cupy.cuda.nccl").available


def main() -> int:
    """Print what differs; returns how many names do."""
    offered = _offered()
    if _lacks_nccl():
        print("cupy.cuda.nccl is left out: pip install nvidia-nccl-cu13")
        offered = {k: v for k, v in offered.items() if not k.startswith("cupy.cuda.nccl.")}
    flaws = {name: _flaw(name, what) for name, what in offered.items()}
    for name, flaw in flaws.items():
        if flaw is not None:
            print(f"{name}: {flaw}")
    wrong = sum(map(bool, flaws.values()))
    print(f"{len(offered)} names, {wrong} of them not as in the real packages")
    return wrong


if __name__ == "__main__":
    sys.path.pop(0)  # this folder, where the stand-in would be found
    sys.exit(main() > 0)
