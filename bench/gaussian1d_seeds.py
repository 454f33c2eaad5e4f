"""Both recipes of the 1-D experiment on many seeds: how far each seed lands from the truth.

    python -m bench.gaussian1d_seeds            seeds 0 to 19, into bench/results/

All seeds of a recipe are trained together as a population, in which every member is, to the bit,
the run that `python examples/gaussian1d.py --seed N` makes.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from bench import machine, report
from examples.gaussian1d import RECIPES, Recipe, build
from minigan.command_line import natural, positive
from minigan.evaluation import NumberScore, score_gaussian

SAMPLES = 100_000
SAMPLE_SEED = 1  # the noise that examples/gaussian1d.py scores with, too
BARS = {"mean": 0.05, "std": 0.05, "ks": 0.03}  # largest distance from the truth, on every seed
MEDIAN_KS = 0.02
INTRODUCTION = (
    f"Each seed's generator draws {SAMPLES:,} samples. Bars, on every seed: "
    f"|mean - 4| <= {BARS['mean']}, |std - 1.25| <= {BARS['std']}, KS <= {BARS['ks']}; "
    f"median KS <= {MEDIAN_KS}. W1 is the Wasserstein-1 distance."
)


def train(recipe: Recipe, seeds: Sequence[int]) -> tuple[list[NumberScore], float]:
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


def section(recipe: Recipe, seeds: Sequence[int], scores: Sequence[NumberScore]) -> list[str]:
    """One recipe's part of the page, as Markdown."""
    rows = []
    for seed, s in zip(seeds, scores, strict=True):
        cells = [f"{s.mean:.3f}", f"{s.std:.3f}", f"{s.ks:.4f}", f"{s.wasserstein:.4f}"]
        rows.append([str(seed), *cells, "yes" if passes(s, recipe) else "no"])
    ks = [s.ks for s in scores]
    return [
        f"## `{recipe.name}`, {recipe.steps:,} steps of {recipe.batch} samples",
        "",
        *report.table(["seed", "mean", "std", "KS", "W1", "clears all bars"], rows, left=0),
        "",
        f"Seeds that clear all bars: {sum(passes(s, recipe) for s in scores)} of {len(seeds)}. "
        f"Worst |mean - {recipe.mean:g}| {max(abs(s.mean - recipe.mean) for s in scores):.4f}, "
        f"worst |std - {recipe.std:g}| {max(abs(s.std - recipe.std) for s in scores):.4f}, "
        f"worst KS {max(ks):.4f}, median KS {statistics.median(ks):.4f}.",
    ]


def main(argv: list[str] | None = None) -> int:
    """Train, print and write the tables; returns 1 if `stable` misses a bar."""
    argv = report.arguments(argv)
    parser = report.parser_of("bench.gaussian1d_seeds", __doc__)
    parser.add_argument("--seeds", type=positive, default=20, metavar="N", help="how many (20)")
    parser.add_argument("--first", type=natural, default=0, metavar="N", help="the first one (0)")
    parser.add_argument("--recipe", choices=sorted(RECIPES), help="only this one")
    report.add_out(parser)
    args = parser.parse_args(argv)
    whole = (args.seeds, args.first, args.recipe) == (20, 0, None)
    if args.out is None and not whole:
        parser.error("--out FILE.md is needed: the default file is only for the whole table")
    out = args.out or report.RESULTS / "gaussian1d_seeds.md"
    seeds = range(args.first, args.first + args.seeds)
    head = ["# The 1-D Gaussian on many seeds", INTRODUCTION]
    head.append(machine.describe(report.command_of("bench.gaussian1d_seeds", argv)))
    body: list[str] = []
    rows: list[list[object]] = [["recipe", "seed", "mean", "std", "ks", "wasserstein"]]
    cleared = True
    for name in [args.recipe] if args.recipe else sorted(RECIPES):
        recipe = RECIPES[name]
        with threadpool_limits(limits=1, user_api="blas"):  # as the example does
            scores, microseconds = train(recipe, seeds)
        body += [*section(recipe, seeds, scores), ""]
        body[-2] += f" {microseconds:.0f} microseconds a step and seed, all seeds together."
        for seed, s in zip(seeds, scores, strict=True):
            rows.append([name, seed, s.mean, s.std, s.ks, s.wasserstein])
        if name == "stable":
            median = statistics.median(s.ks for s in scores)
            cleared = all(passes(s, recipe) for s in scores) and median <= MEDIAN_KS
    report.write_page(out, head, body[:-1], rows)
    return 0 if cleared else 1


if __name__ == "__main__":
    sys.exit(main())
