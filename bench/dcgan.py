"""Both recipes of the DCGAN experiment on MNIST, trained and scored.

    python -m bench.dcgan --data-dir DIR

The table goes to bench/results/. Runs are kept in --runs. One that is finished there is scored
again, not trained again, so the command can be stopped and repeated.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping
from typing import Any

from bench import machine, report
from bench.image_recipes import Job, add_flags, changed, csv_of, measure_all, table_of
from bench.report import number
from examples.dcgan import RECIPES

#: {case: (what it changes in the recipe that it begins with; see `changed`, the number of seeds)}
CASES: dict[str, tuple[dict[str, Any], int]] = {
    "stable": ({}, 3),
    "stable, rates halved": ({"rates": 0.5}, 1),
    "stable, rates doubled": ({"rates": 2.0}, 1),
    "canonical": ({}, 1),
}


def dense_excess() -> dict[int, float]:
    """{seed: Fréchet distance above the floor} of the dense recipe "stable", as measured last."""
    with open(report.RESULTS / "mnist_recipes.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["case"] == "stable"]
    return {int(row["seed"]): float(row["frechet"]) - float(row["frechet_floor"]) for row in rows}


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The measured runs as Markdown; excess is the distance above that of real images."""
    dense = dense_excess()

    def compared(row: Mapping[str, Any]) -> list[str]:
        excess = row["frechet"] - row["frechet_floor"]
        ratio = excess / dense[row["seed"]] if row["seed"] in dense else None
        return [number(excess), number(ratio)]

    return table_of(rows, ["excess", "to dense"], compared)


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line: the number of jobs, the files and folders."""
    parser = report.parser_of("bench.dcgan", __doc__)
    add_flags(parser, "dcgan", "dcgan")
    report.add_out(parser)
    args = parser.parse_args(argv)
    args.out = args.out or report.RESULTS / "dcgan.md"
    return args


def main(argv: list[str] | None = None) -> int:
    """Train, score, print and write the table."""
    args = parse(report.arguments(argv))
    origin = machine.describe(report.command_of("bench.dcgan", []))
    jobs = [
        Job("dcgan", case, changed(RECIPES, case, changes), seed, args.runs, args.data_dir)
        for case, (changes, seeds) in CASES.items()
        for seed in range(seeds)
    ]
    rows = measure_all(jobs, args.jobs)
    head = [
        "# DCGAN on MNIST: both recipes",
        f"{rows[0]['epochs']} epochs, batch {jobs[0].recipe.batch}, one BLAS thread a run. Scores "
        f"are those of `minigan score` on {rows[0]['n']:,} samples; the judge has "
        f"{100 * rows[0]['accuracy']:.2f} % test accuracy. Excess: the Fréchet distance above that "
        "of real images. To dense: the excess divided by that of the dense recipe `stable` of "
        "`bench.mnist_recipes` after 30 epochs, with the same seed. Smallest class: the share of "
        "the samples in the rarest digit. The last row is the score of real images.",
        origin,
    ]
    report.write_page(args.out, head, table(rows), csv_of(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
