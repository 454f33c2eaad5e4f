"""Pictures of failures.md: a failure, its mend, and the number that shows it; `figures.py` draws.

python docs/failure_pictures.py NAME ...     these alone
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import minigan as mg
from minigan.data.images import to_pixels
from minigan.evaluation import plots
from minigan.evaluation.pictures import grid
from minigan.files import write_whole

FIGURES = Path(__file__).resolve().parent / "figures"
FAILED, MENDED = plots.OTHERS[2], plots.DISCRIMINATOR
CLASSES = (plots.REAL, plots.FAKE, plots.DISCRIMINATOR, plots.OTHERS[0])
SHOWN = 600  # points of a scatter plot
SIDE = 6  # images in a row
COLOURS = 128  # of a picture
#: The column of the history in the last panel, its title, and the value that is right, if any.
SYMPTOMS: dict[str, tuple[str, str, float | None]] = {
    "mode-collapse": ("diversity", "spread, as a share of the data's", 1.0),
    "vanishing-gradient": ("g_grad", "norm of G's gradient", None),
    "strong-discriminator": ("d_fake", "D's loss on generated samples", 0.693),
    "oscillation": ("mean", "mean of the samples", 4.0),
    "nan": ("mean", "mean of the samples", 40.0),
    "batch-norm": ("diversity", "spread, as a share of the data's", 1.0),
    "detached": ("mean", "mean of the samples", 4.0),
    "wrong-sign": ("mean", "mean of the samples", 4.0),
    "label-leakage": ("d_fake", "D's loss on generated samples", 0.693),
    "memory": ("", "distance to the nearest training image", None),
}


class Run(NamedTuple):
    """A recipe after training."""

    gan: Any  # of the last checkpoint
    data: Any
    rows: list[dict[str, float]]


def train(name: str) -> Run:
    """The run of a recipe with the seed 0; one that fails ends early."""
    from examples import failures  # registers its classes, so only when one is drawn

    recipe = failures.RECIPES[name]
    gan, data = failures.build(recipe)
    with tempfile.TemporaryDirectory() as folder:
        settings = {"batch": recipe.batch, "print_every": recipe.steps // 20, "progress": False}
        trainer = mg.Trainer(gan, data, folder, checkpoint_every=recipe.steps // 20, **settings)
        with contextlib.suppress(mg.NonFiniteError):
            trainer.fit(steps=recipe.steps)
        return Run(mg.load_run(folder).gan, data, mg.read_history(Path(folder) / "history.csv"))


def nearest(X: Any, images: Any) -> tuple[Any, Any]:
    """For each row of X (n, F) the nearest of images (N, F): its distance (n,), and itself."""
    squares = (X**2).sum(axis=1)[:, None] + (images**2).sum(axis=1) - 2 * X @ images.T  # (n, N)
    return np.sqrt(np.maximum(squares.min(axis=1), 0.0)), images[squares.argmin(axis=1)]


def draw_samples(axes: Any, run: Run, low: float, high: float, copies: bool) -> None:
    """The samples of a run, in the way of their form; `copies`: over their nearest images."""
    gan, data = run.gan, run.data
    if data.form == "image":
        X = gan.sample(SIDE * SIDE // (2 if copies else 1), seed=3)  # (n, 64)
        if copies:
            _, near = nearest(X, data.X / 127.5 - 1.0)
            X = np.stack([part.reshape(-1, SIDE, 64) for part in (X, near)], axis=1).reshape(-1, 64)
        axes.imshow(grid(to_pixels(X, (8, 8)), SIDE), cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
    elif data.form == "number":
        plots.draw_samples(axes, gan.sample(20_000, seed=3), data, np.array([low, high]))
        peak = float(data.density(np.array([data.mean]))[0])
        axes.set(ylim=(0.0, 2.0 * peak), ylabel="", yticks=())
        axes.get_legend().remove()
    else:
        asked = np.arange(SHOWN) % max(data.classes, 1)  # (600,)
        X = gan.sample(SHOWN, seed=3, **({"labels": asked} if data.classes else {}))
        axes.plot(*data.reference(SHOWN).T, ".", color=plots.INK, ms=2.0, alpha=0.35, mew=0)
        colours = np.array(CLASSES)[asked] if data.classes else plots.FAKE
        axes.scatter(*X.T, s=9, lw=0, c=colours, alpha=0.7)
        axes.set(xlim=(low, high), ylim=(low, high), xticks=(), yticks=())
        axes.set_box_aspect(1.0)


def draw_symptom(axes: Any, name: str, runs: tuple[Run, Run]) -> None:
    """The number that shows the failure, over training, in both runs."""
    column, title, right = SYMPTOMS[name]
    for run, colour, label in zip(runs, (FAILED, MENDED), ("failure", "mended"), strict=True):
        if column:
            steps = [row["step"] for row in run.rows]
            marker = "o" if len(steps) < 3 else None
            values = [row[column] for row in run.rows]
            axes.plot(steps, values, color=colour, marker=marker, label=label)
        else:
            images = run.data.X / 127.5 - 1.0  # (N, 64)
            distances, _ = nearest(run.gan.sample(2000, seed=3), images)
            axes.hist(distances, 40, color=colour, alpha=0.7, density=True, label=label)
    if name == "vanishing-gradient":
        axes.set_yscale("log")
    if right is not None:
        axes.axhline(right, color=plots.INK, lw=1.0, ls=":")
    axes.set(title=title, xlabel="training step" if column else "")
    axes.legend(loc="best")


@plots.style()
def draw(name: str) -> None:
    """Train a failure and its mend, and draw docs/figures/failures-NAME.png."""
    runs = train(name), train(f"{name}-mended")
    low, high = 0.0, 0.0
    if runs[0].data.form != "image":
        shown = [one.gan.sample(SHOWN, seed=3) for one in runs if not one.data.classes]
        shown.append(runs[0].data.reference(SHOWN))
        low, high = float(min(map(np.min, shown))), float(max(map(np.max, shown)))
        low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
    figure = plots.new_figure((9.6, 3.1))
    *panels, last = figure.subplots(1, 3)
    for axes, run, title in zip(panels, runs, (name, f"{name} --mended"), strict=True):
        draw_samples(axes, run, low, high, name == "memory")
        axes.set_title(title)
    draw_symptom(last, name, runs)
    drawn, file = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=100)
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(file, "png", optimize=True)
    write_whole(FIGURES / f"failures-{name}.png", file.getvalue())


def main() -> None:
    """Draw the pictures of these names, or all of them."""
    for name in sys.argv[1:] or SYMPTOMS:
        draw(name)


if __name__ == "__main__":
    main()
