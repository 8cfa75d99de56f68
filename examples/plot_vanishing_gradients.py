"""
Gradients that vanish, and what helps
=====================================

On its way back, a gradient is multiplied by the slope of each activation and by the weights of
each layer. When each layer makes it smaller, the first layers hardly learn.
"""

# %%
# Ten layers of sigmoids
# ----------------------
# A sigmoid's slope is 1/4 at most. `~nnfs_xp.GradientFlow` records the norm of each layer's
# gradient in each step, without waiting for the device.

import matplotlib.pyplot as plt
import numpy as np

import nnfs_xp as nn

X, y, X_test, y_test = nn.data.load_digits()
DEPTH = 10


def train(build_activation, residual=False):
    """Train a deep network on the digits; its trainer, and the norms of the gradients."""
    layers = [nn.Dense(64, 32)]
    for _ in range(DEPTH):
        if residual:
            layers.append(nn.Residual(nn.LayerNorm(32), nn.Dense(32, 32), build_activation()))
        else:
            layers += [build_activation(), nn.Dense(32, 32)]
    model = nn.Sequential(*layers, nn.Dense(32, 10), seed=0)
    loss, flow = nn.SoftmaxCategoricalCrossentropy(), nn.GradientFlow()
    trainer = nn.Trainer(model, loss, nn.Adam(0.001), backend="numpy", seed=0)
    trainer.fit(X, y, epochs=4, callbacks=[flow], progress=False)
    return trainer, flow.norms()


trainer, norms = train(nn.Sigmoid)
print(f"sigmoid: test accuracy {trainer.evaluate(X_test, y_test)['accuracy']:.2f}")
nn.plots.plot_gradient_flow(norms)

# %%
# The lines are many orders of magnitude apart. The first layer's line is the lowest.
#
# ReLU, and a way around
# ----------------------
# A ReLU's slope is 1 for inputs above 0. A `~nnfs_xp.Residual` adds a layer's output to its input,
# so the gradient has a way back past every layer.

kinds = {
    "sigmoid": norms,
    "tanh": train(nn.Tanh)[1],
    "ReLU": train(nn.ReLU)[1],
    "ReLU, residual": train(nn.ReLU, residual=True)[1],
}

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for name, found in kinds.items():
    weights = [key for key in found if key.endswith("weights")]
    first_steps = [np.mean(found[key][:20]) for key in weights]
    axes.semilogy(range(1, len(weights) + 1), first_steps, "o-", label=name)
    print(
        f"{name}: the first layer's gradient is {first_steps[0] / first_steps[-1]:.1e} of the last"
    )
axes.set(xlabel="layer", ylabel="norm of the weights' gradient, first 20 steps")
axes.grid(alpha=0.3)
axes.legend()
plt.show()
