"""What a data source is: all that a trainer asks of one."""

from __future__ import annotations

from typing import ClassVar

from minigan.backend import Array
from minigan.config import Part

#: What to do instead of replacing an attribute of a source.
ANOTHER_SOURCE = "make another data source, and another run with it"


class DataSource(Part):
    """Where real samples come from. A subclass defines what is declared here, and is registered.

    Attributes:
        size: samples an epoch; None for an endless source.
        features: numbers a sample.
        is_given: whether a resumed run must be given the source, as its description alone does not
            make it (the samples themselves are no part of it). If not, `from_settings` makes it.
    """

    kind: ClassVar[str] = "data"
    is_given: ClassVar[bool] = False
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
