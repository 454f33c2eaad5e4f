"""Randomness as a counter: named streams of Philox4x64-10.

The state of most generators changes with every draw. A counter-based generator (Salmon, Moraes,
Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011) is a function: block number
in, four random 64-bit words out. So

* a stream's whole state is one integer, its position in blocks, and a resumed run continues to the
  bit;
* every consumer (the weights, each noise, each dropout) has its own stream, so adding one does not
  change the others;
* a GPU thread can compute block 7,000,000 without the blocks before it.

How words become numbers (the same on every device):

* uniforms take the high 24 bits of each 32-bit half, low half first: k / 2^24 in [0, 1);
* normals come from pairs of uniforms by Box-Muller;
* a dropout decision uses 16 bits, and shares 8 of them with another decision.

Every fill starts at a new block, so what it draws depends only on the position.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan.checks import whole
from minigan.errors import ConfigError

if TYPE_CHECKING:
    import numpy.typing as npt

    from minigan.backend.share import Share

WORDS_PER_BLOCK = 4  # Philox4x64 makes four 64-bit words a block
UNIFORMS_PER_BLOCK = 2 * WORDS_PER_BLOCK  # two 24-bit uniforms a word

#: One seed, or one seed for each member of a population.
Seeds = int | Sequence[int]


def as_seeds(seed: Seeds) -> tuple[int, ...]:
    """Return the seeds as a tuple of non-negative integers; raise `ConfigError` otherwise."""
    try:
        if isinstance(seed, (str, bytes)):
            raise TypeError
        members = seed if isinstance(seed, Sequence) else (seed,)
        seeds = tuple(operator.index(s) for s in members)
    except TypeError:
        raise ConfigError(
            f"seed must be an integer or a sequence of integers, not {seed!r}"
        ) from None
    if not seeds or min(seeds) < 0:
        raise ConfigError(f"seeds must be non-negative integers, not {seed!r}")
    return seeds


def plain_seeds(seed: Seeds) -> int | list[int]:
    """The seed as a plain int, or a population's as a list of them: what JSON can hold."""
    seeds = as_seeds(seed)
    return list(seeds) if isinstance(seed, Sequence) else seeds[0]


def stream_key(seed: int, name: str) -> npt.NDArray[np.uint64]:
    """The Philox key of a stream: the first 128 bits of SHA-256("minigan/{seed}/{name}").

    Returns:
        (2,) uint64, little-endian words, low word first.
    """
    digest = hashlib.sha256(f"minigan/{seed}/{name}".encode()).digest()
    return np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)


class Ahead:
    """The next K fills of a stream, drawn in advance. It is a cache, not part of the state.

    Args:
        fills: (K, B, F), or (K, S, B, F) for a population: the memory for them.

    Attributes:
        kind: identifies what was drawn; () if nothing was.
        start: the position of the stream at the first fill.
        blocks: the blocks of a fill.
    """

    def __init__(self, fills: Any) -> None:
        self.fills = fills
        self.each = list(fills)  # K views
        self.kind: tuple[Any, ...] = ()
        self.start = 0
        self.blocks = 1

    def take(self, kind: tuple[Any, ...], out: Any, stream: Stream) -> Any:
        """The stream's next fill of this kind, like `out`; the stream moves past it. Else None."""
        if kind != self.kind or out.shape != self.each[0].shape or out.dtype != self.fills.dtype:
            return None
        turn, between = divmod(stream.position - self.start, self.blocks)
        if between or not 0 <= turn < len(self.each):
            return None
        stream.advance(self.blocks)
        return self.each[turn]


class Stream:
    """A named stream of random words for one seed, or one for each member of a population.

    Args:
        seed: a non-negative integer, or a sequence of S of them. Member k of a population
            draws exactly what a single stream with seed[k] draws.
        name: the consumer's name, such as "generator/noise".
        position: the block to start at, >= 0.

    Attributes:
        position: the number of blocks consumed. Assign to it to jump; this one integer
            is the whole state.
    """

    def __init__(self, seed: Seeds, name: str, position: int = 0) -> None:
        self.seeds = as_seeds(seed)
        self.name = name
        self.keys = [stream_key(s, name) for s in self.seeds]  # S arrays (2,) uint64
        self._generators: list[np.random.Generator] = []
        self._generators_at = -1  # the generators' position
        self.ahead: Ahead | None = None
        self.expected: tuple[Any, ...] = ()  # where this is the next fill, it pays to draw ahead
        #: Where several processes take a step together: which rows of a fill this one keeps.
        self.share: Share | None = None
        self.position = position

    @property
    def position(self) -> int:
        return self._position

    @position.setter
    def position(self, position: int) -> None:
        self._position = whole(f"stream {self.name!r}: position", position, 0)

    def advance(self, blocks: int) -> None:
        """Move past `blocks` blocks."""
        self._position += blocks

    def generators(self, blocks: int) -> list[np.random.Generator]:
        """A NumPy generator for each member, at this position; the stream moves past `blocks`.

        The caller must draw exactly `blocks` blocks from each generator. NumPy increments its
        counter before it makes a block, so block p of a stream is Philox4x64-10 at counter p + 1.
        """
        ahead = self._position - self._generators_at
        if self._generators and ahead > 0:
            for generator in self._generators:
                philox: Any = generator.bit_generator
                philox.advance(ahead)
        elif ahead:
            self._generators = [
                np.random.Generator(np.random.Philox(key=key, counter=self._position))
                for key in self.keys
            ]
        self._position += blocks
        self._generators_at = self._position
        return self._generators

    def words(self, n: int) -> npt.NDArray[np.uint64]:
        """The next n raw words of each member, on the host: (S, n) uint64."""
        blocks = -(-n // WORDS_PER_BLOCK)
        words = [
            generator.bit_generator.random_raw(blocks * WORDS_PER_BLOCK)[:n]
            for generator in self.generators(blocks)
        ]
        return np.stack(words)

    def __reduce__(self) -> tuple[type[Stream], tuple[Any, ...]]:
        """A copy, or a pickle, has the state and none of the caches."""
        return Stream, (self.seeds, self.name, self._position)

    def __repr__(self) -> str:
        return f"Stream(seed={self.seeds}, name={self.name!r}, position={self.position})"
