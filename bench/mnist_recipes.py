"""Both recipes of the MNIST experiment, trained on several seeds and scored.

    python -m bench.mnist_recipes --data-dir DIR                       all cases
    python -m bench.mnist_recipes --data-dir DIR --changes --seeds 1   single changes of stable

Tables go to bench/results/. Runs are kept in --runs. One that is finished there is not trained
again, so the command can be stopped and repeated.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from bench import machine, report
from bench.image_recipes import Job, add_flags, changed, csv_of, measure_all, table_of
from bench.report import number
from examples.mnist import RECIPES
from minigan.command_line import positive

#: {case: what it changes in the recipe that it begins with}; see `changed`
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


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The measured runs as Markdown; ratios are to article's run of the same seed."""
    article = {row["seed"]: row["frechet"] for row in rows if row["case"] == "article"}

    def compared(row: Mapping[str, Any]) -> list[str]:
        own = None if row["case"] == "article" else article.get(row["seed"])
        return [number(None if own is None else row["frechet"] / own, 3)]

    return table_of(rows, ["to article's"], compared)


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line: `cases`, `seeds`, `jobs`, the files and folders."""
    parser = report.parser_of("bench.mnist_recipes", __doc__)
    add_flags(parser, "mnist", "mnist_recipes")
    parser.add_argument("--seeds", type=positive, default=3, metavar="N", help="how many (3)")
    parser.add_argument(
        "--changes",
        action="store_true",
        help="article, stable and all single changes of stable instead",
    )
    report.add_out(parser)
    args = parser.parse_args(argv)
    name = "mnist_changes.md" if args.changes else "mnist_recipes.md"
    args.out = args.out or report.RESULTS / name
    # What decides the numbers; readers need not know where the data and the runs were.
    chosen = ["--changes"] if args.changes else []
    args.command = report.command_of("bench.mnist_recipes", [*chosen, "--seeds", str(args.seeds)])
    both = {"article": {}, "stable": {}}
    args.cases = both | CHANGES if args.changes else CASES
    return args


def main(argv: list[str] | None = None) -> int:
    """Train, score, print and write the tables."""
    args = parse(report.arguments(argv))
    origin = machine.describe(args.command)
    jobs = [
        Job("mnist", case, changed(RECIPES, case, changes), seed, args.runs, args.data_dir)
        for case, changes in args.cases.items()
        for seed in range(args.seeds)
    ]
    rows = measure_all(jobs, args.jobs)
    head = [
        "# MNIST: single changes of the stable recipe" if args.changes else "# MNIST: both recipes",
        f"Hidden width 256, batch 100, one BLAS thread a run. Scores are those of `minigan score` "
        f"on {rows[0]['n']:,} samples; the judge has {100 * rows[0]['accuracy']:.2f} % test "
        "accuracy. Smallest class: the share of the samples in the rarest digit. The last row is "
        "the score of real images.",
        origin,
    ]
    report.write_page(args.out, head, table(rows), csv_of(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
