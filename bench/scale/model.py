"""The time of a step as a function of the number of ranks. Seconds, bytes, ranks; no measurement.

    step(p) = compute(p) + exchanges(p)

    compute(p)   = fixed + whole B + each B / p + update n
    exchanges(p) = two sums of gradients, and a message for each further exchange

B rows in a batch, p ranks, n parameters. `fixed` is Python and what a product costs without rows;
`whole` what every rank does for all rows of a batch: it reads all real samples, and draws the
random bytes of whole masks; `each` what it does for its own rows; `update` the optimizer's, which
ranks of MPI do for all parameters and workers for their part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

FLOAT = 4  # bytes


@dataclass(frozen=True)
class Link:
    """What carries messages: seconds of latency, and bytes a second."""

    latency: float
    bandwidth: float

    def ring(self, p: int, size: float) -> float:
        """A sum of arrays of `size` bytes, each rank sending parts of it to the next one in a ring.

        2 (p - 1) (latency + size / p / bandwidth). Fewer bytes are not possible.
        """
        return 2 * (p - 1) * (self.latency + size / p / self.bandwidth)

    def tree(self, p: int, size: float) -> float:
        """The same along a tree, there and back: 2 ceil(log2 p) (latency + size / bandwidth)"""
        return 2 * math.ceil(math.log2(p)) * (self.latency + size / self.bandwidth)

    def halving(self, p: int, size: float) -> float:
        """The same with partners that are 1, 2, 4 ... ranks away, each time half of the array.

        2 ceil(log2 p) latency + 2 (p - 1) / p size / bandwidth: as few bytes as around a ring, and
        as few messages as along a tree (Thakur, Rabenseifner and Gropp, "Optimization of collective
        communication operations in MPICH", 2005, section 4.5). MPICH does it with large arrays.
        """
        messages = 2 * math.ceil(math.log2(p)) * self.latency
        return messages + 2 * (p - 1) / p * size / self.bandwidth

    def total(self, p: int, size: float) -> float:
        """A sum in the best of these ways; between two ranks, two messages and the whole array."""
        if p == 1:
            return 0.0
        return min(way(p, size) for way in (self.ring, self.tree, self.halving))

    def message(self, p: int) -> float:
        """A short message from one to all, along a tree."""
        return 0.0 if p == 1 else math.ceil(math.log2(p)) * self.latency


@dataclass(frozen=True)
class Step:
    """A game's step on one kind of processor.

    Attributes:
        fixed, whole, each, update: see the module; seconds, seconds a row twice, and seconds for
            all parameters.
        parameters: n of each network that is summed.
        messages: exchanges of a step apart from the sums.
        slower: the time that ranks take, in units of one that computes alone: they share caches,
            and all wait for the slowest.
        divided: whether each rank updates only its part of the parameters.
    """

    fixed: float
    whole: float
    each: float
    update: float
    parameters: tuple[int, ...]
    messages: int = 1
    slower: float = 1.0
    divided: bool = False

    def compute(self, p: int, batch: float) -> float:
        """The seconds that a rank computes."""
        update = self.update / (p if self.divided else 1)
        once = self.fixed + self.whole * batch + self.each * batch / p + update
        return once * (self.slower if p > 1 else 1.0)

    def sums(self, p: int, link: Link) -> float:
        """The seconds of the gradients' sums."""
        return sum(link.total(p, FLOAT * n) for n in self.parameters)

    def exchanges(self, p: int, link: Link) -> float:
        """The seconds of everything that is exchanged."""
        return self.sums(p, link) + self.messages * link.message(p)

    def seconds(self, p: int, batch: float, link: Link) -> float:
        """The seconds of a step."""
        return self.compute(p, batch) + self.exchanges(p, link)

    def efficiency(self, p: int, batch: float, link: Link, alone: float) -> float:
        """The time of a batch on one rank, over that of p ranks together: 1 is perfect.

        Args:
            alone: rows of the batch that one rank is compared with: `batch` for strong scaling, the
                rows of a rank for weak scaling.
        """
        ideal = self.compute(1, alone) * batch / alone / p
        return ideal / self.seconds(p, batch, link)

    def larger(self, n: int) -> Step:
        """The same step with n parameters: products and updates cost in proportion."""
        factor = n / sum(self.parameters)
        return replace(
            self,
            each=self.each * factor,
            update=self.update * factor,
            parameters=tuple(round(k * factor) for k in self.parameters),
        )


#: Between machines: two networks that are assumed, not measured.
NETWORKS = {
    "100 Gbit/s, 2 µs": Link(2e-6, 100e9 / 8),
    "10 Gbit/s, 20 µs": Link(20e-6, 10e9 / 8),
}
