"""Settings for the whole suite."""

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
        if "backend" in getattr(item, "fixturenames", ()) and not names_its_own(item):
            item.add_marker("backend")
        if asks_for_oracle(getattr(item, "module", None)):
            item.add_marker("oracle")


def names_its_own(item):
    """Whether a mark of the test names the backends: it then does the same in every run."""
    marks = item.iter_markers("parametrize")
    return any("backend" in re.findall(r"\w+", str(mark.args[0])) for mark in marks)


_ANSWERS = {}


def asks_for_oracle(module):
    """Whether a module has tests that are skipped without another library."""
    if module not in _ANSWERS:
        source = "" if module is None else inspect.getsource(module)
        asked = re.findall(r'importorskip\(\s*"(\w+)', source)
        _ANSWERS[module] = bool(set(asked) - WITH_ALL_TESTS)
    return _ANSWERS[module]
