"""The session behind the page to play with: it answers what the front end asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from math import prod
from typing import Any

from nnfs_xp._checks import shown
from nnfs_xp.errors import ArgumentError, NnfsError
from nnfs_xp.see import svg, words
from nnfs_xp.see.closeup import Weight, close_up
from nnfs_xp.see.graphs import DETAILS, detail_for, scene_of
from nnfs_xp.see.practice import Practice
from nnfs_xp.see.setups import Setup, Wish, Workshop
from nnfs_xp.see.views import Ground, first_telling, lens, sample_image

_MOST_STEPS = 1000
_MOST_FOR_CURVE = 2_000_000
"""Parameters times samples, up to which a weight's loss curve is worked out unasked."""

_OF_IMAGE = ("rows", "columns")
_LARGEST = 1e6
"""What a weight can be set to, at most."""

Answer = dict[str, Any]


class PlaySession:
    """A network, its samples, and where its training is: one for each tab, or widget.

    Every answer to what moves the network holds its whole state; `handle` tells what can be asked.

    Parameters
    ----------
    workshop : Workshop
    """

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._verbs: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "open": self._open,
            "set up": self._set_up,
            "step": self._step,
            "rewind": self._rewind,
            "sample": self._choose_sample,
            "choose": self._choose,
            "set": self._set,
            "check": self._check,
            "detail": self._choose_detail,
            "lens": self._lens,
        }
        self._layout = 0
        self._begin(workshop.first())

    def handle(self, query: dict[str, Any], /) -> Answer:
        """Answer a query.

        Parameters
        ----------
        query : dict
            ``do`` is one of: ``open``; ``set up`` with ``data``, ``layers``, ``loss``,
            ``optimizer``, ``batch_size``, ``seed``; ``step`` with ``n``; ``rewind``; ``sample``
            with ``sample``; ``choose`` with the ``key`` of a weight or null; ``set`` with ``key``
            and ``value``; ``check``; ``detail`` with ``detail``; ``lens`` with ``name``, ``row``,
            ``column``, and perhaps the ``rows`` and ``columns`` that the image has. ``layout``
            names the picture that the front end has, and ``have`` how many losses.

        Returns
        -------
        dict
            The state, or `{"error": …}`; nothing has changed then.
        """
        try:
            do = query.get("do")
            verb = self._verbs.get(do) if isinstance(do, str) else None
            if verb is None:
                raise ArgumentError(f"there is nothing to do called {shown(str(do))}.")
            return verb(query)
        except NnfsError as error:
            return {"error": shown(str(error), 600)}

    def _begin(self, setup: Setup) -> None:
        """Take a setup up; on an error everything stays as it was."""
        practice, ground = Practice(setup), Ground.of(setup)
        self._setup, self._practice, self._ground = setup, practice, ground
        self._detail, self._sample = "auto", first_telling(setup)
        self._weight: Weight | None = None
        self._layout += 1

    def _state(self, query: dict[str, Any]) -> Answer:
        """Where everything is: the answer to most queries."""
        practice = self._practice
        sample = min(self._sample, len(practice.batch) - 1)
        scene = scene_of(practice.seen, sample=sample, detail=self._detail)
        have = query.get("have")
        have = have if isinstance(have, int) and 0 <= have <= len(practice.losses) else 0
        answer: Answer = {
            "view": "play",
            "step": len(practice.losses),
            "loss": practice.seen.mean,
            "have": have,
            "losses": practice.losses[have:],
            "frames": scene.captions,
            "layout": self._layout,
            "sample": sample,
            "n_samples": len(practice.batch),
            "row": practice.batch[sample],
            "chosen": self._close_up(wanted=query.get("do") == "check"),
            "learning_rate": practice.optimizer.current_learning_rate,
        }
        if query.get("layout") == self._layout:
            answer["patch"] = svg.patch(scene)
        else:
            answer["svg"] = svg.live(scene)
        if self._ground is not None:
            answer["ground"] = self._ground.seen(practice.model, self._setup.loss)
        image = sample_image(self._setup, practice.batch[sample])
        if image is not None:
            answer["image"] = image
        return answer

    def _close_up(self, *, wanted: bool) -> Answer | None:
        """The chosen weight: all of it where that is quick, or wanted; else its two numbers."""
        weight, practice = self._weight, self._practice
        if weight is None:
            return None
        parameters = practice.model.parameters()
        n = sum(prod(each.shape) for each in parameters.values())
        if wanted or n * len(practice.batch) <= _MOST_FOR_CURVE:
            return close_up(
                weight, practice.model, self._setup.loss, practice.optimizer, practice.seen
            )
        value, gradient = weight.read(parameters), weight.read(practice.model.gradients())
        return {"key": weight.key, "value": value, "gradient": gradient}

    def _open(self, query: dict[str, Any]) -> Answer:
        return {**self._state(query), **self._facts()}

    def _facts(self) -> Answer:
        """What stays while a setup does."""
        setup = self._setup
        shapes = {name: list(p.shape) for name, p in self._practice.model.parameters().items()}
        return {
            "setup": setup.words,
            "all_samples": setup.n_samples,
            "detail": self._detail,
            "drawn_as": detail_for(self._practice.seen) if self._detail == "auto" else self._detail,
            "details": DETAILS,
            "shapes": shapes,
            "points": None if self._ground is None else self._ground.points,
            "choices": {
                "data": self._workshop.data_names,
                "layers": words.names_of_layers(),
                "losses": words.names_of_losses(),
                "optimizers": words.names_of_optimizers(),
            },
        }

    def _set_up(self, query: dict[str, Any]) -> Answer:
        names = [each.name for each in fields(Wish)]
        wish = {name: query[name] for name in names if query.get(name) not in (None, "")}
        before = dict(vars(self))
        try:
            self._begin(self._workshop.make(Wish(**wish)))
            return self._open(query)
        except BaseException:
            vars(self).update(before)
            raise

    def _step(self, query: dict[str, Any]) -> Answer:
        for _ in range(_whole(query, "n", 1, _MOST_STEPS, 1)):
            self._practice.step()
        return self._state(query)

    def _rewind(self, query: dict[str, Any]) -> Answer:
        self._practice.rewind()
        return self._state({**query, "have": 0})

    def _choose_sample(self, query: dict[str, Any]) -> Answer:
        self._sample = _whole(query, "sample", 0, len(self._practice.batch) - 1)
        return self._state(query)

    def _choose(self, query: dict[str, Any]) -> Answer:
        key = query.get("key")
        self._weight = None if key is None else Weight.of(self._practice.model, key)
        return self._state(query)

    def _set(self, query: dict[str, Any]) -> Answer:
        practice, value = self._practice, query.get("value")
        weight = Weight.of(practice.model, query.get("key"))
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ArgumentError(f"`value` must be a number; got {shown(repr(value))}.")
        if not abs(value) <= _LARGEST:
            raise ArgumentError("`value` must lie within ±1,000,000.")
        self._weight = weight
        weight.write(practice.model, float(value))
        practice.look_again()
        return self._state(query)

    def _check(self, query: dict[str, Any]) -> Answer:
        if self._weight is None:
            raise ArgumentError("choose a weight first.")
        return self._state(query)

    def _choose_detail(self, query: dict[str, Any]) -> Answer:
        detail = query.get("detail")
        if detail != "auto" and detail not in DETAILS:
            raise ArgumentError(f"`detail` must be auto or one of {', '.join(DETAILS)}.")
        before, self._detail = self._detail, detail
        try:
            scene_of(self._practice.seen, detail=detail)
        except NnfsError:
            self._detail = before
            raise
        self._layout += 1
        return self._open(query)

    def _lens(self, query: dict[str, Any]) -> Answer:
        row, column = (_whole(query, name, 0, 2**31) for name in ("row", "column"))
        drawn = [_whole(query, each, 1, 2**31) if each in query else None for each in _OF_IMAGE]
        return lens(self._practice.seen, query.get("name"), (row, column), drawn)


def _whole(
    query: dict[str, Any], name: str, low: int, high: int, default: int | None = None
) -> int:
    """A whole number of a query."""
    value = query.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ArgumentError(
            f"`{name}` must be a whole number from {low} to {high}; got {shown(repr(value))}."
        )
    return value
