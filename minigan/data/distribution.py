"""Endless sources of single numbers from a known distribution."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minigan.backend import Seeds
from minigan.backend.float_errors import ignore_float_errors
from minigan.data.endless import Endless
from minigan.errors import DataError

TABLE = 10_001  # values of the cdf, between which a quantile is looked up


class Distribution(Endless):
    """Independent numbers, (B, 1) a batch.

    A subclass sets `mean` and `std`, and defines `fill`, `density`, `cdf` and `settings`, from
    which scores and figures are made. `quantile` may be replaced by a formula.

    Args:
        seed: of the stream "data"; a sequence for a population.
        device: where batches are written.

    Attributes:
        mean, std: of the distribution.
    """

    form: ClassVar[str] = "number"
    mean: float
    std: float

    def __init__(self, seed: Seeds = 0, *, device: str = "cpu") -> None:
        super().__init__(1, seed, device=device)

    def density(self, x: Any) -> Any:
        """p(x), of an array of any shape."""
        raise NotImplementedError

    def cdf(self, x: Any) -> Any:
        """The probability of a number up to x, of an array of any shape."""
        raise NotImplementedError

    @ignore_float_errors
    def quantile(self, u: Any) -> Any:
        """The inverse of `cdf` at u (K,), 0 < u < 1, from a table and one Newton step.

        The table resolves peaks that are wider than about a hundredth of `std`.
        """
        u = np.asarray(u, dtype=np.float64)
        low, high = (self._beyond(sign, u) for sign in (-1.0, 1.0))
        table = np.linspace(low, high, TABLE)
        x = np.interp(u, self.cdf(table), table)  # (K,)
        slope = np.maximum(self.density(x), 1e-300)
        width = table[1] - table[0]  # at most: where the density is 0 there is no slope
        return x - np.clip((self.cdf(x) - u) / slope, -width, width)

    def _beyond(self, sign: float, u: Any) -> float:
        """A number below (sign -1) or above (sign 1) the quantiles at u."""
        for power in range(64):
            end = float(self.mean + sign * self.std * 2.0**power)
            if (self.cdf(end) <= u.min()) if sign < 0.0 else (self.cdf(end) >= u.max()):
                return end
        raise DataError(f"{type(self).__name__}.cdf does not rise from 0 to 1, or std is 0")
