"""Losses with their gradients, and the record of a run's losses."""

from __future__ import annotations

from typing import Any

from minigan.backend.base import Array
from minigan.backend.numpy.activations import sigmoid
from minigan.backend.numpy.algebra import mean
from minigan.backend.numpy.pool import full, scratch
from minigan.backend.numpy.recording import np

# PyTorch's conventions for the BCE of probabilities 0 and 1 (torch.nn.BCELoss).
MIN_LOG = -100.0
MIN_VARIANCE = 1e-12
# The smallest positive number, whose logarithm is below MIN_LOG.
_TINY = {"f": 2.0**-149, "d": 2.0**-1074}


def bce_loss(P: Array, targets: Any, out: Array) -> None:
    """out (...) = the mean of -(t log p + (1 - t) log(1 - p)) over the last axis of P (..., N)

    At p = 0 or 1 a logarithm is infinite. Each is clamped to at least -100, as PyTorch does.
    """
    dtype = P.dtype.char
    tiny, least = full(_TINY[dtype], P.shape, dtype), full(MIN_LOG, P.shape, dtype)
    log_p = scratch(P.shape, dtype, 0)
    log_q = scratch(P.shape, dtype, 1)  # q = 1 - p
    np.subtract(1.0, P, out=log_q)
    np.maximum(log_q, tiny, out=log_q)
    np.maximum(P, tiny, out=log_p)
    np.log(log_q, out=log_q)
    np.log(log_p, out=log_p)
    np.maximum(log_q, least, out=log_q)
    np.maximum(log_p, least, out=log_p)
    # -(t log p + (1 - t) log q) = t (log q - log p) - log q
    np.subtract(log_q, log_p, out=log_p)
    np.multiply(log_p, targets, out=log_p)
    np.subtract(log_p, log_q, out=log_p)
    mean(log_p, out)


def bce_gradient(P: Array, targets: Any, n: int, out: Array) -> None:
    """out = (p - t) / (p (1 - p)) / n: the gradient of a mean over n terms, P (B, O) among them

    p (1 - p) is clamped to at least 1e-12, as PyTorch does.
    """
    dtype = P.dtype.char
    difference = scratch(P.shape, dtype, 0)
    variance = scratch(P.shape, dtype, 1)
    np.subtract(1.0, P, out=difference)
    np.multiply(difference, P, out=variance)
    np.maximum(variance, MIN_VARIANCE, out=difference)
    if n > 1:
        np.multiply(difference, float(n), out=difference)
    np.subtract(P, targets, out=variance)
    np.divide(variance, difference, out=out)


def bce_with_logits_loss(logits: Array, targets: Any, out: Array) -> None:
    """out (...) = the mean of max(x, 0) - x t + log(1 + exp(-|x|)) over the last axis of (..., N)

    The log-sum-exp form of the BCE of sigmoid(x): the exponent is never positive.
    """
    dtype = logits.dtype.char
    terms = scratch(logits.shape, dtype, 0)
    other = scratch(logits.shape, dtype, 1)
    np.abs(logits, out=terms)
    np.negative(terms, out=terms)
    np.exp(terms, out=terms)
    np.log1p(terms, out=terms)
    np.maximum(logits, full(0.0, logits.shape, dtype), out=other)
    np.add(terms, other, out=terms)
    np.multiply(logits, targets, out=other)
    np.subtract(terms, other, out=terms)
    mean(terms, out)


def bce_with_logits_gradient(logits: Array, targets: Any, n: int, out: Array) -> None:
    """out = (sigmoid(x) - t) / n: the gradient of a mean over n terms, x (B, O) among them"""
    probability = scratch(logits.shape, logits.dtype.char, 2)
    sigmoid(logits, out=probability)
    np.subtract(probability, targets, out=out)
    np.multiply(out, 1.0 / n, out=out)


def softmax_cross_entropy_loss(logits: Array, targets: Array, out: Array) -> None:
    """out (...) = the mean over B of log(sum_k exp(x_k)) - sum_k t_k x_k, logits (..., B, K)

    A row of targets (..., B, K) holds the probabilities of the K classes. Usually it is one-hot.
    The row's maximum is subtracted first, so exp never overflows; as a row of targets sums to 1,
    the difference stays the same.
    """
    dtype = logits.dtype.char
    row = (*logits.shape[:-1], 1)
    shifted = scratch(logits.shape, dtype, 0)  # (B, K)
    terms = scratch(logits.shape, dtype, 1)  # (B, K)
    total = scratch(row, dtype, 2)  # (B, 1)
    chosen = scratch(row, dtype, 3)  # (B, 1)
    excluded = scratch(logits.shape, "?")  # (B, K)
    _subtract_peak(logits, out=shifted)
    np.exp(shifted, out=terms)
    np.add.reduce(terms, axis=-1, keepdims=True, out=total)
    np.log(total, out=total)
    np.equal(targets, 0.0, out=excluded)
    np.copyto(shifted, 0.0, where=excluded)  # an infinite logit times 0 is NaN
    np.multiply(shifted, targets, out=terms)
    np.add.reduce(terms, axis=-1, keepdims=True, out=chosen)  # sum_k t_k x_k - max
    np.subtract(total, chosen, out=total)
    mean(total[..., 0], out)


def softmax_cross_entropy_gradient(logits: Array, targets: Array, n: int, out: Array) -> None:
    """out (B, K) = (softmax(x) - t) / n: the gradient of a mean over n rows, x (B, K) among them"""
    total = scratch((*logits.shape[:-1], 1), logits.dtype.char, 1)  # (B, 1)
    _subtract_peak(logits, out=out)
    np.exp(out, out=out)
    np.add.reduce(out, axis=-1, keepdims=True, out=total)
    np.divide(out, total, out=out)
    np.subtract(out, targets, out=out)
    np.multiply(out, 1.0 / n, out=out)


def _subtract_peak(logits: Array, out: Array) -> None:
    """out (B, K) = each row of the logits minus its maximum"""
    peak = scratch((*logits.shape[:-1], 1), logits.dtype.char, 4)  # (B, 1)
    np.maximum.reduce(logits, axis=-1, keepdims=True, out=peak)
    np.subtract(logits, peak, out=out)


def mean_squared_error_loss(Y: Array, targets: Any, out: Array) -> None:
    """out (...) = the mean of (y - t)^2 over the last axis of Y (..., N)"""
    difference = scratch(Y.shape, Y.dtype.char)
    np.subtract(Y, targets, out=difference)
    np.multiply(difference, difference, out=difference)
    mean(difference, out)


def mean_squared_error_gradient(Y: Array, targets: Any, n: int, out: Array) -> None:
    """out = 2 (y - t) / n: the gradient of a mean over n terms, Y (B, O) among them"""
    np.subtract(Y, targets, out=out)
    np.multiply(out, 2.0 / n, out=out)


def hinge_loss(Y: Array, targets: Any, out: Array) -> None:
    """out (...) = the mean of max(0, 1 - t y) over the last axis of Y (..., N), with t = 1 or -1"""
    terms = scratch(Y.shape, Y.dtype.char)
    np.multiply(Y, targets, out=terms)
    np.subtract(1.0, terms, out=terms)
    np.maximum(terms, full(0.0, Y.shape, Y.dtype.char), out=terms)
    mean(terms, out)


def hinge_gradient(Y: Array, targets: Any, n: int, out: Array) -> None:
    """out = -t / n where t y < 1, else 0: of a mean over n terms, Y (B, O) among them"""
    inside = scratch(Y.shape, "?")
    product = scratch(Y.shape, Y.dtype.char)
    np.multiply(Y, targets, out=product)
    np.less(product, 1.0, out=inside)
    np.copyto(product, inside)
    np.multiply(product, targets, out=product)
    np.multiply(product, -1.0 / n, out=out)


def record_losses(losses: Array, totals: Array) -> None:
    """Add the C losses (K, C) of K steps to totals[0] (C,); totals[1] (C,) counts finite steps.

    NaN and infinity stay in a sum, so each count stops at its first bad step.
    """
    sums, finite = totals[..., 0, :], totals[..., 1, :]
    shape = (*losses.shape[:-2], losses.shape[-2] + 1, losses.shape[-1])
    running = scratch(shape, "d", 0)  # (K + 1, C)
    good = scratch(shape, "?", 0)  # (K + 1, C)
    np.copyto(running[..., 0, :], sums)
    np.copyto(running[..., 1:, :], losses)
    np.add.accumulate(running, axis=-2, out=running)
    np.isfinite(running, out=good)
    np.copyto(sums, running[..., -1, :])
    np.add(finite, good[..., 1:, :].sum(axis=-2), out=finite)


def record_finite(X: Array, out: Array) -> None:
    """out () = 1 if every entry of X (n,) is finite, else 0; (S,) of X (S, n).

    NaN is the minimum of all that it is compared with, and an infinity is the minimum or maximum.
    """
    low = np.minimum.reduce(X, axis=-1, initial=0.0)  # a network may have no parameters
    high = np.maximum.reduce(X, axis=-1, initial=0.0)
    out[...] = np.isfinite(low) & np.isfinite(high)
