"""The figures of the chapter on backpropagation, from a real run of the library's layers."""

from __future__ import annotations

from dataclasses import replace

from nnfs_xp.backend import Backend, get_backend
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import Dense, ReLU, Sequential
from nnfs_xp.see.graphs import scene_of
from nnfs_xp.see.picture import Picture
from nnfs_xp.see.tracing import trace

INPUTS = ((1.0, -2.0, 3.0),)
WEIGHTS = ((-3.0,), (-1.0,), (2.0,))
BIAS = ((1.0,),)
N_FIGURES = 18


def neuron(backend: str | Backend = "numpy") -> Sequential:
    """The chapter's neuron: three inputs, their weights, a bias, and a ReLU; in float64."""
    dense = Dense(3, 1, dtype="float64")
    dense.weights, dense.biases = WEIGHTS, BIAS
    return Sequential(dense, ReLU()).to(backend)


def chapter(figure: str = "9-18", *, backend: str | Backend = "numpy") -> Picture:
    """One of the figures 9-1 to 9-18 of *Neural Networks from Scratch*, chapter 9.

    Values are black, derivatives red. They come from one run of ``Dense(3, 1)`` and ``ReLU`` with
    the chapter's numbers: inputs 1, -2, 3, weights -3, -1, 2 and bias 1.

    Parameters
    ----------
    figure : str
        ``"9-1"`` to ``"9-3"`` form the products, ``"9-4"`` and ``"9-5"`` the sum and the ReLU;
        ``"9-6"`` begins the way back with a derivative of 1, ``"9-7"`` goes through the ReLU,
        ``"9-8"`` to ``"9-11"`` through the sum, ``"9-12"`` to ``"9-17"`` through the products, and
        ``"9-18"`` is the complete graph.
    backend : str or Backend
        Where the layers run: the figures are the same on each.

    Returns
    -------
    Picture
        Its last frame is the figure; those before it lead up to it. That of 9-18 is an animation
        of all.

    Raises
    ------
    ArgumentError
        There is no such figure.
    BackendError
        The backend cannot be used.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> picture = nn.see.chapter("9-7")
    >>> len(picture.frames), picture.frames[-1]
    (7, 'Back through layer 1, ReLU.')
    >>> picture.values["0.dvalues[0]"]
    1.0
    """
    number = _number(figure)
    model = neuron(get_backend(backend))
    seen = trace(model, INPUTS, dvalues=((1.0,),))
    scene = scene_of(seen, fine=True, title=f"Figure 9-{number}: backpropagation through a neuron")
    assert len(scene.captions) == N_FIGURES
    items = tuple(each for each in scene.items if each.born < number)
    shown = {each.key for each in items}
    values = {key: value for key, value in scene.values.items() if key in shown}
    return Picture(replace(scene, items=items, captions=scene.captions[:number], values=values))


def _number(figure: object) -> int:
    # A number would not do: 9.1 is 9.10.
    text = figure.strip().replace(".", "-") if isinstance(figure, str) else ""
    start, _, number = text.partition("-")
    if start == "9" and number.isdecimal() and 1 <= int(number) <= N_FIGURES:
        return int(number)
    raise ArgumentError(f"`figure` must be one of 9-1 to 9-{N_FIGURES}; got {figure!r}.")
