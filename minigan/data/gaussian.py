"""The one-dimensional experiment's data: a normal distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from minigan.backend import Array, Seeds, Stream
from minigan.backend.float_errors import ignore_float_errors
from minigan.checks import normal
from minigan.config import register
from minigan.data.distribution import Distribution
from minigan.data.source import ANOTHER_SOURCE


@register
class Gaussian(Distribution):
    """Independent normal samples, (B, 1) a batch.

    Args:
        mean, std: of the distribution; std > 0. The article's data: mean 4, std 1.25.
        seed: of the stream "data"; a sequence for a population.
        device: where batches are written.
    """

    fixed: ClassVar[Mapping[str, str]] = {
        **Distribution.fixed,
        **dict.fromkeys(("mean", "std"), ANOTHER_SOURCE),
    }

    def __init__(
        self, mean: float = 4.0, std: float = 1.25, seed: Seeds = 0, *, device: str = "cpu"
    ) -> None:
        self.mean, self.std = normal("Gaussian", mean, std)
        super().__init__(seed, device=device)

    def fill(self, stream: Stream, out: Array) -> None:
        """Draw `out` (B, 1) from the stream."""
        self.ops.fill_normal(stream, self.mean, self.std, out=out)

    @ignore_float_errors
    def density(self, x: Any) -> Any:
        """exp(-((x - mean) / std)^2 / 2) / (std sqrt(2 pi))"""
        z = (np.asarray(x) - self.mean) / self.std
        return np.exp(-0.5 * z**2) / (self.std * np.sqrt(2.0 * np.pi))

    @ignore_float_errors
    def cdf(self, x: Any) -> Any:
        """The probability of a number up to x."""
        from scipy import stats  # slow to import, and training needs none of it

        return stats.norm.cdf(x, self.mean, self.std)

    @ignore_float_errors
    def quantile(self, u: Any) -> Any:
        """The inverse of `cdf`, for 0 < u < 1."""
        from scipy import stats

        return stats.norm.ppf(u, self.mean, self.std)

    def settings(self) -> dict[str, Any]:
        """The settings as JSON."""
        return {"mean": self.mean, "std": self.std, "seed": self.seed}
