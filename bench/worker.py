"""A process that measures one engine: it takes steps when it is told to, and sleeps otherwise.

    python -m bench.worker JOB          JOB is JSON: engine, workload, threads, cpus, device

Questions come on stdin and answers go to stdout, a line of JSON each. It ends with stdin.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
import tracemalloc
from pathlib import Path
from typing import Any

PAUSE = 0.002  # s: a process whose threads all sleep uses next to nothing of so long a time
SETTLE = 1.0  # s: after so long the others are disturbed rather than kept waiting


def main() -> None:
    """Build the engine, then answer."""
    job = json.loads(sys.argv[1])
    if job["cpus"]:  # before any library counts the CPUs it may use
        os.sched_setaffinity(0, job["cpus"])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    from bench.workloads import Workload

    module, name = job["engine"].split(":")
    kind = getattr(importlib.import_module(module), name)
    imported = peak_memory()
    device = {} if job["device"] == "cpu" else {"device": job["device"]}
    engine = kind(Workload(**job["workload"]), job["threads"], **device)
    answer: dict[str, Any] = {"imported": imported, "chunk": engine.chunk}
    while True:
        print(json.dumps(answer), file=answers, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        question = json.loads(line)
        answer = ANSWERS[question.pop("do")](engine, **question)


def warm(engine: Any, seconds: float) -> dict[str, Any]:
    """Compile what there is to compile, and find how many steps take so many seconds."""
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


def describe(engine: Any) -> dict[str, Any]:
    """Losses, sizes, and the most memory so far."""
    return {
        "losses": engine.losses(),
        "parameters": engine.parameters(),
        "peak": peak_memory(),
    }


def growth(engine: Any, steps: int) -> dict[str, Any]:
    """Bytes that Python and NumPy hold after so many steps and did not before; and the peak."""
    engine.run(engine.chunk)
    tracemalloc.start()
    engine.run(max(engine.chunk, steps // 10))  # what is remembered from now on is counted
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    engine.run(steps)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"kept": after - before, "between": peak - before}


def peak_memory() -> int | None:
    """The most bytes of RAM that this process has had; None where nobody counts them."""
    try:
        # Linux's getrusage would count what the parent had when it started this process.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


ANSWERS = {"warm": warm, "turn": turn, "describe": describe, "growth": growth}

if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        traceback.print_exc()
        # The parent tells the last line; that of a traceback is not always the one that says it.
        print(
            f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}", file=sys.stderr
        )
        sys.exit(1)
