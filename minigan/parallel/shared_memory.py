"""A team on one machine: processes that exchange numbers through shared memory.

    counters   a line for each process            of the barrier
    messages   two for each process               what `average` and `agree` add up
    gradients  (size, n)                          of the network whose turn it is
    boxes      two, (n,)                          what `gather` and `broadcast` pass on

Messages and boxes are used in turns: when one is written again, all processes have passed the
barrier of the other, hence have read it.

The memory has a name only until all processes have opened it. After that the operating system
frees it when the last of them ends, in whatever way.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

from minigan.backend import Array
from minigan.backend.numpy.recording import live
from minigan.parallel.barrier import LINE, Barrier
from minigan.parallel.team import Team

MESSAGE = 1 << 16  # bytes of a message; longer arrays are sent in pieces


class Layout:
    """Where everything is in the memory.

    Args:
        size: processes.
        box: bytes of the largest flat buffer.
    """

    def __init__(self, size: int, box: int) -> None:
        box = -(-box // LINE) * LINE
        parts = [size * LINE, 2 * size * MESSAGE, size * box, 2 * box]
        self.size, self.box = size, box
        self.ends = list(itertools.accumulate(parts))
        self.bytes = self.ends[-1]


class SharedMemoryTeam(Team):
    """A process of a team on this machine; the arguments are those of `Team`, and:

    Args:
        memory: of `layout.bytes`.
        layout: where everything is in it.
        pipes: to the followers; in a follower, the one to process 0.
        check: raises an error if another process has ended; given a pipe that is broken, always.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        batch: int,
        unit: int,
        memory: SharedMemory,
        layout: Layout,
        pipes: list[Connection],
        check: Callable[..., None],
    ) -> None:
        super().__init__(rank, size, batch, unit)
        self.pipes, self.check = pipes, check
        counters, messages, gradients, boxes = layout.ends
        assert memory.buf is not None
        self.barrier = Barrier(memory.buf[:counters], rank, size, check)
        whole = np.frombuffer(memory.buf, np.uint8, boxes)
        self.messages = whole[counters:messages].reshape(2, size, MESSAGE)
        self.gradients = whole[messages:gradients].reshape(size, layout.box)
        self.boxes = whole[gradients:].reshape(2, layout.box)
        self.turn = 0  # of messages
        self.box = 0  # the next box

    def own(self, n: int) -> slice:
        """A part of n numbers for each process, in order; whole cache lines."""
        return self._part(n, self.rank)

    def _part(self, n: int, rank: int) -> slice:
        ends = [min(n, -(-n * k // self.size // 16) * 16) for k in (rank, rank + 1)]
        return slice(ends[0], n if rank + 1 == self.size else ends[1])

    @live
    def average(self, X: Array) -> None:
        """See `Team.average`; the sum is in the order of the ranks, the same everywhere."""
        flat = X.reshape(-1)  # (n,), a view
        most = MESSAGE // X.itemsize
        for start in range(0, flat.size, most):
            piece = flat[start : start + most]
            slots = self._slots(piece)  # (size, n)
            np.multiply(piece, self.weights[self.rank], out=slots[self.rank])
            self.barrier.wait()
            np.add(slots[0], slots[1], out=piece)
            for other in slots[2:]:
                np.add(piece, other, out=piece)

    def _slots(self, piece: Array) -> Array:
        """The messages (size, n) of this turn, as numbers like `piece` (n,)."""
        self.turn ^= 1
        return self.messages[self.turn, :, : piece.nbytes].view(piece.dtype)

    @live
    def average_gradient(self, grad: Array) -> None:
        """grad[own] = the average of all processes' gradients there, in the order of the ranks"""
        n, own = grad.size, self.own(grad.size)
        slots = self.gradients[:, : grad.nbytes].view(grad.dtype)  # (size, n)
        mine = slots[self.rank]  # (n,)
        for rank in range(self.size):
            if rank != self.rank:
                part = self._part(n, rank)
                np.multiply(grad[part], self.weights[self.rank], out=mine[part])
        self.barrier.wait()
        piece = grad[own]
        np.multiply(piece, self.weights[self.rank], out=mine[own])
        np.add(slots[0, own], slots[1, own], out=piece)
        for other in slots[2:]:
            np.add(piece, other[own], out=piece)

    @live
    def gather(self, flat: Array) -> None:
        """See `Team.gather`."""
        box = self._next_box(flat)  # (n,)
        own = self.own(flat.size)
        np.copyto(box[own], flat[own])
        self.barrier.wait()
        np.copyto(flat[: own.start], box[: own.start])
        np.copyto(flat[own.stop :], box[own.stop :])

    def broadcast(self, X: Array) -> None:
        """See `Team.broadcast`."""
        flat = X.reshape(-1)  # (n,), a view
        box = self._next_box(flat)  # (n,)
        if self.rank == 0:
            np.copyto(box, flat)
        self.barrier.wait()
        if self.rank:
            np.copyto(flat, box)

    def _next_box(self, flat: Array) -> Array:
        self.box ^= 1
        return self.boxes[self.box, : flat.nbytes].view(flat.dtype)

    def agree(self, more: bool) -> bool:
        """See `Team.agree`."""
        self.turn ^= 1
        answer = self.messages[self.turn, 0]
        if self.rank == 0:
            answer[0] = more
        self.barrier.wait()
        return bool(answer[0])

    def send(self, message: Any) -> None:
        for pipe in self.pipes:
            try:
                pipe.send(message)
            except OSError:
                self.check(pipe)

    def receive(self) -> Any:
        return self.pipes[0].recv()

    def close(self) -> None:
        """Give up the views of the memory."""
        self.barrier.release()
        del self.messages, self.gradients, self.boxes
