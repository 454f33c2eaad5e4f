"""What all rungs share: the settings, the first weights and the random numbers.

The GAN is the recipe "article" of examples/gaussian1d.py. G is 1-50-50-1 with ELU and sigmoid;
D is 200-50-50-1 with ELU, ELU and sigmoid. D scores a batch of 100 samples as one input: the
samples, then their squared deviations from the batch's mean, which counts as a constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import minigan as mg
from examples.gaussian1d import RECIPES, build
from minigan.backend.random import stream_key

BATCH = 100  # B real samples per step, and B generated ones
HIDDEN = 50  # H: width of the hidden layers
REAL_TARGET, FAKE_TARGET, GENERATOR_TARGET = 0.95, 0.0, 0.95
LR, BETA1, BETA2, EPS = 2e-4, 0.9, 0.999, 1e-8
MEAN, STD = 4.0, 1.25  # of the real samples
MIN_VARIANCE, MIN_LOG = 1e-12, -100.0  # lower bounds in the gradient and in the loss of BCE
# A fill of B numbers takes whole blocks of eight uniforms and leaves the rest of the last block.
DRAWN = 104

Array = Any  # numpy.ndarray


@dataclass
class Start:
    """The same values for every rung; each rung gets its own copy."""

    G: list[Array]  # W (1, H), b (1, H), W (H, H), b (1, H), W (H, 1), b (1, 1)
    D: list[Array]  # W (2B, H), b (1, H), W (H, H), b (1, H), W (H, 1), b (1, 1)
    # Random generators. A step draws DRAWN float32 uniforms from each, and uses the first B.
    d_noise: Any  # of G's input in D's half of a step
    g_noise: Any  # of G's input in G's half
    data: Any  # of the real samples
    seed: int  # of all of these


def start(dtype: str = "float32", seed: int = 0) -> Start:
    """The engine's own first weights and streams, as plain arrays and generators."""
    gan, _ = engine(dtype, seed)
    streams = [
        np.random.Generator(np.random.Philox(key=stream_key(seed, name), counter=0))
        for name in ("gan/discriminator_noise", "gan/generator_noise", "data")
    ]
    G, D = (
        [array.copy() for array in net.parameters.named().values()]
        for net in (gan.generator, gan.discriminator)
    )
    return Start(G, D, *streams, seed)


def engine(dtype: str = "float32", seed: int = 0) -> tuple[mg.GAN, mg.Gaussian]:
    """The GAN of the recipe "article" in either precision, bound to its batch, and its data."""
    gan, data = build(RECIPES["article"], seed)
    if dtype != gan.generator.dtype:
        G, D = gan.generator.astype(dtype), gan.discriminator.astype(dtype)
        adams = [mg.Adam(net.parameters, LR, (BETA1, BETA2)) for net in (G, D)]
        gan = mg.GAN(G, D, gan.noise, gan.loss, *adams)
    gan.bind(BATCH)
    return gan, data
