"""The reference backend: every kernel in plain NumPy, written to be read.

Each function says what it computes in one line of mathematics. `base.py` states the
rules they share: results go into `out`, `out` may be the first argument, and the last
two axes are (batch, features).

Temporaries come from a small pool (`_scratch`) that remembers the shapes it has served,
so a training step takes no fresh memory that grows with the batch once it has run.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from minigan.backend.base import Array
from minigan.backend.random import WORDS_PER_BLOCK, Stream
from minigan.errors import ShapeError

# Optimizers stream the flat parameter buffer in blocks of this many numbers: a block of
# data, gradient, two moments and scratch (5 x 32 KiB in float32) stays in a core's L2 cache.
OPTIMIZER_BLOCK = 8192
# Raw words are drawn this many at a time, since NumPy can only return them in new memory.
RAW_WORDS_CHUNK = 2048
# PyTorch's conventions for the BCE of probabilities 0 and 1 (torch.nn.BCELoss).
MIN_LOG = -100.0
MIN_VARIANCE = 1e-12
# Exponents below overflow: float32 ends at exp(88.7), float64 at exp(709.8).
_EXP_LIMIT = {"f": 88.0, "d": 700.0}


class _Pool(threading.local):
    """One flat buffer a (dtype, slot), as large as its largest use, and the views handed out."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, int], Array] = {}
        self.views: dict[tuple[tuple[int, ...], str, int], Array] = {}


_pool = _Pool()  # a pool for each thread
_POOL_VIEWS = 1024  # views remembered; they are small, so the limit is generous


def _scratch(shape: tuple[int, ...], dtype: str, slot: int = 0) -> Array:
    """A temporary of this shape, the kernel's own until it returns.

    A kernel that needs several of one dtype tells them apart by slot.
    """
    key = (shape, dtype, slot)
    view = _pool.views.get(key)
    if view is None:
        size = math.prod(shape)
        buffer = _pool.buffers.get((dtype, slot))
        if buffer is None or buffer.size < size:
            buffer = _pool.buffers[dtype, slot] = np.empty(size, dtype)
            _pool.views.clear()  # they would keep the smaller buffer alive
        if len(_pool.views) >= _POOL_VIEWS:
            _pool.views.clear()
        view = _pool.views[key] = buffer[:size].reshape(shape)
    return view


# -- memory ---------------------------------------------------------------------------


def empty(shape: tuple[int, ...], dtype: str) -> Array:
    """A new array whose contents are undefined."""
    return np.empty(shape, dtype)


def zeros(shape: tuple[int, ...], dtype: str) -> Array:
    """A new array of zeros."""
    return np.zeros(shape, dtype)


def asarray(X: Any) -> Array:
    """Anything array-like on this device: NumPy and DLPack arrays as they are, lists copied."""
    if not isinstance(X, np.ndarray) and hasattr(X, "__dlpack__"):
        return np.from_dlpack(X)
    return np.asarray(X)


def from_host(X: Any, dtype: str) -> Array:
    """A new C-contiguous array on this device with the contents of a NumPy array."""
    return np.array(X, dtype=dtype, order="C", copy=True)


def to_host(X: Array) -> Any:
    """A new NumPy array with the contents of a device array."""
    return np.array(X, copy=True)


def copy(X: Array, out: Array) -> None:
    """out = X"""
    np.copyto(out, X)


def fill(value: float, out: Array) -> None:
    """out = value, everywhere"""
    out.fill(value)


# -- linear algebra -------------------------------------------------------------------


def matmul(
    A: Array,
    B: Array,
    out: Array,
    transpose_A: bool = False,
    transpose_B: bool = False,
) -> None:
    """out = A B, with either factor transposed on request. `out` must be neither of them."""
    np.matmul(A.mT if transpose_A else A, B.mT if transpose_B else B, out=out)


def add(A: Array, B: Array, out: Array) -> None:
    """out = A + B"""
    np.add(A, B, out=out)


def add_rows(X: Array, row: Array, out: Array) -> None:
    """out = X + row, the row (1, O) added to each row of X (B, O)"""
    np.add(X, row, out=out)


def sum_rows(X: Array, out: Array) -> None:
    """out (1, O) = the sum of the rows of X (B, O)"""
    np.add.reduce(X, axis=-2, keepdims=True, out=out)


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
    np.maximum(X, 0.0, out=out)


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


def elu(X: Array, alpha: float, out: Array) -> None:
    """out = X where X > 0, else alpha (exp(X) - 1)

    Written as max(X, 0) + alpha expm1(min(X, 0)): one of the two terms is always zero,
    so there is no branch and exp never overflows.
    """
    negative = _scratch(X.shape, X.dtype.char)
    np.minimum(X, 0.0, out=negative)
    np.expm1(negative, out=negative)
    if alpha != 1.0:
        np.multiply(negative, alpha, out=negative)
    np.maximum(X, 0.0, out=out)
    np.add(out, negative, out=out)


def elu_backward(dY: Array, Y: Array, alpha: float, out: Array) -> None:
    """out = dY where Y > 0, else dY (Y + alpha), because alpha exp(X) = Y + alpha"""
    factor = _scratch(Y.shape, Y.dtype.char, 1)
    np.minimum(Y, 0.0, out=factor)
    np.add(factor, alpha, out=factor)
    if alpha != 1.0:  # where Y > 0 the factor is alpha so far, and must be 1
        positive = _positive(Y)
        np.multiply(positive, 1.0 - alpha, out=positive)
        np.add(factor, positive, out=factor)
    np.multiply(dY, factor, out=out)


def sigmoid(X: Array, out: Array) -> None:
    """out = 1 / (1 + exp(-X)), the exponent held below overflow"""
    np.negative(X, out=out)
    np.minimum(out, _EXP_LIMIT[out.dtype.char], out=out)
    np.exp(out, out=out)
    np.add(out, 1.0, out=out)
    np.reciprocal(out, out=out)


def sigmoid_backward(dY: Array, Y: Array, out: Array) -> None:
    """out = dY Y (1 - Y)"""
    slope = _scratch(Y.shape, Y.dtype.char)
    np.subtract(1.0, Y, out=slope)
    np.multiply(slope, Y, out=slope)
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
    """out (P, 1, F) = the mean of the m samples of each pack X (P, m, F)"""
    np.add.reduce(X, axis=-2, keepdims=True, out=out)
    np.multiply(out, 1.0 / X.shape[-2], out=out)


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


def bce(P: Array, targets: Any, loss: Array, dP: Array) -> None:
    """Binary cross-entropy of probabilities P (B, O), its mean over all B*O of them.

    loss = mean of -(t log p + (1 - t) log(1 - p)),   dP = (p - t) / (p (1 - p)) / (B O)

    At p = 0 or 1 a logarithm is infinite: each one is held at or above -100, and the
    denominator at or above 1e-12, as PyTorch does.
    """
    log_p = _scratch(P.shape, P.dtype.char, 0)
    log_q = _scratch(P.shape, P.dtype.char, 1)  # q = 1 - p
    q = _scratch(P.shape, P.dtype.char, 2)
    np.subtract(1.0, P, out=q)
    with np.errstate(divide="ignore"):  # log 0 = -inf is expected, and clamped
        np.log(P, out=log_p)
        np.log(q, out=log_q)
    np.maximum(log_p, MIN_LOG, out=log_p)
    np.maximum(log_q, MIN_LOG, out=log_q)
    # -(t log p + (1 - t) log q) = t (log q - log p) - log q
    np.multiply(q, P, out=q)  # p (1 - p), before dP may overwrite P
    np.maximum(q, MIN_VARIANCE, out=q)
    np.subtract(P, targets, out=dP)
    np.divide(dP, q, out=dP)
    np.multiply(dP, 1.0 / _elements(P), out=dP)
    np.subtract(log_q, log_p, out=log_p)
    np.multiply(log_p, targets, out=log_p)
    np.subtract(log_p, log_q, out=log_p)
    _mean(log_p, loss)


def bce_with_logits(logits: Array, targets: Any, loss: Array, dlogits: Array) -> None:
    """Binary cross-entropy of p = sigmoid(x), straight from the logits x (B, O).

    loss = mean of max(x, 0) - x t + log(1 + exp(-|x|)),   dlogits = (sigmoid(x) - t) / (B O)

    The log-sum-exp form: the exponent is never positive, so nothing overflows.
    """
    terms = _scratch(logits.shape, logits.dtype.char, 0)
    other = _scratch(logits.shape, logits.dtype.char, 1)
    np.abs(logits, out=terms)
    np.negative(terms, out=terms)
    np.exp(terms, out=terms)
    np.log1p(terms, out=terms)
    np.maximum(logits, 0.0, out=other)
    np.add(terms, other, out=terms)
    np.multiply(logits, targets, out=other)
    np.subtract(terms, other, out=terms)
    _mean(terms, loss)
    sigmoid(logits, out=dlogits)
    np.subtract(dlogits, targets, out=dlogits)
    np.multiply(dlogits, 1.0 / _elements(logits), out=dlogits)


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
    _mean(total, loss)
    np.subtract(dlogits, onehot, out=dlogits)
    np.multiply(dlogits, 1.0 / logits.shape[-2], out=dlogits)


def mean_squared_error(Y: Array, targets: Any, loss: Array, dY: Array) -> None:
    """loss = mean of (Y - t)^2 over all B*O entries,   dY = 2 (Y - t) / (B O)"""
    squares = _scratch(Y.shape, Y.dtype.char)
    np.subtract(Y, targets, out=dY)
    np.multiply(dY, dY, out=squares)
    _mean(squares, loss)
    np.multiply(dY, 2.0 / _elements(Y), out=dY)


def negate(loss: Array, dY: Array) -> None:
    """loss = -loss and dY = -dY: from minimising a loss to maximising it"""
    np.negative(loss, out=loss)
    np.negative(dY, out=dY)


def record_losses(losses: Array, totals: Array) -> None:
    """Add this step's losses (K,) to totals[0] (K,); totals[1] (K,) counts finite steps.

    NaN and infinity stick to a sum, so each count stops for good at its first bad step.
    """
    sums, finite = totals[..., 0, :], totals[..., 1, :]
    np.add(sums, losses, out=sums)
    np.add(finite, np.isfinite(sums), out=finite)


def record_finite(X: Array, out: Array) -> None:
    """out () = 1 if every entry of X (n,) is finite, else 0; (S,) of X (S, n).

    NaN wins every minimum, and an infinity one of the two; no array of flags is needed.
    """
    low = np.minimum.reduce(X, axis=-1)
    high = np.maximum.reduce(X, axis=-1)
    out[...] = np.isfinite(low) & np.isfinite(high)


def _elements(X: Array) -> int:
    """B * O: the number of entries of one member's (B, O) array."""
    return int(X.shape[-1] * X.shape[-2])


def _mean(terms: Array, loss: Array) -> None:
    """loss () = the mean over the last two axes; (S,) for a population"""
    np.add.reduce(terms, axis=(-2, -1), out=loss)
    np.multiply(loss, 1.0 / _elements(terms), out=loss)


# -- optimizers -------------------------------------------------------------------------


def tick(clock: Array, start: float, end: float, final: float) -> None:
    """Advance an optimizer's clock = [step, base rate, rate] and set this step's rate.

    The rate is constant for `start` steps, then falls linearly to `final` x base at `end`.
    """
    done = float(clock[0])  # steps taken before this one
    clock[0] = done + 1.0
    if done <= start:
        factor = 1.0
    elif done >= end:
        factor = final
    else:
        factor = 1.0 - (1.0 - final) * (done - start) / (end - start)
    clock[2] = float(clock[1]) * factor


def sgd(data: Array, grad: Array, velocity: Array, clock: Array, momentum: float) -> None:
    """velocity = momentum velocity + grad;   data = data - rate velocity"""
    rate = float(clock[2])
    for p, g, u, tmp in _blocks(data, grad, velocity):
        np.multiply(u, momentum, out=u)
        np.add(u, g, out=u)
        np.multiply(u, rate, out=tmp)
        np.subtract(p, tmp, out=p)


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

    m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
    data = (1 - rate weight_decay) data - rate / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)

    The decay of the weights is decoupled from the gradient (Loshchilov and Hutter, 2019).
    """
    t, rate = float(clock[0]), float(clock[2])
    step_size = rate / (1.0 - beta1**t)
    v_scale = 1.0 / (1.0 - beta2**t) ** 0.5
    kept = 1.0 - rate * weight_decay
    for p, g, m_, v_, tmp in _blocks(data, grad, m, v):
        if kept != 1.0:
            np.multiply(p, kept, out=p)
        np.multiply(m_, beta1, out=m_)
        np.multiply(g, 1.0 - beta1, out=tmp)
        np.add(m_, tmp, out=m_)
        np.multiply(v_, beta2, out=v_)
        np.multiply(g, g, out=tmp)
        np.multiply(tmp, 1.0 - beta2, out=tmp)
        np.add(v_, tmp, out=v_)
        np.sqrt(v_, out=tmp)
        np.multiply(tmp, v_scale, out=tmp)
        np.add(tmp, eps, out=tmp)
        np.divide(m_, tmp, out=tmp)
        np.multiply(tmp, step_size, out=tmp)
        np.subtract(p, tmp, out=p)


def moving_average(data: Array, average: Array, clock: Array, decay: float) -> None:
    """average = d average + (1 - d) data, with d = min(decay, (1 + t) / (10 + t)).

    The rising d lets the average forget the untrained network quickly.
    clock = [t], the number of updates before this one.
    """
    t = float(clock[0])
    clock[0] = t + 1.0
    d = min(decay, (1.0 + t) / (10.0 + t))
    for a, p, tmp in _blocks(average, data):
        np.subtract(p, a, out=tmp)
        np.multiply(tmp, 1.0 - d, out=tmp)
        np.add(a, tmp, out=a)


def _blocks(*arrays: Array) -> Any:
    """Walk equally shaped flat buffers in cache-sized blocks, each with a scratch block."""
    flat = [array.reshape(-1) for array in arrays]  # (n,) or (S * n,): views
    n = flat[0].size
    tmp = _scratch((OPTIMIZER_BLOCK,), flat[0].dtype.char)
    for start in range(0, n, OPTIMIZER_BLOCK):
        stop = min(start + OPTIMIZER_BLOCK, n)
        yield (*[array[start:stop] for array in flat], tmp[: stop - start])


# -- random fills -----------------------------------------------------------------------


def fill_uniform(stream: Stream, low: float, high: float, out: Array) -> None:
    """out = uniform numbers in [low, high), up to rounding; `out` is contiguous by member"""
    for member, u in _uniforms(stream, out):
        np.multiply(u, high - low, out=member)
        if low != 0.0:
            np.add(member, low, out=member)


def fill_normal(stream: Stream, mean: float, std: float, out: Array) -> None:
    """out = mean + std z with z standard normal, by Box and Muller's transform.

    A pair of uniforms gives a pair of normals: r cos(a) and r sin(a) with
    r = sqrt(-2 log(1 - u1)) and a = 2 pi u2. With 24-bit uniforms |z| <= 5.77.
    """
    for member, u in _uniforms(stream, out, multiple=2):
        pairs = u.size // 2
        dtype = member.dtype.char
        r = _scratch((pairs,), dtype, 1)
        a = _scratch((pairs,), dtype, 2)
        z = _scratch((pairs, 2), dtype, 3)
        np.subtract(1.0, u[0::2], out=r)
        np.log(r, out=r)
        np.multiply(r, -2.0, out=r)
        np.sqrt(r, out=r)
        np.multiply(u[1::2], 2.0 * np.pi, out=a)
        np.cos(a, out=z[:, 0])
        np.sin(a, out=z[:, 1])
        np.multiply(z, r[:, None], out=z)
        np.multiply(z.reshape(-1)[: member.size], std, out=member)
        np.add(member, mean, out=member)


def fill_dropout_mask(stream: Stream, rate: float, out: Array) -> None:
    """out = 0 with probability rate, else 1 / (1 - rate), each from 16 random bits.

    The rate is rounded to a multiple of 2^-16 and the scale follows it, so the mean is
    exactly one.
    """
    threshold = min(round(rate * 65536), 65535)
    scale = 65536 / (65536 - threshold)
    members = _members(out, stream)  # (S, n)
    n = members.shape[1]
    n_words = -(-n // 4)  # four decisions a word
    padded = -(-n_words // WORDS_PER_BLOCK) * WORDS_PER_BLOCK
    words = _scratch((padded,), "Q")
    kept = _scratch((n,), "?")
    for member, generator in zip(members, stream.generators(n_words), strict=True):
        for start in range(0, padded, RAW_WORDS_CHUNK):
            stop = min(start + RAW_WORDS_CHUNK, padded)
            words[start:stop] = generator.bit_generator.random_raw(stop - start)
        np.greater_equal(words.view(np.uint16)[:n], threshold, out=kept)
        np.copyto(member, kept)
        np.multiply(member, scale, out=member)


def _uniforms(stream: Stream, out: Array, multiple: int = 1) -> Any:
    """For each member: its flat part of `out` (n,) and that many uniforms of its dtype.

    `multiple` rounds the number of uniforms up (2 for pairs). NumPy's float32 uniforms
    are the high 24 bits of each 32-bit half, low half first: just what streams promise.
    """
    members = _members(out, stream)  # (S, n)
    n = -(-members.shape[1] // multiple) * multiple
    n_words = -(-n // 2)  # two 24-bit uniforms a word
    padded = -(-n_words // WORDS_PER_BLOCK) * WORDS_PER_BLOCK * 2
    u = _scratch((padded,), "f")
    for member, generator in zip(members, stream.generators(n_words), strict=True):
        generator.random(out=u, dtype=np.float32)
        if member.dtype.char == "f":
            yield member, u[:n]
        else:
            wide = _scratch((n,), member.dtype.char, 4)
            np.copyto(wide, u[:n])
            yield member, wide


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
