"""Random fills: what `minigan.backend.random` promises, drawn with NumPy's Philox."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeAlias

from minigan.backend.base import Array
from minigan.backend.numpy.pool import scratch
from minigan.backend.numpy.recording import live, np
from minigan.backend.random import UNIFORMS_PER_BLOCK, Ahead, Stream
from minigan.errors import ShapeError

Fill: TypeAlias = Callable[..., None]
Runs: TypeAlias = list[tuple[int, slice]]  # as those of `Share.runs`

# Fills of at most AHEAD_LARGEST numbers are drawn AHEAD_FILLS at a time: the overhead of a call is
# the cost of about a hundred numbers.
AHEAD_LARGEST = 1024
AHEAD_FILLS = 64
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
            members_of(out, stream)  # an error, unless it is contiguous
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
    members = members_of(out, stream)  # (S, n)
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


def members_of(out: Array, stream: Stream) -> Array:
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
