"""Where the time of a training step goes: by network, layer, direction and kernel.

The kernel calls of 64 steps are recorded, made again and timed. Whole steps are timed, too: run
kernel by kernel, and captured, as `Trainer` runs them. The three take turns, so that a machine that
is busy for a while slows down all of them.

Some work is not part of every step: random numbers may be drawn for several steps at once, and
losses are computed every 64 steps. So a time is the mean over 64 steps. Other programs interrupt
some of them, so it is the median of these means.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np

from minigan.backend import get_backend
from minigan.backend.meter import Call, Key, Places, observed_calls, timed
from minigan.checks import whole
from minigan.data import DataSource
from minigan.errors import DeviceError
from minigan.gan import Game
from minigan.gan.fit import check_data
from minigan.gan.records import PENDING

SECONDS = 2.0  # about how long a profile measures by default


class Row(NamedTuple):
    """What a kernel takes in one place, in one step."""

    key: Key  # the kernel and its place
    calls: float  # a fraction if not every step makes one
    seconds: float
    flops: float  # floating-point operations of products and convolutions; 0 for other kernels


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
        batch: real samples per step, >= 1.
        steps: how many steps to measure in each way, >= 1; more than 64 are rounded to a multiple
            of 64. By default, enough for about two seconds. Losses are computed every 64
            steps, so fewer steps miss them.

    Raises:
        ConfigError: batch or steps is not an integer >= 1, or the GAN is a population.
        ShapeError, DTypeError: data and GAN do not fit, or the batch does not fit D.
        DeviceError: the GAN is on a GPU, where a call only puts its kernel into a queue.
    """
    if gan.ops is not get_backend("cpu"):
        raise DeviceError(
            "a profile times calls, and on a GPU a call only queues its kernel: profile on "
            "device 'cpu', or run the training under NVIDIA's nsys profile"
        )
    check_data(gan, data)
    gan.bind(whole("profile_step: batch", batch, 1))
    gan.capture(False)
    _take(gan, data, 1)  # allocates memory
    if steps is None:
        steps = max(1, int(SECONDS / 3 / _take(gan, data, 8)))
    size = min(whole("profile_step: steps", steps, 1), PENDING)
    rounds = round(steps / size)
    gan.records.make()  # so that losses are computed once in the next `PENDING` steps
    with observed_calls(gan.ops, _places(gan)) as calls:
        _take(gan, data, size)
    readings, plain, captured = [], [], []
    for _ in range(rounds):
        readings.append(timed(calls))
        plain.append(_take(gan, data, size))
        gan.capture(True)
        _take(gan, data, 1)  # records the step
        captured.append(_take(gan, data, size))
        gan.capture(False)
    rows = _rows(calls, np.array(readings) / size, size)
    return StepProfile(rounds * size, rows, float(np.median(plain)), float(np.median(captured)))


def _take(gan: Game, data: DataSource, steps: int) -> float:
    """Take steps as `Trainer` does; the mean of their seconds."""
    start = time.perf_counter()
    for _ in range(steps):
        gan.read(data)
        gan.step()
    return (time.perf_counter() - start) / steps


def _places(gan: Game) -> Places:
    """The networks and names of the layers of all passes."""
    return {
        id(layer): (title, f"{i} {type(bound.net.layers[i]).__name__}")
        for title, whole_pass in gan.passes()
        for bound in (whole_pass, *whole_pass.parts)
        for i, layer in enumerate(bound.layers)
    }


def _rows(calls: list[Call], readings: Any, steps: int) -> list[Row]:
    """A row for each key.

    Args:
        calls: of all steps.
        readings: (rounds, calls), the seconds of each call for each step.
        steps: how many the calls belong to.
    """
    rows = []
    for key in dict.fromkeys(call.key for call in calls):
        mine = [i for i, call in enumerate(calls) if call.key == key]
        seconds = float(np.median(readings[:, mine].sum(axis=1)))
        flops = sum(calls[i].flops for i in mine)
        rows.append(Row(key, len(mine) / steps, seconds, flops / steps))
    return rows
