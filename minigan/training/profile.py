"""Where a training step's time goes: by network, layer, direction and kernel.

A step is taken apart with a meter (attach.py). So the kernels of 64 steps are noted, and then
called again in a row, each timed. Steps are timed as a whole, too: run anew at each step, and
captured, as `Trainer` runs them. The three take turns, so that a machine that is busy for a while
slows all of them.

What slows a step down is mostly other programs, so times are means over the faster half of the
steps. (Means, since those of the kernels add up to that of the step.) But some work is uneven:
random numbers may be drawn many at a time, losses are made of many steps' verdicts. Of such words
it is the mean over all of 64 steps. What they cost beyond the faster half is added to a step, too.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.backend import get_backend
from minigan.backend.costs import KINDS, PRODUCTS, kind
from minigan.backend.meter import Call, Key, Meter, timed
from minigan.checks import whole
from minigan.data import DataSource
from minigan.errors import DeviceError, ShapeError
from minigan.gan import Game
from minigan.gan.records import PENDING
from minigan.training.attach import attached
from minigan.training.limits import Limits, measure_limits

SECONDS = 2.0  # about how long a profile measures, if nobody says how many steps
UNEVEN = ("fill_uniform", "fill_normal")  # may draw many fills ahead, and then none for a while


@dataclass(frozen=True)
class Line:
    """A kernel in one place of a step. All numbers are for one step.

    Attributes:
        network: "G", "D in its half", "D as judge", "data" or "GAN".
        layer: "0.linear", or what does the work: "noise", "loss", "optimizer", ...
        direction: "forward", "backward", "update", or "".
        word: the kernel.
        result: which of the layer's arrays it writes: "Y", "dX", "dweight", ...; or "".
        kind: one of `minigan.backend.costs.KINDS`.
        calls: how many; a fraction, if not every step makes one.
        flops, bytes: see `minigan.backend.costs`.
        seconds: measured.
        limit: the seconds it would take at the machine's limits: those of its bytes at the
            memory's bandwidth, or, of a product, those of its operations, if that is more.
    """

    network: str
    layer: str
    direction: str
    word: str
    result: str
    kind: str
    calls: float
    flops: float
    bytes: float
    seconds: float
    limit: float


@dataclass(frozen=True)
class StepProfile:
    """A training step, taken apart.

    Attributes:
        batch, dtype: of the step.
        steps: how many were measured in each of the three ways.
        lines: in the order in which a step first comes to them.
        whole: seconds of a step that is run anew.
        captured: seconds of a step that is repeated from its notes.
        cpu: seconds of CPU in a second of whole steps; well below 1 if other programs were in
            the way, which makes whole steps look longer than they are.
        limits: of the machine.
    """

    batch: int
    dtype: str
    steps: int
    lines: tuple[Line, ...]
    whole: float
    captured: float
    cpu: float
    limits: Limits

    @property
    def kernels(self) -> float:
        """Seconds in kernels, of a step that is run anew."""
        return sum(line.seconds for line in self.lines)

    @property
    def python(self) -> float:
        """Seconds between the kernels, of a step that is run anew; 0 if noise hides them."""
        return max(0.0, self.whole - self.kernels)

    @property
    def step(self) -> float:
        """Seconds of kernels and Python: what shares of a step refer to."""
        return self.kernels + self.python

    def by_kind(self) -> dict[str, Line]:
        """The lines of each kind added up, in the order of `KINDS`."""
        found = {name: [line for line in self.lines if line.kind == name] for name in KINDS}
        return {name: total(lines, kind=name) for name, lines in found.items() if lines}


def total(lines: Sequence[Line], *, network: str = "", kind: str = "") -> Line:
    """The lines added up, under a network's or a kind's name."""

    def add(field: str) -> float:
        return float(sum(getattr(line, field) for line in lines))

    return Line(
        network=network,
        layer="",
        direction="",
        word="",
        result="",
        kind=kind,
        calls=add("calls"),
        flops=add("flops"),
        bytes=add("bytes"),
        seconds=add("seconds"),
        limit=add("limit"),
    )


def profile_step(
    gan: Game,
    data: DataSource,
    batch: int,
    steps: int | None = None,
    limits: Limits | None = None,
) -> StepProfile:
    """Measure where the time of a training step goes.

    The GAN is trained by it, about three times as many steps as are measured, and the losses it
    tells next are of no use: profile one that you can spare. Nothing stays attached to it, also
    after an error.

    Args:
        gan: what to measure.
        data: real samples.
        batch: real samples a step, >= 1.
        steps: how many steps to measure in each way, >= 1; more than 64 are rounded to a multiple
            of 64. By default as many as take about two seconds. Losses are made every 64 steps,
            so in fewer they are missed.
        limits: of the machine; by default they are measured, which takes half a second.

    Raises:
        ConfigError: a number that cannot be.
        ShapeError: data and GAN do not fit, or the batch does not fit the discriminator.
        DeviceError: the GAN is on a GPU, where a call only puts its kernel into a queue.
    """
    if gan.ops is not get_backend("cpu"):
        raise DeviceError(
            "a profile times calls, and on a GPU a call only queues its kernel: profile on "
            "device 'cpu', or give the training to NVIDIA's nsys profile"
        )
    if data.features != gan.discriminator.in_features:
        raise ShapeError(
            f"the data have {data.features} features; "
            f"the discriminator takes {gan.discriminator.in_features}"
        )
    gan.bind(whole("profile_step: batch", batch, 1))
    captured_before = gan.recording.on
    readings: list[list[float]] = []  # of each round: seconds of each call
    plain: list[float] = []  # seconds of each step
    captured: list[float] = []
    worked = 0.0  # seconds of CPU in the plain ones
    try:
        gan.capture(False)
        _take(gan, data, 3)  # memory comes with the first ones
        steps = _affordable(gan, data) if steps is None else whole("profile_step: steps", steps, 1)
        if limits is None:
            limits = measure_limits(gan.ops, gan.generator.dtype)
        size = min(steps, PENDING)
        rounds = round(steps / size)
        calls = _note(gan, data, size)
        for _ in range(rounds):
            readings.append(timed(call for of_step in calls for call in of_step))
            before = time.process_time()
            plain += _take(gan, data, size)
            worked += time.process_time() - before
            gan.capture(True)
            _take(gan, data, 1)  # notes the step down
            captured += _take(gan, data, size)
            gan.capture(False)
    finally:
        gan.capture(captured_before)
    lines, uneven = _lines(calls, readings, limits)
    return StepProfile(
        batch=gan.batch,
        dtype=gan.generator.dtype,
        steps=rounds * size,
        lines=tuple(lines),
        whole=_mean_of_faster_half(plain) + uneven,
        captured=_mean_of_faster_half(captured) + uneven,
        cpu=worked / sum(plain),
        limits=limits,
    )


def _take(gan: Game, data: DataSource, steps: int) -> list[float]:
    """Take steps as `Trainer` does; the seconds of each."""
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        data.next_batch(out=gan.real)
        gan.step()
        seconds.append(time.perf_counter() - start)
    return seconds


def _affordable(gan: Game, data: DataSource) -> int:
    """How many steps three ways take `SECONDS` together."""
    return max(1, int(SECONDS / 3 / min(_take(gan, data, 5))))


def _note(gan: Game, data: DataSource, steps: int) -> list[list[Call]]:
    """Take steps; the calls of each."""
    gan.records.make()  # so that they are made once in `PENDING` steps from here
    meter = Meter(gan.ops)
    calls = []
    with attached(meter, gan, data):
        for _ in range(steps):
            _take(gan, data, 1)
            calls.append(meter.take())
    return calls


def _lines(
    calls: list[list[Call]], readings: list[list[float]], limits: Limits
) -> tuple[list[Line], float]:
    """A line for each key, and what uneven words cost a step beyond its faster half, in seconds.

    Args:
        calls: of each step.
        readings: the seconds of each call of all these steps, in each of several rounds.
        limits: of the machine.
    """
    found: dict[Key, list[Call]] = {}
    for call in itertools.chain(*calls):
        found.setdefault(call.key, []).append(call)
    number = {key: k for k, key in enumerate(found)}
    seconds = np.zeros((len(found), len(readings), len(calls)))  # (keys, rounds, steps)
    count = np.zeros((len(found), len(calls)), int)  # (keys, steps)
    at = [(number[call.key], step) for step, of_step in enumerate(calls) for call in of_step]
    for k, step in at:
        count[k, step] += 1
    for i, of_round in enumerate(readings):
        for (k, step), reading in zip(at, of_round, strict=True):
            seconds[k, i, step] += reading
    fast = faster_half(seconds.sum(axis=0).ravel())
    of_fast = seconds.reshape(len(found), -1)[:, fast].mean(axis=1)  # (keys,)
    of_all = np.median(seconds.mean(axis=2), axis=1)  # (keys,)
    uneven = np.array([key.word in UNEVEN for key in found]) | (count == 0).any(axis=1)
    cost = np.where(uneven, of_all, of_fast)

    lines, steps = [], len(calls)
    for (key, of_key), taken in zip(found.items(), cost, strict=True):
        kind_of_word = kind(key.word)
        flops = sum(call.flops for call in of_key) / steps
        moved = sum(call.bytes for call in of_key) / steps
        product = flops / limits.flops if kind_of_word == PRODUCTS else 0.0
        network, layer, direction = key.where or ("GAN", "verdicts", "")
        lines.append(
            Line(
                network=network,
                layer=layer,
                direction=direction,
                word=key.word,
                result=key.result,
                kind=kind_of_word,
                calls=len(of_key) / steps,
                flops=flops,
                bytes=moved,
                seconds=float(taken),
                limit=max(product, moved / limits.bandwidth),
            )
        )
    return lines, float((cost - of_fast).sum())


def faster_half(seconds: Any) -> Any:
    """Where the smaller half of the numbers (n,) is: (n/2 rounded up,)."""
    return np.argsort(seconds, kind="stable")[: -(-len(seconds) // 2)]


def _mean_of_faster_half(seconds: list[float]) -> float:
    return float(np.array(seconds)[faster_half(seconds)].mean())
