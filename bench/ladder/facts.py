"""What single NumPy calls cost: the numbers that decide how a step is written.

    python -m bench.ladder.facts

Each line of the table is two ways to the same result, timed in turn, in microseconds a call.
"""

from __future__ import annotations

import contextlib
import functools
import os
import timeit
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bench import machine
from bench.ladder.rung6_engine import Captured
from bench.ladder.start import start

Way = tuple[str, Callable[[], Any]]
Fact = tuple[str, Way, Way]  # what is done, and two ways to do it


@dataclass
class Timed:
    """A line of the table: what is done, and the name and microseconds of each way."""

    what: str
    ways: list[tuple[str, float]]


ROWS, HIDDEN = 200, 50  # G's activations in a step: both halves' noise in one pass
PARAMETERS = 2_500_000  # about those of a 1200-wide generator of MNIST
BLOCKS = (8192, 65536)
TASKS = Path("/proc/self/task")  # the threads of this process, on Linux
# (rows, inner, columns): up to the first layer of D for MNIST, 256 wide
PRODUCTS = ((200, 50, 50), (200, 64, 64), (200, 100, 100), (200, 128, 128), (200, 784, 256))
D_SIZES = (10_000, 50, 2500, 50, 50, 1)  # weights and biases of the 1-D discriminator
INTRODUCTION = """\
Two ways to the same result, timed in turn, in microseconds a call (fastest slice). float32."""


def facts() -> list[Fact]:
    """What is timed, a line of the table each."""
    random = np.random.default_rng(0)

    def numbers(*shape: int) -> Any:
        return random.uniform(-1, 1, shape).astype(np.float32)

    X, Y, out = numbers(ROWS, HIDDEN), numbers(ROWS, HIDDEN), numbers(ROWS, HIDDEN)  # (200, 50)
    row, row_out = numbers(1, HIDDEN), numbers(1, HIDDEN)  # (1, 50)
    W, W_row = numbers(HIDDEN, HIDDEN), numbers(1, HIDDEN)  # (50, 50), (1, 50)
    column = numbers(ROWS, 1)  # (200, 1)
    zeros, ones = np.zeros_like(X), np.ones((1, ROWS), np.float32)  # (200, 50), (1, 200)
    one, two, other = numbers(1, 1), numbers(1, 1), numbers(1, 1)  # (1, 1)
    half = np.array(0.5, np.float32)  # ()
    stream = np.random.Generator(np.random.Philox(key=0))
    u, ahead = np.empty(104, np.float32), np.empty((64, 104), np.float32)  # (104,), (64, 104)
    mask, kept = numbers(100, 1200), np.empty(120_000, bool)  # (100, 1200), (120000,)
    floats = np.empty(mask.size, np.float32)  # (120000,)

    def by_words() -> None:
        words = stream.bit_generator.random_raw(mask.size // 4)
        np.greater_equal(words.view(np.uint16), 13107, out=kept)

    def by_uniforms() -> None:
        stream.random(out=floats, dtype=np.float32)
        np.greater_equal(floats, 0.2, out=kept)

    each, whole = [adam(n, n) for n in D_SIZES], adam(sum(D_SIZES), sum(D_SIZES))
    by_block = [adam(PARAMETERS, block) for block in BLOCKS]
    return [
        (
            "50 numbers plus 50 numbers",
            ("`np.add(x, y, out=z)`", lambda: np.add(row, W_row, out=row_out)),
            ("`np.add(x, y, z)`", lambda: np.add(row, W_row, row_out)),
        ),
        (
            "50 numbers times a number",
            ("a Python float", lambda: np.multiply(row, 0.5, row_out)),
            ("an array ()", lambda: np.multiply(row, half, row_out)),
        ),
        (
            "one number plus one number",
            ("in place", lambda: np.add(one, two, one)),
            ("into another", lambda: np.add(one, two, other)),
        ),
        (
            "(200, 50) plus (200, 50)",
            ("a new array", lambda: np.add(X, Y)),
            ("`out=`", lambda: np.add(X, Y, out=out)),
        ),
        (
            "(200, 50) plus a row (1, 50)",
            ("as it is", lambda: np.add(X, row, out=out)),
            ("repeated in (200, 50)", lambda: np.add(X, Y, out=out)),
        ),
        (
            "(1, 50) @ (50, 50)",
            ("`np.matmul`", lambda: np.matmul(row, W, row_out)),
            ("`np.dot`", lambda: np.dot(row, W, row_out)),
        ),
        (
            "(200, 1) @ (1, 50)",
            ("`np.matmul`", lambda: np.matmul(column, row, out)),
            ("`np.dot`", lambda: np.dot(column, row, out)),
        ),
        (
            "minimum of (200, 50) and 0",
            ("the number 0", lambda: np.minimum(X, 0.0, out=out)),
            ("an array of zeros", lambda: np.minimum(X, zeros, out=out)),
        ),
        (
            "exponential of (200, 50)",
            ("`np.expm1`", lambda: np.expm1(X, out=out)),
            ("`np.exp`", lambda: np.exp(X, out=out)),
        ),
        (
            "sum of the rows of (200, 50)",
            ("`np.add.reduce`", lambda: np.add.reduce(X, axis=0, out=row_out[0])),
            ("ones @ X", lambda: np.dot(ones, X, row_out)),
        ),
        (
            "Adam on D's 12,651 numbers",
            ("an array for each of 6", lambda: [step() for step in each]),
            ("one flat array", whole),
        ),
        (
            "Adam on 2,500,000 numbers",
            (f"blocks of {BLOCKS[0]:,}", by_block[0]),
            (f"blocks of {BLOCKS[1]:,}", by_block[1]),
        ),
        (
            "64 fills of 104 uniforms",
            ("64 calls", lambda: [stream.random(out=u, dtype=np.float32) for _ in range(64)]),
            ("one call", lambda: stream.random(out=ahead, dtype=np.float32)),
        ),
        (
            "dropout decisions for (100, 1200)",
            ("a uniform each", by_uniforms),
            ("16 bits each", by_words),
        ),
    ]


def adam(n: int, block: int) -> Callable[[], None]:
    """An Adam step over n numbers, so many at a time."""
    p, g, m, v = (np.random.default_rng(i).uniform(0.1, 1, n).astype(np.float32) for i in range(4))
    tmp = np.empty(min(block, n), np.float32)  # (block,)
    blocks = [
        [*(array[i : i + block] for array in (p, g, m, v)), tmp[: min(block, n - i)]]
        for i in range(0, n, block)
    ]

    def step() -> None:
        for p, g, m, v, tmp in blocks:
            np.multiply(m, 0.9, out=m)
            np.add(m, g, out=m)
            np.multiply(v, 0.999, out=v)
            np.multiply(g, g, out=tmp)
            np.add(v, tmp, out=v)
            np.sqrt(v, out=tmp)
            np.add(tmp, 1e-8, out=tmp)
            np.divide(m, tmp, out=tmp)
            np.multiply(tmp, 1e-9, out=tmp)
            np.subtract(p, tmp, out=p)

    return step


def measure(rounds: int, seconds: float) -> list[Timed]:
    """Time every fact, so many slices of so many seconds for each way."""
    found = facts()
    times = iter(fastest([call for _, *ways in found for _, call in ways], rounds, seconds))
    return [Timed(what, [(name, next(times)) for name, _ in ways]) for what, *ways in found]


def measure_threads(rounds: int, seconds: float) -> list[Timed]:
    """A captured step and products of several sizes, with 1 BLAS thread, 2, and 2 on one CPU.

    Two threads on one CPU are what becomes of them while the other CPU is busy. [] where there is
    one CPU only, or where threads cannot be kept to one.
    """
    cpus = machine.cpus()
    if len(cpus) < 2 or not TASKS.is_dir():
        return []
    rung = Captured(start())
    rung.step()
    calls: list[tuple[str, Callable[[], Any]]] = [("a captured step of the 1-D GAN | ", rung.step)]
    for rows, inner, columns in PRODUCTS:
        A, B = (np.full(shape, 0.5, np.float32) for shape in ((rows, inner), (inner, columns)))
        out = np.empty((rows, columns), np.float32)  # (rows, columns)
        what = f"({rows}, {inner}) @ ({inner}, {columns}) | {rows * inner * columns:,}"
        calls.append((what, functools.partial(np.dot, A, B, out)))
    settings = {"1 thread": (1, cpus), "2 threads": (2, cpus), "2 on one CPU": (2, cpus[-1:])}
    timed = [Timed(what, []) for what, _ in calls]
    for name, setting in settings.items():  # not in turn: threads take a while to spread out
        with held_to(setting):
            times = fastest(
                [rung.step], rounds, seconds
            )  # alone: a product leaves threads that wait
            times += fastest([product for _, product in calls[1:]], rounds, seconds)
        for one, us in zip(timed, times, strict=True):
            one.ways.append((name, us))
    return timed


def fastest(calls: Sequence[Callable[[], Any]], rounds: int, seconds: float) -> list[float]:
    """Slices of all of them in turn; the microseconds of each one's fastest."""
    counts = []
    for call in calls:
        call()
        counts.append(max(1, round(seconds / timeit.timeit(call, number=1))))
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for i, call in enumerate(calls):
            best[i] = min(best[i], timeit.timeit(call, number=counts[i]) / counts[i] * 1e6)
    return best


@contextlib.contextmanager
def held_to(setting: tuple[int, list[int]]) -> Iterator[None]:
    """So many BLAS threads, and all threads of this process on these CPUs."""
    threads, cpus = setting
    before = machine.cpus()
    keep_to(cpus)
    try:
        with threadpool_limits(threads, "blas"):
            yield
    finally:
        keep_to(before)


def keep_to(cpus: Sequence[int]) -> None:
    """Keep every thread of this process to these CPUs."""
    for task in TASKS.iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.sched_setaffinity(int(task.name), cpus)


def table(timed: Sequence[Timed]) -> list[str]:
    """Markdown."""
    lines = ["| what | one way | µs | another | µs | ratio |", "|---|---|---:|---|---:|---:|"]
    for one in timed:
        (slow, a), (fast, b) = one.ways
        lines.append(f"| {one.what} | {slow} | {digits(a)} | {fast} | {digits(b)} | {a / b:.1f} |")
    return lines


def table_of_threads(timed: Sequence[Timed]) -> list[str]:
    """Markdown."""
    lines = ["| | multiplications | 1 thread, µs | 2 threads, µs | 2 / 1 | 2 on one CPU, µs |"]
    lines.append("|---|" + "---:|" * 5)
    for one in timed:
        a, b, c = (us for _, us in one.ways)
        lines.append(f"| {one.what} | {digits(a)} | {digits(b)} | {b / a:.2f} | {digits(c)} |")
    return lines


def digits(microseconds: float) -> str:
    """Three of them or so."""
    return f"{microseconds:,.{2 if microseconds < 10 else 1 if microseconds < 100 else 0}f}"


if __name__ == "__main__":
    with threadpool_limits(1, "blas"):
        print("\n".join(table(measure(rounds=60, seconds=0.003))), end="\n\n")
    print("\n".join(table_of_threads(measure_threads(rounds=60, seconds=0.003))))
