"""What is measured: the training steps that every engine takes.

The networks and settings are those of the recipe "article" in examples/gaussian1d.py and
examples/mnist.py. They are repeated here so that a process that measures PyTorch need not import
minigan; a test compares them with the recipes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

IMAGES = 60_000  # as many as MNIST has; the pixels are random, since time does not depend on them
PIXELS = 784
LR = 2e-4
BETAS = (0.9, 0.999)
EPS = 1e-8
FAKE_TARGET = 0.0


@dataclass(frozen=True)
class Workload:
    """One GAN and its data."""

    name: str  # a key of `WORKLOADS`
    one_dimensional: bool  # whether D scores a pack of numbers; otherwise it scores images
    batch: int  # B real samples per step, and B generated ones
    rows: int  # outputs of D on B samples: one of the whole pack, or one each
    g_sizes: tuple[int, ...]  # features before and after each Linear of G
    d_sizes: tuple[int, ...]  # and of D
    g_activations: tuple[str, ...]  # after each Linear of G; "" for none
    d_activations: tuple[str, ...]  # after each Linear of D
    noise_low: float  # G's input is uniform between this and 1
    dropout: float  # after each hidden layer of both networks; 0 for none
    real_target: float  # of D on real samples
    generator_target: float  # of G, for D's outputs on generated samples
    same_noise: bool = (
        False  # G learns on the samples that D has just scored: it runs once per step
    )


def numbers(name: str, hidden: int, batch: int = 100) -> Workload:
    """The 1-D GAN with hidden layers of that width."""
    g_sizes, d_sizes = (1, hidden, hidden, 1), (2 * batch, hidden, hidden, 1)
    activations = ("elu", "sigmoid", ""), ("elu", "elu", "sigmoid")
    return Workload(name, True, batch, 1, g_sizes, d_sizes, *activations, 0.0, 0.0, 0.95, 0.95)


def images(name: str, hidden: int, batch: int = 100, same_noise: bool = False) -> Workload:
    """The GAN of MNIST with hidden layers of that width."""
    sizes = (100, hidden, hidden, PIXELS), (PIXELS, hidden, hidden, 1)
    activations = ("relu", "relu", "tanh"), ("relu", "relu", "sigmoid")
    settings = (-1.0, 0.2, 0.9, 1.0, same_noise)
    return Workload(name, False, batch, batch, *sizes, *activations, *settings)


MEAN, STD = 4.0, 1.25  # of the real numbers of gaussian1d
TITLES = {
    "gaussian1d": "1-D Gaussian: hidden width 50, D scores packs of 100",
    "mnist256": "MNIST, hidden width 256, fresh noise in both halves",
    "mnist256-same": "MNIST, hidden width 256, G learns on the samples that D scored",
    "mnist1200": "MNIST, hidden width 1200, fresh noise in both halves",
    "mnist1200-same": "MNIST, hidden width 1200, G learns on the samples that D scored",
}
WORKLOADS = {
    workload.name: workload
    for workload in (
        numbers("gaussian1d", 50),
        images("mnist256", 256),
        images("mnist256-same", 256, same_noise=True),
        images("mnist1200", 1200),
        images("mnist1200-same", 1200, same_noise=True),
    )
}


def random_pixels() -> Any:
    """The images: (60000, 784) uint8, always the same."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (IMAGES, PIXELS), dtype=np.uint8)
