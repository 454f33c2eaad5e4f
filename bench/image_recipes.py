"""Recipes of an experiment on images, trained on several seeds and scored by `minigan score`.

Each run is the one that the example's command makes, on one thread. Runs are kept in a folder; one
that is finished there is scored again, not trained again. So a command can be stopped and repeated.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import io
import json
import multiprocessing
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from bench.report import number, table
from minigan.cli.main import main as minigan
from minigan.command_line import path, positive
from minigan.data import load_images
from minigan.errors import ConfigError
from minigan.evaluation import load_classifier
from minigan.experiment import Options
from minigan.experiment.images import MNIST_SIZE, epochs_of
from minigan.training import Trainer
from minigan.training.recipe_json import RECIPE

#: The columns of the CSV after case, seed and epochs.
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


class Job(NamedTuple):
    """One run."""

    example: str  # "mnist", a module of examples/
    case: str  # its name in the table
    recipe: Any
    seed: int
    runs: Path  # the folder of all runs
    data_dir: Path | None


def changed(recipes: Mapping[str, Any], case: str, changes: Mapping[str, Any]) -> Any:
    """The recipe of a case on MNIST: "NAME, ..." is NAME with changes.

    The change "rates" is a factor on both learning rates.
    """
    changes = dict(changes)
    recipe, factor = recipes[case.partition(",")[0]], changes.pop("rates", 1.0)
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


def measure(job: Job) -> dict[str, Any]:
    """Train one case on one seed, if that is not done yet, and score it."""
    case, recipe, seed = job.case, job.recipe, job.seed
    folder = run_folder(job.runs, case, seed)
    settings = as_json(dataclasses.asdict(recipe) | {"seed": seed})
    experiment = importlib.import_module(f"examples.{job.example}").experiment
    start = time.perf_counter()
    with threadpool_limits(limits=1, user_api="blas"):
        gan, data = experiment.build(recipe, Options(seed, data_dir=job.data_dir))
        if (folder / RECIPE).exists():
            trainer = Trainer.resume(folder, data=data, progress=False)
            if as_json(trainer.recipe) != settings:  # a run from before the recipe was changed
                raise ConfigError(f"{folder} holds a run of another recipe; remove it")
        else:
            trainer = Trainer(
                gan,
                data,
                folder,
                batch=recipe.batch,
                print_every=1,
                checkpoint_every=experiment.checkpoint_every or 1,
                unit="epoch",
                recipe=settings,
                progress=False,
            )
        trainer.fit(epochs=recipe.epochs)
        scores = score_of(folder, job.data_dir)
    scores |= {"case": case, "seed": seed, "epochs": recipe.epochs}  # (its own seed: the samples')
    print(
        f"{case}, seed {seed}: Fréchet {scores['frechet']:.2f}, smallest class "
        f"{100 * scores['smallest_class']:.1f} %, speckle {scores['speckle']:.2f}"
        f"   ({time.perf_counter() - start:.0f} s)",
        flush=True,
    )
    return scores


def score_of(folder: Path, data_dir: Path | None, threads: int = 1) -> dict[str, Any]:
    """What `minigan score` measures, and the share of the samples in the rarest class."""
    words = ["score", str(folder), "--json", "--threads", str(threads)]
    words += [] if data_dir is None else ["--data-dir", str(data_dir)]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        if minigan(words) != 0:
            raise RuntimeError(f"{folder} could not be scored")
    scores: dict[str, Any] = json.loads(out.getvalue())
    return scores | {"smallest_class": min(scores["histogram"])}


def measure_all(jobs: Sequence[Job], at_a_time: int) -> list[dict[str, Any]]:
    """The scores of all jobs, each in a process, `at_a_time` of them running."""
    jobs[0].runs.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(limits=1, user_api="blas"):
        load_classifier(load_images("mnist", jobs[0].data_dir))  # once, before all jobs need it
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_a_time, mp_context=spawn) as pool:  # notices a worker that dies
        return list(pool.map(measure, jobs))


def add_flags(parser: argparse.ArgumentParser, example: str, folder: str) -> None:
    """Add the flags --data-dir, --jobs and --runs."""
    add = parser.add_argument
    add("--data-dir", type=path, metavar="DIR", help=f"as for examples/{example}.py")
    add("--jobs", type=positive, default=1, metavar="N", help="runs at a time (1)")
    add("--runs", type=path, default=f"runs/{folder}", metavar="DIR", help="run folders")


def table_of(
    rows: Sequence[Mapping[str, Any]],
    titles: Sequence[str],
    compared: Callable[[Mapping[str, Any]], Sequence[str]],
) -> list[str]:
    """The measured runs as Markdown; the last row is the score of real images.

    `compared` makes a run's cells in the columns of `titles`, next to its Fréchet distance.
    """
    lines = []
    for row in rows:
        scores = ("frechet", "classifier_score", "speckle", "nearest")
        frechet, score, speckle, nearest = (number(row[name]) for name in scores)
        smallest = f"{100 * row['smallest_class']:.1f} %"
        parzen = f"{row['parzen']:.0f} ± {row['parzen_error']:.0f}"
        cells = [frechet, *compared(row), score, smallest, speckle, nearest, parzen]
        lines.append([row["case"], str(row["seed"]), *cells])
    real = ("frechet_floor", "classifier_score_real", "speckle_real", "nearest_real")
    frechet, score, speckle, nearest = (number(rows[0][name]) for name in real)
    parzen = f"{rows[0]['parzen_real']:.0f}"
    empty = [""] * len(titles)
    lines.append(["real images", "", frechet, *empty, score, "", speckle, nearest, parzen])
    head = ["case", "seed", "Fréchet", *titles, "classifier score", "smallest class"]
    return table([*head, "speckle", "nearest image", "Parzen"], lines)


def csv_of(rows: Sequence[Mapping[str, Any]], more: Sequence[str] = ()) -> list[list[Any]]:
    """The measured runs, with a header; `more` are columns after the usual ones."""
    columns = ["case", "seed", "epochs", *COLUMNS, *more]
    return [columns, *([row.get(name, "") for name in columns] for row in rows)]
