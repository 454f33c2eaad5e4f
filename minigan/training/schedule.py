"""When something is due: intervals in steps, or in epochs that may end inside a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def epoch_end(epoch: int, size: int, batch: int) -> int:
    """The step that serves the last sample of epoch `epoch`, counted from 1."""
    return -(-epoch * size // batch)


@dataclass(frozen=True)
class Schedule:
    """Intervals of steps, or of epochs.

    Args:
        batch: samples per step.
        size: samples per epoch, to count in epochs; None counts in steps.
    """

    batch: int
    size: int | None

    def next(self, every: int, after: int) -> int:
        """The first step after `after` that ends an interval of `every` units."""
        return self._end(every * (self._units(after) // every + 1))

    def last(self, every: int, step: int) -> int:
        """The last step up to `step` that ended an interval of `every` units; 0 if none did."""
        return self._end(every * (self._units(step) // every))

    def is_due(self, every: int, step: int) -> bool:
        """Whether an interval of `every` units ends with `step`."""
        return self.next(every, step - 1) == step

    def _units(self, step: int) -> int:
        """Steps, or whole epochs, done after `step`."""
        return step if self.size is None else step * self.batch // self.size

    def _end(self, units: int) -> int:
        """The step that ends the given number of units."""
        return units if self.size is None else epoch_end(units, self.size, self.batch)


@dataclass(frozen=True)
class Given:
    """Steps that a function chooses; it has the methods of `Schedule` that a callback needs.

    Args:
        first_after: step -> the first of the steps after it.
    """

    first_after: Callable[[int], int]

    def next(self, every: int, after: int) -> int:
        """The first of the steps after `after`; `every` means nothing."""
        return self.first_after(after)

    def is_due(self, every: int, step: int) -> bool:
        """Whether `step` is one of them."""
        return self.first_after(step - 1) == step
