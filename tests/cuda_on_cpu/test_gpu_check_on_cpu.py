"""The check for a GPU, rehearsed with the stand-in: whatever is broken, its summary names it.

Each fault is planted by a `sitecustomize` that all processes of the check import.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

cupy = pytest.importorskip("cupy")
if "stand-in" not in cupy.__version__:
    pytest.skip("this CuPy is the real one", allow_module_level=True)

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]

BEFORE_LAUNCH = """
import ctypes, time
import cupy
launch = cupy.RawKernel.__call__
def faulty(self, *arguments, **more):
{fault}
    return launch(self, *arguments, **more)
cupy.RawKernel.__call__ = faulty
"""

DOES_NOT_COMPILE = """
import cupy
make = cupy.RawModule.__init__
def faulty(self, code=None, **more):
    make(self, code=code.replace("void random_bits(", "void random_bits(Planted planted, "), **more)
cupy.RawModule.__init__ = faulty
"""

WRONG = BEFORE_LAUNCH.format(fault="    if self.name == 'sgd': return")

NO_MEMORY_ACCESS = BEFORE_LAUNCH.format(fault="    if self.name == 'sgd': ctypes.string_at(0)")

ILLEGAL_ADDRESS = "broken = []" + BEFORE_LAUNCH.format(
    fault="""
    if broken or self.name == 'sgd':
        broken.append(True)
        text = 'CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered'
        raise cupy.cuda.driver.CUDADriverError(text)
"""
)

HANGS = BEFORE_LAUNCH.format(fault="    if self.name == 'sgd': time.sleep(600)")

ONE_WRONG_STEP = BEFORE_LAUNCH.format(fault="    if self.name == 'relu_backward_biases': return")

NO_DRIVER = "import cupy; cupy.is_available = lambda: False"

OLD_CARD = """
import cupy
class Device(cupy.cuda.Device):
    compute_capability = "75"
cupy.cuda.Device = Device
"""


@pytest.fixture
def check(tmp_path):
    """Runs the check with a fault; gives the process, its summary, and how long it took."""

    def run(*arguments, plant="", stand_in=FOLDER, **environment):
        (tmp_path / "sitecustomize.py").write_text(plant)
        out = tmp_path / "out"
        paths = (tmp_path, stand_in, ROOT)
        command = [sys.executable, "-m", "benchmarks.gpu_check"]
        begin = time.monotonic()
        done = subprocess.run(
            [*command, "--kit", str(tmp_path / "no-kit"), *map(str, arguments)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={
                **{name: os.environ[name] for name in os.environ if name != "NNFS_XP_DATA"},
                "PYTHONPATH": os.pathsep.join(map(str, paths)),
                "OUT": str(out),
                **environment,
            },
        )
        done.seconds = time.monotonic() - begin
        done.out = out
        done.summary = (out / "summary.md").read_text()
        assert "**A rehearsal on a CPU: no figure here is one of a GPU.**" in done.summary
        assert len(list(out.iterdir())) <= 8
        return done

    return run


def smoke_of(done):
    lines = (done.out / "smoke.jsonl").read_text().splitlines()
    return {each["check"]: each for each in map(json.loads, lines)}


SMOKE = ("--only", "smoke", "--checks", "kernels:float32,backend")


class TestAFaultIsNamed:
    @pytest.mark.parametrize(
        ("plant", "text"),
        [
            (DOES_NOT_COMPILE, "CompileException: kernels.cu:"),
            (WRONG, "sgd: AssertionError:"),
            (NO_MEMORY_ACCESS, "ended by SIGSEGV"),
            (ILLEGAL_ADDRESS, "sgd: CUDADriverError: CUDA_ERROR_ILLEGAL_ADDRESS"),
        ],
        ids=["does not compile", "wrong", "segmentation fault", "illegal address"],
    )
    def test_in_the_smoke_checks(self, check, plant, text):
        done = check(*SMOKE, "--minutes", 1, plant=plant)
        assert done.returncode == 1
        found = smoke_of(done)
        assert found["backend"]["ok"]  # each is in a process of its own
        assert not found["kernels:float32"]["ok"]
        (line,) = [each for each in done.summary.splitlines() if "**fails**" in each]
        assert "kernels:float32" in line
        assert text in line
        assert "| smoke | status 1 |" in done.summary
        assert done.seconds < 60

    def test_a_hang(self, check):
        done = check(*SMOKE, "--minutes", 0.3, plant=HANGS)
        assert done.returncode == 1
        assert done.seconds < 18
        assert smoke_of(done)["backend"]["ok"]
        (line,) = [each for each in done.summary.splitlines() if "**fails**" in each]
        assert "kernels:float32" in line
        assert "no answer in its time" in line
        assert "sitecustomize.py" in line  # where it hangs

    @pytest.mark.parametrize(
        ("plant", "text"),
        [
            (WRONG, "1 x AssertionError:"),
            (NO_MEMORY_ACCESS, "crashed while running"),
        ],
        ids=["wrong", "segmentation fault"],
    )
    def test_in_the_tests(self, check, plant, text):
        test = "tests/cuda/test_cuda_kernels.py::test_arrays_that_start_anywhere[0]"
        arguments = ("--only", "tests", "--tests", test, "--minutes", 1, "--workers", 2)
        done = check(*arguments, plant=plant)
        assert done.returncode == 1
        assert done.seconds < 60
        assert text in done.summary
        assert test in done.summary
        assert test in (done.out / "failures.log").read_text()

    def test_a_hang_in_the_tests(self, check):
        test = "tests/cuda/test_cuda_kernels.py::test_arrays_that_start_anywhere[0]"
        arguments = ("--only", "tests", "--tests", test, "--minutes", 0.3, "--workers", 1)
        done = check(*arguments, plant=HANGS)
        assert done.returncode == 1
        assert done.seconds < 18
        assert "| tests | stopped after " in done.summary
        assert "KeyboardInterrupt" in (done.out / "tests.log").read_text()


def test_where_a_step_is_wrong_no_times_are_taken(check):
    checks = ("--checks", "one_step_beside_numpy")
    arguments = ("--only", "smoke,bench,mnist", *checks, "--minutes", 1)
    done = check(*arguments, plant=ONE_WRONG_STEP)
    assert done.returncode == 1
    for line in (
        "| smoke | status 3 |",
        "| bench | not run: a step is not right | 0 |",
        "| mnist | not run: a step is not right | 0 |",
    ):
        assert line in done.summary


def test_where_the_time_is_over_it_is_not_known_whether_a_step_is_right(check):
    slow = "import sys, time; '--one' in sys.orig_argv and time.sleep(600)"
    arguments = ("--only", "smoke,mnist", "--checks", "one_step_beside_numpy", "--minutes", 0.4)
    done = check(*arguments, plant=slow)
    assert done.returncode == 1
    assert done.seconds < 24
    assert "whether a step is right is not known" in done.summary
    assert "not run: a step is not right" not in done.summary


class TestNothingToRunOn:
    def told(self, done):
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert f"**{line}**" in done.summary
        assert "| smoke | not run: there is nothing to run on | 0 |" in done.summary
        return line

    def test_no_driver(self, check):
        line = self.told(check(plant=NO_DRIVER))
        assert line == "cupy is not usable: no CUDA driver or no CUDA device was found"

    def test_an_old_card(self, check):
        assert "needs a GPU of compute capability 8.0" in self.told(check(plant=OLD_CARD))

    def test_full_memory(self, check):
        line = self.told(check(CUDA_ON_CPU_MEMORY=str(100 * 2**20)))
        assert "MiB of memory free, of 100; this needs 256" in line

    def test_a_package_that_no_kit_brings(self, check):
        plant = "import sys; sys.modules['safetensors'] = None"
        line = self.told(check(plant=plant))
        assert line == "safetensors cannot be imported, and no kit brings it: install it here"

    def test_no_wheels(self, check, tmp_path):
        only_cupy = tmp_path / "only_cupy"
        only_cupy.mkdir()
        (only_cupy / "cupy").symlink_to(FOLDER / "cupy")
        line = self.told(check(stand_in=only_cupy))
        assert line.startswith("nvmath-python cannot be imported: run `python -m benchmarks.gpu.pr")

    def test_a_card_that_does_not_answer(self, check):
        hangs = "import cupy, time; cupy.is_available = lambda: time.sleep(600)"
        done = check("--minutes", 0.2, plant=hangs)
        assert "a look at the card stopped after" in done.stderr
        assert done.returncode == 2
        assert done.seconds < 12


def test_all_parts(check):
    done = check(
        *("--checks", "versions,backend,one_step_beside_numpy", "--minutes", 3),
        *("--tests", "tests/test_weights.py"),
    )
    assert done.returncode == 0, done.summary
    assert done.seconds < 180
    assert done.stdout.endswith(done.summary)
    for name in ("setup", "smoke", "tests", "ranks", "bench", "cifar", "mnist", "compiled"):
        assert f"| {name} | ok |" in done.summary
    for line in (
        "## Smoke: 3 of 3 hold",
        "## Tests: ",
        "Steps of 64-64-64-64-64, float32: ",
        "Steps of 64-64-64-64-64, bfloat16: ",
        "| train_step, recorded | ",
        "| launch of a kernel | ",
        "64-64-64-64-64, batch 32, bfloat16",
        "not measured: MNIST: NNFS_XP_DATA does not name",
        "- card: stand-in",
        "The network for CIFAR-10 at batch 8:",
        "two processes: weights are those of one process",
    ):
        assert line in done.summary, line
    assert "cuBLASLt" in (done.out / "bench.log").read_text()  # its plans
