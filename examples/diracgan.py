"""Play nine GANs with one number a player: most circle for ever, and two come to rest.

This is the Dirac-GAN of Mescheder, Geiger and Nowozin ("Which training methods for GANs do
actually converge?", 2018). The data are one point, 0. G is a number theta, and makes the point
theta. D is a number psi, and gives a point x the score psi x. The equilibrium is theta = psi = 0.

In a step D moves first, and G answers the new D; in the first game both move at once. The figure
has each path over the arrows of the gradients. The table has distances from the equilibrium, and
its eigenvalues: imaginary ones turn around it, negative real parts lead to it (docs/diracgan.md).

examples:
  python examples/diracgan.py
  python examples/diracgan.py --rate 0.02 --steps 5000    smaller steps, closer to the arrows
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from typing import Any, NamedTuple

import numpy as np

import minigan as mg
from minigan.command_line import guard, path, positive, real
from minigan.evaluation import plots
from minigan.text import columns

EDGE, GREY = 2.5, "#c8c8c8"  # of each panel


class One(mg.Noise):
    """The number 1, of which a G with one weight makes its weight."""

    capturable, dim = True, 1

    def fill(self, ops: Any, stream: mg.Stream, out: Any) -> None:
        ops.fill(1.0, out=out)


class Simultaneous(mg.GAN):
    """A GAN in which each player answers the other as it was before the step."""

    capturable = True

    def play(self) -> None:
        self._generate_for_discriminator()
        self.update_generator()  # with the old D
        self.update_discriminator()  # with the samples of the old G


class Recipe(NamedTuple):
    """A way to train, and what becomes of it."""

    verdict: str
    eigenvalues: str  # of the gradients at 0
    loss: mg.Loss
    settings: Any = ()  # of the game, by name
    game: type[mg.GAN] = mg.GAN


MINIMAX, WGAN, USUAL = mg.Minimax(), mg.Wasserstein(), mg.NonSaturating()
RECIPES = {
    "minimax, simultaneous": Recipe("moves outwards", "± 0.50i", MINIMAX, game=Simultaneous),
    "minimax, alternating": Recipe("circles", "± 0.50i", MINIMAX),
    "minimax, 5 D steps": Recipe("circles", "± 1.12i", MINIMAX, {"d_steps": 5}),
    "non-saturating": Recipe("in, ever more slowly", "± 0.50i", USUAL),
    "Wasserstein": Recipe("circles", "± 1.00i", WGAN),
    "WGAN, clipped": Recipe("circles", "± 1.00i", WGAN, {"constraint": mg.Clip(0.5)}),
    "WGAN-GP": Recipe("circles", "none", WGAN, {"penalty": mg.GradientPenalty(0.5)}),
    "R1, gamma 0.3": Recipe("comes to rest", "-0.15 ± 0.48i", USUAL, {"penalty": mg.R1(0.3)}),
    "R1, gamma 1": Recipe("comes to rest soonest", "-0.50, -0.50", USUAL, {"penalty": mg.R1(1.0)}),
}


def build(recipe: Recipe, rate: float, theta: Any, psi: Any) -> mg.GAN:
    """A population of S games from theta (S,) and psi (S,), with the one sample of the data."""
    layer, seeds = mg.Linear(1, 1, bias=False), range(len(theta))
    G = mg.Sequential(layer, dtype="float64", seed=seeds, name="generator")
    D = mg.Sequential(layer, dtype="float64", seed=seeds, name="discriminator")
    G.parameters.data[:, 0], D.parameters.data[:, 0] = theta, psi
    optimizers = mg.SGD(G.parameters, rate), mg.SGD(D.parameters, rate)
    settings = dict(recipe.settings, same_noise=True)
    gan = recipe.game(G, D, One(), recipe.loss, *optimizers, **settings)
    gan.bind(1)
    gan.real[...] = 0.0  # (S, 1, 1)
    return gan


def play(recipe: Recipe, rate: float = 0.1, steps: int = 1000, start: Any = (1.0, 0.0)) -> Any:
    """The path of (theta, psi), (steps + 1, 2)."""
    gan = build(recipe, rate, *np.reshape(start, (2, 1)))
    gan.capture()
    places = [start]
    for _ in range(steps):
        gan.step()
        places.append([net.parameters.data.item() for net in gan.networks.values()])
    gan.check_finite()
    return np.array(places, dtype=float)


@plots.style()
def draw(paths: dict[str, Any]) -> Any:
    """A panel for each game: the arrows, the path from a ring to a dot, and a cross at 0."""
    figure, grid = plots.new_figure((5.4, 6.6)), np.linspace(-EDGE, EDGE, 8)[1:-1]
    theta, psi = (values.ravel() for values in np.meshgrid(grid, grid))  # (36,) each
    panels = figure.subplots(3, 3, sharex=True, sharey=True).flat
    for axes, (name, recipe) in zip(panels, RECIPES.items(), strict=True):
        gan = build(recipe._replace(game=Simultaneous), 1.0, theta, psi)
        gan.step()
        u, v = (-optimizer.parameters.grad[:, 0] for optimizer in gan.optimizers.values())
        u, v = np.array([u, gan.d_steps * v]) / np.hypot(u, gan.d_steps * v)
        axes.quiver(theta, psi, u, v, pivot="mid", color=GREY, scale=12, width=0.009)
        for side in (-1, 1) if gan.constraint else ():
            axes.axhspan(side * gan.constraint.limit, side * EDGE, color=GREY, alpha=0.5, lw=0)
        axes.plot(*paths[name].T, "o-", color=plots.FAKE, lw=1.0, ms=5, markevery=[-1])
        axes.plot(*paths[name][0], "o", color=plots.FAKE, ms=5, mfc="white")
        axes.plot(0, 0, "+", color=plots.REAL, ms=9, mew=1.5)
        axes.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), aspect="equal", xticks=(-2, 0, 2))
        axes.set_title(f"{name}\n{recipe.verdict}", fontsize=9)
    figure.supxlabel("theta, the sample of G", fontsize=9)
    figure.supylabel("psi, the slope of D", fontsize=9)
    return figure


def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=real, default=0.1, help="learning rate (default: 0.1)")
    parser.add_argument("--steps", type=positive, default=1000, help="of each game (default: 1000)")
    parser.add_argument("--out", type=path, default="diracgan.png", help="figure (diracgan.png)")
    return guard("diracgan.py", lambda: run(parser.parse_args(argv)))


def run(args: Namespace) -> int:
    """Play all games, print the table and draw the figure."""
    if args.out.suffix not in (".png", ".svg"):
        raise mg.ConfigError(f"--out must end in .png or .svg, not {args.out.name!r}")
    paths = {name: play(recipe, args.rate, args.steps) for name, recipe in RECIPES.items()}
    shown = [0, args.steps // 2, args.steps]
    rows = [["distance at step", *(f"{k:,}" for k in shown), "eigenvalues", ""]]
    for name, recipe in RECIPES.items():
        distances = [f"{r:.2g}" for r in np.hypot(*paths[name][shown].T)]
        rows.append([name, *distances, recipe.eigenvalues, recipe.verdict])
    plots.save_figure(draw(paths), args.out)
    print(columns(rows), f"figure {args.out}", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
