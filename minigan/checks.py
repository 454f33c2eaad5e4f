"""Checks of settings: each returns the setting as a plain Python number."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

import numpy as np

from minigan.errors import ConfigError

# Every setting must be a number that float32 can hold: a larger one would become infinite there,
# and a smaller one zero.
LARGEST = float(np.finfo(np.float32).max)
SMALLEST = float(np.finfo(np.float32).smallest_subnormal)


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return `value` as an int >= `least` (NumPy integers included), else `ConfigError`.

    Args:
        name: what the value is, for the error.
        value: anything.
        least, most: the bounds; None for no upper one.
    """
    try:
        result = operator.index(value)
    except TypeError:
        result = least - 1
    if result < least or isinstance(value, bool) or (most is not None and result > most):
        wanted = f">= {least}" if most is None else f"from {least} to {most}"
        raise ConfigError(f"{name} must be an integer {wanted}, not {value!r}")
    return result


def pair(name: str, value: Any, least: int) -> int | tuple[int, int]:
    """Return an int >= `least`, or two that differ: one number stands for rows and columns.

    Raises:
        ConfigError: neither an integer >= `least` nor two of them.
    """
    both = value if isinstance(value, (tuple, list)) else (value, value)
    try:
        rows, columns = (whole(name, one, least) for one in both)
    except ValueError:  # a ConfigError, or not two
        wanted = f"an integer >= {least}, or two of them for rows and columns"
        raise ConfigError(f"{name} must be {wanted}, not {value!r}") from None
    return rows if rows == columns else (rows, columns)


def number(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> float:
    """Return `value` as a float that float32 can hold, within the bounds, else `ConfigError`."""
    bounds = [
        f"{sign} {bound:g}"
        for sign, bound in ((">=", at_least), (">", above), ("<=", at_most), ("<", below))
        if bound is not None
    ]
    try:
        ok = isinstance(value, numbers.Real) and not isinstance(value, bool)
        ok = ok and math.isfinite(value)
    except OverflowError:  # an integer that is larger than any float
        ok = False
    ok = ok and (at_least is None or value >= at_least) and (above is None or value > above)
    ok = ok and (at_most is None or value <= at_most) and (below is None or value < below)
    if not ok:
        wanted = " and ".join(["a finite number", *bounds])
        raise ConfigError(f"{name} must be {wanted}, not {value!r}")
    if value != 0 and not SMALLEST <= abs(value) <= LARGEST:
        raise ConfigError(f"{name} is {value!r}, which is beyond the range of float32")
    return float(value)


def normal(name: str, mean: Any, std: Any) -> tuple[float, float]:
    """Return both settings of a normal distribution as floats, else `ConfigError`.

    Streams draw numbers up to 5.77 standard deviations from the mean.
    """
    mean = number(f"{name}: mean", mean)
    std = number(f"{name}: std", std, above=0.0)
    number(f"{name}: |mean| + 6 std", abs(mean) + 6.0 * std)
    return mean, std


def flag(name: str, value: Any) -> bool:
    """Return `value` as a bool if it is True or False (NumPy's included), else `ConfigError`."""
    if not isinstance(value, (bool, np.bool_)):
        raise ConfigError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def set_fields(settings: object, **values: Any) -> None:
    """Set fields of a frozen dataclass to their checked values, in its __post_init__."""
    for name, value in values.items():
        object.__setattr__(settings, name, value)
