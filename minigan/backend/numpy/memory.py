"""Arrays in and out."""

from __future__ import annotations

from typing import Any

from minigan.backend.base import Array, on_host
from minigan.backend.numpy.pool import new_array
from minigan.backend.numpy.recording import np


def empty(shape: tuple[int, ...], dtype: str) -> Array:
    """A new array whose contents are undefined."""
    return new_array(np.empty, shape, dtype)


def zeros(shape: tuple[int, ...], dtype: str) -> Array:
    """A new array of zeros."""
    return new_array(np.zeros, shape, dtype)


def asarray(X: Any) -> Array:
    """Anything array-like on this device: as it is where possible, else a copy.

    A library's own conversion is tried before DLPack: it refuses what it cannot convert, where
    PyTorch's DLPack ignores a lazy negation. NumPy's longdouble, which no other device has, is
    rounded to float64.
    """
    X = on_host(X)
    only_dlpack = hasattr(X, "__dlpack__") and not hasattr(X, "__array__")
    array = np.from_dlpack(X) if only_dlpack else np.asarray(X)
    if array.dtype == object and not array.ndim:  # NumPy has wrapped what it does not know
        advice = "; use .toarray()" if hasattr(X, "toarray") else ""
        raise TypeError(f"it is {'None' if X is None else f'a {type(X).__name__}'}{advice}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):  # infinite in float64
            array = array.astype("float64")
    return array


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
