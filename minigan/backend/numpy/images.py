"""Images: batches taken out of a data set, and the repetition of pixels."""

from __future__ import annotations

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
