"""Penalties of gradients: points between samples, and norms of rows."""

from __future__ import annotations

from minigan.backend.base import Array
from minigan.backend.numpy.pool import scratch
from minigan.backend.numpy.recording import np


def interpolate(A: Array, B: Array, alpha: Array, out: Array) -> None:
    """out (B, F) = alpha A + (1 - alpha) B, with a number alpha (B, 1) for each row"""
    difference = scratch(A.shape, A.dtype.char)
    np.subtract(A, B, out=difference)
    np.multiply(difference, alpha, out=difference)
    np.add(difference, B, out=out)


def row_norms(G: Array, out: Array) -> None:
    """out (B, 1) = the Euclidean norm of each row of G (B, F)"""
    squares = scratch(G.shape, G.dtype.char)
    np.multiply(G, G, out=squares)
    np.add.reduce(squares, axis=-1, keepdims=True, out=out)
    np.sqrt(out, out=out)


def norm_gradient(G: Array, norms: Array, factor: float, out: Array) -> None:
    """out (B, F) = factor (1 - 1 / n) g for each row g of G and its norm n > 0 in norms (B, 1)"""
    scales = scratch(norms.shape, norms.dtype.char)
    np.divide(-factor, norms, out=scales)
    np.add(scales, factor, out=scales)
    np.multiply(G, scales, out=out)
