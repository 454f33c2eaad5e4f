"""Matrix products, sums, factors."""

from __future__ import annotations

import math
from typing import Any

from minigan.backend.base import Array
from minigan.backend.cuda import layout
from minigan.backend.cuda.elementwise import elementwise
from minigan.backend.cuda.launching import launch, multiprocessors
from minigan.backend.cuda.memory import scratch, temporary
from minigan.backend.cuda.pixels import pixels
from minigan.errors import DTypeError, ShapeError

#: The kernels of a product, with the rows and columns of the tile that a block makes: the small one
#: up to SMALL_TILES of its tiles for each multiprocessor. See matmul.cu.
KERNELS = {"matmul_small": (32, 32), "matmul": (64, 32)}
SMALL_TILES = 2
MULTIPLIERS = 128  # threads of a block
#: A product is split along K into parts of at most DEEP, but into no more than MOST_PARTS, and not
#: so far that there are more than BLOCKS_EACH blocks for each multiprocessor.
DEEP, MOST_PARTS, BLOCKS_EACH = 200, 32, 4
SUMMING = (32, 32)  # threads of a block that sums rows: see reductions.cu

#: A product that ends in no formula: see fusion.py.
_NO_FORMULAS: dict[str, Any] = {"bias_member": 0, "slope": None}
for _k in "123":
    _NO_FORMULAS |= {f"formula{_k}": 0, f"other{_k}": None, f"number{_k}": 0.0}


def matmul(
    A: Array,
    B: Array,
    out: Array,
    transpose_A: bool = False,
    transpose_B: bool = False,
) -> None:
    """out = A B, with either factor transposed on request. `out` must be neither of them."""
    M, K = A.shape[-2:][:: -1 if transpose_A else 1]
    K_too, N = B.shape[-2:][:: -1 if transpose_B else 1]
    population = layout.members(out)
    fits = K_too == K and out.shape[-2:] == (M, N)
    if not fits or {layout.members(A), layout.members(B)} != {population}:
        raise ShapeError(f"matmul: {A.shape} and {B.shape} do not make {out.shape}")
    if A.dtype != out.dtype or B.dtype != out.dtype:
        raise DTypeError(f"matmul: {A.dtype} and {B.dtype} do not make {out.dtype}")
    dtype = str(out.dtype)
    grids = {name: (-(-N // across), -(-M // down)) for name, (down, across) in KERNELS.items()}
    small = math.prod(grids["matmul_small"]) * population <= SMALL_TILES * multiprocessors()
    kernel = "matmul_small" if small else "matmul"
    tiles = math.prod(grids[kernel]) * population
    splits = max(1, min(-(-K // DEEP), MOST_PARTS, BLOCKS_EACH * multiprocessors() // tiles))
    args = {"M": M, "N": N, "K": K, **layout.matrices(A=A, B=B, C=out), **_NO_FORMULAS}
    args |= {"transpose_A": transpose_A, "transpose_B": transpose_B, "splits": splits}
    args |= {"partials": None, "tickets": None}
    if splits > 1:
        args["partials"] = temporary("partials", splits * population * M * N, dtype)
        args["tickets"] = temporary("tickets", tiles, "uint32")
    launch(kernel, dtype, (*grids[kernel], population * splits), (MULTIPLIERS,), args)


def add(A: Array, B: Array, out: Array) -> None:
    """out = A + B"""
    elementwise("add", out=out, X=A, Y=B)


def add_rows(X: Array, row: Array, out: Array) -> None:
    """out = X + row, the row (1, c) added to each row of X (B, c), or to its n pixels (B, n c)"""
    elementwise("add", out=out, X=X, Y=row)


def multiply_rows(X: Array, row: Array, out: Array) -> None:
    """out = X * row, the row (1, c) times each row of X (B, c), or times its n pixels (B, n c)"""
    elementwise("multiply", out=out, X=X, Y=row)


def sum_rows(X: Array, out: Array) -> None:
    """out (1, c) = the sum of the rows of X (B, c), or of its pixels (B, n c)"""
    scaled_sum_of_rows(X, 1.0, out)


def scaled_sum_of_rows(X: Array, scale: float, out: Array) -> None:
    """out (1, c) = scale times the sum of the rows of X (B, c), or of its pixels (B, n c)

    Pixels are summed over the images first, and then over their places. So the GPU has many sums to
    compute at a time, although there may be few channels.
    """
    if X.shape[-1] != out.shape[-1]:
        of_images = scratch("of images", (*X.shape[:-2], 1, X.shape[-1]), str(X.dtype))
        scaled_sum_of_rows(X, 1.0, of_images)
        scaled_sum_of_rows(pixels(of_images, out.shape[-1]), scale, out)
        return
    if layout.distance(X, 2) is None or layout.distance(out, 2) is None:
        for i in range(X.shape[0]):
            scaled_sum_of_rows(X[i], scale, out[i])
        return
    rows, columns = X.shape[-2:]
    args = {"rows": rows, "columns": columns, "scale": scale, **layout.matrices(X=X)}
    args |= {"out": out, "out_member": layout.member_distance(out)}
    grid = (-(-columns // 32), layout.members(X))
    launch("sum_rows", X.dtype, grid, SUMMING, args)


def negate(X: Array, out: Array) -> None:
    """out = -X"""
    elementwise("negate", out=out, X=X)


def scale(X: Array, factor: float, out: Array) -> None:
    """out = factor X"""
    elementwise("scale", out=out, X=X, factor=factor)


def multiply(A: Array, B: Array, out: Array) -> None:
    """out = A * B, number by number"""
    elementwise("multiply", out=out, X=A, Y=B)


def mean(X: Array, out: Array) -> None:
    """out (...) = the mean over the last axis of X (..., N)"""
    columns, means = X.reshape(*X.shape, 1), out.reshape(*X.shape[:-1], 1, 1)
    scaled_sum_of_rows(columns, 1.0 / X.shape[-1], means)
