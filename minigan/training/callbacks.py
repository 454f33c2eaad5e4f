"""Calls of a user's functions during training, at intervals."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minigan.errors import CallbackError, ConfigError, FileError, MiniganError, NonFiniteError
from minigan.training.schedule import Schedule

UNITS = ("step", "epoch", "row")


@dataclass(frozen=True)
class Callback:
    """A function that is called during training.

    Attributes:
        call: the function; its first argument is the trainer.
        args: its other arguments.
        every: the interval, in the units of `schedule`, or in rows of the history.
        schedule: when an interval ends; None counts rows.
    """

    call: Callable[..., Any]
    args: tuple[Any, ...]
    every: int
    schedule: Schedule | None

    def next(self, step: int, goal: int) -> int:
        """The next step past `step` after which it may be due, at most `goal`."""
        return goal if self.schedule is None else min(goal, self.schedule.next(self.every, step))

    def is_due(self, step: int, rows: int) -> bool:
        """Whether it is due.

        Args:
            step: the latest.
            rows: of the history, if one was added after this step; else 0.
        """
        if self.schedule is None:
            return rows > 0 and rows % self.every == 0
        return self.schedule.is_due(self.every, step)

    def __call__(self, trainer: Any, step: int) -> None:
        """Call the function; what it raises names it, and the step."""
        call_named(self.call, f"called after step {step:,}", trainer, *self.args)


def require_call(call: Any, *args: Any) -> None:
    """Raise `ConfigError` unless something can be called with these arguments."""
    if not callable(call):
        raise ConfigError(f"every: give a function, without parentheses after it, not {call!r}")
    try:
        signature = inspect.signature(call)
    except ValueError:  # of one that is not written in Python
        return
    try:
        signature.bind(*args)
    except TypeError as error:
        name = getattr(call, "__qualname__", repr(call))
        raise ConfigError(
            f"every: {name}{signature} is called with the trainer and {len(args) - 1} more: {error}"
        ) from None


def call_named(
    call: Callable[..., Any], when: str, *args: Any, kind: Callable[[Any], Any] | None = None
) -> Any:
    """Call a user's function; returns what it returns, as a `kind`. An error gets its name.

    Errors that minigan raises keep their type, and an `OSError` becomes a `FileError`. A
    `NonFiniteError` does not keep it, since it would be taken for a divergence of the run.
    """
    where = f"{getattr(call, '__qualname__', None) or repr(call)}, {when}"
    try:
        result = call(*args)
        return result if kind is None else kind(result)
    except MemoryError:  # which has a message of its own
        raise
    except FileError as error:
        raise FileError(error.errno, f"{where}: {error}") from error
    except Exception as error:
        if isinstance(error, MiniganError) and not isinstance(error, NonFiniteError):
            error.args = (f"{where}: {error}", *error.args[1:])
            raise
        if isinstance(error, OSError):
            at = f": {error.filename}" if error.filename else ""
            reason = f"{error.strerror or error}{at}"
            raise FileError(error.errno, f"{where}: {reason}") from error
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise CallbackError(f"{where}: {reason}") from error
