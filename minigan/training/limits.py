"""What a machine can do at best: its peak rate in products, and its memory's bandwidth."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from minigan.backend import Backend

PRODUCT_SIZE = 512  # of the products that show the peak rate
COPIED = 2**27  # bytes of the array whose copy shows the memory's bandwidth: more than caches hold
LOOK = 0.2  # seconds that each of the two limits is looked at


@dataclass(frozen=True)
class Limits:
    """What this machine can do at best, as measured on it.

    Attributes:
        flops: operations a second, in products of 512 x 512 matrices.
        bandwidth: bytes a second, read and written, when a large array is copied.
    """

    flops: float
    bandwidth: float


def measure_limits(ops: Backend, dtype: str) -> Limits:
    """The best of several products and several copies, with the threads that there are now.

    Args:
        ops: the backend.
        dtype: of the numbers.
    """
    n = PRODUCT_SIZE
    A, B, C = (ops.zeros((n, n), dtype) for _ in range(3))  # (n, n) each
    for X in (A, B):
        ops.fill(1.0, out=X)  # zeros that nobody wrote may be no memory yet
    product = _best(lambda: ops.matmul(A, B, out=C))
    source, target = (ops.zeros((COPIED // 4,), "float32") for _ in range(2))  # (n,) each
    for X in (source, target):
        ops.fill(1.0, out=X)
    copied = _best(lambda: ops.copy(source, out=target))
    return Limits(flops=2.0 * n**3 / product, bandwidth=2.0 * COPIED / copied)


def _best(work: Callable[[], None]) -> float:
    """Seconds of the fastest of the calls that fit in `LOOK`, at least three."""
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < LOOK:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
