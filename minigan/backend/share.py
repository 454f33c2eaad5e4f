"""A share: the rows of each batch that one process computes, where several take a step together.

Each process of a *team* computes its rows, and means over its rows. A mean over the whole batch is
the average of these, weighted by the rows of each share. So averages are all that the processes
must exchange: of gradients, of the statistics of batch normalisation, of losses.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Protocol

from minigan.errors import ConfigError, ShapeError


@dataclass(frozen=True)
class Share:
    """The rows from `start` to `stop` of every batch of `batch` rows."""

    start: int
    stop: int
    batch: int

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.stop - self.start

    def in_packs(self, m: int) -> Share:
        """The same share where m rows have become one."""
        return Share(self.start // m, self.stop // m, self.batch // m)

    def whole(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of whole batches, for arrays (k rows, features) of k batches' shares.

        Raises:
            ShapeError: the rows are no multiple of the share's.
        """
        batches, rest = divmod(shape[-2], self.rows)
        if rest:
            raise ShapeError(
                f"{shape[-2]} rows cannot be drawn for a share of {self.rows} rows of each batch"
            )
        return (*shape[:-2], batches * self.batch, shape[-1])

    def runs(self, shape: tuple[int, ...]) -> list[tuple[int, slice]]:
        """Where the share's numbers are, for arrays (k rows, features) of k batches' shares.

        Returns:
            for each batch, the place of its first number in the whole batches, and the places of
            its numbers in the share.
        """
        features = shape[-1]
        size, batch = self.rows * features, self.batch * features
        return [
            (k * batch + self.start * features, slice(k * size, (k + 1) * size))
            for k in range(shape[-2] // self.rows)
        ]


class Team(Protocol):
    """The processes that take a step together, as layers and games see them.

    Attributes:
        share: the rows of this process.
    """

    share: Share

    def average(self, X: Any) -> None:
        """X (contiguous) = the average of the X of all processes, weighted by their rows."""


def shares(batch: int, unit: int, size: int) -> list[Share]:
    """The shares of `size` processes in a batch: multiples of `unit`, as equal as possible.

    Raises:
        ConfigError: there are fewer units than processes.
    """
    units = batch // unit
    if units < size:
        packs = "" if unit == 1 else f", {units} packs of {unit}"
        raise ConfigError(f"{size} processes cannot share a batch of {batch}{packs}")
    ends = [units * k // size * unit for k in range(size + 1)]
    return [Share(start, stop, batch) for start, stop in itertools.pairwise(ends)]
