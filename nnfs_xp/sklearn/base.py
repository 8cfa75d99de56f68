"""What the two estimators share: parameters, the network, training and prediction."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, backend_of, get_backend, is_array, to_numpy
from nnfs_xp.data.sparse import SparseRows, is_sparse
from nnfs_xp.errors import ArgumentError, BackendError, DataError, DivergenceError
from nnfs_xp.layers import Layer
from nnfs_xp.losses import Loss
from nnfs_xp.optimizers import SGD, Adam, Optimizer
from nnfs_xp.schedules import Schedule
from nnfs_xp.sklearn.convergence import Convergence, EpochRate
from nnfs_xp.sklearn.lbfgs import solve
from nnfs_xp.sklearn.network import (
    build_network,
    dense_layers,
    draw_parameters,
    dropout_rates,
    hidden_activations,
    hidden_widths,
    own_network,
    width_of,
)
from nnfs_xp.sklearn.persistence import pack_network, pack_trainer, unpack_network, unpack_trainer
from nnfs_xp.training import Callback, History, Trainer

_PREDICTION_BATCH = 4096
_MOST_SEED = 2**31 - 1


class BackendMismatchError(BackendError, ValueError):
    """Samples are elsewhere than those of `fit`. A ValueError too, as scikit-learn asks."""


class NonFiniteError(DivergenceError, ValueError):
    """The training diverged. A ValueError too, as scikit-learn's estimators raise."""


class BaseMLP(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Base class of `MLPClassifier` and `MLPRegressor`, which say what their targets are.

    A subclass gives `_encode`, `_targets_of`, `_default_loss`, `_closing`, `_score_of`.
    """

    hidden_layer_sizes: Any
    activation: Any
    solver: str
    alpha: float
    batch_size: Any
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: Any
    tol: float
    verbose: Any
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: Any
    max_fun: int
    loss: Any
    dropout: Any
    batch_norm: bool
    optimizer: Optimizer | None
    schedule: Schedule | None
    callbacks: Any
    backend: Any
    network: Any

    network_: Layer
    n_outputs_: int
    n_iter_: int
    t_: int
    loss_: float
    best_loss_: Any
    best_validation_score_: Any

    def _keep(self, parameters: dict[str, Any]) -> None:
        """Set the arguments of ``__init__`` as attributes, which is all that it may do."""
        for name in self._get_param_names():
            setattr(self, name, parameters[name])

    def _trains_by_steps(self) -> bool:
        if self._solver() == "lbfgs":
            raise AttributeError("partial_fit needs solver='adam' or 'sgd'.")
        return True

    # What a subclass says of its targets ---------------------------------------------------

    def _encode(self, y: Any, *, first: bool, classes: Any = None) -> np.ndarray[Any, Any]:
        """The targets as numbers, and, if it is the first time, what there is to know of them."""
        raise NotImplementedError

    def _default_loss(self, network: Layer) -> Loss:
        """The loss where none is given as an object."""
        raise NotImplementedError

    def _closing(self) -> tuple[int, Layer | None]:
        """How many outputs a network has that is built here, and the layer that closes it."""
        raise NotImplementedError

    def _stratifies(self) -> bool:
        """Whether a validation set is to have the classes in the same shares."""
        return False

    def _score_of(self, output: Array, targets: Any, sample_weight: Any) -> float:
        """The score of what the network puts out."""
        raise NotImplementedError

    def _total_weights(self, y: Any, sample_weight: Any) -> Any:
        """The weight of each sample, or None: those given, times those of the classes."""
        del y
        return sample_weight

    # Attributes that scikit-learn's estimators have ------------------------------------------

    @property
    def coefs_(self) -> list[np.ndarray[Any, Any]]:
        """The weights of the dense layers, each of shape (n_inputs, n_neurons)."""
        return [to_numpy(layer.weights) for layer in dense_layers(self._network_for("coefs_"))]

    @coefs_.setter
    def coefs_(self, values: Any) -> None:
        layers = dense_layers(self._network_for("coefs_"))
        for layer, weights in zip(layers, values, strict=True):
            layer.weights = weights

    @property
    def intercepts_(self) -> list[np.ndarray[Any, Any]]:
        """The biases of the dense layers, each of shape (n_neurons,)."""
        layers = dense_layers(self._network_for("intercepts_"))
        return [to_numpy(layer.biases)[0] for layer in layers]

    @intercepts_.setter
    def intercepts_(self, values: Any) -> None:
        layers = dense_layers(self._network_for("intercepts_"))
        for layer, biases in zip(layers, values, strict=True):
            layer.biases = np.reshape(biases, (1, -1))

    def _network_for(self, name: str) -> Layer:
        network: Layer | None = vars(self).get("network_")
        if network is None:
            raise AttributeError(f"{type(self).__name__} has `{name}` when it is fitted.")
        return network

    # Training --------------------------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation: tuple[Any, Any] | None,
        *,
        incremental: bool,
        classes: Any = None,
    ) -> Self:
        self._check_parameters(incremental)
        first = not hasattr(self, "network_") or not (self.warm_start or incremental)
        X, y = self._check_samples(X, y, reset=first)
        targets = self._encode(y, first=first, classes=classes)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        weights = self._total_weights(y, _on_host(sample_weight))
        random_state = check_random_state(self.random_state)
        if first:
            self._start(X, random_state)
        held_out = None if validation is None else self._own_validation(*validation)
        if self.early_stopping and validation is None and self.solver != "lbfgs":
            X, targets, weights, held_out = self._hold_out(X, targets, weights, random_state)
        trainer = self._trainer_for(X, random_state, go_on=incremental)
        self.n_iter_ = 0
        if self._solver() == "lbfgs":
            self._fit_by_lbfgs(trainer, X, targets, weights)
        else:
            self._fit_by_steps(trainer, X, targets, weights, held_out, incremental=incremental)
        return self

    def _check_parameters(self, incremental: bool) -> None:
        """Refuse parameters that are out of range, before anything is touched."""
        check = _checks.check_range
        n_hidden = len(hidden_widths(self.hidden_layer_sizes))
        hidden_activations(self.activation, n_hidden)
        dropout_rates(self.dropout, n_hidden)
        _one_of("solver", self.solver, ("lbfgs", "sgd", "adam"))
        _one_of("learning_rate", self.learning_rate, ("constant", "invscaling", "adaptive"))
        check("alpha", self.alpha, 0)
        check("learning_rate_init", self.learning_rate_init, 0, open_low=True)
        check("power_t", self.power_t, 0)
        check("tol", self.tol, 0)
        check("validation_fraction", self.validation_fraction, 0, 1)
        _checks.check_count("max_iter", self.max_iter)
        _checks.check_count("max_fun", self.max_fun)
        if self.n_iter_no_change != np.inf:
            _checks.check_count("n_iter_no_change", self.n_iter_no_change)
        if not (isinstance(self.batch_size, str) and self.batch_size == "auto"):
            _checks.check_count("batch_size", self.batch_size)
        for name, value, kind in (
            ("optimizer", self.optimizer, Optimizer),
            ("schedule", self.schedule, Schedule),
        ):
            if value is not None and not isinstance(value, kind):
                raise ArgumentError(f"`{name}` must be of nn.{name}s; got {value!r}.")
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise ArgumentError(f"`callbacks` must be Callback objects; got {callback!r}.")
        if self.schedule is not None and self.optimizer is not None:
            raise ArgumentError("hand the schedule to the optimizer, as its learning rate.")
        if self.early_stopping and incremental:
            raise ArgumentError("partial_fit does not support early_stopping=True.")

    def _check_samples(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        """The samples, as a float array or as a sparse matrix, and the targets."""
        X, y = validate_data(
            self,
            X,
            y,
            reset=reset,
            dtype=_floats_for(X),
            accept_sparse="csr",
            multi_output=True,
            y_numeric=is_regressor(self),
        )
        if reset:
            self._samples_on = _name_of(X)
        return X, y

    def _solver(self) -> str:
        """The solver, which an optimizer of the user's own takes the place of."""
        return self.solver if self.optimizer is None else "own"

    def _start(self, X: Any, random_state: Any) -> None:
        """A new network, and records with nothing in them."""
        n_features = int(X.shape[1])
        n_outputs, closing = self._closing()
        dtype = "float32" if str(X.dtype).endswith("float32") else "float64"
        if self.network is None:
            hidden = hidden_widths(self.hidden_layer_sizes)
            self.network_ = build_network(
                n_features,
                hidden,
                n_outputs,
                closing,
                activation=self.activation,
                dropout=self.dropout,
                batch_norm=self.batch_norm,
                dtype=dtype,
            )
            draw_parameters(self.network_, random_state, self.activation)
        else:
            self.network_ = own_network(self.network, n_features, n_outputs, random_state)
            self._check_width(width_of(self.network_, n_features))
        self.n_layers_ = len(dense_layers(self.network_)) + 1
        self.t_ = 0
        self.loss_curve_: list[float] = []
        self._no_improvement_count = 0
        self.best_loss_ = None if self.early_stopping else np.inf
        self.validation_scores_: list[float] | None = None
        self.best_validation_score_ = None
        self._trainer: Trainer | None = None
        self._packed: dict[str, Any] | None = None

    def _check_width(self, width: int) -> None:
        """Refuse a network of the user's own with another number of outputs than is needed."""
        if width != self.n_outputs_:
            raise ArgumentError(f"`network` must have {self.n_outputs_} outputs; it has {width}.")

    def _own_validation(self, X: Any, y: Any) -> tuple[Any, ...]:
        """The validation samples that the user gave."""
        if X is None or y is None:
            raise ArgumentError("`X_val` and `y_val` must be given together.")
        X, y = self._check_samples(X, y, reset=False)
        return X, self._encode(y, first=False), None

    def _hold_out(
        self, X: Any, targets: Any, weights: Any, random_state: Any
    ) -> tuple[Any, Any, Any, tuple[Any, ...]]:
        """The samples to train on, and those to validate with."""
        stratify = targets if self._stratifies() else None
        train, kept = train_test_split(
            np.arange(X.shape[0]),
            random_state=random_state,
            test_size=self.validation_fraction,
            stratify=stratify,
        )
        if len(kept) < 2:
            raise DataError(
                f"The validation set is too small: {len(kept)} of {X.shape[0]} samples. Raise "
                "`validation_fraction`, or bring more samples."
            )
        parts = []
        for rows in (train, kept):
            part = None if weights is None else weights[rows]
            parts.append((_rows(X, rows), targets[rows], part))
        return *parts[0], parts[1]

    def _trainer_for(self, X: Any, random_state: Any, *, go_on: bool) -> Trainer:
        """A trainer of the network: the one that there is, to go on with, or else a new one."""
        trainer = vars(self).get("_trainer")
        if go_on and trainer is not None:
            return trainer  # type: ignore[no-any-return]
        optimizer = self._new_optimizer()
        trainer = Trainer(
            self.network_,
            self._loss(),
            optimizer,
            metrics=(),
            backend=self._backend_for(X),
            seed=int(random_state.randint(_MOST_SEED)),
        )
        if go_on and self._packed is not None:
            unpack_trainer(self._packed, trainer)
        self._trainer, self._packed = trainer, None
        return trainer

    def _backend_for(self, X: Any) -> Backend:
        """Where to train: as the parameter says, else where the data are."""
        if self.backend is not None:
            return get_backend(self.backend)
        return backend_of(X) if is_array(X) else get_backend("numpy")

    def _loss(self) -> Loss:
        if isinstance(self.loss, Loss):
            return copy.deepcopy(self.loss)
        return self._default_loss(self.network_)

    def _new_optimizer(self) -> Optimizer:
        if self.optimizer is not None:
            if self.optimizer.iterations:
                raise ArgumentError("`optimizer` has made steps already; hand over a new one.")
            return copy.deepcopy(self.optimizer)
        kind = self.learning_rate if self.solver == "sgd" else "constant"
        rate: Schedule = EpochRate(self.learning_rate_init, kind, self.power_t)
        if self.schedule is not None:
            rate = copy.deepcopy(self.schedule)
        if self.solver == "sgd":
            nesterov = self.nesterovs_momentum and self.momentum > 0
            return SGD(rate, momentum=self.momentum, nesterov=nesterov)
        return Adam(rate, beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)

    def _set_alpha(self, n_samples: int, weights: Any) -> None:
        """Give the dense layers the penalty alpha / 2 * sum(weights**2) / the batch's weight."""
        if self.network is None:
            total = n_samples if weights is None else n_samples * float(np.mean(weights))
            for layer in dense_layers(self.network_):
                layer.weight_regularizer_l2 = self.alpha / 2 / total if total else 0.0

    def _batch_size_for(self, n_samples: int) -> int:
        if self.batch_size == "auto":
            size = min(200, n_samples)
        else:
            size = int(self.batch_size)
            if size > n_samples:
                warnings.warn(
                    f"`batch_size` {size} is more than there are samples, {n_samples}, which are "
                    "taken all together.",
                    stacklevel=5,
                )
                size = n_samples
        least = max(layer.smallest_batch for _, layer in self.network_.walk())
        while size > least and 0 < n_samples % size < least:
            size -= 1  # so that no batch is left over that a layer cannot take
        return size

    def _fit_by_steps(
        self,
        trainer: Trainer,
        X: Any,
        targets: Any,
        weights: Any,
        held_out: tuple[Any, ...] | None,
        *,
        incremental: bool,
    ) -> None:
        n_samples = X.shape[0]
        batch_size = self._batch_size_for(n_samples)
        self._set_alpha(batch_size, weights)
        decides = self.early_stopping
        score = None if held_out is None else self._scorer(trainer, *held_out)
        if score is not None and self.validation_scores_ is None:
            self.validation_scores_, self.best_validation_score_ = [], -np.inf
        if not decides and self.best_loss_ is None:
            self.best_loss_ = np.inf
        rate = trainer.optimizer.learning_rate
        convergence = Convergence(
            self,
            score,
            decides=decides,
            rate=rate if isinstance(rate, EpochRate) else None,
            n_samples=n_samples,
        )
        try:
            self.history_ = trainer.fit(
                X,
                targets,
                epochs=1 if incremental else self.max_iter,
                batch_size=batch_size,
                validation_data=None if held_out is None else held_out[:2],
                sample_weight=weights,
                shuffle=self.shuffle,
                progress=False,
                callbacks=[*self.callbacks, convergence],
            )
        except KeyboardInterrupt:
            warnings.warn("the training was interrupted.", ConvergenceWarning, stacklevel=4)
        except DivergenceError as error:
            self._diverged(error, convergence)
        else:
            if not (incremental or convergence.converged):
                warnings.warn(
                    f"the training has not converged after max_iter={self.max_iter} epochs.",
                    ConvergenceWarning,
                    stacklevel=4,
                )
        convergence.restore_best(trainer)

    def _diverged(self, error: DivergenceError, convergence: Convergence) -> None:
        if not convergence.decides:
            raise NonFiniteError(str(error)) from error
        # The best weights are sound.
        self.n_iter_ += 1
        self.loss_ = np.nan
        self.loss_curve_.append(np.nan)
        assert self.validation_scores_ is not None
        self.validation_scores_.append(np.nan)
        warnings.warn(f"stopped early: {error}", ConvergenceWarning, stacklevel=5)

    def _fit_by_lbfgs(self, trainer: Trainer, X: Any, targets: Any, weights: Any) -> None:
        self._set_alpha(X.shape[0], weights)
        solution = solve(
            trainer,
            X,
            targets,
            weights,
            max_iter=self.max_iter,
            max_fun=self.max_fun,
            tol=self.tol,
        )
        self.loss_, self.n_iter_ = solution.loss, solution.n_iter
        if not np.all(np.isfinite(to_numpy(self.network_.flat.values))):
            raise NonFiniteError("a weight became NaN or infinite. Scale the inputs.")
        if solution.message is not None:
            warnings.warn(
                f"lbfgs has not converged: {solution.message}. Raise max_iter or max_fun, or "
                "scale the inputs.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _scorer(self, trainer: Trainer, X: Any, targets: Any, weights: Any) -> Callable[[], float]:
        backend = trainer.backend
        inputs = (
            SparseRows(X, self.network_.dtype)
            if is_sparse(X)
            else backend.asarray(X, self.network_.dtype)
        )
        return lambda: self._score_of(self._forward(inputs), targets, weights)

    # Prediction ------------------------------------------------------------------------------

    def _output(self, X: Any, method: str) -> tuple[Array, Callable[[Any], Any]]:
        """What the network puts out, on its backend, and what takes a result to where X is."""
        check_is_fitted(self, "network_")
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=_floats_for(X))
        dispatches = get_config()["array_api_dispatch"]
        if dispatches and _name_of(X) != self._samples_on:
            raise BackendMismatchError(
                f"{type(self).__name__}.{method}() must use the same namespace and device as "
                f"fit(), {self._samples_on}; got samples on {_name_of(X)}. Move them, or fit "
                "again."
            )
        bring = backend_of(X).asarray if dispatches and is_array(X) else to_numpy
        rows = SparseRows(X, self.network_.dtype) if is_sparse(X) else X
        return self._forward(rows), bring

    def _forward(self, X: Any) -> Array:
        network = self.network_
        backend = network.backend or get_backend("numpy")
        with backend.active():
            parts = []
            for start in range(0, X.shape[0], _PREDICTION_BATCH):
                rows = X[start : min(start + _PREDICTION_BATCH, X.shape[0]), ...]
                parts.append(network.forward(backend.asarray(rows, network.dtype)))
            output: Array = parts[0] if len(parts) == 1 else backend.xp.concat(parts, axis=0)
        return output

    # Copies and files --------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        network, trainer = state.pop("network_", None), state.pop("_trainer", None)
        if network is not None:
            state["_packed_network"] = pack_network(network)
        if trainer is not None:
            state["_packed"] = pack_trainer(trainer)
        if "history_" in state:
            state["history_"] = dict(state["history_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        packed = state.pop("_packed_network", None)
        super().__setstate__(state)
        if packed is not None:
            self.network_ = unpack_network(packed)
            self._trainer = None
        if "history_" in state:
            self.history_ = History(state["history_"])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags


def _floats_for(X: Any) -> tuple[Any, Any]:
    """The data types to choose from, the first for what is neither, in the library of X."""
    dispatches = get_config()["array_api_dispatch"] and is_array(X)
    xp = backend_of(X).xp if dispatches else np
    return xp.float64, xp.float32


def _name_of(X: Any) -> str:
    """The backend of the samples; NumPy's where they are no array."""
    return backend_of(X).name if is_array(X) else "numpy"


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in known:
        raise ArgumentError(f"`{name}` must be one of {known}; got {value!r}.")


def _on_host(a: Any) -> Any:
    return None if a is None else to_numpy(a)


def _rows(X: Any, rows: np.ndarray[Any, Any]) -> Any:
    """Those rows of an array of any backend, or of a sparse matrix."""
    if isinstance(X, np.ndarray) or not is_array(X):
        return X[rows]
    backend = backend_of(X)
    return backend.xp.take(X, backend.asarray(rows), axis=0)
