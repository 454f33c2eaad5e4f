"""The generator's input: where a sample comes from before it looks like anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minigan.backend import Array, Backend, Stream
from minigan.checks import number, set_fields, whole
from minigan.errors import ConfigError


class Noise:
    """A distribution of noise vectors of `dim` numbers. Subclasses say which."""

    dim: int

    def fill(self, ops: Backend, stream: Stream, out: Array) -> None:
        """Draw `out` (B, dim) from the stream."""
        raise NotImplementedError

    def to_config(self) -> dict[str, Any]:
        """The definition as JSON: {"noise": "Uniform", "low": 0.0, ...}."""
        return {"noise": type(self).__name__, **vars(self)}


@dataclass(frozen=True)
class Uniform(Noise):
    """Independent uniform numbers in [low, high), up to rounding; `dim` of them a sample."""

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


@dataclass(frozen=True)
class Normal(Noise):
    """Independent normal numbers, `dim` of them a sample."""

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


def noise_from_config(config: dict[str, Any]) -> Uniform | Normal:
    """Rebuild a noise from `Noise.to_config()`; `ConfigError` if it is not one."""
    try:
        settings = dict(config)
        kinds: dict[str, type[Uniform] | type[Normal]] = {"Uniform": Uniform, "Normal": Normal}
        return kinds[settings.pop("noise")](**settings)
    except (LookupError, TypeError, ValueError) as error:
        raise ConfigError(f"not a noise's definition: {config!r}") from error
