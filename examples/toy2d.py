"""Train a GAN on points in the plane, where everything that it does can be seen.

G turns two normal numbers into a point. D learns to tell such points from those of the data. Data
with separate modes show mode collapse: a generator that makes only some of them.

data:
  ring     8 narrow Gaussians on a circle        grid     25 on a square grid
  spiral   a curve of two turns                  moons    two half circles
  FILE.csv points of your own, two numbers a line; numbers around 1 are learned best

recipes:
  plain    the plain GAN: it circles around the data, and loses modes
  packed   D judges several points at once (PacGAN), so it notices when they are all alike
  wgan_gp  the Wasserstein loss, and a penalty that keeps D's slope near 1; slow, but steady
  r1       a penalty that makes D flat on the data, so that training converges
  stable   the same, much weaker; falling learning rates, an averaged G
docs/toy2d.md explains each setting.

examples:
  python examples/toy2d.py
  python examples/toy2d.py --data grid --recipe plain --out runs/mine
  python examples/toy2d.py --out runs/mine --resume       after an interruption
  minigan score runs/mine                                 modes found, and how well
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import minigan as mg
from minigan.backend import Seeds
from minigan.command_line import positive
from minigan.data import Plane
from minigan.errors import ConfigError
from minigan.experiment import Experiment, flag

TOYS = ("ring", "grid", "spiral", "moons")


@dataclass(frozen=True)
class Recipe:
    """Every setting of the experiment; by default those of "stable"."""

    name: str = "stable"
    data: str = flag("ring", str, f"{', '.join(TOYS)}, or a file of points, FILE.csv")
    steps: int = flag(20_000, positive, "training steps; falling rates are stretched to fit")
    batch: int = flag(128, positive, "real points per step, and the number of generated ones")
    hidden: int = flag(128, positive, "width of the hidden layers: three in G, two in D")
    loss: str = "non_saturating"  # or "wasserstein"
    r1: float = 0.02  # gamma of the penalty R1; 0: none
    slope_penalty: float = 0.0  # weight of the gradient penalty of WGAN-GP; 0: none
    pack: int = 1  # points that D judges at once
    d_steps: int = 1  # updates of D for each of G
    d_lr: float = 1e-3
    g_lr: float = 1e-3
    betas: tuple[float, float] = (0.0, 0.99)  # of both Adams
    final_rate: float = 0.0  # the learning rates fall linearly to this fraction; 1: they do not
    average: float | None = 0.999  # decay of the moving average of G's weights
    grid_unit: float = 4.0  # the grid's length unit: it is as wide as 8, and nets prefer 2


PLAIN = {"r1": 0.0, "betas": (0.5, 0.999), "final_rate": 1.0, "average": None}
RECIPES = {
    "stable": Recipe(),
    "plain": Recipe("plain", **PLAIN),
    "packed": Recipe("packed", pack=4, **PLAIN),
    "wgan_gp": Recipe(
        "wgan_gp",
        **{**PLAIN, "betas": (0.0, 0.9)},
        steps=10_000,
        loss="wasserstein",
        slope_penalty=1.0,
        d_steps=5,
    ),
    "r1": Recipe("r1", **{**PLAIN, "r1": 1.0, "betas": (0.0, 0.99)}),
}


def points(recipe: Recipe, seed: Seeds = 0, device: str = "cpu") -> Plane:
    """The data that a recipe names."""
    unit = recipe.grid_unit
    match recipe.data:
        case "ring":
            return mg.Ring(8, radius=2.0, std=0.02, seed=seed, device=device)
        case "grid":  # spacing 2, std 0.05
            return mg.Grid(5, spacing=2.0 / unit, std=0.05 / unit, seed=seed, device=device)
        case "spiral":
            return mg.Spiral(seed=seed, device=device)
        case "moons":
            return mg.Moons(seed=seed, device=device)
        case name if name.lower().endswith(".csv"):
            return mg.Points(name, seed, device=device)
    raise ConfigError(f"--data must be {', '.join(TOYS)} or a file FILE.csv, not {recipe.data!r}")


def build(recipe: Recipe, seed: Seeds = 0, device: str = "cpu") -> tuple[mg.GAN, Plane]:
    """The two networks, the game between them, and the data."""
    hidden, pack = recipe.hidden, recipe.pack

    def hidden_layers(features: int, count: int) -> list[mg.Layer]:
        layers: list[mg.Layer] = []
        for inputs in [features, *[hidden] * (count - 1)]:
            layers += [mg.Linear(inputs, hidden), mg.LeakyReLU(0.2)]
        return layers

    where = {"seed": seed, "device": device}
    G = mg.Sequential(*hidden_layers(2, 3), mg.Linear(hidden, 2), name="generator", **where)
    packing = [mg.Pack(pack, deviations=False)] if pack > 1 else []
    layers = [*packing, *hidden_layers(2 * pack, 2), mg.Linear(hidden, 1)]
    D = mg.Sequential(*layers, name="discriminator", **where)
    penalty: mg.Penalty | None = None
    if recipe.r1 > 0.0:
        penalty = mg.R1(recipe.r1)
    elif recipe.slope_penalty > 0.0:
        penalty = mg.GradientPenalty(recipe.slope_penalty)
    decay = None
    if recipe.final_rate < 1.0:
        decay = mg.LinearDecay(end=recipe.steps, final=recipe.final_rate)
    losses = {"non_saturating": mg.NonSaturating(), "wasserstein": mg.Wasserstein()}
    gan = mg.GAN(
        generator=G,
        discriminator=D,
        noise=mg.Normal(dim=2),
        loss=losses[recipe.loss],
        penalty=penalty,
        d_steps=recipe.d_steps,
        fresh_real=recipe.d_steps > 1,
        generator_optimizer=mg.Adam(G.parameters, recipe.g_lr, recipe.betas, decay=decay),
        discriminator_optimizer=mg.Adam(D.parameters, recipe.d_lr, recipe.betas, decay=decay),
        average=recipe.average,
    )
    return gan, points(recipe, seed, device)


experiment = Experiment(
    name="toy2d",
    title="2-D toy",
    recipes=RECIPES,
    build=lambda recipe, options: build(recipe, options.seed, options.device),
    help=__doc__,
    folder="toy2d-{data}-{name}-seed{seed}",
)
main = experiment.main

if __name__ == "__main__":
    sys.exit(main())
