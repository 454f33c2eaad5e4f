"""Optimizers, weight clipping and moving averages, over flat buffers of parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from minigan.backend.base import Array
from minigan.backend.numpy.pool import full, scratch
from minigan.backend.numpy.recording import live, np

# Buffers are updated in blocks of this many numbers. Five arrays of 256 KiB in float32 stay in the
# caches of today's cores, and the cost of a call is small in comparison.
OPTIMIZER_BLOCK = 65536


def clip(X: Array, low: float, high: float, out: Array) -> None:
    """out = min(max(X, low), high); NaN stays NaN"""
    np.maximum(X, full(low, X.shape, X.dtype.char), out=out)
    np.minimum(out, full(high, X.shape, X.dtype.char), out=out)


@live
def tick(clock: Array, start: float, end: float, final: float) -> None:
    """Advance an optimizer's clock = [step, base rate, rate] and set this step's rate.

    The rate is constant for `start` steps, then falls linearly to `final` x base at `end`. A clock
    (S, 3) has rates for each member of a population; its steps are the same.
    """
    done = clock.item(0)  # steps taken before this one
    if done <= start:
        factor = 1.0
    elif done >= end:
        factor = final
    else:
        factor = 1.0 - (1.0 - final) * (done - start) / (end - start)
    fields = clock.T  # (3,), or (3, S)
    fields[0] = done + 1.0
    fields[2] = fields[1] * factor


def sgd(data: Array, grad: Array, velocity: Array, clock: Array, momentum: float) -> None:
    """velocity = momentum velocity + grad;   data = data - rate velocity"""
    (number,) = _scalars(_rate, 1, data, clock)
    for p, g, u, tmp, rate in _blocks([number], data, grad, velocity):
        np.multiply(u, momentum, out=u)
        np.add(u, g, out=u)
        np.multiply(u, rate, out=tmp)
        np.subtract(p, tmp, out=p)


@live
def _rate(out: Array, clock: Array) -> None:
    """out (1,), or (1, S) = the rate of this step"""
    out[0] = clock.T[2]


def rmsprop(
    data: Array, grad: Array, g2_mean: Array, clock: Array, alpha: float, eps: float
) -> None:
    """g2_mean = alpha g2_mean + (1 - alpha) g^2;   data = data - rate g / (sqrt(g2_mean) + eps)"""
    (number,) = _scalars(_rate, 1, data, clock)
    for p, g, s2, tmp, rate in _blocks([number], data, grad, g2_mean):
        np.multiply(g, g, out=tmp)
        np.multiply(tmp, 1.0 - alpha, out=tmp)
        np.multiply(s2, alpha, out=s2)
        np.add(s2, tmp, out=s2)
        np.sqrt(s2, out=tmp)
        np.add(tmp, eps, out=tmp)
        np.divide(g, tmp, out=tmp)
        np.multiply(tmp, rate, out=tmp)
        np.subtract(p, tmp, out=p)


def adam(
    data: Array,
    grad: Array,
    g_sum: Array,
    g2_sum: Array,
    clock: Array,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None:
    """One Adam step t over the flat buffer (Kingma and Ba, 2015, algorithm 1).

    g_sum = beta1 g_sum + g,   g2_sum = beta2 g2_sum + g^2
    data = weight_factor data - step_size g_sum / (sqrt(g2_sum) + scaled_eps)

    These sums are the paper's moments m and v divided by (1 - beta1) and (1 - beta2). That saves
    two passes over memory, since all constants are combined in the numbers of `_adam_scalars`.
    Without momentum (beta1 = 0) g_sum would be g itself: it is neither read nor written.
    The decay of the weights is decoupled from the gradient (Loshchilov and Hutter, 2019).
    """
    scalars = _scalars(_adam_scalars, 3, data, clock, beta1, beta2, eps, weight_decay)
    for p, g, s, s2, tmp, *numbers in _blocks(scalars, data, grad, g_sum, g2_sum):
        step_size, scaled_eps, weight_factor = numbers
        if weight_decay != 0.0:
            np.multiply(p, weight_factor, out=p)
        if beta1 != 0.0:
            np.multiply(s, beta1, out=s)
            np.add(s, g, out=s)
        np.multiply(s2, beta2, out=s2)
        np.multiply(g, g, out=tmp)
        np.add(s2, tmp, out=s2)
        np.sqrt(s2, out=tmp)
        np.add(tmp, scaled_eps, out=tmp)
        np.divide(s if beta1 != 0.0 else g, tmp, out=tmp)
        np.multiply(tmp, step_size, out=tmp)
        np.subtract(p, tmp, out=p)


@live
def _adam_scalars(
    out: Array, clock: Array, beta1: float, beta2: float, eps: float, weight_decay: float
) -> None:
    """out (3,), or (3, S) by member = step_size, scaled_eps and weight_factor of step t.

    The paper's m^ is (1 - beta1) / (1 - beta1^t) g_sum, and its sqrt(v^) is root sqrt(g2_sum):
    divide numerator and denominator of rate m^ / (sqrt(v^) + eps) by root.
    """
    t, rate = clock.item(0), clock.T[2]  # rate: a number, or (S,)
    root = math.sqrt((1.0 - beta2) / (1.0 - beta2**t))
    out[0] = rate / root * (1.0 - beta1) / (1.0 - beta1**t)
    out[1] = eps / root
    out[2] = 1.0 - rate * weight_decay


def moving_average(data: Array, average: Array, clock: Array, decay: float) -> None:
    """average = d average + (1 - d) data, with d = min(decay, (1 + t) / (10 + t)).

    The rising d makes the average forget the untrained network quickly.
    clock = [t], the number of updates before this one.
    """
    (number,) = _scalars(_average_scalars, 1, data, clock, decay)
    for a, p, tmp, fresh in _blocks([number], average, data):
        np.subtract(p, a, out=tmp)
        np.multiply(tmp, fresh, out=tmp)
        np.add(a, tmp, out=a)


@live
def _average_scalars(out: Array, clock: Array, decay: float) -> None:
    """out (1,) = 1 - d; the clock advances"""
    t = float(clock[0])
    clock[0] = t + 1.0
    out[0] = 1.0 - min(decay, (1.0 + t) / (10.0 + t))


def _scalars(
    fill: Callable[..., None], count: int, data: Array, clock: Array, *settings: Any
) -> list[Array]:
    """The numbers of one step, as arrays () of the data's dtype; a replay computes them again.

    Of a clock for each member they are (S, 1).
    """
    numbers = scratch((count, *clock.shape[:-1]), data.dtype.char, 8)  # (count,), or (count, S)
    fill(numbers, clock, *settings)
    by_member = clock.ndim > 1
    return [numbers[i, ..., None] if by_member else numbers[i, ...] for i in range(count)]


def _blocks(numbers: Sequence[Array], *arrays: Array) -> Any:
    """Cache-sized blocks of equally shaped flat buffers; a temporary of the same size; numbers.

    Args:
        numbers: each (), or (S, 1): each block has those of its own members.
        arrays: (n,), or (S, n) for a population.
    """
    if numbers[0].ndim:
        yield from _blocks_by_member(numbers, arrays)
        return
    flat = [array.reshape(-1) for array in arrays]  # (n,) or (S * n,): views
    n = flat[0].size
    tmp = scratch((min(n, OPTIMIZER_BLOCK),), flat[0].dtype.char)
    for start in range(0, n, OPTIMIZER_BLOCK):
        stop = min(start + OPTIMIZER_BLOCK, n)
        yield (*[array[start:stop] for array in flat], tmp[: stop - start], *numbers)


def _blocks_by_member(numbers: Sequence[Array], arrays: Sequence[Array]) -> Any:
    """`_blocks` of whole members, or of a part of one if it is larger than a block."""
    members, n = arrays[0].shape
    columns = max(1, min(n, OPTIMIZER_BLOCK))
    rows = OPTIMIZER_BLOCK // columns
    for first in range(0, members, rows):
        some = slice(first, first + rows)
        for start in range(0, n, columns):
            blocks = [array[some, start : start + columns] for array in arrays]
            tmp = scratch(blocks[0].shape, blocks[0].dtype.char)
            yield (*blocks, tmp, *[number[some] for number in numbers])
