"""Ctrl-C and SIGTERM: the first one saves the run after the step, the second one ends at once."""

from __future__ import annotations

import builtins
import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from minigan.parallel.processes import SIGNALS


class StopRequest:
    """A context manager: inside, the first signal only sets `signum`.

    A second signal ends the process at once, with the usual exit code 128 + signal; in a notebook
    it is a KeyboardInterrupt. Signals that were ignored stay ignored. Python delivers signals to
    the main thread, so in other threads this does nothing.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for signum in SIGNALS:
                before = signal.getsignal(signum)
                if before not in (signal.SIG_IGN, None):  # None: Python cannot restore it
                    self._before[signum] = signal.signal(signum, self._receive)
        return self

    def __exit__(self, *exc: object) -> None:
        for signum, before in self._before.items():
            signal.signal(signum, before)

    def end_of_output(self) -> None:
        """Stop because the reader of the printed lines has ended, as in `| head`."""
        if self.signum is None:
            self.signum = getattr(signal, "SIGPIPE", signal.SIGTERM)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            if hasattr(builtins, "__IPYTHON__"):  # a notebook may hold other work
                raise KeyboardInterrupt
            os._exit(128 + signum)
        self.signum = signum
        # print() is not reentrant, and the signal may have interrupted one. Without a stderr there
        # is nothing to write to: another file may have its descriptor.
        text = b"\nfinishing the step and saving; once more to end at once, unsaved\n"
        if sys.__stderr__ is not None:
            with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed
                os.write(sys.__stderr__.fileno(), text)
