"""`nnfs_xp.testing`: the checks find what is wrong, and the plugin serves another project."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.backend import backend_of
from nnfs_xp.testing import check_layer, check_loss, no_synchronization, numeric_gradient
from nnfs_xp.testing.checks import _check_recordable

pytest_plugins = ["pytester"]

X = np.array([[0.5, -1.0, 2.0], [-0.3, 0.7, 1.1]])


class Square(nn.Layer):
    """A right layer, for the wrong ones to differ from in one thing each."""

    def forward(self, inputs, training=False):
        self.check_inputs(inputs)
        output = inputs * inputs
        if training:
            self.keep(output, inputs)
        return output

    def backward(self, dvalues):
        _, inputs = self.recall(dvalues)
        self.dinputs = 2 * inputs * dvalues
        return self.dinputs


class WrongFactor(Square):
    def backward(self, dvalues):
        self.dinputs = super().backward(dvalues) * 1.00001
        return self.dinputs


class WritesToInputs(Square):
    def forward(self, inputs, training=False):
        output = super().forward(inputs, training)
        inputs[...] = 0.0
        return output


class WritesToInputsInTraining(Square):
    def forward(self, inputs, training=False):
        output = super().forward(inputs, training)
        if training:
            inputs *= 2.0
        return output


class WritesToInputsInBackward(Square):
    def backward(self, dvalues):
        _, inputs = self.recall(dvalues)
        dinputs = super().backward(dvalues)
        inputs *= 2.0
        return dinputs


class WritesToDvalues(Square):
    def backward(self, dvalues):
        dinputs = super().backward(dvalues)
        dvalues *= 2
        return dinputs


class KeepsAtInference(Square):
    def forward(self, inputs, training=False):
        del training
        return super().forward(inputs, training=True)


class KeepsAnAttribute(Square):
    def forward(self, inputs, training=False):
        self.inputs = inputs
        return super().forward(inputs, training)


class KeepsInAList(Square):
    def __init__(self):
        super().__init__()
        self.seen = []
        self.odd = [np.float32, np.dtype("float32"), None, {"a": np.zeros(2)}, nn.get_backend]

    def forward(self, inputs, training=False):
        self.seen.append(inputs)
        return super().forward(inputs, training)


class WrongShape(Square):
    def backward(self, dvalues):
        return super().backward(dvalues)[:1, :]


class WrongOutputShape(Square):
    def output_shape(self, input_shape):
        return (input_shape[0] + 1,)


class Widens(Square):
    def forward(self, inputs, training=False):
        backend = nn.get_backend("numpy")
        return backend.asarray(super().forward(inputs, training), "float64")


class WidensInTraining(Widens):
    def forward(self, inputs, training=False):
        return super().forward(inputs, training) if training else inputs * inputs


class SetsNoDinputs(Square):
    def backward(self, dvalues):
        _, inputs = self.recall(dvalues)
        return 2 * inputs * dvalues


class SetsOtherDinputs(Square):
    def backward(self, dvalues):
        return super().backward(dvalues) + 0.1


class NeedsNoForward(Square):
    def backward(self, dvalues):
        if self._kept is None:
            return dvalues
        return super().backward(dvalues)


class FailsWithoutForward(Square):
    def backward(self, dvalues):
        _, (inputs,) = self._kept
        self.dinputs = 2 * inputs * dvalues
        return self.dinputs


class TinyWrongSign(Square):
    """Adds up to more than its gradient, of about 1e-9, by so many powers of ten."""

    def __init__(self, offset):
        super().__init__()
        self.offset = offset

    def forward(self, inputs, training=False):
        return super().forward(inputs, training) * 1e-9 + self.offset

    def backward(self, dvalues):
        self.dinputs = super().backward(dvalues) * -1e-9
        return self.dinputs


class Waits(Square):
    def forward(self, inputs, training=False):
        output = super().forward(inputs, training)
        return output if float(output[0, 0]) > -1 else inputs


class WaitsInBackward(Square):
    def backward(self, dvalues):
        assert bool(dvalues[0, 0] > -2)
        return super().backward(dvalues)


class WrongParameterGradient(nn.Dense):
    def backward_parameters(self, dvalues):
        super().backward_parameters(dvalues)
        self.dbiases *= 2


class WrongParametersAlone(nn.Dense):
    def backward(self, dvalues):
        super().backward_parameters(dvalues)
        self.dinputs = dvalues @ self.weights.T
        return self.dinputs

    def backward_parameters(self, dvalues):
        super().backward_parameters(dvalues)
        self.dbiases *= 2


class SetsNoGradient(nn.Dense):
    def backward_parameters(self, dvalues):
        biases = self.dbiases.copy()
        super().backward_parameters(dvalues)
        self.dbiases = biases


class Accumulates(nn.Dense):
    def backward_parameters(self, dvalues):
        former = self.dweights.copy()
        super().backward_parameters(dvalues)
        self.dweights += former


class ChangesParametersInForward(nn.Dense):
    def forward(self, inputs, training=False):
        output = super().forward(inputs, training)
        if training:
            self.weights *= 0.99
        return output


class ChangesParametersAtInference(nn.Dense):
    def forward(self, inputs, training=False):
        output = super().forward(inputs, training)
        if not training:
            self.biases += 0.1
        return output


class ChangesParametersInBackward(nn.Dense):
    def backward_parameters(self, dvalues):
        super().backward_parameters(dvalues)
        self.weights -= 0.1 * self.dweights


class WidePenalty(nn.Dense):
    def regularization_loss(self):
        return super().regularization_loss()[None]


class Noise(nn.StochasticLayer):
    """A right layer: multiplies by random numbers in training, counted then only."""

    at_inference = False

    def forward(self, inputs, training=False):
        xp = self.check_inputs(inputs)
        if not training:
            if self.at_inference:
                self.draw_bits(inputs, tuple(inputs.shape))
            return inputs
        factor = xp.astype(self.draw_bits(inputs, tuple(inputs.shape)), inputs.dtype) / 2**24
        output = inputs * factor
        self.keep(output, factor)
        return output

    def backward(self, dvalues):
        _, factor = self.recall(dvalues)
        self.dinputs = dvalues * factor
        return self.dinputs


class Drift(nn.Layer):
    """A right layer: its outputs, and a running mean of its inputs, which it adds at inference."""

    mean = nn.Buffer()
    shift = nn.Parameter()
    dshift = nn.Gradient()

    at_inference = in_backward = False

    def __init__(self, dtype="float32"):
        super().__init__()
        self.create_parameters(dtype, shift=(1, 3))
        self.create_buffers(mean=np.ones((1, 3), dtype=dtype))

    def forward(self, inputs, training=False):
        xp = self.check_inputs(inputs)
        if training or self.at_inference:
            self.mean = 0.9 * self.mean + 0.1 * xp.mean(inputs, axis=0, keepdims=True)
        if not training:
            return inputs + self.shift + self.mean
        output = inputs + self.shift
        self.keep(output)
        return output

    def backward(self, dvalues):
        (xp,) = self.recall(dvalues)
        self.dshift[...] = xp.sum(dvalues, axis=0, keepdims=True)
        if self.in_backward:
            self.mean += 1.0
        self.dinputs = dvalues
        return dvalues


class Recorded(nn.Layer):
    """A right layer that says it can be recorded."""

    recordable = True
    mean = nn.Buffer()

    def __init__(self):
        super().__init__()
        self.create_buffers(mean=np.ones((1, 3), "float32"))

    def forward(self, inputs, training=False):
        xp = self.check_inputs(inputs)
        if training:
            self.mean += 0.1 * (xp.mean(inputs, axis=0, keepdims=True) - self.mean)
            self.keep(inputs)
            return inputs
        return inputs - self.mean

    def backward(self, dvalues):
        self.recall(dvalues)
        self.dinputs = dvalues
        return dvalues


class ReplacesABuffer(Recorded):
    recordable = True

    def forward(self, inputs, training=False):
        if training:
            self._buffers["mean"] = self.mean + 1.0
            self.keep(inputs)
        return inputs


class CountsByItself(Recorded):
    recordable = True
    calls = 0

    def forward(self, inputs, training=False):
        if training:
            self.calls += 1
        return super().forward(inputs, training)


class DrawsByItself(nn.Layer):
    recordable = True

    def forward(self, inputs, training=False):
        if not training:
            return inputs
        self.keep(inputs)
        return inputs + float(np.random.default_rng().random())

    def backward(self, dvalues):
        self.recall(dvalues)
        self.dinputs = dvalues
        return dvalues


class HidesASetting(CountsByItself):
    recordable = True

    def config(self):
        return {"unknown": 3}


def variant(layer, **attributes):
    vars(layer).update(attributes)
    return layer


class TestCheckLayer:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("build", [lambda _: Square(), lambda _: Noise(), Drift])
    def test_a_right_layer_passes(self, backend, dtype, build):
        check_layer(build(dtype).to(backend), backend.asarray(X, dtype))

    def test_a_layer_that_can_be_recorded(self, backend):
        check_layer(Recorded().to(backend), backend.asarray(X, "float32"))

    @pytest.mark.parametrize(
        ("layer", "message"),
        [
            (ReplacesABuffer, "write into its buffers"),
            (CountsByItself, "belongs into a Buffer, or in `keep`: not calls"),
            (HidesASetting, "must name attributes, not \\['unknown'\\]"),
        ],
    )
    def test_a_layer_that_is_wrongly_called_recordable(self, layer, message):
        with pytest.raises(AssertionError, match=message):
            check_layer(layer(), X.astype("float32"))

    def test_numbers_drawn_by_itself_cannot_be_recorded(self):
        with pytest.raises(AssertionError, match="what it draws must follow from `reseed`"):
            _check_recordable(DrawsByItself(), X.astype("float32"))

    @pytest.mark.parametrize(
        ("layer", "message"),
        [
            (WrongFactor(), "dinputs"),
            (WritesToInputs(), "forward wrote to its inputs"),
            (WritesToInputsInTraining(), "forward wrote to its inputs"),
            (WritesToInputsInBackward(), "backward wrote to the layer's inputs"),
            (WritesToDvalues(), "backward wrote to dvalues"),
            (KeepsAtInference(), "must keep nothing .* _kept"),
            (KeepsAnAttribute(), "must keep nothing .* inputs"),
            (KeepsInAList(), "must keep nothing .* seen"),
            (nn.Sequential(nn.ReLU(), KeepsAnAttribute()), r"must keep nothing .* 1\.inputs"),
            (variant(Noise(), at_inference=True), "change nothing; it did in step"),
            (variant(Drift(), at_inference=True), "change nothing; it did in mean"),
            (variant(Drift(), in_backward=True), "backward changed mean"),
            (WrongShape(), "dinputs must have shape"),
            (WrongOutputShape(), "output must have shape"),
            (Widens(), "output must have dtype"),
            (WidensInTraining(), "output must have dtype"),
            (SetsNoDinputs(), "must set the attribute dinputs"),
            (SetsOtherDinputs(), "must set the attribute dinputs"),
            (NeedsNoForward(), "must raise NotReadyError; it raised None"),
            (FailsWithoutForward(), r"must raise NotReadyError; it raised TypeError"),
            (TinyWrongSign(0.0), "dinputs"),
            (TinyWrongSign(1.0), "dinputs"),
            (WrongParameterGradient(3, 2, seed=0), "the gradient of biases"),
            (WrongParametersAlone(3, 2, seed=0), "of biases, as backward_parameters sets it"),
            (SetsNoGradient(3, 2, seed=0), "must set the gradient of biases"),
            (Accumulates(3, 2, seed=0), "must set the gradient of weights"),
            (ChangesParametersInForward(3, 2, seed=0), "forward changed the parameters weights"),
            (ChangesParametersAtInference(3, 2, seed=0), "change nothing; it did in biases"),
            (ChangesParametersInBackward(3, 2, seed=0), "backward changed weights"),
            (WidePenalty(3, 2, seed=0, weight_regularizer_l2=0.1), "the penalty must have shape"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, nn.Layer) else "",
    )
    def test_a_wrong_layer_is_found_out(self, layer, message):
        with pytest.raises(AssertionError, match=message):
            check_layer(layer, X.astype(np.float32))

    @pytest.mark.parametrize("layer", [Waits(), WaitsInBackward()])
    def test_a_layer_that_waits_is_found_out(self, layer):
        strict = nn.get_backend("array_api_strict")
        with pytest.raises(AssertionError, match="waits for the device"):
            check_layer(layer.to(strict), strict.asarray(X))

    def test_the_layer_is_left_as_it_was(self):
        layer = nn.Dense(3, 2, seed=0)
        before = {name: array.copy() for name, array in layer.parameters().items()}
        check_layer(layer, X.astype(np.float32))
        for name, array in layer.parameters().items():
            np.testing.assert_array_equal(array, before[name])
        assert not layer.dweights.any()


def test_the_checks_need_no_pytest():
    code = "import sys; sys.modules['pytest'] = None; from nnfs_xp.testing import check_layer"
    subprocess.run([sys.executable, "-c", code], check=True)


class WrongSign(nn.MeanAbsoluteError):
    def backward(self, y_pred, y_true, sample_weight=None):
        return -super().backward(y_pred, y_true, sample_weight)


class TinyLossWrongSign(nn.MeanSquaredError):
    def forward(self, y_pred, y_true):
        return super().forward(y_pred, y_true) * 1e-9

    def backward(self, y_pred, y_true, sample_weight=None):
        return super().backward(y_pred, y_true, sample_weight) * -1e-9


class NotDivided(nn.MeanSquaredError):
    def backward(self, y_pred, y_true, sample_weight=None):
        return super().backward(y_pred, y_true, sample_weight) * y_pred.shape[0]


class NotTheMean(nn.MeanSquaredError):
    def calculate(self, y_pred, y_true, sample_weight=None):
        return super().calculate(y_pred, y_true, sample_weight) * 2


class OneNumber(nn.MeanSquaredError):
    def forward(self, y_pred, y_true):
        return super().forward(y_pred, y_true)[:1]


class GradientOfOneSample(nn.MeanSquaredError):
    def backward(self, y_pred, y_true, sample_weight=None):
        return super().backward(y_pred, y_true, sample_weight)[:1, :]


class WidensLosses(nn.MeanSquaredError):
    def forward(self, y_pred, y_true):
        backend = backend_of(y_pred)
        return backend.asarray(super().forward(y_pred, y_true), "float64")


class WidensGradients(nn.MeanSquaredError):
    def backward(self, y_pred, y_true, sample_weight=None):
        backend = backend_of(y_pred)
        return backend.asarray(super().backward(y_pred, y_true, sample_weight), "float64")


class WritesToPredictions(nn.MeanSquaredError):
    def backward(self, y_pred, y_true, sample_weight=None):
        dinputs = super().backward(y_pred, y_true, sample_weight)
        y_pred -= y_true
        return dinputs


class WritesToTargets(nn.MeanSquaredError):
    def forward(self, y_pred, y_true):
        losses = super().forward(y_pred, y_true)
        y_true *= 2.0
        return losses


class ForgetsTheWeights(nn.MeanSquaredError):
    def backward(self, y_pred, y_true, sample_weight=None):
        del sample_weight
        return super().backward(y_pred, y_true)


class WritesToWeights(nn.MeanSquaredError):
    def backward(self, y_pred, y_true, sample_weight=None):
        dinputs = super().backward(y_pred, y_true, sample_weight)
        if sample_weight is not None:
            sample_weight *= 2.0
        return dinputs


class LossThatWaits(nn.MeanSquaredError):
    def backward(self, y_pred, y_true, sample_weight=None):
        assert bool(y_pred[0, 0] < 100)
        return super().backward(y_pred, y_true, sample_weight)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (WrongSign(), "dinputs"),
        (TinyLossWrongSign(), "dinputs"),
        (NotDivided(), "dinputs"),
        (NotTheMean(), "the mean of forward's"),
        (OneNumber(), "forward's result must have shape"),
        (GradientOfOneSample(), "dinputs must have shape"),
        (WidensLosses(), "forward's result must have dtype"),
        (WidensGradients(), "dinputs must have dtype"),
        (WritesToPredictions(), "wrote to y_pred"),
        (WritesToTargets(), "wrote to y_true"),
        (WritesToWeights(), "wrote to sample_weight"),
        (ForgetsTheWeights(), "dinputs with weights"),
    ],
)
def test_a_wrong_loss_is_found_out(backend, loss, message):
    y_pred, y_true = (backend.asarray(values.copy(), "float32") for values in (X, X + 0.3))
    with pytest.raises(AssertionError, match=message):
        check_loss(loss, y_pred, y_true)


def test_a_loss_without_weights_is_told_what_to_do():
    class NoWeights(nn.MeanSquaredError):
        def backward(self, y_pred, y_true):
            return super().backward(y_pred, y_true)

    with pytest.raises(AssertionError, match="backward must take sample_weight"):
        check_loss(NoWeights(), X, X + 0.3)


def test_a_loss_that_waits_is_found_out():
    strict = nn.get_backend("array_api_strict")
    with pytest.raises(AssertionError, match="waits for the device"):
        check_loss(LossThatWaits(), strict.asarray(X), strict.asarray(X + 0.3))


READS = [
    ("array_api_strict", lambda a: float(a[0])),
    ("array_api_strict", lambda a: a[0] in (1, 2)),
    ("array_api_strict", lambda a: a.to_device(a.device)),
    ("array_api_strict", lambda a: np.from_dlpack(a)),
    ("array_api_strict", lambda a: np.asarray(a)),
    ("array_api_strict", lambda a: list(a)),
    ("torch", lambda a: int(a[0])),
    ("torch", lambda a: list(a)),
    ("torch", lambda a: 1.0 in a),
    ("torch", lambda a: a.tolist()),
    ("torch", lambda a: a.nonzero()),
    ("torch", lambda a: a[0].item()),
    ("torch", lambda a: a.cpu()),
    ("torch", lambda a: a.numpy()),
    ("torch", lambda a: np.from_dlpack(a)),
    ("torch", lambda a: np.asarray(a)),
]


@pytest.mark.parametrize(("name", "read"), READS)
def test_every_way_to_read_an_array_is_refused(name, read):
    if name == "torch":
        pytest.importorskip("torch")
    array = nn.get_backend(name).asarray([1.0, 2.0])
    with no_synchronization(), pytest.raises(AssertionError, match="waits for the device"):
        read(array)
    read(array)


def test_numeric_gradient():
    gradient = numeric_gradient(lambda x: float((x**3).sum()), X)
    np.testing.assert_allclose(gradient, 3 * X**2, rtol=1e-8)


class TestPlugin:
    """Another project's tests, run in a process of their own."""

    TEST = """
        def test_sum(backend, xp):
            assert float(xp.sum(backend.asarray([1.0, 2.0]))) == 3.0
    """

    def run(self, pytester, *options, test=TEST):
        pytester.makepyfile(test)
        return pytester.runpytest_subprocess("-v", "-p", "no:cacheprovider", *options)

    def test_a_run_for_every_usable_backend(self, pytester):
        result = self.run(pytester)
        result.stdout.fnmatch_lines(["*test_sum?numpy? PASSED*"])
        result.stdout.fnmatch_lines(["*test_sum?array_api_strict? PASSED*"])
        result.stdout.fnmatch_lines(["*test_sum?array_api_strict:device1? PASSED*"])
        assert result.ret == 0

    def test_a_selection(self, pytester):
        result = self.run(pytester, "--nnfs-backends", "numpy, array_api_strict:device1")
        result.assert_outcomes(passed=2)

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            ("numpy,abacus", "*unknown backend 'abacus'*"),
            ("cupy:99", "*cupy*"),
            (",", "*names no backend*"),
        ],
    )
    def test_a_backend_that_cannot_run_is_an_error(self, pytester, names, message):
        result = self.run(pytester, "--nnfs-backends", names)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([message])

    def test_the_strictest_device_catches_a_missing_device(self, pytester):
        careless = """
            def test_zeros(backend, xp):
                assert backend.owns(xp.zeros(3))
        """
        result = self.run(pytester, test=careless)
        result.stdout.fnmatch_lines(["*test_zeros?array_api_strict:device1? FAILED*"])

    @pytest.mark.parametrize(
        ("own", "ids"),
        [
            (
                """
                @pytest.mark.parametrize("backend", ["mine"])
                def test_own(backend):
                    assert backend == "mine"
                """,
                ["mine"],
            ),
            (
                """
                @pytest.mark.parametrize(["backend", "n"], [("mine", 1), ("mine", 2)])
                def test_own(backend, n):
                    assert backend == "mine"
                """,
                ["mine-1", "mine-2"],
            ),
            (
                """
                @pytest.mark.parametrize(argnames=("n", "backend"), argvalues=[(1, "mine")])
                def test_own(backend, n):
                    assert backend == "mine"
                """,
                ["1-mine"],
            ),
            (
                """
                @pytest.mark.parametrize(argnames="n", argvalues=[1, 2])
                def test_own(backend, n):
                    assert backend.name == "numpy"
                """,
                ["1-numpy", "2-numpy"],
            ),
            (
                """
                @pytest.mark.parametrize("backend", ["array_api_strict"], indirect=True)
                def test_own(backend):
                    assert backend.name == "array_api_strict"
                """,
                ["array_api_strict"],
            ),
            (
                """
                @pytest.fixture(params=["a", "b"])
                def backend(request):
                    return request.param

                def test_own(backend):
                    assert backend in ("a", "b")
                """,
                ["a", "b"],
            ),
            (
                """
                @pytest.fixture
                def backend():
                    return "mine"

                def test_own(backend):
                    assert backend == "mine"
                """,
                [None],
            ),
            (
                """
                @pytest.fixture
                def backend(backend):
                    return backend, "wrapped"

                def test_own(backend):
                    assert (backend[0].name, backend[1]) == ("numpy", "wrapped")
                """,
                ["numpy"],
            ),
            (
                """
                def pytest_generate_tests(metafunc):
                    if "backend" in metafunc.fixturenames:
                        metafunc.parametrize("backend", ["a", "b"])

                def test_own(backend):
                    assert backend in ("a", "b")
                """,
                ["a", "b"],
            ),
        ],
        ids=[
            "mark",
            "mark with a list",
            "mark with keywords",
            "mark of another argument",
            "indirect mark",
            "fixture with values",
            "plain fixture",
            "fixture built on ours",
            "hook",
        ],
    )
    def test_what_a_project_has_of_its_own_goes_before(self, pytester, own, ids):
        test = "import pytest\n" + textwrap.dedent(own)
        pytester.makepyfile(test)
        result = pytester.runpytest_inprocess("-v", "--nnfs-backends", "numpy")
        result.assert_outcomes(passed=len(ids))
        for name in ids:
            called = "test_own" if name is None else f"test_own?{name}?"
            result.stdout.fnmatch_lines([f"*::{called} PASSED*"])

    def test_a_hook_of_the_projects_conftest_goes_before(self, pytester):
        pytester.makeconftest(
            """
            def pytest_generate_tests(metafunc):
                if "backend" in metafunc.fixturenames:
                    metafunc.parametrize("backend", ["a", "b"])
            """
        )
        pytester.makepyfile("def test_own(backend):\n    assert backend in ('a', 'b')")
        pytester.runpytest_inprocess().assert_outcomes(passed=2)
