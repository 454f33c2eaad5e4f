"""Small games of every kind that several processes can share, with batches and data."""

from __future__ import annotations

from typing import Any

import numpy as np
from conditional_games import conditional, info, labelled

import minigan as mg

BATCH = 14  # its seven packs of two cannot be shared equally


def linear(n_in: int, n_out: int) -> mg.Linear:
    """Without a bias: where it would change nothing, its gradient is rounding alone.

    Adam makes steps of the usual size out of that, which differ for every order of sums.
    """
    return mg.Linear(n_in, n_out, bias=False)


def plain(dtype: str = "float64", **options: Any) -> mg.GAN:
    """Dropout and batch normalisation in both networks, packs in D, an averaged G."""
    drop = mg.Dropout(0.3)
    G = mg.Sequential(
        *(linear(3, 8), mg.BatchNorm(8), mg.ReLU(), drop, linear(8, 4)),
        name="g",
        dtype=dtype,
    )
    D = mg.Sequential(
        *(mg.Pack(2), linear(16, 8), mg.BatchNorm(8), mg.LeakyReLU(0.2), drop, mg.Linear(8, 1)),
        name="d",
        dtype=dtype,
    )
    return mg.GAN(G, D, mg.Normal(dim=3), average=0.9, **options)


def critic(constraint: bool = False, **options: Any) -> mg.GAN:
    """A Wasserstein GAN with a penalty, or clipped, whose critic gets more samples."""
    G = mg.Sequential(mg.Linear(3, 8), mg.ReLU(), mg.Linear(8, 4), name="g", dtype="float64")
    D = mg.Sequential(
        *(mg.Linear(4, 8), mg.LeakyReLU(0.2), linear(8, 1)), name="d", dtype="float64"
    )
    if constraint:
        options |= {
            "constraint": mg.Clip(0.05),
            "generator_optimizer": mg.RMSprop(G.parameters, 1e-2),
            "discriminator_optimizer": mg.RMSprop(D.parameters, 1e-2),
        }
    else:
        options |= {"penalty": mg.GradientPenalty(10.0)}
    noise = mg.Stratified(dim=3)
    return mg.GAN(G, D, noise, loss=mg.Wasserstein(), d_steps=3, fresh_real=True, **options)


def samples(dtype: str = "float64") -> mg.Samples:
    """40 samples (40, 4), so that epochs end within batches."""
    return mg.Samples(np.random.default_rng(0).normal(size=(40, 4)), dtype=dtype)


def smooth() -> mg.GAN:
    """With R1, which needs the second derivatives of ELU."""
    G = mg.Sequential(mg.Linear(3, 8), mg.ELU(), mg.Linear(8, 4), name="g", dtype="float64")
    D = mg.Sequential(mg.Linear(4, 8), mg.ELU(), mg.Linear(8, 1), name="d", dtype="float64")
    return mg.GAN(G, D, mg.Normal(dim=3), penalty=mg.R1(gamma=0.5))


#: By name, how a game and its data are made.
GAMES = {
    "plain": lambda: (plain(), samples()),
    "same noise": lambda: (plain(same_noise=True, g_steps=2), samples()),
    "gradient penalty": lambda: (critic(), samples()),
    "clipped": lambda: (critic(constraint=True), samples()),
    "R1": lambda: (smooth(), samples()),
    "conditional": lambda: (conditional("embed"), labelled()),
    "InfoGAN": lambda: (info(norm=True), samples()),
    "Consistency": lambda: (
        info(consistency=mg.Consistency((2, 2), zoom=0.3, shear=0.5, shift=1.0)),
        samples(),
    ),
}
