"""Kernels that apply one formula to every number: see kernels/elementwise.cu."""

from __future__ import annotations

import math
from typing import Any

from minigan.backend.base import Array
from minigan.backend.cuda.launching import THREADS, grid_for, is_array, launch
from minigan.backend.cuda.layout import axes_together, distance, members
from minigan.backend.cuda.sources import signatures
from minigan.errors import DTypeError, ShapeError

LARGEST = 2**31  # kernels count numbers in 32 bits


def elementwise(name: str, **args: Any) -> None:
    """Launch an elementwise kernel.

    Args:
        name: of the kernel.
        args: its arrays and its numbers, as in its declaration; None for no array. All arrays have
            the shape (..., B, F) and the dtype of `out`, and may have gaps. The one with a length
            in the declaration may also be (..., 1, c), where F is a multiple of c: it is repeated
            along the rows of each member, whose numbers must lie together.
    """
    taken, out = signatures()[name], args["out"]
    arrays = {field: value for field, value in args.items() if is_array(value)}
    factor = next((field for field in arrays if f"{field}_length" in taken), "")
    repeated = factor and arrays[factor].shape != out.shape
    for field, array in arrays.items():
        is_row = field == factor and array.size and array.shape[:-1] == (*out.shape[:-2], 1)
        fits = not out.shape[-1] % array.shape[-1] if is_row else array.shape == out.shape
        if not fits:
            raise ShapeError(f"{name}: {array.shape} does not fit {out.shape}")
        if array.dtype != out.dtype:
            raise DTypeError(f"{name}: {array.dtype} does not fit {out.dtype}")
    _need_count(name, out.size)
    if not out.size:
        return
    axes = min(axes_together(array) for array in arrays.values())
    if repeated and axes < 1:
        raise ShapeError(f"{name} of rows needs the numbers of a row to lie together")
    axes = min(axes, 2) if repeated else axes
    distances = {f"{field}_row": distance(array, axes) for field, array in arrays.items()}
    # Piece by piece where there is more than one kind of gap, or a row for each member's rows.
    if None in distances.values() or (repeated and axes < 2 < out.ndim):
        for i in range(out.shape[0]):
            elementwise(name, **args | {field: array[i] for field, array in arrays.items()})
        return
    inner = math.prod(out.shape[out.ndim - axes :])
    if factor:
        args[f"{factor}_length"] = arrays[factor].shape[-1] if repeated else inner
    args |= {"n": out.size, "inner": inner, **distances}
    launch(name, out.dtype, grid_for(out.size), (THREADS,), args)


def for_each_number(name: str, out: Array, args: dict[str, Any]) -> None:
    """Launch a kernel for the n numbers of each member of `out` (..., B, F), in blockIdx.y."""
    n = out.shape[-2] * out.shape[-1]
    _need_count(name, n)
    if n:
        grid = (*grid_for(n), members(out))
        launch(name, out.dtype, grid, (THREADS,), {"n": n, **args})


def _need_count(name: str, n: int) -> None:
    if n >= LARGEST:
        raise ShapeError(f"{name}: {n:,} numbers are more than a kernel takes")
