"""The notebook runs, to what is stored with it; and the examples that need extras."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = EXAMPLES / "backpropagation.ipynb"


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook, run anew: an assert in it that fails is an error here."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    environment = {
        **os.environ,
        "JUPYTER_RUNTIME_DIR": str(tmp_path_factory.mktemp("jupyter")),
        "MPLCONFIGDIR": str(tmp_path_factory.mktemp("matplotlib")),
    }
    client = NotebookClient(notebook, timeout=120, kernel_name="python3")
    return client.execute(env=environment)


def printed(notebook):
    """What each cell prints."""
    return [
        "".join(output.text for output in cell.get("outputs", []) if output.output_type == "stream")
        for cell in notebook.cells
    ]


def pictures(notebook):
    """How many pictures each cell shows."""
    return [
        sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
        for cell in notebook.cells
    ]


def test_it_prints_the_numbers_that_are_stored(stored, executed):
    lines = "".join(printed(stored))
    assert "before the step 6.000, after it 5.985" in lines
    assert lines.count("agrees to 9 digits") == 4
    assert "differs" not in lines
    assert printed(executed) == printed(stored)


def test_it_draws_the_pictures_that_are_stored(stored, executed):
    assert sum(pictures(stored)) == 6
    assert pictures(executed) == pictures(stored)


def test_its_asserts_are_there(stored):
    source = "\n".join(cell.source for cell in stored.cells if cell.cell_type == "code")
    assert len(re.findall(r"^ *assert ", source, flags=re.MULTILINE)) >= 12


def test_what_is_stored_is_small_and_holds_nothing_of_a_machine(stored):
    assert NOTEBOOK.stat().st_size < 500_000
    assert all(not cell.metadata for cell in stored.cells)
    assert [cell.id for cell in stored.cells] == [f"cell-{i:02}" for i in range(len(stored.cells))]
    counts = [cell.execution_count for cell in stored.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_the_classifier_for_scikit_learn(tmp_path):
    result = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "plot_classifier.py"],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "MPLCONFIGDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found = re.findall(r"balanced accuracy (0\.\d+), (\d+)% of the eights", result.stdout)
    assert len(found) == 3
    plain, _, weighted = ((float(accuracy), int(share)) for accuracy, share in found)
    assert weighted[0] > plain[0] > 0.85
    assert weighted[1] > plain[1]


def test_the_table(tmp_path):
    # Old releases of Matplotlib use what their dependencies have deprecated.
    quiet = ("-W", "error", "-W", "ignore::DeprecationWarning")
    result = subprocess.run(
        [sys.executable, *quiet, EXAMPLES / "plot_table.py"],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "MPLCONFIGDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found = re.search(r"R² (0\.\d+) on 271 days .*\n(\d+)% of them", result.stdout)
    assert found, result.stdout
    assert float(found[1]) > 0.85  # the noise leaves 0.94
    assert 84 <= int(found[2]) <= 96  # 90 %, and three standard deviations of 271 rows
