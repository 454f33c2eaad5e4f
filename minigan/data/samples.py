"""A finite set of samples in memory, shuffled anew every epoch."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from minigan.backend import Array, Stream, check_dtype, get_backend
from minigan.backend.base import on_host
from minigan.backend.random import WORDS_PER_BLOCK
from minigan.checks import whole
from minigan.config import register
from minigan.data.source import ANOTHER_SOURCE, DataSource
from minigan.errors import ConfigError, DataError, DTypeError, ShapeError
from minigan.fixed import Fixed


class Shuffled(Fixed, DataSource):
    """Rows of a fixed array, served in an order that only (seed, epoch) decides.

    Batches follow each other without a gap: when an epoch ends inside a batch, the next
    epoch's order goes on in the same batch. So every sample is seen equally often, every
    batch is full (even one larger than the data), and the position is one number: the
    samples served so far.

    Subclasses keep the rows `X` (N, features) and say how they become a batch.

    Args:
        X: (N, features) on the device; kept as it is.
        seed: of the order.
        device, dtype: where batches are filled, and as what.
    """

    fixed: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("ops", "X", "dtype", "size", "features", "seed"), ANOTHER_SOURCE
    )
    is_given: ClassVar[bool] = True
    size: int

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *context: Any) -> Shuffled:
        """There are no samples in a file."""
        raise ConfigError(f"{cls.__name__} cannot be rebuilt from a file, which lacks the samples")

    def __init__(self, X: Array, seed: int, device: str, dtype: str) -> None:
        self.ops = get_backend(device)
        self.X = X  # (N, features)
        self.dtype = check_dtype(dtype)
        self.size = X.shape[0]
        self.features = X.shape[1]
        self.seed = whole(f"{type(self).__name__}: seed", seed, 0)
        self.position = 0  # samples served so far
        self._epoch = -1
        self._order: Array = None  # (N,) the current epoch's order, on the device

    def serve(self, index: Array, out: Array) -> None:
        """Write the samples at index (B,) into `out` (B, features)."""
        raise NotImplementedError

    def next_batch(self, out: Array) -> None:
        """Write the next samples into `out` (B, features)."""
        if out.dtype != self.dtype or out.ndim != 2:
            raise DTypeError(
                f"these samples are {self.dtype} (B, features) for one network; "
                f"asked to fill {out.dtype} {out.shape}"
            )
        done = 0
        for index in self._next(out.shape[-2]):
            count = index.shape[0]
            self.serve(index, out=out[done : done + count])
            done += count

    def reference(self, n: int) -> Array:
        """At most n samples (<= n, features) to compare with, evenly spread over the data."""
        n = min(n, self.size)
        out = self.ops.empty((n, self.features), self.dtype)  # (n, features)
        if n:
            self.serve(self.ops.asarray(np.arange(n) * self.size // n), out=out)
        return out

    def next_index(self, count: int) -> Array:
        """The row numbers (count,) of the next samples, on the host; and go on past them."""
        return np.concatenate([self.ops.to_host(index) for index in self._next(count)])

    def _next(self, count: int) -> Iterator[Array]:
        """The next `count` row numbers, on the device: a piece of each epoch that they touch."""
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
        """Go to the position that `state()` returned."""
        self.position = whole("the position in the data", state["position"], 0)

    @functools.cached_property
    def sha256(self) -> str:
        """Of the rows' bytes; made once, since it reads them all."""
        return hashlib.sha256(np.ascontiguousarray(self.ops.to_host(self.X)).data).hexdigest()

    def settings(self) -> dict[str, Any]:
        """A description as JSON. The samples themselves are known by their SHA-256."""
        return {
            "shape": [self.size, self.features],
            "dtype": self.dtype,
            "sha256": self.sha256,
            "seed": self.seed,
        }


@register
class Samples(Shuffled):
    """Samples X (N, features), shuffled anew every epoch (see `Shuffled`).

    Args:
        X: (N, features), numbers, finite; kept once, as `dtype`.
        seed: of the order.
        device, dtype: where and as what the samples are kept.

    Raises:
        ShapeError, DataError: X is not (N >= 1, features >= 1), or holds NaN or infinity.
    """

    def __init__(self, X: Any, seed: int = 0, device: str = "cpu", dtype: str = "float32") -> None:
        host = np.asarray(on_host(X))
        if host.ndim != 2 or 0 in host.shape:
            raise ShapeError(f"samples must be (N, features), not {host.shape}")
        if host.dtype.kind not in "fiu":
            raise DataError(f"samples must be numbers, not {host.dtype}")
        with np.errstate(over="ignore"):  # too large for the dtype: infinite, and refused
            host = host.astype(check_dtype(dtype))
        if not np.isfinite(host).all():
            raise DataError(f"samples must be finite as {dtype}; they hold NaN or infinity")
        super().__init__(get_backend(device).from_host(host, dtype), seed, device, dtype)

    def serve(self, index: Array, out: Array) -> None:
        """Write the samples at index (B,) into `out` (B, features)."""
        self.ops.take_rows(self.X, index, out=out)
