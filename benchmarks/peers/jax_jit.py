"""JAX: the whole step, Adam included, in one jitted function that reuses its buffers."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.work import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Contestant, Work


def build(work: Work, batch: int) -> Contestant:
    """The work for one batch size."""

    def forward(parameters: Any, x: Any) -> Any:
        *hidden, (w, b) = parameters
        for v, a in hidden:
            x = jax.nn.relu(x @ v + a)
        return x @ w + b

    def loss_of(parameters: Any, x: Any, y: Any) -> Any:
        output = forward(parameters, x)
        if not work.classes:
            return jnp.mean((output - y) ** 2)
        logs = jax.nn.log_softmax(output)
        return -jnp.mean(jnp.take_along_axis(logs, y[:, None], axis=1))

    @partial(jax.jit, donate_argnums=(0, 1))
    def train(parameters: Any, state: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, y)
        m, c, t = state
        t = t + 1
        m = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, m, gradients)
        c = jax.tree.map(lambda c, g: BETA_2 * c + (1 - BETA_2) * g * g, c, gradients)
        fix_1, fix_2 = 1 - BETA_1**t, 1 - BETA_2**t
        parameters = jax.tree.map(
            lambda p, m, c: p - LEARNING_RATE * (m / fix_1) / (jnp.sqrt(c / fix_2) + EPSILON),
            parameters,
            m,
            c,
        )
        return parameters, (m, c, t), loss

    parameters = [(jnp.asarray(w), jnp.zeros(w.shape[1], jnp.float32)) for w in work.weights()]
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    state = zeros, jax.tree.map(jnp.zeros_like, parameters), jnp.float32(0)
    outputs = jax.jit(forward)

    def step(x: Any, y: Any) -> Any:
        nonlocal parameters, state
        parameters, state, loss = train(parameters, state, x, y)
        return loss

    data = [(jnp.asarray(x), jnp.asarray(y)) for x, y in work.data(batch)]
    return Contestant(step, lambda x: outputs(parameters, x), data, jax.block_until_ready)
