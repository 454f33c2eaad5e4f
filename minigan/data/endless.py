"""Sources without end: each sample is drawn from a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from minigan.backend import Array, Seeds, Stream, get_backend, plain_seeds
from minigan.backend.float_errors import ignore_float_errors
from minigan.checks import whole
from minigan.data.source import ANOTHER_SOURCE, DataSource
from minigan.fixed import Fixed

MOST_BLOCKS = 2**53  # the last position in the data


class Endless(Fixed, DataSource):
    """Independent samples, (B, features) a batch.

    A subclass defines `fill` and `settings`.

    Args:
        features: numbers per sample.
        seed: of the stream "data"; a sequence for a population.
        device: where batches are written.
    """

    fixed: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("size", "features", "seed", "ops", "stream"), ANOTHER_SOURCE
    )

    def __init__(self, features: int, seed: Seeds = 0, *, device: str = "cpu") -> None:
        self.size = None  # an endless source has no epochs
        self.features = features
        self.seed = plain_seeds(seed)
        self.ops = get_backend(device)
        self.stream = Stream(seed, "data")

    def fill(self, stream: Stream, out: Array) -> None:
        """Draw `out` (B, features) from the stream, which advances."""
        raise NotImplementedError

    @ignore_float_errors
    def next_batch(self, out: Array) -> None:
        """Write the next samples into `out` (B, features)."""
        self.fill(self.stream, out)

    @ignore_float_errors
    def reference(self, n: int) -> Array:
        """n samples (n, features) float64 to compare with, from another stream."""
        out = self.ops.empty((n, self.features), "float64")  # (n, features)
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
