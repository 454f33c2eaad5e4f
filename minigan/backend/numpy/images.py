"""Batches taken out of a data set: some of its rows, or images stored as bytes."""

from __future__ import annotations

from minigan.backend.base import Array
from minigan.backend.numpy.pool import scratch
from minigan.backend.numpy.recording import np


def take_rows(X: Array, index: Array, out: Array) -> None:
    """out (B, I) = the rows of X (N, I) at index (B,), which must lie in [0, N)"""
    np.take(X, index, axis=-2, out=out, mode="clip")  # "raise" would buffer the result


def take_pixels(X: Array, index: Array, out: Array) -> None:
    """out (B, I) = (X[index] - 127.5) / 127.5: bytes X (N, I) as numbers in [-1, 1]"""
    pixels = scratch(out.shape, "B")
    np.take(X, index, axis=-2, out=pixels, mode="clip")
    np.copyto(out, pixels)
    np.subtract(out, 127.5, out=out)
    np.multiply(out, 1.0 / 127.5, out=out)
