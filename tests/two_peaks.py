"""Teach a generator two peaks: a data source, a recipe and an experiment of one's own."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigan as mg
from minigan.command_line import positive, real
from minigan.experiment import Experiment, Options, flag


@mg.register
class TwoPeaks(mg.Distribution):
    """Half of the numbers are normal around -distance, half around distance."""

    def __init__(self, distance: float = 2.0, seed: Any = 0, device: str = "cpu") -> None:
        self.distance, self.mean, self.std = distance, 0.0, float(np.hypot(distance, 0.5))
        self.peaks = [mg.Gaussian(sign * distance, 0.5) for sign in (-1, 1)]
        super().__init__(seed, device=device)

    def fill(self, stream: mg.Stream, out: Any) -> None:
        sides = np.empty_like(out)
        self.ops.fill_uniform(stream, -1.0, 1.0, out=sides)
        self.ops.fill_normal(stream, 0.0, 0.5, out=out)
        out += np.copysign(self.distance, sides)

    def density(self, x: Any) -> Any:
        return sum(peak.density(x) for peak in self.peaks) / 2

    def cdf(self, x: Any) -> Any:
        return sum(peak.cdf(x) for peak in self.peaks) / 2

    def settings(self) -> dict[str, Any]:
        return {"distance": self.distance, "seed": self.seed}


@dataclass(frozen=True)
class Recipe:
    name: str = "plain"
    steps: int = flag(4000, positive, "training steps")
    distance: float = flag(2.0, real, "of the peaks from 0")
    hidden: int = 32
    batch: int = 64


def build(recipe: Recipe, options: Options) -> tuple[mg.GAN, mg.DataSource]:
    layers = (mg.Linear(1, recipe.hidden), mg.LeakyReLU(0.2), mg.Linear(recipe.hidden, 1))
    G = mg.Sequential(*layers, seed=options.seed, device=options.device, name="generator")
    D = mg.Sequential(*layers, seed=options.seed, device=options.device, name="discriminator")
    return mg.GAN(G, D, mg.Uniform(-1, 1)), TwoPeaks(recipe.distance, options.seed, options.device)


experiment = Experiment("two_peaks", {"plain": Recipe()}, build, help=__doc__)

if __name__ == "__main__":
    sys.exit(experiment.main())
