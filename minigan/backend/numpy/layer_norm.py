"""Normalisation of each row by the mean and the spread of its own numbers.

The formulas are those of Ba, Kiros and Hinton, "Layer normalization", 2016, section 3.
"""

from __future__ import annotations

from minigan.backend.base import Array
from minigan.backend.numpy.algebra import mean, negate
from minigan.backend.numpy.pool import scratch
from minigan.backend.numpy.recording import np

# Slots of the temporaries: two are for `normalise_rows_backward`, which the curvature calls.
NUMBERS, ROWS, FIRST, SECOND = range(4)


def normalise_rows(X: Array, eps: float, std: Array, out: Array) -> None:
    """std (B, 1) = sqrt(v + eps),   out (B, F) = (x - m) / std

    m is the mean of a row x of X (B, F), and v the mean of (x - m)^2.
    """
    mean(X, out=std[..., 0])
    np.subtract(X, std, out=out)
    squares = scratch(X.shape, X.dtype.char, NUMBERS)
    np.multiply(out, out, out=squares)
    mean(squares, out=std[..., 0])
    np.add(std, eps, out=std)
    np.sqrt(std, out=std)
    np.divide(out, std, out=out)


def normalise_rows_backward(dY: Array, Y: Array, std: Array, out: Array) -> None:
    """out (B, F) = (dy - mean of dy - y mean of (dy y)) / std, with the y and std of forward"""
    row = scratch(std.shape, std.dtype.char, ROWS)
    through_statistics = scratch(dY.shape, dY.dtype.char, NUMBERS)
    np.multiply(dY, Y, out=through_statistics)
    mean(through_statistics, out=row[..., 0])
    np.multiply(Y, row, out=through_statistics)
    mean(dY, out=row[..., 0])
    np.add(through_statistics, row, out=through_statistics)
    np.subtract(dY, through_statistics, out=out)
    np.divide(out, std, out=out)


def normalise_rows_curvature(dY: Array, U: Array, Y: Array, std: Array, out: Array) -> None:
    """out (B, F) = -(mean of (u y) t(dy) + mean of (dy y) t(u) + mean of (dy t(u)) y) / std

    t is `normalise_rows_backward`. This is the gradient of the sum of dy t(u) by x.
    """
    tangent, total = (scratch(Y.shape, Y.dtype.char, slot) for slot in (FIRST, SECOND))
    normalise_rows_backward(U, Y, std, out=tangent)  # t(u)
    normalise_rows_backward(dY, Y, std, out=total)  # t(dy)
    row = scratch(std.shape, std.dtype.char, ROWS)
    terms = scratch(Y.shape, Y.dtype.char, NUMBERS)
    np.multiply(U, Y, out=terms)
    mean(terms, out=row[..., 0])
    np.multiply(total, row, out=total)
    for A, B, factor in ((dY, Y, tangent), (dY, tangent, Y)):
        np.multiply(A, B, out=terms)
        mean(terms, out=row[..., 0])
        np.multiply(factor, row, out=terms)
        np.add(total, terms, out=total)
    np.divide(total, std, out=total)
    negate(total, out=out)
