"""Convolution as a matrix product, and its two gradients.

`windows(X)` has a row of kh kw c features for each place of the kernel in each image (see
`minigan.backend.window`). With it a convolution is one matrix product:

    Y = windows(X) W           X (B, h w c),  W (kh kw c, o),  Y (B, oh ow o)
    dW = windows(X)^T dY
    dX = windows^T(dY W^T)     windows^T adds each number of a window to the pixel it came from

The windows of an image take about kh kw / (sh sw) times its memory. So at most BLOCK numbers of
them are made at a time, in memory that all layers share. Backward makes them again.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator
from typing import Any, NamedTuple

from numpy.lib.stride_tricks import as_strided

from minigan.backend.base import Array
from minigan.backend.numpy.algebra import product
from minigan.backend.numpy.pixels import pixels, written_pixels
from minigan.backend.numpy.pool import scratch
from minigan.backend.numpy.recording import np
from minigan.backend.window import Pair, Window

#: Numbers of windows at a time: 2 MiB in float32, which stay in the caches of today's cores. The
#: windows of one image may be more.
BLOCK = 2**19
#: Adding a number of a window to its pixel takes as long as copying this many into a window.
SCATTER = 4
#: Numbers that are added to pixels at a time. NumPy adds arrays with gaps through buffers of up to
#: 8,192 numbers, which it takes for each call; smaller calls take less.
ADDED = 4096

# Slots of the temporaries.
WINDOWS, PADDED, PART, PIXELS = range(4)


def convolve(X: Array, W: Array, window: Window, out: Array) -> None:
    """out (B, oh ow o) = windows(X) W, for images X (B, h w c) and W (kh kw c, o)"""
    for images, weight, results in _members(X, W, out):
        for x, y in _blocks(_numbers(window), images, results):
            with written_pixels(y, weight.shape[1], PIXELS) as Y:  # (b oh ow, o)
                product(_windows(x, window), weight, Y)


def convolve_weight_gradient(X: Array, dY: Array, window: Window, out: Array) -> None:
    """out (kh kw c, o) = windows(X)^T dY, for X (B, h w c) and dY (B, oh ow o)"""
    for images, dimages, dweight in _members(X, dY, out):
        for block, (x, dy) in enumerate(_blocks(_numbers(window), images, dimages)):
            part = scratch(dweight.shape, dweight.dtype.char, PART) if block else dweight
            product(_windows(x, window).mT, pixels(dy, dweight.shape[1], PIXELS), part)
            if block:
                np.add(dweight, part, out=dweight)


def convolve_input_gradient(dY: Array, W: Array, window: Window, out: Array) -> None:
    """out (B, h w c) = windows^T(dY W^T), for dY (B, oh ow o) and W (kh kw c, o)

    There are two ways. Scattering computes dY W^T and adds its numbers to their pixels. The other
    way takes the pixels in phases. A phase has the pixels whose rows leave the same remainder when
    divided by the stride, and whose columns do, too. The same taps of the kernel reach all of them,
    so within a phase dX is the convolution of dY with these taps, turned around. Phases move more
    numbers if o > c, but copy them, whereas scattering adds them.
    """
    (oh, ow), c, o = window.places, window.channels, W.shape[-1]
    gradient, numbers = _by_scattering, max(_numbers(window), oh * ow * c * BLOCK // ADDED)
    if o <= SCATTER * c:
        gradient = _by_phases
        numbers = _numbers(window) * o // (c * math.prod(window.stride))
    for dimages, weight, results in _members(dY, W, out):
        for dy, dx in _blocks(numbers, dimages, results):
            gradient(dy, weight, window, _images(dx, window.height, window.width))


def _by_scattering(dY: Array, W: Array, window: Window, out: Array) -> None:
    """out (B, h, w, c) = windows^T(dY W^T), one tap of the kernel after the other"""
    (oh, ow), (kh, kw), (sh, sw) = window.places, window.kernel, window.stride
    (ph, pw), (B, h, w, c) = window.padding, out.shape
    dwindows = scratch((B * oh * ow, window.values), out.dtype.char, WINDOWS)
    product(pixels(dY, W.shape[1], PIXELS), W.mT, dwindows)
    dwindows = dwindows.reshape(B, oh, ow, kh, kw, c)
    padded = scratch((B, h + 2 * ph, w + 2 * pw, c), out.dtype.char, PADDED)
    np.copyto(padded, 0.0)
    for i in range(kh):
        for j in range(kw):
            under = padded[:, i : i + sh * oh : sh, j : j + sw * ow : sw]  # (B, oh, ow, c)
            np.add(under, dwindows[:, :, :, i, j], out=under)
    np.copyto(out, padded[:, ph : ph + h, pw : pw + w])


def _by_phases(dY: Array, W: Array, window: Window, out: Array) -> None:
    """out (B, h, w, c) = windows^T(dY W^T), one convolution for each pair of remainders"""
    kernel = W.reshape(*window.kernel, window.channels, -1)  # (kh, kw, c, o)
    all_rows, all_columns = map(
        _phases, out.shape[1:3], window.kernel, window.stride, window.padding
    )
    (top, bottom), (left, right) = map(_border, (all_rows, all_columns), window.places)
    images = _padded(_images(dY, *window.places), top, bottom, left, right)
    if any(map(operator.lt, window.kernel, window.stride)):  # no tap may reach some pixels
        np.copyto(out, 0.0)
    for rows, columns in itertools.product(all_rows, all_columns):
        dX = out[:, rows.pixels, columns.pixels]  # (B, m, n, c)
        taps = kernel[rows.taps, columns.taps].swapaxes(2, 3)  # (th, tw, o, c)
        first = images[:, rows.first + top :, columns.first + left :]
        windows = _gather(first, dX.shape[1:3], taps.shape[:2], (1, 1))  # (B m n, th tw o)
        weight = scratch(taps.shape, W.dtype.char, PART)
        np.copyto(weight, taps)
        result = scratch((len(windows), window.channels), W.dtype.char, PIXELS)  # (B m n, c)
        product(windows, weight.reshape(-1, window.channels), result)
        np.copyto(dX, result.reshape(dX.shape))


class Phase(NamedTuple):
    """Along one axis: the pixels with one remainder by the stride, and the taps that reach them.

    Tap i reaches pixel y from the place (y + padding - i) / stride, if that is a whole number.
    """

    pixels: slice  # of the image
    taps: slice  # of the kernel, the last first, so that their places ascend
    first: int  # the place of the first of these taps at the first of these pixels
    end: int  # the place after that of the last tap at the last pixel


def _phases(size: int, kernel: int, stride: int, padding: int) -> list[Phase]:
    """One phase for each remainder by the stride that has taps, on an axis of `size` pixels."""
    found = []
    for tap in range(min(kernel, stride)):
        remainder = (tap - padding) % stride
        pixels = range(remainder, size, stride)
        taps = range(tap, kernel, stride)[::-1]
        if not pixels:
            continue
        first = (remainder + padding - taps[0]) // stride
        end = first + len(pixels) - 1 + len(taps)
        turned = slice(taps[0], taps[-1] - 1 if taps[-1] else None, -stride)
        found.append(Phase(slice(remainder, size, stride), turned, first, end))
    return found


def _border(phases: list[Phase], places: int) -> Pair:
    """How many places of the phases lie before the first of an axis, and after the last."""
    before = max((-phase.first for phase in phases), default=0)
    return max(0, before), max((0, *(phase.end - places for phase in phases)))


def _windows(X: Array, window: Window) -> Array:
    """windows(X) (B oh ow, kh kw c) of X (B, h w c), a temporary"""
    images = _images(X, window.height, window.width)  # (B, h, w, c)
    ph, pw = window.padding
    if ph or pw:
        images = _padded(images, ph, ph, pw, pw)
    return _gather(images, window.places, window.kernel, window.stride)


def _gather(X: Array, places: Pair, kernel: Pair, stride: Pair) -> Array:
    """The windows (B m n, kh kw c) in (m, n) places of images X (B, h, w, c), a temporary"""
    (m, n), (kh, kw), (sh, sw) = places, kernel, stride
    sh, sw = min(sh, X.shape[1]), min(sw, X.shape[2])  # with a longer one there is one place
    of_image, of_row, of_column, of_channel = X.strides
    strides = (of_image, sh * of_row, sw * of_column, of_row, of_column, of_channel)
    shape = (len(X), m, n, kh, kw, X.shape[3])
    windows = scratch((len(X) * m * n, kh * kw * X.shape[3]), X.dtype.char, WINDOWS)
    np.copyto(windows.reshape(shape), as_strided(X, shape, strides))
    return windows


def _padded(X: Array, top: int, bottom: int, left: int, right: int) -> Array:
    """Images X (B, h, w, c) with rows and columns of zeros around them, a temporary"""
    B, h, w, c = X.shape
    padded = scratch((B, top + h + bottom, left + w + right, c), X.dtype.char, PADDED)
    rows, columns = slice(top, top + h), slice(left, left + w)
    np.copyto(padded[:, :top], 0.0)
    np.copyto(padded[:, top + h :], 0.0)
    np.copyto(padded[:, rows, :left], 0.0)
    np.copyto(padded[:, rows, left + w :], 0.0)
    np.copyto(padded[:, rows, columns], X)
    return padded


def _numbers(window: Window) -> int:
    """Numbers in the windows of one image."""
    oh, ow = window.places
    return oh * ow * window.values


def _blocks(numbers: int, *arrays: Array) -> Iterator[Any]:
    """Some rows of the arrays at a time, so that windows of `numbers` each fit into BLOCK."""
    n = max(1, BLOCK // max(1, numbers))
    for start in range(0, len(arrays[0]), n):
        yield [array[start : start + n] for array in arrays]


def _members(*arrays: Array) -> Any:
    """The arrays of each member of a population, or of the one network."""
    return zip(*arrays, strict=True) if arrays[0].ndim == 3 else [arrays]


def _images(X: Array, height: int, width: int) -> Array:
    """Rows X (B, h w c) as images (B, h, w, c), a view even if there are gaps between the rows"""
    return X.reshape(len(X), height, width, -1)
