"""What a step of a member costs, next to a step of one network: the groups of examples/atlas.py.

    python -m bench.atlas                       into bench/results/, in about six minutes
    python -m bench.atlas --quick --out x.md    does everything work? half a minute

Two processes, each pinned to a CPU where the system can. In every round the first one trains a
single network, then populations of several sizes, for about a second each, while the other sleeps;
then both train the groups of the atlas at once. All steps are captured. Rates are the members' own.
A time is the process's CPU time, to which other programs add little; on an idle machine it is the
time that passes. A ratio is of two times of one round, so that a slow minute slows both; the table
has medians over the rounds.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import statistics
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

from threadpoolctl import threadpool_limits

from bench import machine, report
from bench.processes import ROOT

sys.path.append(str(ROOT / "examples"))  # where the examples find each other
from atlas import GROUP
from gaussian1d import RECIPES, build

from minigan.command_line import positive

SIZES = (1, 2, 4, 8, 16, 64)
#: The most that a member-step of a group may cost: on one core, and with two workers.
BARS = {"article": (0.85, 0.5), "stable": (1.0, 0.55)}
BOTH = "two workers"


class Engine:
    """A game that takes steps.

    Args:
        name: of the recipe.
        members: 0 for a single network, else the members of a population.
    """

    def __init__(self, name: str, members: int) -> None:
        recipe = RECIPES[name]
        if members:
            lrs = {"g_lr": [recipe.g_lr] * members, "d_lr": [recipe.d_lr] * members}
            recipe = dataclasses.replace(recipe, **lrs)
        self.gan, self.data = build(recipe, range(members) if members else 0)
        self.gan.bind(recipe.batch)
        self.gan.capture()
        self.members = max(1, members)
        self.run(70)  # the losses of 64 steps are computed together

    def run(self, steps: int) -> float:
        """Take steps; the microseconds of one, divided among the members."""
        start = time.process_time()
        for _ in range(steps):
            self.data.next_batch(out=self.gan.real)
            self.gan.step()
        return (time.process_time() - start) / steps / self.members * 1e6


def work(pipe: Connection, name: str, sizes: list[int], cpus: list[int]) -> None:
    """The process of a worker: answers (size, steps) with the microseconds of a member-step."""
    with machine.held_to(cpus), threadpool_limits(limits=1, user_api="blas"):
        engines = {size: Engine(name, size) for size in sizes}
        pipe.send(0.0)
        while (asked := pipe.recv()) is not None:
            size, steps = asked
            pipe.send(engines[size].run(steps))


def measure(name: str, rounds: int, seconds: float) -> dict[Any, list[float]]:
    """By size, the microseconds of a member-step in each round; 0 is the single network."""
    spawn, cpus = multiprocessing.get_context("spawn"), machine.cpus()
    sizes = sorted({0, *SIZES, GROUP[name]})
    pipes, processes = [], []
    for k in range(2):
        mine, theirs = spawn.Pipe()
        own = cpus[k % len(cpus) :][:1] if cpus else []
        args = (theirs, name, sizes if k == 0 else [GROUP[name]], own)
        processes.append(spawn.Process(target=work, args=args, daemon=True))
        processes[-1].start()
        pipes.append(mine)
    for pipe in pipes:
        pipe.recv()
    steps = {size: max(1, int(seconds * 1e6 / 400 / max(1, size))) for size in sizes}
    times: dict[Any, list[float]] = {size: [] for size in (*sizes, BOTH)}
    group = GROUP[name]
    for _ in range(rounds):
        for size in sizes:
            pipes[0].send((size, steps[size]))
            times[size].append(pipes[0].recv())
        for pipe in pipes:
            pipe.send((group, steps[group]))
        # Two members are trained in the time of one.
        times[BOTH].append(max([pipe.recv() for pipe in pipes]) / 2)
    for pipe in pipes:
        pipe.send(None)
    for process in processes:
        process.join()
    return times


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write the table; returns 1 if a group misses its bar."""
    argv = report.arguments(argv)
    parser = report.parser_of("bench.atlas", __doc__)
    parser.add_argument("--rounds", type=positive, default=12, metavar="N", help="turns (12)")
    parser.add_argument("--quick", action="store_true", help="two short turns")
    report.add_out(parser)
    args = parser.parse_args(argv)
    if args.out is None and (args.quick or args.rounds != 12):
        parser.error("--out FILE.md is needed: the default file is only for the whole table")
    rounds, seconds = (2, 0.1) if args.quick else (args.rounds, 1.0)
    body: list[str] = []
    cells: list[list[object]] = [["recipe", "members", "microseconds", "to_single", "turns_us"]]
    cleared = True
    for name in GROUP:
        times, rows = measure(name, rounds, seconds), []
        for size, turns in times.items():
            ratio = statistics.median(a / b for a, b in zip(turns, times[0], strict=True))
            median = statistics.median(turns)
            title = f"{size}" if size else "a single network"
            if size == BOTH:
                title = f"{GROUP[name]} in each of two workers"
            cells.append([name, size, f"{median:.2f}", f"{ratio:.4f}", report.turns_cell(turns)])
            rows.append([title, report.microseconds(median), report.number(ratio)])
            bar = {GROUP[name]: BARS[name][0], BOTH: BARS[name][1]}.get(size)
            rows[-1].append(report.number(bar))
            cleared = cleared and (bar is None or ratio <= bar)
        head = ["members", "µs a step and member", "/ single", "at most"]
        body += [f"## {name}", "", *report.table(head, rows), ""]
    head = ["# The members of a population", " ".join((__doc__ or "").split("\n\n")[2].split())]
    head.append(machine.describe(report.command_of("bench.atlas", argv)))
    report.write_page(args.out or report.RESULTS / "atlas_cost.md", head, body[:-1], cells)
    return 0 if cleared else 1


if __name__ == "__main__":
    sys.exit(main())
