"""The class of pictures: frame by frame, and in files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nnfs_xp import _checks
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.atomic import write_atomically
from nnfs_xp.interop.paths import path_of
from nnfs_xp.see import svg
from nnfs_xp.see.scene import Scene

_FORMATS = (".svg", ".png", ".pdf", ".gif")


class Picture:
    """A picture that is drawn frame by frame: what `nnfs_xp.see.graph` and `chapter` give.

    A notebook shows its last frame.

    Attributes
    ----------
    frames : tuple of str
        What each frame shows, in words.
    values : dict of str to float
        All numbers of the picture, unrounded, by the keys that its SVG names in ``data-key``:
        ``"0.weights[2,0]"`` and ``"0.dweights[2,0]"``, say.
    size : tuple of float
        Width and height of its SVG, in pixels.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.frames = scene.captions
        self.values: Mapping[str, float] = scene.values
        self.size = svg.size_of(scene)

    def __repr__(self) -> str:
        return f"<Picture: {self._scene.title}, {len(self.frames)} frames>"

    def svg(self, k: int = -1) -> str:
        """One frame as SVG, a file of its own.

        Parameters
        ----------
        k : int
            The number of the frame, from 0, or from the end where it is negative.

        Raises
        ------
        ArgumentError
            There is no such frame.
        """
        return svg.standalone(self._scene, self._frame(k))

    def animation(self) -> str:
        """All frames as one SVG that plays by itself, in a page and as an image too."""
        return svg.animation(self._scene)

    def _repr_svg_(self) -> str:
        return self.svg()

    def save(self, path: str | Path, *, frame: int = -1, animated: bool = False) -> Path:
        """Write the picture to a file, whole or not at all.

        Parameters
        ----------
        path : str or Path
            Its ending chooses the format: ``.svg``, ``.png``, ``.pdf``, or ``.gif``, which has all
            frames. All but SVG are drawn with Matplotlib (the extra ``plot``).
        frame : int
            Which frame; by default the last, which shows everything.
        animated : bool
            Have an SVG show all frames, one after the other.

        Returns
        -------
        Path

        Raises
        ------
        ArgumentError
            The path is none or has another ending; there is no such frame; or something else than
            an SVG is to be animated.
        BackendError
            Matplotlib is needed and not installed.
        OSError
            The file cannot be written.
        """
        path = path_of(path)
        ending = path.suffix.lower()
        if ending not in _FORMATS:
            known = ", ".join(_FORMATS)
            raise ArgumentError(f"`path` must end in one of {known}; got {str(path)!r}.")
        if animated and ending not in (".svg", ".gif"):
            raise ArgumentError(f"a {ending} stands still. Save an animation as .svg or .gif.")
        k = self._frame(frame)
        if ending == ".svg":
            text = self.animation() if animated else self.svg(k)
            write_atomically(path, text.encode())
            return path
        from nnfs_xp.see import raster

        if ending == ".gif":
            write_atomically(path, raster.gif(self._scene, len(self.frames)))
        else:
            write_atomically(path, raster.still(self._scene, k, ending[1:]))
        return path

    def _frame(self, k: int) -> int:
        n = max(len(self.frames), 1)
        k = _checks.check_count("frame", k, least=-n)
        if k >= n:
            raise ArgumentError(f"the picture has {n} frames, 0 to {n - 1}; got {k}.")
        return k % n
