"""The search for hyperparameters, with Optuna and with scikit-learn: the examples, and its ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import optuna
import pytest
from scipy.stats import uniform
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 # scikit-learn asks for it
from sklearn.model_selection import HalvingRandomSearchCV

import nnfs_xp as nn
from nnfs_xp.sklearn import MLPClassifier

EXAMPLES = Path(__file__).parents[2] / "examples"
X, Y, X_TEST, Y_TEST = nn.data.load_digits()
X, Y = X[:300], Y[:300]


def run(name, *arguments, cwd):
    result = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name, *arguments],
        cwd=cwd,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert not list(cwd.iterdir())
    return result.stdout


def test_the_example_with_optuna(tmp_path):
    output = run("tune_with_optuna.py", "12", cwd=tmp_path)
    n_trials, n_pruned, done, all_epochs = map(
        int, re.search(r"(\d+) trials, (\d+) ended early: (\d+) of (\d+) epochs", output).groups()
    )
    assert (n_trials, all_epochs) == (12, 240)
    assert n_pruned >= 1
    assert done <= all_epochs - 5 * n_pruned
    first, best = map(float, re.search(r"loss: (\S+) at first, (\S+) at best", output).groups())
    assert best < first
    assert float(re.search(r"test accuracy (\S+)", output)[1]) > 0.94
    for name in ("n_neurons", "dropout", "learning_rate"):
        assert re.search(rf"^{name}: [\d.e-]+$", output, flags=re.MULTILINE)


def test_the_example_with_halving(tmp_path):
    output = run("tune_with_halving.py", "9", cwd=tmp_path)
    assert output.startswith("9 candidates, 2 epochs each; 3 candidates, 6 epochs each; 1 candi")
    assert re.search(r"^optimizer: \w+\(learning_rate=[\d.]+.*\)$", output, flags=re.MULTILINE)
    assert float(re.search(r"cross-validation (\S+)", output)[1]) > 0.88
    assert float(re.search(r"test accuracy (\S+)", output)[1]) > 0.93


def new_trainer(rate=0.01):
    model = nn.Sequential(nn.Dense(64, 16), nn.ReLU(), nn.Dropout(0.2), nn.Dense(16, 10), seed=0)
    optimizer = nn.Adam(rate, average_decay=0.9)
    return nn.Trainer(
        model, nn.SoftmaxCategoricalCrossentropy(), optimizer, backend="numpy", seed=0
    )


class Prune(nn.Callback):
    """Ends a training after some epochs with an exception of its own."""

    def __init__(self, after):
        self.after = after
        self.raised = optuna.TrialPruned("behind the others")

    def on_epoch_end(self, trainer, figures):
        if trainer.epoch == self.after:
            raise self.raised


class Count(nn.Callback):
    """Counts the epochs that it hears of, and whether it hears of the end."""

    def __init__(self):
        self.epochs, self.ended = 0, False

    def on_epoch_end(self, trainer, figures):
        self.epochs += 1

    def on_train_end(self, trainer):
        self.ended = True


def in_batches():
    """A source of batches, which a thread reads ahead."""
    for start in range(0, 300, 30):
        yield X[start : start + 30], Y[start : start + 30]


@pytest.mark.parametrize("data", [(X, Y), (in_batches,)], ids=["arrays", "source"])
def test_a_pruned_training_ends_at_once_and_leaves_nothing(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = set(threading.enumerate())
    prune, count = Prune(after=2), Count()
    trainer = new_trainer()
    with pytest.raises(optuna.TrialPruned) as caught:
        trainer.fit(*data, epochs=9, validation_data=(X_TEST, Y_TEST), callbacks=[prune, count])
    assert caught.value is prune.raised
    assert caught.value.__cause__ is None
    assert (trainer.epoch, count.epochs, count.ended) == (2, 2, False)
    assert len(trainer.history["val_loss"]) == 2
    assert set(threading.enumerate()) <= threads
    assert not list(tmp_path.iterdir())


def test_the_thread_that_reads_ahead_ends_in_the_middle_of_an_epoch_too():
    threads, seen = set(threading.enumerate()), set()

    def prune(trainer):
        seen.update(threading.enumerate())
        if trainer.step == 3:
            raise optuna.TrialPruned

    trainer = new_trainer()
    with pytest.raises(optuna.TrialPruned):
        trainer.fit(in_batches, epochs=2, callbacks=[nn.LambdaCallback(on_step_end=prune)])
    assert (trainer.epoch, trainer.step) == (0, 3)
    assert len(seen - threads) >= 1
    assert set(threading.enumerate()) <= threads


def test_a_pruned_training_can_go_on():
    whole, cut = new_trainer(), new_trainer()
    whole.fit(X, Y, epochs=4, progress=False)
    with pytest.raises(optuna.TrialPruned):
        cut.fit(X, Y, epochs=9, callbacks=[Prune(after=2)], progress=False)
    cut.fit(X, Y, epochs=2, progress=False)
    for name, values in whole.model.parameters().items():
        np.testing.assert_array_equal(cut.model.parameters()[name], values)


def test_a_pruned_training_with_checkpoints_leaves_its_state(tmp_path):
    with pytest.raises(optuna.TrialPruned):
        new_trainer().fit(X, Y, epochs=9, callbacks=[Prune(2)], checkpoint=tmp_path, progress=False)
    resumed = new_trainer()
    resumed.fit(
        X, Y, epochs=4, callbacks=[Prune(9)], checkpoint=tmp_path, resume=True, progress=False
    )
    whole = new_trainer()
    whole.fit(X, Y, epochs=4, progress=False)
    for name, values in whole.model.parameters().items():
        np.testing.assert_array_equal(resumed.model.parameters()[name], values)


def test_a_study_prunes_by_a_function_too():
    """The first trial ends; the second, which is worse from the start, is pruned at once."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(1), direction="maximize")
    study.enqueue_trial({"rate": 1e-2})
    study.enqueue_trial({"rate": 1e-6})

    def objective(trial):
        def report(trainer, figures):
            trial.report(figures["val_accuracy"], trainer.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        history = new_trainer(trial.suggest_float("rate", 1e-6, 1.0, log=True)).fit(
            *(X, Y),
            epochs=5,
            validation_data=(X_TEST, Y_TEST),
            callbacks=[nn.LambdaCallback(on_epoch_end=report)],
            progress=False,
        )
        return history["val_accuracy"][-1]

    study.optimize(objective, n_trials=2)
    first, second = study.trials
    assert first.state == optuna.trial.TrialState.COMPLETE
    assert first.value == first.intermediate_values[5] == study.best_value > 0.6
    assert second.state == optuna.trial.TrialState.PRUNED
    assert list(second.intermediate_values) == [1]


@pytest.mark.parametrize("resource", ["max_iter", "n_samples"])
def test_optimizers_and_schedules_are_values_of_a_search(resource):
    optimizers = [
        nn.Adam(1e-9),
        nn.SGD(nn.ExponentialDecay(0.3, factor=0.5, per=500), momentum=0.9),
        nn.AdamW(nn.CosineDecay(1e-9, 100)),
    ]
    grows = {"max_iter": (4, 12), "n_samples": (100, 300)}[resource]
    search = HalvingRandomSearchCV(
        MLPClassifier((16,), batch_size=20, max_iter=12, random_state=0),
        {"optimizer": optimizers, "dropout": uniform(0.0, 0.1)},
        n_candidates=9,
        resource=resource,
        min_resources=grows[0],
        max_resources=grows[1],
        cv=2,
        random_state=0,
        error_score="raise",
    )
    with pytest.warns(ConvergenceWarning):
        search.fit(X, Y)
    assert search.n_resources_ == list(grows)
    assert type(search.best_params_["optimizer"]) is nn.SGD
    assert search.best_score_ > 0.5
    assert repr(search.best_params_["optimizer"]).startswith("SGD(")
    # The values themselves are as they were: each training took a copy.
    assert [optimizer.iterations for optimizer in optimizers] == [0, 0, 0]
    assert {type(value) for value in search.cv_results_["param_optimizer"]} == {
        nn.Adam,
        nn.SGD,
        nn.AdamW,
    }
