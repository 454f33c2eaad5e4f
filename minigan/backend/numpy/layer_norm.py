"""Normalisation of each row by the mean and the spread of its own numbers.

The formulas are those of Ba, Kiros and Hinton, "Layer normalization", 2016, section 3.
"""

from __future__ import annotations

from minigan.backend.base import Array
from minigan.backend.numpy.pool import scratch
from minigan.backend.numpy.recording import np

# Slots of the temporaries: two are for `normalise_rows_backward`, which the curvature calls.
NUMBERS, ROWS, FIRST, SECOND = range(4)


def normalise_rows(X: Array, eps: float, std: Array, out: Array) -> None:
    """std (B, 1) = sqrt(v + eps),   out (B, F) = (x - m) / std

    m is the mean of a row x of X (B, F), and v the mean of (x - m)^2.
    """
    _mean_of_each(X, std)
    np.subtract(X, std, out=out)
    squares = scratch(X.shape, X.dtype.char, NUMBERS)
    np.multiply(out, out, out=squares)
    _mean_of_each(squares, std)
    np.add(std, eps, out=std)
    np.sqrt(std, out=std)
    np.divide(out, std, out=out)


def normalise_rows_backward(dY: Array, Y: Array, std: Array, out: Array) -> None:
    """out (B, F) = (dy - mean of dy - y mean of (dy y)) / std, with the y and std of forward"""
    row = scratch(std.shape, std.dtype.char, ROWS)
    through_statistics = scratch(dY.shape, dY.dtype.char, NUMBERS)
    np.multiply(dY, Y, out=through_statistics)
    _mean_of_each(through_statistics, row)
    np.multiply(Y, row, out=through_statistics)
    _mean_of_each(dY, row)
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
    _mean_of_each(terms, row)
    np.multiply(total, row, out=total)
    for A, B, factor in ((dY, Y, tangent), (dY, tangent, Y)):
        np.multiply(A, B, out=terms)
        _mean_of_each(terms, row)
        np.multiply(factor, row, out=terms)
        np.add(total, terms, out=total)
    np.divide(total, std, out=total)
    np.negative(total, out=out)


def _mean_of_each(X: Array, out: Array) -> None:
    """out (B, 1) = the mean of each row of X (B, F)"""
    np.add.reduce(X, axis=-1, keepdims=True, out=out)
    np.multiply(out, 1.0 / X.shape[-1], out=out)
