"""Starting a run on Ray: a function in several workers, again where a worker is lost."""

from __future__ import annotations

import importlib
import inspect
import math
import os
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from nnfs_xp import _checks
from nnfs_xp.distributed.group import Group
from nnfs_xp.distributed.ray import LONGEST, LostError, RayGroup, groups_here, imported
from nnfs_xp.errors import (
    ArgumentError,
    BackendError,
    DistributedError,
    NnfsError,
    TrainingWarning,
)

T = TypeVar("T")


def run_on_ray(
    function: Callable[[Group], T],
    *,
    workers: int | tuple[int, int] = (1, 8),
    max_failures: int = 3,
    storage: str | Path,
    timeout: float = 600.0,
    shards: int | None = None,
) -> T:
    """Run a function in several workers on Ray, again where a worker or a machine is lost.

    Each worker calls ``function(group)``, which makes the trainer with ``group=group`` and calls
    `fit` with ``checkpoint="run", resume=True``. Its current folder is `storage`, so that relative
    paths name files that all workers see, and that are still there when the run is begun anew:
    then all workers call the function once more, and `fit` goes on from the newest checkpoint.
    The same happens when Ray has room for more workers, or for fewer.

    Parameters
    ----------
    function : callable (Group) -> object
        Ray sends it to the workers by cloudpickle, with what it refers to. nnfs_xp must be
        installed there.
    workers : int or (int, int)
        How many, or at least and at most how many: as many as Ray has room for. Each has a GPU
        where Ray has any; else a core of a CPU.
    max_failures : int
        How often a run is begun anew after a worker was lost, or raised an error that is none of
        this library's.
    storage : str or Path
        A folder that all machines see. For what Ray writes it may be a place in a cloud, such as
        ``"s3://bucket/folder"``; then the current folder is one of Ray's, and is lost with it.
    timeout, shards
        See `Group`.

    Returns
    -------
    object
        What the function returned in rank 0.

    Raises
    ------
    ArgumentError
        A setting is out of its range, or the function cannot be sent, or what it returned.
    BackendError
        Ray or PyTorch is not installed.
    DistributedError
        The run failed once more than `max_failures` times.
    NnfsError
        An error of this library that a worker raised, for bad input say: it is raised here, and
        the function is not run again.

    Notes
    -----
    Ray is started on this machine, and ended afterwards, where it is not there: where neither
    ``ray.init`` was called, nor the environment variable ``RAY_ADDRESS`` names a cluster, nor
    ``ray start`` was run. For what the workers need beside it, call ``ray.init(runtime_env=...)``.

    Examples
    --------
    A training that outlives its machines: the function ``train(group)`` loads the data, makes
    ``Trainer(model, loss, optimizer, group=group)``, calls ``trainer.fit(X, y, epochs=50,
    checkpoint="run", resume=True)``, and returns ``trainer.model``. With it,
    ``run_on_ray(train, workers=(2, 8), storage="/shared/mnist")`` gives the trained model.
    """
    low, high = _numbers_of_workers(workers)
    max_failures = _checks.check_count("max_failures", max_failures, least=0)
    Group(timeout=timeout, shards=shards)  # refuses them
    if shards is not None and (low != high or shards % low):
        raise ArgumentError(
            f"with `shards` {shards} the number of workers must be fixed, and divide it; got "
            f"`workers` {workers}."
        )
    _check_function(function)
    folder = _storage_of(storage)
    ray = imported("ray", "Ray")
    train = imported("ray.train", "Ray Train")
    imported("torch.distributed", "PyTorch, which Ray's workers are connected by,")
    torch_train = imported("ray.train.torch", "Ray Train")
    sent = _pickled(ray, "function", function)
    with _started(ray), _former_handler():
        has_gpus = _check_room(ray, low)
        outcome = ray.remote(_Outcome).options(num_cpus=0, **_here(ray)).remote()
        trainer = torch_train.TorchTrainer(
            _work,
            train_loop_config={
                "function": sent,
                "outcome": outcome,
                "folder": folder,
                "settings": {"timeout": timeout, "shards": shards},
            },
            torch_config=torch_train.TorchConfig(
                backend="gloo", timeout_s=math.ceil(min(timeout, LONGEST))
            ),
            scaling_config=train.ScalingConfig(
                num_workers=low if low == high else (low, high), use_gpu=has_gpus
            ),
            run_config=train.RunConfig(
                storage_path=folder,
                failure_config=train.FailureConfig(max_failures=max_failures),
            ),
        )
        try:
            trainer.fit()
        except train.TrainingFailedError as error:
            raise DistributedError(_why(error)) from error
        refusal, result = ray.get(outcome.read.remote())
        if refusal is not None:
            refused, trace = ray.cloudpickle.loads(refusal)
            refused.add_note(f"In a worker:\n{trace}")
            raise refused
        if result is None:
            raise DistributedError("the run was ended before the function had returned.")
        returned: T = ray.cloudpickle.loads(result)
        return returned


def _numbers_of_workers(workers: object) -> tuple[int, int]:
    if not isinstance(workers, (tuple, list)):
        n = _checks.check_count("workers", workers)
        return n, n
    low, high = (_checks.check_count("workers", n) for n in _checks.pair_of("workers", workers))
    if low > high:
        raise ArgumentError(f"`workers` must be (fewest, most); got ({low}, {high}).")
    return low, high


def _check_function(function: object) -> None:
    if not callable(function):
        raise ArgumentError(f"`function` must be callable; got {_checks.quoted(function)}.")
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        raise ArgumentError(f"`function` must take a group: {error}.") from None
    except ValueError:  # it does not tell
        pass


def _storage_of(storage: object) -> str:
    """The folder from the root on, made where it is missing; a place in a cloud as it is."""
    if not isinstance(storage, (str, Path)) or not str(storage):
        raise ArgumentError(
            f"`storage` must be a string or a pathlib.Path; got {_checks.quoted(storage)}."
        )
    if "://" in str(storage):
        return str(storage)
    try:
        folder = Path(storage).expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ArgumentError(f"`storage` {_checks.shown(storage)} cannot be used: {why}.") from None
    return str(folder)


def _pickled(ray: Any, name: str, value: object) -> bytes:
    try:
        data: bytes = ray.cloudpickle.dumps(value)
    except Exception as error:  # pickling runs code of any class
        raise ArgumentError(
            f"`{name}` cannot be pickled to be sent: {type(error).__name__}: {error}"
        ) from error
    return data


def _check_room(ray: Any, low: int) -> bool:
    """Whether there are GPUs; a warning where workers will be waited for."""
    resources = ray.cluster_resources()
    kind = "GPU" if resources.get("GPU", 0) else "CPU"
    n = int(resources.get(kind, 0))
    if n < low:
        warnings.warn(
            f"Ray has {n} {kind}s, fewer than the {low} workers asked for: it waits for more.",
            TrainingWarning,
            stacklevel=3,
        )
    return kind == "GPU"


def _here(ray: Any) -> dict[str, Any]:
    """Options that have an actor run on this machine, which is there as long as the run is."""
    scheduling = importlib.import_module("ray.util.scheduling_strategies")
    node = ray.get_runtime_context().get_node_id()
    strategy = scheduling.NodeAffinitySchedulingStrategy(node_id=node, soft=True)
    return {"scheduling_strategy": strategy}


@contextmanager
def _started(ray: Any) -> Iterator[None]:
    """Ray, started and ended again where it was not there."""
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(include_dashboard=False, runtime_env={"worker_process_setup_hook": _silence()})
    except ConnectionError as error:
        raise BackendError(f"Ray cannot be reached: {_checks.shown(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _silence() -> Callable[[], None]:
    """What Ray's processes run first: without a dashboard, one warns each second that it has none.

    A function within a function, which is sent as it is: not all of them import this library.
    """

    def silence() -> None:
        import logging

        name = "ray.train.v2._internal.execution.controller.placement_group_cleaner"
        logging.getLogger(name).setLevel(logging.ERROR)

    return silence


@contextmanager
def _former_handler() -> Iterator[None]:
    """Give Ctrl-C back its meaning, which Ray Train leaves changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if former is not None:  # one that Python did not set cannot be set again
            signal.signal(signal.SIGINT, former)


def _why(error: Any) -> str:
    """What ended a run, in a line."""
    failures: dict[int, Any] = getattr(error, "worker_failures", None) or {}
    # Those who waited for another worker have less to say than that one.
    for rank in sorted(failures, key=lambda rank: (isinstance(failures[rank], LostError), rank)):
        failure = failures[rank]
        text = f"rank {rank}: {type(failure).__name__}: {failure}"
        return f"the run on Ray failed: {_checks.shown(text, 500)}"
    return f"the run on Ray failed: {_checks.shown(error, 500)}"


class _Outcome:
    """What a run comes to, kept beside its workers: a process of Ray's."""

    def __init__(self) -> None:
        self._refusal: bytes | None = None
        self._result: bytes | None = None

    def refuse(self, error: bytes) -> None:
        """Keep an error that is not to be tried again."""
        if self._refusal is None:
            self._refusal = error

    def finish(self, result: bytes) -> None:
        """Keep what rank 0 returned."""
        self._result = result

    def read(self) -> tuple[bytes | None, bytes | None]:
        """The error, and the result."""
        return self._refusal, self._result


def _work(config: dict[str, Any]) -> None:
    """What Ray runs in each worker."""
    ray, outcome = imported("ray", "Ray"), config["outcome"]
    if "://" not in config["folder"]:
        os.chdir(config["folder"])
    try:
        function = _loaded(ray, config["function"])
        group = RayGroup(**config["settings"])
        result = function(group)
        if group.rank == 0:
            ray.get(outcome.finish.remote(_pickled(ray, "what the function returned", result)))
    except LostError:
        if ray.get(outcome.read.remote())[0] is None:
            raise
    except NnfsError as error:
        trace = "".join(traceback.format_exception(error)).rstrip()
        ray.get(outcome.refuse.remote(ray.cloudpickle.dumps((error, trace))))
        for each in groups_here:
            each._end(str(error))


def _loaded(ray: Any, data: bytes) -> Callable[[Group], Any]:
    try:
        function: Callable[[Group], Any] = ray.cloudpickle.loads(data)
    except Exception as error:  # unpickling runs code of any class
        raise ArgumentError(
            f"a worker cannot load `function`: {type(error).__name__}: {error}. Where a module of "
            "your own is missing, install it there, or hand it over by "
            "ray.init(runtime_env={'working_dir': '.'})."
        ) from error
    return function
