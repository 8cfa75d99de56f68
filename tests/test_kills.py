"""A training killed with SIGKILL at random moments, again and again, ends as if it never was.

`--kills 200` kills so often; by default it is 20.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("killed.py")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")


def start(folder):
    # NumPy's kernels are there at once; it is no matter here which there are.
    quick = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NNFS_XP_KERNELS": "numpy"}
    environment = {**os.environ, **quick}
    return subprocess.Popen(
        [sys.executable, SCRIPT, folder], env=environment, stderr=subprocess.PIPE, text=True
    )


def finish(folder):
    process = start(folder)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    with np.load(folder / "result.npz") as archive:
        return {name: archive[name] for name in archive.files}


def wait_for_more(folder, process, before):
    """Wait until the process works: until a checkpoint is there that was not before."""
    checkpoints = folder / "checkpoints"
    while process.poll() is None:
        if checkpoints.is_dir() and {*os.listdir(checkpoints)} - before:
            return
        time.sleep(0.001)


def test_killed_and_resumed_is_never_killed(tmp_path, request):
    kills = int(request.config.getoption("--kills"))
    (tmp_path / "whole").mkdir()
    expected = finish(tmp_path / "whole")
    chance = random.Random(0)  # moments, no secrets
    done = unfinished = trainings = 0
    while done < kills:
        folder = tmp_path / f"killed-{trainings}"
        folder.mkdir()
        trainings += 1
        while done < kills and not (folder / "result.npz").exists():
            checkpoints = folder / "checkpoints"
            before = {*os.listdir(checkpoints)} if checkpoints.is_dir() else set()
            process = start(folder)
            wait_for_more(folder, process, before)
            time.sleep(chance.uniform(0, 0.08))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            if process.returncode == -signal.SIGKILL:
                done += 1
                unfinished += any(name.endswith(".tmp") for name in os.listdir(checkpoints))
        found = finish(folder)
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        assert not list((folder / "checkpoints").glob(".*")), "what was left unfinished is gone"
    print(f"{done} kills, {unfinished} of them while writing, in {trainings} trainings")  # noqa: T201
    assert done == kills
