"""Both recipes of the MNIST experiment, trained on several seeds and scored.

    python -m bench.mnist_recipes --data-dir DIR                       all cases
    python -m bench.mnist_recipes --data-dir DIR --changes --seeds 1   single changes of stable

Tables go to bench/results/. Each run is the one that `python examples/mnist.py` makes, on one
thread, and is scored by `minigan score`. Runs are kept in --runs; one that is finished there is
not made again, so the command can be stopped and repeated.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import dataclasses
import io
import json
import multiprocessing
import platform
import re
import shlex
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from threadpoolctl import threadpool_limits

from examples.mnist import RECIPES, Recipe, build, experiment
from minigan.cli.main import main as minigan
from minigan.command_line import positive
from minigan.data import Images, load_images
from minigan.data.images import to_pixels
from minigan.errors import ConfigError
from minigan.evaluation import load_classifier
from minigan.evaluation.pictures import grid
from minigan.evaluation.plots import new_figure, save_figure
from minigan.files import write_whole
from minigan.training import Trainer, load_run
from minigan.training.run import RECIPE
from minigan.version import __version__

RESULTS = Path(__file__).parent / "results"
#: name -> the recipe, and what is changed in it; "rates" is a factor on both learning rates
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "article": ("article", {}),
    "stable": ("stable", {}),
    "stable, rates halved": ("stable", {"rates": 0.5}),
    "stable, rates doubled": ("stable", {"rates": 2.0}),
    "stable, 100 epochs": ("stable", {"epochs": 100}),
}
#: One change each: what does a part of the recipe buy? (--cases takes these names, too.)
CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    f"stable, {name}": ("stable", changes)
    for name, changes in {
        "momentum 0.5": {"betas": (0.5, 0.99)},
        "beta2 0.999": {"betas": (0.0, 0.999)},
        "D as fast as G": {"d_lr": RECIPES["stable"].g_lr},
        "G as slow as D": {"g_lr": RECIPES["stable"].d_lr},
        "constant rates": {"final_rate": 1.0},
        "PyTorch's initialisation in G": {"g_init": "pytorch"},
        "no weight decay in G": {"g_weight_decay": 0.0},
        "twice the weight decay in G": {"g_weight_decay": 2 * RECIPES["stable"].g_weight_decay},
        "no averaging": {"average": None},
        "no dropout": {"d_dropout": 0.0},
        "dropout 0.3": {"d_dropout": 0.3},
        "dropout 0.5": {"d_dropout": 0.5},
        "dropout 0.2 in G too": {"g_dropout": 0.2},
        "no smoothing": {"real_target": 1.0},
        "ReLU in D": {"d_slope": None},
        "the same noise for both": {"same_noise": True},
        "loss on probabilities": {"loss": "bce"},
    }.items()
}
COLUMNS = (
    "frechet",
    "frechet_floor",
    "classifier_score",
    "classifier_score_real",
    "smallest_class",
    "speckle",
    "speckle_real",
    "nearest",
    "nearest_real",
    "parzen",
    "parzen_error",
    "parzen_real",
    "accuracy",
)


def recipe_of(case: str) -> Recipe:
    """The recipe of a case."""
    name, changes = (CASES | CHANGES)[case]
    recipe, changes = RECIPES[name], dict(changes)
    factor = changes.pop("rates", 1.0)
    recipe = dataclasses.replace(
        recipe, data="mnist", d_lr=recipe.d_lr * factor, g_lr=recipe.g_lr * factor
    )
    return dataclasses.replace(recipe, **changes)


def as_json(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings as recipe.json gives them back: tuples become lists."""
    return dict(json.loads(json.dumps(settings)))


def run_folder(runs: Path, case: str, seed: int) -> Path:
    """Where a run of a case is kept."""
    words = re.findall(r"[\w.]+", case.replace("%", "percent").replace("'", ""))
    return runs / f"{'-'.join(words)}-seed{seed}"


def measure(job: tuple[str, int, Path, Path | None]) -> dict[str, Any]:
    """Train one case on one seed, if that is not done yet, and score it."""
    case, seed, runs, data_dir = job
    recipe = recipe_of(case)
    folder = run_folder(runs, case, seed)
    settings = as_json(dataclasses.asdict(recipe) | {"seed": seed})
    start = time.perf_counter()
    with threadpool_limits(limits=1, user_api="blas"):
        data = Images(load_images("mnist", data_dir).train, seed=seed, dataset="mnist")
        if (folder / RECIPE).exists():
            trainer = Trainer.resume(folder, data=data, progress=False)
            if as_json(trainer.recipe) != settings:  # a run from before the recipe was changed
                raise ConfigError(f"{folder} holds a run of another recipe; remove it")
        else:
            gan = build(recipe, data.features, data.size, seed)
            trainer = Trainer(
                gan,
                data,
                folder,
                batch=recipe.batch,
                print_every=1,
                checkpoint_every=experiment.checkpoint_every,
                unit="epoch",
                recipe=settings,
                progress=False,
            )
        trainer.fit(epochs=recipe.epochs)
        words = ["score", str(folder), "--json", "--threads", "1"]
        words += [] if data_dir is None else ["--data-dir", str(data_dir)]
        with contextlib.redirect_stdout(io.StringIO()) as out:
            if minigan(words) != 0:
                raise RuntimeError(f"{folder} could not be scored")
    scores = json.loads(out.getvalue())
    scores |= {"case": case, "seed": seed, "epochs": recipe.epochs}  # (its own seed: the samples')
    scores["smallest_class"] = min(scores["histogram"])
    print(
        f"{case}, seed {seed}: Fréchet {scores['frechet']:.2f}, smallest class "
        f"{100 * scores['smallest_class']:.1f} %, speckle {scores['speckle']:.2f}"
        f"   ({time.perf_counter() - start:.0f} s)",
        flush=True,
    )
    return scores


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The measured runs as Markdown; ratios are to article's run of the same seed."""
    article = {row["seed"]: row["frechet"] for row in rows if row["case"] == "article"}
    lines = [
        "| case | seed | Fréchet | to article's | classifier score | smallest class | speckle "
        "| nearest image | Parzen |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        own = article.get(row["seed"])
        ratio = "" if own is None or row["case"] == "article" else f"{row['frechet'] / own:.3f}"
        lines.append(
            f"| {row['case']} | {row['seed']} | {row['frechet']:.2f} | {ratio} "
            f"| {row['classifier_score']:.2f} | {100 * row['smallest_class']:.1f} % "
            f"| {row['speckle']:.2f} | {row['nearest']:.2f} "
            f"| {row['parzen']:.0f} ± {row['parzen_error']:.0f} |"
        )
    real = rows[0]
    lines.append(
        f"| real images | | {real['frechet_floor']:.2f} | | {real['classifier_score_real']:.2f} "
        f"| | {real['speckle_real']:.2f} | {real['nearest_real']:.2f} "
        f"| {real['parzen_real']:.0f} |"
    )
    return lines


def draw_comparison(rows: list[dict[str, Any]], runs: Path, data_dir: Path | None) -> Any:
    """Samples of article, of stable and real digits side by side, each with its speckle."""
    panels = []
    for case in ("article", "stable"):
        row = next(row for row in rows if row["case"] == case)
        gan = load_run(run_folder(runs, case, row["seed"])).gan
        pixels = to_pixels(gan.sample(64, seed=0), (28, 28))
        panels.append((f"{case}, {row['epochs']} epochs", row["speckle"], pixels))
    real = load_images("mnist", data_dir).test[:64]
    panels.append(("real", rows[0]["speckle_real"], real))
    figure = new_figure((12.0, 4.3))
    for axes, (title, speckle, pixels) in zip(figure.subplots(1, 3), panels, strict=True):
        axes.imshow(grid(pixels, columns=8, tile=56), cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{title}: {speckle:.2f} lone bright pixels an image", fontsize=10)
        axes.set_axis_off()
    return figure


def main(argv: list[str] | None = None) -> int:
    """Train, score, print and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="as for examples/mnist.py")
    parser.add_argument("--seeds", type=positive, default=3, metavar="N", help="how many (3)")
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="side by side (1)")
    parser.add_argument(
        "--cases",
        nargs="+",
        choices=[*CASES, *CHANGES],
        metavar="C",
        help="only these, of: " + "; ".join([*CASES, *CHANGES]),
    )
    parser.add_argument(
        "--changes",
        action="store_true",
        help="article, stable and all single changes of stable instead",
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/mnist_recipes"), metavar="DIR", help="run folders"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.md",
        help="the Markdown file; the same numbers go to a .csv beside it (default: "
        "bench/results/mnist_recipes.md, or mnist_changes.md; of some --cases: none, name it)",
    )
    parser.add_argument(
        "--figure", type=Path, metavar="FILE.png", help="draw article, stable and real digits, too"
    )
    args = parser.parse_args(argv)
    if args.out is None:
        if args.cases:
            parser.error("name the --out of some cases; the default one is for the page of all")
        args.out = RESULTS / ("mnist_changes.md" if args.changes else "mnist_recipes.md")
    if args.changes and args.cases:
        parser.error("--changes and --cases exclude each other")
    cases = args.cases or (["article", "stable", *CHANGES] if args.changes else list(CASES))
    if args.figure is not None and not (
        {"article", "stable"} <= set(cases)
        and args.figure.suffix == ".png"
        and args.figure.parent.is_dir()
    ):
        parser.error(
            "--figure must be a .png file in a folder that exists, and needs the cases article "
            "and stable"
        )
    if args.out.suffix != ".md" or not args.out.parent.is_dir():
        parser.error(f"--out must be a .md file in a folder that exists, not {args.out}")
    args.runs.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(limits=1, user_api="blas"):
        load_classifier(load_images("mnist", args.data_dir))  # once, before everybody wants it
    jobs = [(case, seed, args.runs, args.data_dir) for case in cases for seed in range(args.seeds)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, mp_context=spawn) as pool:  # notices a worker that dies
        rows = list(pool.map(measure, jobs))
    # What decides the numbers; where the data and the runs were is nothing to others.
    told = ["--cases", *args.cases] if args.cases else ["--changes"] if args.changes else []
    command = shlex.join(["python", "-m", "bench.mnist_recipes", *told, "--seeds", str(args.seeds)])
    text = [
        "# MNIST: single changes of the stable recipe" if args.changes else "# MNIST: both recipes",
        "",
        f"Hidden width 256, batch 100. Scores are those of `minigan score` on "
        f"{rows[0]['n']:,} samples; the judge has {100 * rows[0]['accuracy']:.2f} % test accuracy. "
        "Smallest class: the share of the samples in the rarest digit. The last row is what real "
        "images get.",
        "",
        f"Measured {date.today()} with minigan {__version__}, NumPy {np.__version__}, SciPy "
        f"{scipy.__version__}, Python {platform.python_version()}, on {platform.machine()} "
        f"{platform.system()}, one BLAS thread a run, by `{command}`.",
        "",
        *table(rows),
    ]
    print("\n".join(table(rows)))
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\n")
    writer.writerow(["case", "seed", "epochs", *COLUMNS])
    for row in rows:
        writer.writerow([row["case"], row["seed"], row["epochs"], *(row[c] for c in COLUMNS)])
    write_whole(args.out, ("\n".join(text) + "\n").encode())
    write_whole(args.out.with_suffix(".csv"), sheet.getvalue().encode())
    print(f"written to {args.out}")
    if args.figure is not None:
        save_figure(draw_comparison(rows, args.runs, args.data_dir), args.figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
