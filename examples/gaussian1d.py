"""Train a GAN on the normal distribution with mean 4 and standard deviation 1.25.

A generator G turns uniform noise into numbers. A discriminator D learns to tell them from
real ones; G learns to be taken for real. Neither is ever shown a formula of the bell curve.

recipes:
  article   a 2017 tutorial's: D scores 100 samples at once with their squared deviations,
            smoothed labels, constant learning rates. Often misses, and sometimes badly.
  stable    D scores single samples by squared error, with a penalty on its slope, and learns
            faster than G; stratified noise, no momentum, falling learning rates, an averaged G.
            About ten seconds.
docs/gaussian1d.md explains each setting.

examples:
  python examples/gaussian1d.py
  python examples/gaussian1d.py --recipe article --seed 1 --out runs/mine
  python examples/gaussian1d.py --out runs/mine --resume     after an interruption
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import minigan as mg
from minigan.command_line import positive
from minigan.experiment import Experiment, flag


@dataclass(frozen=True)
class Recipe:
    """Every setting of the experiment; by default those of "stable"."""

    name: str = "stable"
    steps: int = flag(12_500, positive, "training steps; stable stretches its decay to fit")
    batch: int = 128  # real samples per step, and the number of generated ones
    pack: int = 1  # samples that D scores at once: 1, or m with their squared deviations
    d_slope: float | None = 0.2  # D's activation: LeakyReLU with this slope, or ELU for None
    loss: str = "mean_squared_error"  # D outputs a number; "bce": it ends in a sigmoid
    real_target: float = 1.0  # below 1: label smoothing
    fake_target: float = 0.0
    generator_target: float = 1.0  # the output that G wants from D
    stratified: bool = True  # a batch of noise has one number from each of its equal parts
    same_noise: bool = True  # in both halves of a step
    r1: float | None = 0.1  # weight of R1, over half of the real samples
    d_lr: float = 6e-3
    g_lr: float = 1.2e-3
    betas: tuple[float, float] = (0.0, 0.99)  # of both Adams
    decay: bool = True  # the learning rates fall linearly to zero over the run
    average: float | None = 0.9995  # decay of the moving average of G's weights
    hidden: int = 50  # width of every hidden layer
    mean: float = 4.0  # of the real data
    std: float = 1.25


RECIPES = {
    "stable": Recipe(),
    "article": Recipe(
        name="article",
        steps=30_000,
        batch=100,
        pack=100,
        d_slope=None,
        loss="bce",
        real_target=0.95,
        generator_target=0.95,
        stratified=False,
        same_noise=False,
        r1=None,
        d_lr=2e-4,
        g_lr=2e-4,
        betas=(0.9, 0.999),
        decay=False,
        average=None,
    ),
}


def build(recipe: Recipe, seed: int = 0, device: str = "cpu") -> tuple[mg.GAN, mg.Gaussian]:
    """The two networks, the game between them, and the data."""
    hidden = recipe.hidden
    G = mg.Sequential(
        mg.Linear(1, hidden),
        mg.ELU(),
        mg.Linear(hidden, hidden),
        mg.Sigmoid(),
        mg.Linear(hidden, 1),
        seed=seed,
        device=device,
        name="generator",
    )
    activation = mg.ELU() if recipe.d_slope is None else mg.LeakyReLU(recipe.d_slope)
    pack = recipe.pack  # m samples become 2 m numbers: with the squared deviations
    D = mg.Sequential(
        *([mg.Pack(pack)] if pack > 1 else []),
        mg.Linear(2 * pack if pack > 1 else 1, hidden),
        activation,
        mg.Linear(hidden, hidden),
        activation,
        mg.Linear(hidden, 1),
        *([mg.Sigmoid()] if recipe.loss == "bce" else []),
        seed=seed,
        device=device,
        name="discriminator",
    )
    decay = mg.LinearDecay(end=recipe.steps) if recipe.decay else None
    targets = (recipe.real_target, recipe.fake_target, recipe.generator_target)
    losses = {
        "bce": mg.NonSaturating(*targets, probabilities=True),
        "mean_squared_error": mg.LeastSquares(*targets),
    }
    gan = mg.GAN(
        generator=G,
        discriminator=D,
        noise=mg.Stratified(0, 1, dim=1) if recipe.stratified else mg.Uniform(0, 1, dim=1),
        loss=losses[recipe.loss],
        generator_optimizer=mg.Adam(G.parameters, recipe.g_lr, recipe.betas, decay=decay),
        discriminator_optimizer=mg.Adam(D.parameters, recipe.d_lr, recipe.betas, decay=decay),
        penalty=None if recipe.r1 is None else mg.R1(recipe.r1, recipe.batch // 2),
        average=recipe.average,
        same_noise=recipe.same_noise,
    )
    return gan, mg.Gaussian(recipe.mean, recipe.std, seed=seed, device=device)


experiment = Experiment(
    name="gaussian1d",
    title="1-D Gaussian",
    recipes=RECIPES,
    build=lambda recipe, options: build(recipe, options.seed, options.device),
    help=__doc__,
)
main = experiment.main

if __name__ == "__main__":
    sys.exit(main())
