"""The figure of scale.md, from bench/results/scale.csv: `make scale`, or `figures.py`, draws it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.scale.fit import TRANSPORTS, read, seconds, step_alone, transports
from bench.scale.measure import ALONE, BATCH
from bench.scale.model import NETWORKS
from bench.scale.tables import SHORT, own_rows_alone
from minigan.evaluation import plots

FIGURES = Path(__file__).resolve().parent / "figures"
COLOURS = dict(zip(SHORT, (plots.DISCRIMINATOR, plots.OTHERS[2]), strict=True))
MARKS = {"workers": "o", "mpi": "s"}


@plots.style()
def draw() -> None:
    """Strong scaling: time of a step; weak scaling: efficiency."""
    rows = read()
    figure = plots.new_figure((10.0, 4.4))
    left, right = figure.subplots(1, 2)
    draw_strong(left, rows)
    draw_weak(right, rows)
    plots.save_figure(figure, FIGURES / "scale.svg")


def draw_strong(axes: Any, rows: Any) -> None:
    """The time of a step of 100 rows; measured points, and the model."""
    step, ranks = step_alone(rows), np.unique(np.geomspace(1, BATCH, 60).round())
    alone = [1e3 * seconds(rows, "alone", ranks=p, batch=BATCH) for p in ALONE]
    axes.plot(ALONE, alone, "o", mfc="none", color=plots.INK, label="one share alone, measured")
    for name in transports(rows):
        time = 1e3 * seconds(rows, "step", transport=name)
        label = f"{TRANSPORTS[name]}, measured"
        axes.plot([2], [time], MARKS[name], color=plots.FAKE, label=label)
    compute = [1e3 * step.compute(int(p), BATCH) for p in ranks]
    axes.plot(ranks, compute, "--", color=plots.INK, label="model: no exchange")
    for (name, colour), link in zip(COLOURS.items(), NETWORKS.values(), strict=True):
        times = [1e3 * step.seconds(int(p), BATCH, link) for p in ranks]
        axes.plot(ranks, times, color=colour, label=f"model: {name}")
    times = compute[0] / ranks
    axes.plot(ranks, times, ":", color=plots.INK, label="perfect")
    axes.set(title="one batch of 100 rows", xlabel="ranks", ylabel="milliseconds a step")
    axes.set(xscale="log", yscale="log", ylim=(0.8, 60.0))
    number_ticks(axes.xaxis, (1, 2, 8, 64))
    number_ticks(axes.yaxis, (1, 2, 5, 10, 20, 50))
    axes.legend(loc="upper right", fontsize="small")


def draw_weak(axes: Any, rows: Any) -> None:
    """The efficiency with 100 rows a rank, as it is, and if a rank drew its own rows alone."""
    ranks = [2**k for k in range(11)]
    step = step_alone(rows)
    for (name, colour), link in zip(COLOURS.items(), NETWORKS.values(), strict=True):
        for one, dashes, note in ((step, "-", ""), (own_rows_alone(step), "--", ", changed")):
            values = [100 * one.efficiency(p, BATCH * p, link, BATCH) for p in ranks]
            axes.plot(ranks, values, dashes, color=colour, label=name + note)
    axes.set(title="100 rows for each rank", xlabel="ranks", ylabel="efficiency, %")
    axes.set(xscale="log", ylim=(0.0, 105.0))
    number_ticks(axes.xaxis, (1, 2, 8, 64, 1024))
    axes.legend(loc="lower left", fontsize="small")


def number_ticks(axis: Any, values: Sequence[int]) -> None:
    """Ticks at these numbers alone, written out."""
    axis.set_ticks(values, [f"{value:,}" for value in values])
    axis.set_ticks([], minor=True)


if __name__ == "__main__":
    draw()
