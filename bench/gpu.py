"""minigan's rungs on a GPU, beside PyTorch and JAX on the same GPU.

    make gpu                                the tests that need a GPU, then this: all in one command
    python -m bench.gpu                     everything, into bench/results/gpu.md and gpu.csv
    python -m bench.gpu --page docs/gpu.md  and into the table of that page
    python -m bench.gpu --quick --out DIR   does everything work? The numbers mean little

Peers that are not installed are left out (`pip install torch "jax[cuda13]"` brings them). Choose
one of several GPUs with CUDA_VISIBLE_DEVICES, and keep it and the machine free of other work.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.__main__ import add_choices, command_of
from bench.engines import Entry
from bench.ladder.measure import put
from bench.processes import NOT_INSTALLED, Timing, Worker, time_in_rounds, workers
from bench.report import RESULTS, Plan, microseconds, number, table, write_page
from bench.speed import YARDSTICKS, compare, losses_out_of_range
from bench.workloads import TITLES, WORKLOADS
from minigan.backend import get_backend
from minigan.command_line import guard, path
from minigan.files import make_folder, write_whole

#: minigan's rungs, the slowest first, and its peers.
ENGINES = {
    "cupy": Entry("1. NumPy's first draft, in CuPy", "bench.engines.plain:Plain", "cupy"),
    "by_hand": Entry(
        "2. minigan's kernels, launched one by one", "bench.engines.ours:ByHand", "cupy"
    ),
    "minigan": Entry("3. minigan, captured: a CUDA graph", "bench.engines.ours:Minigan", "cupy"),
    "whole": Entry("4. minigan, many steps in one kernel", "bench.engines.ours:Whole", "cupy"),
    "pytorch": Entry("PyTorch, eager", "bench.engines.pytorch:Eager", "torch"),
    "torch_compile": Entry(
        "PyTorch, torch.compile, reduce-overhead", "bench.engines.pytorch:ReduceOverhead", "torch"
    ),
    "torch_graph": Entry("PyTorch, tuned, a CUDA graph", "bench.engines.pytorch:Graph", "torch"),
    "jax_jit": Entry("JAX, one jitted step", "bench.engines.jax:Jit", "jax"),
    "jax_scan": Entry("JAX, lax.scan over steps", "bench.engines.jax:Scan", "jax"),
}
OURS = ("cupy", "by_hand", "minigan", "whole")
ONE_DIMENSIONAL = ("cupy", "whole")  # no other workload is written so
CHOSEN = ("gaussian1d", "mnist256", "mnist1200")
RUN = 30_000  # steps of the 1-D recipe "article"
AIMS = {"gaussian1d": 1.5e6 / RUN, "mnist256": 120.0, "mnist1200": 250.0}  # µs a step, on an H200
ROUNDS, SECONDS = 11, 0.5
QUICK_ROUNDS, QUICK_SECONDS, QUICK_RUN = 2, 0.05, 1000
UNMEASURED = "not yet measured"
INTRODUCTION = """\
Every engine trains on the same GPU, in a process of its own. In each of {rounds} rounds every one
of them trains for about {seconds:g} s while the others sleep; a turn ends when the GPU has done all
that it was asked to do. The time is that of the fastest turn, in microseconds a training step; the
spread is the median turn in units of the fastest. "/ PyTorch" is the time in units of eager
PyTorch's, "/ JAX" in units of the jitted step's: below 1 is faster. {run:,} steps of the 1-D GAN
are also timed in one go.

A training step draws real samples and noise, teaches D, then G, and adds up the losses; all engines
take the same step with networks of the same size, in float32 without TF32, their data on the GPU.
The rungs of minigan are told in docs/gpu.md. PyTorch's CUDA graph is the whole tuned step, as
recorded by hand. The code is in `bench/engines/`."""


@dataclass
class Measured:
    """What is known of an engine on a workload.

    Attributes:
        timing: of its turns.
        run: seconds of all steps of the 1-D recipe in one go; None on images, or after a failure.
    """

    timing: Timing
    run: float | None = None


def main(argv: list[str] | None = None) -> int:
    """Measure; 1 if an engine failed, 2 without a GPU or for flags that cannot be."""
    argv = sys.argv[1:] if argv is None else argv
    asked, page = parse(argv)

    def work() -> int:
        get_backend("cuda")  # or a sentence that says what is missing
        origin = f"{machine.describe(command_of(argv, 'bench.gpu'))} {card()}"
        plan = dataclasses.replace(asked, origin=origin)
        make_folder(plan.out)
        measured = measure(plan, QUICK_RUN if plan.quick else RUN)
        write(plan, measured)
        if page is not None:
            text = put(page.read_text(encoding="utf-8"), "gpu", summary(measured))
            write_whole(page, text.encode())
            print(f"and to {page}", flush=True)
        return 0 if all(one.timing.failure in ("", NOT_INSTALLED) for one in measured) else 1

    return guard("bench.gpu", work, lambda: "interrupted; nothing is written")


def parse(argv: list[str]) -> tuple[Plan, Path | None]:
    """How to measure, and the page to put the summary on."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_choices(parser, ROUNDS, ENGINES, dict.fromkeys(CHOSEN))
    parser.add_argument(
        "--out", type=path, metavar="DIR", help="the folder of the results (bench/results)"
    )
    parser.add_argument(
        "--page", type=path, metavar="FILE.md", help="put the summary between the marks of it, too"
    )
    parser.add_argument(
        "--quick", action="store_true", help="few short turns: does everything work?"
    )
    args = parser.parse_args(argv)
    rounds = args.rounds or (QUICK_ROUNDS if args.quick else ROUNDS)
    if args.out is None:
        whole = (tuple(ENGINES), CHOSEN, False)
        if (args.engines, args.workloads, args.quick) != whole or rounds < ROUNDS:
            parser.error("--out DIR is needed: the default folder is for the whole table alone")
    if args.page is not None:
        try:
            put(args.page.read_text(encoding="utf-8"), "gpu", [])
        except (OSError, ValueError) as error:
            parser.error(f"--page {args.page}: {error}")
    plan = Plan(
        out=args.out or RESULTS,
        rounds=rounds,
        seconds=QUICK_SECONDS if args.quick else SECONDS,
        threads=(1,),
        engines=args.engines,
        workloads=args.workloads,
        quick=args.quick,
        origin="",
    )
    return plan, args.page


def card() -> str:
    """A sentence about the GPU and its driver, by NVIDIA's own command where it is there."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,power.limit"]
    try:
        told = subprocess.run(
            [*command, "--format=csv,noheader"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "The GPU: nvidia-smi does not answer."
    gpus = []
    for line in told.strip().splitlines():
        name, driver, memory, power = (word.strip() for word in line.split(","))
        gpus.append(f"{name} ({memory}, {power}), driver {driver}")
    return f"The GPU: {'; '.join(dict.fromkeys(gpus))}."


# -- measuring --------------------------------------------------------------------------


def measure(plan: Plan, run: int) -> list[Measured]:
    """Time the engines on the workloads; says on which it is.

    Args:
        plan: which, and how often.
        run: steps of the 1-D GAN that are timed in one go.
    """
    measured: list[Measured] = []
    for workload in plan.workloads:
        print(f"{TITLES[workload]} ...", flush=True)
        jobs = [
            (name, ENGINES[name], WORKLOADS[workload], 1)
            for name in plan.engines
            if takes(name, workload)
        ]
        with workers(jobs, device="cuda") as started:
            timings = time_in_rounds(started, plan.rounds, plan.seconds)
            for worker, timing in zip(started, timings, strict=True):
                took = time_a_run(worker, run) if workload == "gaussian1d" else None
                timing.failure = worker.failure or losses_out_of_range(worker)
                measured.append(Measured(timing, None if timing.failure else took))
    return measured


def takes(engine: str, workload: str) -> bool:
    """Whether an engine knows a workload."""
    return engine not in ONE_DIMENSIONAL or WORKLOADS[workload].one_dimensional


def time_a_run(worker: Worker, run: int) -> float | None:
    """Seconds of so many steps in one go, rounded up to whole calls; None if it failed."""
    chunk = worker.first.get("chunk", 1)
    answer = worker.ask("turn", steps=-(-run // chunk) * chunk)
    return None if answer is None else float(answer["seconds"])


# -- tables -----------------------------------------------------------------------------


def write(plan: Plan, measured: Sequence[Measured]) -> None:
    """Print and write gpu.md and gpu.csv."""
    run = QUICK_RUN if plan.quick else RUN
    timings = [one.timing for one in measured]
    write_page(
        plan,
        "gpu",
        "Speed on a GPU",
        INTRODUCTION.format(rounds=plan.rounds, seconds=plan.seconds, run=run),
        [*summary(measured), "", *tables(measured)],
        ["workload", "engine", "failure", "steps_a_turn", "fastest_us", "spread", "run_s"]
        + [f"to_{name}" for name in YARDSTICKS]
        + ["turns_us"],
        [
            [one.timing.workload, one.timing.engine, one.timing.failure, one.timing.steps]
            + [one.timing.fastest, one.timing.spread, one.run]
            + [compare(timings, one.timing, name) for name in YARDSTICKS]
            + [" ".join(f"{us:.3f}" for us in one.timing.turns)]
            for one in measured
        ],
    )


def summary(measured: Sequence[Measured]) -> list[str]:
    """The times of all engines as one Markdown table; "not yet measured" where there is none."""
    known = {(one.timing.engine, one.timing.workload): one for one in measured}
    head = ["", "1-D, µs a step", f"{RUN:,} of them, s", "MNIST 256, µs", "MNIST 1200, µs"]
    rows = []
    for name, entry in ENGINES.items():
        cells = [entry.label]
        for workload in CHOSEN:
            one = known.get((name, workload))
            if not takes(name, workload):
                cells.append("")
                continue
            cells.append(UNMEASURED if one is None else time_of(one))
            if workload == "gaussian1d":
                cells.append(UNMEASURED if one is None else number(one.run))
        rows.append(cells)
    return table(head, rows)


def time_of(one: Measured) -> str:
    """Microseconds a step, or why there are none."""
    return one.timing.failure or microseconds(one.timing.fastest)


def tables(measured: Sequence[Measured]) -> list[str]:
    """Everything measured as Markdown, a table a workload."""
    lines: list[str] = []
    for workload in dict.fromkeys(one.timing.workload for one in measured):
        own = [one for one in measured if one.timing.workload == workload]
        timings = [one.timing for one in own]
        head = ["engine", "µs a step"] + [f"/ {title}" for title in YARDSTICKS.values()]
        rows = [
            [
                ENGINES[one.timing.engine].label,
                time_of(one),
                *(number(compare(timings, one.timing, name)) for name in YARDSTICKS),
                number(one.timing.spread),
                *([number(one.run)] if workload == "gaussian1d" else []),
            ]
            for one in own
        ]
        head += ["spread"] + (["in one go, s"] if workload == "gaussian1d" else [])
        lines += [f"## {TITLES[workload]}", "", *table(head, rows), "", *remark(own)]
    return lines[:-1]


def remark(own: Sequence[Measured]) -> list[str]:
    """minigan's best on a workload beside its aim and the fastest peer: a line, an empty one."""
    fastest = {one.timing.engine: one.timing.fastest for one in own}
    times = {name: time for name, time in fastest.items() if time is not None}
    mine = min((name for name in times if name in OURS), key=times.__getitem__, default=None)
    peer = min((name for name in times if name not in OURS), key=times.__getitem__, default=None)
    if mine is None:
        return []
    aim = AIMS[own[0].timing.workload]
    told = (
        f"minigan's best is rung {ENGINES[mine].label}: {microseconds(times[mine])} µs a step "
        f"(aim on an H200: {microseconds(aim)})"
    )
    if peer is not None:
        ratio = number(times[mine] / times[peer])
        told += f", {ratio} of the fastest peer's, {ENGINES[peer].label}"
    return [f"{told}.", ""]


if __name__ == "__main__":
    sys.exit(main())
