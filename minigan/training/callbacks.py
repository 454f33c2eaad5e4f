"""Calls of a user's functions during training."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minigan.errors import CallbackError, ConfigError, FileError, MiniganError, NonFiniteError
from minigan.training.schedule import Given, Schedule

UNITS = ("step", "epoch", "row")


@dataclass(frozen=True)
class Callback:
    """A function that is called during training.

    Attributes:
        call: the function; its first argument is the trainer.
        args: its other arguments.
        every: the interval, in the units of `schedule`, or in rows of the history.
        schedule: knows when an interval ends; None counts rows.
    """

    call: Callable[..., Any]
    args: tuple[Any, ...]
    every: int
    schedule: Schedule | Given | None

    def next(self, step: int, goal: int) -> int:
        """The first step after `step`, and at most `goal`, at which it may be due."""
        return goal if self.schedule is None else min(goal, self.schedule.next(self.every, step))

    def is_due(self, step: int, rows: int) -> bool:
        """Whether it is due after `step`. `rows` is 0 unless that step added a row."""
        if self.schedule is None:
            return rows > 0 and rows % self.every == 0
        return self.schedule.is_due(self.every, step)

    def __call__(self, trainer: Any, step: int) -> None:
        """Call the function; an error names it and the step."""
        call_named(self.call, f"called after step {step:,}", trainer, *self.args)


def require_call(call: Any, *args: Any, name: str = "every") -> None:
    """Raise `ConfigError`, which begins with `name`, unless a call with these arguments fits."""
    try:
        inspect.signature(call).bind(*args)
    except ValueError:  # a function that is not written in Python
        return
    except TypeError as error:
        words = getattr(call, "__qualname__", repr(call))
        raise ConfigError(
            f"{name}: {words} is called with the trainer and {len(args) - 1} more: {error}"
        ) from None


def as_score(value: Any) -> float:
    """A number, or an array of one, as a float; `TypeError` or `ValueError` for anything else."""
    item = getattr(value, "item", None)
    value = item() if callable(item) else value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"a score must be a number, not {type(value).__name__}")
    return float(value)


def call_named(
    call: Callable[..., Any], when: str, *args: Any, kind: Callable[[Any], Any] | None = None
) -> Any:
    """Call a user's function and convert its result by `kind`. An error names the function.

    An error of minigan keeps its type, an `OSError` becomes a `FileError`, and others become a
    `CallbackError`. So does a `NonFiniteError`, which would look like a divergence of the run.
    """
    where = f"{getattr(call, '__qualname__', None) or repr(call)}, {when}"
    try:
        result = call(*args)
        return result if kind is None else kind(result)
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, MiniganError) and not isinstance(error, (NonFiniteError, FileError)):
            error.args = (f"{where}: {error}", *error.args[1:])
            raise
        if isinstance(error, OSError):  # also a FileError
            at = f": {error.filename}" if error.filename else ""
            raise FileError(error.errno, f"{where}: {error.strerror or error}{at}") from error
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise CallbackError(f"{where}: {reason}") from error
