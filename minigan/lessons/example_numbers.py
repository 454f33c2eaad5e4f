"""Random numbers for examples, which a reader can follow."""

from __future__ import annotations

import numpy as np

from minigan.backend import Array, Stream, get_backend
from minigan.nn import Sequential


def normal(seed: int, name: str, shape: tuple[int, ...]) -> Array:
    """Standard normal numbers from a stream of this name, float64."""
    out = np.empty(shape)
    get_backend("cpu").fill_normal(Stream(seed, f"explain/{name}"), 0.0, 1.0, out=out)
    return out


def tidy(X: Array) -> Array:
    """Numbers with one digit after the point; 0, where ReLU has a kink, becomes 0.1."""
    X = np.round(X, 1)
    return np.where(X == 0.0, 0.1, X)


def argument(name: str, X: Array) -> Array:
    """An argument of a loss, as its name suggests, made of standard normal numbers (B, O)."""
    if name == "P":  # probabilities
        return np.clip(np.round(0.5 + 0.2 * X, 2), 0.05, 0.95)  # (B, O)
    if name == "t":  # targets: 0 and 1 in turn
        return np.arange(X.size).reshape(X.shape) % 2.0  # (B, O)
    if name == "labels":
        return np.arange(len(X)) * 2 % X.shape[1]  # (B,)
    return X  # (B, O)


def condition(net: Sequential, rows: int) -> Array | None:
    """One-hot rows (rows, condition features), if the network reads them: the classes in turn."""
    features = net.condition_features
    return np.eye(features)[np.arange(rows) % features] if features else None
