"""The commands that show: a figure of the chapter, a page to play with, a page that watches."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import nnfs_xp as nn
from nnfs_xp._checks import shown
from nnfs_xp.data.tables import read_numbers
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.paths import shown_path
from nnfs_xp.see.problems import PROBLEMS, find_problem
from nnfs_xp.see.words import layers_of, loss_of, optimizer_of

_MOST_CLASSES = 20
"""Different whole numbers in the last column of a file that are taken for classes."""

_HIDDEN = 8


def figure(options: argparse.Namespace) -> int:
    """Write a figure of the chapter, from a real run."""
    picture = nn.see.chapter(options.figure, backend=options.backend)
    path = options.output or Path(f"figure-{options.figure.strip().replace('.', '-')}.svg")
    picture.save(path, animated=options.animated)
    print(f"{picture.frames[-1]}\nwritten to {shown_path(path)}")
    return 0


def play(options: argparse.Namespace) -> int:
    """Serve the page to play with, until Ctrl-C."""
    chosen = {
        "loss": loss_of(options.loss) if options.loss else None,
        "optimizer": optimizer_of(options.optimizer) if options.optimizer else None,
        "batch_size": options.batch_size,
        "seed": options.seed,
        **_served(options),
    }
    name = options.data
    if options.model is None and (name is None or name in PROBLEMS):
        return _serve(nn.see.play(data=name, layers=options.layers, **chosen), "play")
    model, X, y, shape = _own(options, chosen["loss"])
    return _serve(nn.see.play(model, X, y, image_shape=shape, **chosen), "play")


def watch(options: argparse.Namespace) -> int:
    """Serve the page that watches trainings, until Ctrl-C."""
    page = nn.see.watch(options.folder, **_served(options))
    if not options.folder.exists():
        print(f"there is no folder {shown_path(options.folder)} yet; the page waits for it")
    return _serve(page, "watch")


def _served(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "port": options.port,
        "allow_hosts": options.allow_host or (),
        "open_browser": not options.no_browser,
    }


def _serve(page: nn.see.Page, what: str) -> int:
    with page:
        print(f"{what} at {page.url}\nCtrl-C ends it", flush=True)
        page.wait()
    return 0


def _own(
    options: argparse.Namespace, loss: nn.Loss | None
) -> tuple[nn.Layer, Any, Any, tuple[int, int] | None]:
    """A model and samples of the user's own, and the shape of the images that they are."""
    if options.model is not None and options.layers:
        raise ArgumentError("--layers does not go with --model, which has its own.")
    name, shape = options.data, None
    if name is None:
        raise ArgumentError("--model needs data: a name, or a CSV file of numbers.")
    if name in PROBLEMS:
        problem = find_problem(name)
        (X, y), shape = problem.load(options.seed), problem.image_shape
    else:
        X, y = _read(Path(name), loss)
    if options.model is not None:
        return nn.load(options.model, backend="numpy"), X, y, shape
    spread = X.std(axis=0)
    X = (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1)
    print("features are scaled to mean 0 and standard deviation 1")
    n_outputs = int(y.max()) + 1 if y.ndim == 1 else 1
    text = options.layers or f"Dense({_HIDDEN}), ReLU(), Dense({n_outputs})"
    return layers_of(text, X.shape[1], seed=options.seed), X, y, shape


def _read(path: Path, loss: nn.Loss | None) -> tuple[Any, Any]:
    """The features, and in the last column classes or values: as the loss, or else they, say."""
    if not path.exists():
        known = ", ".join(PROBLEMS)
        raise ArgumentError(
            f"{shown(str(path))} is neither a file nor a data set of the page: {known}."
        )
    numbers = read_numbers(path)
    if numbers.shape[1] < 2:
        raise ArgumentError(
            f"{shown_path(path)} needs features, and the target in the last column."
        )
    X, target = numbers[:, :-1], numbers[:, -1]
    whole = bool((target == np.floor(target)).all()) and target.min() >= 0
    has_classes = whole and len(np.unique(target)) <= _MOST_CLASSES
    if has_classes if loss is None else loss.has_classes:
        return X, target.astype(np.int64) if whole else target
    return X, target[:, None]
