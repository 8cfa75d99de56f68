"""
Two models against each other
=============================

The generator makes points out of noise. The discriminator tells them from real points. Each learns
from the other, so that in the end the generator makes points like the real ones (Goodfellow et al.
2014, *Generative Adversarial Nets*). The loop over the steps is written by hand.
"""

# %%
# The points, and how far two clouds of points are apart
# ------------------------------------------------------
# Real points lie in eight heaps on a ring. The energy distance (Székely and Rizzo 2013) of two
# clouds is 0 where they are alike: twice the mean distance from cloud to cloud, less the mean
# distances within each.

import matplotlib.pyplot as plt
import numpy as np

import nnfs_xp as nn

random = np.random.default_rng(0)
N_NOISE, BATCH, STEPS = 4, 128, 3000


def real_points(n):
    """Points in eight heaps on a ring."""
    angles = random.integers(0, 8, n) * np.pi / 4
    centers = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return (centers + 0.05 * random.standard_normal((n, 2))).astype(np.float32)


def noise(n):
    """What the generator makes points of."""
    return random.standard_normal((n, N_NOISE)).astype(np.float32)


def distance(a, b):
    """The energy distance of two clouds of points."""

    def mean(a, b):
        return np.linalg.norm(a[:, None] - b, axis=2).mean()

    return 2 * mean(a, b) - mean(a, a) - mean(b, b)


# %%
# The two models
# --------------
# Each has an optimizer of its own. The discriminator puts out a logit: above 0 it takes a point for
# a real one. The generator keeps an average of its weights, since it circles around where it is
# going.

generator = nn.Sequential(
    *(nn.Dense(N_NOISE, 64), nn.ReLU()),
    *(nn.Dense(64, 64), nn.ReLU()),
    nn.Dense(64, 2),
    seed=0,
)
discriminator = nn.Sequential(
    *(nn.Dense(2, 64), nn.LeakyReLU(0.2)),
    *(nn.Dense(64, 64), nn.LeakyReLU(0.2)),
    nn.Dense(64, 1),
    seed=1,
)
loss = nn.SigmoidBinaryCrossentropy()
for_generator = nn.Adam(0.001, beta_1=0.5, average_decay=0.998)
for_discriminator = nn.Adam(0.001, beta_1=0.5)
ones, zeros = np.ones((BATCH, 1), np.float32), np.zeros((BATCH, 1), np.float32)
labels = np.concatenate([ones, zeros])

# %%
# The loop
# --------
# The discriminator learns that real points are 1 and made ones 0. Then the generator learns to make
# points that are taken for 1: the gradient goes back through the discriminator, and what comes out
# of it, the gradient of the made points, goes on through the generator. On its way it sets the
# discriminator's gradients, too. No step may use those: the discriminator's next backward pass
# writes over them.

clouds = {0: generator.forward(noise(500))}
for step in range(1, STEPS + 1):
    points = np.concatenate([real_points(BATCH), generator.forward(noise(BATCH))])
    judged = discriminator.forward(points, training=True)
    discriminator.backward(loss.backward(judged, labels))
    for_discriminator.step(discriminator)

    judged = discriminator.forward(generator.forward(noise(BATCH), training=True), training=True)
    generator.backward(discriminator.backward(loss.backward(judged, ones)))
    for_generator.step(generator)

    if step in (500, STEPS):
        for_generator.exchange_average(generator)
        clouds[step] = generator.forward(noise(500))
        for_generator.exchange_average(generator)

# %%
# What it has learnt
# ------------------

figure, panels = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
real = real_points(500)
for panel, (step, made) in zip(panels, clouds.items(), strict=True):
    panel.scatter(*real.T, s=4, color="#999999", label="real")
    panel.scatter(*made.T, s=4, color="#D55E00", label="made")
    panel.set(title=f"step {step}", xlim=(-2, 2), ylim=(-2, 2), aspect="equal")
    print(f"step {step}: distance {distance(made, real):.4f}")
panels[0].legend()
plt.show()

print(f"two clouds of real points: distance {distance(real_points(500), real):.4f}")
nearest = np.round(np.arctan2(*clouds[STEPS].T[::-1]) / (np.pi / 4)).astype(int) % 8
shares = np.bincount(nearest, minlength=8) / len(nearest)
print(f"the rarest heap has {shares.min():.1%} of the points, the commonest {shares.max():.1%}")
