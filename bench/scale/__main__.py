"""The entry point of `python -m bench.scale`: measures, and writes the results and the page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.report import Plan, arguments, fill_page, parser_of, plan_of, write_page
from bench.scale.fit import read
from bench.scale.measure import Row, measure
from bench.scale.tables import tables
from minigan.command_line import guard
from minigan.files import make_folder

FULL, QUICK = (15, 0.6), (2, 0.05)  # rounds, and seconds of a turn
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "scale.md"
COLUMNS = ("quantity", "transport", "ranks", "batch", "numbers", "seconds")
INTRODUCTION = """\
The article's MNIST networks, fresh noise in both halves, H = 256, batch 100, float32, one BLAS
thread a process. In each of {rounds} rounds everything is measured for about {seconds:g} s; a
number is that of its fastest turn. docs/scale.md explains the tables. Times are milliseconds a
step."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 2 for invalid flags."""
    argv = arguments(argv)
    args, plan = plan_of(parser_of("bench.scale", __doc__), argv, FULL, QUICK)

    def work() -> int:
        make_folder(plan.out)
        write(measure(plan.rounds, plan.seconds), plan)
        if args.out is None:
            fill_page(PAGE, tables(read(plan.out / "scale.csv")))
        return 0

    return guard("bench.scale", work, lambda: "interrupted; nothing is written")


def write(rows: Sequence[Row], plan: Plan) -> None:
    """scale.md and scale.csv."""
    introduction = INTRODUCTION.format(rounds=plan.rounds, seconds=plan.seconds)
    body: list[str] = []
    for name, lines in tables(rows).items():
        body += [f"## {name}", "", *lines, ""]
    cells = [COLUMNS, *([row[name] for name in COLUMNS] for row in rows)]
    head = ["# How far it scales", introduction, plan.origin]
    write_page(plan.out / "scale.md", head, body[:-1], cells)


if __name__ == "__main__":
    sys.exit(main())
