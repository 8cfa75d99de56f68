"""What the two estimators share: parameters, the network, training and prediction."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from sklearn import get_config
from sklearn.base import is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from nnfs_xp._checks import of_argument, quoted
from nnfs_xp._typing import Array
from nnfs_xp.backend import (
    Backend,
    SparseArray,
    backend_of,
    get_backend,
    is_array,
    to_numpy,
)
from nnfs_xp.data.batching import place
from nnfs_xp.data.sparse import is_sparse
from nnfs_xp.errors import ArgumentError, BackendError, DataError, DivergenceError
from nnfs_xp.layers import Layer
from nnfs_xp.losses import Loss
from nnfs_xp.sklearn.convergence import Convergence, Records
from nnfs_xp.sklearn.layer_arrays import LayerArrays
from nnfs_xp.sklearn.lbfgs import solve
from nnfs_xp.sklearn.network import (
    NETWORK_PARAMETERS,
    build_network,
    dense_layers,
    draw_parameters,
    hidden_widths,
    own_network,
    same_network,
    width_of,
)
from nnfs_xp.sklearn.persistence import pack_network, pack_trainer, unpack_network, unpack_trainer
from nnfs_xp.sklearn.samples import (
    Samples,
    exact,
    floats_for,
    hold_out,
    name_of,
    naming_columns,
)
from nnfs_xp.training import History, Trainer

_MOST_ROWS, _MOST_ELEMENTS = 4096, 2**22
"""Of the samples that are predicted together."""

_MOST_SEED = 2**31 - 1


class BackendMismatchError(BackendError, ValueError):
    """Samples are elsewhere than those of `fit`. A ValueError too, as scikit-learn asks."""


class NonFiniteError(DivergenceError, ValueError):
    """The training diverged. A ValueError too, as scikit-learn's estimators raise."""


class BaseMLP(Records):
    """Base class of `MLPClassifier` and `MLPRegressor`, which say what their targets are.

    A subclass gives `_encode`, `_default_loss`, `_closing`, `_score_of`.
    """

    network_: Layer
    n_outputs_: int

    # What a subclass says of its targets ---------------------------------------------------

    def _encode(
        self, y: Any, *, first: bool, classes: Any = None, is_part: bool = False
    ) -> np.ndarray[Any, Any]:
        """The targets as numbers, and, if it is the first time, what there is to know of them.

        Part of the targets may lack classes.
        """
        raise NotImplementedError

    def _default_loss(self) -> Loss:
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

    def _total_weights(self, targets: Any, sample_weight: Any) -> Any:
        """The weight of each sample, or None: those given, times those of the classes."""
        del targets
        return sample_weight

    # Attributes that scikit-learn's estimators have ------------------------------------------

    @property
    def coefs_(self) -> list[np.ndarray[Any, Any]]:
        """The weights of the dense layers, each of shape (n_inputs, n_neurons)."""
        layers = dense_layers(self._network_for("coefs_"))
        return LayerArrays(layers, "weights", [to_numpy(layer.weights) for layer in layers])

    @coefs_.setter
    def coefs_(self, values: Any) -> None:
        self.coefs_[:] = values

    @property
    def intercepts_(self) -> list[np.ndarray[Any, Any]]:
        """The biases of the dense layers, each of shape (n_neurons,)."""
        layers = dense_layers(self._network_for("intercepts_"))
        return LayerArrays(layers, "biases", [to_numpy(layer.biases)[0] for layer in layers])

    @intercepts_.setter
    def intercepts_(self, values: Any) -> None:
        self.intercepts_[:] = values

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
        X_val: Any = None,
        y_val: Any = None,
        *,
        incremental: bool = False,
        classes: Any = None,
    ) -> Self:
        with self._restored_after_errors():
            self._check_parameters(incremental)
            first = not hasattr(self, "network_") or not (self.warm_start or incremental)
            self._check_loss(first)
            self._check_network_parameters(first)
            X, y = self._check_samples(X, y, reset=first)
            targets = self._encode(y, first=first, classes=classes, is_part=incremental)
            if sample_weight is not None:
                checked = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
                sample_weight = to_numpy(checked)
            samples = X, targets, self._total_weights(targets, sample_weight)
            random_state = check_random_state(self.random_state)
            if first:
                self._start(X, random_state)
            held_out = self._own_validation(X_val, y_val)
            by_steps = self._solver() != "lbfgs"
            if self.early_stopping and held_out is None and by_steps:
                stratify = targets if self._stratifies() else None
                samples, held_out = hold_out(
                    samples, self.validation_fraction, random_state, stratify=stratify
                )
            trainer = self._trainer_for(X, random_state, go_on=incremental)
            self.n_iter_ = 0
            with np.errstate(all="ignore"):  # divergence has an error of its own
                if by_steps:
                    self._begin_records(first, validates=held_out is not None)
                    self._fit_by_steps(
                        trainer, samples, held_out, first=first, incremental=incremental
                    )
                elif held_out is not None:
                    raise ArgumentError("solver='lbfgs' has no epochs to validate after.")
                else:
                    self._fit_by_lbfgs(trainer, *samples)
        return self

    @contextmanager
    def _restored_after_errors(self) -> Iterator[None]:
        """Give the estimator its attributes of before, if what is done meanwhile fails."""
        before = dict(vars(self))
        try:
            yield
        except Exception:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _check_loss(self, first: bool) -> None:
        """Refuse another loss where a training goes on; keep the one that it begins with."""
        if first:
            self._trained_by = self.loss
            return
        former = self._trained_by
        same = self.loss == former if isinstance(former, str) else type(self.loss) is type(former)
        if not same:
            raise ArgumentError(
                f"`loss` must stay {quoted(former)} where a training goes on; got "
                f"{quoted(self.loss)}."
            )

    def _check_network_parameters(self, first: bool) -> None:
        """Refuse another network where a training goes on; keep what it begins with."""
        if first:
            self._built_by = {name: getattr(self, name) for name in NETWORK_PARAMETERS}
            return
        built_by = vars(self).get("_built_by", {})  # older pickles have none
        if self.network is None and built_by.get("network") is None:
            former = tuple(layer.n_neurons for layer in dense_layers(self.network_)[:-1])
            if former != hidden_widths(self.hidden_layer_sizes):
                self._refuse_other("hidden_layer_sizes", former)
        n_hidden = len(hidden_widths(self.hidden_layer_sizes))
        for name, value in built_by.items():
            counts = name == "network" or self.network is None
            if counts and not same_network(name, value, getattr(self, name), n_hidden):
                self._refuse_other(name, value)

    def _refuse_other(self, name: str, former: Any) -> None:
        raise ArgumentError(
            f"`{name}` must stay {quoted(former)} where a training goes on; got "
            f"{quoted(getattr(self, name))}. Without warm_start, `fit` builds a new network."
        )

    def _begin_records(self, first: bool, *, validates: bool) -> None:
        """The records of training by steps, empty where there are none yet."""
        if first or not hasattr(self, "loss_curve_"):
            self.loss_curve_ = []
            self._no_improvement_count = 0
            self.validation_scores_ = self.best_loss_ = self.best_validation_score_ = None
        else:  # copies, so that the lists of before are there if the training fails
            self.loss_curve_ = list(self.loss_curve_)
            if self.validation_scores_ is not None:
                self.validation_scores_ = list(self.validation_scores_)
        if validates and self.validation_scores_ is None:
            self.validation_scores_, self.best_validation_score_ = [], -np.inf
        if not self.early_stopping and self.best_loss_ is None:
            self.best_loss_ = np.inf

    def _check_samples(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        """The samples, as a float array or as a sparse matrix, and the targets."""
        with naming_columns(X):
            X, y = validate_data(
                self,
                X,
                exact(y),
                reset=reset,
                dtype=floats_for(X),
                accept_sparse="csr",
                multi_output=True,
                y_numeric=is_regressor(self),
            )
        if reset:
            self._samples_on = name_of(X)
        return X, y

    def _start(self, X: Any, random_state: Any) -> None:
        """A new network, untrained."""
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
            self._check_network(width_of(self.network_, n_features))
        self.n_layers_ = len(dense_layers(self.network_)) + 1
        self.t_ = 0
        self._trainer: Trainer | None = None
        self._packed: dict[str, Any] | None = None

    def _check_network(self, width: int) -> None:
        """Refuse a network of the user's own with another number of outputs than is needed."""
        if width != self.n_outputs_:
            raise ArgumentError(f"`network` must have {self.n_outputs_} outputs; it has {width}.")

    def _own_validation(self, X: Any, y: Any) -> Samples | None:
        """The validation samples that the user gave, if any."""
        if X is None and y is None:
            return None
        if X is None or y is None:
            raise ArgumentError("`X_val` and `y_val` must be given together.")
        with of_argument("X_val, y_val"):
            X, y = self._check_samples(X, y, reset=False)
            if is_regressor(self) and X.shape[0] < 2:
                raise DataError("at least 2 samples are needed: R² needs them.")
            targets = self._encode(y, first=False, is_part=True)
        return X, targets, self._total_weights(targets, None)

    def _trainer_for(self, X: Any, random_state: Any, *, go_on: bool) -> Trainer:
        """A trainer of the network: the one that there is, to go on with, or else a new one."""
        if go_on and self._trainer is not None:
            return self._trainer
        trainer = Trainer(
            self.network_,
            self._loss(),
            self._new_optimizer(),
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
        return get_backend(name_of(X) if self.backend is None else self.backend)

    def _loss(self) -> Loss:
        """The loss of the training, whatever the parameter has become since."""
        loss = self._trained_by
        return copy.deepcopy(loss) if isinstance(loss, Loss) else self._default_loss()

    def _set_alpha(self, n_samples: int, weights: Any) -> None:
        """Give the dense layers the penalty alpha / 2 * sum(weights**2) / the batch's weight."""
        if self.network is None:
            total = n_samples if weights is None else n_samples * float(np.mean(weights))
            for layer in dense_layers(self.network_):
                alpha = self.alpha / 2 / total if total else 0.0
                layer.set_options(weight_regularizer_l2=alpha)

    def _batch_size_for(self, n_samples: int) -> int:
        size = 200 if self.batch_size == "auto" else int(self.batch_size)
        if size > n_samples and self.batch_size != "auto":
            warnings.warn(
                f"`batch_size` {size} is more than there are samples, {n_samples}, which are "
                "taken all together.",
                stacklevel=4,
            )
        size = min(size, n_samples)
        least = max(layer.smallest_batch for _, layer in self.network_.walk())
        while size > least and 0 < n_samples % size < least:
            size -= 1  # so that no batch is left over that a layer cannot take
        return size

    def _fit_by_steps(
        self,
        trainer: Trainer,
        samples: Samples,
        held_out: Samples | None,
        *,
        first: bool,
        incremental: bool,
    ) -> None:
        X, targets, weights = samples
        n_samples = X.shape[0]
        batch_size = self._batch_size_for(n_samples)
        self._set_alpha(batch_size, weights)
        score = None if held_out is None else self._scorer(trainer, *held_out)
        if score is not None and self.early_stopping and not first:
            self.best_validation_score_ = score()  # that of the present weights on these samples
        rate, waited = trainer.optimizer.learning_rate, self._no_improvement_count
        convergence = Convergence(self, score, rate, n_samples, waited)
        try:
            trainer.fit(
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
            warnings.warn("the training was interrupted.", ConvergenceWarning, stacklevel=3)
        except DivergenceError as error:
            self._diverged(error)
        else:
            if not (incremental or trainer.stopping):
                warnings.warn(
                    f"the training has not converged after max_iter={self.max_iter} epochs.",
                    ConvergenceWarning,
                    stacklevel=3,
                )
        self._no_improvement_count = convergence.waited
        self.history_ = trainer.history
        convergence.restore_best(trainer)

    def _diverged(self, error: DivergenceError) -> None:
        if not self.early_stopping:
            raise NonFiniteError(str(error)) from error
        # The best weights are sound.
        self.n_iter_ += 1
        self.loss_ = np.nan
        self.loss_curve_.append(np.nan)
        assert self.validation_scores_ is not None
        self.validation_scores_.append(np.nan)
        warnings.warn(f"stopped early: {error}", ConvergenceWarning, stacklevel=4)

    def _fit_by_lbfgs(self, trainer: Trainer, X: Any, targets: Any, weights: Any) -> None:
        self._set_alpha(X.shape[0], weights)
        try:
            self.loss_, self.n_iter_, message = solve(
                trainer,
                X,
                targets,
                weights,
                max_iter=self.max_iter,
                max_fun=self.max_fun,
                tol=self.tol,
                verbose=bool(self.verbose),
            )
        except DivergenceError as error:
            raise NonFiniteError(str(error)) from error
        self._trainer = None  # its optimizer is none that partial_fit could go on with
        if message is not None:
            warnings.warn(
                f"lbfgs has not converged: {message}. Raise max_iter or max_fun, or "
                "scale the inputs.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _scorer(self, trainer: Trainer, X: Any, targets: Any, weights: Any) -> Callable[[], float]:
        inputs = place(X, trainer.backend, self.network_.dtype)
        return lambda: self._score_of(self._forward(inputs), targets, weights)

    # Prediction ------------------------------------------------------------------------------

    def _output(self, X: Any, method: str) -> tuple[Array, Callable[[Any], Any]]:
        """What the network puts out, on its backend, and what takes a result to where X is."""
        check_is_fitted(self, "network_")
        with naming_columns(X):
            X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=floats_for(X))
        dispatches = get_config()["array_api_dispatch"]
        if dispatches and name_of(X) != self._samples_on:
            raise BackendMismatchError(
                f"{type(self).__name__}.{method}() must use the same namespace and device as "
                f"fit(), {self._samples_on}; got samples on {name_of(X)}. Move them, or fit "
                "again."
            )
        bring = backend_of(X).asarray if dispatches and is_array(X) else to_numpy
        return self._forward(X), bring

    def _forward(self, X: Any) -> Array:
        network = self.network_
        backend = network.backend or get_backend("numpy")
        with backend.active():
            if is_sparse(X):
                X = place(X, backend, network.dtype)
            parts = []
            n = max(1, min(_MOST_ROWS, _MOST_ELEMENTS // X.shape[1]))
            for start in range(0, X.shape[0], n):
                rows = X[start : min(start + n, X.shape[0]), ...]
                if not (isinstance(rows, SparseArray) and network.links()[0].takes_sparse):
                    rows = backend.asarray(rows, network.dtype)
                parts.append(network.forward(rows))
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
