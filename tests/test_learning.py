"""The step, the chain of layers that it runs, and the stages in which these are joined."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.backend import to_numpy
from nnfs_xp.layers.dense import DenseRow
from nnfs_xp.learning import Chain

X = np.random.default_rng(0).standard_normal((24, 4)).astype("float32")
Y = np.arange(24) % 3


def layers():
    return [
        nn.Dense(4, 8, weight_regularizer_l2=0.01),
        nn.ReLU(),
        nn.Dense(8, 8, bias_regularizer_l1=0.01),
        nn.ReLU(),
        nn.Residual(nn.Dense(8, 8), nn.ReLU(), nn.Dense(8, 8)),
        nn.Concatenate(nn.Linear(), nn.Sequential(nn.Dense(8, 2), nn.ReLU())),
        nn.Dense(10, 3),
        nn.Softmax(),
    ]


def trainer(backend="numpy", **settings):
    model = nn.Sequential(*layers(), seed=0)
    loss = nn.CategoricalCrossentropy()
    return nn.Trainer(model, loss, nn.Adam(0.01), backend=backend, **settings)


def test_stages_are_joined_by_asking():
    dense, relu, last = nn.Dense(4, 4), nn.ReLU(), nn.Dense(4, 2)
    (row,) = Chain([dense, relu, last]).stages
    assert isinstance(row, DenseRow)
    assert row.parts == ((dense, relu), (last, None))
    assert Chain([dense, last, relu]).stages[0] is dense
    assert Chain([dense, relu, last], fuse=False).stages == (dense, relu, last)

    class Own(nn.ReLU):
        def extended(self, following, *, keeps_dinputs=True):
            return joined if following is last else None

    own, joined = Own(), nn.Linear()
    assert Chain([dense, own, last]).stages == (dense, joined)
    assert dense.extended(own) is None, "it may do anything"


def test_alone_exactly_the_methods_of_the_layers_run(backend, monkeypatch):
    ran = []
    for kind in (nn.Dense, nn.ReLU):
        for name in ("forward", "backward", "backward_parameters"):
            method = getattr(kind, name)

            def counted(self, *arguments, method=method, **more):
                ran.append((type(self).__name__, method.__name__))
                return method(self, *arguments, **more)

            monkeypatch.setattr(kind, name, counted)
    x, y = backend.asarray(X), backend.asarray(Y)
    results = []
    for fuse in (None, False):
        ran.clear()
        trained = trainer(backend, fuse=fuse)
        loss = trained.train_step(x, y)
        results.append((to_numpy(loss), to_numpy(trained.model.flat.values)))
        assert ran.count(("Dense", "forward")) == (6 if fuse is False else 1)
        assert ran.count(("ReLU", "backward")) == (4 if fuse is False else 0)
    eps = np.finfo("float32").eps
    np.testing.assert_allclose(*[loss for loss, _ in results], rtol=8 * eps)
    # Adam divides by the gradient's size: what is near 0 there may differ.
    np.testing.assert_allclose(*[weights for _, weights in results], rtol=0, atol=1e-4)


def test_a_model_is_told_not_to_fuse_and_so_are_the_layers_within():
    model = nn.Sequential(*layers(), seed=0, fuse=False)
    assert len(model.stages) == len(model.layers)
    assert len(model.layers[4].stages) == 3
    trained = nn.Trainer(model, nn.CategoricalCrossentropy(), nn.Adam(), backend="numpy")
    assert len(trained.learner.chain.stages) == 7
    nn.Trainer(model, nn.CategoricalCrossentropy(), nn.Adam(), backend="numpy", fuse=True)
    assert len(model.layers[4].stages) == 1


def test_layers_within_that_run_alone_do_so_in_a_training():
    inner = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), fuse=False)
    model = nn.Sequential(inner, nn.Dense(8, 8), nn.ReLU(), nn.Dense(8, 3), seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    chain = nn.Trainer(model, loss, nn.Adam(), backend="numpy").learner.chain
    assert chain.stages[0] is inner
    assert inner.stages == inner.layers
    assert isinstance(chain.stages[1], DenseRow)


def test_a_trace_has_what_goes_into_and_out_of_each_layer(backend):
    model = nn.Sequential(*layers()[:-1], seed=0).to(backend)
    x, y = backend.asarray(X), backend.asarray(Y)
    loss = nn.SoftmaxCategoricalCrossentropy()
    passes = Chain(model.links()).trace(x, lambda output: loss.backward(output, y))
    assert [each.layer for each in passes] == list(model.layers)
    assert passes[0].inputs is x
    for one, following in pairwise(passes):
        assert one.output is following.inputs
        assert one.dvalues is following.dinputs
    expected = model.forward(x, training=True)
    dinputs = model.backward(loss.backward(expected, y))
    eps = np.finfo("float32").eps
    largest = np.max(np.abs(to_numpy(expected)))
    found = to_numpy(passes[-1].output), to_numpy(passes[0].dinputs)
    np.testing.assert_allclose(found[0], to_numpy(expected), rtol=0, atol=16 * eps * largest)
    np.testing.assert_allclose(found[1], to_numpy(dinputs), rtol=0, atol=64 * eps)
    (alone, *_) = Chain(model.links()).trace(x)
    assert alone.dvalues is alone.dinputs is None


def test_penalties_are_left_out_until_the_step_adds_them():
    learner = trainer().learner
    _, loss = learner.gradients(X, Y)
    bare = {name: array.copy() for name, array in learner.model.gradients().items()}
    whole = learner.add_penalties(loss)
    weights = learner.model.parameters()["0.weights"]
    added = learner.model.gradients()["0.weights"] - bare["0.weights"]
    np.testing.assert_allclose(added, 2 * 0.01 * weights, rtol=0, atol=1e-6)
    assert whole - loss == pytest.approx(float(learner.model.regularization_loss()), rel=1e-5)
    dense = nn.Dense(4, 3, weight_regularizer_l2=0.5, seed=0)
    dense.backward(np.zeros_like(dense.forward(X, training=True)))
    np.testing.assert_allclose(dense.dweights, dense.weights, rtol=1e-6)


@pytest.mark.parametrize("way", ["train_step", "fit"])
def test_samples_go_down_through_each_file_once(way):
    """From the trainer to the kernels: no file is entered again from further down."""
    trained = trainer()
    trained.train_step(X, Y)
    paths = set()

    def note(frame, event, _):
        if event != "call" or "nnfs_xp/kernels" not in frame.f_code.co_filename:
            return
        files = []
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            if "nnfs_xp" in path.parts and (not files or files[-1] != path):
                files.append(path)
            frame = frame.f_back
        paths.add(tuple(reversed(files)))

    sys.setprofile(note)
    try:
        if way == "fit":
            trained.fit(X, Y, epochs=1, batch_size=8, progress=False)
        else:
            trained.train_step(X, Y)
    finally:
        sys.setprofile(None)
    assert paths
    for files in paths:
        names = [f"{path.parent.name}/{path.name}" for path in files]
        of_the_middle = [n for n in names if n.split("/")[0] in ("training", "learning")]
        assert len(set(of_the_middle)) == len(of_the_middle), names
