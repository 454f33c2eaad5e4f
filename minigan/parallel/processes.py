"""How processes that work together hear signals, and how they end with the one that leads."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
#: What asks a process to end: from Ctrl-C, from the system, from a terminal that is closed.
SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))
WATCH = 0.5  # seconds between looks at the parent process


@contextlib.contextmanager
def handled(handler: Any, signals: Iterable[signal.Signals] = SIGNALS) -> Iterator[None]:
    """Inside, the handler (or `signal.SIG_IGN`) gets these signals.

    Python lets only the main thread set handlers, so in other threads this does nothing.
    """
    before: dict[signal.Signals, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for one in signals:
                before[one] = signal.signal(one, handler)
        yield
    finally:
        for one, old in before.items():
            signal.signal(one, old)


def end_with(parent: int) -> None:
    """From now on, end this process when `parent`, the one that has started it, is gone.

    On Windows a process does not see that its parent has ended.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
