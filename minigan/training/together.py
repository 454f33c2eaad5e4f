"""Taking steps: in this process alone, or together with others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from minigan.parallel.program import leading, processes_here, team_of_ranks
from minigan.parallel.team import Team
from minigan.parallel.workers import workers
from minigan.training.calling import Calling
from minigan.training.run import read_checkpoint
from minigan.training.threads import cores_of_each, suitable_threads


class Together(Calling):
    """The part of a `Trainer` that takes steps."""

    _team: Team | None = None  # during a `fit` with several processes

    def threads_of_each(self, workers: int) -> int | None:
        """The BLAS threads of each of several processes; None leaves them as they are."""
        processes = processes_here(workers)
        several = cores_of_each(processes) if processes > 1 else None
        return suitable_threads(self.gan, self.batch) or several

    @contextlib.contextmanager
    def team_of(self, processes: int, threads: int | None) -> Iterator[None]:
        """Inside, each step is taken by that many processes, or by the ranks of MPI."""
        ranks = leading()
        if ranks is None and processes == 1:
            yield
            return
        parts = self.gan, self.data, threads or 1
        team: contextlib.AbstractContextManager[Team]
        team = workers(processes, *parts) if ranks is None else team_of_ranks(ranks, *parts)
        with team as self._team:
            try:
                yield
            finally:
                self._team = None

    def _take_steps(self, capture: bool, more: Callable[[], bool]) -> None:
        """Take steps while `more()`; record one and replay it, if `capture`."""
        if self._team is None:
            self.gan.capture(capture)
            while more():
                self.gan.read(self.data)
                self.gan.step()
            return
        try:
            self._team.lead(self.gan, self.data, capture, more)
        except BaseException:  # parts of the state are in the other processes
            self._team.release(self.gan)
            self._load(*read_checkpoint(self.out))
            raise
