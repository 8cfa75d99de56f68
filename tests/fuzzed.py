"""What the fuzz tests hand files to: each raises where a file is answered wrongly."""

from __future__ import annotations

import contextlib
import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import nnfs_xp as nn
from nnfs_xp import book
from nnfs_xp.data.idx import read_idx
from nnfs_xp.data.tables import read_numbers
from nnfs_xp.errors import CheckpointError, DataError, DivergenceError, TrainingWarning

X = np.linspace(-1, 1, 14, dtype=np.float32).reshape(7, 2)
Y = np.asarray([0, 1, 2, 0, 1, 2, 0])
NAME = "checkpoint-000001-000000001.safetensors"


def build_model() -> nn.Sequential:
    return nn.Sequential(
        nn.Dense(2, 3, weight_regularizer_l2=0.1),
        nn.Sequential(nn.LeakyReLU(0.25), nn.Dropout(0.125)),
        nn.Dense(3, 3, max_norm=3.0),
        nn.Softmax(),
        seed=0,
    )


def build_trainer() -> nn.Trainer:
    optimizer = nn.Adam(nn.ReduceOnPlateau(0.01, monitor="loss", patience=0), average_decay=0.9)
    return nn.Trainer(build_model(), nn.CategoricalCrossentropy(), optimizer, backend="numpy")


def build_callbacks() -> list[nn.Callback]:
    return [nn.EarlyStopping("loss", patience=3), nn.LambdaCallback()]


def fit(trainer: nn.Trainer, callbacks: list[nn.Callback], **options: Any) -> nn.History:
    return trainer.fit(X, Y, epochs=2, batch_size=3, progress=False, callbacks=callbacks, **options)


def real_model(folder: Path) -> bytes:
    nn.save(build_model(), folder / "model")
    return (folder / "model").read_bytes()


def real_book_model(folder: Path) -> bytes:
    """Of the book's `Model`, which keeps more."""
    model = book.Model()
    for layer in (book.Layer_Dense(2, 3), book.Layer_Dropout(0.1), book.Activation_Softmax()):
        model.add(layer)
    model.set(
        loss=book.Loss_CategoricalCrossentropy(),
        optimizer=book.Optimizer_Adam(decay=5e-5),
        accuracy=book.Accuracy_Categorical(),
    )
    model.finalize()
    model.save(folder / "book")
    return (folder / "book").read_bytes()


def real_checkpoints(folder: Path) -> list[bytes]:
    """Of the second step of the second epoch, and of the end."""
    checkpoints = nn.Checkpoints(folder, every_steps=1, keep=100)
    fit(build_trainer(), build_callbacks(), checkpoint=checkpoints)
    files = checkpoints.files()
    contents = [files[1].read_bytes(), files[0].read_bytes()]
    for path in files:
        path.unlink()
    return contents


def check_message(error: Exception) -> None:
    """A message is no place for all that a file holds, nor for what steers a terminal."""
    assert len(str(error)) < 2000
    assert str(error).isprintable()


def load_model(path: Path) -> bool:
    """Whether the model is taken; one that is must work."""
    try:
        model = nn.load(path, "numpy")
    except CheckpointError as error:
        check_message(error)
        return False
    inputs = np.ones((2, *(model.input_shape or (3,))), dtype=model.dtype or "float32")
    with np.errstate(all="ignore"):
        assert model.forward(inputs).shape == (2, *model.output_shape(inputs.shape[1:]))
    assert model.config() is not None
    return True


def load_book_model(path: Path) -> bool:
    """Whether the book's `Model` is taken; one that is must work, where its layers can."""
    try:
        model = book.Model.load(path)
    except CheckpointError as error:
        check_message(error)
        return False
    inputs = np.ones((2, *(model._ready().input_shape or (3,))))
    with np.errstate(all="ignore"):
        assert len(model.predict(inputs)) == 2
    return True


def state_of(trainer: nn.Trainer, callbacks: list[nn.Callback]) -> dict[str, Any]:
    """All that a resume changes."""
    schedule = trainer.optimizer.learning_rate
    counts = trainer.epoch, trainer.step, trainer.learner.count, trainer.optimizer.iterations
    return {
        "weights": trainer.model.flat.values.copy(),
        **{name: a.copy() for name, a in trainer.optimizer.state(trainer.model).items()},
        "counts": counts,
        "stopping": trainer.stopping,
        "history": dict(trainer.history),
        "figures": trainer.figure_names,
        "totals": trainer.course.totals.state(),
        "schedule": schedule.state() if isinstance(schedule, nn.Schedule) else {},
        "callbacks": copy.deepcopy([callback.state() for callback in callbacks]),
    }


class Resumer:
    """A trainer that checkpoints are tried on, put back after each that it takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.renew()

    def renew(self) -> None:
        self.trainer, self.callbacks = build_trainer(), build_callbacks()
        self.before = state_of(self.trainer, self.callbacks)

    def resume(self, content: bytes) -> bool:
        """Whether the checkpoint is taken; one that is must work, else nothing may change."""
        for path in self.folder.iterdir():
            path.unlink()
        (self.folder / NAME).write_bytes(content)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore", TrainingWarning)
                history = fit(self.trainer, self.callbacks, checkpoint=self.folder, resume=True)
        except CheckpointError as error:
            check_message(error)
            np.testing.assert_equal(state_of(self.trainer, self.callbacks), self.before)
            return False
        except DivergenceError:  # of an optimizer's state that no gradient could have led to
            self.renew()
            return True
        assert np.isfinite(self.trainer.model.flat.values).all()
        with np.errstate(all="ignore"):
            assert self.trainer.predict(X).shape == (7,)
        assert all(len(column) == history.epochs for column in history.values())
        self.renew()
        return True


def read_data(path: Path) -> bool:
    """Whether the IDX or, else, CSV file is taken."""
    try:
        table = read_idx(path) if path.suffix == ".gz" else read_numbers(path)
    except DataError as error:
        check_message(error)
        return False
    assert np.isfinite(table).all()
    return True


def read_table(path: Path) -> bool:
    """Whether the file of a table is taken; each column of one that is must be read or refused."""
    from nnfs_xp.data.table_columns import read_column
    from nnfs_xp.data.table_files import open_in_pieces, open_table

    try:
        table = open_table(path)
    except DataError as error:
        check_message(error)
        with contextlib.suppress(DataError):
            list(open_in_pieces(path, rows=2))
        return False
    assert table.n_rows == len(table.rows) == sum(p.n_rows for p in open_in_pieces(path, rows=2))
    for name in table.names:
        for kind in (None, "number", "category", "date", "text"):
            try:
                column = read_column(table, name, kind)
            except DataError as error:
                check_message(error)
                continue
            assert len(column.values) == table.n_rows
            assert kind in (None, column.kind)
            assert column.kind != "number" or np.isfinite(column.filled).all()
    return True
