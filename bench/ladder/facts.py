"""What single NumPy calls cost: the numbers that decide how a step is written.

A row of the table is two ways to the same result, timed in turn, in microseconds a call.
"""

from __future__ import annotations

import functools
import timeit
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bench import machine
from bench.ladder.rung4_kernels import Adam
from bench.ladder.rung6_engine import Captured
from bench.ladder.start import start
from bench.report import in_turn, number, table

Ways = Mapping[str, Callable[[], Any]]  # by name
ROWS, HIDDEN = 200, 50  # G's activations in a step: both halves' noise in one pass
PARAMETERS = 2_500_000  # about those of a 1200-wide generator of MNIST
BLOCKS = (8192, 65536)
# (rows, inner, columns): up to the first layer of D for MNIST, 256 wide
PRODUCTS = ((200, 50, 50), (200, 64, 64), (200, 100, 100), (200, 128, 128), (200, 784, 256))
D_SIZES = (10_000, 50, 2500, 50, 50, 1)  # weights and biases of the 1-D discriminator
INTRODUCTION = """\
Two ways to the same result, timed in turn, in microseconds a call (fastest slice). float32."""


def facts() -> dict[str, Ways]:
    """What is timed: {what is computed: two ways to compute it}."""
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

    def adam(n: int, block: int) -> Callable[[], None]:
        return functools.partial(Adam(numbers(n), numbers(n), block).step, 1000)

    def adam_for_each() -> None:
        for step in each:
            step()

    def by_words() -> None:
        words = stream.bit_generator.random_raw(mask.size // 4)
        np.greater_equal(words.view(np.uint16), 13107, out=kept)

    def by_uniforms() -> None:
        stream.random(out=floats, dtype=np.float32)
        np.greater_equal(floats, 0.2, out=kept)

    each = [adam(n, n) for n in D_SIZES]
    return {
        "50 numbers plus 50 numbers": {
            "`np.add(x, y, out=z)`": lambda: np.add(row, W_row, out=row_out),
            "`np.add(x, y, z)`": lambda: np.add(row, W_row, row_out),
        },
        "50 numbers times a number": {
            "a Python float": lambda: np.multiply(row, 0.5, row_out),
            "an array ()": lambda: np.multiply(row, half, row_out),
        },
        "one number plus one number": {
            "in place": lambda: np.add(one, two, one),
            "into another": lambda: np.add(one, two, other),
        },
        "(200, 50) plus (200, 50)": {
            "a new array": lambda: np.add(X, Y),
            "`out=`": lambda: np.add(X, Y, out=out),
        },
        "(200, 50) plus a row (1, 50)": {
            "as it is": lambda: np.add(X, row, out=out),
            "repeated in (200, 50)": lambda: np.add(X, Y, out=out),
        },
        "(1, 50) @ (50, 50)": {
            "`np.matmul`": lambda: np.matmul(row, W, row_out),
            "`np.dot`": lambda: np.dot(row, W, row_out),
        },
        "(200, 1) @ (1, 50)": {
            "`np.matmul`": lambda: np.matmul(column, row, out),
            "`np.dot`": lambda: np.dot(column, row, out),
        },
        "minimum of (200, 50) and 0": {
            "the number 0": lambda: np.minimum(X, 0.0, out=out),
            "an array of zeros": lambda: np.minimum(X, zeros, out=out),
        },
        "exponential of (200, 50)": {
            "`np.expm1`": lambda: np.expm1(X, out=out),
            "`np.exp`": lambda: np.exp(X, out=out),
        },
        "sum of the rows of (200, 50)": {
            "`np.add.reduce`": lambda: np.add.reduce(X, axis=0, out=row_out[0]),
            "ones @ X": lambda: np.dot(ones, X, row_out),
        },
        "Adam on D's 12,651 numbers": {
            "an array for each of 6": adam_for_each,
            "one flat array": adam(sum(D_SIZES), sum(D_SIZES)),
        },
        "Adam on 2,500,000 numbers": {
            f"blocks of {block:,}": adam(PARAMETERS, block) for block in BLOCKS
        },
        "64 fills of 104 uniforms": {
            "64 calls": lambda: [stream.random(out=u, dtype=np.float32) for _ in range(64)],
            "one call": lambda: stream.random(out=ahead, dtype=np.float32),
        },
        "dropout decisions for (100, 1200)": {
            "a uniform each": by_uniforms,
            "16 bits each": by_words,
        },
    }


def table_of_calls(rounds: int, seconds: float) -> list[str]:
    """Time every fact, in turns of about `seconds`; the table as Markdown."""
    found = facts()
    calls = [call for ways in found.values() for call in ways.values()]
    times = iter(fastest(calls, rounds, seconds))
    lines = ["| what | one way | µs | another | µs | ratio |", "|---|---|---:|---|---:|---:|"]
    for what, (slow, fast) in found.items():
        a, b = next(times), next(times)
        lines.append(f"| {what} | {slow} | {digits(a)} | {fast} | {digits(b)} | {a / b:.1f} |")
    return lines


def table_of_threads(rounds: int, seconds: float) -> list[str]:
    """A captured step and products of several sizes, with 1 BLAS thread, 2, and 2 on one CPU.

    Two threads on one CPU show what happens while the other CPU is busy. There are no rows on a
    machine with one CPU only, or where threads cannot be kept to one.
    """
    head = ["", "multiplications", "1 thread, µs", "2 threads, µs", "2 / 1", "2 on one CPU, µs"]
    cpus = machine.cpus()
    if len(cpus) < 2 or not machine.TASKS.is_dir():
        return table(head, [])
    rung = Captured(start())
    rung.step()
    rows = [["a captured step of the 1-D GAN", ""]]
    products = []
    for n, inner, columns in PRODUCTS:
        A, B = (np.full(shape, 0.5, np.float32) for shape in ((n, inner), (inner, columns)))
        products.append(functools.partial(np.dot, A, B, np.empty((n, columns), np.float32)))
        rows.append([f"({n}, {inner}) @ ({inner}, {columns})", f"{n * inner * columns:,}"])
    times = []
    for threads, chosen in ((1, cpus), (2, cpus), (2, cpus[-1:])):
        # Not in turn: threads take a while to spread out. The step alone: after a product, the
        # threads wait for more work in a loop.
        with machine.held_to(chosen), threadpool_limits(threads, "blas"):
            times.append(fastest([rung.step], rounds, seconds) + fastest(products, rounds, seconds))
    for cells, one, two, crowded in zip(rows, *times, strict=True):
        cells += [digits(one), digits(two), f"{two / one:.2f}", digits(crowded)]
    return table(head, rows)


def fastest(calls: Sequence[Callable[[], Any]], rounds: int, seconds: float) -> list[float]:
    """Turns of about `seconds` of all calls; the microseconds of each one's fastest."""

    def turn(call: Callable[[], Any]) -> Callable[[], float]:
        call()
        n = max(1, round(seconds / timeit.timeit(call, number=1)))
        return lambda: timeit.timeit(call, number=n) / n * 1e6

    return [min(times) for times in in_turn([turn(call) for call in calls], rounds)]


def digits(microseconds: float) -> str:
    """About three digits."""
    return number(microseconds, 2 if microseconds < 10 else 1 if microseconds < 100 else 0)
