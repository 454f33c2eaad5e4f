"""How a layer is tried under the conditions of conditions.py, after one batch has been proved."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minigan.backend import Array
from minigan.errors import DataError, ShapeError
from minigan.lessons.conditions import AGREE, COPIES, WIDER, Condition, Input
from minigan.lessons.example_numbers import condition
from minigan.nn import Layer, Sequential
from minigan.nn.gradcheck import gradcheck
from minigan.nn.passes import Pass
from minigan.text import count

Results = dict[str, Array]  # "Y", "dX", and the gradient of each parameter by its name
IN_ROWS = ("Y", "dX")  # the results with a row for each row of X, or for each group
FLOOR = 1e-3  # errors are relative to the largest number of a result, or to this


@dataclass(frozen=True)
class Proved:
    """A layer and a batch for which differences have found it right, alone and in float64."""

    layer: Layer
    X: Array  # (B, in)
    dY: Array  # (B_out, out)
    seed: int

    def network(
        self, seeds: Any = None, dtype: str = "float64", features: int | None = None
    ) -> Sequential:
        """The layer alone. Integer settings that equal the number of features change with it."""
        layer, old = self.layer, self.X.shape[1]
        if features not in (None, old):
            sizes = [k for k, value in vars(layer).items() if type(value) is int and value == old]
            layer = replace(layer, **dict.fromkeys(sizes, features))
        seeds = self.seed if seeds is None else seeds
        return Sequential(layer, seed=seeds, dtype=dtype, in_features=features or old)

    def sentence(self, text: str) -> str:
        """A condition's name, with this batch's sizes: "for 1,000 rows"."""
        (rows, features), unit = self.X.shape, self.network().rows_multiple
        sizes = {"fewest": (unit, "row"), "rows": (rows, "row"), "many": (COPIES * rows, "row")}
        sizes |= {"features": (features, "feature"), "wide": (WIDER * features, "feature")}
        return text.format(**{name: count(*size) for name, size in sizes.items()})


def prove(proved: Proved, one: Input) -> str | None:
    """What differences find wrong for this input, or ""; None if the layer does not accept it."""
    X = one.X(proved.X)
    if len(X) == 1:
        X = proved.X[: proved.network().rows_multiple]
    kept = X.copy()
    may_be_refused = X.shape[1] != proved.X.shape[1]
    with contextlib.suppress(*([Exception] if may_be_refused else [])):
        net = proved.network(features=X.shape[1])
        net.parameters.data = one.parameters(net.parameters.data)
        try:
            bound = net.bind(len(X), condition=condition(net, len(X)))
        except ShapeError:
            return None
        try:
            Y = bound.forward(X, train=one.train)  # (B_out, out)
        except ShapeError:
            if len(X) > net.rows_multiple:
                raise
            return None  # one row has no variance
        if not np.isfinite(Y).all():
            return None  # such as a logarithm of numbers below 0
        if not np.array_equal(X, kept):
            return "X was changed"
        return by_differences(net, X, one.train)
    return None


def by_differences(net: Sequential, X: Array, train: bool = True) -> str:
    """How far gradients are from differences, or "".

    They must be wrong at a second input, too: at the first a number may lie just on a kink.
    """
    off = ""
    for scale in (0.97, 1.0):
        try:
            report = gradcheck(net, scale * X, train=train, condition=condition(net, len(X)))
        except DataError as error:  # a kink
            off = str(error)
            continue
        if report.ok:
            return ""
        off = f"off by {report.max_relative_error:.1e}"
    return off


def at_zero(proved: Proved) -> str | None:
    """An X with zeros, as a ReLU makes them: nothing may become NaN."""
    X = proved.X.copy()
    rows = np.arange(len(X))
    X[rows, rows % X.shape[1]] = 0.0
    net = proved.network()
    near = [np.where(X == 0.0, tiny, X) for tiny in (-1e-3, 1e-3)]
    C = condition(net, len(X))
    if not all(np.isfinite(net.forward(one, condition=C)).all() for one in near):
        return None  # such as a logarithm, which has no value on one side
    Y = net.forward(X, condition=C).copy()
    if np.isnan(Y).any():
        return "Y is NaN"
    if np.isinf(Y).any():  # such as 1 / X
        return None
    dX = np.asarray(net.backward(proved.dY.copy()))  # (rows, features)
    finite = np.isfinite(dX).all() and np.isfinite(net.parameters.grad).all()
    return "" if finite else "backward makes NaN or infinity"


def compare(proved: Proved, one: Condition, right: Results) -> str:
    """What is wrong with the results under this condition, or ""."""
    if not one.train:
        right, _ = run(proved, replace(AGREE[0], train=False))
    if one.members > 1:
        second = replace(proved, X=_rolled(proved), seed=proved.seed + 1)
        right_of_second, _ = run(second, AGREE[0], right)
        right = {name: np.stack([right[name], right_of_second[name]]) for name in right}
    given, treats = run(proved, one, right)
    for name, array in given.items():
        factor = 1.0 if name == "Y" else one.dY_times
        if name in IN_ROWS:
            expected = factor * np.tile(right[name], (one.copies, 1))
        else:  # a parameter's gradient, to which every copy adds the same
            expected = factor * one.copies * right[name]
        off = different(array, expected, one.tolerance)
        if off:
            return off
    return treats


def run(proved: Proved, one: Condition, right: Results | None = None) -> tuple[Results, str]:
    """Forward and backward of a new network under a condition.

    Args:
        right: the gradients to expect, by name. Memory for those that are not 0 is filled with NaN,
            so that what is not written shows.

    Returns:
        The results; and how it has misused an array, such as "dY was changed", or "".
    """
    several, unit = one.members > 1, proved.network().rows_multiple
    net = proved.network([proved.seed, proved.seed + 1] if several else None, one.dtype)
    X, dY = (np.tile(A, (one.copies, 1)).astype(one.dtype) for A in (proved.X, proved.dY))
    if several:
        X, dY = np.stack([X, _rolled(proved)]), np.stack([dY, dY])  # (S, B, in), (S, B_out, out)
    dY = dY * np.asarray(one.dY_times, one.dtype)
    first = net.parameters.data.copy(), net.buffers.data.copy()
    if one.moved:
        net.parameters.data = 1.3 * first[0] + 0.1
    batches = X.shape[-2] // unit if one.alone else 1
    bound = net.bind(X.shape[-2] // batches)
    C = condition(net, len(proved.X))
    C = np.empty((len(proved.X), 0)) if C is None else C  # (B, condition features)
    every = X, dY, np.tile(C, (one.copies, 1))
    made, treats = [], ""
    for X_in, dY_in, C_in in zip(*(np.split(A, batches, axis=-2) for A in every), strict=True):
        if bound.condition is not None:
            bound.condition[...] = C_in
        X_in = _with_gaps(X_in) if one.gaps == "X" else X_in
        dY_in = _with_gaps(dY_in) if one.gaps == "dY" else dY_in
        one.before(net, bound, X_in, dY_in)
        net.parameters.data, net.buffers.data = first
        for stream in net.streams:
            stream.position = 0  # for the random numbers of the proved batch
        results, treats = _forward_and_backward(net, bound, X_in, dY_in, one, right or {})
        made.append(results)
    joined = {}
    for name in made[0]:
        arrays = [results[name] for results in made]
        joined[name] = np.concatenate(arrays, axis=-2) if name in IN_ROWS else sum(arrays)
    return joined, treats


def _forward_and_backward(
    net: Sequential, bound: Pass, X: Array, dY: Array, one: Condition, right: Results
) -> tuple[Results, str]:
    grads = net.parameters.named_grads()
    before = {"X": (X, X.copy()), "dY": (dY, dY.copy())}
    before["a parameter"] = net.parameters.data, net.parameters.data.copy()
    if not one.train:
        before["a buffer"] = net.buffers.data, net.buffers.data.copy()
    bound.Y.fill(np.nan)
    results = {"Y": bound.forward(X, train=one.train).copy()}
    before["Y"] = bound.Y, results["Y"]
    one.between(net, bound, X, dY)
    bound.layers[0].dX.fill(np.nan)
    for name, grad in grads.items():
        grad[...] = np.where(right.get(name, 0.0 * grad) == 0.0, 0.0, np.nan)
    if not one.wanted.get("parameter_grads", True):
        before["a parameter's gradient"] = net.parameters.grad, net.parameters.grad.copy()
        grads = {}
    dX: Any = bound.backward(dY, **one.wanted)
    if dX is not None:
        results["dX"] = np.array(dX)
    results |= {name: grad.copy() for name, grad in grads.items()}
    arrays = results | {"Y": bound.layers[0].Y}
    faults = [f"{name} is not written" for name, array in results.items() if np.isnan(array).any()]
    faults += [
        f"{name} was changed"
        for name, (array, kept) in before.items()
        if not np.array_equal(array, kept, equal_nan=True)
    ]
    faults += [f"{name} is {A.dtype}" for name, A in arrays.items() if A.dtype != one.dtype]
    return results, faults[0] if faults else ""


def different(given: Any, right: Array, tolerance: float = 1e-9) -> str:
    """How far a result is from the right one, relative to its largest number; "" if it is not."""
    if given is None:
        return "None"
    given = np.asarray(given)
    if given.shape != right.shape:
        return f"shape {given.shape}, not {right.shape}"
    off = np.abs(given - right) / max(float(np.abs(right).max(initial=0.0)), FLOOR)
    if np.isfinite(off).all() and np.all(off <= tolerance):
        return ""
    return f"off by {np.nanmax(off):.1e}" if np.isfinite(off).any() else "not written"


def _rolled(proved: Proved) -> Array:
    """The proved X with its rows in another order, in which groups stay together."""
    return np.roll(proved.X, proved.network().rows_multiple, axis=0)


def _with_gaps(A: Array) -> Array:
    """The same numbers, as every second column of an array."""
    return np.repeat(A, 2, axis=-1)[..., ::2]
