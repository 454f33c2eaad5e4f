"""Finite differences: derivatives of a loss from its values alone.

For a tensor T that the loss L reads, and a direction u, the fourth-order central difference is

    d/dh L(T + h u) at h = 0  =  (8 (L(h) - L(-h)) - (L(2h) - L(-2h))) / 12h,

in float64. Three things limit it. Rounding adds noise of about 4 eps / h times the sum of the
absolute terms of L. A step h that is too long for the curvature of L leaves a truncation error, so
a result that disagrees with backward is computed again with shorter steps. And ReLU and its kin
have kinks, where no derivative exists: a step that changes the side of any unit is shortened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minigan.backend import Array, Backend, Stream, checked_array, get_backend
from minigan.errors import ConfigError, DataError, ShapeError
from minigan.nn.passes import Pass
from minigan.nn.sequential import Sequential

STEPS = (5e-4, 5e-5, 5e-6)  # h; the shorter ones near kinks, and for what disagrees
EPS = float(np.finfo(np.float64).eps)


class Evaluation(NamedTuple):
    """A loss at one point."""

    value: float
    scale: float  # the sum of its absolute terms
    sides: tuple[bytes, ...]  # the side of its kink that each unit is on


class Differences:
    """Numeric derivatives of a loss with respect to tensors that it reads.

    Args:
        ops: the backend of the tensors, which are float64.
        loss: evaluates the loss. The tensors are changed in place around it, and restored.

    Attributes:
        tensors: each tensor's value, and its gradient by other means, by name.
        tolerance: the relative error up to which a derivative agrees with a gradient.
        noise: the rounding noise of the latest derivative.
        kinks_avoided: how often a step crossed a kink, so that a shorter one was tried.
    """

    def __init__(self, ops: Backend, loss: Callable[[], Evaluation]) -> None:
        self.ops = ops
        self.loss = loss
        self.tensors: dict[str, tuple[Array, Array]] = {}
        self.kinks_avoided = 0
        self.tolerance = 1e-6
        self.noise = 0.0
        _, self.scale, self.sides = loss()  # at the point itself

    def derivative(self, value: Array, u: Array, grad: Array | None = None) -> float | None:
        """d/dh L(value + h u) at 0; None if even the shortest step crosses a kink.

        It is that of the longest step which agrees with `grad` (like value); if none does, that of
        the longest step of all.
        """
        start = self.ops.to_host(value)
        found: list[tuple[float, float]] = []  # each with its noise
        try:
            for h in STEPS:
                L = {}
                for k in (-2, -1, 1, 2):
                    self._set(value, start + (k * h) * u)
                    L[k], _, sides = self.loss()
                    if sides != self.sides:
                        self.kinks_avoided += 1
                        break
                else:
                    self.noise = 4.0 * EPS * self.scale / h
                    numeric = (8.0 * (L[1] - L[-1]) - (L[2] - L[-2])) / (12.0 * h)
                    if grad is None or self.error(grad, u, numeric) <= self.tolerance:
                        return numeric
                    found.append((numeric, self.noise))
            if not found:
                return None
            numeric, self.noise = found[0]
            return numeric
        finally:
            self._set(value, start)

    def error(self, grad: Array, u: Array, numeric: float) -> float:
        """The relative error of the latest derivative, which is along u."""
        return relative_error(along(grad, u), numeric, grad, self.noise / self.tolerance)

    def entries(
        self, name: str, value: Array, grad: Array | None = None
    ) -> Iterator[tuple[tuple[int, ...], Array, float]]:
        """The place, the direction and the derivative of every entry of a tensor.

        Raises:
            DataError: an entry sits on a kink; the message calls the tensor `name`.
        """
        for place in np.ndindex(*value.shape):
            u = unit(value.shape, place)
            derivative = self.derivative(value, u, grad)
            if derivative is None:
                raise DataError(
                    f"gradcheck: {name}{bracket(place)} sits on a kink, where no derivative "
                    "exists; move X a little, or correct `kinks` of its layer if there is none"
                )
            yield place, u, derivative

    def _set(self, value: Array, to: Array) -> None:
        self.ops.copy(self.ops.asarray(to), out=value)


class FunctionDifferences(Differences):
    """Differences of a function that returns its value and its gradient, at X."""

    def __init__(self, function: Callable[[Any], tuple[float, Any]], X: Any) -> None:
        host = get_backend("cpu")
        X = host.from_host(checked_array("X", X), "float64")
        if not X.size:
            raise DataError("gradcheck: X is empty")
        dX = host.to_host(checked_array("the gradient", function(X)[1]))
        if dX.shape != X.shape:
            raise ShapeError(f"the gradient has shape {dX.shape}; X has {X.shape}")
        super().__init__(host, lambda: of_value(function(X)[0]))
        self.tensors["X"] = (X, dX)


class NetworkDifferences(Differences):
    """Differences of sum(Y * R), Y = net(X), for a float64 copy of the network with fixed masks.

    Args:
        net, X, train: as in `gradcheck`.
        seed: R is drawn from it, unless R is given: (B_out, out).
        condition: (B, condition features), if the network reads one.

    Attributes:
        Y: (B_out, out), on the host.
    """

    def __init__(
        self,
        net: Sequential,
        X: Any,
        train: bool,
        seed: int = 0,
        R: Any = None,
        condition: Any = None,
    ) -> None:
        if net.population:
            raise ConfigError("gradcheck takes one network, not a population")
        twin = net.astype("float64")
        self.ops, self.train = twin.ops, train
        self.X = self._float64(twin.accept(X))
        X_on_host = self.ops.to_host(self.X)
        C = twin.accept_condition(condition, self.X.shape[-2])
        C_on_host = None if C is None else self.ops.to_host(C)  # (B, k)
        for name, given in (("X", X_on_host), ("the condition", C_on_host)):
            if given is not None and not np.isfinite(given).all():
                raise DataError(f"gradcheck: {name} holds NaN or infinity")
        self.bound = twin.bind(self.X.shape[-2])
        shape = self.bound.output_shape
        if R is None:
            self.R = self.ops.empty(shape, "float64")  # (B_out, out)
            self.ops.fill_normal(Stream(seed, "gradcheck/loss"), 0.0, 1.0, out=self.R)
        else:
            self.R = self._float64(R)  # (B_out, out)
            if self.R.shape != shape:
                raise ShapeError(f"dY has shape {self.R.shape}; expected {shape}")
        # First a pass over the same rows in another order, to expose what a layer keeps from an
        # earlier pass, or only adds to.
        self._give(C_on_host, roll=1)
        self.bound.forward(self._float64(np.roll(X_on_host, 1, axis=0)), train=train)
        self._backward()
        self._give(C_on_host, roll=0)
        self.Y = self.ops.to_host(self.bound.forward(self.X, train=train))
        self.bound.hold(True)
        again = self.ops.to_host(self.bound.forward(self.X, train=train))
        if not np.array_equal(again, self.Y, equal_nan=True):
            raise DataError(
                "gradcheck: forward gives two results at one X. Does it change X? If it is random, "
                "it must repeat its numbers while it is told to `hold` them"
            )
        dX = self._float64(self._backward())
        super().__init__(self.ops, self._evaluate)
        self.tensors["X"] = (self.X, dX)
        grads = twin.parameters.named_grads()
        for name, value in twin.parameters.named().items():
            self.tensors[name] = (value, self._float64(grads[name]))

    def _float64(self, X: Any) -> Array:
        return self.ops.from_host(X, "float64")

    def _give(self, C: Any, roll: int) -> None:
        """Copy the condition C (B, k), its rows moved down by `roll`, to where it is read."""
        if C is not None:
            self.ops.copy(self._float64(np.roll(C, roll, axis=0)), out=self.bound.condition)

    def _backward(self) -> Array:
        """dX for a copy of R as dY: R weighs the loss, and a layer might write over it."""
        dX = self.bound.backward(self._float64(self.R))
        if dX is None:
            raise ShapeError("backward returned None; it must return dX when it is asked for")
        return dX

    def _evaluate(self) -> Evaluation:
        terms = self.ops.to_host(self.bound.forward(self.X, train=self.train)) * self.ops.to_host(
            self.R
        )
        value, scale = math.fsum(terms.ravel()), float(np.abs(terms).sum())
        return Evaluation(value, scale, sides_of(self.bound))


def sides_of(bound: Pass) -> tuple[bytes, ...]:
    """The side of its kink that each unit was on in the latest forward, for `Evaluation`."""
    kinks = [kinks for kinks in (layer.kinks() for layer in bound.layers) if kinks is not None]
    return tuple(np.sign(bound.net.ops.to_host(one)).tobytes() for one in kinks)


def differences(loss: Callable[[], float], value: Array) -> Array:
    """The gradient of a loss with respect to an array that it reads, by differences alone.

    Args:
        loss: smooth, and a function of `value`'s entries, among others.
        value: float64, on the host; it is changed in place meanwhile, and restored.

    Returns:
        d loss / d value, (like value).
    """
    numeric = np.empty(value.shape)  # (like value)
    made = Differences(get_backend("cpu"), lambda: of_value(loss()))
    for place, _, derivative in made.entries("value", value):
        numeric[place] = derivative
    return numeric


def of_value(value: float) -> Evaluation:
    """The evaluation of a smooth loss of which only the value is known."""
    value = float(value)
    return Evaluation(value, abs(value), ())


def unit(shape: tuple[int, ...], place: tuple[Any, ...]) -> Array:
    """The direction that changes only the entry at `place`."""
    u = np.zeros(shape)
    u[place] = 1.0
    return u


def bracket(place: tuple[Any, ...]) -> str:
    """A place as text: "[3, 1]"."""
    return str([int(i) for i in place])


def along(grad: Array, u: Array) -> float:
    """dT . u over the entries that u moves: a NaN elsewhere says nothing about this direction."""
    moved = u != 0
    return float((grad[moved] * u[moved]).sum())


def relative_error(analytic: float, numeric: float, grad: Array, smallest: float) -> float:
    """|a - n| / max(|a|, |n|, the gradient's rms entry, the smallest that differences resolve).

    Infinite if either is NaN or infinite.
    """
    if not (math.isfinite(analytic) and math.isfinite(numeric)):
        return math.inf
    rms = float(np.sqrt(np.mean(np.square(np.where(np.isfinite(grad), grad, 0.0)))))
    size = max(abs(analytic), abs(numeric), rms, smallest)
    return abs(analytic - numeric) / size if size else 0.0
