"""Normalisation of each row by the mean and the spread of its own numbers.

The formulas are those of `minigan.backend.numpy.layer_norm`. A block takes a row.
"""

from __future__ import annotations

from typing import Any

from minigan.backend.base import Array
from minigan.backend.cuda import layout
from minigan.backend.cuda.launching import launch
from minigan.backend.cuda.losses import REDUCING
from minigan.errors import ShapeError


def normalise_rows(X: Array, eps: float, std: Array, out: Array) -> None:
    """std (B, 1) = sqrt(v + eps),   out (B, F) = (x - m) / std

    m is the mean of a row x of X (B, F), and v the mean of (x - m)^2.
    """
    _each_row("normalise_rows", std, {"X": X, "out": out}, eps=eps)


def normalise_rows_backward(dY: Array, Y: Array, std: Array, out: Array) -> None:
    """out (B, F) = (dy - mean of dy - y mean of (dy y)) / std, with the y and std of forward"""
    _each_row("normalise_rows_backward", std, {"dY": dY, "Y": Y, "out": out})


def normalise_rows_curvature(dY: Array, U: Array, Y: Array, std: Array, out: Array) -> None:
    """out (B, F) = -(mean of (u y) t(dy) + mean of (dy y) t(u) + mean of (dy t(u)) y) / std

    t is `normalise_rows_backward`. This is the gradient of the sum of dy t(u) by x.
    """
    _each_row("normalise_rows_curvature", std, {"dY": dY, "U": U, "Y": Y, "out": out})


def _each_row(name: str, std: Array, arrays: dict[str, Array], **numbers: Any) -> None:
    """Launch a kernel for the rows of these arrays (B, F), and of std (B, 1)."""
    out = arrays["out"]
    if std.shape != (*out.shape[:-1], 1) or any(X.shape != out.shape for X in arrays.values()):
        shapes = [X.shape for X in (*arrays.values(), std)]
        raise ShapeError(f"{name}: {shapes} do not fit")
    layout.need_dtype(name, out.dtype, std, *arrays.values())
    args = {"n": out.shape[-1], **numbers, **layout.matrices(std=std, **arrays)}
    launch(name, out.dtype, (out.shape[-2], layout.members(out)), (REDUCING,), args)
