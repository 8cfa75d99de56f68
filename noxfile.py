"""The project's tasks. ``nox`` tests; ``nox -l`` lists the rest; versions are in pyproject.toml."""

import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["tests-numpy", "tests-strict", "tests-cupy"]
nox.options.default_venv_backend = "virtualenv"

PYPROJECT = nox.project.load_toml("pyproject.toml")
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
PACKAGE = ".[plot,data,testing,numba]"
FEW_KILLS = ("--kills", "2")  # they are no matter of the backend
STRICT = "array_api_strict,array_api_strict:device1"


def group(name: str) -> list[str]:
    return nox.project.dependency_groups(PYPROJECT, name)


def run_tests(session: nox.Session, backends: str, *requirements: str) -> None:
    session.install("-e", PACKAGE, *group("test"), *requirements)
    session.run("pytest", "--nnfs-backends", backends, *FEW_KILLS, *session.posargs)


@nox.session(name="tests-numpy")
def tests_numpy(session: nox.Session) -> None:
    """Test on NumPy, with twenty trainings killed and resumed."""
    session.install("-e", PACKAGE, *group("test"))
    session.run("pytest", "--nnfs-backends", "numpy", *session.posargs)


@nox.session(name="tests-kernels")
@nox.parametrize("kernels", ["numpy", "standard"])
def tests_kernels(session: nox.Session, kernels: str) -> None:
    """Test the numbers on NumPy with the kernels that are chosen without Numba, or by name."""
    session.install("-e", PACKAGE, *group("test"))
    names = ("chapter", "checkpoints", "contract", "losses", "normalization", "random", "training")
    session.run(
        "pytest",
        "--nnfs-backends",
        "numpy",
        *(f"tests/test_{name}.py" for name in names),
        *session.posargs,
        env={"NNFS_XP_KERNELS": kernels},
    )


@nox.session
def kills(session: nox.Session) -> None:
    """Kill trainings 200 times, or as often as said: ``nox -s kills -- 1000``."""
    session.install("-e", PACKAGE, *group("test"))
    times = session.posargs or ["200"]
    session.run("pytest", "-s", "--kills", *times, "tests/test_kills.py")


@nox.session(name="tests-strict")
def tests_strict(session: nox.Session) -> None:
    """Test on array_api_strict: on its default device, and on another at its strictest."""
    run_tests(session, STRICT)


@nox.session(name="tests-torch")
def tests_torch(session: nox.Session) -> None:
    """Test on PyTorch, and with PyTorch as the oracle."""
    run_tests(session, "numpy,torch", *group("oracle"), *EXTRAS["tensorboard"])


@nox.session(name="tests-ecosystem")
def tests_ecosystem(session: nox.Session) -> None:
    """Test with scikit-learn, ONNX, PyTorch, Keras, JAX, tables and notebooks."""
    extras = "plot,data,testing,numba,sklearn,onnx,keras,tables"
    session.install("-e", f".[{extras}]", *group("test"), *group("oracle"), *group("ecosystem"))
    paths = ("tests/ecosystem", "docs/ecosystem", "nnfs_xp/sklearn", "nnfs_xp/tables")
    environment = {"KERAS_BACKEND": "torch", "SCIPY_ARRAY_API": "1"}
    session.run("pytest", "--nnfs-backends", "numpy", *(session.posargs or paths), env=environment)


@nox.session(name="tests-cupy")
def tests_cupy(session: nox.Session) -> None:
    """Test on CuPy. Asked for by name it fails without a GPU; else it says that it did not run."""
    asked_for = any("tests-cupy" in argument for argument in sys.argv)
    major = cuda_major()
    if major is None:
        message = "the tests on CuPy did not run: nvidia-smi finds no CUDA driver"
        session.error(message) if asked_for else session.skip(message)
    run_tests(session, "cupy", *EXTRAS["cuda13" if major >= 13 else "cuda12"])


@nox.session(name="tests-cuda-on-cpu")
def tests_cuda_on_cpu(session: nox.Session) -> None:
    """Test what runs on a GPU without one: CUDA sources, cuBLASLt and graphs, by a stand-in."""
    session.install("-e", PACKAGE, *group("test"), *group("cuda-on-cpu"))
    environment = {
        "PYTHONPATH": str(Path("tests/cuda_on_cpu").resolve()),
        "CUDA_ON_CPU_DEVICES": "2",
    }
    command = ("pytest", "--nnfs-backends", "cupy", *FEW_KILLS)
    no_matter = ("kernels", "benchmarks", "gpu_check", "fuzz", "plots", "plugin")  # of the backend
    without = (f"--ignore=tests/test_{name}.py" for name in no_matter)
    session.run(*command, *(session.posargs or ["tests", *without]), env=environment)
    if not session.posargs:
        paths = (f"tests/test_{name}.py" for name in ("contract", "training", "weights"))
        session.run("pytest", "--nnfs-backends", "cupy:1", *paths, env=environment)
        own = {**environment, "CUDA_ON_CPU": "1"}  # the stand-in's own tests
        session.run("pytest", "--nnfs-backends", "cupy", "tests/cuda_on_cpu", env=own)


@nox.session
def cuda(session: nox.Session) -> None:
    """Compile the CUDA sources, and read back what cuBLASLt is told: needs no GPU."""
    session.install("-e", ".[testing]", *group("test"), *group("cuda"))
    session.run("pytest", "--nnfs-backends", "numpy", "tests/cuda_compiled", *session.posargs)
    session.run("python", "tests/cuda_on_cpu/signatures.py")  # the stand-in is like CuPy


@nox.session
def gpu(session: nox.Session) -> None:
    """Show on a GPU: smoke checks, tests, times beside PyTorch and JAX, MNIST; in build/gpu."""
    major = cuda_major()
    if major is None:
        session.error("nvidia-smi finds no CUDA driver")
    cuda = "cuda13" if major >= 13 else "cuda12"
    groups = (*group("test"), *group("bench"), "pytest-xdist")
    session.install("-e", PACKAGE, *groups, *EXTRAS[cuda], f"jax[{cuda}]>=0.10")
    session.run("python", "-m", "benchmarks.gpu_check", *session.posargs)


def cuda_major() -> int | None:
    """The newest CUDA major version that the driver serves, or None without a driver."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    answer = subprocess.run([command], capture_output=True, text=True, check=False)
    _, found, rest = answer.stdout.partition("CUDA Version: ")
    return int(rest.partition(".")[0]) if answer.returncode == 0 and found else None


@nox.session(name="tests-pythons", python=["3.11", "3.12", "3.13"])
def tests_pythons(session: nox.Session) -> None:
    """Test on NumPy with every Python version that is supported."""
    run_tests(session, "numpy")


@nox.session
def minimums(session: nox.Session) -> None:
    """Test with the lowest versions that pyproject.toml allows."""
    wanted = [*PYPROJECT["project"]["dependencies"], *group("test")]
    for extra in ("plot", "data", "testing", "numba"):
        wanted += EXTRAS[extra]
    session.install("-e", ".", *(requirement.replace(">=", "==") for requirement in wanted))
    # Old releases use what new releases of their own dependencies have deprecated.
    quiet = ("-W", "ignore::DeprecationWarning")
    session.run(
        "pytest", *quiet, "--nnfs-backends", f"numpy,{STRICT}", *FEW_KILLS, *session.posargs
    )


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz what reads files: ``nox -s fuzz -- 100000``, so many cases for each of four readers."""
    session.install("-e", ".", *group("fuzz"))
    session.run("python", "tests/fuzz_files.py", *(session.posargs or ["100000"]))


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel, install it, and test it away from the checkout, and without Numba."""
    here, there = Path.cwd(), Path(session.create_tmp()).resolve()
    shutil.rmtree(there / "dist", ignore_errors=True)
    session.install("build")
    session.run("python", "-m", "build", "--wheel", "--outdir", str(there / "dist"), str(here))
    (built,) = (there / "dist").glob("*.whl")
    session.install(f"{built}[plot,data,testing]", *group("test"))
    for name in ("tests", "examples", "docs", "benchmarks"):
        shutil.copytree(here / name, there / name, dirs_exist_ok=True)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(here / name, there / name)
    session.chdir(there)
    paths = ("tests", "README.md", "docs")
    without = ("--ignore", "tests/test_kernels.py")
    session.run(
        "pytest", "--nnfs-backends", "numpy", *FEW_KILLS, *without, *paths, *session.posargs
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, and that imports keep to their rooms."""
    session.install("-e", ".", *group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-logo")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types."""
    session.install("-e", ".", *group("types"))
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site in build/docs, examples run; a warning, or a name without a page, fails."""
    session.install("-e", ".[plot,data,testing,numba,tables]", *group("docs"))
    for folder in ("build/docs", "docs/generated", "docs/api/generated", "docs/gallery"):
        shutil.rmtree(folder, ignore_errors=True)
    command = ("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "build/docs")
    session.run(*command, *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Run a benchmark beside its peers: ``nox -s bench -- steps``; without a name, list them."""
    session.install("-e", PACKAGE, *group("bench"))
    session.run("python", "-m", "benchmarks", *session.posargs)
