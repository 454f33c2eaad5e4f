"""Layers with one fault each, of the kinds that a check of gradients at one point does not see.

The right layer is Y = scale X sigmoid(X). `under` plants a factor of 1.1 in one of its results,
where a condition holds. Faults of other kinds are small subclasses. All are in `LAYERS`.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

import minigan as mg
from minigan.nn import Binding, LayerPass, Needs

Array = Any


@dataclasses.dataclass(frozen=True)
class Swish(mg.Layer):
    """Y = scale X sigmoid(X), with a learned scale for each feature if `features` is given."""

    features: int = 0

    def output_shape(self, shape):
        if self.features not in (0, shape[1]):
            raise mg.ShapeError(f"{self} was given {shape[1]} features")
        return shape

    def parameter_shapes(self):
        return {"scale": (1, self.features)} if self.features else {}

    def initialise(self, ops, stream, tensors):
        if self.features:
            ops.fill(0.7, out=tensors["scale"])

    def bind(self, binding: Binding) -> LayerPass:
        return self.kind_of_pass(binding)


class SwishPass(LayerPass):
    latest: ClassVar[Any] = None

    def __init__(self, binding: Binding) -> None:
        super().__init__(binding)
        self.scale = binding.parameters.get("scale")  # (1, F)
        self.dscale = binding.gradients.get("scale")  # (1, F)
        self.first_scale = None if self.scale is None else self.scale.copy()
        self.forwards = 0

    def factor(self) -> Array:
        return 1.0 if self.scale is None else self.scale

    def forward(self, X: Array, train: bool) -> Array:
        self.forwards += 1
        type(self).latest = self
        self.S = 1 / (1 + np.exp(-X))
        self.Y[...] = self.factor() * X * self.S
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        if parameter_grads and self.scale is not None:
            self.dscale[...] = (dY * self.X * self.S).sum(axis=-2, keepdims=True)
        if not input_grad:
            return None
        self.dX[...] = dY * self.factor() * self.slope()
        return self.dX

    def slope(self) -> Array:
        return self.S + self.X * self.S * (1 - self.S)


Swish.kind_of_pass = SwishPass


def layer(of_pass: type = SwishPass, features: int = 0, **declared: Any) -> mg.Layer:
    """A layer of this pass; `declared` are attributes and methods of its definition."""
    return type("Planted", (Swish,), {"kind_of_pass": of_pass, **declared})(features)


# -- a factor of 1.1 in one result, under a condition ---------------------------------------

#: Where the fault is, given the pass, Y or dY, and what backward is asked for.
CONDITIONS: dict[str, Callable[..., Any]] = {
    "in float32": lambda p, A, **wanted: A.dtype == "float32",
    "for one row": lambda p, A, **wanted: A.shape[-2] == 1,
    "in evaluation": lambda p, A, **wanted: not p.train,
    "for more than 32 rows": lambda p, A, **wanted: A.shape[-2] > 32,
    "for one feature": lambda p, A, **wanted: A.shape[-1] == 1,
    "for more than 8 features": lambda p, A, **wanted: A.shape[-1] > 8,
    "where |X| > 5": lambda p, A, **wanted: np.abs(p.X) > 5,
    "where X < -3": lambda p, A, **wanted: p.X < -3,
    "where |X| < 0.01": lambda p, A, **wanted: np.abs(p.X) < 0.01,
    "in a population": lambda p, A, **wanted: A.ndim > 2,
    "in a population, but the first member": lambda p, A, **wanted: (
        np.arange(len(A)).reshape(-1, 1, 1) > 0 if A.ndim > 2 else False
    ),
    "in the pass used before the latest": lambda p, A, **wanted: type(p).latest is not p,
    "from the third forward on": lambda p, A, **wanted: p.forwards > 2,
    "for X that is no contiguous array": lambda p, A, **wanted: not p.X.flags.c_contiguous,
    "when the parameters have changed": lambda p, A, **wanted: (
        p.scale is not None and not np.array_equal(p.scale, p.first_scale)
    ),
    "where a parameter is negative": lambda p, A, **wanted: p.scale is not None and p.scale < 0,
    "in all but the last row": lambda p, A, **wanted: (
        A.shape[-2] > 40 and np.arange(A.shape[-2])[:, None] < A.shape[-2] - 1
    ),
    # of backward alone
    "for dY that is no contiguous array": lambda p, A, **wanted: not A.flags.c_contiguous,
    "where dY is large": lambda p, A, **wanted: np.abs(A) > 100,
    "where dY is small": lambda p, A, **wanted: np.abs(A) < 1e-3,
    "without the parameters' gradients": lambda p, A, **wanted: not wanted["parameter_grads"],
    "without dX": lambda p, A, **wanted: not wanted["input_grad"],
}
OF_BACKWARD = list(CONDITIONS)[-5:]
#: The condition under which a report must call such a layer wrong.
NAMES = {
    "in float32": "in float32",
    "for one row": "for 1 row at a time",
    "in evaluation": "in evaluation",
    "for more than 32 rows": "for 1,000 rows",
    "for one feature": "for 1 feature",
    "for more than 8 features": "for 96 features",
    "where |X| > 5": "for X from 0 to 20",
    "where X < -3": "for X from -20 to 0",
    "where |X| < 0.01": "for X from 0 to 20",
    "in a population": "in a population",
    "in a population, but the first member": "in a population",
    "in the pass used before the latest": "when another pass runs in between",
    "for X that is no contiguous array": "for an X with gaps in memory",
    "when the parameters have changed": "when its parameters have changed",
    "where a parameter is negative": "for parameters of both signs",
    "in all but the last row": "for 1,000 rows",
    "for dY that is no contiguous array": "for a dY with gaps in memory",
    "where dY is large": "for a large dY",
    "where dY is small": "for a small dY",
    "without the parameters' gradients": "for dX alone",
    "without dX": "for the parameters alone",
}


def under(name: str, result: str) -> mg.Layer:
    """The layer whose `result` ("Y", "dX" or "dscale") is wrong under a condition."""
    condition = CONDITIONS[name]

    class Pass(SwishPass):
        def forward(self, X, train):
            Y = super().forward(X, train)
            if result == "Y":
                Y *= 1 + 0.1 * condition(self, Y)
            return Y

        def backward(self, dY, **wanted):
            factor = 1 + 0.1 * condition(self, dY, **wanted)
            if result == "dscale":  # computed first, from a wrong dY
                super().backward(dY * factor, **{**wanted, "input_grad": False})
                return super().backward(dY, parameter_grads=False) if wanted["input_grad"] else None
            dX = super().backward(dY, **wanted)
            if result == "dX" and dX is not None:
                dX *= factor
            return dX

    learns = result == "dscale" or "parameter" in name
    return layer(Pass, features=3 if learns else 0)


IMPOSSIBLE = {  # conditions that never hold where the result is computed
    *itertools.product(OF_BACKWARD, ["Y"]),
    ("in the pass used before the latest", "Y"),
    ("without the parameters' gradients", "dscale"),
    ("without dX", "dX"),
    ("when the parameters have changed", "Y"),  # forward alone decides what is right
    ("where a parameter is negative", "Y"),
}
LAYERS: dict[str, mg.Layer] = {
    f"{result} {name}": under(name, result)
    for name, result in itertools.product(CONDITIONS, ("Y", "dX", "dscale"))
    if (name, result) not in IMPOSSIBLE
}
#: What the report of each must say; the others are found by the first table of gradients.
SAID = {
    f"{result} {name}": f"wrong {named}: "
    for name, named in NAMES.items()
    for result in ("Y", "dX", "dscale")
}


# -- faults of other kinds --------------------------------------------------------------------


def planted(
    name: str, said: str = "", features: int = 0, **declared: Any
) -> Callable[[type], type]:
    """Add a layer of the decorated pass to `LAYERS`, and what its report says to `SAID`."""

    def add(of_pass: type) -> type:
        LAYERS[name] = layer(of_pass, features, **declared)
        if said:
            SAID[name] = said
        return of_pass

    return add


@planted("backward changes its dY", "dY was changed")
class ChangesDY(SwishPass):
    def backward(self, dY, **wanted):
        dX = super().backward(dY, **wanted)
        dY *= 0.5
        return dX


@planted("backward returns dX in dY", "dY was changed")
class InDY(SwishPass):
    def backward(self, dY, **wanted):
        dY *= self.slope()
        return dY


@planted("forward changes its X", "X was changed")
class ChangesX(SwishPass):
    def forward(self, X, train):
        super().forward(X, train)
        np.clip(X, -2.0, 2.0, out=X)
        return self.Y


@planted("dX is written over X")
class OverX(SwishPass):
    def backward(self, dY, **wanted):
        self.X[...] = super().backward(dY, **wanted)
        return self.X


@planted("backward changes Y", "Y was changed")
class ChangesY(SwishPass):
    def backward(self, dY, **wanted):
        dX = super().backward(dY, **wanted)
        self.Y[...] = 0.0
        return dX


@planted("large gradients are clipped", "wrong for a large dY")
class Clips(SwishPass):
    def backward(self, dY, **wanted):
        dX = super().backward(dY, **wanted)
        return dX if dX is None else np.clip(dX, -10.0, 10.0, out=dX)


@planted("the gradient's norm is clipped", "wrong for a large dY")
class ClipsNorm(SwishPass):
    def backward(self, dY, **wanted):
        dX = super().backward(dY, **wanted)
        if dX is not None:
            dX *= min(1.0, 1e3 / max(np.linalg.norm(dX), 1e-30))
        return dX


@planted("NaN for a dY of zeros", "wrong for a dY of zeros")
class NormOfDY(SwishPass):
    def backward(self, dY, **wanted):
        norm = np.linalg.norm(dY)
        dX = super().backward(dY / norm, **wanted)
        return dX if dX is None else np.multiply(dX, norm, out=dX)


@planted("nothing is written for a dY of zeros", "wrong for a dY of zeros")
class ReturnsEarly(SwishPass):
    def backward(self, dY, **wanted):
        return super().backward(dY, **wanted) if dY.any() else self.dX


@planted("dscale is not written for a dY of zeros", "wrong for a dY of zeros", features=3)
class LeavesParameters(SwishPass):
    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        some = parameter_grads and bool(dY.any())
        return super().backward(dY, parameter_grads=some, input_grad=input_grad)


@planted("dX is NaN where X is 0", "wrong where X is 0")
class NaNAtZero(SwishPass):
    def slope(self):
        return self.X * super().slope() / self.X


@planted("Y is NaN where X is 0", "wrong where X is 0: Y is NaN")
class YNaNAtZero(SwishPass):
    def forward(self, X, train):
        super().forward(X, train)
        self.Y *= X / X
        return self.Y


@planted("the parameters' gradients add up", features=3)
class AddsUp(SwishPass):
    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        before = self.dscale.copy()
        dX = super().backward(dY, parameter_grads=parameter_grads, input_grad=input_grad)
        self.dscale += before * parameter_grads
        return dX


@planted("backward uses up what forward kept", "wrong in a second backward")
class UsesUp(SwishPass):
    def backward(self, dY, **wanted):
        dX = super().backward(dY, **wanted)
        self.S *= 0.5
        return dX


@planted("dX adds up")
class DXAddsUp(SwishPass):
    def backward(self, dY, **wanted):
        before = self.dX.copy()
        dX = super().backward(dY, **wanted)
        return dX if dX is None else np.add(dX, before, out=dX)


@planted(
    "the parameters' gradients are written unasked",
    "a parameter's gradient was changed",
    features=3,
)
class Unasked(SwishPass):
    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        return super().backward(dY, parameter_grads=True, input_grad=input_grad)


@planted("in_place, but backward reads X", "wrong in Linear, it, Dropout", in_place=True)
class NotInPlace(SwishPass):
    pass


@planted(
    "in_place, but dX is written before dY was read",
    "wrong in Linear, it, Dropout",
    in_place=True,
    needs=Needs.VALUES,
)
class WritesFirst(SwishPass):
    def forward(self, X, train):
        self.keep = X.copy()
        return super().forward(X, train)

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        X = self.keep
        self.dX[...] = self.S + X * self.S * (1 - self.S)
        self.dX[...] *= dY
        return self.dX


class FromY(SwishPass):
    """Y = tanh(X), differentiated from Y."""

    def forward(self, X, train):
        np.tanh(X, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        np.multiply(dY, 1 - self.Y**2, out=self.dX)
        return self.dX


LAYERS["needs nothing, but backward reads Y"] = layer(FromY, needs=Needs.NOTHING)
LAYERS["needs signs, but backward reads Y"] = layer(FromY, needs=Needs.SIGNS)


@planted(
    "keeps_signs, but changes them",
    "wrong in Linear, LeakyReLU, it, Sigmoid",
    in_place=True,
    needs=Needs.NOTHING,
    keeps_signs=True,
)
class Negates(SwishPass):
    def forward(self, X, train):
        np.negative(X, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        np.negative(dY, out=self.dX)
        return self.dX


@planted("wrong below -0.5, where it declares kinks", "wrong for X from -20 to 0")
class Kinky(SwishPass):
    def slope(self):
        return super().slope() * (1 - 0.1 * (self.X < -0.5))

    def kinks(self):
        return np.where(self.X < -0.5, np.random.default_rng().normal(size=self.X.shape), 1.0)


@planted("wrong, and declares kinks everywhere")
class AllKinks(SwishPass):
    def slope(self):
        return 1.1 * super().slope()

    def kinks(self):
        return np.random.default_rng().normal(size=self.X.shape)


@planted("wrong, and declares a kink at each large number", features=3)
class SomeKinks(SwishPass):
    def slope(self):
        return super().slope() * (1 + 0.1 * (np.abs(self.X) > 1))

    def kinks(self):
        far = np.abs(self.X) > 1
        return np.where(far, np.random.default_rng().normal(size=self.X.shape), 1.0)


class Centred(SwishPass):
    """Y = X - the mean row."""

    def forward(self, X, train):
        np.subtract(X, X.mean(axis=-2, keepdims=True), out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        np.subtract(dY, dY.mean(axis=-2, keepdims=True), out=self.dX)
        return self.dX


LAYERS["mixes rows without saying so"] = layer(Centred)


LAYERS["declares that rows are alone in evaluation"] = layer(
    Centred, mixes_rows=True, mixes_rows_in_evaluation=False
)


@planted("mixes rows in evaluation alone", "wrong in evaluation for 1 row at a time")
class CentredInEvaluation(Centred):
    def forward(self, X, train):
        return SwishPass.forward(self, X, train) if train else super().forward(X, train)

    def backward(self, dY, **wanted):
        of_pass = SwishPass if self.train else Centred
        return of_pass.backward(self, dY, **wanted)


@planted("mixes rows, and is wrong for more than 32", "wrong for 1,000 rows", mixes_rows=True)
class CentredWrong(Centred):
    def backward(self, dY, **wanted):
        dX = super().backward(dY, **wanted)
        dX *= 1 + 0.1 * (dY.shape[-2] > 32)
        return dX


@planted("mixes rows, and is wrong for one", "wrong for 1 row", mixes_rows=True)
class CentredOne(Centred):
    def backward(self, dY, **wanted):
        dX = super().backward(dY, **wanted)
        dX += dY.shape[-2] == 1
        return dX


@planted("rows_multiple of 2, wrong for more than 32 rows", "wrong for 1,000 rows", rows_multiple=2)
class PairsWrong(SwishPass):
    def slope(self):
        return super().slope() * (1 + 0.1 * (self.X.shape[-2] > 32))


class Replayable(LayerPass):
    """Y = 2 X, by functions of the backend."""

    capturable = True

    def forward(self, X, train):
        self.ops.add(X, X, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        self.ops.add(dY, dY, out=self.dX)
        return self.dX


@planted("capturable, but reads a value", "wrong when replayed")
class ReadsValue(Replayable):
    capturable = True

    def forward(self, X, train):
        self.ops.scale(X, 2.0 if X[0, 0] > 0 else 0.5, out=self.Y)
        self.positive = bool(X[0, 0] > 0)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        self.ops.scale(dY, 2.0 if self.positive else 0.5, out=self.dX)
        return self.dX


@planted("capturable, but branches on a large value", "wrong when replayed", mixes_rows=True)
class ReadsLarge(Replayable):
    capturable = True

    def forward(self, X, train):
        self.factor = 0.5 if np.abs(X).max() > 5 else 2.0
        self.ops.scale(X, self.factor, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        self.ops.scale(dY, self.factor, out=self.dX)
        return self.dX


@planted("capturable, but keeps a flag of its own", "wrong when replayed")
class KeepsFlag(Replayable):
    capturable = True

    def forward(self, X, train):
        self.large = np.abs(X) > 1
        return super().forward(X, train)

    def backward(self, dY, **wanted):
        dX = super().backward(dY, **wanted)
        self.ops.copy(dX * np.where(self.large, 1.0, 1.0), out=self.dX)
        return self.dX


@planted(
    "the scale of the binding is kept for backward",
    "wrong when its parameters have changed",
    features=3,
)
class CachesScale(SwishPass):
    def backward(self, dY, **wanted):
        now, self.scale = self.scale, self.first_scale
        dX = super().backward(dY, **wanted)
        self.scale = now
        return dX


class OnDefinition(SwishPass):
    kept: ClassVar[dict[Any, Any]] = {}

    def forward(self, X, train):
        OnDefinition.kept[X.shape] = X
        return super().forward(X, train)

    def slope(self):
        X = OnDefinition.kept[self.X.shape]
        S = 1 / (1 + np.exp(-X))
        return S + X * S * (1 - S)


LAYERS["what forward keeps is shared by all passes"] = layer(OnDefinition)


@planted("what forward keeps is on one stack", "wrong when another pass runs in between")
class OnStack(SwishPass):
    stack: ClassVar[list[Any]] = []

    def forward(self, X, train):
        OnStack.stack.append(X)
        return super().forward(X, train)

    def slope(self):
        X = OnStack.stack[-1]
        S = 1 / (1 + np.exp(-X))
        return S + X * S * (1 - S)

    def backward(self, dY, **wanted):
        dX = super().backward(dY, **wanted)
        del OnStack.stack[-1]
        return dX


@planted("random numbers that are of no stream", "wrong when it is made again")
class OwnRandom(SwishPass):
    def forward(self, X, train):
        if not self.hold:
            self.noise = np.random.default_rng().uniform(1, 2, size=X.shape)
        np.multiply(X, self.noise, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        np.multiply(dY, self.noise, out=self.dX)
        return self.dX


@planted("each member of a population draws the same numbers", "wrong in a population")
class SameNoise(SwishPass):
    def forward(self, X, train):
        if not self.hold:
            self.noise = np.empty(X.shape[-2:], X.dtype)
            stream = mg.Stream(self.stream.seeds[0], "mine", self.stream.position)
            self.ops.fill_uniform(stream, 1.0, 2.0, out=self.noise)
            self.stream.advance(100)
        np.multiply(X, self.noise, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        np.multiply(dY, self.noise, out=self.dX)
        return self.dX

    def __init__(self, binding):
        super().__init__(binding)
        self.stream = binding.stream


LAYERS["output_shape has too many features"] = layer(
    SwishPass, output_shape=lambda self, shape: (shape[0], 2 * shape[1])
)


@planted(
    "output_shape has features that are never written",
    "Y is not written",
    output_shape=lambda self, shape: (shape[0], 2 * shape[1]),
)
class HalfWritten(SwishPass):
    def forward(self, X, train):
        self.Y[..., : X.shape[-1]] = X
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        self.dX[...] = dY[..., : self.dX.shape[-1]]
        return self.dX


LAYERS["output_shape has fewer rows for large batches"] = layer(
    SwishPass, output_shape=lambda self, shape: (min(shape[0], 64), shape[1])
)


@planted("float64 whatever the network computes in", "wrong in float32: dX is float64")
class AlwaysWide(SwishPass):
    def backward(self, dY, **wanted):
        dX = super().backward(dY, **wanted)
        return dX if dX is None else dX.astype("float64")


@planted("a threshold that float32 cannot tell from 0", "wrong in float32")
class Threshold(SwishPass):
    def slope(self):
        one = self.X.dtype.type(1)
        return super().slope() * ((one + self.X.dtype.type(1e-9)) - one) / 1e-9


@planted("forward is skipped for an array that it has seen")
class Skips(SwishPass):
    seen = None

    def forward(self, X, train):
        if X is not self.seen:
            super().forward(X, train)
            self.kept = self.Y.copy()
        self.seen = X
        self.Y[...] = self.kept
        return self.Y


@planted("evaluation works with the training's numbers", "wrong in evaluation")
class EvaluationDrops(SwishPass):
    def forward(self, X, train):
        self.mask = 2.0 if train else 1.0
        np.multiply(X, self.mask, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        np.multiply(dY, 2.0, out=self.dX)
        return self.dX


@planted("eval keeps the mask of training", "wrong in evaluation after training")
class KeepsMask(SwishPass):
    mask = 1.0

    def forward(self, X, train):
        self.mask = 2.0 if train else self.mask
        np.multiply(X, self.mask, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        np.multiply(dY, self.mask, out=self.dX)
        return self.dX


@planted("training keeps the mask of evaluation", "wrong after other batches")
class KeepsNoMask(KeepsMask):
    mask = 2.0

    def forward(self, X, train):
        self.mask = self.mask if train else 1.0
        np.multiply(X, self.mask, out=self.Y)
        return self.Y


@planted(
    "evaluation changes a buffer",
    "wrong in evaluation after training: a buffer was changed",
    buffer_shapes=lambda self: {"seen": (1, 1)},
)
class ChangesBuffer(SwishPass):
    def __init__(self, binding):
        super().__init__(binding)
        self.seen = binding.buffers["seen"]

    def forward(self, X, train):
        self.seen += 1.0
        return super().forward(X, train)


SAID |= {
    "mixes rows without saying so": "wrong for 1 row at a time",
    "declares that rows are alone in evaluation": "wrong in evaluation for 1 row at a time",
    "needs nothing, but backward reads Y": "wrong in Linear, it, Dropout",
    "needs signs, but backward reads Y": "wrong in Linear, it, Dropout",
    "what forward keeps is shared by all passes": "wrong when another pass runs in between",
    "output_shape has fewer rows for large batches": "wrong for 1,000 rows",
}
