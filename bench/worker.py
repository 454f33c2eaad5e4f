"""A process that measures one engine: it takes steps when it is asked to, and sleeps otherwise.

    python -m bench.worker JOB          JOB is JSON: engine, workload, threads, cpus, device

Questions come on stdin and answers go to stdout, a line of JSON each. The process ends with stdin,
or with the answer {"failure": REASON}.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

PAUSE = 0.002  # s: a process whose threads all sleep uses next to no CPU time in a pause
WARM = 3  # the first calls of an engine: it compiles, or records its step
SETTLE = 1.0  # s: how long to wait for that at most


def main() -> None:
    """Build the engine, then answer."""
    job = json.loads(sys.argv[1])
    if job["cpus"]:  # before any library counts the CPUs it may use
        os.sched_setaffinity(0, job["cpus"])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    try:
        engine, imported = build(job)
        say({"imported": imported})
        for line in sys.stdin:
            question = json.loads(line)
            say(ANSWERS[question.pop("do")](engine, **question))
    except Exception as error:
        traceback.print_exc()
        first_line = str(error).strip().partition("\n")[0]
        say({"failure": f"{type(error).__name__}: {first_line}"})


def build(job: dict[str, Any]) -> tuple[Any, int]:
    """The engine of a job, and the bytes that its imports took."""
    from bench.workloads import Workload

    module, name = job["engine"].split(":")
    kind = getattr(importlib.import_module(module), name)
    device = {} if job["device"] == "cpu" else {"device": job["device"]}
    imported = resident("VmRSS")
    return kind(Workload(**job["workload"]), job["threads"], **device), imported


def resident(field: str) -> int:
    """The resident set in bytes: "VmRSS" now, "VmHWM" at most so far.

    On systems without /proc, and where it lacks the field, both are the most so far.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    for line in lines:
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    import resource  # Windows does not have it

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def warm(engine: Any, seconds: float) -> dict[str, Any]:
    """Compile what there is to compile, and find how many steps take about `seconds`."""
    for _ in range(WARM):
        engine.run(engine.chunk)
    steps = engine.chunk
    while True:
        took = timed(engine, steps)["seconds"]
        if took >= seconds / 2:
            break
        steps *= 2
    chunks = max(1, round(seconds / took * steps / engine.chunk))
    return {"steps": chunks * engine.chunk}


def timed(engine: Any, steps: int) -> dict[str, Any]:
    """Take steps; the seconds that they took."""
    start = time.perf_counter()
    engine.run(steps)
    return {"seconds": time.perf_counter() - start}


def turn(engine: Any, steps: int) -> dict[str, Any]:
    """`timed`, and then silence: threads that wait for work in a loop would disturb the next."""
    answer = timed(engine, steps)
    deadline = time.perf_counter() + SETTLE
    while time.perf_counter() < deadline:
        before = time.process_time()
        time.sleep(PAUSE)
        if time.process_time() - before < PAUSE / 4:
            break
    return answer


def losses(engine: Any) -> dict[str, Any]:
    """The mean losses so far."""
    return {"losses": engine.losses()}


def memory(engine: Any, steps: int, samples: int) -> dict[str, Any]:
    """Take steps, or make samples; the most bytes that the process has held so far."""
    if steps:
        engine.run(steps)
    if samples:
        engine.sample(samples)
    return {"most": resident("VmHWM")}


ANSWERS = {"warm": warm, "turn": turn, "losses": losses, "memory": memory}

if __name__ == "__main__":
    main()
