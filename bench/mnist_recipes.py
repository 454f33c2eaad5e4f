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
import dataclasses
import io
import json
import multiprocessing
import re
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from bench import machine, report
from bench.report import number
from examples.mnist import RECIPES, Recipe, build, experiment
from minigan.cli.main import main as minigan
from minigan.command_line import path, positive
from minigan.data import Images, load_images
from minigan.errors import ConfigError
from minigan.evaluation import load_classifier
from minigan.experiment.images import MNIST_SIZE, epochs_of
from minigan.training import Trainer
from minigan.training.recipe_json import RECIPE

#: {case: what it changes in the recipe that it begins with}; "rates" is a factor on both rates
CASES: dict[str, dict[str, Any]] = {
    "article": {},
    "stable": {},
    "stable, rates halved": {"rates": 0.5},
    "stable, rates doubled": {"rates": 2.0},
    "stable, 100 epochs": {"epochs": 100},
}
#: One change each: what does a part of the recipe gain?
CHANGES: dict[str, dict[str, Any]] = {
    f"stable, {name}": changes
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
    recipe, changes = RECIPES[case.partition(",")[0]], dict((CASES | CHANGES)[case])
    factor = changes.pop("rates", 1.0)
    recipe = dataclasses.replace(
        recipe,
        data="mnist",
        epochs=epochs_of(recipe, MNIST_SIZE),
        d_lr=recipe.d_lr * factor,
        g_lr=recipe.g_lr * factor,
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


def lines_of(rows: list[dict[str, Any]]) -> list[str]:
    """The measured runs as Markdown; ratios are to article's run of the same seed."""
    article = {row["seed"]: row["frechet"] for row in rows if row["case"] == "article"}
    lines = []
    for row in rows:
        own = None if row["case"] == "article" else article.get(row["seed"])
        ratio = number(None if own is None else row["frechet"] / own, 3)
        frechet, score, speckle, nearest = (
            number(row[name]) for name in ("frechet", "classifier_score", "speckle", "nearest")
        )
        smallest = f"{100 * row['smallest_class']:.1f} %"
        parzen = f"{row['parzen']:.0f} ± {row['parzen_error']:.0f}"
        cells = [frechet, ratio, score, smallest, speckle, nearest, parzen]
        lines.append([row["case"], str(row["seed"]), *cells])
    real = ("frechet_floor", "classifier_score_real", "speckle_real", "nearest_real")
    frechet, score, speckle, nearest = (number(rows[0][name]) for name in real)
    parzen = f"{rows[0]['parzen_real']:.0f}"
    lines.append(["real images", "", frechet, "", score, "", speckle, nearest, parzen])
    head = ["case", "seed", "Fréchet", "to article's", "classifier score", "smallest class"]
    return report.table([*head, "speckle", "nearest image", "Parzen"], lines)


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line: `cases`, `seeds`, `jobs`, the files and folders."""
    parser = report.parser_of("bench.mnist_recipes", __doc__)
    parser.add_argument("--data-dir", type=path, metavar="DIR", help="as for examples/mnist.py")
    parser.add_argument("--seeds", type=positive, default=3, metavar="N", help="how many (3)")
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="runs at a time (1)")
    parser.add_argument(
        "--changes",
        action="store_true",
        help="article, stable and all single changes of stable instead",
    )
    parser.add_argument(
        "--runs", type=path, default="runs/mnist_recipes", metavar="DIR", help="run folders"
    )
    report.add_out(parser)
    args = parser.parse_args(argv)
    name = "mnist_changes.md" if args.changes else "mnist_recipes.md"
    args.out = args.out or report.RESULTS / name
    # What decides the numbers; readers need not know where the data and the runs were.
    chosen = ["--changes"] if args.changes else []
    args.command = report.command_of("bench.mnist_recipes", [*chosen, "--seeds", str(args.seeds)])
    args.cases = ["article", "stable", *CHANGES] if args.changes else list(CASES)
    return args


def main(argv: list[str] | None = None) -> int:
    """Train, score, print and write the tables."""
    args = parse(report.arguments(argv))
    args.runs.mkdir(parents=True, exist_ok=True)
    origin = machine.describe(args.command)
    with threadpool_limits(limits=1, user_api="blas"):
        load_classifier(load_images("mnist", args.data_dir))  # once, before all jobs need it
    jobs = [
        (case, seed, args.runs, args.data_dir) for case in args.cases for seed in range(args.seeds)
    ]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, mp_context=spawn) as pool:  # notices a worker that dies
        rows = list(pool.map(measure, jobs))
    head = [
        "# MNIST: single changes of the stable recipe" if args.changes else "# MNIST: both recipes",
        f"Hidden width 256, batch 100, one BLAS thread a run. Scores are those of `minigan score` "
        f"on {rows[0]['n']:,} samples; the judge has {100 * rows[0]['accuracy']:.2f} % test "
        "accuracy. Smallest class: the share of the samples in the rarest digit. The last row is "
        "the score of real images.",
        origin,
    ]
    columns = ["case", "seed", "epochs", *COLUMNS]
    report.write_page(
        args.out, head, lines_of(rows), [columns, *([r[c] for c in columns] for r in rows)]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
