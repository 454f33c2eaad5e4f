"""Rows of features as rows of pixels: (B, n c) as (B n, c), where c is the number of channels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from minigan.backend.base import Array
from minigan.backend.cuda.layout import axes_together
from minigan.backend.cuda.memory import copy, scratch
from minigan.errors import ShapeError


def pixels(X: Array, channels: int) -> Array:
    """X (B, n c) as (B n, c): a view if there are no gaps between its rows, else a temporary.

    Raises:
        ShapeError: the features are no multiple of the channels.
    """
    if X.shape[-1] == channels:
        return X
    if axes_together(X) < 2:
        packed = _temporary(X)
        copy(X, out=packed)
        X = packed
    return _as_pixels(X, channels)


@contextlib.contextmanager
def written_pixels(out: Array, channels: int) -> Iterator[Array]:
    """The same for a result: what is written into it is in `out` at the end of the block."""
    if out.shape[-1] == channels:
        yield out
    elif axes_together(out) >= 2:
        yield _as_pixels(out, channels)
    else:
        packed = _temporary(out)
        yield _as_pixels(packed, channels)
        copy(packed, out=out)


def _temporary(X: Array) -> Array:
    return scratch("pixels", X.shape, str(X.dtype))


def _as_pixels(X: Array, channels: int) -> Array:
    """A view; CuPy's `reshape` would copy where there are gaps between the rows."""
    if X.shape[-1] % channels:
        raise ShapeError(f"rows of {X.shape[-1]} features are no pixels of {channels} channels")
    return X.reshape(*X.shape[:-2], X.shape[-2] * (X.shape[-1] // channels), channels)
