"""The page on searches: each of its scripts, in a process of its own, prints what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs/searches.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
(PRINTED,) = re.findall(r"Each prints\n\n```text\n(.*\n)```\n", PAGE)
NAMES = "loky", "dask", "ray"

ALONE = {name: text for name, text in os.environ.items() if not name.startswith("DASK_")}
ALONE["RAY_ADDRESS"] = "local"
"""An environment that leads to no cluster that happens to run."""


def printed_by(script, folder):
    """What a script prints; ends the test where it fails.

    Without Ray's own lines, which go to the standard output too: of a worker that ended with its
    search Ray says now and then that it died.
    """
    path = folder / "script.py"
    path.write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, path],
        cwd=folder,
        env=ALONE,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines(keepends=True)
    return "".join(line for line in lines if "(raylet)" not in line)


def test_there_is_one_script_for_each():
    assert len(SCRIPTS) == len(NAMES)
    assert "n_jobs=2" in SCRIPTS[0]
    for name, script in zip(NAMES[1:], SCRIPTS[1:], strict=True):
        assert f'parallel_config("{name}"' in script


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_each_finds_the_same(number, tmp_path):
    assert printed_by(SCRIPTS[number], tmp_path) == PRINTED
