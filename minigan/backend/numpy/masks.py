"""Dropout masks: a decision for each number, from random bytes that are used twice."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from minigan.backend.base import Array
from minigan.backend.numpy.fills import members_of
from minigan.backend.numpy.pool import scratch
from minigan.backend.numpy.recording import live, np
from minigan.backend.random import WORDS_PER_BLOCK, Stream
from minigan.backend.share import Share

# Raw words are drawn in chunks of this size, since NumPy returns them only in new memory.
RAW_WORDS_CHUNK = 2048
BYTES_PER_BLOCK = 8 * WORDS_PER_BLOCK


@live
def fill_dropout_mask(stream: Stream, rate: float, out: Array) -> None:
    """out = 0 with probability rate, else 1 / (1 - rate), each from 16 random bits.

    The rate is rounded to a multiple of 2^-16 and the scale follows it, so the mean is
    exactly one.

    Random words are half of a mask's cost, so every byte is used twice: a ring of bytes b is read
    as 16-bit numbers b[0:2], b[2:4] ... for the first half of the decisions, and as b[1:3], b[3:5]
    ... for the second. The second byte of a number weighs 256 times as much as the first, so each
    decision has a byte of its own that decides it except in one case of 256. If there are more
    than two decisions, the correlation of two of them is at most 1/256.
    """
    threshold = min(round(rate * 65536), 65535)
    scale = 65536 / (65536 - threshold)
    members = members_of(out, stream)  # (S, n), of which a share makes no other decisions
    plan = _ring(out.shape[-2:], stream.share)
    words = scratch((plan.blocks * WORDS_PER_BLOCK + 1,), "Q")
    ring = words.view(np.uint8)  # and behind it its first byte again
    kept = scratch(members.shape[1:], "?")  # (n,)
    for member, generator in zip(members, stream.generators(plan.blocks), strict=True):
        philox: Any = generator.bit_generator
        for skipped, start, stop in plan.drawn:
            if skipped:
                philox.advance(skipped)
            words[start:stop] = philox.random_raw(stop - start)
        ring[plan.bytes] = ring[0]
        for numbers, place in plan.decisions:
            np.greater_equal(ring[place].view(np.uint16), threshold, out=kept[numbers])
        np.copyto(member, kept)
        np.multiply(member, scale, out=member)


class _Ring(NamedTuple):
    """The ring of random bytes of a mask, of which a share uses a part.

    Attributes:
        blocks: that the stream moves on by.
        bytes: of the ring.
        drawn: the words that are used, in pieces: the blocks to skip before, the first word, the
            one after the last. The last piece may be empty, if blocks are left.
        decisions: some of the mask's numbers, and the bytes that decide them.
    """

    blocks: int
    bytes: int
    drawn: list[tuple[int, int, int]]
    decisions: list[tuple[slice, slice]]


@functools.lru_cache(maxsize=256)
def _ring(shape: tuple[int, int], share: Share | None) -> _Ring:
    """How a mask (rows, features) is drawn; with a share, of those rows of a whole one."""
    n = math.prod(shape if share is None else share.whole(shape))
    runs = [(0, slice(0, n))] if share is None else share.runs(shape)
    half = -(-n // 2)
    blocks = -(-2 * half // BYTES_PER_BLOCK)
    decisions = []
    for first, place in runs:
        cut = min(max(place.start + half - first, place.start), place.stop)
        for start, stop, odd in ((place.start, cut, 0), (cut, place.stop, 1)):
            if start < stop:
                byte = 2 * (first + start - place.start - half * odd) + odd
                decisions.append((slice(start, stop), slice(byte, byte + 2 * (stop - start))))
    used = [range(p.start // BYTES_PER_BLOCK, -(-p.stop // BYTES_PER_BLOCK)) for _, p in decisions]
    if any(place.stop > 2 * half for _, place in decisions):
        used.append(range(1))  # the byte behind the ring is its first
    return _Ring(blocks, 2 * half, [*_pieces(used, blocks)], decisions)


def _pieces(used: list[range], blocks: int) -> Iterator[tuple[int, int, int]]:
    """`_Ring.drawn`, of the blocks that are used."""
    done = 0
    for some in sorted(used, key=lambda some: some.start):
        first, end = max(some.start, done), min(some.stop, blocks)
        while first < end:
            stop = min(first + RAW_WORDS_CHUNK // WORDS_PER_BLOCK, end)
            yield first - done, first * WORDS_PER_BLOCK, stop * WORDS_PER_BLOCK
            first = done = stop
    if done < blocks:
        yield blocks - done, blocks * WORDS_PER_BLOCK, blocks * WORDS_PER_BLOCK
