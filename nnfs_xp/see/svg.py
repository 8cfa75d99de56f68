"""Scenes as SVG."""

from __future__ import annotations

from functools import cache
from html import escape
from importlib.resources import files

from nnfs_xp.see.scene import Box, Image, Item, Line, Scene, Text

SECONDS = 1.4
"""How long a frame of an animation lasts."""

CAPTION = 30.0


def standalone(scene: Scene, frame: int) -> str:
    """One frame as a whole file: with its style, and its caption above it."""
    items = [_tag(each, each.born == frame > 0) for each in scene.items if each.born <= frame]
    caption = _caption(scene.captions[frame]) if scene.captions else ""
    style = f"<style>{picture_style()}</style>"
    return _whole(
        scene, [style, caption, *_lowered(items)], f"{scene.title}. {_said(scene, frame)}"
    )


def animation(scene: Scene) -> str:
    """All frames as one file that plays by itself, over and over, by its style alone.

    Where less motion is asked for it shows the last frame.
    """
    n = max(len(scene.captions), 1)
    length = (n + 1) * SECONDS  # the last frame stays twice as long
    rules = []
    for k in range(1, n):
        share = 100 * k / (n + 1)
        rules.append(
            f"@keyframes born{k}"
            f"{{0%,{share:.3f}%{{opacity:0}}{share + 0.01:.3f}%,100%{{opacity:1}}}}"
            f".born{k}{{animation:born{k} {length}s infinite}}"
        )
    captions = []
    for k, text in enumerate(scene.captions):
        start, end = 100 * k / (n + 1), 100 * ((k + 1) if k < n - 1 else n + 1) / (n + 1)
        before = f"0%,{start:.3f}%{{opacity:0}}" if k else ""
        after = f"{end:.3f}%,100%{{opacity:0}}" if k < n - 1 else ""
        rules.append(
            f"@keyframes says{k}"
            f"{{{before}{start + 0.01:.3f}%,{end - 0.01:.3f}%{{opacity:1}}{after}}}"
            f".says{k}{{opacity:{int(k == n - 1)};animation:says{k} {length}s infinite}}"
        )
        captions.append(_caption(text, f" says{k}"))
    rules.append("@media (prefers-reduced-motion:reduce){[class]{animation:none!important}}")
    style = f"<style>{picture_style()}{''.join(rules)}</style>"
    items = [_tag(each, False, f" born{each.born}" if each.born else "") for each in scene.items]
    return _whole(scene, [style, *captions, *_lowered(items)], scene.title)


def live(scene: Scene) -> str:
    """All items with the frame that each is born in, for a page that has the style already."""
    items = [_tag(each, False, frame=True) for each in scene.items]
    size = f'viewBox="0 0 {scene.width:.0f} {scene.height:.0f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="see-picture" role="img" {size} '
        f'width="{scene.width:.0f}" height="{scene.height:.0f}">{"".join(items)}</svg>'
    )


def patch(scene: Scene) -> dict[str, dict[str, str]]:
    """What changes from pass to pass, by key."""
    return {each.key: each.live() for each in scene.items if each.key is not None}


@cache
def picture_style() -> str:
    """The style sheet of pictures."""
    return (files("nnfs_xp.see") / "assets" / "picture.css").read_text("utf-8")


def _said(scene: Scene, frame: int) -> str:
    return scene.captions[frame] if scene.captions else ""


def _lowered(items: list[str]) -> list[str]:
    """The items below the caption."""
    return [f'<g transform="translate(0 {CAPTION:.0f})">', *items, "</g>"]


def _caption(text: str, more: str = "") -> str:
    return f'<text class="see-caption{more}" x="14" y="22">{escape(text)}</text>'


def size_of(scene: Scene) -> tuple[float, float]:
    """Width and height with the caption, no narrower than the longest of these."""
    width = max([scene.width, *(7.2 * len(text) + 28 for text in scene.captions)])
    return width, scene.height + CAPTION


def _whole(scene: Scene, parts: list[str], label: str) -> str:
    width, height = size_of(scene)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="see-picture see-alone" role="img" '
        f'aria-label="{escape(label)}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}"><title>{escape(scene.title)}</title>'
        f'<rect class="see-ground" width="100%" height="100%"/>{"".join(parts)}</svg>'
    )


def _tag(item: Item, new: bool, more: str = "", *, frame: bool = False) -> str:
    kind = item.kind + more + (" see-new" if new else "")
    shared = f'class="{kind}"'
    if item.key is not None:
        shared += f' data-key="{escape(item.key)}"'
    if frame:
        shared += f' data-frame="{item.born}"'
    x, y = f"{item.x:.1f}", f"{item.y:.1f}"
    match item:
        case Text():
            at = f'x="{x}" y="{y}" text-anchor="{item.anchor}"'
            return f"<text {shared} {at}>{escape(item.text)}</text>"
        case Box():
            at = f'x="{x}" y="{y}" width="{item.width:.1f}" height="{item.height:.1f}" rx="5"'
            return f"<rect {shared} {at}/>"
        case Line():
            at = f'x1="{x}" y1="{y}" x2="{item.to_x:.1f}" y2="{item.to_y:.1f}"'
            return f'<line {shared} {at} stroke-width="{item.width:.2f}"/>'
        case Image():
            live = " ".join(f'{name}="{escape(value)}"' for name, value in item.live().items())
            return f'<image {shared} x="{x}" y="{y}" preserveAspectRatio="none" role="img" {live}/>'
    raise AssertionError(item)
