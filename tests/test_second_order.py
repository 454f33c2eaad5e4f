"""The gradient of a gradient, by hand: against differences, in each layer and each penalty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan.backend import Stream, get_backend
from minigan.gan.penalties import DiscriminatorUpdate, SlopePass
from minigan.nn.differences import Differences, Evaluation
from minigan.nn.second_order import SecondOrder

TOLERANCE = 1e-8  # relative to the largest entry of a gradient
N = 8  # samples; four packs of two

Layers = tuple[mg.Layer, ...]

#: Layers that can be anywhere in a network, by the name of a test.
ANYWHERE: dict[str, mg.Layer] = {
    "ReLU": mg.ReLU(),
    "LeakyReLU": mg.LeakyReLU(0.2),
    "ELU": mg.ELU(),
    "ELU 0.4": mg.ELU(0.4),
    "ELU 2.5": mg.ELU(2.5),
    "Sigmoid": mg.Sigmoid(),
    "Tanh": mg.Tanh(),
    "Dropout": mg.Dropout(0.3),
}


def dense(layer: mg.Layer) -> Layers:
    return mg.Linear(3, 5), layer, mg.Tanh(), mg.Linear(5, 4, bias=False), layer, mg.Linear(4, 1)


def convolutional(layer: mg.Layer) -> Layers:
    """Images of 4 x 4 pixels, then of 2 x 2 with two channels."""
    first = mg.Conv2d(1, 2, 3, 2, 1, size=4), layer, mg.Tanh()
    return *first, mg.Conv2d(2, 3, 2, 1, 0, size=2), layer, mg.Linear(3, 1)


NETS: dict[str, Layers] = {
    "Linear": (mg.Linear(3, 4), mg.Linear(4, 1)),
    "Linear alone": (mg.Linear(3, 1),),
    **{f"{name}, dense": dense(layer) for name, layer in ANYWHERE.items()},
    **{f"{name}, convolutional": convolutional(layer) for name, layer in ANYWHERE.items()},
    "Sigmoid last": (mg.Linear(3, 4), mg.Tanh(), mg.Linear(4, 1), mg.Sigmoid()),
    "Tanh first": (mg.Tanh(), mg.Linear(3, 4), mg.ELU(), mg.Linear(4, 1)),
    "Pack": (mg.Pack(2), mg.Linear(12, 5), mg.LeakyReLU(0.2), mg.Linear(5, 1)),
    "Pack, smooth": (mg.Pack(2), mg.Linear(12, 5), mg.Tanh(), mg.Linear(5, 1)),
    "Pack without deviations": (
        *(mg.Pack(2, deviations=False), mg.Linear(6, 5), mg.ELU(), mg.Linear(5, 1)),
    ),
    "Pack later": (mg.Linear(3, 2), mg.Pack(2), mg.Linear(8, 3), mg.ReLU(), mg.Linear(3, 1)),
    "Pack later, smooth": (
        *(mg.Linear(3, 2), mg.Tanh(), mg.Pack(2), mg.Linear(8, 3), mg.Sigmoid(), mg.Linear(3, 1)),
    ),
    "Pack later, without deviations": (
        *(mg.Linear(3, 2), mg.Tanh(), mg.Pack(2, deviations=False)),
        *(mg.Linear(4, 3), mg.Tanh(), mg.Linear(3, 1)),
    ),
    "Pack of packs": (
        *(mg.Pack(2), mg.Linear(12, 2), mg.Tanh(), mg.Pack(2), mg.Linear(8, 1)),
    ),
    "ConvTranspose2d": (
        *(mg.Conv2d(1, 2, 3, 2, 1, size=4), mg.ELU(), mg.ConvTranspose2d(2, 1, 3, 2, 1, size=2)),
        *(mg.Tanh(), mg.Linear(9, 1)),
    ),
    "ConvTranspose2d first": (
        *(mg.ConvTranspose2d(2, 1, 3, 2, 1, output_padding=1, size=2), mg.Sigmoid()),
        mg.Linear(16, 1),
    ),
    "Upsample2d": (
        *(mg.Upsample2d(1, (2, 1), size=2), mg.Conv2d(1, 2, 3, 2, 1, size=(4, 2)), mg.Tanh()),
        *(mg.Upsample2d(2, 2, size=(2, 1)), mg.Linear(16, 1)),
    ),
}  # fmt: skip

PENALTIES: dict[str, mg.Penalty] = {
    "two-sided": mg.GradientPenalty(10.0),
    "one-sided": mg.GradientPenalty(10.0, one_sided=True),
    "R1": mg.R1(3.0),
}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def slopes(second: SecondOrder, X: np.ndarray) -> np.ndarray:
    """The norm of D's input gradient, by the first backward: (P,)"""
    packs = second.dY.shape[-2]
    return np.linalg.norm(second.input_gradient(X).reshape(packs, -1), axis=-1)


def value(penalty: mg.Penalty, norms: np.ndarray) -> float:
    """The published formula, of the norms (P,)."""
    if isinstance(penalty, mg.R1):
        return penalty.gamma / 2 * float(np.mean(norms**2))
    over = np.maximum(norms - 1, 0) if penalty.one_sided else norms - 1
    return penalty.weight * float(np.mean(over**2))


def network(layers: Layers, seed: Any = 1, dtype: str = "float64") -> mg.Sequential:
    """A critic whose slopes lie on both sides of 1."""
    features = getattr(layers[0], "in_features", 3)
    net = mg.Sequential(*layers, in_features=features, seed=seed, dtype=dtype)
    last = isinstance(layers[-1], mg.Linear)
    net.parameters.data = (0.6 if last else 2.0) * normal(*net.parameters.data.shape, seed=2)
    if last and not net.population:
        norms = slopes(SecondOrder(net, N), normal(N, features, seed=3).astype(dtype))
        net.parameters.named()[f"{len(layers) - 1}.weight"][:] /= 0.9 * np.median(norms)
    return net


def bound(penalty: mg.Penalty, net: mg.Sequential) -> SlopePass:
    """The penalty of a net's update, of real and generated samples (N, features)."""
    shape = (*net.population, N, net.in_features)
    real, fake = (normal(*shape, seed=s).astype(net.dtype) for s in (3, 4))
    rows = (*net.population, N // net.rows_multiple, 1)
    outputs = [np.zeros(rows, net.dtype) for _ in range(4)]
    made = penalty.bind(DiscriminatorUpdate(net, real, fake, *outputs, Stream(net.seed, "alpha")))
    assert isinstance(made, SlopePass)
    return made


def added(penalty: mg.Penalty, net: mg.Sequential) -> tuple[np.ndarray, SlopePass]:
    """The gradient that a penalty adds to D's, and the bound penalty after that."""
    made = bound(penalty, net)
    start = normal(*net.parameters.grad.shape, seed=9).astype(net.dtype)
    net.parameters.grad = start
    made.add_to_gradients()
    return net.parameters.grad - start, made


def by_differences(penalty: mg.Penalty, net: mg.Sequential, made: SlopePass) -> np.ndarray:
    """The same gradient from values of the penalty, whose slopes are those of the first backward.

    Masks, detached means and the points between the samples are those of `made`.
    """
    second, P = made.second, N // net.rows_multiple
    X = made.real
    if isinstance(penalty, mg.GradientPenalty):
        alpha, packs = made.alpha, (P, -1)
        X = alpha * made.real.reshape(packs) + (1 - alpha) * made.fake.reshape(packs)
        X = X.reshape(made.real.shape)
    second.bound.hold(True)

    def loss() -> Evaluation:
        norms = slopes(second, X)
        kinks = [k for k in (layer.kinks() for layer in second.layers) if k is not None]
        sides = [np.sign(k).tobytes() for k in (*kinks, norms - 1)]
        found = value(penalty, norms)
        return Evaluation(found, found, tuple(sides))

    made_by = Differences(get_backend("cpu"), loss)
    numeric = np.empty(net.parameters.data.shape)
    for place, _, derivative in made_by.entries("data", net.parameters.data):
        numeric[place] = derivative
    return numeric


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("layers", NETS)
def test_the_gradient_of_a_penalty_is_that_of_differences(layers, penalty):
    net = network(NETS[layers])
    given, made = added(PENALTIES[penalty], net)
    right = by_differences(PENALTIES[penalty], net, made)
    assert np.abs(right).max() > 1e-3
    assert np.abs(given - right).max() <= TOLERANCE * np.abs(right).max()
