"""How many threads the matrix products of a run may use.

The BLAS library splits a product among threads that wait for each other. If another program uses
the CPU of one of them, the others wait until the operating system lets it continue: milliseconds,
where the largest product of the 1-D networks takes 15 microseconds. So small networks gain nothing
from a second thread, and risk much. docs/performance.md has the numbers.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from minigan.errors import BusyError
from minigan.gan import Game
from minigan.nn import Sequential

#: A product with this many multiplications, or more, is faster with a second thread.
WORTH_SHARING = 2_000_000


def largest_product(gan: Game, batch: int) -> int:
    """The multiplications of the largest product in a step of B samples."""

    def of(net: Sequential, rows: int) -> int:
        shapes = net.shapes(rows - rows % net.rows_multiple)
        pairs = zip(net.layers, shapes, strict=False)  # the last shape is the output's
        return max(layer.multiplications(shape) for layer, shape in pairs)

    fakes = batch if gan.same_noise else 2 * batch
    return max(of(gan.discriminator, 2 * batch), of(gan.generator, fakes))


def suitable_threads(gan: Game, batch: int) -> int | None:
    """1 if the products of a step are too small to share; None to leave BLAS as it is set."""
    return 1 if largest_product(gan, batch) < WORTH_SHARING else None


def cores_of_each(processes: int) -> int:
    """The cores of this machine for each of several processes, at least one."""
    return max(1, (os.cpu_count() or 1) // processes)


_limiting = threading.RLock()  # held by the thread that has set the limit


def _forget_the_parents_threads() -> None:
    global _limiting
    _limiting = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_parents_threads)


@contextlib.contextmanager
def limit_threads(n: int | None) -> Iterator[None]:
    """Limit the BLAS library to n threads within the block; None leaves it as it is set.

    The limit is the whole process's. So only one thread at a time can be in such a block.

    Raises:
        BusyError: another thread is.
    """
    mine = _limiting
    if not mine.acquire(blocking=False):
        raise BusyError(
            "another thread of this process is training, and BLAS has one number of threads for "
            "the whole process: train in one thread, or in several processes"
        )
    try:
        if n is None:
            yield
            return
        from threadpoolctl import threadpool_limits  # only when training

        with threadpool_limits(limits=n, user_api="blas"):
            yield
    finally:
        mine.release()


def blas() -> tuple[str, int]:
    """NumPy's BLAS library as a name, and how many threads it may use now."""
    from threadpoolctl import threadpool_info  # only when needed

    found = [one for one in threadpool_info() if one["user_api"] == "blas"]
    if not found:
        return "a BLAS library that threadpoolctl does not know", 1
    words = [str(found[0].get(key) or "") for key in ("internal_api", "version", "architecture")]
    return " ".join(filter(None, words)), int(found[0]["num_threads"])
