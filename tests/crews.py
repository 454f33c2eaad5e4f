"""Worker processes as threads of this process, which start a hundred times as fast.

    with worker_threads():
        trainer.fit(steps=50, workers=3)

Everything but the processes is what runs elsewhere: pipes, pickles, shared memory, the barrier.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from minigan.parallel import barrier, workers


class ThreadAsProcess(threading.Thread):
    """A thread with the methods of `multiprocessing.Process` that minigan calls."""

    killed = False

    def __init__(self, target: Callable[..., None], args: Any, name: str, daemon: bool) -> None:
        super().__init__(target=target, args=args, name=name, daemon=daemon)

    def run(self) -> None:
        """Its target, which ends by `sys.exit`."""
        with contextlib.suppress(SystemExit):
            super().run()

    @property
    def exitcode(self) -> int | None:
        """0 once it has ended; None until then."""
        return None if self.is_alive() else 0

    def kill(self) -> None:
        """Let it end at its next wait, or when its pipe is closed."""
        self.killed = True

    def join(self, timeout: float | None = None) -> None:
        """As usual; a killed one is not waited for."""
        if not self.killed:
            super().join(timeout)

    def close(self) -> None:
        """There is nothing to give back."""


class Kept:
    """An end of a pipe that stays open when the process which has given it away closes its copy."""

    def __init__(self, end: Any) -> None:
        self.send, self.recv, self.recv_bytes = end.send, end.recv, end.recv_bytes

    def close(self) -> None:
        """The thread still has it; it is closed with the last reference."""


def pipe(duplex: bool = True) -> tuple[Any, Any]:
    """Both ends; of these a process gives the second away, or the first of one that is one-way."""
    one, other = multiprocessing.Pipe(duplex)
    return (one, Kept(other)) if duplex else (Kept(one), other)


@contextlib.contextmanager
def worker_threads() -> Iterator[None]:
    """Inside, the workers of a trainer are threads."""

    def sleep(seconds: float) -> None:
        if getattr(threading.current_thread(), "killed", False):
            sys.exit()  # this thread alone
        time.sleep(seconds)

    context = types.SimpleNamespace(Pipe=pipe, Process=ThreadAsProcess)
    with pytest.MonkeyPatch.context() as patch:
        spawn = types.SimpleNamespace(get_context=lambda _: context)
        patch.setattr(workers, "multiprocessing", spawn)
        patch.setattr(workers, "os", types.SimpleNamespace(_exit=sys.exit))
        patch.setattr(workers, "_end_with_the_leader", lambda lifeline: None)
        patch.setattr(barrier, "SPINS", 0)  # one thread runs at a time: who spins keeps the others
        patch.setattr(barrier, "time", types.SimpleNamespace(sleep=sleep))
        yield
