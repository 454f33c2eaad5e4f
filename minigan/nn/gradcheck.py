"""The proof of a backward pass: compare each gradient with differences of the forward.

The law. Choose fixed random numbers R and let L = sum(Y * R), so that dL/dY = R. For any
tensor T of the network (its input, a weight, a bias) and any direction u of length one,

    dT . u  =  d/dh L(T + h u)  at h = 0.

The left side comes from `backward`, the right side from four forward passes and the
fourth-order central difference

    (8 (L(h) - L(-h)) - (L(2h) - L(-2h))) / 12h,

all in float64. Small tensors are checked element by element; large ones along random
directions, and a direction that fails is halved until it names one element.

Four honest limits. (1) Differences carry rounding noise of about 4 eps sum|Y R| / h, so a
derivative smaller than noise / tolerance is judged against that number instead. (2) ReLU
and its kin have kinks, where no derivative exists: a step that changes the side of any
unit is shortened, and a direction that still crosses is drawn again and counted. (3) The
steps h are absolute, so scale X to about 1: on inputs in the hundreds a correct gradient can
be called wrong. (4) Errors are relative to the larger of the derivative and the gradient's
rms entry, so an element far below the rest (a millionth of it) is not checked for itself.

The idea of a single normalised direction, and of looking out for kinks, is Chainer's
(chainer.gradient_check).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.backend import Array, Backend, Stream, get_backend
from minigan.backend.base import on_host
from minigan.checks import number, whole
from minigan.errors import ConfigError, DataError, ShapeError
from minigan.nn.passes import Pass
from minigan.nn.sequential import Sequential
from minigan.text import columns, times

STEPS = (5e-4, 5e-5, 5e-6)  # h; the shorter ones only to keep away from kinks
SMALL = 64  # tensors up to this size are checked element by element
REDRAWS = 20  # directions tried before a tensor counts as sitting on a kink
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class GradcheckRow:
    """One tensor's verdict."""

    name: str  # "X", "0.weight", ...
    shape: tuple[int, ...]
    how: str  # "every element" or "8 directions"
    max_relative_error: float
    where: str  # "[3, 1]" or "direction 2"
    analytic: float  # the two derivatives at that place
    numeric: float
    ok: bool


@dataclass(frozen=True)
class GradcheckReport:
    """All verdicts. `print(report)` shows them as a table; `if report.ok:` asks for the sum.

    Attributes:
        rows: a verdict for X and for each parameter, with the place of the worst error and both
            derivatives there.
        tolerance: the largest relative error that passes.
        kinks_avoided: how often a step was shortened, or a direction drawn again, to keep away
            from a kink.
        ok: whether every tensor passed.
        max_relative_error: the worst of all.
    """

    rows: list[GradcheckRow]
    tolerance: float
    kinks_avoided: int = 0

    @property
    def ok(self) -> bool:
        """Whether every tensor passed."""
        return all(row.ok for row in self.rows)

    @property
    def max_relative_error(self) -> float:
        """The worst relative error of all."""
        return max((row.max_relative_error for row in self.rows), default=0.0)

    def __str__(self) -> str:
        head = ("tensor", "shape", "checked", "max rel. error", "where", "analytic", "numeric", "")
        lines = [head] + [
            (
                row.name,
                times(row.shape),
                row.how,
                f"{row.max_relative_error:.1e}",
                row.where,
                f"{row.analytic:+.6e}",
                f"{row.numeric:+.6e}",
                "ok" if row.ok else "WRONG",
            )
            for row in self.rows
        ]
        verdict = "passed" if self.ok else "FAILED"
        return (
            f"{columns(lines, left=3)}\n{verdict}: worst {self.max_relative_error:.1e}, "
            f"tolerance {self.tolerance:.0e}, kinks avoided {self.kinks_avoided}"
        )


def gradcheck(
    net: Sequential,
    X: Any,
    *,
    train: bool = True,
    directions: int = 8,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> GradcheckReport:
    """Check every gradient of a network at the input X, in float64.

    The network itself is not touched: a float64 copy is checked. Dropout masks and the
    detached means of `Pack` are held fixed, so the function checked is a fixed one. The copy runs
    forward and backward once before, with X's rows in another order.

    Args:
        net: any single network (no population).
        X: (B, in).
        train: whether dropout drops.
        directions: random directions for each tensor of more than 64 elements.
        tolerance: the largest relative error that passes.
        seed: of the directions and of R.

    Returns:
        A report with a row for X and for each parameter.

    Raises:
        DataError: X is not finite, the point sits on a kink of ReLU or its kin, or forward gives
            two results at one X (a random layer that does not `hold` its numbers).
        ConfigError: a population, no directions, or a tolerance that is not positive.
        ShapeError, DTypeError: X is not (B, in) floating-point numbers, or forward or backward
            returned nothing.
    """
    point = _Point(net, X, train, seed)
    return _check(point.ops, point.tensors, point.loss, directions, tolerance, seed)


def gradcheck_function(
    function: Callable[[Any], tuple[float, Any]],
    X: Any,
    *,
    directions: int = 8,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> GradcheckReport:
    """Check a function that returns its value and its gradient, such as a loss, at X.

    Args:
        function: X -> (value, dX), smooth at X.
        X: any shape; converted to float64, not empty.
        directions, tolerance, seed: as in `gradcheck`.

    Returns:
        A report with one row.

    Raises:
        DataError: X is empty.
        ShapeError: the gradient has another shape than X.

    Example:
        gradcheck_function(lambda P: mg.bce(P, 0.95), P)
    """
    X64, dX, loss = _function_at(function, X)
    return _check(get_backend("cpu"), {"X": (X64, dX)}, loss, directions, tolerance, seed)


@dataclass(frozen=True)
class BothGradients:
    """One tensor's gradient, entry by entry: from backward, and from differences.

    Attributes:
        name: "X", "0.weight", ...
        analytic, numeric: (like the tensor) float64.
        wrong: (like the tensor) where the two differ by more than the tolerance, relative to
            the gradient's rms entry or their own size, whichever is larger.
    """

    name: str
    analytic: Array
    numeric: Array
    wrong: Array


def compare(
    net: Sequential, X: Any, dY: Any, *, train: bool = True, tolerance: float = 1e-6
) -> tuple[Array, list[BothGradients]]:
    """What `gradcheck` looks at, for a reader: all entries of all gradients, both ways.

    It takes four forward passes an entry, so it is for tiny networks.

    Args:
        net, X, train, tolerance: as in `gradcheck`.
        dY: (B, out), what backward is given; differences are those of sum(Y * dY).

    Returns:
        Y (B, out), and both gradients of X and of each parameter; all float64, on the host.

    Raises:
        as `gradcheck`; ShapeError too, if dY does not have the shape of the output.
    """
    point = _Point(net, X, train, dY=dY)
    if not np.isfinite(point.Y).all():
        raise DataError("compare: forward makes NaN or infinity of this X")
    prober = _Prober(point.ops, point.loss, number("compare: tolerance", tolerance, above=0.0))
    analytic = {name: point.ops.to_host(grad) for name, (_, grad) in point.tensors.items()}
    return point.Y, [
        _both(prober, name, value, analytic[name]) for name, (value, _) in point.tensors.items()
    ]


def compare_function(
    function: Callable[[Any], tuple[float, Any]], X: Any, *, tolerance: float = 1e-6
) -> BothGradients:
    """As `compare`, of a function that returns its value and its gradient, such as a loss.

    Args:
        function, X: as in `gradcheck_function`.
        tolerance: as in `gradcheck`.
    """
    X64, dX, loss = _function_at(function, X)
    tolerance = number("compare_function: tolerance", tolerance, above=0.0)
    return _both(_Prober(get_backend("cpu"), loss, tolerance), "X", X64, dX)


def differences(loss: Callable[[], float], value: Array) -> Array:
    """The gradient of a loss with respect to an array that it reads, by differences alone.

    Args:
        loss: smooth, and a function of `value`'s entries, among others.
        value: float64, on the host; it is changed in place meanwhile, and put back.

    Returns:
        d loss / d value, (like value).
    """

    prober = _Prober(get_backend("cpu"), lambda: _alone(loss()), 1e-6)
    numeric = np.empty(value.shape)  # (like value)
    for place, derivative in _derivatives(prober, "value", value):
        numeric[place] = derivative
    return numeric


def _both(prober: _Prober, name: str, value: Array, analytic: Array) -> BothGradients:
    numeric = np.empty(value.shape)  # (like value)
    wrong = np.empty(value.shape, dtype=bool)  # (like value)
    for place, derivative in _derivatives(prober, name, value):
        error = prober.relative_error(float(analytic[place]), derivative, analytic)
        numeric[place], wrong[place] = derivative, error > prober.tolerance
    return BothGradients(name, analytic, numeric, wrong)


def _derivatives(
    prober: _Prober, name: str, value: Array
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every entry's place and derivative; `DataError` for one that sits on a kink."""
    for (where, u), place in zip(_elements(value.shape), np.ndindex(*value.shape), strict=True):
        derivative = prober.derivative(value, u)
        if derivative is None:
            raise _on_a_kink(name, where)
        yield place, derivative


class _Point:
    """A float64 copy of a network at an input, made one fixed function, after its backward."""

    def __init__(self, net: Sequential, X: Any, train: bool, seed: int = 0, dY: Any = None) -> None:
        if net.population:
            raise ConfigError("gradcheck takes one network, not a population")
        twin = net.astype("float64")
        self.ops = twin.ops
        X64 = twin.ops.from_host(twin.accept(X), "float64")
        if not np.isfinite(twin.ops.to_host(X64)).all():
            raise DataError("gradcheck: X holds NaN or infinity")
        self.bound = twin.bind(X64.shape[-2])
        R = twin.ops.empty(self.bound.output_shape, "float64")  # (B_out, out)
        if dY is None:
            twin.ops.fill_normal(Stream(seed, "gradcheck/loss"), 0.0, 1.0, out=R)
        else:
            given = twin.ops.from_host(dY, "float64")
            if given.shape != R.shape:
                raise ShapeError(f"dY has shape {given.shape}; expected {R.shape}")
            twin.ops.copy(given, out=R)
        # A pass at the same rows in another order first: what is kept from it, or only added to,
        # would show.
        other = np.roll(twin.ops.to_host(X64), 1, axis=0)
        self.bound.forward(twin.ops.from_host(other, "float64"), train)
        self._backward(R)
        #: The output at X, on the host.
        self.Y = twin.ops.to_host(self.bound.forward(X64, train))
        self.bound.hold(True)
        again = twin.ops.to_host(self.bound.forward(X64, train))
        if not np.array_equal(again, self.Y, equal_nan=True):
            raise DataError(
                "gradcheck: forward gives two results at one X. Does it change X? If it is random, "
                "it must repeat its numbers while it is told to `hold` them"
            )
        dX = twin.ops.from_host(self._backward(R), "float64")
        #: Each tensor's value, and its gradient.
        self.tensors = {"X": (X64, dX)}
        grads = twin.parameters.named_grads()
        for name, value in twin.parameters.named().items():
            self.tensors[name] = (value, twin.ops.from_host(grads[name], "float64"))
        self.loss = functools.partial(_loss, self.bound, X64, R, train)

    def _backward(self, R: Array) -> Array:
        """dX for a dY that is a copy: R weighs the loss, and a layer might write over it."""
        dX = self.bound.backward(self.ops.from_host(R, "float64"))
        if dX is None:
            raise ShapeError("backward returned None; it must return dX when it is asked for")
        return dX


def _function_at(
    function: Callable[[Any], tuple[float, Any]], X: Any
) -> tuple[Array, Array, Callable[[], _Evaluation]]:
    """X and the gradient there, both float64, and the function as a loss that reads this X."""
    X64 = np.array(on_host(X), dtype=np.float64)
    if not X64.size:
        raise DataError("gradcheck: X is empty")
    _, dX = function(X64)
    dX = np.array(on_host(dX), copy=True)
    if dX.shape != X64.shape:
        raise ShapeError(f"the gradient has shape {dX.shape}; X has {X64.shape}")

    return X64, dX, lambda: _alone(function(X64)[0])


def _on_a_kink(name: str, where: str) -> DataError:
    return DataError(
        f"gradcheck: {name}{where} sits on a kink, where no derivative exists; move X a little"
    )


#: A loss evaluation: the value, the sum of its absolute terms, and the kink pattern.
_Evaluation = tuple[float, float, tuple[bytes, ...]]


def _alone(value: float) -> _Evaluation:
    """The evaluation of a loss of which the value alone is known."""
    value = float(value)
    return value, abs(value), ()


def _loss(bound: Pass, X: Array, R: Array, train: bool) -> _Evaluation:
    """L = sum(Y * R), the sum of |Y * R|, and on which side of its kink each unit is."""
    terms = bound.net.ops.to_host(bound.forward(X, train)) * bound.net.ops.to_host(R)
    sides = tuple(
        np.sign(bound.net.ops.to_host(kinks)).tobytes()
        for kinks in (layer.kinks() for layer in bound.layers)
        if kinks is not None
    )
    return float(math.fsum(terms.ravel())), float(np.abs(terms).sum()), sides


def _check(
    ops: Backend,
    tensors: dict[str, tuple[Array, Array]],
    loss: Callable[[], _Evaluation],
    directions: int,
    tolerance: float,
    seed: int,
) -> GradcheckReport:
    whole("gradcheck: directions", directions, 1)
    number("gradcheck: tolerance", tolerance, above=0.0)
    analytic = {name: ops.to_host(grad) for name, (_, grad) in tensors.items()}
    prober = _Prober(ops, loss, tolerance)
    rows = []
    for name, (value, _) in tensors.items():
        random = np.random.Generator(
            np.random.Philox(key=Stream(seed, f"gradcheck/{name}").keys[0])
        )
        rows.append(_check_tensor(prober, name, value, analytic[name], directions, random))
    return GradcheckReport(rows, tolerance, prober.kinks_avoided)


def _check_tensor(
    prober: _Prober,
    name: str,
    value: Array,
    grad: Array,
    directions: int,
    random: np.random.Generator,
) -> GradcheckRow:
    small = value.size <= SMALL
    worst = (-1.0, "", 0.0, 0.0)  # relative error, where, analytic, numeric
    probes: Iterator[tuple[str, Array]]
    probes = _elements(value.shape) if small else _directions(value.shape, directions, random)
    for where, u in probes:
        for _ in range(REDRAWS):
            numeric = prober.derivative(value, u)
            if numeric is not None:
                break
            if small:
                raise DataError(
                    f"gradcheck: {name}{where} sits on a kink, where no derivative exists; "
                    "move X a little"
                )
            u = _direction(value.shape, random)
        else:
            raise DataError(f"gradcheck: every direction in {name} meets a kink; move X a little")
        expected = _along(grad, u)
        error = prober.relative_error(expected, numeric, grad)
        if error > worst[0]:
            worst = (error, where, expected, numeric)
            if not small and error > prober.tolerance:
                worst = _localise(prober, value, grad, u) or worst
            if math.isinf(error):
                break  # nothing is worse than no number at all
    error, where, expected, numeric = worst
    return GradcheckRow(
        name=name,
        shape=tuple(value.shape),
        how="every element" if small else f"{directions} directions",
        max_relative_error=error,
        where=where,
        analytic=expected,
        numeric=numeric,
        ok=bool(error <= prober.tolerance),
    )


def _localise(
    prober: _Prober, value: Array, grad: Array, u: Array
) -> tuple[float, str, float, float] | None:
    """Halve a failing direction, keeping the half that is further off, down to one element."""
    index = np.flatnonzero(u)
    while index.size > 1:
        halves = []
        for half in np.array_split(index, 2):
            part = np.zeros(value.size)
            part[half] = u.reshape(-1)[half]
            part = part.reshape(value.shape)
            numeric = prober.derivative(value, part)
            if numeric is None:
                return None
            off = abs(_along(grad, part) - numeric)
            halves.append((off if math.isfinite(off) else math.inf, half))
        index = max(halves, key=lambda pair: pair[0])[1]
    place = np.unravel_index(int(index[0]), value.shape)
    one = np.zeros(value.shape)
    one[place] = 1.0
    numeric = prober.derivative(value, one)
    if numeric is None:
        return None
    expected = float(grad[place])
    return prober.relative_error(expected, numeric, grad), _bracket(place), expected, numeric


class _Prober:
    """Numeric derivatives of a loss along directions of a tensor that it depends on."""

    def __init__(self, ops: Backend, loss: Callable[[], _Evaluation], tolerance: float) -> None:
        self.ops = ops
        self.loss = loss
        self.tolerance = tolerance
        self.kinks_avoided = 0
        self.noise = 0.0  # of the latest derivative
        _, self.scale, self.sides = loss()  # at the point itself

    def derivative(self, value: Array, u: Array) -> float | None:
        """d/dh L(value + h u) at 0; None if even the shortest step crosses a kink."""
        start = self.ops.to_host(value)
        try:
            for h in STEPS:
                L = {}
                for k in (-2, -1, 1, 2):
                    self._set(value, start + (k * h) * u)
                    L[k], _, these = self.loss()
                    if these != self.sides:
                        self.kinks_avoided += 1
                        break
                else:
                    self.noise = 4.0 * EPS * self.scale / h
                    return (8.0 * (L[1] - L[-1]) - (L[2] - L[-2])) / (12.0 * h)
            return None
        finally:
            self._set(value, start)

    def _set(self, value: Array, to: Array) -> None:
        self.ops.copy(self.ops.asarray(to), out=value)

    def relative_error(self, analytic: float, numeric: float, grad: Array) -> float:
        """|a - n| / max(|a|, |n|, the gradient's rms entry, what differences can resolve).

        Infinite if either is no finite number.
        """
        if not (math.isfinite(analytic) and math.isfinite(numeric)):
            return math.inf
        rms = float(np.sqrt(np.mean(np.square(np.where(np.isfinite(grad), grad, 0.0)))))
        size = max(abs(analytic), abs(numeric), rms, self.noise / self.tolerance)
        if size == 0.0:
            return 0.0
        return abs(analytic - numeric) / size


def _along(grad: Array, u: Array) -> float:
    """dT . u, over the entries that u moves: a NaN elsewhere is not this direction's fault."""
    moved = u != 0
    return float((grad[moved] * u[moved]).sum())


def _elements(shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    for place in np.ndindex(*shape):
        u = np.zeros(shape)
        u[place] = 1.0
        yield _bracket(place), u


def _directions(
    shape: tuple[int, ...], count: int, random: np.random.Generator
) -> Iterator[tuple[str, Array]]:
    for k in range(count):
        yield f"direction {k}", _direction(shape, random)


def _direction(shape: tuple[int, ...], random: np.random.Generator) -> Array:
    u = random.standard_normal(shape)
    return u / np.linalg.norm(u)


def _bracket(place: tuple[Any, ...]) -> str:
    return "[" + ", ".join(str(int(i)) for i in place) + "]"
