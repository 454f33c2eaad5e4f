"""Penalties: terms that are added to D's loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, NamedTuple

from minigan.backend import Array, Stream
from minigan.checks import flag, number, set_fields, whole
from minigan.config import Part, register
from minigan.errors import ConfigError
from minigan.nn import Sequential
from minigan.nn.second_order import SecondOrder, check_second_order

TINY = 1e-12  # a norm below it has no direction


class DiscriminatorUpdate(NamedTuple):
    """The arrays of an update of D: n samples and P outputs of each kind, real and generated."""

    D: Sequential
    real: Array  # (n, features)
    fake: Array  # (n, features)
    Y_real: Array  # (P, 1), D's outputs
    Y_fake: Array  # (P, 1)
    dY_real: Array  # (P, 1), the gradients by them
    dY_fake: Array  # (P, 1)
    stream: Stream  # the penalty's own randomness, whose position is part of the state
    condition: Array | None = None  # (n, condition features), of real and of generated samples


class Penalty(Part):
    """A penalty's definition. Subclasses are frozen dataclasses.

    Attributes:
        columns: its losses by name, each with the likely cause if it is the first to become NaN.
    """

    kind: ClassVar[str] = "penalty"
    columns: ClassVar[Mapping[str, str]] = {}

    def check_fit(self, D: Sequential) -> None:
        """Raise `ConfigError` unless D has what the penalty needs."""

    def bind(self, update: DiscriminatorUpdate) -> PenaltyPass:
        """Make what runs in every update of D, with its buffers."""
        raise NotImplementedError


class PenaltyPass:
    """A penalty bound to the arrays of D's half. One of the first two methods does the work.

    It keeps no state of its own from one step to the next.

    Attributes:
        capturable: whether both only call `ops`, on the same arrays each time. A subclass does not
            inherit it.
        keeps: arrays that `values` computes the losses from; they are copied after each step.
    """

    capturable: ClassVar[bool] = False
    keeps: Sequence[Array] = ()

    def add_to_dY(self) -> None:
        """Add to dY_real and dY_fake, before D's backward."""

    def add_to_gradients(self) -> None:
        """Add to D's `parameters.grad`, after D's backward."""

    def values(self, kept: Sequence[Array], out: Array) -> None:
        """The losses of K steps, out (K, columns), of `keeps` in each: arrays (K, numbers)."""
        raise NotImplementedError(f"{type(self).__name__} has columns, and must define values()")


@register
@dataclass(frozen=True)
class Drift(Penalty):
    """epsilon E[D(x)^2] over real x keeps D's scores near zero.

    A loss that only compares scores lets their common offset drift away (Karras et al. 2018,
    "Progressive growing of GANs", appendix A.1).

    Args:
        epsilon: the weight, > 0; that paper's is 0.001.
    """

    columns: ClassVar[Mapping[str, str]] = {"drift": "the discriminator, whose scores grow"}
    epsilon: float = 1e-3

    def __post_init__(self) -> None:
        set_fields(self, epsilon=number("Drift: epsilon", self.epsilon, above=0.0))

    def bind(self, update: DiscriminatorUpdate) -> DriftPass:
        return DriftPass(self.epsilon, update)


class DriftPass(PenaltyPass):
    capturable: ClassVar[bool] = True

    def __init__(self, epsilon: float, update: DiscriminatorUpdate) -> None:
        self.epsilon = epsilon
        self.ops = update.D.ops
        self.Y = update.Y_real  # (P, 1)
        self.dY = update.dY_real  # (P, 1)
        self.slope = self.ops.empty(self.Y.shape, update.D.dtype)  # (P, 1)
        self.keeps = (self.Y,)

    def add_to_dY(self) -> None:
        """dY += 2 epsilon Y / P"""
        self.ops.scale(self.Y, 2.0 * self.epsilon / self.Y.shape[-2], out=self.slope)
        self.ops.add(self.dY, self.slope, out=self.dY)

    def values(self, kept: Sequence[Array], out: Array) -> None:
        """epsilon times the mean of Y^2"""
        self.ops.mean_squared_error_loss(kept[0], 0.0, out=out[..., 0])
        self.ops.scale(out, self.epsilon, out=out)


class _Slopes(Penalty):
    """Penalties of the norms of D's input gradient, whose mean is the column `slope`."""

    columns: ClassVar[Mapping[str, str]] = {
        "penalty": "the discriminator, whose slope grows",
        "slope": "the discriminator, whose slope grows",
    }

    def check_fit(self, D: Sequential) -> None:
        check_second_order(D)


@register
@dataclass(frozen=True)
class GradientPenalty(_Slopes):
    """weight E[(||grad D(x)|| - 1)^2] keeps D's slope near 1 between real and generated samples.

    x = alpha real + (1 - alpha) fake, with one alpha for each pair, uniform in [0, 1) (Gulrajani et
    al. 2017, "Improved training of Wasserstein GANs", section 4). If D takes packs of samples, a
    pack is one input: it has one alpha and one norm.

    Args:
        weight: > 0; that paper's is 10.
        one_sided: penalise only slopes above 1 (that paper, section 4; Petzka et al. 2018).
    """

    weight: float = 10.0
    _: KW_ONLY
    one_sided: bool = False

    def __post_init__(self) -> None:
        set_fields(
            self,
            weight=number("GradientPenalty: weight", self.weight, above=0.0),
            one_sided=flag("GradientPenalty: one_sided", self.one_sided),
        )

    def bind(self, update: DiscriminatorUpdate) -> GradientPenaltyPass:
        return GradientPenaltyPass(self, update)


class SlopePass(PenaltyPass):
    """A penalty of the norms of D's input gradient, bound; a subclass says where, and how much."""

    capturable: ClassVar[bool] = True

    def __init__(self, update: DiscriminatorUpdate) -> None:
        D, (n, features) = update.D, update.real.shape[-2:]
        self.D, self.ops, self.real = D, D.ops, update.real  # (n, features)
        # Some penalties look at fewer samples than the update has.
        condition = None if update.condition is None else update.condition[..., :n, :]
        self.second = SecondOrder(D, n, condition)
        m = D.rows_multiple
        self.as_packs = (*D.population, n // m, m * features)  # (P, m features), P = n / m
        self.norms = D.ops.empty((*D.population, n // m, 1), D.dtype)  # (P, 1)
        self.V = D.ops.empty(update.real.shape, D.dtype)  # (n, features), gradient by grad D(x)

    def slopes(self, X: Array) -> Array:
        """grad D(x) of each pack of X (n, features), as (P, m features); fills `norms`."""
        G = self.second.input_gradient(X).reshape(self.as_packs)
        self.ops.row_norms(G, out=self.norms)
        return G


class GradientPenaltyPass(SlopePass):
    capturable: ClassVar[bool] = True

    def __init__(self, penalty: GradientPenalty, update: DiscriminatorUpdate) -> None:
        super().__init__(update)
        self.weight, self.stream = penalty.weight, update.stream
        self.fake = update.fake  # (n, features)
        self.alpha = self.ops.empty(self.norms.shape, self.D.dtype)  # (P, 1)
        self.X = self.ops.empty(self.real.shape, self.D.dtype)  # (n, features)
        #: Norms below it count as it: without a slope there is no direction to change it in; and a
        #: one-sided penalty is zero below 1.
        self.least = 1.0 if penalty.one_sided else TINY
        self.held = self.ops.empty(self.norms.shape, self.D.dtype)  # (P, 1), max(norm, least)
        self.keeps = (self.held, self.norms)

    def add_to_gradients(self) -> None:
        """The gradient of weight / P sum of (n - 1)^2, by grad D(x): 2 weight / P (1 - 1/n) grad"""
        ops, packs = self.ops, self.as_packs
        ops.fill_uniform(self.stream, 0.0, 1.0, out=self.alpha)
        real, fake, X = (A.reshape(packs) for A in (self.real, self.fake, self.X))
        ops.interpolate(real, fake, self.alpha, out=X)
        G = self.slopes(self.X)
        ops.clip(self.norms, self.least, math.inf, out=self.held)
        ops.norm_gradient(G, self.held, 2.0 * self.weight / packs[-2], out=self.V.reshape(packs))
        self.second.add_gradients(self.V, out=self.D.parameters.grad)

    def values(self, kept: Sequence[Array], out: Array) -> None:
        """weight times the mean of (n - 1)^2, and the mean norm"""
        held, norms = kept
        self.ops.mean_squared_error_loss(held, 1.0, out=out[..., 0])
        self.ops.scale(out[..., 0], self.weight, out=out[..., 0])
        self.ops.mean(norms, out=out[..., 1])


@register
@dataclass(frozen=True)
class R1(_Slopes):
    """gamma / 2 E[||grad D(x)||^2] over real x makes D flat where the data are.

    With it a GAN converges near its equilibrium, where without it may circle for ever (Mescheder,
    Geiger and Nowozin 2018, "Which training methods for GANs do actually converge?", equation 9).
    Karras et al.'s StyleGAN has the same factor 1/2; some implementations omit it.

    Args:
        gamma: > 0; that paper's is 10 for images.
        samples: how many real samples of a batch the mean is over, or None for all: the first ones,
            which are as random as the rest. Fewer cost less, and the expectation is the same.
    """

    gamma: float = 1.0
    samples: int | None = None

    def __post_init__(self) -> None:
        samples = None if self.samples is None else whole("R1: samples", self.samples, 1)
        set_fields(self, gamma=number("R1: gamma", self.gamma, above=0.0), samples=samples)

    def check_fit(self, D: Sequential) -> None:
        super().check_fit(D)
        if self.samples is not None and self.samples % D.rows_multiple:
            raise ConfigError(
                f"R1: D scores packs of {D.rows_multiple} samples, and {self.samples} are not "
                "whole packs"
            )

    def bind(self, update: DiscriminatorUpdate) -> R1Pass:
        n = update.real.shape[-2]
        if self.samples is not None and self.samples > n:
            raise ConfigError(f"R1: a batch of {n} has no {self.samples} real samples")
        return R1Pass(self.gamma, update._replace(real=update.real[..., : self.samples, :]))


class R1Pass(SlopePass):
    capturable: ClassVar[bool] = True

    def __init__(self, gamma: float, update: DiscriminatorUpdate) -> None:
        super().__init__(update)
        self.gamma = gamma
        self.keeps = (self.norms,)

    def add_to_gradients(self) -> None:
        """The gradient of gamma / 2 / P sum of n^2, by grad D(x): gamma / P grad"""
        G = self.slopes(self.real)
        self.ops.scale(G, self.gamma / self.as_packs[-2], out=self.V.reshape(self.as_packs))
        self.second.add_gradients(self.V, out=self.D.parameters.grad)

    def values(self, kept: Sequence[Array], out: Array) -> None:
        """gamma / 2 times the mean of n^2, and the mean norm"""
        self.ops.mean_squared_error_loss(kept[0], 0.0, out=out[..., 0])
        self.ops.scale(out[..., 0], self.gamma / 2, out=out[..., 0])
        self.ops.mean(kept[0], out=out[..., 1])
