"""How the time of minigan's step grows: with the batch, with the width, with the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.engines import ENGINES
from bench.processes import Worker, time_in_rounds, workers
from bench.report import Plan, microseconds, number, table, write_page
from bench.workloads import Workload
from minigan.evaluation.plots import FAKE, INK, new_figure, save_figure, style
from minigan.text import count

HIDDEN, BATCH = 256, 100  # of what does not vary
SIZES = {
    "batch": (1, 4, 16, 64, 256, 1024, 4096),
    "width": (32, 64, 128, 256, 512, 1024, 2048),
    "steps": (1, 4, 16, 64, 256, 1024, 4096),
}
#: What varies: (the axis of the figure, the unit of a time, what a time is divided by)
LABELS = {
    "batch": ("samples in a batch", "µs a step", "µs a sample"),
    "width": ("hidden width", "µs a step", "µs a unit of the width"),
    "steps": ("training steps", "µs in all", "µs a step"),
}
TURN = 16  # steps of the longest runs that are taken before it is the other's turn
QUICK = 3  # sizes of each
INTRODUCTION = """\
minigan's training step on MNIST (fresh noise in both halves), {threads}, next to the limit: the
matrix products of the same step, into preallocated memory, and nothing else. Batch {batch} where
the width varies, width {hidden} where the batch varies, and both where the steps do. A time is
the fastest of {rounds} turns of about {seconds:g} s; the total time of many steps is measured
once, from the first step on, both taking {turn} steps in turn."""
HEAD = ["varied", "value", "minigan_us", "limit_us", "minigan_failure", "limit_failure"]

#: A size, minigan's time and the limit's in microseconds (None after a failure), both failures
Row = tuple[int, "float | None", "float | None", str, str]


def run(plan: Plan) -> bool:
    """Measure, print and write scaling.md, .csv and .svg; whether nothing failed."""
    print("scaling ...", flush=True)
    curves = {
        varied: measure(plan, varied, sizes[: QUICK if plan.quick else None])
        for varied, sizes in SIZES.items()
    }
    body: list[str] = []
    for varied, (_, unit, per) in LABELS.items():
        head = [varied, f"minigan, {unit}", "limit", "minigan / limit", f"minigan, {per}"]
        rows = [
            [
                f"{size:,}",
                mine_failed or microseconds(mine),
                limit_failed or microseconds(limit),
                number(mine / limit if mine and limit else None),
                microseconds(mine and mine / size),
            ]
            for size, mine, limit, mine_failed, limit_failed in curves[varied]
        ]
        body += [*table(head, rows, left=0), ""]
    introduction = INTRODUCTION.format(
        threads=count(plan.threads[0], "thread"),
        batch=BATCH,
        hidden=HIDDEN,
        rounds=plan.rounds,
        seconds=plan.seconds,
        turn=TURN,
    )
    numbers = [[varied, *row] for varied, rows in curves.items() for row in rows]
    figure = new_figure((10.0, 4.0))
    draw(figure, curves)
    save_figure(figure, plan.out / "scaling.svg")
    picture = "![The same as a figure](scaling.svg)"
    page = ["# How time grows", introduction, picture, plan.origin]
    write_page(plan.out / "scaling.md", page, body[:-1], [HEAD, *numbers])
    return not any(row[-1] or row[-2] for row in numbers)


def measure(plan: Plan, varied: str, sizes: Sequence[int]) -> list[Row]:
    """The times of minigan and of the limit, for each size."""

    def pair(workload: Workload) -> Any:
        names = ("minigan", "limit")
        return workers([(name, ENGINES[name], workload, plan.threads[0]) for name in names])

    if varied == "steps":
        with pair(Workload(varied, "mnist", HIDDEN, BATCH)) as started:
            return total_times(started, sizes)
    rows: list[Row] = []
    for size in sizes:
        hidden, batch = (size, BATCH) if varied == "width" else (HIDDEN, size)
        with pair(Workload(varied, "mnist", hidden, batch)) as started:
            mine, limit = time_in_rounds(started, plan.rounds, plan.seconds)
        rows.append((size, mine.fastest, limit.fastest, mine.failure, limit.failure))
    return rows


def total_times(started: Sequence[Worker], counts: Sequence[int]) -> list[Row]:
    """Microseconds from the first step to the last of each count, the workers in turn."""
    rows: list[Row] = []
    seconds = [0.0] * len(started)
    done = 0
    for goal in counts:
        while done < goal:
            steps = min(TURN, goal - done)
            for i, worker in enumerate(started):
                seconds[i] += (worker.ask("turn", steps=steps) or {"seconds": 0.0})["seconds"]
            done += steps
        mine, limit = (
            None if worker.failure else 1e6 * total
            for worker, total in zip(started, seconds, strict=True)
        )
        rows.append((goal, mine, limit, started[0].failure, started[1].failure))
    return rows


@style()
def draw(figure: Any, curves: Mapping[str, Sequence[Row]]) -> None:
    """A panel for each thing that varies, both axes logarithmic."""
    from matplotlib.ticker import LogLocator

    for axes, (varied, rows) in zip(figure.subplots(1, 3), curves.items(), strict=True):
        label, unit, _ = LABELS[varied]
        values, mine, limit = ([row[i] for row in rows] for i in range(3))
        for title, times, colour, line in (
            ("minigan", mine, FAKE, "o-"),
            ("limit: products alone", limit, INK, "s--"),
        ):
            milliseconds = [float("nan") if t is None else t / 1000 for t in times]
            axes.loglog(values, milliseconds, line, color=colour, ms=5, label=title)
        axes.set(xlabel=label, ylabel=unit.replace("µs", "ms"))
        axes.set_xticks(values, [f"{value:,}" for value in values], rotation=45)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axes.minorticks_off()
        axes.legend()
