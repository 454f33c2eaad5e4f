"""Time, calls and memory of one training step, written seven ways."""

from __future__ import annotations

import functools
import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bench import machine, report
from bench.ladder import facts
from bench.ladder.counting import count_calls
from bench.ladder.rung1_loops import Loops
from bench.ladder.rung2_vectorised import Vectorised
from bench.ladder.rung3_preallocated import Preallocated
from bench.ladder.rung4_kernels import Kernels
from bench.ladder.rung5_shared import Shared
from bench.ladder.rung6_engine import Captured, Layers
from bench.ladder.start import start
from bench.report import in_turn, microseconds, table

TITLES = {
    Loops: "1. lists and loops",
    Vectorised: "2. NumPy, new arrays",
    Preallocated: "3. preallocated, `out=`",
    Kernels: "4. flat parameters, better calls",
    Shared: "5. shared passes, no free work",
    Layers: "6. minigan, layer by layer",
    Captured: "7. minigan, captured",
}
PAGE = report.RESULTS.parent.parent / "docs" / "performance.md"
ROUNDS, SECONDS = 60, 0.03
PERIOD = 64  # some rungs draw or record every 64 steps, for 64 steps
INTRODUCTION = """\
One training step of the 1-D GAN with the recipe "article", each row another way to write it. The
rungs take slices of about {seconds:g} s in turn, {rounds} each, in one process with one BLAS
thread, and begin every slice with the same weights. The time is that of the fastest slice; the
spread is the median slice in units of the fastest. Calls are those of NumPy's ufuncs, products and
copies; new arrays are the ones that such a call makes; both are means over {period} steps. Bytes
are the most that a step held at any moment and that had not been there before it, in the
hungriest of {period} steps (`tracemalloc`: arrays, buffers and Python's own objects)."""
PARTS = """\
Of each call the fastest of {steps:,} steps, on its own between two readings of the clock."""
HEAD = ["rung", "fastest_us", "median_us", "calls", "new_arrays", "peak_bytes", "slices_us"]


@dataclass
class Measured:
    """What was measured of a rung."""

    kind: Any  # the rung's class
    slices: list[float] = field(default_factory=list)  # microseconds per step, one number per round
    calls: float | None = None  # NumPy calls per step; None for lists
    arrays: float | None = None  # new arrays among their results
    peak: int = 0  # bytes allocated within a step

    @property
    def fastest(self) -> float:
        return min(self.slices)


def measure(rounds: int, seconds: float) -> list[Measured]:
    """Time every rung, count its calls, and measure its memory."""
    slices = in_turn([slice_of(kind, seconds) for kind in TITLES], rounds)
    measured = []
    for kind, times in zip(TITLES, slices, strict=True):
        calls, arrays = (None, None) if kind is Loops else count_calls(kind, PERIOD)
        peak = peak_bytes(kind, 1 if kind is Loops else PERIOD)
        measured.append(Measured(kind, times, calls, arrays, peak))
    return measured


def take(rung: Any, steps: int) -> float:
    """Take steps; microseconds per step."""
    began = time.perf_counter()
    for _ in range(steps):
        rung.step()
    return (time.perf_counter() - began) / steps * 1e6


def slice_of(kind: Any, seconds: float) -> Callable[[], float]:
    """A function that takes a slice of about `seconds`; it returns microseconds per step."""
    rung = kind(start())
    rung.step()
    once = take(rung, 1) / 1e6
    steps = 1
    if once < seconds:
        # Whole periods, so that each slice has its share of what is done once a period.
        steps = max(1, round(seconds / take(rung, PERIOD) * 1e6 / PERIOD)) * PERIOD

    def take_slice() -> float:
        rung = kind(start())
        if steps > 1:
            take(rung, PERIOD)
        gc.collect()
        return take(rung, steps)

    return take_slice


def peak_bytes(kind: Any, steps: int) -> int:
    """The most bytes that a step held at once and that were not held before it."""
    rung = kind(start())
    tracemalloc.start()
    try:
        take(rung, steps)  # what is kept from the first steps on is not counted
        most = 0
        for _ in range(steps):
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            rung.step()
            _, peak = tracemalloc.get_traced_memory()
            most = max(most, peak - before)
        return most
    finally:
        tracemalloc.stop()


def parts_of_a_step(steps: int) -> dict[str, tuple[int, float]]:
    """What a captured step spends its time on: {kind of call: how many, microseconds together}.

    Of each call the fastest of `steps` times counts. The first call comes before the replay, the
    last one after it.
    """
    rung = Captured(start())
    rung.step()
    gan = rung.gan
    before = functools.partial(rung.data.next_batch, out=gan.real)
    calls = [before, *gan.recording.replay.calls, gan.records.add]
    fastest = [float("inf")] * len(calls)
    clock = time.perf_counter
    nothing = min(-(clock() - clock()) for _ in range(1000))  # what the clock itself takes
    for _ in range(steps):
        for i, call in enumerate(calls):
            began = clock()
            call()
            fastest[i] = min(fastest[i], clock() - began)
    parts: dict[str, tuple[int, float]] = {}
    for call, seconds in zip(calls, fastest, strict=True):
        n, time_of_all = parts.get(kind_of_call(call), (0, 0.0))
        parts[kind_of_call(call)] = n + 1, time_of_all + (seconds - nothing) * 1e6
    return dict(sorted(parts.items(), key=lambda part: -part[1][1]))


def kind_of_call(call: Any) -> str:
    """The row of the table in which a recorded call is counted."""
    function = getattr(call, "func", None)
    if function in (np.dot, np.matmul):
        return "products"
    if function is np.exp:
        return "exponentials"
    if not isinstance(function, np.ufunc) and function is not np.copyto:
        return "noise, real samples, D's scores, the optimizers' scalars"
    out = call.keywords.get("out", call.args[0 if function is np.copyto else -1])
    if out.ndim == 1:
        return "Adam"
    return "other calls on 1,000 numbers or more" if out.size >= 1000 else "other, smaller calls"


# -- the page ---------------------------------------------------------------------------


def table_of_rungs(measured: Sequence[Measured]) -> list[str]:
    """A row for each rung, as Markdown."""
    (second,) = (one.fastest for one in measured if one.kind is Vectorised)
    rows = []
    for i, one in enumerate(measured):
        before = ratio(one.fastest / measured[i - 1].fastest) if i else ""
        spread = ratio(statistics.median(one.slices) / one.fastest)
        times = [microseconds(one.fastest), before, ratio(one.fastest / second), spread]
        calls, arrays = ("" if n is None else f"{n:.0f}" for n in (one.calls, one.arrays))
        rows.append([TITLES[one.kind], *times, calls, arrays, f"{one.peak:,}"])
    head = ["rung", "µs a step", "/ the one before", "/ rung 2", "spread"]
    return table([*head, "NumPy calls", "new arrays", "bytes within a step"], rows)


def table_of_parts(parts: dict[str, tuple[int, float]]) -> list[str]:
    """A row for each kind of call, as Markdown."""
    calls, whole = (sum(numbers) for numbers in zip(*parts.values(), strict=True))
    rows = [
        [what, str(n), f"{time:.1f}", f"{100 * time / whole:.0f} %"]
        for what, (n, time) in (parts | {"together": (calls, whole)}).items()
    ]
    return table(["what", "calls", "µs", "share"], rows)


def ratio(value: float) -> str:
    """A ratio with two or three digits."""
    return f"{value:.2g}" if value < 0.1 else f"{value:.{2 if value < 10 else 0}f}"


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write the page."""
    argv = report.arguments(argv)
    parser = report.parser_of("bench.ladder", __doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one short slice each; writes nothing without --out"
    )
    report.add_out(parser)
    args = parser.parse_args(argv)
    whole = args.out is None and not args.quick
    rounds, seconds = (1, 0.01) if args.quick else (ROUNDS, SECONDS)
    origin = machine.describe(report.command_of("bench.ladder", argv))
    # One CPU, the last one, so that no slice moves from one to another.
    with machine.held_to(machine.cpus()[-1:]), threadpool_limits(1, "blas"):
        measured = measure(rounds, seconds)
        parts = parts_of_a_step(rounds * PERIOD)
        calls = facts.table_of_calls(rounds, seconds / 10)
    tables = {
        "ladder": table_of_rungs(measured),
        "parts": table_of_parts(parts),
        "calls": calls,
        "threads": facts.table_of_threads(rounds, seconds / 10),
    }
    body = [
        *tables["ladder"],
        *("", "## What a captured step spends its time on", ""),
        *(PARTS.format(steps=rounds * PERIOD), "", *tables["parts"]),
        *("", "## What single calls cost", "", facts.INTRODUCTION, "", *tables["calls"]),
        *("", "## One BLAS thread or two", "", *tables["threads"]),
    ]
    rows: list[list[Any]] = [HEAD]
    for one in measured:
        rows.append([TITLES[one.kind], one.fastest, statistics.median(one.slices)])
        rows[-1] += [one.calls, one.arrays, one.peak, report.turns_cell(one.slices)]
    introduction = INTRODUCTION.format(seconds=seconds, rounds=rounds, period=PERIOD)
    out = report.RESULTS / "ladder.md" if whole else args.out
    report.write_page(out, ["# The speed ladder", introduction, origin], body, rows)
    if whole:
        report.fill_page(PAGE, tables)
    return 0
