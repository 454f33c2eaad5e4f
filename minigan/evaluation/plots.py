"""Figures of a run, made for a slide.

They draw into a Matplotlib figure that the caller made. `new_figure` makes one without
pyplot, so nothing here needs a display or changes a global setting.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigan.data import Distribution
from minigan.errors import ConfigError
from minigan.evaluation.metrics import NumberScore
from minigan.evaluation.response import Response
from minigan.files import write_whole
from minigan.text import loss_title

# A palette that stays distinct in greyscale and for colour-blind viewers (Okabe and Ito).
REAL, FAKE, JUDGE, INK = "#0072B2", "#E69F00", "#009E73", "#333333"
COLOURS = {"d_real": REAL, "d_fake": FAKE, "g": JUDGE}  # of losses
OTHERS = ("#CC79A7", "#56B4E9", "#D55E00")  # of a game's or penalty's further losses
SIZE = (12.8, 7.2)  # inches: a 16:9 slide
DPI = 150


def new_figure(size: tuple[float, float] = SIZE) -> Any:
    """A Matplotlib figure that belongs to no window; `ConfigError` if Matplotlib cannot start."""
    try:
        from matplotlib.figure import Figure
    except ValueError as error:  # MPLBACKEND names no backend
        raise ConfigError(f"Matplotlib cannot start: {error}") from None

    return Figure(figsize=size, layout="constrained")


def save_figure(figure: Any, path: Path | str) -> None:
    """Write a figure as PNG, whole or not at all; `FileError` if the file cannot be written."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=DPI)
    write_whole(path, data.getvalue())


def require_window() -> None:
    """Raise `ConfigError` unless Matplotlib can open a window here."""
    import matplotlib.pyplot as plt

    if plt.get_backend().lower() in ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template"):
        raise ConfigError(
            f"Matplotlib's backend here is {plt.get_backend()!r}, which opens no window; "
            "leave out --show, or set up a display"
        )


def show(draw: Callable[[Any], object]) -> None:
    """Draw into a window and wait until it is closed."""
    import matplotlib.pyplot as plt

    draw(plt.figure(figsize=SIZE, layout="constrained"))
    plt.show()


def draw_overview(
    figure: Any,
    *,
    title: str,
    samples: Any,
    score: NumberScore,
    target: Distribution,
    generator_map: tuple[Any, Any, Any] | None,
    response: Response,
    history: Sequence[dict[str, float]],
    losses: Sequence[str],
    undecided: float | None,
) -> None:
    """A run on numbers: the samples, the generator's map, the losses, the discriminator.

    Args:
        figure: a Matplotlib figure.
        title: the headline.
        samples: (n, 1) from the generator.
        score: of those samples.
        target: the distribution of the data.
        generator_map: z (K,), G(z) (K,) and the exact map (K,); None for noise that is not
            one number.
        response: the discriminator along the line.
        history: rows of history.csv.
        losses: the columns of it that are losses.
        undecided: D's mean loss when it cannot tell real from fake; None if there is no such.
    """
    figure.suptitle(title, fontsize=15, color=INK)
    axes = figure.subplots(2, 2)
    draw_samples(axes[0, 0], samples, score, target, response)
    draw_map(axes[0, 1], generator_map)
    draw_losses(axes[1, 0], history, losses, undecided)
    draw_response(axes[1, 1], response, target)


def draw_samples(
    axes: Any, samples: Any, score: NumberScore, target: Distribution, response: Response
) -> None:
    """The histogram of the samples against the target density, with D's response over it."""
    low, high = float(response.x[0]), float(response.x[-1])
    x = np.linspace(low, high, 400)
    flat = np.asarray(samples, dtype=np.float64).ravel()
    bins = np.linspace(low, high, 101)
    weights = np.full(flat.size, 1.0 / (flat.size * (bins[1] - bins[0])))
    axes.hist(flat, bins=bins, weights=weights, color=FAKE, alpha=0.65, label="generated")
    axes.plot(x, target.density(x), color=REAL, lw=2.2, label="real density p")
    axes.set(xlabel="x", ylabel="density", xlim=(low, high), ylim=(0.0, None))
    axes.set_title(
        f"samples: mean {score.mean:.3f} (real {target.mean:.4g}), "
        f"std {score.std:.3f} (real {target.std:.4g}), KS {score.ks:.3f}",
        fontsize=10.5,
    )
    right = axes.twinx()
    right.plot(response.x, response.learned, color=JUDGE, lw=1.6, ls="--", label="D(x), right")
    right.axhline(0.5, color=JUDGE, lw=0.6, alpha=0.5)
    right.set_ylim(0.0, 1.0)
    right.set_ylabel("D's probability of real", color=JUDGE)
    right.tick_params(axis="y", colors=JUDGE)
    _legend(axes, right)
    _tidy(axes)
    right.spines["top"].set_visible(False)


def draw_map(axes: Any, generator_map: tuple[Any, Any, Any] | None) -> None:
    """G as a function of its noise, against the map that would make the data exactly."""
    axes.set_title("the generator bends noise into data", fontsize=10.5)
    _tidy(axes)
    if generator_map is None:
        axes.text(0.5, 0.5, "noise has more than one dimension", ha="center", va="center")
        axes.set_axis_off()
        return
    z, made, exact = generator_map
    axes.plot(z, exact, color=REAL, lw=2.2, label="exact quantile map")
    axes.plot(z, made, color=FAKE, lw=2.2, ls="--", label="G(z)")
    axes.set(xlabel="noise z", ylabel="x")
    _legend(axes)


def draw_losses(
    axes: Any, history: Sequence[dict[str, float]], names: Sequence[str], undecided: float | None
) -> None:
    """The losses over training, with D's mean loss when it cannot tell (if there is such).

    Args:
        axes: Matplotlib's.
        history: of `read_history`.
        names: the columns that are losses.
        undecided: of the loss (see `Loss.undecided`).
    """
    axes.set_title("losses, mean over each print interval", fontsize=10.5)
    steps = [row["step"] for row in history]
    marker = "o" if len(steps) < 3 else None
    others = itertools.cycle(OTHERS)
    for name in names:
        axes.plot(
            steps,
            [row.get(name, math.nan) for row in history],
            color=COLOURS[name] if name in COLOURS else next(others),
            lw=1.8,
            marker=marker,
            label=loss_title(name),
        )
    if undecided is not None:
        axes.axhline(undecided, color=INK, lw=0.8, ls=":", label=f"{undecided:.2f}: D cannot tell")
    axes.set(xlabel="training step", ylabel="loss")
    shown = [row[name] for row in history for name in names if name in row]
    if min(shown, default=0.0) >= 0.0:
        axes.set_ylim(bottom=0.0)  # G's loss in the minimax game is negative
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    _legend(axes)
    _tidy(axes)


def draw_response(axes: Any, response: Response, target: Distribution) -> None:
    """D beside the best possible D for this generator."""
    single = response.pack == 1
    axes.set_title(
        "the discriminator against the best one, p / (p + q)"
        if single
        else f"D on packs of {response.pack}, one sample moved to x, against the best D",
        fontsize=10.5,
    )
    p = target.density(response.x)
    scale = 0.45 / max(float(p.max()), 1e-12)
    axes.fill_between(response.x, scale * p, color=REAL, alpha=0.12, lw=0, label="p (scaled)")
    q = np.minimum(scale * response.density, 1.0)
    axes.fill_between(response.x, q, color=FAKE, alpha=0.18, lw=0, label="q, of G (scaled)")
    axes.plot(response.x, response.optimal, color=INK, lw=2.2, label="optimal D*")
    axes.plot(response.x, response.learned, color=JUDGE, lw=2.2, ls="--", label="learned D")
    axes.axhline(0.5, color=INK, lw=0.6, alpha=0.5)
    axes.set(
        xlabel="x",
        ylabel="probability of real",
        xlim=(float(response.x[0]), float(response.x[-1])),
        ylim=(0.0, 1.0),
    )
    _legend(axes)
    _tidy(axes)


def draw_vectors(
    figure: Any,
    *,
    title: str,
    samples: Any,
    real: Any,
    history: Sequence[dict[str, float]],
    losses: Sequence[str],
    undecided: float | None,
) -> None:
    """A run on vectors: the first two numbers of each sample, and the losses.

    Args:
        figure, title, history, losses, undecided: as of `draw_overview`.
        samples: (n, features) from the generator.
        real: (m, features) from the data.
    """
    figure.suptitle(title, fontsize=15, color=INK)
    left, right = figure.subplots(1, 2)
    left.set_title("samples", fontsize=10.5)
    if samples.shape[1] == 1:
        bins = np.histogram_bin_edges(np.concatenate([real, samples]), 60)
        for rows, colour, label in ((real, REAL, "real"), (samples, FAKE, "generated")):
            left.hist(rows[:, 0], bins, density=True, color=colour, alpha=0.5, label=label)
        left.set(xlabel="x", ylabel="density")
    else:
        for rows, colour, label in ((real, REAL, "real"), (samples, FAKE, "generated")):
            left.scatter(rows[:, 0], rows[:, 1], s=6, lw=0, color=colour, alpha=0.4, label=label)
        of = "" if samples.shape[1] == 2 else f" of {samples.shape[1]} numbers"
        left.set(xlabel=f"first{of}", ylabel=f"second{of}")
        left.set_aspect("equal", adjustable="datalim")
    _legend(left)
    _tidy(left)
    draw_losses(right, history, losses, undecided)


def _legend(*axes: Any) -> None:
    handles, labels = [], []
    for one in axes:
        more_handles, more_labels = one.get_legend_handles_labels()
        handles += more_handles
        labels += more_labels
    place = axes[0].get_subplotspec()
    rows = 2 if place is None else place.get_gridspec().nrows  # of panels in the figure
    axes[0].legend(
        handles,
        labels,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.08 * rows),  # below the axis, where it hides no curve
        ncols=len(labels),
        frameon=False,
        fontsize=9,
    )


def _tidy(axes: Any) -> None:
    axes.spines["top"].set_visible(False)
    axes.grid(alpha=0.2, lw=0.5)
