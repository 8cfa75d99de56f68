"""The regressor."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if

from nnfs_xp._checks import quoted
from nnfs_xp._typing import Array
from nnfs_xp.backend import to_numpy
from nnfs_xp.data.sparse import is_sparse
from nnfs_xp.errors import ArgumentError, DataError, LabelError
from nnfs_xp.layers import Layer
from nnfs_xp.losses import Loss
from nnfs_xp.optimizers import Optimizer
from nnfs_xp.schedules import Schedule
from nnfs_xp.sklearn.base import BaseMLP
from nnfs_xp.sklearn.losses import HalfPoissonDeviance, HalfSquaredError

_LOSSES = {"squared_error": HalfSquaredError, "poisson": HalfPoissonDeviance}


class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc] # scikit-learn has no types
    """A multi-layer perceptron that predicts values, in place of scikit-learn's.

    The parameters up to `max_fun` are those of scikit-learn's own, with the same
    defaults and meanings; so are the attributes. `MLPClassifier` explains them; what differs
    is here. Scale the targets to a variance near 1, as with `TransformedTargetRegressor`.

    Parameters
    ----------
    loss : {"squared_error", "poisson"} or Loss
        Half of the squared error, or of the Poisson deviance of counts, where the network gives
        logarithms of rates; or such as ``nn.Huber()``.
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate
        See `MLPClassifier`; so for all further ones, too.
    learning_rate_init, power_t, max_iter, shuffle, random_state, tol, verbose, warm_start
        See there.
    momentum, nesterovs_momentum, early_stopping, validation_fraction, beta_1, beta_2, epsilon
        See there; the score of `early_stopping` is R².
    n_iter_no_change, max_fun, dropout, batch_norm, optimizer, schedule, callbacks, backend
        See there.
    network : Sequential or callable, optional
        See there.

    Attributes
    ----------
    network_ : Sequential
        It ends in a dense layer.
    validation_scores_ : list of float
        R² on the validation samples after each epoch.
    n_outputs_ : int
        The number of values a sample.
    out_activation_ : {"identity", "exp"}
        See `MLPClassifier` for the rest.

    Raises
    ------
    ArgumentError
        A parameter is out of range. Like most errors on bad input it is a ValueError.

    See Also
    --------
    MLPClassifier : The same for classes.

    Notes
    -----
    With several values a sample, `loss_` is the sum over these; scikit-learn reports their mean,
    and descends the sum.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfs_xp.sklearn import MLPRegressor
    >>> X = np.linspace(-1, 1, 200).reshape(-1, 1)
    >>> regressor = MLPRegressor(hidden_layer_sizes=(32,), solver="lbfgs", random_state=0)
    >>> regressor = regressor.set_params(max_iter=500)
    >>> regressor.fit(X, np.sin(3 * X[:, 0])).score(X, np.sin(3 * X[:, 0])) > 0.99
    True
    """

    def __init__(
        self,
        loss: str | Loss = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        batch_norm: bool = False,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        callbacks: Any = (),
        backend: Any = None,
        network: Any = None,
    ) -> None:
        self._keep(locals())

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> Self:
        """Train on the samples, from new weights unless `warm_start` says otherwise.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n, features)
            Float32 stays that, and trains faster; all else becomes float64. A sparse matrix
            is taken a batch at a time, as by `nnfs_xp.Trainer.fit`, except for
            ``solver="lbfgs"``, which makes it dense as a whole.
        y : array-like, shape (n,) or (n, outputs)
        sample_weight : array-like, shape (n,), optional
        X_val, y_val : optional
            Samples to validate with after each epoch.

        Returns
        -------
        MLPRegressor
            Itself.

        Raises
        ------
        ValueError
            The samples or parameters are refused, or the training diverged.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    @available_if(lambda self: self._trains_by_steps())  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on the samples, going on from where it is.

        Parameters
        ----------
        X, y
            As for `fit`.
        sample_weight : array-like, shape (n,), optional
            Scaled to a mean of 1 over the samples of the call: how much a sample counts beside
            those of other calls, the weights do not say.

        Returns
        -------
        MLPRegressor
            Itself.

        Notes
        -----
        The network and the optimizer of the first call go on: other parameters of the network are
        refused, those of the optimizer count for a new training.
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Any:
        """The values of each sample.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n, features)

        Returns
        -------
        array, shape (n,) or (n, outputs)
        """
        output, bring = self._output(X, "predict")
        values = self._loss().predictions(output)
        return bring(values[:, 0] if self._flat else values)

    def _score_of(self, output: Array, targets: Any, sample_weight: Any) -> float:
        values = to_numpy(self._loss().predictions(output))
        if not np.all(np.isfinite(values)):
            return float("nan")
        return float(r2_score(targets, values, sample_weight=sample_weight))

    def _encode(
        self, y: Any, *, first: bool, classes: Any = None, is_part: bool = False
    ) -> np.ndarray[Any, Any]:
        del classes, is_part
        if is_sparse(y):
            raise DataError("`y` must be an array; got a sparse matrix. Take y.toarray().")
        given = to_numpy(y)
        values: np.ndarray[Any, Any] = given.reshape(len(given), -1)
        is_poisson = isinstance(self._trained_by, str) and self._trained_by == "poisson"
        if first:
            self.n_outputs_ = values.shape[1]
            self._flat = given.ndim == 1 or given.shape[1] == 1
            self.out_activation_ = "exp" if is_poisson else "identity"
        elif values.shape[1] != self.n_outputs_:
            raise LabelError(
                f"`y` must have {self.n_outputs_} values a sample; it has {values.shape[1]}."
            )
        if is_poisson and np.any(values < 0):
            raise LabelError(f"loss='poisson' needs `y` of at least 0; got {values.min():g}.")
        return values

    def _closing(self) -> tuple[int, Layer | None]:
        if isinstance(self.loss, Loss):
            if self.loss.has_classes:
                raise ArgumentError(f"{type(self.loss).__name__} is for classes, not for values.")
        elif not isinstance(self.loss, str) or self.loss not in _LOSSES:
            raise ArgumentError(
                f"`loss` must be one of {list(_LOSSES)} or a Loss; got {quoted(self.loss)}."
            )
        return self.n_outputs_, None

    def _default_loss(self) -> Loss:
        return _LOSSES[self._trained_by]()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
