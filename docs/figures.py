"""Draws the figures of the book into docs/figures/: `make figures`.

    python docs/figures.py                 all of them, in about five minutes
    python docs/figures.py --mnist RUNS    those of MNIST from new runs, too
    python docs/figures.py --dcgan RUNS    those of the DCGAN from new runs, too
    python docs/figures.py --cgan RUNS     those of the conditional GAN, and --infogan RUNS

The figures of the 1-D Gaussian and of points in the plane are trained for; on another processor the
runs of "article" and "plain" can end elsewhere. Those of images are drawn from samples kept in
docs/figures/mnist.npz, dcgan.npz, cgan.npz and infogan.npz.
`--mnist RUNS` replaces the first by samples of the runs RUNS/article-seed0 and RUNS/stable-seed0,
which `make mnist` leaves in runs/mnist_recipes; `--dcgan RUNS` the second by samples of
RUNS/canonical-seed0 and RUNS/stable-seed0, which `make dcgan` leaves in runs/dcgan; and likewise
the others. The critics of wgan-weights are trained for it; wgan-estimate and infogan-accuracy are
drawn from bench/results, once they are measured.
drawings.py and game_drawings.py have the figures of layers and games, failure_pictures.py those of
failures.md, scale_picture.py that of scale.md.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import drawings
import failure_pictures
import game_drawings
import scale_picture

import minigan as mg
from bench.image_recipes import run_folder
from examples import diracgan, gaussian1d, toy2d, wgan
from minigan.cli.interpolate import along_code, from_class_to_class, through_noise
from minigan.data import ImageSet, load_images
from minigan.data.images import to_pixels
from minigan.evaluation import form_of, plots, score_codes
from minigan.evaluation.grids import COLUMNS, sample_classes
from minigan.evaluation.image_scores import speckle
from minigan.evaluation.pictures import grid, save_png
from minigan.experiment import Options
from minigan.files import write_whole

FIGURES = Path(__file__).resolve().parent / "figures"
SAMPLES = FIGURES  # the folder of the samples that are kept
#: {experiment: cases of its bench}, whose samples are kept as EXPERIMENT.npz; the last one walks
RECIPES = {
    "mnist": ("article", "stable"),
    "dcgan": ("canonical", "stable"),
    "cgan": ("canonical", "stable"),
    "infogan": ("canonical, 4 epochs", "stable"),
}
#: Name of the figure -> recipe and seed.
GAUSSIAN1D = {
    "gaussian1d-stable": ("stable", 0),
    "gaussian1d-article-lost": ("article", 0),
    "gaussian1d-article-near": ("article", 2),
}
#: Name of the figure -> data and recipe.
TOY2D = {
    "toy2d-ring-stable": ("ring", "stable"),
    "toy2d-grid-plain": ("grid", "plain"),
    "toy2d-grid-stable": ("grid", "stable"),
}
CRITICS = {"clipping": (1, 300, 1500), "gradient_penalty": (1, 300)}  # recipe -> steps
RESULTS = FIGURES.parent.parent / "bench" / "results"
COURSE, ACCURACY = RESULTS / "wgan_course.csv", RESULTS / "infogan.csv"
FROM_TO = (3, 8, 0)  # the classes of a conditional GAN's walks
WALKS, STEPS = 8, 10  # rows and columns of the interpolation
BAND, SPACE, FONT = 40, 16, 24  # screen pixels above and between grids, and of their titles


def draw_gaussian1d(name: str, recipe: str, seed: int) -> None:
    """Train, and draw the figure of the run."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        if gaussian1d.main(["--recipe", recipe, "--seed", str(seed), "--out", str(run)]) != 0:
            raise SystemExit(f"the run of {name} failed")
        gan, history = mg.load_run(run).gan, mg.read_history(run / "history.csv")
    title = f"1-D Gaussian, recipe '{recipe}', seed {seed}, step {gan.step_count:,}"
    _, data = gaussian1d.build(gaussian1d.RECIPES[recipe], seed)
    figure = plots.new_figure()
    form_of(data).draw(figure, title, gan, data, history)
    plots.save_figure(figure, FIGURES / f"{name}.svg")


def draw_toy2d(name: str, data: str, recipe: str) -> None:
    """Train, and keep the figure that the example draws."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        if toy2d.main(["--data", data, "--recipe", recipe, "--out", str(run)]) != 0:
            raise SystemExit(f"the run of {name} failed")
        write_whole(FIGURES / f"{name}.png", (run / "toy2d.png").read_bytes())


def shown(game: mg.GAN, images: ImageSet) -> Any:
    """The samples of a grid: 64; of a game with classes 100, a class a row, (n, 28, 28) uint8.

    The row of an InfoGAN's category is that of the digit that it is matched to.
    """
    if not game.classes:
        return to_pixels(game.sample(64, seed=0), images.shape)
    rows = list(range(game.classes))
    if isinstance(game, mg.InfoGAN):
        digits: Any = score_codes(game, images, n=100).category_classes
        rows = np.argsort(digits).tolist()
    return to_pixels(sample_classes(game, rows, COLUMNS, seed=0), images.shape)


def walks_of(game: mg.GAN) -> Any:
    """Walks through the noise, from class to class, or along the first code: (n, 28, 28) uint8."""
    if isinstance(game, mg.InfoGAN):
        Z, C = along_code(game, 0, game.classes, STEPS, seed=0)
    elif game.classes:
        Z, C = from_class_to_class(game, FROM_TO, WALKS, STEPS, seed=0)
    else:
        Z, C = through_noise(game, WALKS, STEPS, seed=0)
    rows = (None if one is None else one.reshape(-1, one.shape[-1]) for one in (Z, C))
    return to_pixels(game.sampler.predict(*rows), (28, 28))


def keep_samples(experiment: str, runs: Path) -> None:
    """Write the samples of two runs, and real images, that the figures show."""
    images = load_images("mnist")
    test = images.test  # (10000, 28, 28)
    kept: dict[str, Any] = {"real": test[:64], "real_speckle": speckle(test)}
    for case in RECIPES[experiment]:
        gan: Any = mg.load_run(run_folder(runs, case, 0)).gan
        pixels = to_pixels(gan.sample(10_000, seed=0), (28, 28))
        kept |= {case: shown(gan, images), f"{case}_speckle": speckle(pixels)}
    if gan.classes:  # of stable, the last
        order = np.argsort(images.test_labels, kind="stable")
        starts = np.searchsorted(images.test_labels[order], np.arange(gan.classes))
        kept["real"] = test[order[starts[:, None] + np.arange(COLUMNS)].reshape(-1)]
    kept["walks"] = walks_of(gan)
    data = io.BytesIO()
    np.savez_compressed(data, **kept)
    write_whole(SAMPLES / f"{experiment}.npz", data.getvalue())


def draw_samples(experiment: str) -> None:
    """The figures of an experiment on images, from the samples that are kept."""
    with np.load(SAMPLES / f"{experiment}.npz") as kept:
        walks = FIGURES / f"{experiment}-interpolation.png"
        save_png(grid(kept["walks"], STEPS, tile=72), walks)
        panels = []
        for name in (*RECIPES[experiment], "real"):
            columns = math.isqrt(len(kept[name]))
            panel = Image.fromarray(
                np.pad(
                    grid(kept[name], columns, tile=56),
                    ((BAND, 0), (0, SPACE)),
                    constant_values=255,
                )
            )
            words = f"{name}: {kept[f'{name}_speckle']:.2f} lone bright pixels per image"
            font = ImageFont.load_default(FONT)
            ImageDraw.Draw(panel).text((4, BAND // 2), words, 0, font, anchor="lm")
            panels.append(np.asarray(panel))
    picture = np.concatenate(panels, axis=1)[:, :-SPACE]
    save_png(picture, FIGURES / f"{experiment}-comparison.png")


def critic_weights(recipe: str, steps: tuple[int, ...]) -> list[Any]:
    """All weights of the critic of scikit-learn's digits after each of these steps."""
    small = dataclasses.replace(wgan.RECIPES[recipe], data="digits", hidden=64, epochs=1)
    gan, data = wgan.build(small, Options())
    gan.bind(small.batch)
    found = []
    for step in range(1, steps[-1] + 1):
        data.next_batch(out=gan.real)
        gan.step()
        if step in steps:
            named = gan.discriminator.parameters.named()
            weights = [W.ravel() for name, W in named.items() if name.endswith("weight")]
            found.append(np.concatenate(weights))  # (weights,)
    return found


@plots.style()
def draw_weights() -> None:
    """Histograms of the critic's weights: clipped, and with a gradient penalty."""
    figure = plots.new_figure((9.0, 3.8))
    looks = ((plots.INK, ":"), (plots.FAKE, "-"), (plots.REAL, "--"))
    for axes, (recipe, steps) in zip(figure.subplots(1, 2), CRITICS.items(), strict=True):
        for step, W, (colour, dashes) in zip(
            steps, critic_weights(recipe, steps), looks, strict=False
        ):
            limit = 0.0105 if recipe == "clipping" else 0.3
            counts, edges = np.histogram(W, np.linspace(-limit, limit, 43))
            label = f"after {step:,} step" + ("s" if step > 1 else "")
            axes.stairs(100 * counts / W.size, edges, color=colour, ls=dashes, label=label, lw=1.6)
        axes.set(title=recipe, xlabel="weight of the critic", ylabel="% of the weights")
        axes.set_ylim(0.0, 1.3 * axes.get_ylim()[1])  # room for the legend
        axes.legend(loc="upper center")
    plots.save_figure(figure, FIGURES / "wgan-weights.svg")


@plots.style()
def draw_estimate() -> None:
    """The critic's estimate and the Fréchet distance along the runs that the bench has measured."""
    with COURSE.open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]
    looks = {"gradient_penalty": (plots.FAKE, "--"), "stable": (plots.REAL, "-")}
    figure = plots.new_figure((9.0, 3.8))
    for axes, name, title in zip(
        figure.subplots(1, 2),
        ("estimate", "frechet"),
        ("estimate", "Fréchet distance"),
        strict=True,
    ):
        for case, (colour, dashes) in looks.items():
            run = [(float(row["step"]), float(row[name])) for row in rows if row["case"] == case]
            axes.plot(*zip(*run, strict=True), color=colour, ls=dashes, label=case)
        axes.legend()
        axes.set(title=title, xlabel="training step", xscale="log", yscale="log")
    plots.save_figure(figure, FIGURES / "wgan-estimate.svg")


@plots.style()
def draw_accuracy() -> None:
    """The accuracy of each run of an InfoGAN that the bench has measured: a row for each case."""
    with ACCURACY.open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]
    cases = [*dict.fromkeys(row["case"] for row in rows)]
    figure = plots.new_figure((9.0, 1.2 + 0.5 * len(cases)))
    axes = figure.subplots()
    for at, case in enumerate(cases):
        shares = [100 * float(row["category_accuracy"]) for row in rows if row["case"] == case]
        colour = plots.REAL if case == "stable" else plots.FAKE
        axes.plot(shares, np.full(len(shares), at), "o", color=colour, ms=9, alpha=0.6)
    axes.set_yticks(range(len(cases)), cases)
    axes.set_ylim(len(cases) - 0.5, -0.5)
    axes.set(xlim=(0.0, 101.0), xlabel="test images in the category of their digit, %")
    plots.save_figure(figure, FIGURES / "infogan-accuracy.svg")


def main() -> None:
    """Draw all figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for experiment in RECIPES:
        parser.add_argument(
            f"--{experiment}", type=Path, metavar="RUNS", help="take samples of these runs"
        )
    args = parser.parse_args()
    for experiment in RECIPES:
        if getattr(args, experiment) is not None:
            keep_samples(experiment, getattr(args, experiment))
        draw_samples(experiment)
    drawings.draw(FIGURES)
    drawings.draw(FIGURES, game_drawings.PICTURES)
    if diracgan.main(["--out", str(FIGURES / "diracgan.svg")]) != 0:
        raise SystemExit("the games of diracgan failed")
    draw_weights()
    for measured, draw in ((COURSE, draw_estimate), (ACCURACY, draw_accuracy)):
        if measured.exists():
            draw()
    for name, (recipe, seed) in GAUSSIAN1D.items():
        draw_gaussian1d(name, recipe, seed)
    for name, (data, recipe) in TOY2D.items():
        draw_toy2d(name, data, recipe)
    scale_picture.draw()
    for name in failure_pictures.SYMPTOMS:
        failure_pictures.draw(name)


if __name__ == "__main__":
    main()
