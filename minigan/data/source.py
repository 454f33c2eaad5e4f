"""What a data source is: all that a trainer asks of one."""

from __future__ import annotations

from typing import Any, ClassVar

from minigan.backend import Array
from minigan.config import Part
from minigan.errors import ConfigError


class DataSource(Part):
    """Where real samples come from. Subclasses have what is declared here, and are registered.

    Attributes:
        size: samples an epoch; None for an endless source.
        features: numbers a sample.
    """

    kind: ClassVar[str] = "data"
    size: int | None
    features: int

    def next_batch(self, out: Array) -> None:
        """Write the next samples into `out` (B, features)."""
        raise NotImplementedError

    def reference(self, n: int) -> Array:
        """At most n samples to compare with, (<= n, features): always the same ones.

        They leave the position as it is.
        """
        raise NotImplementedError

    def state(self) -> dict[str, int]:
        """The position in the data."""
        raise NotImplementedError

    def load_state(self, state: dict[str, int]) -> None:
        """Go to a position that `state()` returned."""
        raise NotImplementedError

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *context: Any) -> DataSource:
        """Rebuild one from its description alone; a source that needs its samples cannot."""
        raise ConfigError(f"data of kind {cls.__name__!r} cannot be rebuilt from a file")
