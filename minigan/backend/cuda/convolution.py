"""Convolution as a matrix product, and its two gradients.

The formulas are those of `minigan.backend.numpy.convolution`. At most BLOCK numbers of windows are
made at a time, in a temporary. For the input gradient a thread sums a pixel's numbers over all
windows, in a fixed order. Threads that added to the same pixel would do so in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minigan.backend.base import Array
from minigan.backend.cuda import layout
from minigan.backend.cuda.algebra import add, matmul
from minigan.backend.cuda.elementwise import for_each_number
from minigan.backend.cuda.memory import scratch
from minigan.backend.cuda.pixels import pixels, written_pixels
from minigan.backend.window import Window
from minigan.errors import ShapeError

#: Numbers of windows at a time: 64 MiB in float32. The windows of a single image may have more.
BLOCK = 16 * 2**20


def convolve(X: Array, W: Array, window: Window, out: Array) -> None:
    """out (B, oh ow o) = windows(X) W, for images X (B, h w c) and W (kh kw c, o)"""
    _check("convolve", X, W, out, window)
    for x, y in _blocks(window, W, X, out):
        with written_pixels(y, W.shape[-1]) as Y:  # (b oh ow, o)
            matmul(_windows(x, window), W, out=Y)


def convolve_weight_gradient(X: Array, dY: Array, window: Window, out: Array) -> None:
    """out (kh kw c, o) = windows(X)^T dY, for X (B, h w c) and dY (B, oh ow o)"""
    _check("convolve_weight_gradient", X, out, dY, window)
    for block, (x, dy) in enumerate(_blocks(window, out, X, dY)):
        part = scratch("part", out.shape, str(out.dtype)) if block else out
        matmul(_windows(x, window), pixels(dy, out.shape[-1]), out=part, transpose_A=True)
        if block:
            add(out, part, out=out)


def convolve_input_gradient(dY: Array, W: Array, window: Window, out: Array) -> None:
    """out (B, h w c) = windows^T(dY W^T), for dY (B, oh ow o) and W (kh kw c, o)"""
    _check("convolve_input_gradient", out, W, dY, window)
    for dy, dx in _blocks(window, W, dY, out):
        dwindows = _room(dx, window)
        matmul(pixels(dy, W.shape[-1]), W, out=dwindows, transpose_B=True)
        _launch("sum_windows", dx, dwindows, window, dx)


def _windows(X: Array, window: Window) -> Array:
    """windows(X) (B oh ow, kh kw c) of X (B, h w c), a temporary"""
    windows = _room(X, window)
    _launch("gather_windows", X, windows, window, windows)
    return windows


def _room(X: Array, window: Window) -> Array:
    """A temporary (B oh ow, kh kw c) for the windows of images X (B, h w c)"""
    (oh, ow), (*members, B, _) = window.places, X.shape
    return scratch("windows", (*members, B * oh * ow, window.values), str(X.dtype))


def _launch(name: str, X: Array, windows: Array, window: Window, out: Array) -> None:
    """Launch a kernel between images and their windows, for each number of `out`."""
    h, w, c, (kh, kw), (sh, sw), (ph, pw) = window
    oh, ow = window.places
    args = {"h": h, "w": w, "c": c, "kh": kh, "kw": kw, "sh": sh, "sw": sw, "ph": ph, "pw": pw}
    args |= {"oh": oh, "ow": ow, "windows": windows, **layout.matrices(X=X)}
    for_each_number(name, out, args)


def _blocks(window: Window, W: Array, *arrays: Array) -> Iterator[Any]:
    """Some rows of the arrays (..., B, F) at a time, so that their temporaries fit into BLOCK."""
    oh, ow = window.places
    numbers = layout.members(W) * oh * ow * max(W.shape[-2:])
    n = max(1, BLOCK // numbers)
    for start in range(0, arrays[0].shape[-2], n):
        yield [array[..., start : start + n, :] for array in arrays]


def _check(name: str, X: Array, W: Array, Y: Array, window: Window) -> None:
    """Raise an error unless images X (B, h w c), W (kh kw c, o) and Y (B, oh ow o) fit."""
    (oh, ow), o = window.places, W.shape[-1]
    images, made = (*X.shape[:-1], window.features), (*X.shape[:-1], oh * ow * o)
    weights = (*X.shape[:-2], window.values, o)
    if (X.shape, W.shape, Y.shape) != (images, weights, made):
        raise ShapeError(f"{name}: {X.shape}, {W.shape} and {Y.shape} do not fit {window}")
    layout.need_dtype(name, X.dtype, W, Y)
