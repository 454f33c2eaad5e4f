"""A recorded step: when one is made, and how long it is good."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigan.backend import Backend
from minigan.backend.tape import may_be_captured
from minigan.nn import LinearDecay

PLAIN = (bool, int, float, str, LinearDecay)  # settings that a record repeats


class Recording:
    """Runs a step: as it is, or as it was recorded.

    Args:
        ops: the backend.
        stateful: classes of parts whose attributes are state, too, and are not compared.

    Attributes:
        on: whether steps are to be recorded.
        replay: the record, or None.
    """

    def __init__(self, ops: Backend, stateful: Sequence[type]) -> None:
        self.ops = ops
        self.stateful = stateful
        self.on = False
        self.replay: Callable[[], None] | None = None
        self.parts: tuple[tuple[Any, type], ...] = ()
        self._settings: list[Any] | None = None  # that the record repeats
        self._asked = False  # whether the record must be looked at before the next step

    def begin(self, parts: Sequence[tuple[Any, type]]) -> None:
        """Forget the record: the step is another one.

        Args:
            parts: everything that computes in it, each with minigan's class of such parts.
        """
        self.parts = tuple(parts)
        self.replay, self._settings, self._asked = None, None, True

    def ask(self, on: bool) -> None:
        """Record the next step unless the record is still good (True), or forget it (False)."""
        self.on, self._asked = on, True
        if not on:
            self.replay = self._settings = None

    def run(self, play: Callable[[], None]) -> None:
        """Take a step."""
        if self._asked:
            settings = self.settings() if self.on else None
            if settings is None or settings != self._settings:
                self.replay, self._settings = None, settings
            self._asked = False
        if self.replay is not None:
            self.replay()
        elif self._settings is not None:
            self.replay = self.ops.capture(play)
        else:
            play()

    def settings(self) -> list[Any] | None:
        """The settings of all parts that a record would repeat; None if one can't be recorded."""
        found = []
        for part, base in self.parts:
            if not may_be_captured(part, base):
                return None
            for value in vars(part).values() if base not in self.stateful else ():
                if type(value) in PLAIN:
                    found.append(value)
                elif isinstance(value, (list, tuple, dict, np.generic)):
                    found.append(_plain(value))
        return found


def _plain(value: Any) -> Any:
    """A copy of a setting that can be compared later; None for arrays, streams and the like."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value if isinstance(value, PLAIN) else None
