"""What the package offers by name, and when it imports what is behind a name."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module

import pytest

import nnfs_xp as nn

ROOMS = ("layers", "losses", "metrics", "optimizers", "parameters", "schedules", "training")
OTHERS = {
    *("Backend", "available_backends", "get_backend", "register_backend", "to_numpy"),
    *("NnfsError", "export_onnx", "load", "save"),
    *("data", "distributed", "errors", "initializers", "interop", "layers", "losses", "metrics"),
    "optimizers",
    *("plots", "see", "training"),
}


def run(code):
    """What a fresh process prints, as JSON."""
    command = [sys.executable, "-c", f"import json, sys\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_all_names_of_the_rooms_are_offered():
    names = {name: room for room in ROOMS for name in import_module(f"nnfs_xp.{room}").__all__}
    assert names.keys() >= {"Dense", "Huber", "F1", "Adam", "Parameter", "OneCycle", "Trainer"}
    assert nn.__all__ == sorted({*names, *OTHERS})
    assert dir(nn) == nn.__all__
    for name, room in names.items():
        assert getattr(nn, name) is getattr(import_module(f"nnfs_xp.{room}"), name)
    for name in nn.__all__:
        assert name in vars(nn) or hasattr(nn, name)


def test_no_name_is_in_two_rooms():
    names = [name for room in ROOMS for name in import_module(f"nnfs_xp.{room}").__all__]
    assert len(names) == len(set(names))
    assert OTHERS.isdisjoint(names)


def test_a_star_import_takes_all():
    names = {}
    exec("from nnfs_xp import *", names)  # noqa: S102 # not allowed within a function
    assert names.keys() - {"__builtins__"} == set(nn.__all__)


def test_an_unknown_name_is_an_attribute_error():
    for name in ("Dence", "_rooms", "a.b", ""):
        with pytest.raises(AttributeError, match=rf"module 'nnfs_xp' has no attribute '{name}'"):
            getattr(nn, name)
    with pytest.raises(ImportError, match="cannot import name 'Dence' from 'nnfs_xp'"):
        from nnfs_xp import Dence  # noqa: F401


def test_the_package_alone_imports_nothing():
    loaded = "print(json.dumps([name for name in sys.modules if name.startswith('nnfs_xp')]))"
    assert run(f"import nnfs_xp\n{loaded}") == ["nnfs_xp"]
    assert run("import nnfs_xp\nprint(json.dumps('numpy' in sys.modules))") is False


def test_a_private_module_is_imported_without_the_rooms():
    loaded = run(
        "from nnfs_xp import _settings, kernels\n"
        "print(json.dumps([name for name in sys.modules if name.startswith('nnfs_xp.')]))"
    )
    assert "nnfs_xp._settings" in loaded
    assert not {"nnfs_xp.backend", "nnfs_xp.layers", "nnfs_xp.training"}.intersection(loaded)
