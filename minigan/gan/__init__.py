"""Games: networks, noise, losses, and the adversarial step."""

from minigan.gan.average import MovingAverage
from minigan.gan.constraints import Clip, Constraint
from minigan.gan.game import Game
from minigan.gan.gan import GAN
from minigan.gan.losses import LeastSquares, Loss, Minimax, NonSaturating
from minigan.gan.noise import Noise, Normal, Uniform
from minigan.gan.penalties import DiscriminatorUpdate, Drift, Penalty, PenaltyPass

__all__ = [
    "GAN",
    "Clip",
    "Constraint",
    "DiscriminatorUpdate",
    "Drift",
    "Game",
    "LeastSquares",
    "Loss",
    "Minimax",
    "MovingAverage",
    "Noise",
    "NonSaturating",
    "Normal",
    "Penalty",
    "PenaltyPass",
    "Uniform",
]
