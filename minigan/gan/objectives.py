"""What each player wants.

The discriminator D minimises  BCE(D(x), real target) + BCE(D(G(z)), fake target).
The generator G plays one of two games against it (Goodfellow et al. 2014, section 3):

* minimax:         maximise BCE(D(G(z)), fake target), that is minimise log(1 - D(G(z)));
                   its gradient vanishes when D is sure, which is when G needs it most;
* non-saturating:  minimise BCE(D(G(z)), generator target): same fixed point, strong
                   gradient where D is sure.

*Label smoothing* (Salimans et al. 2016, section 3.4) is a real target below one, such as
0.95: D stops short of certainty, and its weights stop growing.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from minigan.backend import Array, Backend
from minigan.checks import number, set_fields
from minigan.errors import ConfigError

GAMES = ("non_saturating", "minimax")
LOSSES = ("bce_with_logits", "bce", "mean_squared_error")


@dataclass(frozen=True)
class Objective:
    """The losses of both players, and the targets they aim at.

    Args:
        game: "non_saturating" or "minimax".
        loss: "bce_with_logits" for a D that ends in a Linear; "bce" for one that ends in a
            Sigmoid; "mean_squared_error" gives the least-squares GAN (Mao et al. 2017).
        real_target: D's target on real data; below one it is label smoothing.
        fake_target: D's target on generated data.
        generator_target: what G wants D to say of its samples (non-saturating game only).
    """

    game: str = "non_saturating"
    loss: str = "bce_with_logits"
    real_target: float = 1.0
    fake_target: float = 0.0
    generator_target: float = 1.0

    def __post_init__(self) -> None:
        if self.game not in GAMES:
            raise ConfigError(f"unknown game {self.game!r}; choose from {', '.join(GAMES)}")
        if self.loss not in LOSSES:
            raise ConfigError(f"unknown loss {self.loss!r}; choose from {', '.join(LOSSES)}")
        for name in ("real_target", "fake_target", "generator_target"):
            bounds = {} if self.loss == "mean_squared_error" else {"at_least": 0.0, "at_most": 1.0}
            value = number(f"Objective: {name}", getattr(self, name), **bounds)
            set_fields(self, **{name: value})

    def discriminator_gradient(
        self, ops: Backend, Y: Array, targets: Array, n: int, dY: Array
    ) -> None:
        """dY of D's loss, the mean over n real verdicts plus the mean over n fake ones.

        Args:
            ops: the backend.
            Y: D's verdicts (2n, 1), those on real data first.
            targets: (2n, 1), as `targets` fills it.
            n: how many of each there are.
            dY: (2n, 1), where the gradient goes.
        """
        getattr(ops, f"{self.loss}_gradient")(Y, targets, n, out=dY)

    def targets(self, ops: Backend, out: Array) -> None:
        """out (2n, 1) = what D should say: the first half of it of real data."""
        n = out.shape[-2] // 2
        ops.fill(self.real_target, out=out[..., :n, :])
        ops.fill(self.fake_target, out=out[..., n:, :])

    def generator_gradient(self, ops: Backend, Y: Array, dY: Array) -> None:
        """dY of G's loss with respect to D's verdicts Y (n, 1) on its samples."""
        gradient = getattr(ops, f"{self.loss}_gradient")
        if self.game == "non_saturating":
            gradient(Y, self.generator_target, Y.shape[-2], out=dY)
        else:
            gradient(Y, self.fake_target, Y.shape[-2], out=dY)
            ops.negate(dY, out=dY)

    def losses(self, ops: Backend, verdicts: Array, out: Array) -> None:
        """The losses of K steps from their verdicts.

        Args:
            ops: the backend.
            verdicts: (K, 3n): of each step, n on real data, n on fake data in D's half, and n
                in G's half.
            out: (K, 3): D's loss on real data, D's loss on fake data, G's loss.
        """
        loss = getattr(ops, f"{self.loss}_loss")
        n = verdicts.shape[-1] // 3
        loss(verdicts[..., :n], self.real_target, out=out[..., 0])
        loss(verdicts[..., n : 2 * n], self.fake_target, out=out[..., 1])
        if self.game == "non_saturating":
            loss(verdicts[..., 2 * n :], self.generator_target, out=out[..., 2])
        else:
            loss(verdicts[..., 2 * n :], self.fake_target, out=out[..., 2])
            ops.negate(out[..., 2], out=out[..., 2])

    def undecided(self) -> float:
        """D's mean loss when it cannot tell real from fake: when it always says (a + b) / 2.

        log 2 = 0.69 for cross-entropy with targets 1 and 0; 0.25 for squared error.
        """
        a, b = self.real_target, self.fake_target
        middle = (a + b) / 2
        if self.loss == "mean_squared_error":
            return ((middle - a) ** 2 + (middle - b) ** 2) / 2
        if middle in (0.0, 1.0):
            return 0.0
        return -middle * math.log(middle) - (1 - middle) * math.log(1 - middle)

    def to_config(self) -> dict[str, Any]:
        """The definition as JSON."""
        return asdict(self)


def objective_from_config(config: dict[str, Any]) -> Objective:
    """Rebuild an objective from `Objective.to_config()`; `ConfigError` if it is not one."""
    try:
        return Objective(**config)
    except (LookupError, TypeError, ValueError) as error:
        raise ConfigError(f"not an objective's definition: {config!r}") from error
