"""Settings for the whole suite."""

import ast
import functools
import inspect
import re

import hypothesis
import pytest

# Shared machines stall; a slow example is no failure.
hypothesis.settings.register_profile(
    "nnfs_xp",
    deadline=None,
    max_examples=50,
    # The fixture `backend` is the same for all examples of a test.
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("nnfs_xp")

WITH_ALL_TESTS = {"array_api_strict", "matplotlib", "pooch", "pty", "termios"}
"""What every environment for tests has; what else a test may ask for is an oracle."""


def pytest_addoption(parser):
    parser.addoption("--kills", default="20", help="how often tests/test_kills.py kills")


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items):
    """Mark what a backend or an oracle can change: all else runs once, in tests-numpy."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "backend" in fixtures and not names_its_own(item):
            item.add_marker("backend")
        asking = ask_for_oracles(getattr(item, "module", None))
        if asking & {getattr(item, "originalname", None), *fixtures}:
            item.add_marker("oracle")


def names_its_own(item):
    """Whether a mark of the test names the backends: it then does the same in every run."""
    marks = item.iter_markers("parametrize")
    return any("backend" in re.findall(r"\w+", str(mark.args[0])) for mark in marks)


@functools.cache
def ask_for_oracles(module):
    """The names of a module's functions that do nothing without another library."""
    if module is None:
        return set()
    source = inspect.getsource(module)
    if not asks(source):
        return set()
    lines = source.splitlines()
    functions = {
        node.name: "\n".join(lines[node.lineno - 1 : node.end_lineno])
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    }
    asking = {name for name, text in functions.items() if asks(text)}
    return asking | {
        name for name, text in functions.items() if asking & set(re.findall(r"\w+", text))
    }


def asks(text):
    """Whether a function's text asks for an oracle."""
    return bool(set(re.findall(r'importorskip\(\s*"(\w+)', text)) - WITH_ALL_TESTS)
