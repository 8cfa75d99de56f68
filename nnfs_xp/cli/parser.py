"""The words of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import nnfs_xp as nn
from nnfs_xp._checks import check_range
from nnfs_xp.cli import commands
from nnfs_xp.cli.results import PROGRESS
from nnfs_xp.distributed.launched import told_rank
from nnfs_xp.learning import PRECISIONS
from nnfs_xp.recipes import IMAGES, MODELS, RECIPES


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        said = f"{self.prog}: error: {message} (see {self.prog} --help)\n"
        self.exit(2, None if told_rank() else said)  # one of several processes speaks for all


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `command`, the function that carries it out."""
    parser = _Parser(
        prog="nnfs-xp", description="Train small neural networks, every line of them in view."
    )
    parser.add_argument("--version", action="version", version=f"nnfs-xp {nn.__version__}")
    subcommands = parser.add_subparsers(title="commands")

    train = subcommands.add_parser(
        "train",
        help="train on a data set and keep the model",
        description="Train on a data set and keep the model. Ctrl-C keeps what there is so far; "
        "with a data set by its name or images SIGTERM does too, and one can go on with it.",
        epilog="Defaults: " + "; ".join(_defaults()) + ".",
    )
    train.set_defaults(command=commands.train)
    train.add_argument(
        "dataset",
        nargs="?",
        type=_dataset,
        help=f"{', '.join(RECIPES)} (default: digits, which needs no download); or a folder with "
        "a folder of images for each class; or a CSV or Parquet file with a header, which needs "
        "--target",
    )
    _add_backend(train)
    train.add_argument(
        "--model",
        choices=MODELS,
        help="mlp: dense layers; cnn: convolutions, for images (default: cnn for cifar10 and for "
        "folders, else mlp)",
    )
    train.add_argument(
        "--hidden",
        type=_widths,
        metavar="N,N",
        help="widths of the hidden layers, as in 128,64; of a cnn the filters of each stage",
    )
    train.add_argument(
        "--epochs", type=_count, metavar="N", help="passes over the training samples"
    )
    train.add_argument("--batch-size", type=_count, metavar="N", help="samples in a step")
    train.add_argument(
        "--learning-rate", type=float, metavar="RATE", help="of Adam; of a cnn at its peak"
    )
    train.add_argument(
        "--dropout", type=_share, metavar="RATE", help="share of neurons silenced in training"
    )
    train.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="what steps compute in, with weights in float32; the last three need a GPU to be fast "
        "(default: float32)",
    )
    train.add_argument("--seed", type=_seed, metavar="N", help="(default: 0)")
    train.add_argument(
        "--out", type=_folder, metavar="DIR", help="results (default: runs/DATASET-TIME)"
    )
    train.add_argument(
        "--progress",
        choices=PROGRESS,
        default="auto",
        help="auto: a bar on a terminal, elsewhere lines from the second minute on; lines: one for "
        "each epoch, for logs; both on standard error (default: auto)",
    )

    train.add_argument(
        "--resume",
        action="store_true",
        help="go on with the training in --out, with its settings, where it was cut; where there "
        "is none, start it",
    )

    train.add_argument(
        "--watch",
        action="store_true",
        help="keep in --out what a page shows while it goes on, and serve that page on this "
        "machine; on a terminal it stays until Ctrl-C; not for tables",
    )
    _add_address(train.add_argument_group("for the page of --watch"))
    train.set_defaults(port=None)  # which tells that it was not given

    train.add_argument(
        "--ray",
        type=_count,
        metavar="N",
        help="train in at most N workers of a Ray cluster; where one is lost, those that are there "
        "go on from the last checkpoint; not for tables",
    )
    train.add_argument(
        "--shards",
        type=_count,
        metavar="N",
        help="cut each batch into N parts, a power of two: the same weights, bit for bit, in 1, 2, "
        "4, … N processes (mpiexec -n 4 nnfs-xp train …, or --ray 4)",
    )
    _add_image_options(train)
    _add_table_options(train)

    evaluate = subcommands.add_parser("evaluate", help="test a kept model")
    evaluate.set_defaults(command=commands.evaluate)
    evaluate.add_argument("folder", type=Path, metavar="DIR", help="the --out of a training")
    evaluate.add_argument(
        "dataset",
        nargs="?",
        type=_dataset,
        help="or a file, or a folder of images (default: what it was tested on after the training)",
    )
    _add_separator(evaluate)
    _add_backend(evaluate)

    predict = subcommands.add_parser("predict", help="predict images, or the rows of a file")
    predict.set_defaults(command=commands.predict)
    predict.add_argument("folder", type=Path, metavar="DIR", help="the --out of a training")
    predict.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="with a model of images, images and folders of them; with a model of a table, a file "
        "with its columns; else a CSV file with a row for each sample, features in the data set's "
        "own units (pixels of digits go from 0 to 16, of MNIST from 0 to 255), where the first row "
        "may be a header",
    )
    _add_separator(predict)
    predict.add_argument("-o", "--output", type=Path, metavar="FILE", help="instead of the screen")
    _add_backend(predict)

    backends = subcommands.add_parser("backends", help="what can run here, and why not the rest")
    backends.set_defaults(command=commands.backends)

    _add_figure(subcommands.add_parser("figure", help="a figure of the book's chapter 9"))
    _add_play(subcommands.add_parser("play", help="a page to play with a network in"))
    _add_watch(subcommands.add_parser("watch", help="a page that shows trainings as they go on"))
    return parser


def _add_figure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write a figure of Neural Networks from Scratch, chapter 9, from a real run: values in "
        "black, derivatives in red."
    )
    parser.set_defaults(command=commands.figure)
    parser.add_argument("figure", metavar="9-N", help="9-1 to 9-18")
    parser.add_argument(
        *("-o", "--output"),
        type=Path,
        metavar="FILE",
        help="ends in .svg, .png, .pdf or .gif (default: figure-9-N.svg)",
    )
    parser.add_argument(
        "--animated", action="store_true", help="an SVG that shows all figures up to this one"
    )
    parser.add_argument("--backend", default="numpy", metavar="NAME", help="(default: numpy)")


def _add_play(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Serve a page on this machine in which a network learns: forward layer by layer, back, "
        "update, with every number in view."
    )
    parser.set_defaults(command=commands.play)
    parser.add_argument(
        "data",
        nargs="?",
        help="circles (default), moons, xor, clusters, spiral, sine, digits, neuron; or a CSV file "
        "of numbers with the target in its last column",
    )
    parser.add_argument("--layers", metavar="TEXT", help='as in "Dense(4), ReLU(), Dense(2)"')
    parser.add_argument("--loss", metavar="TEXT", help='as in "MeanSquaredError()"')
    parser.add_argument("--optimizer", metavar="TEXT", help='as in "Adam(0.05)"')
    parser.add_argument("--batch-size", type=_count, metavar="N", help="(default: all samples)")
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help="(default: 0)")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a model of your own, from save")
    _add_page(parser)


def _add_watch(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Serve a page on this machine that shows trainings with nnfs_xp.Watch, or with train "
        "--watch, while they go on and afterwards."
    )
    parser.set_defaults(command=commands.watch)
    parser.add_argument(
        "folder", type=_folder, metavar="DIR", help="of a training, or with trainings in it"
    )
    _add_page(parser)


def _add_page(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that serves a page and does nothing else."""
    _add_address(parser)
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")


def _add_address(parser: argparse._ActionsContainer) -> None:
    """Add the options that say where a page is."""
    parser.add_argument(
        "--port", type=_seed, default=0, metavar="N", help="(default: any that is free)"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        metavar="NAME",
        help="of a proxy that the page is seen through; may come again",
    )


def _add_image_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that are only for training on a folder of images."""
    group = parser.add_argument_group(
        "for folders of images (with the extra: pip install 'nnfs-xp[images]')"
    )
    group.add_argument(
        "--size",
        type=_count,
        metavar="N",
        help="pixels from edge to edge that images are brought to (default: their own where all "
        "are alike and of at most 64, else 64)",
    )
    group.add_argument(
        "--skip-damaged",
        action="store_true",
        default=None,  # which tells that it was not given
        help="leave out files that are no images, and say how many",
    )


def _add_table_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that are only for training on a file."""
    group = parser.add_argument_group("for files (with the extra: pip install 'nnfs-xp[tables]')")
    group.add_argument("--target", metavar="COLUMN", help="the column to predict")
    group.add_argument(
        "--task",
        choices=("auto", "classification", "regression"),
        help="(default: by what --target holds: text, true and false or few whole numbers make a "
        "classification)",
    )
    group.add_argument("--test", type=Path, metavar="FILE", help="another file to test on")
    group.add_argument(
        "--test-share",
        type=float,
        metavar="SHARE",
        help="share of the rows held out for the test where there is no --test (default: 0.2)",
    )
    for name, text in (
        ("drop", "do not use it"),
        ("numeric", "it holds numbers"),
        ("categorical", "its numbers are names, of places say"),
        ("dates", "it holds dates"),
        ("text", "it holds free text"),
    ):
        group.add_argument(
            f"--{name}", action="append", metavar="COLUMN", help=f"{text}; may come again"
        )
    group.add_argument(
        "--missing",
        type=_texts,
        metavar="TEXT,…",
        help="what else stands for a missing value: -9999,? say; write --missing=-9999",
    )
    group.add_argument(
        "--ensemble",
        type=_count,
        metavar="N",
        help="networks that share one pass, whose mean is predicted (default: 1)",
    )
    group.add_argument(
        "--folds",
        type=_count,
        metavar="N",
        help="networks that are each trained without a part of the rows of its own, whose mean is "
        "predicted (default: 5 for up to 50,000 rows, else 1)",
    )
    group.add_argument(
        "--interval",
        type=float,
        metavar="SHARE",
        help="of a regression: with each prediction, the bounds that so many targets lie within",
    )
    _add_separator(group)


def _texts(text: str) -> list[str]:
    """Texts between commas."""
    return [part.strip() for part in text.split(",")]


def _add_separator(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--separator",
        type=_separator,
        metavar="CHAR",
        help="between the columns of a CSV file: , ; | or tab (default: found by itself)",
    )


def _add_backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend",
        default="auto",
        metavar="NAME",
        help="numpy, cupy, cupy:1, torch, torch:cuda, … (default: a usable CUDA GPU, else numpy)",
    )


def _defaults() -> Iterator[str]:
    """The defaults of each data set, and of folders, with each kind of network."""
    plans = {name: recipe.plans for name, recipe in RECIPES.items()}
    plans["FOLDER"] = IMAGES
    for name, of_each in plans.items():
        for number, (model, plan) in enumerate(of_each.items()):
            words = f"{name} --model {model}" if number else name
            hidden = ",".join(map(str, plan.hidden))
            yield (
                f"{words} --hidden {hidden} --epochs {plan.epochs} --batch-size {plan.batch_size} "
                f"--learning-rate {plan.learning_rate} --dropout {plan.dropout}"
            )


def _count(text: str, least: int = 1) -> int:
    if not text.strip().isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
    return int(text)


def _share(text: str) -> float:
    try:
        return check_range("it", float(text), 0, 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 up to below 1") from None


def _seed(text: str) -> int:
    return _count(text, least=0)


def _dataset(text: str) -> str:
    if not text:  # which as a path would be the current folder
        raise argparse.ArgumentTypeError("'' names no data set")
    return text


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("'' names no folder")
    return Path(text)


def _separator(text: str) -> str:
    return "\t" if text in ("tab", "\\t") else text


def _widths(text: str) -> tuple[int, ...]:
    return tuple(_count(part) for part in text.split(","))
