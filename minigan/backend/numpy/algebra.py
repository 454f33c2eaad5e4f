"""Sums and products of matrices."""

from __future__ import annotations

from minigan.backend.base import Array
from minigan.backend.numpy.pixels import pixels, written_pixels
from minigan.backend.numpy.pool import full
from minigan.backend.numpy.recording import np


def matmul(
    A: Array,
    B: Array,
    out: Array,
    transpose_A: bool = False,
    transpose_B: bool = False,
) -> None:
    """out = A B, with either factor transposed on request. `out` must be neither of them."""
    product(A.mT if transpose_A else A, B.mT if transpose_B else B, out)


def add(A: Array, B: Array, out: Array) -> None:
    """out = A + B"""
    np.add(A, B, out=out)


def add_rows(X: Array, row: Array, out: Array) -> None:
    """out = X + row, the row (1, c) added to each row of X (B, c), or to its n pixels (B, n c)"""
    with written_pixels(out, row.shape[-1], 1) as to:  # (B n, c)
        np.add(pixels(X, row.shape[-1], 0), row, out=to)


def multiply_rows(X: Array, row: Array, out: Array) -> None:
    """out = X * row, the row (1, c) times each row of X (B, c), or times its n pixels (B, n c)"""
    with written_pixels(out, row.shape[-1], 1) as to:  # (B n, c)
        np.multiply(pixels(X, row.shape[-1], 0), row, out=to)


def sum_rows(X: Array, out: Array) -> None:
    """out (1, c) = the sum of the rows of X (B, c), or of its pixels (B, n c), as a product"""
    X = pixels(X, out.shape[-1], 0)  # (B n, c)
    product(full(1.0, (1, X.shape[-2]), X.dtype.char), X, out)


def negate(X: Array, out: Array) -> None:
    """out = -X"""
    # np.negative is wrong in NumPy 2.4 where float32 numbers are 16 bytes apart: one of 4 columns.
    np.multiply(X, -1.0, out=out)


def scale(X: Array, factor: float, out: Array) -> None:
    """out = factor X"""
    np.multiply(X, factor, out=out)


def multiply(A: Array, B: Array, out: Array) -> None:
    """out = A * B, number by number"""
    np.multiply(A, B, out=out)


def mean(X: Array, out: Array) -> None:
    """out (...) = the mean over the last axis of X (..., N)"""
    np.add.reduce(X, axis=-1, out=out)
    np.multiply(out, 1.0 / X.shape[-1], out=out)


def product(A: Array, B: Array, out: Array) -> None:
    """out = A B. NumPy's `dot` reaches BLAS by a shorter way than `matmul`, and for any shape.

    But it copies a factor whose rows have gaps. For a population there is only `matmul`, which
    takes ten times as long as a plain multiplication for a column times a row: no sums are needed.
    """
    if out.ndim == 2 and out.flags.c_contiguous and A.flags.forc and B.flags.forc:
        np.dot(A, B, out)
    elif out.ndim > 2 and A.shape[-1] == 1:
        np.multiply(A, B, out=out)  # (S, M, 1) (S, 1, N)
    else:
        np.matmul(A, B, out=out)
