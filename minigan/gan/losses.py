"""What each player wants: one class a loss.

D's loss is a mean over its verdicts on real samples plus a mean over those on generated ones; G's
is a mean over D's verdicts on the samples of G's half. A loss has their gradients, which a step
needs, and their values, which are for people.

*Label smoothing* (Salimans et al. 2016, section 3.4) is a real target below one, such as
0.95: D stops short of certainty, and its weights stop growing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from minigan.backend import Array, Backend
from minigan.checks import flag, number, set_fields
from minigan.config import Part, register

LOGIT, PROBABILITY, SCORE = "logit", "probability", "score"


class Loss(Part):
    """The losses of both players. Subclasses are frozen dataclasses.

    `ops` is the backend; arrays are (n, 1), or (S, n, 1) for a population of S.

    Attributes:
        capturable: whether the two gradients are calls of `ops` on the arrays that are given, so
            that a step can be recorded and replayed. It counts only in the class that has them.
        real_target, fake_target: what D should say of real and of generated samples, where the loss
            has such targets.
    """

    kind: ClassVar[str] = "loss"
    capturable: ClassVar[bool] = False

    @property
    def output(self) -> str:
        """What D's output means: a "logit", a "probability" (D ends in a Sigmoid) or a "score"."""
        return SCORE

    def targets(self, ops: Backend, out: Array) -> None:
        """Fill out (2n, 1) with what `discriminator_gradient` aims at, once, if it has such."""

    def discriminator_gradient(self, ops: Backend, Y: Array, targets: Array, dY: Array) -> None:
        """The gradient of D's loss.

        Args:
            ops: the backend.
            Y: (2n, 1), D's verdicts: n on real samples, then n on generated ones.
            targets: (2n, 1), as `targets` filled it.
            dY: (2n, 1), where the gradient goes.
        """
        raise NotImplementedError

    def generator_gradient(self, ops: Backend, Y: Array, dY: Array) -> None:
        """The gradient dY (n, 1) of G's loss by D's verdicts Y (n, 1) on G's samples."""
        raise NotImplementedError

    def values(self, ops: Backend, real: Array, fake: Array, judged: Array, out: Array) -> None:
        """The losses of K steps.

        Args:
            ops: the backend.
            real, fake, judged: (K, n), the verdicts of each step.
            out: (K, 3): D's loss on real samples, D's on generated ones, G's.
        """
        raise NotImplementedError

    def undecided(self) -> float | None:
        """D's mean loss when it cannot tell real from fake; None if the loss has no such value."""
        return None


class _Targets(Loss):
    """What the losses below share: D is to say one number of real data and another of fake data.

    A verdict y has a term l(y, target); a loss is the mean of n terms. `_words` names the backend's
    words for that mean and for its gradient.
    """

    capturable: ClassVar[bool] = True
    real_target: float
    fake_target: float
    generator_target: float

    def _words(self, ops: Backend) -> tuple[Any, Any]:
        raise NotImplementedError

    def targets(self, ops: Backend, out: Array) -> None:
        """real_target for the first half of the rows, fake_target for the second"""
        n = out.shape[-2] // 2
        ops.fill(self.real_target, out=out[..., :n, :])
        ops.fill(self.fake_target, out=out[..., n:, :])

    def discriminator_gradient(self, ops: Backend, Y: Array, targets: Array, dY: Array) -> None:
        """dY = l'(Y, targets) / n"""
        _, gradient = self._words(ops)
        gradient(Y, targets, Y.shape[-2] // 2, out=dY)

    def generator_gradient(self, ops: Backend, Y: Array, dY: Array) -> None:
        """dY = l'(Y, generator_target) / n"""
        _, gradient = self._words(ops)
        gradient(Y, self.generator_target, Y.shape[-2], out=dY)

    def values(self, ops: Backend, real: Array, fake: Array, judged: Array, out: Array) -> None:
        """The means of l(real, real_target), l(fake, fake_target), l(judged, generator_target)"""
        mean, _ = self._words(ops)
        mean(real, self.real_target, out=out[..., 0])
        mean(fake, self.fake_target, out=out[..., 1])
        mean(judged, self.generator_target, out=out[..., 2])


class _CrossEntropy(_Targets):
    """l = -(t log p + (1 - t) log(1 - p)), of a probability p or of its logit."""

    capturable: ClassVar[bool] = True
    probabilities: bool

    def _check(self, *targets: str) -> None:
        name = type(self).__name__
        for target in targets:
            value = number(f"{name}: {target}", getattr(self, target), at_least=0.0, at_most=1.0)
            set_fields(self, **{target: value})
        set_fields(self, probabilities=flag(f"{name}: probabilities", self.probabilities))

    @property
    def output(self) -> str:
        return PROBABILITY if self.probabilities else LOGIT

    def _words(self, ops: Backend) -> tuple[Any, Any]:
        if self.probabilities:
            return ops.bce_loss, ops.bce_gradient
        return ops.bce_with_logits_loss, ops.bce_with_logits_gradient

    def undecided(self) -> float:
        """l of (a + b) / 2, the means of both targets: log 2 = 0.69 with targets 1 and 0."""
        middle = (self.real_target + self.fake_target) / 2
        if middle in (0.0, 1.0):
            return 0.0
        return -middle * math.log(middle) - (1 - middle) * math.log(1 - middle)


@register
@dataclass(frozen=True)
class NonSaturating(_CrossEntropy):
    """G minimises BCE(D(G(z)), generator_target) (Goodfellow et al. 2014, section 3).

    The same fixed point as `Minimax`, and a strong gradient where D is sure.

    Args:
        real_target: D's target on real data, in [0, 1]; below one it is label smoothing.
        fake_target: D's target on generated data, in [0, 1].
        generator_target: what G wants D to say of its samples, in [0, 1].
        probabilities: whether D ends in a Sigmoid; by default it says a logit.
    """

    capturable: ClassVar[bool] = True
    real_target: float = 1.0
    fake_target: float = 0.0
    generator_target: float = 1.0
    probabilities: bool = False

    def __post_init__(self) -> None:
        self._check("real_target", "fake_target", "generator_target")


@register
@dataclass(frozen=True)
class Minimax(_CrossEntropy):
    """G maximises D's loss BCE(D(G(z)), fake_target) (Goodfellow et al. 2014, equation 1).

    With fake_target 0 it minimises log(1 - D(G(z))), whose gradient vanishes when D is sure, which
    is when G needs it most.

    Args:
        real_target, fake_target, probabilities: as for `NonSaturating`.
    """

    capturable: ClassVar[bool] = True
    real_target: float = 1.0
    fake_target: float = 0.0
    probabilities: bool = False

    def __post_init__(self) -> None:
        self._check("real_target", "fake_target")

    @property
    def generator_target(self) -> float:  # type: ignore[override]
        """That of D, whose loss on its samples G maximises."""
        return self.fake_target

    def generator_gradient(self, ops: Backend, Y: Array, dY: Array) -> None:
        """dY = -l'(Y, fake_target) / n"""
        super().generator_gradient(ops, Y, dY)
        ops.negate(dY, out=dY)

    def values(self, ops: Backend, real: Array, fake: Array, judged: Array, out: Array) -> None:
        """The means of l(real, real_target), l(fake, fake_target) and -l(judged, fake_target)"""
        super().values(ops, real, fake, judged, out)
        ops.negate(out[..., 2], out=out[..., 2])


@register
@dataclass(frozen=True)
class LeastSquares(_Targets):
    """Squared errors (y - t)^2 of plain scores (Mao et al. 2017, "Least squares GANs").

    Args:
        real_target, fake_target: D's targets, any numbers.
        generator_target: what G wants D to say of its samples.
    """

    capturable: ClassVar[bool] = True
    real_target: float = 1.0
    fake_target: float = 0.0
    generator_target: float = 1.0

    def __post_init__(self) -> None:
        for name in ("real_target", "fake_target", "generator_target"):
            set_fields(self, **{name: number(f"LeastSquares: {name}", getattr(self, name))})

    def _words(self, ops: Backend) -> tuple[Any, Any]:
        return ops.mean_squared_error_loss, ops.mean_squared_error_gradient

    def undecided(self) -> float:
        """(m - a)^2 of the middle m of both targets a and b: 0.25 with targets 1 and 0."""
        return ((self.real_target - self.fake_target) / 2) ** 2
