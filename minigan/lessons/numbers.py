"""Numbers for people: drawn so that they can be followed, printed so that they can be compared."""

from __future__ import annotations

import numpy as np

from minigan.backend import Array, Stream, numpy_backend

DIGITS = 6  # after the point, of every number that is compared


def normal(seed: int, name: str, shape: tuple[int, ...]) -> Array:
    """Standard normal numbers of their own stream, float64."""
    out = np.empty(shape)
    numpy_backend.fill_normal(Stream(seed, f"explain/{name}"), 0.0, 1.0, out=out)
    return out


def tidy(X: Array) -> Array:
    """One digit after the point, so that a reader can follow; none is 0, where ReLU has a kink."""
    X = np.round(X, 1)
    return np.where(X == 0.0, 0.1, X)


def number(x: float) -> str:
    """With a sign and `DIGITS` digits, and no negative zero."""
    return f"{0.0 if abs(x) < 0.5 * 10.0**-DIGITS else x:+.{DIGITS}f}"


def grid(name: str, X: Array) -> str:
    """An array as rows of numbers, under its name and shape."""
    shape = ", ".join(str(n) for n in X.shape) + ("," if X.ndim == 1 else "")
    if X.dtype.kind in "iu":
        cells = [[str(x) for x in np.atleast_1d(row)] for row in X]
    else:
        digits = 1 if np.array_equal(X, np.round(X, 1)) else DIGITS
        cells = [[f"{x:+.{digits}f}" for x in row] for row in np.atleast_2d(X)]
    rows = "\n".join("    " + "  ".join(row) for row in cells)
    return f"{name} ({shape})\n{rows}"
