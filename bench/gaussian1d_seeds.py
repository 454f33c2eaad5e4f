"""Both recipes of the 1-D experiment on many seeds: how far each seed lands from the truth.

    python -m bench.gaussian1d_seeds            seeds 0 to 19, into bench/results/

All seeds of a recipe are trained side by side as a population, in which every member is,
to the bit, the run that `python examples/gaussian1d.py --seed N` makes.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import platform
import statistics
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np
import scipy
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from examples.gaussian1d import RECIPES, Recipe, build
from minigan.command_line import natural, positive
from minigan.evaluation import NumberScore, score_gaussian
from minigan.files import write_whole
from minigan.version import __version__

RESULTS = Path(__file__).parent / "results"
SAMPLES = 100_000
SAMPLE_SEED = 1  # the noise that examples/gaussian1d.py scores with, too
BARS = {"mean": 0.05, "std": 0.05, "ks": 0.03}  # largest distance from the truth, on every seed
MEDIAN_KS = 0.02


def train(recipe: Recipe, seeds: list[int]) -> tuple[list[NumberScore], float]:
    """Train every seed; returns a score for each, and the microseconds a step and seed."""
    gan, data = build(recipe, seeds)
    gan.bind(recipe.batch)
    gan.capture()
    start = time.perf_counter()
    for _ in tqdm(range(recipe.steps), desc=recipe.name, unit="step", leave=False, disable=None):
        data.next_batch(out=gan.real)
        gan.step()
    microseconds = (time.perf_counter() - start) / recipe.steps / len(seeds) * 1e6
    gan.check_finite()
    samples = gan.ops.to_host(gan.sample(SAMPLES, seed=SAMPLE_SEED))  # (S, 100000, 1)
    return [score_gaussian(x, recipe.mean, recipe.std) for x in samples], microseconds


def passes(score: NumberScore, recipe: Recipe) -> bool:
    """Whether one seed clears its bars."""
    return (
        abs(score.mean - recipe.mean) <= BARS["mean"]
        and abs(score.std - recipe.std) <= BARS["std"]
        and score.ks <= BARS["ks"]
    )


def table(recipe: Recipe, seeds: list[int], scores: list[NumberScore], microseconds: float) -> str:
    """One recipe's table as Markdown."""
    lines = [
        f"## `{recipe.name}`, {recipe.steps:,} steps of {recipe.batch} samples",
        "",
        "| seed | mean | std | KS | W1 | clears all bars |",
        "|---:|---:|---:|---:|---:|:---:|",
    ]
    for seed, s in zip(seeds, scores, strict=True):
        mark = "yes" if passes(s, recipe) else "no"
        lines.append(
            f"| {seed} | {s.mean:.3f} | {s.std:.3f} | {s.ks:.4f} | {s.wasserstein:.4f} | {mark} |"
        )
    ks = [s.ks for s in scores]
    lines += [
        "",
        f"Seeds that clear all bars: {sum(passes(s, recipe) for s in scores)} of {len(seeds)}. "
        f"Worst |mean - {recipe.mean:g}| {max(abs(s.mean - recipe.mean) for s in scores):.4f}, "
        f"worst |std - {recipe.std:g}| {max(abs(s.std - recipe.std) for s in scores):.4f}, "
        f"worst KS {max(ks):.4f}, median KS {statistics.median(ks):.4f}. "
        f"{microseconds:.0f} microseconds a step and seed, side by side.",
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Train, print and write the tables; returns 1 if `stable` misses a bar."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=positive, default=20, metavar="N", help="how many (20)")
    parser.add_argument("--first", type=natural, default=0, metavar="N", help="the first one (0)")
    parser.add_argument("--recipe", choices=sorted(RECIPES), help="only this one")
    parser.add_argument("--steps", type=positive, metavar="N", help="instead of the recipe's")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.md",
        help="the Markdown file (bench/results/gaussian1d_seeds.md); "
        "the same numbers go to a .csv beside it",
    )
    args = parser.parse_args(argv)
    command = " ".join(
        ["python -m bench.gaussian1d_seeds", *(sys.argv[1:] if argv is None else argv)]
    )
    if args.out is None:
        if (args.seeds, args.first, args.recipe, args.steps) != (20, 0, None, None):
            parser.error("--out FILE.md is needed: the default file is for the full table alone")
        args.out = RESULTS / "gaussian1d_seeds.md"
    if args.out.suffix != ".md" or not args.out.parent.is_dir():
        parser.error(f"--out must be a .md file in a folder that exists, not {args.out}")
    seeds = list(range(args.first, args.first + args.seeds))

    text = [
        "# The 1-D Gaussian on many seeds",
        "",
        f"Each seed's generator draws {SAMPLES:,} samples. Bars, on every seed: "
        f"|mean - 4| <= {BARS['mean']}, |std - 1.25| <= {BARS['std']}, KS <= {BARS['ks']}; "
        f"median KS <= {MEDIAN_KS}. W1 is the Wasserstein-1 distance.",
        "",
        f"Measured {date.today()} with minigan {__version__}, NumPy {np.__version__}, "
        f"SciPy {scipy.__version__}, Python {platform.python_version()}, on {platform.machine()} "
        f"{platform.system()}, by `{command}`.",
    ]
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(["recipe", "seed", "mean", "std", "ks", "wasserstein"])
    cleared = True
    for name in [args.recipe] if args.recipe else sorted(RECIPES):
        recipe = RECIPES[name]
        if args.steps is not None:
            recipe = dataclasses.replace(recipe, steps=args.steps)
        with threadpool_limits(limits=1, user_api="blas"):  # as the example does
            scores, microseconds = train(recipe, seeds)
        part = table(recipe, seeds, scores, microseconds)
        print(part, end="\n\n", flush=True)
        text += ["", part]
        for seed, s in zip(seeds, scores, strict=True):
            writer.writerow([name, seed, s.mean, s.std, s.ks, s.wasserstein])
        if name == "stable":
            median = statistics.median(s.ks for s in scores)
            cleared = all(passes(s, recipe) for s in scores) and median <= MEDIAN_KS
    write_whole(args.out, ("\n".join(text) + "\n").encode())
    write_whole(args.out.with_suffix(".csv"), rows.getvalue().encode())
    print(f"written to {args.out}")
    return 0 if cleared else 1


if __name__ == "__main__":
    sys.exit(main())
