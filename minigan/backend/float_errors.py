"""Floating-point errors: infinity and NaN are results, whatever `np.seterr` says.

A sigmoid, a sum of squares or a random number may underflow where that is harmless, so a program
with `np.seterr(all="raise")` must not stop there. Real faults are found without NumPy's reports,
which can be switched off: `Game.check_finite` reads the numbers themselves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])

_ignored: ContextVar[bool] = ContextVar("ignored", default=False)


def ignore_float_errors(function: Function) -> Function:
    """Have NumPy report no floating-point error while a function runs.

    It decorates public functions, which call each other: `np.errstate` costs half a microsecond, so
    only the outermost one sets it.
    """

    quiet = np.errstate(all="ignore")(function)

    @functools.wraps(function)
    def call(*args: Any, **settings: Any) -> Any:
        if _ignored.get():
            return function(*args, **settings)
        token = _ignored.set(True)
        try:
            return quiet(*args, **settings)
        finally:
            _ignored.reset(token)

    return cast(Function, call)
