"""The recipes of the InfoGAN on MNIST, trained without labels and scored with them.

    python -m bench.infogan --data-dir DIR

The table goes to bench/results/. Runs are kept in --runs. One that is finished there is scored
again, not trained again, so the command can be stopped and repeated.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bench import machine, report
from bench.image_recipes import Job, add_flags, changed, csv_of, measure_all
from bench.report import number, percent
from examples.infogan import RECIPES

#: {case: (what it changes in the recipe that it begins with, the number of seeds)}
CASES: dict[str, tuple[dict[str, Any], int]] = {
    "stable": ({}, 10),
    "stable, without consistency": ({"consistency": None}, 1),
    "canonical, 4 epochs": ({"epochs": 4}, 1),
}
COLUMNS = ("category_accuracy", "category_classes", "slant", "width", "slant_ceiling")


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The measured runs as Markdown."""
    lines = []
    for row in rows:
        codes = [
            max((abs(value), f"{value:+.2f}") for value in row[name])[1]
            for name in ("slant", "width")
        ]
        cells = [percent(row["category_accuracy"]), *codes, number(row["frechet"])]
        lines.append([row["case"], str(row["seed"]), *cells])
    head = ["case", "seed", "accuracy", "slant", "width", "Fréchet"]
    return report.table(head, lines)


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Median, worst and best accuracy of the recipe "stable" over its seeds."""
    of_stable = [row["category_accuracy"] for row in rows if row["case"] == "stable"]
    figures = (statistics.median(of_stable), min(of_stable), max(of_stable))
    median, worst, best = map(percent, figures)
    return (
        f"The {len(of_stable)} seeds of `stable`: median accuracy {median}, worst {worst}, best "
        f"{best}. The paper reports an error of 5 %, without seeds."
    )


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line: the number of jobs, the files and folders."""
    parser = report.parser_of("bench.infogan", __doc__)
    add_flags(parser, "infogan", "infogan")
    report.add_out(parser)
    args = parser.parse_args(argv)
    args.out = args.out or report.RESULTS / "infogan.md"
    return args


def main(argv: list[str] | None = None) -> int:
    """Train, score, print and write the table."""
    args = parse(report.arguments(argv))
    origin = machine.describe(report.command_of("bench.infogan", []))
    jobs = [
        Job("infogan", case, changed(RECIPES, case, changes), seed, args.runs, args.data_dir)
        for case, (changes, seeds) in CASES.items()
        for seed in range(seeds)
    ]
    rows = measure_all(jobs, args.jobs)
    head = [
        "# InfoGANs on MNIST",
        f"{rows[0]['epochs']} epochs (canonical {rows[-1]['epochs']}), one BLAS thread a run; no "
        "label is used in training. Accuracy: the share of the real test images whose strongest "
        "category is the one that is matched to their class; categories and classes are matched "
        "one to one on 10,000 training images. Slant and width: the correlation of the code that "
        f"goes with it most, over {rows[0]['n']:,} samples. Fréchet: the distance of the samples "
        "to the test set.",
        summary(rows),
        origin,
    ]
    report.write_page(args.out, head, table(rows), csv_of(rows, COLUMNS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
