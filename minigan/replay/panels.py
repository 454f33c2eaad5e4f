"""The panels of a film. Each is drawn once, and then moved from frame to frame.

A panel is a function of Matplotlib axes and a recording. It draws everything that stays, and
returns a `Move`: a function that sets the artists that change to frame k, and returns them in the
order in which they are drawn. The drawing functions are those of the figures wherever they fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minigan.data.images import to_pixels
from minigan.evaluation.pictures import SMALL_TILE, TILE, grid
from minigan.evaluation.plots import (
    FAKE,
    INK,
    REAL,
    draw_legend,
    draw_losses,
    draw_map,
    draw_response,
)
from minigan.evaluation.response import Response
from minigan.gan.losses import PROBABILITY
from minigan.training.frames import Recording

ARROWS = 100  # samples with an arrow, among single numbers
BAND = 0.3  # height of the band of arrows, as a share of that of the densities
LONGEST = 0.09  # of an arrow, as a share of the panel's width
LEGIBLE = 0.12  # least distance of two ticks on the axis of steps, as a share of its length

Move: TypeAlias = Callable[[int], Sequence[Any]]


def has(recording: Recording, name: str) -> bool:
    """Whether the recording has an array."""
    return name in recording.codes


def labelled(artists: Sequence[Any], label: str) -> Any:
    """The one artist with this label."""
    (found,) = (artist for artist in artists if artist.get_label() == label)
    return found


# -- numbers --------------------------------------------------------------------------------------


def density_panel(axes: Any, recording: Recording) -> Move:
    """G's density over that of the data; below, some samples with D's arrows."""
    scene = recording.header["scene"]
    low, high = scene["span"]
    q = recording.array("density")  # (T, K)
    x, p = np.linspace(low, high, q.shape[1]), np.asarray(scene["density"])  # (K,), (K,)
    top = 1.6 * float(p.max())
    fill = axes.fill_between(x, q[0], color=FAKE, alpha=0.65, lw=0, label="generated")
    (line,) = axes.plot(x, p, color=REAL, label="real")
    axes.set(title="samples, and where D pushes them", xlabel="x", xlim=(low, high))
    axes.set(ylabel="density", ylim=(-BAND * top, top))
    axes.yaxis.set_major_locator(_from_zero(axes))
    axes.axhline(0.0, color=INK, lw=0.8)
    draw_legend(axes)

    before, push = recording.array("before"), recording.array("push")  # (T, n)
    shown = np.arange(0, before.shape[1], max(1, before.shape[1] // ARROWS))
    # Multiples of the golden ratio, modulo 1: however many there are, their gaps are similar.
    heights = -BAND * top * (0.08 + 0.84 * (shown * 0.6180339887 % 1.0))
    still = np.zeros(len(shown))
    arrows = LONGEST * (high - low) * shortened(push[:, shown, None])[..., 0]  # (T, arrows)
    (dots,) = axes.plot([], [], ".", color=FAKE, ms=5.0, mew=0)
    quiver = new_arrows(axes, len(shown), width=0.005)

    def move(k: int) -> Sequence[Any]:
        fill.set_data(x, q[k], 0.0)
        dots.set_data(before[k, shown], heights)
        quiver.set_offsets(np.stack([before[k, shown], heights], axis=-1))
        quiver.set_UVC(arrows[k], still)
        return fill, line, dots, quiver

    return move


def map_panel(axes: Any, recording: Recording) -> Move:
    """G as a function of its noise, against the map that would make the data exactly.

    Two maps do: one rises and one falls. The one that G comes close to in the last frame is drawn.
    """
    scene, made = recording.header["scene"], recording.array("map")  # (T, M)
    maps = [np.asarray(scene[name]) for name in ("exact", "exact_falling")]
    exact = min(maps, key=lambda one: float(np.abs(one - made[-1]).sum()))  # (M,)
    draw_map(axes, (np.asarray(scene["z"]), made[0], exact))
    axes.set_ylim(*scene["span"])
    line = labelled(axes.lines, "G(z)")

    def move(k: int) -> Sequence[Any]:
        line.set_ydata(made[k])
        return (line,)

    return move


def response_panel(axes: Any, recording: Recording) -> Move:
    """D next to the best possible D for the generator of this frame, over both densities."""
    scene = recording.header["scene"]
    q, learned = recording.array("density"), recording.array("learned")  # (T, K)
    optimal = recording.array("optimal") if has(recording, "optimal") else None  # (T, K)
    low, high = scene["span"]
    x, p = np.linspace(low, high, q.shape[1]), np.asarray(scene["density"])  # (K,), (K,)
    best = None if optimal is None else optimal[0]
    shape = scene["pack"], scene["output"], scene["targets"]
    draw_response(axes, Response(x, learned[0], best, q[0], *shape), p)
    if scene["output"] != PROBABILITY and scene["targets"] is None:
        axes.set_ylim(*_range(learned))
    fill = labelled(axes.collections, "generated q")
    line = labelled(axes.lines, "D")
    curve = None if optimal is None else labelled(axes.lines, "best D")
    most = max(float(p.max()), 1e-12)

    def move(k: int) -> Sequence[Any]:
        fill.set_data(x, np.minimum(0.45 * q[k] / most, 1.0), 0.0)
        line.set_ydata(learned[k])
        if curve is None or optimal is None:
            return fill, line
        curve.set_ydata(optimal[k])
        return fill, curve, line

    return move


# -- images, and the losses of all ----------------------------------------------------------------


def images_panel(axes: Any, recording: Recording) -> Move:
    """The grid of images. A pixel that is not finite is grey."""
    scene = recording.header["scene"]
    made = np.nan_to_num(recording.array("after"), nan=0.0)  # (T, N, h w)
    tile = TILE if scene["labels"] is None else SMALL_TILE

    def picture(k: int) -> NDArray[np.uint8]:
        tiles: NDArray[np.uint8] = grid(
            to_pixels(made[k], tuple(scene["shape"])), scene["columns"], tile
        )
        return tiles

    shown = axes.imshow(picture(0), cmap="gray", vmin=0, vmax=255)
    axes.set_title("samples")
    axes.set_axis_off()

    def move(k: int) -> Sequence[Any]:
        shown.set_data(picture(k))
        return (shown,)

    return move


def losses_panel(
    axes: Any, recording: Recording, names: Sequence[str], undecided: float | None
) -> Move:
    """The losses of the recorded steps, and where this frame is.

    Along the axis frames have equal distances, so the marker moves evenly: many of the first steps
    are recorded, and few of the later ones.
    """
    steps = np.asarray(recording.steps, np.float64)  # (T,)
    losses = {name: recording.values[name] for name in names}  # (T,) each
    rows = [
        {"step": step, **{name: v[k] for name, v in losses.items() if np.isfinite(v[k])}}
        for k, step in enumerate(recording.steps)
    ]
    draw_losses(axes, rows, names, undecided)
    axes.set_title("losses of single steps")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), borderaxespad=4.0, ncols=6)
    places = np.arange(len(steps), dtype=np.float64)
    if len(steps) > 1:
        there = lambda step: np.interp(step, steps, places)  # noqa: E731
        back = lambda place: np.interp(place, places, steps)  # noqa: E731
        axes.set_xscale("function", functions=(there, back))
        axes.set_xlim(steps[0], steps[-1])
    axes.set_xticks(*legible_steps(recording.steps))
    axes.minorticks_off()
    marker = axes.axvline(steps[0], color=INK, lw=1.4)

    def move(k: int) -> Sequence[Any]:
        marker.set_xdata([steps[k], steps[k]])
        return (marker,)

    return move


# -- helpers --------------------------------------------------------------------------------------


def legible_steps(steps: Sequence[int]) -> tuple[list[int], list[str]]:
    """Round steps for the axis of the losses, with their labels, none of them too close."""
    ticks: list[int] = []
    places: list[float] = []
    last = max(len(steps) - 1, 1)
    ends = [steps[0], steps[-1]]
    round_ones = sorted(m * 10**e for e in range(10) for m in (1, 2, 5))
    for step in [*ends, *round_ones]:  # the ends have their place first
        place = float(np.interp(step, steps, np.arange(len(steps)))) / last
        free = all(abs(place - other) >= LEGIBLE for other in places)
        if steps[0] <= step <= steps[-1] and free:
            ticks.append(step)
            places.append(place)
    ticks.sort()
    return ticks, [f"{step:,}" for step in ticks]


def shortened(push: NDArray[Any]) -> NDArray[Any]:
    """Arrows (T, n, d) of which none is longer than 1, with true ratios over the whole film.

    The longest tenth of all are cut to that length, so arrows become short when D becomes flat.
    """
    length = np.linalg.norm(push, axis=-1, keepdims=True)  # (T, n, 1)
    most = max(quantile(length, 0.9), 1e-30)
    scaled: NDArray[Any] = push * (np.minimum(1.0, most / np.maximum(length, 1e-30)) / most)
    return scaled


def new_arrows(axes: Any, count: int, width: float) -> Any:
    """`count` arrows, as long as they are in the data, to be placed by `move`."""
    zeros = np.zeros(count)
    look = {"scale": 1.0, "scale_units": "xy", "angles": "xy", "minlength": 0.0}
    return axes.quiver(zeros, zeros, zeros, zeros, color=INK, width=width, **look)


def quantile(values: NDArray[Any], share: float) -> float:
    """A quantile of the finite values; 0 if there are none."""
    finite = values[np.isfinite(values)]
    return float(np.quantile(finite, share)) if finite.size else 0.0


def _range(values: NDArray[Any]) -> tuple[float, float]:
    """Limits of an axis that show almost all of the values."""
    low, high = quantile(values, 0.01), quantile(values, 0.99)
    margin = max(0.1 * (high - low), 1e-3)
    return low - margin, high + margin


def _from_zero(axes: Any) -> Any:
    """Ticks of densities: none in the band of arrows."""
    from matplotlib.ticker import FixedLocator, MaxNLocator

    _, top = axes.get_ylim()
    return FixedLocator([tick for tick in MaxNLocator(5).tick_values(0.0, top) if tick >= 0.0])
