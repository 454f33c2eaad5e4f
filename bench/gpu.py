"""minigan's rungs on a GPU, next to PyTorch and JAX on the same GPU.

    make gpu                                the tests that need a GPU, then this: all in one command
    python -m bench.gpu                     everything, into bench/results/ and docs/gpu.md
    python -m bench.gpu --quick --out DIR   does everything work? The numbers mean little

Libraries that are not installed are left out (`pip install torch "jax[cuda13]"` installs them).
Choose one of several GPUs with CUDA_VISIBLE_DEVICES. Keep it and the machine free of other work.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Sequence

from bench import report
from bench.engines import Entry
from bench.processes import Timing
from bench.report import Plan, microseconds
from bench.speed import YARDSTICKS, measure, no_failure, rows_of, tables
from bench.workloads import WORKLOADS
from minigan.backend import get_backend
from minigan.command_line import guard
from minigan.files import make_folder

#: minigan's rungs, the slowest first, and other libraries.
ENGINES = {
    "cupy": Entry("1. NumPy's first draft, in CuPy", "bench.engines.plain:Plain", "cupy", True),
    "by_hand": Entry(
        "2. minigan's kernels, launched one by one", "bench.engines.ours:ByHand", "cupy"
    ),
    "minigan": Entry("3. minigan, captured: a CUDA graph", "bench.engines.ours:Minigan", "cupy"),
    "pytorch": Entry("PyTorch, eager", "bench.engines.pytorch:Eager", "torch"),
    "torch_compile": Entry(
        "PyTorch, torch.compile, reduce-overhead", "bench.engines.pytorch:ReduceOverhead", "torch"
    ),
    "torch_graph": Entry("PyTorch, tuned, a CUDA graph", "bench.engines.pytorch:Graph", "torch"),
    "jax_jit": Entry("JAX, one jitted step", "bench.engines.jax:Jit", "jax"),
    "jax_scan": Entry("JAX, lax.scan over steps", "bench.engines.jax:Scan", "jax"),
}
#: What is measured, and its column in the table of docs/gpu.md.
COLUMNS = {
    "gaussian1d": "1-D, µs a step",
    "mnist256": "MNIST 256, µs",
    "mnist1200": "MNIST 1200, µs",
    "dcgan": "DCGAN, µs",
}
#: Rounds, and seconds of a turn. Turns are short, since on these random pixels the article's recipe
#: diverges after some thousands of steps, in every engine.
FULL, QUICK = (9, 0.1), (2, 0.05)
UNMEASURED = "not yet measured"
PAGE = report.RESULTS.parent.parent / "docs" / "gpu.md"
INTRODUCTION = """\
Every engine trains on the same GPU, in a process of its own. In each of {rounds} rounds every one
of them trains for about {seconds:g} s while the others sleep; a turn ends when the GPU has finished
all its work. The time is that of the fastest turn, in microseconds a training step; the spread is
the median turn in units of the fastest. "/ PyTorch" is the time in units of eager PyTorch's, "/
JAX" in units of the jitted step's: below 1 is faster.

A training step draws real samples and noise, trains D, then G, and adds up the losses; all engines
take the same step with networks of the same size, in float32 without TF32, their data on the GPU.
docs/gpu.md explains the rungs of minigan. PyTorch's CUDA graph is the whole tuned step, recorded by
hand. The code is in `bench/engines/`."""


def main(argv: list[str] | None = None) -> int:
    """Measure; 1 if an engine failed, 2 without a GPU or for invalid flags."""
    parser = report.parser_of("bench.gpu", __doc__)
    args, plan = report.plan_of(parser, report.arguments(argv), FULL, QUICK)

    def work() -> int:
        get_backend("cuda")  # or a sentence that says what is missing
        make_folder(plan.out)
        timings = measure(plan, ENGINES, tuple(COLUMNS), "cuda")
        write(dataclasses.replace(plan, origin=f"{plan.origin} {card()}"), timings)
        if args.out is None:
            report.fill_page(PAGE, {"gpu": summary(timings)})
        return 0 if no_failure(timings) else 1

    return guard("bench.gpu", work, lambda: "interrupted; nothing is written")


def card() -> str:
    """A sentence about the GPU and its driver, from NVIDIA's own command."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,power.limit"]
    try:
        answer = subprocess.run(
            [*command, "--format=csv,noheader"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "The GPU: nvidia-smi does not answer."
    gpus = []
    for line in answer.strip().splitlines():
        name, driver, memory, power = (word.strip() for word in line.split(","))
        gpus.append(f"{name} ({memory}, {power}), driver {driver}")
    return f"The GPU: {'; '.join(dict.fromkeys(gpus))}."


def write(plan: Plan, timings: Sequence[Timing]) -> None:
    """Print and write gpu.md and gpu.csv."""
    introduction = INTRODUCTION.format(rounds=plan.rounds, seconds=plan.seconds)
    body = [*summary(timings), "", *tables(timings, ENGINES)]
    page = ["# Speed on a GPU", introduction, plan.origin]
    report.write_page(plan.out / "gpu.md", page, body, rows_of(timings, tuple(YARDSTICKS)))


def summary(timings: Sequence[Timing]) -> list[str]:
    """The times of all engines as one Markdown table; "not yet measured" where there is none."""
    known = {(one.engine, one.workload): one for one in timings}
    head = ["", *COLUMNS.values()]
    rows = []
    for name, entry in ENGINES.items():
        cells = [entry.label]
        for workload in COLUMNS:
            one = known.get((name, workload))
            if not entry.takes(WORKLOADS[workload]):
                cells.append("")
                continue
            cells.append(one.failure or microseconds(one.fastest) if one else UNMEASURED)
        rows.append(cells)
    return report.table(head, rows)


if __name__ == "__main__":
    sys.exit(main())
