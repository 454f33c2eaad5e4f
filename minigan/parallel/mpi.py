"""A team of MPI's ranks, on one machine or on several.

Every rank has the whole average of a gradient after its `Allreduce`, and updates all parameters. So
each step costs two of these, a broadcast of one byte, and what batch normalisation exchanges.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigan.backend import Array
from minigan.backend.numpy.recording import live
from minigan.errors import WorkerError
from minigan.gan import Game
from minigan.gan.state import flat_state
from minigan.parallel.ranks import Ranks
from minigan.parallel.team import Team


class MPITeam(Team):
    """A rank of a team. See `Team` for what the methods do.

    Args:
        ranks: all of them.
        game: bound to the batch.
    """

    def __init__(self, ranks: Ranks, game: Game) -> None:
        super().__init__(ranks.rank, ranks.size, game)
        self.ranks = ranks
        self.comm, self.in_place = ranks.comm, ranks.mpi.IN_PLACE
        self.answer = np.zeros(1, np.int8)  # (1,), of `agree`

    @contextlib.contextmanager
    def stretch(self, game: Game) -> Iterator[None]:
        """See `Team.stretch`. All ranks compute the same state."""
        for _, flat, _ in flat_state(game):
            self.comm.Bcast(flat)
        yield

    @live
    def average(self, X: Array) -> None:
        """X = sum over ranks of weight X, the same bytes everywhere"""
        np.multiply(X, self.weights[self.rank], out=X)
        self.comm.Allreduce(self.in_place, X)

    def agree(self, more: bool) -> bool:
        """See `Team.agree`."""
        self.answer[0] = more
        self.comm.Bcast(self.answer)
        return bool(self.answer[0])

    def send(self, message: Any) -> None:
        """See `Team.send`."""
        self.ranks.send(message)

    def receive(self) -> Any:
        """See `Team.receive`."""
        return self.ranks.receive()

    def lead(self, game: Game, data: Any, capture: bool, more: Callable[[], bool]) -> None:
        """See `Team.lead`. If it fails, the others wait in a step, and cannot be led any more.

        Raises:
            WorkerError: MPI failed.
        """
        self.ranks.broken = True
        try:
            super().lead(game, data, capture, more)
        except self.ranks.mpi.Exception as error:
            raise WorkerError(f"the ranks could not exchange numbers: {error}") from error
        self.ranks.broken = False
