"""The book's Model: layers, a loss, an optimizer and an accuracy, trained with printed progress."""

from __future__ import annotations

from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from nnfs_xp._checks import check_batch, check_count, pair_of, shown
from nnfs_xp._settings import settings_of
from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of
from nnfs_xp.book import accuracy as _accuracy
from nnfs_xp.book import layers as _layers
from nnfs_xp.book import losses as _losses
from nnfs_xp.book import optimizers as _optimizers
from nnfs_xp.book._arrays import floating
from nnfs_xp.book.accuracy import Accuracy
from nnfs_xp.book.layers import Activation_Softmax, Layer_Dense
from nnfs_xp.book.losses import (
    Activation_Softmax_Loss_CategoricalCrossentropy,
    Loss,
    Loss_CategoricalCrossentropy,
)
from nnfs_xp.book.optimizers import _BookOptimizer
from nnfs_xp.book.own import OwnLayer, check_layer, check_optimizer, forward_of
from nnfs_xp.errors import ArgumentError, CheckpointError, DataError, LabelError, NotReadyError
from nnfs_xp.interop.model_file import read_model, read_weights, write_model
from nnfs_xp.interop.paths import path_of
from nnfs_xp.interop.tensor_file import MALFORMED
from nnfs_xp.layers import Layer, Sequential

_LAYERS = {
    name: thing
    for name, thing in vars(_layers).items()
    if name.startswith(("Layer_", "Activation_"))
} | {"Sequential": Sequential}
_PARTS = {**vars(_losses), **vars(_optimizers), **vars(_accuracy)}


class Model:
    """Layers in a row, built with `add`, `set` and `finalize`.

    Notes
    -----
    It differs from the book's where that has a defect: the samples are shuffled before each epoch
    when training in batches, and files are safetensors and JSON, not pickles.

    Classes of a script's own serve as in the book: losses and accuracies that derive from `Loss`
    and `Accuracy`, layers without weights that have `forward` and `backward`, and optimizers that
    have `current_learning_rate`, `pre_update_params`, `update_params` and `post_update_params`.

    Source: *Neural Networks from Scratch*, chapters 18 to 22.
    """

    def __init__(self) -> None:
        self.layers: list[Any] = []
        self.loss: Any = None
        self.optimizer: Any = None
        self.accuracy: Any = None
        self.softmax_classifier_output: Activation_Softmax_Loss_CategoricalCrossentropy | None
        self.softmax_classifier_output = None
        self._network: Sequential | None = None
        self._shuffles: np.random.Generator | None = None

    def add(self, layer: Any) -> None:
        """Add a layer at the end: one of `nnfs_xp`, or one of a script's own without weights."""
        check_layer(layer)
        self.layers.append(layer)
        self._network = None

    def set(
        self,
        *,
        loss: Loss | None = None,
        optimizer: Any = None,
        accuracy: Accuracy | None = None,
    ) -> None:
        """Set the loss, the optimizer and the accuracy, or some of them."""
        for name, part, kind in (("loss", loss, Loss), ("accuracy", accuracy, Accuracy)):
            if not isinstance(part, (kind, NoneType)):
                raise ArgumentError(
                    f"`{name}` must be an object of a class of nnfs_xp.book, or of your own that "
                    f"derives from its {kind.__name__}; got {part!r}."
                )
        if optimizer is not None:
            check_optimizer(optimizer)
        self.loss = self.loss if loss is None else loss
        self.optimizer = self.optimizer if optimizer is None else optimizer
        self.accuracy = self.accuracy if accuracy is None else accuracy
        if self._network is not None:
            self._join_loss()

    def finalize(self) -> None:
        """Join the layers; all of their parameters move into one buffer."""
        self._network = Sequential(
            *(each if isinstance(each, Layer) else OwnLayer(each) for each in self.layers)
        )
        self.trainable_layers = [each for each in self.layers if isinstance(each, Layer_Dense)]
        self.output_layer_activation = self.layers[-1]
        self._join_loss()

    @property
    def network(self) -> Sequential:
        """The layers as one, with their parameters: what goes to ONNX, to PyTorch and to Keras."""
        return self._ready()

    def summary(self) -> str:
        """A table of the layers: see `Sequential.summary`."""
        return self._ready().summary()

    def _join_loss(self) -> None:
        """Give the loss the layers with penalties, and join it with a softmax before it, if any."""
        if self.loss is not None:
            self.loss.remember_trainable_layers(self.trainable_layers)
        self.softmax_classifier_output = None
        if isinstance(self.layers[-1], Activation_Softmax) and isinstance(
            self.loss, Loss_CategoricalCrossentropy
        ):
            self.softmax_classifier_output = Activation_Softmax_Loss_CategoricalCrossentropy()
            self.softmax_classifier_output.loss = self.loss

    def train(
        self,
        X: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int | None = None,
        print_every: int = 1,
        validation_data: tuple[Any, Any] | None = None,
        shuffle: bool = True,
    ) -> None:
        """Train, and print the progress.

        Parameters
        ----------
        X, y : array or list
        epochs : int
        batch_size : int, optional
            By default all samples are one batch.
        print_every : int
            Steps from one line to the next.
        validation_data : tuple of (X, y), optional
        shuffle : bool
            Whether the batches of each epoch are drawn anew; False keeps the book's order. The
            order follows from the seed of NumPy's global state, but draws nothing from it: the
            script counts on those numbers.
        """
        network = self._ready("loss", "optimizer", "accuracy")
        epochs = check_count("epochs", epochs)
        print_every = check_count("print_every", print_every)
        X, y = self._arrays(X, y)
        if validation_data is not None:
            X_val, y_val = self._arrays(*pair_of("validation_data", validation_data))
        self.accuracy.init(y)
        parts = _parts(X.shape[0], batch_size)
        if self._shuffles is None:
            self._shuffles = _generator_beside_the_global_one()
        for epoch in range(1, epochs + 1):
            print(f"epoch: {epoch}")
            order = self._shuffles.permutation(X.shape[0])
            self.loss.new_pass()
            self.accuracy.new_pass()
            for step, part in enumerate(parts):
                if shuffle and len(parts) > 1:
                    xp = backend_of(X).xp
                    rows = backend_of(X).asarray(order[part])
                    batch_X, batch_y = xp.take(X, rows, axis=0), xp.take(y, rows, axis=0)
                else:
                    batch_X, batch_y = X[part, ...], y[part, ...]
                output = self.forward(batch_X, training=True)
                losses = self.loss.calculate(output, batch_y, include_regularization=True)
                accuracy = self.accuracy.calculate(
                    self.output_layer_activation.predictions(output), batch_y
                )
                self.backward(output, batch_y)
                self._step(network)
                if step % print_every == 0 or step == len(parts) - 1:
                    print(f"step: {step}, {self._line(accuracy, losses)}")
            losses = self.loss.calculate_accumulated(include_regularization=True)
            accuracy = self.accuracy.calculate_accumulated()
            print(f"training, {self._line(accuracy, losses)}")
            if validation_data is not None:
                self.evaluate(X_val, y_val, batch_size=batch_size)

    def _step(self, network: Sequential) -> None:
        optimizer = self.optimizer
        optimizer.pre_update_params()
        if getattr(type(optimizer), "update_params", None) is _BookOptimizer.update_params:
            optimizer.update_params(network)
        else:  # one of a script's own, which knows layers with weights and biases
            for layer in self.trainable_layers:
                optimizer.update_params(layer)
        optimizer.post_update_params()

    def _line(self, accuracy: float, losses: tuple[Any, Any]) -> str:
        data_loss, penalty = float(losses[0]), float(losses[1])
        return (
            f"acc: {accuracy:.3f}, loss: {data_loss + penalty:.3f} (data_loss: {data_loss:.3f}, "
            f"reg_loss: {penalty:.3f}), lr: {self.optimizer.current_learning_rate}"
        )

    def evaluate(self, X_val: Any, y_val: Any, *, batch_size: int | None = None) -> None:
        """Print accuracy and loss on some data."""
        self._ready("loss", "accuracy")
        X, y = self._arrays(X_val, y_val)
        self.loss.new_pass()
        self.accuracy.new_pass()
        for part in _parts(X.shape[0], batch_size):
            output = self.forward(X[part, ...], training=False)
            self.loss.calculate(output, y[part, ...])
            self.accuracy.calculate(self.output_layer_activation.predictions(output), y[part, ...])
        loss = float(self.loss.calculate_accumulated())
        print(f"validation, acc: {self.accuracy.calculate_accumulated():.3f}, loss: {loss:.3f}")

    def predict(self, X: Any, *, batch_size: int | None = None) -> Array:
        """The outputs of the last layer, shape (samples, outputs), on the model's backend."""
        network = self._ready()
        X = floating(X, network.backend, network.dtype)
        check_batch("X", X)
        parts = _parts(X.shape[0], batch_size)
        outputs = [self.forward(X[part, ...], training=False) for part in parts]
        joined: Array = backend_of(X).xp.concat(outputs)
        return joined

    def forward(self, X: Any, training: bool) -> Array:
        """The output of the last layer."""
        self._ready()
        output: Array = X
        for layer in self.layers:
            output = forward_of(layer, output, training)
        return output

    def backward(self, output: Array, y: Any) -> None:
        """Set the gradients of all layers, softmax and cross-entropy taken together."""
        self._ready("loss")
        layers = self.layers
        if self.softmax_classifier_output is not None:
            layers[-1].dinputs = self.softmax_classifier_output.backward(output, y)
            dvalues, layers = layers[-1].dinputs, layers[:-1]
        else:
            self.loss.backward(output, y)
            dvalues = self.loss.dinputs
        for layer in reversed(layers):
            layer.backward(dvalues)
            dvalues = layer.dinputs

    def get_parameters(self) -> list[tuple[Array, Array]]:
        """Copies of the weights and biases of each trainable layer."""
        self._ready()
        return [layer.get_parameters() for layer in self.trainable_layers]

    def set_parameters(self, parameters: list[tuple[Any, Any]]) -> None:
        """Set the weights and biases of each trainable layer."""
        self._ready()
        pairs = list(parameters)
        if len(pairs) != len(self.trainable_layers):
            raise ArgumentError(
                f"the model has {len(self.trainable_layers)} trainable layers; got parameters for "
                f"{len(pairs)}."
            )
        for pair, layer in zip(pairs, self.trainable_layers, strict=True):
            layer.set_parameters(*pair_of("parameters", pair))

    def save_parameters(self, path: str | Path) -> None:
        """Write the parameters to a file, as safetensors."""
        write_model(path_of(path), self._ready(), {})

    def load_parameters(self, path: str | Path) -> None:
        """Read the parameters that `save_parameters` or `save` wrote for such a model."""
        read_weights(path_of(path), self._ready())

    def save(self, path: str | Path) -> None:
        """Write the whole model to a file, as safetensors and JSON, without optimizer state.

        It holds classes of `nnfs_xp.book` alone. For a model with classes of your own use
        `save_parameters`.
        """
        network = self._ready()
        given = {"loss": self.loss, "optimizer": self.optimizer, "accuracy": self.accuracy}
        parts = {key: part for key, part in given.items() if part is not None}
        for part in (*self.layers, *parts.values()):
            name = type(part).__name__
            if type(part) is not (_LAYERS | _PARTS).get(name):
                raise ArgumentError(
                    f"a file holds classes of nnfs_xp.book alone; the model has a {name}. Use "
                    "save_parameters, and load_parameters in a model that is built anew."
                )
        extra = {key: settings_of(part) for key, part in parts.items()}
        write_model(path_of(path), network, {"book": extra})

    @staticmethod
    def load(path: str | Path) -> Model:
        """The model that `save` wrote, ready to use, on NumPy."""
        state = np.random.get_state()  # noqa: NPY002 # layers draw weights when they are built
        network, description = read_model(path_of(path), _LAYERS)
        np.random.set_state(state)  # noqa: NPY002
        model = Model()
        if not isinstance(network, Sequential):
            raise CheckpointError(f"{path} holds no model of the book's.")
        for layer in network.layers:
            model.add(layer)
        try:
            for key, part in description.get("book", {}).items():
                prefix = key.capitalize() + "_"
                if not part["class"].startswith(prefix):
                    raise ArgumentError(f"it names {part['class']!r} as its {key}")
                model.set(**{key: _PARTS[part["class"]](**part["config"])})
            model.finalize()
        except MALFORMED as error:
            raise CheckpointError(
                f"{path} describes no model of the book's: {shown(error)}."
            ) from error
        return model

    def _ready(self, *needed: str) -> Sequential:
        """The joined layers; an error if `finalize` was not called, or a needed part is not set."""
        for name in needed:
            if getattr(self, name) is None:
                raise NotReadyError(f"the model has no {name}; call set({name}=…) first.")
        if self._network is None:
            raise NotReadyError("call finalize() first.")
        return self._network

    def _arrays(self, X: Any, y: Any) -> tuple[Array, Array]:
        network = self._ready()
        X = floating(X, network.backend, network.dtype)
        y = backend_of(X).asarray(y)
        backend = check_batch("X", X)
        if not bool(backend.xp.all(backend.xp.isfinite(X))):
            raise DataError("`X` holds NaN or infinity. Remove or fill those samples.")
        if y.ndim == 0 or y.shape[0] != X.shape[0]:
            raise LabelError(f"`X` has {X.shape[0]} samples and `y` has shape {tuple(y.shape)}.")
        if self.loss is not None:
            output = self.forward(X[:1, ...], training=False)
            self.loss.prepare_targets(y, output.shape[1], output.dtype)
        return X, y


def _parts(n_samples: int, batch_size: int | None) -> list[slice]:
    """The rows of each batch, the last perhaps fewer; all in one by default."""
    size = n_samples if batch_size is None else check_count("batch_size", batch_size)
    starts = range(0, n_samples, size)
    return [slice(start, min(start + size, n_samples)) for start in starts]


def _generator_beside_the_global_one() -> np.random.Generator:
    """A generator seeded by the state of NumPy's global one, which stays as it is."""
    _, keys, position, *_ = np.random.get_state(legacy=True)  # noqa: NPY002
    return np.random.default_rng([position, *keys[:8]])
