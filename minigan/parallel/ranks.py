"""The processes that `mpiexec` has started: their messages, and their end."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any, NoReturn, TypeAlias

import numpy as np

from minigan.parallel.messages import decoded, encoded

Content: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"  # (bytes,)

SPIN = 1e-3  # seconds in which a message is waited for without sleeping
NAP = 0.01  # seconds between later looks, at most
PIECE = 1 << 30  # bytes that are broadcast at a time


class Ranks:
    """All ranks of one `mpiexec`, as one of them sees them.

    Args:
        mpi: the module `mpi4py.MPI`.

    Attributes:
        rank, size: of this process, and how many there are.
        here: how many of them are on this machine.
        running: whether rank 0 is in `mpi_main`.
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

    def send(self, message: Any) -> None:
        """In rank 0: give all others a message, which they `receive`.

        Raises:
            ConfigError: it cannot be encoded.
        """
        self.send_bytes(encoded(message))

    def send_bytes(self, message: memoryview) -> None:
        """As `send`, of what `encoded` returned."""
        content = np.frombuffer(message, np.uint8)
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
        return decoded(content.data)

    def _broadcast(self, content: Content) -> None:
        for start in range(0, content.size, PIECE):
            self.comm.Bcast(content[start : start + PIECE])

    def abort(self, code: int) -> NoReturn:
        """End all ranks at once; what is printed so far is kept."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        with contextlib.suppress(OSError):  # MPI would add a line of its own
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        self.comm.Abort(code)
        os._exit(code)
