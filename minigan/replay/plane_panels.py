"""The panels of a film of points in the plane; see `panels.py` for what a panel is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigan.evaluation.plane import draw_points, draw_warped_grid
from minigan.evaluation.plots import FAKE, REAL
from minigan.gan.losses import PROBABILITY
from minigan.replay.panels import LONGEST, Move, new_arrows, quantile, shortened
from minigan.training.frames import Recording

ARROWS = 150  # samples with an arrow
BANDS = 10  # colours of D's field


def field_panel(axes: Any, recording: Recording) -> Move:
    """D in colours over the data, and generated samples with D's arrows.

    The colours mean the same in all frames. A critic's output has no zero of its own, so its
    median in each frame is subtracted.
    """
    scene = recording.header["scene"]
    span, D = scene["span"], recording.array("field")  # D (T, side, side)
    if scene["output"] == PROBABILITY or scene["targets"] is not None:
        middle = 0.5 if scene["output"] == PROBABILITY else sum(scene["targets"]) / 2
    else:
        D, middle = D - np.nanmedian(D, axis=(1, 2), keepdims=True), 0.0
    reach = max(quantile(np.abs(D - middle), 0.98), 1e-9)
    look = {"cmap": "PuOr", "alpha": 0.55, "vmin": middle - reach, "vmax": middle + reach}
    field = axes.imshow(
        D[0],
        origin="lower",
        extent=cell_edges(span, D.shape[1]),
        interpolation="bilinear",
        interpolation_stage="data",  # so that the colours are bands, as in a figure's contours
        **look,
    )
    field.set_cmap(field.get_cmap().resampled(BANDS))
    below = axes.inset_axes((0.1, -0.18, 0.8, 0.03))
    bar = axes.figure.colorbar(field, cax=below, orientation="horizontal")
    bar.outline.set_visible(False)
    ticks = middle - reach, middle, middle + reach
    bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks])
    axes.set_title("D, and where it pushes samples")
    axes.set(xlim=span[0], ylim=span[1])
    axes.set_box_aspect(1.0)
    axes.set_anchor("N")
    axes.grid(False)

    (real,) = axes.plot(*_points(scene["real"]).T, ".", color=REAL, ms=2.5, alpha=0.25, mew=0)
    before = recording.array("before")  # (T, n, 2)
    width = span[0][1] - span[0][0]
    shown = slice(ARROWS)
    arrows = LONGEST * width * shortened(recording.array("push")[:, shown])  # (T, arrows, 2)
    (dots,) = axes.plot([], [], ".", color=FAKE, ms=4.0, mew=0)
    quiver = new_arrows(axes, arrows.shape[1], width=0.004)

    def move(k: int) -> Sequence[Any]:
        field.set_data(D[k])
        dots.set_data(*before[k].T)
        quiver.set_offsets(before[k, shown])
        quiver.set_UVC(*arrows[k].T)
        return field, real, dots, quiver

    return move


def points_panel(axes: Any, recording: Recording) -> Move:
    """Generated samples over real ones."""
    scene, after = recording.header["scene"], recording.array("after")  # (T, n, 2)
    draw_points(axes, after[0], _points(scene["real"]), scene["span"])
    dots = axes.lines[1]

    def move(k: int) -> Sequence[Any]:
        dots.set_data(*after[k].T)
        return (dots,)

    return move


def grid_panel(axes: Any, recording: Recording) -> Move:
    """The noise's grid as G bends it, over the data."""
    scene, bent = recording.header["scene"], recording.array("grid")  # (T, 2, lines, along, 2)
    draw_warped_grid(axes, bent[0], _points(scene["real"]), scene["span"])
    lines: Sequence[Any] = axes.lines[1:]  # those of one direction, then those of the other

    def move(k: int) -> Sequence[Any]:
        for line, places in zip(lines, bent[k].reshape(-1, *bent.shape[3:]), strict=True):
            line.set_data(*places.T)
        return lines

    return move


def cell_edges(span: Sequence[Sequence[float]], side: int) -> tuple[float, ...]:
    """The outer edges of `side` x `side` pixels whose outermost centres are the ends of `span`."""
    half = [(high - low) / (side - 1) / 2 for low, high in span]
    (left, right), (bottom, top) = span
    return left - half[0], right + half[0], bottom - half[1], top + half[1]


def _points(real: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """The scene's real samples (n, 2)."""
    return np.asarray(real, np.float64).reshape(-1, 2)
