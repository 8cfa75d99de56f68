"""A training killed with SIGKILL at random moments, again and again, ends as if it never was.

In one process, and in two, of which one is killed. `--kills 200` kills so often; by default it is
20.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("killed.py")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")


MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or "mpiexec"


def start(folder, processes):
    # NumPy's kernels are there at once; it is no matter here which there are.
    quick = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NNFS_XP_KERNELS": "numpy"}
    environment = {**os.environ, **quick}
    command = [sys.executable, SCRIPT, folder]
    if processes > 1:
        command = [MPIEXEC, "-n", str(processes), *command]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, text=True, **pipes)


def kill(process, folder, processes, chance):
    """Kill the training, or one of its processes; return whether that was in time."""
    if processes == 1:
        process.send_signal(signal.SIGKILL)
    else:
        number = (folder / f"process-{chance.randrange(processes)}").read_text()
        with suppress(ProcessLookupError):
            os.kill(int(number), signal.SIGKILL)
    process.communicate(timeout=60)
    return process.returncode in (-signal.SIGKILL, signal.SIGKILL)


def finish(folder, processes):
    process = start(folder, processes)
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


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_and_resumed_is_never_killed(tmp_path, request, processes):
    kills = int(request.config.getoption("--kills"))
    (tmp_path / "whole").mkdir()
    expected = finish(tmp_path / "whole", processes)
    chance = random.Random(0)  # moments, no secrets
    done = unfinished = trainings = 0
    while done < kills:
        folder = tmp_path / f"killed-{trainings}"
        folder.mkdir()
        trainings += 1
        while done < kills and not (folder / "result.npz").exists():
            checkpoints = folder / "checkpoints"
            before = {*os.listdir(checkpoints)} if checkpoints.is_dir() else set()
            process = start(folder, processes)
            wait_for_more(folder, process, before)
            time.sleep(chance.uniform(0, 0.08))
            if kill(process, folder, processes, chance):
                done += 1
                unfinished += any(name.endswith(".tmp") for name in os.listdir(checkpoints))
        found = finish(folder, processes)
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        assert not list((folder / "checkpoints").glob(".*")), "what was left unfinished is gone"
    print(f"{done} kills, {unfinished} of them while writing, in {trainings} trainings")  # noqa: T201
    assert done == kills
