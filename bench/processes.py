"""Workers: one process for each engine, of which only one is awake at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import machine
from bench.engines import Entry
from bench.workloads import Workload

ROOT = Path(__file__).resolve().parent.parent
NOT_INSTALLED = "not installed"


def environment(threads: int, device: str = "cpu") -> dict[str, str]:
    """The variables of a worker: so many threads, no GPU or only one, this repository to import."""
    own = dict(os.environ)
    own["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), own.get("PYTHONPATH")]))
    if device != "cpu":
        # JAX would take most of the GPU's memory for itself, and may else take the CPU instead.
        own |= {"JAX_PLATFORMS": "cuda", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        return own | {"NVIDIA_TF32_OVERRIDE": "0"}  # float32 is to mean float32
    for name in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "BLIS_NUM", "VECLIB_MAXIMUM"):
        own[f"{name}_THREADS"] = str(threads)
    if threads == 1:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        own["XLA_FLAGS"] = f"{own.get('XLA_FLAGS', '')} {flags}".strip()
    return own | {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}


class Worker:
    """The parent's end of a `bench.worker`.

    Args:
        name, entry: the engine, as in `bench.engines.ENGINES`.
        workload: what it trains.
        threads: how many it may use; on a CPU it is pinned to as many.
        device: "cpu" or "cuda".

    Attributes:
        failure: why there is nothing to measure, or "".
        first: what it said when it was ready.
    """

    def __init__(
        self, name: str, entry: Entry, workload: Workload, threads: int, device: str = "cpu"
    ) -> None:
        self.name, self.entry, self.workload, self.threads = name, entry, workload, threads
        self.failure = ""
        self.first: dict[str, Any] = {}
        self.process: subprocess.Popen[str] | None = None
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
        # A file, since nobody reads a pipe while the worker fills it.
        self.stderr = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            text=True,
            cwd=ROOT,
            env=environment(threads, device),
        )
        self.first = self._answer() or {}

    def ask(self, do: str, **settings: Any) -> dict[str, Any] | None:
        """Have it do something and wait for the answer; None if it cannot any more."""
        if self.failure or self.process is None or self.process.stdin is None:
            return None
        try:
            self.process.stdin.write(json.dumps({"do": do, **settings}) + "\n")
            self.process.stdin.flush()
        except OSError:  # it is gone: `_answer` finds out why
            pass
        return self._answer()

    def _answer(self) -> dict[str, Any] | None:
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line.endswith("\n"):
            return dict(json.loads(line))
        code = self.process.wait()
        self.stderr.seek(0)
        said = [line.strip() for line in self.stderr if line.strip()]
        self.failure = said[-1] if said else ""
        if code != 1 or not said:  # not of an exception: what it said last may not be the reason
            self.failure = f"exit code {code}; the last it said: {self.failure or 'nothing'}"
        return None

    def close(self) -> None:
        """End the process."""
        if self.process is None:
            return
        self.process.kill()
        with contextlib.suppress(OSError):
            self.process.communicate()
        self.stderr.close()


@contextlib.contextmanager
def workers(
    jobs: Sequence[tuple[str, Entry, Workload, int]], device: str = "cpu"
) -> Iterator[list[Worker]]:
    """Start a worker for each (name, entry, workload, threads), one after the other."""
    started: list[Worker] = []
    try:
        for job in jobs:
            started.append(Worker(*job, device))
        yield started
    finally:
        for worker in started:
            worker.close()


@dataclass
class Timing:
    """How long an engine's steps took.

    Attributes:
        engine, workload, threads: which.
        steps: training steps in a turn.
        turns: microseconds a step, one number a round.
        failure: why those mean nothing, or "".
    """

    engine: str
    workload: str
    threads: int
    steps: int = 0
    turns: list[float] = field(default_factory=list)
    failure: str = ""

    @property
    def fastest(self) -> float | None:
        """Microseconds a step in the turn that was disturbed least; None after a failure."""
        return min(self.turns) if self.turns and not self.failure else None

    @property
    def spread(self) -> float | None:
        """The median turn in units of the fastest; None after a failure."""
        fastest = self.fastest
        return None if fastest is None else statistics.median(self.turns) / fastest


def time_in_rounds(started: Sequence[Worker], rounds: int, seconds: float) -> list[Timing]:
    """Each worker's turn after the other's, `rounds` times, so that a slow minute slows all alike.

    Args:
        started: the workers.
        rounds: how many turns of each.
        seconds: about how long a turn takes.
    """
    timings = [Timing(one.name, one.workload.name, one.threads) for one in started]
    for worker, timing in zip(started, timings, strict=True):
        answer = worker.ask("warm", seconds=seconds)
        timing.steps = 0 if answer is None else answer["steps"]
    for shift in range(rounds):
        for i in range(len(started)):
            # A round begins with another worker each time, so nobody is always the first.
            at = (i + shift) % len(started)
            answer = started[at].ask("turn", steps=timings[at].steps)
            if answer is not None:
                timings[at].turns.append(answer["seconds"] / timings[at].steps * 1e6)
    for worker, timing in zip(started, timings, strict=True):
        timing.failure = worker.failure
    return timings
