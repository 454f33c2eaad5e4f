"""The functions that a trainer calls during training: `every` and `at`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigan.checks import whole
from minigan.errors import ConfigError
from minigan.training.callbacks import UNITS, Callback, require_call
from minigan.training.resumable import Resumable
from minigan.training.schedule import Given


class Calling(Resumable):
    """The part of a `Trainer` that calls functions of others during training.

    Attributes:
        goal: the step that the latest `fit` trains to; 0 before the first one.
    """

    goal = 0

    def every(self, n: int, unit: str, call: Callable[..., Any], *args: Any) -> None:
        """Have a function called during training: `call(trainer, *args)`.

        It is called when an interval ends: after the row of the history, if there is one, and
        before the checkpoint. Functions that are due together are called in the order given.
        Intervals count from the start of the run, so a resumed run calls at the same steps.
        Intervals in rows count the row at the end of each `fit`, too.

        These leave the run as it is: `gan.sample(n, seed=...)`, `data.reference(n)`, `predict` of
        the networks, reading parameters and gradients. These change the run: writing parameters,
        `gan.losses()`, samples without a seed, `data.next_batch`.

        Args:
            n: the length of the interval, >= 1.
            unit: "step", "epoch", or "row" of the history.
            call: the function. If it fails, training ends, and the error names it.
            args: its arguments after the trainer.

        Raises:
            ConfigError: an unknown unit, epochs of endless data, or arguments that do not fit.
        """
        require_call(call, self, *args)
        if unit not in UNITS:
            raise ConfigError(f"every: unit must be one of {', '.join(UNITS)}, not {unit!r}")
        schedule = None if unit == "row" else self._schedule_of(unit)
        self._callbacks.append(Callback(call, args, whole("every: n", n, 1), schedule))

    def at(self, next: Callable[[int], int], call: Callable[..., Any], *args: Any) -> None:
        """Have a function called at steps of your own choice: `call(trainer, *args)`.

        It must leave the run as it is; a step is recorded once, and replayed between its calls.
        It is called after each of these steps, like one that was given to `every`; and once more
        if training begins, or goes on, from one of them: before its first step, in a resumed run,
        after a rollback. So it sees the untrained state, too, if 0 is one of the steps.

        Args:
            next: returns the first of the steps that is > its argument, which is >= -1. Each `fit`
                asks again, so the steps may depend on `trainer.goal`.
            call: the function. If it fails, training ends, and the error names it.
            args: its arguments after the trainer.

        Raises:
            ConfigError: arguments that do not fit.
        """
        require_call(call, self, *args, name="at")
        if not callable(next):
            raise ConfigError(f"at: next must be a function of a step, not {next!r}")
        self._callbacks.append(Callback(call, args, 1, Given(next)))

    def _calls_at_given_steps(self) -> bool:
        """Whether `at` was given a function."""
        return any(isinstance(callback.schedule, Given) for callback in self._callbacks)

    def _call_due(self, step: int, rows: int) -> None:
        """Call the functions that are due after `step`; `rows` is 0 unless it added a row."""
        for callback in self._callbacks:
            if callback.is_due(step, rows):
                callback(self, step)

    def _call_at_start(self) -> None:
        """Call the functions of `at` that are due at the step from which training goes on."""
        step = self.gan.step_count
        for callback in self._callbacks:
            if isinstance(callback.schedule, Given) and callback.is_due(step, 0):
                callback(self, step)
