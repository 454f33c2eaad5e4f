"""Worker processes on this machine, which take each step together with the one that starts them.

They are new processes, not forks: a fork would have the memory of all threads, and none of the
threads. The game and the data go to them through a pipe, as pickles that are never in a file.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from minigan.errors import ConfigError, WorkerError
from minigan.gan import Game
from minigan.parallel.fit import require_shareable
from minigan.parallel.messages import send_to_all
from minigan.parallel.processes import handled
from minigan.parallel.shared_memory import Layout, SharedMemoryTeam

SHARED = Path("/dev/shm")  # where Linux keeps shared memory
PATIENCE = 5.0  # seconds in which a worker that has nothing more to do must end
READY = "ready"
#: A new process imports the script that it belongs to, up to where the script starts workers, too.
GUARD = (
    " as it started: a worker imports your script, so whatever the script does must be in a file, "
    'under if __name__ == "__main__"'
)


class Job(NamedTuple):
    """What a worker is sent first."""

    size: int
    memory: str  # the name of the shared memory
    threads: int
    game: Game
    data: Any


@contextlib.contextmanager
def workers(size: int, game: Game, data: Any, threads: int) -> Iterator[SharedMemoryTeam]:
    """A team of `size` processes on this machine: this one, which leads, and new ones.

    Args:
        size: >= 2.
        game: bound to the batch. Inside, its steps are those of this process's share.
        data: where its real samples come from.
        threads: of the BLAS library in each process.

    Raises:
        ConfigError: a game that cannot be shared, or sent to a worker; or there is too little
            shared memory.
        WorkerError: a worker has ended.
    """
    require_shareable(game, game.batch, size)  # before anything is started
    with contextlib.ExitStack() as stack:
        memory = _shared_memory(Layout(size, game).bytes)
        stack.callback(memory.close)
        try:
            crew = stack.enter_context(Crew(size - 1))
            crew.send(Job(size, memory.name, threads, game, data))
            crew.wait_until_ready()
        finally:
            memory.unlink()  # from now on it lives as long as the processes
        team = SharedMemoryTeam(0, size, game, memory, crew.pipes, crew.check)
        stack.callback(team.close)
        stack.callback(team.release, game)  # also if some part of it cannot be engaged
        team.engage(game)
        yield team


def _shared_memory(size: int) -> Memory:
    """New shared memory of zeros."""
    free = shutil.disk_usage(SHARED).free if SHARED.is_dir() else size
    if free < size:  # else the process would end at the first page that is not there
        raise ConfigError(
            f"the processes need {size >> 20:,} MiB of shared memory, and {SHARED} has "
            f"{free >> 20:,}: enlarge it, or train with one process"
        )
    return Memory(create=True, size=size)


class Memory(SharedMemory):
    """Shared memory that may be closed while there are views of it, such as those of a traceback.

    Then it is given back with the last of them.
    """

    def close(self) -> None:
        with contextlib.suppress(BufferError):
            super().close()


class Crew:
    """The processes that this one has started. A context manager: at its end they end.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.processes: list[BaseProcess] = []
        self.pipes: list[Connection] = []
        self.lifelines: list[Connection] = []  # closed when this process ends, in whatever way
        with handled(signal.SIG_IGN, [signal.SIGINT]):  # workers ignore Ctrl-C from the beginning
            for rank in range(1, count + 1):
                pipe, theirs = context.Pipe()
                end, lifeline = context.Pipe(duplex=False)
                process = context.Process(
                    target=work, args=(rank, theirs, end), name=f"worker {rank}", daemon=True
                )
                process.start()
                theirs.close()
                end.close()
                self.processes.append(process)
                self.pipes.append(pipe)
                self.lifelines.append(lifeline)

    def send(self, job: Job) -> None:
        """Send every process its job."""
        send_to_all(self.pipes, job, lambda pipe: self._fail(pipe, likely=GUARD))

    def wait_until_ready(self) -> None:
        """Return when all processes have opened the shared memory."""
        for pipe in self.pipes:
            try:
                ready = pipe.recv()
            except (EOFError, OSError):
                ready = None
            if ready != READY:
                self._fail(pipe, ready, GUARD)

    def check(self, broken: Connection | None = None) -> None:
        """Raise `WorkerError` if a process has ended; that at the end of a broken pipe has."""
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            if pipe is broken or process.exitcode is not None:
                self._fail(pipe)

    def _fail(self, pipe: Connection, message: Any = None, likely: str = "") -> None:
        """Raise `WorkerError` for the process at the other end of a pipe.

        Args:
            message: what it sent.
            likely: the likely cause if it ended by itself, without a message.
        """
        process = self.processes[self.pipes.index(pipe)]
        process.join(PATIENCE)
        with contextlib.suppress(EOFError, OSError):
            if message is None and pipe.poll():
                message = pipe.recv()
        code = process.exitcode or 0
        if message is not None:
            cause = f"failed: {message}"
        elif code < 0:
            cause = f"was killed by signal {-code}"
        else:
            cause = f"ended with exit code {code}{likely}"
        raise WorkerError(f"{process.name} {cause}")

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            if kind is None:  # else it may be waiting in the middle of a step
                with contextlib.suppress(OSError):
                    pipe.send(None)
                process.join(PATIENCE)
            if process.exitcode is None:
                process.kill()
                process.join()
            process.close()
        for one in (*self.pipes, *self.lifelines):
            one.close()


def work(rank: int, pipe: Connection, lifeline: Connection) -> None:
    """What a worker process does."""
    threading.Thread(target=_end_with_the_leader, args=(lifeline,), daemon=True).start()
    try:
        with handled(signal.SIG_IGN):  # the one that leads saves, and ends the others
            job: Job = pipe.recv()
            memory = Memory(job.memory)
            team = SharedMemoryTeam(rank, job.size, job.game, memory, [pipe], lambda: None)
            pipe.send(READY)
            with threadpool_limits(limits=job.threads, user_api="blas"):
                team.follow(job.game, job.data)
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send(f"{type(error).__name__}: {error}")
        os._exit(1)
    os._exit(0)  # the memory is still in use by arrays


def _end_with_the_leader(lifeline: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)
