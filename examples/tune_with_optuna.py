"""
Hyperparameters with Optuna
===========================

Optuna tries settings, one training after the other, and learns where the good ones lie. A training
that is behind the others ends early. The example needs Optuna: ``pip install optuna``.

Usage: python examples/tune_with_optuna.py [TRIALS]
"""

# %%
# What is searched
# ----------------
# The test images have no part in the search, or the best setting would be the one that fits them
# best by chance. So a fifth of the training images is held out for validation.

import sys

import optuna

import nnfs_xp as nn

X_all, y_all, X_test, y_test = nn.data.load_digits()
X, y, X_val, y_val = nn.data.hold_out(X_all, y_all, share=0.2, seed=0)
EPOCHS = 20


def build(trial):
    """A trainer with the settings of the trial."""
    n_neurons = trial.suggest_int("n_neurons", 8, 128, log=True)
    dropout = trial.suggest_float("dropout", 0.0, 0.6)
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    model = nn.Sequential(
        *(nn.Dense(64, n_neurons), nn.ReLU(), nn.Dropout(dropout)),
        nn.Dense(n_neurons, 10),
        seed=0,
    )
    return nn.Trainer(
        model, nn.SoftmaxCategoricalCrossentropy(), nn.Adam(rate), backend="numpy", seed=0
    )


# %%
# Ending a trial early
# --------------------
# The callback reports each epoch. Optuna compares it with the same epoch of the trials before. The
# exception that a callback raises ends the training, and comes out of `fit` as it is.


class Prune(nn.Callback):
    """Reports a figure of each epoch to a trial, and ends the training where Optuna says so."""

    def __init__(self, trial, monitor="val_loss"):
        self.trial = trial
        self.monitor = monitor

    def on_epoch_end(self, trainer, figures):
        self.trial.report(figures[self.monitor], trainer.epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def objective(trial):
    """Train with the settings of the trial; the validation loss in the end."""
    history = build(trial).fit(
        *(X, y),
        epochs=EPOCHS,
        validation_data=(X_val, y_val),
        callbacks=[Prune(trial)],
        progress=False,
    )
    return history["val_loss"][-1]


# %%
# The search
# ----------
# With a seed, and one trial at a time, it finds the same again.

optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(
    sampler=optuna.samplers.TPESampler(seed=0),
    pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=3),
)
study.optimize(objective, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 20)

states = [trial.state for trial in study.trials]
n_pruned = states.count(optuna.trial.TrialState.PRUNED)
n_epochs = sum(len(trial.intermediate_values) for trial in study.trials)
print(f"{len(states)} trials, {n_pruned} ended early: {n_epochs} of {len(states) * EPOCHS} epochs")
print(f"validation loss: {study.trials[0].value:.4f} at first, {study.best_value:.4f} at best")
for name, value in study.best_params.items():
    print(f"{name}: {value:.3g}")

# %%
# The best settings
# -----------------
# They are trained again, on all training images. A `FixedTrial` gives the settings to `build`.

trainer = build(optuna.trial.FixedTrial(study.best_params))
trainer.fit(X_all, y_all, epochs=EPOCHS, progress=False)
print(f"test accuracy {trainer.evaluate(X_test, y_test)['accuracy']:.3f}")
