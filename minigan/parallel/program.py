"""A program under `mpiexec`: rank 0 runs it, and the others help it.

    rank 0   main() ... fit -------------- ... fit -------------- ... returns
    others   wait       take part in steps  wait   take part            return

All of them run the same script, so classes that it defines are known everywhere. The game and the
data go from rank 0 to the others as pickles that are never in a file.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from threadpoolctl import threadpool_limits

from minigan.command_line import say
from minigan.errors import ConfigError, WorkerError
from minigan.gan import Game
from minigan.parallel.fit import require_shareable
from minigan.parallel.launch import launched, mpi_of, remove_name_of_memory
from minigan.parallel.messages import encoded
from minigan.parallel.mpi import MPITeam
from minigan.parallel.processes import end_with, handled
from minigan.parallel.ranks import Ranks
from minigan.parallel.team import Team

Result = TypeVar("Result")


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
        _follow(ranks)
        return None
    return _lead(ranks, main)


def leading() -> Ranks | None:
    """The ranks, in rank 0 of several inside `mpi_main`; else None."""
    return _connected if _connected is not None and _connected.running else None


def processes_of(workers: int) -> int:
    """How many processes take each step together: ranks of MPI, or `workers`."""
    ranks = leading()
    return workers if ranks is None else ranks.size


def processes_here(workers: int) -> int:
    """As `processes_of`, but only those on this machine.

    Raises:
        ConfigError: there are ranks, and `workers` > 1.
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


# -- rank 0 ---------------------------------------------------------------------------------


def _lead(ranks: Ranks, main: Callable[[], Result]) -> Result:
    """In rank 0: call `main`; then let the others return, or end them if they cannot."""
    ranks.running, code = True, 1
    try:
        result = main()
        code = result if isinstance(result, int) and result else 1
        return result
    except BaseException:
        if ranks.broken:
            sys.excepthook(*sys.exc_info())
        raise
    finally:
        ranks.running = False
        if ranks.broken:
            ranks.abort(code)
        ranks.send(None)


@contextlib.contextmanager
def team_of_ranks(ranks: Ranks, game: Game, data: Any, threads: int) -> Iterator[Team]:
    """In rank 0: the team that takes the steps of a game, in all ranks.

    Args:
        game: bound to the batch. Inside, its steps are those of this rank's share.
        data: where its real samples come from.
        threads: of the BLAS library in each rank.

    Raises:
        ConfigError: a game that cannot be shared; or the others cannot be sent it.
        WorkerError: an earlier step has failed.
    """
    require_shareable(game, game.batch, ranks.size)
    if ranks.broken:
        raise WorkerError(
            "an earlier fit failed in the middle of a step, and the other ranks still wait "
            "there: start the program again"
        )
    team = MPITeam(ranks, game)
    job = encoded(Job(threads, game, data))
    try:
        team.engage(game)  # an error of this is the same in all ranks, so it comes first
        ranks.send_bytes(job)
        try:
            yield team
        finally:
            if not ranks.broken:
                ranks.send(None)
    finally:
        team.release(game)


# -- the others -----------------------------------------------------------------------------


def _follow(ranks: Ranks) -> None:
    """In the others: take part in every `fit` of rank 0, until its `main` has ended."""
    try:
        with handled(signal.SIG_IGN):  # rank 0 saves, and then lets this return
            while (job := ranks.receive()) is not None:
                team = MPITeam(ranks, job.game)
                with threadpool_limits(limits=job.threads, user_api="blas"):
                    team.follow(job.game, job.data)
    except Exception as error:
        say(f"error: rank {ranks.rank} failed: {type(error).__name__}: {error}")
        ranks.abort(1)


# -- connecting -----------------------------------------------------------------------------

_connected: Ranks | None = None


def connect() -> Ranks | None:
    """The ranks that this process is one of; None in an ordinary process. See `mpi_main`."""
    global _connected
    launch = launched()
    if launch is not None and _connected is None:
        _connected = Ranks(mpi_of(launch))
        remove_name_of_memory()
        # If MPICH's `hydra_pmi_proxy` were killed, its ranks would wait for each other for ever.
        end_with(os.getppid())
    return _connected
