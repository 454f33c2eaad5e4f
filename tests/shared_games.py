"""Games whose steps several processes can share: what is averaged, drawn and cut in each of them.

The networks are float64. Biases that the next batch normalisation removes are left out, and the
last one of a critic, whose score has no zero: their gradients are rounding, which Adam magnifies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from conditional_games import conditional, labelled, moving

import minigan as mg

BATCH = 10  # 3 processes have 3, 3 and 4 rows of it; in packs of two: 2, 4 and 4
FEATURES, DIM = 4, 3


def points(dtype: str = "float64") -> mg.Samples:
    """Samples (53, 4), of which no epoch ends with a batch."""
    return mg.Samples(np.random.default_rng(0).normal(size=(53, FEATURES)), dtype=dtype)


def generator(
    norm: bool = True, bias: bool = True, dtype: str = "float64", device: str = "cpu"
) -> mg.Sequential:
    """With dropout, and perhaps with batch normalisation, and with a bias at its end."""
    first = [mg.Linear(DIM, 8, bias=not norm), *([mg.BatchNorm(8)] if norm else [])]
    layers = *first, mg.ELU(), mg.Dropout(0.2), mg.Linear(8, FEATURES, bias=bias)
    return mg.Sequential(*layers, name="g", dtype=dtype, device=device)


def discriminator(
    *first: mg.Layer,
    norm: bool = False,
    bias: bool = True,
    dtype: str = "float64",
    device: str = "cpu",
) -> mg.Sequential:
    """With dropout behind `first`, and perhaps as `generator`."""
    inputs = FEATURES * 4 if first else FEATURES  # a pack of two has distances, too
    layers = [mg.Linear(inputs, 8, bias=not norm), *([mg.BatchNorm(8)] if norm else [])]
    layers += [mg.LeakyReLU(0.2), mg.Dropout(0.3), mg.Linear(8, 1, bias=bias)]
    return mg.Sequential(*first, *layers, name="d", dtype=dtype, device=device)


def plain(dtype: str = "float64", device: str = "cpu", **options: Any) -> mg.GAN:
    """Batch normalisation and dropout in both networks, an average of G, a rate that falls."""
    where = {"dtype": dtype, "device": device}
    G, D = generator(bias=False, **where), discriminator(norm=True, **where)
    decay = mg.LinearDecay(start=20, end=60)
    return mg.GAN(
        *(G, D, mg.Normal(dim=DIM), None),
        mg.Adam(G.parameters, 2e-3, (0.5, 0.9), decay=decay),
        mg.SGD(D.parameters, 2e-2, momentum=0.5),
        **{"average": 0.9} | options,
    )


def packed() -> mg.GAN:
    """D scores packs of two, with dropout behind the pack; the penalty draws a number a pack."""
    G, D = generator(), discriminator(mg.Pack(2))
    rules = mg.Adam(G.parameters, 2e-3), mg.Adam(D.parameters, 2e-3)
    noise = mg.Stratified(dim=DIM)
    return mg.GAN(G, D, noise, mg.LeastSquares(), *rules, penalty=mg.GradientPenalty(1.0))


def critic() -> mg.GAN:
    """WGAN-GP: five updates of D a step, each with new real samples."""
    G, D = generator(), discriminator(bias=False)
    rules = mg.Adam(G.parameters, 2e-3, (0.0, 0.9)), mg.Adam(D.parameters, 2e-3, (0.0, 0.9))
    settings = {"penalty": mg.GradientPenalty(10.0), "d_steps": 5, "fresh_real": True}
    return mg.GAN(G, D, mg.Uniform(dim=DIM), mg.Wasserstein(), *rules, **settings)


def clipped() -> mg.GAN:
    """The first WGAN: RMSprop, and D's weights are clipped; two updates of G a step."""
    G, D = generator(norm=False), discriminator(bias=False)
    rules = mg.RMSprop(G.parameters, 1e-3), mg.RMSprop(D.parameters, 1e-3)
    settings = {"constraint": mg.Clip(0.05), "d_steps": 2, "g_steps": 2, "average": 0.9}
    return mg.GAN(G, D, mg.Normal(dim=DIM), mg.Wasserstein(), *rules, **settings)


def one_noise() -> mg.GAN:
    """G learns on the samples that D has scored; R1 on all real samples; weights decay."""
    G, D = generator(), discriminator()
    rules = mg.Adam(G.parameters, 2e-3, weight_decay=0.1), mg.SGD(D.parameters, 2e-2)
    settings = {"same_noise": True, "penalty": mg.R1(gamma=0.5)}
    return mg.GAN(G, D, mg.Normal(dim=DIM), mg.Hinge(), *rules, **settings)


def images() -> mg.GAN:
    """Images of 2 x 2 pixels: batch normalisation over the pixels of all images."""
    pixels = {"kernel": 1, "stride": 1, "padding": 0, "size": 2, "bias": False}
    G = mg.Sequential(
        *(mg.Linear(DIM, 8, bias=False), mg.BatchNorm(2), mg.ReLU()),
        mg.ConvTranspose2d(2, 1, **pixels),
        name="g",
        dtype="float64",
    )
    D = mg.Sequential(
        *(mg.Conv2d(1, 3, **pixels), mg.BatchNorm(3), mg.LeakyReLU(0.2), mg.Dropout(0.2)),
        mg.Linear(12, 1),
        name="d",
        dtype="float64",
    )
    rules = mg.Adam(G.parameters, 2e-3), mg.Adam(D.parameters, 2e-3)
    return mg.GAN(G, D, mg.Normal(dim=DIM), mg.NonSaturating(), *rules)


def two_dimensional() -> mg.GAN:
    """Makes points of the plane."""
    where = {"dtype": "float64"}
    G = mg.Sequential(mg.Linear(2, 8), mg.BatchNorm(8), mg.Tanh(), mg.Linear(8, 2), **where)
    D = mg.Sequential(mg.Linear(2, 8), mg.Tanh(), mg.Linear(8, 1), seed=1, **where)
    return mg.GAN(G, D, mg.Normal(dim=2), average=0.9)


#: By name: the game, and its data.
GAMES: dict[str, tuple[Any, Any]] = {
    "plain": (plain, points),
    "packed": (packed, points),
    "critic": (critic, points),
    "clipped": (clipped, points),
    "one_noise": (one_noise, points),
    "images": (images, points),
    "conditional": (lambda: conditional("embed", in_d=[mg.Dropout(0.3)]), labelled),
    "fresh_labels": (lambda: conditional(d_steps=2, fresh_real=True, average=0.9), labelled),
    "info": (lambda: moving(norm=False, average=0.9), labelled),
    "info_norm": (lambda: moving(norm=True), labelled),
}
