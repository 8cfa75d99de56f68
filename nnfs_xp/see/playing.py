"""The session behind the page to play with: it answers what the front end asks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from math import prod
from typing import Any

from nnfs_xp._checks import shown
from nnfs_xp.backend import host_generator
from nnfs_xp.errors import ArgumentError, NnfsError
from nnfs_xp.see import svg, words
from nnfs_xp.see.closeup import Weight, close_up
from nnfs_xp.see.graphs import DETAILS, detail_for, scene_of
from nnfs_xp.see.setups import Setup, Workshop
from nnfs_xp.see.tracing import Trace, trace_here
from nnfs_xp.see.views import Ground, first_telling, lens, sample_image

_MOST_STEPS = 1000
_MOST_FOR_CURVE = 2_000_000
"""Parameters times samples, up to which a weight's loss curve is worked out unasked."""

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
        self._begin(workshop.first())

    def handle(self, query: dict[str, Any], /) -> Answer:
        """Answer a query.

        Parameters
        ----------
        query : dict
            ``do`` is one of: ``open``; ``set up`` with ``data``, ``layers``, ``loss``,
            ``optimizer``, ``batch_size``, ``seed``; ``step`` with ``n``; ``rewind``; ``sample``
            with ``sample``; ``choose`` with the ``key`` of a weight or null; ``set`` with ``key``
            and ``value``; ``check``; ``detail`` with ``detail``; ``lens`` with ``name``, ``row``
            and ``column``. ``layout`` names the picture that the front end has, and ``have`` how
            many losses.

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

    def _begin(self, setup: Setup, detail: str = "auto") -> None:
        """Take a setup up; on an error everything stays as it was."""
        before = dict(vars(self))
        try:
            self._setup, self._detail = setup, detail
            self._sample = first_telling(setup)
            self._weight: Weight | None = None
            self._ground = Ground.of(setup)
            self._layout = getattr(self, "_layout", 0) + 1
            self._restart()
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _restart(self) -> None:
        """Go to the start: the first weights, bit for bit, and the same order of samples."""
        setup = self._setup
        self._model = copy.deepcopy(setup.model)
        self._optimizer = copy.deepcopy(setup.optimizer)
        self._order = host_generator(setup.seed)
        self._left: list[int] = []
        self._losses: list[float] = []
        self._n_steps = 0
        self._look_at_next()

    def _look_at_next(self) -> None:
        """Run the next batch forward and back, layer by layer."""
        setup = self._setup
        if setup.batch_size == setup.n_samples:
            self._batch = list(range(setup.n_samples))
        else:
            # A rest that some layer cannot train on is left out, as BatchNorm's of one sample.
            if len(self._left) < max(each.smallest_batch for _, each in self._model.walk()):
                self._left = self._order.permutation(setup.n_samples).tolist()
            self._batch = self._left[: setup.batch_size]
            self._left = self._left[setup.batch_size :]
        self._look()

    def _look(self) -> None:
        """Run the present batch forward and back."""
        setup, backend = self._setup, self._model.backend
        X, y = setup.X, setup.y
        if len(self._batch) < setup.n_samples:
            assert backend is not None
            rows = backend.asarray(self._batch)
            X, y = (backend.xp.take(array, rows, axis=0) for array in (X, y))
        self._seen: Trace = trace_here(self._model, X, y, loss=setup.loss)

    def _state(self, query: dict[str, Any]) -> Answer:
        """Where everything is: the answer to most queries."""
        sample = min(self._sample, len(self._batch) - 1)
        scene = scene_of(self._seen, sample=sample, detail=self._detail)
        have = query.get("have")
        have = have if isinstance(have, int) and 0 <= have <= len(self._losses) else 0
        answer: Answer = {
            "view": "play",
            "step": self._n_steps,
            "loss": self._seen.mean,
            "have": have,
            "losses": self._losses[have:],
            "frames": scene.captions,
            "layout": self._layout,
            "sample": sample,
            "n_samples": len(self._batch),
            "row": self._batch[sample],
            "chosen": self._close_up(curve=self._is_small),
            "learning_rate": self._optimizer.current_learning_rate,
        }
        if query.get("layout") == self._layout:
            answer["patch"] = svg.patch(scene)
        else:
            answer["svg"] = svg.live(scene)
        if self._ground is not None:
            answer["ground"] = self._ground.seen(self._model, self._setup.loss)
        image = sample_image(self._setup, self._batch[sample])
        if image is not None:
            answer["image"] = image
        return answer

    @property
    def _is_small(self) -> bool:
        n = sum(prod(p.shape) for p in self._model.parameters().values())
        return n * len(self._batch) <= _MOST_FOR_CURVE

    def _close_up(self, *, curve: bool) -> Answer | None:
        if self._weight is None or (not curve and not self._is_small):
            return None if self._weight is None else self._plain()
        setup = self._setup
        return close_up(
            self._weight, self._model, setup.loss, self._optimizer, self._seen, curve=curve
        )

    def _plain(self) -> Answer:
        """The weight alone, of a model in which the rest takes its time."""
        assert self._weight is not None
        return {
            "key": self._weight.key,
            "value": self._weight.read(self._model.parameters()),
            "gradient": self._weight.read(self._model.gradients()),
        }

    def _open(self, query: dict[str, Any]) -> Answer:
        return {**self._state(query), **self._facts()}

    def _facts(self) -> Answer:
        """What stays while a setup does."""
        setup = self._setup
        shapes = {name: list(p.shape) for name, p in self._model.parameters().items()}
        return {
            "setup": {**setup.words, "batch_size": setup.batch_size, "seed": setup.seed},
            "all_samples": setup.n_samples,
            "detail": self._detail,
            "drawn_as": detail_for(self._seen) if self._detail == "auto" else self._detail,
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
        names = ("data", "layers", "loss", "optimizer", "batch_size", "seed")
        wanted = {name: query[name] for name in names if query.get(name) not in (None, "")}
        self._begin(self._workshop.make(**wanted))
        return self._open(query)

    def _step(self, query: dict[str, Any]) -> Answer:
        for _ in range(_whole(query, "n", 1, _MOST_STEPS, 1)):
            self._losses.append(self._seen.mean if self._seen.mean is not None else float("nan"))
            self._optimizer.step(self._model)
            self._n_steps += 1
            self._look_at_next()
        return self._state(query)

    def _rewind(self, query: dict[str, Any]) -> Answer:
        self._restart()
        return self._state({**query, "have": 0})

    def _choose_sample(self, query: dict[str, Any]) -> Answer:
        self._sample = _whole(query, "sample", 0, len(self._batch) - 1)
        return self._state(query)

    def _choose(self, query: dict[str, Any]) -> Answer:
        key = query.get("key")
        self._weight = None if key is None else Weight.of(self._model, key)
        return self._state(query)

    def _set(self, query: dict[str, Any]) -> Answer:
        weight, value = Weight.of(self._model, query.get("key")), query.get("value")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ArgumentError(f"`value` must be a number; got {shown(repr(value))}.")
        if not abs(value) <= _LARGEST:
            raise ArgumentError("`value` must lie within ±1,000,000.")
        self._weight = weight
        weight.write(self._model, float(value))
        self._look()
        return self._state(query)

    def _check(self, query: dict[str, Any]) -> Answer:
        if self._weight is None:
            raise ArgumentError("choose a weight first.")
        return {**self._state(query), "chosen": self._close_up(curve=True)}

    def _choose_detail(self, query: dict[str, Any]) -> Answer:
        detail = query.get("detail")
        if detail != "auto" and detail not in DETAILS:
            raise ArgumentError(f"`detail` must be auto or one of {', '.join(DETAILS)}.")
        before, self._detail = self._detail, detail
        try:
            scene_of(self._seen, detail=detail)
        except NnfsError:
            self._detail = before
            raise
        self._layout += 1
        return self._open(query)

    def _lens(self, query: dict[str, Any]) -> Answer:
        row, column = (_whole(query, name, 0, 2**31) for name in ("row", "column"))
        return lens(self._seen, query.get("name"), row, column)


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
