"""Where the front end is shown: in a notebook, in a page of its own, or in a file that plays."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable, Iterable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp import _checks
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.beneath import HasNetwork
from nnfs_xp.interop.paths import path_of
from nnfs_xp.layers import Layer
from nnfs_xp.losses import Loss
from nnfs_xp.optimizers import Optimizer
from nnfs_xp.see.front_end import Session
from nnfs_xp.see.page import Page
from nnfs_xp.see.playing import PlaySession
from nnfs_xp.see.recording import write_recording
from nnfs_xp.see.setups import Wish, Workshop, made_of
from nnfs_xp.see.watching import WatchSession
from nnfs_xp.see.widget import in_notebook, widget

_MOST_RECORDED = 1000
_OF_PYTHON = ("choices", "details", "shapes", "drawn_as")
"""What an answer holds for queries, which a recording does not take."""


def play(
    model: Layer | HasNetwork | None = None,
    X: Any = None,
    y: Any = None,
    *,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    data: str | None = None,
    layers: str | None = None,
    image_shape: tuple[int, int] | None = None,
    port: int = 0,
    allow_hosts: Iterable[str] = (),
    open_browser: bool = False,
) -> Any:
    """Play with a network: forward layer by layer, back, update; every number in view.

    Parameters
    ----------
    model : Layer, optional
        A network of your own, with `X` and `y`. A copy of it is trained. Without it the page
        begins with one of its own data sets, and networks are written into it.
    X : array of any backend, shape (n, …)
    y : array of any backend
        Targets, as `Trainer.fit` takes them.
    loss : Loss, optional
        Of `model`. By default cross-entropy for whole numbers, and else the mean squared error.
    optimizer : Optimizer, optional
        By default `SGD` with a learning rate of 0.1 for a model of your own.
    batch_size : int, optional
        By default all samples, at most 1,000.
    seed : int
        Of the order of the samples, and of networks that are written into the page.
    data : str, optional
        Without `model`: ``"circles"``, ``"moons"``, ``"xor"``, ``"clusters"``, ``"spiral"``,
        ``"sine"``, ``"digits"`` or ``"neuron"``, the chapter's.
    layers : str, optional
        Without `model`: the layers, as in ``"Dense(4), ReLU(), Dense(2)"``.
    image_shape : tuple of int, optional
        With `model`: (height, width) of samples whose features are the pixels of an image.
    port : int
        Of the page; 0 for any that is free. A widget has none; nor has it the next two.
    allow_hosts : iterable of str
        Names of proxies that the page may be seen through, beside those of this machine.
    open_browser : bool
        Whether to open the page in a browser.

    Returns
    -------
    anywidget.AnyWidget or Page
        A widget in a notebook (the extra ``notebook``). Else a page, with its address in ``.url``;
        it is there until ``.close()``, or until the program ends.

    Raises
    ------
    NnfsError
        The parts do not fit together, or the port cannot be used.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> with nn.see.play(data="xor") as page:
    ...     page.url.startswith("http://127.0.0.1:")
    True
    """
    wish = Wish(data, layers, loss, optimizer, batch_size, seed)
    workshop = _workshop(model, X, y, wish, image_shape)
    first = [PlaySession(workshop)]
    _answer(first[0], {"do": "open"})  # an error comes now, and not in the page

    def make() -> PlaySession:
        try:
            return first.pop()  # of one tab
        except IndexError:
            return PlaySession(workshop)

    return _show(make, "nnfs_xp: play", port, allow_hosts, open_browser)


def watch(
    folder: str | Path,
    *,
    port: int = 0,
    allow_hosts: Iterable[str] = (),
    open_browser: bool = False,
) -> Any:
    """Watch trainings while they run, or look at them afterwards.

    Parameters
    ----------
    folder : str or Path
        That of `nnfs_xp.Watch`, or one with such folders in it; it may come to be later.
    port, allow_hosts, open_browser
        See `play`.

    Returns
    -------
    anywidget.AnyWidget or Page
        See `play`.

    Raises
    ------
    NnfsError
        The path is none, or the port cannot be used.
    """
    folder = path_of(folder, "folder")
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(f"`folder` must be a folder; {str(folder)!r} is a file.")
    title = f"nnfs_xp: {folder.name or folder}"
    return _show(lambda: WatchSession(folder), title, port, allow_hosts, open_browser)


def record(
    path: str | Path,
    model: Layer | HasNetwork | None = None,
    X: Any = None,
    y: Any = None,
    *,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    data: str | None = None,
    layers: str | None = None,
    image_shape: tuple[int, int] | None = None,
    steps: int = 30,
    sample: int = 0,
    detail: str = "auto",
    title: str = "Backpropagation, recorded",
) -> Path:
    """Record a training as one HTML file that plays by itself, without Python and without a net.

    Parameters
    ----------
    path : str or Path
        Ends in ``.html``.
    model, X, y, loss, optimizer, batch_size, seed, data, layers, image_shape
        See `play`.
    steps : int
        How many steps are recorded, at most 1,000.
    sample : int
        Whose values are shown, by its place in the batch.
    detail : str
        How closely the network is drawn: see `graph`.
    title : str

    Returns
    -------
    Path

    Raises
    ------
    NnfsError
        The parts do not fit together, or the path is none.
    OSError
        The file cannot be written.
    """
    path = path_of(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ArgumentError(f"`path` must end in .html; got {str(path)!r}.")
    steps = _checks.check_count("steps", steps, least=0)
    if steps > _MOST_RECORDED:
        raise ArgumentError(f"`steps` must be at most {_MOST_RECORDED:,}; got {steps:,}.")
    wish = Wish(data, layers, loss, optimizer, batch_size, seed)
    session = PlaySession(_workshop(model, X, y, wish, image_shape))
    return write_recording(path, recorded(session, steps, sample, detail), title=title)


def recorded(session: PlaySession, steps: int, sample: int, detail: str) -> list[dict[str, Any]]:
    """The answers of a session to so many steps.

    Raises
    ------
    ArgumentError
        There is no such sample or detail.
    """
    _answer(session, {"do": "sample", "sample": sample})
    first = _answer(session, {"do": "detail", "detail": detail})
    answers = [{key: value for key, value in first.items() if key not in _OF_PYTHON}]
    for _ in range(steps):
        query = {"do": "step", "layout": first["layout"], "have": len(answers)}
        answers.append(_answer(session, query))
    return answers


def _answer(session: Session, query: dict[str, Any]) -> dict[str, Any]:
    answer = session.handle(query)
    if "error" in answer:
        raise ArgumentError(answer["error"])
    return answer


def _workshop(
    model: Layer | HasNetwork | None, X: Any, y: Any, wish: Wish, image_shape: Any
) -> Workshop:
    """What makes setups, of a model and data of the user's own or of the page's."""
    for name, kind in (("loss", Loss), ("optimizer", Optimizer)):
        given = getattr(wish, name)
        if given is not None and not isinstance(given, kind):
            raise ArgumentError(f"`{name}` must be {_an(kind)}; got {given!r}.")
    if model is None:
        if X is not None or y is not None or image_shape is not None:
            raise ArgumentError(
                "`X`, `y` and `image_shape` go with a `model`. For data of the page, name `data`."
            )
        return Workshop(start=wish)
    if wish.data is not None or wish.layers is not None:
        raise ArgumentError("`data` and `layers` are for networks of the page; leave `model` out.")
    if X is None or y is None:
        raise ArgumentError("a `model` needs `X` and `y` to learn from.")
    return Workshop(
        made_of(
            model,
            X,
            y,
            loss=wish.loss,
            optimizer=wish.optimizer,
            batch_size=wish.batch_size,
            seed=wish.seed,
            image_shape=None if image_shape is None else _checked(image_shape, X),
        ),
        Wish(seed=wish.seed),
    )


def _an(kind: type) -> str:
    return f"an {kind.__name__}" if kind.__name__[0] in "AEIO" else f"a {kind.__name__}"


def _checked(shape: Any, X: Any) -> tuple[int, int]:
    """The shape of images, which as many features make."""
    fits = isinstance(shape, tuple | list) and len(shape) == 2
    if not fits or prod(shape) != prod(np.shape(X)[1:]):
        raise ArgumentError(
            f"`image_shape` must be (height, width), together {prod(np.shape(X)[1:])} features; "
            f"got {shape!r}."
        )
    height, width = (_checks.check_count("image_shape", side) for side in shape)
    return height, width


def _show(
    make: Callable[[], Session],
    title: str,
    port: int,
    allow_hosts: Iterable[str],
    open_browser: bool,
) -> Any:
    """A widget where one can be shown, and else a page."""
    if in_notebook():
        return widget(make())
    opens = _checks.check_bool("open_browser", open_browser)
    page = Page(make, title=title, port=port, allow_hosts=allow_hosts)
    if opens:
        webbrowser.open(page.url)
    return page
