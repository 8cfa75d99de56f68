"""The benchmark of the estimators runs, and tells what it measured."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_digits():
    command = [sys.executable, "-m", "benchmarks", "estimators", "digits"]
    done = subprocess.run(
        [*command, "--seeds", "2", "--max-iter", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(
        r"^\| (\d) \| 0\.\d+ \| \d+\.\d+ \| 2 \| 0\.\d+ \| ", done.stdout, re.MULTILINE
    )
    assert rows == ["0", "1"]
    assert re.search(r"ours take \d+\.\d+ of its time in all", done.stdout)
