"""Penalties: terms that are added to D's loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from minigan.backend import Array, Stream
from minigan.checks import number, set_fields
from minigan.config import Part, register
from minigan.nn import Sequential


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


class Penalty(Part):
    """A penalty's definition. Subclasses are frozen dataclasses.

    Attributes:
        columns: its losses by name, each with the likely cause if it is the first to become NaN.
    """

    kind: ClassVar[str] = "penalty"
    columns: ClassVar[Mapping[str, str]] = {}

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
