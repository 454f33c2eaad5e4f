"""Random fills: what `minigan.backend.random` promises, drawn with NumPy's Philox."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

from minigan.backend.base import Array
from minigan.backend.numpy.pool import scratch
from minigan.backend.numpy.recording import live, np
from minigan.backend.random import UNIFORMS_PER_BLOCK, WORDS_PER_BLOCK, Ahead, Stream
from minigan.backend.share import Share
from minigan.errors import ShapeError

Fill: TypeAlias = Callable[..., None]
Runs: TypeAlias = list[tuple[int, slice]]  # as those of `Share.runs`

# Raw words are drawn in chunks of this size, since NumPy returns them only in new memory.
RAW_WORDS_CHUNK = 2048
# Fills of at most AHEAD_LARGEST numbers are drawn AHEAD_FILLS at a time: the overhead of a call is
# the cost of about a hundred numbers.
AHEAD_LARGEST = 1024
AHEAD_FILLS = 64
BYTES_PER_BLOCK = 8 * WORDS_PER_BLOCK
# NumPy sorts into new memory. So few numbers are sorted at a time.
SORTED_NUMBERS = 2048


def of_share(keep: Callable[..., None]) -> Callable[[Fill], Fill]:
    """For a fill of which, if the stream has a share, `keep` draws the share's rows alone.

    They are those of a whole fill, so what is drawn does not depend on how many processes there
    are.
    """

    def decorate(fill: Fill) -> Fill:
        @functools.wraps(fill)
        def draw(stream: Stream, *settings: Any, out: Array) -> None:
            if stream.share is None:
                fill(stream, *settings, out=out)
                return
            _members(out, stream)  # an error, unless it is contiguous
            shape = stream.share.whole(out.shape)  # (k batch, F)
            runs = stream.share.runs(out.shape)
            keep(stream, functools.partial(fill, stream, *settings), shape, runs, out)

        return draw

    return decorate


def rows_of_whole(
    stream: Stream, fill: Fill, shape: tuple[int, ...], runs: Runs, out: Array
) -> None:
    """Fill a whole one of this shape, and keep the share's rows."""
    whole = scratch(shape, out.dtype.char, "whole")
    fill(out=whole)
    drawn, kept = whole.reshape(-1), out.reshape(-1)
    for first, place in runs:
        np.copyto(kept[place], drawn[first : first + kept[place].size])


def rows_by_block(
    stream: Stream, fill: Fill, shape: tuple[int, ...], runs: Runs, out: Array
) -> None:
    """Where a number depends on one block alone: begin at the first block of each run of rows."""
    kept, start = out.reshape(-1), stream.position
    for first, place in runs:
        blocks, before = divmod(first, UNIFORMS_PER_BLOCK)
        drawn = scratch((1, before + kept[place].size), out.dtype.char, "drawn")
        stream.advance(start + blocks - stream.position)
        fill(out=drawn)
        np.copyto(kept[place], drawn[0, before:])
    end = start + -(-math.prod(shape) // UNIFORMS_PER_BLOCK)
    stream.advance(end - stream.position)


@live
@of_share(rows_by_block)
def fill_uniform(stream: Stream, low: float, high: float, out: Array) -> None:
    """out = uniform numbers in [low, high), up to rounding; `out` is contiguous by member"""

    def transform(u: Array, rows: Array) -> None:
        np.multiply(u, high - low, out=rows)
        if low != 0.0:
            np.add(rows, low, out=rows)

    _fill(stream, ("uniform", low, high), 1, transform, out)


@live
@of_share(rows_of_whole)
def fill_stratified(stream: Stream, low: float, high: float, out: Array) -> None:
    """out (B, F) = in each column, one uniform number from each of B equal parts of [low, high)

    low + (high - low) (k + u) / B, with u uniform, and k the rank of a second uniform number in its
    column. (Of equal numbers the first ranks lower.)
    """
    strata, columns = out.shape[-2:]

    def transform(u: Array, rows: Array) -> None:
        n = rows.shape[1]
        keys = u[:, :n].reshape(-1, strata, columns)  # (K, B, F)
        values = rows.reshape(keys.shape)  # (K, B, F)
        for start in range(0, len(keys), fills_at_a_time):
            some = slice(start, start + fills_at_a_time)
            order = np.argsort(keys[some], axis=-2, kind="stable")
            np.put_along_axis(values[some], order, ranks, axis=-2)
        np.add(rows, u[:, u.shape[1] // 2 :][:, :n], out=rows)
        np.multiply(rows, (high - low) / strata, out=rows)
        if low != 0.0:
            np.add(rows, low, out=rows)

    ranks = np.arange(strata)[:, None]  # (B, 1)
    fills_at_a_time = max(1, SORTED_NUMBERS // (strata * columns))
    _fill(stream, ("stratified", low, high), UNIFORMS_PER_BLOCK, transform, out, times=2)


@live
@of_share(rows_by_block)
def fill_normal(stream: Stream, mean: float, std: float, out: Array) -> None:
    """out = mean + std z with z standard normal, by Box and Muller's transform.

    A pair of uniforms gives a pair of normals: r cos(a) and r sin(a) with
    r = sqrt(-2 log(1 - u1)) and a = 2 pi u2. With 24-bit uniforms |z| <= 5.77.
    """

    def transform(u: Array, rows: Array) -> None:
        shape, dtype = (u.shape[0], u.shape[1] // 2), rows.dtype.char
        r = scratch(shape, dtype, 1)  # (K, pairs)
        a = scratch(shape, dtype, 2)  # (K, pairs)
        z = scratch((*shape, 2), dtype, 3)  # (K, pairs, 2)
        np.subtract(1.0, u[:, 0::2], out=r)
        np.log(r, out=r)
        np.multiply(r, -2.0, out=r)
        np.sqrt(r, out=r)
        np.multiply(u[:, 1::2], 2.0 * np.pi, out=a)
        np.cos(a, out=z[..., 0])
        np.sin(a, out=z[..., 1])
        np.multiply(z, r[..., None], out=z)
        np.multiply(z.reshape(u.shape)[:, : rows.shape[1]], std, out=rows)
        np.add(rows, mean, out=rows)

    _fill(stream, ("normal", mean, std), 2, transform, out)


@live
def fill_mixture(stream: Stream, centres: Array, std: float, out: Array) -> None:
    """out (B, F) = c + std z: c a row of centres (K, F), each equally likely, z standard normal

    The row is floor(K u) with u uniform in [0, 1). All u of a fill are drawn before its z.
    """
    place = scratch((*out.shape[:-1], 1), out.dtype.char, 5)  # (B, 1)
    index = scratch(out.shape[:-1], "q", 5)  # (B,)
    rows = scratch(out.shape, out.dtype.char, 6)  # (B, F)
    fill_uniform(stream, 0.0, len(centres), out=place)
    np.copyto(index, place[..., 0], casting="unsafe")
    np.take(centres, index, axis=0, out=rows, mode="clip")
    fill_normal(stream, 0.0, std, out=out)
    np.add(out, rows, out=out)


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
    members = _members(out, stream)  # (S, n), of which a share makes no other decisions
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
            byte = 2 * (first + start - place.start - half * odd) + odd
            decisions.append((slice(start, stop), slice(byte, byte + 2 * (stop - start))))
    decisions = [(numbers, place) for numbers, place in decisions if numbers.start < numbers.stop]
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


@live
def fill_permutation(stream: Stream, out: Array) -> None:
    """out (N,) int64 = the order that sorts N random 64-bit words: a permutation of 0 to N - 1"""
    np.copyto(out, np.argsort(stream.words(out.size)[0], kind="stable"))


def _fill(
    stream: Stream,
    kind: tuple[Any, ...],
    multiple: int,
    transform: Callable[[Array, Array], None],
    out: Array,
    times: int = 1,
) -> None:
    """Fill each member's part of `out` with its next uniforms, transformed.

    A stream is a function of its position, so its next fills are known in advance. Where small
    fills of one kind follow each other, many are drawn at a time and kept until their turn.

    Args:
        kind: identifies the transform.
        multiple: the number of uniforms is rounded up to a multiple of it (2 for pairs).
        transform: turns uniforms (K, n rounded up) into K fills (K, n).
        out: (B, F), or (S, B, F) for a population.
        times: how many uniforms each number is made of.
    """
    ahead = stream.ahead
    ready = None if ahead is None else ahead.take(kind, out, stream)
    if ready is not None:
        np.copyto(out, ready)
        return
    members = _members(out, stream)  # (S, n)
    n, dtype = members.shape[1], members.dtype.char
    drawn = times * -(-n // multiple) * multiple
    blocks = -(-drawn // UNIFORMS_PER_BLOCK)
    start = stream.position
    again = (kind, out.shape, dtype, start) == stream.expected  # it follows one like it
    stream.expected = (kind, out.shape, dtype, start + blocks)
    if members.size > AHEAD_LARGEST or not again:
        for member, generator in zip(members, stream.generators(blocks), strict=True):
            transform(_uniforms(generator, 1, blocks, drawn, dtype), member[None])
        return
    if ahead is None or ahead.fills.shape[1:] != out.shape or ahead.fills.dtype != out.dtype:
        ahead = stream.ahead = Ahead(np.empty((AHEAD_FILLS, *out.shape), dtype))
    ahead.kind = ()  # while the fills are being written, none may be taken
    rows = ahead.fills.reshape(AHEAD_FILLS, *members.shape)  # (K, S, n), a view
    try:
        for i, generator in enumerate(stream.generators(blocks * AHEAD_FILLS)):
            transform(_uniforms(generator, AHEAD_FILLS, blocks, drawn, dtype), rows[:, i])
    finally:
        stream.position = start
    ahead.kind, ahead.start, ahead.blocks = kind, start, blocks
    np.copyto(out, ahead.take(kind, out, stream))


def _uniforms(generator: Any, fills: int, blocks: int, drawn: int, dtype: str) -> Array:
    """The uniforms (fills, drawn) of `fills` fills of `blocks` blocks each.

    NumPy's float32 uniforms are the high 24 bits of each 32-bit half, low half first, as
    `minigan.backend.random` promises.
    """
    u = scratch((fills, blocks * UNIFORMS_PER_BLOCK), "f")
    generator.random(out=u, dtype=np.float32)
    if dtype == "f":
        return u[:, :drawn]
    wide = scratch((fills, drawn), dtype, 4)
    np.copyto(wide, u[:, :drawn])
    return wide


def _members(out: Array, stream: Stream) -> Array:
    """`out` as (S, n), a row for each member: a view, or an error if only a copy is possible."""
    if math.prod(out.shape[:-2]) != len(stream.seeds):
        raise ShapeError(
            f"stream {stream.name!r} has {len(stream.seeds)} seeds; "
            f"an array of shape {out.shape} belongs to {math.prod(out.shape[:-2])} networks"
        )
    members = out.reshape(len(stream.seeds), -1)
    if not np.may_share_memory(members, out):
        raise ShapeError(f"a random fill needs contiguous memory; this {out.shape} is strided")
    return members
