"""Where the time of a training step goes: by network, layer, direction and kernel.

The kernel calls of 64 steps are recorded, made again and timed. Whole steps are timed, too: run
kernel by kernel, and captured, as `Trainer` runs them. The three take turns, so that a machine that
is busy for a while slows down all of them.

Other programs interrupt some of the steps, so the times of kernels are medians over steps. Work
that differs from step to step counts with its mean: random numbers may be drawn for several steps
at once, and losses are computed every 64 steps.
"""

from __future__ import annotations

import time
from typing import NamedTuple, TypeAlias

import numpy as np

from minigan.backend import get_backend
from minigan.backend.meter import Call, Key, Places, recording, timed
from minigan.checks import whole
from minigan.data import DataSource
from minigan.errors import DeviceError, ShapeError
from minigan.gan import Game
from minigan.gan.records import PENDING

SECONDS = 2.0  # about how long a profile measures by default
Times: TypeAlias = tuple[float, float]  # seconds by the clock, and of CPU
DRAWN_AHEAD = ("fill_normal", "fill_uniform")  # may draw for several steps at once


class Row(NamedTuple):
    """What a kernel takes in one place, in one step."""

    key: Key  # the kernel and its place
    calls: float  # a fraction if not every step makes one
    seconds: float
    flops: float  # floating-point operations of matrix products; 0 for other kernels


class StepProfile(NamedTuple):
    """A training step and its parts.

    Attributes:
        steps: how many were measured in each of the three ways.
        rows: in the order in which a step first comes to them.
        whole: seconds of a step that runs kernel by kernel.
        captured: seconds of a captured step.
    """

    steps: int
    rows: list[Row]
    whole: float
    captured: float

    @property
    def kernels(self) -> float:
        """Seconds in kernels, of a step that runs kernel by kernel."""
        return sum(row.seconds for row in self.rows)

    @property
    def python(self) -> float:
        """Seconds between the kernels of such a step; 0 if noise hides them."""
        return max(0.0, self.whole - self.kernels)

    @property
    def step(self) -> float:
        """Seconds of kernels and Python; shares refer to it."""
        return self.kernels + self.python


def profile_step(gan: Game, data: DataSource, batch: int, steps: int | None = None) -> StepProfile:
    """Measure where the time of a training step goes.

    This trains the GAN for about three times as many steps as are measured, leaves it uncaptured,
    and makes the losses that it reports next meaningless: profile a GAN that you can spare. Nothing
    else in the process may use the backend meanwhile.

    Args:
        gan: what to measure.
        data: real samples.
        batch: real samples a step, >= 1.
        steps: how many steps to measure in each way, >= 1; more than 64 are rounded to a multiple
            of 64. By default as many as take about two seconds. Losses are computed every 64
            steps, so fewer steps miss them.

    Raises:
        ConfigError: batch or steps is not an integer >= 1.
        ShapeError: data and GAN do not fit, or the batch does not fit the discriminator.
        DeviceError: the GAN is on a GPU, where a call only puts its kernel into a queue.
    """
    if gan.ops is not get_backend("cpu"):
        raise DeviceError(
            "a profile times calls, and on a GPU a call only queues its kernel: profile on "
            "device 'cpu', or run the training under NVIDIA's nsys profile"
        )
    if data.features != gan.discriminator.in_features:
        raise ShapeError(
            f"the data have {data.features} features; "
            f"the discriminator takes {gan.discriminator.in_features}"
        )
    gan.bind(whole("profile_step: batch", batch, 1))
    gan.capture(False)
    first = _take(gan, data, 8)  # and memory is allocated
    if steps is None:
        steps = max(1, int(SECONDS / 3 / min(first)[0]))
    size = min(whole("profile_step: steps", steps, 1), PENDING)
    rounds = round(steps / size)
    gan.records.make()  # so that losses are computed once in the next `PENDING` steps
    step: list[int] = []  # in which step each call was made
    with recording(gan.ops, _places(gan)) as calls:
        for i in range(size):
            _take(gan, data, 1)
            step += [i] * (len(calls) - len(step))
    readings: list[list[float]] = []  # for each round: the seconds of each call
    plain: list[Times] = []
    captured: list[Times] = []
    for _ in range(rounds):
        readings.append(timed(calls))
        plain += _take(gan, data, size)
        gan.capture(True)
        _take(gan, data, 1)  # records the step
        captured += _take(gan, data, size)
        gan.capture(False)
    rows, uneven = _rows(calls, step, readings)
    times = [_of_step(taken, uneven) for taken in (plain, captured)]
    return StepProfile(rounds * size, rows, *times)


def _take(gan: Game, data: DataSource, steps: int) -> list[Times]:
    """Take steps as `Trainer` does; the times of each."""
    times = []
    for _ in range(steps):
        start, worked = time.perf_counter(), time.process_time()
        data.next_batch(out=gan.real)
        gan.step()
        times.append((time.perf_counter() - start, time.process_time() - worked))
    return times


def _of_step(times: list[Times], uneven: float) -> float:
    """The seconds of a step: by the clock or of CPU, whichever is less.

    The median by the clock is too long if other programs interrupt most of the steps. CPU time is
    too long if several threads work, and may be 0 where it is counted coarsely.
    """
    clock, cpu = np.transpose(times)
    return min(float(np.median(clock)) + uneven, float(cpu.mean()) or np.inf)


def _places(gan: Game) -> Places:
    """The networks and names of the layers of all passes."""
    return {
        id(layer): (title, f"{i} {type(bound.net.layers[i]).__name__}")
        for title, whole_pass in gan.passes()
        for bound in (whole_pass, *whole_pass.parts)
        for i, layer in enumerate(bound.layers)
    }


def _rows(
    calls: list[Call], step: list[int], readings: list[list[float]]
) -> tuple[list[Row], float]:
    """A row for each key; and by how many seconds a mean step exceeds the median.

    Args:
        calls: of all steps.
        step: in which step each call was made.
        readings: the seconds of each call, in each of several rounds.
    """
    keys = list(dict.fromkeys(call.key for call in calls))
    which = [keys.index(call.key) for call in calls]
    steps = step[-1] + 1
    seconds = np.zeros((len(readings), len(keys), steps))  # (rounds, keys, steps)
    for of_round, out in zip(readings, seconds, strict=True):
        np.add.at(out, (np.array(which), np.array(step)), of_round)
    median = np.median(seconds, axis=(0, 2))  # (keys,)
    mean = np.median(seconds.mean(axis=2), axis=0)  # (keys,) in a usual round
    uneven = [key.kernel in DRAWN_AHEAD for key in keys] | (seconds == 0.0).any(axis=(0, 2))
    cost = np.where(uneven, mean, median)  # (keys,)
    count = np.bincount(which) / steps  # (keys,)
    flops = np.bincount(which, [call.flops for call in calls]) / steps  # (keys,)
    numbers = np.transpose([count, cost, flops]).tolist()
    rows = [Row(key, *of_key) for key, of_key in zip(keys, numbers, strict=True)]
    return rows, float((cost - median).sum())
