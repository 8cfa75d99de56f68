"""The solver "lbfgs": SciPy's L-BFGS-B over the flat buffer, with all samples in each step."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize

from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError, DivergenceError
from nnfs_xp.layers import BatchNorm, Layer, StochasticLayer
from nnfs_xp.training import Trainer
from nnfs_xp.training.preparation import prepare_inputs, prepare_targets
from nnfs_xp.training.weights import prepare_weights


def solve(
    trainer: Trainer,
    X: Any,
    targets: Any,
    sample_weight: Any,
    *,
    max_iter: int,
    max_fun: int,
    tol: float,
    verbose: bool,
) -> tuple[float, int, str | None]:
    """Minimize the trainer's loss over its model's parameters, which then have their best values.

    Parameters
    ----------
    trainer : Trainer
    X, targets, sample_weight
        As `Trainer.fit` takes them; a sparse X becomes dense as a whole.
    max_iter, max_fun : int
        The most iterations, and the most passes forward and backward.
    tol : float
        The largest element of the gradient at which it stops.
    verbose : bool
        Whether to print the loss of each iteration.

    Returns
    -------
    loss : float
        With the penalties.
    n_iter : int
    message : str or None
        Why it stopped before it had converged.

    Raises
    ------
    ArgumentError
        The network differs from pass to pass.
    DivergenceError
        The loss or a weight became NaN or infinite. The model has its weights from before.
    """
    _refuse_noise(trainer.model)
    learner = trainer.learner
    backend, flat, loss = learner.backend, learner.model.flat, learner.fused_loss
    dtype = flat.values.dtype
    x = backend.asarray(prepare_inputs(X, trainer.model, backend)[:, ...])
    n_outputs = trainer.model.output_shape(tuple(x.shape[1:]))[0]
    y = prepare_targets(loss, backend.asarray(targets), (x.shape[0], n_outputs), dtype)
    weights = prepare_weights(y, n_outputs, sample_weight)
    w = () if weights is None else (backend.asarray(weights, dtype),)

    def loss_and_gradient(theta: np.ndarray[Any, Any]) -> tuple[float, np.ndarray[Any, Any]]:
        flat.values[...] = backend.asarray(theta, dtype)
        _, total = learner.gradients(x, y, *w)
        total = learner.add_penalties(total)
        return float(to_numpy(total)), to_numpy(flat.gradients).astype(np.float64)

    def show(intermediate_result: Any) -> None:
        print(f"loss = {intermediate_result.fun:.8f}")

    with backend.active():
        start = to_numpy(flat.values).astype(np.float64)
        options = {"maxiter": max_iter, "maxfun": max_fun, "gtol": tol}
        best = start  # an error, or Ctrl-C, leaves the weights as they were
        try:
            result = minimize(
                loss_and_gradient,
                start,
                method="L-BFGS-B",
                jac=True,
                options=options,
                callback=show if verbose else None,
            )
            if not (np.isfinite(result.fun) and np.all(np.isfinite(result.x))):
                raise DivergenceError("the loss or a weight became NaN or infinite. Scale `X`.")
            best = result.x
        finally:
            flat.values[...] = backend.asarray(best, dtype)
    message = str(result.message) if result.status else None
    return float(result.fun), min(int(result.nit), max_iter), message


def _refuse_noise(model: Layer) -> None:
    for _, layer in model.walk():
        if isinstance(layer, (StochasticLayer, BatchNorm)):
            raise ArgumentError(
                f"solver='lbfgs' needs a network that is the same in each pass, without "
                f"{type(layer).__name__}. Take solver='adam'."
            )
