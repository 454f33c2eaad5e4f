"""Penalties of gradients: points between samples, and norms of rows. See kernels/penalties.cu."""

from __future__ import annotations

from typing import Any

from minigan.backend.base import Array
from minigan.backend.cuda import layout
from minigan.backend.cuda.elementwise import for_each_number
from minigan.backend.cuda.launching import launch
from minigan.backend.cuda.losses import REDUCING
from minigan.errors import ShapeError


def interpolate(A: Array, B: Array, alpha: Array, out: Array) -> None:
    """out (B, F) = alpha A + (1 - alpha) B, with a number alpha (B, 1) for each row"""
    for_each_number("interpolate", out, _args("interpolate", {"alpha": alpha}, out=out, A=A, B=B))


def row_norms(G: Array, out: Array) -> None:
    """out (B, 1) = the Euclidean norm of each row of G (B, F)"""
    args = _args("row_norms", {"out": out}, G=G)
    launch("row_norms", G.dtype, (G.shape[-2], layout.members(G)), (REDUCING,), args)


def norm_gradient(G: Array, norms: Array, factor: float, out: Array) -> None:
    """out (B, F) = factor (1 - 1 / n) g for each row g of G and its norm n > 0 in norms (B, 1)"""
    args = _args("norm_gradient", {"norms": norms}, out=out, G=G)
    for_each_number("norm_gradient", out, {"factor": factor, **args})


def _args(name: str, column: dict[str, Array], **matrices: Array) -> dict[str, Any]:
    """The arguments of a kernel: matrices (B, F), and a number for each row in a column (B, 1)."""
    (of_rows,), X = column.values(), next(iter(matrices.values()))
    fit = all(other.shape == X.shape for other in matrices.values())
    if not fit or of_rows.shape != (*X.shape[:-1], 1):
        shapes = [other.shape for other in matrices.values()]
        raise ShapeError(f"{name}: {shapes} and {of_rows.shape} do not fit")
    layout.need_dtype(name, X.dtype, of_rows, *matrices.values())
    return {"columns": X.shape[-1], **layout.matrices(**column, **matrices)}
