"""Panels of figures of points in the plane: D with its gradients, and G as a map of its noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np

from minigan.backend.base import on_host
from minigan.backend.float_errors import ignore_float_errors
from minigan.evaluation.plots import DISCRIMINATOR, FAKE, INK, REAL
from minigan.evaluation.push import Push
from minigan.evaluation.response import as_shown
from minigan.gan import Game
from minigan.gan.losses import PROBABILITY
from minigan.nn import Sequential

CONTEXTS = 16  # packs in which a point is replaced, for discriminators of packs
SIDE = 101  # places along each side of the field
ARROWS = 200  # samples whose gradient is drawn
LINES = 17  # of the noise's grid, in each direction
ALONG = 201  # places along a line
EDGE = 0.005  # the outermost lines are at the quantiles 0.005 and 0.995
MARGIN = 0.15  # around the data, as a share of their width

Span: TypeAlias = tuple[tuple[float, float], tuple[float, float]]  # (x from, to), (y from, to)


@dataclass(frozen=True)
class Field:
    """D over the plane, and where it pushes generated samples.

    Attributes:
        x, y: (SIDE,) the places.
        D: (SIDE, SIDE) at (y, x): the probability that a point is real, or D's plain output. For a
            discriminator of packs, the mean over packs of generated samples with one replaced.
        output: what `D` is, "probability" or "score".
        at: (n, 2) generated samples.
        push: (n, 2) minus the gradient of G's loss by each of them.
    """

    x: Any
    y: Any
    D: Any
    output: str
    at: Any
    push: Any


def limits(*points: Any) -> Span:
    """A square around points (n, 2) without the outermost ones."""
    ends = [np.quantile(some, (0.005, 0.995), axis=0) for some in points if len(some)]
    low, high = np.min(ends, axis=(0, 1)), np.max(ends, axis=(0, 1))  # (2,), (2,)
    half = (0.5 + MARGIN) * max(float((high - low).max()), 1e-6)
    x, y = (low + high) / 2
    return (float(x - half), float(x + half)), (float(y - half), float(y + half))


@ignore_float_errors
def field_of(game: Game, samples: Any, span: Span) -> Field | None:
    """D over the square `span`, and the gradients at the first of the samples (n, 2).

    None for a D that reads a condition: it has another field for each.
    """
    D, loss = game.discriminator, cast(Any, game.loss)
    if D.condition_features:
        return None
    x, y = (np.linspace(*ends, SIDE) for ends in span)
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)  # (K, 2)
    Y, output = as_shown(_mean_output(D, samples, places).reshape(SIDE, SIDE), loss.output)
    m = D.rows_multiple
    at = samples[: max(m, ARROWS // m * m)]  # (n, 2), whole packs
    push = Push(game, len(at))
    game.ops.copy(game.ops.from_host(at, D.dtype), out=push.X)
    return Field(x, y, Y, output, at, push())


def _mean_output(D: Sequential, samples: Any, places: Any) -> Any:
    """D at places (K, 2), on the host; for packs of m the mean over `CONTEXTS` of them."""
    m, K = D.rows_multiple, len(places)
    contexts = CONTEXTS if m > 1 else 1
    total = np.zeros(K)
    for c in range(contexts):
        pack = samples[(np.arange(m) + c * m) % len(samples)]  # (m, 2)
        packs = np.repeat(pack[None], K, axis=0)  # (K, m, 2)
        packs[:, 0] = places
        total += on_host(D.predict(packs.reshape(-1, 2).astype(D.dtype)))[:, 0]
    return total / contexts


def draw_points(axes: Any, samples: Any, real: Any, span: Span) -> None:
    """Generated samples (n, 2) over real ones (m, 2), which are drawn larger."""
    axes.plot(*real.T, "o", color=REAL, ms=5.0, alpha=0.1, mew=0)
    axes.plot(*samples.T, ".", color=FAKE, ms=3.0, alpha=0.6, mew=0)
    for colour, label in ((REAL, "real"), (FAKE, "generated")):  # darker than the points
        axes.plot([], [], "o", color=colour, ms=5.0, label=label)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    axes.set_title("samples")
    _square(axes, span)


def draw_field(axes: Any, field: Field, real: Any, span: Span) -> None:
    """D as contours over some of the data, with an arrow where each generated sample is pushed.

    Below is what the colours mean: the probability that a point is real, or D's plain output.

    Arrows have their true ratios; the longest tenth are cut to one length.
    """
    probable = field.output == PROBABILITY
    middle = 0.5 if probable else float(np.median(field.D))
    reach = max(float(np.abs(field.D - middle).max()), 1e-9)
    levels = np.linspace(middle - reach, middle + reach, 11)
    filled = axes.contourf(field.x, field.y, field.D, levels, cmap="PuOr", alpha=0.55)
    below = axes.inset_axes((0.1, -0.18, 0.8, 0.03))
    bar = axes.figure.colorbar(filled, cax=below, orientation="horizontal")
    bar.outline.set_visible(False)
    bar.set_ticks(levels[::5], labels=[f"{level:.2g}" for level in levels[::5]])
    axes.plot(*real.T, ".", color=REAL, ms=2.5, alpha=0.25, mew=0)
    length = np.hypot(*field.push.T)  # (n,)
    most = max(float(np.quantile(length, 0.9)), 1e-30)
    push = field.push * np.minimum(1.0, most / np.maximum(length, 1e-30))[:, None] / most
    width = field.x[-1] - field.x[0]
    units = {"scale": 1.0, "scale_units": "xy", "angles": "xy"}  # as long as in the data
    axes.quiver(*field.at.T, *(0.09 * width * push.T), color=INK, width=0.004, **units)
    axes.set_title("D, and where it pushes samples")
    _square(axes, span)


def noise_grid(game: Game, lines: int = LINES, along: int = ALONG) -> Any | None:
    """Lines of constant noise, in both directions: (2, lines, along, 2) float64.

    The lines lie at equal distances in the noise's quantiles, so that each cell is equally likely.
    None if G takes other numbers than two of noise, or the noise's quantiles are not known.
    """
    noise = cast(Any, game.noise)
    u, v = (np.linspace(EDGE, 1.0 - EDGE, count) for count in (lines, along))
    two = noise.dim == 2 and not game.generator.condition_features
    z = noise.quantile(u) if two else None
    if z is None:
        return None
    first, second = np.broadcast_arrays(z[:, None], noise.quantile(v))  # (lines, along)
    return np.stack([np.stack([first, second], -1), np.stack([second, first], -1)])


def warped_grid(game: Game) -> tuple[Any, Any] | None:
    """G on the lines of `noise_grid` in both directions, each (LINES, ALONG, 2), or None."""
    Z = noise_grid(game)
    if Z is None:
        return None
    made = game.sampler.predict(Z.reshape(-1, 2).astype(game.generator.dtype))
    down, across = on_host(made).reshape(Z.shape)
    return down, across


def draw_warped_grid(axes: Any, grid: tuple[Any, Any], real: Any, span: Span) -> None:
    """The noise's grid as G bends it, over the data."""
    axes.plot(*real.T, ".", color=REAL, ms=2.5, alpha=0.25, mew=0)
    for lines, colour in zip(grid, (FAKE, DISCRIMINATOR), strict=True):
        axes.plot(*lines.transpose(2, 1, 0), color=colour, lw=0.7, alpha=0.8)
    axes.set_title("G bends the noise's grid")
    _square(axes, span)


def _square(axes: Any, span: Span) -> None:
    axes.set(xlim=span[0], ylim=span[1])
    axes.set_box_aspect(1.0)
    axes.set_anchor("N")  # what lies below has the space
    axes.grid(False)
