"""A step, recorded and replayed as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy
import numpy as np

from minigan.backend.cuda.branches import record
from minigan.backend.cuda.errors import explained
from minigan.backend.cuda.fusion import fuse
from minigan.backend.cuda.launching import THREADS, Call, Listener, launch, listening
from minigan.backend.cuda.memory import asarray, zeros
from minigan.backend.random import Stream
from minigan.errors import OrderError


def capture(step: Callable[[], None]) -> Callable[[], None]:
    """Run a step once; return a function that repeats its kernels on the same arrays.

    What the step decides in Python is fixed in the recording: the repetition is right as long as
    the step would make the same calls again.
    """
    listener = Listener()
    with listening(listener):
        step()
    return Replay(step, listener.drawn)


class Replay:
    """A step as a CUDA graph: call it to repeat the step.

    A stream's position is an integer on the host, and a recording would freeze it. So a replayed
    step reads from the GPU where each of its streams stands at its start (`starts`), its fills
    count from there, and its last kernel advances the starts. The positions on the host follow.
    Where one of them was changed in between, the starts are written again.

    Args:
        step: what to record; it has run once, so that its memory and kernels are there.
        drawn: the blocks that it draws from each stream.

    Attributes:
        launches: what the graph does. They keep the memory alive that the graph uses.
    """

    def __init__(self, step: Callable[[], None], drawn: dict[Stream, int]) -> None:
        self.step = step
        self.drawn = drawn
        self.starts = zeros((max(1, len(drawn)),), "uint64")  # (streams,)
        self.each = asarray(np.array([*drawn.values()] or [0], np.uint64))  # (streams,)
        self.expected: list[int] = []  # the positions that the starts stand for
        self.graph: Any = None
        self.launches: list[Call] = []

    def __call__(self) -> None:
        if self.graph is None:
            self._record()
        positions = [stream.position for stream in self.drawn]
        if positions != self.expected:
            self.starts.set(np.array(positions or [0], np.uint64))
        self.expected = []  # if this call is interrupted, the next one writes the starts
        self.graph.launch()
        for stream, blocks in self.drawn.items():
            stream.advance(blocks)
        self.expected = [stream.position for stream in self.drawn]

    def _record(self) -> None:
        """Record the step: its kernels go into the graph, and none of them runs."""
        positions = [stream.position for stream in self.drawn]
        starts = {stream: self.starts[i : i + 1] for i, stream in enumerate(self.drawn)}
        listener = Listener(starts)
        with listening(listener):
            self.step()
            if self.drawn:
                streams = {"streams": len(self.drawn), "starts": self.starts, "drawn": self.each}
                launch("advance_streams", "float32", (1,), (THREADS,), streams)
        if listener.drawn != self.drawn:
            raise OrderError("a step drew other random numbers when it was recorded than before")
        for stream, position in zip(self.drawn, positions, strict=True):
            stream.position = position  # nothing was drawn yet
        assert listener.calls is not None
        self.launches = fuse(listener.calls)
        with explained(cupy):
            self.graph = record(self.launches)
