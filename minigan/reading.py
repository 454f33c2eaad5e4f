"""JSON from files that anyone may have written: size, depth and numbers are limited."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, NoReturn

from minigan.files import require_regular

MOST_BITS = 128  # of an integer, such as a seed
DEEPEST = 32  # levels of lists and dictionaries


def read_json(path: Path, most: int) -> Any:
    """The content of a file of at most `most` bytes that `parse_json` accepts.

    Raises:
        OSError: it cannot be read, or is not a regular file.
        ValueError: it is larger, or not such JSON.
    """
    require_regular(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ValueError(f"it has {size:,} bytes, more than the {most:,} that are accepted")
        return parse_json(file.read(size))


def parse_json(text: str | bytes) -> Any:
    """JSON that other code can rely on.

    Integers have at most 128 bits, floats are finite, and lists and objects are nested at most 32
    levels deep.

    Raises:
        ValueError: it is not such JSON.
    """
    try:
        value = json.loads(text, parse_int=_integer, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        value = _too_deep()
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [inner for one in level for inner in _inside(one)]
    return _too_deep() if level else value


def _inside(value: Any) -> list[Any]:
    """The values in a list or dictionary; those of anything else are none."""
    if isinstance(value, dict):
        return [*value.values()]
    return value if isinstance(value, list) else []


def _too_deep() -> NoReturn:
    raise ValueError(f"it is nested more than {DEEPEST} levels deep")


def _integer(digits: str) -> int:
    # Long numbers are not converted: that takes time that grows with the square of their length.
    if len(digits) > MOST_BITS or int(digits).bit_length() > MOST_BITS:
        raise ValueError(f"the number {digits[:20]}... has more than {MOST_BITS} bits")
    return int(digits)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is not a finite number")
    return value
