"""What steps leave behind: losses by name.

No kernel of a step reads a loss; only gradients are needed. So a step leaves the arrays that its
losses are made of (the verdicts of D), and the losses of 64 steps are made in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from minigan.backend import Array, Backend
from minigan.errors import ShapeError

PENDING = 64  # K, steps whose losses are made at a time

#: ([the array of each step (K, numbers)], out (K, columns)) -> the losses, in `out`.
Formula: TypeAlias = Callable[[Sequence[Array], Array], None]


class Records:
    """The sums of named losses over steps, and how many steps were finite.

    Args:
        ops, dtype, population: of the networks.
        columns: C names.

    Attributes:
        totals: (2, C) float64: the sum of each loss, and its finite steps.
        taken: how many columns have a formula.
    """

    def __init__(
        self, ops: Backend, dtype: str, population: tuple[int, ...], columns: Sequence[str]
    ) -> None:
        self.ops = ops
        self.dtype = dtype
        self.population = population
        self.columns = tuple(columns)
        self.totals = ops.zeros((*population, 2, len(columns)), "float64")  # (2, C)
        self._losses = ops.empty((*population, PENDING, len(columns)), dtype)  # (K, C)
        ops.fill(float("nan"), out=self._losses)  # a column that no formula writes is noticed
        self.clear()

    def clear(self) -> None:
        """Forget what was to be kept, and the steps that wait."""
        self._places: list[tuple[Array, list[Array]]] = []
        self._formulas: list[tuple[list[Array], slice, Formula]] = []
        self.taken = 0
        self._pending = 0  # steps that wait to be made into losses

    def keep(self, arrays: Sequence[Array], columns: int, formula: Formula) -> None:
        """From now on keep what each step leaves in some arrays, and make the next columns of it.

        Args:
            arrays: any (rows, features).
            columns: how many.
            formula: makes them.
        """
        stores = []
        for array in arrays:
            if array.ndim != len(self.population) + 2:
                raise ShapeError(f"losses are made of arrays (rows, features), not {array.shape}")
            rows, features = array.shape[-2:]
            each = self.ops.empty((*self.population, PENDING, rows, features), self.dtype)
            views = [each[..., k, :, :] for k in range(PENDING)]  # K views (rows, features)
            self._places.append((array, views))
            stores.append(each.reshape(*self.population, PENDING, rows * features))
        start = self.taken
        self.taken = start + columns
        self._formulas.append((stores, slice(start, start + columns), formula))

    def add(self) -> None:
        """Keep what a step has left."""
        for array, places in self._places:
            self.ops.copy(array, out=places[self._pending])
        self._pending += 1
        if self._pending == PENDING:
            self.make()

    def make(self) -> None:
        """Add the losses of the steps that wait to the totals."""
        if self._pending:
            K = self._pending
            losses = self._losses[..., :K, :]  # (K, C)
            for stores, columns, formula in self._formulas:
                formula([store[..., :K, :] for store in stores], losses[..., columns])
            self.ops.record_losses(losses, self.totals)
            self._pending = 0

    def forget(self) -> None:
        """Let go of the steps that wait: they are of another state."""
        self._pending = 0

    def read(self) -> tuple[Any, Any]:
        """The sums, and the fewest finite steps of any member: (C,), or (S, C); and (C,)."""
        self.make()
        totals = self.ops.to_host(self.totals)  # (2, C)
        counts = np.min(totals[..., 1, :].reshape(-1, len(self.columns)), axis=0)  # (C,)
        return totals[..., 0, :], counts

    def reset(self) -> None:
        """Begin new sums."""
        self.ops.fill(0.0, out=self.totals)
