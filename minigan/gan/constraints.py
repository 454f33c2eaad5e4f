"""Constraints: what D's parameters must satisfy after each of its updates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minigan.backend import Backend
from minigan.checks import number, set_fields
from minigan.config import Part, register
from minigan.nn import Parameters


class Constraint(Part):
    """A constraint's definition. Subclasses are frozen dataclasses.

    Attributes:
        capturable: whether `apply` only calls `ops`, on the parameters. A subclass does not inherit
            it.
    """

    kind: ClassVar[str] = "constraint"
    capturable: ClassVar[bool] = False

    def apply(self, ops: Backend, parameters: Parameters) -> None:
        """Move the parameters to the nearest values that satisfy the constraint."""
        raise NotImplementedError


@register
@dataclass(frozen=True)
class Clip(Constraint):
    """Every parameter is held in [-limit, limit] (Arjovsky et al. 2017, "Wasserstein GAN", alg. 1).

    Args:
        limit: > 0; that paper's is 0.01.
    """

    capturable: ClassVar[bool] = True
    limit: float = 0.01

    def __post_init__(self) -> None:
        set_fields(self, limit=number("Clip: limit", self.limit, above=0.0))

    def apply(self, ops: Backend, parameters: Parameters) -> None:
        """w = min(max(w, -limit), limit)"""
        ops.clip(parameters.data, -self.limit, self.limit, out=parameters.data)
