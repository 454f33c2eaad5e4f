"""The losses of the steps so far, by name.

A step needs gradients, not losses. So each step only keeps copies of the arrays that its losses are
computed from (the outputs of D), and the losses of 64 steps are computed together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from minigan.backend import Array, Backend
from minigan.backend.float_errors import ignore_float_errors
from minigan.backend.share import Team
from minigan.errors import NonFiniteError, ShapeError

PENDING = 64  # K, steps whose losses are computed together

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
        since: the step at which the totals were last cleared.
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
        self.since = 0
        self.team: Team | None = None  # whose processes each have the losses of some rows
        self.clear()

    def clear(self) -> None:
        """Remove all formulas, and the steps whose losses were not computed yet."""
        self._places: list[tuple[Array, list[Array]]] = []
        self._formulas: list[tuple[list[Array], slice, Formula]] = []
        self.taken = 0
        self._pending = 0  # steps whose losses were not computed yet
        self._latest: int | None = None  # the place of the latest step, 0 to K - 1

    def keep(self, arrays: Sequence[Array], columns: int, formula: Formula) -> None:
        """Compute the next columns from arrays (rows, features) after each step: `Game.keep`."""
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
        """Copy the arrays of a step that was just taken."""
        for array, places in self._places:
            self.ops.copy(array, out=places[self._pending])
        self._latest = self._pending
        self._pending += 1
        if self._pending == PENDING:
            self.make()

    @ignore_float_errors
    def make(self) -> None:
        """Compute the pending losses, and add them to the totals."""
        if self._pending:
            losses = self._compute(slice(self._pending))  # (K, C)
            if self.team is not None:
                self.team.average(losses)
            self.ops.record_losses(losses, self.totals)
            self._pending = 0

    def _compute(self, steps: slice) -> Array:
        """The losses of some of the steps whose arrays are there: (number of steps, C)."""
        losses = self._losses[..., steps, :]
        for stores, columns, formula in self._formulas:
            formula([store[..., steps, :] for store in stores], losses[..., columns])
        return losses

    @ignore_float_errors
    def latest(self) -> Any:
        """The losses of the latest step alone (C,), on the host; NaN before there is one.

        The totals and the pending steps stay as they are.
        """
        if self._latest is None:
            return np.full((*self.population, len(self.columns)), np.nan)
        latest = slice(self._latest, self._latest + 1)
        losses = self._compute(latest) if self._pending else self._losses[..., latest, :]  # (1, C)
        return self.ops.to_host(losses)[..., 0, :]

    def forget(self) -> None:
        """Drop the pending steps, which belong to another state."""
        self._pending, self._latest = 0, None

    def check_finite(self, step: int, suspects: Mapping[str, str]) -> None:
        """Raise `NonFiniteError` if a loss up to `step` was not finite; it names the suspect."""
        self.make()
        counts = self.ops.to_host(self.totals)[..., 1, :].reshape(-1, len(self.columns))  # (S, C)
        finite = counts.min(axis=0)  # (C,), of the worst member
        first = int(finite.argmin())
        if finite[first] < step - self.since:
            column = self.columns[first]
            raise NonFiniteError(
                f"step {self.since + int(finite[first]) + 1}: the loss {column} is no longer "
                f"finite; look at {suspects[column]}"
            )

    @ignore_float_errors
    def means(self, step: int) -> Any:
        """The mean of each loss (C,) since the last call; `step` is the number of steps taken."""
        self.make()
        means = self.ops.to_host(self.totals)[..., 0, :] / (step - self.since)  # (C,)
        self.ops.fill(0.0, out=self.totals)
        self.since = step
        return means
