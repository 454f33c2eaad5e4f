"""How arrays lie in memory: their strides, counted in numbers.

The last axes of an array often lie together, without a gap. They are a *row* for a kernel, which
takes the distance from each row to the next.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

from minigan.backend.base import Array
from minigan.errors import DTypeError, ShapeError


@functools.lru_cache(maxsize=4096)
def _together(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> int:
    size = itemsize
    for axes, (length, stride) in enumerate(zip(reversed(shape), reversed(strides), strict=True)):
        if length != 1 and stride != size:
            return axes
        size *= length
    return len(shape)


@functools.lru_cache(maxsize=4096)
def _distance(
    shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int, axes: int
) -> int | None:
    outer = [
        (length, stride // itemsize)
        for length, stride in zip(shape[: len(shape) - axes], strides, strict=False)
        if length != 1
    ]
    for (_, stride), (length, below) in itertools.pairwise(outer):
        if stride != length * below:
            return None
    return outer[-1][1] if outer else 0


def axes_together(X: Array) -> int:
    """How many of the last axes of an array lie together, without a gap."""
    return _together(X.shape, X.strides, X.dtype.itemsize)


def distance(X: Array, axes: int) -> int | None:
    """From a row to the next, where a row is the last `axes` axes.

    None if there is no such distance, because the other axes do not form one.
    """
    return _distance(X.shape, X.strides, X.dtype.itemsize, axes)


def members(X: Array, axes: int = 2) -> int:
    """How many rows of the last `axes` axes an array has: with 2, the networks of a population."""
    return math.prod(X.shape[: X.ndim - axes])


def member_distance(X: Array, axes: int = 2) -> int:
    """As `distance`; without one this is an error."""
    found = distance(X, axes)
    if found is None:
        raise ShapeError(f"a kernel cannot walk over an array of shape {X.shape} with such gaps")
    return found


def row_distance(X: Array) -> int:
    """From a row of a matrix (..., B, F) to the next; the numbers of a row must lie together."""
    if X.shape[-1] != 1 and X.strides[-1] != X.dtype.itemsize:
        raise ShapeError("a kernel needs the numbers of a row to lie together")
    if X.shape[-2] == 1:
        return int(X.shape[-1])
    return int(X.strides[-2] // X.dtype.itemsize)


def matrices(**arrays: Array) -> dict[str, Any]:
    """Matrices (..., B, F) as arguments, with their distances: from row to row, and by member."""
    args: dict[str, Any] = {}
    for name, X in arrays.items():
        args |= {name: X, f"{name}_row": row_distance(X), f"{name}_member": member_distance(X)}
    return args


def need_dtype(name: str, dtype: Any, *arrays: Array) -> None:
    """Raise `DTypeError` unless these arrays have the dtype of the result."""
    for array in arrays:
        if array.dtype != dtype:
            raise DTypeError(f"{name}: {array.dtype} does not make {dtype}")


def need_no_gaps(name: str, *arrays: Array) -> None:
    """Raise `ShapeError` unless these arrays are contiguous."""
    if not all(array.flags.c_contiguous for array in arrays):
        raise ShapeError(f"{name} needs arrays without gaps")
