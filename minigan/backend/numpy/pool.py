"""Memory for temporaries, so that a training step allocates nothing once it has run.

The pool keeps one flat buffer for each (dtype, slot), as large as its largest use, and remembers
the views that it has handed out. Each thread has a pool of its own.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigan.backend.base import Array

MOST_VIEWS = 1024  # views remembered; they are small, so the limit is generous


class _Pool(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[tuple[str, Any], Array] = {}
        self.views: dict[tuple[tuple[int, ...], str, Any], Array] = {}


pool = _Pool()


def scratch(shape: tuple[int, ...], dtype: str, slot: int | str = 0) -> Array:
    """A temporary of this shape, for one kernel until it returns.

    A kernel that needs several of one dtype gives each a slot.
    """
    view = pool.views.get((shape, dtype, slot))
    return _view(shape, dtype, slot, None) if view is None else view


def full(value: float, shape: tuple[int, ...], dtype: str) -> Array:
    """An array of one constant, read-only."""
    slot = ("full", value)
    view = pool.views.get((shape, dtype, slot))
    return _view(shape, dtype, slot, value) if view is None else view


def new_array(make: Callable[..., Array], shape: tuple[int, ...], dtype: str) -> Array:
    """A new array.

    Raises:
        MemoryError: there is too little memory. For a size that no machine could address NumPy
            raises ValueError, which becomes this error, too.
    """
    try:
        return make(shape, dtype)
    except ValueError as error:
        raise MemoryError(str(error)) from None


def _view(shape: tuple[int, ...], dtype: str, slot: Any, value: float | None) -> Array:
    """A view of the buffer of this dtype and slot, which grows if it is too small."""
    size = math.prod(shape)
    buffer = pool.buffers.get((dtype, slot))
    if buffer is None or buffer.size < size:
        buffer = new_array(np.empty, (size,), dtype)
        if value is not None:
            buffer.fill(value)
            buffer.flags.writeable = False
        pool.buffers[dtype, slot] = buffer
        pool.views.clear()  # they would keep the smaller buffer alive
    if len(pool.views) >= MOST_VIEWS:
        pool.views.clear()
    view = pool.views[shape, dtype, slot] = buffer[:size].reshape(shape)
    return view


@contextlib.contextmanager
def fresh_pool() -> Iterator[None]:
    """Inside, this thread's temporaries come from a new pool."""
    kept = vars(pool).copy()
    vars(pool).update(buffers={}, views={})
    try:
        yield
    finally:
        vars(pool).update(kept)
