"""Callbacks that write files: where to, what is refused at first, and when a timer ends."""

from __future__ import annotations

import math
import os
import shutil
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from test_checkpoints import X_TEST, Y_TEST, build, fit, idle, weights

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, CheckpointError, TrainingWarning

VALIDATION = (X_TEST[:100], Y_TEST[:100])


class TestTemplates:
    def test_the_epoch_and_figures_are_filled_in(self, tmp_path):
        path = f"{tmp_path}/new/{{{{x}}}}/{{epoch:02d}}-{{val_loss:.2f}}/{{accuracy:.1e}}.model"
        keep = nn.ModelCheckpoint(path, save_best_only=False)
        history = fit(build(), 2, validation_data=VALIDATION, callbacks=[keep])
        expected = {
            tmp_path / "new" / "{x}" / f"{epoch:02d}-{loss:.2f}" / f"{accuracy:.1e}.model"
            for epoch, loss, accuracy in zip(
                (1, 2), history["val_loss"], history["accuracy"], strict=True
            )
        }
        assert {path for path in tmp_path.rglob("*") if path.is_file()} == expected
        assert len(expected) == 2
        assert keep.path == path

    @pytest.mark.parametrize(
        "path",
        [
            "{}",
            "{0}",
            "{epoch.real}",
            "{epoch[0]}",
            "{epoch!r}",
            "{epoch",
            "epoch}",
            "{epoch:.2z}",
            "{loss:d}",
            "{epoch:s}",
            "{epoch:{loss}}",
            "{loss:/>9}",
        ],
    )
    def test_what_cannot_be_filled_in(self, path):
        for build_one in (nn.ModelCheckpoint, lambda path: nn.Timer(1, path=path)):
            with pytest.raises(ArgumentError, match="cannot be filled in"):
                build_one(path)

    def test_a_name_that_is_no_figure_is_refused_before_the_first_step(self, tmp_path):
        trainer = build()
        keep = nn.ModelCheckpoint(tmp_path / "new" / "{val_los}", "loss")
        with pytest.raises(
            ArgumentError,
            match=r"no 'val_los', but epoch, loss, accuracy, val_loss, val_accuracy, learning_rate",
        ):
            fit(trainer, validation_data=VALIDATION, callbacks=[keep])
        assert trainer.optimizer.iterations == 0
        assert not list(tmp_path.iterdir())
        with pytest.raises(ArgumentError, match="no 'loss', but epoch"):
            nn.Timer(1, path="{loss}")

    @pytest.mark.parametrize("path", [3, None, b"m", ""])
    def test_what_is_no_path(self, path):
        complaint = "`path` must (be a string or|not be empty)"
        for build_one in (nn.ModelCheckpoint, nn.CSVLogger):
            with pytest.raises(ArgumentError, match=complaint):
                build_one(path)
        with pytest.raises(ArgumentError, match=complaint):
            nn.training.History({"loss": [1.0]}).to_csv(path)

    def test_in_a_loop_of_ones_own_a_figure_that_does_not_fit_is_named(self, tmp_path):
        keep = nn.ModelCheckpoint(f"{tmp_path}/{{loss:.2f}}", "loss", save_best_only=False)
        trainer = build()
        with pytest.raises(ArgumentError, match="no 'loss', but epoch, accuracy"):
            keep.on_epoch_end(trainer, {"accuracy": 1.0})
        with pytest.raises(ArgumentError, match="cannot be filled in: unsupported format"):
            keep.on_epoch_end(trainer, {"loss": None})
        keep.on_epoch_end(trainer, {"loss": 0.25})
        assert [path.name for path in tmp_path.iterdir()] == ["0.25"]


def writers(path):
    yield nn.CSVLogger(path)
    yield nn.ModelCheckpoint(path, "loss")
    yield nn.ModelCheckpoint(f"{path}/{{epoch}}/model", "loss")
    yield nn.Timer(1000, path=path)


class TestPathsBeforeTheFirstStep:
    def test_folders_are_made(self, tmp_path):
        seen = []

        def look(trainer):
            del trainer
            seen.append({path.name for path in tmp_path.rglob("*")})

        callbacks = [
            nn.LambdaCallback(on_train_begin=look),
            nn.CSVLogger(tmp_path / "a" / "b" / "log.csv"),
            nn.ModelCheckpoint(tmp_path / "c" / "d" / "{epoch}-{loss:.1f}" / "model", "loss"),
            nn.ModelCheckpoint(tmp_path / "e" / "best", "loss"),
        ]
        fit(build(), 1, callbacks=callbacks)
        assert seen == [{"a", "b", "c", "d", "e"}]
        assert (tmp_path / "a" / "b" / "log.csv").exists()
        assert (tmp_path / "e" / "best").exists()
        assert len(list(tmp_path.glob("c/d/1-*/model"))) == 1

    def refused(self, callback, complaint):
        trainer = build()
        before = weights(trainer)
        with pytest.raises(ArgumentError, match=complaint) as caught:
            fit(trainer, callbacks=[callback])
        assert trainer.optimizer.iterations == 0
        assert np.array_equal(weights(trainer), before)
        assert ".tmp" not in str(caught.value)

    def test_a_folder_where_a_file_should_be(self, tmp_path):
        for writer in (nn.CSVLogger(tmp_path), nn.ModelCheckpoint(tmp_path, "loss")):
            self.refused(writer, rf"cannot write {tmp_path}: it is a folder\.")
        self.refused(nn.CSVLogger(os.devnull), "it is a device")

    def test_a_file_where_a_folder_should_be(self, tmp_path):
        (tmp_path / "file").write_text("mine")
        count = 0
        for below in ("log", "deeper/log"):
            for writer in writers(tmp_path / "file" / below):
                self.refused(
                    writer, rf"cannot write (into )?{tmp_path}/file.*: .*/file is no folder"
                )
                count += 1
        assert count == 8
        assert (tmp_path / "file").read_text() == "mine"

    def test_a_link_that_leads_nowhere(self, tmp_path):
        (tmp_path / "link").symlink_to("nowhere")
        self.refused(nn.CSVLogger(tmp_path / "link"), "/link: it is a link that leads nowhere")
        for writer in writers(tmp_path / "link" / "log"):
            self.refused(writer, "/link is a link that leads nowhere")
        assert not (tmp_path / "nowhere").exists()

    def test_a_link_to_a_file_is_followed(self, tmp_path):
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "log").touch()
        (tmp_path / "link").symlink_to("there/log")
        fit(build(), 1, callbacks=[nn.CSVLogger(tmp_path / "link")])
        assert (tmp_path / "there" / "log").read_text().startswith("epoch,loss,")
        assert (tmp_path / "link").is_symlink()

    def test_a_folder_that_cannot_be_written_to(self, tmp_path, monkeypatch):
        def refuse(**_):
            raise PermissionError(13, "Permission denied", "/somewhere/hidden.tmp")

        monkeypatch.setattr("tempfile.TemporaryFile", refuse)
        for number in range(4):
            writer = list(writers(tmp_path / f"{number}" / "log"))[number]
            self.refused(writer, r"cannot write (into )?.*/\d/log: Permission denied\.")

    def test_a_name_that_no_file_can_have(self, tmp_path):
        self.refused(nn.CSVLogger(tmp_path / "a\0b"), "null")
        self.refused(nn.CSVLogger(tmp_path / ("x" * 300)), "File name too long")

    def test_a_file_that_is_read_only(self, tmp_path, monkeypatch):
        path = tmp_path / "log"
        path.write_text("mine")
        monkeypatch.setattr(os, "access", lambda *_: False)  # root may write to any
        fixed = [writer for writer in writers(path) if "{" not in str(writer.path)]
        assert len(fixed) == 3
        for writer in fixed:
            self.refused(writer, r"cannot write .*/log: it is read-only\.")
        with pytest.raises(CheckpointError, match="it is read-only"):
            nn.save(nn.Sequential(nn.Dense(2, 2, seed=0)), path)
        with pytest.raises(PermissionError, match="it is read-only"):
            nn.training.History({"loss": [1.0]}).to_csv(path)
        assert path.read_text() == "mine"
        fit(build(), 1, callbacks=[nn.CSVLogger(tmp_path / "other")])

    def test_several_that_write_to_one_path(self, tmp_path, monkeypatch):
        path = tmp_path / "file"
        both = r"ModelCheckpoint and {} both write to .*/file\. Give each a path of its own"
        pairs = [
            ("ModelCheckpoint", path, nn.ModelCheckpoint(path, "accuracy")),
            ("CSVLogger", path, nn.CSVLogger(path)),
            ("Timer", path, nn.Timer(1000, path=path)),
            ("CSVLogger", path, nn.CSVLogger("file")),
            ("CSVLogger", path, nn.CSVLogger(tmp_path / "x" / ".." / "file")),
        ]
        monkeypatch.chdir(tmp_path)
        for kind, taken, other in pairs:
            trainer = build()
            with pytest.raises(ArgumentError, match=both.format(kind)):
                fit(trainer, callbacks=[nn.ModelCheckpoint(taken, "loss"), idle(), other])
            assert trainer.optimizer.iterations == 0
        assert not path.exists()
        template = tmp_path / "{epoch}"
        each = [nn.ModelCheckpoint(template, "loss"), nn.ModelCheckpoint(template, "accuracy")]
        with pytest.raises(ArgumentError, match=r"both write to .*/\{epoch\}"):
            fit(build(), callbacks=each)

    def test_one_that_is_given_twice(self, tmp_path):
        for one in (nn.CSVLogger(tmp_path / "log"), nn.EarlyStopping("loss")):
            trainer = build()
            with pytest.raises(ArgumentError, match=rf"has {type(one).__name__}\(.*\) twice"):
                fit(trainer, callbacks=[one, idle(), one])
            assert trainer.optimizer.iterations == 0

    def test_a_callback_of_ones_own_tells_what_it_writes(self, tmp_path):
        class Writer(nn.Callback):
            def check_paths(self):
                return [tmp_path / "log"]

        class Silent(nn.Callback):
            def check_paths(self):
                return None

        with pytest.raises(ArgumentError, match=r"Writer and CSVLogger both write to .*/log"):
            fit(build(), callbacks=[Writer(), Silent(), nn.CSVLogger(tmp_path / "log")])
        fit(build(), 1, callbacks=[Writer(), Silent(), Silent()])

    @pytest.mark.parametrize(
        ("template", "complaint"),
        [
            ("{epoch:0300d}", "File name too long"),
            ("{epoch:0300d}/model", "File name too long"),
            ("{epoch}/..", "it is a folder"),
            ("{loss}/..", "it is a folder"),
            ("{epoch}.s", "it is a folder"),
            ("{epoch}/model", r".*/1 is no folder"),
            ("{epoch:02d}-{loss}\0", "embedded null"),
        ],
    )
    def test_a_template_that_cannot_work(self, template, complaint, tmp_path):
        (tmp_path / "1.s").mkdir()
        (tmp_path / "1").touch()
        for save_best_only in (True, False):
            writer = nn.ModelCheckpoint(
                f"{tmp_path}/{template}", "loss", save_best_only=save_best_only
            )
            self.refused(writer, rf"cannot write .*: {complaint}")
        assert {path.name for path in tmp_path.iterdir()} == {"1.s", "1"}

    def test_a_template_with_a_nul_in_a_format(self):
        with pytest.raises(ArgumentError, match=r"`path` '?a\{epoch:\\x00>3\}"):
            nn.ModelCheckpoint("a{epoch:\0>3}")

    def test_paths_stay_where_they_are_when_the_working_directory_changes(
        self, tmp_path, monkeypatch
    ):
        (tmp_path / "{a}").mkdir()
        (tmp_path / "b").mkdir()
        monkeypatch.chdir(tmp_path / "{a}")
        move = nn.LambdaCallback(on_epoch_begin=lambda trainer: os.chdir(tmp_path / "b"))
        callbacks = [
            move,
            nn.CSVLogger("log"),
            nn.ModelCheckpoint("best", "loss"),
            nn.ModelCheckpoint("{epoch}/model", save_best_only=False),
        ]
        trainer = build()
        fit(trainer, 1, callbacks=callbacks)
        fit(trainer, 1, callbacks=callbacks)
        found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
        assert found == {"{a}/log", "{a}/best", "{a}/1/model", "{a}/2/model"}
        assert len((tmp_path / "{a}" / "log").read_text().splitlines()) == 3

    def test_a_working_directory_that_is_gone(self, tmp_path, monkeypatch):
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        for writer in (nn.CSVLogger("log"), nn.ModelCheckpoint("{epoch}", "loss")):
            self.refused(writer, "is relative to a folder that is gone")

    def test_the_checkpoint_is_not_taken_up_where_a_path_is_refused(self, tmp_path):
        keep = nn.CSVLogger(tmp_path / "log.csv")
        fit(build(), 1, checkpoint=tmp_path / "runs", callbacks=[keep])
        trainer = build()
        with pytest.raises(ArgumentError, match="is a folder"):
            fit(
                trainer,
                checkpoint=tmp_path / "runs",
                resume=True,
                callbacks=[nn.CSVLogger(tmp_path)],
            )
        assert (trainer.epoch, trainer.optimizer.iterations) == (0, 0)

    def test_tensorboard_makes_its_folder_or_refuses_it(self, tmp_path, monkeypatch):
        opened, suffixes = [], set()

        class Writer:
            def __init__(self, folder, purge_step, filename_suffix):
                suffixes.add(filename_suffix)
                opened.append((folder, purge_step, os.path.isdir(folder)))

            def add_scalar(self, *_):
                pass

            def flush(self):
                pass

            def close(self):
                opened.append("closed")

        module = type(sys)("tensorboardX")
        module.SummaryWriter = Writer
        monkeypatch.setitem(sys.modules, "tensorboardX", module)
        board = nn.TensorBoard(tmp_path / "a" / "b")
        trainer = build()
        fit(trainer, 2, callbacks=[board])
        fit(trainer, 1, callbacks=[board])
        folder = str(tmp_path / "a" / "b")
        assert opened == [(folder, 1, True), "closed", (folder, 3, True), "closed"]
        assert len(suffixes) == 2, "a file of the same second is not written over"
        (tmp_path / "file").touch()
        self.refused(nn.TensorBoard(tmp_path / "file"), r"cannot write into .*is no folder")
        with pytest.raises(ArgumentError, match="`folder` must not be empty"):
            nn.TensorBoard("")
        with pytest.raises(ArgumentError, match=r"TensorBoard and TensorBoard both .*/a/b"):
            fit(trainer, callbacks=[board, nn.TensorBoard(folder)])


class TestMessages:
    """What functions that write say; each names the path that was given, and no other."""

    def ways(self):
        model = nn.Sequential(nn.Dense(2, 2, seed=0))
        history = nn.training.History({"loss": [1.0]})
        yield lambda path: nn.save(model, path), CheckpointError
        yield history.to_csv, OSError

    def test_a_folder_that_is_missing(self, tmp_path):
        path = tmp_path / "missing" / "file"
        for write, kind in self.ways():
            with pytest.raises(kind, match="No such file or directory") as caught:
                write(path)
            assert str(path) in str(caught.value)
            assert ".tmp" not in str(caught.value)
        with pytest.raises(FileNotFoundError) as caught:
            nn.training.History().to_csv(path)
        assert caught.value.filename == str(path)

    def test_a_folder_in_its_place_and_a_file_above_it(self, tmp_path):
        (tmp_path / "file").touch()
        for path, reason, error in (
            (tmp_path, "it is a folder", IsADirectoryError),
            (tmp_path / "file" / "model", "Not a directory", NotADirectoryError),
            (tmp_path / ("x" * 250), "File name too long", OSError),
        ):
            path = path if reason != "File name too long" else tmp_path / ("x" * 300)
            for write, kind in self.ways():
                with pytest.raises(kind, match=reason) as caught:
                    write(path)
                assert str(path) in str(caught.value)
                assert ".tmp" not in str(caught.value)
                cause = caught.value if kind is OSError else caught.value.__cause__
                assert isinstance(cause, error)
                assert cause.filename == str(path)

    def test_a_name_that_no_file_can_have(self, tmp_path):
        for write, kind in self.ways():
            kind = ArgumentError if kind is OSError else kind
            with pytest.raises(kind, match=r"cannot write .*/a\\x00b\\nc: .*embedded null") as c:
                write(tmp_path / "a\0b\nc")
            assert str(c.value).isprintable()

    def test_control_characters_are_shown(self, tmp_path):
        (tmp_path / "a\nb").mkdir()
        model = nn.Sequential(nn.Dense(2, 2, seed=0))
        for path in (tmp_path / "a\nb", tmp_path / "a\nb" / "c" / "d"):
            for act in (lambda path: nn.save(model, path), nn.load):
                with pytest.raises(CheckpointError, match=r"a\\nb") as caught:
                    act(path)
                assert str(caught.value).isprintable()


class TestDuringTheTraining:
    def spoil(self, change):
        """A callback that changes something before the second epoch."""
        return nn.LambdaCallback(on_epoch_begin=lambda trainer: trainer.epoch == 1 and change())

    def test_a_table_whose_folder_vanishes_ends_no_training(self, tmp_path):
        folder = tmp_path / "new"
        log = nn.CSVLogger(folder / "log")
        with pytest.warns(TrainingWarning, match="goes on, but its figures could not") as caught:
            history = fit(build(), 2, callbacks=[self.spoil(lambda: shutil.rmtree(folder)), log])
        assert history.epochs == 2
        assert len(caught) == 1
        assert str(folder / "log") in str(caught[0].message)
        folder.mkdir()
        trainer = build()
        fit(trainer, 2, callbacks=[log])
        assert len((folder / "log").read_text().splitlines()) == 3

    def test_a_model_whose_folder_vanishes_gets_another(self, tmp_path):
        folder = tmp_path / "new"
        keep = nn.ModelCheckpoint(folder / "model", save_best_only=False)
        fit(build(), 2, callbacks=[self.spoil(lambda: shutil.rmtree(folder)), keep])
        assert (folder / "model").exists()

    def test_a_model_that_cannot_be_saved_is_an_error(self, tmp_path):
        def put_a_file_there():
            shutil.rmtree(tmp_path / "new")
            (tmp_path / "new").touch()

        keep = nn.ModelCheckpoint(tmp_path / "new" / "model", save_best_only=False)
        trainer = build()
        with pytest.raises(CheckpointError, match=r"cannot write into .*/new: .*/new is no folder"):
            fit(trainer, 3, callbacks=[self.spoil(put_a_file_there), keep])
        assert trainer.epoch == 2
        keep = nn.ModelCheckpoint(f"{tmp_path}/{{epoch}}/model", save_best_only=False)
        with pytest.raises(CheckpointError, match=r"cannot write into .*/2: .*/2 is no folder"):
            fit(build(), 3, callbacks=[self.spoil((tmp_path / "2").touch), keep])

    def test_a_model_that_was_never_saved_is_warned_about_once(self, tmp_path):
        class Endless(nn.Metric):
            name, direction, value = "endless", "max", math.inf

            def forward(self, y_pred, y_true):
                del y_true
                return y_pred[:, 0]

            def result(self, sums):
                return self.value

        for value in (math.inf, -math.inf, math.nan):
            endless = Endless()
            endless.value = value
            trainer = build(metrics=[endless])
            keep = nn.ModelCheckpoint(tmp_path / "best", "endless")
            with pytest.warns(TrainingWarning) as caught:
                fit(trainer, 2, callbacks=[keep])
            assert [str(each.message) for each in caught] == [
                f"`endless` is {'NaN' if math.isnan(value) else 'infinite'} after epoch 1: "
                "callbacks that watch it see no improvement.",
                f"no model was saved at {tmp_path}/best: after no epoch was 'endless' a finite "
                "number.",
            ]
            assert not (tmp_path / "best").exists()
        endless.value = 0.5
        fit(trainer, 1, callbacks=[keep])
        assert (tmp_path / "best").exists()


class FakeTraining:
    """What a timer needs of a trainer."""

    def __init__(self, optimizer=None):
        self.model = nn.Sequential(nn.Dense(2, 2, seed=0))
        self.optimizer = optimizer or nn.SGD(0.1)
        self.epoch = 3
        self.stops = []

    def stop(self, now=False):
        self.stops.append(now)


class TestTimer:
    def test_it_ends_after_the_step_in_which_the_time_is_up(self, monkeypatch):
        clock = [100.0]
        monkeypatch.setattr("nnfs_xp.training.saving.monotonic", lambda: clock[0])
        for limit in (60, 60.0, timedelta(minutes=1)):
            clock[0] = 100.0
            timer, training = nn.Timer(limit), FakeTraining()
            for clock[0] in (101.0, 159.5):
                timer.on_step_end(training)
            assert training.stops == []
            assert not timer.is_up
            clock[0] = 160.0
            timer.on_step_end(training)
            assert training.stops == [True]
            timer.reset()
            timer.go_on()
            again = FakeTraining()
            timer.on_step_end(again)
            assert again.stops == [True], "its time stays up"

    def test_it_ends_at_a_time_of_day(self, monkeypatch):
        end = datetime(2030, 5, 6, 7, 8, tzinfo=UTC)
        ends = (end, end.astimezone().replace(tzinfo=None), end.astimezone(UTC))
        clock = [0.0]
        monkeypatch.setattr("nnfs_xp.training.saving.time", lambda: clock[0])
        for until in ends:
            timer, training = nn.Timer(until=until), FakeTraining()
            clock[0] = end.timestamp() - 1
            timer.on_step_end(training)
            assert training.stops == []
            clock[0] = end.timestamp()
            timer.on_step_end(training)
            assert training.stops == [True]

    def test_the_earlier_of_both_ends_it(self):
        for timer in (
            nn.Timer(0, until=datetime(2100, 1, 1)),  # of the machine's own zone
            nn.Timer(10**6, until=datetime(2020, 1, 1, tzinfo=UTC)),
        ):
            assert timer.is_up
        assert not nn.Timer(10**6, until=datetime(2100, 1, 1, tzinfo=UTC)).is_up

    def test_it_saves_the_model(self, tmp_path):
        training = FakeTraining()
        timer = nn.Timer(0, path=tmp_path / "new" / "{epoch:03d}.model")
        timer.check_paths()
        timer.on_step_end(training)
        saved = nn.load(tmp_path / "new" / "003.model", "numpy")
        assert np.array_equal(saved.flat.values, training.model.flat.values)

    def test_it_saves_the_averages_of_the_weights(self, tmp_path):
        training = FakeTraining(nn.SGD(1.0, average_decay=0.5))
        model, optimizer = training.model, training.optimizer
        optimizer.state(model)
        model.layers[0].dweights[...] = 1.0
        optimizer.step(model)
        after = model.flat.values.copy()
        average = optimizer.state(model)["average"].copy()
        assert not np.array_equal(after, average)
        nn.Timer(0, path=tmp_path / "model").on_step_end(training)
        saved = nn.load(tmp_path / "model", "numpy").flat.values
        assert np.array_equal(saved, average)
        assert np.array_equal(model.flat.values, after)
        assert not optimizer.is_exchanged(model)

    @pytest.mark.parametrize(
        "settings",
        [
            {},
            {"limit": -1},
            {"limit": "long"},
            {"limit": float("nan")},
            {"limit": timedelta(seconds=-1)},
            {"until": 3},
            {"until": "tomorrow"},
            {"limit": 1, "path": "{epoch"},
            {"limit": 1, "path": "{loss}"},
        ],
    )
    def test_settings_that_are_none(self, settings):
        with pytest.raises(ArgumentError):
            nn.Timer(**settings)


def test_a_checkpoint_that_cannot_be_written_names_no_hidden_file(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.warns(TrainingWarning, match="No space left on device") as caught:
        fit(build(), 1, checkpoint=tmp_path)
    assert len(caught) == 1
    assert ".tmp" not in str(caught[0].message)
