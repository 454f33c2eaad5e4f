"""Memory on the GPU, and copies to and from it."""

from __future__ import annotations

import functools
import math
from typing import Any

import cupy

from minigan.backend.base import Array
from minigan.backend.cuda.errors import explained
from minigan.backend.cuda.launching import Call, current_listener, issue
from minigan.backend.numpy import asarray as host_asarray

#: Memory that kernels share, by name, dtype and number, which grows as needed. All work is in one
#: queue, so number 0 is enough. Calls of a recorded step that run at the same time need their own.
_temporaries: dict[tuple[str, str, int], Array] = {}
_AT_A_TIME = 3


def empty(shape: tuple[int, ...], dtype: str) -> Array:
    """A new array whose contents are undefined."""
    with explained(cupy):
        return cupy.empty(shape, dtype)


def zeros(shape: tuple[int, ...], dtype: str) -> Array:
    """A new array of zeros."""
    with explained(cupy):
        return cupy.zeros(shape, dtype)


def temporary(name: str, size: int, dtype: str) -> Array:
    """Scratch memory owned by a kernel until it finishes: >= `size` numbers, zeros at first.

    A recorded step keeps what it was given, also when later steps need more.
    """
    listener, number = current_listener(), 0
    if listener is not None and listener.calls is not None:
        number = listener.turn(name) % _AT_A_TIME
    there = _temporaries.get((name, dtype, number))
    if there is None or there.size < size:
        there = _temporaries[name, dtype, number] = zeros((size,), dtype)
    return there


def scratch(name: str, shape: tuple[int, ...], dtype: str) -> Array:
    """As `temporary`, in this shape."""
    size = math.prod(shape)
    return temporary(name, size, dtype)[:size].reshape(shape)


def asarray(X: Any) -> Array:
    """Anything array-like on this device; CuPy arrays and DLPack arrays of the GPU as they are."""
    if isinstance(X, cupy.ndarray):
        return X
    with explained(cupy):
        if not hasattr(X, "__dlpack__") or X.__dlpack_device__()[0] == 1:  # kDLCPU
            return cupy.asarray(host_asarray(X))
        if hasattr(X, "is_neg") and X.is_neg():  # PyTorch's DLPack ignores a lazy negation
            raise TypeError("it is negated lazily; use tensor.resolve_neg()")
        return cupy.from_dlpack(X)


def from_host(X: Any, dtype: str) -> Array:
    """A new C-contiguous array on this device with the contents of a NumPy array."""
    with explained(cupy):
        return cupy.array(X, dtype=dtype, order="C", copy=True)


def to_host(X: Array) -> Any:
    """A new NumPy array with the contents of a device array; waits for them."""
    return X.get()


def copy(X: Array, out: Array) -> None:
    """out = X"""
    issue(Call("copy", functools.partial(cupy.copyto, out, X), {"X": X, "out": out}))


def fill(value: float, out: Array) -> None:
    """out = value, everywhere"""
    issue(Call("fill", functools.partial(out.fill, value), {"out": out}))
