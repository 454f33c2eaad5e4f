"""Randomness as a counter: named streams of Philox4x64-10.

A usual generator is a machine whose state changes with every draw. A counter-based
one (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC 2011) is a function: block number in, four random 64-bit words out. So

* a stream's whole state is one integer, its position in blocks, and a resumed run
  continues to the bit;
* every consumer (the weights, each noise, each dropout) has a stream of its own, so
  adding one changes none of the others;
* a GPU thread can compute block 7,000,000 without the ones before it.

How words become numbers (the same on every device):

* uniforms take the high 24 bits of each 32-bit half, low half first: k / 2^24 in [0, 1);
* normals come from pairs of uniforms by Box-Muller;
* a dropout decision looks at 16 bits, and shares 8 of them with another.

Every fill starts at a fresh block, so what a fill draws depends only on the position.
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

WORDS_PER_BLOCK = 4  # Philox4x64 makes four 64-bit words a block

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
    """The next fills of a stream, made before their turn; a cache, and no state.

    Args:
        fills: (K, B, F), or (K, S, B, F) for a population: memory for K fills.
    """

    def __init__(self, fills: Any) -> None:
        self.fills = fills
        self.each = list(fills)  # K views
        self.renew((), 0, 1)

    def renew(self, kind: tuple[Any, ...], start: int, blocks: int) -> None:
        """The fills are now those of a kind, from a position on, so many blocks each."""
        self.kind = kind
        self.start = start
        self.blocks = blocks
        self.turn = 0
        self.position = start  # of the stream, when it is this turn

    def has(self, kind: tuple[Any, ...], out: Any, stream: Stream) -> bool:
        """Whether the stream's next fill of this kind and shape is here."""
        if kind != self.kind or out.shape != self.each[0].shape or out.dtype != self.fills.dtype:
            return False
        if stream.position != self.position:  # it jumped
            self.turn, between = divmod(stream.position - self.start, self.blocks)
            self.position = stream.position
            if between:
                self.turn = -1
        return 0 <= self.turn < len(self.each)

    def take(self, stream: Stream) -> Any:
        """The fill (B, F) whose turn it is; the stream moves on past it."""
        fill = self.each[self.turn]
        self.turn += 1
        self.position += self.blocks
        stream.advance(self.blocks)
        return fill


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
        self._generators_at = -1  # the position that the generators stand at
        self.ahead: Ahead | None = None
        self.expected: tuple[Any, ...] = ()  # the fill that would make it worth drawing ahead
        self.position = position

    @property
    def position(self) -> int:
        return self._position

    @position.setter
    def position(self, position: int) -> None:
        self._position = whole(f"stream {self.name!r}: position", position, 0)

    def advance(self, blocks: int) -> None:
        """Move on past so many blocks."""
        self._position += blocks

    def generators(self, blocks: int) -> list[np.random.Generator]:
        """One NumPy generator a member, at this position; then move on past `blocks` blocks.

        The caller must draw just so many blocks from each of them. NumPy raises its counter
        before it makes a block, so block p of a stream is Philox4x64-10 at counter p + 1.
        """
        if self._generators_at != self._position:
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

    def __repr__(self) -> str:
        return f"Stream(seed={self.seeds}, name={self.name!r}, position={self.position})"
