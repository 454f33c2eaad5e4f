"""Train a conditional GAN on handwritten digits (or clothes): ask for a digit, and get one.

The generator G and the discriminator D are given the class of an image. D learns whether an image
is real and of its class, so G learns to draw the class that it was asked for.

recipes:
  canonical  the dense networks of Mirza and Osindero's paper of 2014: both learn numbers for each
             class (an embedding), which join the other features; dropout, SGD with momentum. (For
             their maxout units LeakyReLU; the rate falls linearly.)
  stable     convolutions; a projection in D's last layer; Adam without momentum, rates that fall,
             label smoothing, an averaged G
  dense      the same with dense networks: faster, and not as sharp
docs/cgan.md explains each setting.

examples:
  python examples/cgan.py
  python examples/cgan.py --recipe dense
  python examples/cgan.py --data fashion --out runs/mine
  python examples/cgan.py --out runs/mine --resume        after an interruption
  python examples/cgan.py --data digits                   offline, in a minute or two
and then:
  minigan sample runs/mine --label 7
  minigan sample runs/mine --labels 0123456789
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import minigan as mg
from minigan.command_line import positive
from minigan.experiment import Options, flag, images
from minigan.training.schedule import epoch_end

CLASSES = 10


@dataclass(frozen=True)
class Recipe:
    """Every setting of the experiment; by default those of "stable"."""

    name: str = "stable"
    data: str = images.data_flag()
    epochs: int = images.epochs_flag(10)
    batch: int = flag(64, positive, "real and generated images per step", name="--batch-size")
    networks: str = "conv"
    hidden: int = flag(128, positive, "width of the dense layers")
    channels: int = flag(
        16, positive, "of the larger images between the layers; the smaller: twice"
    )
    noise: int = 62  # uniform numbers in [-1, 1) that G makes an image of, besides the label
    real_target: float = 0.9  # below 1: label smoothing
    d_lr: float = 1e-3
    g_lr: float = 2e-3
    betas: tuple[float, float] | None = (0.0, 0.99)  # of both Adams; None: SGD, momentum 0.5
    final_rate: float = 0.1  # the learning rates fall linearly to this fraction
    average: float | None = 0.999  # decay of the moving average of G's weights
    momentum: float = 0.01  # of G's running statistics, which samples are drawn with


RECIPES = {
    "stable": Recipe(),
    "dense": Recipe("dense", networks="dense", batch=100, hidden=400, d_lr=4e-4),
    "canonical": Recipe(
        "canonical",
        networks="paper",
        batch=100,
        noise=100,
        real_target=1.0,
        d_lr=0.1,
        g_lr=0.1,
        betas=None,
        final_rate=1e-5,
        average=None,
    ),
}

Layers = tuple[list[mg.Layer], list[mg.Layer]]


def paper(recipe: Recipe, shape: tuple[int, int]) -> Layers:
    """G: [noise -> 200, label -> 1000] -> 1200 -> h w. D: [h w -> 240, label -> 50] -> 240 -> 1."""
    features = shape[0] * shape[1]
    G = [
        mg.Linear(recipe.noise, 200),
        *(mg.Embedding(200, CLASSES, 1000), mg.ReLU(), mg.Dropout(0.5)),
        *(mg.Linear(1200, 1200), mg.ReLU(), mg.Dropout(0.5)),
        *(mg.Linear(1200, features), mg.Tanh()),
    ]
    D = [
        mg.Linear(features, 240),
        *(mg.Embedding(240, CLASSES, 50), mg.LeakyReLU(0.2), mg.Dropout(0.5)),
        *(mg.Linear(290, 240), mg.LeakyReLU(0.2), mg.Dropout(0.5)),
        mg.Linear(240, 1),
    ]
    return G, D


def dense(recipe: Recipe, shape: tuple[int, int]) -> Layers:
    """G: [noise, label] -> hidden -> hidden -> h w. D: h w -> hidden -> hidden -> projection."""
    hidden, features, he = recipe.hidden, shape[0] * shape[1], "kaiming_uniform"
    G = [
        mg.AppendCondition(recipe.noise, CLASSES),
        *(mg.Linear(recipe.noise + CLASSES, hidden, init=he), mg.ReLU()),
        *(mg.Linear(hidden, hidden, init=he), mg.ReLU()),
        *(mg.Linear(hidden, features, init=he), mg.Tanh()),
    ]
    D = [
        *(mg.Linear(features, hidden), mg.LeakyReLU(0.2)),
        *(mg.Linear(hidden, hidden), mg.LeakyReLU(0.2)),
        mg.Projection(hidden, CLASSES),
    ]
    return G, D


def conv(recipe: Recipe, shape: tuple[int, int]) -> Layers:
    """Those of examples/dcgan.py, narrower, with a projection."""
    c, hidden, (h, w) = recipe.channels, recipe.hidden, (shape[0] // 4, shape[1] // 4)

    def normalised(features: int) -> tuple[mg.Layer, mg.Layer]:
        return mg.BatchNorm(features, momentum=recipe.momentum), mg.ReLU()

    G = [
        mg.AppendCondition(recipe.noise, CLASSES),
        *(mg.Linear(recipe.noise + CLASSES, hidden, init="normal"), *normalised(hidden)),
        mg.Linear(hidden, h * w * 2 * c, init="normal"),
        *normalised(h * w * 2 * c),
        *(mg.ConvTranspose2d(2 * c, c, size=(h, w), init="normal"), *normalised(c)),
        *(mg.ConvTranspose2d(c, 1, size=(2 * h, 2 * w), init="normal"), mg.Tanh()),
    ]
    D = [
        *(mg.Conv2d(1, c, size=shape, init="normal"), mg.LeakyReLU(0.2)),
        mg.Conv2d(c, 2 * c, size=(2 * h, 2 * w), init="normal"),
        *(mg.BatchNorm(2 * c), mg.LeakyReLU(0.2)),
        mg.Linear(h * w * 2 * c, hidden, init="normal"),
        *(mg.BatchNorm(hidden), mg.LeakyReLU(0.2)),
        mg.Projection(hidden, CLASSES, init="normal"),
    ]
    return G, D


def build(recipe: Recipe, options: Options) -> tuple[mg.ConditionalGAN, mg.Images]:
    """The two networks, the game, and its data with their labels."""
    data = images.named_images(recipe, options, labelled=True)
    networks = {"paper": paper, "dense": dense, "conv": conv}[recipe.networks]
    layers = networks(recipe, data.shape)
    where = {"seed": options.seed, "device": options.device}
    G = mg.Sequential(*layers[0], name="generator", **where)
    D = mg.Sequential(*layers[1], name="discriminator", **where)
    steps = max(1, epoch_end(images.epochs_of(recipe, data.size), data.size, recipe.batch))
    decay = mg.LinearDecay(end=steps, final=recipe.final_rate)

    def optimizer(net: mg.Sequential, lr: float) -> mg.Optimizer:
        if recipe.betas is None:
            return mg.SGD(net.parameters, lr, momentum=0.5, decay=decay)
        return mg.Adam(net.parameters, lr, recipe.betas, decay=decay)

    gan = mg.ConditionalGAN(
        generator=G,
        discriminator=D,
        noise=mg.Uniform(-1, 1, dim=recipe.noise),
        loss=mg.NonSaturating(real_target=recipe.real_target),
        generator_optimizer=optimizer(G, recipe.g_lr),
        discriminator_optimizer=optimizer(D, recipe.d_lr),
        average=recipe.average,
    )
    return gan, data


experiment = images.ImageExperiment(
    name="cgan",
    recipes=RECIPES,
    build=build,
    help=__doc__,
    folder="cgan-{data}-{name}-seed{seed}",
)
main = experiment.main

if __name__ == "__main__":
    sys.exit(main())
