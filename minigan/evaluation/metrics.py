"""How good one-dimensional samples are, measured against the exact distribution."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.backend import checked_array
from minigan.backend.float_errors import ignore_float_errors
from minigan.data import Distribution, Gaussian
from minigan.errors import DataError


@dataclass(frozen=True)
class NumberScore:
    """Samples against a distribution. Zero is best for `ks` and `wasserstein`.

    Attributes:
        mean, std: of the samples.
        ks: the Kolmogorov-Smirnov distance, the largest gap between the samples' distribution
            function and the exact one, in [0, 1]; about 0.87 / sqrt(n) for n exact samples.
        wasserstein: the Wasserstein-1 (earth mover's) distance, in the samples' unit.
        n: the number of samples.
    """

    mean: float
    std: float
    ks: float
    wasserstein: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """The scores as JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        return (
            f"mean {self.mean:.3f}   std {self.std:.3f}   KS {self.ks:.4f}   "
            f"W1 {self.wasserstein:.4f}   ({self.n:,} samples)"
        )


@ignore_float_errors
def score_numbers(samples: Any, target: Distribution) -> NumberScore:
    """Score samples against a distribution.

    Args:
        samples: any shape; at least 2 of them, finite.
        target: the distribution.

    Raises:
        DataError: fewer than 2 samples, or one that is not finite.
        DTypeError: not an array of numbers.
    """
    from scipy import stats  # slow to import, and only this function needs it

    x = np.sort(checked_array("samples", samples).astype(np.float64).ravel())  # (n,)
    if x.size < 2 or not np.isfinite(x).all():
        raise DataError("scores need at least 2 finite samples")
    # In one dimension W1 pairs sorted samples with the target's quantiles of equal mass.
    quantiles = target.quantile((np.arange(x.size) + 0.5) / x.size)  # (n,)
    return NumberScore(
        mean=float(x.mean()),
        std=float(x.std()),
        ks=float(stats.ks_1samp(x, target.cdf).statistic),
        wasserstein=float(stats.wasserstein_distance(x, quantiles)),
        n=x.size,
    )


def score_gaussian(samples: Any, mean: float, std: float) -> NumberScore:
    """Score samples against the normal distribution (mean, std); see `score_numbers`.

    Raises:
        DataError: fewer than 2 samples, or one that is not finite.
        DTypeError: not an array of numbers.
        ConfigError: std is not positive.
    """
    return score_numbers(samples, Gaussian(mean, std))
