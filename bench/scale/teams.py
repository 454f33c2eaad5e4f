"""Teams that count what they exchange, and let each exchange take longer, to test the model."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from bench import machine
from minigan.backend import Array
from minigan.parallel.mpi import MPITeam
from minigan.parallel.ranks import Ranks
from minigan.parallel.shared_memory import Layout, SharedMemoryTeam
from minigan.parallel.team import Team
from minigan.parallel.workers import Memory

ROOT = Path(__file__).resolve().parent.parent.parent


class Alone(Team):
    """The last process of a team, whose others are not there: what it computes, and no more."""

    def __init__(self, size: int, game: Any) -> None:
        super().__init__(size - 1, size, game)

    def average(self, X: Array) -> None:
        """Nothing: there is no other."""

    def agree(self, more: bool) -> bool:
        return more

    def send(self, message: Any) -> None:
        """Nothing: there is no other."""

    def stretch(self, game: Any) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class Exchange(NamedTuple):
    """A message that asks all processes to average a gradient (n,) some times; 0: only to wait."""

    n: int
    times: int


class Slow(Team):
    """A team whose exchanges can be made slower; a subclass is one with a transport.

    Attributes:
        delay: seconds that each exchange takes longer. The others learn of it from process 0.
        exchanges: how many there were.
    """

    delay = 0.0
    exchanges = 0

    def slowed(self, exchange: Callable[..., Any]) -> Callable[..., Any]:
        """An exchange that takes longer. The processor is busy, as while it waits for a message."""

        def call(*args: Any) -> Any:
            result = exchange(*args)
            self.exchanges += 1
            end = time.perf_counter() + self.delay
            while time.perf_counter() < end:
                pass
            return result

        return call

    def gradient(self, n: int) -> Array:
        """An array (n,) float32 that `average_gradient` takes."""
        return np.zeros(n, np.float32)

    def send(self, message: Any) -> None:
        super().send((self.delay, message))

    def receive(self) -> Any:
        while (received := super().receive()) is not None:
            self.delay, message = received
            if not isinstance(message, Exchange):
                return message
            self._exchange(message)
        return None

    def exchange(self, n: int, times: int) -> float:
        """In process 0: the seconds of an average of gradients (n,); of a wait alone, if n is 0."""
        self.send(Exchange(n, times))
        return self._exchange(Exchange(n, times))

    def _exchange(self, asked: Exchange) -> float:
        grad = self.gradient(asked.n)
        self.agree(True)
        start = time.perf_counter()
        for _ in range(asked.times):
            if asked.n:
                self.average_gradient(grad)
                self.gather(grad)
            else:
                self.agree(True)
        return (time.perf_counter() - start) / asked.times


class SlowWorkers(Slow, SharedMemoryTeam):
    """Through shared memory: each exchange is a barrier."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        vars(self.barrier)["wait"] = self.slowed(self.barrier.wait)

    def gradient(self, n: int) -> Array:
        grad: Array = self.gradients[self.rank].view(np.float32)[:n]
        grad.fill(1.0)
        return grad


class SlowRanks(Slow, MPITeam):
    """Through MPI: each exchange is a call of it."""

    def __init__(self, ranks: Ranks, game: Any) -> None:
        super().__init__(ranks, game)
        calls = ("Allreduce", "Bcast")
        slowed = {name: self.slowed(getattr(ranks.comm, name)) for name in calls}
        self.comm = types.SimpleNamespace(**slowed)


@contextlib.contextmanager
def two_workers(game: Any, data: Any) -> Iterator[SlowWorkers]:
    """A team of this process and another one, engaged to a game."""
    memory = Memory(create=True, size=Layout(2, game).bytes)
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    other = context.Process(target=_work, args=(theirs, game, data), daemon=True)
    other.start()
    try:
        pipe.send(memory.name)
        pipe.recv()
        team = SlowWorkers(0, 2, game, memory, [pipe], lambda pipe=None: None)
        team.engage(game)
        yield team
        team.release(game)
        team.close()
        pipe.send(None)
        other.join(5.0)
    finally:
        memory.unlink()
        memory.close()
        other.kill()


def _work(pipe: Connection, game: Any, data: Any) -> None:
    """What the other process does."""
    memory = Memory(pipe.recv())
    team = SlowWorkers(1, 2, game, memory, [pipe], lambda pipe=None: None)
    pipe.send("ready")
    with threadpool_limits(limits=1, user_api="blas"):
        team.follow(game, data)
    os._exit(0)  # arrays still have views of the memory


def mpiexec() -> str | None:
    """The command that starts ranks; None without MPI."""
    if not machine.installed("mpi4py"):
        return None
    return shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")


def run_ranks(out: Path, *words: object) -> None:
    """Run bench/scale/ranks.py in two ranks, with these arguments."""
    command = [mpiexec(), "-n", "2", sys.executable, "-m", "bench.scale.ranks", out, *words]
    subprocess.run([*map(str, command)], cwd=ROOT, check=True)
