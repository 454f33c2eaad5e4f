"""What layers do to each number: activations, dropout, and the deviations of packs."""

from __future__ import annotations

from minigan.backend.base import Array
from minigan.backend.numpy.pool import full, scratch
from minigan.backend.numpy.recording import np

# The exponential stays below overflow: float32 ends at exp(88.7), float64 at exp(709.8).
_EXP_LIMIT = {"f": 88.0, "d": 700.0}

# The integer type that has the size of each float type.
_SAME_SIZE = {"f": "i4", "d": "i8"}


def relu(X: Array, out: Array) -> None:
    """out = max(X, 0)"""
    np.maximum(X, full(0.0, X.shape, X.dtype.char), out=out)


def relu_backward(dY: Array, Y: Array, out: Array) -> None:
    """out = dY where Y > 0, else 0: the bits of dY times 1 or 0, since infinity times 0 is NaN"""
    integer = _SAME_SIZE[Y.dtype.char]
    mask = scratch(Y.shape, "?")
    positive = scratch(Y.shape, integer)
    np.greater(Y, 0.0, out=mask)
    np.copyto(positive, mask)
    np.multiply(dY.view(integer), positive, out=out.view(integer))


def leaky_relu(X: Array, slope: float, out: Array) -> None:
    """out = X where X > 0, else slope X; for 0 < slope <= 1 that is max(X, slope X)"""
    scaled = scratch(X.shape, X.dtype.char)
    np.multiply(X, slope, out=scaled)
    np.maximum(X, scaled, out=out)


def leaky_relu_backward(dY: Array, Y: Array, slope: float, out: Array) -> None:
    """out = dY where Y > 0, else slope dY"""
    factor = _positive(Y)
    np.multiply(factor, 1.0 - slope, out=factor)
    np.add(factor, slope, out=factor)
    np.multiply(dY, factor, out=out)


def elu(X: Array, alpha: float, slope: Array, out: Array) -> None:
    """out = X where X > 0, else alpha (exp(X) - 1);   slope = 1 where X > 0, else alpha exp(X)

    With alpha = 1 both come from one exponential that never overflows, E = exp(min(X, 0)):
    the slope is E, and out = max(X, E - 1), because exp(x) - 1 >= x for every x.
    """
    dtype = X.dtype.char
    zero = full(0.0, X.shape, dtype)
    below = scratch(X.shape, dtype, 1)
    np.minimum(X, zero, out=below)
    np.exp(below, out=slope)
    np.subtract(slope, 1.0, out=below)
    if alpha == 1.0:
        np.maximum(X, below, out=out)
        return
    np.multiply(below, alpha, out=below)
    positive = _positive(X)
    np.subtract(slope, positive, out=slope)  # E where X <= 0, else exactly 0
    np.multiply(slope, alpha, out=slope)
    np.add(slope, positive, out=slope)
    np.maximum(X, zero, out=out)
    np.add(out, below, out=out)


def elu_backward(dY: Array, slope: Array, out: Array) -> None:
    """out = dY * slope"""
    np.multiply(dY, slope, out=out)


def elu_curvature(dY: Array, U: Array, Y: Array, slope: Array, out: Array) -> None:
    """out = dY U slope where Y <= 0, else 0"""
    mask = scratch(Y.shape, "?")
    below = scratch(Y.shape, Y.dtype.char, 0)
    product = scratch(Y.shape, Y.dtype.char, 1)
    np.less_equal(Y, 0.0, out=mask)
    np.copyto(below, mask)
    np.multiply(dY, U, out=product)
    np.multiply(product, slope, out=product)
    np.multiply(product, below, out=out)


def sigmoid(X: Array, out: Array) -> None:
    """out = E / (1 + E) with E = exp(X), held below overflow"""
    dtype = X.dtype.char
    held = scratch(X.shape, dtype, 0)
    E = scratch(X.shape, dtype, 1)
    np.minimum(X, full(_EXP_LIMIT[dtype], X.shape, dtype), out=held)
    np.exp(held, out=E)
    np.add(E, 1.0, out=held)
    np.divide(E, held, out=out)


def sigmoid_backward(dY: Array, Y: Array, out: Array) -> None:
    """out = dY Y (1 - Y)"""
    other = scratch(Y.shape, Y.dtype.char, 0)
    slope = scratch(Y.shape, Y.dtype.char, 1)
    np.subtract(1.0, Y, out=other)
    np.multiply(other, Y, out=slope)
    np.multiply(dY, slope, out=out)


def sigmoid_curvature(dY: Array, U: Array, Y: Array, out: Array) -> None:
    """out = dY U Y (1 - Y) (1 - 2 Y)"""
    other = scratch(Y.shape, Y.dtype.char, 0)
    bend = scratch(Y.shape, Y.dtype.char, 1)
    product = scratch(Y.shape, Y.dtype.char, 2)
    np.subtract(1.0, Y, out=other)
    np.subtract(other, Y, out=bend)
    np.multiply(bend, other, out=bend)
    np.multiply(bend, Y, out=bend)
    np.multiply(dY, U, out=product)
    np.multiply(product, bend, out=out)


def tanh(X: Array, out: Array) -> None:
    """out = tanh(X)"""
    np.tanh(X, out=out)


def tanh_backward(dY: Array, Y: Array, out: Array) -> None:
    """out = dY (1 - Y^2)"""
    slope = scratch(Y.shape, Y.dtype.char)
    np.multiply(Y, Y, out=slope)
    np.subtract(1.0, slope, out=slope)
    np.multiply(dY, slope, out=out)


def tanh_curvature(dY: Array, U: Array, Y: Array, out: Array) -> None:
    """out = -2 dY U Y (1 - Y^2)"""
    bend = scratch(Y.shape, Y.dtype.char, 0)
    product = scratch(Y.shape, Y.dtype.char, 1)
    np.multiply(Y, Y, out=bend)
    np.subtract(bend, 1.0, out=bend)
    np.multiply(bend, Y, out=bend)
    np.multiply(bend, 2.0, out=bend)
    np.multiply(dY, U, out=product)
    np.multiply(product, bend, out=out)


def dropout(X: Array, mask: Array, out: Array) -> None:
    """out = X * mask, where the mask holds 0 (dropped) or 1 / (1 - rate) (kept)"""
    np.multiply(X, mask, out=out)


def dropout_backward(dY: Array, mask: Array, out: Array) -> None:
    """out = dY * mask"""
    np.multiply(dY, mask, out=out)


def pack_mean(X: Array, out: Array) -> None:
    """out (P, 1, F) = the mean of the m samples of each pack X (P, m, F), as a product"""
    m = X.shape[-2]
    np.matmul(full(1.0 / m, (1, m), X.dtype.char), X, out=out)


def pack_deviations(X: Array, mean: Array, out: Array) -> None:
    """out (P, m, F) = (X - mean)^2"""
    deviation = scratch(X.shape, X.dtype.char)
    np.subtract(X, mean, out=deviation)
    np.multiply(deviation, deviation, out=out)


def pack_deviations_backward(dY: Array, X: Array, mean: Array, out: Array) -> None:
    """out (P, m, F) = 2 (X - mean) dY, the mean held constant"""
    slope = scratch(X.shape, X.dtype.char)
    np.subtract(X, mean, out=slope)
    np.multiply(slope, 2.0, out=slope)
    np.multiply(dY, slope, out=out)


def _positive(Y: Array) -> Array:
    """1 where Y > 0, else 0, in Y's own dtype (so that no kernel mixes types)."""
    mask = scratch(Y.shape, "?")
    positive = scratch(Y.shape, Y.dtype.char)
    np.greater(Y, 0.0, out=mask)
    np.copyto(positive, mask)
    return positive
