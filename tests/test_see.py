"""Pictures: every number of the chapter's figures, and of every layer and loss, is the engine's."""

from __future__ import annotations

import copy
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from cases import LAYERS, LOSSES

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, ShapeError
from nnfs_xp.see.graphs import detail_for, scene_of
from nnfs_xp.see.operations import Operations
from nnfs_xp.see.scene import format_number, pixels_of, png
from nnfs_xp.see.svg import live, patch
from nnfs_xp.see.tracing import left_as_it_is, trace

X, W, B = [1.0, -2.0, 3.0], [-3.0, -1.0, 2.0], 1.0
"""The chapter's neuron."""

VALUES = {
    **{f"0.inputs[{i}]": X[i] for i in range(3)},
    **{f"0.weights[{i},0]": W[i] for i in range(3)},
    "0.biases[0]": B,
}
ADDED = [
    {"0.products[0,0]": -3.0},
    {"0.products[1,0]": 2.0},
    {"0.products[2,0]": 6.0},
    {"0.output[0]": 6.0},
    {"1.output[0]": 6.0},
    {"1.dvalues[0]": 1.0},
    {"0.dvalues[0]": 1.0},
    {"0.dproducts[0,0]": 1.0},
    {"0.dproducts[1,0]": 1.0},
    {"0.dproducts[2,0]": 1.0},
    {"0.dbiases[0]": 1.0},
    {"0.dinputs[0]": -3.0},
    {"0.dweights[0,0]": 1.0},
    {"0.dinputs[1]": -1.0},
    {"0.dweights[1,0]": -2.0},
    {"0.dinputs[2]": 2.0},
    {"0.dweights[2,0]": 3.0},
    {},
]
"""What each of the figures 9-1 to 9-18 shows for the first time, worked out in the chapter."""


def numbers_in(svg: str) -> dict[str, float]:
    """The numbers that an SVG shows, by key."""
    root = ElementTree.fromstring(svg)  # noqa: S314 # our own
    texts = root.iter("{http://www.w3.org/2000/svg}text")
    return {each.get("data-key"): float(each.text) for each in texts if each.get("data-key")}


@pytest.mark.parametrize("number", range(1, 19))
def test_figures_show_the_numbers_of_the_chapter(number, backend):
    picture = nn.see.chapter(f"9-{number}", backend=backend)
    expected = dict(VALUES)
    for added in ADDED[:number]:
        expected |= added
    assert numbers_in(picture.svg()) == expected
    assert dict(picture.values) == expected
    assert len(picture.frames) == number


def test_derivatives_are_red_and_values_black():
    root = ElementTree.fromstring(nn.see.chapter().svg())  # noqa: S314 # our own
    kinds = {
        each.get("data-key"): each.get("class").split()[0]
        for each in root.iter("{http://www.w3.org/2000/svg}text")
        if each.get("data-key")
    }
    assert kinds["0.dweights[1,0]"] == kinds["1.dvalues[0]"] == "see-derivative"
    assert kinds["0.weights[1,0]"] == kinds["0.output[0]"] == "see-value"


@pytest.mark.parametrize("figure", ["9-0", "9-19", "8-1", "", "9", "9-x", 9.5, None])
def test_other_figures_are_refused(figure):
    with pytest.raises(ArgumentError, match="9-1 to 9-18"):
        nn.see.chapter(figure)


def numeric(function, at):
    """The gradient of a function by central differences, in float64."""
    gradient = np.empty_like(at)
    for index in np.ndindex(*at.shape):
        ends = []
        for step in (1e-5, -1e-5):
            moved = at.copy()
            moved[index] += step
            ends.append(function(moved))
        gradient[index] = (ends[0] - ends[1]) / 2e-5
    return gradient


def shown(picture, name, shape):
    """The numbers of an array that a picture shows, as the SVG rounds them and unrounded."""
    values = np.array([picture.values[f"{name}[{i}]"] for i in range(int(np.prod(shape)))])
    texts = numbers_in(picture.svg())
    for i, value in enumerate(values):
        key = f"{name}[{i}]"
        assert texts[key] == float(format_number(value)), key
    return values.reshape(shape)


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.name)
def test_what_is_drawn_of_a_layer_is_right(case):
    layer = case.build("float64")
    dvalues = np.random.default_rng(3).normal(size=layer.forward(case.inputs).shape)
    seen = trace(layer, case.inputs, dvalues=dvalues)
    detail = "auto" if detail_for(seen) in ("operations", "neurons") else "neurons"
    picture = nn.see.graph(layer, case.inputs, dvalues=dvalues, sample=1, detail=detail)
    names = [each.name for each in seen.layers]
    output = shown(picture, f"{names[-1]}.output", dvalues.shape[1:])
    again = copy.deepcopy(layer)
    engine = again.forward(case.inputs, training=True)
    again.backward(dvalues)
    np.testing.assert_allclose(output, engine[1], rtol=1e-14)  # fused layers may round otherwise
    last = shown(picture, f"{names[-1]}.dvalues", dvalues.shape[1:])
    np.testing.assert_array_equal(last, dvalues[1])
    n_checked = 0
    for name, gradient in again.gradients().items():
        flat = np.squeeze(gradient, 0) if gradient.shape[:1] == (1,) else gradient
        owner, _, short = name.rpartition(".")
        key = f"{owner or '0'}.d{short}"
        if isinstance(layer, nn.Residual | nn.Concatenate):  # drawn as one
            key = f"0.{key}"
        for index in np.ndindex(*flat.shape):
            drawn = picture.values.get(f"{key}[{','.join(map(str, index))}]")
            if drawn is not None:
                assert drawn == pytest.approx(flat[index], rel=1e-12)
                n_checked += 1
    small = [each.size for each in again.gradients().values() if each.size <= 12]
    assert n_checked >= sum(small)
    if isinstance(layer, nn.Embedding):  # codes have no gradient
        return

    def moved(inputs):
        with left_as_it_is(layer):
            return float(np.sum(copy.deepcopy(layer).forward(inputs, training=True) * dvalues))

    dinputs = shown(picture, f"{names[0]}.dinputs", case.inputs.shape[1:])
    expected = numeric(moved, case.inputs)[1]
    np.testing.assert_allclose(dinputs, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
def test_what_is_drawn_of_a_loss_is_right(case):
    y_pred, y_true = np.asarray(case.y_pred, np.float64), case.y_true
    linear = nn.Linear()
    picture = nn.see.graph(linear, y_pred, y_true, loss=case.loss, sample=0)
    assert picture.values["loss"] == float(case.loss.calculate(y_pred, y_true))
    assert numbers_in(picture.svg())["loss"] == float(format_number(picture.values["loss"]))
    drawn = shown(picture, "0.dvalues", y_pred.shape[1:])
    expected = numeric(lambda moved: float(case.loss.calculate(moved, y_true)), y_pred)[0]
    np.testing.assert_allclose(drawn, expected, rtol=1e-6, atol=1e-6)


NETWORKS = {
    "2-3-2": (nn.Dense(2, 3, seed=0), nn.ReLU(), nn.Dense(3, 2, seed=1)),
    "4-5-3": (nn.Dense(4, 5, seed=0), nn.Tanh(), nn.Dense(5, 3, seed=1), nn.Softmax()),
}


def network(name: str) -> nn.Sequential:
    return nn.Sequential(*copy.deepcopy(NETWORKS[name]))


@pytest.mark.parametrize("name", NETWORKS)
def test_products_add_up(name):
    model = network(name)
    n = model.input_shape[0]
    X = np.random.default_rng(0).normal(size=(4, n))
    loss = nn.CategoricalCrossentropy() if name == "4-5-3" else nn.SoftmaxCategoricalCrossentropy()
    values = nn.see.graph(model, X, [0, 1, 1, 0], loss=loss, sample=2).values
    for j in range(model.layers[0].n_neurons):
        products = [values[f"0.products[{i},{j}]"] for i in range(n)]
        total = sum(products) + values[f"0.biases[{j}]"]
        assert total == pytest.approx(values[f"0.output[{j}]"], rel=1e-5)
    for i in range(n):
        parts = [values[f"0.dcopies[{i},{j}]"] for j in range(model.layers[0].n_neurons)]
        assert sum(parts) == pytest.approx(values[f"0.dinputs[{i}]"], rel=1e-5, abs=1e-7)


def test_a_product_that_is_not_the_layers_is_found():
    """The check of the products can fail."""
    seen = trace(network("2-3-2"), [[0.5, -1.0]], dvalues=[[1.0, 2.0]])
    first = seen.layers[0]
    Operations(first, 0, first=True, fine=False)
    wrong = copy.deepcopy(first.parameters)
    wrong["weights"][0, 0] += 0.01
    forged = type(first)(**{**vars(first), "parameters": wrong})
    with pytest.raises(AssertionError, match="do not add up"):
        Operations(forged, 0, first=True, fine=False)


def test_penalties_and_frozen_layers_add_up():
    for options in (
        {"weight_regularizer_l2": 0.1, "weight_regularizer_l1": 0.02},
        {"trainable": False},
    ):
        model = nn.Sequential(nn.Dense(2, 3, seed=0, **options), nn.Tanh(), nn.Dense(3, 1, seed=0))
        picture = nn.see.graph(model, [[1.0, 2.0], [3.0, -1.0]], dvalues=[[1.0], [0.5]])
        assert "0.dweights[0,0]" in picture.values


def test_tied_layers_add_up():
    words = nn.Embedding(5, 3, seed=0)
    head = nn.Dense(3, 5, seed=0).tie("weights", words, transposed=True)
    model = nn.Sequential(words, nn.Flatten(), head)
    loss = nn.SoftmaxCategoricalCrossentropy()
    picture = nn.see.graph(model, [[1], [4]], [2, 0], loss=loss, detail="operations")
    assert picture.values["2.output[0]"]


def test_tied_dense_layers_add_up():
    one, other = nn.Dense(3, 3), nn.Dense(3, 3)
    other.tie("weights", one)
    model = nn.Sequential(one, nn.Tanh(), other, seed=0)
    X = np.random.default_rng(0).normal(size=(5, 3))
    picture = nn.see.graph(model, X, [0, 1, 1, 0, 2], loss=nn.SoftmaxCategoricalCrossentropy())
    assert "0.products[0,0]" in picture.values


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e300])
def test_weights_that_are_not_finite_are_drawn(value):
    model = nn.Sequential(
        nn.Dense(3, 2, dtype="float64"), nn.ReLU(), nn.Dense(2, 2, dtype="float64"), seed=0
    )
    weights = np.array(model.layers[0].weights)
    weights[0, 0] = value
    model.layers[0].weights = weights
    with np.errstate(all="ignore"):
        picture = nn.see.graph(
            model, np.ones((2, 3)), [0, 1], loss=nn.SoftmaxCategoricalCrossentropy()
        )
    assert picture.values["0.weights[0,0]"] == pytest.approx(value, nan_ok=True)


def test_too_many_weights_for_lines_are_refused():
    model = nn.Sequential(nn.Dense(100, 100, seed=0))
    with pytest.raises(ArgumentError, match="10,000 weights are too many to draw as neurons"):
        nn.see.graph(model, np.ones((1, 100)), dvalues=np.ones((1, 100)), detail="neurons")


def test_softmax_is_drawn_with_its_jacobian():
    model = nn.Sequential(nn.Linear(), nn.Softmax())
    logits = np.array([[1.0, 2.0, 0.5]])
    picture = nn.see.graph(model, logits, [1], loss=nn.CategoricalCrossentropy())
    s = np.array([picture.values[f"1.output[{i}]"] for i in range(3)])
    matrix = np.diag(s) - np.outer(s, s)
    drawn = [[picture.values[f"1.jacobian[{i},{k}]"] for k in range(3)] for i in range(3)]
    np.testing.assert_allclose(drawn, matrix, rtol=1e-12)
    assert numbers_in(picture.svg())["1.jacobian[0,1]"] == float(format_number(matrix[0, 1]))


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.name)
def test_elementwise_layers_are_those_that_say_so(case):
    """A number of the output moves with the one at its place, and with no other."""
    layer = case.build("float64")
    if not layer.elementwise:
        return
    output = copy.deepcopy(layer).forward(case.inputs, training=True)
    assert output.shape == case.inputs.shape
    moved = case.inputs.copy()
    moved[0, 0] += 0.01
    other = copy.deepcopy(layer).forward(moved, training=True)
    other[0, 0] = output[0, 0]
    np.testing.assert_array_equal(other, output)


def test_tracing_leaves_the_model_as_it_is():
    model = nn.Sequential(
        nn.Dense(4, 6, seed=0),
        nn.BatchNorm(6),
        nn.ReLU(),
        nn.Dropout(0.5, seed=3),
        nn.Dense(6, 2, seed=0),
    )
    before = copy.deepcopy(model)
    seen = trace(
        model,
        np.ones((3, 4)) * [[1], [2], [3]],
        [0, 1, 1],
        loss=nn.SoftmaxCategoricalCrossentropy(),
    )
    assert seen.mean > 0
    assert seen.n_samples == 3
    for name, array in {**model.parameters(), **model.buffers(), **model.gradients()}.items():
        known = {**before.parameters(), **before.buffers(), **before.gradients()}
        np.testing.assert_array_equal(array, known[name])
    assert model.layers[3].step == before.layers[3].step


def test_a_trace_on_a_backend_stays_there(backend):
    model = network("2-3-2").to(backend)
    seen = trace(model, [[0.5, -1.0]], dvalues=[[1.0, 2.0]])
    assert backend.owns(seen.layers[0].dinputs)
    assert backend.owns(seen.layers[0].gradients["weights"])
    picture = nn.see.graph(model, [[0.5, -1.0]], dvalues=[[1.0, 2.0]])
    expected = nn.see.graph(network("2-3-2"), [[0.5, -1.0]], dvalues=[[1.0, 2.0]])
    for key, value in expected.values.items():
        assert picture.values[key] == pytest.approx(value, rel=1e-5, abs=1e-7)


def test_inference_has_values_only():
    picture = nn.see.graph(network("2-3-2"), [[0.5, -1.0]])
    assert not [key for key in picture.values if ".d" in key]
    assert picture.frames[-1].startswith("Layer 2")


def test_wrong_arguments_are_refused():
    model = network("2-3-2")
    loss = nn.SoftmaxCategoricalCrossentropy()
    with pytest.raises(ArgumentError, match="together"):
        nn.see.trace(model, [[1.0, 2.0]], [1])
    with pytest.raises(ArgumentError, match="together"):
        nn.see.trace(model, [[1.0, 2.0]], loss=loss)
    with pytest.raises(ArgumentError, match="Loss"):
        nn.see.trace(model, [[1.0, 2.0]], [1], loss="mse")
    with pytest.raises(ShapeError, match="dvalues"):
        nn.see.trace(model, [[1.0, 2.0]], dvalues=[[1.0]])
    with pytest.raises(ShapeError, match="`X`"):
        nn.see.trace(model, [[1.0, 2.0, 3.0]], dvalues=[[1.0, 1.0]])
    with pytest.raises(ArgumentError, match="below 1"):
        nn.see.graph(model, [[1.0, 2.0]], dvalues=[[1.0, 1.0]], sample=1)
    with pytest.raises(ArgumentError, match="detail"):
        nn.see.graph(model, [[1.0, 2.0]], dvalues=[[1.0, 1.0]], detail="fine")
    with pytest.raises(ArgumentError, match="frames"):
        nn.see.graph(model, [[1.0, 2.0]]).svg(99)


@pytest.mark.parametrize(
    ("layers", "detail"),
    [
        ((nn.Dense(4, 5), nn.Dense(5, 3)), "operations"),
        ((nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 8), nn.ReLU(), nn.Dense(8, 3)), "neurons"),
        ((nn.Dense(64, 32), nn.ReLU(), nn.Dense(32, 10)), "fields"),
        ((nn.Dense(64, 200), nn.ReLU(), nn.Dense(200, 10)), "layers"),
    ],
)
def test_larger_networks_are_drawn_more_coarsely(layers, detail):
    model = nn.Sequential(*copy.deepcopy(layers), seed=0)
    X = np.random.default_rng(0).normal(size=(7, model.input_shape[0]))
    seen = trace(model, X, np.arange(7) % 3, loss=nn.SoftmaxCategoricalCrossentropy())
    assert detail_for(seen) == detail
    scene = scene_of(seen)
    norm = float(np.linalg.norm(seen.layers[0].gradients["weights"]))
    if detail in ("fields", "layers"):
        assert scene.values["0.dweights"] == pytest.approx(norm, rel=1e-5)
    ElementTree.fromstring(live(scene))  # noqa: S314 # our own
    assert patch(scene).keys() == {each.key for each in scene.items if each.key}


def test_means_of_large_arrays_are_their_blocks(backend):
    from nnfs_xp.see.fields import _table

    array = np.arange(130 * 200, dtype=np.float64).reshape(130, 200)
    table = _table(backend.asarray(array, "float32"), 64)
    assert table.shape == (64, 64)
    assert table[0, 0] == pytest.approx(array[:2, :3].mean(), rel=1e-6)
    assert table.mean() == pytest.approx(array.mean(), rel=1e-2)


def test_numbers_fit_their_places():
    for value in (*np.geomspace(1e-300, 1e300, 500), 0.99999, 9.9999, 999.96, 99999.6, np.pi, 1e-3):
        for each in (value, -value):
            text = format_number(float(each))
            assert len(text) <= 9, text
            assert float(text) == pytest.approx(each, rel=0.06)
    assert format_number(-0.0) == "0.00"
    assert format_number(float("inf")) == "inf"


def test_pixels_are_a_png():
    import struct
    import zlib

    values = np.array([[1.0, -2.0, 0.0], [np.nan, 0.5, -0.5]])
    pixels = pixels_of(values)
    assert pixels[0, 1].tolist() == [213, 94, 0, 255]
    assert pixels[0, 2, 3] == pixels[1, 0, 3] == 0
    content = png(pixels)
    assert content.startswith(b"\x89PNG")
    assert struct.unpack(">II", content[16:24]) == (3, 2)
    start = content.index(b"IDAT") + 4
    length = struct.unpack(">I", content[start - 8 : start - 4])[0]
    rows = np.frombuffer(zlib.decompress(content[start : start + length]), np.uint8).reshape(2, 13)
    np.testing.assert_array_equal(rows[:, 1:].reshape(2, 3, 4), pixels)


@pytest.mark.parametrize("ending", ["svg", "png", "pdf", "gif"])
def test_pictures_are_saved(ending, tmp_path):
    path = nn.see.chapter("9-5").save(tmp_path / f"figure.{ending}")
    start = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF", "gif": b"GIF89a"}[ending]
    content = path.read_bytes()
    assert content.startswith(start)
    if ending == "gif":
        from PIL import Image

        with Image.open(path) as image:
            assert image.n_frames == 5


def test_an_animation_plays_by_its_style_alone(tmp_path):
    path = nn.see.chapter().save(tmp_path / "all.svg", animated=True)
    text = path.read_text("utf-8")
    ElementTree.fromstring(text)  # noqa: S314 # our own
    assert len(re.findall("@keyframes says", text)) == 18
    assert "prefers-reduced-motion" in text
    assert "<script" not in text


def test_other_endings_are_refused(tmp_path):
    picture = nn.see.chapter("9-1")
    with pytest.raises(ArgumentError, match=r"\.svg, \.png, \.pdf, \.gif"):
        picture.save(tmp_path / "figure.jpeg")
    with pytest.raises(ArgumentError, match="stands still"):
        picture.save(tmp_path / "figure.png", animated=True)


def test_texts_of_users_are_escaped():
    class Nasty(nn.Layer):
        kind = "<script>alert(1)</script>"

        def forward(self, inputs, training=False):
            return inputs * 1.0

        def backward(self, dvalues):
            self.dinputs = dvalues * 1.0
            return self.dinputs

    text = nn.see.graph(nn.Sequential(Nasty(), nn.ReLU()), [[1.0]], dvalues=[[1.0]]).svg()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
