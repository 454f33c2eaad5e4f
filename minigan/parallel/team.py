"""What a team of processes does together in a step, whatever carries its messages.

Process 0 leads. It has the trainer and writes the run folder; the others follow. Each has a game of
its own, and takes every step with its share of the rows:

    gradient of its rows --> average_gradient --> update of its own numbers --> gather

Training goes on in stretches of at most a hundred steps. At the beginning of each, all processes
take over the state of process 0, so nothing that changed there in between is missed; at its end,
process 0 has the whole state.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from minigan.backend import Array, Stream
from minigan.backend.share import Share, shares
from minigan.config import rebuild
from minigan.gan import Game
from minigan.gan.binding import bind_again, networks_of
from minigan.gan.state import counters_of, load_counters


class Team:
    """The processes that take each step of a game together.

    A subclass is a transport: it defines the methods up to `receive`. All processes make the same
    calls in the same order.

    Args:
        rank: of this process; 0 leads.
        size: how many processes there are.
        game: bound to the batch.

    Attributes:
        share: the rows of this process.
        weights: rows of each process's share / batch, by rank.
    """

    def __init__(self, rank: int, size: int, game: Game) -> None:
        self.rank, self.size = rank, size
        by_rank = shares(game.batch, game.discriminator.rows_multiple, size)
        self.share: Share = by_rank[rank]
        self.weights = tuple(share.rows / game.batch for share in by_rank)

    # -- what a transport defines ---------------------------------------------------------

    def own(self, n: int) -> slice:
        """Which of the n numbers of a flat buffer this process updates; by default all."""
        return slice(0, n)

    def average(self, X: Array) -> None:
        """X (contiguous) = the average of the X of all processes, weighted by their rows."""
        raise NotImplementedError

    def average_gradient(self, grad: Array) -> None:
        """As `average`, for a flat gradient (n,), of which only `own(n)` must be right."""
        self.average(grad)

    def gather(self, flat: Array) -> None:
        """Make a flat buffer (n,) whole, of which each process has updated its own numbers."""

    def agree(self, more: bool) -> bool:
        """What process 0 answers, in every process."""
        raise NotImplementedError

    def send(self, message: Any) -> None:
        """Give all followers a message, which they `receive`."""
        raise NotImplementedError

    def receive(self) -> Any:
        """The next message of process 0."""
        raise NotImplementedError

    @contextlib.contextmanager
    def stretch(self, game: Game) -> Iterator[None]:
        """Inside, all processes have the state of process 0, which has the whole state after it."""
        raise NotImplementedError

    def arrays(self, game: Game) -> contextlib.AbstractContextManager[None]:
        """Inside, a game has the arrays that the steps of a stretch compute with."""
        return contextlib.nullcontext()

    # -- training -------------------------------------------------------------------------

    def engage(self, game: Game) -> None:
        """Bind the game's step to this process's share."""
        vars(game)["team"] = game.records.team = self
        for optimizer in game.optimizers.values():
            optimizer.parameters.own = self.own(optimizer.parameters.size)
        bind_again(game)

    def release(self, game: Game) -> None:
        """Bind the game's step to the whole batch again."""
        vars(game)["team"] = game.records.team = None
        for optimizer in game.optimizers.values():
            optimizer.parameters.own = slice(None)
        bind_again(game)

    def lead(self, game: Game, data: Any, capture: bool, more: Callable[[], bool]) -> None:
        """In process 0: take steps, with the others, while `more()`.

        Args:
            game, data: engaged, and where its real samples come from.
            capture: record a step and replay it.
        """
        self.send((capture, counters_of(game), data.state(), game.loss.to_config()))
        self._take_steps(game, data, capture, more)

    def follow(self, game: Game, data: Any) -> None:
        """In the other processes: take the steps of process 0, until it sends None."""
        self.engage(game)
        while (job := self.receive()) is not None:
            capture, counters, data_state, loss = job
            if game.loss.to_config() != loss:
                game.set_loss(rebuild("loss", loss))
            load_counters(game, counters)
            data.load_state(data_state)
            self._take_steps(game, data, capture, lambda: False)

    def _take_steps(self, game: Game, data: Any, capture: bool, more: Callable[[], bool]) -> None:
        drawn = list(drawn_in_a_step(game))
        with self.stretch(game):
            game.capture(capture)
            for stream, unit in drawn:
                stream.share = self.share.in_packs(unit)
            try:
                while self.agree(more()):
                    game.read(data)
                    game.step()
            finally:
                for stream, _ in drawn:
                    stream.share = None
            game.records.make()


def drawn_in_a_step(game: Game) -> Iterator[tuple[Stream, int]]:
    """The streams of a step, each with the rows of a batch that one row of its fills stands for."""
    for name, stream in game.streams.items():
        if not name.startswith("sample"):
            yield stream, game.discriminator.rows_multiple if name == "penalty" else 1
    for _, net in networks_of(game):
        rows = [rows for rows, _ in net.shapes(net.rows_multiple)[1:]]  # out of each layer
        for stream, out in zip(net.streams, rows, strict=True):
            yield stream, net.rows_multiple // out
