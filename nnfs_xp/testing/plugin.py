"""The pytest plugin: a matrix of backends.

Installed with nnfs_xp, it gives every test that asks for the fixture ``backend`` (a
`Backend`) or ``xp`` (its namespace) a run on each backend that is usable.
Where array_api_strict is, it runs twice: as it comes, and at its strictest (see `STRICTEST`).
``--nnfs-backends numpy,cupy`` selects; a backend that is asked for by name and cannot run is an
error, not a skip. A project with a fixture ``backend`` of its own, or with values of its own for
the argument, goes before: its tests run as if the plugin were not there.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from nnfs_xp.backend import Backend, get_backend, usable_backends
from nnfs_xp.errors import BackendError

STRICTEST = "array_api_strict:device1"
"""A backend on no default device, and in tests with every optional part of the standard off."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--nnfs-backends``."""
    group = parser.getgroup("nnfs_xp")
    group.addoption(
        "--nnfs-backends",
        metavar="NAME,NAME",
        help="backends for the fixtures `backend` and `xp` (default: all that are usable)",
    )


def selected_backends(config: pytest.Config) -> list[str]:
    """The names of the backends that the tests run on."""
    asked = config.getoption("--nnfs-backends")
    if asked is None:
        usable = usable_backends()
        return [*usable, STRICTEST] if "array_api_strict" in usable else usable
    names = [name.strip() for name in asked.split(",") if name.strip()]
    try:
        for name in names:
            get_backend(name)
    except BackendError as error:
        raise pytest.UsageError(f"--nnfs-backends {asked}: {error}") from None
    if not names:
        raise pytest.UsageError("--nnfs-backends names no backend.")
    return names


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a backend that was asked for and cannot run, before any test does."""
    if config.getoption("--nnfs-backends") is not None:
        selected_backends(config)


@pytest.hookimpl(trylast=True)  # after the marks and hooks of the project, which go before
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses the fixture ``backend`` of this plugin on every selected backend."""
    if _reaches_own_backend(metafunc) and not _is_parametrized(metafunc, "backend"):
        names = selected_backends(metafunc.config)
        metafunc.parametrize("backend", names, ids=names, indirect=True)


def _reaches_own_backend(metafunc: pytest.Metafunc) -> bool:
    """Whether the fixture ``backend`` is this plugin's, or one of the project's built on it."""
    if "backend" not in metafunc.fixturenames:
        return False
    for found in reversed(metafunc._arg2fixturedefs.get("backend", ())):
        if found.func.__module__ == __name__:
            return True
        if found.params is not None or "backend" not in found.argnames:
            return False
    return False


def _is_parametrized(metafunc: pytest.Metafunc, name: str) -> bool:
    """Whether a mark, a fixture or a hook of the project has given the argument values already."""
    return any(name in call.params for call in metafunc._calls)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A backend, its device active; the test runs on every one that is selected."""
    if request.param != STRICTEST:
        chosen = get_backend(request.param)
        with chosen.active():
            yield chosen
        return
    strict = importlib.import_module("array_api_strict")
    with strict.ArrayAPIStrictFlags(
        boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()
    ):
        yield get_backend(request.param)


@pytest.fixture
def xp(backend: Backend) -> Any:
    """The namespace of the fixture ``backend``."""
    return backend.xp
