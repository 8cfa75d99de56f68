"""Groups on Ray: results, failures and bad input of runs with two workers on this machine."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import ray

import nnfs_xp as nn
from nnfs_xp.backend import to_numpy
from nnfs_xp.distributed import RayGroup, run_on_ray
from nnfs_xp.distributed.ray import is_worker
from nnfs_xp.training import Callback

pytestmark = [
    # Ray's own: of settings of its next version, and of files and sockets that it leaves open.
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

EPOCHS = 6
KILLED_AT = 3, 5
"""The epoch and the step."""


@pytest.fixture(scope="module")
def cluster():
    """Ray, with room for two workers."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not find it
    yield
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    ray.shutdown()


def trained(group=None, callbacks=(), **settings):
    """The weights and losses that a training on the digits comes to."""
    X, y, X_test, y_test = nn.data.load_digits()
    model = nn.Sequential(nn.Dense(64, 32), nn.ReLU(), nn.Dropout(0.1), nn.Dense(32, 10), seed=0)
    loss, optimizer = nn.SoftmaxCategoricalCrossentropy(), nn.SGD(0.1, momentum=0.9)
    trainer = nn.Trainer(model, loss, optimizer, backend="numpy", group=group)
    trainer.fit(
        *(X, y),
        epochs=EPOCHS,
        batch_size=100,
        validation_data=(X_test, y_test),
        callbacks=callbacks,
        progress=False,
        **settings,
    )
    return to_numpy(model.flat.all_values), trainer.history["loss"]


class Killer(Callback):
    """Kills one worker once, in the middle of an epoch; notes when a training begins."""

    def __init__(self, group):
        self.group = group

    def on_train_begin(self, trainer):
        Path(f"began-{self.group.rank}-{time.time()}-at-{trainer.epoch}").touch()

    def on_step_end(self, trainer):
        if self.group.rank == 1 and (trainer.epoch, trainer.step) == KILLED_AT:
            marker = Path(f"killed-{time.time()}")
            if not list(Path().glob("killed-*")):
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)


def test_starts_ray_and_ends_it(tmp_path, capfd):
    def work(group):
        assert is_worker()
        time.sleep(4)  # so that it would be seen what is said each second
        return os.environ["OMP_NUM_THREADS"], Path.cwd(), group.size

    assert not ray.is_initialized()
    handler = signal.getsignal(signal.SIGINT)
    assert run_on_ray(work, workers=(1, 1), storage=tmp_path / "new") == ("1", tmp_path / "new", 1)
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGINT) is handler
    told = "".join(capfd.readouterr())
    assert "Started training worker group" in told
    assert "Failed to query" not in told
    assert not is_worker()


def ends_of(aborted, left_alone):
    """What rank 0 is told where rank 1 ends one group, and does not come to a call of another."""
    if aborted.rank == 1:
        aborted.abort("no more")
        time.sleep(3)
    errors, begin = [], time.monotonic()
    for group in aborted, left_alone, left_alone:
        try:
            group.agree(1)
        except nn.errors.DistributedError as error:
            errors.append(str(error))
    return errors, time.monotonic() - begin


@pytest.mark.usefixtures("cluster")
def test_operations(tmp_path):
    def work(group):
        found = nn.distributed.group(timeout=30, shards=4)
        whole = np.arange(600_000, dtype=np.float32) + group.rank  # of more than one piece
        in_order = whole.copy()
        group.add(whole)
        found.add(in_order)
        parts = np.zeros(5, np.float64)
        parts[found.flat_part(5)] = group.rank + 1
        found.share_parts(parts)
        into = np.full((2, 3), group.rank, np.int64)
        group.broadcast_into(into)
        group.compare(same=1)
        group.settle()
        ends = nn.distributed.group(timeout=30), nn.distributed.group(timeout=1)
        errors = ends_of(*ends)
        return group.gather(
            {
                "errors": errors,
                "class": type(group) is RayGroup and type(found) is RayGroup,
                "place": (group.rank, group.size, group.local_rank, found.shards, group.is_alone),
                "add": (whole == 2 * np.arange(600_000, dtype=np.float32) + 1).all(),
                "in order": (in_order == whole).all(),
                "broadcast": group.broadcast({"of": group.rank, "data": np.arange(3)})["of"],
                "into": int(into.max()),
                "gather": group.gather("ab"[group.rank] * (group.rank + 1)),
                "agree": group.agree(group.rank, -group.rank),
                "part": group.part(5),
                "parts": parts.tolist(),
            }
        )

    first, second = run_on_ray(work, workers=2, storage=tmp_path)
    assert first.pop("place") == (0, 2, 0, 4, False)
    assert second.pop("place") == (1, 2, 1, 4, False)
    errors, seconds = first.pop("errors")
    assert ["waited in `agree`" in error for error in errors] == [True] * 3
    assert errors[1] == errors[2]
    assert 0.9 < seconds < 2.5
    errors, _ = second.pop("errors")
    assert errors[0] == "rank 1 of 2 ended this: no more"
    assert first.pop("part") == slice(0, 3)
    assert second.pop("part") == slice(3, 5)
    assert first == second
    assert all(first[name] for name in ("class", "add", "in order"))
    assert (first["broadcast"], first["into"]) == (0, 0)
    assert first["gather"] == ["a", "bb"]
    assert first["agree"] == (1.0, 0.0)
    assert first["parts"] == [1, 1, 1, 2, 2]


@pytest.mark.usefixtures("cluster")
def test_trains_and_goes_on_after_a_kill(tmp_path):
    def uncut(group):
        return group.gather(trained(group))

    def cut(group):
        return trained(group, [Killer(group)], checkpoint="run", resume=True)

    (weights, losses), (others, _) = run_on_ray(uncut, workers=(2, 2), storage=tmp_path)
    expected, expected_losses = trained()
    assert np.linalg.norm(weights - expected) <= 1e-6 * np.linalg.norm(expected)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-6)
    assert (others == weights).all()

    again, losses_again = run_on_ray(cut, workers=(1, 2), storage=tmp_path)
    assert again.tobytes() == weights.tobytes()
    assert losses_again == losses
    (killed,) = tmp_path.glob("killed-*")
    begun = sorted(tmp_path.glob("began-*"))
    assert [path.name[-1] for path in begun] == list("0303")  # the epoch, of rank 0 and rank 1
    back = float(begun[-1].name.split("-")[2]) - float(killed.name.split("-")[1])
    assert 0 < back < 60


def runs(folder):
    return len(list(folder.glob("ran-*")))


@pytest.mark.usefixtures("cluster")
def test_bad_input_is_raised_once(tmp_path):
    def all_alike(group):
        Path(f"ran-{group.rank}-{time.time()}").touch()
        nn.Trainer(
            nn.Sequential(nn.Dense(3, 2), seed=0),
            nn.MeanSquaredError(),
            nn.SGD(),
            backend="numpy",
            group=group,
        ).fit(np.zeros((8, 5), np.float32), np.zeros((8, 2), np.float32), progress=False)

    def one_alone(group):
        Path(f"ran-{group.rank}-{time.time()}").touch()
        if group.rank == 1:
            raise nn.errors.DataError("the file is damaged")
        group.agree(1)

    def different(group):
        Path(f"ran-{group.rank}-{time.time()}").touch()
        group.compare(number_of_rows=group.rank)

    with pytest.raises(nn.errors.ShapeError, match=r"got \(8, 5\)") as caught:
        run_on_ray(all_alike, workers=2, storage=tmp_path / "all")
    assert "all_alike" in caught.value.__notes__[0]
    assert runs(tmp_path / "all") == 2

    begin = time.monotonic()
    with pytest.raises(nn.errors.DataError, match="the file is damaged"):
        run_on_ray(one_alone, workers=2, storage=tmp_path / "one")
    assert runs(tmp_path / "one") == 2
    assert time.monotonic() - begin < 60  # far less than the timeout

    with pytest.raises(nn.errors.DistributedError, match="another number of rows than rank 0"):
        run_on_ray(different, workers=2, storage=tmp_path / "different")
    assert runs(tmp_path / "different") == 2


@pytest.mark.usefixtures("cluster")
def test_other_errors_end_the_run_after_the_last_try(tmp_path):
    def fails(group):
        Path(f"ran-{group.rank}-{time.time()}").touch()
        if group.rank == 1:
            raise KeyError("column")
        group.agree(1)

    with pytest.raises(nn.errors.DistributedError, match=r"rank 1: KeyError: 'column'"):
        run_on_ray(fails, workers=2, max_failures=0, storage=tmp_path)
    assert runs(tmp_path) == 2


def test_the_command_line(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "nnfs_xp", "train", "--epochs", "2", "--ray", "2"]
    environment = {**os.environ, "NNFS_XP_BACKEND": "numpy"}
    done = subprocess.run(
        [*command, "--out", out],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "on numpy in 2 processes" in done.stdout + done.stderr
    assert "test accuracy" in done.stdout + done.stderr
    assert (out / "model.safetensors").exists()


def takes_none():
    pass


class Unsendable:
    def __init__(self):
        self.lock = threading.Lock()

    def __call__(self, group):
        pass


BAD = [
    ({"function": 3}, "`function` must be callable"),
    ({"function": takes_none}, "`function` must take a group"),
    ({"function": Unsendable()}, "`function` cannot be pickled"),
    ({"workers": 0}, "`workers` must be a whole number"),
    ({"workers": (2, 1)}, "`workers` must be"),
    ({"workers": (1, 2, 3)}, "`workers` must be a pair"),
    ({"workers": 1.5}, "`workers` must be a whole number"),
    ({"max_failures": -1}, "`max_failures` must be a whole number"),
    ({"storage": 5}, "`storage` must be a string"),
    ({"storage": ""}, "`storage` must be a string"),
    ({"storage": __file__}, "`storage` .* cannot be used"),
    ({"timeout": 0}, "`timeout`"),
    ({"shards": 3}, "`shards` must be a power of two"),
    ({"shards": 4}, "the number of workers must be fixed"),
    ({"shards": 4, "workers": 3}, "the number of workers must be fixed"),
]


@pytest.mark.parametrize(("setting", "message"), BAD, ids=[text for _, text in BAD])
def test_bad_arguments_are_refused_before_ray_starts(setting, message, tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: pytest.fail("Ray was asked"))
    settings = {"function": lambda group: None, "storage": tmp_path} | setting
    with pytest.raises(nn.errors.ArgumentError, match=message):
        run_on_ray(settings.pop("function"), **settings)


@pytest.mark.parametrize("missing", ["ray", "torch.distributed"])
def test_what_is_missing_is_named(missing, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        nn.errors.BackendError, match=r"is not installed; pip install 'nnfs-xp\[ray"
    ):
        run_on_ray(print, storage=tmp_path)


def test_outside_of_a_run_there_is_no_group():
    with pytest.raises(nn.errors.DistributedError, match="no worker of a Ray Train run"):
        nn.distributed.group("ray")
