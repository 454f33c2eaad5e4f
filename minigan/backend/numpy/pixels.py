"""Rows of features as rows of pixels: (B, n c) as (B n, c), where c is the number of channels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from minigan.backend.base import Array
from minigan.backend.numpy.pool import scratch
from minigan.backend.numpy.recording import np


def pixels(X: Array, channels: int, slot: int) -> Array:
    """X (B, n c) as (B n, c): a view if there are no gaps between its rows, else a temporary copy.

    `reshape` alone would copy to new memory, which a recorded step must not do. `slot` is the
    caller's slot for the temporary.
    """
    if X.shape[-1] == channels:
        return X
    if not X.flags.c_contiguous:
        packed = scratch(X.shape, X.dtype.char, slot)
        np.copyto(packed, X)
        X = packed
    return X.reshape(*X.shape[:-2], -1, channels)


@contextlib.contextmanager
def written_pixels(out: Array, channels: int, slot: int) -> Iterator[Array]:
    """The same for a result: what is written into it is in `out` at the end of the block."""
    if out.shape[-1] == channels:
        yield out
    elif out.flags.c_contiguous:
        yield out.reshape(*out.shape[:-2], -1, channels)
    else:
        packed = scratch(out.shape, out.dtype.char, slot)
        yield packed.reshape(*out.shape[:-2], -1, channels)
        np.copyto(out, packed)
