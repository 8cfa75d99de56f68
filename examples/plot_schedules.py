"""
Schedules of the learning rate
==============================

Every optimizer takes a schedule instead of a number. Lengths are counted in steps. An epoch has
ceil(samples / batch size) of them.
"""

# %%
# The schedules
# -------------
# A schedule gives the rate of a step from the number of steps before it.

import matplotlib.pyplot as plt

import nnfs_xp as nn

STEPS = 400
schedules = {
    "InverseTimeDecay": nn.InverseTimeDecay(0.01, decay=0.01),
    "StepDecay": nn.StepDecay(0.01, every=100, factor=0.5),
    "ExponentialDecay": nn.ExponentialDecay(0.01, factor=0.1, per=200),
    "CosineDecay, warm-up": nn.CosineDecay(0.01, STEPS - 40, warmup_steps=40),
    "CosineDecay, restarts": nn.CosineDecay(0.01, 60, restarts=True, growth=1.8),
    "OneCycle": nn.OneCycle(0.01, STEPS),
}

figure, panels = plt.subplots(2, 3, figsize=(10, 5), sharex=True, sharey=True, layout="constrained")
for panel, (name, schedule) in zip(panels.flat, schedules.items(), strict=True):
    panel.plot([schedule.rate(step) for step in range(STEPS)], color="#0072B2")
    panel.set_title(name)
    panel.grid(alpha=0.3)
figure.supxlabel("step")
figure.supylabel("learning rate")
plt.show()

# %%
# What a schedule is good for
# ---------------------------
# The same network makes the same number of steps twice: with one rate throughout, and with one
# cycle that rises and falls. The history holds the rate of each epoch, and
# `~nnfs_xp.plots.plot_history` draws it.

X, y, X_test, y_test = nn.data.load_digits()
EPOCHS = 20
steps = EPOCHS * -(-len(X) // 32)


def train(rate):
    """Train with this rate or schedule; the history."""
    model = nn.Sequential(nn.Dense(64, 64), nn.ReLU(), nn.Dense(64, 10), nn.Softmax(), seed=0)
    optimizer = nn.SGD(rate, momentum=0.9)
    trainer = nn.Trainer(model, nn.CategoricalCrossentropy(), optimizer, backend="numpy", seed=0)
    return trainer.fit(X, y, epochs=EPOCHS, validation_data=(X_test, y_test), progress=False)


one_rate, one_cycle = train(0.3), train(nn.OneCycle(0.3, steps))
for name, history in (("one rate", one_rate), ("one cycle", one_cycle)):
    print(f"{name}: loss {history['loss'][-1]:.4f}, validation {history['val_loss'][-1]:.4f}")
nn.plots.plot_history(one_cycle)
