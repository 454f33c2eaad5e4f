"""The panels of figures, each drawn into Matplotlib axes of the caller.

Figures are drawn in one `style`, which does not depend on the user's Matplotlib settings.
`new_figure` makes one without pyplot, so no display is needed.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minigan.data import Distribution
from minigan.errors import ConfigError
from minigan.evaluation.response import Response
from minigan.files import as_path, write_whole
from minigan.gan.losses import PROBABILITY
from minigan.text import loss_title

# One colour a role, distinct in greyscale and for colour-blind viewers (Okabe and Ito).
REAL, FAKE, DISCRIMINATOR, INK = "#0072B2", "#E69F00", "#009E73", "#333333"
LOSSES = {"d_real": (DISCRIMINATOR, "-"), "d_fake": (DISCRIMINATOR, "--"), "g": (FAKE, "-")}
OTHERS = ("#CC79A7", "#56B4E9", "#D55E00")  # of a game's or penalty's further losses
BACKEND = "MPLBACKEND"  # the environment variable that names Matplotlib's backend
SIZE = (10.0, 7.2)  # inches
LOG_FROM = 20.0  # losses have a logarithmic axis if largest / smallest is above this
Rows = Sequence[dict[str, float]]  # of a history
STYLE = {
    "font.size": 11.0,
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "figure.titlesize": 14.0,
    "axes.titlesize": 11.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 10.0,
    "lines.linewidth": 2.0,
    "savefig.dpi": 150,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "minigan",  # names of clipping paths do not change
}


def import_matplotlib() -> None:
    """Import Matplotlib, even if MPLBACKEND names a backend that is not here.

    A program that is started from a notebook inherits the notebook's. Files need no backend. For
    windows, a backend that is here is set afterwards, as Matplotlib itself would have done.

    Raises:
        ConfigError: Matplotlib cannot be imported.
    """
    backend = None if "matplotlib" in sys.modules else os.environ.pop(BACKEND, None)
    try:
        import matplotlib  # slow to import
    except (ImportError, ValueError) as error:  # it is damaged, or the user's settings are
        raise ConfigError(f"Matplotlib cannot start: {error}") from None
    finally:
        if backend is not None:
            os.environ[BACKEND] = backend
    if backend:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's own defaults and `STYLE`, whatever the user's settings; also a decorator.

    Underflow, as in the tails of a density, is no error here, even if it is one for the user.
    """
    import_matplotlib()
    import matplotlib.style

    with matplotlib.style.context(["default", STYLE]), np.errstate(under="ignore"):
        yield


@style()
def new_figure(size: tuple[float, float] = SIZE) -> Any:
    """A Matplotlib figure that belongs to no window; `ConfigError` if Matplotlib cannot start."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


@style()
def save_figure(figure: Any, path: Path | str) -> None:
    """Write a figure, whole or not at all, in the format of the path's suffix (.png, .svg).

    Raises:
        FileError: the file cannot be written.
    """
    path = as_path(path)
    data, kind = io.BytesIO(), path.suffix[1:]
    unnamed = dict.fromkeys(("Date", "Creator"))  # equal figures are equal files
    figure.savefig(data, format=kind, metadata=unnamed if kind == "svg" else None)
    write_whole(path, data.getvalue())


def require_window() -> None:
    """Raise `ConfigError` unless Matplotlib can open a window here."""
    import_matplotlib()
    from matplotlib.rcsetup import validate_backend

    try:
        if os.environ.get(BACKEND):
            validate_backend(os.environ[BACKEND])
    except ValueError as error:
        raise ConfigError(f"Matplotlib cannot open a window: {error}") from None
    import matplotlib.pyplot as plt

    if plt.get_backend().lower() in ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template"):
        raise ConfigError(
            f"Matplotlib's backend here is {plt.get_backend()!r}, which opens no window; "
            "leave out --show, or set up a display"
        )


@style()
def show(draw: Callable[[Any], object]) -> None:
    """Draw into a window and wait until it is closed."""
    import matplotlib.pyplot as plt

    draw(plt.figure(figsize=SIZE, layout="constrained"))
    plt.show()


def draw_samples(axes: Any, samples: Any, target: Distribution, x: Any, bins: int = 100) -> None:
    """The histogram of the samples against the density of the data, from x[0] to x[-1]."""
    low, high = float(x[0]), float(x[-1])
    x = np.linspace(low, high, 400)
    flat = np.asarray(samples, dtype=np.float64).ravel()
    counts, edges = np.histogram(flat, np.linspace(low, high, bins + 1))
    heights = counts / (flat.size * (edges[1] - edges[0]))  # (bins,)
    axes.stairs(heights, edges, fill=True, color=FAKE, alpha=0.65, label="generated")
    axes.plot(x, target.density(x), color=REAL, label="real")
    axes.set(title="samples", xlabel="x", ylabel="density", xlim=(low, high), ylim=(0.0, None))
    draw_legend(axes)


def draw_map(axes: Any, generator_map: tuple[Any, Any, Any] | None) -> None:
    """G as a function of its noise, against the map that would make the data exactly."""
    axes.set_title("G turns noise into data")
    if generator_map is None:
        _say(axes, "the input of G is not\none number")
        return
    z, made, exact = generator_map
    axes.plot(z, exact, color=REAL, label="exact map")
    axes.plot(z, made, color=FAKE, ls="--", label="G(z)")
    axes.set(xlabel="noise z", ylabel="x")
    draw_legend(axes)


def draw_walk(axes: Any, x: Any, y: Any) -> None:
    """G on walks (walks, steps) from each noise vector to the next, as places x, y.

    With classes the next walk may be of another class, so it begins elsewhere.
    """
    first = [*x[:, 0], x[-1, -1]], [*y[:, 0], y[-1, -1]]
    gaps = (np.pad(one, ((0, 0), (0, 1)), constant_values=np.nan).ravel() for one in (x, y))
    axes.plot(*gaps, color=FAKE, label="G on the way")
    axes.plot(*first, "o", color=INK, ms=4, label="G at a noise vector")
    axes.set_title("G along a path through its noise")


def draw_walk_in_time(axes: Any, made: Any, target: Distribution | None) -> None:
    """G as numbers `made` (walks, steps): walk k leads from noise vector k to k + 1."""
    walks, steps = made.shape
    if target is not None:
        band = target.mean - 2.0 * target.std, target.mean + 2.0 * target.std
        axes.axhspan(*band, color=REAL, alpha=0.15, lw=0, label="real: mean ± 2 std")
    draw_walk(axes, np.arange(walks)[:, None] + np.linspace(0.0, 1.0, steps), made)
    axes.set(xlabel="noise vector", ylabel="x")
    axes.xaxis.get_major_locator().set_params(integer=True)
    draw_legend(axes)


def draw_response(axes: Any, response: Response | None, p: Any) -> None:
    """D next to the best possible D for this generator, over both densities.

    `p` (K,) is the density of the data at the places of the response; None if there is none.
    """
    if response is None:
        axes.set_title("D against the best D")
        _say(axes, "D reads\na condition")
        return
    for density, colour, label in ((p, REAL, "real p"), (response.density, FAKE, "generated q")):
        axes.fill_between(
            response.x,
            np.minimum(0.45 * density / max(float(p.max()), 1e-12), 1.0),
            transform=axes.get_xaxis_transform(),  # as a share of the panel's height
            color=colour,
            alpha=0.18,
            lw=0,
            label=label,
        )
    if response.optimal is not None:
        axes.plot(response.x, response.optimal, color=INK, label="best D")
    axes.plot(response.x, response.learned, color=DISCRIMINATOR, ls="--", label="D")
    probable = response.output == PROBABILITY
    axes.set(
        title=f"D on packs of {response.pack}" if response.pack > 1 else "D against the best D",
        xlabel="x of one sample of a pack" if response.pack > 1 else "x",
        ylabel="probability of real" if probable else "output of D",
        xlim=(float(response.x[0]), float(response.x[-1])),
    )
    if probable:
        axes.set_ylim(-0.03, 1.03)
    elif response.targets is not None:  # a learned D may go far beyond
        low, high = sorted(response.targets)
        axes.set_ylim(low - 0.25 * (high - low), high + 0.25 * (high - low))
    draw_legend(axes)


def _say(axes: Any, text: str) -> None:
    """Why a panel shows nothing else."""
    axes.text(0.5, 0.5, text, ha="center", va="center")
    axes.set_axis_off()


def draw_losses(axes: Any, history: Rows, names: Sequence[str], undecided: float | None) -> None:
    """The losses over training: columns of a history, and `Loss.undecided` if it is a number."""
    others = itertools.cycle(OTHERS)
    for name in names:
        colour, dashes = LOSSES.get(name) or (next(others), "-")
        _plot(axes, history, name, color=colour, ls=dashes, label=loss_title(name))
    if undecided is not None:
        axes.axhline(undecided, color=INK, lw=1.0, ls=":", label=f"{undecided:.2f}: D cannot tell")
    axes.set(title="losses, mean over each interval", ylabel="loss")
    shown = [row[name] for row in history for name in names if name in row]
    if min(shown, default=0.0) > 0.0 and max(shown) > LOG_FROM * min(shown):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    _steps(axes)
    draw_legend(axes)


def draw_course(upper: Any, lower: Any, history: Rows, target: Distribution) -> None:
    """Mean and standard deviation of the samples over training, against those of the data."""
    for axes, name, real in ((upper, "mean", target.mean), (lower, "std", target.std)):
        _plot(axes, history, name, color=FAKE, label="generated")
        axes.axhline(real, color=REAL, lw=1.4, label="real")
        axes.set_ylabel(name)
    upper.set_title("samples during training")
    upper.sharex(lower)
    upper.tick_params(labelbottom=False)
    _steps(lower)
    draw_legend(lower)


def draw_vectors(axes: Any, samples: Any, real: Any) -> None:
    """The first two numbers of generated (n, features) and real (m, features) samples."""
    features = samples.shape[1]
    bins = np.histogram_bin_edges(np.concatenate([real, samples])[:, 0], 60)
    for rows, colour, label in ((real, REAL, "real"), (samples, FAKE, "generated")):
        if not len(rows):
            continue
        if features == 1:
            axes.hist(rows[:, 0], bins, density=True, color=colour, alpha=0.5, label=label)
        else:
            axes.scatter(rows[:, 0], rows[:, 1], s=6, lw=0, color=colour, alpha=0.4, label=label)
    if features == 1:
        axes.set(xlabel="x", ylabel="density")
    else:
        of = "" if features == 2 else f" of {features} numbers"
        axes.set(xlabel=f"first{of}", ylabel=f"second{of}")
        axes.set_aspect("equal", adjustable="datalim")
    draw_legend(axes)


def _plot(axes: Any, history: Rows, name: str, **look: Any) -> None:
    """A column of the history over the steps; points where there are too few for a line."""
    values = [row.get(name, math.nan) for row in history]
    marker = "o" if len(values) < 3 else None
    axes.plot([row["step"] for row in history], values, marker=marker, **look)


def _steps(axes: Any) -> None:
    axes.set_xlabel("training step")
    axes.xaxis.set_major_formatter("{x:,.0f}")


def draw_legend(axes: Any) -> None:
    """In rows of two below the axis and its label, where it hides no curve."""
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        borderaxespad=4.0,  # in units of the font size
        ncols=2,
        markerscale=2.5,  # for the points of a scatter plot
    )
