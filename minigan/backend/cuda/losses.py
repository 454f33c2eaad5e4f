"""Losses and their gradients, and the sums of losses that are read when they are printed."""

from __future__ import annotations

from typing import Any

from minigan.backend.base import Array
from minigan.backend.cuda import layout
from minigan.backend.cuda.elementwise import elementwise
from minigan.backend.cuda.launching import THREADS, grid_for, is_array, launch
from minigan.backend.cuda.memory import fill
from minigan.errors import ShapeError

REDUCING = 128  # threads of a block that reduces: BLOCK in common.cuh


def bce_loss(P: Array, targets: Any, out: Array) -> None:
    """out (...) = the mean of -(t log p + (1 - t) log(1 - p)) over the last axis of P (..., N)"""
    _mean("bce_loss", P, targets, out)


def bce_gradient(P: Array, targets: Any, n: int, out: Array) -> None:
    """out = (p - t) / (p (1 - p)) / n: of the mean BCE of n probabilities, P (B, O) among them"""
    _gradient("bce_gradient", P, targets, n, out)


def bce_with_logits_loss(logits: Array, targets: Any, out: Array) -> None:
    """out (...) = mean of max(x, 0) - x t + log(1 + exp(-|x|)) over the last axis of (..., N)"""
    _mean("bce_with_logits_loss", logits, targets, out)


def bce_with_logits_gradient(logits: Array, targets: Any, n: int, out: Array) -> None:
    """out = (sigmoid(x) - t) / n: of the mean BCE of n logits, these (B, O) among them"""
    _gradient("bce_with_logits_gradient", logits, targets, n, out)


def softmax_cross_entropy_loss(logits: Array, targets: Array, out: Array) -> None:
    """out (...) = the mean over B of log(sum_k exp(x_k)) - sum_k t_k x_k, logits (..., B, K)"""
    _need_classes("softmax_cross_entropy_loss", out.dtype, logits, targets)
    if None in (layout.distance(logits, 2), layout.distance(targets, 2), layout.distance(out, 0)):
        for i in range(logits.shape[0]):
            softmax_cross_entropy_loss(logits[i], targets[i], out[i])
        return
    B, K = logits.shape[-2:]
    args = {"B": B, "K": K, "out": out, "out_member": layout.distance(out, 0)}
    args |= layout.matrices(logits=logits, targets=targets)
    grid = (layout.members(logits),)
    launch("softmax_cross_entropy_loss", out.dtype, grid, (REDUCING,), args)


def softmax_cross_entropy_gradient(logits: Array, targets: Array, n: int, out: Array) -> None:
    """out (B, K) = (softmax(x) - t) / n: the gradient of a mean over n rows, x (B, K) among them"""
    _need_classes("softmax_cross_entropy_gradient", out.dtype, logits, targets, out)
    B, K = logits.shape[-2:]
    args = {"B": B, "K": K, "count": n}
    args |= layout.matrices(logits=logits, targets=targets, out=out)
    grid = (*grid_for(B), layout.members(out))
    launch("softmax_cross_entropy_gradient", out.dtype, grid, (THREADS,), args)


def mean_squared_error_loss(Y: Array, targets: Any, out: Array) -> None:
    """out (...) = the mean of (y - t)^2 over the last axis of Y (..., N)"""
    _mean("mean_squared_error_loss", Y, targets, out)


def mean_squared_error_gradient(Y: Array, targets: Any, n: int, out: Array) -> None:
    """out = 2 (y - t) / n: of the mean squared error of n numbers, Y (B, O) among them"""
    _gradient("mean_squared_error_gradient", Y, targets, n, out)


def hinge_loss(Y: Array, targets: Any, out: Array) -> None:
    """out (...) = the mean of max(0, 1 - t y) over the last axis of Y (..., N), with t = 1 or -1"""
    _mean("hinge_loss", Y, targets, out)


def hinge_gradient(Y: Array, targets: Any, n: int, out: Array) -> None:
    """out = -t / n where t y < 1, else 0: of a mean over n terms, Y (B, O) among them"""
    _gradient("hinge_gradient", Y, targets, n, out)


def record_losses(losses: Array, totals: Array) -> None:
    """Add the C losses (K, C) of K steps to totals[0] (C,); totals[1] (C,) counts finite steps."""
    members, (K, C) = layout.members(totals), losses.shape[-2:]
    args = {"members": members, "K": K, "C": C, "losses": losses, "totals": totals}
    args["losses_member"] = layout.member_distance(losses)
    launch("record_losses", losses.dtype, grid_for(C * members), (THREADS,), args)


def record_finite(X: Array, out: Array) -> None:
    """out () = 1 if every entry of X (n,) is finite, else 0; (S,) of X (S, n)."""
    _need_rows("record_finite", X)
    rows = {"X_row": layout.member_distance(X, 1), "out_row": layout.member_distance(out, 0)}
    args = {"n": X.shape[-1], "X": X, "out": out, **rows}
    grid = (*grid_for(X.shape[-1]), layout.members(X, 1))
    fill(1.0, out=out)
    launch("record_finite", X.dtype, grid, (THREADS,), args)


def _mean(name: str, X: Array, targets: Any, out: Array) -> None:
    """Launch a mean over the last axis of X (..., N), one block a row."""
    many = is_array(targets)
    arrays = {"X": X, "targets": targets} if many else {"X": X}
    _need_rows(name, *arrays.values())
    rows = {f"{field}_row": layout.distance(array, 1) for field, array in arrays.items()}
    rows["out_row"] = layout.distance(out, 0)
    if None in rows.values():
        for i in range(X.shape[0]):
            _mean(name, X[i], targets[i] if many else targets, out[i])
        return
    args = {"n": X.shape[-1], "out": out, "X": X, "targets_row": 0, **rows, **_targets(targets)}
    launch(name, X.dtype, (layout.members(X, 1),), (REDUCING,), args)


def _gradient(name: str, X: Array, targets: Any, n: int, out: Array) -> None:
    row = {} if is_array(targets) else {"targets_row": 0}
    elementwise(name, out=out, X=X, count=n, **_targets(targets), **row)


def _targets(targets: Any) -> dict[str, Any]:
    """Targets as arguments: an array, or one number for all."""
    if is_array(targets):
        return {"targets": targets, "target": 0.0}
    return {"targets": None, "target": targets}


def _need_classes(name: str, dtype: Any, *arrays: Array) -> None:
    """Raise an error unless these matrices have one shape (..., B, K) and this dtype."""
    if any(X.shape != arrays[0].shape for X in arrays):
        raise ShapeError(f"{name}: {[X.shape for X in arrays]} do not fit")
    layout.need_dtype(name, dtype, *arrays)


def _need_rows(name: str, *arrays: Array) -> None:
    if min(map(layout.axes_together, arrays)) < 1:
        raise ShapeError(f"{name} needs the numbers of a row to lie together")
