"""The layers here that Keras lacks, as classes of Keras; made when they are first needed."""

from __future__ import annotations

import functools
from typing import Any

from nnfs_xp.backend.importing import import_library

_PACKAGE = "nnfs_xp"
_REMEDY = (
    "pip install 'nnfs-xp[keras]', and name in KERAS_BACKEND what it is to run on: torch, jax or "
    "tensorflow"
)


def load_keras() -> Any:
    """Import Keras.

    Raises
    ------
    BackendError
        Keras is not installed, or the library that it runs on is not.
    """
    return import_library("keras", _REMEDY)


@functools.cache
def custom_objects() -> dict[str, Any]:
    """The layers and functions of this package that a model from `to_keras` may contain, by name.

    Use: ``keras.saving.load_model(path, custom_objects=custom_objects())``.
    """
    keras = load_keras()
    layer: Any = keras.layers.Layer
    sequential: Any = keras.Sequential
    register = keras.saving.register_keras_serializable(_PACKAGE)

    @register
    class Residual(sequential):  # type: ignore[misc] # Keras is Any here
        """Layers in a row, their output added to their inputs: `nnfs_xp.Residual`."""

        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            return inputs + super().call(inputs, training=training, mask=mask)

    @register
    class Concatenate(layer):  # type: ignore[misc] # Keras is Any here
        """Branches of the same inputs, their outputs side by side: `nnfs_xp.Concatenate`."""

        def __init__(self, branches: Any, **keywords: Any) -> None:
            super().__init__(**keywords)
            self.branches = list(branches)

        def build(self, input_shape: Any) -> None:
            for branch in self.branches:
                if not branch.built:
                    branch.build(input_shape)

        def call(self, inputs: Any) -> Any:
            return keras.ops.concatenate([branch(inputs) for branch in self.branches], axis=-1)

        def get_config(self) -> dict[str, Any]:
            serialize = keras.saving.serialize_keras_object
            return {**super().get_config(), "branches": [serialize(each) for each in self.branches]}

        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            deserialize = keras.saving.deserialize_keras_object
            return cls(**{**config, "branches": [deserialize(each) for each in config["branches"]]})

    @register  # type: ignore[untyped-decorator] # Keras is Any here
    def gelu_tanh(x: Any) -> Any:
        """GELU as GPT-2 has it: `nnfs_xp.GELU` with ``"tanh"``."""
        return keras.activations.gelu(x, approximate=True)

    return {"Residual": Residual, "Concatenate": Concatenate, "gelu_tanh": gelu_tanh}
