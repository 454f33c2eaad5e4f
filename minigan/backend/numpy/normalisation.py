"""Batch normalisation: statistics over all rows and pixels, for each channel.

X (B, n c) is seen as N = B n rows of c channels: rows of features have n = 1 and a channel for each
feature. The formulas are those of Ioffe and Szegedy, "Batch normalization", 2015, algorithm 1 and
section 3.
"""

from __future__ import annotations

from minigan.backend.base import Array
from minigan.backend.numpy.algebra import product, sum_rows
from minigan.backend.numpy.pixels import pixels, written_pixels
from minigan.backend.numpy.pool import full, scratch
from minigan.backend.numpy.recording import np

# Slots of the temporaries.
NUMBERS, INPUT, OUTPUT, ROW, INVERSE = range(5)


def batch_statistics(X: Array, mean: Array, variance: Array) -> None:
    """mean (1, c) = sum of x / N,   variance (1, c) = sum of (x - mean)^2 / N, of X (B, n c)"""
    X = pixels(X, mean.shape[-1], INPUT)  # (N, c)
    _mean_of_rows(X, mean)
    squares = scratch(X.shape, X.dtype.char, NUMBERS)
    np.subtract(X, mean, out=squares)
    np.multiply(squares, squares, out=squares)
    _mean_of_rows(squares, variance)


def normalise(
    X: Array,
    mean: Array,
    variance: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    normalised: Array,
    out: Array,
) -> None:
    """normalised (N, c) = (X - mean) / sqrt(variance + eps)

    out (B, n c) = gamma normalised + beta
    """
    X = pixels(X, gamma.shape[-1], INPUT)  # (N, c)
    np.subtract(X, mean, out=normalised)
    np.multiply(normalised, _inverse_std(variance, eps), out=normalised)
    with written_pixels(out, gamma.shape[-1], OUTPUT) as Y:  # (N, c)
        np.multiply(normalised, gamma, out=Y)
        np.add(Y, beta, out=Y)


def normalise_gradients(dY: Array, normalised: Array, dgamma: Array, dbeta: Array) -> None:
    """dgamma (1, c) = sum of dy normalised,   dbeta (1, c) = sum of dy

    Both sums are over the N rows of dY (B, n c) and normalised (N, c).
    """
    dY = pixels(dY, dgamma.shape[-1], INPUT)  # (N, c)
    terms = scratch(dY.shape, dY.dtype.char, NUMBERS)
    np.multiply(dY, normalised, out=terms)
    sum_rows(terms, dgamma)
    sum_rows(dY, dbeta)


def normalise_backward(
    dY: Array,
    normalised: Array,
    variance: Array,
    gamma: Array,
    eps: float,
    dgamma: Array,
    dbeta: Array,
    out: Array,
) -> None:
    """out (B, n c) = gamma / sqrt(variance + eps) (dY - dbeta / N - normalised dgamma / N)

    With zeros for dgamma and dbeta it is the gradient for constant statistics.
    """
    N = normalised.shape[-2]
    dY = pixels(dY, gamma.shape[-1], INPUT)  # (N, c)
    row = scratch(gamma.shape, gamma.dtype.char, ROW)
    through_statistics = scratch(dY.shape, dY.dtype.char, NUMBERS)
    np.multiply(dgamma, 1.0 / N, out=row)
    np.multiply(normalised, row, out=through_statistics)
    np.multiply(dbeta, 1.0 / N, out=row)
    np.add(through_statistics, row, out=through_statistics)
    with written_pixels(out, gamma.shape[-1], OUTPUT) as dX:  # (N, c)
        np.subtract(dY, through_statistics, out=dX)
        np.multiply(_inverse_std(variance, eps), gamma, out=row)
        np.multiply(dX, row, out=dX)


def _mean_of_rows(X: Array, out: Array) -> None:
    """out (1, c) = the mean of the rows of X (N, c), as a product"""
    N = X.shape[-2]
    product(full(1.0 / N, (1, N), X.dtype.char), X, out)


def _inverse_std(variance: Array, eps: float) -> Array:
    """1 / sqrt(variance + eps) (1, c), a temporary"""
    row = scratch(variance.shape, variance.dtype.char, INVERSE)
    np.add(variance, eps, out=row)
    np.sqrt(row, out=row)
    np.divide(1.0, row, out=row)
    return row
