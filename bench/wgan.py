"""Wasserstein GANs on MNIST: recipes at equal time, and the critic's estimate along a run.

    python -m bench.wgan --data-dir DIR            ten minutes a recipe, nearly an hour in all
    python -m bench.wgan --quick --out FILE.md     does everything work? The numbers mean little

Each recipe trains for the same time, with dense networks, on two threads. Training stops at steps
that are evenly spaced on a logarithmic scale, where samples are compared with real images. Two
pages go to bench/results/: the scores at the end, and the courses. Runs are kept in --runs, and
continue there, so the command can be stopped and repeated. Keep the machine free of other work.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench import machine, report
from bench.image_recipes import COLUMNS, as_json, run_folder, score_of, table_of
from bench.report import number
from minigan.command_line import guard, path, positive
from minigan.data import load_images
from minigan.data.images import to_floats, to_pixels
from minigan.errors import ConfigError
from minigan.evaluation import load_classifier
from minigan.evaluation.image_scores import frechet_distance
from minigan.experiment import Options
from minigan.files import make_folder, write_whole
from minigan.gan import Game
from minigan.training import Trainer, limit_threads, read_history
from minigan.training.recipe_json import RECIPE
from minigan.training.schedule import epoch_end

#: {case: (an example, its recipe)}
CASES = {
    "clipping": ("wgan", "clipping"),
    "gradient_penalty": ("wgan", "gradient_penalty"),
    "stable": ("wgan", "stable"),
    "plain GAN, article": ("mnist", "article"),
    "plain GAN, stable": ("mnist", "stable"),
}
DATA = "mnist"
FOLLOWED = ("gradient_penalty", "stable")  # their estimates are compared with the distance
HELD = "stable"  # to the bars
STOPS, FEW = 60, 8  # in a run; with --quick
FIRST = 10  # about the step of the first one
SAMPLES, SEED = 10_000, 0
WARM_UP, TIMED = 20, 200  # steps, before a run, that find how many fit into the time
LEFT_OUT = 1 / 20  # of a run's steps: the beginning
SPEARMAN, SLOPE = 0.8, 0.1  # bars: the least rank correlation; the largest |mean slope - 1|
COURSE = "course.json"  # of a run folder: {"seconds": of training, "frechet": {step: distance}}


class Settings(NamedTuple):
    """What is the same for all cases."""

    seconds: float  # of training; 0: a single epoch
    threads: int
    hidden: int  # width of the networks
    stops: int  # in a run
    runs: Path  # the folder of all runs
    data_dir: Path | None


class Course(NamedTuple):
    """A run along its stops."""

    steps: list[int]
    frechet: list[float]
    rows: list[dict[str, float]]  # of the history, one at each stop


def stops_of(steps: int, count: int) -> list[int]:
    """Steps from about 10 to the last one, evenly spaced on a logarithmic scale."""
    spaced = np.geomspace(min(FIRST, steps), steps, count)
    return sorted({round(float(step)) for step in spaced})


def recipe_of(case: str, settings: Settings) -> Any:
    """The recipe of a case. Its epochs fill the time; a run that exists keeps its own epochs."""
    example, name = CASES[case]
    experiment = importlib.import_module(f"examples.{example}").experiment
    fields = {"data": DATA, "hidden": settings.hidden, "epochs": 1}
    recipe = dataclasses.replace(experiment.recipes[name], **fields)
    kept = run_folder(settings.runs, case, 0) / RECIPE
    if kept.exists():
        epochs = json.loads(kept.read_text(encoding="utf-8"))["recipe"]["epochs"]
        return dataclasses.replace(recipe, epochs=epochs)
    if settings.seconds:
        game, data = experiment.build(recipe, Options(data_dir=settings.data_dir))
        per_epoch = epoch_end(1, data.size, game.samples_of(recipe.batch))
        seconds = seconds_a_step(game, data, recipe.batch, settings.threads) * per_epoch
        return dataclasses.replace(recipe, epochs=max(1, round(settings.seconds / seconds)))
    return recipe


def seconds_a_step(game: Game, data: Any, batch: int, threads: int) -> float:
    """The median over some steps of a game that is thrown away."""
    game.bind(batch)
    game.capture()
    times = []
    with limit_threads(threads):
        for _ in range(WARM_UP + TIMED):
            start = time.perf_counter()
            data.next_batch(out=game.real)
            game.step()
            times.append(time.perf_counter() - start)
    return float(np.median(times[WARM_UP:]))


def train(case: str, recipe: Any, settings: Settings) -> tuple[Trainer, Course, float]:
    """Train a case, from where it was stopped; its course, and the seconds of training."""
    folder = run_folder(settings.runs, case, 0)
    experiment = importlib.import_module(f"examples.{CASES[case][0]}").experiment
    game, data = experiment.build(recipe, Options(data_dir=settings.data_dir))
    own = as_json(dataclasses.asdict(recipe) | {"seed": 0})
    end = epoch_end(recipe.epochs, data.size, game.samples_of(recipe.batch))
    if (folder / RECIPE).exists():
        trainer = Trainer.resume(folder, data=data, progress=False)
        if as_json(trainer.recipe) != own:  # a run from before the recipe was changed
            raise ConfigError(f"{folder} holds a run of another recipe; remove it")
    else:
        every = {"batch": recipe.batch, "print_every": end, "recipe": own, "progress": False}
        trainer = Trainer(game, data, folder, **every)
    images = load_images(DATA, settings.data_dir)
    judge = load_classifier(images)
    real = judge.features(to_floats(images.test))  # (10000, 128)
    file = folder / COURSE
    course = json.loads(file.read_text()) if file.exists() else {"seconds": 0.0, "frechet": {}}

    def keep() -> None:
        write_whole(file, json.dumps(course).encode())

    for step in stops_of(end, settings.stops):
        start = time.perf_counter()
        try:
            trainer.fit(steps=step, threads=settings.threads)
        finally:  # also when it is stopped: it has saved then
            course["seconds"] += time.perf_counter() - start
            keep()
        if str(step) not in course["frechet"]:
            samples = trainer.gan.ops.to_host(trainer.gan.sample(SAMPLES, seed=SEED))
            made = judge.features(to_floats(to_pixels(samples, images.shape)))  # (10000, 128)
            course["frechet"][str(step)] = frechet_distance(made, real)
            keep()
    steps = [int(step) for step in course["frechet"]]
    rows = [row for row in read_history(trainer.history.path) if int(row["step"]) in steps]
    return trainer, Course(steps, list(course["frechet"].values()), rows), course["seconds"]


def measure(case: str, settings: Settings) -> tuple[dict[str, Any], Course]:
    """The scores of a case at the end of its training, and its course."""
    recipe = recipe_of(case, settings)
    trainer, course, seconds = train(case, recipe, settings)
    scores = score_of(trainer.out, settings.data_dir, settings.threads)
    length = {"epochs": recipe.epochs, "steps": course.steps[-1], "minutes": seconds / 60}
    print(f"{case}: {seconds / 60:.1f} minutes, Fréchet {scores['frechet']:.2f}", flush=True)
    return scores | {"case": case, "seed": 0} | length, course


def judged(course: Course) -> tuple[float, float]:
    """Spearman's correlation of estimate and Fréchet distance, and the mean slope, in this order.

    Both without the beginning of the run.
    """
    from scipy.stats import spearmanr

    ends = np.array(course.steps)
    starts = np.concatenate([[0], ends[:-1]])  # a row is the mean from one stop to the next
    late = ends > LEFT_OUT * ends[-1]
    estimate, slope = (
        np.array([row[name] for row in course.rows]) for name in ("estimate", "slope")
    )
    correlation = spearmanr(estimate[late], np.array(course.frechet)[late]).statistic
    return float(correlation), float(np.average(slope[late], weights=(ends - starts)[late]))


def clears(correlation: float, slope: float) -> bool:
    """Whether a run clears both bars."""
    return correlation >= SPEARMAN and abs(slope - 1.0) <= SLOPE


def verdict(case: str, correlation: float, slope: float) -> str:
    """A sentence on a run and the bars."""
    end = "Both bars are cleared." if clears(correlation, slope) else "A bar is missed."
    return f"`{case}`: correlation {correlation:.3f}, mean slope {slope:.3f}. {end}"


def scores_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The scores as Markdown; the last row is that of real images."""
    return table_of(
        rows,
        ["epochs", "minutes"],
        lambda row: [f"{row['epochs']:,}", number(row["minutes"], 1)],
    )


def course_rows(case: str, course: Course) -> list[list[Any]]:
    """A row for each stop of a run: case, step, Fréchet distance, estimate, penalty and slope."""
    return [
        [case, step, frechet, row["estimate"], row["penalty"], row["slope"]]
        for step, frechet, row in zip(course.steps, course.frechet, course.rows, strict=True)
    ]


def course_table(rows: Sequence[Sequence[Any]]) -> list[str]:
    """`course_rows` as Markdown, without the penalty."""
    cells = [
        [case, f"{step:,}", number(frechet), number(estimate, 3), number(slope, 3)]
        for case, step, frechet, estimate, _, slope in rows
    ]
    return report.table(["case", "step", "Fréchet", "estimate", "slope"], cells)


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line: what is measured, the files and folders."""
    parser = report.parser_of("bench.wgan", __doc__)
    add = parser.add_argument
    add("--data-dir", type=path, metavar="DIR", help="as for examples/wgan.py")
    add("--minutes", type=positive, default=10, metavar="N", help="of training a recipe (10)")
    add("--threads", type=positive, default=2, metavar="N", help="for matrix products (2)")
    add("--cases", nargs="+", choices=CASES, metavar="CASE", help=f"only these: {[*CASES]}")
    add("--runs", type=path, default="runs/wgan_bench", metavar="DIR", help="run folders")
    add("--quick", action="store_true", help="small networks, one epoch, two recipes")
    report.add_out(parser)
    args = parser.parse_args(argv)
    whole = not args.quick and args.cases is None and args.minutes == 10
    if args.out is None and not whole:
        parser.error("--out FILE.md is needed: the default file is only for the whole table")
    args.out = args.out or report.RESULTS / "wgan.md"
    args.cases = args.cases or [*(FOLLOWED if args.quick else CASES)]
    return args


def run(args: argparse.Namespace) -> int:
    """Train, score, print and write the pages; 1 if `stable` misses a bar."""
    seconds, hidden, stops = (0.0, 32, FEW) if args.quick else (60.0 * args.minutes, 256, STOPS)
    runs = make_folder(args.runs)
    settings = Settings(seconds, args.threads, hidden, stops, runs, args.data_dir)
    length = ["--quick"] if args.quick else ["--minutes", str(args.minutes)]
    others = ["--threads", str(args.threads), "--cases", *args.cases]
    command = report.command_of("bench.wgan", [*length, *others])
    origin = machine.describe(command)
    measured = {case: measure(case, settings) for case in args.cases}
    rows = [scores for scores, _ in measured.values()]
    head = [
        "# Wasserstein GANs on MNIST, at equal time",
        f"Dense networks of width {hidden}, seed 0, {args.threads} BLAS threads. Minutes are those "
        "of training, without scores. Scores are those of `minigan score` on "
        f"{rows[0]['n']:,} samples; the judge has {100 * rows[0]['accuracy']:.2f} % test accuracy. "
        "Smallest class: the share of the samples in the rarest digit. The last row is the score "
        "of real images.",
        origin,
    ]
    columns = ["case", "seed", "epochs", "steps", "minutes", *COLUMNS]
    cells = [[row[name] for name in columns] for row in rows]
    report.write_page(args.out, head, scores_table(rows), [columns, *cells])
    courses = {case: measured[case][1] for case in FOLLOWED if case in measured}
    if not courses:
        return 0
    verdicts = {case: judged(course) for case, course in courses.items()}
    head = [
        "# The critic's estimate along a run",
        "Estimate and slope are means over the steps since the row before; the Fréchet distance is "
        f"that of {SAMPLES:,} samples at the step. Without the first twentieth of the run, "
        f"Spearman's rank correlation of estimate and distance should be at least {SPEARMAN}, and "
        f"the mean slope at the interpolates 1 ± {SLOPE}.",
        *(verdict(case, *verdicts[case]) for case in courses),
        origin,
    ]
    numbers = [row for case, course in courses.items() for row in course_rows(case, course)]
    names = ["case", "step", "frechet", "estimate", "penalty", "slope"]
    page = args.out.with_name(f"{args.out.stem}_course.md")
    report.write_page(page, head, course_table(numbers), [names, *numbers])
    print("\n".join(head[2:-1]), flush=True)
    held = verdicts.get(HELD)
    return 0 if held is None or clears(*held) else 1


def main(argv: list[str] | None = None) -> int:
    """Measure; 1 if `stable` misses a bar, 2 for invalid flags, 130 if it was stopped."""
    args = parse(report.arguments(argv))
    return guard("bench.wgan", lambda: run(args), lambda: "interrupted; the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
