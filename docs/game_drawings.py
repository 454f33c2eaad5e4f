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
    """Eight real digits, and copies with each movement of a consistency alone, and with all."""
    kept = np.load(Path(__file__).resolve().parent / "figures" / "mnist.npz")
    images = kept["real"][:8].reshape(8, -1) / 127.5 - 1.0  # (8, 784)
    own, ops, stream = mg.Consistency(), mg.backend.numpy, mg.Stream(1, "picture")
    rows = {  # the movements that are not 0, in the order of the arguments
        "images": (),
        f"zoom {own.zoom:g}": ("zoom",),
        f"shear {own.shear:g}": ("shear",),
        f"shift {own.shift:g}": ("shift",),
        "all three,\nat random": ("zoom", "shear", "shift"),
    }
    figure, axes = new_canvas(11.2, 5.5)
    for row, (title, moves) in enumerate(rows.items()):
        amounts, copies = np.empty((8, 5)), np.empty((8, 784))
        ops.fill_uniform(stream, -1.0, 1.0, out=amounts)
        if len(moves) == 1:
            amounts = np.sign(amounts)  # as far as it goes
        how = [getattr(own, name) * (name in moves) for name in ("zoom", "shear", "shift")]
        ops.move_images(images, amounts, (28, 28), *how, own.background, out=copies)
        write(axes, 0.1, 0.6 + 1.1 * row, title, 10.5, ha="left")
        for at, pixels in enumerate(copies):
            x, y = 2.4 + 1.1 * at, 0.1 + 1.1 * row
            where = (x, x + 1.0, y + 1.0, y)
            axes.imshow(pixels.reshape(28, 28), cmap="gray", vmin=-1.0, vmax=1.0, extent=where)
    axes.set(xlim=(0.0, 11.2), ylim=(5.6, 0.0))
    return figure


PICTURES = {
    "stratified-noise": draw_strata,
    "infogan-two-heads": draw_two_heads,
    "infogan-moved-copies": draw_moved_copies,
}
