"""The proof of a backward pass: compare gradients with finite differences of the forward pass.

The law. Choose fixed random numbers R and let L = sum(Y * R), so that dL/dY = R. For any tensor T
of the network (its input, a weight, a bias) and any direction u of length one,

    dT . u  =  d/dh L(T + h u)  at h = 0.

The left side comes from `backward`, the right side from four forward passes (differences.py), all
in float64. Small tensors are checked element by element; large ones along random directions, and a
direction that fails is halved until it names one element.

Four limits. (1) Differences carry rounding noise, so a derivative smaller than noise / tolerance is
measured against that number instead. (2) At a kink there is no derivative: a direction that crosses
one with every step is drawn again and counted. (3) The steps h are absolute, so scale X to about 1:
with inputs in the thousands a correct gradient can be called wrong. (4) Errors are relative to the
larger of the derivative and the gradient's rms entry, so an element far below the rest (a millionth
of it) is not checked for itself.

The idea of a single normalised direction, and of looking out for kinks, is Chainer's
(chainer.gradient_check).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.backend import Array, Stream, checked_array
from minigan.backend.float_errors import ignore_float_errors
from minigan.checks import number, whole
from minigan.errors import DataError
from minigan.nn.differences import (
    Differences,
    FunctionDifferences,
    NetworkDifferences,
    along,
    bracket,
    unit,
)
from minigan.nn.sequential import Sequential
from minigan.text import columns, times

SMALL = 64  # tensors up to this size are checked element by element
REDRAWS = 20  # directions tried before a tensor counts as sitting on a kink


@dataclass(frozen=True)
class GradcheckRow:
    """The result for one tensor."""

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
    """All results. `print(report)` shows them as a table; `report.ok` sums them up.

    Attributes:
        rows: a result for X and for each parameter, with the place of the worst error and both
            derivatives there.
        tolerance: the largest relative error that passes.
        kinks_avoided: how often a step was shortened, or a direction drawn again, because it
            crossed a kink.
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
        lines = [
            ("tensor", "shape", "checked", "max rel. error", "where", "analytic", "numeric", "")
        ]
        for row in self.rows:
            numbers = f"{row.analytic:+.6e}", f"{row.numeric:+.6e}", "ok" if row.ok else "WRONG"
            error = f"{row.max_relative_error:.1e}"
            lines.append((row.name, times(row.shape), row.how, error, row.where, *numbers))
        verdict = "passed" if self.ok else "FAILED"
        return (
            f"{columns(lines, left=3)}\n{verdict}: worst {self.max_relative_error:.1e}, "
            f"tolerance {self.tolerance:.0e}, kinks avoided {self.kinks_avoided}"
        )


@ignore_float_errors
def gradcheck(
    net: Sequential,
    X: Any,
    *,
    train: bool = True,
    directions: int = 8,
    tolerance: float = 1e-6,
    seed: int = 0,
    condition: Any = None,
) -> GradcheckReport:
    """Check every gradient of a network at the input X, in float64.

    A copy of the network is checked, with fixed dropout masks and detached means of `Pack`. It
    runs forward and backward once before that, with X's rows in another order.

    Args:
        net: any single network (no population).
        X: (B, in).
        train: whether dropout drops.
        directions: random directions for each tensor of more than 64 elements.
        tolerance: the largest relative error that passes.
        seed: of the directions and of R.
        condition: (B, condition features), if the network reads one.

    Returns:
        A report with a row for X and for each parameter.

    Raises:
        DataError: X or the condition is not finite, the point sits on a kink of ReLU or its kin, or
            forward gives two results at one X (a random layer that does not `hold` its numbers).
        ConfigError: a population, no directions, or a tolerance that is not positive.
        ShapeError, DTypeError: X is not (B, in) floating-point numbers, or the condition not
            (B, condition features); or forward or backward returned nothing.
    """
    made = NetworkDifferences(net, X, train, seed, condition=condition)
    return _check(made, directions, tolerance, seed)


@ignore_float_errors
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
        DTypeError: X or the gradient is not an array of numbers.

    Example:
        gradcheck_function(lambda P: mg.bce(P, 0.95), P)
    """
    return _check(FunctionDifferences(function, X), directions, tolerance, seed)


@dataclass(frozen=True)
class BothGradients:
    """One tensor's gradient, entry by entry: from backward, and from differences."""

    name: str  # "X", "0.weight", ...
    analytic: Array  # (like the tensor) float64
    numeric: Array  # (like the tensor) float64
    # (like the tensor) where the two differ by more than the tolerance, relative to the gradient's
    # rms entry or their own size, whichever is larger
    wrong: Array


@ignore_float_errors
def compare(
    net: Sequential,
    X: Any,
    dY: Any,
    *,
    train: bool = True,
    tolerance: float = 1e-6,
    condition: Any = None,
) -> tuple[Array, list[BothGradients]]:
    """All entries of all gradients, from backward and from differences, to be shown.

    It takes four forward passes for each entry, so it is for tiny networks.

    Args:
        net, X, train, tolerance, condition: as in `gradcheck`.
        dY: (B, out), what backward is given; differences are those of sum(Y * dY).

    Returns:
        Y (B, out), and both gradients of X and of each parameter; all float64, on the host.

    Raises:
        As `gradcheck`; also ShapeError if dY does not have the output's shape.
    """
    number("compare: tolerance", tolerance, above=0.0)
    made = NetworkDifferences(net, X, train, R=checked_array("dY", dY), condition=condition)
    if not np.isfinite(made.Y).all():
        raise DataError("compare: forward makes NaN or infinity of this X")
    made.tolerance = tolerance
    return made.Y, [both_gradients(made, name) for name in made.tensors]


@ignore_float_errors
def compare_function(
    function: Callable[[Any], tuple[float, Any]], X: Any, *, tolerance: float = 1e-6
) -> BothGradients:
    """As `compare`, for a function that returns its value and its gradient, such as a loss.

    Args:
        function, X: as in `gradcheck_function`.
        tolerance: as in `gradcheck`.
    """
    number("compare_function: tolerance", tolerance, above=0.0)
    made = FunctionDifferences(function, X)
    made.tolerance = tolerance
    return both_gradients(made, "X")


def both_gradients(made: Differences, name: str) -> BothGradients:
    """All entries of the gradient of one of `made.tensors`, by other means and by differences."""
    value, analytic = made.tensors[name]
    analytic = made.ops.to_host(analytic)  # (like value)
    numeric = np.empty(value.shape)  # (like value)
    wrong = np.empty(value.shape, dtype=bool)  # (like value)
    for place, u, derivative in made.entries(name, value, analytic):
        error = made.error(analytic, u, derivative)
        numeric[place], wrong[place] = derivative, error > made.tolerance
    return BothGradients(name, analytic, numeric, wrong)


def _check(made: Differences, directions: int, tolerance: float, seed: int) -> GradcheckReport:
    whole("gradcheck: directions", directions, 1)
    made.tolerance = number("gradcheck: tolerance", tolerance, above=0.0)
    rows = []
    for name in made.tensors:
        key = Stream(seed, f"gradcheck/{name}").keys[0]
        random = np.random.Generator(np.random.Philox(key=key))
        rows.append(_check_tensor(made, name, directions, random))
    return GradcheckReport(rows, tolerance, made.kinks_avoided)


#: A place or direction with its relative error, and both derivatives: the analytic, the numeric.
_Probe = tuple[float, str, float, float]


def _check_tensor(
    made: Differences, name: str, directions: int, random: np.random.Generator
) -> GradcheckRow:
    value, grad = made.tensors[name]
    grad = made.ops.to_host(grad)  # (like value)
    small = value.size <= SMALL
    worst: _Probe = (-1.0, "", 0.0, 0.0)
    for where, u, numeric in (
        ((bracket(place), u, numeric) for place, u, numeric in made.entries(name, value, grad))
        if small
        else _directions(made, name, value, grad, directions, random)
    ):
        expected, error = along(grad, u), made.error(grad, u, numeric)
        if error > worst[0]:
            worst = (error, where, expected, numeric)
            if not small and error > made.tolerance:
                element = _localise(made, value, grad, u)
                if element is not None and element[0] > made.tolerance:
                    worst = element
            if math.isinf(error):
                break  # nothing is worse than NaN or infinity
    how = "every element" if small else f"{directions} directions"
    return GradcheckRow(name, tuple(value.shape), how, *worst, ok=bool(worst[0] <= made.tolerance))


def _directions(
    made: Differences,
    name: str,
    value: Array,
    grad: Array,
    count: int,
    random: np.random.Generator,
) -> Iterator[tuple[str, Array, float]]:
    """Random directions of length one, with the derivatives along them."""
    for k in range(count):
        for _ in range(REDRAWS):
            u = random.standard_normal(value.shape)
            u /= np.linalg.norm(u)
            numeric = made.derivative(value, u, grad)
            if numeric is not None:
                yield f"direction {k}", u, numeric
                break
        else:
            raise DataError(
                f"gradcheck: every direction in {name} meets a kink; move X a little, or correct "
                "`kinks` of its layer if there is none"
            )


def _localise(made: Differences, value: Array, grad: Array, u: Array) -> _Probe | None:
    """Halve a failing direction, keeping the half that is further off, down to one element."""
    index = np.flatnonzero(u)
    while index.size > 1:
        halves = []
        for half in np.array_split(index, 2):
            part = np.zeros(value.size)
            part[half] = u.reshape(-1)[half]
            part = part.reshape(value.shape)
            numeric = made.derivative(value, part)
            if numeric is None:
                return None
            off = abs(along(grad, part) - numeric)
            halves.append((off if math.isfinite(off) else math.inf, half))
        index = max(halves, key=lambda pair: pair[0])[1]
    place = np.unravel_index(int(index[0]), value.shape)
    numeric = made.derivative(value, unit(value.shape, place), grad)
    if numeric is None:
        return None
    expected = float(grad[place])
    error = made.error(grad, unit(value.shape, place), numeric)
    return error, bracket(place), expected, numeric
