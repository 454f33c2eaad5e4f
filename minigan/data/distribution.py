"""Endless sources of single numbers from a known distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from minigan.backend import Array, Seeds, Stream, get_backend, plain_seeds
from minigan.backend.float_errors import ignore_float_errors
from minigan.checks import whole
from minigan.data.source import ANOTHER_SOURCE, DataSource
from minigan.errors import DataError
from minigan.fixed import Fixed

MOST_BLOCKS = 2**53  # the last position in the data
TABLE = 10_001  # values of the cdf, between which a quantile is looked up


class Distribution(Fixed, DataSource):
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
    fixed: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("size", "features", "seed", "ops", "stream"), ANOTHER_SOURCE
    )
    mean: float
    std: float

    def __init__(self, seed: Seeds = 0, *, device: str = "cpu") -> None:
        self.size = None  # an endless source has no epochs
        self.features = 1
        self.seed = plain_seeds(seed)
        self.ops = get_backend(device)
        self.stream = Stream(seed, "data")

    def fill(self, stream: Stream, out: Array) -> None:
        """Draw `out` (B, 1) from the stream, which advances."""
        raise NotImplementedError

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

    @ignore_float_errors
    def next_batch(self, out: Array) -> None:
        """Write the next samples into `out` (B, 1)."""
        self.fill(self.stream, out)

    @ignore_float_errors
    def reference(self, n: int) -> Array:
        """n samples (n, 1) float64 to compare with, from another stream."""
        out = self.ops.empty((n, 1), "float64")  # (n, 1)
        self.fill(Stream(0, "data/reference"), out)
        return out

    def state(self) -> dict[str, int]:
        """The position in the data: {"position": ...}."""
        return {"position": self.stream.position}

    def load_state(self, state: dict[str, int]) -> None:
        """Continue at the position that `state()` returned."""
        position = whole("the position in the data", state["position"], 0, MOST_BLOCKS)
        self.stream.position = position

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *context: Any) -> Any:
        """Make one of `settings()`, on the device that `context` names."""
        (device,) = context or ("cpu",)
        return cls(device=device, **settings)
