"""The losses of both players, one class per loss.

D's loss is a mean over its outputs on real samples plus a mean over those on generated ones; G's is
a mean over D's outputs on the samples of G's half. A step needs their gradients; their values are
only reported.

*Label smoothing* (Salimans et al. 2016, section 3.4) is a real target below one, such as
0.95: D stops short of certainty, and its weights stop growing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from minigan.backend import Array, Backend
from minigan.checks import flag, number, set_fields
from minigan.config import Part, register

LOGIT, PROBABILITY, SCORE = "logit", "probability", "score"


class Loss(Part):
    """The losses of both players. Subclasses are frozen dataclasses.

    `ops` is the backend; arrays are (n, 1), or (S, n, 1) for a population of S.

    Attributes:
        capturable: whether the two gradients are calls of `ops` on the given arrays alone, so that
            a step can be recorded and replayed. A subclass does not inherit it.
        real_target, fake_target: D's targets for real and for generated samples, if the loss has
            targets.
        columns: numbers that `values` reports after the three losses, by name, each with the likely
            cause if it is the first to become NaN.
    """

    kind: ClassVar[str] = "loss"
    capturable: ClassVar[bool] = False
    columns: ClassVar[Mapping[str, str]] = {}

    @property
    def output(self) -> str:
        """What D's output means: a "logit", a "probability" (D ends in a Sigmoid) or a "score"."""
        return SCORE

    def targets(self, ops: Backend, out: Array) -> None:
        """Fill out (2n, 1) with the targets of `discriminator_gradient`, if it has any."""

    def discriminator_gradient(self, ops: Backend, Y: Array, targets: Array, dY: Array) -> None:
        """The gradient of D's loss.

        Args:
            ops: the backend.
            Y: (2n, 1), D's outputs: n on real samples, then n on generated ones.
            targets: (2n, 1), as `targets` filled it.
            dY: (2n, 1), where the gradient goes.
        """
        raise NotImplementedError

    def generator_gradient(self, ops: Backend, Y: Array, dY: Array) -> None:
        """The gradient dY (n, 1) of G's loss by D's outputs Y (n, 1) on G's samples."""
        raise NotImplementedError

    def values(self, ops: Backend, real: Array, fake: Array, for_g: Array, out: Array) -> None:
        """The losses of K steps.

        Args:
            ops: the backend.
            real, fake: (K, n), D's outputs in its half of each step.
            for_g: (K, n), D's outputs in G's half.
            out: (K, 3): D's loss on real samples, D's on generated ones, G's; then `columns`.
        """
        raise NotImplementedError

    def undecided(self) -> float | None:
        """D's mean loss when it cannot tell real from fake; None if the loss has no such value."""
        return None


class _Targets(Loss):
    """Losses with one target for real samples and one for generated samples.

    An output y has a term l(y, target), and a loss is the mean of n terms. `_kernels` returns the
    backend's functions for that mean and for its gradient.
    """

    capturable: ClassVar[bool] = True
    bounds: ClassVar[dict[str, float]] = {}  # of the targets, as of `number`
    real_target: float
    fake_target: float
    generator_target: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name.endswith("_target"):
                checked = number(f"{type(self).__name__}: {name}", value, **self.bounds)
                set_fields(self, **{name: checked})

    def _kernels(self, ops: Backend) -> tuple[Any, Any]:
        raise NotImplementedError

    def targets(self, ops: Backend, out: Array) -> None:
        """real_target for the first half of the rows, fake_target for the second"""
        n = out.shape[-2] // 2
        ops.fill(self.real_target, out=out[..., :n, :])
        ops.fill(self.fake_target, out=out[..., n:, :])

    def discriminator_gradient(self, ops: Backend, Y: Array, targets: Array, dY: Array) -> None:
        """dY = l'(Y, targets) / n"""
        _, gradient = self._kernels(ops)
        gradient(Y, targets, Y.shape[-2] // 2, out=dY)

    def generator_gradient(self, ops: Backend, Y: Array, dY: Array) -> None:
        """dY = l'(Y, generator_target) / n"""
        _, gradient = self._kernels(ops)
        gradient(Y, self.generator_target, Y.shape[-2], out=dY)

    def values(self, ops: Backend, real: Array, fake: Array, for_g: Array, out: Array) -> None:
        """The means of l(real, real_target), l(fake, fake_target), l(for_g, generator_target)"""
        mean, _ = self._kernels(ops)
        mean(real, self.real_target, out=out[..., 0])
        mean(fake, self.fake_target, out=out[..., 1])
        mean(for_g, self.generator_target, out=out[..., 2])


class _CrossEntropy(_Targets):
    """l = -(t log p + (1 - t) log(1 - p)), of a probability p or of its logit."""

    capturable: ClassVar[bool] = True
    bounds: ClassVar[dict[str, float]] = {"at_least": 0.0, "at_most": 1.0}
    probabilities: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        name = f"{type(self).__name__}: probabilities"
        set_fields(self, probabilities=flag(name, self.probabilities))

    @property
    def output(self) -> str:
        return PROBABILITY if self.probabilities else LOGIT

    def _kernels(self, ops: Backend) -> tuple[Any, Any]:
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

    The same fixed point as `Minimax`, and a strong gradient where D is certain.

    Args:
        real_target: D's target on real data, in [0, 1]; below one it is label smoothing.
        fake_target: D's target on generated data, in [0, 1].
        generator_target: G's target for D's output on its samples, in [0, 1].
        probabilities: whether D ends in a Sigmoid; by default its output is a logit.
    """

    capturable: ClassVar[bool] = True
    real_target: float = 1.0
    fake_target: float = 0.0
    generator_target: float = 1.0
    _: KW_ONLY
    probabilities: bool = False


@register
@dataclass(frozen=True)
class Minimax(_CrossEntropy):
    """G maximises D's loss BCE(D(G(z)), fake_target) (Goodfellow et al. 2014, equation 1).

    With fake_target 0 it minimises log(1 - D(G(z))), whose gradient vanishes when D is certain,
    which is when G needs it most.

    Args:
        real_target, fake_target, probabilities: as for `NonSaturating`.
    """

    capturable: ClassVar[bool] = True
    real_target: float = 1.0
    fake_target: float = 0.0
    _: KW_ONLY
    probabilities: bool = False

    @property
    def generator_target(self) -> float:  # type: ignore[override]
        """The fake target: G maximises D's loss on its samples."""
        return self.fake_target

    def generator_gradient(self, ops: Backend, Y: Array, dY: Array) -> None:
        """dY = -l'(Y, fake_target) / n"""
        super().generator_gradient(ops, Y, dY)
        ops.negate(dY, out=dY)

    def values(self, ops: Backend, real: Array, fake: Array, for_g: Array, out: Array) -> None:
        """The means of l(real, real_target), l(fake, fake_target) and -l(for_g, fake_target)"""
        super().values(ops, real, fake, for_g, out)
        ops.negate(out[..., 2], out=out[..., 2])


@register
@dataclass(frozen=True)
class LeastSquares(_Targets):
    """Squared errors (y - t)^2 of plain scores (Mao et al. 2017, "Least squares GANs").

    Args:
        real_target, fake_target: D's targets, any numbers.
        generator_target: G's target for D's output on its samples.
    """

    capturable: ClassVar[bool] = True
    real_target: float = 1.0
    fake_target: float = 0.0
    generator_target: float = 1.0

    def _kernels(self, ops: Backend) -> tuple[Any, Any]:
        return ops.mean_squared_error_loss, ops.mean_squared_error_gradient

    def undecided(self) -> float:
        """(m - a)^2 of the middle m of both targets a and b: 0.25 with targets 1 and 0."""
        return ((self.real_target - self.fake_target) / 2) ** 2


class _Scores(Loss):
    """Losses of a *critic*, a D whose scores are high on real samples; G maximises them."""

    capturable: ClassVar[bool] = True

    def generator_gradient(self, ops: Backend, Y: Array, dY: Array) -> None:
        """dY = -1 / n"""
        ops.fill(-1.0 / Y.shape[-2], out=dY)


@register
@dataclass(frozen=True)
class Wasserstein(_Scores):
    """D maximises E D(real) - E D(fake); G maximises E D(fake) (Arjovsky et al. 2017, section 3).

    If D's slope is at most 1 everywhere, the difference of its scores is at most the Wasserstein
    distance of the two distributions. The column `estimate` is that difference. A constraint
    (`Clip`) or a penalty (`GradientPenalty`) keeps the slope small.
    """

    capturable: ClassVar[bool] = True
    columns: ClassVar[Mapping[str, str]] = {"estimate": "the discriminator, whose scores grow"}

    def discriminator_gradient(self, ops: Backend, Y: Array, targets: Array, dY: Array) -> None:
        """dY = -1 / n on real samples, 1 / n on generated ones"""
        n = Y.shape[-2] // 2
        ops.fill(-1.0 / n, out=dY[..., :n, :])
        ops.fill(1.0 / n, out=dY[..., n:, :])

    def values(self, ops: Backend, real: Array, fake: Array, for_g: Array, out: Array) -> None:
        """-mean(real), mean(fake), -mean(for_g), mean(real) - mean(fake)"""
        ops.mean(real, out=out[..., 0])
        ops.negate(out[..., 0], out=out[..., 0])
        ops.mean(fake, out=out[..., 1])
        ops.mean(for_g, out=out[..., 2])
        ops.negate(out[..., 2], out=out[..., 2])
        ops.add(out[..., 0], out[..., 1], out=out[..., 3])
        ops.negate(out[..., 3], out=out[..., 3])


@register
@dataclass(frozen=True)
class Hinge(_Scores):
    """D minimises max(0, 1 - y) on real and max(0, 1 + y) on generated samples; G maximises E y.

    Samples beyond the margin, with y > 1 or y < -1, do not move D (Lim and Ye 2017, "Geometric
    GAN", section 3).
    """

    capturable: ClassVar[bool] = True

    def targets(self, ops: Backend, out: Array) -> None:
        """1 for the first half of the rows, -1 for the second"""
        n = out.shape[-2] // 2
        ops.fill(1.0, out=out[..., :n, :])
        ops.fill(-1.0, out=out[..., n:, :])

    def discriminator_gradient(self, ops: Backend, Y: Array, targets: Array, dY: Array) -> None:
        """dY = -t / n where t y < 1, else 0"""
        ops.hinge_gradient(Y, targets, Y.shape[-2] // 2, out=dY)

    def values(self, ops: Backend, real: Array, fake: Array, for_g: Array, out: Array) -> None:
        """The means of max(0, 1 - real) and max(0, 1 + fake), and -mean(for_g)"""
        ops.hinge_loss(real, 1.0, out=out[..., 0])
        ops.hinge_loss(fake, -1.0, out=out[..., 1])
        ops.mean(for_g, out=out[..., 2])
        ops.negate(out[..., 2], out=out[..., 2])

    def undecided(self) -> float:
        """1: the score is 0."""
        return 1.0
