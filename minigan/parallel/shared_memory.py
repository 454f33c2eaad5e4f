"""A team on one machine: processes that exchange numbers through shared memory.

    counters   a line for each process     of the barrier
    messages   two for each process        what `average` and `agree` pass on
    gradients  one for each process        of all networks
    state      one for all                 parameters, moments of optimizers, averaged parameters

While steps are taken, these arrays take the places of the game's own. So all processes read the
same parameters, and each writes only its part of them; a process reads the others' gradients where
they are. Before and after, the leader copies the state from and to its own arrays: what user code
holds views of is never replaced.

The memory has a name only until all processes have opened it. After that the operating system
frees it when the last of them ends, in whatever way.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple

import numpy as np

from minigan.backend import Array
from minigan.backend.base import span
from minigan.backend.numpy.pool import scratch
from minigan.backend.numpy.recording import live
from minigan.gan import Game
from minigan.gan.state import flat_state
from minigan.parallel.barrier import LINE, Barrier
from minigan.parallel.messages import send_to_all
from minigan.parallel.processes import own_cpus
from minigan.parallel.team import Team

MESSAGE = 1 << 16  # bytes of a message; longer arrays are sent in pieces
BLOCK = 32768  # numbers of a gradient that are averaged at a time, so that they stay in the cache
GRADIENT = "_grad"
ONE = np.zeros(1)  # (1,), as large as an answer


class Place(NamedTuple):
    """An attribute that holds a flat array of a game."""

    owner: Any
    name: str

    @property
    def array(self) -> Array:
        return vars(self.owner)[self.name]


def places_of_state(game: Game) -> list[Place]:
    """Where a game has what updates change, each (n,) of a network's n numbers."""
    places = [Place(net.parameters, "_data") for net in game.networks.values()]
    for optimizer in game.optimizers.values():
        kept = {id(flat) for flat in optimizer.buffers().values()}
        places += [Place(optimizer, n) for n, value in vars(optimizer).items() if id(value) in kept]
    if game.average is not None:
        places.append(Place(game.average.network.parameters, "_data"))
    return places


def places_of_gradients(game: Game) -> list[Place]:
    """Where a game has its gradients, each (n,)."""
    nets = list(game.networks.values())
    for net in nets:
        assert net.parameters.grad is not None  # it is made when it is first read
    return [Place(net.parameters, GRADIENT) for net in nets]


class Layout:
    """Where everything is in the memory of a team.

    Args:
        size: processes.
        game: bound or not.
    """

    def __init__(self, size: int, game: Game) -> None:
        self.gradients = sum(_room(place.array) for place in places_of_gradients(game))
        self.state = sum(_room(place.array) for place in places_of_state(game))
        parts = [size * LINE, 2 * size * MESSAGE, size * self.gradients, self.state]
        self.ends = list(itertools.accumulate(parts))
        self.bytes = self.ends[-1]


def _room(array: Array) -> int:
    """The bytes of an array, in whole cache lines."""
    return -(-int(array.nbytes) // LINE) * LINE


class SharedMemoryTeam(Team):
    """A process of a team on this machine; the first arguments are those of `Team`.

    Args:
        memory: of the `bytes` of a `Layout`.
        pipes: to the followers; in a follower, the one to process 0.
        check: raises an error if another process has ended; given a pipe that is broken, always.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        game: Game,
        memory: SharedMemory,
        pipes: list[Connection],
        check: Callable[..., None],
    ) -> None:
        super().__init__(rank, size, game)
        self.pipes, self.check = pipes, check
        layout = Layout(size, game)
        counters, messages, gradients, end = layout.ends
        assert memory.buf is not None
        self.barrier = Barrier(memory.buf[:counters], rank, size, check)
        whole = np.frombuffer(memory.buf, np.uint8, end)
        self.messages = whole[counters:messages].reshape(2, size, MESSAGE)
        self.gradients = whole[messages:gradients].reshape(size, layout.gradients)
        self.state = whole[gradients:]
        self.turn = 0  # which of the two messages is next

    def own(self, n: int) -> slice:
        """A part of n numbers for each process, in order; whole cache lines."""
        return self._part(n, self.rank)

    def _part(self, n: int, rank: int) -> slice:
        start, stop = (min(n, -(-n * k // self.size // 16) * 16) for k in (rank, rank + 1))
        return slice(start, n if rank + 1 == self.size else stop)

    # -- whose arrays are used --------------------------------------------------------------

    def engage(self, game: Game) -> None:
        """See `Team.engage`."""
        self.pairs = self._pairs(game)
        super().engage(game)

    @contextlib.contextmanager
    def arrays(self, game: Game) -> Iterator[None]:
        """Inside, the flat arrays of a game are those of the shared memory."""
        for place, _, shared in self.pairs:
            vars(place.owner)[place.name] = shared
        try:
            yield
        finally:
            for place, own, _ in self.pairs:
                vars(place.owner)[place.name] = own

    def _pairs(self, game: Game) -> list[tuple[Place, Array, Array]]:
        """Each place, the game's own array there (n,), and the shared one (n,)."""
        pairs = []
        for places, memory in (
            (places_of_gradients(game), self.gradients[self.rank]),
            (places_of_state(game), self.state),
        ):
            start = 0
            for place in places:
                own = place.array
                pairs.append((place, own, memory[start : start + own.nbytes].view(own.dtype)))
                start += _room(own)
        return pairs

    @contextlib.contextmanager
    def stretch(self, game: Game) -> Iterator[None]:
        """See `Team.stretch`."""
        pairs = self.pairs
        with self.arrays(game), own_cpus(self.rank, self.size):
            if self.rank == 0:
                for _, own, shared in pairs:
                    np.copyto(shared, own)
            large = {id(shared) for _, _, shared in pairs}
            for _, flat, _ in flat_state(game):
                if id(flat) not in large:
                    self._broadcast(flat)
            self.barrier.wait()
            yield
            self.barrier.wait()
        if self.rank == 0:
            for place, own, shared in pairs:
                np.copyto(own, shared)
                for rank in range(1, self.size if place.name == GRADIENT else 0):
                    part = self._part(own.size, rank)
                    np.copyto(own[part], self._of(rank, shared)[part])

    def _of(self, rank: int, grad: Array) -> Array:
        """Another process's gradient (n,) that belongs to one of this process's, a view."""
        start = span(grad)[0] - span(self.gradients[self.rank])[0]
        other: Array = self.gradients[rank, start : start + grad.nbytes].view(grad.dtype)
        return other

    def _broadcast(self, X: Array) -> None:
        """X = that of process 0."""
        flat = X.reshape(-1)  # (n,), a view
        for piece in _pieces(flat):
            message = self._messages(piece)[0]
            if self.rank == 0:
                np.copyto(message, piece)
            self.barrier.wait()
            if self.rank:
                np.copyto(piece, message)

    # -- in a step --------------------------------------------------------------------------

    @live
    def average(self, X: Array) -> None:
        """See `Team.average`; summed in the order of the ranks, so it is the same everywhere."""
        for piece in _pieces(X.reshape(-1)):
            messages = self._messages(piece)  # (size, n)
            np.multiply(piece, self.weights[self.rank], out=messages[self.rank])
            self.barrier.wait()
            np.add(messages[0], messages[1], out=piece)
            for message in messages[2:]:
                np.add(piece, message, out=piece)

    def _messages(self, piece: Array) -> Array:
        """The next messages of all processes, (size, n) numbers like those of a piece (n,).

        When one is written again, all processes have passed the barrier after the other, hence
        have read it.
        """
        self.turn ^= 1
        return self.messages[self.turn, :, : piece.nbytes].view(piece.dtype)

    @live
    def average_gradient(self, grad: Array) -> None:
        """See `Team.average_gradient`."""
        own = self.own(grad.size)
        others = [(self._of(r, grad), w) for r, w in enumerate(self.weights) if r != self.rank]
        weighted = scratch((BLOCK,), grad.dtype.char, "weighted")
        self.barrier.wait()
        for start in range(own.start, own.stop, BLOCK):
            block = slice(start, min(start + BLOCK, own.stop))
            mine, theirs = grad[block], weighted[: block.stop - start]
            np.multiply(mine, self.weights[self.rank], out=mine)
            for other, weight in others:
                np.multiply(other[block], weight, out=theirs)
                np.add(mine, theirs, out=mine)

    @live
    def gather(self, flat: Array) -> None:
        """See `Team.gather`: the array is shared."""
        self.barrier.wait()

    def agree(self, more: bool) -> bool:
        """See `Team.agree`."""
        answer = self._messages(ONE)[0]
        if self.rank == 0:
            answer[0] = more
        self.barrier.wait()
        return bool(answer[0])

    def send(self, message: Any) -> None:
        """See `Team.send`."""
        send_to_all(self.pipes, message, self.check)

    def receive(self) -> Any:
        """See `Team.receive`."""
        return self.pipes[0].recv()

    def close(self) -> None:
        """Give up the views of the memory."""
        self.barrier.release()
        del self.messages, self.gradients, self.state
        vars(self).pop("pairs", None)  # there are none, if the game could not be engaged


def _pieces(flat: Array) -> list[Array]:
    """Views of an array (n,), none larger than a message."""
    most = MESSAGE // flat.itemsize
    return [flat[start : start + most] for start in range(0, flat.size, most)]
