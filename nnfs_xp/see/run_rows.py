"""The parts of the rows in a run's file, checked: each raises where it is of a wrong type."""

from __future__ import annotations

import base64
from math import ceil, inf, sqrt
from typing import Any

from nnfs_xp.see.thinning import rounded

LAYER_SERIES = ("gradient_norm", "update_size", "weight_norm", "dead")
LAYER_STRIPS = ("gradients", "outputs")
_MOST_BINS = 64
_MOST_PIXELS = 1 << 16
_LARGEST = 1 << 53


def as_number(value: object) -> float | None:
    """A finite number; None for null, NaN and infinity, and for what a float cannot hold."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("no number")
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if -inf < result < inf else None


def as_count(value: object) -> int:
    """A whole number that a browser can hold, from 0."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("no whole number")
    if not 0 <= value < _LARGEST:
        raise ValueError("out of range")
    return value


def as_text(value: object) -> str:
    """Text of at most 300 characters."""
    if not isinstance(value, str):
        raise TypeError("no text")
    # A lone surrogate passes JSON, but not UTF-8.
    return value[:300].encode("utf-8", "replace").decode("utf-8")


def as_list(value: object) -> list[Any]:
    """A list."""
    if not isinstance(value, list):
        raise TypeError("no list")
    return value


def as_shape(value: object) -> list[int]:
    """The height and the width of a picture of at most 65,536 pixels."""
    height, width = (as_count(side) for side in as_list(value))
    if not 0 < height * width <= _MOST_PIXELS:
        raise ValueError("no size of a picture")
    return [height, width]


def as_look(
    look: dict[str, Any],
) -> tuple[dict[str, float | None], dict[str, list[Any]], int | None]:
    """The numbers of a layer, its histograms, and how many units it has."""
    if not isinstance(look, dict):
        raise TypeError("no look")
    numbers = {key: as_number(look[key]) for key in LAYER_SERIES if key in look}
    strips = {key: _shades(look[key]) for key in LAYER_STRIPS if look.get(key) is not None}
    return numbers, strips, None if look.get("units") is None else as_count(look["units"])


def _shades(histogram: object) -> list[Any]:
    low, high, counts = as_list(histogram)
    counts = [as_number(count) or 0.0 for count in as_list(counts)[:_MOST_BINS]]
    if not counts or min(counts) < 0:
        raise ValueError("no histogram")
    most = max(counts) or 1.0
    shades = bytes(round(255 * sqrt(count / most)) for count in counts)
    return [rounded(as_number(low)), rounded(as_number(high)), base64.b64encode(shades).decode()]


def as_weights(weights: dict[str, Any]) -> dict[str, Any]:
    """The pictures of the first layer's weights, at most 16."""
    shape = as_shape(weights["shape"])
    return {
        "shape": shape,
        "low": rounded(as_number(weights["low"])),
        "high": rounded(as_number(weights["high"])),
        "images": [_image(image, shape) for image in as_list(weights["images"])[:16]],
    }


def as_wrong_sample(sample: dict[str, Any], shape: list[int] | None) -> dict[str, Any]:
    """A misclassified sample; its image only where the shape of images is known."""
    image = sample.get("image")
    return {
        "index": as_count(sample["index"]),
        "true": as_text(sample["true"]),
        "predicted": as_text(sample["predicted"]),
        "image": None if image is None or shape is None else _image(image, shape),
    }


def _image(image: object, shape: list[int]) -> str:
    if not isinstance(image, str):
        raise TypeError("no picture")
    n_pixels = shape[0] * shape[1]
    if len(image) != 4 * ceil(n_pixels / 3):
        raise ValueError("not the size of a picture")
    if len(base64.b64decode(image, validate=True)) != n_pixels:
        raise ValueError("not the bytes of a picture")
    return image
