"""Steps that are recorded once and launched many times give what steps give that are not."""

from __future__ import annotations

import copy
import logging
import re
from itertools import pairwise

import cupy
import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.backend import to_numpy
from nnfs_xp.kernels.cupy import cublaslt

BACKEND = nn.get_backend("cupy")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((100, 8)).astype("float32")
Y = RNG.integers(0, 3, 100)


@pytest.fixture(autouse=True)
def _cublaslt():
    assert cublaslt.library() is not None


def layers():
    return [
        nn.Dense(8, 32),
        nn.ReLU(),
        nn.BatchNorm(32),
        nn.Dropout(0.1),
        nn.Dense(32, 16, weight_regularizer_l2=1e-3, max_norm=3.0),
        nn.ReLU(),
        nn.LayerNorm(16),
        nn.Dense(16, 16),
        nn.ReLU(),
        nn.Dense(16, 3),
    ]


def trainer(model=None, optimizer=None, loss=None, **settings):
    model = nn.Sequential(*(model or layers()), seed=0)
    loss = loss or nn.SoftmaxCategoricalCrossentropy()
    return nn.Trainer(model, loss, optimizer or nn.Adam(1e-2), backend="cupy", seed=3, **settings)


def state(trained):
    """All that training has changed."""
    model, optimizer = trained.model, trained.optimizer
    arrays = {"weights": model.flat.values} | model.buffers() | optimizer.state(model)
    return {name: to_numpy(array) for name, array in arrays.items()}


def fit(trained, **settings):
    history = trained.fit(X, Y, **{"epochs": 4, "batch_size": 32, "progress": False, **settings})
    return dict(history), state(trained)


def launched(trained):
    """The graphs that there are."""
    return [each.graph for each in trained.recorder._recorded.values() if each.launched]


def assert_same(one, other):
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    for name, array in one[1].items():
        np.testing.assert_array_equal(array, other[1][name], err_msg=name)


OPTIMIZERS = {
    "sgd": lambda: nn.SGD(0.1),
    "momentum": lambda: nn.SGD(0.1, momentum=0.9, nesterov=True),
    "decay": lambda: nn.SGD(0.1, decay=0.01),
    "adagrad": lambda: nn.Adagrad(0.1),
    "rmsprop": lambda: nn.RMSprop(1e-2),
    "adam": lambda: nn.Adam(1e-2),
    "amsgrad": lambda: nn.Adam(1e-2, amsgrad=True),
    "adamw": lambda: nn.AdamW(1e-2, weight_decay=0.1),
    "lion": lambda: nn.Lion(1e-3, weight_decay=0.1),
    "muon": lambda: nn.Muon(nn.CosineDecay(2e-2, steps=16), weight_decay=0.1),
    "lookahead": lambda: nn.Lookahead(nn.AdamW(1e-2, weight_decay=0.1, average_decay=0.9), k=3),
    "clipped": lambda: nn.Adam(1e-2, clip_norm=0.1, clip_value=0.01),
    "averaged": lambda: nn.Adam(1e-2, average_decay=0.9),
    "scheduled": lambda: nn.Adam(nn.schedules.CosineDecay(1e-2, steps=16, warmup_steps=3)),
    "decay scheduled": lambda: nn.AdamW(1e-2, weight_decay=nn.CosineDecay(0.5, steps=16)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name):
    recorded = trainer(optimizer=OPTIMIZERS[name]())
    plain = trainer(optimizer=OPTIMIZERS[name](), graph=False)
    assert_same(fit(recorded), fit(plain))
    assert recorded.recorder.refused is None
    assert recorded.recorder.recordings == 2, "whole batches, and the short last one"
    assert not recorded.recorder._recorded, "with them go the data"
    assert plain.recorder.recordings == 0


def test_an_embedding():
    def layers_of_codes():
        return [nn.Embedding(2500, 3), nn.Flatten(), nn.Dense(24, 3)]

    codes, labels = RNG.integers(0, 2500, (700, 8)), RNG.integers(0, 3, 700)
    settings = {"epochs": 2, "batch_size": 300, "progress": False}  # more codes than a tile has
    recorded, plain = (trainer(layers_of_codes(), graph=graph) for graph in (True, False))
    runs = [(dict(each.fit(codes, labels, **settings)), state(each)) for each in (recorded, plain)]
    assert_same(*runs)
    assert recorded.recorder.refused is None
    assert recorded.recorder.recordings == 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_convolutions(precision):
    def layers_of_pictures():
        return [
            *(nn.Conv2D(3, 16, 3, padding="same"), nn.ReLU(), nn.MaxPool2D(2)),
            nn.Conv2D(16, 16, 3, strides=2, padding="same", groups=2, use_bias=False),
            *(nn.BatchNorm(16, scale=False), nn.GELU()),
            *(nn.DepthwiseConv2D(16, 3, padding="same"), nn.AveragePool2D(2, padding="same")),
            *(nn.Conv2D(16, 8, 1), nn.ReLU(), nn.Conv2DTranspose(8, 4, 2, strides=2)),
            *(nn.GlobalAveragePool(), nn.Dense(4, 3)),
        ]

    pictures, labels = RNG.standard_normal((70, 9, 10, 3)).astype("float32"), Y[:70]
    settings = {"epochs": 2, "batch_size": 32, "progress": False}
    runs = []
    for graph in (True, False):
        each = trainer(layers_of_pictures(), graph=graph, precision=precision)
        runs.append((dict(each.fit(pictures, labels, **settings)), state(each)))
        assert each.recorder.refused is None
        assert each.recorder.recordings == (2 if graph else 0)
    assert_same(*runs)


ROWS = np.eye(3, dtype="float32")[Y]
REGRESSION = {"loss": nn.MeanSquaredError(), "metrics": ()}


@pytest.mark.parametrize(
    ("settings", "y"),
    [
        ({"loss": nn.SoftmaxCategoricalCrossentropy(label_smoothing=0.1)}, Y),
        ({"loss": nn.SoftmaxCategoricalCrossentropy()}, ROWS),
        ({"loss": nn.CategoricalCrossentropy(), "model": [*layers(), nn.Softmax()]}, Y),
        (REGRESSION, ROWS),
        ({"loss": nn.MeanAbsoluteError(), "metrics": ()}, ROWS),
        ({"loss": nn.SigmoidBinaryCrossentropy()}, ROWS),
    ],
    ids=["smoothed", "rows", "softmax", "squared", "absolute", "binary"],
)
def test_losses_and_targets(settings, y):
    results = []
    for graph in (True, False):
        trained = trainer(**copy.deepcopy(settings), graph=graph)
        results.append(
            (dict(trained.fit(X, y, epochs=3, batch_size=50, progress=False)), state(trained))
        )
        assert trained.recorder.refused is None
        assert bool(trained.recorder.recordings) == graph
    assert_same(*results)


def test_layers_of_all_kinds():
    def model():
        return [
            nn.Dense(8, 12),
            nn.Tanh(),
            nn.Residual(nn.Dense(12, 12), nn.ReLU(), nn.Dense(12, 12)),
            nn.AlphaDropout(0.1),
            nn.GaussianNoise(0.1),
            nn.GELU(),
            nn.Dense(12, 3),
        ]

    assert_same(fit(trainer(model())), fit(trainer(model(), graph=False)))
    recorded = trainer(model())
    fit(recorded)
    assert recorded.recorder.refused is None
    assert recorded.recorder.recordings


def test_metrics_that_collect_and_weights_of_samples():
    results = []
    for graph in (True, False):
        metrics = ["accuracy", nn.TopKAccuracy(2), nn.ConfusionMatrix(3), nn.F1()]
        trained = trainer(metrics=metrics, graph=graph)
        weights = np.random.default_rng(1).random(100).astype("float32")
        results.append(fit(trained, sample_weight=weights, validation_data=(X, Y)))
        assert trained.recorder.refused is None
        assert bool(trained.recorder.recordings) == graph
    for name, values in results[0][0].items():
        np.testing.assert_array_equal(values, results[1][0][name])
    assert_same(({}, results[0][1]), ({}, results[1][1]))


def test_steps_one_by_one():
    losses = {}
    for graph in (True, False):
        trained = trainer(graph=graph)  # whose very first step is one of these
        x, y = BACKEND.asarray(X[:32]), BACKEND.asarray(Y[:32])
        found = [trained.train_step(x, y) for _ in range(6)]
        found += [trained.train_step(x[:20], y[:20]) for _ in range(4)]
        found += [trained.train_step(x, y)]
        assert len(launched(trained)) == 2 * graph
        losses[graph] = [float(to_numpy(loss)) for loss in found], state(trained)
        assert len(set(losses[graph][0])) == 11, "each loss has an array of its own"
    assert_same(losses[True], losses[False])


def test_a_second_fit_and_steps_between_go_on():
    results = []
    for graph in (True, False):
        trained = trainer(graph=graph)
        fit(trained)
        trained.train_step(BACKEND.asarray(X[:32]), BACKEND.asarray(Y[:32]))
        trained.model.forward(BACKEND.asarray(X[:5]))
        results.append(fit(trained, epochs=2))
        assert trained.optimizer.iterations == 4 * 4 + 1 + 2 * 4
        assert trained.learner.count == trained.optimizer.iterations
    assert_same(*results)


def test_a_cut_training_goes_on(tmp_path):
    whole = fit(trainer(), epochs=5, checkpoint=tmp_path / "whole")
    fit(trainer(), epochs=3, checkpoint=tmp_path / "cut")
    resumed = trainer()
    assert_same(fit(resumed, epochs=5, checkpoint=tmp_path / "cut", resume=True), whole)
    assert resumed.recorder.recordings


def test_what_changes_between_steps_is_seen():
    class Meddler(nn.Callback):
        def on_step_end(self, trained):
            if trained.step == 1 and trained.epoch == 3:
                trained.optimizer, former = nn.SGD(0.1, clip_norm=0.5), trained.optimizer
                trained.optimizer.iterations = former.iterations
            if trained.step == 2 and trained.epoch == 2:
                trained.optimizer.weight_decay = 0.5
                trained.optimizer.learning_rate = 0.5
                trained.model.layers[3].rate = 0.9

    results = [fit(trainer(graph=graph), callbacks=[Meddler()]) for graph in (True, False)]
    assert_same(*results)


def test_a_dropout_that_follows_a_schedule():
    results = []
    for graph in (True, False):
        trained = trainer(graph=graph)
        dropping = nn.ScheduleDropout(nn.StepDecay(1.0, every=2))
        results.append(fit(trained, callbacks=[dropping]))
        assert trained.recorder.refused is None
        assert trained.recorder.recordings == 4 * graph, "whole and short batches, at each rate"
    assert_same(*results)


def test_a_model_that_moves_away_and_back():
    results = []
    for graph in (True, False):
        trained = trainer(graph=graph)
        fit(trained)
        trained.model.to("numpy")
        trained.model.to("cupy")
        results.append(fit(trained))
    assert_same(*results)


class Peeking(nn.Layer):
    """Reads a value back in each step."""

    recordable = True  # which is wrong

    def forward(self, inputs, training=False):
        assert float(inputs.max()) < 1e9
        if training:
            self.keep(inputs)
        return inputs

    def backward(self, dvalues):
        self.recall(dvalues)
        self.dinputs = dvalues
        return dvalues


class Lazy(nn.Layer):
    """Finds something out when it is first called, and keeps arrays by a name of its own."""

    recordable = True

    def __init__(self):
        super().__init__()
        self.n_features = None
        self.built = False
        self.cache = None

    def forward(self, inputs, training=False):
        self.n_features, self.built = inputs.shape[1], True
        if training:
            self.keep(inputs)
            self.cache = inputs * 2
        return inputs

    def backward(self, dvalues):
        self.recall(dvalues)
        self.dinputs = dvalues + 0 * self.cache
        return self.dinputs


def test_what_is_found_out_once_is_no_change_from_step_to_step():
    def model():
        return [nn.Dense(8, 6), Lazy(), nn.ReLU(), nn.Dense(6, 3)]

    recorded = trainer(model())
    x, y = BACKEND.asarray(X[:32]), BACKEND.asarray(Y[:32])
    for _ in range(4):
        recorded.train_step(x, y)
    assert recorded.recorder.refused is None
    assert recorded.recorder.recordings


class Counting(nn.Layer):
    """Does what depends on a count that nobody else knows of."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, inputs, training=False):
        self.calls += training
        output = inputs * (1 + 0.1 * (self.calls % 3))
        if training:
            self.keep(output, 1 + 0.1 * (self.calls % 3))
        return output

    def backward(self, dvalues):
        _, factor = self.recall(dvalues)
        self.dinputs = dvalues * factor
        return self.dinputs


class Averaging(nn.Layer):
    """Keeps what lasts from step to step in an array that each step replaces."""

    mean = None

    def forward(self, inputs, training=False):
        xp = BACKEND.xp
        if training:
            mean = xp.mean(inputs, axis=0)
            self.mean = mean if self.mean is None else 0.9 * self.mean + 0.1 * mean
            self.keep(inputs)
        return inputs if self.mean is None else inputs - self.mean

    def backward(self, dvalues):
        self.recall(dvalues)
        self.dinputs = dvalues
        return dvalues


class Textbook(nn.Layer):
    """Keeps its inputs by itself, as the book's layers do."""

    recordable = True

    def forward(self, inputs, training=False):
        self.inputs = inputs
        self.output = inputs * 0.5
        return self.output

    def backward(self, dvalues):
        self.dinputs = dvalues * 0.5 + 0 * self.inputs
        return self.dinputs


@pytest.mark.parametrize("callbacks", [0, 1])
def test_a_layer_of_the_textbooks_is_recorded_once(callbacks):
    def model():
        return [nn.Dense(8, 6), Textbook(), nn.ReLU(), nn.Dense(6, 3)]

    others = {"callbacks": [nn.LambdaCallback()] * callbacks, "validation_data": (X, Y)}
    recorded = trainer(model())
    assert_same(fit(recorded, **others), fit(trainer(model(), graph=False), **others))
    assert recorded.recorder.refused is None
    assert recorded.recorder.recordings == 2


def test_a_recording_that_fails_leaves_all_as_it_was():
    def model():
        return [nn.Dense(8, 6), nn.Dropout(0.1), Textbook(), Peeking(), nn.Dense(6, 3)]

    recorded = trainer(model())
    assert_same(fit(recorded), fit(trainer(model(), graph=False)))
    assert recorded.recorder.refused


def test_a_layer_with_buffers_alone_that_is_moved():
    class Centred(nn.Layer):
        recordable = True
        mean = nn.Buffer()

        def __init__(self):
            super().__init__()
            self.create_buffers(mean=np.zeros((1, 6), "float32"))

        def forward(self, inputs, training=False):
            if training:
                self.mean += 0.1 * (BACKEND.xp.mean(inputs, axis=0, keepdims=True) - self.mean)
                self.keep(inputs)
            return inputs - self.mean

        def backward(self, dvalues):
            self.recall(dvalues)
            self.dinputs = dvalues
            return dvalues

    results = []
    for graph in (True, False):
        trained = trainer([nn.Dense(8, 6), Centred(), nn.Dense(6, 3)], graph=graph)
        x, y = BACKEND.asarray(X[:32]), BACKEND.asarray(Y[:32])
        for step in range(12):
            if step == 6:
                trained.model.layers[1].to("numpy").to("cupy")
            trained.train_step(x, y)
        results.append(({}, state(trained)))
    assert_same(*results)


def test_a_setting_of_ones_own():
    class Scaled(nn.Layer):
        recordable = True

        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def config(self):
            return {"factor": self.factor}

        def forward(self, inputs, training=False):
            if training:
                self.keep(inputs)
            return inputs * self.factor

        def backward(self, dvalues):
            self.recall(dvalues)
            self.dinputs = dvalues * self.factor
            return self.dinputs

    results = []
    for graph in (True, False):
        trained = trainer([nn.Dense(8, 6), Scaled(0.5), nn.Dense(6, 3)], graph=graph)
        x, y = BACKEND.asarray(X[:32]), BACKEND.asarray(Y[:32])
        for step in range(12):
            trained.model.layers[1].factor = 0.5 if step < 6 else 3.0
            trained.train_step(x, y)
        results.append(({}, state(trained)))
        assert not graph or trained.recorder.recordings == 2
    assert_same(*results)


def test_batches_of_any_layout():
    """Byte by byte, only rows are copied to where rows lie."""
    x, y = BACKEND.asarray(X[:32]), BACKEND.asarray(Y[:32])
    wide = BACKEND.asarray(np.hstack([X[:32], X[:32]]))
    layouts = [x, cupy.asfortranarray(x), wide[:, :8], wide[:, 8:]]
    results = []
    for graph in (True, False):
        for first in range(len(layouts)):
            order = layouts[first:] + layouts[:first]
            trained = trainer(graph=graph)
            losses = [float(trained.train_step(batch, y)) for batch in order for _ in range(4)]
            results.append((losses, state(trained)))
            assert not graph or trained.recorder.recordings == 1
    for found, expected in zip(results[:4], results[4:], strict=True):
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
        weights = found[1]["weights"], expected[1]["weights"]
        np.testing.assert_allclose(*weights, rtol=1e-4, atol=1e-5)


def test_more_arrays_than_one_launch_copies():
    held = tuple(cupy.zeros(size, "float32") for size in (5, 8, 3, 7, 1))
    batch = tuple(cupy.asarray(np.arange(each.size, dtype="float32") + 1) for each in held)
    counts, rate = cupy.zeros(4, "int64"), cupy.zeros((), "float32")
    decay = cupy.zeros((), "float64")
    BACKEND.graph().begin(counts, rate, decay, (1, 2, 3, 4), 0.5, 0.1, batch, held)
    assert counts.get().tolist() == [1, 2, 3, 4]
    assert float(rate) == 0.5
    assert float(decay) == 0.1
    for array, place in zip(batch, held, strict=True):
        np.testing.assert_array_equal(place.get(), array.get())


def test_arrays_that_come_later():
    def give_a_buffer(trained):
        trained.model.layers[1]._buffers["more"] = BACKEND.asarray([1.0], "float32")

    def give_state(trained):
        trained.optimizer.kept(trained.model)["more"] = BACKEND.asarray([1.0], "float32")

    def replace_the_buffers(trained):
        trained.model.layers[1].to("numpy").to("cupy")

    x, y = BACKEND.asarray(X[:32]), BACKEND.asarray(Y[:32])
    for change in (give_a_buffer, give_state, replace_the_buffers):
        trained = trainer([nn.Dense(8, 6), nn.BatchNorm(6), nn.Dense(6, 3)])
        for _ in range(4):
            trained.train_step(x, y)
        assert trained.recorder.recordings == 1
        (recorded,) = trained.recorder._recorded.values()
        assert recorded.holds(trained.learner, ())
        change(trained)
        assert not recorded.holds(trained.learner, ())


def test_two_trainers_that_take_turns_draw_each_its_own_numbers():
    results = []
    for graph in (True, False):
        model = nn.Sequential(nn.Dense(8, 16), nn.Dropout(0.5), nn.Dense(16, 3), seed=0)
        loss = nn.SoftmaxCategoricalCrossentropy()
        pair = [
            nn.Trainer(model, loss, nn.SGD(0.1), backend="cupy", seed=seed, graph=graph)
            for seed in (1, 2)
        ]
        x, y = BACKEND.asarray(X[:32]), BACKEND.asarray(Y[:32])
        losses = [float(each.train_step(x, y)) for _ in range(6) for each in pair]
        results.append(({"loss": losses}, {"weights": to_numpy(model.flat.values)}))
    assert_same(*results)


class Rolling(Counting):
    """Draws on the host."""

    def __init__(self):
        super().__init__()
        self.generator = np.random.default_rng(0)

    def forward(self, inputs, training=False):
        factor = float(self.generator.uniform(0.9, 1.1)) if training else 1.0
        output = inputs * factor
        if training:
            self.keep(output, factor)
        return output


class Drawing(nn.Layer):
    """Draws by itself, as docs/extending.md says."""

    recordable = True

    def reseed(self, seed, stream, step=0):
        self.seed, self.stream, self.step = seed, stream, step

    def forward(self, inputs, training=False):
        if not training:
            return inputs
        bits = BACKEND.random_bits(inputs.shape, seed=self.seed, stream=self.stream, step=self.step)
        self.step += 1
        mask = BACKEND.xp.astype(bits >= 2**22, inputs.dtype)
        self.keep(inputs, mask)
        return inputs * mask

    def backward(self, dvalues):
        _, mask = self.recall(dvalues)
        self.dinputs = dvalues * mask
        return self.dinputs


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Peeking, "the current stream is capturing, so D2H transfers are disallowed"),
        (Counting, "Counting does not say `recordable = True`"),
        (Rolling, "Rolling does not say `recordable = True`"),
        (Averaging, "Averaging does not say `recordable = True`"),
    ],
)
def test_what_cannot_be_recorded_is_made_as_it_is(layer, reason, caplog):
    def model():
        return [nn.Dense(8, 6), layer(), nn.ReLU(), nn.Dense(6, 3)]

    with caplog.at_level(logging.WARNING, logger="nnfs_xp"):
        recorded = trainer(model())
        result = fit(recorded)
    assert_same(result, fit(trainer(model(), graph=False)))
    (record,) = caplog.records
    assert "not as graphs: " in record.getMessage()
    assert recorded.recorder.refused
    assert re.search(reason, recorded.recorder.refused)


@pytest.mark.parametrize("kind", ["layer", "loss", "metric", "optimizer"])
def test_what_derives_from_a_recordable_class_says_so_itself(kind):
    class Dense(nn.Dense):
        pass

    class Loss(nn.SoftmaxCategoricalCrossentropy):
        pass

    class Metric(nn.F1):
        pass

    class Optimizer(nn.Adam):
        pass

    own = {
        "layer": lambda: {"model": [Dense(8, 3)]},
        "loss": lambda: {"loss": Loss()},
        "metric": lambda: {"metrics": [Metric()]},
        "optimizer": lambda: {"optimizer": Optimizer()},
    }
    recorded = trainer(**own[kind]())
    fit(recorded)
    assert re.fullmatch(r"\w+ does not say `recordable = True`", recorded.recorder.refused)
    for part in (Dense, Loss, Metric, Optimizer):
        part.recordable = True
    says_so = trainer(**own[kind]())
    fit(says_so)
    assert says_so.recorder.refused is None
    assert says_so.recorder.recordings


def test_a_layer_of_ones_own_that_draws_is_recorded():
    def model():
        return [nn.Dense(8, 16), Drawing(), nn.Dense(16, 3)]

    recorded = trainer(model())
    assert_same(fit(recorded), fit(trainer(model(), graph=False)))
    assert recorded.recorder.refused is None
    assert recorded.recorder.recordings


class Plain(nn.Optimizer):
    """An optimizer of one's own, which uses the rate and perhaps the count."""

    recordable = True

    def __init__(self, counts):
        super().__init__(0.1)
        self.counts = counts

    def apply(self, xp, flat, state):
        rate = self.current_learning_rate
        if self.counts:
            rate = rate / (1 + self.iterations)
        flat.values[...] = flat.values - rate * flat.gradients


@pytest.mark.parametrize("counts", [False, True])
def test_an_optimizer_of_ones_own(counts):
    recorded = trainer(optimizer=Plain(counts))
    assert_same(fit(recorded), fit(trainer(optimizer=Plain(counts), graph=False)))
    assert (recorded.recorder.refused is None) != counts


def test_without_cublaslt_nothing_is_recorded(monkeypatch):
    monkeypatch.setattr(cublaslt, "library", lambda: None)
    trained = trainer()
    fit(trained)
    assert not trained.recorder.records
    assert not trained.recorder.recordings


def test_divergence_is_found_and_told():
    messages = []
    for graph in (True, False):
        trained = trainer(optimizer=nn.SGD(1e30), graph=graph)
        before = to_numpy(trained.model.flat.values).copy()
        with pytest.raises(nn.errors.DivergenceError) as caught:
            fit(trained)
        messages.append(str(caught.value))
        np.testing.assert_array_equal(to_numpy(trained.model.flat.values), before)
    assert messages[0] == messages[1]


def test_a_trainer_can_be_copied():
    trained = trainer()
    fit(trained)
    twin = copy.deepcopy(trained)
    assert not twin.recorder._recorded
    assert_same(fit(twin), fit(trained))


def test_few_kinds_of_batches_are_kept():
    trained = trainer()
    for n in range(2, 20):
        for _ in range(4):
            trained.train_step(BACKEND.asarray(X[:n]), BACKEND.asarray(Y[:n]))
    assert len(trained.recorder._recorded) == 8
    assert trained.recorder.memory > 0
    trained.recorder.forget()
    assert trained.recorder.memory == 0


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
def test_precisions(precision):
    results = [fit(trainer(precision=precision, graph=graph)) for graph in (True, False)]
    assert_same(*results)
    exact, _ = fit(trainer())
    np.testing.assert_allclose(results[0][0]["loss"], exact["loss"], rtol=0.05)


@pytest.mark.skipif("stand-in" not in cupy.__version__, reason="the stand-in counts them")
def test_how_many_operations_a_step_has(monkeypatch):
    """The figures in docs/gpu.md."""
    from cupy.cuda import stream

    def model():
        return [nn.Dense(8, 16), nn.ReLU(), nn.Dense(16, 16), nn.ReLU(), nn.Dense(16, 3)]

    def count(trained, *_):
        counts.update(len(graph._graph._work) for graph in launched(trained))

    monkeypatch.setattr(cublaslt.library(), "seed", None)  # no algorithm is lacking
    monkeypatch.setattr(cublaslt, "_plans", {})
    counts, one_by_one, fitted = set(), trainer(model()), trainer(model())
    x, y = BACKEND.asarray(X[:32]), BACKEND.asarray(Y[:32])
    for _ in range(4):
        one_by_one.train_step(x, y)
    count(one_by_one)
    fit(fitted, batch_size=50, callbacks=[nn.LambdaCallback(on_epoch_end=count)])
    assert counts == {16, 28}

    before = stream.asked_for
    one_by_one.train_step(x, y)
    assert stream.asked_for - before == 3, "the batch and the numbers, the graph, the loss"


def test_data_that_come_from_the_host(monkeypatch):
    on_device = fit(trainer())
    small = BACKEND.memory()._replace(free=10)
    monkeypatch.setattr(type(BACKEND), "memory", lambda _: small)
    results = []
    for graph in (True, False):
        trained = trainer(graph=graph)
        results.append(fit(trained, validation_data=(X, Y)))
        assert bool(trained.recorder.recordings) == graph
    assert_same(*results)
    assert_same(
        (on_device[0] | {}, on_device[1]),
        ({k: results[0][0][k] for k in on_device[0]}, results[0][1]),
    )


LAYOUTS = {
    "columns": lambda X: np.asfortranarray(X),
    "transposed": lambda X: np.ascontiguousarray(X.T).T,
    "every other row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "some columns": lambda X: np.hstack([X, X])[:, :8],
}


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("place", [np.asarray, BACKEND.asarray], ids=["host", "device"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_data_that_do_not_lie_row_by_row(layout, place, shuffle):
    trained, plain = trainer(), trainer(graph=False)
    data = place(LAYOUTS[layout](X))
    history = trained.fit(data, Y, epochs=3, batch_size=32, shuffle=shuffle, progress=False)
    expected = plain.fit(X, Y, epochs=3, batch_size=32, shuffle=shuffle, progress=False)
    assert history["loss"] == expected["loss"]
    assert trained.recorder.recordings == 2


def test_a_loss_of_another_dtype():
    class Wide(nn.MeanSquaredError):
        recordable = True

        def calculate(self, y_pred, y_true, sample_weight=None):
            return BACKEND.xp.astype(super().calculate(y_pred, y_true), BACKEND.xp.float64)

    results = []
    for graph in (True, False):
        trained = trainer(loss=Wide(), metrics=(), graph=graph)
        results.append((dict(trained.fit(X, ROWS, epochs=3, batch_size=50, progress=False)), {}))
    assert_same(*results)


def test_a_copy_made_between_recorded_steps_draws_what_comes_next():
    trained = trainer()
    x, y = BACKEND.asarray(X[:32]), BACKEND.asarray(Y[:32])
    for _ in range(6):
        trained.train_step(x, y)
    twin = copy.deepcopy(trained)
    assert float(twin.train_step(x, y)) == float(trained.train_step(x, y))
    assert_same(({}, state(twin)), ({}, state(trained)))


def test_precision_of_one_trainer_is_not_that_of_another():
    model = nn.Sequential(nn.Dense(8, 16), nn.ReLU(), nn.Dense(16, 3), seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    first = nn.Trainer(model, loss, nn.SGD(0.1), backend="cupy")
    before = first.evaluate(X, Y)
    nn.Trainer(model, loss, nn.SGD(0.1), backend="cupy", precision="tf32")
    assert first.evaluate(X, Y) == before


LAYERS = [
    nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softmax, nn.Linear, nn.GELU, nn.SiLU, nn.ELU, nn.SELU,
    nn.Softplus, nn.Mish, lambda: nn.Dropout(0.1), lambda: nn.AlphaDropout(0.1),
    lambda: nn.GaussianNoise(0.1), lambda: nn.BatchNorm(10), lambda: nn.LayerNorm(10),
    lambda: nn.Scale(10), lambda: nn.ParametricActivation(nn.Mish(), 10),
    lambda: nn.BatchNorm(10, scale=False), lambda: nn.LayerNorm(10, scale=False, center=False),
    lambda: nn.GroupNorm(10, 2),
    lambda: nn.Sequential(nn.BatchNorm(10), nn.ReLU()),
    lambda: nn.Sequential(
        *(nn.Reshape((5, 2, 1)), nn.ZeroPad2D(1), nn.MaxPool2D(2), nn.Upsample2D()),
        *(nn.AveragePool2D(2, strides=1, padding="same"), nn.Flatten(), nn.Dense(24, 10)),
        input_shape=10,
    ),
    lambda: nn.Sequential(
        nn.Reshape((5, 2)), nn.Concatenate(nn.GlobalMaxPool(), nn.GlobalAveragePool()),
        nn.Dense(4, 10), input_shape=10,
    ),
    lambda: nn.Sequential(
        nn.Columns(2, 8), nn.Repeat(2), nn.Scale((2, 6)), nn.Flatten(), nn.Dense(12, 10)
    ),
    lambda: nn.Residual(nn.Dense(10, 10), nn.ReLU(), nn.Dense(10, 10)),
    lambda: nn.Concatenate(nn.Sequential(nn.Dense(10, 5), nn.Tanh()), nn.Dense(10, 5)),
]  # fmt: skip


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_in_half_precision(layer, precision):
    losses = {}
    for each in ("float32", precision):
        model = [nn.Dense(8, 10), layer(), nn.Dense(10, 3)]
        trained = trainer(model, optimizer=nn.SGD(0.1), precision=each)
        losses[each] = trained.fit(X, Y, epochs=3, batch_size=25, progress=False)["loss"]
        assert trained.recorder.refused is None
    np.testing.assert_allclose(losses[precision], losses["float32"], rtol=0.05)


@pytest.mark.parametrize("widths", [(8, 100, 61, 3), (8, 10, 13, 3), (8, 16, 1)])
@pytest.mark.parametrize("precision", ["tf32", "float16", "bfloat16"])
def test_networks_of_odd_sizes(widths, precision):
    parts = []
    for n, k in pairwise(widths):
        parts += [nn.Dense(n, k), nn.ReLU()]
    y = ROWS[:, : widths[-1]]
    trained = trainer(parts[:-1], loss=nn.MeanSquaredError(), metrics=(), precision=precision)
    losses = trained.fit(X, y, epochs=4, batch_size=33, progress=False)["loss"]
    assert losses[-1] < losses[0]
    assert trained.recorder.refused is None


CODES = RNG.integers(0, 9, (40, 6))
NEXT = np.where(RNG.random((40, 6)) < 0.2, -100, np.roll(CODES, -1, axis=1))


def language_model():
    words = nn.Embedding(9, 8, seed=1)
    head = nn.Dense(8, 9, seed=2).tie("weights", words, transposed=True)
    return nn.Sequential(
        words, nn.LayerNorm(8), nn.Dense(8, 8, seed=3), nn.ReLU(), nn.Dropout(0.1), head
    )


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_sequences_with_tied_weights_and_labels_that_do_not_count(precision):
    results = []
    for graph in (True, False):
        loss = nn.SoftmaxCategoricalCrossentropy(ignore_index=-100)
        trained = nn.Trainer(
            language_model(), loss, nn.Adam(1e-2), backend="cupy", graph=graph, precision=precision
        )
        codes = CODES.astype("float32")
        history = trained.fit(codes, NEXT, epochs=3, batch_size=16, progress=False)
        results.append((dict(history), state(trained)))
        assert trained.recorder.refused is None
        assert bool(trained.recorder.recordings) == graph
    assert_same(*results)
    weights = trained.model.layers[0].weights, trained.model.layers[-1].weights
    np.testing.assert_array_equal(to_numpy(weights[0]).T, to_numpy(weights[1]))


def test_frozen_layers_and_scaled_rates():
    results = []
    for graph in (True, False):
        trained = trainer(optimizer=nn.AdamW(1e-2, average_decay=0.5), graph=graph)
        trained.model.layers[0].trainable = trained.model.layers[2].trainable = False
        trained.model.layers[4].learning_rate_scale = 0.1
        before = to_numpy(trained.model.layers[0].weights).copy()
        results.append(fit(trained))
        assert trained.recorder.refused is None
        assert bool(trained.recorder.recordings) == graph
        np.testing.assert_array_equal(to_numpy(trained.model.layers[0].weights), before)
    assert_same(*results)


def test_a_layer_frozen_between_steps_is_recorded_anew():
    x, y = BACKEND.asarray(X[:32]), BACKEND.asarray(Y[:32])
    results = []
    for graph in (True, False):
        trained = trainer(graph=graph)
        for _ in range(3):
            trained.train_step(x, y)
        trained.model.layers[0].trainable = False
        trained.optimizer = nn.Adam(1e-2)
        before = to_numpy(trained.model.layers[0].weights).copy()
        losses = [float(trained.train_step(x, y)) for _ in range(3)]
        np.testing.assert_array_equal(to_numpy(trained.model.layers[0].weights), before)
        results.append(({"loss": losses}, state(trained)))
    assert_same(*results)
