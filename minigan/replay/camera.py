"""What a frame of a recording holds: a camera looks at a game and changes nothing in it.

A frame is one step in two halves. Its samples are always of the same noise:

    before    G's samples of the noise before the step
    D         after its half of the step, and where it pushes the samples `before`
    after     G's samples of the noise after the step

number.py, plane.py and images.py have a camera each, for the forms of data. All passes are bound
once, in evaluation mode: without dropout, and with the running statistics of batch normalisation.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, cast

import numpy as np

from minigan.errors import OrderError
from minigan.evaluation.push import Push, looking
from minigan.evaluation.response import as_shown
from minigan.gan import Game
from minigan.gan.losses import LOGIT, PROBABILITY
from minigan.nn import Sequential
from minigan.training.frame_format import LEVELS

SEED = 0  # of the noise
CONTEXTS = 4  # packs in which a sample is replaced, for discriminators of packs
LARGEST = float(np.finfo(np.float32).max)
ROOM, LEAST_ROOM = 8, 1.25  # times the picture: how far samples are recorded
FINE, COARSE, GREY = 1023, 255, 63  # levels of an array: two bytes a number, one, and fewer bits


class Camera:
    """What is recorded of a game on data of one form.

    Both depend on the game's definition and on the data alone, so that a resumed run has the same.

    Args:
        game: no population.
        data: what it trains on.

    Attributes:
        form: of the data.
        arrays: of each array of a frame, in order: {"name", "shape", "levels", "range"}. A range
            that is None is another one in each frame.
        scene: what is the same in all frames, as JSON.
    """

    form: ClassVar[str]

    def __init__(self, game: Game, data: Any) -> None:
        self.arrays: list[dict[str, Any]] = []
        self.scene: dict[str, Any] = {}

    def before(self, game: Game) -> None:
        """Take what a frame holds of the state before its step."""
        raise NotImplementedError

    def take(self, game: Game) -> tuple[dict[str, float], dict[str, Any]]:
        """The frame, after its step: numbers by name, and the arrays, on the host.

        Numbers that are not finite stay so.

        Raises:
            OrderError: `before` was not called since the last frame.
        """
        raise NotImplementedError

    def array(
        self,
        name: str,
        shape: tuple[int, ...],
        levels: int,
        range: tuple[float, float] | None = None,
    ) -> None:
        """Add an array to those of a frame."""
        ends = None if range is None else np.clip(range, -LARGEST, LARGEST).tolist()
        one = {"name": name, "shape": list(shape), "levels": levels, "range": ends}
        self.arrays.append(one)


class Shown:
    """The samples that every frame shows: what G makes of always the same noise.

    D judges whole packs, so there may be some samples more than are shown.

    Args:
        game: whose D and loss push the samples.
        net: G, or its average.
        noise: (n, dim).
        condition: (n, condition features), or None.
    """

    def __init__(self, game: Game, net: Sequential, noise: Any, condition: Any | None) -> None:
        ops, D = game.ops, game.discriminator
        self.ops, self.n = ops, len(noise)
        self.rows = -(-self.n // D.rows_multiple) * D.rows_multiple
        again = np.arange(self.rows) % self.n  # the last pack is filled up with the first samples
        self.Z = ops.from_host(ops.to_host(noise)[again], net.dtype)  # (rows, dim)
        C = None  # (rows, condition features)
        if condition is not None:
            C = ops.from_host(ops.to_host(condition)[again], net.dtype)
        self.G = looking(net, self.rows, C)
        self._push = Push(game, self.rows, C if D.condition_features else None)
        self.held: Any = None  # (rows, features), the samples of `hold`

    @classmethod
    def drawn(cls, game: Game, net: Sequential, n: int) -> Shown:
        """n samples of noise, and of labels and codes if G reads them, drawn from `SEED`."""
        return cls(game, net, game.draw_noise(n, SEED), game.draw_condition(n, SEED))

    def make(self) -> Any:
        """G's samples as it is now, (rows, features) float64 on the host."""
        return self.ops.to_host(self.G.forward(self.Z, train=False)).astype(np.float64)

    def hold(self) -> None:
        """Make the samples that `pushed` is about."""
        self.held = self.make()
        self.ops.copy(self.G.Y, out=self._push.X)

    def pushed(self) -> tuple[Any, Any, Any]:
        """The samples that were held, and are released now; D's push; and D's outputs.

        Returns:
            (n, features), (n, features) and (n,), on the host. A sample in a pack has the pack's
            output.

        Raises:
            OrderError: there are none.
        """
        if self.held is None:
            raise OrderError("a frame needs the samples before its step: call before(game) first")
        held, self.held = self.held, None
        push = self._push()  # (rows, features)
        Y = self.ops.to_host(self._push.Y)[:, 0].astype(np.float64)  # (P,)
        outputs = np.repeat(Y, self.rows // len(Y))  # (rows,)
        return held[: self.n], push[: self.n], outputs[: self.n]


class Landscape:
    """D at always the same places; of packs, with one of their samples at the place.

    Args:
        game: whose D reads no condition.
        places: (K, features).
    """

    def __init__(self, game: Game, places: Any) -> None:
        D = game.discriminator
        self.D, self.ops, self.output = D, game.ops, cast(Any, game.loss).output
        self.m = D.rows_multiple
        self._pass = looking(D, len(places) * self.m)
        self.packs = np.repeat(places[:, None].astype(D.dtype), self.m, axis=1)  # (K, m, features)
        self._write()

    def _write(self) -> None:
        rows = self.packs.reshape(-1, self.packs.shape[-1])  # (K m, features)
        self.ops.copy(self.ops.from_host(rows, self.D.dtype), out=self._pass.X)

    def contexts(self, samples: Any) -> Any:
        """The other samples of at most `CONTEXTS` packs of samples (n, features).

        (C, m - 1, features); C is 1 if D takes single samples.
        """
        m, C = self.m, min(CONTEXTS, len(samples) // self.m) if self.m > 1 else 1
        return samples[: C * m].reshape(C, m, -1)[:, 1:]

    def outputs(self, contexts: Any) -> Any:
        """D at the places (K,) float64: a probability, or its plain output; the mean over packs."""
        total = np.zeros(len(self.packs))  # (K,)
        for others in contexts:
            if self.m > 1:
                self.packs[:, 1:] = others
                self._write()
            Y = self.ops.to_host(self._pass.forward(self._pass.X, train=False))  # (K, 1)
            total += as_shown(Y[:, 0].astype(np.float64), self.output)[0]
        return total / len(contexts)


def output_of(game: Game) -> tuple[str, tuple[float, float] | None]:
    """What D's outputs are, "probability" or "score", and their range, if it is known."""
    output = cast(Any, game.loss).output
    return (PROBABILITY, (0.0, 1.0)) if output in (LOGIT, PROBABILITY) else (output, None)


def roomy(span: tuple[float, float], levels: int) -> tuple[int, tuple[float, float]]:
    """The levels and the range of places that may lie far outside of the picture `span`.

    A generator may leave the picture. The picture itself has `levels` levels. There is less room if
    all levels together would not fit into 16 bits.
    """
    room = min(ROOM, max((LEVELS - 1) / (levels - 1), LEAST_ROOM))
    middle, half = (span[0] + span[1]) / 2, room * (span[1] - span[0]) / 2
    return min(math.floor(room * (levels - 1)) + 1, LEVELS), (middle - half, middle + half)


def sorted_range(targets: tuple[float, float]) -> tuple[float, float]:
    """The range of D's targets, a little wider if they are the same."""
    low, high = min(targets), max(targets)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def smoothing(places: Any, centres: Any, width: float) -> Any:
    """(K, N): how much each of N bins contributes to the density at each of K places.

    The weights are a normal density of standard deviation `width` around each place.
    """
    z = (places[:, None] - centres) / width
    weights: Any = np.exp(-0.5 * z**2) / (width * np.sqrt(2.0 * np.pi))
    return weights


def short(values: Any, width: float, digits: int = 5) -> Any:
    """Numbers of any shape as nested lists with few digits, for JSON.

    Args:
        values: those that are too large for float32 become its largest number.
        width: of the picture, > 0. Numbers that are larger have more digits, so that two places in
            a picture far from 0 stay apart.
        digits: of a number that is not.
    """
    X = np.clip(np.nan_to_num(np.asarray(values, np.float64)), -LARGEST, LARGEST)
    with np.errstate(divide="ignore"):
        more = np.maximum(np.ceil(np.log10(np.abs(X)) - math.log10(width)), 0.0)  # of 0: none
    flat = zip(X.ravel().tolist(), more.ravel().astype(int).tolist(), strict=True)
    return np.array([float(f"{x:.{digits + n}g}") for x, n in flat]).reshape(X.shape).tolist()
