"""Teach a generator to write digits.

    python examples/mnist.py                      the stable recipe on MNIST
    python examples/mnist.py --recipe article     the 2017 article's, as it was
    python examples/mnist.py --data digits        without a network: 8 x 8 digits

The whole experiment is in this file: its settings (Recipe), the two networks (build), and
what is done with them (main). docs/mnist.md tells what each setting is for.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import sys
from collections.abc import Callable
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
    natural,
    open_description,
    path,
    positive,
    print_changes,
    run_folder,
    same_flags,
    seed,
)
from minigan.data import Images, ImageSet, load_images
from minigan.data.images import to_floats, to_pixels
from minigan.evaluation import pictures
from minigan.evaluation.image_scores import frechet_distance
from minigan.files import make_folder
from minigan.text import count
from minigan.training import Trainer, limit_threads, require_free, suitable_threads
from minigan.training.schedule import epoch_end

GRID_SEED = 0  # of the noise behind every grid, so that one can watch the same digits change
CHECKPOINT_EPOCHS = 10
DRY = "dry run: nothing was trained or written"
SAMPLES = "samples"  # the folder of the grids, in the run folder
MOST_THREADS = 4  # by default; products of this size gain little from more
SCORED = 2000  # samples by which the best checkpoint is known


@dataclass(frozen=True)
class Recipe:
    """Every setting of the experiment."""

    name: str
    d_slope: float | None  # D's activation: LeakyReLU with this slope, or ReLU for None
    d_dropout: float  # after each hidden layer of D
    g_dropout: float  # after each hidden layer of G
    g_init: str  # how G's weights start, as Linear(init=) names it; D's are PyTorch's default
    loss: str  # "bce": D ends in a sigmoid; "bce_with_logits": it says a logit
    real_target: float  # below 1: label smoothing
    d_lr: float
    g_lr: float
    betas: tuple[float, float]  # of both Adams
    g_weight_decay: float  # pulls G's weights to zero, so that its pixels can stay grey: Adam
    # gets this / sqrt(steps), which suits runs of any length (Loshchilov and Hutter 2019, app. B)
    final_rate: float  # the learning rates fall linearly to this fraction; 1: they do not fall
    average: float | None  # decay of the moving average of G's weights
    same_noise: bool  # G learns on the samples that D has just judged
    data: str = "mnist"
    epochs: int = 30
    batch: int = 100  # real images a step, and as many generated ones
    hidden: int = 256  # width of every hidden layer
    noise: int = 100  # uniform numbers in [-1, 1) that G makes an image of
    fake_target: float = 0.0
    generator_target: float = 1.0


RECIPES = {
    "article": Recipe(
        name="article",
        d_slope=None,
        d_dropout=0.2,
        g_dropout=0.2,
        g_init="pytorch",
        loss="bce",
        real_target=0.9,
        d_lr=2e-4,
        g_lr=2e-4,
        betas=(0.9, 0.999),
        g_weight_decay=0.0,
        final_rate=1.0,
        average=None,
        same_noise=True,
    ),
    "stable": Recipe(
        name="stable",
        d_slope=0.2,
        d_dropout=0.2,
        g_dropout=0.0,
        g_init="kaiming_uniform",
        loss="bce_with_logits",
        real_target=0.9,
        d_lr=4e-4,
        g_lr=2e-3,
        betas=(0.0, 0.99),
        g_weight_decay=8.0,
        final_rate=0.1,
        average=0.999,
        same_noise=False,
    ),
}


def build(recipe: Recipe, features: int, size: int, seed: int = 0, device: str = "cpu") -> mg.GAN:
    """The two networks and the game between them.

    Args:
        recipe: the settings.
        features: numbers an image, which both networks are fitted to.
        size: images an epoch, which the decay of the learning rates is fitted to.
        seed: of the weights, the noise and the dropout.
        device: where to train.
    """
    hidden = recipe.hidden
    g_drop = [mg.Dropout(recipe.g_dropout)] if recipe.g_dropout else []
    G = mg.Sequential(
        mg.Linear(recipe.noise, hidden, init=recipe.g_init),
        mg.ReLU(),
        *g_drop,
        mg.Linear(hidden, hidden, init=recipe.g_init),
        mg.ReLU(),
        *g_drop,
        mg.Linear(hidden, features, init=recipe.g_init),
        mg.Tanh(),
        seed=seed,
        device=device,
        name="generator",
    )
    activation = mg.ReLU() if recipe.d_slope is None else mg.LeakyReLU(recipe.d_slope)
    d_drop = [mg.Dropout(recipe.d_dropout)] if recipe.d_dropout else []
    D = mg.Sequential(
        mg.Linear(features, hidden),
        activation,
        *d_drop,
        mg.Linear(hidden, hidden),
        activation,
        *d_drop,
        mg.Linear(hidden, 1),
        *([mg.Sigmoid()] if recipe.loss == "bce" else []),
        seed=seed,
        device=device,
        name="discriminator",
    )
    steps = max(1, epoch_end(recipe.epochs, size, recipe.batch))
    decay = mg.LinearDecay(end=steps, final=recipe.final_rate) if recipe.final_rate < 1 else None
    return mg.GAN(
        generator=G,
        discriminator=D,
        noise=mg.Uniform(-1, 1, dim=recipe.noise),
        loss=loss_of(recipe),
        generator_optimizer=mg.Adam(
            G.parameters,
            recipe.g_lr,
            recipe.betas,
            decay=decay,
            weight_decay=recipe.g_weight_decay / math.sqrt(steps),
        ),
        discriminator_optimizer=mg.Adam(D.parameters, recipe.d_lr, recipe.betas, decay=decay),
        average=recipe.average,
        same_noise=recipe.same_noise,
    )


def loss_of(recipe: Recipe) -> mg.Loss:
    """The loss that a recipe names."""
    targets = (recipe.real_target, recipe.fake_target, recipe.generator_target)
    return mg.NonSaturating(*targets, probabilities=recipe.loss == "bce")


def open_run(recipe: Recipe, images: ImageSet, args: argparse.Namespace) -> Trainer:
    """Start a run folder, or go to the last checkpoint of the one that is there."""
    data = Images(images.train, seed=args.seed, device=args.device, dataset=images.name)
    score = pixel_score(images)
    if args.resume:
        return Trainer.resume(
            args.out, data=data, device=args.device, changes=args.changes, score=score
        )
    return Trainer(
        build(recipe, data.features, data.size, args.seed, args.device),
        data,
        args.out,
        batch=recipe.batch,
        print_every=1,
        checkpoint_every=CHECKPOINT_EPOCHS,
        unit="epoch",
        recipe=dataclasses.asdict(recipe) | {"seed": args.seed},
        on_nan=args.on_nan or "stop",
        score=score,
    )


def pixel_score(images: ImageSet) -> Callable[[mg.GAN], float]:
    """The Fréchet distance of pixels: coarse beside `minigan score`, but it needs no judge."""
    real = to_floats(images.train[:SCORED])  # (<= 2000, h w)
    if len(real) < 2:
        return lambda gan: math.nan

    def score(gan: mg.GAN) -> float:
        return frechet_distance(gan.ops.to_host(gan.sample(SCORED, seed=GRID_SEED)), real)

    return score


def draw_grid(trainer: Trainer, shape: tuple[int, int]) -> Path:
    """25 samples from always the same noise, as samples/epoch-NNNN.png in the run folder."""
    samples = trainer.gan.ops.to_host(trainer.gan.sample(25, seed=GRID_SEED))  # (25, h w)
    file = make_folder(trainer.out / SAMPLES) / f"epoch-{trainer.epoch:04}.png"
    pictures.save_png(pictures.grid(to_pixels(samples, shape), columns=5), file)
    return file


def draw_film(trainer: Trainer, title: str) -> Path:
    """The grids of all epochs so far, as training.gif in the run folder."""
    files = [
        (epoch, trainer.out / SAMPLES / f"epoch-{epoch:04}.png")
        for epoch in range(trainer.epoch + 1)
    ]
    there = [(epoch, file) for epoch, file in files if file.exists()]  # epochs may share a step
    frames = []
    for epoch, file in pictures.evenly(there):
        try:
            frames.append((f"{title}, epoch {epoch}", pictures.load_png(file)))
        except mg.DataError as error:  # a picture is no reason to lose the others
            print(f"left out of the film: {error}", file=sys.stderr)
    film = trainer.out / "training.gif"
    pictures.save_film(frames, film)
    return film


# -- the command line -----------------------------------------------------------------


def main(argv: list[str] | None = None) -> int:
    """Run the experiment; returns the exit code."""
    args = parse(argv)
    return guard(Path(__file__).name, lambda: run(args), lambda: how_to_resume(args))


def run(args: argparse.Namespace) -> int:
    """What `main` does, without the handling of what goes wrong."""
    device_name(args.device)  # one that cannot be used is better known now
    recipe, images = choose(args)
    if images.note:
        print(images.note)
    height, width = images.shape
    if not args.resume:
        require_free(args.out, SAMPLES)
    if args.dry_run and not args.resume:
        gan = build(recipe, height * width, len(images.train), args.seed, args.device)
        choose_threads(gan, recipe, args)
        print(describe(recipe, gan, images, args))
        print(DRY)
        return 0
    if not args.dry_run:
        pictures.new_figure()  # a Matplotlib that cannot start is better known now
    trainer = open_run(recipe, images, args)  # of a run that is there, this only reads
    done = trainer.gan.step_count
    if done > epoch_end(recipe.epochs, len(images.train), recipe.batch):
        raise mg.ConfigError(
            f"{args.out} has come to epoch {trainer.epoch} already, past {recipe.epochs}"
        )
    choose_threads(trainer.gan, recipe, args)
    print(describe(recipe, trainer.gan, images, args))
    if done:
        print(f"going on after epoch {trainer.epoch:,}, step {done:,}")
    if args.dry_run:
        print_changes(trainer)
        print(DRY)
        return 0
    if not done:
        draw_grid(trainer, images.shape)
    with limit_threads(args.threads):
        trainer.fit(
            epochs=recipe.epochs,
            after_row=lambda t: draw_grid(t, images.shape),
            threads=args.threads,
            capture=not args.no_graph,
        )
        grid = draw_grid(trainer, images.shape)
    final = trainer.out / "samples.png"
    pictures.save_png(pictures.load_png(grid), final)
    film = draw_film(trainer, f"{images.name}, {recipe.name}")
    print(f"run folder {trainer.out}")
    print(f"samples    {final}")
    print(f"film       {film}")
    print(f"score it   minigan score {trainer.out}", flush=True)
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The flags. None stands for "not given", so that --resume can tell."""
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="""\
Train a GAN on handwritten digits (or clothes).

A generator G turns 100 random numbers into an image. A discriminator D learns to tell such
images from real ones; G learns to be taken for real.""",
        epilog="""\
recipes:
  article   a 2017 tutorial's: dropout in both networks, Adam with momentum, constant rates
  stable    dropout in D alone, no momentum, a G that learns faster than D, falling rates,
            an averaged G
docs/mnist.md tells what each setting buys.

examples:
  python examples/mnist.py
  python examples/mnist.py --data-dir ~/mnist --recipe article --out runs/mine
  python examples/mnist.py --out runs/mine --resume       after an interruption
  python examples/mnist.py --data digits --epochs 200     offline, about a minute""",
    )
    parser.add_argument(
        "--recipe", choices=sorted(RECIPES), help="the settings to train with (default: stable)"
    )
    parser.add_argument(
        "--data",
        choices=["auto", "mnist", "fashion", "digits"],
        help="auto: MNIST from --data-dir or the cache, else by download, else (offline) "
        "scikit-learn's embedded 8 x 8 digits (default: auto)",
    )
    parser.add_argument(
        "--data-dir",
        type=path,
        metavar="DIR",
        help="the four IDX files, gzipped or not, in DIR or in DIR/mnist or DIR/fashion "
        "(default: the environment variable MINIGAN_DATA_DIR, if set)",
    )
    parser.add_argument(
        "--epochs",
        type=natural,
        metavar="N",
        help="passes over the data (default: 30; 0 writes an untrained run)",
    )
    parser.add_argument(
        "--batch-size", type=positive, metavar="N", help="real images a step (default: 100)"
    )
    parser.add_argument(
        "--hidden", type=positive, metavar="N", help="width of the hidden layers (default: 256)"
    )
    parser.add_argument(
        "--seed",
        type=seed,
        metavar="N",
        help="of the weights, the noise, the dropout and the order of the data (default: 0)",
    )
    add_device(parser)
    add_graph(parser)
    parser.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help=f"for matrix products (default: the machine's cores, at most {MOST_THREADS}, or one "
        "if the networks are too narrow to gain)",
    )
    parser.add_argument(
        "--out",
        type=path,
        metavar="DIR",
        help="the run folder (default: a new one, runs/DATA-RECIPE-seedN)",
    )
    add_run_keeping(parser, {"epochs": natural})
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and do nothing"
    )
    return parser.parse_args(argv)


def choose(args: argparse.Namespace) -> tuple[Recipe, ImageSet]:
    """The recipe and the data that the flags ask for; fills in the seed and the folder."""
    args.changes = changes_of(args)
    if args.resume:
        recipe = resumed(args)
        return recipe, find_images(recipe.data, args)
    images = find_images(args.data or "auto", args)
    recipe = dataclasses.replace(RECIPES[args.recipe or "stable"], data=images.name)
    for field, value in (
        ("epochs", args.epochs),
        ("batch", args.batch_size),
        ("hidden", args.hidden),
    ):
        if value is not None:
            recipe = dataclasses.replace(recipe, **{field: value})
    args.seed = args.seed or 0
    base = Path("runs") / f"{images.name}-{recipe.name}-seed{args.seed}"
    args.out = args.out or run_folder(base, new=True)
    return recipe, images


def find_images(name: str, args: argparse.Namespace) -> ImageSet:
    """The images; for the dry run of a new run that has to download them, black ones."""
    if args.resume or not args.dry_run:
        return load_images(name, args.data_dir, download=not args.dry_run)
    try:
        return load_images(name, args.data_dir, download=False)
    except mg.DownloadError:
        wanted = "mnist" if name == "auto" else name
        black, labels = np.broadcast_to(np.uint8(0), (60_000, 28, 28)), np.zeros(60_000, np.uint8)
        return ImageSet(wanted, black, labels, black, labels, "a download that is yet to be made")


def resumed(args: argparse.Namespace) -> Recipe:
    """The recipe of the run that --resume names, if the flags do not contradict it."""
    if args.out is None:
        names = [args.data] if args.data not in (None, "auto") else ["mnist", "digits"]
        ending = f"{args.recipe or 'stable'}-seed{args.seed or 0}"
        bases = [Path("runs") / f"{name}-{ending}" for name in names]
        base = next((one for one in bases if one.exists()), bases[0])
        args.out = run_folder(base, new=False)
    epochs = goal_asked(args, "epochs")
    saved = open_description(args.out)
    try:
        settings = dict(saved["recipe"])
        seed = settings.pop("seed")
        recipe = Recipe(**settings | {"betas": tuple(settings["betas"])})
        size, height, width = saved["data"]["shape"]
        if recipe.batch != saved["trainer"]["batch"] or recipe.hidden != first_width(saved):
            raise ValueError("the recipe is not that of the networks")
        gan = build(recipe, height * width, size, seed)
        ours = (gan.to_config(), recipe.data, type(recipe.epochs))
        theirs = (saved["gan"], saved["data"]["dataset"], int)
    except (LookupError, TypeError, ValueError, ArithmeticError, RecursionError):
        ours, theirs = (), None
    if ours != theirs:
        raise mg.CheckpointError(
            f"{args.out} holds a run of another experiment, or its recipe.json was changed"
        )
    given = None if args.data == "auto" else args.data
    same_flags(
        args.out,
        {
            "--recipe": (args.recipe, recipe.name),
            "--data": (given, recipe.data),
            "--batch-size": (args.batch_size, recipe.batch),
            "--hidden": (args.hidden, recipe.hidden),
            "--seed": (args.seed, seed),
        },
    )
    args.seed = seed
    if epochs is not None and epochs != recipe.epochs:
        if recipe.final_rate < 1.0:
            raise mg.ConfigError(
                f"{args.out} holds a run whose learning rates fall until epoch {recipe.epochs}; "
                f"it cannot go on to {epochs}: start a new run"
            )
        recipe = dataclasses.replace(recipe, epochs=epochs)
    return recipe


def choose_threads(gan: mg.GAN, recipe: Recipe, args: argparse.Namespace) -> None:
    """Fill in the number of threads, if --threads does not say it."""
    cores = min(MOST_THREADS, os.cpu_count() or 1)
    args.threads = args.threads or suitable_threads(gan, recipe.batch) or cores


def first_width(saved: dict[str, Any]) -> int:
    """The width of the first layer of the G that a recipe.json describes."""
    return int(saved["gan"]["generator"]["layers"][0]["out_features"])


def describe(recipe: Recipe, gan: mg.GAN, images: ImageSet, args: argparse.Namespace) -> str:
    """What is about to be done."""
    weight_decay = gan.generator_optimizer.to_config()["weight_decay"]
    lr = f"lr {recipe.d_lr:g} (D), {recipe.g_lr:g} (G, weight decay {weight_decay:.2g})"
    if recipe.final_rate < 1.0:
        lr += f", falling to {100 * recipe.final_rate:g} %"
    average = f"averaged G ({recipe.average:g})" if recipe.average is not None else "G as it is"
    device = device_name(args.device)
    note = "" if args.device == "cpu" else f"  {chosen(args.device)}\n"
    height, width = images.shape
    steps = count(epoch_end(recipe.epochs, len(images.train), recipe.batch), "step")
    return (
        f"recipe {recipe.name}, seed {args.seed}, {count(recipe.epochs, 'epoch')} = {steps} "
        f"of {count(recipe.batch, 'image')}, device {device}, {count(args.threads, 'thread')}\n"
        f"{note}"
        f"  data {images.name}: {count(len(images.train), 'image')} of {height} x {width}, from "
        f"{images.source}\n"
        f"  G has {gan.generator.parameters.size:,} parameters, "
        f"D {gan.discriminator.parameters.size:,}; samples from {average}\n"
        f"  Adam {recipe.betas}, {lr}; dropout {recipe.d_dropout:g} (D), {recipe.g_dropout:g} (G); "
        f"real target {recipe.real_target:g}\n"
        f"  run folder {args.out}"
    )


if __name__ == "__main__":
    sys.exit(main())
