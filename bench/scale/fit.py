"""The model's constants from what was measured at one rank and at two."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import RESULTS
from bench.scale.measure import BATCH, BATCHES, DELAY, ROWS, Row
from bench.scale.model import FLOAT, Link, Step

FILE = RESULTS / "scale.csv"
PARAMETERS = (267_009, 293_136)  # of D and G
TRANSPORTS = {"workers": "two workers", "mpi": "two ranks of MPI"}


def read(file: Path = FILE) -> list[Row]:
    """The rows of a file of results."""
    with file.open(encoding="utf-8", newline="") as text:
        return [
            {
                "quantity": row["quantity"],
                "transport": row["transport"],
                **{name: int(row[name]) for name in ("ranks", "batch")},
                **{name: float(row[name]) for name in ("numbers", "seconds")},
            }
            for row in csv.DictReader(text)
        ]


def seconds(rows: Sequence[Row], quantity: str, **where: Any) -> float:
    """The time of a quantity; `LookupError` if it was not measured."""
    for row in rows:
        if row["quantity"] == quantity and all(row[k] == v for k, v in where.items()):
            return float(row["seconds"])
    raise LookupError(f"{quantity} {where} was not measured")


def transports(rows: Sequence[Row]) -> list[str]:
    """Those that were measured."""
    return list(dict.fromkeys(row["transport"] for row in rows if row["transport"]))


def step_alone(rows: Sequence[Row]) -> Step:
    """A step of ranks that do not disturb each other, fitted to the shares of one rank and two."""
    one, two = (seconds(rows, "alone", ranks=p, batch=BATCH) for p in (1, 2))
    shares = [seconds(rows, "alone", ranks=b // ROWS, batch=b) for b in BATCHES]
    whole = float(np.polyfit(BATCHES, shares, 1)[0])
    each, update = (one - two) / (BATCH - BATCH / 2), seconds(rows, "update")
    return Step(one - update - (whole + each) * BATCH, whole, each, update, PARAMETERS)


def link_of(rows: Sequence[Row], transport: str) -> Link:
    """What two processes exchange through: 2 latency + size / bandwidth, with least errors in %."""
    found = [
        (FLOAT * row["numbers"], row["seconds"])
        for row in rows
        if (row["quantity"], row["transport"]) == ("exchange", transport) and row["numbers"]
    ]
    sizes, times = (np.array(values) for values in zip(*found, strict=True))
    A = np.stack([2 / times, sizes / times], axis=1)
    latency, slope = np.linalg.lstsq(A, np.ones(len(times)), rcond=None)[0]
    return Link(max(float(latency), 0.0), 1 / float(slope))


def step_together(rows: Sequence[Row], transport: str) -> Step:
    """The step of two processes, with what they lose by sharing the machine."""
    alone = step_alone(rows)
    parts = {**vars(alone), "divided": transport == "workers"}
    rest = seconds(rows, "step", transport=transport)
    rest -= Step(**parts).exchanges(2, link_of(rows, transport))
    return Step(**{**parts, "slower": rest / Step(**parts).compute(2, BATCH)})


def with_delay(rows: Sequence[Row], transport: str) -> tuple[float, float, float]:
    """A step in which each exchange takes 1 ms longer: exchanges; seconds measured, and modelled.

    The model is that of the step without it, and a longer latency: one for each exchange.
    """
    delayed = next(
        row for row in rows if (row["quantity"], row["transport"]) == ("delayed step", transport)
    )
    step, link = step_together(rows, transport), link_of(rows, transport)
    modelled = step.seconds(2, BATCH, link) + delayed["numbers"] * DELAY
    return delayed["numbers"], delayed["seconds"], modelled
