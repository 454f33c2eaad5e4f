"""Train a GAN on handwritten digits (or clothes).

A generator G turns 100 random numbers into an image. A discriminator D learns to tell such
images from real ones; G learns to be taken for real.

recipes:
  article   a 2017 tutorial's: dropout in both networks, Adam with momentum, constant rates
  stable    dropout in D alone, no momentum, a G that learns faster than D, falling rates,
            an averaged G
docs/mnist.md explains each setting.

examples:
  python examples/mnist.py
  python examples/mnist.py --data-dir ~/mnist --recipe article --out runs/mine
  python examples/mnist.py --out runs/mine --resume       after an interruption
  python examples/mnist.py --data digits                  offline, about a minute
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import minigan as mg
from minigan.command_line import positive
from minigan.experiment import Options, flag, images
from minigan.training.schedule import epoch_end


@dataclass(frozen=True)
class Recipe:
    """Every setting of the experiment; by default those of "stable"."""

    name: str = "stable"
    data: str = images.data_flag()
    epochs: int = images.epochs_flag()
    batch: int = flag(100, positive, "real and generated images per step", name="--batch-size")
    hidden: int = flag(256, positive, "width of the hidden layers")
    noise: int = 100  # uniform numbers in [-1, 1) that G makes an image of
    d_slope: float | None = 0.2  # D's activation: LeakyReLU with this slope, or ReLU for None
    d_dropout: float = 0.2  # after each hidden layer of D
    g_dropout: float = 0.0  # after each hidden layer of G
    g_init: str = "kaiming_uniform"  # how G's weights start; D's are PyTorch's default
    loss: str = "bce_with_logits"  # D outputs a logit; "bce": it ends in a sigmoid
    real_target: float = 0.9  # below 1: label smoothing
    fake_target: float = 0.0
    generator_target: float = 1.0
    d_lr: float = 4e-4
    g_lr: float = 2e-3
    betas: tuple[float, float] = (0.0, 0.99)  # of both Adams
    g_weight_decay: float = 8.0  # Adam gets this / sqrt(steps); see docs/mnist.md
    final_rate: float = 0.1  # the learning rates fall linearly to this fraction; 1: they do not
    average: float | None = 0.999  # decay of the moving average of G's weights
    same_noise: bool = False  # G learns on the samples that D has just scored


RECIPES = {
    "stable": Recipe(),
    "article": Recipe(
        name="article",
        d_slope=None,
        g_dropout=0.2,
        g_init="pytorch",
        loss="bce",
        d_lr=2e-4,
        g_lr=2e-4,
        betas=(0.9, 0.999),
        g_weight_decay=0.0,
        final_rate=1.0,
        average=None,
        same_noise=True,
    ),
}


def build(recipe: Recipe, features: int, size: int, seed: int = 0, device: str = "cpu") -> mg.GAN:
    """The two networks and the game, for `size` images per epoch of `features` pixels each."""
    hidden, init = recipe.hidden, recipe.g_init
    probabilities = {"bce": True, "bce_with_logits": False}[recipe.loss]
    drop = [mg.Dropout(recipe.g_dropout)] if recipe.g_dropout else []
    activation = [mg.ReLU(), *drop]  # after each hidden layer
    G = mg.Sequential(
        mg.Linear(recipe.noise, hidden, init=init),
        *activation,
        mg.Linear(hidden, hidden, init=init),
        *activation,
        mg.Linear(hidden, features, init=init),
        mg.Tanh(),
        seed=seed,
        device=device,
        name="generator",
    )
    drop = [mg.Dropout(recipe.d_dropout)] if recipe.d_dropout else []
    activation = [mg.ReLU() if recipe.d_slope is None else mg.LeakyReLU(recipe.d_slope), *drop]
    D = mg.Sequential(
        mg.Linear(features, hidden),
        *activation,
        mg.Linear(hidden, hidden),
        *activation,
        mg.Linear(hidden, 1),
        *([mg.Sigmoid()] if probabilities else []),
        seed=seed,
        device=device,
        name="discriminator",
    )
    steps = max(1, epoch_end(images.epochs_of(recipe, size), size, recipe.batch))
    decay = mg.LinearDecay(end=steps, final=recipe.final_rate) if recipe.final_rate < 1 else None
    weight_decay = recipe.g_weight_decay / math.sqrt(steps)
    targets = (recipe.real_target, recipe.fake_target, recipe.generator_target)
    return mg.GAN(
        generator=G,
        discriminator=D,
        noise=mg.Uniform(-1, 1, dim=recipe.noise),
        loss=mg.NonSaturating(*targets, probabilities=probabilities),
        generator_optimizer=mg.Adam(
            G.parameters, recipe.g_lr, recipe.betas, decay=decay, weight_decay=weight_decay
        ),
        discriminator_optimizer=mg.Adam(D.parameters, recipe.d_lr, recipe.betas, decay=decay),
        average=recipe.average,
        same_noise=recipe.same_noise,
    )


def setup(recipe: Recipe, options: Options) -> tuple[mg.GAN, mg.Images]:
    """The game and its data."""
    data = images.named_images(recipe, options)
    return build(recipe, data.features, data.size, options.seed, options.device), data


experiment = images.ImageExperiment(
    name="mnist",
    recipes=RECIPES,
    build=setup,
    help=__doc__,
    folder="{data}-{name}-seed{seed}",
    checkpoint_every=10,
)
main = experiment.main

if __name__ == "__main__":
    sys.exit(main())
