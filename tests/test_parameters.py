"""The flat buffers: layers hold views, and the views hold through everything done to a model."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp import initializers


@pytest.fixture
def model(backend):
    inner = nn.Sequential(nn.Dense(3, 2), nn.Tanh(), nn.Dense(2, 2))
    return nn.Sequential(nn.Dense(4, 3), nn.ReLU(), inner, nn.Softmax(), seed=0).to(backend)


NAMES = ["0.weights", "0.biases", "2.0.weights", "2.0.biases", "2.2.weights", "2.2.biases"]


def assert_views(model):
    """Each parameter and gradient shows what is in the buffers, weights first."""
    flat = model.flat
    flat.values[...] = flat.backend.asarray(np.arange(flat.size, dtype=np.float32))
    flat.gradients[...] = flat.backend.asarray(-np.arange(flat.size, dtype=np.float32))
    parameters, gradients = model.parameters(), model.gradients()
    order = sorted(parameters, key=lambda name: name.endswith("biases"))
    start = 0
    for name in order:
        expected = np.arange(start, start + np.prod(parameters[name].shape))
        np.testing.assert_array_equal(nn.to_numpy(parameters[name]).ravel(), expected)
        np.testing.assert_array_equal(nn.to_numpy(gradients[name]).ravel(), -expected)
        start += expected.size
        if order.index(name) == 2:
            assert flat.n_decayed == start
    assert start == flat.size == 12 + 3 + 6 + 2 + 4 + 2


def test_layers_hold_views(model):
    assert list(model.parameters()) == list(model.gradients()) == NAMES
    assert_views(model)


def test_views_hold_after_a_move(model, backend):
    for target in ("numpy", backend):
        before = {name: nn.to_numpy(a).copy() for name, a in model.parameters().items()}
        assert model.to(target) is model
        assert all(nn.get_backend(target).owns(a) for a in model.parameters().values())
        for name, array in model.parameters().items():
            np.testing.assert_array_equal(nn.to_numpy(array), before[name])
        assert_views(model)


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_has_buffers_of_its_own(model, twin_of):
    if twin_of is not copy.deepcopy:
        model.to("numpy")  # whether arrays can be pickled is for each library to say
    before = {name: nn.to_numpy(a).copy() for name, a in model.parameters().items()}
    twin = twin_of(model)
    assert_views(twin)
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(nn.to_numpy(array), before[name])
    assert_views(model)


def test_assignment_copies_into_place(model, backend):
    layer = model.layers[0]
    new = np.arange(12.0).reshape(4, 3)
    layer.weights = new
    new[...] = 0
    np.testing.assert_array_equal(nn.to_numpy(layer.weights).ravel(), np.arange(12))
    np.testing.assert_array_equal(nn.to_numpy(model.flat.values)[:12], np.arange(12))
    layer.weights += 1
    np.testing.assert_array_equal(nn.to_numpy(model.flat.values)[:12], np.arange(12) + 1)
    assert backend.owns(layer.weights)


@pytest.mark.parametrize("name", ["weights", "dweights"])
def test_assignment_checks_the_shape(model, name):
    with pytest.raises(nn.errors.ShapeError, match=rf"`{name}`.*\(4, 3\).*transpose"):
        setattr(model.layers[0], name, np.ones((3, 4)))
    with pytest.raises(nn.errors.ShapeError, match=r"\(4, 3\); got \(1, 3\)"):
        setattr(model.layers[0], name, np.ones((1, 3)))


def test_a_layer_without_seed_keeps_its_parameters_in_a_model():
    layer = nn.Dense(2, 2, seed=5)
    before = layer.weights.copy()
    nn.Sequential(layer)
    np.testing.assert_array_equal(layer.weights, before)


def test_the_last_model_that_takes_a_layer_has_it():
    layer = nn.Dense(2, 2, seed=0)
    first = nn.Sequential(layer, nn.Dense(2, 1, seed=1))
    stale = first.flat
    second = nn.Sequential(nn.Dense(2, 2, seed=2), layer)
    assert stale.stale
    second.flat.values[...] = 7.0
    assert (layer.weights == 7).all()
    # The first takes it back, with its values, when it is trained again.
    assert first.flat is not stale
    assert first.flat.size == stale.size
    first.flat.values[...] = 8.0
    assert (layer.weights == 8).all()


def test_a_layer_of_a_model_can_be_stepped_alone():
    model = nn.Sequential(nn.Dense(2, 2, seed=0), nn.Dense(2, 1, seed=1))
    first, second = model.layers
    kept = second.weights.copy()
    first.dweights[...] = 1.0
    second.dweights[...] = 1.0
    before = first.weights.copy()
    nn.SGD(0.5).step(first)
    np.testing.assert_allclose(first.weights, before - 0.5)
    np.testing.assert_array_equal(second.weights, kept)
    nn.SGD(0.5).step(model)
    np.testing.assert_allclose(first.weights, before - 1.0)
    np.testing.assert_allclose(second.weights, kept - 0.5)


def test_an_optimizer_keeps_its_state_when_buffers_are_built_anew():
    runs = []
    for disturb in (False, True):
        model = nn.Sequential(nn.Dense(2, 2, seed=0), nn.Dense(2, 1, seed=1))
        optimizer = nn.Adam(0.1)
        for _ in range(3):
            model.flat.gradients[...] = 1.0
            optimizer.step(model)
            if disturb:
                nn.Sequential(model.layers[0])
        runs.append(np.concatenate([a.ravel() for a in model.parameters().values()]))
    np.testing.assert_array_equal(*runs)


def test_copies_of_optimizers_start_without_state():
    layer, optimizer = nn.Dense(2, 2, seed=0), nn.Adam(0.1)
    optimizer.step(layer)
    twin = copy.deepcopy(optimizer)
    assert twin.iterations == 1
    assert not twin.state(layer)["momentum"].any()


def test_a_moved_layer_shares_no_memory_with_what_it_was(backend):
    layer = nn.Dense(3, 2, seed=0)
    for target in (backend, backend, "numpy", "numpy"):
        former = [layer.flat.values, layer.flat.gradients]
        before = [nn.to_numpy(array).copy() for array in former]
        layer.to(target)
        layer.flat.values[...] = 5.0
        layer.flat.gradients[...] = 6.0
        for array, values in zip(former, before, strict=True):
            np.testing.assert_array_equal(nn.to_numpy(array), values)
        layer.initialize(np.random.default_rng(0))
        layer.flat.gradients[...] = 1.0


def test_a_moved_layer_has_forgotten_its_training_forward(backend, model):
    inputs = backend.asarray(np.ones((2, 4), dtype=np.float32))
    dvalues = model.forward(inputs, training=True)
    model.backward(dvalues)
    model.to(backend)
    for layer in model.layers:
        with pytest.raises(nn.errors.NotReadyError, match="training=True"):
            layer.backward(dvalues)


def test_layers_without_parameters_have_the_place_of_their_model():
    strict = nn.get_backend("array_api_strict")
    dense = nn.Dense(2, 2, seed=0).to(strict)
    inner = nn.Sequential(nn.Tanh())
    model = nn.Sequential(dense, nn.ReLU(), inner)
    places = [layer.backend for _, layer in model.walk()]
    assert places == [strict] * 5
    with pytest.raises(nn.errors.BackendError, match="must be on array_api_strict"):
        model.layers[1].forward(np.ones((1, 2), dtype=np.float32))
    without = nn.Sequential(nn.ReLU())
    assert without.backend is None
    assert without.to(strict).backend == strict
    assert without.layers[0].backend == strict


def test_initialize_draws_all_weights_anew_and_zeroes_the_biases(model):
    model.flat.values[...] = 3.0
    model.initialize(np.random.default_rng(0))
    for name, array in model.parameters().items():
        values = nn.to_numpy(array)
        assert (values == 0).all() if name.endswith("biases") else (abs(values) > 0).all()
        assert not (values == 3).any()


def test_initializers_have_the_spread_of_their_sources():
    generator = np.random.default_rng(0)
    he = nn.Dense(200, 300, seed=0).weights
    assert he.std() == pytest.approx(np.sqrt(2 / 200), rel=0.02)
    glorot = initializers.glorot_uniform(generator, (200, 300))
    assert abs(glorot).max() == pytest.approx(np.sqrt(6 / 500), rel=0.001)
    assert glorot.std() == pytest.approx(np.sqrt(6 / 500 / 3), rel=0.02)
    book = initializers.book_normal(generator, (200, 300))
    assert book.std() == pytest.approx(0.01, rel=0.02)


def test_gradients_move_with_the_parameters(backend):
    layer = nn.Dense(2, 2, seed=0)
    layer.dweights = [[1.0, 2.0], [3.0, 4.0]]
    layer.to(backend)
    assert nn.to_numpy(layer.dweights).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert nn.Sequential(layer).layers[0] is layer
    assert nn.to_numpy(layer.dweights).tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_a_model_does_for_all_its_layers_what_a_layer_does(backend):
    first = nn.Dense(2, 3, seed=0, max_norm=0.5, weight_regularizer_l2=0.1, dtype="float64")
    second = nn.Dense(3, 2, seed=1, max_norm=0.25, bias_regularizer_l1=0.2, dtype="float64")
    second.biases = [[1.0, -2.0]]
    penalties = [first.regularization_loss(), second.regularization_loss()]
    model = nn.Sequential(first, nn.Sequential(nn.Tanh(), second)).to(backend)
    penalty = float(nn.to_numpy(model.regularization_loss()))
    assert penalty == pytest.approx(sum(map(float, penalties)))
    assert nn.Sequential(nn.ReLU()).regularization_loss() is None
    before = [np.linalg.norm(nn.to_numpy(layer.weights), axis=0) for layer in (first, second)]
    assert (before[0] > 0.5).any()
    assert (before[1] > 0.25).any()
    model.constrain()
    for layer, most, norms in ((first, 0.5, before[0]), (second, 0.25, before[1])):
        found = np.linalg.norm(nn.to_numpy(layer.weights), axis=0)
        np.testing.assert_allclose(found, np.minimum(norms, most), rtol=1e-9)


def test_a_model_spares_the_gradient_of_its_inputs_if_told(backend, model):
    inputs = backend.asarray(np.ones((2, 4), dtype=np.float32))
    dvalues = model.forward(inputs, training=True)
    model.backward_parameters(dvalues)
    found = {name: nn.to_numpy(a).copy() for name, a in model.gradients().items()}
    assert not hasattr(model.layers[0], "dinputs")
    model.backward(dvalues)
    for name, gradient in model.gradients().items():
        np.testing.assert_array_equal(nn.to_numpy(gradient), found[name])


def test_a_weight_of_zeros_keeps_to_any_norm(backend):
    layer = nn.Dense(2, 2, initializer=None, max_norm=1.0).to(backend)
    layer.constrain()
    assert nn.to_numpy(layer.weights).tolist() == [[0.0, 0.0]] * 2


def test_parameters_beyond_any_memory_are_refused_before_it_is_asked_for():
    with pytest.raises(nn.errors.ArgumentError, match="more than any memory holds"):
        nn.Dense(2**30, 2**20)


def test_config_holds_every_argument_that_shapes_a_layer():
    arguments = {
        "n_inputs": 2,
        "n_neurons": 3,
        "weight_regularizer_l1": 0.1,
        "weight_regularizer_l2": 0.2,
        "bias_regularizer_l1": 0.3,
        "bias_regularizer_l2": 0.4,
        "max_norm": 1.5,
        "dtype": "float64",
    }
    assert nn.Dense(**arguments).config() == arguments
    assert nn.Dropout(0.25).config() == {"rate": 0.25}
    assert nn.LeakyReLU(0.25).config() == {"negative_slope": 0.25}


def test_the_last_axis_is_the_one_that_has_to_fit(backend):
    cube = backend.asarray(np.ones((2, 4, 3), dtype=np.float32))
    with pytest.raises(nn.errors.ShapeError, match=r"Dense\(4, 2\) takes .*\(…, 4\); got \(4, 3\)"):
        nn.Dense(4, 2).output_shape((4, 3))
    with pytest.raises(nn.errors.ShapeError, match=r"shape \(batch, …, 4\); got \(2, 4, 3\)"):
        nn.Dense(4, 2).to(backend).forward(cube)


class Mean(nn.Layer):
    mean = nn.Buffer()

    def __init__(self):
        super().__init__()
        self.create_buffers(mean=np.zeros((1, 2), dtype=np.float32))

    def forward(self, inputs, training=False):
        del training
        return inputs - self.mean


def test_buffers_move_copy_and_check_like_parameters(backend):
    model = nn.Sequential(nn.Dense(2, 2, initializer=None), Mean())
    model.layers[1].mean = [[1.0, 2.0]]
    model.to(backend)
    assert list(model.buffers()) == ["1.mean"]
    assert backend.owns(model.layers[1].mean)
    output = model.forward(backend.asarray(np.zeros((1, 2), dtype=np.float32)))
    assert nn.to_numpy(output).tolist() == [[-1.0, -2.0]]
    twin = copy.deepcopy(model)
    twin.layers[1].mean = [[3.0, 4.0]]
    assert nn.to_numpy(model.layers[1].mean).tolist() == [[1.0, 2.0]]
    assert nn.to_numpy(twin.layers[1].mean).tolist() == [[3.0, 4.0]]
    with pytest.raises(nn.errors.ShapeError, match=r"`mean` must have shape \(1, 2\)"):
        model.layers[1].mean = [[1.0], [2.0]]


def test_buffers_share_memory_with_nobody(backend):
    class Keeps(nn.Layer):
        mean = nn.Buffer()

        def __init__(self, start):
            super().__init__()
            self.create_buffers(mean=start)

    start = np.zeros((1, 2))
    layer, other = Keeps(start), Keeps(start)
    former = layer.mean
    layer.to(backend)
    layer.mean = [[1.0, 2.0]]
    assert not start.any()
    assert not nn.to_numpy(other.mean).any()
    assert not former.any()
