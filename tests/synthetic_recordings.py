"""Run folders with recordings that no training made, for the tests of the replay page.

`train` makes a run folder; `number`, `plane` and `image` write frames into it. These differ from
one another in every value, so that a page that shows the wrong one is found out.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

import minigan as mg
from minigan.training.frames import Frames, Recording, read_frames

FRAMES = "frames.jsonl"


def train(folder: Path, name: str = "stable") -> None:
    """A run folder: twenty steps of tiny networks on numbers, with a row of history after each.

    Args:
        folder: to be made.
        name: of the recipe.
    """
    G = mg.Sequential(mg.Linear(1, 8), mg.ELU(), mg.Linear(8, 1), name="generator")
    D = mg.Sequential(mg.Linear(1, 8), mg.ELU(), mg.Linear(8, 1), name="discriminator")
    game, recipe = mg.GAN(G, D, mg.Uniform()), {"name": name, "seed": 0}
    options = {"batch": 16, "print_every": 1, "progress": False, "recipe": recipe}
    mg.Trainer(game, mg.Gaussian(), folder, **options).fit(steps=20)


def recording(folder: Path) -> Recording:
    """The frames of a run folder."""
    return read_frames(folder / FRAMES)


def array(name: str, shape: list[int], levels: int, span: list[float] | None) -> dict:
    """An array of a header."""
    return {"name": name, "shape": shape, "levels": levels, "range": span}


def write(folder: Path, header: dict, frames: list[tuple[int, dict, dict]]) -> None:
    """Write frames.jsonl with frames of (step, values, arrays) into a run folder."""
    path = folder / FRAMES
    path.unlink(missing_ok=True)
    file = Frames(path)
    file.start({"frames": 1, "every": 1} | header)
    for step, values, arrays in frames:
        file.add(step, values, arrays)
    file.sync()


def losses(k: int) -> dict[str, float]:
    """Of frame k: all different, and different in each frame."""
    return {"d_real": 0.7 - 0.01 * k, "d_fake": 0.6 + 0.02 * k, "g": 1.0 / (1 + k)}


def number(folder: Path, steps: list[int], n: int = 300, optimal: bool = True) -> None:
    """A run on numbers: n samples that drift to the right by 0.1 a frame, in its first half."""
    places, quantiles = np.linspace(-1, 9, 121), np.linspace(0.005, 0.995, 101)
    noise = (np.arange(n) + 0.5) / n
    p = np.exp(-0.5 * ((places - 4) / 1.25) ** 2) / (1.25 * math.sqrt(2 * math.pi))
    header = {
        "form": "number",
        "arrays": [
            array("before", [n], 4095, [-1.0, 9.0]),
            array("after", [n], 4095, [-1.0, 9.0]),
            array("push", [n], 255, None),
            array("density", [121], 255, None),
            array("learned", [121], 255, [0.0, 1.0]),
            *([array("optimal", [121], 255, [0.0, 1.0])] if optimal else []),
            array("map", [101], 4095, [-1.0, 9.0]),
        ],
        "scene": {
            "span": [-1.0, 9.0],
            "density": p.tolist(),
            "mean": 4.0,
            "std": 1.25,
            "noise": noise.tolist(),
            "z": quantiles.tolist(),
            "exact": (9 * quantiles).tolist(),
            "exact_falling": (9 - 9 * quantiles).tolist(),
            "output": "probability",
            "targets": [1.0, 0.0],
            "pack": 1,
        },
    }
    frames = []
    for k, step in enumerate(steps):
        before, after = (0.05 * k + shift * (k > 0) + 4 * noise for shift in (0.0, 0.3))
        q = np.exp(-0.5 * (places - after.mean()) ** 2) / math.sqrt(2 * math.pi)
        arrays = {
            "before": before,
            "after": after,
            "push": (0.02 + 0.001 * k) * (4 - before),
            "density": q,
            "learned": 1 / (1 + np.exp(-(places - 3 - 0.05 * k))),
            "optimal": p / (p + q),
            "map": 0.05 * k + 4 * quantiles,
        }
        values = losses(k) | {"mean": after.mean(), "std": after.std(), "ks": 0.9 - 0.01 * k}
        names = [each["name"] for each in header["arrays"]]
        frames.append((step, values, {name: arrays[name] for name in names}))
    write(folder, header, frames)


def plane(folder: Path, steps: list[int], n: int = 400, optimal: bool = True) -> None:
    """A run on points of the plane: a ring of n samples that grows by 0.02 a frame."""
    rows, angles = np.linspace(-3, 3, 41), 2 * np.pi * np.arange(n) / n
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    corners = 2 * np.pi * np.arange(8) / 8
    header = {
        "form": "plane",
        "arrays": [
            array("before", [n, 2], 4095, [-3.0, 3.0]),
            array("after", [n, 2], 4095, [-3.0, 3.0]),
            array("push", [n, 2], 255, None),
            array("field", [41, 41], 255, [0.0, 1.0]),
            *([array("optimal", [41, 41], 255, [0.0, 1.0])] if optimal else []),
            array("grid", [2, 13, 33, 2], 1023, [-3.0, 3.0]),
        ],
        "scene": {
            "span": [[-3.0, 3.0], [-3.0, 3.0]],
            "real": (2 * circle[:: max(1, n // 400)]).tolist(),
            "modes": np.stack([2 * np.cos(corners), 2 * np.sin(corners)], axis=1).tolist(),
            "std": 0.05,
            "output": "probability",
            "targets": [1.0, 0.0],
            "pack": 1,
        },
    }
    across, along = np.meshgrid(np.linspace(-1, 1, 33), np.linspace(-1, 1, 13))
    grid = np.stack([np.stack([across, along], axis=-1), np.stack([along, across], axis=-1)])
    frames = []
    for k, step in enumerate(steps):
        before = (0.5 + 0.02 * k) * circle
        arrays = {
            "before": before,
            "after": before + 0.1 * circle * (k > 0),
            "push": (0.01 + 0.0005 * k) * circle,
            "field": 1 / (1 + np.exp(-(rows[None, :] + 0.5 * rows[:, None] - 0.02 * k))),
            "optimal": np.full((41, 41), 0.5),
            "grid": (0.5 + 0.02 * k) * grid,
        }
        values = losses(k) | {"modes": float(k % 9), "high_quality": 0.01 * k, "sliced": 1.0}
        names = [each["name"] for each in header["arrays"]]
        frames.append((step, values, {name: arrays[name] for name in names}))
    write(folder, header, frames)


def image(folder: Path, steps: list[int], labels: bool = False) -> None:
    """A run on 6 x 5 images: 25 of them, or 4 of each of ten classes. Each has its own shade."""
    n = 40 if labels else 25
    header = {
        "form": "image",
        "arrays": [
            array("after", [n, 30], 63, [-1.0, 1.0]),
            array("score", [n], 255, [0.0, 1.0]),
            array("push", [n], 255, None),
        ],
        "scene": {
            "shape": [6, 5],
            "columns": 4 if labels else 5,
            "labels": np.repeat(np.arange(10), 4).tolist() if labels else None,
            "output": "probability",
        },
    }
    place = np.arange(n) / n
    frames = []
    for k, step in enumerate(steps):
        shade = (place + 0.07 * k) % 1
        images = np.tile(2 * shade[:, None] - 1, (1, 30))
        images[:, 0] = -1  # a corner, by which one sees that an image is not turned
        arrays = {"after": images, "score": shade, "push": 0.01 * (1 + k) * (1 + place)}
        frames.append((step, losses(k), arrays))
    write(folder, header, frames)
