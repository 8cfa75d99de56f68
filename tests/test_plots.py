"""The pictures: what is drawn for real models and data, in the extremes, and what is refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp import book, plots
from nnfs_xp.errors import ArgumentError, BackendError, LabelError, ShapeError
from nnfs_xp.testing import no_synchronization

FigureCanvasAgg = pytest.importorskip("matplotlib.backends.backend_agg").FigureCanvasAgg

X, Y, X_TEST, Y_TEST = nn.data.load_digits()
LONG = [f"number {i} of the classes with a name that is far too long" for i in range(20)]


@pytest.fixture(scope="module")
def digits():
    """A trainer of the digits after a little training, with its history and gradient flow."""
    model = nn.Sequential(
        nn.Dense(64, 16), nn.ReLU(), nn.Dropout(0.2), nn.Dense(16, 10), nn.Softmax(), seed=0
    )
    trainer = nn.Trainer(
        model, nn.CategoricalCrossentropy(), nn.Adam(0.003, decay=0.01), backend="numpy"
    )
    history = trainer.fit(X, Y, epochs=3, validation_data=(X_TEST, Y_TEST), progress=False)
    return trainer, history


def spiral_trainer(classes=3, end=3, loss=nn.SoftmaxCategoricalCrossentropy, **place):
    x, y = nn.data.spiral_data(samples=30, classes=classes, seed=0)
    model = nn.Sequential(nn.Dense(2, 16), nn.Tanh(), nn.Dense(16, end), seed=0)
    trainer = nn.Trainer(model, loss(), nn.Adam(0.05), **place or {"backend": "numpy"})
    return trainer, x, y


PICTURE = X_TEST[0].reshape(8, 8, 1)


def small_cnn(channels=1):
    """Two convolutions, of which the first sees pictures of so many channels."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2D(channels, 7, 3, use_bias=False), nn.BatchNorm(7), nn.ReLU()),
        nn.MaxPool2D(2),
        nn.Residual(nn.Conv2D(7, 7, (3, 1), padding="same"), nn.Tanh()),
        nn.Flatten(),
        nn.Dense(63, 10),
        seed=0,
    )


def drawn(figure):
    """The figure after a real drawing, which finds errors that building it does not."""
    FigureCanvasAgg(figure).draw()
    return figure


def texts(axes):
    return [text.get_text() for text in axes.texts]


def assert_nothing_is_cut(figure):
    """All that is drawn lies within the figure."""
    box = figure.get_tightbbox(FigureCanvasAgg(drawn(figure)).get_renderer())
    width, height = figure.get_size_inches()
    assert -0.01 <= box.x0 < box.x1 <= width + 0.01
    assert -0.01 <= box.y0 < box.y1 <= height + 0.01


DRAW = {
    "history": lambda t, h, path: plots.plot_history(h, path),
    "confusion_matrix": lambda t, h, path: plots.plot_confusion_matrix(
        Y_TEST, t.predict(X_TEST), path
    ),
    "weights": lambda t, h, path: plots.plot_weights(t.model, path),
    "filters": lambda t, h, path: plots.plot_filters(small_cnn(), path),
    "feature_maps": lambda t, h, path: plots.plot_feature_maps(small_cnn(), PICTURE, path),
    "activations": lambda t, h, path: plots.plot_activations(t.model, X_TEST, path),
    "gradients": lambda t, h, path: plots.plot_gradients(t, path),
    "misclassified": lambda t, h, path: plots.plot_misclassified(
        X_TEST, Y_TEST, t.predict(X_TEST), path, n=4
    ),
    "gradient_flow": lambda t, h, path: plots.plot_gradient_flow({"0.weights": [1.0, 2.0]}, path),
    "decision_boundary": lambda t, h, path: plots.plot_decision_boundary(
        *spiral_trainer(), path, resolution=20
    ),
}


def test_every_picture_is_among_those_drawn_here():
    assert {f"plot_{name}" for name in DRAW} == set(plots.__all__)


@pytest.mark.parametrize("name", DRAW)
def test_every_picture_is_returned_and_saved(name, digits, tmp_path):
    path = tmp_path / "picture.png"
    figure = DRAW[name](*digits, path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert list(tmp_path.iterdir()) == [path]
    assert figure._repr_png_().startswith(b"\x89PNG"), "a notebook shows it"
    assert figure.axes
    assert_nothing_is_cut(figure)
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


@pytest.mark.parametrize("name", DRAW)
def test_without_matplotlib_every_picture_says_what_to_install(name, digits, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(BackendError, match=r"pip install 'nnfs-xp\[plot\]'"):
        DRAW[name](*digits, None)


def test_the_ending_decides_the_format(digits, tmp_path):
    for ending, start in (("svg", b"<?xml"), ("pdf", b"%PDF")):
        path = tmp_path / f"a.{ending}"
        plots.plot_history(digits[1], str(path))
        assert path.read_bytes().startswith(start)
    for name in ("a.xyz", "no-ending"):
        with pytest.raises(ArgumentError, match=r"must end in a format of pictures, \.png"):
            plots.plot_history(digits[1], tmp_path / name)
    with pytest.raises(OSError, match=r"make the folder .*nowhere first"):
        plots.plot_history(digits[1], tmp_path / "nowhere" / "a.png")


@pytest.mark.parametrize("name", DRAW)
def test_where_no_picture_can_be(name, digits, tmp_path, monkeypatch):
    for path in (5, b"a.png", ""):
        with pytest.raises(ArgumentError, match=r"`path` must (be a string|not be empty)"):
            DRAW[name](*digits, path)
    with pytest.raises(ArgumentError, match=r"cannot write .*/a\\x00b\.png: embedded null"):
        DRAW[name](*digits, tmp_path / "a\0b.png")
    (tmp_path / "a.png").write_text("mine")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(PermissionError, match=r"it is read-only: .*/a\.png"):
        DRAW[name](*digits, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_text() == "mine"


def test_history_has_a_panel_for_each_figure(digits):
    history = digits[1]
    figure = plots.plot_history(history, title="digits, $5 and $6")
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy", "learning rate"]
    for axes, name in zip(figure.axes[:2], ("loss", "accuracy"), strict=True):
        training, validation = axes.lines
        assert training.get_ydata().tolist() == history[name]
        assert validation.get_ydata().tolist() == history[f"val_{name}"]
        assert training.get_xdata().tolist() == [1, 2, 3]
        assert [t.get_text() for t in axes.get_legend().get_texts()] == ["training", "validation"]
    assert figure.get_suptitle() == r"digits, \$5 and \$6"


def test_history_without_what_does_not_change():
    figure = plots.plot_history({"loss": [2.0, 1.0], "learning_rate": [0.1, 0.1]})
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss"]


def test_history_of_one_epoch_and_of_metrics_of_the_validation_only():
    figure = drawn(plots.plot_history({"val_top_3": [0.5], "loss": [1.0]}))
    loss, top = figure.axes
    assert (loss.get_ylabel(), top.get_ylabel()) == ("loss", "top 3")
    assert loss.lines[0].get_marker() == "o", "a line of one point would not be seen"
    assert [tick for tick in loss.get_xticks() if 0.5 < tick < 1.5] == [1]


def test_history_with_gaps():
    nan, inf = float("nan"), float("inf")
    figure = drawn(
        plots.plot_history({"loss": [3.0, 2.0, nan, 1.0, nan, inf], "val_loss": [nan] * 6})
    )
    training, validation = figure.axes[0].lines
    np.testing.assert_array_equal(training.get_ydata(), [3, 2, nan, 1, nan, nan])
    assert training.get_markevery() == [False, False, False, True, False, False]
    assert validation.get_label() == "validation: not finite"
    assert figure.axes[0].get_xlim()[1] > 6, "the epochs without a value are there"


@pytest.mark.parametrize("history", [{}, {"loss": []}, nn.History()])
def test_history_without_epochs_is_refused(history):
    with pytest.raises(ArgumentError, match="holds no epochs"):
        plots.plot_history(history)


def test_confusion_counts_are_in_the_cells(backend):
    place = nn.get_backend(backend)
    true, predicted = [0, 0, 1, 1, 1, 2], [0, 1, 1, 1, 0, 2]
    figure = plots.plot_confusion_matrix(place.asarray(true), place.asarray(predicted))
    (axes,) = figure.axes
    assert texts(axes) == ["1", "1", "0", "1", "2", "0", "0", "0", "1"], "rows are the true classes"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert figure.get_suptitle() == "6 samples, accuracy 0.6667"
    one_hot = place.asarray(np.eye(3, dtype=np.float32)[true])
    again = plots.plot_confusion_matrix(one_hot, place.asarray(np.eye(3)[predicted]))
    assert texts(again.axes[0]) == texts(axes)


def test_confusion_normalized_leaves_the_row_of_an_absent_class_empty():
    figure = drawn(plots.plot_confusion_matrix([0, 0, 0, 2], [0, 0, 1, 2], normalize=True))
    assert texts(figure.axes[0]) == ["0.67", "0.33", "0", "", "", "", "0", "0", "1.00"]
    shares = figure.axes[0].images[0].get_array()
    assert np.ma.getmaskarray(shares)[1].all() or np.isnan(shares[1]).all()


def test_confusion_of_one_sample_and_of_two_classes():
    figure = plots.plot_confusion_matrix([0], [1], classes=["no", "yes"])
    assert texts(figure.axes[0]) == ["0", "1", "0", "0"]
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["no", "yes"]
    assert figure.get_suptitle() == "1 sample, accuracy 0.0000"
    assert_nothing_is_cut(figure)


def test_confusion_of_many_classes_with_long_names():
    y = np.random.default_rng(0).integers(20, size=5000)
    figure = plots.plot_confusion_matrix(y, y, classes=LONG)
    assert len(texts(figure.axes[0])) == 400
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert len(set(labels)) == 20
    assert all(label.endswith("…") and len(label) == 30 for label in labels)
    assert_nothing_is_cut(figure)
    crowd = plots.plot_confusion_matrix([0, 99], [0, 99])
    assert texts(crowd.axes[0]) == [], "100 x 100 numbers could not be read"
    assert crowd.axes[1].get_ylabel() == "share of the true class"


@pytest.mark.parametrize(
    ("y_true", "y_pred", "options", "error", "match"),
    [
        ([0, 1], [0], {}, LabelError, "got 2 and 1"),
        ([], [], {}, LabelError, "at least 1 sample"),
        ([[[0]]], [0], {}, LabelError, "`y_true` must be class indices"),
        ([0], [0.5], {}, LabelError, "`y_pred` must hold class indices"),
        ([0], [float("nan")], {}, LabelError, "`y_pred` must hold class indices"),
        ([-1], [0], {}, LabelError, "whole numbers from 0"),
        ([0, 2], [0, 2], {"classes": ["a", "b"]}, ArgumentError, "from 0 to 2; got 2 names"),
        ([0, 10**9], [0, 1], {}, ArgumentError, "can be drawn|are more than"),
    ],
)
def test_confusion_refuses_what_is_no_classes(y_true, y_pred, options, error, match):
    with pytest.raises(error, match=match):
        plots.plot_confusion_matrix(y_true, y_pred, **options)


def test_boundary_shows_regions_and_points(backend):
    trainer, x, y = spiral_trainer(backend=backend)
    trainer.fit(x, y, epochs=30)
    place = nn.get_backend(backend)
    figure = plots.plot_decision_boundary(
        trainer, place.asarray(x), place.asarray(y), resolution=30, classes=["a", "b", "$c$"]
    )
    (axes,) = figure.axes
    (region,) = axes.images
    assert region.get_array().shape == (30, 30, 3)
    left, right, bottom, top = region.get_extent()
    assert left < x[:, 0].min() < x[:, 0].max() < right
    assert bottom < x[:, 1].min() < x[:, 1].max() < top
    points = {c.get_label(): c.get_offsets() for c in axes.collections if len(c.get_offsets()) > 9}
    assert list(points) == ["a", "b", r"\$c\$"]
    for index, found in enumerate(points.values()):
        np.testing.assert_array_equal(found, x[y == index])
    assert [t.get_text() for t in figure.legends[0].get_texts()] == list(points)
    assert_nothing_is_cut(figure)


def test_boundary_colors_the_class_that_is_predicted():
    trainer, x, y = spiral_trainer()
    trainer.model.layers[0].weights[...] = 0
    trainer.model.layers[2].biases = [[0.0, 50.0, 0.0]]
    figure = plots.plot_decision_boundary(trainer, x, y, resolution=5)
    (axes,) = figure.axes
    colors = np.unique(np.asarray(axes.images[0].get_array()).reshape(-1, 3), axis=0)
    assert len(colors) == 1, "one class everywhere"
    assert colors[0].argmax() == 0, "and that one is vermilion"
    assert len(axes.collections) == 3, "the points; no line where nothing ties"


@pytest.mark.parametrize("column", [False, True])
def test_boundary_of_a_yes_or_no_output(column):
    trainer, x, y = spiral_trainer(2, 1, nn.SigmoidBinaryCrossentropy)
    if column:
        y = y[:, None]
    trainer.fit(x, y, epochs=30)
    figure = drawn(plots.plot_decision_boundary(trainer, x, y, resolution=20))
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["0", "1"]
    assert len(figure.axes[0].collections) > 2, "a line runs where the two tie"


def test_boundary_of_twenty_classes_and_of_one_sample():
    x, y = np.ones((1, 2)), [7]
    trainer, _, _ = spiral_trainer(end=20)
    figure = plots.plot_decision_boundary(trainer, x, y, resolution=10, classes=LONG)
    assert len(figure.legends[0].get_texts()) == 20
    assert_nothing_is_cut(figure)
    legend = figure.legends[0].get_window_extent()
    assert legend.x1 <= figure.bbox.x1 + 1
    assert legend.y0 >= -1


def test_boundary_refuses_what_cannot_be_drawn(digits):
    trainer, x, y = spiral_trainer()
    with pytest.raises(ShapeError, match=r"for two features only; got \(359, 64\)"):
        plots.plot_decision_boundary(digits[0], X_TEST, Y_TEST)
    with pytest.raises(ShapeError, match=r"got \(2,\)"):
        plots.plot_decision_boundary(trainer, [1.0, 2.0], [0])
    with pytest.raises(LabelError, match="must have 90 labels; got 89"):
        plots.plot_decision_boundary(trainer, x, y[1:])
    with pytest.raises(LabelError, match="from 0 to 2; got 3"):
        plots.plot_decision_boundary(trainer, x, y + 1)
    with pytest.raises(ArgumentError, match="`resolution` must be a whole number of at least 2"):
        plots.plot_decision_boundary(trainer, x, y, resolution=1)
    with pytest.raises(ArgumentError, match="got 1 names"):
        plots.plot_decision_boundary(trainer, x, y, classes=["a"])
    several, _, _ = spiral_trainer(loss=nn.SigmoidBinaryCrossentropy)
    with pytest.raises(ArgumentError, match="3 yes-or-no answers"):
        plots.plot_decision_boundary(several, x, y)
    regression, _, _ = spiral_trainer(loss=nn.MeanSquaredError)
    with pytest.raises(nn.NnfsError, match="no probabilities"):
        plots.plot_decision_boundary(regression, x, y)


def test_weights_are_images_of_the_inputs(backend):
    model = nn.Sequential(nn.Sequential(nn.Dense(64, 7)), nn.ReLU(), seed=0).to(backend)
    figure = plots.plot_weights(model, n=5)
    picture = np.ma.filled(figure.axes[0].images[0].get_array().astype(float), np.nan)
    assert picture.shape == (2 * 9 - 1, 3 * 9 - 1), "3 images a row, a pixel apart"
    weights = nn.to_numpy(model.parameters()["0.0.weights"])
    np.testing.assert_array_equal(picture[:8, :8], weights[:, 0].reshape(8, 8))
    np.testing.assert_array_equal(picture[9:, 9:17], weights[:, 4].reshape(8, 8))
    assert np.isnan(picture[9:, 18:]).all(), "there is no sixth"
    low, high = figure.axes[0].images[0].get_clim()
    assert -low == high > 0, "0 is white"
    assert figure.get_suptitle() == "Layer 0.0, Dense: weights of 5 of 7 neurons"
    assert figure.axes[1].get_ylabel() == "weight"


def test_weights_of_a_table_are_a_matrix():
    model = nn.Sequential(nn.Dense(13, 6), seed=0)
    figure = drawn(plots.plot_weights(model))
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(shown, model.layers[0].weights)
    assert (figure.axes[0].get_ylabel(), figure.axes[0].get_xlabel()) == ("input", "neuron")


def test_weights_of_one_neuron_and_of_colours():
    one = drawn(plots.plot_weights(nn.Dense(784, 1, seed=0)))
    assert one.axes[0].images[0].get_array().shape == (28, 28)
    assert one.get_suptitle() == "Layer, Dense: weights of all 1 neurons"
    colours = drawn(plots.plot_weights(nn.Dense(48, 4, seed=0), image_shape=(4, 4, 3)))
    picture = colours.axes[0].images[0].get_array()
    assert picture.shape == (9, 9, 3)
    assert picture.min() >= 0
    assert picture.max() <= 1
    broken = nn.Dense(64, 2, seed=0)
    broken.weights[...] = float("nan")
    assert len(drawn(plots.plot_weights(broken)).axes) == 2


def test_weights_refuses_what_cannot_be_drawn():
    with pytest.raises(ArgumentError, match="no Dense layer, and no convolution"):
        plots.plot_weights(nn.Sequential(nn.ReLU()))
    for shape in ((7, 7), (64,), (4, 4, 4), (2, 2, 2, 8)):
        with pytest.raises(ShapeError, match=r"`image_shape` must be .* of 64 numbers"):
            plots.plot_weights(nn.Dense(64, 2), image_shape=shape)
    with pytest.raises(ArgumentError, match="`n` must be a whole number"):
        plots.plot_weights(nn.Dense(64, 2), n=0)


def as_numbers(axes):
    """What an axes shows as an image, NaN where nothing is."""
    return np.ma.filled(axes.images[0].get_array().astype(float), np.nan)


def test_filters_are_images(backend):
    model = small_cnn().to(backend)
    figure = plots.plot_filters(model, n=5)
    picture = as_numbers(figure.axes[0])
    assert picture.shape == (2 * 4 - 1, 3 * 4 - 1), "3 filters a row, a pixel apart"
    weights = nn.to_numpy(model.parameters()["0.0.weights"])
    np.testing.assert_array_equal(picture[:3, :3], weights[:, :, 0, 0])
    np.testing.assert_array_equal(picture[4:, 4:7], weights[:, :, 0, 4])
    assert np.isnan(picture[4:, 8:]).all(), "there is no sixth"
    low, high = figure.axes[0].images[0].get_clim()
    assert -low == high > 0, "0 is white"
    assert figure.get_suptitle() == "Layer 0.0, Conv2D: 5 of 7 filters"
    assert_nothing_is_cut(figure)


def test_filters_of_colours_and_of_many_channels():
    model = small_cnn(channels=3)
    colours = drawn(plots.plot_filters(model)).axes[0].images[0].get_array()
    assert colours.shape == (3 * 4 - 1, 3 * 4 - 1, 3)
    filters = np.moveaxis(model.parameters()["0.0.weights"], 3, 0).astype(float)
    scaled = (filters - filters.min()) / (filters.max() - filters.min())
    np.testing.assert_allclose(colours[4:7, :3], scaled[3])
    deep = plots.plot_filters(model, layer="2.0", n=4)
    picture = as_numbers(deep.axes[0])
    assert picture.shape == (4 * 4 - 1, 7 * 2 - 1), "a row for each filter, 3 x 1 for each channel"
    weights = model.parameters()["2.0.weights"]
    np.testing.assert_array_equal(picture[8:11, 10], weights[:, 0, 5, 2])
    assert deep.get_suptitle() == "Layer 2.0, Conv2D: 4 of 7 filters, 7 of 7 channels"
    assert_nothing_is_cut(deep)
    wide = plots.plot_filters(nn.Conv2D(40, 2, 3, seed=0))
    assert wide.get_suptitle() == "Layer, Conv2D: all 2 filters, 16 of 40 channels"


def test_filters_of_sequences_have_a_row_for_each_channel():
    layer = nn.Conv1D(4, 3, 5, seed=0)
    picture = as_numbers(drawn(plots.plot_filters(layer)).axes[0])
    assert picture.shape == (2 * 5 - 1, 2 * 6 - 1)
    np.testing.assert_array_equal(picture[:4, 6:11], layer.weights[:, :, 1].T)


def test_weights_of_a_network_of_convolutions_are_its_filters():
    model = small_cnn()
    weights, filters = plots.plot_weights(model, image_shape=(8, 8)), plots.plot_filters(model)
    assert weights.get_suptitle() == filters.get_suptitle()
    np.testing.assert_array_equal(*(as_numbers(each.axes[0]) for each in (weights, filters)))


def test_filters_refuses_what_has_none():
    with pytest.raises(ArgumentError, match="the model has no convolution"):
        plots.plot_filters(nn.Dense(64, 2))
    with pytest.raises(ArgumentError, match=r"`layer` must be .*: '0\.0', '2\.0'; got '1'"):
        plots.plot_filters(small_cnn(), layer="1")
    with pytest.raises(ArgumentError, match="`n` must be a whole number"):
        plots.plot_filters(small_cnn(), n=0)


def test_feature_maps_show_the_last_layer_before_each_window(backend):
    model = small_cnn().to(backend)
    figure = plots.plot_feature_maps(model, nn.get_backend(backend).asarray(PICTURE), n=4)
    assert [axes.get_title("left") for axes in figure.axes] == [
        "the picture, 8 x 8",
        "0.0 Conv2D, 0.1 BatchNorm, 0.2 ReLU: 4 of 7 channels, 6 x 6",
        "1 MaxPool2D: 4 of 7 channels, 3 x 3",
        "2 Residual: 4 of 7 channels, 3 x 3",
    ]
    np.testing.assert_allclose(as_numbers(figure.axes[0])[:, :8], PICTURE[:, :, 0])
    inputs = nn.get_backend(backend).asarray(PICTURE[None])
    maps = nn.to_numpy(model.layers[0].forward(inputs))[0]
    shown = as_numbers(figure.axes[1])
    assert shown.shape == (6, 4 * 7 - 1)
    np.testing.assert_allclose(shown[:, 14:20], maps[:, :, 2], rtol=1e-6)
    assert figure.axes[1].images[0].get_clim() == (np.nanmin(shown), np.nanmax(shown))
    assert_nothing_is_cut(figure)


def test_feature_maps_of_colours_of_one_picture_in_a_batch_and_of_one_channel():
    x = np.random.default_rng(0).random((1, 8, 8, 3))
    model = small_cnn(channels=3)
    figure = drawn(plots.plot_feature_maps(model, x, n=3))
    assert figure.axes[0].images[0].get_array().shape == (8, 3 * 9 - 1, 3)
    single = drawn(plots.plot_feature_maps(model, x[0], n=1))
    assert as_numbers(single.axes[1]).shape == (6, 6)
    model.layers[0].layers[0].weights[...] = float("nan")
    assert len(drawn(plots.plot_feature_maps(model, x)).axes) == 4


def test_feature_maps_refuses_what_is_no_picture():
    for shape in ((8, 8), (2, 8, 8, 1), (64,)):
        with pytest.raises(ShapeError, match=r"`X` must be one picture"):
            plots.plot_feature_maps(small_cnn(), np.zeros(shape))
    with pytest.raises(ShapeError, match="channels last"):
        plots.plot_feature_maps(small_cnn(), np.zeros((1, 8, 8)))
    with pytest.raises(ArgumentError, match="no layer of the model gives pictures"):
        plots.plot_feature_maps(nn.Sequential(nn.Flatten(), nn.Dense(64, 2), seed=0), PICTURE)


def test_the_other_pictures_of_a_network_of_convolutions(backend):
    model = small_cnn()
    trainer = nn.Trainer(
        model, nn.SoftmaxCategoricalCrossentropy(), nn.Adam(0.01), backend=backend, seed=0
    )
    flow = nn.GradientFlow()
    x, x_test = X.reshape(-1, 8, 8, 1), X_TEST.reshape(-1, 8, 8, 1)
    trainer.fit(x, Y, epochs=2, callbacks=[flow], progress=False)
    lines = drawn(plots.plot_gradient_flow(flow.norms())).axes[0].lines
    assert [line.get_label() for line in lines] == ["0.0", "0.1", "2.0", "4"]
    titles = [axes.get_title() for axes in drawn(plots.plot_activations(trainer, x_test)).axes]
    kinds = [title.split()[1] for title in titles[:4]]
    assert kinds == ["Conv2D", "BatchNorm", "ReLU", "MaxPool2D"]
    assert len(drawn(plots.plot_gradients(trainer)).axes) == len(model.parameters())
    wrong = drawn(plots.plot_misclassified(x_test, Y_TEST, trainer.predict(x_test)))
    assert wrong.axes[0].images[0].get_array().shape == (8, 8)
    for how in ({"y": Y_TEST[:3]}, {"output": 2}):
        saliency = nn.input_gradients(trainer, x_test[:3], **how)
        assert saliency.shape == (3, 8, 8, 1)
        assert np.abs(saliency).max() > 0


def heights(axes):
    return [patch.get_height() for patch in axes.patches]


def test_activations_of_each_layer(backend):
    inner = nn.Sequential(nn.ReLU(), nn.Dense(16, 4))
    model = nn.Sequential(nn.Dense(64, 16), inner, nn.Sigmoid(), seed=0).to(backend)
    figure = drawn(plots.plot_activations(model, nn.get_backend(backend).asarray(X[:50])))
    names = [axes.get_title().splitlines()[0] for axes in figure.axes]
    assert names == ["0 Dense", "1.0 ReLU", "1.1 Dense", "2 Sigmoid"]
    assert [sum(heights(axes)) for axes in figure.axes] == [800, 800, 200, 200]
    dense = nn.to_numpy(model.layers[0].forward(nn.get_backend(backend).asarray(X[:50])))
    zeros = np.mean(dense <= 0)
    assert f"{zeros:.0%} zeros" in figure.axes[1].get_title()
    counts, _ = np.histogram(dense.astype(float), bins=50)
    assert heights(figure.axes[0]) == counts.tolist()


def test_activations_that_are_constant_or_not_finite():
    model = nn.Sequential(nn.Dense(2, 3), nn.Sigmoid(), seed=0)
    model.layers[0].weights = [[0.0, 0.0, 0.0], [0.0, 0.0, float("nan")]]
    figure = drawn(plots.plot_activations(model, np.ones((1, 2))))
    assert figure.axes[0].get_title() == "0 Dense\n1 not finite, all 0"
    assert figure.axes[1].get_title() == "1 Sigmoid\n1 not finite, all 0.5"
    model.layers[0].weights = np.full((2, 3), 1e30)
    assert "all 2e+30" in drawn(plots.plot_activations(model, np.ones((4, 2)))).axes[0].get_title()
    with pytest.raises(ShapeError):
        plots.plot_activations(model, np.ones((4, 3)))


def test_gradients_as_the_last_step_left_them(digits):
    trainer, _ = digits
    figure = drawn(plots.plot_gradients(trainer))
    gradients = trainer.model.gradients()
    assert [axes.get_title().splitlines()[0] for axes in figure.axes] == list(gradients)
    for axes, gradient in zip(figure.axes, gradients.values(), strict=True):
        assert sum(heights(axes)) == gradient.size
        assert f"std {gradient.astype(float).std():.2g}" in axes.get_title()
    same = plots.plot_gradients(trainer.model)
    assert heights(same.axes[0]) == heights(figure.axes[0])
    untrained = plots.plot_gradients(nn.Dense(2, 2))
    assert untrained.axes[0].get_title() == "weights\nall 0"
    with pytest.raises(ArgumentError, match="no parameters"):
        plots.plot_gradients(nn.ReLU())


def test_misclassified_shows_the_first_with_both_labels(backend):
    place = nn.get_backend(backend)
    predicted = Y_TEST.copy()
    wrong = [3, 50, 51, 358]
    predicted[wrong] = (predicted[wrong] + 1) % 10
    figure = plots.plot_misclassified(
        place.asarray(X_TEST), place.asarray(Y_TEST), place.asarray(predicted), n=3
    )
    assert figure.get_suptitle() == "4 of 359 samples misclassified; the first 3"
    assert [axes.get_title() for axes in figure.axes] == [
        f"true {Y_TEST[i]}\npredicted {predicted[i]}" for i in wrong[:3]
    ]
    for axes, index in zip(figure.axes, wrong, strict=False):
        np.testing.assert_allclose(axes.images[0].get_array(), X_TEST[index].reshape(8, 8))
    assert_nothing_is_cut(figure)


def test_misclassified_takes_images_of_any_shape():
    x = np.random.default_rng(0).integers(256, size=(2, 4, 6, 3), dtype=np.uint8)
    figure = drawn(plots.plot_misclassified(x, [0, 19], [1, 2], classes=LONG))
    assert [axes.images[0].get_array().shape for axes in figure.axes] == [(4, 6, 3)] * 2
    assert_nothing_is_cut(figure)
    flat = plots.plot_misclassified(x.reshape(2, -1), [0, 1], [1, 1], image_shape=(8, 9))
    assert flat.axes[0].images[0].get_array().shape == (8, 9)
    assert flat.get_suptitle() == "1 of 2 samples misclassified"
    blank = drawn(plots.plot_misclassified(np.zeros((1, 7, 7)), [0], [1]))
    assert not blank.axes[0].images[0].get_array().any()


@pytest.mark.parametrize(
    ("n", "says"),
    [(1, "The one sample is classified correctly."), (1200, "All 1,200 samples are classified")],
)
def test_misclassified_without_any_says_so(n, says):
    figure = drawn(plots.plot_misclassified(np.zeros((n, 64)), [0] * n, [0] * n))
    assert says in figure.texts[0].get_text()


def test_misclassified_refuses_what_are_no_images():
    with pytest.raises(ShapeError, match=r"13 features make no square image\. Give image_shape"):
        plots.plot_misclassified(np.zeros((2, 13)), [0, 1], [1, 0])
    with pytest.raises(ShapeError, match=r"got \(64,\)"):
        plots.plot_misclassified(np.zeros(64), [0], [1])
    with pytest.raises(LabelError, match="each of the 3 samples; got 2"):
        plots.plot_misclassified(np.zeros((3, 64)), [0, 1], [1, 0])


def test_gradient_flow_records_without_waiting(backend):
    model = nn.Sequential(nn.Dense(64, 8), nn.ReLU(), nn.Dense(8, 10), seed=0)
    trainer = nn.Trainer(model, nn.SoftmaxCategoricalCrossentropy(), nn.SGD(0.1), backend=backend)
    place = nn.get_backend(backend)
    x, y = place.asarray(X[:20]), place.asarray(Y[:20])
    flow = nn.GradientFlow()
    assert flow.norms() == {}
    expected = []
    for _ in range(3):
        with no_synchronization():
            trainer.train_step(x, y)
            flow.on_step_end(trainer)
        expected.append([np.linalg.norm(nn.to_numpy(g)) for g in model.gradients().values()])
    norms = flow.norms()
    assert list(norms) == ["0.weights", "0.biases", "2.weights", "2.biases"]
    np.testing.assert_allclose(np.array(list(norms.values())).T, expected, rtol=1e-5)
    assert all(type(value) is float for values in norms.values() for value in values)
    flow.reset()
    assert flow.norms() == {}


def test_gradient_flow_has_a_line_for_each_layer():
    figure = drawn(
        plots.plot_gradient_flow(
            {"0.weights": [3.0, 0.0], "0.biases": [4.0, 0.0], "1.0.weights": [1.0, float("nan")]}
        )
    )
    (axes,) = figure.axes
    first, second = axes.lines
    assert first.get_ydata().tolist() == [5.0, 0.0]
    assert second.get_xdata().tolist() == [1, 2]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["0", "1.0"]
    assert axes.get_yscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "norm of the gradient")


def test_gradient_flow_of_many_layers_and_steps():
    norms = {f"{i}.weights": np.full(1000, 10.0**-i) for i in range(20)}
    figure = drawn(plots.plot_gradient_flow(norms))
    axes, bar = figure.axes
    assert len(axes.lines) == 20
    assert len(axes.lines[0].get_xdata()) == 200
    assert axes.lines[3].get_ydata() == pytest.approx(1e-3)
    assert "layer" in bar.get_ylabel()
    assert not figure.legends
    one = plots.plot_gradient_flow({"weights": [1.0]})
    assert one.axes[0].lines[0].get_marker() == "o"
    for nothing in ({}, {"a": []}, {"a": [1.0], "b": []}):
        with pytest.raises(ArgumentError, match="a number for each step"):
            plots.plot_gradient_flow(nothing)


def test_models_of_the_book_and_what_is_none():
    model = book.Model()
    for layer in (book.Layer_Dense(64, 8), book.Activation_ReLU(), book.Layer_Dense(8, 10)):
        model.add(layer)
    model.finalize()
    assert len(drawn(nn.plots.plot_activations(model, X[:20])).axes) == 3
    assert drawn(nn.plots.plot_gradients(model))
    assert drawn(nn.plots.plot_weights(model))
    for draw in (nn.plots.plot_gradients, nn.plots.plot_weights):
        with pytest.raises(ArgumentError, match="`model` must be a layer of nnfs_xp; got None"):
            draw(None)
