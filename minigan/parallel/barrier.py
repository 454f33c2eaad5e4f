"""A barrier for processes that share memory: it spins briefly, and then sleeps."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

SPINS = 20_000  # looks at a counter before it sleeps: about a millisecond
LOOKS = 50  # after these it offers the core to other programs: it may wait for one of them
NAP = 50e-6  # seconds between later looks
LONG = 0.05  # seconds of sleep after which it asks whether the others are alive
LINE = 64  # bytes: counters in one cache line would slow each other down

_fence = threading.Lock()
_give_way = getattr(os, "sched_yield", lambda: time.sleep(0.0))  # Windows has only the second


class Barrier:
    """Processes wait here for each other.

    Args:
        memory: `LINE` bytes for each process, zeros at the start. It holds a counter for each.
        rank, size: of this process, and how many there are.
        check: called now and then during a long wait; raises an error if another process has ended.
    """

    def __init__(self, memory: memoryview, rank: int, size: int, check: Callable[[], None]) -> None:
        self.counters = memory.cast("q")  # (size * LINE / 8,)
        self.mine = rank * LINE // 8
        self.others = [k * LINE // 8 for k in range(size) if k != rank]
        self.check = check
        self.turn = 0

    def wait(self) -> None:
        """Return when all processes have come here as often as this one."""
        self.turn += 1
        _order_memory()  # what was written before can be read when the counter is seen
        self.counters[self.mine] = self.turn
        for other in self.others:
            self._wait_for(other)
        _order_memory()

    def _wait_for(self, other: int) -> None:
        counters, turn = self.counters, self.turn
        for _ in range(SPINS // LOOKS):
            for _ in range(LOOKS):
                if counters[other] >= turn:
                    return
            _give_way()
        slept = 0.0
        while counters[other] < turn:
            time.sleep(NAP)
            slept += NAP
            if slept > LONG:
                self.check()
                slept = 0.0

    def release(self) -> None:
        """Give the memory back."""
        self.counters.release()


def _order_memory() -> None:
    """Keep loads and stores before this call apart from those after it.

    Processors such as Arm's may exchange them. What comes after taking a lock stays after it, and
    what comes before releasing one stays before it; so two turns of a lock are needed.
    """
    for _ in range(2):
        with _fence:
            pass
