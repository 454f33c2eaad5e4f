"""Arrays in and out."""

from __future__ import annotations

from typing import Any

from minigan.backend.base import Array, on_host
from minigan.backend.numpy.recording import np


def empty(shape: tuple[int, ...], dtype: str) -> Array:
    """A new array whose contents are undefined."""
    return np.empty(shape, dtype)


def zeros(shape: tuple[int, ...], dtype: str) -> Array:
    """A new array of zeros."""
    return np.zeros(shape, dtype)


def asarray(X: Any) -> Array:
    """Anything array-like on this device: NumPy's and DLPack's as they are, others copied."""
    X = on_host(X)
    if not isinstance(X, np.ndarray) and hasattr(X, "__dlpack__"):
        return np.from_dlpack(X)
    return np.asarray(X)


def from_host(X: Any, dtype: str) -> Array:
    """A new C-contiguous array on this device with the contents of a NumPy array."""
    return np.array(on_host(X), dtype=dtype, order="C", copy=True)


def to_host(X: Array) -> Any:
    """A new NumPy array with the contents of a device array."""
    return np.array(X, copy=True)


def copy(X: Array, out: Array) -> None:
    """out = X"""
    np.copyto(out, X)


def fill(value: float, out: Array) -> None:
    """out = value, everywhere"""
    np.copyto(out, value)
