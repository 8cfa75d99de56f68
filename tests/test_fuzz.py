"""Hostile files: read or refused, and nothing else. `fuzz_files.py` does the same for longer."""

from __future__ import annotations

import gzip
import json
import os
import struct
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from random import Random

import forged
import fuzzed
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import nnfs_xp as nn
from nnfs_xp.errors import CheckpointError, DataError, TrainingWarning
from nnfs_xp.runs import read_run

seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return fuzzed.real_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def book_model(tmp_path_factory):
    return fuzzed.real_book_model(tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return fuzzed.real_checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def resumer(tmp_path_factory):
    return fuzzed.Resumer(tmp_path_factory.mktemp("resumed"))


def bounded(call, content):
    """What the call gives, if it takes little time, and memory some times that of the file."""
    tracemalloc.start()
    begin = time.process_time()
    try:
        return call()
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2**21 + 100 * len(content)
        assert time.process_time() - begin < 10


@settings(max_examples=300)
@given(seed=seeds)
def test_a_forged_model_is_read_or_refused(seed, model, tmp_path):
    content = forged.forge(model, Random(seed))
    (tmp_path / "model").write_bytes(content)
    bounded(lambda: fuzzed.load_model(tmp_path / "model"), content)


@settings(max_examples=200)
@given(seed=seeds)
def test_a_forged_model_of_the_books_is_read_or_refused(seed, book_model, tmp_path):
    content = forged.forge(book_model, Random(seed))
    (tmp_path / "book").write_bytes(content)
    bounded(lambda: fuzzed.load_book_model(tmp_path / "book"), content)


@settings(max_examples=300)
@given(seed=seeds)
def test_a_forged_checkpoint_is_read_or_refused(seed, checkpoints, resumer):
    random = Random(seed)
    content = forged.forge(random.choice(checkpoints), random)
    bounded(lambda: resumer.resume(content), content)


@given(seed=seeds)
def test_a_damaged_checkpoint_is_never_read(seed, checkpoints, resumer):
    random = Random(seed)
    whole = random.choice(checkpoints)
    content = forged.damage(whole, random)
    assert content == whole or not resumer.resume(content)


def test_the_forger_knows_the_format(model, checkpoints, resumer, tmp_path):
    """Else all that it forges would be refused for the wrong reason."""
    (tmp_path / "model").write_bytes(forged.put_together(*forged.take_apart(model)))
    assert fuzzed.load_model(tmp_path / "model")
    for content in checkpoints:
        assert resumer.resume(forged.put_together(*forged.take_apart(content)))


MIDDLE, END = 0, 1
FORGERIES = [
    (MIDDLE, ["epoch"], 0),
    (MIDDLE, ["epoch"], 2**70),
    (MIDDLE, ["epoch"], 1.0),
    (MIDDLE, ["epoch"], True),
    (MIDDLE, ["epoch"], "1"),
    (MIDDLE, ["first_epoch"], -1),
    (MIDDLE, ["first_epoch"], 2),
    (MIDDLE, ["step"], -1),
    (MIDDLE, ["step"], 1),
    (MIDDLE, ["step"], 4),
    (END, ["step"], 1),
    (MIDDLE, ["steps_done"], 3),
    (MIDDLE, ["steps_done"], float("inf")),
    (MIDDLE, ["steps_done"], 2**64),
    (MIDDLE, ["iterations"], 10**400),
    (MIDDLE, ["iterations"], None),
    (MIDDLE, ["stopping"], 1),
    (MIDDLE, ["stopping"], "no"),
    (MIDDLE, ["history"], []),
    (MIDDLE, ["history"], {}),
    (MIDDLE, ["history", "loss"], [1.0, 2.0]),
    (MIDDLE, ["history", "loss"], ["1.0"]),
    (MIDDLE, ["history", "loss"], {"0": 1.0}),
    (MIDDLE, ["history", "loss"], [10**400]),
    (MIDDLE, ["history", "more"], [1.0, 2.0]),
    (MIDDLE, ["schedule"], None),
    (MIDDLE, ["schedule", "rate"], -0.01),
    (MIDDLE, ["schedule", "rate"], 1e300),
    (MIDDLE, ["schedule", "rate"], float("nan")),
    (MIDDLE, ["schedule", "waited"], -1),
    (MIDDLE, ["schedule", "best"], float("nan")),
    (MIDDLE, ["schedule", "best"], "0.5"),
    (MIDDLE, ["callbacks"], []),
    (MIDDLE, ["callbacks"], [{}, {}]),
    (MIDDLE, ["callbacks"], {"0": {}}),
    (MIDDLE, ["callbacks", 0], 7),
    (MIDDLE, ["callbacks", 0, "best"], None),
    (MIDDLE, ["callbacks", 0, "waited"], 0.5),
    (MIDDLE, ["run"], None),
    (MIDDLE, ["run", "model"], "x" * 10**6),
    (MIDDLE, ["run", "\x1b[2J"], 1),
    (MIDDLE, ["run", "seed"], "@[900"),
]


@pytest.mark.parametrize(("which", "place", "value"), FORGERIES)
def test_a_checkpoint_that_contradicts_itself_is_refused(which, place, value, checkpoints, resumer):
    kind, description, arrays = forged.take_apart(checkpoints[which])
    *parents, last = place
    parent = description
    for each in parents:
        parent = parent[each]
    parent[last] = value
    assert not resumer.resume(forged.put_together(kind, description, arrays))


def f32(*values):
    return "F32", [len(values)], struct.pack(f"<{len(values)}f", *values)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("weights", None),
        ("weights", f32(*[0.0] * 20)),
        ("weights", f32(*[0.0] * 20, float("nan"))),
        ("weights", ("I32", [21], bytes(84))),
        ("weights", ("F64", [21], bytes(168))),
        ("optimizer.cache", None),
        ("optimizer.cache", ("F32", [21, 1], bytes(84))),
        ("optimizer.average", f32(*[0.0] * 20, float("inf"))),
        ("optimizer.more", f32(*[0.0] * 21)),
        ("../weights", f32(*[0.0] * 21)),
        ("totals.count", None),
        ("totals.count", ("I64", [], struct.pack("<q", 4))),
        ("totals.count", ("I64", [], struct.pack("<q", -3))),
        ("totals.count", ("F32", [], struct.pack("<f", 3.0))),
        ("totals.loss", None),
        ("totals.loss", f32(1.0)),
        ("totals.loss", ("F32", [], struct.pack("<f", float("inf")))),
        ("totals.metric.accuracy", ("I32", [2], bytes(8))),
        ("totals.metric.more", ("F32", [2], bytes(8))),
        ("callback.0.0.weights", None),
        ("callback.0.0.weights", ("F32", [3, 2], bytes(24))),
        ("callback.0.0.biases", ("F32", [1, 3], struct.pack("<3f", 1, 2, float("nan")))),
        ("callback.0.more", f32(1.0)),
        ("callback.2.0.weights", f32(1.0)),
        ("callback.-1.0.weights", f32(1.0)),
        ("callback.x", f32(1.0)),
    ],
)
def test_a_checkpoint_with_other_arrays_is_refused(name, array, checkpoints, resumer):
    kind, description, arrays = forged.take_apart(checkpoints[MIDDLE])
    assert arrays["weights"][:2] == ("F32", [21])
    arrays.pop(name, None)
    if array is not None:
        arrays[name] = array
    assert not resumer.resume(forged.put_together(kind, description, arrays))


class Learner(nn.Callback):
    """Somebody's own callback, which looks at nothing before it takes up."""

    def __init__(self):
        self.seen, self.words = 0, []

    def state(self):
        return {"seen": self.seen, "words": self.words}

    def load_state(self, state):
        self.seen = state["seen"]
        self.words = list(state["words"])
        if self.seen != len(self.words):
            raise RuntimeError("not as many words as were seen")


def test_callbacks_have_their_former_states_back_where_one_refuses(tmp_path):
    first = nn.EarlyStopping("loss"), Learner(), Learner()
    fuzzed.fit(fuzzed.build_trainer(), list(first), checkpoint=tmp_path)
    (path,) = [each for each in tmp_path.iterdir() if "-000002-" in each.name]
    kind, description, arrays = forged.take_apart(path.read_bytes())
    description["callbacks"][1] |= {"seen": 2, "words": ["a", "b"]}
    description["callbacks"][2] |= {"seen": 2, "words": ["a"]}
    path.write_bytes(forged.put_together(kind, description, arrays))

    trainer, callbacks = fuzzed.build_trainer(), [nn.EarlyStopping("loss"), Learner(), Learner()]
    fuzzed.fit(trainer, callbacks)
    assert trainer.optimizer.is_exchanged(trainer.model)
    before = fuzzed.state_of(trainer, callbacks)
    with pytest.raises(CheckpointError, match="Learner cannot take up its state: not as many"):
        fuzzed.fit(trainer, callbacks, checkpoint=tmp_path, resume=True)
    after = fuzzed.state_of(trainer, callbacks)
    np.testing.assert_equal(after, before)
    assert callbacks[1].seen == callbacks[2].seen == 0


def test_models_in_models_cost_little(model, tmp_path):
    kind, description, _ = forged.take_apart(model)
    layer = {"class": "Sequential", "layers": [{"class": "Tanh"}] * 9000}
    for _ in range(90):
        layer = {"class": "Sequential", "layers": [layer]}
    content = forged.put_together(kind, description | {"model": layer}, {})
    (tmp_path / "model").write_bytes(content)
    begin = time.process_time()
    assert fuzzed.load_model(tmp_path / "model")
    assert time.process_time() - begin < 20
    layer = {"class": "Sequential", "layers": [{"class": "Tanh"}] * 10**4}
    content = forged.put_together(kind, description | {"model": layer}, {})
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(CheckpointError, match="more than 10,000 layers"):
        nn.load(tmp_path / "model")


COUNTS = """
import resource, sys
from pathlib import Path
import nnfs_xp as nn
nn.load(sys.argv[1], "numpy")
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))
for path in sys.argv[2:]:
    try:
        nn.load(path, "numpy")
    except nn.errors.CheckpointError:
        continue
    sys.exit(f"{path} was taken")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux'")
def test_huge_counts_are_refused_in_little_memory(model, tmp_path):
    (tmp_path / "real").write_bytes(model)
    kind, description, arrays = forged.take_apart(model)
    paths = []
    for number, size in enumerate([2**14, 2**20, 2**31, 2**62]):
        layer = {"class": "Dense", "config": {"n_inputs": size, "n_neurons": size}}
        one = forged.put_together(kind, description | {"model": layer}, arrays)
        shape = arrays | {"0.weights": ("F32", [size, size], bytes(24))}
        other = forged.put_together(kind, description, shape)
        for content in (one, other, struct.pack("<Q", size * 2) + model[8:]):
            paths.append(tmp_path / f"{number}-{len(paths)}")
            paths[-1].write_bytes(content)
    # A hole in a file takes no room on the disk: 1 TiB of weights that are not there.
    header = json.dumps({"x": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}})
    header = header[:-1] + f', "__metadata__": {json.dumps({kind: "{}"})}}}'
    paths.append(tmp_path / "sparse")
    with paths[-1].open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header.encode())
        try:
            file.truncate(8 + len(header) + 2**40)
        except OSError:
            paths.pop()
    code = [sys.executable, "-c", COUNTS, str(tmp_path / "real"), *map(str, paths)]
    run = subprocess.run(code, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_what_is_no_file_is_refused_at_once(tmp_path, checkpoints):
    os.mkfifo(tmp_path / "checkpoint-000009-000000000.safetensors")
    (tmp_path / "checkpoint-000008-000000000.safetensors").symlink_to("/dev/zero")
    (tmp_path / "checkpoint-000007-000000000.safetensors").mkdir()
    (tmp_path / "checkpoint-000006-000000000.safetensors").symlink_to("nowhere")
    loop = tmp_path / "checkpoint-000005-000000000.safetensors"
    loop.symlink_to(loop)
    paths = [*tmp_path.iterdir(), "\0", "x" * 5000]
    assert len(paths) == 7
    for path in paths:
        with pytest.raises(CheckpointError):
            nn.load(path)
    (tmp_path / fuzzed.NAME).write_bytes(checkpoints[MIDDLE])
    trainer = fuzzed.build_trainer()
    with pytest.warns(TrainingWarning, match="passed over"):
        fuzzed.fit(trainer, fuzzed.build_callbacks(), checkpoint=tmp_path, resume=True)
    assert trainer.epoch == 2


def test_damaged_checkpoints_do_not_push_out_the_new_one(tmp_path):
    for number in (7, 8, 9):
        (tmp_path / f"checkpoint-00000{number}-000000000.safetensors").write_bytes(b"damaged")
    (tmp_path / fuzzed.NAME).write_bytes(b"damaged")
    checkpoints = nn.Checkpoints(tmp_path)
    assert checkpoints.save(1, 2, {}, {}) in checkpoints.files()
    assert len(checkpoints.files()) == 2


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_callback_that_fails_beyond_all_bounds_leaves_the_older_checkpoint(tmp_path):
    def spoil(trainer):
        if trainer.epoch == 1:
            trainer.model.flat.values[...] = float("nan")
            raise RuntimeError("spoilt")

    callback = nn.LambdaCallback(on_step_end=spoil)
    with pytest.raises(RuntimeError, match="spoilt"):
        fuzzed.fit(fuzzed.build_trainer(), [callback], checkpoint=tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.name == "checkpoint-000001-000000000.safetensors"


@settings(max_examples=200)
@given(
    shape=st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 4), max_size=9),
    head=st.binary(max_size=4) | st.just(b""),
    size=st.integers(0, 64),
    seed=seeds,
    packed=st.booleans(),
)
@example(shape=[2**15, 2**15], head=b"", size=8, seed=0, packed=True)
@example(shape=[0, 2**32 - 1, 2**32 - 1, 2**32 - 1], head=b"", size=0, seed=0, packed=True)
def test_a_forged_idx_file_is_read_or_refused(shape, head, size, seed, packed, tmp_path):
    content = (head or struct.pack(">HBB", 0, 8, len(shape))) + bytes(size)
    content = content[:4] + struct.pack(f">{len(shape)}I", *shape) + content[4:]
    content = gzip.compress(content)
    content = content if packed else forged.damage(content, Random(seed))
    (tmp_path / "file.gz").write_bytes(content)
    bounded(lambda: fuzzed.read_data(tmp_path / "file.gz"), content)


def test_what_is_packed_may_not_be_more_than_its_header_says(tmp_path):
    bomb = struct.pack(">HBBI", 0, 8, 1, 5) + bytes(2**24)
    (tmp_path / "file.gz").write_bytes(gzip.compress(bomb))
    with pytest.raises(DataError, match="holds more"):
        bounded(lambda: nn.data.idx.read_idx(tmp_path / "file.gz"), b"")


@pytest.mark.parametrize(
    "forged_run",
    [
        {"dataset": 3},
        {"hidden": 5},
        {"hidden": ["64"]},
        {"hidden": [[64]]},
        {"hidden": [True]},
        {"learning_rate": "0.1"},
        {"seed": 1.5},
        {"epochs": None},
    ],
)
def test_a_forged_run_is_refused(forged_run, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"dataset": "digits"} | forged_run))
    with pytest.raises(DataError, match="is damaged"):
        read_run(tmp_path)


cells = st.sampled_from(["1", "-2.5e3", "nan", "inf", "1e999", "", " ", "x", '"', '""', "\x1b[2J"])


@settings(max_examples=200)
@given(
    content=st.binary(max_size=200)
    | st.lists(st.lists(cells | st.text(max_size=9), max_size=4).map(",".join), max_size=5).map(
        lambda rows: "\n".join(rows).encode("utf-8", "surrogatepass")
    )
)
@example(content=b"1,2\n3," + b"x" * 10**5)
@example(content=b"1,2\n3," + b"x" * 10**6)
@example(content=b"1" * 10**5)
def test_a_forged_csv_file_is_read_or_refused(content, tmp_path):
    path = Path(tmp_path / "file.csv")
    path.write_bytes(content)
    bounded(lambda: fuzzed.read_data(path), content)
