"""Ctrl-C and SIGTERM as a wish: training ends after the step, saved. The second one is an order."""

from __future__ import annotations

import builtins
import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

#: What a terminal, a shell, a scheduler or a shutdown sends.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))


class StopRequest:
    """A context manager; inside, the first such signal only sets `signum`.

    A second signal ends the process at once, with the shell's usual code 128 + signal (in a
    notebook it is a plain KeyboardInterrupt). Signals that were ignored stay ignored. Python
    hands signals to the main thread alone, so in other threads this does nothing, and Ctrl-C is
    the main thread's.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for signum in SIGNALS:
                before = signal.getsignal(signum)
                if before not in (signal.SIG_IGN, None):  # None: not Python's to give back
                    self._before[signum] = signal.signal(signum, self._receive)
        return self

    def __exit__(self, *exc: object) -> None:
        for signum, before in self._before.items():
            signal.signal(signum, before)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            if hasattr(builtins, "__IPYTHON__"):  # a notebook's other work is not ours to end
                raise KeyboardInterrupt
            os._exit(128 + signum)
        self.signum = signum
        # Not print(): the signal may have come in the middle of one.
        with contextlib.suppress(OSError):
            os.write(
                sys.__stderr__.fileno() if sys.__stderr__ else 2,
                b"\nfinishing the step and saving; once more to end at once, unsaved\n",
            )
