"""Workers: one process for each engine, of which only one is awake at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import machine
from bench.engines import Entry
from bench.report import in_turn
from bench.workloads import Workload

ROOT = Path(__file__).resolve().parent.parent
NOT_INSTALLED = "not installed"


def environment(threads: int, device: str = "cpu") -> dict[str, str]:
    """The environment variables of a worker: its threads, its GPU or none, the import path."""
    own = dict(os.environ)
    own["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), own.get("PYTHONPATH")]))
    if device != "cpu":
        # JAX would take most of the GPU's memory for itself, and might fall back to the CPU.
        own |= {"JAX_PLATFORMS": "cuda", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        return own | {"NVIDIA_TF32_OVERRIDE": "0"}  # true float32 products
    for name in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "BLIS_NUM", "VECLIB_MAXIMUM"):
        own[f"{name}_THREADS"] = str(threads)
    if threads == 1:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        own["XLA_FLAGS"] = f"{own.get('XLA_FLAGS', '')} {flags}".strip()
    return own | {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}


class Worker:
    """The parent's end of a `bench.worker`, which is pinned to one CPU for each of its threads."""

    def __init__(
        self, name: str, entry: Entry, workload: Workload, threads: int, device: str = "cpu"
    ) -> None:
        self.name, self.workload, self.threads = name, workload, threads
        self.failure = ""  # why there is nothing to measure
        self.process: Any = None
        self.ready: dict[str, Any] | None = None  # what it said when its engine was built
        if not machine.installed(entry.needs):
            self.failure = NOT_INSTALLED
            return
        job = {
            "engine": entry.target,
            "workload": dataclasses.asdict(workload),
            "threads": threads,
            "cpus": machine.cpus()[:threads] if device == "cpu" else [],
            "device": device,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(threads, device),
        )

    def wait(self) -> None:
        """Wait until its engine is built."""
        if not self.failure:
            self.ready = self._answer()

    def ask(self, do: str, **settings: Any) -> dict[str, Any] | None:
        """Ask the worker for something, and wait for the answer; None if the worker has failed."""
        if self.failure:
            return None
        with contextlib.suppress(OSError):  # it has ended: `_answer` finds out why
            self.process.stdin.write(json.dumps({"do": do, **settings}) + "\n")
            self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any] | None:
        line = self.process.stdout.readline()
        if not line.endswith("\n"):
            self.failure = f"the process ended with exit code {self.process.wait()}"
            return None
        answer = dict(json.loads(line))
        self.failure = answer.get("failure", "")
        return None if self.failure else answer

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            with contextlib.suppress(OSError):
                self.process.communicate()


@contextlib.contextmanager
def workers(
    jobs: Sequence[tuple[str, Entry, Workload, int]], device: str = "cpu"
) -> Iterator[list[Worker]]:
    """Start a worker for each (name, entry, workload, threads), all at once, and wait for them."""
    started: list[Worker] = []
    try:
        for job in jobs:
            started.append(Worker(*job, device))
        for worker in started:
            worker.wait()
        yield started
    finally:
        for worker in started:
            worker.close()


@dataclass
class Timing:
    """How long an engine's steps took."""

    engine: str
    workload: str
    threads: int
    steps: int = 0  # training steps in a turn
    turns: list[float] = field(default_factory=list)  # microseconds per step, one number per round
    failure: str = ""  # why those mean nothing, or ""

    @property
    def fastest(self) -> float | None:
        """Microseconds per step in the turn that was disturbed least; None after a failure."""
        return min(self.turns) if self.turns and not self.failure else None

    @property
    def spread(self) -> float | None:
        """The median turn in units of the fastest; None after a failure."""
        fastest = self.fastest
        return None if fastest is None else statistics.median(self.turns) / fastest


def time_in_rounds(started: Sequence[Worker], rounds: int, seconds: float) -> list[Timing]:
    """Time turns of about `seconds` of each worker, one worker after the other."""
    timings = [Timing(one.name, one.workload.name, one.threads) for one in started]
    for worker, timing in zip(started, timings, strict=True):
        answer = worker.ask("warm", seconds=seconds)
        timing.steps = 0 if answer is None else answer["steps"]

    def turn(worker: Worker, timing: Timing) -> float | None:
        answer = worker.ask("turn", steps=timing.steps)
        return None if answer is None else answer["seconds"] / timing.steps * 1e6

    turns = [functools.partial(turn, *pair) for pair in zip(started, timings, strict=True)]
    for worker, timing, times in zip(started, timings, in_turn(turns, rounds), strict=True):
        timing.turns, timing.failure = times, worker.failure
    return timings
