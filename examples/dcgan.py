"""Train a DCGAN, a GAN of convolutions, on handwritten digits (or clothes).

G turns noise into a small image of many channels. Two transposed convolutions then double its size,
one after the other. D halves the size of an image twice, by convolutions, and ends in a logit.

recipes:
  canonical  the networks of the InfoGAN paper: 64 and 128 channels, batch normalisation in both;
             the settings of the DCGAN paper: Adam with the rate 2e-4 and momentum 0.5
  stable     half as wide, with a fifth of the multiplications; higher rates, which fall; no
             momentum, label smoothing, an averaged G
docs/dcgan.md explains each setting.

examples:
  python examples/dcgan.py
  python examples/dcgan.py --recipe canonical --data-dir ~/mnist --out runs/mine
  python examples/dcgan.py --out runs/mine --resume       after an interruption
  python examples/dcgan.py --data digits                  offline, in a minute or two
"""

from __future__ import annotations

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
    epochs: int = images.epochs_flag(10, steps=3000)
    batch: int = flag(64, positive, "real and generated images per step", name="--batch-size")
    channels: int = flag(32, positive, "of the large images between the layers; the small: twice")
    hidden: int = flag(256, positive, "width of the dense layer of each network")
    noise: int = 62  # uniform numbers in [-1, 1), from which G makes an image
    real_target: float = 0.9  # below 1: label smoothing
    d_lr: float = 1e-3
    g_lr: float = 2e-3
    betas: tuple[float, float] = (0.0, 0.99)  # of both Adams
    final_rate: float = 0.1  # the learning rates fall linearly to this fraction; 1: they do not
    average: float | None = 0.999  # decay of the moving average of G's weights
    momentum: float = 0.01  # of G's running statistics, which samples are drawn with


RECIPES = {
    "stable": Recipe(),
    "canonical": Recipe(
        name="canonical",
        channels=64,
        hidden=1024,
        real_target=1.0,
        d_lr=2e-4,
        g_lr=2e-4,
        betas=(0.5, 0.999),
        final_rate=1.0,
        average=None,
        momentum=0.1,
    ),
}


def generator(recipe: Recipe, shape: tuple[int, int]) -> list[mg.Layer]:
    """noise -> hidden -> h/4 x w/4 x 2c -> h/2 x w/2 x c -> h x w x 1"""
    c, hidden = recipe.channels, recipe.hidden
    (h, w) = shape[0] // 4, shape[1] // 4
    return [
        mg.Linear(recipe.noise, hidden, init="normal"),
        mg.BatchNorm(hidden, momentum=recipe.momentum),
        mg.ReLU(),
        mg.Linear(hidden, h * w * 2 * c, init="normal"),
        mg.BatchNorm(h * w * 2 * c, momentum=recipe.momentum),  # each feature by itself
        mg.ReLU(),
        mg.ConvTranspose2d(2 * c, c, size=(h, w), init="normal"),
        mg.BatchNorm(c, momentum=recipe.momentum),
        mg.ReLU(),
        mg.ConvTranspose2d(c, 1, size=(2 * h, 2 * w), init="normal"),
        mg.Tanh(),
    ]


def discriminator(recipe: Recipe, shape: tuple[int, int]) -> list[mg.Layer]:
    """h x w x 1 -> h/2 x w/2 x c -> h/4 x w/4 x 2c -> hidden -> 1"""
    c, hidden = recipe.channels, recipe.hidden
    (h, w) = shape[0] // 4, shape[1] // 4
    return [
        mg.Conv2d(1, c, size=shape, init="normal"),
        mg.LeakyReLU(0.2),
        mg.Conv2d(c, 2 * c, size=(2 * h, 2 * w), init="normal"),
        mg.BatchNorm(2 * c),
        mg.LeakyReLU(0.2),
        mg.Linear(h * w * 2 * c, hidden, init="normal"),
        mg.BatchNorm(hidden),
        mg.LeakyReLU(0.2),
        mg.Linear(hidden, 1, init="normal"),
    ]


def build(
    recipe: Recipe, shape: tuple[int, int], size: int, seed: int = 0, device: str = "cpu"
) -> mg.GAN:
    """The two networks and the game, for `size` images (h, w) per epoch."""
    where = {"seed": seed, "device": device}
    G = mg.Sequential(*generator(recipe, shape), name="generator", **where)
    D = mg.Sequential(*discriminator(recipe, shape), name="discriminator", **where)
    steps = max(1, epoch_end(images.epochs_of(recipe, size), size, recipe.batch))
    decay = mg.LinearDecay(end=steps, final=recipe.final_rate) if recipe.final_rate < 1 else None
    return mg.GAN(
        generator=G,
        discriminator=D,
        noise=mg.Uniform(-1, 1, dim=recipe.noise),
        loss=mg.NonSaturating(real_target=recipe.real_target),
        generator_optimizer=mg.Adam(G.parameters, recipe.g_lr, recipe.betas, decay=decay),
        discriminator_optimizer=mg.Adam(D.parameters, recipe.d_lr, recipe.betas, decay=decay),
        average=recipe.average,
    )


def setup(recipe: Recipe, options: Options) -> tuple[mg.GAN, mg.Images]:
    """The game and its data."""
    data = images.named_images(recipe, options)
    return build(recipe, data.shape, data.size, options.seed, options.device), data


experiment = images.ImageExperiment(
    name="dcgan",
    recipes=RECIPES,
    build=setup,
    help=__doc__,
    folder="dcgan-{data}-{name}-seed{seed}",
)
main = experiment.main

if __name__ == "__main__":
    sys.exit(main())
