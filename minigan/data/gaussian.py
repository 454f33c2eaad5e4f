"""The one-dimensional experiment's truth: a normal distribution, drawn without end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from minigan.backend import Array, Seeds, Stream, get_backend, plain_seeds
from minigan.checks import number, whole
from minigan.config import register
from minigan.data.source import ANOTHER_SOURCE, DataSource
from minigan.fixed import Fixed


@register
class Gaussian(Fixed, DataSource):
    """Independent normal samples, (B, 1) a batch.

    Args:
        mean, std: of the distribution; std > 0. The article's data: mean 4, std 1.25.
        seed: of the stream "data"; a sequence for a population.
        device: where batches are written.
    """

    fixed: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("size", "features", "mean", "std", "seed", "ops", "stream"), ANOTHER_SOURCE
    )

    def __init__(
        self, mean: float = 4.0, std: float = 1.25, seed: Seeds = 0, device: str = "cpu"
    ) -> None:
        self.size = None  # an endless source has no epochs
        self.features = 1
        self.mean = number("Gaussian: mean", mean)
        self.std = number("Gaussian: std", std, above=0.0)
        self.seed = plain_seeds(seed)
        self.ops = get_backend(device)
        self.stream = Stream(seed, "data")

    def next_batch(self, out: Array) -> None:
        """Write the next samples into `out` (B, 1)."""
        self.ops.fill_normal(self.stream, self.mean, self.std, out=out)

    def reference(self, n: int) -> Array:
        """n samples (n, 1) float64 to compare with, from a stream of their own."""
        out = self.ops.empty((n, 1), "float64")  # (n, 1)
        self.ops.fill_normal(Stream(0, "data/reference"), self.mean, self.std, out=out)
        return out

    def state(self) -> dict[str, int]:
        """The position in the data: {"position": ...}."""
        return {"position": self.stream.position}

    def load_state(self, state: dict[str, int]) -> None:
        """Go to the position that `state()` returned."""
        self.stream.position = whole("the position in the data", state["position"], 0)

    def settings(self) -> dict[str, Any]:
        """The settings as JSON."""
        return {"mean": self.mean, "std": self.std, "seed": self.seed}

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *context: Any) -> Gaussian:
        """Make one of `settings()`, on the device that `context` names."""
        (device,) = context or ("cpu",)
        return cls(device=device, **settings)
