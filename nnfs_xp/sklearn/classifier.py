"""The classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import column_or_1d

from nnfs_xp._checks import quoted, shown
from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of, is_array, to_numpy
from nnfs_xp.data.sparse import is_sparse
from nnfs_xp.errors import ArgumentError, LabelError
from nnfs_xp.layers import Layer, Sigmoid, Softmax
from nnfs_xp.losses import CategoricalCrossentropy, Loss, SoftmaxCategoricalCrossentropy
from nnfs_xp.losses.targets import BinaryLoss
from nnfs_xp.optimizers import Optimizer
from nnfs_xp.schedules import Schedule
from nnfs_xp.sklearn.base import BaseMLP
from nnfs_xp.sklearn.losses import BinaryLogLoss, SigmoidBinaryLogLoss
from nnfs_xp.sklearn.network import last_layer
from nnfs_xp.sklearn.samples import exact
from nnfs_xp.training.weights import by_label, checked_weights


class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc] # scikit-learn has no types
    """A multi-layer perceptron that classifies, in place of scikit-learn's.

    The parameters up to `max_fun` are those of scikit-learn's own, with the same
    defaults and meanings; so are the attributes. The rest is what that one lacks.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        The width of each hidden layer.
    activation : {"identity", "logistic", "tanh", "relu"}, Layer, or a list of these
        Behind the hidden layers: one for all, or one for each. A layer such as ``nn.GELU()`` is
        copied.
    solver : {"adam", "sgd", "lbfgs"}
        ``"lbfgs"`` is SciPy's, over all samples at once.
    alpha : float
        Strength of the L2 penalty: alpha / 2 * sum(weights**2) / batch_size, also in a last batch
        that is smaller.
    batch_size : int or "auto"
        ``"auto"`` is 200, or all samples where there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"}
        How the rate goes on, with ``solver="sgd"``: as it is; divided by the number of samples
        seen so far to the power of `power_t`, after each epoch; or divided by 5 instead of
        stopping.
    learning_rate_init : float
    power_t : float
    max_iter : int
        The most epochs; of ``"lbfgs"``, iterations.
    shuffle : bool
        Whether each epoch takes the samples in another order.
    random_state : int, RandomState or None
        Of the first weights, the validation set, the orders and dropout.
    tol : float
        What the training loss, or the validation score, has to get better by to count; of
        ``"lbfgs"``, the largest element of the gradient at the end.
    verbose : bool
        Whether to print each epoch's loss.
    warm_start : bool
        Whether `fit` goes on from the present weights: with the network, the loss and the classes
        of before. Other parameters of these are refused.
    momentum : float
        Of ``"sgd"``, in [0, 1).
    nesterovs_momentum : bool
    early_stopping : bool
        Whether the score on validation samples ends the training, and chooses the weights.
    validation_fraction : float
        The share of the samples that is held out for it, if `fit` is given none.
    beta_1, beta_2, epsilon : float
        Of ``"adam"``.
    n_iter_no_change : int
        Epochs in a row without getting better, of which one more ends the training.
    max_fun : int
        The most passes of ``"lbfgs"``.
    loss : "log_loss" or Loss
        Such as ``nn.FocalLoss()`` or ``nn.CategoricalCrossentropy(label_smoothing=0.1)``.
    dropout : float or sequence of float
        The share of each hidden layer's neurons that a step silences, one for all layers, or one
        for each.
    batch_norm : bool
        Whether to normalize over the batch in front of the activations.
    class_weight : mapping, Series, "balanced" or None
        As in scikit-learn's classifiers: multiplied with the weights of samples. A class that the
        mapping leaves out has the weight 1; a Series has the labels as its index. For several
        labels a sample, a list with a mapping for each. `partial_fit` takes no ``"balanced"``.
    optimizer : Optimizer, optional
        In place of `solver` and the parameters of that: ``nn.AdamW(1e-3, weight_decay=0.01)``.
    schedule : Schedule, optional
        The learning rate of `solver`: ``nn.CosineDecay(1e-3, steps=10_000)``.
    callbacks : sequence of Callback
    backend : str or Backend, optional
        Where to train: ``"cupy"``, ``"auto"``. By default on NumPy; with scikit-learn's array API
        dispatch, where the samples are.
    network : Sequential or callable, optional
        In place of `hidden_layer_sizes`, `activation`, `alpha`, `dropout` and `batch_norm`. A
        copy of a network starts with the weights that it has. A function of n_features and
        n_outputs gives a new one, whose parameters are drawn anew with `random_state`. It may
        end in softmax or sigmoid, or in logits.

    Attributes
    ----------
    classes_ : ndarray, shape (classes,)
        With several labels a sample, the columns' numbers.
    network_ : Sequential
        It ends in a softmax for several classes; for two, in a sigmoid of one output, the
        probability of the second; for several labels a sample, in a sigmoid of one output each.
    coefs_, intercepts_ : list of ndarray
        Weights of shape (n_inputs, n_neurons), and biases, of the dense layers.
    history_ : History
        Loss, learning rate and validation loss of the last training's epochs.
    loss_curve_, validation_scores_ : list of float
        The loss, penalty included, and the accuracy on the validation samples after each epoch.
    loss_, best_loss_, best_validation_score_ : float
    n_iter_, t_, n_layers_, n_outputs_, n_features_in_ : int
        Epochs of the last call; samples seen; layers, counting the input; outputs; features.
    feature_names_in_ : ndarray
        Where the samples had column names.
    out_activation_ : str

    Raises
    ------
    ArgumentError
        A parameter is out of range. Like most errors on bad input it is a ValueError.

    See Also
    --------
    MLPRegressor : The same for values.

    Notes
    -----
    A gradient is that of the mean loss over a batch, as everywhere in this package; weights of
    samples are scaled to a mean of 1 over the whole training set. A batch size by which a sample
    would be left over that `batch_norm` cannot take is made smaller.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from nnfs_xp.sklearn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = MLPClassifier((32, 16), dropout=0.1, solver="lbfgs", random_state=0)
    >>> classifier.set_params(solver="adam", learning_rate_init=0.01).fit(X, y).score(X, y) > 0.9
    True
    """

    classes_: np.ndarray[Any, Any]
    class_weight: Any

    def __init__(
        self,
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
        loss: str | Loss = "log_loss",
        dropout: Any = 0.0,
        batch_norm: bool = False,
        class_weight: Any = None,
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
        y : array-like, shape (n,) or (n, labels)
            Classes of any kind, or 0 and 1 for each of several labels.
        sample_weight : array-like, shape (n,), optional
        X_val, y_val : optional
            Samples to validate with after each epoch.

        Returns
        -------
        MLPClassifier
            Itself.

        Raises
        ------
        ValueError
            The samples or parameters are refused, or the training diverged.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    @available_if(lambda self: self._trains_by_steps())  # type: ignore[untyped-decorator]
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, classes: Any = None
    ) -> Self:
        """Train for one epoch on the samples, going on from where it is.

        Parameters
        ----------
        X, y
            As for `fit`; a batch may lack classes.
        sample_weight : array-like, shape (n,), optional
            These, times the weights of classes, are scaled to a mean of 1 over the samples of the
            call: how much a sample counts beside those of other calls, they do not say.
        classes : array-like, optional
            All that there will be; needed in the first call. For several labels a sample, the
            columns' numbers.

        Returns
        -------
        MLPClassifier
            Itself.

        Notes
        -----
        The network and the optimizer of the first call go on: other parameters of the network are
        refused, those of the optimizer count for a new training.
        """
        if classes is None and not hasattr(self, "classes_"):
            raise ArgumentError("the first call of partial_fit needs `classes`, all of them.")
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            raise ArgumentError(
                "class_weight='balanced' would balance each call of partial_fit alone. Take "
                "sklearn.utils.class_weight.compute_class_weight('balanced', classes=classes, y=y) "
                "over all labels, and set class_weight=dict(zip(classes, weights))."
            )
        return self._fit(X, y, sample_weight, incremental=True, classes=classes)

    def predict(self, X: Any) -> Any:
        """The class of each sample.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n, features)

        Returns
        -------
        array, shape (n,) or (n, labels)
        """
        output, bring = self._output(X, "predict")
        indices = self._indices(output)
        if self._kind == "multilabel":
            return bring(indices)
        labels = self.classes_[to_numpy(indices)]
        return bring(labels) if labels.dtype.kind in "biuf" else labels

    @available_if(lambda self: self._has_probabilities())  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Any:
        """The probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n, features)

        Returns
        -------
        array, shape (n, classes)
        """
        output, bring = self._output(X, "predict_proba")
        return bring(self._probabilities(output))

    @available_if(lambda self: self._has_probabilities())  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Any:
        """The logarithms of what `predict_proba` gives."""
        output, bring = self._output(X, "predict_log_proba")
        with np.errstate(divide="ignore"):
            return bring(backend_of(output).xp.log(self._probabilities(output)))

    def _indices(self, output: Array) -> Array:
        """The index of each sample's class, or 0 and 1 for several labels."""
        xp = backend_of(output).xp
        found = self._loss().predictions(output)
        if self._kind == "multilabel":
            return found
        indices = found if found.ndim == 1 else found[:, 0]
        known: Array = xp.minimum(indices, len(self.classes_) - 1)  # there may be one class only
        return known

    def _probabilities(self, output: Array) -> Array:
        probabilities = self._loss().probabilities(output)
        xp = backend_of(output).xp
        if len(self.classes_) == 1 and self._kind != "multilabel":
            certain: Array = xp.ones_like(probabilities[:, :1])
            return certain
        if self._kind == "multilabel" or probabilities.shape[1] > 1:
            return probabilities
        both: Array = xp.concat([1 - probabilities, probabilities], axis=1)
        return both

    def _has_probabilities(self) -> bool:
        loss = vars(self).get("_trained_by", self.loss)
        loss = loss if isinstance(loss, Loss) else CategoricalCrossentropy()
        return type(loss).probabilities is not Loss.probabilities

    def _score_of(self, output: Array, targets: Any, sample_weight: Any) -> float:
        found = to_numpy(self._indices(output))
        return float(accuracy_score(targets, found, sample_weight=sample_weight))

    def _encode(
        self, y: Any, *, first: bool, classes: Any = None, is_part: bool = False
    ) -> np.ndarray[Any, Any]:
        y = _on_host(y)
        check_classification_targets(y)
        multilabel = type_of_target(y).startswith("multilabel")
        if not multilabel:
            y = column_or_1d(y, warn=True)  # (n, 1) is taken as (n,), with scikit-learn's warning
        given = None if classes is None else unique_labels(exact(classes))
        if first:
            self._kind, self.classes_ = self._see(y, given, multilabel=multilabel)
            self.n_outputs_ = 1 if self._kind == "binary" else len(self.classes_)
            self.out_activation_ = "softmax" if self._kind == "multiclass" else "logistic"
        if multilabel != (self._kind == "multilabel") or (
            multilabel and y.shape[1:] != self.classes_.shape
        ):
            raise LabelError(
                f"`y` must hold one class a sample, or {len(self.classes_)} labels, as in the "
                f"training before; got shape {np.shape(y)}."
            )
        if given is not None and not np.array_equal(given, self.classes_):
            which = "be the numbers of the columns of `y`," if multilabel else "stay"
            raise LabelError(f"`classes` must {which} {self.classes_}; got {given}.")
        if multilabel:
            return np.asarray(y).astype(np.int64)
        present = np.unique(y)
        unknown = np.setdiff1d(present, self.classes_)
        if unknown.size:
            raise LabelError(f"`y` has classes {unknown} that are not among {self.classes_}.")
        if self.warm_start and not is_part and len(present) != len(self.classes_):
            raise LabelError(
                f"warm_start needs the classes of the training before, {self.classes_}; "
                f"`y` has {present}."
            )
        indices: np.ndarray[Any, Any] = np.searchsorted(self.classes_, y)
        return indices

    @staticmethod
    def _see(y: Any, classes: Any, *, multilabel: bool) -> tuple[str, np.ndarray[Any, Any]]:
        """Find the kind of classification, and the classes."""
        if multilabel:
            return "multilabel", np.arange(np.shape(y)[1])
        found = np.unique(y) if classes is None else classes
        return ("binary" if len(found) <= 2 else "multiclass"), found

    def _stratifies(self) -> bool:
        return self._kind == "binary"  # as scikit-learn: several classes may have one sample each

    def _total_weights(self, targets: Any, sample_weight: Any) -> Any:
        if self.class_weight is None:
            return sample_weight
        class_weight = by_label(self.class_weight)
        if self._kind == "multilabel":
            of_labels = _of_labels(class_weight, targets)
        elif isinstance(class_weight, Mapping):
            of_labels = _of_classes(class_weight, self.classes_)[targets]
        else:
            of_labels = _balanced(class_weight, targets, sample_weight)
        return of_labels if sample_weight is None else of_labels * sample_weight

    def _closing(self) -> tuple[int, Layer | None]:
        if not isinstance(self.loss, Loss):
            if self.loss != "log_loss":
                raise ArgumentError(
                    f"`loss` must be 'log_loss' or a Loss; got {quoted(self.loss)}."
                )
            return self.n_outputs_, (Softmax() if self._kind == "multiclass" else Sigmoid())
        closings = (closing for closing in (Softmax(), Sigmoid()) if self.loss.fused_with(closing))
        return self._width_under(self.loss), next(closings, None)

    def _width_under(self, loss: Loss) -> int:
        """How many outputs the network needs under a loss of the user's."""
        if not loss.has_classes:
            raise ArgumentError(f"{type(loss).__name__} is for values, not for classes.")
        if self._kind == "multilabel" or isinstance(loss, BinaryLoss):
            if self._kind == "multiclass":
                raise ArgumentError(
                    f"{type(loss).__name__} is for two classes or several labels; `y` has "
                    f"{len(self.classes_)} classes."
                )
            if not isinstance(loss, BinaryLoss):
                raise ArgumentError(
                    f"{type(loss).__name__} is for one class a sample; `y` has several labels."
                )
            return self.n_outputs_
        return max(2, len(self.classes_))

    def _check_network(self, width: int) -> None:
        needed = [self.n_outputs_]
        if isinstance(self.loss, Loss):
            needed = [self._width_under(self.loss)]
        elif self._kind == "binary":
            needed = [1, 2]
        if width not in needed:
            outputs = " or ".join(map(str, needed))
            raise ArgumentError(f"`network` must have {outputs} outputs; it has {width}.")
        last = last_layer(self.network_)
        one_class = self._kind != "multilabel" and width > 1
        if isinstance(last, Sigmoid if one_class else Softmax):
            fit, kind = ("Softmax", "one class") if one_class else ("Sigmoid", "yes or no outputs")
            raise ArgumentError(
                f"`network` must end in {fit} or logits, for {kind} a sample; it ends in {last}."
            )

    def _default_loss(self) -> Loss:
        last = last_layer(self.network_)
        if self._kind == "multilabel" or isinstance(last, Sigmoid):
            return BinaryLogLoss() if isinstance(last, Sigmoid) else SigmoidBinaryLogLoss()
        if isinstance(last, Softmax):
            return CategoricalCrossentropy()
        shape = self.network_.output_shape((self.n_features_in_,))
        one = self._kind == "binary" and shape == (1,)
        return SigmoidBinaryLogLoss() if one else SoftmaxCategoricalCrossentropy()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _of_classes(class_weight: Mapping[Any, float], classes: Any) -> np.ndarray[Any, Any]:
    """The weight of each class, 1 for those that the mapping leaves out."""
    labels = classes.tolist()
    weights = [class_weight.get(label) for label in labels]
    unknown = [label for label in class_weight if label not in labels]
    if unknown and None in weights:
        raise ArgumentError(
            f"`class_weight` has weights for {shown(unknown)}; the classes are {classes}."
        )
    given = [1.0 if weight is None else weight for weight in weights]
    return checked_weights("class_weight", given, {(len(labels),)}, "class")


def _of_labels(class_weight: Any, y: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The weight of each sample with several labels: the product of those of its labels."""
    weights: np.ndarray[Any, Any]
    if isinstance(class_weight, str) and class_weight == "balanced":
        weights = compute_sample_weight("balanced", y)
        return weights
    mappings = [*map(by_label, class_weight)] if isinstance(class_weight, list | tuple) else []
    if len(mappings) != y.shape[1] or not all(isinstance(each, Mapping) for each in mappings):
        raise ArgumentError(
            "for several labels a sample, `class_weight` must be 'balanced' or a list of "
            f"{y.shape[1]} mappings from 0 and 1; got {quoted(class_weight)}."
        )
    columns = [
        _of_classes(each, np.array([0, 1]))[labels]
        for each, labels in zip(mappings, y.T, strict=True)
    ]
    weights = np.prod(columns, axis=0)
    return weights


def _balanced(class_weight: Any, indices: Any, sample_weight: Any) -> np.ndarray[Any, Any]:
    """The weight of each sample by which all classes that occur have the same total."""
    if not isinstance(class_weight, str) or class_weight != "balanced":
        raise ArgumentError(
            "`class_weight` must be 'balanced', or a mapping or a Series with the labels; got "
            f"{quoted(class_weight)}."
        )
    totals = np.bincount(indices, weights=sample_weight)
    n_present = np.count_nonzero(totals)
    of_classes = totals.sum() / n_present / np.where(totals > 0, totals, 1.0)
    weights: np.ndarray[Any, Any] = of_classes[indices]
    return weights


def _on_host(y: Any) -> Any:
    """The targets as a NumPy array, of whatever type."""
    if is_sparse(y):
        return y.toarray()
    return y if isinstance(y, np.ndarray) or not is_array(y) else to_numpy(y)
