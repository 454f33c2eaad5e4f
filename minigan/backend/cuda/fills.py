"""Random fills: the bits of a counter-based stream. See kernels/random.cu."""

from __future__ import annotations

import math
from weakref import WeakKeyDictionary

import cupy
import numpy as np

from minigan.backend.base import Array
from minigan.backend.cuda.elementwise import for_each_number
from minigan.backend.cuda.launching import (
    THREADS,
    Listener,
    current_listener,
    grid_for,
    launch,
)
from minigan.backend.cuda.layout import (
    axes_together,
    matrices,
    member_distance,
    need_dtype,
    need_no_gaps,
)
from minigan.backend.cuda.memory import asarray, empty, scratch
from minigan.backend.random import UNIFORMS_PER_BLOCK, WORDS_PER_BLOCK, Stream
from minigan.errors import OrderError, ShapeError

FILLING = 64  # threads of a block: each has much to do, and so they get more multiprocessors
_DECISIONS_PER_BLOCK = 2 * 4 * WORDS_PER_BLOCK  # two halves of 16-bit numbers: see random.cu


def fill_uniform(stream: Stream, low: float, high: float, out: Array) -> None:
    """out = uniform numbers in [low, high), up to rounding; `out` is contiguous by member"""
    _fill("fill_uniform", stream, UNIFORMS_PER_BLOCK, out, low=low, width=high - low)


def fill_stratified(stream: Stream, low: float, high: float, out: Array) -> None:
    """out (B, F) = in each column, one uniform number from each of B equal parts of [low, high)

    low + (high - low) (k + u) / B, with u uniform, and k the rank of a second uniform number in its
    column. (Of equal numbers the first ranks lower.)
    """
    keys = scratch("keys", out.shape, str(out.dtype))  # (B, F)
    fill_uniform(stream, 0.0, 1.0, out=keys)
    fill_uniform(stream, 0.0, 1.0, out=out)
    rows, columns = out.shape[-2:]
    args = {"rows": rows, "columns": columns, "keys": keys, "out": out, "low": low}
    args |= {"out_member": member_distance(out), "part": (high - low) / rows}
    for_each_number("stratify", out, args)


def fill_normal(stream: Stream, mean: float, std: float, out: Array) -> None:
    """out = mean + std z with z standard normal, by Box and Muller's transform."""
    _fill("fill_normal", stream, UNIFORMS_PER_BLOCK, out, mean=mean, std=std)


def fill_mixture(stream: Stream, centres: Array, std: float, out: Array) -> None:
    """out (B, F) = c + std z: c a row of centres (K, F), each equally likely, z standard normal"""
    place = empty((*out.shape[:-1], 1), str(out.dtype))  # (B, 1)
    fill_uniform(stream, 0.0, len(centres), out=place)
    fill_normal(stream, 0.0, std, out=out)
    if centres.ndim != 2 or centres.shape[1] != out.shape[-1]:
        raise ShapeError(f"fill_mixture: centres {centres.shape} do not fit {out.shape}")
    need_dtype("fill_mixture", out.dtype, centres)
    need_no_gaps("fill_mixture", centres)
    args = {"features": out.shape[-1], "centres": centres, **matrices(out=out, place=place)}
    for_each_number("add_centres", out, args)


def fill_dropout_mask(stream: Stream, rate: float, out: Array) -> None:
    """out = 0 with probability rate, else 1 / (1 - rate), each from 16 random bits."""
    threshold = min(round(rate * 65536), 65535)
    scale = 65536 / (65536 - threshold)
    _fill("fill_dropout_mask", stream, _DECISIONS_PER_BLOCK, out, threshold=threshold, scale=scale)


def fill_permutation(stream: Stream, out: Array) -> None:
    """out (N,) int64 = 0 to N - 1 in a random order: the one that sorts N random 64-bit words"""
    if current_listener() is not None:
        raise OrderError("CuPy cannot sort inside of a captured step")
    blocks = -(-out.size // WORDS_PER_BLOCK)
    words = empty((blocks * WORDS_PER_BLOCK,), "uint64")  # (N rounded up,)
    args = {"members": 1, "blocks": blocks, "keys": _keys_of(stream), "out": words}
    args |= Listener().draw(stream, blocks)
    launch("fill_words", "float32", grid_for(blocks), (THREADS,), args)
    cupy.copyto(out, cupy.argsort(words[: out.size]))


#: Each stream's keys (S, 2) uint64 on the GPU.
_keys: WeakKeyDictionary[Stream, Array] = WeakKeyDictionary()


def _keys_of(stream: Stream) -> Array:
    keys = _keys.get(stream)
    if keys is None:
        keys = _keys[stream] = asarray(np.stack(stream.keys))
    return keys


def _fill(name: str, stream: Stream, per_block: int, out: Array, **numbers: float) -> None:
    """Launch a fill: a thread makes a block of random words, and `per_block` numbers of it."""
    members = len(stream.seeds)
    if math.prod(out.shape[:-2]) != members:
        raise ShapeError(
            f"stream {stream.name!r} has {members} seeds; "
            f"an array of shape {out.shape} belongs to {math.prod(out.shape[:-2])} networks"
        )
    if axes_together(out) < 2:
        raise ShapeError(f"a random fill needs contiguous memory; {out.shape} given is strided")
    if not out.size:
        return
    n = out.size // members
    blocks = -(-n // per_block)
    args = {"members": members, "n": n, "blocks": blocks, "keys": _keys_of(stream)}
    args |= (current_listener() or Listener()).draw(stream, blocks)
    args |= {"out": out, "row": member_distance(out), **numbers}
    launch(name, out.dtype, grid_for(members * blocks, FILLING), (FILLING,), args)
