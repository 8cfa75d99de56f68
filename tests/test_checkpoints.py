"""Checkpoints and resuming: what is kept, what is refused, and how a training is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.errors import CheckpointError, TrainingWarning

X, Y, X_TEST, Y_TEST = nn.data.load_digits()


def build(backend="numpy", optimizer=None, hidden=16, seed=0, **options):
    model = nn.Sequential(
        nn.Dense(64, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Dense(hidden, 10), nn.Softmax(), seed=0
    )
    optimizer = optimizer or nn.Adam(0.01)
    return nn.Trainer(
        model, nn.CategoricalCrossentropy(), optimizer, backend=backend, seed=seed, **options
    )


def fit(trainer, epochs=2, **options):
    return trainer.fit(
        X[:300], Y[:300], **{"batch_size": 50, "progress": False, "epochs": epochs, **options}
    )


class CutError(Exception):
    """Ends a training from a callback."""


def cut_at(epoch, step):
    def hook(trainer):
        if (trainer.epoch, trainer.step) == (epoch, step):
            raise CutError

    return nn.LambdaCallback(on_step_end=hook)


def idle():
    return nn.LambdaCallback(on_step_end=lambda trainer: None)


def weights(trainer):
    return nn.to_numpy(trainer.model.flat.values).copy()


OPTIMIZERS = {
    "SGD": lambda: nn.SGD(0.1, momentum=0.9),
    "Adam": lambda: nn.Adam(nn.CosineDecay(0.01, 20, warmup_steps=3), amsgrad=True, clip_norm=1.0),
    "AdamW": lambda: nn.AdamW(nn.ReduceOnPlateau(0.01, monitor="loss", patience=0)),
    "Lion": lambda: nn.Lion(nn.OneCycle(0.001, 30), average_decay=0.9),
    "Muon": lambda: nn.Muon(nn.CosineDecay(0.02, 20), weight_decay=0.1),
    "Lookahead": lambda: nn.Lookahead(
        nn.AdamW(nn.ReduceOnPlateau(0.01, monitor="loss", patience=0), average_decay=0.9), k=4
    ),
    "decay": lambda: nn.AdamW(
        nn.CosLog(0.01, 20),
        weight_decay=nn.Warmup(nn.ReduceOnPlateau(2.0, monitor="loss", mode="max", patience=0), 3),
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_that_was_cut_goes_on_bit_for_bit(backend, name, tmp_path):
    whole = build(backend, OPTIMIZERS[name]())
    expected = fit(whole, 3, callbacks=[idle()])
    for cut in ((0, 1), (1, 3), (1, 6), (2, 4)):
        folder = tmp_path / f"{cut}"
        with pytest.raises(CutError):
            fit(build(backend, OPTIMIZERS[name]()), 3, checkpoint=folder, callbacks=[cut_at(*cut)])
        resumed = build(backend, OPTIMIZERS[name]())
        history = fit(resumed, 3, checkpoint=folder, resume=True, callbacks=[idle()])
        assert history == expected
        assert np.array_equal(weights(resumed), weights(whole))
        assert resumed.optimizer.iterations == 18


def test_batch_norm_and_metrics_in_mid_epoch_are_kept(tmp_path):
    runs = []
    for cut in (False, True):
        trainer = build(metrics=["accuracy"])
        if cut:
            with pytest.raises(CutError):
                fit(build(), checkpoint=tmp_path, callbacks=[cut_at(0, 4)])
            runs.append(fit(trainer, checkpoint=tmp_path, resume=True, callbacks=[idle()]))
        else:
            runs.append(fit(trainer, callbacks=[idle()]))
    assert runs[0] == runs[1]


def test_a_finished_run_can_be_resumed_and_extended(tmp_path):
    fit(build(), 2, checkpoint=tmp_path)
    again = build()
    history = fit(again, 2, checkpoint=tmp_path, resume=True)
    assert history.epochs == 2
    longer, whole = build(), build()
    assert fit(longer, 4, checkpoint=tmp_path, resume=True) == fit(whole, 4)
    assert np.array_equal(weights(longer), weights(whole))


def test_resume_without_a_checkpoint_starts_anew(tmp_path):
    trainer, plain = build(), build()
    assert fit(trainer, checkpoint=tmp_path / "new", resume=True) == fit(plain)


def test_two_are_kept_and_the_one_before_serves_for_a_damaged_one(tmp_path):
    fit(build(), 3, checkpoint=nn.Checkpoints(tmp_path, every_steps=2))
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == [
        "checkpoint-000002-000000004.safetensors",
        "checkpoint-000003-000000000.safetensors",
    ]
    newest = tmp_path / kept[-1]
    content = bytearray(newest.read_bytes())
    content[-5] ^= 1
    newest.write_bytes(content)
    trainer, whole = build(), build()
    with pytest.warns(TrainingWarning, match="passed over a checkpoint .*000003.* is damaged"):
        history = fit(trainer, 3, checkpoint=tmp_path, resume=True)
    assert history == fit(whole, 3)
    for path in tmp_path.iterdir():
        path.write_bytes(b"nothing")
    with (
        pytest.warns(TrainingWarning, match="passed over"),
        pytest.raises(CheckpointError, match=r"no checkpoint in .* is whole"),
    ):
        fit(build(), 3, checkpoint=tmp_path, resume=True)


def test_a_folder_with_checkpoints_is_not_written_over(tmp_path):
    fit(build(), checkpoint=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match="resume=True"):
        fit(build(), checkpoint=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("other", "options", "complaint"),
    [
        (lambda: build(hidden=8), {}, "its model is"),
        (lambda: build(optimizer=nn.Adam(0.02)), {}, "its optimizer is"),
        (lambda: build(optimizer=nn.SGD(0.01)), {}, "its optimizer is"),
        (lambda: build(seed=1), {}, "its seed is 0, now it is 1"),
        (lambda: build(metrics=()), {}, "its metrics is"),
        (build, {"batch_size": 30}, "its batch size is 50, now it is 30"),
        (build, {"shuffle": False}, "its shuffle is"),
        (build, {"validation_data": (X_TEST, Y_TEST)}, "its validation samples is None"),
        (build, {"callbacks": [idle()]}, "its callbacks is"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(other, options, complaint, tmp_path):
    fit(build(), checkpoint=tmp_path)
    trainer = other()
    before = weights(trainer)
    with pytest.raises(CheckpointError, match=complaint):
        fit(trainer, checkpoint=tmp_path, resume=True, **options)
    assert np.array_equal(weights(trainer), before)
    assert trainer.optimizer.iterations == 0


def test_other_data_sizes_and_loss_are_refused(tmp_path):
    fit(build(), checkpoint=tmp_path)
    with pytest.raises(CheckpointError, match="its samples is 300, now it is 299"):
        build().fit(X[:299], Y[:299], epochs=2, batch_size=50, checkpoint=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"resume": True}, "`resume` needs `checkpoint`"),
        ({"checkpoint": 3}, "must be a folder or Checkpoints"),
        ({"callbacks": ["early"]}, "a callback is a Callback object"),
    ],
)
def test_wrong_arguments(options, error):
    with pytest.raises(nn.errors.ArgumentError, match=error):
        fit(build(), **options)


@pytest.mark.parametrize(
    "options", [{"every_steps": 0}, {"every_seconds": 0.0}, {"keep": 0}, {"every_steps": 1.5}]
)
def test_settings_out_of_range(options, tmp_path):
    with pytest.raises(nn.errors.ArgumentError):
        nn.Checkpoints(tmp_path, **options)


def test_a_folder_that_cannot_be_made_is_an_error_before_the_first_step(tmp_path):
    (tmp_path / "file").touch()
    trainer = build()
    with pytest.raises(CheckpointError, match=r"cannot keep .* cannot write into .*/file is no"):
        fit(trainer, checkpoint=tmp_path / "file")
    assert trainer.optimizer.iterations == 0


def test_a_full_disk_ends_no_training_and_harms_no_older_checkpoint(tmp_path, monkeypatch):
    def fail(_descriptor):
        raise OSError(28, "No space left on device")

    def fill_the_disk(trainer):
        if trainer.epoch == 1:
            monkeypatch.setattr(os, "fsync", fail)

    full = nn.LambdaCallback(on_epoch_begin=fill_the_disk)
    trainer, whole = build(), build()
    with pytest.warns(TrainingWarning, match="no checkpoint could be kept.*No space left") as seen:
        history = fit(trainer, 3, checkpoint=tmp_path, callbacks=[full])
    assert len([each for each in seen if each.category is TrainingWarning]) == 2
    assert history == fit(whole, 3, callbacks=[idle()])
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000001-000000000.safetensors"]
    monkeypatch.undo()
    resumed = build()
    again = nn.LambdaCallback()
    assert fit(resumed, 3, checkpoint=tmp_path, resume=True, callbacks=[again]) == history


def test_a_folder_that_vanishes_is_made_again(tmp_path):
    folder = tmp_path / "run"

    def remove(trainer):
        if trainer.epoch == 1:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()

    fit(build(), 2, checkpoint=folder, callbacks=[nn.LambdaCallback(on_epoch_begin=remove)])
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_step_end", "on_epoch_end"])
def test_a_callback_that_raises_ends_the_run_with_a_checkpoint(hook, tmp_path):
    def fail(trainer, *_):
        if trainer.epoch == 1:
            raise CutError

    trainer = build()
    with pytest.raises(CutError):
        fit(trainer, 3, checkpoint=tmp_path, callbacks=[nn.LambdaCallback(**{hook: fail})])
    resumed, whole = build(), build()
    history = fit(resumed, 3, checkpoint=tmp_path, resume=True, callbacks=[nn.LambdaCallback()])
    assert history == fit(whole, 3)
    assert np.array_equal(weights(resumed), weights(whole))


STOPPED = """
import sys
sys.path.insert(0, {tests!r})
import signal
import nnfs_xp as nn
from test_checkpoints import build, fit
signal.signal(signal.SIGINT, signal.default_int_handler)

def send(trainer):
    if (trainer.epoch, trainer.step) == (1, 2):
        for _ in range({times}):
            signal.raise_signal(signal.{name})
    if (trainer.epoch, trainer.step) == (1, 3):
        print("went on", flush=True)

fit(build(), 3, checkpoint={folder!r}, callbacks=[nn.LambdaCallback(on_step_end=send)])
"""


def stopped(folder, name, times=1):
    code = STOPPED.format(
        tests=str(Path(__file__).parent), folder=str(folder), name=name, times=times
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize(("name", "status"), [("SIGINT", -signal.SIGINT), ("SIGTERM", 143)])
def test_a_signal_finishes_the_step_saves_and_says_where(name, status, tmp_path):
    result = stopped(tmp_path, name)
    assert result.returncode == status
    assert "went on" not in result.stdout
    assert "stopped after epoch 1, step 2; checkpoint in" in result.stderr
    assert (tmp_path / "checkpoint-000001-000000002.safetensors").exists()
    resumed, whole = build(), build()
    history = fit(resumed, 3, checkpoint=tmp_path, resume=True, callbacks=[idle()])
    assert history == fit(whole, 3)
    assert np.array_equal(weights(resumed), weights(whole))


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize(
    ("name", "status"), [("SIGINT", -signal.SIGINT), ("SIGTERM", -signal.SIGTERM)]
)
def test_a_second_signal_leaves_at_once(name, status, tmp_path):
    result = stopped(tmp_path, name, times=2)
    assert result.returncode == status
    assert not (tmp_path / "checkpoint-000001-000000002.safetensors").exists()
    assert (tmp_path / "checkpoint-000001-000000000.safetensors").exists()


def test_signals_are_given_back(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    fit(build(), 1, checkpoint=tmp_path)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_checkpoint_holds_what_is_not_finite(tmp_path):
    checkpoints = nn.Checkpoints(tmp_path, every_steps=1, keep=100)
    trainer = build(optimizer=nn.SGD(1e30))
    with pytest.raises(nn.errors.DivergenceError):
        fit(trainer, checkpoint=checkpoints)
    assert np.isfinite(weights(trainer)).all()
    for path in checkpoints.files():
        _, arrays = nn.interop.tensor_file.read_tensors(path, "nnfs_xp checkpoint")
        assert np.isfinite(arrays["weights"]).all()


def test_time_makes_checkpoints_too(tmp_path):
    checkpoints = nn.Checkpoints(tmp_path, every_seconds=1e-6, keep=100)
    fit(build(), 1, checkpoint=checkpoints)
    assert len(checkpoints.files()) == 6  # five within the epoch, one at its end


def test_quick_epochs_make_one_at_the_end_only(tmp_path):
    checkpoints = nn.Checkpoints(tmp_path, least_seconds=1000, keep=100)
    history = fit(build(), 5, checkpoint=checkpoints)
    (path,) = tmp_path.iterdir()
    assert path.name == "checkpoint-000005-000000000.safetensors"
    before = path.stat().st_mtime_ns
    assert fit(build(), 5, checkpoint=checkpoints, resume=True) == history
    assert path.stat().st_mtime_ns == before, "nothing new, nothing written"


OWN = "checkpoint-000002-000000000.safetensors"


def test_files_of_other_names_in_the_folder_are_left_alone(tmp_path):
    others = ["checkpoint-best.safetensors", "checkpoint-2-3.safetensors", f"{OWN}.safetensors"]
    for name in others:
        (tmp_path / name).write_text("mine")
    every = nn.ModelCheckpoint(f"{tmp_path}/checkpoint-{{epoch:02d}}.safetensors", "loss")
    best = nn.ModelCheckpoint(tmp_path / "checkpoint-best-loss.safetensors", "loss")
    checkpoints = nn.Checkpoints(tmp_path, keep=1)
    fit(build(), 2, checkpoint=checkpoints, callbacks=[every, best])
    assert checkpoints.files() == [tmp_path / OWN]
    assert {path.name for path in tmp_path.iterdir()} == {
        *others,
        OWN,
        "checkpoint-01.safetensors",
        "checkpoint-02.safetensors",
        "checkpoint-best-loss.safetensors",
    }
    assert {(tmp_path / name).read_text() for name in others} == {"mine"}


def test_the_newest_is_known_by_its_numbers(tmp_path):
    names = [
        f"checkpoint-{epoch}-{step}.safetensors"
        for epoch, step in (
            ("1000000", "000000000"),
            ("999999", "1000000000"),
            ("999999", "999999999"),
        )
    ]
    for name in names:
        (tmp_path / name).touch()
    assert [path.name for path in nn.Checkpoints(tmp_path).files()] == names


def test_only_what_a_killed_process_left_is_cleared_away(tmp_path):
    left = ".0123456789abcdef.tmp"
    kept = {".mine.tmp", ".0123456789abcde.tmp", ".0123456789ABCDEF.tmp", "a.0123456789abcdef.tmp"}
    for name in (left, *kept):
        (tmp_path / name).write_text("mine")
    (tmp_path / ".fedcba9876543210.tmp").mkdir()
    (tmp_path / ".aaaaaaaaaaaaaaaa.tmp").symlink_to(".mine.tmp")
    nn.Checkpoints(tmp_path).open()
    assert {path.name for path in tmp_path.iterdir()} == {
        *kept,
        ".fedcba9876543210.tmp",
        ".aaaaaaaaaaaaaaaa.tmp",
    }


@pytest.mark.parametrize("folder", [None, 5, b"a", ""])
def test_what_is_no_folder(folder):
    with pytest.raises(nn.errors.ArgumentError, match="`folder` must "):
        nn.Checkpoints(folder)


def test_a_name_that_no_folder_can_have(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot keep checkpoints: .*a\\x00b: [^\0]*$"):
        fit(build(), checkpoint=str(tmp_path / "a\0b"))
    with pytest.raises(nn.errors.ArgumentError, match="`folder` must not be empty"):
        fit(build(), checkpoint="")


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_first_step(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied", "/somewhere/hidden.tmp")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    trainer = build()
    with pytest.raises(CheckpointError, match=r"cannot keep .*Permission denied\.$") as caught:
        fit(trainer, checkpoint=tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert trainer.optimizer.iterations == 0


def test_the_folder_stays_where_it_is_when_the_working_directory_changes(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    move = nn.LambdaCallback(on_epoch_begin=lambda trainer: os.chdir(tmp_path / "b"))
    fit(build(), 2, checkpoint="run", callbacks=[move])
    assert len(list((tmp_path / "a" / "run").iterdir())) == 2
    assert not list((tmp_path / "b").iterdir())
