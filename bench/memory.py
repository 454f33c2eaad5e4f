"""How much memory a training run takes, and whether steps leave anything behind."""

from __future__ import annotations

from typing import Any

from bench.engines import ENGINES
from bench.processes import NOT_INSTALLED, workers
from bench.report import Plan, number, table, threads_of, write_page
from bench.workloads import TITLES, WORKLOADS

MIB = 2**20
STEPS = 1000  # in which memory might grow
QUICK_STEPS = 20
INTRODUCTION = """\
The most RAM (resident set, MiB) that a process has had, {threads}, after it trained for about
{seconds:g} s; and how much of it was there when the libraries were imported and nothing was built.
MNIST's pixels, 45 MiB as bytes, are part of it.

For minigan, too, what Python's tracemalloc says of {steps:,} steps, which knows NumPy's arrays:
the memory that is held after them and was not before, and the most that was held in between."""
HEAD = ["workload", "engine", "failure", "peak_bytes", "imported_bytes", "kept_bytes", "between"]


def run(plan: Plan) -> bool:
    """Measure, print and write memory.md and memory.csv; whether no engine failed."""
    steps = QUICK_STEPS if plan.quick else STEPS
    seconds = 0.1 if plan.quick else 2.0
    body: list[str] = []
    numbers: list[list[Any]] = []
    for workload in plan.workloads:
        print(f"memory: {TITLES[workload]} ...", flush=True)
        rows = []
        remark = []
        for name in plan.engines:
            if name == "limit":  # no training run
                continue
            entry = ENGINES[name]
            with workers([(name, entry, WORKLOADS[workload], plan.threads[0])]) as (worker,):
                worker.ask("warm", seconds=seconds)
                told = worker.ask("describe") or {"peak": None}
                grown = worker.ask("growth", steps=steps) if name == "minigan" else None
            imported = worker.first.get("imported")
            rows.append(
                [entry.label, worker.failure or mebibytes(told["peak"]), mebibytes(imported)]
            )
            grown = grown or {"kept": None, "between": None}
            numbers.append([workload, name, worker.failure, told["peak"], imported])
            numbers[-1] += [grown["kept"], grown["between"]]
            if grown["kept"] is not None:
                remark = [
                    f"In {steps:,} steps of minigan: {grown['kept']:,} bytes kept, at most "
                    f"{grown['between']:,} in between.",
                    "",
                ]
        head = ["engine", "most RAM, MiB", "after the imports, MiB"]
        body += [f"## {TITLES[workload]}", "", *table(head, rows), "", *remark]
    introduction = INTRODUCTION.format(
        threads=threads_of(plan.threads[0]), seconds=seconds, steps=steps
    )
    write_page(plan, "memory", "Memory of a training run", introduction, body[:-1], HEAD, numbers)
    return all(row[2] in ("", NOT_INSTALLED) for row in numbers)


def mebibytes(count: int | None) -> str:
    """Bytes for a cell of the table."""
    return number(None if count is None else count / MIB, 0)
