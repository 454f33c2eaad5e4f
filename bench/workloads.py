"""What is measured: the training steps that every engine takes.

The networks and settings are those of the recipe "article" in examples/gaussian1d.py and
examples/mnist.py. They are repeated here so that a process that measures PyTorch need not import
minigan; a test compares them with the recipes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

IMAGES = 60_000  # as many as MNIST has; the pixels are random, since time does not depend on them
PIXELS = 784
LR = 2e-4
BETAS = (0.9, 0.999)
EPS = 1e-8
FAKE_TARGET = 0.0


@dataclass(frozen=True)
class Workload:
    """One GAN and its data.

    Attributes:
        name: as `--workloads` takes it.
        kind: "gaussian1d" or "mnist".
        hidden: width H of every hidden layer.
        batch: B real samples a step, and as many generated ones.
        same_noise: G learns on the samples that D has just judged, so G runs once a step.
    """

    name: str
    kind: str
    hidden: int
    batch: int = 100
    same_noise: bool = False

    @property
    def one_dimensional(self) -> bool:
        """Whether D judges a pack of numbers; otherwise it judges images."""
        return self.kind == "gaussian1d"

    @property
    def g_sizes(self) -> tuple[int, ...]:
        """Features before and after each Linear of G."""
        if self.one_dimensional:
            return (1, self.hidden, self.hidden, 1)
        return (100, self.hidden, self.hidden, PIXELS)

    @property
    def d_sizes(self) -> tuple[int, ...]:
        """Features before and after each Linear of D."""
        first = 2 * self.batch if self.one_dimensional else PIXELS
        return (first, self.hidden, self.hidden, 1)

    @property
    def g_activations(self) -> tuple[str, str, str]:
        """After each Linear of G; "" for none."""
        return ("elu", "sigmoid", "") if self.one_dimensional else ("relu", "relu", "tanh")

    @property
    def d_activations(self) -> tuple[str, str, str]:
        """After each Linear of D."""
        return ("elu", "elu", "sigmoid") if self.one_dimensional else ("relu", "relu", "sigmoid")

    @property
    def rows(self) -> int:
        """Verdicts of D on B samples: one of the whole pack, or one each."""
        return 1 if self.one_dimensional else self.batch

    @property
    def noise_low(self) -> float:
        """G's input is uniform between this and 1."""
        return 0.0 if self.one_dimensional else -1.0

    @property
    def dropout(self) -> float:
        """After each hidden layer of both networks; 0 for none."""
        return 0.0 if self.one_dimensional else 0.2

    @property
    def real_target(self) -> float:
        """D's target for real samples."""
        return 0.95 if self.one_dimensional else 0.9

    @property
    def generator_target(self) -> float:
        """G's target for D's verdicts on generated samples."""
        return 0.95 if self.one_dimensional else 1.0


MEAN, STD = 4.0, 1.25  # of the real numbers of gaussian1d
TITLES = {
    "gaussian1d": "1-D Gaussian: hidden width 50, D judges packs of 100",
    "mnist256": "MNIST, hidden width 256, fresh noise in both halves",
    "mnist256-same": "MNIST, hidden width 256, G learns on the samples that D judged",
    "mnist1200": "MNIST, hidden width 1200, fresh noise in both halves",
    "mnist1200-same": "MNIST, hidden width 1200, G learns on the samples that D judged",
}
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("gaussian1d", "gaussian1d", 50),
        Workload("mnist256", "mnist", 256),
        Workload("mnist256-same", "mnist", 256, same_noise=True),
        Workload("mnist1200", "mnist", 1200),
        Workload("mnist1200-same", "mnist", 1200, same_noise=True),
    )
}


def parameter_count(sizes: tuple[int, ...]) -> int:
    """Weights and biases of Linears between these numbers of features."""
    return sum((i + 1) * o for i, o in pairwise(sizes))


def random_pixels() -> Any:
    """The images: (60000, 784) uint8, always the same."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (IMAGES, PIXELS), dtype=np.uint8)


def shuffled(batch: int, batches: int = 1) -> Iterator[Any]:
    """Row numbers without end: (batches, B) int32 at a time, in a new order every epoch.

    What is left over at an epoch's end is dropped, as PyTorch's DataLoader does on request.
    """
    import numpy as np

    random = np.random.default_rng(0)
    piece = batch * batches
    while True:
        order = random.permutation(IMAGES).astype(np.int32)
        for start in range(0, IMAGES - piece + 1, piece):
            yield order[start : start + piece].reshape(batches, batch)
