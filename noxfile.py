"""The project's tasks. ``nox`` tests; ``nox -l`` lists the rest; versions are in pyproject.toml."""

import shutil
import subprocess
import sys
from pathlib import Path

import nox
from filelock import FileLock  # virtualenv's, and so there where nox is

nox.needs_version = ">=2026.10.20"  # runs sessions side by side
nox.options.sessions = ["tests-numpy", "tests-strict", "tests-cupy"]
nox.options.default_venv_backend = "virtualenv"

PYPROJECT = nox.project.load_toml("pyproject.toml")
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
PACKAGE = ".[plot,data,images,testing,numba]"
STRICT = "array_api_strict"
STRICTEST = "array_api_strict:device1"  # refuses all that array_api_strict refuses, and more
FEW_KILLS = ("--kills", "2")  # they are no matter of the backend
QUICK = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
"""Of each process. Tests run in as many as there are cores, and waiting threads take time; so does
compiling a module anew in each process, where a machine forbids to keep what was compiled."""


STAND_IN = {
    "PYTHONPATH": str(Path("tests/cuda_on_cpu").resolve()),
    "CUDA_ON_CPU_DEVICES": "2",
}
"""Puts the stand-in for CuPy in CuPy's place."""


def group(name: str) -> list[str]:
    return nox.project.dependency_groups(PYPROJECT, name)


def tests(*names: str) -> list[str]:
    return [f"tests/test_{name}.py" for name in names]


NUMBERS = tests(
    "chapter", "checkpoints", "contract", "losses", "normalization", "random", "training"
)
"""The tests of what kernels compute."""


def prepare(session: nox.Session, name: str, *requirements: str) -> Path:
    """Make the environment .nox/NAME, which several sessions share; the folder of its programs.

    It is made anew when pyproject.toml or Python has changed, and else taken as it is.
    """
    folder = Path(session.cache_dir).parent.resolve() / name
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    stamp = folder / "made-of.txt"
    made_of = "\n".join([sys.version, *requirements, Path("pyproject.toml").read_text("utf-8")])
    with FileLock(f"{folder}.lock"):  # sessions run side by side
        if not stamp.is_file() or stamp.read_text("utf-8") != made_of:
            virtualenv = (sys.executable, "-m", "virtualenv", "--quiet", "--clear", str(folder))
            session.run_install(*virtualenv, external=True)
            # What is imported is compiled then: most of it never is.
            pip = (str(programs / "python"), "-m", "pip", "install", "--no-compile")
            session.run_install(*pip, "-e", *requirements, external=True)
            stamp.write_text(made_of, "utf-8")
    return programs


def prepare_tests(session: nox.Session) -> Path:
    groups = (*group("test"), *group("cuda-on-cpu"), *group("types"))
    return prepare(session, "tests", PACKAGE, *groups)


def prepare_oracles(session: nox.Session) -> Path:
    extras = "plot,data,images,testing,numba,tensorboard,sklearn,onnx,keras,tables"
    groups = (*group("test"), *group("oracle"), *group("ecosystem"))
    return prepare(session, "oracles", f".[{extras}]", *groups)


def run_tests(
    session: nox.Session, backends: str, *arguments: str, programs: Path | None = None, **env: str
) -> None:
    """Run pytest, in as many processes as there are cores, or in one beside another session."""
    command = str(programs / "pytest") if programs else "pytest"
    processes = ("-n", "0") if session.parallel else ("-n", "auto", "--dist", "worksteal")
    session.run(
        *(command, "--nnfs-backends", backends, *processes, *arguments),
        env={**QUICK, **env},
        external=programs is not None,
    )


@nox.session(name="tests-numpy", venv_backend="none")
def tests_numpy(session: nox.Session) -> None:
    """Test on NumPy, with twenty trainings killed and resumed; the examples of the pages, too."""
    run_tests(session, "numpy", *session.posargs, programs=prepare_tests(session))


@nox.session(name="tests-strict", venv_backend="none")
def tests_strict(session: nox.Session) -> None:
    """Test what a backend can change on array_api_strict at its strictest."""
    paths = session.posargs or ["tests"]
    run_tests(session, STRICTEST, "-m", "backend", *paths, programs=prepare_tests(session))


@nox.session(name="tests-cupy")
def tests_cupy(session: nox.Session) -> None:
    """Test on CuPy. Asked for by name it fails without a GPU; else it says that it did not run."""
    asked_for = any("tests-cupy" in argument for argument in sys.argv)
    major = cuda_major()
    if major is None:
        message = "the tests on CuPy did not run: nvidia-smi finds no CUDA driver"
        session.error(message) if asked_for else session.skip(message)
    session.install("-e", PACKAGE, *group("test"), *EXTRAS["cuda13" if major >= 13 else "cuda12"])
    # Each process takes a part of the GPU's memory.
    run_tests(session, "cupy", "--maxprocesses", "8", *FEW_KILLS, *session.posargs)


@nox.session(name="tests-kernels", venv_backend="none", allow_parallel=True)
@nox.parametrize("kernels", ["numpy", "standard"])
def tests_kernels(session: nox.Session, kernels: str) -> None:
    """Test the numbers on NumPy with the kernels that are chosen without Numba, or by name."""
    programs = prepare_tests(session)
    arguments = ("-m", "backend", *NUMBERS, *session.posargs)
    run_tests(session, "numpy", *arguments, programs=programs, NNFS_XP_KERNELS=kernels)


@nox.session(venv_backend="none")
def kills(session: nox.Session) -> None:
    """Kill trainings 200 times, or as often as said: ``nox -s kills -- 1000``."""
    pytest = str(prepare_tests(session) / "pytest")
    times = session.posargs or ["200"]
    session.run(pytest, "-s", "--kills", *times, "tests/test_kills.py", external=True)


@nox.session(name="tests-torch", venv_backend="none", allow_parallel=True)
def tests_torch(session: nox.Session) -> None:
    """Test what a backend can change on PyTorch, and compare with PyTorch and scikit-learn."""
    programs = prepare_oracles(session)
    paths = session.posargs or ["tests", "--ignore=tests/ecosystem"]
    run_tests(session, "torch", "-m", "backend or oracle", *paths, programs=programs)
    run_tests(session, "numpy", "-m", "backend and oracle", *paths, programs=programs)


@nox.session(name="tests-ecosystem", venv_backend="none", allow_parallel=True)
def tests_ecosystem(session: nox.Session) -> None:
    """Test with scikit-learn, ONNX, PyTorch, Keras, JAX, tables and notebooks."""
    paths = ("tests/ecosystem", "docs/ecosystem")
    paths += ("nnfs_xp/sklearn", "nnfs_xp/tables", "nnfs_xp/reports")
    environment = {"KERAS_BACKEND": "torch", "SCIPY_ARRAY_API": "1"}
    programs = prepare_oracles(session)
    run_tests(session, "numpy", *(session.posargs or paths), programs=programs, **environment)


@nox.session(name="tests-browser", venv_backend="none", allow_parallel=True)
def tests_browser(session: nox.Session) -> None:
    """Test pages, recordings, JupyterLab and marimo in Debian's Chromium, which must be there."""
    groups = (*group("test"), *group("browser"))
    programs = prepare(session, "browser", ".[plot,data,testing,notebook]", *groups)
    # One process, for a test measures how fast the page moves; beside another session it has
    # more patience.
    is_shared = {"CI": "true"} if session.parallel else {}
    paths = session.posargs or ["tests/browser"]
    run_tests(session, "numpy", "-n", "0", *paths, programs=programs, **is_shared)


@nox.session(name="tests-ray", allow_parallel=True)
def tests_ray(session: nox.Session) -> None:
    """Test trainings in workers of Ray, and searches on Ray and Dask."""
    extras = "ray,sklearn,plot,testing,numba"
    groups = (*group("test"), *group("cluster"), *group("oracle"))
    session.install("--no-compile", "-e", f".[{extras}]", *groups)
    run_tests(session, "numpy", "-n", "0", *(session.posargs or ["tests/ray"]))


@nox.session(name="tests-cuda-on-cpu", venv_backend="none", allow_parallel=True)
def tests_cuda_on_cpu(session: nox.Session) -> None:
    """Test what runs on a GPU without one: CUDA sources, cuBLASLt and graphs, by a stand-in."""
    programs, environment = prepare_tests(session), STAND_IN
    no_matter = "kernels", "replay", "threads", "benchmarks", "growth", "gpu_check", "fuzz"
    others = "plots", "plugin", "kills", "cli", "mpi", "distributed_benchmark", "page"
    shown = "recordings", "watching"
    without = [f"--ignore={path}" for path in tests(*no_matter, *others, *shown)]  # of the backend
    examples = ("those_that_draw_show_what_they_say", "a_layer_of_ones_own", "the_dropout_paper")
    without += [f"--deselect=tests/test_examples.py::test_{name}" for name in examples]
    paths = session.posargs or ["tests", *without]
    run_tests(session, "cupy", *paths, programs=programs, **environment)
    if not session.posargs:
        paths = tests("contract", "weights")
        run_tests(session, "cupy:1", "-m", "backend", *paths, programs=programs, **environment)
        own = {**environment, "CUDA_ON_CPU": "1"}  # the stand-in's own tests
        command_line = "tests/test_cli.py::test_the_seed_decides_everything"
        paths = ("tests/cuda_on_cpu", command_line)
        # Most of these wait for processes of their own.
        run_tests(session, "cupy", "-n", "3", *paths, programs=programs, **own)


@nox.session(venv_backend="none")
def everything(session: nox.Session) -> None:
    """Run each test on each backend, also where a backend should change nothing: an hour."""
    programs = prepare_tests(session)
    run_tests(session, f"numpy,{STRICT},{STRICTEST}", *session.posargs, programs=programs)
    paths = session.posargs or ["tests"]
    run_tests(session, "cupy", *FEW_KILLS, *paths, programs=programs, **STAND_IN)
    programs = prepare_oracles(session)
    run_tests(session, "numpy,torch", *FEW_KILLS, *session.posargs, programs=programs)


@nox.session(allow_parallel=True)
def cuda(session: nox.Session) -> None:
    """Compile the CUDA sources, and read back what cuBLASLt is told: needs no GPU."""
    session.install("-e", ".[testing]", *group("test"), *group("cuda"))
    run_tests(session, "numpy", "tests/cuda_compiled", *session.posargs)
    session.run("python", "tests/cuda_on_cpu/signatures.py")  # the stand-in is like CuPy


@nox.session
def gpu(session: nox.Session) -> None:
    """Show on a GPU: smoke checks, tests, times beside PyTorch and JAX, MNIST; in build/gpu."""
    major = cuda_major()
    if major is None:
        session.error("nvidia-smi finds no CUDA driver")
    cuda = "cuda13" if major >= 13 else "cuda12"
    groups = (*group("test"), *group("bench"))
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


PYTHONS = ["3.11", "3.12", "3.13"]
PORTABLE = [
    f"--ignore={path}"
    for path in tests(
        *("kills", "benchmarks", "distributed_benchmark", "growth", "gpu_check", "fuzz", "mpi")
    )
]
"""Without the tests that kill, measure, forge and start MPI: what they find is no matter of
versions."""


DRAWN = ("--deselect=tests/test_examples.py::test_those_that_draw_show_what_they_say",)
"""Without the examples of the gallery, which the session docs runs, too."""


@nox.session(name="tests-pythons", python=PYTHONS, allow_parallel=True)
def tests_pythons(session: nox.Session) -> None:
    """Test on NumPy with another Python version: all but kills, benchmarks and forged files."""
    session.install("--no-compile", "-e", PACKAGE, *group("test"))
    run_tests(session, "numpy", *PORTABLE, *session.posargs)


@nox.session(python=PYTHONS, allow_parallel=True)
def minimums(session: nox.Session) -> None:
    """Test with the lowest versions that pyproject.toml allows, on NumPy and array_api_strict."""
    wanted = [*PYPROJECT["project"]["dependencies"], *group("test")]
    for extra in ("plot", "data", "images", "testing", "numba"):
        wanted += EXTRAS[extra]
    lowest = (requirement.replace(">=", "==") for requirement in wanted)
    session.install("--no-compile", "-e", ".", *lowest)
    # Old releases use what new releases of their own dependencies have deprecated.
    quiet = ("-W", "ignore::DeprecationWarning")
    # Commands and examples call what other tests call, too.
    without = [*PORTABLE, *(f"--ignore={path}" for path in tests("cli", "examples"))]
    run_tests(session, "numpy", *quiet, *without, *session.posargs)
    if not session.posargs:
        run_tests(session, STRICTEST, *quiet, "-m", "backend", *tests("contract"))


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz what reads files: ``nox -s fuzz -- 100000``, so many cases for each reader."""
    session.install("-e", ".[tables,testing]", *group("test"), *group("fuzz"))
    session.run("python", "tests/fuzz_files.py", *(session.posargs or ["100000"]))


@nox.session(python=PYTHONS, allow_parallel=True)
def wheel(session: nox.Session) -> None:
    """Build the wheel, install it, and test it away from the checkout, and without Numba."""
    here, there = Path.cwd(), Path(session.create_tmp()).resolve()
    shutil.rmtree(there / "dist", ignore_errors=True)
    session.run("pip", "wheel", "--no-deps", "--wheel-dir", str(there / "dist"), str(here))
    (built,) = (there / "dist").glob("*.whl")
    session.install("--no-compile", f"{built}[plot,data,images,testing]", *group("test"))
    for name in ("tests", "examples", "docs", "benchmarks"):
        shutil.copytree(here / name, there / name, dirs_exist_ok=True)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(here / name, there / name)
    session.chdir(there)
    paths = ("tests", "README.md", "docs")
    # The commands draw pictures, too.
    without = (
        *(f"--ignore={path}" for path in tests("kernels", "replay", "plots")),
        *PORTABLE,
        *DRAWN,
    )
    run_tests(session, "numpy", *without, *paths, *session.posargs)


@nox.session(allow_parallel=True)
def lint(session: nox.Session) -> None:
    """Check style, and that imports keep to their rooms."""
    hooks = Path(".pre-commit-config.yaml").read_text("utf-8")
    for requirement in group("lint"):
        if f'"{requirement}"' not in hooks:
            session.error(f".pre-commit-config.yaml must ask for {requirement}")
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-logo", env={"PYTHONPATH": "."})  # it reads, and runs nothing


@nox.session(venv_backend="none", allow_parallel=True)
def types(session: nox.Session) -> None:
    """Check the types."""
    session.run(str(prepare_tests(session) / "mypy"), external=True)


@nox.session(allow_parallel=True)
def docs(session: nox.Session) -> None:
    """Build the site in build/docs, examples run; a warning, or a name without a page, fails."""
    session.install("-e", ".[plot,data,images,testing,numba,tables]", *group("docs"))
    generated = ("docs/generated", "docs/api/generated", "docs/gallery")
    for folder in ("build/docs", "build/wheel", *generated):
        shutil.rmtree(folder, ignore_errors=True)
    # For the button that runs the library in the reader's browser: with all it needs but NumPy.
    wheels = (".", "array-api-compat")
    session.run("pip", "wheel", "--no-deps", "--wheel-dir", "build/wheel", *wheels)
    command = ("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "build/docs")
    session.run(*command, *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Run a benchmark beside its peers: ``nox -s bench -- steps``; without a name, list them."""
    session.install("-e", PACKAGE, *group("bench"))
    session.run("python", "-m", "benchmarks", *session.posargs)
