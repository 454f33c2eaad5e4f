"""Frames of points in the plane: the samples, D over the plane, G's grid, and the push.

Other rows of numbers are shown by their first two, without D.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from minigan.backend.base import on_host
from minigan.backend.float_errors import ignore_float_errors
from minigan.data import DataSource
from minigan.evaluation.modes import score_modes, sliced_wasserstein
from minigan.evaluation.plane import limits, noise_grid
from minigan.evaluation.push import looking
from minigan.evaluation.response import best_output, log_ratio_of, targets_of
from minigan.gan import Game
from minigan.replay.camera import (
    GREY,
    SEED,
    Camera,
    Landscape,
    Shown,
    output_of,
    roomy,
    short,
    smoothing,
    sorted_range,
)

SHOWN = 180  # samples
POINTS, ARROWS, SHADES = 401, 127, 31  # levels: of a coordinate in the picture, of push, optimal
SIDE = 31  # places along each side of the field
BINS = 3  # of the histogram, from one place to the next
LINES, ALONG = 9, 15  # of G's grid in each direction, and places along a line
DRAWN = 2_000  # samples for the optimal D
SCORED = 1_000  # of them, for the scores
WIDTH = 1.25  # of the smoothing, in distances of two places
REFERENCE = 20_000  # real samples
UNSEEN = 0.2  # samples at every place that D* counts more than there are, of either kind


class VectorCamera(Camera):
    """Rows of numbers: `after` (180, 2), the first two numbers of samples after the step.

    Of rows with one number, the second is 0.
    """

    form: ClassVar[str] = "vector"

    def __init__(self, game: Game, data: DataSource) -> None:
        super().__init__(game, data)
        real = pairs(on_host(data.reference(REFERENCE)))  # (<= 20000, 2)
        self.real, self.targets = real, targets_of(game.loss)
        self.span = limits(real)
        self.shown = Shown.drawn(game, game.generator, SHOWN)
        ends = np.array(self.span)
        low, high = float(ends.min()), float(ends.max())  # of both coordinates
        width = float(ends[0, 1] - ends[0, 0])
        wider = (high - low) / width  # than the square, if that is elsewhere
        self.room = roomy((low, high), math.ceil(POINTS * wider))
        self.array("after", (SHOWN, 2), *self.room)
        modes = getattr(data, "modes", None)  # (K, 2)
        self.scene |= {
            "span": [[*ends] for ends in self.span],
            "real": short(real[:SHOWN], width, 4),
            "modes": None if modes is None else short(modes, width),
            "std": float(getattr(data, "std", 0.0)),
            "output": output_of(game)[0],
            "targets": self.targets,
            "pack": game.discriminator.rows_multiple,
        }

    def before(self, game: Game) -> None:
        """Nothing: only the samples after a step are shown."""

    @ignore_float_errors
    def take(self, game: Game) -> tuple[dict[str, float], dict[str, Any]]:
        return {}, {"after": pairs(self.shown.make()[:SHOWN])}


class PlaneCamera(VectorCamera):
    """Points in the plane. The arrays of a frame:

    before, after: (180, 2) samples.
    push: (180, 2) minus the gradient of G's loss by each of `before`.
    field: (SIDE, SIDE) D at (y, x); absent if D reads a condition.
    optimal: (SIDE, SIDE) the best D for samples as they are after the step, from histograms of
        real and of 2,000 generated ones, smoothed by a normal density. Where there are hardly any
        of either, it is halfway between the targets. Absent if D has no targets, or no field.
    grid: (2, LINES, ALONG, 2) G on lines of constant noise; absent unless G takes two numbers.

    The numbers of a frame are scores of 1,000 samples after the step: see `PointScore`.
    """

    form: ClassVar[str] = "plane"

    def __init__(self, game: Game, data: Any) -> None:
        super().__init__(game, data)
        self.data, self.ops, G = data, game.ops, game.generator
        self.histogram = Histogram(self.span)
        self.p = self.histogram.density(self.real)  # (K,)
        self.drawn = looking(G, DRAWN, game.draw_condition(DRAWN, SEED + 1))
        self.Z = game.draw_noise(DRAWN, SEED + 1)  # (2000, dim)
        self.array("before", (SHOWN, 2), *self.room)
        self.array("push", (SHOWN, 2), ARROWS)
        self.D = None
        if not game.discriminator.condition_features:
            self.D = Landscape(game, self.histogram.places)
            self.array("field", (SIDE, SIDE), GREY, output_of(game)[1])
            if self.targets is not None:
                self.array("optimal", (SIDE, SIDE), SHADES, sorted_range(self.targets))
        grid = noise_grid(game, LINES, ALONG)  # (2, LINES, ALONG, 2)
        self.bent: Any = None
        if grid is not None:
            self.lines = self.ops.from_host(grid.reshape(-1, 2), G.dtype)  # (2 LINES ALONG, 2)
            self.bent = looking(G, len(self.lines))
            self.array("grid", grid.shape, *self.room)

    def before(self, game: Game) -> None:
        self.shown.hold()

    @ignore_float_errors
    def take(self, game: Game) -> tuple[dict[str, float], dict[str, Any]]:
        before, push, _ = self.shown.pushed()  # (n, 2) each
        after = self.shown.make()  # (rows, 2)
        drawn = self.ops.to_host(self.drawn.forward(self.Z, train=False)).astype(np.float64)
        arrays = {"after": after[:SHOWN], "before": before, "push": push}
        if self.D is not None:
            contexts = self.D.contexts(after)  # (C, m - 1, 2)
            arrays["field"] = self.D.outputs(contexts).reshape(SIDE, SIDE)
            if self.targets is not None:
                arrays["optimal"] = self._optimal(drawn, contexts).reshape(SIDE, SIDE)
        if self.bent is not None:
            made = self.ops.to_host(self.bent.forward(self.lines, train=False))
            arrays["grid"] = made.astype(np.float64).reshape(2, LINES, ALONG, 2)
        return self._scores(drawn[:SCORED]), arrays

    def _optimal(self, drawn: Any, contexts: Any) -> Any:
        """D* (K,) for a generator with the samples `drawn` (n, 2); NaN unless all are finite."""
        assert self.targets is not None
        if not (np.isfinite(drawn).all() and np.isfinite(contexts).all()):
            return np.full(len(self.p), np.nan)
        floor = UNSEEN / DRAWN * self.histogram.peak
        log_ratio = log_ratio_of(self.p + floor, self.histogram.density(drawn) + floor)  # (K,)
        others = log_ratio[self.histogram.nearest(contexts)].sum(axis=1)  # (C,)
        return best_output(log_ratio, others, self.targets)

    def _scores(self, drawn: Any) -> dict[str, float]:
        """Of samples (n, 2): the modes found, if the data have some, and the distance."""
        names = [] if self.data.modes is None else ["modes", "high_quality"]
        if not np.isfinite(drawn).all():
            return dict.fromkeys([*names, "sliced"], math.nan)
        scores = score_modes(drawn, self.data.modes, self.data.std) if names else {}
        values = {name: float(scores[name]) for name in names}
        return values | {"sliced": sliced_wasserstein(drawn, self.real[:SCORED])}


class Histogram:
    """Densities on a square, of samples in bins, smoothed by a normal density.

    Args:
        span: the square, (x from, to), (y from, to).

    Attributes:
        places: (K, 2), K = SIDE^2, row after row from the lowest.
        peak: the density (n = 1) of a sample at its place.
    """

    def __init__(self, span: Any) -> None:
        self.span = np.array(span)  # (2, 2)
        x, y = (np.linspace(low, high, SIDE) for low, high in span)  # (SIDE,) each
        self.places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)  # (K, 2)
        self.bins = (SIDE - 1) * BINS  # N, along each side
        step = x[1] - x[0]
        u = np.linspace(0.0, self.bins / BINS, SIDE)
        at = (np.arange(self.bins) + 0.5) / BINS
        self.kernel = smoothing(u * step, at * step, WIDTH * step)  # (SIDE, N)
        self.peak = 1.0 / (2.0 * np.pi * (WIDTH * step) ** 2)

    def density(self, X: Any) -> Any:
        """The density (K,) of finite samples X (n, 2) at the places."""
        low, high = self.span.T
        column, row = np.floor((X - low) / (high - low) * self.bins).T  # (n,) each
        inside = (column >= 0) & (column < self.bins) & (row >= 0) & (row < self.bins)
        index = (row * self.bins + column)[inside].astype(int)
        counts = np.bincount(index, minlength=self.bins**2).reshape(self.bins, self.bins)  # (y, x)
        return (self.kernel @ (counts / len(X)) @ self.kernel.T).ravel()

    def nearest(self, X: Any) -> Any:
        """The index among the places of the nearest one to each of X (..., 2)."""
        low, high = self.span.T
        column, row = np.moveaxis(np.rint((X - low) / (high - low) * (SIDE - 1)), -1, 0)
        clipped = (np.clip(one, 0, SIDE - 1).astype(int) for one in (row, column))
        y, x = clipped
        return y * SIDE + x


def pairs(X: Any) -> Any:
    """The first two numbers of rows X (n, features), as (n, 2) float64; a missing one is 0."""
    first = np.asarray(X, np.float64)[:, :2]  # (n, 1 or 2)
    return np.pad(first, ((0, 0), (0, 2 - first.shape[1])))
