"""When a step is recorded, and how long the record is valid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigan.backend import Backend
from minigan.backend.base import may_be_captured
from minigan.nn import LinearDecay

PLAIN = (bool, int, float, str, LinearDecay)  # settings that are part of a record


class Recording:
    """Runs a step, or replays the record of one.

    Args:
        ops: the backend.
        stateful: classes of parts whose attributes are state and are not compared.

    Attributes:
        on: whether steps should be recorded.
        replay: the record, or None.
    """

    def __init__(self, ops: Backend, stateful: Sequence[type]) -> None:
        self.ops = ops
        self.stateful = stateful
        self.on = False
        self.replay: Callable[[], None] | None = None
        self.parts: tuple[tuple[Any, type], ...] = ()
        self._settings: list[Any] | None = None  # of the record
        self._asked = False  # whether the record must be checked before the next step

    def begin(self, parts: Sequence[tuple[Any, type]]) -> None:
        """Drop the record: the next steps are of these parts, each with minigan's class of such."""
        self.parts = tuple(parts)
        self.replay, self._settings, self._asked = None, None, True

    def ask(self, on: bool) -> None:
        """Record the next step unless the record is still valid (True), or drop it (False)."""
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
        """The plain settings of all parts; None if a part cannot be recorded."""
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
    """A copy of a setting, to be compared later; None for arrays, streams and the like."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value if isinstance(value, PLAIN) else None
