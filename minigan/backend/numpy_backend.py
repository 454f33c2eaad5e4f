"""The reference backend: every kernel in plain NumPy, written to be read.

Each function says what it computes in one line of mathematics. `base.py` states the
rules they share: results go into `out`, `out` may be the first argument, and the last
two axes are (batch, features).

Four habits make them fast, each measured in docs/performance.md:

* Temporaries come from a small pool (`_scratch`) that remembers the shapes it has served,
  so a training step takes no fresh memory that grows with the batch once it has run.
* A minimum or maximum is taken against an array of constants (`_full`): NumPy vectorises
  that, but not the same with a number.
* Only `exp`, `log`, `tanh` and arithmetic are vectorised in float32 everywhere, so formulas
  are written in those.
* `capture` records the NumPy calls of a step once and replays them without the Python
  around them. Whatever else a kernel does, such as a decision or a number read from an
  array, would be frozen in the repetition: such a kernel is marked `@live`, and is repeated
  as a whole.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.backend.base import Array, on_host
from minigan.backend.random import WORDS_PER_BLOCK, Ahead, Stream
from minigan.backend.tape import Tape, live
from minigan.errors import OrderError, ShapeError

# Optimizers stream the flat parameter buffer in blocks of this many numbers. Five arrays of
# 256 KiB in float32 stay in the caches of today's cores, and a call costs little beside them.
OPTIMIZER_BLOCK = 65536
# Raw words are drawn this many at a time, since NumPy can only return them in new memory.
RAW_WORDS_CHUNK = 2048
# Fills of at most so many numbers are drawn so many at a time: a call costs as much as
# a hundred numbers do.
AHEAD_LARGEST = 1024
AHEAD_FILLS = 64
# PyTorch's conventions for the BCE of probabilities 0 and 1 (torch.nn.BCELoss).
MIN_LOG = -100.0
MIN_VARIANCE = 1e-12
# The exponential stays below overflow: float32 ends at exp(88.7), float64 at exp(709.8).
_EXP_LIMIT = {"f": 88.0, "d": 700.0}
# The smallest positive number, whose logarithm is below MIN_LOG.
_TINY = {"f": 2.0**-149, "d": 2.0**-1074}


class _Pool(threading.local):
    """One flat buffer a (dtype, slot), as large as its largest use, and the views handed out."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, Any], Array] = {}
        self.views: dict[tuple[tuple[int, ...], str, Any], Array] = {}


_pool = _Pool()  # a pool for each thread
_POOL_VIEWS = 1024  # views remembered; they are small, so the limit is generous


def _scratch(shape: tuple[int, ...], dtype: str, slot: int = 0) -> Array:
    """A temporary of this shape, the kernel's own until it returns.

    A kernel that needs several of one dtype tells them apart by slot.
    """
    view = _pool.views.get((shape, dtype, slot))
    return _pooled(shape, dtype, slot, None) if view is None else view


def _full(value: float, shape: tuple[int, ...], dtype: str) -> Array:
    """An array of one constant, to be read only."""
    slot = ("full", value)
    view = _pool.views.get((shape, dtype, slot))
    return _pooled(shape, dtype, slot, value) if view is None else view


def _pooled(shape: tuple[int, ...], dtype: str, slot: Any, value: float | None) -> Array:
    """A view of the pool's buffer of this dtype and slot, which grows if it is too small."""
    size = math.prod(shape)
    buffer = _pool.buffers.get((dtype, slot))
    if buffer is None or buffer.size < size:
        buffer = np.empty(size, dtype)
        if value is not None:
            buffer.fill(value)
            buffer.flags.writeable = False
        _pool.buffers[dtype, slot] = buffer
        _pool.views.clear()  # they would keep the smaller buffer alive
    if len(_pool.views) >= _POOL_VIEWS:
        _pool.views.clear()
    view = _pool.views[shape, dtype, slot] = buffer[:size].reshape(shape)
    return view


# -- a step, recorded and replayed ------------------------------------------------------


def capture(step: Callable[[], None]) -> Callable[[], None]:
    """Run a step once; return a function that repeats its NumPy calls on the same arrays.

    What the step decided in Python is decided for good: the repetition is right as long as
    the step would make the same calls again. It has temporaries of its own.
    """
    global np, _pool
    with Tape.lock:
        if Tape.current is not None:
            raise OrderError("a step that is being captured cannot capture another")
        numpy, pool = np, _pool
        tape = Tape(numpy)
        try:
            # From here on, `np` in this module writes down what it is asked to do.
            np, _pool, Tape.current = tape, _Pool(), tape  # type: ignore[assignment]
            step()
        finally:
            np, _pool, Tape.current = numpy, pool, None
            replay = tape.finish()
    return replay


# -- memory ---------------------------------------------------------------------------


def empty(shape: tuple[int, ...], dtype: str) -> Array:
    """A new array whose contents are undefined."""
    return np.empty(shape, dtype)


def zeros(shape: tuple[int, ...], dtype: str) -> Array:
    """A new array of zeros."""
    return np.zeros(shape, dtype)


def asarray(X: Any) -> Array:
    """Anything array-like on this device: NumPy's and DLPack's as they are, others copied."""
    X = on_host(X)
    if not isinstance(X, np.ndarray) and hasattr(X, "__dlpack__"):
        return np.from_dlpack(X)
    return np.asarray(X)


def from_host(X: Any, dtype: str) -> Array:
    """A new C-contiguous array on this device with the contents of a NumPy array."""
    return np.array(on_host(X), dtype=dtype, order="C", copy=True)


def to_host(X: Array) -> Any:
    """A new NumPy array with the contents of a device array."""
    return np.array(X, copy=True)


def copy(X: Array, out: Array) -> None:
    """out = X"""
    np.copyto(out, X)


def fill(value: float, out: Array) -> None:
    """out = value, everywhere"""
    np.copyto(out, value)


# -- linear algebra -------------------------------------------------------------------


def matmul(
    A: Array,
    B: Array,
    out: Array,
    transpose_A: bool = False,
    transpose_B: bool = False,
) -> None:
    """out = A B, with either factor transposed on request. `out` must be neither of them."""
    _product(A.mT if transpose_A else A, B.mT if transpose_B else B, out)


def add(A: Array, B: Array, out: Array) -> None:
    """out = A + B"""
    np.add(A, B, out=out)


def add_rows(X: Array, row: Array, out: Array) -> None:
    """out = X + row, the row (1, O) added to each row of X (B, O)"""
    np.add(X, row, out=out)


def sum_rows(X: Array, out: Array) -> None:
    """out (1, O) = the sum of the rows of X (B, O), as the product of a row of ones with X"""
    _product(_full(1.0, (1, X.shape[-2]), X.dtype.char), X, out)


def _product(A: Array, B: Array, out: Array) -> None:
    """out = A B. NumPy's `dot` reaches BLAS by a shorter way than `matmul`, and for any shape."""
    if out.ndim == 2 and out.flags.c_contiguous:
        np.dot(A, B, out)
    else:
        np.matmul(A, B, out=out)


def take_rows(X: Array, index: Array, out: Array) -> None:
    """out (B, I) = the rows of X (N, I) at index (B,), which must lie in [0, N)"""
    np.take(X, index, axis=-2, out=out, mode="clip")  # "raise" would buffer the result


def take_pixels(X: Array, index: Array, out: Array) -> None:
    """out (B, I) = (X[index] - 127.5) / 127.5: bytes X (N, I) as numbers in [-1, 1]"""
    pixels = _scratch(out.shape, "B")
    np.take(X, index, axis=-2, out=pixels, mode="clip")
    np.copyto(out, pixels)
    np.subtract(out, 127.5, out=out)
    np.multiply(out, 1.0 / 127.5, out=out)


# -- activations ----------------------------------------------------------------------


def relu(X: Array, out: Array) -> None:
    """out = max(X, 0)"""
    np.maximum(X, _full(0.0, X.shape, X.dtype.char), out=out)


def relu_backward(dY: Array, Y: Array, out: Array) -> None:
    """out = dY where Y > 0, else 0"""
    positive = _positive(Y)
    np.multiply(dY, positive, out=out)


def leaky_relu(X: Array, slope: float, out: Array) -> None:
    """out = X where X > 0, else slope X; for 0 <= slope <= 1 that is max(X, slope X)"""
    scaled = _scratch(X.shape, X.dtype.char)
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
    zero = _full(0.0, X.shape, dtype)
    below = _scratch(X.shape, dtype, 1)
    np.minimum(X, zero, out=below)
    np.exp(below, out=slope)
    np.subtract(slope, 1.0, out=below)
    if alpha == 1.0:
        np.maximum(X, below, out=out)
        return
    np.multiply(below, alpha, out=below)
    np.multiply(slope, alpha, out=slope)
    positive = _positive(X)
    np.multiply(positive, 1.0 - alpha, out=positive)
    np.add(slope, positive, out=slope)  # where X > 0: alpha exp(0) + (1 - alpha)
    np.maximum(X, zero, out=out)
    np.add(out, below, out=out)


def elu_backward(dY: Array, slope: Array, out: Array) -> None:
    """out = dY * slope"""
    np.multiply(dY, slope, out=out)


def sigmoid(X: Array, out: Array) -> None:
    """out = E / (1 + E) with E = exp(X), held below overflow"""
    dtype = X.dtype.char
    held = _scratch(X.shape, dtype, 0)
    E = _scratch(X.shape, dtype, 1)
    np.minimum(X, _full(_EXP_LIMIT[dtype], X.shape, dtype), out=held)
    np.exp(held, out=E)
    np.add(E, 1.0, out=held)
    np.divide(E, held, out=out)


def sigmoid_backward(dY: Array, Y: Array, out: Array) -> None:
    """out = dY Y (1 - Y)"""
    other = _scratch(Y.shape, Y.dtype.char, 0)
    slope = _scratch(Y.shape, Y.dtype.char, 1)
    np.subtract(1.0, Y, out=other)
    np.multiply(other, Y, out=slope)
    np.multiply(dY, slope, out=out)


def tanh(X: Array, out: Array) -> None:
    """out = tanh(X)"""
    np.tanh(X, out=out)


def tanh_backward(dY: Array, Y: Array, out: Array) -> None:
    """out = dY (1 - Y^2)"""
    slope = _scratch(Y.shape, Y.dtype.char)
    np.multiply(Y, Y, out=slope)
    np.subtract(1.0, slope, out=slope)
    np.multiply(dY, slope, out=out)


def _positive(Y: Array) -> Array:
    """1 where Y > 0, else 0, in Y's own dtype (so that no kernel mixes types)."""
    mask = _scratch(Y.shape, "?")
    positive = _scratch(Y.shape, Y.dtype.char)
    np.greater(Y, 0.0, out=mask)
    np.copyto(positive, mask)
    return positive


# -- dropout and packing ----------------------------------------------------------------


def dropout(X: Array, mask: Array, out: Array) -> None:
    """out = X * mask, where the mask holds 0 (dropped) or 1 / (1 - rate) (kept)"""
    np.multiply(X, mask, out=out)


def dropout_backward(dY: Array, mask: Array, out: Array) -> None:
    """out = dY * mask"""
    np.multiply(dY, mask, out=out)


def pack_mean(X: Array, out: Array) -> None:
    """out (P, 1, F) = the mean of the m samples of each pack X (P, m, F), as a product"""
    m = X.shape[-2]
    np.matmul(_full(1.0 / m, (1, m), X.dtype.char), X, out=out)


def pack_deviations(X: Array, mean: Array, out: Array) -> None:
    """out (P, m, F) = (X - mean)^2"""
    deviation = _scratch(X.shape, X.dtype.char)
    np.subtract(X, mean, out=deviation)
    np.multiply(deviation, deviation, out=out)


def pack_deviations_backward(dY: Array, X: Array, mean: Array, out: Array) -> None:
    """out (P, m, F) = 2 (X - mean) dY, the mean held constant"""
    slope = _scratch(X.shape, X.dtype.char)
    np.subtract(X, mean, out=slope)
    np.multiply(slope, 2.0, out=slope)
    np.multiply(dY, slope, out=out)


# -- losses ---------------------------------------------------------------------------


def bce_loss(P: Array, targets: Any, out: Array) -> None:
    """out (...) = the mean of -(t log p + (1 - t) log(1 - p)) over the last axis of P (..., N)

    At p = 0 or 1 a logarithm is infinite: each one is held at or above -100, as PyTorch does.
    """
    dtype = P.dtype.char
    tiny, least = _full(_TINY[dtype], P.shape, dtype), _full(MIN_LOG, P.shape, dtype)
    log_p = _scratch(P.shape, dtype, 0)
    log_q = _scratch(P.shape, dtype, 1)  # q = 1 - p
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
    _mean(log_p, out)


def bce_gradient(P: Array, targets: Any, n: int, out: Array) -> None:
    """out = (p - t) / (p (1 - p)) / n: of the mean BCE of n probabilities, P (B, O) among them

    p (1 - p) is held at or above 1e-12, as PyTorch does.
    """
    dtype = P.dtype.char
    difference = _scratch(P.shape, dtype, 0)
    variance = _scratch(P.shape, dtype, 1)
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
    terms = _scratch(logits.shape, dtype, 0)
    other = _scratch(logits.shape, dtype, 1)
    np.abs(logits, out=terms)
    np.negative(terms, out=terms)
    np.exp(terms, out=terms)
    np.log1p(terms, out=terms)
    np.maximum(logits, _full(0.0, logits.shape, dtype), out=other)
    np.add(terms, other, out=terms)
    np.multiply(logits, targets, out=other)
    np.subtract(terms, other, out=terms)
    _mean(terms, out)


def bce_with_logits_gradient(logits: Array, targets: Any, n: int, out: Array) -> None:
    """out = (sigmoid(x) - t) / n: of the mean BCE of n logits, these (B, O) among them"""
    probability = _scratch(logits.shape, logits.dtype.char, 2)
    sigmoid(logits, out=probability)
    np.subtract(probability, targets, out=out)
    np.multiply(out, 1.0 / n, out=out)


@live
def softmax_cross_entropy(logits: Array, labels: Array, loss: Array, dlogits: Array) -> None:
    """Cross-entropy of softmax(logits) (B, K) with integer labels (B,), its mean over B.

    loss = mean of log(sum_k exp(x_k)) - x_label,   dlogits = (softmax(x) - onehot) / B

    The row's maximum is subtracted first, so exp never overflows.
    """
    dtype = logits.dtype.char
    row = (*logits.shape[:-1], 1)
    peak = _scratch(row, dtype, 0)  # (B, 1)
    total = _scratch(row, dtype, 1)  # (B, 1)
    chosen = _scratch(row, dtype, 2)  # (B, 1)
    is_label = _scratch(logits.shape, "?", 0)  # (B, K)
    onehot = _scratch(logits.shape, dtype, 3)  # (B, K)
    products = _scratch(logits.shape, dtype, 4)  # (B, K)
    np.equal(labels[..., None], np.arange(logits.shape[-1]), out=is_label)
    np.copyto(onehot, is_label)
    np.max(logits, axis=-1, keepdims=True, out=peak)
    np.subtract(logits, peak, out=dlogits)
    products.fill(0.0)  # not dlogits * onehot, since an infinite logit times 0 is NaN
    np.copyto(products, dlogits, where=is_label)
    np.add.reduce(products, axis=-1, keepdims=True, out=chosen)  # x_label - max
    np.exp(dlogits, out=dlogits)
    np.add.reduce(dlogits, axis=-1, keepdims=True, out=total)
    np.divide(dlogits, total, out=dlogits)
    np.log(total, out=total)
    np.subtract(total, chosen, out=total)
    _mean(total[..., 0], loss)
    np.subtract(dlogits, onehot, out=dlogits)
    np.multiply(dlogits, 1.0 / logits.shape[-2], out=dlogits)


def mean_squared_error_loss(Y: Array, targets: Any, out: Array) -> None:
    """out (...) = the mean of (y - t)^2 over the last axis of Y (..., N)"""
    difference = _scratch(Y.shape, Y.dtype.char)
    np.subtract(Y, targets, out=difference)
    np.multiply(difference, difference, out=difference)
    _mean(difference, out)


def mean_squared_error_gradient(Y: Array, targets: Any, n: int, out: Array) -> None:
    """out = 2 (y - t) / n: of the mean squared error of n numbers, Y (B, O) among them"""
    np.subtract(Y, targets, out=out)
    np.multiply(out, 2.0 / n, out=out)


def negate(X: Array, out: Array) -> None:
    """out = -X"""
    np.negative(X, out=out)


def scale(X: Array, factor: float, out: Array) -> None:
    """out = factor X"""
    np.multiply(X, factor, out=out)


def record_losses(losses: Array, totals: Array) -> None:
    """Add the C losses (K, C) of K steps to totals[0] (C,); totals[1] (C,) counts finite steps.

    NaN and infinity stick to a sum, so each count stops for good at its first bad step.
    """
    sums, finite = totals[..., 0, :], totals[..., 1, :]
    shape = (*losses.shape[:-2], losses.shape[-2] + 1, losses.shape[-1])
    running = _scratch(shape, "d", 0)  # (K + 1, C)
    good = _scratch(shape, "?", 0)  # (K + 1, C)
    np.copyto(running[..., 0, :], sums)
    np.copyto(running[..., 1:, :], losses)
    np.add.accumulate(running, axis=-2, out=running)
    np.isfinite(running, out=good)
    np.copyto(sums, running[..., -1, :])
    np.add(finite, good[..., 1:, :].sum(axis=-2), out=finite)


def record_finite(X: Array, out: Array) -> None:
    """out () = 1 if every entry of X (n,) is finite, else 0; (S,) of X (S, n).

    NaN wins every minimum, and an infinity one of the two; no array of flags is needed.
    """
    low = np.minimum.reduce(X, axis=-1)
    high = np.maximum.reduce(X, axis=-1)
    out[...] = np.isfinite(low) & np.isfinite(high)


def _mean(terms: Array, out: Array) -> None:
    """out (...) = the mean over the last axis of terms (..., N)"""
    np.add.reduce(terms, axis=-1, out=out)
    np.multiply(out, 1.0 / terms.shape[-1], out=out)


# -- optimizers and constraints ---------------------------------------------------------


def clip(X: Array, low: float, high: float, out: Array) -> None:
    """out = min(max(X, low), high); NaN stays NaN"""
    np.maximum(X, _full(low, X.shape, X.dtype.char), out=out)
    np.minimum(out, _full(high, X.shape, X.dtype.char), out=out)


@live
def tick(clock: Array, start: float, end: float, final: float) -> None:
    """Advance an optimizer's clock = [step, base rate, rate] and set this step's rate.

    The rate is constant for `start` steps, then falls linearly to `final` x base at `end`.
    """
    done, base, _ = clock.tolist()  # steps taken before this one, and the base rate
    clock[0] = done + 1.0
    if done <= start:
        factor = 1.0
    elif done >= end:
        factor = final
    else:
        factor = 1.0 - (1.0 - final) * (done - start) / (end - start)
    clock[2] = base * factor


def sgd(data: Array, grad: Array, velocity: Array, clock: Array, momentum: float) -> None:
    """velocity = momentum velocity + grad;   data = data - rate velocity"""
    (rate,) = _scalars(_sgd_scalars, 1, data, clock)
    for p, g, u, tmp in _blocks(data, grad, velocity):
        np.multiply(u, momentum, out=u)
        np.add(u, g, out=u)
        np.multiply(u, rate, out=tmp)
        np.subtract(p, tmp, out=p)


@live
def _sgd_scalars(out: Array, clock: Array) -> None:
    """out (1,) = this step's learning rate"""
    out[0] = clock[2]


def adam(
    data: Array,
    grad: Array,
    m: Array,
    v: Array,
    clock: Array,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None:
    """One Adam step t over the flat buffer (Kingma and Ba, 2015, algorithm 1).

    m = beta1 m + g,   v = beta2 v + g^2
    data = (1 - rate weight_decay) data - step m / (sqrt(v) + small)

    These sums are the paper's moments divided by (1 - beta1) and (1 - beta2): two passes over
    memory less, since all that is constant meets in the numbers of `_adam_scalars`.
    Without momentum (beta1 = 0) m is g itself, and is not kept.
    The decay of the weights is decoupled from the gradient (Loshchilov and Hutter, 2019).
    """
    step, small, kept = _scalars(_adam_scalars, 3, data, clock, beta1, beta2, eps, weight_decay)
    for p, g, m_, v_, tmp in _blocks(data, grad, m, v):
        if weight_decay != 0.0:
            np.multiply(p, kept, out=p)
        if beta1 != 0.0:
            np.multiply(m_, beta1, out=m_)
            np.add(m_, g, out=m_)
        np.multiply(v_, beta2, out=v_)
        np.multiply(g, g, out=tmp)
        np.add(v_, tmp, out=v_)
        np.sqrt(v_, out=tmp)
        np.add(tmp, small, out=tmp)
        np.divide(m_ if beta1 != 0.0 else g, tmp, out=tmp)
        np.multiply(tmp, step, out=tmp)
        np.subtract(p, tmp, out=p)


@live
def _adam_scalars(
    out: Array, clock: Array, beta1: float, beta2: float, eps: float, weight_decay: float
) -> None:
    """out (3,) = what step t multiplies by, adds to the root, and keeps of a decaying weight.

    The paper's m^ is (1 - beta1) / (1 - beta1^t) m, and its sqrt(v^) is root sqrt(v): divide
    numerator and denominator of rate m^ / (sqrt(v^) + eps) by root.
    """
    t, _, rate = clock.tolist()
    root = math.sqrt((1.0 - beta2) / (1.0 - beta2**t))
    out[0] = rate / root * (1.0 - beta1) / (1.0 - beta1**t)
    out[1] = eps / root
    out[2] = 1.0 - rate * weight_decay


def moving_average(data: Array, average: Array, clock: Array, decay: float) -> None:
    """average = d average + (1 - d) data, with d = min(decay, (1 + t) / (10 + t)).

    The rising d lets the average forget the untrained network quickly.
    clock = [t], the number of updates before this one.
    """
    (fresh,) = _scalars(_average_scalars, 1, data, clock, decay)
    for a, p, tmp in _blocks(average, data):
        np.subtract(p, a, out=tmp)
        np.multiply(tmp, fresh, out=tmp)
        np.add(a, tmp, out=a)


@live
def _average_scalars(out: Array, clock: Array, decay: float) -> None:
    """out (1,) = 1 - d, and the clock moves on"""
    t = float(clock[0])
    clock[0] = t + 1.0
    out[0] = 1.0 - min(decay, (1.0 + t) / (10.0 + t))


def _scalars(fill: Callable[..., None], count: int, data: Array, *settings: Any) -> list[Array]:
    """The numbers of one step, as arrays () of the data's dtype that a captured step can read."""
    numbers = _scratch((count,), data.dtype.char, 8)
    fill(numbers, *settings)
    return [numbers[i, ...] for i in range(count)]


def _blocks(*arrays: Array) -> Any:
    """Walk equally shaped flat buffers in cache-sized blocks, each with a scratch block."""
    flat = [array.reshape(-1) for array in arrays]  # (n,) or (S * n,): views
    n = flat[0].size
    tmp = _scratch((min(n, OPTIMIZER_BLOCK),), flat[0].dtype.char)
    for start in range(0, n, OPTIMIZER_BLOCK):
        stop = min(start + OPTIMIZER_BLOCK, n)
        yield (*[array[start:stop] for array in flat], tmp[: stop - start])


# -- random fills -----------------------------------------------------------------------


@live
def fill_uniform(stream: Stream, low: float, high: float, out: Array) -> None:
    """out = uniform numbers in [low, high), up to rounding; `out` is contiguous by member"""

    def transform(u: Array, rows: Array) -> None:
        np.multiply(u, high - low, out=rows)
        if low != 0.0:
            np.add(rows, low, out=rows)

    _fill(stream, ("uniform", low, high), 1, transform, out)


@live
def fill_normal(stream: Stream, mean: float, std: float, out: Array) -> None:
    """out = mean + std z with z standard normal, by Box and Muller's transform.

    A pair of uniforms gives a pair of normals: r cos(a) and r sin(a) with
    r = sqrt(-2 log(1 - u1)) and a = 2 pi u2. With 24-bit uniforms |z| <= 5.77.
    """

    def transform(u: Array, rows: Array) -> None:
        shape, dtype = (u.shape[0], u.shape[1] // 2), rows.dtype.char
        r = _scratch(shape, dtype, 1)  # (K, pairs)
        a = _scratch(shape, dtype, 2)  # (K, pairs)
        z = _scratch((*shape, 2), dtype, 3)  # (K, pairs, 2)
        np.subtract(1.0, u[:, 0::2], out=r)
        np.log(r, out=r)
        np.multiply(r, -2.0, out=r)
        np.sqrt(r, out=r)
        np.multiply(u[:, 1::2], 2.0 * np.pi, out=a)
        np.cos(a, out=z[..., 0])
        np.sin(a, out=z[..., 1])
        np.multiply(z, r[..., None], out=z)
        np.multiply(z.reshape(u.shape)[:, : rows.shape[1]], std, out=rows)
        np.add(rows, mean, out=rows)

    _fill(stream, ("normal", mean, std), 2, transform, out)


@live
def fill_dropout_mask(stream: Stream, rate: float, out: Array) -> None:
    """out = 0 with probability rate, else 1 / (1 - rate), each from 16 random bits.

    The rate is rounded to a multiple of 2^-16 and the scale follows it, so the mean is
    exactly one.

    Random words are half of a mask's cost, so every byte is used twice: a ring of bytes b is read
    as 16-bit numbers b[0:2], b[2:4] ..., for the first half of the decisions, and as b[1:3], b[3:5]
    ... for the second. The second byte of a number weighs 256 times the first, so each decision
    hangs on a byte of its own, and looks at another one's in one case of 256: the correlation of
    the two is at most 1/256, where there are more than two.
    """
    threshold = min(round(rate * 65536), 65535)
    scale = 65536 / (65536 - threshold)
    members = _members(out, stream)  # (S, n)
    n = members.shape[1]
    half = -(-n // 2)
    blocks = -(-2 * half // (8 * WORDS_PER_BLOCK))
    words = _scratch((blocks * WORDS_PER_BLOCK,), "Q")
    shifted = _scratch((2 * half,), "B")  # the ring, one byte on
    kept = _scratch((n,), "?")
    ring = words.view(np.uint8)[: 2 * half]
    for member, generator in zip(members, stream.generators(blocks), strict=True):
        for start in range(0, words.size, RAW_WORDS_CHUNK):
            stop = min(start + RAW_WORDS_CHUNK, words.size)
            words[start:stop] = generator.bit_generator.random_raw(stop - start)
        shifted[:-1] = ring[1:]
        shifted[-1] = ring[0]
        np.greater_equal(ring.view(np.uint16), threshold, out=kept[:half])
        np.greater_equal(shifted.view(np.uint16)[: n - half], threshold, out=kept[half:])
        np.copyto(member, kept)
        np.multiply(member, scale, out=member)


@live
def fill_permutation(stream: Stream, out: Array) -> None:
    """out (N,) int64 = 0 to N - 1 in a random order: the one that sorts N random 64-bit words"""
    np.copyto(out, np.argsort(stream.words(out.size)[0], kind="stable"))


def _fill(
    stream: Stream,
    kind: tuple[Any, ...],
    multiple: int,
    transform: Callable[[Array, Array], None],
    out: Array,
) -> None:
    """Fill each member's part of `out` with its next uniforms, transformed.

    A stream is a function of its position, so what the next fills will be is known: where small
    ones of a kind follow each other, many are made at a time and kept until their turn comes.

    Args:
        stream: whose numbers.
        kind: what the transform is, to tell it from another.
        multiple: rounds the number of uniforms up (2 for pairs).
        transform: turns uniforms (K, n rounded up) into K fills (K, n).
        out: (B, F), or (S, B, F) for a population.
    """
    ahead = stream.ahead
    if ahead is not None and ahead.has(kind, out, stream):
        np.copyto(out, ahead.take(stream))
        return
    members = _members(out, stream)  # (S, n)
    n, dtype = members.shape[1], members.dtype.char
    drawn = -(-n // multiple) * multiple
    blocks = -(-drawn // (2 * WORDS_PER_BLOCK))  # two 24-bit uniforms a word
    start = stream.position
    again = (kind, out.shape, dtype, start) == stream.expected  # as the fill before, right after it
    stream.expected = (kind, out.shape, dtype, start + blocks)
    if members.size > AHEAD_LARGEST or not again:
        for member, generator in zip(members, stream.generators(blocks), strict=True):
            transform(_uniforms(generator, 1, blocks, drawn, dtype), member[None])
        return
    if ahead is None or ahead.fills.shape[1:] != out.shape or ahead.fills.dtype != out.dtype:
        ahead = stream.ahead = Ahead(np.empty((AHEAD_FILLS, *out.shape), dtype))
    ahead.renew((), 0, 1)  # nobody may take what is being written
    rows = ahead.fills.reshape(AHEAD_FILLS, *members.shape)  # (K, S, n), a view
    try:
        for i, generator in enumerate(stream.generators(blocks * AHEAD_FILLS)):
            transform(_uniforms(generator, AHEAD_FILLS, blocks, drawn, dtype), rows[:, i])
    finally:
        stream.position = start
    ahead.renew(kind, start, blocks)
    np.copyto(out, ahead.take(stream))


def _uniforms(generator: Any, fills: int, blocks: int, drawn: int, dtype: str) -> Array:
    """The uniforms (fills, drawn) of so many fills of so many blocks each.

    NumPy's float32 uniforms are the high 24 bits of each 32-bit half, low half first: just
    what streams promise.
    """
    u = _scratch((fills, blocks * WORDS_PER_BLOCK * 2), "f")
    generator.random(out=u, dtype=np.float32)
    if dtype == "f":
        return u[:, :drawn]
    wide = _scratch((fills, drawn), dtype, 4)
    np.copyto(wide, u[:, :drawn])
    return wide


def _members(out: Array, stream: Stream) -> Array:
    """`out` as (S, n), one row a member: a view, or an error where only a copy could do."""
    if math.prod(out.shape[:-2]) != len(stream.seeds):
        raise ShapeError(
            f"stream {stream.name!r} has {len(stream.seeds)} seeds; "
            f"an array of shape {out.shape} belongs to {math.prod(out.shape[:-2])} networks"
        )
    members = out.reshape(len(stream.seeds), -1)
    if not np.may_share_memory(members, out):
        raise ShapeError(f"a random fill needs contiguous memory; {out.shape} given is strided")
    return members
