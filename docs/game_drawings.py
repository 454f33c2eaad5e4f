"""Pictures for the pages about games and their noise; `figures.py` draws them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.patches import FancyBboxPatch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from drawings import GREY, PADDING, TINT, WHITE, Point, arrow, cell, new_canvas, write

import minigan as mg
from minigan.evaluation import plots


def draw_strata() -> Any:
    """Three batches of 16 plain numbers, and three of 16 stratified ones, with their means."""
    batch, (figure, axes) = 16, new_canvas(21.0, 14.9)
    y = 1.0
    for noise, colour in ((mg.Uniform(), plots.FAKE), (mg.Stratified(), plots.REAL)):
        write(axes, 0.5, y, f"{type(noise).__name__}()", ha="left")
        stream, Z = mg.Stream(2, "picture"), np.empty((batch, 1))
        for _ in range(3):
            y += 1.7
            noise.fill_batch(mg.backend.numpy, stream, out=Z)
            hit = {int(batch * z) for z in Z[:, 0]}
            for at in range(batch):
                cell(axes, 0.5 + at, y - 0.5, "", WHITE if at in hit else PADDING)
            axes.plot(0.5 + batch * Z[:, 0], np.full(batch, y), "|", color=colour, ms=11, mew=2.2)
            write(axes, 20.5, y, f"mean {Z.mean():.3f}", 10.5, ha="right")
        y += 2.2
    return figure


#: Middles and half widths of the boxes of `draw_two_heads`.
BOXES = {"G": (1.3, 0.0, 0.75), "trunk": (5.3, 0.0, 1.05), "head": (9.0, -0.8, 1.05)}
BOXES["Q"] = (9.0, 0.8, 1.05)
TALL = 0.42  # half a box
ABOVE = 0.16  # the arrows forward run so far above the middle, those backward below


def draw_two_heads() -> Any:
    """In each half: forward, the gradients backward, and which networks are updated."""
    figure, axes = new_canvas(10.4, 9.0)

    def half(y: float, title: str, updated: str, sources: Mapping[str, float], last: str) -> None:
        write(axes, 0.2, y - 1.7, title, ha="left", weight="bold")
        names = {"G": "G", "trunk": "D\u2019s trunk", "head": "D\u2019s head", "Q": "Q"}
        for name, (x, dy, wide) in BOXES.items():
            on = name in updated.split()
            colour = plots.REAL if on else GREY
            axes.add_patch(
                FancyBboxPatch(
                    (x - wide, y + dy - TALL), 2 * wide, 2 * TALL,
                    boxstyle="round,pad=0,rounding_size=0.15", zorder=3,
                    facecolor=(colour, TINT) if on else WHITE, edgecolor=colour, linewidth=1.6,
                )
            )  # fmt: skip
            write(axes, x, y + dy, names[name], 10.5, zorder=4)

        def end(name: str, right: bool, up: float) -> Point:
            x, dy, wide = BOXES[name]
            return x + (wide if right else -wide), y + dy + up

        for name in ("head", "Q"):
            way = 0.25 if name == "Q" else -0.25  # where it leaves the trunk
            arrow(axes, end("trunk", True, way - ABOVE), end(name, False, -ABOVE), GREY)
            colour = plots.DISCRIMINATOR if name == "head" else plots.FAKE
            back = end(name, False, ABOVE), end("trunk", True, way + ABOVE)
            arrow(axes, *back, colour, linewidth=2.5)
        arrow(axes, end("G", True, -ABOVE), end("trunk", False, -ABOVE), GREY)
        write(axes, 3.15, y - 0.42, "fake", 9.5, color=GREY)
        for text, dy in sources.items():
            write(axes, 2.4, y + dy, text, 9.5, color=GREY)
            arrow(axes, (2.8, y + dy), end("trunk", False, 0.28), GREY)
        if last == "G":
            for shift, colour in ((0.06, plots.DISCRIMINATOR), (0.24, plots.FAKE)):
                back = end("trunk", False, shift), end("G", True, shift)
                arrow(axes, *back, colour, linewidth=2.5)

    half(2.2, "D\u2019s half of a step", "trunk head", {"real": 0.85}, "trunk")
    half(6.0, "G\u2019s half", "G Q", {}, "G")
    lines = (
        ("grey: forward", GREY),
        ("from D\u2019s head", plots.DISCRIMINATOR),
        ("from Q: the information", plots.FAKE),
        ("filled: updated in this half", plots.REAL),
    )
    for at, (text, colour) in enumerate(lines):
        write(
            axes, 0.2 + 5.2 * (at % 2), 7.8 + 0.7 * (at // 2), text, 10.5, ha="left", color=colour
        )
    return figure


def draw_moved_copies() -> Any:
    """Eight real digits, and under each three copies as a consistency makes them."""
    kept = np.load(Path(__file__).resolve().parent / "figures" / "mnist.npz")
    images = kept["real"][:8].reshape(8, -1) / 127.5 - 1.0  # (8, 784)
    moves, amounts = mg.Consistency(), np.empty((3 * 8, 5))
    mg.backend.numpy.fill_uniform(mg.Stream(1, "picture"), -1.0, 1.0, out=amounts)
    copies = np.empty((3 * 8, 784))
    how = (moves.zoom, moves.shear, moves.shift, moves.background)
    mg.backend.numpy.move_images(np.tile(images, (3, 1)), amounts, (28, 28), *how, out=copies)
    figure, axes = new_canvas(10.4, 4.3)
    for y, title in ((0.6, "images"), (2.75, "copies")):
        write(axes, 0.1, y, title, 10.5, ha="left")
    for at, pixels in enumerate((*images, *copies)):
        x, y = 1.6 + 1.1 * (at % 8), 0.1 + 1.05 * (at // 8) + (0.05 if at >= 8 else 0.0)
        where = (x, x + 1.0, y + 1.0, y)
        axes.imshow(pixels.reshape(28, 28), cmap="gray", vmin=-1.0, vmax=1.0, extent=where)
    axes.set(xlim=(0.0, 10.4), ylim=(4.3, 0.0))
    return figure


PICTURES = {
    "stratified-noise": draw_strata,
    "infogan-two-heads": draw_two_heads,
    "infogan-moved-copies": draw_moved_copies,
}
