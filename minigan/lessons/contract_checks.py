"""Check what a layer declares besides its formulas.

A layer can have right formulas and still break `in_place`, `needs`, `keeps_signs` or `capturable`:
other layers write over its arrays, it writes over theirs, and its calls are replayed without it.
And a GAN asks for some gradients without the others, for some of the rows, in single precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backend import Array
from minigan.backend.base import may_be_captured
from minigan.lessons.example_numbers import normal
from minigan.nn import Dropout, Layer, LayerPass, LeakyReLU, Linear, Sequential, Sigmoid
from minigan.nn.gradcheck import gradcheck

ADVICE = """\
If the gradients above agree, the formulas are right. Suspect what the layer declares: `needs` (what
backward reads of Y), `in_place` (then backward may not read X, nor forward after it has written Y),
`capturable` (then it computes with self.ops only, not NumPy, and keeps everything in arrays from
`binding.empty`), `mixes_rows`. Other causes: a result that is not written into self.Y or self.dX,
an array or number of another dtype, a return before everything is written."""
NOT_CAPTURED = """\
Its pass does not say `capturable = True`, so a GAN runs its step each time instead of replaying a
recorded one, and runs G once for each half of a step."""


def check_contract(
    layer: Layer, rows: int, features: int, seed: int
) -> tuple[list[tuple[str, str]], list[str]]:
    """Try a layer between others, and in the ways that a GAN uses it.

    Args:
        layer: the definition.
        rows, features: of its input.
        seed: of the numbers.

    Returns:
        What was tried, each with what is wrong there or ""; and remarks.
    """
    X = normal(seed, "X between others", (rows, features))
    positive = not _takes_any_sign(layer, X, seed)
    X = np.abs(X) + 0.1 if positive else X
    lines: list[tuple[str, str]] = []
    for before, after in (((), (Dropout(0.3),)), ((LeakyReLU(0.2),), (Sigmoid(),))):
        layers = (*before, layer, *after)
        report = gradcheck(_network(layers, features, seed, positive), X)
        names = ["it" if one is layer else type(one).__name__ for one in layers]
        off = f"off by {report.max_relative_error:.1e}" if not report.ok else ""
        lines.append((", ".join(["Linear", *names]), off))
    net = _network((layer,), features, seed, positive)
    whole = net.bind(rows)
    in_rows = whole.divisible and whole.output_shape[0] == rows
    cut = net.rows_multiple
    part = whole.part(cut, rows) if in_rows else whole  # before any forward, as a GAN cuts it
    dY = normal(seed, "dY between others", whole.output_shape)
    whole.forward(X, train=True)
    dX = np.array(whole.backward(dY.copy()))  # (rows, features)
    whole.hold(True)
    whole.forward(X, train=True)
    for one in whole.layers:
        one.dX.fill(np.nan)  # nothing of the backward before may be taken for this one's
    lines.append(("dX alone", _different(whole.backward(dY.copy(), parameter_grads=False), dX)))
    lines.append(("parameters alone", _parameters_alone(layer, X, dY, seed)))
    if in_rows:
        whole.forward(X, train=True)
        off = _different(part.backward(dY[cut:].copy()), dX[cut:])
        lines.append(("backward for some rows", off))
    captured = all(may_be_captured(one, LayerPass) for one in whole.layers)
    if captured:
        lines.append(("replayed", _replayed(net, X, dY)))
    lines.append(("in single precision", _single(net, X, dY)))
    remarks = [ADVICE] if any(off for _, off in lines) else []
    return lines, remarks + ([] if captured else [NOT_CAPTURED])


def _replayed(net: Sequential, X: Array, dY: Array) -> str:
    """What is wrong with a recorded forward and backward when it is replayed at another input."""
    bound = net.bind(len(X))
    X_of_pass, dY_of_pass = X.copy(), dY.copy()  # (rows, features) each

    def run() -> None:
        bound.forward(X_of_pass, train=True)
        bound.backward(dY_of_pass)

    try:
        run()  # the first run allocates memory
        bound.hold(True)
        replay = net.ops.capture(run)
        X_of_pass[:] = np.roll(X, 1, axis=0)
        dY_of_pass *= 0.7
        replay()
    except (RuntimeError, TypeError, ValueError) as error:
        return str(error)
    results = (bound.Y, bound.layers[0].dX, net.parameters.grad)
    replayed = [array.copy() for array in results]
    run()
    pairs = zip(replayed, results, strict=True)
    return next(filter(None, (_different(*pair) for pair in pairs)), "")


def _parameters_alone(layer: Layer, X: Array, dY: Array, seed: int) -> str:
    """What is wrong with the parameters' gradients of a first layer, whose dX is not needed."""
    net = Sequential(layer, seed=seed, dtype="float64", in_features=X.shape[1])
    bound, grad = net.bind(len(X)), net.parameters.grad
    bound.forward(X, train=True)
    bound.backward(dY.copy())
    bound.hold(True)
    bound.forward(X, train=True)
    right = grad.copy()
    grad[right != 0.0] = np.nan  # what has been written must be written again
    bound.backward(dY.copy(), input_grad=False)
    return _different(grad, right)


def _network(layers: tuple[Layer, ...], features: int, seed: int, positive: bool) -> Sequential:
    """Layers after a Linear, which makes positive numbers only if `positive`."""
    net = Sequential(Linear(features, features), *layers, seed=seed, dtype="float64")
    if positive:
        for name in ("0.weight", "0.bias"):
            view = net.parameters.named()[name]
            view[:] = np.abs(view) + 0.1
    return net


def _takes_any_sign(layer: Layer, X: Array, seed: int) -> bool:
    """Whether a layer accepts numbers of both signs, which a logarithm does not."""
    net = _network((layer,), X.shape[1], seed, positive=False)
    with np.errstate(all="ignore"):
        return bool(np.isfinite(net.forward(X)).all())


def _different(given: Any, right: Array) -> str:
    """How far a gradient is from the right one; "" if it is not."""
    if given is None:
        return "None"
    given = np.asarray(given)
    if given.shape != right.shape:
        return f"shape {given.shape}, not {right.shape}"
    off = np.abs(given - right)
    if np.isfinite(off).all() and np.all(
        off <= 1e-9 * max(float(np.abs(right).max(initial=0.0)), 1e-9)
    ):
        return ""
    return f"off by {np.nanmax(off):.1e}" if np.isfinite(off).any() else "not written"


def _single(net: Sequential, X: Array, dY: Array) -> str:
    """Whether a layer keeps to float32 when the network does; "" if so."""
    bound = net.astype("float32").bind(len(X))
    Y = X.astype("float32")  # (rows, features)
    try:
        for layer in bound.layers:
            Y = layer.forward(Y, True)
        if Y.dtype != "float32":
            return f"Y is {Y.dtype}"
        bound.forward(X.astype("float32"))
        dX = bound.backward(dY.astype("float32"))
    except (TypeError, ValueError) as error:  # NumPy's, of two dtypes that do not go together
        return str(error).partition("\n")[0]
    return "" if dX is not None and dX.dtype == "float32" else "dX is of another dtype"
