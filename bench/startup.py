"""How long it takes until something happens: imports, and the dry run of an example."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import ROOT
from bench.report import Plan, number, table, write_page

INTRODUCTION = """\
Each command is started as a process of its own, {rounds} times, in turn with the others, after one
start that warms the disk's cache and leaves bytecode, as an installation does. CPU time is user
and system time of the process, in milliseconds; wall time is from the start to the end."""
HEAD = ["command", "cpu_min_ms", "cpu_median_ms", "wall_min_ms", "wall_median_ms", "cpu_ms"]


@dataclass
class Starts:
    """One command, and how long its starts took, in seconds."""

    title: str
    words: list[str]
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


def commands(folder: Path) -> list[Starts]:
    """What is started; `folder` is where a run would be."""
    example = str(ROOT / "examples" / "gaussian1d.py")
    return [
        Starts('python -c "import numpy"', ["-c", "import numpy"]),
        Starts('python -c "import minigan"', ["-c", "import minigan"]),
        Starts(
            "python examples/gaussian1d.py --dry-run",
            [example, "--dry-run", "--out", str(folder / "run")],
        ),
    ]


def start(words: list[str]) -> tuple[float | None, float]:
    """Run Python once: CPU seconds (None where nobody counts them), and wall seconds.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    own = os.environ | {"PYTHONPATH": str(ROOT)}
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, env=own)
    if not hasattr(os, "wait4"):  # Windows
        code, cpu = process.wait(), None
        wall = time.perf_counter() - begin
    else:
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        code, cpu = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        process.returncode = code  # it was waited for here, and not by `process`
    if code != 0:
        raise subprocess.CalledProcessError(code, [sys.executable, *words])
    return cpu, wall


def run(plan: Plan) -> bool:
    """Measure, print and write startup.md and startup.csv; whether every command went well."""
    print("start-up ...", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        measured = commands(Path(folder))
        try:
            for lap in range(plan.rounds + 1):
                for one in measured:
                    cpu, wall = start(one.words)
                    if lap > 0:
                        one.cpu += [] if cpu is None else [cpu]
                        one.wall.append(wall)
        except subprocess.CalledProcessError as error:
            print(f"bench: start-up was not measured: {error}", file=sys.stderr)
            return False
    head = ["command", "CPU: fastest", "median", "/ import numpy", "wall: fastest", "median"]
    body = table(head, [cells(one, measured[0]) for one in measured])
    write_page(
        plan,
        "startup",
        "Start-up",
        INTRODUCTION.format(rounds=plan.rounds),
        body,
        HEAD,
        [
            [
                one.title,
                *fastest_and_median(one.cpu),
                *fastest_and_median(one.wall),
                " ".join(f"{1000 * second:.3f}" for second in one.cpu),
            ]
            for one in measured
        ],
    )
    return True


def cells(one: Starts, numpy: Starts) -> list[str]:
    """A command's line of the table."""
    ratio = min(one.cpu) / min(numpy.cpu) if one.cpu else min(one.wall) / min(numpy.wall)
    cpu, wall = fastest_and_median(one.cpu), fastest_and_median(one.wall)
    return [
        f"`{one.title}`",
        *(number(ms, 1) for ms in cpu),
        number(ratio),
        *(number(ms, 1) for ms in wall),
    ]


def fastest_and_median(seconds: list[float]) -> tuple[float | None, float | None]:
    """In milliseconds; None of nothing."""
    if not seconds:
        return None, None
    return 1000 * min(seconds), 1000 * statistics.median(seconds)
