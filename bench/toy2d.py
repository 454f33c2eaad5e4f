"""Every recipe of the 2-D experiment on the ring and the grid, 20 seeds of each.

    python -m bench.toy2d --jobs 2              into bench/results/, in about an hour and a half
    python -m bench.toy2d --quick --out x.md    does everything work? half a minute

A seed is trained on one thread, as `python examples/toy2d.py --seed N` does. What was measured is
kept in --runs. A seed that is finished there is not trained again, so the command can be stopped
and repeated; one of a recipe that has changed since is.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from bench import machine, report
from examples.toy2d import RECIPES, Recipe, build, points
from minigan.command_line import path, positive
from minigan.evaluation import score_points
from minigan.files import write_whole

SAMPLES = 10_000
SAMPLE_SEED = 1  # the noise that examples/toy2d.py scores with, too
COLUMNS = (
    *("modes", "of_modes", "high_quality", "reverse_kl", "spread", "sliced", "sliced_floor"),
    "microseconds",
)


class Bar(NamedTuple):
    """What `stable` must reach on a data set."""

    complete: int  # seeds of 20 that find all modes
    reverse_kl: float  # at most, on every seed
    high_quality: float  # at least, on every seed


BARS = {"ring": Bar(20, 0.01, 0.8), "grid": Bar(19, 0.03, 0.6)}
INTRODUCTION = (
    f"Each seed's generator draws {SAMPLES:,} samples. A sample is of high quality within 3 "
    "standard deviations of the nearest centre, and a mode is found if it has such a sample. "
    "Reverse KL is that of the samples' shares of the modes to equal shares. Spread is the "
    "standard deviation of the samples of high quality from their centre, as a multiple of the "
    "data's. Medians; the worst seed in brackets. Bars of `stable`, on every seed: "
    + "; ".join(
        f"{data}: reverse KL <= {bar.reverse_kl}, high quality >= {bar.high_quality:.0%}, all "
        f"modes on {bar.complete} of 20 seeds"
        for data, bar in BARS.items()
    )
    + "."
)


class Job(NamedTuple):
    """One seed of a recipe."""

    recipe: Recipe
    seed: int
    runs: Path  # the folder of what was measured


def measure(job: Job) -> dict[str, Any]:
    """Train one seed and score it, unless that was done before."""
    recipe = job.recipe
    file = job.runs / f"{recipe.data}-{recipe.name}-seed{job.seed}.json"
    settings = json.loads(json.dumps(dataclasses.asdict(recipe) | {"seed": job.seed}))
    if file.exists():
        kept: dict[str, Any] = json.loads(file.read_bytes())
        if kept["recipe"] == settings:
            return kept
    with threadpool_limits(limits=1, user_api="blas"):
        game, data = build(recipe, job.seed)
        game.bind(recipe.batch)
        game.capture()
        start = time.perf_counter()
        for _ in range(recipe.steps):
            data.next_batch(out=game.real)
            game.step()
        microseconds = (time.perf_counter() - start) / recipe.steps * 1e6
        game.check_finite()
        score = score_points(game.ops.to_host(game.sample(SAMPLES, seed=SAMPLE_SEED)), data)
    row = {**score.to_dict(), "microseconds": microseconds, "recipe": settings}
    write_whole(file, json.dumps(row, indent=2).encode())
    print(f"{recipe.data}, {recipe.name}, seed {job.seed}: {score.title()}", flush=True)
    return row


def median(
    rows: Sequence[dict[str, Any]],
    field: str,
    show: str,
    worst: Callable[[list[float]], float] | None = None,
) -> str:
    """The median of a score, and the worst of it in brackets; "" if no row has it."""
    values = [row[field] for row in rows if field in row]
    if not values:
        return ""
    bracket = "" if worst is None else f" ({worst(values):{show}})"
    return f"{statistics.median(values):{show}}{bracket}"


def table_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The recipes on one data set as Markdown."""
    lines = []
    for name in dict.fromkeys(row["recipe"]["name"] for row in rows):
        of_recipe = [row for row in rows if row["recipe"]["name"] == name]
        cell = functools.partial(median, of_recipe)
        complete = sum(row["modes"] == row["of_modes"] for row in of_recipe)
        cells = [f"{complete} of {len(of_recipe)}", cell("modes", "g", min)]
        cells += [cell("high_quality", ".1%", min), cell("reverse_kl", ".4f", max)]
        cells += [cell("spread", ".2f"), cell("sliced", ".3f", max), cell("microseconds", ".0f")]
        lines.append([f"`{name}`", f"{of_recipe[0]['recipe']['steps']:,}", *cells])
    return report.table(
        [
            *("recipe", "steps", "seeds with all modes", "modes", "high quality", "reverse KL"),
            *("spread", "sliced W1", "µs a step"),
        ],
        lines,
    )


def real_line(data: str) -> str:
    """The scores of real points, as a sentence."""
    source = points(Recipe(data=data))
    score = score_points(source.reference(SAMPLES), source)
    return f"Real points: {score.title().replace('   ', ', ')}, sliced W1 {score.sliced_floor:.3f}."


def clears(rows: Sequence[dict[str, Any]], bar: Bar) -> bool:
    """Whether all seeds of a recipe clear the bars of a data set."""
    complete = sum(row["modes"] == row["of_modes"] for row in rows)
    return complete >= bar.complete * len(rows) / 20 and all(
        row["reverse_kl"] <= bar.reverse_kl and row["high_quality"] >= bar.high_quality
        for row in rows
    )


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = report.parser_of("bench.toy2d", __doc__)
    add = parser.add_argument
    add("--recipe", choices=sorted(RECIPES), help="only this one")
    add("--data", choices=sorted(BARS), help="only this one")
    add("--seeds", type=positive, default=20, metavar="N", help="how many, from 0 on (20)")
    add("--jobs", type=positive, default=1, metavar="N", help="seeds at a time (1)")
    add("--runs", type=path, default="runs/toy2d_seeds", metavar="DIR", help="what was measured")
    add("--quick", action="store_true", help="two seeds of 200 steps: does everything work?")
    report.add_out(parser)
    args = parser.parse_args(argv)
    whole = (args.seeds, args.recipe, args.data, args.quick) == (20, None, None, False)
    if args.out is None and not whole:
        parser.error("--out FILE.md is needed: the default file is only for the whole table")
    args.out = args.out or report.RESULTS / "toy2d.md"
    return args


def jobs_of(args: argparse.Namespace) -> list[Job]:
    """The seeds to measure, one data set and recipe after the other."""
    seeds = range(2 if args.quick else args.seeds)
    chosen = [RECIPES[args.recipe]] if args.recipe else list(RECIPES.values())
    changes = {"steps": 200} if args.quick else {}
    return [
        Job(dataclasses.replace(recipe, data=data, **changes), seed, args.runs)
        for data in ([args.data] if args.data else BARS)
        for recipe in chosen
        for seed in seeds
    ]


def main(argv: list[str] | None = None) -> int:
    """Train, print and write the tables; returns 1 if `stable` misses a bar."""
    argv = report.arguments(argv)
    args = parse(argv)
    args.runs.mkdir(parents=True, exist_ok=True)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, mp_context=spawn) as pool:
        rows = list(pool.map(measure, jobs_of(args)))
    head = ["# The 2-D experiment on many seeds", INTRODUCTION]
    head.append(machine.describe(report.command_of("bench.toy2d", argv)))
    body: list[str] = []
    cleared = True
    for data in dict.fromkeys(row["recipe"]["data"] for row in rows):
        of_data = [row for row in rows if row["recipe"]["data"] == data]
        body += [f"## {data}", "", *table_of(of_data), "", real_line(data), ""]
        stable = [row for row in of_data if row["recipe"]["name"] == "stable"]
        cleared = cleared and clears(stable, BARS[data])
    names = ("data", "name", "seed")
    cells = [[*map(row["recipe"].get, names), *map(row.get, COLUMNS)] for row in rows]
    report.write_page(args.out, head, body[:-1], [[*names, *COLUMNS], *cells])
    return 0 if cleared else 1


if __name__ == "__main__":
    sys.exit(main())
