"""What all rungs share: the settings, the first weights and the random numbers.

The GAN is the recipe "article" of examples/gaussian1d.py. G is 1-50-50-1 with ELU and sigmoid;
D is 200-50-50-1 with ELU, ELU and sigmoid. D judges a batch of 100 samples as one input: the
samples, then their squared deviations from the batch's mean, which counts as a constant.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import minigan as mg
from examples.gaussian1d import RECIPES, build
from minigan.backend.random import stream_key

BATCH = 100  # B: real samples a step, and as many generated ones
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
    """The same values for every rung; each rung gets its own copy.

    Attributes:
        G: W (1, H), b (1, H), W (H, H), b (1, H), W (H, 1), b (1, 1).
        D: W (2B, H), b (1, H), W (H, H), b (1, H), W (H, 1), b (1, 1).
        d_noise, g_noise, data: random generators of G's input in D's half of a step, in G's half,
            and of the real samples. Every step draws DRAWN float32 uniforms from each, and uses
            the first B of them.
        seed: of all of these.
    """

    G: list[Array]
    D: list[Array]
    d_noise: Any
    g_noise: Any
    data: Any
    seed: int


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


def show(kind: Callable[[Start], Any], steps: int) -> None:
    """Take some steps of one rung; print how long they took and the losses."""
    rung = kind(start())
    with threadpool_limits(1, "blas"):
        rung.step()
        began = time.perf_counter()
        for _ in range(steps):
            rung.step()
        microseconds = (time.perf_counter() - began) / steps * 1e6
    d_real, d_fake, g = rung.losses()
    print(
        f"{microseconds:,.1f} microseconds a step; mean losses of {steps + 1:,} steps: "
        f"D real {d_real:.4f}, D fake {d_fake:.4f}, G {g:.4f}"
    )
