"""Microseconds a training step: minigan beside its peers, and beside its products alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.engines import ENGINES, Entry
from bench.processes import NOT_INSTALLED, Timing, Worker, time_in_rounds, workers
from bench.report import Plan, microseconds, number, table, threads_of, write_page
from bench.workloads import TITLES, WORKLOADS

YARDSTICKS = {"pytorch": "PyTorch", "jax_jit": "JAX"}  # to whom every engine is compared
SANE = 10.0  # losses of networks that train are below
INTRODUCTION = """\
Each engine runs in a process of its own, pinned (where the system can) to as many CPUs as it has
threads. In each of {rounds} rounds every engine trains for about {seconds:g} s while the others
sleep. The time is that of its fastest turn, in microseconds a training step; the spread is its
median turn in units of the fastest. "/ PyTorch" is the time in units of eager PyTorch's with as
many threads, "/ JAX" in units of the jitted step's: below 1 is faster.

A training step draws real samples and noise, teaches D, then G, and adds up the losses; all
engines take the same step with networks of the same size. minigan captures its step, as its
trainer does; "not captured" is what a loop around `gan.step()` does. "PyTorch, tuned" judges real
and fake in one pass, uses fused Adam, and computes no gradient that nobody reads; what
torch.compile gets is that. The limit is the matrix products of minigan's step, into preallocated
memory, and nothing else. The code is in `bench/engines/`."""


def run(plan: Plan) -> bool:
    """Measure, print and write speed.md and speed.csv; whether no engine failed."""
    timings = measure(plan.engines, plan.workloads, plan.threads, plan.rounds, plan.seconds)
    others = (*YARDSTICKS, "limit")
    write_page(
        plan,
        "speed",
        "Speed of a training step",
        INTRODUCTION.format(rounds=plan.rounds, seconds=plan.seconds),
        [*summary(timings), "", *tables(timings)],
        ["workload", "threads", "engine", "failure", "steps_a_turn", "fastest_us", "spread"]
        + [f"to_{name}" for name in others]
        + ["turns_us"],
        [
            [one.workload, one.threads, one.engine, one.failure, one.steps]
            + [one.fastest, one.spread]
            + [compare(timings, one, other) for other in others]
            + [" ".join(f"{us:.3f}" for us in one.turns)]
            for one in timings
        ],
    )
    return all(one.failure in ("", NOT_INSTALLED) for one in timings)


def measure(
    names: Sequence[str],
    chosen: Sequence[str],
    threads: Sequence[int],
    rounds: int,
    seconds: float,
    engines: dict[str, Entry] = ENGINES,
) -> list[Timing]:
    """Time engines on workloads; says on which it is.

    Args:
        names: of engines.
        chosen: names of workloads.
        threads: numbers of them; all are measured in the same rounds.
        rounds: turns each.
        seconds: about how long a turn takes.
        engines: what the names mean.
    """
    timings: list[Timing] = []
    for workload in chosen:
        print(f"{TITLES[workload]} ...", flush=True)
        jobs = [
            (name, engines[name], WORKLOADS[workload], count) for count in threads for name in names
        ]
        with workers(jobs) as started:
            own = time_in_rounds(started, rounds, seconds)
            for worker, timing in zip(started, own, strict=True):
                if not timing.failure:
                    timing.failure = losses_out_of_range(worker)
        timings += own
    return timings


def losses_out_of_range(worker: Worker) -> str:
    """Why the time of an engine means nothing: its networks do not train. Or ""."""
    told = worker.ask("describe")
    if told is None:
        return worker.failure
    if told["losses"] is None or all(0.0 < loss < SANE for loss in told["losses"]):
        return ""
    return "losses {:g} (D) and {:g} (G)".format(*told["losses"])


def find(timings: Iterable[Timing], engine: str, workload: str, threads: int) -> Timing | None:
    """What was measured of an engine; None if it was not, or failed."""
    for one in timings:
        if (one.engine, one.workload, one.threads) == (engine, workload, threads):
            return one if one.fastest is not None else None
    return None


def compare(timings: Iterable[Timing], one: Timing, other: str) -> float | None:
    """The time of an engine in units of another's on the same workload and threads."""
    yardstick = find(timings, other, one.workload, one.threads)
    if one.fastest is None or yardstick is None or yardstick.fastest is None:
        return None
    return one.fastest / yardstick.fastest


def summary(timings: Sequence[Timing], engines: dict[str, Entry] = ENGINES) -> list[str]:
    """Every time in units of eager PyTorch's, as one Markdown table: engines by workloads."""
    pairs = list(dict.fromkeys((one.workload, one.threads) for one in timings))
    head = ["/ PyTorch, eager"] + [f"{name}, {threads_of(count)}" for name, count in pairs]
    rows = []
    for engine in dict.fromkeys(one.engine for one in timings):
        own = [find(timings, engine, *pair) for pair in pairs]
        ratios = [None if one is None else compare(timings, one, "pytorch") for one in own]
        rows.append([engines[engine].label, *(number(ratio) for ratio in ratios)])
    return table(head, rows)


def tables(timings: Sequence[Timing], engines: dict[str, Entry] = ENGINES) -> list[str]:
    """Everything measured as Markdown, a table a workload."""
    lines: list[str] = []
    for workload in dict.fromkeys(one.workload for one in timings):
        own = [one for one in timings if one.workload == workload]
        threads = list(dict.fromkeys(one.threads for one in own))
        head = ["engine"]
        for count in threads:
            head += [f"{threads_of(count)}: µs"]
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
        lines += [f"## {TITLES[workload]}", "", *table(head, rows), "", *remarks(own, threads)]
    return lines[:-1]


def remarks(own: Sequence[Timing], threads: Sequence[int]) -> list[str]:
    """minigan against its limit, and with more threads against fewer: a line, and an empty one."""
    told = []
    for count in threads:
        mine = find(own, "minigan", own[0].workload, count)
        to_limit = None if mine is None else compare(own, mine, "limit")
        if to_limit is not None:
            told.append(f"minigan / limit with {threads_of(count)}: {to_limit:.2f}.")
        first = find(own, "minigan", own[0].workload, threads[0])
        if count != threads[0] and mine is not None and first is not None:
            gain = (mine.fastest or 0.0) / (first.fastest or 1.0)
            told.append(f"minigan with {count} threads / with {threads[0]}: {gain:.2f}.")
    return [" ".join(told), ""] if told else []
