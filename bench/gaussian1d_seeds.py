"""Both recipes of the 1-D experiment on many seeds: how far each seed lands from the truth.

    python -m bench.gaussian1d_seeds            seeds 0 to 19, into bench/results/

All seeds of a recipe are trained together as a population, in which every member is, to the bit,
the run that `python examples/gaussian1d.py --seed N` makes.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from bench import machine, report
from examples.gaussian1d import RECIPES, Recipe, build
from minigan.command_line import natural, positive
from minigan.evaluation import NumberScore, score_gaussian

SAMPLES = 100_000
SAMPLE_SEED = 1  # the noise that examples/gaussian1d.py scores with, too
EDGES = np.linspace(-1.0, 9.0, 101)  # of the bins of a histogram
#: The largest distance from the truth on every seed.
BARS = {"mean": 0.015, "std": 0.015, "ks": 0.012, "tv": 0.05}
MEDIAN_KS = 0.008
INTRODUCTION = (
    f"Each seed's generator draws {SAMPLES:,} samples. Bars, on every seed: "
    f"|mean - 4| <= {BARS['mean']}, |std - 1.25| <= {BARS['std']}, KS <= {BARS['ks']}, "
    f"TV <= {BARS['tv']}; median KS <= {MEDIAN_KS}. W1 is the Wasserstein-1 distance. TV is the "
    "total variation distance between histograms of the samples and of the target, with 100 bins "
    "on [-1, 9] and one for the rest; it is about 0.01 for perfect samples."
)


@dataclass(frozen=True)
class Score:
    """A seed's samples.

    Attributes:
        numbers: their mean, standard deviation and distances.
        distances: what BARS bounds, by name.
    """

    numbers: NumberScore
    distances: Mapping[str, float]

    def passes(self) -> bool:
        """Whether the seed clears its bars."""
        return all(self.distances[name] <= bar for name, bar in BARS.items())


def score(samples: np.ndarray, recipe: Recipe) -> Score:
    """The score of samples (n, 1)."""
    numbers = score_gaussian(samples, recipe.mean, recipe.std)
    shares = np.histogram(samples, EDGES)[0] / samples.size
    exact = np.diff(stats.norm.cdf(EDGES, recipe.mean, recipe.std))
    rest = abs(exact.sum() - shares.sum())
    distances = {
        "mean": abs(numbers.mean - recipe.mean),
        "std": abs(numbers.std - recipe.std),
        "ks": numbers.ks,
        "tv": float(np.abs(shares - exact).sum() + rest) / 2,
    }
    return Score(numbers, distances)


def train(recipe: Recipe, seeds: Sequence[int]) -> tuple[list[Score], float]:
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
    return [score(x, recipe) for x in samples], microseconds


def section(recipe: Recipe, seeds: Sequence[int], scores: Sequence[Score]) -> list[str]:
    """One recipe's part of the page, as Markdown."""
    rows = []
    for seed, s in zip(seeds, scores, strict=True):
        n, tv = s.numbers, s.distances["tv"]
        cells = [f"{n.mean:.3f}", f"{n.std:.3f}", f"{n.ks:.4f}", f"{n.wasserstein:.4f}"]
        cells += [f"{tv:.4f}", "yes" if s.passes() else "no"]
        rows.append([str(seed), *cells])
    head = ["seed", "mean", "std", "KS", "W1", "TV", "clears all bars"]
    median = statistics.median(s.numbers.ks for s in scores)
    worst = {name: max(s.distances[name] for s in scores) for name in BARS}
    return [
        f"## `{recipe.name}`, {recipe.steps:,} steps of {recipe.batch} samples",
        "",
        *report.table(head, rows, left=0),
        "",
        f"Seeds that clear all bars: {sum(s.passes() for s in scores)} of {len(seeds)}. "
        f"Worst |mean - {recipe.mean:g}| {worst['mean']:.4f}, "
        f"worst |std - {recipe.std:g}| {worst['std']:.4f}, worst KS {worst['ks']:.4f}, "
        f"median KS {median:.4f}, worst TV {worst['tv']:.4f}.",
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
    rows: list[list[object]] = [["recipe", "seed", "mean", "std", "ks", "wasserstein", "tv"]]
    cleared = True
    for name in [args.recipe] if args.recipe else sorted(RECIPES):
        recipe = RECIPES[name]
        with threadpool_limits(limits=1, user_api="blas"):  # as the example does
            scores, microseconds = train(recipe, seeds)
        body += [*section(recipe, seeds, scores), ""]
        body[-2] += f" {microseconds:.0f} microseconds a step and seed, all seeds together."
        for seed, s in zip(seeds, scores, strict=True):
            n = s.numbers
            rows.append([name, seed, n.mean, n.std, n.ks, n.wasserstein, s.distances["tv"]])
        if name == "stable":
            median = statistics.median(s.numbers.ks for s in scores)
            cleared = all(s.passes() for s in scores) and median <= MEDIAN_KS
    report.write_page(out, head, body[:-1], rows)
    return 0 if cleared else 1


if __name__ == "__main__":
    sys.exit(main())
