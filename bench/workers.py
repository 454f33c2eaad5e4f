"""Two processes that take each step together, next to two threads, and to JAX on two threads.

    python -m bench.workers                  into bench/results/, seven minutes
    python -m bench.workers --quick --out DIR

Keep the machine free of other work meanwhile.
"""

from __future__ import annotations

import functools
import sys

from bench.engines import ENGINES, Entry
from bench.processes import Timing, time_in_rounds, workers
from bench.report import (
    Plan,
    arguments,
    in_turn,
    number,
    parser_of,
    plan_of,
    table,
    write_page,
)
from bench.speed import compare, losses_out_of_range, no_failure, rows_of
from bench.workloads import TITLES, WORKLOADS, Workload
from minigan.command_line import guard
from minigan.files import make_folder

FULL, QUICK = (8, 2.0), (3, 0.1)  # rounds, and seconds of a turn
THREADS = 2
MNIST = ("mnist256-same", "mnist1200-same")
COMPARED = {
    "minigan": ENGINES["minigan"],
    "together": Entry("minigan, two processes", "bench.engines.ours:Together", "numpy"),
    "jax_jit": ENGINES["jax_jit"],
}
INTRODUCTION = """\
Each engine uses two CPUs: either two threads of one process, or two processes of one thread each
that share the batch (`--workers 2`). In each of {rounds} rounds, one engine after another is
started in a new process and trains for about {seconds:g} s. A new process each time, because the
speed of the same program differs from start to start by some percent. The column "ms" has an
engine's fastest round. For "median", its time in each round is divided by the time of minigan with
two threads in that round; the column has the median of these ratios."""


def main(argv: list[str] | None = None) -> int:
    """Measure; 1 if an engine failed, 2 for invalid flags."""
    argv = arguments(argv)
    _, plan = plan_of(parser_of("bench.workers", __doc__), argv, FULL, QUICK, (THREADS,))

    def work() -> int:
        make_folder(plan.out)
        return run(plan)

    return guard("bench.workers", work, lambda: "interrupted; nothing is written")


def run(plan: Plan) -> int:
    """Measure, print and write workers.md and workers.csv."""
    timings = [timing for workload in MNIST for timing in measure(plan, WORKLOADS[workload])]
    introduction = INTRODUCTION.format(rounds=plan.rounds, seconds=plan.seconds)
    head = ["# Two processes", introduction, plan.origin]
    rows = rows_of(timings, ("minigan", "jax_jit"))
    write_page(plan.out / "workers.md", head, lines(timings), rows)
    return 0 if no_failure(timings) else 1


def measure(plan: Plan, workload: Workload) -> list[Timing]:
    """Time the engines on a workload, each turn in a new process."""
    print(f"{TITLES[workload.name]} ...", flush=True)
    timings = [Timing(name, workload.name, THREADS) for name in COMPARED]

    def turn(timing: Timing) -> float | None:
        job = timing.engine, COMPARED[timing.engine], workload, THREADS
        with workers([job]) as [worker]:
            [one] = time_in_rounds([worker], 1, plan.seconds)
            timing.failure = timing.failure or worker.failure or losses_out_of_range(worker)
        timing.steps = one.steps
        return one.fastest

    turns = [functools.partial(turn, timing) for timing in timings]
    for timing, times in zip(timings, in_turn(turns, plan.rounds), strict=True):
        timing.turns = times
    return timings


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
