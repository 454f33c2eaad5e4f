"""How many threads the matrix products of a run may use.

The BLAS library splits a product among threads that wait for each other. If the CPU of one of
them is busy with another program, the other waits until the operating system lets it go on:
milliseconds, where the largest product of the 1-D networks takes 15 microseconds. So small
networks gain nothing from a second thread, and risk much. docs/performance.md has the numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from minigan.gan import Game
from minigan.nn import Linear, Sequential

#: Multiplications in a product from which on a second thread pays.
WORTH_SHARING = 2_000_000


def largest_product(gan: Game, batch: int) -> int:
    """The multiplications, rows x in x out, of the largest product in a step of B samples."""

    def of(net: Sequential, rows: int) -> int:
        sizes = [
            layer.in_features * layer.out_features
            for layer in net.layers
            if isinstance(layer, Linear)
        ]
        return rows * max(sizes, default=0)

    packs = batch // gan.discriminator.rows_multiple
    fakes = batch if gan.same_noise else 2 * batch
    return max(of(gan.discriminator, 2 * packs), of(gan.generator, fakes))


def suitable_threads(gan: Game, batch: int) -> int | None:
    """1 if the products of a step are too small to share; None for what BLAS is set to."""
    return 1 if largest_product(gan, batch) < WORTH_SHARING else None


@contextlib.contextmanager
def limit_threads(n: int | None) -> Iterator[None]:
    """Limit the BLAS library to n threads inside; None leaves it alone."""
    if n is None:
        yield
        return
    from threadpoolctl import threadpool_limits  # only when training

    with threadpool_limits(limits=n, user_api="blas"):
        yield
