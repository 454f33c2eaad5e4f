"""Images: batches taken out of a data set, and the repetition of pixels."""

from __future__ import annotations

import functools

import numpy

from minigan.backend.base import Array
from minigan.backend.numpy.pool import scratch
from minigan.backend.numpy.recording import np
from minigan.backend.window import Pair


def take_rows(X: Array, index: Array, out: Array) -> None:
    """out (B, I) = the rows of X (N, I) at index (B,), which must lie in [0, N)"""
    np.take(X, index, axis=-2, out=out, mode="clip")  # "raise" would buffer the result


def take_pixels(X: Array, index: Array, out: Array) -> None:
    """out (B, I) = (X[index] - 127.5) / 127.5: bytes X (N, I) as numbers in [-1, 1]"""
    pixels = scratch(out.shape, "B")
    np.take(X, index, axis=-2, out=pixels, mode="clip")
    np.copyto(out, pixels)
    np.subtract(out, 127.5, out=out)
    np.multiply(out, 1.0 / 127.5, out=out)


def upsample(X: Array, size: Pair, factor: Pair, out: Array) -> None:
    """out (B, fh h fw w c) = each pixel of X (B, h w c) repeated in fh rows and fw columns"""
    (h, w), (fh, fw) = size, factor
    pixels = X.reshape(*X.shape[:-1], h, 1, w, 1, -1)  # (B, h, 1, w, 1, c), a view
    copies = out.reshape(*out.shape[:-1], h, fh, w, fw, -1)  # (B, h, fh, w, fw, c), a view
    np.copyto(copies, pixels)


def upsample_backward(dY: Array, size: Pair, factor: Pair, out: Array) -> None:
    """out (B, h w c) = the sum of dY (B, fh h fw w c) over the copies of each pixel"""
    (h, w), (fh, fw) = size, factor
    copies = dY.reshape(*dY.shape[:-1], h, fh, w, fw, -1)  # (B, h, fh, w, fw, c), a view
    pixels = out.reshape(*out.shape[:-1], h, w, -1)  # (B, h, w, c), a view
    for i in range(fh):
        for j in range(fw):
            if i == j == 0:
                np.copyto(pixels, copies[..., 0, :, 0, :])
            else:
                np.add(pixels, copies[..., i, :, j, :], out=pixels)


def move_images(
    X: Array,
    amounts: Array,
    size: Pair,
    zoom: float,
    shear: float,
    shift: float,
    background: float,
    out: Array,
) -> None:
    """out = each image of X (B, h w c), moved: zoomed, sheared and shifted by its own amounts.

    The pixel in row i and column j is that of X in the row and the column

        round(m + (i - m) (1 + zoom a_3) + shift a_4),                    m = (h - 1) / 2
        round(n + (j - n) (1 + zoom a_0) + shift a_2 + shear a_1 (i - m)),  n = (w - 1) / 2

    (halves to the even number), with the amounts a (B, 5) of the image; outside of X it is
    `background`.
    """
    (h, w), images = size, out.size // out.shape[-1]
    pixels = scratch((images * h * w, out.shape[-1] // (h * w)), out.dtype.char, 5)  # (B h w, c)
    made = scratch(pixels.shape, out.dtype.char, 6)  # (B h w, c)
    np.copyto(pixels.reshape(out.shape), X)
    a = scratch((images, 5, 1, 1), "d", 0)
    np.copyto(a.reshape(amounts.shape), amounts)
    y, x, starts = _grid(images, h, w)
    rows = scratch((images, h, 1), "d", 1)  # (B, h, 1), in which row of X
    sheared = scratch((images, h, 1), "d", 2)  # (B, h, 1)
    columns = scratch((images, 1, w), "d", 3)  # (B, 1, w)
    place = scratch((images, h, w), "d", 4)  # (B, h, w), in which column, then at which pixel
    full = scratch((images, h, w), "d", 7)  # (B, h, w), copied, since broadcasting sums allocate
    _scaled(a[:, 3], zoom, y, (h - 1) / 2, a[:, 4], shift, rows)
    _scaled(a[:, 0], zoom, x, (w - 1) / 2, a[:, 2], shift, columns)
    np.multiply(a[:, 1], shear, out=a[:, 1])
    np.multiply(a[:, 1], y, out=sheared)
    np.copyto(place, columns)
    np.copyto(full, sheared)
    np.add(place, full, out=place)
    np.rint(rows, out=rows)
    np.copyto(full, rows)
    np.rint(place, out=place)
    outside = scratch((images, h, w), "?", 0)  # (B, h, w)
    other = scratch((images, h, w), "?", 1)  # (B, h, w)
    np.less(place, 0, out=outside)
    for test, where, edge in (
        (np.greater, place, w - 1),
        (np.less, full, 0),
        (np.greater, full, h - 1),
    ):
        test(where, edge, out=other)
        np.logical_or(outside, other, out=outside)
    np.multiply(full, w, out=full)
    np.add(place, full, out=place)
    np.copyto(full, starts)
    np.add(place, full, out=place)
    np.copyto(place, 0.0, where=outside)  # may be too far away for an integer
    index = scratch((images, h, w), "q", 0)  # (B, h, w), of pixels
    np.copyto(index, place, casting="unsafe")
    np.take(pixels, index.reshape(-1), axis=0, out=made, mode="clip")
    np.copyto(made, background, where=outside.reshape(-1, 1))
    np.copyto(out, made.reshape(out.shape))


@functools.lru_cache(maxsize=16)
def _grid(images: int, h: int, w: int) -> tuple[Array, Array, Array]:
    """Rows (h, 1) and columns (w,) from the middle; each image's first pixel (images, 1, 1)."""
    y, x = (numpy.arange(n) - (n - 1) / 2 for n in (h, w))
    return y[:, None], x, numpy.arange(images)[:, None, None] * (h * w)


def _scaled(
    a: Array, zoom: float, x: Array, middle: float, b: Array, shift: float, out: Array
) -> None:
    """out = middle + x (1 + zoom a) + shift b; overwrites a and b"""
    np.multiply(a, zoom, out=a)
    np.add(a, 1.0, out=a)
    np.multiply(a, x, out=out)
    np.add(out, middle, out=out)
    np.multiply(b, shift, out=b)
    np.add(out, b, out=out)
