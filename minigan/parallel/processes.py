"""How processes that work together hear signals, where they run, and how they end."""

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


@contextlib.contextmanager
def own_cpus(rank: int, size: int) -> Iterator[None]:
    """Inside, this thread runs on its part of the CPUs, if there are enough for `size` processes.

    Else two processes that wait for each other may be woken on one CPU, and it can take Linux half
    a second to move one of them. Other systems do not let a program choose.

    Args:
        rank, size: of this process, and how many there are on this machine.
    """
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    first, end = (len(cpus) * k // size for k in (rank, rank + 1))
    if len(cpus) < size:
        yield
        return
    with contextlib.suppress(OSError):  # it may be forbidden
        os.sched_setaffinity(0, cpus[first:end])
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cpus)


def end_with(parent: int) -> None:
    """From now on, end this process when `parent`, the one that has started it, is gone.

    On Windows a process does not see that its parent has ended.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
