"""The processes that `mpiexec` has started: rank 0 runs the program, and the others help it.

    rank 0   main() ... fit -------------- ... fit -------------- ... returns
    others   wait       take part in steps  wait   take part            return

All of them run the same script, so classes that it defines are known everywhere. The game and the
data go from rank 0 to the others as pickles that are never in a file.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn, TypeAlias, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from minigan.command_line import say
from minigan.errors import ConfigError, WorkerError
from minigan.gan import Game
from minigan.parallel.fit import require_shareable
from minigan.parallel.launch import end_with_parent, launched, mpi_of, remove_name_of_memory
from minigan.parallel.mpi import MPITeam
from minigan.parallel.team import Team
from minigan.parallel.workers import SIGNALS

Result = TypeVar("Result")
Content: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"  # (bytes,)

SPIN = 1e-3  # seconds in which a message is waited for without sleeping
NAP = 0.01  # seconds between later looks, at most
PIECE = 1 << 30  # bytes that are broadcast at a time


def mpi_main(main: Callable[[], Result]) -> Result | None:
    """Call `main`; under `mpiexec` with several ranks, in rank 0 alone.

    The other ranks take part in each `Trainer.fit` that `main` calls, until it returns; they return
    None. They do nothing else: they print nothing, and write no file. Everything that makes
    networks and data belongs into `main`. `Experiment.main` calls this itself.

    Args:
        main: the program. If it calls `mpi_main`, that just calls.

    Returns:
        what `main` returned, in rank 0 and in an ordinary process.

    Raises:
        ConfigError: mpi4py is missing, or it belongs to another MPI than `mpiexec`.
    """
    if leading() is not None:
        return main()
    ranks = connect()
    if ranks is None:
        return main()
    if ranks.rank:
        ranks.follow()
        return None
    return ranks.run(main)


def leading() -> Ranks | None:
    """The ranks, in rank 0 of several inside `mpi_main`; else None."""
    return _connected if _connected is not None and _connected.running else None


def processes_here(workers: int) -> int:
    """How many processes of this machine take a step: ranks of MPI, or `workers`.

    Raises:
        ConfigError: there are both.
    """
    ranks = leading()
    if ranks is None:
        return workers
    if workers > 1:
        raise ConfigError(
            f"mpiexec has started {ranks.size} processes that share each step, so they cannot have "
            f"{workers} workers as well: leave out one of the two"
        )
    return ranks.here


class Job(NamedTuple):
    """What the others are sent at the beginning of a `fit`."""

    threads: int
    game: Game
    data: Any


class Ranks:
    """All ranks of one `mpiexec`, as one of them sees them.

    Args:
        mpi: the module `mpi4py.MPI`.

    Attributes:
        rank, size: of this process, and how many there are.
        here: how many of them are on this machine.
        running: whether `run` runs.
        broken: whether rank 0 is in a step, or has failed in one: then the others still wait there.
    """

    def __init__(self, mpi: Any) -> None:
        self.mpi = mpi
        self.comm = mpi.COMM_WORLD.Dup()
        self.rank, self.size = self.comm.rank, self.comm.size
        node = self.comm.Split_type(mpi.COMM_TYPE_SHARED)
        self.here: int = node.size
        node.Barrier()  # all of them have opened the shared memory
        node.Free()
        self.running = self.broken = False

    # -- messages ---------------------------------------------------------------------------

    def send(self, message: Any) -> None:
        """In rank 0: give all others a message, which they `receive`.

        Raises:
            ConfigError: it cannot be pickled.
        """
        self._send(_pickled(message))

    def _send(self, content: Content) -> None:
        self.comm.Ibcast(np.array([content.size], np.int64)).Wait()
        self._broadcast(content)

    def receive(self) -> Any:
        """In the others: the next message of rank 0. While there is none, this sleeps."""
        size = np.zeros(1, np.int64)  # (1,)
        request, start = self.comm.Ibcast(size), time.monotonic()
        while not request.Test():
            waited = time.monotonic() - start
            if waited > SPIN:
                time.sleep(min(NAP, waited / 10))
        content = np.empty(int(size[0]), np.uint8)
        self._broadcast(content)
        return pickle.loads(content.data)

    def _broadcast(self, content: Content) -> None:
        for start in range(0, content.size, PIECE):
            self.comm.Bcast(content[start : start + PIECE])

    # -- rank 0 -----------------------------------------------------------------------------

    def run(self, main: Callable[[], Result]) -> Result:
        """In rank 0: call `main`; then let the others return, or end them if they cannot."""
        self.running, code = True, 1
        try:
            result = main()
            code = result if isinstance(result, int) and result else 1
            return result
        except BaseException:
            if self.broken:
                sys.excepthook(*sys.exc_info())
            raise
        finally:
            self.running = False
            if self.broken:
                self.abort(code)
            self.send(None)

    @contextlib.contextmanager
    def team(self, game: Game, data: Any, threads: int) -> Iterator[Team]:
        """In rank 0: the team that takes the steps of a game, in all ranks.

        Args:
            game: bound to the batch. Inside, its steps are those of this rank's share.
            data: where its real samples come from.
            threads: of the BLAS library in each rank.

        Raises:
            ConfigError: a game that cannot be shared, or sent to the others.
            WorkerError: an earlier step has failed.
        """
        require_shareable(game)
        if self.broken:
            raise WorkerError(
                "an earlier fit failed in the middle of a step, and the other ranks still wait "
                "there: start the program again"
            )
        team = MPITeam(self, game.batch, game.discriminator.rows_multiple)
        job = _pickled(Job(threads, game, data))
        try:
            team.engage(game)  # an error of this is the same in all ranks, so it comes first
            self._send(job)
            try:
                yield team
            finally:
                if not self.broken:
                    self.send(None)
        finally:
            team.release(game)

    # -- the others -------------------------------------------------------------------------

    def follow(self) -> None:
        """In the others: take part in every `fit` of rank 0, until its `main` has ended."""
        try:
            with _ignored_signals():  # rank 0 saves, and then lets this return
                while (job := self.receive()) is not None:
                    unit = job.game.discriminator.rows_multiple
                    team = MPITeam(self, job.game.batch, unit)
                    with threadpool_limits(limits=job.threads, user_api="blas"):
                        team.follow(job.game, job.data)
        except Exception as error:
            say(f"error: rank {self.rank} failed: {type(error).__name__}: {error}")
            self.abort(1)

    def abort(self, code: int) -> NoReturn:
        """End all ranks at once; what is printed so far is kept."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        with contextlib.suppress(OSError):  # MPI would add a line of its own
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        self.comm.Abort(code)
        os._exit(code)


def _pickled(message: Any) -> Content:
    try:
        return np.frombuffer(pickle.dumps(message, protocol=5), np.uint8)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConfigError(f"this cannot be sent to the other ranks: {error}") from error


@contextlib.contextmanager
def _ignored_signals() -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM do nothing."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in SIGNALS:
            if hasattr(signal, name):
                number = getattr(signal, name)
                before[number] = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# -- connecting -----------------------------------------------------------------------------

_connected: Ranks | None = None


def connect() -> Ranks | None:
    """The ranks that this process is one of; None in an ordinary process. See `mpi_main`."""
    global _connected
    launch = launched()
    if launch is not None and _connected is None:
        _connected = Ranks(mpi_of(launch))
        remove_name_of_memory()
        end_with_parent()
    return _connected
