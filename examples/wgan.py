"""Train a Wasserstein GAN on handwritten digits (or clothes): D is a critic.

A critic ends in a score, not in a probability. The mean score of real images minus that of
generated ones estimates how far apart the two are, if the critic's slope is limited.

recipes:
  clipping          the first paper's: every weight of the critic is held in [-0.01, 0.01]; RMSprop
  gradient_penalty  the second paper's: a term in the critic's loss keeps its slope near 1; Adam
  stable            a gradient penalty too, twice as large; fewer updates of the critic for each
                    of G, much higher rates, which fall, an averaged G
docs/wgan.md explains each setting.

A step is 5 (in stable 3) updates of the critic, each on real images of its own, and one of G. An
epoch is one pass over the real images: 60,000 of them are 938 updates of the critic, or 188 steps.

examples:
  python examples/wgan.py                                 dense networks
  python examples/wgan.py --conv --epochs 10              convolutional ones, ten times slower
  python examples/wgan.py --recipe clipping --data-dir ~/mnist --out runs/mine
  python examples/wgan.py --out runs/mine --resume        after an interruption
  python examples/wgan.py --data digits                   offline, in a minute or two
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import minigan as mg
from minigan.command_line import positive
from minigan.experiment import Options, flag, images
from minigan.training.schedule import epoch_end


@dataclass(frozen=True)
class Recipe:
    """Every setting of the experiment; by default those of "stable"."""

    name: str = "stable"
    data: str = images.data_flag()
    epochs: int = images.epochs_flag(50, steps=12_000, batches="critic updates")
    batch: int = flag(64, positive, "real images per update of the critic", name="--batch-size")
    networks: str = flag("dense", str, "convolutional networks", name="--conv", const="conv")
    hidden: int = flag(256, positive, "width of the dense layers between the others")
    channels: int = flag(32, positive, "with --conv: of the larger images between the layers")
    noise: int = 100  # uniform numbers in [-1, 1), from which G makes an image
    clip: float | None = None  # the largest weight of the critic
    penalty: float | None = 20.0  # of the slope; a large weight keeps it near 1
    d_steps: int = 3  # updates of the critic for each of G; fewer leave more time for G
    d_lr: float = 1.5e-3  # high enough for the critic to follow G
    g_lr: float = 3e-3  # with a lower rate than the critic's, G falls behind
    betas: tuple[float, float] | None = (0.0, 0.99)  # of both Adams; None: RMSprop
    final_rate: float = 0.1  # the learning rates fall linearly to this fraction; 1: they do not
    average: float | None = 0.999  # decay of the moving average of G's weights


LITERATURE = {"d_steps": 5, "final_rate": 1.0, "average": None}
RECIPES = {
    "stable": Recipe(),
    "gradient_penalty": Recipe(
        "gradient_penalty", penalty=10.0, d_lr=1e-4, g_lr=1e-4, betas=(0.0, 0.9), **LITERATURE
    ),
    "clipping": Recipe(
        "clipping", clip=0.01, penalty=None, d_lr=5e-5, g_lr=5e-5, betas=None, **LITERATURE
    ),
}


def dense(recipe: Recipe, shape: tuple[int, int]) -> tuple[list[mg.Layer], list[mg.Layer]]:
    """G: noise -> hidden -> hidden -> h w. The critic: h w -> hidden -> hidden -> 1."""
    hidden, features, he = recipe.hidden, shape[0] * shape[1], "kaiming_uniform"
    G = [
        *(mg.Linear(recipe.noise, hidden, init=he), mg.ReLU()),
        *(mg.Linear(hidden, hidden, init=he), mg.ReLU()),
        *(mg.Linear(hidden, features, init=he), mg.Tanh()),
    ]
    D = [
        *(mg.Linear(features, hidden), mg.LeakyReLU(0.2)),
        *(mg.Linear(hidden, hidden), mg.LeakyReLU(0.2)),
        mg.Linear(hidden, 1),
    ]
    return G, D


def conv(recipe: Recipe, shape: tuple[int, int]) -> tuple[list[mg.Layer], list[mg.Layer]]:
    """Those of examples/dcgan.py, but without batch normalisation in the critic."""
    c, hidden = recipe.channels, recipe.hidden
    (h, w) = shape[0] // 4, shape[1] // 4
    G = [
        *(mg.Linear(recipe.noise, hidden), mg.BatchNorm(hidden), mg.ReLU()),
        *(mg.Linear(hidden, h * w * 2 * c), mg.BatchNorm(h * w * 2 * c), mg.ReLU()),
        *(mg.ConvTranspose2d(2 * c, c, size=(h, w)), mg.BatchNorm(c), mg.ReLU()),
        *(mg.ConvTranspose2d(c, 1, size=(2 * h, 2 * w)), mg.Tanh()),
    ]
    D = [
        *(mg.Conv2d(1, c, size=shape), mg.LeakyReLU(0.2)),
        *(mg.Conv2d(c, 2 * c, size=(2 * h, 2 * w)), mg.LeakyReLU(0.2)),
        *(mg.Linear(h * w * 2 * c, hidden), mg.LeakyReLU(0.2)),
        mg.Linear(hidden, 1),
    ]
    return G, D


def build(recipe: Recipe, options: Options) -> tuple[mg.GAN, mg.Images]:
    """The two networks, the game, and its data."""
    data = images.named_images(recipe, options)
    layers = {"dense": dense, "conv": conv}[recipe.networks](recipe, data.shape)
    where: dict[str, Any] = {"seed": options.seed, "device": options.device}
    G = mg.Sequential(*layers[0], name="generator", **where)
    D = mg.Sequential(*layers[1], name="discriminator", **where)
    epochs = images.epochs_of(recipe, data.size)
    steps = max(1, epoch_end(epochs, data.size, recipe.d_steps * recipe.batch))

    def optimizer(net: mg.Sequential, lr: float, updates: int) -> mg.Optimizer:
        end, final = steps * updates, recipe.final_rate
        decay = mg.LinearDecay(end, final=final) if final < 1 else None
        if recipe.betas is None:
            return mg.RMSprop(net.parameters, lr, decay=decay)
        return mg.Adam(net.parameters, lr, recipe.betas, decay=decay)

    gan = mg.GAN(
        generator=G,
        discriminator=D,
        noise=mg.Uniform(-1, 1, dim=recipe.noise),
        loss=mg.Wasserstein(),
        penalty=None if recipe.penalty is None else mg.GradientPenalty(recipe.penalty),
        constraint=None if recipe.clip is None else mg.Clip(recipe.clip),
        generator_optimizer=optimizer(G, recipe.g_lr, 1),
        discriminator_optimizer=optimizer(D, recipe.d_lr, recipe.d_steps),
        d_steps=recipe.d_steps,
        fresh_real=True,
        average=recipe.average,
    )
    return gan, data


experiment = images.ImageExperiment(
    name="wgan",
    recipes=RECIPES,
    build=build,
    help=__doc__,
    folder="wgan-{networks}-{data}-{name}-seed{seed}",
)
main = experiment.main

if __name__ == "__main__":
    sys.exit(main())
