"""Arrays from outside minigan: a user's, or another library's.

A library refuses to convert some arrays: a tensor that requires its gradient, one on a GPU, a
sparse one. Its error mostly says what to do instead, so ours quotes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minigan.backend.numpy as numpy_backend
from minigan.backend.base import Array, Backend
from minigan.errors import DTypeError, MiniganError

#: What an array may hold, as letters of NumPy's `dtype.kind`.
FLOATS, INTEGERS, NUMBERS, NUMBERS_OR_BOOLEANS, ANY = "f", "iu", "fiu", "fiub", ""
_NAMES = {FLOATS: "floating-point numbers", INTEGERS: "integers"}


def checked_array(name: str, X: Any, kinds: str = NUMBERS, ops: Backend | None = None) -> Array:
    """An array from outside, on the device of `ops` and in its own dtype; the rest is refused.

    Args:
        name: what to call it in an error.
        X: an array of NumPy, CuPy or any library that NumPy or DLPack can read; or a list.
        kinds: FLOATS, INTEGERS, NUMBERS, NUMBERS_OR_BOOLEANS; or ANY, which the caller checks.
        ops: the backend; by default NumPy's, which takes CuPy's arrays, too.

    Returns:
        X itself where possible, else a copy; longdouble is rounded to float64.

    Raises:
        DTypeError: its library does not hand it over, entries are masked, or it is of another kind.
    """
    try:
        if _has_masked(X):
            raise DTypeError(
                f"{name} must have no masked entries; fill them with .filled(...), or leave out "
                "their rows"
            )
        array = (ops or numpy_backend).asarray(X)
    except (MiniganError, MemoryError):
        raise
    except Exception as error:  # a library chooses its own
        raise DTypeError(
            f"{name} cannot be read as an array of numbers: {_reason(error)}"
        ) from None
    wanted = _NAMES.get(kinds, "numbers")
    if array.dtype.kind not in (kinds or array.dtype.kind):
        raise DTypeError(f"{name} must be {wanted}, not {array.dtype}")
    return array


def _has_masked(X: Any) -> bool:
    """Whether NumPy would take the value that is under a mask."""
    if isinstance(X, (list, tuple)):
        return any(map(_has_masked, X))
    return isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X)


def _reason(error: Exception) -> str:
    """What a library says, in one sentence: what is wrong and, mostly, what to do."""
    said = (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")
    said = "; ".join(said.split(". ")[:2])
    return f"{said}; convert it to float32 first" if "nsupported" in said else said
