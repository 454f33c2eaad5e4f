"""Time, calls and memory of every rung, as a table."""

from __future__ import annotations

import argparse
import contextlib
import csv
import dataclasses
import functools
import gc
import io
import os
import statistics
import sys
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from threadpoolctl import threadpool_limits

from bench import machine
from bench.ladder import facts
from bench.ladder.rung1_loops import Loops
from bench.ladder.rung2_vectorised import Vectorised
from bench.ladder.rung3_preallocated import Preallocated
from bench.ladder.rung4_kernels import Kernels
from bench.ladder.rung5_shared import Shared
from bench.ladder.rung6_engine import Captured, Layers
from bench.ladder.start import Rung, Start, start
from bench.report import RESULTS, microseconds, table
from minigan.backend import numpy_backend
from minigan.command_line import positive
from minigan.files import write_whole

TITLES = {
    Loops: "1. lists and loops",
    Vectorised: "2. NumPy, new arrays",
    Preallocated: "3. preallocated, `out=`",
    Kernels: "4. flat parameters, better calls",
    Shared: "5. shared passes, no free work",
    Layers: "6. minigan, layer by layer",
    Captured: "7. minigan, captured",
}
ROUNDS, SECONDS = 60, 0.03
PERIOD = 64  # rungs that draw or record many steps at a time do it every so many
INTRODUCTION = """\
One training step of the 1-D GAN with the recipe "article", each row another way to write it. The
rungs take slices of about {seconds:g} s in turn, {rounds} each, in one process with one BLAS
thread, and begin every slice with the same weights. The time is that of the fastest slice; the
spread is the median slice in units of the fastest. Calls are those of NumPy's ufuncs, products and
copies; new arrays are the ones that such a call makes; both are means over {period} steps. Bytes
are the most that a step held at any moment and that had not been there before it, in the
hungriest of {period} steps (`tracemalloc`: arrays, buffers and Python's own objects)."""
PARTS = """\
Of each call the fastest of {steps:,} steps, on its own between two looks at the clock."""


@dataclass
class Measured:
    """What is known of a rung.

    Attributes:
        kind: the rung's class.
        slices: microseconds a step, one number a round.
        calls, arrays: NumPy calls a step, and new arrays among their results; None for lists.
        peak: bytes taken within a step.
    """

    kind: Any
    slices: list[float] = field(default_factory=list)
    calls: float | None = None
    arrays: float | None = None
    peak: int = 0

    @property
    def fastest(self) -> float:
        return min(self.slices)


@contextlib.contextmanager
def one_cpu() -> Iterator[None]:
    """Keep to the last CPU, so that no slice moves from one to another; where that can be said."""
    cpus = machine.cpus()
    if not cpus:
        yield
        return
    os.sched_setaffinity(0, cpus[-1:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cpus)


# -- time -------------------------------------------------------------------------------


def take(rung: Rung, steps: int) -> float:
    """Take steps; microseconds a step."""
    began = time.perf_counter()
    for _ in range(steps):
        rung.step()
    return (time.perf_counter() - began) / steps * 1e6


def time_in_rounds(kinds: Sequence[Any], rounds: int, seconds: float) -> list[Measured]:
    """A slice of each rung in turn, so that a slow minute slows all alike."""
    measured = [Measured(kind) for kind in kinds]
    steps = []
    for kind in kinds:
        rung = kind(start())
        rung.step()
        once = take(rung, 1) / 1e6
        if once < seconds:
            once = take(rung, PERIOD) / 1e6
        # Whole periods, so that each slice has its share of what is done once a period.
        steps.append(max(1, round(seconds / once / PERIOD)) * PERIOD if once < seconds else 1)
    for shift in range(rounds):
        for i in range(len(kinds)):
            at = (i + shift) % len(kinds)  # nobody always follows the same neighbour
            rung = kinds[at](start())
            if steps[at] > 1:
                take(rung, PERIOD)
            gc.collect()
            measured[at].slices.append(take(rung, steps[at]))
    return measured


# -- calls ------------------------------------------------------------------------------


class Counted(np.ndarray):
    """An array that counts the calls it takes part in; what comes of it counts them, too."""

    calls = 0  # of all such arrays
    arrays = 0  # new ones that the calls returned

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        out = settings.pop("out", ())
        if out:
            settings["out"] = tuple(plain(array) for array in out)
        made = getattr(ufunc, method)(*map(plain, inputs), **settings)
        Counted.calls += 1
        return out[0] if out else new(made)

    def __array_function__(self, function: Any, types: Any, args: Any, settings: Any) -> Any:
        made = super().__array_function__(function, types, args, settings)
        if function not in (np.copyto, np.dot, np.where, np.concatenate):
            return made
        Counted.calls += 1
        return made if any(made is a for a in (*args, *settings.values())) else new(made)


def plain(array: Any) -> Any:
    return array.view(np.ndarray) if isinstance(array, Counted) else array


def new(made: Any) -> Any:
    """What a call returned: count it if it is an array. A product may have made it a `Counted`."""
    if not isinstance(made, np.ndarray):
        return made  # a scalar, or None of copyto
    Counted.arrays += 1
    return made.view(Counted)


class CountingNumpy:
    """Stands in for the module `numpy` in the rungs and the engine: new arrays are `Counted`."""

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        if name in ("empty", "zeros", "ones", "full", "array"):
            return lambda *args, **settings: function(*args, **settings).view(Counted)
        return function


class CountingStream:
    """A random generator whose numbers are `Counted`; drawing them is not a call."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def random(self, *args: Any, **settings: Any) -> Any:
        return self.stream.random(*args, **settings).view(Counted)


def count_calls(kind: Any) -> tuple[float, float]:
    """(calls, new arrays) of a step, means over a period."""
    with contextlib.ExitStack() as stack:
        # In every rung, since one may call another's kernels.
        rungs = dict.fromkeys(sys.modules[other.__module__] for other in TITLES)
        for module in (*rungs, numpy_backend):
            if hasattr(module, "np"):
                stack.enter_context(mock.patch.object(module, "np", CountingNumpy()))
        # The engine's temporaries outlive a step; these here must not outlive the counting.
        stack.enter_context(mock.patch.object(numpy_backend, "_pool", numpy_backend._Pool()))
        rung = kind(of_counted(start()))
        take(rung, PERIOD)
        Counted.calls = Counted.arrays = 0
        take(rung, PERIOD)
        return Counted.calls / PERIOD, Counted.arrays / PERIOD


def of_counted(given: Start) -> Start:
    return dataclasses.replace(
        given,
        G=[array.view(Counted) for array in given.G],
        D=[array.view(Counted) for array in given.D],
        d_noise=CountingStream(given.d_noise),
        g_noise=CountingStream(given.g_noise),
        data=CountingStream(given.data),
    )


# -- memory -----------------------------------------------------------------------------


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


# -- what is left -------------------------------------------------------------------------


@dataclass
class Part:
    """A kind of calls in a captured step: how many, and their microseconds together."""

    what: str
    calls: int = 0
    time: float = 0.0


def parts_of_a_step(steps: int) -> list[Part]:
    """What a captured step spends its time on: of each call the fastest of so many steps.

    The first call of the list is what comes before the tape, the last one what comes after it.
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
    parts = {}
    for call, seconds in zip(calls, fastest, strict=True):
        what = kind_of_call(call)
        part = parts.setdefault(what, Part(what))
        part.calls += 1
        part.time += (seconds - nothing) * 1e6
    return sorted(parts.values(), key=lambda part: -part.time)


def kind_of_call(call: Any) -> str:
    """What to count a call on the tape among."""
    function = getattr(call, "func", None)
    if function in (np.dot, np.matmul):
        return "products"
    if function is np.exp:
        return "exponentials"
    if not isinstance(function, np.ufunc) and function is not np.copyto:
        return "noise, real samples, verdicts, the optimizers' scalars"
    out = call.keywords.get("out", call.args[0 if function is np.copyto else -1])
    if out.ndim == 1:
        return "Adam"
    return "other calls on 1,000 numbers or more" if out.size >= 1000 else "other, smaller calls"


# -- the page ---------------------------------------------------------------------------


def table_of_rungs(measured: Sequence[Measured]) -> list[str]:
    """A row a rung, as Markdown."""
    (second,) = (one.fastest for one in measured if one.kind is Vectorised)
    rows = []
    for i, one in enumerate(measured):
        before = ratio(one.fastest / measured[i - 1].fastest) if i else ""
        spread = ratio(statistics.median(one.slices) / one.fastest)
        calls, arrays = ("" if n is None else f"{n:.0f}" for n in (one.calls, one.arrays))
        rows.append(
            [
                TITLES[one.kind],
                microseconds(one.fastest),
                before,
                ratio(one.fastest / second),
                spread,
                calls,
                arrays,
                f"{one.peak:,}",
            ]
        )
    head = ["rung", "µs a step", "/ the one before", "/ rung 2", "spread"]
    return table([*head, "NumPy calls", "new arrays", "bytes within a step"], rows)


def table_of_parts(parts: Sequence[Part]) -> list[str]:
    """A row a kind of call, as Markdown."""
    whole = Part("together", sum(p.calls for p in parts), sum(p.time for p in parts))
    rows = [
        [part.what, str(part.calls), f"{part.time:.1f}", f"{100 * part.time / whole.time:.0f} %"]
        for part in (*parts, whole)
    ]
    return table(["what", "calls", "µs", "share"], rows)


def put(page: str, name: str, lines: Sequence[str]) -> str:
    """The page with these lines between its marks of that name."""
    marks = (f"<!-- table: {name} -->\n", "<!-- end -->")
    head, mark, rest = page.partition(marks[0])
    _, end, tail = rest.partition(marks[1])
    if not mark or not end:
        raise ValueError(f"the page has no {marks[0].strip()} that ends in {marks[1]}")
    return head + mark + "".join(f"{line}\n" for line in lines) + end + tail


def sentence(one: Measured) -> str:
    """A rung in one line, for the page."""
    calls = "" if one.calls is None else f" {one.calls:.0f} calls, {one.arrays:.0f} new arrays,"
    return f"*{microseconds(one.fastest)} µs a step;{calls} {one.peak:,} bytes.*"


def ratio(value: float) -> str:
    """Two or three digits of it."""
    return f"{value:.2g}" if value < 0.1 else f"{value:.{2 if value < 10 else 0}f}"


def sheet(measured: Sequence[Measured]) -> str:
    """The same as CSV, with every slice."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["rung", "fastest_us", "median_us", "calls", "new_arrays", "peak_bytes", "slices_us"]
    )
    for one in measured:
        writer.writerow(
            [
                TITLES[one.kind],
                one.fastest,
                statistics.median(one.slices),
                one.calls,
                one.arrays,
                one.peak,
                " ".join(f"{us:.3f}" for us in one.slices),
            ]
        )
    return out.getvalue()


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.ladder",
        description="Time, calls and memory of one training step, written seven ways.",
    )
    parser.add_argument("--rounds", type=positive, default=ROUNDS, metavar="N", help="slices each")
    parser.add_argument(
        "--quick", action="store_true", help="one short slice each: does everything run?"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.md",
        help="the Markdown file (bench/results/ladder.md); the same numbers go to a .csv beside it",
    )
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE.md",
        help="put the tables between the marks of this page, too (docs/performance.md)",
    )
    args = parser.parse_args(argv)
    words = sys.argv[1:] if argv is None else argv
    if args.out is None and not args.quick:
        if args.rounds != ROUNDS:
            parser.error("--out FILE.md is needed: the default file is for the default rounds")
        args.out = RESULTS / "ladder.md"
    if args.out is not None and (args.out.suffix != ".md" or not args.out.parent.is_dir()):
        parser.error(f"--out must be a .md file in a folder that exists, not {args.out}")
    if args.page is not None and not args.page.is_file():
        parser.error(f"--page must be a page that exists, not {args.page}")
    rounds, seconds = (1, 0.01) if args.quick else (args.rounds, SECONDS)
    head = machine.describe(" ".join(["python -m bench.ladder", *words]))

    with one_cpu(), threadpool_limits(1, "blas"):
        measured = time_in_rounds(list(TITLES), rounds, seconds)
        for one in measured:
            if one.kind is not Loops:
                one.calls, one.arrays = count_calls(one.kind)
            one.peak = peak_bytes(one.kind, 1 if one.kind is Loops else PERIOD)
        parts = parts_of_a_step(rounds * PERIOD)
        calls = facts.measure(rounds, seconds / 10)
    threads = facts.measure_threads(rounds, seconds / 10)
    tables = {
        "ladder": table_of_rungs(measured),
        "parts": table_of_parts(parts),
        "calls": facts.table(calls),
        "threads": facts.table_of_threads(threads),
        **{f"rung {i}": [sentence(one)] for i, one in enumerate(measured, start=1)},
    }
    text = [
        "# The speed ladder",
        "",
        INTRODUCTION.format(seconds=seconds, rounds=rounds, period=PERIOD),
        "",
        head,
        "",
        *tables["ladder"],
        "",
        "## What a captured step spends its time on",
        "",
        PARTS.format(steps=rounds * PERIOD),
        "",
        *tables["parts"],
        "",
        "## What single calls cost",
        "",
        facts.INTRODUCTION,
        "",
        *tables["calls"],
        "",
        "## One BLAS thread or two",
        "",
        *tables["threads"],
    ]
    print("\n".join(text))
    if args.page is not None:
        page = args.page.read_text(encoding="utf-8")
        for name, lines in tables.items():
            page = put(page, name, lines)
        write_whole(args.page, page.encode())
    if args.out is not None:
        write_whole(args.out, ("\n".join(text) + "\n").encode())
        write_whole(args.out.with_suffix(".csv"), sheet(measured).encode())
        print(f"written to {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
