"""A small training run for the tests that kill, stop and starve it:

    python tests/harness.py FOLDER [--steps N] [--save N] [--print N] [--pause S] [--workers N]

starts the run in FOLDER, or goes on with the one that is there.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import time
import tracemalloc
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import minigan as mg
from minigan.command_line import guard
from minigan.config import CLASSES
from minigan.training.recipe_json import RECIPE


def networks() -> mg.GAN:
    """A GAN with every kind of state: dropout, average, decay, noise streams."""
    drop = mg.Dropout(0.2)
    G = mg.Sequential(mg.Linear(2, 8), mg.ReLU(), drop, mg.Linear(8, 1), name="g")
    D = mg.Sequential(mg.Linear(1, 8), mg.ELU(), drop, mg.Linear(8, 1), name="d")
    decay = mg.LinearDecay(end=10_000)
    return mg.GAN(
        G,
        D,
        mg.Normal(dim=2),
        None,
        mg.Adam(G.parameters, 1e-3, (0.5, 0.9), decay=decay),
        mg.SGD(D.parameters, 1e-2, momentum=0.5, decay=decay),
        average=0.9,
    )


def start(out: Path, **options: Any) -> mg.Trainer:
    """A trainer of these networks, with short intervals."""
    data = options.pop("data", None) or mg.Gaussian()
    settings = {"batch": 8, "print_every": 10, "checkpoint_every": 5, "progress": False}
    return mg.Trainer(networks(), data, out, **settings | options)


def on_samples(out: Path, features: int = 2, dtype: str = "float32", **options: Any) -> mg.Trainer:
    """A trainer on 40 vectors of normal numbers, or on `data`."""
    numbers = np.random.default_rng(0).normal(size=(40, features))
    data = options.pop("data", None) or mg.Samples(numbers, dtype=dtype)
    layers = mg.LeakyReLU(0.2), mg.Linear(6, features)
    G = mg.Sequential(mg.Linear(2, 6), *layers, dtype=dtype, name="g")
    D = mg.Sequential(mg.Linear(features, 6), mg.Tanh(), mg.Linear(6, 1), dtype=dtype, name="d")
    settings = {"batch": 8, "print_every": 10, "progress": False}
    return mg.Trainer(mg.GAN(G, D, mg.Normal(dim=2)), data, out, **settings | options)


@contextlib.contextmanager
def registered_only_here() -> Iterator[None]:
    """Inside, classes may be registered; at the end they are forgotten."""
    before = {kind: dict(classes) for kind, classes in CLASSES.items()}
    try:
        yield
    finally:
        for kind, classes in before.items():
            CLASSES[kind].clear()
            CLASSES[kind].update(classes)


def half_a_second_a_step(monkeypatch: Any) -> list[float]:
    """Let the console's clock be the one number in the list; each step adds 0.5 to it."""
    now, step = [0.0], mg.GAN.step

    def slow(self: mg.GAN, real: Any = None) -> None:
        now[0] += 0.5
        step(self, real)

    clock = types.SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr("minigan.training.console.time", clock)
    monkeypatch.setattr(mg.GAN, "step", slow)
    return now


def fill_inputs(gan: mg.GAN, random: np.random.Generator) -> None:
    """Write random samples where the next step expects real ones, and labels if it takes them."""
    dtype = gan.generator.dtype
    real = random.uniform(-1.0, 1.0, gan.real.shape)
    gan.ops.copy(gan.ops.from_host(real, dtype), out=gan.real)
    if gan.takes_labels:
        labels = random.integers(gan.classes, size=gan.real.shape[:-1])
        rows = np.eye(gan.classes)[labels]
        gan.ops.copy(gan.ops.from_host(rows, dtype), out=gan.labels)


def require_no_fresh_memory(gan: mg.GAN, batch: int) -> None:
    """Assert that a step takes at most 64 KiB of new memory, captured or not."""
    gan.bind(batch)
    fill_inputs(gan, np.random.default_rng(0))
    for capture in (False, True):
        gan.capture(capture)
        gan.step()
        gan.step()
        assert peak_memory(gan.step, times=2) <= 64 * 1024


def peak_memory(call: Callable[[], object], times: int = 3) -> int:
    """The most memory that `call` holds beyond what was there before, in bytes.

    The allocations of every thread are counted, and the threads of the test runner allocate too.
    So this is the least of several peaks: what the call itself needs, it needs each time.

    Args:
        call: called `times` times.
        times: how often.
    """
    peaks = []
    for _ in range(times):
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            call()
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
        finally:
            tracemalloc.stop()
    return min(peaks)


def served(data: mg.DataSource, change: Callable[[int, np.ndarray], None]) -> Any:
    """The same data, but each batch is changed after it was made.

    The data say of themselves what they said before. So a run with them can be compared with one
    whose data are sound, and resumed with such.

    Args:
        data: any.
        change: given the number of the batch, counted from 1, and the batch (B, features).
    """
    next_batch, numbers = data.next_batch, itertools.count(1)

    def changed(out: np.ndarray) -> None:
        next_batch(out)
        change(next(numbers), out)

    data.next_batch = changed  # type: ignore[method-assign]
    return data


def poisoned(at: int) -> mg.Gaussian:
    """Data with a NaN in one batch.

    Args:
        at: which, counted from 1.
    """

    def poison(number: int, out: np.ndarray) -> None:
        if number == at:
            out[-1] = np.nan

    return served(mg.Gaussian(), poison)


def spread(gan: mg.GAN) -> float:
    """A score for the best checkpoint."""
    return abs(float(gan.sample(100, seed=0).std()) - 1.25)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--save", type=int, default=3)
    parser.add_argument("--print", type=int, default=10, dest="print_every")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds a row")
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()

    def work() -> int:
        if (args.folder / RECIPE).exists():
            trainer = mg.Trainer.resume(args.folder, score=spread)
        else:
            trainer = mg.Trainer(
                networks(), mg.Gaussian(), args.folder, batch=8, print_every=args.print_every,
                checkpoint_every=args.save, score=spread,
            )  # fmt: skip
        print("training", flush=True)
        trainer.every(1, "row", lambda t: time.sleep(args.pause))
        trainer.fit(steps=args.steps, workers=args.workers)
        return 0

    return guard("harness", work)


if __name__ == "__main__":
    sys.exit(main())
