"""How much memory training and sampling take: minigan next to PyTorch.

    python -m bench.memory                      into bench/results/memory.md
    python -m bench.memory --out FILE.md        elsewhere

Less than a minute for each network of the DCGAN.
"""

from __future__ import annotations

import sys
from typing import Any

from bench import machine, report
from bench.engines import ENGINES
from bench.processes import workers
from bench.workloads import TITLES, WORKLOADS
from minigan.command_line import guard

CHOSEN = ("dcgan", "dcgan-half")
COMPARED = ("minigan", "pytorch")
STEPS, SAMPLES = 20, 10_000
TASKS = {f"{STEPS} steps": (STEPS, 0), f"{SAMPLES:,} samples": (0, SAMPLES)}
INTRODUCTION = """\
MiB by which the resident set grows, at most, over that after the imports: the networks, the images
(45 MiB, the same for both), and what the task takes. Each number is of a fresh process with one
thread."""


def main(argv: list[str] | None = None) -> int:
    """Measure; 1 if an engine failed, 2 for invalid flags."""
    argv = report.arguments(argv)
    parser = report.parser_of("bench.memory", __doc__)
    report.add_out(parser)
    out = parser.parse_args(argv).out or report.RESULTS / "memory.md"

    def work() -> int:
        origin = machine.describe(report.command_of("bench.memory", argv))
        rows = [
            [workload, task, engine, *grown(workload, engine, *amounts)]
            for workload in CHOSEN
            for task, amounts in TASKS.items()
            for engine in COMPARED
        ]
        head = ["# Memory of the DCGAN", INTRODUCTION, origin]
        names = ["workload", "task", "engine", "failure", "grown_bytes"]
        report.write_page(out, head, page(rows), [names, *rows])
        return 1 if any(failure for *_, failure, _ in rows) else 0

    return guard("bench.memory", work, lambda: "interrupted; nothing is written")


def grown(workload: str, engine: str, steps: int, samples: int) -> tuple[str, int | None]:
    """Why there is no number, or ""; and the bytes by which a fresh process grew."""
    job = (engine, ENGINES[engine], WORKLOADS[workload], 1)
    with workers([job]) as (worker,):
        answer = worker.ask("memory", steps=steps, samples=samples)
        if answer is None or worker.ready is None:
            return worker.failure, None
        return "", answer["most"] - worker.ready["imported"]


def page(rows: list[list[Any]]) -> list[str]:
    """A row for each task of each workload, a column for each engine, as Markdown."""
    lines = {}
    for workload, task, _, failure, size in rows:
        cells = lines.setdefault((workload, task), [TITLES[workload], task])
        cells.append(failure or report.number(size / 2**20, 0))
    head = ["network", "task", *(ENGINES[engine].label for engine in COMPARED)]
    return report.table(head, lines.values(), left=2)


if __name__ == "__main__":
    sys.exit(main())
