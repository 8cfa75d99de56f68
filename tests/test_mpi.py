"""Trainings under mpiexec: two processes that are one, and what becomes of them when one fails."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from nnfs_xp.errors import BackendError, DistributedError
from nnfs_xp.interop.tensor_file import read_tensors

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the MPI of the wheels is for POSIX")

HERE = Path(__file__).parent
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or "mpiexec"
QUICK = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NNFS_XP_KERNELS": "numpy"}


def environment(**more):
    return {**os.environ, **QUICK, **more}


def start(*command, n=2, **more):
    return subprocess.Popen(
        [MPIEXEC, "-n", str(n), *map(str, command)],
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process, timeout=60):
    """Its exit status, and what it wrote."""
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, output, errors


def run(how, folder, n=2, **more):
    return finished(start(sys.executable, HERE / "in_processes.py", how, folder, n=n, **more))


def command(*arguments, n=2, cwd=None, **more):
    program = [sys.executable, "-m", "nnfs_xp", *map(str, arguments)]
    done = subprocess.run(
        [MPIEXEC, "-n", str(n), *program],
        env=environment(**more),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def weights(folder):
    return np.load(folder / "weights.npy")


def test_two_processes_come_to_what_one_comes_to(tmp_path):
    for n in (1, 2, 3):
        (tmp_path / str(n)).mkdir()
        status, _, errors = run("well", tmp_path / str(n), n=n)
        assert status == 0, errors
    expected = weights(tmp_path / "1")
    for n in (2, 3):
        found = weights(tmp_path / str(n))
        assert np.linalg.norm(found - expected) <= 1e-6 * np.linalg.norm(expected)
        notes = [(tmp_path / str(n) / f"rank-{rank}.txt").read_text() for rank in range(n)]
        assert len(set(notes)) == 1, "weights and figures are the same in all, after each epoch"
        assert len(notes[0].splitlines()) == 4


def disturbed(how, folder, within):
    """Run until one process disturbs the training; the others' end, and what rank 0 said."""
    begin = time.time()
    status, output, errors = run(how, folder)
    took = time.time() - float((folder / "disturbed").read_text())
    assert status != 0, output
    assert took < within, (took, begin)
    assert_nobody_is_left(folder)
    return status, output + errors


def assert_nobody_is_left(folder):
    deadline = time.monotonic() + 2  # those that are killed take a moment
    while left := commands_with(str(folder)):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def commands_with(text):
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            found.append(entry.read_bytes().decode(errors="replace"))
    assert found or sys.platform != "linux"
    return [each for each in found if text in each]


def checkpoint(folder):
    """The newest checkpoint, which is whole."""
    *_, newest = sorted((folder / "checkpoints").glob("checkpoint-*.safetensors"))
    return read_tensors(newest, "nnfs_xp checkpoint")


START = 1.5
"""Seconds that processes may take to end, beside the limit: this machine has two cores."""


@pytest.mark.parametrize(
    ("how", "within", "said"),
    [
        ("raises", 2 + START, "rank 1 of 2 failed: ZeroDivisionError: planted"),
        ("exits", 2 + START, "rank 1 of 2 failed: SystemExit: 0"),
        ("stalls", 3 + 1 + START, "rank 1 of 2 did not come to"),
        ("aborts", 2 + START, "rank 1 of 2 failed: out of paper"),
    ],
)
def test_where_one_fails_all_end_and_say_so_once(tmp_path, how, within, said):
    _, errors = disturbed(how, tmp_path, within)
    assert len(re.findall("nnfs_xp: error:", errors)) == 1
    assert said in errors
    assert checkpoint(tmp_path)


def test_where_one_dies_all_end(tmp_path):
    status, errors = disturbed("dies", tmp_path, 1 + START)
    assert status == signal.SIGKILL
    assert "Killed" in errors
    assert checkpoint(tmp_path)


@pytest.mark.parametrize("how", ["raises", "dies", "stalls"])
def test_a_training_that_ended_goes_on(tmp_path, how):
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    assert run("well", tmp_path / "whole")[0] == 0
    assert run(how, tmp_path / "cut")[0] != 0
    assert run("well", tmp_path / "cut")[0] == 0
    np.testing.assert_array_equal(weights(tmp_path / "cut"), weights(tmp_path / "whole"))


def test_other_data_and_bad_data_are_told_once(tmp_path):
    status, _, errors = run("other data", tmp_path)
    assert status == 1
    assert "rank 1 of 2 has another X than rank 0" in errors
    assert errors.count("has another X") == 1
    status, _, errors = run("bad for all", tmp_path)
    assert status == 1
    assert errors.count("DataError: `X` holds NaN") == 1
    assert "MPI_Abort" not in errors, "all failed alike, and ended by themselves"


@pytest.mark.parametrize("to_one", [False, True])
def test_a_signal_stops_all_after_the_same_step(tmp_path, to_one):
    """SIGTERM to mpiexec, which hands it on to all, or to one process alone."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    assert run("well", tmp_path / "whole")[0] == 0
    how = "stops" if to_one else "well"
    process = start(sys.executable, HERE / "in_processes.py", how, tmp_path / "cut")
    if not to_one:
        while not list((tmp_path / "cut").glob("checkpoints/checkpoint-000001*")):
            time.sleep(0.001)
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
    status, _, errors = finished(process)
    stopped = not (tmp_path / "cut" / "weights.npy").exists()
    assert stopped or not to_one, errors
    assert not stopped or status == 143, errors
    assert run("well", tmp_path / "cut")[0] == 0
    np.testing.assert_array_equal(weights(tmp_path / "cut"), weights(tmp_path / "whole"))


def test_the_command_line(tmp_path):
    status, output, errors = command("train", "--epochs", 2, "--out", tmp_path / "run")
    assert status == 0, errors
    assert "on numpy in 2 processes" in output
    assert output.count("test accuracy") == 1
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"model.safetensors", "run.json"}
    status, output, errors = command(
        *("train", "--epochs", 3, "--out", tmp_path / "run", "--resume"), n=3
    )
    assert status == 0, errors
    assert "trained 3 epochs" in output


SUMS = """
import numpy as np, nnfs_xp as nn
group = nn.distributed.group(timeout=20)
random = np.random.default_rng(group.rank)
for dtype in ("float32", "float64"):
    for n in (1, 10, 20_000, 131_073, 700_001):
        own = random.normal(size=n).astype(dtype)
        whole = own.copy()
        group.add(whole)
        all_own = group.gather(own)
        np.testing.assert_allclose(whole, sum(all_own), rtol=1e-5, atol=1e-5)
        assert len({each.tobytes() for each in group.gather(whole)}) == 1
        part = own.copy()
        place = group.add_part(part)
        assert (part[place] == whole[place]).all()
        part = np.where((np.arange(n) >= place.start) & (np.arange(n) < place.stop), part, np.nan)
        part = part.astype(dtype)
        group.share_parts(part)
        assert (part == whole).all()
print(group.rank, "done")
"""


@pytest.mark.parametrize(("n", "shards"), [(2, None), (3, None), (5, None), (2, 8), (4, 4)])
def test_sums_of_any_size(n, shards):
    program = SUMS.replace("timeout=20", f"timeout=20, shards={shards}")
    status, output, errors = finished(start(sys.executable, "-c", program, n=n))
    assert status == 0, errors
    assert output.count("done") == n


def test_the_example(tmp_path):
    script = HERE.parent / "examples" / "train_many.py"
    for n, epochs in ((2, 5), (1, 6)):  # it goes on with fewer
        status, output, errors = finished(
            subprocess.Popen(
                [MPIEXEC, "-n", str(n), sys.executable, script, str(epochs)],
                env=environment(NNFS_XP_BACKEND="numpy"),
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        assert status == 0, errors
        assert f"{n} processes, test accuracy 0.9" in output
    assert (tmp_path / "digits.safetensors").exists()


def test_shards_from_the_command_line(tmp_path):
    for n in (1, 2):
        out = tmp_path / str(n)
        arguments = "train", "--epochs", 1, "--shards", 2, "--out", out
        status, _, errors = command(*arguments, n=n)
        assert status == 0, errors
    one, two = ((tmp_path / n / "model.safetensors").read_bytes() for n in "12")
    assert one == two


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "nothing"), "unknown data set"),
        (("train", "--bogus"), "unrecognized arguments"),
        (("train", "table.csv", "--target", "x"), "is trained on in one"),
        (("train", "--batch-size", 1, "--out", "out"), "fewer than the 2 processes"),
        (("train", "--shards", 3), "power of two"),
    ],
)
def test_bad_input_is_told_once(tmp_path, arguments, said):
    status, _, errors = command(*arguments, cwd=tmp_path)
    assert status == 2
    assert errors.count(said) == 1
    assert errors.count("error:") == 1


def test_a_launcher_of_another_mpi_is_named(monkeypatch):
    from nnfs_xp.distributed.mpi import import_mpi

    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    open_mpi = {**os.environ, "OMPI_COMM_WORLD_SIZE": "2", "PMIX_RANK": "0"}
    with pytest.raises(DistributedError, match="launcher of another MPI"):
        import_mpi(open_mpi)


def test_mpi4py_that_is_not_there_is_named(monkeypatch):
    from nnfs_xp.distributed.mpi import import_mpi

    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(BackendError, match=r"nnfs-xp\[mpi\]"):
        import_mpi({})
