"""The generator's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from minigan.backend import Array, Backend, Stream
from minigan.checks import normal, number, set_fields, whole
from minigan.config import Part, register


class Noise(Part):
    """A distribution of noise vectors of `dim` numbers. Subclasses are frozen dataclasses.

    Attributes:
        capturable: whether `fill` and `fill_batch` only call `ops`, on `out`, so that a step can be
            recorded and replayed. A subclass does not inherit it.
    """

    kind: ClassVar[str] = "noise"
    capturable: ClassVar[bool] = False
    dim: int

    def fill(self, ops: Backend, stream: Stream, out: Array) -> None:
        """Draw `out` (B, dim) from the stream: independent rows, for samples."""
        raise NotImplementedError

    def fill_batch(self, ops: Backend, stream: Stream, out: Array) -> None:
        """Draw `out` (B, dim) for a step of training; by default as `fill` does."""
        self.fill(ops, stream, out)

    def quantile(self, u: Any) -> Any:
        """The quantiles at u (K,), 0 < u < 1, of each number; None if they are not known."""
        return None


@register
@dataclass(frozen=True)
class Uniform(Noise):
    """`dim` independent uniform numbers in [low, high), up to rounding."""

    capturable: ClassVar[bool] = True
    low: float = 0.0
    high: float = 1.0
    dim: int = 1

    def __post_init__(self) -> None:
        name = type(self).__name__
        low = number(f"{name}: low", self.low)
        high = number(f"{name}: high", self.high, above=low)
        number(f"{name}: high - low", high - low)
        set_fields(self, low=low, high=high, dim=whole(f"{name}: dim", self.dim, 1))

    def fill(self, ops: Backend, stream: Stream, out: Array) -> None:
        ops.fill_uniform(stream, self.low, self.high, out=out)

    def quantile(self, u: Any) -> Any:
        """low + (high - low) u"""
        return self.low + (self.high - self.low) * u


@register
@dataclass(frozen=True)
class Stratified(Uniform):
    """As `Uniform`; but in training, each number of a batch comes from a stratum of its own.

    [low, high) is cut into B equal parts, and each of the B rows of a batch draws from another one,
    in a random order for each dimension. A mean over the batch then varies less than one over
    independent rows (Owen, "Monte Carlo theory, methods and examples", 2013, section 8.4). Samples
    (`gan.sample`) are drawn independently.
    """

    capturable: ClassVar[bool] = True

    def fill_batch(self, ops: Backend, stream: Stream, out: Array) -> None:
        ops.fill_stratified(stream, self.low, self.high, out=out)


@register
@dataclass(frozen=True)
class Normal(Noise):
    """`dim` independent normal numbers."""

    capturable: ClassVar[bool] = True
    mean: float = 0.0
    std: float = 1.0
    dim: int = 1

    def __post_init__(self) -> None:
        mean, std = normal("Normal", self.mean, self.std)
        set_fields(self, mean=mean, std=std, dim=whole("Normal: dim", self.dim, 1))

    def fill(self, ops: Backend, stream: Stream, out: Array) -> None:
        ops.fill_normal(stream, self.mean, self.std, out=out)

    def quantile(self, u: Any) -> Any:
        """mean + std times the quantile of the standard normal distribution."""
        from scipy import stats  # slow to import

        return stats.norm.ppf(u, self.mean, self.std)
