"""Microseconds a training step: minigan next to other libraries, and to its products alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.engines import ENGINES, Entry
from bench.processes import NOT_INSTALLED, Timing, Worker, time_in_rounds, workers
from bench.report import Plan, microseconds, number, table, turns_cell, write_page
from bench.workloads import TITLES, WORKLOADS
from minigan.text import count

YARDSTICKS = {"pytorch": "PyTorch", "jax_jit": "JAX"}  # every engine is compared to these
SANE = 10.0  # losses of networks that train are below
INTRODUCTION = """\
Each engine runs in a process of its own, pinned (where the system can) to one CPU for each of its
threads. In each of {rounds} rounds every engine trains for about {seconds:g} s while the others
sleep. The time is that of its fastest turn, in microseconds a training step; the spread is its
median turn in units of the fastest. "/ PyTorch" is the time in units of eager PyTorch's with as
many threads, "/ JAX" in units of the jitted step's: below 1 is faster.

A training step draws real samples and noise, trains D, then G, and adds up the losses; all engines
take the same step with networks of the same size. minigan captures its step, as its trainer does;
"not captured" is what a loop around `gan.step()` does. "PyTorch, tuned" scores real and fake in one
pass, unless there is batch normalisation, uses fused Adam, and computes no gradient that is not
used; "PyTorch, torch.compile" is that step, compiled. The limit is the time of the matrix products
of minigan's step alone, which write into memory that exists already. The code is in
`bench/engines/`."""


def run(plan: Plan, workloads: Sequence[str] = tuple(WORKLOADS)) -> bool:
    """Measure, print and write speed.md and speed.csv; whether no engine failed."""
    timings = measure(plan, workloads=workloads)
    introduction = INTRODUCTION.format(rounds=plan.rounds, seconds=plan.seconds)
    body = [*summary(timings), "", *tables(timings)]
    head = ["# Speed of a training step", introduction, plan.origin]
    write_page(plan.out / "speed.md", head, body, rows_of(timings, (*YARDSTICKS, "limit")))
    return no_failure(timings)


def measure(
    plan: Plan,
    engines: Mapping[str, Entry] = ENGINES,
    workloads: Iterable[str] = tuple(WORKLOADS),
    device: str = "cpu",
) -> list[Timing]:
    """Time engines on workloads, with all numbers of threads in the same rounds."""
    timings: list[Timing] = []
    for workload in workloads:
        print(f"{TITLES[workload]} ...", flush=True)
        jobs = [
            (name, entry, WORKLOADS[workload], threads)
            for threads in plan.threads
            for name, entry in engines.items()
            if entry.takes(WORKLOADS[workload])
        ]
        with workers(jobs, device) as started:
            own = time_in_rounds(started, plan.rounds, plan.seconds)
            for worker, timing in zip(started, own, strict=True):
                timing.failure = worker.failure or losses_out_of_range(worker)
        timings += own
    return timings


def losses_out_of_range(worker: Worker) -> str:
    """Why the time of an engine means nothing: its networks do not train. Or ""."""
    answer = worker.ask("losses")
    if answer is None:
        return worker.failure
    if answer["losses"] is None or all(0.0 < loss < SANE for loss in answer["losses"]):
        return ""
    return "losses {:g} (D) and {:g} (G)".format(*answer["losses"])


def no_failure(timings: Iterable[Timing]) -> bool:
    """Whether every engine that is installed was measured."""
    return all(one.failure in ("", NOT_INSTALLED) for one in timings)


def rows_of(timings: Sequence[Timing], others: Sequence[str]) -> list[list[Any]]:
    """The CSV: everything measured, and ratios to other engines."""
    head = ["workload", "threads", "engine", "failure", "steps_a_turn", "fastest_us", "spread"]
    rows: list[list[Any]] = [[*head, *(f"to_{name}" for name in others), "turns_us"]]
    for one in timings:
        rows.append([one.workload, one.threads, one.engine, one.failure, one.steps])
        rows[-1] += [one.fastest, one.spread]
        rows[-1] += [*(compare(timings, one, other) for other in others), turns_cell(one.turns)]
    return rows


def compare(timings: Iterable[Timing], one: Timing, other: str) -> float | None:
    """The time of an engine in units of another's on the same workload and threads."""
    times = {(each.engine, each.workload, each.threads): each.fastest for each in timings}
    yardstick = times.get((other, one.workload, one.threads))
    return one.fastest / yardstick if one.fastest and yardstick else None


def summary(timings: Sequence[Timing]) -> list[str]:
    """Every time in units of eager PyTorch's, as one Markdown table: engines by workloads."""
    pairs = dict.fromkeys((one.workload, one.threads) for one in timings)
    head = ["/ PyTorch, eager"] + [f"{name}, {count(n, 'thread')}" for name, n in pairs]
    rows = []
    for engine in dict.fromkeys(one.engine for one in timings):
        own = {(one.workload, one.threads): one for one in timings if one.engine == engine}
        ratios = [number(compare(timings, own[p], "pytorch")) if p in own else "" for p in pairs]
        rows.append([ENGINES[engine].label, *ratios])
    return table(head, rows)


def tables(timings: Sequence[Timing], engines: Mapping[str, Entry] = ENGINES) -> list[str]:
    """Everything measured as Markdown: a table for each workload."""
    lines: list[str] = []
    for workload in dict.fromkeys(one.workload for one in timings):
        own = [one for one in timings if one.workload == workload]
        head = ["engine"]
        for threads in dict.fromkeys(one.threads for one in own):
            head += [f"{count(threads, 'thread')}: µs"]
            head += [*(f"/ {title}" for title in YARDSTICKS.values()), "spread"]
        rows = []
        for engine in dict.fromkeys(one.engine for one in own):
            cells = [engines[engine].label]
            for one in own:
                if one.engine == engine:
                    cells.append(one.failure or microseconds(one.fastest))
                    cells += [number(compare(own, one, other)) for other in YARDSTICKS]
                    cells.append(number(one.spread))
            rows.append(cells)
        lines += [f"## {TITLES[workload]}", "", *table(head, rows), ""]
    return lines[:-1]
