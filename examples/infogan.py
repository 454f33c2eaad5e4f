"""Train an InfoGAN on handwritten digits (or clothes): it finds the ten digits without labels.

The generator G is given a code besides its noise: one of ten categories, and a number (in canonical
two). A third network Q guesses the code from the image, so G must draw something different for
each. No label says what the categories mean. In stable, a term for real images makes them digits.

recipes:
  canonical  the networks and settings of the InfoGAN paper: convolutions with 64 and 128 channels,
             62 noise numbers, Adam with momentum 0.5. (The spread of Q's guess is fixed.)
  stable     a quarter as wide; Q must put a real image and a moved copy of it into one category;
             rates that fall, no momentum, label smoothing, an averaged G
docs/infogan.md explains each setting.

examples:
  python examples/infogan.py
  python examples/infogan.py --dense                      dense networks, faster and less sharp
  python examples/infogan.py --recipe canonical --data-dir ~/mnist --out runs/mine
  python examples/infogan.py --out runs/mine --resume     after an interruption
  python examples/infogan.py --data digits                offline, in a minute or two
and then:
  minigan sample runs/mine --labels 0123456789            a category a row
  minigan interpolate runs/mine --code 0                  along its number
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import minigan as mg
from minigan.command_line import positive
from minigan.experiment import Options, flag, images
from minigan.training.schedule import epoch_end

CATEGORIES = 10


@dataclass(frozen=True)
class Recipe:
    """Every setting of the experiment; by default those of "stable"."""

    name: str = "stable"
    data: str = images.data_flag()
    epochs: int = images.epochs_flag(5, steps=3000)
    batch: int = flag(64, positive, "real and generated images per step", name="--batch-size")
    networks: str = flag("conv", str, "dense networks", name="--dense", const="dense")
    channels: int = flag(
        16, positive, "of the larger images between the layers; the smaller: twice"
    )
    hidden: int = flag(128, positive, "width of the dense layers")
    q_norm: bool = False  # whether Q has batch normalisation
    noise: int = 62  # uniform numbers in [-1, 1), besides the code
    numbers: int = 1  # in the code, besides the category
    weight: float = 0.02  # of the information: lambda
    std: float = 0.1  # of Q's guess of a number; a smaller one gives the numbers more weight
    consistency: float | None = 1.0  # weight of the term for real images and their moved copies
    real_target: float = 0.9  # below 1: label smoothing
    slope: float = 0.2  # of the LeakyReLUs in D and Q
    d_init: str = "pytorch"  # how the weights of D and Q start
    d_lr: float = 2e-3
    g_lr: float = 1e-3  # of G and Q
    betas: tuple[float, float] = (0.0, 0.99)  # of all Adams
    final_rate: float = 0.1  # the learning rates fall linearly to this fraction; 1: they do not
    average: float | None = 0.999  # decay of the moving average of G's weights
    momentum: float = 0.01  # of the running statistics

    @property
    def code(self) -> int:
        """The features of a code."""
        return CATEGORIES + self.numbers


RECIPES = {
    "stable": Recipe(),
    "canonical": Recipe(
        "canonical",
        epochs=11,  # 5,157 steps
        batch=128,
        channels=64,
        hidden=1024,
        q_norm=True,
        numbers=2,
        weight=1.0,
        std=1.0,
        consistency=None,
        real_target=1.0,
        slope=0.1,
        d_init="normal",
        d_lr=2e-4,
        betas=(0.5, 0.999),
        final_rate=1.0,
        average=None,
        momentum=0.1,
    ),
}
Q_HIDDEN = 128
Layers = tuple[list[mg.Layer], list[mg.Layer]]  # of G, and of the trunk


def conv(recipe: Recipe, shape: tuple[int, int]) -> Layers:
    """G: [noise, code] -> hidden -> h/4 x w/4 x 2c -> h/2 x w/2 x c -> h x w x 1; D the reverse."""
    c, hidden, (h, w) = recipe.channels, recipe.hidden, (shape[0] // 4, shape[1] // 4)

    def norm(features: int) -> mg.Layer:
        return mg.BatchNorm(features, momentum=recipe.momentum)

    G = [
        mg.AppendCondition(recipe.noise, recipe.code),
        *(mg.Linear(recipe.noise + recipe.code, hidden, init="normal"), norm(hidden), mg.ReLU()),
        mg.Linear(hidden, h * w * 2 * c, init="normal"),
        *(norm(h * w * 2 * c), mg.ReLU()),
        *(mg.ConvTranspose2d(2 * c, c, size=(h, w), init="normal"), norm(c), mg.ReLU()),
        *(mg.ConvTranspose2d(c, 1, size=(2 * h, 2 * w), init="normal"), mg.Tanh()),
    ]
    trunk = [
        *(mg.Conv2d(1, c, size=shape, init=recipe.d_init), mg.LeakyReLU(recipe.slope)),
        mg.Conv2d(c, 2 * c, size=(2 * h, 2 * w), init=recipe.d_init),
        *(norm(2 * c), mg.LeakyReLU(recipe.slope)),
        mg.Linear(h * w * 2 * c, hidden, init=recipe.d_init),
        *(norm(hidden), mg.LeakyReLU(recipe.slope)),
    ]
    return G, trunk


def dense(recipe: Recipe, shape: tuple[int, int]) -> Layers:
    """G: [noise, code] -> hidden -> hidden -> h w. The trunk: h w -> hidden -> hidden."""
    hidden, features, slope = recipe.hidden, shape[0] * shape[1], mg.LeakyReLU(recipe.slope)

    def norm() -> mg.Layer:
        return mg.BatchNorm(hidden, momentum=recipe.momentum)

    G = [
        mg.AppendCondition(recipe.noise, recipe.code),
        *(mg.Linear(recipe.noise + recipe.code, hidden), norm(), mg.ReLU()),
        *(mg.Linear(hidden, hidden), norm(), mg.ReLU()),
        *(mg.Linear(hidden, features), mg.Tanh()),
    ]
    trunk = [mg.Linear(features, hidden), slope, mg.Linear(hidden, hidden), norm(), slope]
    return G, trunk


def build(recipe: Recipe, options: Options) -> tuple[mg.InfoGAN, mg.Images]:
    """The three networks, the game, and its data."""
    data = images.named_images(recipe, options)
    G_layers, trunk = {"conv": conv, "dense": dense}[recipe.networks](recipe, data.shape)
    head = mg.Linear(recipe.hidden, 1, init=recipe.d_init)
    Q_layers = [
        mg.Linear(recipe.hidden, Q_HIDDEN, init=recipe.d_init),
        *([mg.BatchNorm(Q_HIDDEN)] if recipe.q_norm else []),
        *(mg.LeakyReLU(recipe.slope), mg.Linear(Q_HIDDEN, recipe.code, init=recipe.d_init)),
    ]
    where = {"seed": options.seed, "device": options.device}
    G = mg.Sequential(*G_layers, name="generator", **where)
    D = mg.Sequential(*trunk, head, name="discriminator", **where)
    Q = mg.Sequential(*Q_layers, name="recogniser", **where)
    steps = max(1, epoch_end(images.epochs_of(recipe, data.size), data.size, recipe.batch))
    decay = mg.LinearDecay(end=steps, final=recipe.final_rate) if recipe.final_rate < 1 else None
    consistency = None
    if recipe.consistency is not None:
        shift = data.shape[0] / 14  # pixels: 2 of 28
        consistency = mg.Consistency(data.shape, weight=recipe.consistency, shift=shift)
    gan = mg.InfoGAN(
        generator=G,
        discriminator=D,
        recogniser=Q,
        noise=mg.Uniform(-1, 1, dim=recipe.noise),
        loss=mg.NonSaturating(real_target=recipe.real_target),
        generator_optimizer=mg.Adam(G.parameters, recipe.g_lr, recipe.betas, decay=decay),
        discriminator_optimizer=mg.Adam(D.parameters, recipe.d_lr, recipe.betas, decay=decay),
        categories=CATEGORIES,
        continuous=recipe.numbers,
        trunk=len(trunk),
        weight=recipe.weight,
        std=recipe.std,
        consistency=consistency,
        average=recipe.average,
    )
    return gan, data


experiment = images.ImageExperiment(
    name="infogan",
    recipes=RECIPES,
    build=build,
    help=__doc__,
    folder="infogan-{networks}-{data}-{name}-seed{seed}",
)
main = experiment.main

if __name__ == "__main__":
    sys.exit(main())
