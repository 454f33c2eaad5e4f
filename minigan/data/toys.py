"""Points in the plane: the toys on which mode collapse can be seen.

The ring and the grid are those of the papers that count modes: Metz et al. 2017, "Unrolled
generative adversarial networks"; Srivastava et al. 2017, "VEEGAN", section 4.1; Lin et al. 2018,
"PacGAN", section 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from minigan.backend import Array, Seeds, Stream
from minigan.backend.base import DTYPES
from minigan.backend.float_errors import ignore_float_errors
from minigan.checks import normal, number, whole
from minigan.config import register
from minigan.data.endless import Endless
from minigan.data.source import ANOTHER_SOURCE, DataSource

MOST_CENTRES = 2**16
ON_A_CURVE = 4096  # centres of a curve: far closer to each other than `std`
FINE = 100_001  # places of a curve, from which its length is computed


class Plane(DataSource):
    """Points in the plane, with two numbers a sample.

    Attributes:
        modes: (K, 2) float64, the centres of K modes that are equally likely; None if the points
            form no separate modes.
        std: of each of the two numbers within a mode.
    """

    form: ClassVar[str] = "plane"
    modes: Any = None
    std: float = 0.0


class Mixture(Endless, Plane):
    """Points c + std z, drawn without end: c one of K centres, z standard normal.

    Args:
        centres: (K, 2), each equally likely.
        std: > 0.
        modes: whether each centre is a mode. If not, the centres lie close together on a curve.
        seed: of the stream "data"; a sequence for a population.
        device: where batches are written.
    """

    fixed: ClassVar[Mapping[str, str]] = {
        **Endless.fixed,
        **dict.fromkeys(("modes", "std", "centres"), ANOTHER_SOURCE),
    }

    def __init__(
        self, centres: Any, std: float, modes: bool, seed: Seeds = 0, *, device: str = "cpu"
    ) -> None:
        _, self.std = normal(type(self).__name__, float(np.abs(centres).max()), std)
        super().__init__(2, seed, device=device)
        self.modes = centres if modes else None
        #: By dtype, (K, 2) on the device.
        self.centres = {np.dtype(d): self.ops.from_host(centres, d) for d in DTYPES}

    def fill(self, stream: Stream, out: Array) -> None:
        """Draw `out` (B, 2) from the stream."""
        self.ops.fill_mixture(stream, self.centres[out.dtype], self.std, out=out)


@register
class Ring(Mixture):
    """Narrow normal distributions, evenly spaced on a circle around 0.

    Args:
        count: how many.
        radius: of the circle, > 0.
        std: of each distribution, > 0.
        seed: of the stream "data"; a sequence for a population.
        device: where batches are written.

    Raises:
        ConfigError: an invalid setting.
    """

    def __init__(
        self,
        count: int = 8,
        radius: float = 2.0,
        std: float = 0.02,
        seed: Seeds = 0,
        *,
        device: str = "cpu",
    ) -> None:
        self.count = whole("Ring: count", count, 1, MOST_CENTRES)
        self.radius = number("Ring: radius", radius, above=0.0)
        angle = 2.0 * np.pi * np.arange(self.count) / self.count  # (K,)
        super().__init__(_circle(self.radius, angle), std, True, seed, device=device)

    def settings(self) -> dict[str, Any]:
        """The settings as JSON."""
        return {"count": self.count, "radius": self.radius, "std": self.std, "seed": self.seed}


@register
class Grid(Mixture):
    """Narrow normal distributions on a square grid around 0.

    Args:
        side: how many in a row, and how many rows: side^2 modes.
        spacing: the distance of neighbours, > 0.
        std: of each distribution, > 0.
        seed: of the stream "data"; a sequence for a population.
        device: where batches are written.

    Raises:
        ConfigError: an invalid setting.
    """

    def __init__(
        self,
        side: int = 5,
        spacing: float = 2.0,
        std: float = 0.05,
        seed: Seeds = 0,
        *,
        device: str = "cpu",
    ) -> None:
        self.side = whole("Grid: side", side, 1, math.isqrt(MOST_CENTRES))
        self.spacing = number("Grid: spacing", spacing, above=0.0)
        places = self.spacing * (np.arange(self.side) - (self.side - 1) / 2)  # (side,)
        x, y = np.meshgrid(places, places)
        centres = np.stack([x.ravel(), y.ravel()], axis=1)  # (side^2, 2)
        super().__init__(centres, std, True, seed, device=device)

    def settings(self) -> dict[str, Any]:
        """The settings as JSON."""
        return {"side": self.side, "spacing": self.spacing, "std": self.std, "seed": self.seed}


@register
class Spiral(Mixture):
    """Points along the spiral r = radius t, angle = 2 pi turns t, 0 <= t <= 1, with normal noise.

    Args:
        turns: of the spiral, > 0.
        radius: of its outer end, > 0.
        std: of the noise, > 0.
        seed: of the stream "data"; a sequence for a population.
        device: where batches are written.

    Raises:
        ConfigError: an invalid setting.
    """

    def __init__(
        self,
        turns: float = 2.0,
        radius: float = 2.0,
        std: float = 0.05,
        seed: Seeds = 0,
        *,
        device: str = "cpu",
    ) -> None:
        self.turns = number("Spiral: turns", turns, above=0.0)
        self.radius = number("Spiral: radius", radius, above=0.0)
        t = np.linspace(0.0, 1.0, FINE)
        curve = _circle(self.radius * t, 2.0 * np.pi * self.turns * t)  # (FINE, 2)
        super().__init__(_evenly(curve, ON_A_CURVE), std, False, seed, device=device)

    def settings(self) -> dict[str, Any]:
        """The settings as JSON."""
        return {"turns": self.turns, "radius": self.radius, "std": self.std, "seed": self.seed}


@register
class Moons(Mixture):
    """Points along two interleaved half circles, with normal noise.

    Args:
        radius: of both, > 0.
        std: of the noise, > 0.
        seed: of the stream "data"; a sequence for a population.
        device: where batches are written.

    Raises:
        ConfigError: an invalid setting.
    """

    def __init__(
        self, radius: float = 1.0, std: float = 0.05, seed: Seeds = 0, *, device: str = "cpu"
    ) -> None:
        self.radius = number("Moons: radius", radius, above=0.0)
        half = _circle(self.radius, np.pi * np.linspace(0.0, 1.0, ON_A_CURVE // 2))  # (K / 2, 2)
        upper = half - self.radius * np.array([0.5, 0.25])
        super().__init__(np.concatenate([upper, -upper]), std, False, seed, device=device)

    def settings(self) -> dict[str, Any]:
        """The settings as JSON."""
        return {"radius": self.radius, "std": self.std, "seed": self.seed}


def _circle(radius: Any, angle: Any) -> Any:
    """The points (K, 2) at these radii and angles."""
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


@ignore_float_errors
def _evenly(curve: Any, count: int) -> Any:
    """`count` points (count, 2) at equal distances along a curve of points (N, 2)."""
    pieces = np.hypot(*np.diff(curve, axis=0).T)  # (N - 1,)
    length = np.concatenate([[0.0], np.cumsum(pieces)])  # (N,), from the beginning
    places = np.linspace(0.0, length[-1], count)
    return np.stack([np.interp(places, length, column) for column in curve.T], axis=1)
