"""How good points in the plane are: the modes they reach, and how they lie within them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.backend import checked_array
from minigan.backend.base import on_host
from minigan.backend.float_errors import ignore_float_errors
from minigan.data import Plane
from minigan.errors import DataError

NEAR = 3.0  # standard deviations from a centre: within them a sample is of high quality
DIRECTIONS = 32  # onto which the sliced Wasserstein distance projects


@dataclass(frozen=True)
class PointScore:
    """Points against the data. The first four are None for data without modes.

    A sample belongs to the nearest centre, and is of *high quality* if it is within 3 standard
    deviations of it (Srivastava et al. 2017, "VEEGAN", section 4.1). A true sample is, with the
    probability 1 - exp(-9/2) = 0.989.

    Attributes:
        modes: how many have a sample of high quality.
        of_modes: how many the data have.
        high_quality: the share of samples that are.
        reverse_kl: KL(q || uniform) in nats, q_k the share of samples that belong to mode k (Lin et
            al. 2018, "PacGAN", section 4.1). Zero is best; log K if all samples belong to one mode.
        spread: of the samples of high quality, the standard deviation of both numbers from their
            centres, as a multiple of the data's. A true Gaussian, cut off at 3, has 0.974; NaN if
            there is no such sample.
        sliced: the sliced Wasserstein distance to real samples: the mean over 32 directions of the
            Wasserstein-1 distance of the projections, in the samples' unit (Bonneel et al. 2015,
            "Sliced and Radon Wasserstein barycenters of measures").
        sliced_floor: the same distance between two sets of real samples.
        n: the number of samples.
    """

    modes: int | None
    of_modes: int | None
    high_quality: float | None
    reverse_kl: float | None
    spread: float | None
    sliced: float
    sliced_floor: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """The scores as JSON, without those that the data do not have."""
        scores = dataclasses.asdict(self).items()
        return {name: value for name, value in scores if value is not None and value == value}

    def title(self) -> str:
        """The scores in one line."""
        if self.modes is None:
            return f"sliced W1 {self.sliced:.4f} (real samples {self.sliced_floor:.4f})"
        spread = f"   spread {self.spread:.2f}" if self.high_quality else ""
        return (
            f"modes {self.modes} of {self.of_modes}   high quality {self.high_quality:.1%}   "
            f"reverse KL {self.reverse_kl:.4f}{spread}"
        )

    def __str__(self) -> str:
        distance = f"   sliced W1 {self.sliced:.4f} (real samples {self.sliced_floor:.4f})"
        return f"{self.title()}{distance * (self.modes is not None)}   ({self.n:,} samples)"


@ignore_float_errors
def score_points(samples: Any, data: Plane) -> PointScore:
    """Score samples against a source of points.

    Args:
        samples: (n, 2), n >= 2, finite.
        data: the source.

    Raises:
        DataError: fewer than 2 samples, or one that is not finite.
        DTypeError: not an array of numbers.
    """
    X = _points(samples)
    real = _points(on_host(data.reference(2 * len(X))))  # (<= 2 n, 2)
    first, second = real[::2], real[1::2]
    return PointScore(
        **(score_modes(X, data.modes, data.std) if data.modes is not None else NO_MODES),
        sliced=sliced_wasserstein(X, first),
        sliced_floor=sliced_wasserstein(first, second) if len(second) else math.nan,
        n=len(X),
    )


NO_MODES: dict[str, Any] = dict.fromkeys(
    ("modes", "of_modes", "high_quality", "reverse_kl", "spread")
)


def score_modes(X: Any, centres: Any, std: float) -> dict[str, Any]:
    """Of points X (n, 2) and modes at `centres` (K, 2): the first five scores of a `PointScore`.

    Args:
        X: finite.
        centres: of the modes.
        std: of each of the two numbers within a mode.
    """
    from scipy.spatial import KDTree  # slow to import

    distance, nearest = KDTree(centres).query(X)  # (n,), (n,)
    K, good = len(centres), distance <= NEAR * std
    q = np.bincount(nearest, minlength=K) / len(X)  # (K,)
    held = q[q > 0.0]
    within = math.sqrt((distance[good] ** 2).mean() / 2) if good.any() else math.nan
    return {
        "modes": len(np.unique(nearest[good])),
        "of_modes": K,
        "high_quality": float(good.mean()),
        "reverse_kl": float((held * np.log(held * K)).sum()),
        "spread": within / std,
    }


@ignore_float_errors
def sliced_wasserstein(X: Any, Y: Any) -> float:
    """The mean over 32 directions of the Wasserstein-1 distance of X (n, 2) and Y (m, 2)."""
    angle = np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    directions = np.stack([np.cos(angle), np.sin(angle)])  # (2, directions)
    x, y = (np.sort(A @ directions, axis=0) for A in (X, Y))
    # In one dimension W1 is the mean distance of equal quantiles: here those of the smaller set.
    u = (np.arange(min(len(X), len(Y))) + 0.5) / min(len(X), len(Y))
    x, y = (A[(u * len(A)).astype(int)] for A in (x, y))  # (min(n, m), directions)
    return float(np.abs(x - y).mean())


def _points(samples: Any) -> Any:
    """Samples as (n, 2) float64; `DataError` if they cannot be scored."""
    X = checked_array("samples", samples).astype(np.float64)
    if X.ndim != 2 or X.shape[1] != 2 or len(X) < 2 or not np.isfinite(X).all():
        raise DataError(f"scores need at least 2 finite samples (n, 2), not {X.shape}")
    return X
