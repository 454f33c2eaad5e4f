"""The format of frames.jsonl, the frames of a recorded run: JSON lines, one line a frame.

The first line is the header:

    {"frames": 1, "form": "number", "every": 50, "arrays": [ARRAY, ...], "scene": {...}}
    ARRAY = {"name": "after", "shape": [300], "levels": 4095, "range": [-1.6, 9.6]}

"scene" is what all frames have in common. Every other line is a frame, with a later step than the
one before it:

    {"step": 120, "values": {"d_real": 0.69}, "ranges": {"push": [-0.01, 0.01]}, "data": TEXT}

Each array is stored as codes, one for each number:

    code = 1 + round((x - low) / (high - low) * (levels - 1))    x is clipped to [low, high]
    code = 0                                                     x is NaN or infinite

[low, high] is the array's "range". Where that is null, each frame has a range of its own, in
"ranges". The codes are bytes if levels <= 255, otherwise little-endian integers of 16 bits. TEXT
is base64 of zlib of the codes of all arrays, in the order of the header.
"""

from __future__ import annotations

import base64
import json
import math
import operator
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from minigan.checks import number, whole
from minigan.errors import ShapeError
from minigan.reading import parse_json
from minigan.text import times

VERSION = 1
LONGEST_HEADER = 16 << 20  # bytes of the first line
MOST_ARRAYS = 64
MOST_IN_A_FRAME = 16 << 20  # bytes of the codes of a frame
LEVELS = 65535  # at most: what 16 bits hold, without code 0
ZLIB_LEVEL = 1  # the fastest; a replay page compresses all frames together once more


def encode(
    arrays: Mapping[str, NDArray[Any]], about: Sequence[dict[str, Any]]
) -> tuple[dict[str, list[float]], str]:
    """The "ranges" and the "data" of a frame.

    Args:
        arrays: by name, each of its shape; rounded to float32 first.
        about: "arrays" of the header.

    Raises:
        ShapeError: these are not the arrays of the header.
    """
    names = [one["name"] for one in about]
    if arrays.keys() != set(names):
        raise ShapeError(f"a frame has the arrays {names}, not {[*arrays]}")
    ranges, codes = {}, []
    for one in about:
        name = one["name"]
        with np.errstate(over="ignore"):  # then it is infinite
            x = np.asarray(arrays[name], np.float32)
        if x.shape != tuple(one["shape"]):
            raise ShapeError(f"{name} must be {times(one['shape'])}, not {times(x.shape)}")
        low, high = one["range"] or range_of(x)
        if one["range"] is None:
            ranges[name] = [low, high]
        codes.append(codes_of(x, one["levels"], low, high).tobytes())
    return ranges, base64.b64encode(zlib.compress(b"".join(codes), ZLIB_LEVEL)).decode()


def codes_of(array: NDArray[Any], levels: int, low: float, high: float) -> NDArray[Any]:
    """The codes of an array, uint8 or little-endian uint16 of its shape; see the module."""
    x = np.asarray(array, np.float32).astype(np.float64)
    finite = np.isfinite(x)
    part = (np.clip(np.where(finite, x, low), low, high) - low) / ((high - low) or 1.0)  # 0 to 1
    return np.where(finite, 1 + np.rint(part * (levels - 1)), 0).astype(dtype_of(levels))


def range_of(array: NDArray[Any]) -> tuple[float, float]:
    """The range of the finite numbers (float32).

    If they have both signs, it is symmetric: 0 is then stored as 0, if the levels are odd.
    """
    x = np.asarray(array, np.float32)
    x = x[np.isfinite(x)]
    if not x.size:
        return 0.0, 0.0
    low, high = float(x.min()), float(x.max())
    return (-max(-low, high), max(-low, high)) if low < 0 < high else (low, high)


def dtype_of(levels: int) -> np.dtype[Any]:
    """Of the codes of an array."""
    return np.dtype("u1" if levels <= 255 else "<u2")


def bytes_of(about: Mapping[str, Any]) -> int:
    """The bytes of an array's codes in each frame."""
    return int(math.prod(about["shape"]) * dtype_of(about["levels"]).itemsize)


def as_line(value: Mapping[str, Any]) -> bytes:
    """A line of the file; `ValueError` if it holds a number that is not finite."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def parse_header(line: bytes) -> dict[str, Any]:
    """The header in a line; one of the errors `UNEXPECTED` if it is none."""
    if not line.endswith(b"\n"):
        raise ValueError("its first line has no end")
    header = parse_json(line)
    if not isinstance(header, dict) or header.get("frames") != VERSION:
        raise ValueError(f"its first line is not a header of version {VERSION}")
    whole("every", header["every"], 1)
    arrays = header["arrays"]
    if not isinstance(header["form"], str) or not isinstance(header["scene"], dict):
        raise TypeError("its form is a name, and its scene an object")
    if not isinstance(arrays, list) or not 1 <= len(arrays) <= MOST_ARRAYS:
        raise ValueError(f"it has 1 to {MOST_ARRAYS} arrays")
    for one in arrays:
        if not isinstance(one["name"], str) or not one["name"].isidentifier():
            raise ValueError(f"the name of an array is {one['name']!r}")
        if not isinstance(one["shape"], list) or not 1 <= len(one["shape"]) <= 8:
            raise ValueError(f"{one['name']} has 1 to 8 axes")
        for size in one["shape"]:
            whole(f"the size of {one['name']}", size, 1, MOST_IN_A_FRAME)
        whole(f"the levels of {one['name']}", one["levels"], 2, LEVELS)
        if one["range"] is not None and not operator.lt(*_pair(one["name"], one["range"])):
            raise ValueError(f"the range of {one['name']} is {one['range']}")
    if len({one["name"] for one in arrays}) < len(arrays):
        raise ValueError("two arrays have one name")
    if sum(map(bytes_of, arrays)) > MOST_IN_A_FRAME:
        raise ValueError(f"a frame has more than {MOST_IN_A_FRAME:,} bytes")
    return header


def _pair(name: str, pair: Any) -> tuple[float, float]:
    """[low, high] of float32."""
    low, high = pair
    return number(f"the range of {name}", low), number(f"the range of {name}", high)


def whole_lines(file: BinaryIO, arrays: list[dict[str, Any]]) -> Iterator[bytes]:
    """The lines that end in a newline; `ValueError` for one too long to be a frame."""
    longest = 2 * sum(map(bytes_of, arrays)) + (1 << 20)
    while line := file.readline(longest):
        if not line.endswith(b"\n"):
            if len(line) == longest:
                raise ValueError(f"a line has more than {longest:,} bytes")
            return
        yield line


def parse_frame(line: bytes, arrays: list[dict[str, Any]]) -> dict[str, Any]:
    """The frame in a line, its data not decoded; one of `UNEXPECTED` if it is none."""
    frame = parse_json(line)
    own = {one["name"] for one in arrays if one["range"] is None}
    if not isinstance(frame, dict) or not isinstance(frame["data"], str):
        raise TypeError("a line is not a frame")
    whole("the step of a frame", frame["step"], 0, 2**53)
    for name, value in frame["values"].items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise TypeError(f"{name} of a frame is {value!r}")
    if frame["ranges"].keys() != own:
        raise ValueError(f"a frame has the ranges {[*frame['ranges']]}")
    for name in own:
        if operator.gt(*_pair(name, frame["ranges"][name])):
            raise ValueError(f"the range of {name} is {frame['ranges'][name]}")
    return frame


def decode(data: str, arrays: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """The codes in a frame's data by array; one of `UNEXPECTED` if they are damaged."""
    size = sum(map(bytes_of, arrays))
    unpacker = zlib.decompressobj()
    try:
        # One byte more than is expected: data that would unpack to gigabytes are noticed here.
        raw = unpacker.decompress(base64.b64decode(data, validate=True), size + 1)
    except zlib.error as error:
        raise ValueError(f"a frame cannot be unpacked: {error}") from None
    if len(raw) != size or not unpacker.eof or unpacker.unused_data:
        raise ValueError(f"a frame does not have the {size:,} bytes of its arrays")
    codes, start = {}, 0
    for one in arrays:
        flat = np.frombuffer(raw, dtype_of(one["levels"]), math.prod(one["shape"]), start)
        if flat.max() > one["levels"]:
            raise ValueError(f"a code of {one['name']} is above {one['levels']}")
        codes[one["name"]] = flat.reshape(one["shape"])
        start += flat.nbytes
    return codes
