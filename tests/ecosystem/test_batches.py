"""Batches from PyTorch's loaders and from Parquet files."""

from __future__ import annotations

import os
import signal
import threading
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, DataError, ShapeError

RNG = np.random.default_rng(3)
X = RNG.standard_normal((230, 4)).astype("float32")
Y = np.digitize(X[:, 0] - X[:, 2], [-0.5, 0.8])
TENSORS = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))


@pytest.fixture(autouse=True)
def no_thread_left():
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if thread.name.startswith("nnfs_xp")]


def new_trainer(backend="numpy"):
    model = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 3), seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    return nn.Trainer(model, loss, nn.Adam(0.01), backend=backend, seed=0)


def flat(trainer):
    return nn.to_numpy(trainer.model.flat.values)


class TestLoaders:
    @pytest.mark.parametrize("workers", [0, 2])
    @pytest.mark.parametrize("backend", ["numpy", "torch"])
    def test_it_trains_as_arrays_do(self, workers, backend):
        loader = DataLoader(TENSORS, batch_size=50, num_workers=workers)
        arrays, batches = new_trainer(backend), new_trainer(backend)
        settings = {"epochs": 2, "progress": False}
        wanted = arrays.fit(X, Y, batch_size=50, shuffle=False, **settings)
        found = batches.fit(loader, validation_data=loader, **settings)
        assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-6)
        np.testing.assert_allclose(flat(batches), flat(arrays), rtol=1e-5, atol=1e-7)
        assert batches.evaluate(loader) == pytest.approx(arrays.evaluate(X, Y))
        np.testing.assert_array_equal(batches.predict(loader), arrays.predict(X))

    def test_shuffled_by_its_own_generator(self):
        def loader():
            generator = torch.Generator().manual_seed(1)
            return DataLoader(TENSORS, 32, shuffle=True, drop_last=True, generator=generator)

        one, other = new_trainer(), new_trainer()
        wanted = one.fit(loader(), epochs=3, progress=False)
        assert other.fit(loader(), epochs=3, progress=False) == wanted
        assert one.optimizer.iterations == 3 * (230 // 32)

    def test_a_stream(self):
        class Stream(IterableDataset):
            def __iter__(self):
                yield from zip(X, Y, strict=True)

        loader = DataLoader(Stream(), batch_size=50)
        one, other = new_trainer(), new_trainer()
        one.fit(X, Y, batch_size=50, shuffle=False, epochs=2, progress=False)
        other.fit(loader, epochs=2, progress=False)
        np.testing.assert_array_equal(flat(one), flat(other))

    def test_samples_that_are_no_batches(self):
        with pytest.raises(ShapeError, match=r"batch 1 of epoch 1: `X` must have shape"):
            new_trainer().fit(TENSORS, progress=False)

    @pytest.mark.parametrize("how", ["raises", "is killed"])
    def test_a_worker_that_fails(self, tmp_path, how):
        class Fails(Dataset):
            def __len__(self):
                return 230

            def __getitem__(self, number):
                if number == 180:
                    if how == "raises":
                        raise RuntimeError("a damaged sample")
                    os.kill(os.getpid(), signal.SIGKILL)
                return X[number], Y[number]

        trainer = new_trainer()
        loader = DataLoader(Fails(), batch_size=20, num_workers=1, prefetch_factor=1)
        message = "a damaged sample" if how == "raises" else "failed at batch .* of epoch 1"
        with pytest.raises(DataError, match=message):
            trainer.fit(loader, checkpoint=tmp_path, progress=False)
        done = trainer.optimizer.iterations
        assert done == trainer.step <= 9
        resumed = new_trainer()
        sound = DataLoader(TENSORS, batch_size=20)
        resumed.fit(sound, checkpoint=tmp_path, resume=bool(done), progress=False)
        assert resumed.optimizer.iterations == done + 12


def write(path, rows=slice(None), group=60, **more):
    columns = {f"x{n}": X[rows, n] for n in range(4)} | {"kind": Y[rows]} | more
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return path


class TestParquet:
    def test_row_groups_are_batches(self, tmp_path):
        source = nn.data.parquet_batches(write(tmp_path / "a.parquet"), "kind")
        assert (len(source), source.n_samples) == (4, 230)
        one, other = new_trainer(), new_trainer()
        wanted = one.fit(X, Y, batch_size=60, shuffle=False, epochs=2, progress=False)
        assert other.fit(source, epochs=2, progress=False)["loss"] == pytest.approx(wanted["loss"])
        np.testing.assert_array_equal(other.predict(source), one.predict(X))

    def test_several_files_smaller_batches_columns_and_weights(self, tmp_path):
        weights = RNG.uniform(0, 2, 230)
        parts = slice(0, 100), slice(100, 230)
        for number, part in enumerate(parts):
            more = {"weight": weights[part], "name": ["a"] * len(X[part])}
            write(tmp_path / f"{number}.parquet", part, 50, **more)
        source = nn.data.parquet_batches(
            tmp_path,
            "kind",
            features=["x3", "x0"],
            sample_weight="weight",
            batch_size=32,
            shuffle=True,
        )
        orders = []
        for epoch in range(2):
            source.set_epoch(epoch)
            x, y, w = (np.concatenate(part) for part in zip(*source, strict=True))
            places = [np.flatnonzero((X[:, [3, 0]] == row).all(axis=1))[0] for row in x]
            np.testing.assert_array_equal(Y[places], y)
            np.testing.assert_array_equal(weights[places], w)
            assert sorted(places) == list(range(230))
            orders.append(places)
        assert orders[0] != orders[1]

    def test_columns_in_another_order_and_slices(self, tmp_path):
        write(tmp_path / "0.parquet", slice(0, 100))
        table = pq.read_table(write(tmp_path / "rest.parquet", slice(100, 230)))
        (tmp_path / "rest.parquet").unlink()
        pq.write_table(table.select(["kind", "x2", "x0", "x3", "x1"]), tmp_path / "1.parquet")
        source = nn.data.parquet_batches(tmp_path, "kind", batch_size=50)
        x, y = (np.concatenate(part) for part in zip(*source[:], strict=True))
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(y, Y)

    def test_several_targets(self, tmp_path):
        source = nn.data.parquet_batches(write(tmp_path / "a.parquet"), ["x2", "x3"])
        x, y = source[1]
        np.testing.assert_array_equal(y, X[60:120, 2:])
        assert x.shape == (60, 3)

    def test_it_goes_to_other_processes(self, tmp_path):
        source = nn.data.parquet_batches(write(tmp_path / "a.parquet"), "kind")
        one, other = new_trainer(), new_trainer()
        wanted = one.fit(source, progress=False)
        found = other.fit(nn.data.InProcesses(source), progress=False)
        assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-6)

    def test_what_is_refused(self, tmp_path):
        batches = nn.data.parquet_batches
        with pytest.raises(DataError, match=r"there is no file .*none\.parquet"):
            batches(tmp_path / "none.parquet", "kind")
        with pytest.raises(DataError, match=r"holds no file \*\.parquet"):
            batches(tmp_path, "kind")
        path = write(tmp_path / "a.parquet")
        with pytest.raises(DataError, match=r"has no column 'kid'; there are x0, x1, x2, x3, kind"):
            batches(path, "kid")
        (tmp_path / "text.parquet").write_text("a,b\n1,2\n")
        with pytest.raises(DataError, match="cannot be read as Parquet"):
            batches(tmp_path / "text.parquet", "b")
        other = write(tmp_path / "b.parquet", more=X[:, 0])
        with pytest.raises(DataError, match="has other columns than"):
            batches([path, other], "kind")
        for name, values in (
            ("name", ["a"] * 230),
            ("price", [Decimal("1.5")] * 230),
            ("day", np.array(["2020-01-01"] * 230, "datetime64[D]")),
        ):
            odd = write(tmp_path / f"{name}.parquet", **{name: values})
            with pytest.raises(
                DataError, match=rf"batch 1 of epoch 1: column '{name}' of .* not numbers"
            ):
                new_trainer().fit(batches(odd, "kind"), progress=False)
        with pytest.raises(ArgumentError, match="`features` must be a list of names; got 'x0'"):
            batches(path, "kind", features="x0")
        with pytest.raises(ArgumentError, match="`target` is an empty list"):
            batches(path, [])
        for wrong in (3, None):
            with pytest.raises(ArgumentError, match="`path` must be a list of names"):
                batches(wrong, "kind")
        gaps = write(tmp_path / "gaps.parquet", x0=pa.array([None, *X[1:, 0].tolist()]))
        with pytest.raises(DataError, match=r"batch 1 of epoch 1: column 'x0' of .* has gaps"):
            new_trainer().fit(batches(gaps, "kind"), progress=False)

    def test_without_pyarrow(self, tmp_path, monkeypatch):
        path = write(tmp_path / "a.parquet")
        monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
        with pytest.raises(ArgumentError, match="Parquet files need pyarrow"):
            nn.data.parquet_batches(path, "kind")
