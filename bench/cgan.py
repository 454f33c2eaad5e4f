"""The recipes of the conditional GAN on MNIST, trained and scored.

    python -m bench.cgan --data-dir DIR

The table goes to bench/results/. Runs are kept in --runs. One that is finished there is scored
again, not trained again, so the command can be stopped and repeated.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bench import machine, report
from bench.image_recipes import Job, add_flags, changed, csv_of, measure_all
from bench.report import number, percent
from examples.cgan import RECIPES

#: {recipe: the number of seeds}
SEEDS = {"stable": 3, "dense": 3, "canonical": 1}
COLUMNS = (
    *("gan_test", "gan_test_real", "worst", "worst_real", "worst_class"),
    *("class_variance", "class_variance_real", "gan_train", "gan_train_real"),
)


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The measured runs as Markdown; the last row is the score of real images."""
    lines = []
    for row in rows:
        variance = row["class_variance"] / row["class_variance_real"]
        cells = [percent(row["gan_test"]), percent(row["worst"]), number(variance)]
        cells.append(percent(row["gan_train"]))
        lines.append([row["case"], str(row["seed"]), *cells, number(row["frechet"])])
    real = rows[0]
    cells = [percent(real["gan_test_real"]), percent(real["worst_real"]), number(1.0)]
    cells += [percent(real["gan_train_real"]), number(real["frechet_floor"])]
    lines.append(["real images", "", *cells])
    head = ["recipe", "seed", "taken for the asked class", "worst class", "variance within a class"]
    return report.table([*head, "classifier of samples", "Fréchet"], lines)


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line: the number of jobs, the files and folders."""
    parser = report.parser_of("bench.cgan", __doc__)
    add_flags(parser, "cgan", "cgan")
    report.add_out(parser)
    args = parser.parse_args(argv)
    args.out = args.out or report.RESULTS / "cgan.md"
    return args


def main(argv: list[str] | None = None) -> int:
    """Train, score, print and write the table."""
    args = parse(report.arguments(argv))
    origin = machine.describe(report.command_of("bench.cgan", []))
    jobs = [
        Job("cgan", name, changed(RECIPES, name, {}), seed, args.runs, args.data_dir)
        for name, seeds in SEEDS.items()
        for seed in range(seeds)
    ]
    rows = measure_all(jobs, args.jobs)
    head = [
        "# Conditional GANs on MNIST",
        f"{rows[0]['epochs']} epochs, one BLAS thread a run. Scores are those of `minigan score` "
        f"on {rows[0]['n']:,} samples, the same number of each class. Taken for the asked class: "
        "the share of them that the judge takes for the class that was asked for; of real images, "
        "for their label. Variance within a class: the sum over the pixels, as a fraction of that "
        "of real test images. Classifier of samples: the accuracy on the real test set of a "
        "classifier that is trained on 60,000 samples alone (2,000 steps); of real images, on the "
        "training set.",
        origin,
    ]
    report.write_page(args.out, head, table(rows), csv_of(rows, COLUMNS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
