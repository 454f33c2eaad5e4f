"""The game: noise, objectives, and one adversarial step."""

from minigan.gan.average import MovingAverage
from minigan.gan.gan import GAN
from minigan.gan.noise import Noise, Normal, Uniform
from minigan.gan.objectives import Objective

__all__ = ["GAN", "MovingAverage", "Noise", "Normal", "Objective", "Uniform"]
