"""Frames of single numbers: the densities, D along the line, G's map of its noise, and the push."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from minigan.backend.float_errors import ignore_float_errors
from minigan.checks import number
from minigan.data import Distribution
from minigan.evaluation.push import looking
from minigan.evaluation.response import best_output, log_ratio_of, targets_of
from minigan.gan import Game
from minigan.replay.camera import (
    COARSE,
    FINE,
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

SHOWN = 200  # samples
REACH = 4.5  # standard deviations of the data on either side of their mean
PLACES = 121  # K, along the line
BINS = 10  # of the histogram, from one place to the next
MAP = 101  # M, quantiles of the noise
BETWEEN = 3  # steps of the noise from one of them to the next, for the density
DRAWN = 10_000  # independent samples for the density; or
SPACED = 4_000  # samples that are evenly spaced in probability


class NumberCamera(Camera):
    """Numbers of a known distribution. The arrays of a frame:

    before, after: (200,) samples.
    push: (200,) minus the gradient of G's loss by each of `before`.
    density: (K,) q at K places, of samples after the step, smoothed by a normal density whose
        standard deviation is the distance of two places. Of noise of one number with known
        quantiles these are 4,000 samples, evenly spaced in probability, between G's values at 301
        quantiles; of other noise 10,000 independent ones.
    learned: (K,) D at these places; absent if D reads a condition.
    optimal: (K,) the best D for this q; absent if D has no targets, or reads a condition.
    map: (M,) G at M quantiles of its noise; absent unless that is one number with known quantiles.

    The numbers of a frame are of the same samples: their mean and standard deviation, and `ks`, the
    Kolmogorov-Smirnov distance, measured at the edges of 1,200 bins.
    """

    form: ClassVar[str] = "number"

    def __init__(self, game: Game, data: Distribution) -> None:
        super().__init__(game, data)
        number("the mean of the data", data.mean)
        number("the standard deviation of the data", data.std, above=0.0)
        low, high = data.mean - REACH * data.std, data.mean + REACH * data.std
        self.span = (low, high)
        self.places = np.linspace(low, high, PLACES)  # (K,)
        step = self.places[1] - self.places[0]
        self.edges = np.linspace(low, high, (PLACES - 1) * BINS + 1)  # (N + 1,)
        self.kernel = smoothing(self.places, (self.edges[1:] + self.edges[:-1]) / 2, step)  # (K, N)
        self.p = np.asarray(data.density(self.places), np.float64)  # (K,)
        self.cdf = np.asarray(data.cdf(self.edges), np.float64)  # (N + 1,)
        self.targets = targets_of(game.loss)
        self.shown = Shown.drawn(game, game.generator, SHOWN)
        conditional = game.discriminator.condition_features > 0
        self.D = None if conditional else Landscape(game, self.places[:, None])
        # Closer together towards the ends, where quantiles are far apart.
        part = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, (MAP - 1) * BETWEEN + 1))  # (L,), 0 to 1
        u = (0.5 + (SPACED - 1.0) * part) / SPACED
        one = game.noise.dim == 1 and not game.generator.condition_features
        z = game.noise.quantile(u) if one else None
        self.drawn: _Between | _Drawn = _Drawn(game) if z is None else _Between(game, z, u)
        self._describe(game, data, u[::BETWEEN], None if z is None else z[::BETWEEN])
        if one:
            Z = game.ops.to_host(self.shown.Z)[:SHOWN, 0]  # (n,)
            self.scene["noise"] = short(Z, _width(Z))

    def _describe(self, game: Game, data: Distribution, u: Any, z: Any | None) -> None:
        """Set `arrays` and `scene`; u and z are (M,) quantiles."""
        output, ends = output_of(game)
        step = self.places[1] - self.places[0]
        most = 1.0 / (step * math.sqrt(2.0 * math.pi))  # q if all samples are at one place
        finite = self.p[np.isfinite(self.p)]
        peak = max(most, *finite.tolist())  # drawn for a density that is infinite somewhere
        self.array("before", (SHOWN,), *roomy(self.span, FINE))
        self.array("after", (SHOWN,), *roomy(self.span, FINE))
        self.array("push", (SHOWN,), COARSE)
        self.array("density", (PLACES,), 4 * FINE, (0.0, most))
        if self.D is not None:
            self.array("learned", (PLACES,), FINE, ends)
            if self.targets is not None:
                self.array("optimal", (PLACES,), FINE, sorted_range(self.targets))
        self.scene |= {
            "span": [*self.span],
            "density": short(np.where(np.isfinite(self.p), self.p, peak), peak),
            "mean": float(data.mean),
            "std": float(data.std),
            "output": output,
            "targets": self.targets,
            "pack": game.discriminator.rows_multiple,
        }
        if z is not None:
            width = self.span[1] - self.span[0]
            self.array("map", (MAP,), *roomy(self.span, FINE))
            exact, falling = data.quantile(u), data.quantile(1.0 - u)
            maps = {"exact": exact, "exact_falling": falling}
            self.scene |= {name: short(x, width) for name, x in maps.items()}
            self.scene["z"] = short(z, _width(z))

    def before(self, game: Game) -> None:
        self.shown.hold()

    @ignore_float_errors
    def take(self, game: Game) -> tuple[dict[str, float], dict[str, Any]]:
        before, push, _ = self.shown.pushed()  # (n, 1) each
        after = self.shown.make()  # (rows, 1)
        x, curve = self.drawn.numbers()  # (n,), and (M,) or None
        q, values = self._measure(x)  # (K,)
        arrays = {"before": before, "after": after[:SHOWN], "push": push}
        arrays = {name: column[:, 0] for name, column in arrays.items()} | {"density": q}
        if self.D is not None:
            contexts = self.D.contexts(after)  # (C, m - 1, 1)
            arrays["learned"] = self.D.outputs(contexts)
            if self.targets is not None:
                log_ratio = log_ratio_of(self.p, q)  # (K,)
                others = np.interp(contexts[:, :, 0], self.places, log_ratio).sum(axis=1)  # (C,)
                arrays["optimal"] = best_output(log_ratio, others, self.targets)
        if curve is not None:
            arrays["map"] = curve
        return values, arrays

    def _measure(self, x: Any) -> tuple[Any, dict[str, float]]:
        """The density (K,) of samples x (n,), and their mean, std and ks; NaN unless all finite."""
        if not np.isfinite(x).all():
            return np.full(PLACES, np.nan), dict.fromkeys(("mean", "std", "ks"), math.nan)
        low, high = self.span
        bins = np.clip((x - low) / (high - low) * (len(self.edges) - 1), -1.0, len(self.edges))
        # The first count is of samples below all edges, the last of those above.
        counts = np.bincount(np.floor(bins).astype(int) + 1, minlength=len(self.edges) + 1)
        share = counts[: len(self.edges)] / len(x)  # (N + 1,)
        ks = float(np.abs(np.cumsum(share) - self.cdf).max())
        values = {"mean": float(x.mean()), "std": float(x.std()), "ks": ks}
        return self.kernel @ share[1:], values


def _width(x: Any) -> float:
    """The width of the range of numbers (n,); 1 if they are all the same."""
    return float(np.ptp(x)) or 1.0


class _Between:
    """G of noise of one number: at quantiles, and samples that lie between them.

    Args:
        game: G is its own.
        z: (L,) quantiles of the noise.
        u: (L,) their probabilities.
    """

    def __init__(self, game: Game, z: Any, u: Any) -> None:
        self.ops = game.ops
        self.Z = self.ops.from_host(z[:, None], game.generator.dtype)  # (L, 1)
        self.G = looking(game.generator, len(z))
        self.u, self.at = u, (np.arange(SPACED) + 0.5) / SPACED  # (L,), (4000,)

    def numbers(self) -> tuple[Any, Any]:
        """4,000 samples, evenly spaced in probability; and G at M quantiles."""
        made = self.ops.to_host(self.G.forward(self.Z, train=False))[:, 0].astype(
            np.float64
        )  # (L,)
        return np.interp(self.at, self.u, made), made[::BETWEEN]


class _Drawn:
    """G of any other noise: independent samples, always of the same noise."""

    def __init__(self, game: Game) -> None:
        self.G, self.ops = game.generator, game.ops
        self.Z = game.draw_noise(DRAWN, SEED + 1)  # (10000, dim)
        self.condition = game.draw_condition(DRAWN, SEED + 1)

    def numbers(self) -> tuple[Any, None]:
        """10,000 samples; there is no map."""
        made = self.ops.to_host(self.G.predict(self.Z, self.condition))[:, 0]  # (10000,)
        return made.astype(np.float64), None
