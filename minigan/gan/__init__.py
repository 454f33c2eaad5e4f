"""Games: networks, noise, losses, and the adversarial step."""

from minigan.gan.average import MovingAverage
from minigan.gan.conditional import ConditionalGAN
from minigan.gan.consistency import Consistency
from minigan.gan.constraints import Clip, Constraint
from minigan.gan.game import Game
from minigan.gan.gan import GAN
from minigan.gan.infogan import InfoGAN
from minigan.gan.losses import Hinge, LeastSquares, Loss, Minimax, NonSaturating, Wasserstein
from minigan.gan.noise import Noise, Normal, Stratified, Uniform
from minigan.gan.penalties import (
    R1,
    DiscriminatorUpdate,
    Drift,
    GradientPenalty,
    Penalty,
    PenaltyPass,
)

__all__ = [
    "GAN",
    "R1",
    "Clip",
    "ConditionalGAN",
    "Consistency",
    "Constraint",
    "DiscriminatorUpdate",
    "Drift",
    "Game",
    "GradientPenalty",
    "Hinge",
    "InfoGAN",
    "LeastSquares",
    "Loss",
    "Minimax",
    "MovingAverage",
    "Noise",
    "NonSaturating",
    "Normal",
    "Penalty",
    "PenaltyPass",
    "Stratified",
    "Uniform",
    "Wasserstein",
]
