"""Teach a generator to turn uniform noise into a bell curve.

    python examples/gaussian1d.py                     the stable recipe, about ten seconds
    python examples/gaussian1d.py --recipe article    the 2017 article's, as it was

The whole experiment is in this file: its settings (Recipe), the two networks (build), and
what is done with them (main). docs/gaussian1d.md tells what each setting is for.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minigan as mg
from minigan.backend import chosen, device_name
from minigan.cli.common import (
    add_device,
    add_graph,
    add_run_keeping,
    changes_of,
    goal_asked,
    guard,
    how_to_resume,
    open_description,
    path,
    positive,
    print_changes,
    run_folder,
    same_flags,
    seed,
)
from minigan.evaluation import discriminator_response, plots, score_gaussian
from minigan.training import limit_threads, require_free


@dataclass(frozen=True)
class Recipe:
    """Every setting of the experiment."""

    name: str
    steps: int  # training steps
    batch: int  # real samples a step, and as many generated ones
    pack: int  # samples that D judges at once: 1, or m with their squared deviations
    d_slope: float | None  # D's activation: LeakyReLU with this slope, or ELU for None
    loss: str  # "bce": D ends in a sigmoid; "mean_squared_error": it says a number
    real_target: float  # below 1: label smoothing
    generator_target: float  # what G wants D to say
    d_lr: float
    g_lr: float
    betas: tuple[float, float]  # of both Adams
    decay: bool  # the learning rates fall linearly to zero over the run
    average: float | None  # decay of the moving average of G's weights
    hidden: int = 50  # width of every hidden layer
    mean: float = 4.0  # of the real data
    std: float = 1.25
    fake_target: float = 0.0


SCORED = 10_000  # samples by which the best checkpoint is known
DRY = "dry run: nothing was trained or written"
RECIPES = {
    "article": Recipe(
        name="article",
        steps=30_000,
        batch=100,
        pack=100,
        d_slope=None,
        loss="bce",
        real_target=0.95,
        generator_target=0.95,
        d_lr=2e-4,
        g_lr=2e-4,
        betas=(0.9, 0.999),
        decay=False,
        average=None,
    ),
    "stable": Recipe(
        name="stable",
        steps=12_000,
        batch=128,
        pack=1,
        d_slope=0.2,
        loss="mean_squared_error",
        real_target=1.0,
        generator_target=1.0,
        d_lr=6e-3,
        g_lr=1.2e-3,
        betas=(0.0, 0.99),
        decay=True,
        average=0.999,
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
    judges_packs = recipe.pack > 1
    activation = mg.ELU() if recipe.d_slope is None else mg.LeakyReLU(recipe.d_slope)
    D = mg.Sequential(
        *([mg.Pack(recipe.pack)] if judges_packs else []),
        mg.Linear(2 * recipe.pack if judges_packs else 1, hidden),
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
    gan = mg.GAN(
        generator=G,
        discriminator=D,
        noise=mg.Uniform(0, 1, dim=1),
        loss=loss_of(recipe),
        generator_optimizer=mg.Adam(G.parameters, recipe.g_lr, recipe.betas, decay=decay),
        discriminator_optimizer=mg.Adam(D.parameters, recipe.d_lr, recipe.betas, decay=decay),
        average=recipe.average,
    )
    return gan, mg.Gaussian(recipe.mean, recipe.std, seed=seed, device=device)


def loss_of(recipe: Recipe) -> mg.Loss:
    """The loss that a recipe names."""
    targets = (recipe.real_target, recipe.fake_target, recipe.generator_target)
    if recipe.loss == "bce":
        return mg.NonSaturating(*targets, probabilities=True)
    return mg.LeastSquares(*targets)


def open_run(recipe: Recipe, args: argparse.Namespace) -> mg.Trainer:
    """Start a run folder, or go to the last checkpoint of the one that is there."""

    def score(gan: mg.GAN) -> float:
        samples = gan.ops.to_host(gan.sample(SCORED, seed=1))  # (10000, 1)
        return score_gaussian(samples, recipe.mean, recipe.std).ks

    if args.resume:
        return mg.Trainer.resume(args.out, device=args.device, changes=args.changes, score=score)
    gan, data = build(recipe, args.seed, args.device)
    return mg.Trainer(
        gan,
        data,
        args.out,
        batch=recipe.batch,
        print_every=max(1, recipe.steps // 20),
        recipe=dataclasses.asdict(recipe) | {"seed": args.seed},
        on_nan=args.on_nan or "stop",
        score=score,
    )


def goal(recipe: Recipe, trainer: mg.Trainer, args: argparse.Namespace) -> int:
    """The step to train to: the recipe's, unless the run has been taken further before."""
    done = trainer.gan.step_count
    if args.steps is not None and args.steps < done:
        raise mg.ConfigError(f"{args.out} has come to step {done} already, past {args.steps}")
    return args.steps or max(recipe.steps, done)


def judge(trainer: mg.Trainer, recipe: Recipe, title: str, figure: Any, show: bool) -> Path:
    """Score 100,000 samples and draw what was learned; returns the figure's path."""
    gan = trainer.gan
    samples = gan.ops.to_host(gan.sample(100_000, seed=1))  # (100000, 1)
    score = score_gaussian(samples, recipe.mean, recipe.std)
    print(f"real data: mean {recipe.mean:.3f}   std {recipe.std:.3f}")
    print(f"generated: {score}")

    # Wide enough for the data, and for a generator that went elsewhere.
    low = min(recipe.mean - 4.5 * recipe.std, score.mean - 4.5 * score.std)
    high = max(recipe.mean + 4.5 * recipe.std, score.mean + 4.5 * score.std)
    response = discriminator_response(
        gan.discriminator,
        samples,
        np.linspace(low, high, 241),
        lambda x: plots.normal_density(x, recipe.mean, recipe.std),
        recipe.real_target,
        recipe.fake_target,
        gan.loss.output,
    )
    z, made, exact = generator_map(gan, recipe)

    def draw(figure: Any) -> None:
        plots.draw_gaussian_overview(
            figure,
            title=title,
            samples=samples,
            score=score,
            target=(recipe.mean, recipe.std),
            generator_map=(z, made, exact),
            response=response,
            losses=tuple(gan.columns),
            undecided=gan.loss.undecided(),
            history=mg.read_history(trainer.out / "history.csv"),
        )

    draw(figure)
    file = trainer.out / "gaussian1d.png"
    plots.save_figure(figure, file)
    if show:
        plots.show(draw)
    return file


def generator_map(gan: mg.GAN, recipe: Recipe) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z (K,), G(z) (K,), and the map that would turn uniform z into the data exactly.

    That map is the quantile function; G may as well have learned it from right to left.
    """
    from scipy import stats

    z = (np.arange(500) + 0.5) / 500  # (K,)
    made = gan.ops.to_host(gan.sampler.predict(z[:, None]))[:, 0]
    rising = made[-1] >= made[0]
    exact = stats.norm.ppf(z if rising else 1.0 - z, recipe.mean, recipe.std)
    return z, made, exact


# -- the command line -----------------------------------------------------------------


def main(argv: list[str] | None = None) -> int:
    """Run the experiment; returns the exit code."""
    args = parse(argv)
    return guard(Path(__file__).name, lambda: run(args), lambda: how_to_resume(args))


def run(args: argparse.Namespace) -> int:
    """What `main` does, without the handling of what goes wrong."""
    device_name(args.device)  # one that cannot be used is better known now
    recipe = choose(args)
    if not args.resume:
        require_free(args.out)
    if args.dry_run and not args.resume:
        print(describe(recipe, build(recipe, args.seed, args.device)[0], args))
        print(DRY)
        return 0
    if not args.dry_run:
        figure = plots.new_figure()  # a Matplotlib that cannot start is better known now
        if args.show:
            plots.require_window()
    trainer = open_run(recipe, args)  # of a run that is there, this only reads
    steps = goal(recipe, trainer, args)
    print(describe(recipe, trainer.gan, args))
    if trainer.gan.step_count:
        print(f"going on after step {trainer.gan.step_count:,}")
    if args.dry_run:
        print_changes(trainer)
        print(DRY)
        return 0
    # Such small products gain nothing from a second thread, and one thread makes the result
    # the same on machines with any number of cores (where threadpoolctl knows the BLAS).
    with limit_threads(1):
        trainer.fit(steps=steps, capture=not args.no_graph)
        title = f"1-D Gaussian, recipe {recipe.name!r}, seed {args.seed}, step {steps:,}"
        file = judge(trainer, recipe, title, figure, args.show)
    print(f"run folder {trainer.out}")
    print(f"figure     {file}", flush=True)
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The flags. None stands for "not given", so that --resume can tell."""
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="""\
Train a GAN on the normal distribution with mean 4 and standard deviation 1.25.

A generator G turns uniform noise into numbers. A discriminator D learns to tell them from
real ones; G learns to be taken for real. Neither is ever shown a formula of the bell curve.""",
        epilog="""\
recipes:
  article   a 2017 tutorial's: D judges 100 samples at once with their squared deviations,
            smoothed labels, constant learning rates. Often misses, and sometimes badly.
  stable    D judges single samples by squared error and learns faster than G; no momentum,
            falling learning rates, an averaged G. docs/gaussian1d.md tells what each buys.

examples:
  python examples/gaussian1d.py
  python examples/gaussian1d.py --recipe article --seed 1 --out runs/mine
  python examples/gaussian1d.py --out runs/mine --resume     after an interruption""",
    )
    parser.add_argument(
        "--recipe", choices=sorted(RECIPES), help="the settings to train with (default: stable)"
    )
    parser.add_argument(
        "--steps",
        type=positive,
        metavar="N",
        help="training steps (default: the recipe's; stable stretches its decay to fit)",
    )
    parser.add_argument(
        "--seed",
        type=seed,
        metavar="N",
        help="of the weights, the noise and the data (default: 0)",
    )
    add_device(parser)
    add_graph(parser)
    parser.add_argument(
        "--out",
        type=path,
        metavar="DIR",
        help="the run folder (default: a new one, runs/gaussian1d-RECIPE-seedN)",
    )
    add_run_keeping(parser, {"steps": positive})
    parser.add_argument("--show", action="store_true", help="open the figure in a window too")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and do nothing"
    )
    return parser.parse_args(argv)


def choose(args: argparse.Namespace) -> Recipe:
    """The recipe that the flags ask for; fills in the seed and the folder."""
    args.changes = changes_of(args)
    if not args.resume:
        recipe = RECIPES[args.recipe or "stable"]
        if args.steps is not None:
            recipe = dataclasses.replace(recipe, steps=args.steps)
        args.seed = args.seed or 0
        args.out = args.out or run_folder(base(recipe.name, args.seed), new=True)
        return recipe

    args.out = args.out or run_folder(base(args.recipe, args.seed), new=False)
    args.steps = goal_asked(args, "steps")
    saved = open_description(args.out)
    try:
        settings = dict(saved["recipe"])
        seed = settings.pop("seed")
        recipe = Recipe(**settings | {"betas": tuple(settings["betas"])})
        gan, data = build(recipe, seed)
        ours = (gan.to_config(), data.to_config(), recipe.batch, type(recipe.steps))
        theirs = (saved["gan"], saved["data"], saved["trainer"]["batch"], int)
    except (LookupError, TypeError, ValueError, RecursionError):
        ours, theirs = (), None
    if ours != theirs:
        raise mg.CheckpointError(
            f"{args.out} holds a run of another experiment, or its recipe.json was changed"
        )
    same_flags(args.out, {"--recipe": (args.recipe, recipe.name), "--seed": (args.seed, seed)})
    args.seed = seed
    if args.steps is not None and args.steps != recipe.steps:
        if recipe.decay:
            raise mg.ConfigError(
                f"{args.out} holds a run whose learning rate falls to zero at step "
                f"{recipe.steps}; it cannot go on to {args.steps}: start a new run"
            )
        recipe = dataclasses.replace(recipe, steps=args.steps)
    return recipe


def base(recipe: str | None, seed: int | None) -> Path:
    """The default run folder, but for a number that may be added to it."""
    return Path("runs") / f"gaussian1d-{recipe or 'stable'}-seed{seed or 0}"


def describe(recipe: Recipe, gan: mg.GAN, args: argparse.Namespace) -> str:
    """What is about to be done."""
    lr = f"lr {recipe.d_lr:g} (D), {recipe.g_lr:g} (G)" + (", falling to 0" if recipe.decay else "")
    judged = f"packs of {recipe.pack}" if recipe.pack > 1 else "single samples"
    average = f"averaged G ({recipe.average:g})" if recipe.average is not None else "G as it is"
    device = device_name(args.device)
    note = "" if args.device == "cpu" else f"  {chosen(args.device)}\n"
    return (
        f"recipe {recipe.name}, seed {args.seed}, {recipe.steps:,} steps of {recipe.batch} samples,"
        f" device {device}\n{note}"
        f"  G has {gan.generator.parameters.size:,} parameters, "
        f"D {gan.discriminator.parameters.size:,} and judges {judged}; samples from {average}\n"
        f"  Adam {recipe.betas}, {lr}; targets {recipe.real_target:g} real,"
        f" {recipe.fake_target:g} fake, {recipe.generator_target:g} for G\n"
        f"  run folder {args.out}"
    )


if __name__ == "__main__":
    sys.exit(main())
