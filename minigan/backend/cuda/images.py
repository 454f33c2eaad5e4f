"""Images: batches taken out of a data set, and the repetition of pixels."""

from __future__ import annotations

from minigan.backend.base import Array
from minigan.backend.cuda import layout
from minigan.backend.cuda.elementwise import for_each_number
from minigan.backend.cuda.launching import THREADS, grid_for, launch
from minigan.backend.window import Pair
from minigan.errors import ShapeError


def take_rows(X: Array, index: Array, out: Array) -> None:
    """out (B, I) = the rows of X (N, I) at index (B,), which must lie in [0, N)"""
    _take("take_rows", X, index, out)


def take_pixels(X: Array, index: Array, out: Array) -> None:
    """out (B, I) = (X[index] - 127.5) / 127.5: bytes X (N, I) as numbers in [-1, 1]"""
    _take("take_pixels", X, index, out)


def _take(name: str, X: Array, index: Array, out: Array) -> None:
    if X.ndim != 2 or index.shape != out.shape[:1] or out.shape[1:] != X.shape[1:]:
        raise ShapeError(f"{name}: rows {index.shape} of {X.shape} do not make {out.shape}")
    layout.need_no_gaps(name, X, index, out)
    if out.size:
        args = {"out": out, "X": X, "index": index, "n": out.size, "features": X.shape[1]}
        launch(name, out.dtype, grid_for(out.size), (THREADS,), args)


def upsample(X: Array, size: Pair, factor: Pair, out: Array) -> None:
    """out (B, fh h fw w c) = each pixel of X (B, h w c) repeated in fh rows and fw columns"""
    _upsample("upsample", size, factor, X, out, out=out, X=X)


def upsample_backward(dY: Array, size: Pair, factor: Pair, out: Array) -> None:
    """out (B, h w c) = the sum of dY (B, fh h fw w c) over the copies of each pixel"""
    _upsample("upsample_backward", size, factor, out, dY, out=out, dY=dY)


def _upsample(
    name: str, size: Pair, factor: Pair, small: Array, large: Array, **arrays: Array
) -> None:
    """Launch a kernel for each number of `out`; small (B, h w c) and large (B, fh h fw w c)."""
    (h, w), (fh, fw), out = size, factor, arrays["out"]
    c, rest = divmod(small.shape[-1], h * w)
    if rest or large.shape != (*small.shape[:-1], fh * h * fw * w * c):
        raise ShapeError(f"{name}: {small.shape} by {factor} does not make {large.shape}")
    layout.need_dtype(name, out.dtype, *arrays.values())
    args = {"h": h, "w": w, "c": c, "fh": fh, "fw": fw, **layout.matrices(**arrays)}
    for_each_number(name, out, args)


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
    """out = each image of X (B, h w c), zoomed, sheared and shifted by its amounts (B, 5)."""
    (h, w), name = size, "move_images"
    c, rest = divmod(out.shape[-1], h * w)
    if rest or X.shape != out.shape or amounts.shape != (*out.shape[:-1], 5):
        raise ShapeError(f"{name}: {X.shape} and {amounts.shape} do not make {out.shape}")
    layout.need_dtype(name, out.dtype, X, amounts)
    args = {"h": h, "w": w, "c": c, "zoom": zoom, "shear": shear, "shift": shift}
    args |= {"background": background, **layout.matrices(X=X, amounts=amounts, out=out)}
    for_each_number(name, out, args)
