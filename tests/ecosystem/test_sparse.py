"""Sparse samples: what stays sparse, and that it changes no result but for rounding."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

import nnfs_xp as nn
from nnfs_xp.backend import SparseArray, as_dense, get_backend
from nnfs_xp.data.sparse import SparseRows
from nnfs_xp.sklearn import MLPClassifier

RNG = np.random.default_rng(5)
F = 1200
X = scipy.sparse.random_array((150, F), density=0.015, format="csr", rng=RNG)
Y = np.arange(150) % 3


def new_trainer(*layers, backend="numpy", dtype="float32", **options):
    layers = layers or (nn.Dense(F, 8, dtype=dtype), nn.ReLU(), nn.Dense(8, 3, dtype=dtype))
    model = nn.Sequential(*layers, seed=0)
    return nn.Trainer(
        model,
        nn.SoftmaxCategoricalCrossentropy(),
        nn.Adam(0.01),
        backend=backend,
        seed=0,
        **options,
    )


def flat(trainer):
    return nn.to_numpy(trainer.model.flat.values)


@pytest.fixture
def made_dense(monkeypatch):
    """How many rows each sparse array had that was made dense."""
    rows = []
    make = SparseArray.__array__

    def noting(self, *arguments, **options):
        rows.append(self.shape[0])
        return make(self, *arguments, **options)

    monkeypatch.setattr(SparseArray, "__array__", noting)
    return rows


class TestSparseArray:
    SPARSE = SparseArray(X)
    DENSE = X.toarray()

    def test_it_is_an_array_of_the_numpy_backend_alone(self):
        assert get_backend("numpy").owns(self.SPARSE)
        assert not get_backend("torch").owns(self.SPARSE)
        assert (self.SPARSE.shape, self.SPARSE.ndim) == (X.shape, 2)
        assert self.SPARSE.dtype == np.float64

    @pytest.mark.parametrize("n", [1, 7])
    def test_products(self, n, made_dense):
        w, dz = RNG.normal(size=(F, n)), RNG.normal(size=(150, n))
        for product in (np.matmul(self.SPARSE, w), self.SPARSE @ w):
            np.testing.assert_allclose(product, self.DENSE @ w, rtol=1e-12, atol=1e-14)
        out = np.full((F, n), np.nan)
        assert np.matmul(self.SPARSE.T, dz, out=out) is out
        np.testing.assert_allclose(out, self.DENSE.T @ dz, rtol=1e-12, atol=1e-14)
        assert not made_dense

    def test_all_else_is_done_to_a_dense_copy(self):
        ones = np.ones(F)
        np.testing.assert_array_equal(self.SPARSE * 2 + ones, self.DENSE * 2 + ones)
        np.testing.assert_array_equal(np.maximum(self.SPARSE, 0.5), np.maximum(self.DENSE, 0.5))
        np.testing.assert_array_equal(np.min(self.SPARSE, axis=1), self.DENSE.min(axis=1))
        np.testing.assert_array_equal(self.SPARSE @ ones, self.DENSE @ ones)
        np.testing.assert_array_equal(
            np.ones((2, 150)) @ self.SPARSE, self.DENSE.sum(0)[None] * [[1], [1]]
        )
        np.testing.assert_array_equal(get_backend("numpy").asarray(self.SPARSE), self.DENSE)
        np.testing.assert_array_equal(as_dense(self.SPARSE), self.DENSE)
        assert as_dense(ones) is ones
        with pytest.raises(ValueError, match="made dense by copying"):
            np.asarray(self.SPARSE, copy=False)


class TestRows:
    def test_few_values_of_many_stay_sparse_where_that_is_wanted(self):
        assert isinstance(SparseRows(X, stays_sparse=True)[3:59], SparseArray)
        assert isinstance(SparseRows(X, stays_sparse=True)[3:9], np.ndarray)  # not so many
        assert isinstance(SparseRows(X)[3:59], np.ndarray)
        full = scipy.sparse.random_array((50, F), density=0.1, format="csr", rng=RNG)
        assert isinstance(SparseRows(full, stays_sparse=True)[:], np.ndarray)

    def test_rows_in_any_order_and_of_another_data_type(self):
        counts = (X * 100).astype(int)
        rows = SparseRows(counts, "float32", stays_sparse=True)
        order = RNG.permutation(150)[:40]
        for some in (order, order[:2]):
            assert rows[some].dtype == np.float32
            np.testing.assert_array_equal(rows[some], counts.toarray()[some].astype("float32"))
        np.testing.assert_array_equal(rows, counts.toarray())


OPTIONS = {
    "as it is": {},
    "in order": {"shuffle": False},
    "weights": {"sample_weight": RNG.uniform(0.5, 2, 150)},
    "several batches a step": {"accumulate": 3},
    "a transform": {"transform": lambda batch, random: (batch[0] * 2, *batch[1:])},
    "a transform on the host": {
        "transform": nn.data.OnHost(lambda batch, random: (batch[0] * 2, *batch[1:]))
    },
}


def assert_trains_as_dense(new, tolerance=1e-5, **options):
    sparse, dense = new(), new()
    settings = {"epochs": 3, "batch_size": 32, "progress": False, **options}
    found = sparse.fit(X, Y, validation_data=(X, Y), **settings)
    wanted = dense.fit(X.toarray(), Y, validation_data=(X.toarray(), Y), **settings)
    for name in wanted:
        assert found[name] == pytest.approx(wanted[name], rel=tolerance)
    np.testing.assert_allclose(flat(sparse), flat(dense), rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(sparse.predict(X), dense.predict(X.toarray()))
    np.testing.assert_allclose(
        sparse.predict_proba(X, batch_size=40), dense.predict_proba(X.toarray()), rtol=tolerance
    )
    assert sparse.evaluate(X, Y) == pytest.approx(dense.evaluate(X.toarray(), Y), rel=tolerance)


@pytest.mark.parametrize("backend", ["numpy", "torch", "array_api_strict"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_trains_as_dense_samples_do(backend, dtype):
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    assert_trains_as_dense(lambda: new_trainer(backend=backend, dtype=dtype), tolerance)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_with_options_of_fit(options):
    assert_trains_as_dense(new_trainer, **options)


class Doubling(nn.Dense):
    """A layer of a user's own that is a dense one."""

    def forward(self, inputs, training=False):
        return super().forward(inputs + inputs, training)


LAYERS = {
    "one layer": lambda: (nn.Dense(F, 3),),
    "another activation": lambda: (nn.Dense(F, 8), nn.Tanh(), nn.Dense(8, 3)),
    "penalties": lambda: (
        nn.Dense(F, 8, weight_regularizer_l2=0.01, max_norm=1.0),
        nn.ReLU(),
        nn.Dense(8, 3),
    ),
    "frozen": lambda: (nn.Dense(F, 8, trainable=False), nn.ReLU(), nn.Dense(8, 3)),
    "dropout first": lambda: (nn.Dropout(0.3), nn.Dense(F, 3)),
    "norm first": lambda: (nn.BatchNorm(F), nn.Dense(F, 3)),
    "within another": lambda: (nn.Sequential(nn.Dense(F, 8), nn.ReLU()), nn.Dense(8, 3)),
    "residual first": lambda: (nn.Residual(nn.Dense(F, F), nn.ReLU()), nn.Dense(F, 3)),
    "a user's own": lambda: (Doubling(F, 8), nn.ReLU(), nn.Dense(8, 3)),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("fuse", [True, False])
def test_whatever_the_first_layer_is(make, fuse):
    assert_trains_as_dense(lambda: new_trainer(*make(), fuse=fuse), 1e-4)


KINDS = [
    "csr_array",
    "csc_matrix",
    "coo_array",
    "lil_matrix",
    "dok_array",
    "bsr_matrix",
    "dia_array",
]


@pytest.mark.filterwarnings("ignore:Constructing a DIA matrix")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_sparse_matrix(kind):
    make = getattr(scipy.sparse, kind)
    found, wanted = new_trainer(), new_trainer()
    settings = {"epochs": 2, "batch_size": 32, "progress": False}
    assert found.fit(make(X), Y, **settings) == wanted.fit(X, Y, **settings)
    np.testing.assert_array_equal(found.predict_proba(make(X)), wanted.predict_proba(X))
    assert found.evaluate(make(X), Y) == wanted.evaluate(X, Y)
    large = X.copy()
    large.data[3] = 1e300
    with pytest.raises(nn.errors.DataError, match="more than float32"):
        found.predict(make(large))


def test_half_precision():
    assert_trains_as_dense(lambda: new_trainer(precision="float16"), 2e-2)


class Clipped(nn.Sequential):
    """A network of a user's own, which does something else to its inputs first."""

    def forward(self, inputs, training=False):
        return super().forward(inputs.clip(0, 1), training)


NETWORKS = {
    "one layer": lambda n, k: nn.Dense(n, k),
    "a dense layer of a user's own": lambda n, k: Doubling(n, k),
    "a container of a user's own": lambda n, k: Clipped(nn.Dense(n, k)),
    "layers side by side": lambda n, k: nn.Sequential(
        nn.Concatenate(nn.Linear(), nn.Dense(n, 3)), nn.Dense(n + 3, k)
    ),
}


@pytest.mark.filterwarnings("ignore:the training has not converged")
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_estimators_of_networks_of_any_kind(network):
    sparse, dense = (
        MLPClassifier(network=network, random_state=0, max_iter=2, early_stopping=True).fit(x, Y)
        for x in (X, X.toarray())
    )
    found, wanted = sparse.predict_proba(X), dense.predict_proba(X.toarray())
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_batches_of_training_are_never_dense(made_dense):
    trainer = new_trainer()
    trainer.fit(X, Y, epochs=2, batch_size=32, validation_data=(X, Y), progress=False)
    trainer.predict(X)
    trainer.evaluate(X, Y)
    assert set(made_dense) <= {1}  # the first sample, which is tried out


def test_a_training_that_is_resumed_has_the_same_bits(tmp_path):
    uncut, cut = new_trainer(), new_trainer()
    settings = {"batch_size": 32, "progress": False}
    uncut.fit(X, Y, epochs=4, **settings)
    cut.fit(X, Y, epochs=2, checkpoint=tmp_path, **settings)
    resumed = new_trainer()
    resumed.fit(X, Y, epochs=4, checkpoint=tmp_path, resume=True, **settings)
    np.testing.assert_array_equal(flat(resumed), flat(uncut))


def test_codes_that_an_embedding_refuses():
    trainer = new_trainer(nn.Embedding(2, 4), nn.Dense(4, 3))
    codes = scipy.sparse.csr_array(([5.0], ([3], [7])), shape=(150, F))
    with pytest.raises(nn.errors.DataError, match="whole numbers from 0 to 1"):
        trainer.fit(codes, Y, progress=False)


def test_gradients_of_sparse_inputs_are_those_of_dense_ones():
    trainer = new_trainer()
    found, wanted = (nn.input_gradients(trainer, x[:5], Y[:5]) for x in (X, X.toarray()))
    np.testing.assert_array_equal(found, wanted)


def test_sparse_samples_are_refused_as_dense_ones_are():
    trainer = new_trainer()
    with pytest.raises(nn.errors.ShapeError, match=r"must have shape \(samples, 1200\)"):
        trainer.predict(X[:, :50])
    with pytest.raises(nn.errors.ShapeError, match="is empty"):
        trainer.predict(X[:0])
    bad = X.copy()
    bad.data[3] = np.nan
    for ask in (trainer.predict, lambda x: trainer.fit(x, Y, progress=False)):
        with pytest.raises(nn.errors.DataError, match="NaN or infinity"):
            ask(bad)
    cube = scipy.sparse.coo_array(np.zeros((3, 2, 2)))
    with pytest.raises(nn.errors.ShapeError, match=r"shape \(samples, features\); got \(3, 2, 2\)"):
        trainer.predict(cube)
    with pytest.raises(nn.errors.DTypeError, match=r"a sparse matrix\. Take its toarray\(\)"):
        nn.diagnose(trainer, X, Y)
