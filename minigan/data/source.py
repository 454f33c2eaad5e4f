"""What a data source is: everything that a trainer and the commands need."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from minigan.backend import Array
from minigan.config import CLASSES, Part, rebuild
from minigan.errors import ConfigError, DataError

#: What to do instead of replacing an attribute of a source.
ANOTHER_SOURCE = "make another data source, and another run with it"


class DataSource(Part):
    """Where real samples come from. A subclass is registered.

    It defines `size`, `features`, `next_batch`, `reference`, `state`, `load_state` and `settings`.
    For numbers of a known distribution, derive from `Distribution`. A source that holds samples
    sets `is_given` and defines `shape_of`; if a command can find its samples, also `find`.

    Attributes:
        form: what a sample is: "vector", "number" or "image". It decides on scores and figures.
        size: samples per epoch; None for an endless source.
        features: numbers per sample.
        classes: the number of classes of its labels; 0 if it has no labels.
        is_given: whether a resumed run must be given the source, because its description lacks the
            samples. If not, `from_settings` makes it.
    """

    kind: ClassVar[str] = "data"
    form: ClassVar[str] = "vector"
    is_given: ClassVar[bool] = False
    size: int | None
    features: int
    classes: int = 0

    def next_batch(self, out: Array) -> None:
        """Write the next samples into `out` (B, features).

        A source that has labels also takes `labels=`, an array (B, classes), and writes a row for
        each sample into it: 1 at its class, 0 elsewhere.
        """
        raise NotImplementedError

    def reference(self, n: int) -> Array:
        """At most n samples to compare with, (<= n, features) of any float dtype.

        They are always the same, and the position does not change.
        """
        raise NotImplementedError

    def reference_labels(self, n: int) -> Array:
        """The labels of `reference(n)`, rows (<= n, classes); only of a source that has labels."""
        raise NotImplementedError

    def state(self) -> dict[str, int]:
        """The position in the data."""
        raise NotImplementedError

    def load_state(self, state: dict[str, int]) -> None:
        """Continue at a position that `state()` returned."""
        raise NotImplementedError

    def describe(self) -> str:
        """What the data are, for people: "Gaussian: mean 4, std 1.25"."""
        settings = {name: value for name, value in self.settings().items() if name != "seed"}
        words = ", ".join(f"{name} {_short(value)}" for name, value in settings.items())
        return f"{type(self).__name__}: {words}" if words else type(self).__name__

    # -- of a description alone, as `to_config` gives it ------------------------------------

    @classmethod
    def shape_of(cls, settings: dict[str, Any]) -> tuple[int, ...]:
        """The shape of all samples in one array, (N, ...); () for an endless source.

        Raises:
            LookupError, TypeError, ValueError: invalid settings.
        """
        return ()

    @classmethod
    def find(
        cls, settings: dict[str, Any], folder: Path | None = None, *, device: str = "cpu"
    ) -> DataSource:
        """The described source with its samples, at the beginning.

        Args:
            settings: what `settings()` returned.
            folder: where to look for the samples of a source that is given.
            device: where batches are written.

        Raises:
            DataError: the samples cannot be found, or differ from those described.
        """
        if cls.is_given:
            raise DataError(f"only a program that has such {cls.__name__} can give them")
        source: DataSource = rebuild(cls.kind, {cls.kind: cls.__name__, **settings}, device)
        return source

    @classmethod
    def stand_in(cls, settings: dict[str, Any], *, device: str = "cpu") -> DataSource | None:
        """A source of random samples of the same form, for measuring time without any file.

        None if random numbers will do.
        """
        return None if cls.is_given else cls.find(settings, device=device)


def described(config: dict[str, Any]) -> tuple[type[DataSource] | None, dict[str, Any]]:
    """The class of described data, None if it is not registered here; and its settings."""
    source: Any = CLASSES["data"].get(str(config.get("data")))
    return source, {name: value for name, value in config.items() if name != "data"}


def data_shape(config: dict[str, Any]) -> tuple[int, ...]:
    """The shape (N, ...) of all samples of described data; () if it is unknown or they are endless.

    Raises:
        LookupError, TypeError, ValueError: invalid settings.
    """
    source, settings = described(config)
    return () if source is None else source.shape_of(settings)


def require_complete(data: DataSource) -> None:
    """Raise `ConfigError` unless a source has all methods, and a state that can be saved."""
    cls = type(data)
    labels = ("reference_labels",) if data.classes else ()
    for name in ("next_batch", "reference", "state", "load_state", *labels):
        if getattr(cls, name) is getattr(DataSource, name):
            every = "every source with classes" if name in labels else "every data source"
            raise ConfigError(f"{cls.__name__} must define {name}, as {every} does")
    state = data.state()
    if not isinstance(state, dict) or any(
        not isinstance(name, str) or type(value) is not int for name, value in state.items()
    ):
        raise ConfigError(f"{cls.__name__}.state() must return {{name: integer}}, not {state!r}")


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
