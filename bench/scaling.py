"""How the time of minigan's step grows: with the batch, with the width, with the steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.engines import ENGINES
from bench.processes import time_in_rounds, workers
from bench.report import Plan, microseconds, number, table, threads_of, write_page
from bench.workloads import Workload
from minigan.evaluation.plots import FAKE, INK, new_figure, save_figure

HIDDEN, BATCH = 256, 100  # of what does not vary
BATCHES = (1, 4, 16, 64, 256, 1024, 4096)
WIDTHS = (32, 64, 128, 256, 512, 1024, 2048)
STEPS = (1, 4, 16, 64, 256, 1024, 4096)
TURN = 16  # steps of the longest runs that are taken before it is the other's turn
QUICK = 3  # sizes of each
INTRODUCTION = """\
minigan's training step on MNIST (fresh noise in both halves), {threads}, beside the limit: the
matrix products of the same step, into preallocated memory, and nothing else. Batch {batch} where
the width varies, width {hidden} where the batch varies, and both where the steps do. A time is
the fastest of {rounds} turns of about {seconds:g} s; the total time of many steps is measured
once, from the first step on, both taking {turn} steps in turn.

![The same as a figure](scaling.png)"""
HEAD = ["varied", "value", "minigan_us", "limit_us", "minigan_failure", "limit_failure"]


@dataclass(frozen=True)
class Point:
    """minigan's time and that of the limit at one size, in microseconds; None after a failure."""

    value: int
    minigan: float | None
    limit: float | None
    failures: tuple[str, str] = ("", "")

    @property
    def ratio(self) -> float | None:
        """minigan's time in units of the limit's."""
        if self.minigan is None or self.limit is None:
            return None
        return self.minigan / self.limit


def run(plan: Plan) -> bool:
    """Measure, print and write scaling.md, .csv and .png; whether nothing failed."""
    take = slice(None, QUICK) if plan.quick else slice(None)
    print("scaling ...", flush=True)
    curves = {
        "batch": [step_time(plan, Workload("b", "mnist", HIDDEN, n)) for n in BATCHES[take]],
        "width": [step_time(plan, Workload("w", "mnist", n, BATCH)) for n in WIDTHS[take]],
        "steps": total_times(plan, STEPS[take]),
    }
    body: list[str] = []
    for varied, (_, unit, per) in LABELS.items():
        head = [varied, f"minigan, {unit}", "limit", "minigan / limit", f"minigan, {per}"]
        rows = [
            [
                f"{p.value:,}",
                p.failures[0] or microseconds(p.minigan),
                p.failures[1] or microseconds(p.limit),
                number(p.ratio),
                microseconds(share(varied, p)),
            ]
            for p in curves[varied]
        ]
        body += [*table(head, rows, left=0), ""]
    introduction = INTRODUCTION.format(
        threads=threads_of(plan.threads[0]),
        batch=BATCH,
        hidden=HIDDEN,
        rounds=plan.rounds,
        seconds=plan.seconds,
        turn=TURN,
    )
    numbers = [
        [varied, p.value, p.minigan, p.limit, *p.failures]
        for varied, points in curves.items()
        for p in points
    ]
    figure = new_figure((13.0, 4.4))
    draw(figure, curves)
    save_figure(figure, plan.out / "scaling.png")
    write_page(plan, "scaling", "How time grows", introduction, body[:-1], HEAD, numbers)
    return not any(row[-1] or row[-2] for row in numbers)


#: What varies: (the axis of the figure, the unit of a time, what a time is divided by)
LABELS = {
    "batch": ("samples in a batch", "µs a step", "µs a sample"),
    "width": ("hidden width", "µs a step", "µs a unit of the width"),
    "steps": ("training steps", "µs in all", "µs a step"),
}


def share(varied: str, point: Point) -> float | None:
    """minigan's time a sample, a unit of the width, or a step."""
    return None if point.minigan is None else point.minigan / point.value


def step_time(plan: Plan, workload: Workload) -> Point:
    """Microseconds a step, of both."""
    jobs = [(name, ENGINES[name], workload, plan.threads[0]) for name in ("minigan", "limit")]
    with workers(jobs) as started:
        mine, limit = time_in_rounds(started, plan.rounds, plan.seconds)
    size = workload.hidden if workload.name == "w" else workload.batch
    return Point(size, mine.fastest, limit.fastest, (mine.failure, limit.failure))


def total_times(plan: Plan, counts: tuple[int, ...]) -> list[Point]:
    """Microseconds from the first step to the last of so many, of both."""
    jobs = [
        (name, ENGINES[name], Workload("steps", "mnist", HIDDEN, BATCH), plan.threads[0])
        for name in ("minigan", "limit")
    ]
    totals: list[list[float | None]] = [[], []]
    with workers(jobs) as started:
        seconds = [0.0, 0.0]
        done = 0
        for count in counts:
            while done < count:
                steps = min(TURN, count - done)
                for i, worker in enumerate(started):
                    seconds[i] += (worker.ask("turn", steps=steps) or {"seconds": 0.0})["seconds"]
                done += steps
            for i, worker in enumerate(started):
                totals[i].append(None if worker.failure else 1e6 * seconds[i])
        failures = [worker.failure for worker in started]
    return [
        Point(count, mine, limit, (failures[0], failures[1]))
        for count, mine, limit in zip(counts, *totals, strict=True)
    ]


def draw(figure: Any, curves: dict[str, list[Point]]) -> None:
    """A panel for what varies, both axes logarithmic."""
    from matplotlib.ticker import LogLocator

    for axes, (varied, points) in zip(figure.subplots(1, 3), curves.items(), strict=True):
        label, unit, _ = LABELS[varied]
        values = [p.value for p in points]
        for title, times, colour, style in (
            ("minigan", [p.minigan for p in points], FAKE, "o-"),
            ("limit: the products alone", [p.limit for p in points], INK, "s--"),
        ):
            milliseconds = [float("nan") if t is None else t / 1000 for t in times]
            axes.loglog(values, milliseconds, style, color=colour, lw=1.8, ms=5, label=title)
        axes.set(xlabel=label, ylabel=unit.replace("µs", "ms"))
        axes.set_xticks(values, [f"{value:,}" for value in values], fontsize=8)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axes.minorticks_off()
        axes.grid(alpha=0.2, lw=0.5)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
