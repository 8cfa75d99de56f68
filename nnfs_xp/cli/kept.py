"""Testing the model that a training left, and predicting with it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

import nnfs_xp as nn
from nnfs_xp.cli import images, results
from nnfs_xp.data.tables import read_numbers
from nnfs_xp.errors import DataError
from nnfs_xp.recipes import Recipe
from nnfs_xp.runs import check_unchanged, open_run


def _input_shape(model: nn.Layer) -> tuple[int, ...]:
    shape: tuple[Any, ...] | None = model.input_shape
    assert shape is not None  # `open_run` sees to it
    return shape


def _trainer(model: nn.Layer, recipe: Recipe, backend: str) -> nn.Trainer:
    kind = recipe.kind_of(_input_shape(model))
    assert kind is not None  # `open_run` sees to it
    return nn.Trainer(model, recipe.plan(kind).loss(), nn.Adam(), backend=backend)


def evaluate(options: argparse.Namespace) -> int:
    """Test a model on a data set that it fits."""
    model, name, recipe = open_run(options.folder, options.dataset)
    if options.dataset is None:
        check_unchanged(options.folder)
    data = recipe.load_as(_input_shape(model))
    figures = _trainer(model, recipe, options.backend).evaluate(data.X_test, data.y_test)
    print(f"{name}: test accuracy {figures['accuracy']:.4f}, loss {figures['loss']:.4f}")
    return 0


def predict(options: argparse.Namespace) -> int:
    """Classify images in files, or the rows of a file of numbers."""
    model, _, recipe = open_run(options.folder, None)
    results.check_output(options)
    trainer = _trainer(model, recipe, options.backend)
    rows: Iterable[tuple[str, ...]]
    if images.are_images(options.files):
        rows = images.predictions(trainer, recipe, _input_shape(model), options.files)
    else:
        rows = _rows(recipe, trainer.predict_proba(_read_rows(options, model, recipe)))
    results.write_predictions(options, rows)
    return 0


def _read_rows(
    options: argparse.Namespace, model: nn.Layer, recipe: Recipe
) -> np.ndarray[Any, Any]:
    """The rows of a CSV file as samples."""
    file = results.only_file(options)
    X = read_numbers(file) / recipe.unit
    if X.shape[1] != recipe.n_features:
        raise DataError(
            f"{file} has {X.shape[1]} columns; the model takes {recipe.n_features} "
            "features. Without the labels?"
        )
    return X.reshape(-1, *_input_shape(model))


def _rows(recipe: Recipe, probabilities: np.ndarray[Any, Any]) -> Iterator[tuple[str, str]]:
    """The rows of the table of predictions."""
    yield "prediction", "probability"
    for label, row in zip(probabilities.argmax(axis=1), probabilities, strict=True):
        yield recipe.classes[label], f"{row[label]:.4f}"
