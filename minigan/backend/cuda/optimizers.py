"""Optimizers, each one kernel over the flat parameter buffer; clipping."""

from __future__ import annotations

from typing import Any

from minigan.backend.base import Array
from minigan.backend.cuda.elementwise import elementwise
from minigan.backend.cuda.launching import THREADS, grid_for, is_array, launch
from minigan.backend.cuda.layout import need_no_gaps

CLOCK = 3  # numbers of a clock


def clip(X: Array, low: float, high: float, out: Array) -> None:
    """out = min(max(X, low), high); NaN stays NaN"""
    elementwise("clip", out=out, X=X, low=low, high=high)


def tick(clock: Array, start: float, end: float, final: float) -> None:
    """Advance an optimizer's clock = [step, base rate, rate] and set this step's rate.

    A clock (S, 3) has rates for each member of a population.
    """
    members = clock.size // CLOCK
    args = {"members": members, "clock": clock, "start": start, "end": end, "last": final}
    launch("tick", "float32", grid_for(members), (min(members, THREADS),), args)


def sgd(data: Array, grad: Array, velocity: Array, clock: Array, momentum: float) -> None:
    """velocity = momentum velocity + grad;   data = data - rate velocity"""
    _flat("sgd", data=data, grad=grad, velocity=velocity, clock=clock, momentum=momentum)


def rmsprop(
    data: Array, grad: Array, g2_mean: Array, clock: Array, alpha: float, eps: float
) -> None:
    """g2_mean = alpha g2_mean + (1 - alpha) g^2;   data = data - rate g / (sqrt(g2_mean) + eps)"""
    _flat("rmsprop", data=data, grad=grad, g2_mean=g2_mean, clock=clock, alpha=alpha, eps=eps)


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
    """One Adam step t over the flat buffer (Kingma and Ba, 2015, algorithm 1)."""
    sums = {"g_sum": g_sum, "g2_sum": g2_sum}
    numbers = {"beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}
    _flat("adam", data=data, grad=grad, **sums, clock=clock, **numbers, each=4)


def moving_average(data: Array, average: Array, clock: Array, decay: float) -> None:
    """average = d average + (1 - d) data, with d = min(decay, (1 + t) / (10 + t))."""
    _flat("moving_average", data=data, average=average, clock=clock, decay=decay)
    launch("count", "float32", (1,), (1,), {"clock": clock})


def _flat(name: str, data: Array, clock: Array, each: int = 1, **args: Any) -> None:
    """Launch a kernel over flat buffers without gaps, as long as `data`: `each` a thread.

    With a clock (S, 3) every member has a row of threads of its own.
    """
    need_no_gaps(name, data, *filter(is_array, args.values()))
    members = len(clock) if clock.ndim > 1 else 1
    n = data.size // members
    args |= {"n": n, "data": data, "clock": clock}
    launch(name, data.dtype, (*grid_for(-(-n // each)), members), (THREADS,), args)
