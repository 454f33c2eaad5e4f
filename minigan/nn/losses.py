"""Losses for use by hand: each returns the mean loss and its gradient, in one call.

    loss, dlogits = bce_with_logits(logits, targets)
    net.backward(dlogits)

For a population, arrays gain a first axis S and the loss is an array (S,). The gradient is on the
device of the first argument: on the GPU for a CuPy array. The backend's kernels have the formulas,
and training calls them with its own buffers; these functions check their arguments and allocate the
result.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backend import (
    FLOATS,
    INTEGERS,
    NUMBERS_OR_BOOLEANS,
    Array,
    Backend,
    checked_array,
    get_backend,
)
from minigan.backend.base import is_cupy, on_host
from minigan.backend.float_errors import ignore_float_errors
from minigan.errors import DataError, DTypeError, ShapeError


@ignore_float_errors
def bce(P: Array, targets: Any) -> tuple[float, Array]:
    """Binary cross-entropy of probabilities, and its gradient.

    loss = mean of -(t log p + (1 - t) log(1 - p)),   dP = (p - t) / (p (1 - p)) / N

    It is finite at p = 0 and p = 1: each logarithm is clamped to at least -100, and p (1 - p) at or
    above 1e-12, as in torch.nn.BCELoss. Prefer `bce_with_logits`, which needs neither.

    Args:
        P: probabilities in [0, 1], (B, O), float32 or float64.
        targets: in [0, 1], a number or (B, O).

    Returns:
        The mean loss, and dP (B, O).

    Raises:
        DataError: a probability or target outside [0, 1].
        ShapeError, DTypeError: targets of another shape, or values that are not floating-point.
    """
    P = _floats(P, "probabilities")
    targets = _targets(targets)
    _check_range("probabilities", on_host(P))
    _check_range("targets", targets)
    return _evaluate("bce", P, targets)


@ignore_float_errors
def bce_with_logits(logits: Array, targets: Any) -> tuple[float, Array]:
    """Binary cross-entropy of p = sigmoid(x) computed from x, and its gradient.

    loss = mean of max(x, 0) - x t + log(1 + exp(-|x|)),   dlogits = (sigmoid(x) - t) / N

    Args:
        logits: x, (B, O), float32 or float64, any finite size.
        targets: in [0, 1], a number or (B, O).

    Returns:
        The mean loss, and dlogits (B, O).

    Raises:
        DataError: a target outside [0, 1].
        ShapeError, DTypeError: targets of another shape, or values that are not floating-point.
    """
    targets = _targets(targets)
    _check_range("targets", targets)
    return _evaluate("bce_with_logits", logits, targets)


@ignore_float_errors
def mean_squared_error(Y: Array, targets: Any) -> tuple[float, Array]:
    """Mean squared error, and its gradient.

    loss = mean of (y - t)^2,   dY = 2 (y - t) / N

    Args:
        Y: (B, O), float32 or float64.
        targets: a number or (B, O).

    Returns:
        The mean loss, and dY (B, O).

    Raises:
        ShapeError, DTypeError: targets of another shape, or values that are not floating-point.
    """
    return _evaluate("mean_squared_error", Y, targets)


@ignore_float_errors
def softmax_cross_entropy(logits: Array, labels: Array) -> tuple[float, Array]:
    """Cross-entropy of softmax(logits) with integer labels, and its gradient.

    loss = mean over B of log(sum_k exp(x_k)) - x_label,   dlogits = (softmax(x) - onehot) / B

    Args:
        logits: (B, K), float32 or float64.
        labels: (B,) integers in [0, K).

    Returns:
        The mean loss, and dlogits (B, K).

    Raises:
        ShapeError, DTypeError: labels of another shape, or that are not integers.
        DataError: a label that is out of range.
    """
    logits = _floats(logits, "logits")
    labels = checked_array("labels", labels, INTEGERS)
    if labels.shape != logits.shape[:-1]:
        raise ShapeError(
            f"labels of shape {labels.shape} do not fit logits of shape {logits.shape}; "
            f"expected {logits.shape[:-1]}"
        )
    if labels.size and (labels.min() < 0 or labels.max() >= logits.shape[-1]):
        raise DataError(
            f"labels must lie in [0, {logits.shape[-1]}), not [{labels.min()}, {labels.max()}]"
        )
    ops = _backend_of(logits)
    onehot = labels[..., None] == np.arange(logits.shape[-1])  # (B, K)
    targets = ops.from_host(onehot, logits.dtype.name)
    dlogits = ops.empty(logits.shape, logits.dtype.name)
    loss = ops.empty(logits.shape[:-2], logits.dtype.name)
    ops.softmax_cross_entropy_loss(logits, targets, out=loss)
    ops.softmax_cross_entropy_gradient(logits, targets, logits.shape[-2], out=dlogits)
    return _number(ops.to_host(loss)), dlogits


def _evaluate(name: str, Y: Array, targets: Any) -> tuple[float, Array]:
    Y = _floats(Y, "the first argument")
    targets = _targets(targets).astype(Y.dtype)
    if targets.shape not in ((), Y.shape):
        raise ShapeError(
            f"targets of shape {targets.shape} do not fit an array of shape {Y.shape}; "
            "expected a number or the same shape"
        )
    ops = _backend_of(Y)
    dY = ops.empty(Y.shape, Y.dtype.name)
    loss = ops.empty(Y.shape[:-2], Y.dtype.name)
    flat = (*Y.shape[:-2], Y.shape[-2] * Y.shape[-1])
    targets = ops.asarray(targets) if targets.ndim else float(targets)
    rows = targets.reshape(flat) if isinstance(targets, type(Y)) else targets
    getattr(ops, f"{name}_loss")(Y.reshape(flat), rows, out=loss)
    getattr(ops, f"{name}_gradient")(Y, targets, Y.shape[-1] * Y.shape[-2], out=dY)
    return _number(ops.to_host(loss)), dY


def _backend_of(X: Any) -> Backend:
    return get_backend("cuda" if is_cupy(X) else "cpu")


def _targets(targets: Any) -> Any:
    """Targets as an array on the host, in their own dtype."""
    return checked_array("targets", targets, NUMBERS_OR_BOOLEANS)


def _check_range(name: str, X: Any) -> None:
    if not ((X >= 0.0) & (X <= 1.0)).all():  # NaN fails too
        raise DataError(f"{name} must lie in [0, 1], not [{np.min(X)}, {np.max(X)}]")


def _floats(X: Any, name: str) -> Any:
    X = checked_array(name, X, FLOATS, _backend_of(X))
    if X.dtype.name not in ("float32", "float64"):
        raise DTypeError(f"{name} must be float32 or float64, not {X.dtype}")
    if X.ndim < 2:
        raise ShapeError(f"{name} must be (batch, features), not {X.shape}")
    if X.shape[-2] < 1 or X.shape[-1] < 1:
        raise ShapeError(f"{name} must not be empty; its shape is {X.shape}")
    return X


def _number(loss: Any) -> Any:
    return float(loss) if loss.ndim == 0 else loss
