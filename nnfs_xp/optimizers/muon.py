"""Steps of matrices as wholes: in all directions by as much."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any, Unpack

from nnfs_xp import _checks
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.errors import ArgumentError
from nnfs_xp.flat_parameters import FlatParameters, Matrix, Part
from nnfs_xp.kernels.standard import Kernels
from nnfs_xp.optimizers.base import Optimizer, Options, State
from nnfs_xp.schedules import Schedule

_A, _B, _C = 3.4445, -4.7750, 2.0315
"""Of the polynomial: the fast growth of small singular values was put above exactness."""

_EPSILON = 1e-7


class Muon(Optimizer):
    """Momentum whose singular values are all brought to about 1, for each matrix by itself.

    So a step goes as far in directions that few samples ask for as in those of many. Matrices are
    the weights of dense layers, and the filters of convolutions, (what a filter sees, filters).
    All else, biases and embeddings say, is stepped by `Adam`.

    Parameters
    ----------
    learning_rate : float or Schedule
    decay : float
        See `Optimizer`.
    momentum : float
        The weight of the past in the momentum, in [0, 1).
    nesterov : bool
        Whether a step goes from where the momentum is about to lead.
    n_steps : int
        Newton-Schulz steps that bring the singular values to about 1.
    others : tuple of str
        Names of matrices, as `model.parameters()` has them, that `Adam` steps too: those of the
        last layer, say.
    others_scale : float
        The learning rate of all that `Adam` steps is `learning_rate` times this. A power of 2
        rounds nothing, so that steps that are recorded as graphs have the bits of others.
    beta_1, beta_2, epsilon : float
        Of `Adam`.
    **options
        See `Optimizer`.

    Raises
    ------
    ArgumentError
        From the first step: the model has no parameter of a name in `others`.

    Notes
    -----
    m = momentum * m + gradients; u = gradients + momentum * m with Nesterov's momentum, else m.
    x = u / norm(u), and `n_steps` times x = a * x + (b * s + c * s @ s) @ x with s = x @ x.T and
    a, b, c = 3.4445, -4.7750, 2.0315. values -= learning_rate * scale * x, with
    scale = sqrt(max(1, n_neurons / n_inputs)) of a matrix of shape (n_inputs, n_neurons).

    PyTorch's works on float32 rounded to bfloat16; here it is in the model's data type.

    Source: Jordan et al. 2024, *Muon: An optimizer for hidden layers in neural networks*; the
    polynomial: Bernstein and Newhouse 2024, *Old Optimizer, New Norm*, appendix A.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> model = nn.Sequential(nn.Dense(64, 128), nn.ReLU(), nn.Dense(128, 10), seed=0)
    >>> optimizer = nn.Muon(nn.CosineDecay(0.02, steps=1000), others=("2.weights",))
    """

    state_names = ("momentum", "cache")
    works_in_parts = False

    def __init__(
        self,
        learning_rate: float | Schedule = 0.02,
        decay: float = 0.0,
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        n_steps: int = 5,
        others: tuple[str, ...] = (),
        others_scale: float = 1 / 64,
        beta_1: float = 0.9,
        beta_2: float = 0.95,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, decay, **options)
        self.momentum = _checks.check_range("momentum", momentum, 0, 1)
        self.nesterov = _checks.check_bool("nesterov", nesterov)
        self.n_steps = _checks.check_count("n_steps", n_steps)
        self.others = _names(others)
        self.others_scale = _checks.check_range("others_scale", others_scale, 0, open_low=True)
        self.beta_1 = _checks.check_range("beta_1", beta_1, 0, 1)
        self.beta_2 = _checks.check_range("beta_2", beta_2, 0, 1)
        self.epsilon = _checks.check_range("epsilon", epsilon, 0, open_low=True)

    def parts_of(self, flat: FlatParameters) -> tuple[Part, ...]:
        unknown = sorted({*self.others}.difference(flat.layout)) if self.others else ()
        if unknown:
            raise ArgumentError(
                f"`others` names {unknown[0]!r}; the parameters that are trained are "
                f"{', '.join(map(repr, flat.layout))}."
            )
        return tuple(each for part in flat.parts for each in self._parts_of(part))

    def _parts_of(self, part: Part) -> list[Part]:
        """Each matrix by itself, and what lies between them."""
        found, start = [], 0
        for matrix in part.matrices:
            if matrix.name in self.others:
                continue
            place = matrix.place
            if start < place.start:
                found.append(self._others(part, start, place.start))
            own = Matrix(matrix.name, slice(0, place.stop - place.start), matrix.shape)
            found.append(replace(part.cut(place.start, place.stop), matrices=(own,)))
            start = place.stop
        size = part.values.shape[0]
        if start < size:
            found.append(self._others(part, start, size))
        return found

    def _others(self, part: Part, start: int, stop: int) -> Part:
        return replace(part.cut(start, stop), scale=part.scale * self.others_scale)

    def apply(self, xp: Namespace, flat: Part, state: State) -> None:
        kernels, rate = flat.backend.kernels, self.current_learning_rate
        values, g, m = flat.values, flat.gradients, state["momentum"]
        if not flat.matrices:
            t, betas = self.iterations + 1, (self.beta_1, self.beta_2)
            kernels.adam(xp, values, g, m, state["cache"], t, rate, *betas, self.epsilon)
            return
        (matrix,) = flat.matrices
        n_inputs, n_neurons = matrix.shape
        m *= self.momentum
        m += g
        u = g + self.momentum * m if self.nesterov else m
        x = orthogonalized(xp, kernels, xp.reshape(u, matrix.shape), self.n_steps)
        x *= sqrt(max(1.0, n_neurons / n_inputs))
        x *= rate
        values -= xp.reshape(x, (-1,))


def orthogonalized(xp: Namespace, kernels: Kernels, matrix: Array, n_steps: int) -> Array:
    """The matrix, in an array of its own, with singular values of about 1 and the same vectors."""
    is_high = matrix.shape[0] > matrix.shape[1]
    x: Array = matrix / xp.maximum(kernels.norm(xp, matrix), _EPSILON)
    x = x.T if is_high else x
    for _ in range(n_steps):
        s = kernels.product(xp, x, x.T)
        polynomial = kernels.product(xp, s, s)
        polynomial *= _C
        s *= _B
        polynomial += s
        longer = kernels.product(xp, polynomial, x)
        longer += _A * x
        x = longer
    return x.T if is_high else x


def _names(others: Any) -> tuple[str, ...]:
    if isinstance(others, (tuple, list)) and all(isinstance(each, str) for each in others):
        return tuple(others)
    raise ArgumentError(f"`others` must be a tuple of names of parameters; got {others!r}.")
