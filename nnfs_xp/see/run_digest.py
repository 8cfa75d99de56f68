"""What a page needs to know of one run, taken from the rows of its file."""

from __future__ import annotations

from bisect import bisect_right
from math import inf
from typing import Any

from nnfs_xp.see.run_rows import (
    LAYER_SERIES,
    LAYER_STRIPS,
    as_count,
    as_list,
    as_look,
    as_number,
    as_shape,
    as_text,
    as_weights,
    as_wrong_sample,
)
from nnfs_xp.see.thinning import Series, Strip, rounded

MOST_LAYERS = 64
_KINDS = ("run", "steps", "look", "pictures", "epoch", "end")
_MOST_FIGURES = 24
_MOST_EPOCHS = 100_000


class _Layer:
    def __init__(self) -> None:
        self.series = {name: Series() for name in LAYER_SERIES}
        self.strips = {name: Strip() for name in LAYER_STRIPS}
        self.units: int | None = None


class RunDigest:
    """The state of a run after the rows so far, bounded in size.

    Places in the series are counts of steps: the first loss is at 1. Those of the figures are
    epochs. `revision` counts the rows; at the revision `whole`, all before was forgotten.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._head: dict[str, Any] = {"layers": [], "classes": None, "image_shape": None}
        self._state: dict[str, Any] = {"time": None, "finished": False, "nan_at": None}
        self._forget()

    def _forget(self) -> None:
        self._loss = Series()
        self._rate = Series()
        self._looked = 0
        self._figures: dict[str, Series] = {}
        self._layers: dict[str, _Layer] = {}
        # The epochs, and the counts of steps at which they ended.
        self._epochs: list[int] = []
        self._ends: list[int] = []
        self._last_figures: dict[str, float | None] = {}
        # Empty where the last loss was cut.
        self._last_loss: dict[str, float | None] = {}
        self._pictures: dict[str, Any] | None = None
        self._pictures_revision = -1
        self.whole = self.revision
        self._state |= {"nan_at": None}

    def take(self, row: dict[str, Any]) -> None:
        """Take in a row.

        Parameters
        ----------
        row : dict

        Raises
        ------
        KeyError, TypeError, ValueError
            The row is of no known kind, or lacks something, or holds something of a wrong type.
            Nothing of it was taken, or only what stood before the fault.
        """
        kind = as_text(row["is"])
        if kind not in _KINDS:
            raise ValueError("a row of an unknown kind")
        self.revision += 1
        getattr(self, f"_take_{kind}")(row)
        if isinstance(row.get("time"), int | float):
            self._state["time"] = as_number(row["time"])

    def _take_run(self, row: dict[str, Any]) -> None:
        start = as_count(row["step"])
        head: dict[str, Any] = {key: as_text(row[key]) for key in ("model", "loss", "optimizer")}
        for key in ("n_parameters", "batch_size", "steps_per_epoch"):
            value = row.get(key)
            head[key] = None if value is None else as_count(value)
        head["layers"] = [
            {"name": as_text(layer["name"]), "kind": as_text(layer["kind"])}
            for layer in as_list(row["layers"])[:MOST_LAYERS]
        ]
        classes, shape = row.get("classes"), row.get("image_shape")
        head["classes"] = None if classes is None else [as_text(c) for c in as_list(classes)[:1000]]
        head["image_shape"] = None if shape is None else as_shape(shape)
        self._head = head
        self._state["finished"] = False
        self._cut(start)

    def _cut(self, start: int) -> None:
        """Drop what a run that begins after `start` steps trains again."""
        if not start:
            self._forget()
            return
        self._looked = min(self._looked, start)
        if self._loss.last > start:
            self._last_loss = {}
        kept = bisect_right(self._ends, start)
        if kept < len(self._ends):
            self._last_figures = {}
            last = self._epochs[kept - 1] if kept else -1
            del self._ends[kept:], self._epochs[kept:]
            for figure in self._figures.values():
                figure.cut(last, self.revision)
        series = [self._loss, self._rate]
        for layer in self._layers.values():
            series += layer.series.values()
            for strip in layer.strips.values():
                strip.cut(start, self.revision)
        for one in series:
            one.cut(start, self.revision)
        if self._pictures is not None and self._pictures["step"] > start:
            self._pictures, self._pictures_revision = None, self.revision
        if (self._state["nan_at"] or 0) > start:
            self._state["nan_at"] = None

    def _take_steps(self, row: dict[str, Any]) -> None:
        first = as_count(row["first"]) + 1
        losses = [
            value if type(value) is float and -inf < value < inf else as_number(value)
            for value in as_list(row["losses"])
        ]
        if not losses:
            return
        if first + len(losses) - 1 <= self._loss.last:
            raise ValueError("steps that were there before")
        fresh = max(first, self._loss.last + 1)
        if self._state["nan_at"] is None and None in losses[fresh - first :]:
            self._state["nan_at"] = losses.index(None, fresh - first) + first
        self._loss.put(first, losses, self.revision)
        self._last_loss = {"last_loss": rounded(losses[-1])}

    def _take_look(self, row: dict[str, Any]) -> None:
        step = as_count(row["step"])
        layers = row["layers"]
        if not isinstance(layers, dict):
            raise TypeError("layers must be a dict")
        if step < self._looked:
            raise ValueError("a look from before the last")
        looks = {as_text(name): as_look(look) for name, look in layers.items()}
        rate = as_number(row.get("learning_rate"))
        self._looked = step
        if rate is not None:
            self._rate.replace(step, rate, self.revision)
        for name, (numbers, strips, units) in looks.items():
            if name not in self._layers and len(self._layers) >= MOST_LAYERS:
                continue
            layer = self._layers.setdefault(name, _Layer())
            layer.units = units
            for key, number in numbers.items():
                layer.series[key].replace(step, number, self.revision)
            for key, strip in strips.items():
                layer.strips[key].put(step, strip, self.revision)

    def _take_epoch(self, row: dict[str, Any]) -> None:
        epoch, step, figures = as_count(row["epoch"]), as_count(row["step"]), row["figures"]
        if not isinstance(figures, dict):
            raise TypeError("figures must be a dict")
        numbers = {as_text(name): as_number(value) for name, value in figures.items()}
        if (self._ends and step < self._ends[-1]) or len(self._ends) >= _MOST_EPOCHS:
            raise ValueError("an epoch from before the last")
        if self._ends and step == self._ends[-1]:
            epoch = self._epochs[-1]
        else:
            # A further fit may count its epochs from 1: they go on behind those before.
            epoch = max(epoch, self._epochs[-1] + 1 if self._epochs else 0)
            self._epochs.append(epoch)
            self._ends.append(step)
        # Short trainings end before the first look, and have a rate all the same.
        rate = numbers.get("learning_rate")
        if rate is not None:
            self._rate.replace(step, rate, self.revision)
        for name, number in numbers.items():
            if name in self._figures or len(self._figures) < _MOST_FIGURES:
                figure = self._figures.setdefault(name, Series())
                figure.replace(epoch, number, self.revision)
        self._last_figures = {name: numbers[name] for name in self._figures if name in numbers}

    def _take_pictures(self, row: dict[str, Any]) -> None:
        weights, wrong = row.get("weights"), row.get("misclassified")
        shape = self._head["image_shape"]
        n_wrong = row.get("n_wrong")
        self._pictures = {
            "step": as_count(row["step"]),
            "weights": None if weights is None else as_weights(weights),
            "misclassified": None
            if wrong is None
            else [as_wrong_sample(sample, shape) for sample in as_list(wrong)[:12]],
            "image_shape": shape,
            "n_wrong": None if n_wrong is None else as_count(n_wrong),
            "n_samples": as_count(row["n_samples"]),
        }
        self._pictures_revision = self.revision

    def _take_end(self, row: dict[str, Any]) -> None:
        as_count(row["step"])
        self._state["finished"] = True

    def head(self) -> dict[str, Any]:
        """The model, what trains it, and where the training stands.

        Returns
        -------
        dict
        """
        return {
            **self._head,
            **self._state,
            "step": max(0, self._loss.last, self._looked, *self._ends[-1:]),
            "epoch": self._epochs[-1] if self._epochs else 0,
            "figures": {name: rounded(value) for name, value in self._last_figures.items()},
            **self._last_loss,
        }

    def curves(self, since: int) -> dict[str, Any]:
        """What is new of the loss, the learning rate and the figures of the epochs.

        Parameters
        ----------
        since : int
            A `revision`.

        Returns
        -------
        dict
            News of series by name: ``loss``, ``learning_rate``, ``figure/…``. One without news
            is left out.
        """
        news = {"loss": self._loss.news(since, means=True), "learning_rate": self._rate.news(since)}
        for name, figure in self._figures.items():
            news[f"figure/{name}"] = figure.news(since)
        return {name: new for name, new in news.items() if new is not None}

    def inside(self, since: int) -> dict[str, Any]:
        """What is new of all layers, and of the pictures.

        Parameters
        ----------
        since : int

        Returns
        -------
        dict
            ``layers``, in their order, each with ``name``, ``kind``, ``units`` and ``series``; and
            ``pictures``, if they are new, which may be None.
        """
        kinds = {layer["name"]: layer["kind"] for layer in self._head["layers"]}
        order = [name for name in kinds if name in self._layers]
        order += [name for name in self._layers if name not in kinds]
        layers = []
        for name in order:
            layer = self._layers[name]
            news = {key: series.news(since) for key, series in layer.series.items()}
            layers.append(
                {
                    "name": name,
                    "kind": kinds.get(name, ""),
                    "units": layer.units,
                    "series": {key: new for key, new in news.items() if new is not None},
                }
            )
        answer: dict[str, Any] = {"layers": layers}
        if self._pictures_revision > since:
            answer["pictures"] = self._pictures
        return answer

    def strips(self, name: str, since: int) -> dict[str, Any]:
        """What is new of the histograms of a layer.

        Parameters
        ----------
        name : str
        since : int

        Returns
        -------
        dict
            Columns ``[step, low, high, shades]`` of ``outputs`` and ``gradients``; the shades are
            the bytes of the bins, in base64: 255 times the root of the count by the greatest.
        """
        if name not in self._layers:
            return {}
        news = {key: strip.news(since) for key, strip in self._layers[name].strips.items()}
        return {key: new for key, new in news.items() if new is not None}
