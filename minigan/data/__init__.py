"""The truth: where real samples come from."""

from __future__ import annotations

from typing import Any, Protocol

from minigan.backend import Array
from minigan.data.gaussian import Gaussian
from minigan.data.images import Images, ImageSet, load_images, read_idx_folder
from minigan.data.samples import Samples
from minigan.errors import ConfigError


class DataSource(Protocol):
    """What the trainer asks of data."""

    @property
    def size(self) -> int | None:
        """Samples an epoch; None for an endless source."""

    @property
    def features(self) -> int:
        """Numbers a sample."""

    def next_batch(self, out: Array) -> None:
        """Write the next samples into `out` (B, features)."""

    def reference(self, n: int) -> Array:
        """At most n samples to compare with, (<= n, features): always the same ones.

        They leave the position as it is.
        """

    def state(self) -> dict[str, int]:
        """The position in the data."""

    def load_state(self, state: dict[str, int]) -> None:
        """Go to a position that `state()` returned."""

    def to_config(self) -> dict[str, Any]:
        """A description as JSON."""


def data_from_config(config: dict[str, Any], device: str = "cpu") -> DataSource:
    """Rebuild a data source that its description alone defines; `ConfigError` otherwise."""
    try:
        settings = dict(config)
        kind = settings.pop("data")
        if kind == "Gaussian":
            return Gaussian(device=device, **settings)
    except (LookupError, TypeError, ValueError) as error:
        raise ConfigError(f"not a data source's definition: {config!r}") from error
    raise ConfigError(f"data of kind {kind!r} cannot be rebuilt from a file; pass data=...")


__all__ = [
    "DataSource",
    "Gaussian",
    "ImageSet",
    "Images",
    "Samples",
    "data_from_config",
    "load_images",
    "read_idx_folder",
]
