"""Forged files for the fuzz tests: what damage and a stranger could make of a file of ours.

Written without the library, so that what both take for granted cannot hide a mistake.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from math import nan, prod
from random import Random
from typing import Any

ARRAYS = {"F64": "float64", "F32": "float32", "F16": "float16", "I64": "int64", "I32": "int32"}
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}
INFINITE = float("inf")

VALUES: list[Any] = [
    *(None, True, False, 0, 1, 2, 3, 7, -1, -3, 2**31, 2**53, 2**53 + 1, 2**63, 2**64),
    *(10**30, -(10**30), 10**400, 0.5, 1.5, -0.0, 1e308, nan, INFINITE, -INFINITE),
    *("", "a", "1", "nan", "../../../etc/passwd", "/dev/zero", "\0", "\ud800", "é☃", "x" * 5000),
    *("Dense", "Sequential", "Layer", "os.system", "__class__", "eval", "he_normal", "float64"),
    *([], {}, [1], [[]], {"class": "ReLU"}, {"class": "Dropout", "config": {"rate": 0.5}}),
    {"class": "Dense", "config": {"n_inputs": 2**20, "n_neurons": 2**20}},
    {"class": "Sequential", "layers": [{"class": "Tanh"}] * 50},
    *(
        "@[9",
        "@[90",
        "@[900",
        "@[90000",
        '@{"a":9',
        '@{"a":900',
        '@{"class":"Sequential","layers":[9',
    ),
    *('@{"class":"Sequential","layers":[90', '@{"class":"Sequential","layers":[900'),
]
"""Those that begin with @ stand for what comes next, so often within itself: see `_text`."""

CLASSES = ["Dense", "ReLU", "LeakyReLU", "Sigmoid", "Tanh", "Softmax", "Linear", "Dropout"]


def take_apart(content: bytes) -> tuple[str, dict[str, Any], dict[str, tuple[str, Any, bytes]]]:
    """The key in the metadata, the description, and each array's data type, shape and bytes."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    ((kind, text),) = header.pop("__metadata__").items()
    data = content[8 + length :]
    arrays = {
        name: (each["dtype"], each["shape"], data[slice(*each["data_offsets"])])
        for name, each in header.items()
    }
    return kind, json.loads(text), arrays


def put_together(
    kind: str, description: Any, arrays: dict[str, tuple[str, Any, bytes]], *, signed: bool = True
) -> bytes:
    """A file of these parts, whatever they are, with the checksum that fits where there is one."""
    if signed and isinstance(description, dict):
        description = sign(description, arrays)
    header: dict[str, Any] = {"__metadata__": {kind: _text(description)}}
    end = 0
    for name, (dtype, shape, data) in arrays.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = _text(header).encode()
    data = b"".join(data for _, _, data in arrays.values())
    return struct.pack("<Q", len(text)) + text + data


def sign(description: dict[str, Any], arrays: dict[str, tuple[str, Any, bytes]]) -> dict[str, Any]:
    """The description with the checksum of it and the arrays."""
    description = {name: each for name, each in description.items() if name != "crc32"}
    try:
        plain = json.loads(_text(description))
        crc = zlib.crc32(json.dumps(plain, sort_keys=True).encode())
        for name, (dtype, shape, data) in sorted(arrays.items()):
            crc = zlib.crc32(f"\n{name} {ARRAYS[dtype]} {tuple(shape)}\n".encode(), crc)
            crc = zlib.crc32(data, crc)
    except (LookupError, TypeError, ValueError, RecursionError):
        return description  # no checksum fits what can never be read
    return description | {"crc32": f"{crc:08x}"}


def _text(value: Any) -> str:
    """JSON, with what is nested deeper than Python's writer goes, and keys that come twice."""
    text = json.dumps(value)
    while '"@' in text:
        begin = text.index('"@')
        end = begin + 2
        while not (text[end] == '"' and text[end - 1] != "\\"):
            end += 1
        inner = json.loads(text[begin : end + 1])[1:]
        token = inner.rstrip("0123456789")
        depth = int(inner[len(token) :])
        closing = "".join({"[": "]", "{": "}"}.get(each, "") for each in reversed(token))
        core = '{"class":"ReLU"}' if "class" in token else "[]"
        text = text[:begin] + token * depth + core + closing * depth + text[end + 1 :]
    return text


def forge(content: bytes, random: Random) -> bytes:
    """Another file, made of this one: mostly well-formed, with a checksum that fits."""
    try:
        kind, description, arrays = take_apart(content)
        for _ in range(random.choice([1, 1, 1, 2, 3])):
            if random.random() < 0.6:
                description = _edit(description, random)
            else:
                arrays = _edit_arrays(arrays, random)
    except Exception:  # it was forged before, beyond understanding
        return damage(content, random)
    signed = random.random() < 0.9
    if random.random() < 0.02:
        kind = random.choice(["nnfs_xp model", "nnfs_xp checkpoint", "", "\0", "x" * 1000])
    try:
        forged = put_together(kind, description, arrays, signed=signed)
    except Exception:  # no header can say it
        return damage(content, random)
    return damage(forged, random) if random.random() < 0.05 else forged


def sign_again(content: bytes) -> bytes:
    """The same file with a checksum that fits, if it can be understood."""
    try:
        return put_together(*take_apart(content))
    except Exception:
        return content


def damage(content: bytes, random: Random) -> bytes:
    """Cut, flipped, spliced, or with another length of the header."""
    if not content:
        return bytes(random.choices(range(256), k=random.randrange(40)))
    place = random.randrange(len(content))
    way = random.randrange(6)
    if way == 0:
        return content[:place]
    if way == 1:
        flipped = bytearray(content)
        flipped[place] ^= 1 << random.randrange(8)
        return bytes(flipped)
    if way == 2:
        other = random.randrange(len(content))
        return content[:place] + content[other : other + random.randrange(64)] + content[place:]
    if way == 3:
        return content[:place] + content[place + random.randrange(1, 16) :]
    if way == 4:
        length = random.choice([0, 1, 2**16, 10**8, 10**8 + 1, 2**31, 2**63, 2**64 - 1, place])
        return struct.pack("<Q", length) + content[8:]
    return content[:place] + bytes(random.choices(range(256), k=4)) + content[place + 4 :]


def _edit(tree: Any, random: Random) -> Any:
    """The same JSON, with another value, key or order somewhere in it."""
    tree = json.loads(json.dumps(tree))
    place = random.choice(list(_places(tree)) or [None])
    if place is None:
        return random.choice(VALUES)
    parent, key = place
    way, value = random.randrange(8), parent[key]
    if way == 0:
        del parent[key]
    elif way == 1 and isinstance(parent, dict):
        parent[str(random.choice(VALUES))[:200]] = parent.pop(key)
    elif way == 2:
        other_parent, other_key = random.choice(list(_places(tree)))
        parent[key] = json.loads(json.dumps(other_parent[other_key]))
    elif way == 3 and isinstance(value, int | float) and not isinstance(value, bool):
        parent[key] = random.choice([value + 1, value - 1, -value, value * 2, value + 0.5])
    elif way == 4 and isinstance(parent, list):
        parent.insert(key, random.choice([value, *VALUES]))
    elif way == 5 and isinstance(value, str):
        parent[key] = random.choice([*CLASSES, value * 2, value + "\0", value.lower()])
    else:
        parent[key] = random.choice(VALUES)
    return tree


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Each container in the tree with each of its keys or indices."""
    left = [tree]
    while left:
        each = left.pop()
        keys = (
            list(each)
            if isinstance(each, dict)
            else range(len(each))
            if isinstance(each, list)
            else ()
        )
        for key in keys:
            yield each, key
            left.append(each[key])


def _edit_arrays(
    arrays: dict[str, tuple[str, Any, bytes]], random: Random
) -> dict[str, tuple[str, Any, bytes]]:
    """The same arrays, one missing, added, or of another name, shape, data type or values."""
    arrays = dict(arrays)
    if not arrays:
        return {"weights": ("F32", [1], bytes(4))}
    name = random.choice(list(arrays))
    dtype, shape, data = arrays[name]
    way = random.randrange(8)
    if way == 0:
        del arrays[name]
    elif way == 1:
        arrays[random.choice([name + "x", "../" + name, "\0", "callback.7.x", "x" * 3000, "é"])] = (
            random.choice([("F32", [2], bytes(8)), ("I64", [], bytes(8)), arrays[name]])
        )
    elif way == 2:
        del arrays[name]
        arrays[
            random.choice(["weights", "biases", "totals.loss", "totals.count", "a", name[1:]])
        ] = (
            dtype,
            shape,
            data,
        )
    elif way == 3:  # of another data type, the shape changed to fit, or not
        other = random.choice(list(SIZES))
        fits = len(data) % SIZES[other] == 0 and random.random() < 0.8
        arrays[name] = (other, [len(data) // SIZES[other]] if fits else shape, data)
    elif way == 4:
        forms = [shape[::-1], [prod(shape)], [1, *shape], [prod(shape), 1], [*shape, 0]]
        forms += [[2**63, 2], [2**32, 2**32], [-1], [2**40, 0], [0] * 70, [1] * 70, None, "12"]
        arrays[name] = (dtype, random.choice(forms), data)
    elif way == 5 and dtype in ("F32", "F64") and data:
        code, size = {"F32": ("<f", 4), "F64": ("<d", 8)}[dtype]
        place = random.randrange(len(data) // size) * size
        value = random.choice([nan, INFINITE, -INFINITE, 1e38, -1.0, 0.0, 1e-40])
        arrays[name] = (
            dtype,
            shape,
            data[:place] + struct.pack(code, value) + data[place + size :],
        )
    elif way == 6:
        count = random.choice([-1, 0, 1, 5, 7, 2**62])
        arrays[name] = (
            dtype,
            shape,
            struct.pack("<q", count) if dtype == "I64" else bytes(len(data)),
        )
    else:
        arrays[name] = (dtype, shape, bytes(random.choices(range(256), k=len(data))))
    return arrays
