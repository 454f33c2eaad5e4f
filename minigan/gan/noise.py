"""The generator's input: where a sample comes from before it looks like anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from minigan.backend import Array, Backend, Stream
from minigan.checks import number, set_fields, whole
from minigan.config import Part, register


class Noise(Part):
    """A distribution of noise vectors of `dim` numbers. Subclasses say which.

    Attributes:
        capturable: whether `fill` is calls of `ops` on `out` alone, so that a step can be recorded
            and replayed. It counts only in the very class that has the formula.
    """

    kind: ClassVar[str] = "noise"
    capturable: ClassVar[bool] = False
    dim: int

    def fill(self, ops: Backend, stream: Stream, out: Array) -> None:
        """Draw `out` (B, dim) from the stream."""
        raise NotImplementedError

    def quantile(self, u: Any) -> Any:
        """The quantiles at u (K,), 0 < u < 1, of each of the numbers; None if they aren't known."""
        return None


@register
@dataclass(frozen=True)
class Uniform(Noise):
    """Independent uniform numbers in [low, high), up to rounding; `dim` of them a sample."""

    capturable: ClassVar[bool] = True
    low: float = 0.0
    high: float = 1.0
    dim: int = 1

    def __post_init__(self) -> None:
        low = number("Uniform: low", self.low)
        set_fields(
            self,
            low=low,
            high=number("Uniform: high", self.high, above=low),
            dim=whole("Uniform: dim", self.dim, 1),
        )

    def fill(self, ops: Backend, stream: Stream, out: Array) -> None:
        ops.fill_uniform(stream, self.low, self.high, out=out)

    def quantile(self, u: Any) -> Any:
        """low + (high - low) u"""
        return self.low + (self.high - self.low) * u


@register
@dataclass(frozen=True)
class Normal(Noise):
    """Independent normal numbers, `dim` of them a sample."""

    capturable: ClassVar[bool] = True
    mean: float = 0.0
    std: float = 1.0
    dim: int = 1

    def __post_init__(self) -> None:
        set_fields(
            self,
            mean=number("Normal: mean", self.mean),
            std=number("Normal: std", self.std, above=0.0),
            dim=whole("Normal: dim", self.dim, 1),
        )

    def fill(self, ops: Backend, stream: Stream, out: Array) -> None:
        ops.fill_normal(stream, self.mean, self.std, out=out)

    def quantile(self, u: Any) -> Any:
        """mean + std times the quantile of the standard normal distribution."""
        from scipy import stats  # slow to import, and only figures need it

        return stats.norm.ppf(u, self.mean, self.std)
