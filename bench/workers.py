"""Two processes that take each step together, next to two threads, and to JAX on two threads.

    python -m bench.workers                  into bench/results/, a few minutes
    python -m bench.workers --quick --out DIR

Keep the machine free of other work meanwhile.
"""

from __future__ import annotations

import sys

from bench.engines import ENGINES, Entry
from bench.processes import Timing
from bench.report import Plan, arguments, number, parser_of, plan_of, table, write_page
from bench.speed import compare, measure, no_failure, rows_of
from bench.workloads import TITLES
from minigan.command_line import guard
from minigan.files import make_folder

FULL, QUICK = (15, 1.0), (3, 0.1)  # rounds, and seconds of a turn
MNIST = ("mnist256-same", "mnist1200-same")
COMPARED = {
    "minigan": ENGINES["minigan"],
    "together": Entry("minigan, two processes", "bench.engines.ours:Together", "numpy"),
    "jax_jit": ENGINES["jax_jit"],
}
INTRODUCTION = """\
Each engine uses two CPUs: two threads of one process, or two processes of one thread each, which
share the batch (`--workers 2`). In each of {rounds} rounds every engine trains for about
{seconds:g} s while the others sleep. The time is that of its fastest turn; "median" is a
median over the rounds: the time of its turn, divided by that of minigan's turn with two threads."""


def main(argv: list[str] | None = None) -> int:
    """Measure; 1 if an engine failed, 2 for invalid flags."""
    argv = arguments(argv)
    _, plan = plan_of(parser_of("bench.workers", __doc__), argv, FULL, QUICK, (2,))

    def work() -> int:
        make_folder(plan.out)
        return run(plan)

    return guard("bench.workers", work, lambda: "interrupted; nothing is written")


def run(plan: Plan) -> int:
    """Measure, print and write workers.md and workers.csv."""
    timings = measure(plan, COMPARED, MNIST)
    introduction = INTRODUCTION.format(rounds=plan.rounds, seconds=plan.seconds)
    head = ["# Two processes", introduction, plan.origin]
    rows = rows_of(timings, ("minigan", "jax_jit"))
    write_page(plan.out / "workers.md", head, lines(timings), rows)
    return 0 if no_failure(timings) else 1


def lines(timings: list[Timing]) -> list[str]:
    """A Markdown table of all that was measured."""
    head = ["step", "engine", "ms", "/ two threads", "median", "/ JAX"]
    rows = []
    for one in timings:
        own = next(t for t in timings if (t.engine, t.workload) == ("minigan", one.workload))
        ratios = sorted(a / b for a, b in zip(one.turns, own.turns, strict=False))
        rows.append(
            [
                TITLES[one.workload],
                COMPARED[one.engine].label,
                one.failure or number((one.fastest or 0.0) / 1000),
                number(compare(timings, one, "minigan")),
                number(ratios[len(ratios) // 2] if ratios else None),
                number(compare(timings, one, "jax_jit")),
            ]
        )
    return table(head, rows, left=2)


if __name__ == "__main__":
    sys.exit(main())
