"""A finite set of samples in memory, in a new order every epoch."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from minigan.backend import ANY, Array, Stream, check_dtype, checked_array, get_backend
from minigan.backend.float_errors import ignore_float_errors
from minigan.backend.random import WORDS_PER_BLOCK
from minigan.checks import whole
from minigan.config import register
from minigan.data.source import ANOTHER_SOURCE, DataSource
from minigan.errors import ConfigError, DataError, DTypeError, ShapeError
from minigan.fixed import Fixed
from minigan.text import count

MOST_CLASSES = 10_000
MOST_SERVED = 2**53  # samples
MOST_RANDOM = 2**26  # bytes of a stand-in's samples


class Shuffled(Fixed, DataSource):
    """Rows of a fixed array, served in an order that depends on (seed, epoch) alone.

    An epoch may end inside a batch, which continues with the next epoch. So every sample is seen
    equally often, every batch is full (even one larger than the data), and the position is one
    number: the samples served so far. A subclass defines `serve`.

    Args:
        X: (N, features) on the device; kept as it is.
        seed: of the order.
        device, dtype: of the batches.
        labels: (N,) integers >= 0, the class of each row, or None.

    Attributes:
        labels: (N, classes) on the device, each row 1 at its class and 0 elsewhere; or None.
    """

    fixed: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("ops", "X", "dtype", "size", "features", "seed", "labels", "classes"), ANOTHER_SOURCE
    )
    is_given: ClassVar[bool] = True
    size: int

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *context: Any) -> Shuffled:
        """A file has no samples: always a `ConfigError`."""
        raise ConfigError(f"{cls.__name__} cannot be rebuilt from a file, which lacks the samples")

    @ignore_float_errors
    def __init__(
        self, X: Array, seed: int, device: str, dtype: str, labels: Any | None = None
    ) -> None:
        self.ops = get_backend(device)
        self.X = X  # (N, features)
        self.dtype = check_dtype(dtype)
        self.size = X.shape[0]
        self.features = X.shape[1]
        self.seed = whole(f"{type(self).__name__}: seed", seed, 0)
        one_hot = None if labels is None else _one_hot(labels, self.size)  # (N, classes) bool
        self.labels = None if one_hot is None else self.ops.from_host(one_hot, dtype)
        self.classes = 0 if one_hot is None else one_hot.shape[1]
        self._labels_sha256 = "" if one_hot is None else hashlib.sha256(one_hot.data).hexdigest()
        self.position = 0  # samples served so far
        self._epoch = -1
        self._order: Array = None  # (N,) the current epoch's order, on the device

    def serve(self, index: Array, out: Array) -> None:
        """Write the samples at index (B,) into `out` (B, features)."""
        raise NotImplementedError

    @ignore_float_errors
    def next_batch(self, out: Array, labels: Array | None = None) -> None:
        """Write the next samples into `out` (B, features), and their labels into `labels`.

        Args:
            out: (B, features)
            labels: (B, classes), or None. A row becomes 1 at the sample's class and 0 elsewhere.

        Raises:
            ConfigError: the source has no labels.
            DTypeError: an array of another shape or dtype.
        """
        if labels is not None:
            self._require_labels()
        if out.dtype != self.dtype or out.ndim != 2:
            raise DTypeError(
                f"these samples are {self.dtype} (B, features) for one network; "
                f"asked to fill {out.dtype} {out.shape}"
            )
        wanted = (out.shape[0], self.classes)
        if labels is not None and (labels.dtype != self.dtype or labels.shape != wanted):
            raise DTypeError(
                f"the labels of these samples are {self.dtype} {wanted}; "
                f"asked to fill {labels.dtype} {labels.shape}"
            )
        done = 0
        for index in self._next(out.shape[-2]):
            piece = slice(done, done + index.shape[0])
            self.serve(index, out=out[piece])
            if labels is not None:
                self.ops.take_rows(self.labels, index, out=labels[piece])
            done = piece.stop

    @ignore_float_errors
    def reference(self, n: int) -> Array:
        """At most n samples (<= n, features) to compare with, evenly spread over the data."""
        n = min(n, self.size)
        out = self.ops.empty((n, self.features), self.dtype)  # (n, features)
        if n:
            self.serve(self._spread(n), out=out)
        return out

    def reference_labels(self, n: int) -> Array:
        """The labels of `reference(n)`, rows (<= n, classes); `ConfigError` without labels."""
        self._require_labels()
        n = min(n, self.size)
        out = self.ops.empty((n, self.classes), self.dtype)  # (n, classes)
        if n:
            self.ops.take_rows(self.labels, self._spread(n), out=out)
        return out

    def _spread(self, n: int) -> Array:
        """n row numbers (n,), evenly spread over the data."""
        return self.ops.asarray(np.arange(n) * self.size // n)

    def _require_labels(self) -> None:
        if self.labels is None:
            raise ConfigError(f"these {type(self).__name__} have no labels: make them with labels=")

    def next_index(self, count: int) -> Array:
        """The row numbers (count,) of the next samples, on the host; the position moves on."""
        return np.concatenate([self.ops.to_host(index) for index in self._next(count)])

    def _next(self, count: int) -> Iterator[Array]:
        """The next `count` row numbers, on the device, in one piece an epoch."""
        while count:
            epoch, start = divmod(self.position, self.size)
            if epoch != self._epoch:
                self._order, self._epoch = self.order(epoch), epoch
            index = self._order[start : start + count]
            self.position += index.shape[0]
            count -= index.shape[0]
            yield index

    def order(self, epoch: int) -> Array:
        """The permutation (N,) of an epoch, int64, on the device."""
        order = self.ops.empty((self.size,), "int64")  # (N,)
        position = epoch * -(-self.size // WORDS_PER_BLOCK)
        self.ops.fill_permutation(Stream(self.seed, "data", position), out=order)
        return order

    def state(self) -> dict[str, int]:
        """The position in the data: {"position": ...}."""
        return {"position": self.position}

    def load_state(self, state: dict[str, int]) -> None:
        """Continue at the position that `state()` returned."""
        self.position = whole("the position in the data", state["position"], 0, MOST_SERVED)

    @functools.cached_property
    def sha256(self) -> str:
        """Of the rows' bytes."""
        return hashlib.sha256(np.ascontiguousarray(self.ops.to_host(self.X)).data).hexdigest()

    def settings(self) -> dict[str, Any]:
        """A description as JSON, with the SHA-256 of the samples."""
        settings = {
            "shape": [self.size, self.features],
            "dtype": self.dtype,
            "sha256": self.sha256,
            "seed": self.seed,
        }
        if self.labels is not None:
            settings["classes"] = self.classes
            settings["labels_sha256"] = self._labels_sha256
        return settings

    @staticmethod
    def stand_in_labels(settings: dict[str, Any], rows: int) -> Any | None:
        """The labels (rows,) of a stand-in; None if the described data have none."""
        classes = settings.get("classes", 0)
        # The first row has the last class: the number of classes is read off the largest label.
        return (-1 - np.arange(rows)) % classes if classes else None

    def describe(self) -> str:
        """What the data are, for people."""
        return f"{type(self).__name__}: {count(self.size, 'sample')} of {self.features}"


def _one_hot(labels: Any, size: int) -> Any:
    """Labels (N,) as rows (N, classes), True at the class; `DataError` if they are invalid."""
    host = checked_array("labels", labels, ANY)
    if host.shape != (size,) or host.dtype.kind not in "iu":
        raise DataError(f"labels must be ({size},) integers, not {host.shape} {host.dtype}")
    host = host.astype(np.int64)
    if host.min() < 0:
        raise DataError(f"a label is {host.min()}; labels must be >= 0")
    if host.max() >= MOST_CLASSES:
        raise DataError(f"a label is {host.max():,}; they must be below {MOST_CLASSES:,}")
    return host[:, None] == np.arange(host.max() + 1)


@register
class Samples(Shuffled):
    """Samples X (N, features) in a new order every epoch (see `Shuffled`).

    Args:
        X: (N, features), numbers, finite; kept once, as `dtype`.
        seed: of the order.
        device, dtype: of the samples and the batches.
        labels: (N,) integers >= 0, the class of each sample, or None.

    Raises:
        ShapeError, DataError: X is not (N >= 1, features >= 1) or not finite, or invalid labels.
        DTypeError: X or the labels cannot be read as an array.
    """

    @ignore_float_errors
    def __init__(
        self,
        X: Any,
        seed: int = 0,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        labels: Any | None = None,
    ) -> None:
        host = checked_array("samples", X, ANY)
        if host.ndim != 2 or 0 in host.shape:
            raise ShapeError(f"samples must be (N, features), not {host.shape}")
        if host.dtype.kind not in "fiu":
            raise DataError(f"samples must be numbers, not {host.dtype}")
        host = host.astype(check_dtype(dtype))  # infinite, if too large: refused below
        if not np.isfinite(host).all():
            raise DataError(f"samples must be finite as {dtype}; they hold NaN or infinity")
        super().__init__(get_backend(device).from_host(host, dtype), seed, device, dtype, labels)

    def serve(self, index: Array, out: Array) -> None:
        """Write the samples at index (B,) into `out` (B, features)."""
        self.ops.take_rows(self.X, index, out=out)

    @classmethod
    def shape_of(cls, settings: dict[str, Any]) -> tuple[int, ...]:
        """(N, features)"""
        n, features = settings["shape"]
        return n, features

    @classmethod
    def stand_in(cls, settings: dict[str, Any], *, device: str = "cpu") -> Samples:
        """Standard normal numbers (N, features), at most `MOST_RANDOM` bytes of them."""
        size, features = settings["shape"]
        rows = min(size, max(1, MOST_RANDOM // (8 * features)))
        numbers = np.random.default_rng(0).standard_normal((rows, features))  # (N, features)
        labels = cls.stand_in_labels(settings, rows)
        return cls(numbers, device=device, dtype=settings["dtype"], labels=labels)
