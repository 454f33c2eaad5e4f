"""Matrix products, sums, factors, rows of a table."""

from __future__ import annotations

from typing import Any

from minigan.backend.base import Array
from minigan.backend.cuda import layout
from minigan.backend.cuda.elementwise import elementwise
from minigan.backend.cuda.launching import THREADS, grid_for, launch, multiprocessors
from minigan.backend.cuda.memory import zeros
from minigan.errors import DTypeError, ShapeError

TILE = 64  # a block makes TILE x TILE numbers of a product: see matmul.cu
MULTIPLIERS = 128  # threads that make them
BLOCKS_EACH = 2  # blocks of a product for each multiprocessor, where K can be split so far
DEEP = 64  # a product is split along K into pieces no shorter than this

#: A product that ends in no formula: see fusion.py.
_NO_FORMULAS: dict[str, Any] = {"bias_member": 0}
for _k in "123":
    _NO_FORMULAS |= {f"formula{_k}": 0, f"other{_k}": None, f"number{_k}": 0.0}

#: Memory that kernels share, by name and dtype; it grows as needed. All work is in one queue.
_temporaries: dict[tuple[str, str], Array] = {}


def _temporary(name: str, size: int, dtype: str) -> Array:
    """Scratch memory owned by a kernel until it finishes: >= `size` numbers, zeros at first."""
    there = _temporaries.get((name, dtype))
    if there is None or there.size < size:
        there = _temporaries[name, dtype] = zeros((size,), dtype)
    return there


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
    columns, rows = -(-N // TILE), -(-M // TILE)
    tiles = columns * rows * population
    splits = max(1, min(BLOCKS_EACH * multiprocessors() // tiles, K // DEEP))
    args = {"M": M, "N": N, "K": K, **_matrices(A=A, B=B, C=out), **_NO_FORMULAS}
    args |= {"transpose_A": transpose_A, "transpose_B": transpose_B, "splits": splits}
    size = splits * population * M * N if splits > 1 else 1
    args["partials"] = _temporary("partials", size, dtype)
    args["tickets"] = _temporary("tickets", tiles, "uint32")
    launch("matmul", dtype, (columns, rows, population * splits), (MULTIPLIERS,), args)


def _matrices(**matrices: Array) -> dict[str, Any]:
    """Matrices (..., B, F) as arguments, with their distances: from row to row, and by member."""
    args: dict[str, Any] = {}
    for name, X in matrices.items():
        args |= {name: X, f"{name}_row": layout.row_distance(X)}
        args[f"{name}_member"] = layout.member_distance(X)
    return args


def add(A: Array, B: Array, out: Array) -> None:
    """out = A + B"""
    elementwise("add", out=out, X=A, Y=B)


def add_rows(X: Array, row: Array, out: Array) -> None:
    """out = X + row, the row (1, O) added to each row of X (B, O)"""
    elementwise("add", out=out, X=X, Y=row)


def sum_rows(X: Array, out: Array) -> None:
    """out (1, O) = the sum of the rows of X (B, O)"""
    scaled_sum_of_rows(X, 1.0, out)


def scaled_sum_of_rows(X: Array, scale: float, out: Array) -> None:
    """out (1, O) = scale times the sum of the rows of X (B, O)"""
    if layout.distance(X, 2) is None or layout.distance(out, 2) is None:
        for i in range(X.shape[0]):
            scaled_sum_of_rows(X[i], scale, out[i])
        return
    rows, columns = X.shape[-2:]
    args = {"rows": rows, "columns": columns, "scale": scale, **_matrices(X=X)}
    args |= {"out": out, "out_member": layout.member_distance(out)}
    grid = (-(-columns // 32), layout.members(X))
    launch("sum_rows", X.dtype, grid, (32, 8), args)


def negate(X: Array, out: Array) -> None:
    """out = -X"""
    elementwise("negate", out=out, X=X)


def scale(X: Array, factor: float, out: Array) -> None:
    """out = factor X"""
    elementwise("scale", out=out, X=X, factor=factor)


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
