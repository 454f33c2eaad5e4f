"""Rungs 6 and 7: minigan, the ideas of rungs 3 to 5 as layers that do not know each other.

`Layers` runs the engine as it is written. `Captured` records the NumPy calls of its first step and
replays them from then on, without the Python that led to them.
"""

from __future__ import annotations

import numpy as np

from bench.ladder.start import Array, Start, engine


class Layers:
    captured = False

    def __init__(self, start: Start) -> None:
        self.gan, self.data = engine(start.G[0].dtype.name, start.seed)
        self.gan.capture(self.captured)

    def step(self) -> None:
        self.data.next_batch(out=self.gan.real)
        self.gan.step()

    def parameters(self) -> tuple[Array, Array]:
        return self.gan.generator.parameters.data, self.gan.discriminator.parameters.data

    def losses(self) -> Array:
        return np.array(list(self.gan.losses().values()))  # (3,)


class Captured(Layers):
    captured = True
