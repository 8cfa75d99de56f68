"""`nnfs_xp.testing`: the checks find what is wrong, and the plugin serves another project."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.testing import check_layer, check_loss, numeric_gradient

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
        return super().backward(dvalues) * 1.001


class WritesToInputs(Square):
    def forward(self, inputs, training=False):
        output = super().forward(inputs, training)
        inputs[...] = 0.0
        return output


class WritesToDvalues(Square):
    def backward(self, dvalues):
        dinputs = super().backward(dvalues)
        dvalues *= 2
        return dinputs


class KeepsAtInference(Square):
    def forward(self, inputs, training=False):
        del training
        return super().forward(inputs, training=True)


class WrongShape(Square):
    def backward(self, dvalues):
        return super().backward(dvalues)[:1, :]


class Widens(Square):
    def forward(self, inputs, training=False):
        backend = nn.get_backend("numpy")
        return backend.asarray(super().forward(inputs, training), "float64")


class Waits(Square):
    def forward(self, inputs, training=False):
        output = super().forward(inputs, training)
        return output if float(output[0, 0]) > -1 else inputs


class WrongParameterGradient(nn.Dense):
    def backward_parameters(self, dvalues):
        super().backward_parameters(dvalues)
        self.dbiases *= 2


class TestCheckLayer:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_a_right_layer_passes(self, backend, dtype):
        check_layer(Square().to(backend), backend.asarray(X, dtype))

    @pytest.mark.parametrize(
        ("layer", "message"),
        [
            (WrongFactor(), "dinputs"),
            (WritesToInputs(), "forward wrote to its inputs"),
            (WritesToDvalues(), "backward wrote to dvalues"),
            (KeepsAtInference(), "must keep nothing"),
            (WrongShape(), "dinputs must have shape"),
            (Widens(), "output must have dtype"),
            (WrongParameterGradient(3, 2, seed=0), "the gradient of biases"),
        ],
    )
    def test_a_wrong_layer_is_found_out(self, layer, message):
        with pytest.raises(AssertionError, match=message):
            check_layer(layer, X.astype(np.float32))

    def test_a_layer_that_waits_is_found_out(self):
        strict = nn.get_backend("array_api_strict")
        with pytest.raises(AssertionError, match="waits for the device"):
            check_layer(Waits().to(strict), strict.asarray(X))

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


class NotDivided(nn.MeanSquaredError):
    def backward(self, y_pred, y_true, sample_weight=None):
        return super().backward(y_pred, y_true, sample_weight) * y_pred.shape[0]


class ForgetsTheWeights(nn.MeanSquaredError):
    def backward(self, y_pred, y_true, sample_weight=None):
        del sample_weight
        return super().backward(y_pred, y_true)


@pytest.mark.parametrize("loss", [WrongSign(), NotDivided(), ForgetsTheWeights()])
def test_a_wrong_loss_is_found_out(backend, loss):
    y_pred, y_true = backend.asarray(X), backend.asarray(X + 0.3)
    with pytest.raises(AssertionError, match="dinputs"):
        check_loss(loss, y_pred, y_true)


def test_a_loss_without_weights_is_told_what_to_do():
    class NoWeights(nn.MeanSquaredError):
        def backward(self, y_pred, y_true):
            return super().backward(y_pred, y_true)

    with pytest.raises(AssertionError, match="backward must take sample_weight"):
        check_loss(NoWeights(), X, X + 0.3)


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

    def test_fixtures_of_ones_own_go_before(self, pytester):
        own = """
            import pytest

            @pytest.mark.parametrize("backend", ["mine"])
            def test_own(backend):
                assert backend == "mine"
        """
        self.run(pytester, test=own).assert_outcomes(passed=1)
