"""
Two rows of the dropout paper's table
=====================================

Trains two rows of the dropout paper's table of MNIST results again.

Usage: python examples/dropout_paper.py [--rows dropout,max-norm] [--epochs N] [--seeds N]
[--validation] [--samples N] [--out DIR] [--rate RATE] [--batch-size N] [--max-norm BOUND]

Source: Srivastava et al. 2014, *Dropout: A Simple Way to Prevent Neural Networks from
Overfitting*, table 2: a network of three hidden layers of 1024 rectified-linear units errs on
1.25 % of the test images, and with max-norm on 1.06 %. The images are not augmented.

The architecture, the dropout rates and max-norm are the paper's. The optimizer is not: it is Adam
with a rate that rises and falls once, which takes fewer epochs. The settings were chosen on 10,000
of the training images; ``--validation`` holds these out again. The result is the error of the last
epoch.
"""

import argparse
import csv
import time
from math import ceil
from pathlib import Path

import nnfs_xp as nn

PAPER = {"dropout": 1.25, "max-norm": 1.06}
COLUMNS = ("epoch", "loss", "error", "seconds")


def build_model(max_norm, seed):
    """784-1024-1024-1024-10, with dropout of a fifth of the pixels and of half the neurons.

    Dropout keeps a share of the inputs. The paper leaves these as they are, and shrinks the
    weights after training by that share; `Dropout` enlarges the inputs instead. So weights here
    are the paper's times that share, and so is the bound on their norm.
    """
    layers = []
    for n_inputs, dropped in ((784, 0.2), (1024, 0.5), (1024, 0.5)):
        bound = None if max_norm is None else max_norm * (1 - dropped)
        layers += [nn.Dropout(dropped), nn.Dense(n_inputs, 1024, max_norm=bound), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Dense(1024, 10), nn.Softmax(), seed=seed)


def train(row, seed, data, arguments):
    """Train once, with a line and a row of a CSV file for each epoch; the last error, in %."""
    X_train, y_train, X_test, y_test = data
    steps = arguments.epochs * ceil(len(X_train) / arguments.batch_size)
    optimizer = nn.Adam(nn.OneCycle(arguments.rate, steps, rising_share=0.1))
    model = build_model(arguments.max_norm if row == "max-norm" else None, seed)
    trainer = nn.Trainer(model, nn.CategoricalCrossentropy(), optimizer, backend="auto", seed=seed)
    with open(arguments.out / f"{row}-seed{seed}.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for epoch in range(1, arguments.epochs + 1):
            begun = time.perf_counter()
            history = trainer.fit(X_train, y_train, batch_size=arguments.batch_size, progress=False)
            loss = history["loss"][-1]
            error = 100 * (1 - trainer.evaluate(X_test, y_test)["accuracy"])
            seconds = time.perf_counter() - begun
            table.writerow([epoch, f"{loss:.5f}", f"{error:.2f}", f"{seconds:.1f}"])
            file.flush()
            print(
                f"{row} seed {seed} epoch {epoch}/{arguments.epochs}: train loss {loss:.4f}, "
                f"error {error:.2f} %, {seconds:.0f} s",
                flush=True,
            )
    return error


def main():
    """Train each row with each seed, and compare with the paper."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[4])
    parser.add_argument("--rows", default="dropout,max-norm", help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=45, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=1, help="how many; default: %(default)s")
    parser.add_argument(
        "--validation", action="store_true", help="test on held-out training images"
    )
    parser.add_argument("--samples", type=int, help="take the first N images only")
    parser.add_argument("--out", type=Path, default=Path("runs/dropout-paper"), metavar="DIR")
    parser.add_argument("--rate", type=float, default=0.002, help="of Adam; default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=256, help="default: %(default)s")
    parser.add_argument(
        "--max-norm", type=float, default=2.5, help="in the paper's terms; default: %(default)s"
    )
    arguments = parser.parse_args()
    rows = arguments.rows.split(",")
    if not set(rows) <= set(PAPER):
        parser.error(f"--rows takes {' and '.join(PAPER)}, with a comma between them")
    data = nn.data.load_mnist()
    if arguments.validation:
        data = nn.data.hold_out(data.X_train, data.y_train, share=1 / 6, seed=0)
    data = [part[: arguments.samples] for part in data]
    arguments.out.mkdir(parents=True, exist_ok=True)
    for row in rows:
        errors = [train(row, seed, data, arguments) for seed in range(arguments.seeds)]
        figures = ", ".join(f"{error:.2f} %" for error in errors)
        print(f"{row}: {figures} after {arguments.epochs} epochs; the paper: {PAPER[row]} %")


if __name__ == "__main__":
    main()
