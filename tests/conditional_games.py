"""A small conditional GAN and a small InfoGAN, their data, and one step of each the long way round.

The long way: networks one after the other, real and generated samples apart, formulas in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan.backend.window import as_pair

CLASSES, CONTINUOUS, FEATURES, DIM = 3, 2, 4, 2


def labelled(dtype: str = "float64", n: int = 50, **settings: Any) -> mg.Samples:
    """Samples (n, 4) around a place for each class."""
    random, labels = np.random.default_rng(0), np.arange(n) * 7 % 5 % CLASSES
    X = 0.4 * random.normal(size=(n, FEATURES)) + labels[:, None]
    return mg.Samples(X, dtype=dtype, labels=labels, **settings)


def conditional(
    recipe: str = "append", seed: Any = 0, dtype: str = "float64", device: str = "cpu", **options
) -> mg.ConditionalGAN:
    """By recipe: "append" to the input of both; or "embed", and a projection at D's end."""
    where = {"seed": seed, "dtype": dtype, "device": device}
    if recipe == "append":
        first = [mg.AppendCondition(DIM, CLASSES), mg.Linear(DIM + CLASSES, 6)]
        of_d = [mg.AppendCondition(FEATURES, CLASSES), mg.Linear(FEATURES + CLASSES, 6), mg.Tanh()]
        last: mg.Layer = mg.Linear(6, 1)
    else:
        first = [mg.Linear(DIM, 5), mg.Embedding(5, CLASSES, 4), mg.Tanh(), mg.Linear(9, 6)]
        of_d, last = [mg.Linear(FEATURES, 6), mg.Tanh()], mg.Projection(6, CLASSES)
    G = mg.Sequential(*first, mg.ELU(), mg.Linear(6, FEATURES), name="g", **where)
    D = mg.Sequential(*of_d, *options.pop("in_d", ()), last, name="d", **where)
    return mg.ConditionalGAN(G, D, mg.Normal(dim=DIM), **rules(G, D), **options)


def info(
    norm: bool = False,
    seed: Any = 0,
    dtype: str = "float64",
    device: str = "cpu",
    continuous: int = CONTINUOUS,
    **options: Any,
) -> mg.InfoGAN:
    """With `norm`, batch normalisation in all three networks, so that D has two passes."""
    where = {"seed": seed, "dtype": dtype, "device": device}
    code = CLASSES + continuous

    def linear(n_in: int, n: int) -> list[mg.Layer]:
        """Without a bias that the normalisation would remove: its gradient would be rounding."""
        return [mg.Linear(n_in, n, bias=False), mg.BatchNorm(n)] if norm else [mg.Linear(n_in, n)]

    G = mg.Sequential(
        *(mg.AppendCondition(DIM, code), *linear(DIM + code, 6), mg.ELU()),
        mg.Linear(6, FEATURES, bias=not norm),  # D's normalisation removes it, too
        name="g",
        **where,
    )
    D = mg.Sequential(
        *(*linear(FEATURES, 7), mg.Tanh(), mg.Linear(7, 5), mg.LeakyReLU(0.2)),
        *(mg.Linear(5, 4), mg.ELU(), mg.Linear(4, 1)),
        name="d",
        **where,
    )
    Q = mg.Sequential(*(*linear(5, 6), mg.Tanh(), mg.Linear(6, code)), name="q", **where)
    settings = {"weight": 0.7, "std": 0.8, "trunk": 5 if norm else 4} | options
    return mg.InfoGAN(
        *(G, D, Q, mg.Normal(dim=DIM)),
        **rules(G, D),
        recogniser_optimizer=mg.Adam(Q.parameters, 2e-2),
        categories=CLASSES,
        continuous=continuous,
        **settings,
    )


#: Of images of 2 x 2 pixels; most copies differ from their image.
MOVED = mg.Consistency(
    2, weight=1.3, temperature=0.6, zoom=0.5, shear=1.5, shift=0.9, background=0.3
)


def moving(norm: bool = False, consistency: mg.Consistency = MOVED, **options: Any) -> mg.InfoGAN:
    """The InfoGAN with a consistency."""
    return info(norm, consistency=consistency, **options)


def rules(G: mg.Sequential, D: mg.Sequential) -> dict[str, mg.Optimizer]:
    """Each network has a rate of its own."""
    return {
        "generator_optimizer": mg.Adam(G.parameters, 1e-2, (0.5, 0.9)),
        "discriminator_optimizer": mg.SGD(D.parameters, 3e-2),
    }


class Draws:
    """The noise and the codes that a game draws, drawn again from the same streams."""

    def __init__(self, game: mg.GAN, batch: int) -> None:
        self.game, self.batch = game, batch
        self.streams = {name: mg.Stream(0, f"gan/{name}") for name in game.streams}

    def noise(self, half: str) -> np.ndarray:
        """The next noise (B, dim)."""
        z = np.empty((self.batch, DIM))
        self.game.noise.fill_batch(self.game.ops, self.streams[f"{half}_noise"], out=z)
        return z

    def code(self, half: str) -> np.ndarray:
        """The next codes (B, categories + continuous)."""
        ops, stream, game = self.game.ops, self.streams[f"{half}_codes"], self.game
        category = np.empty((self.batch, game.categories))
        ops.fill_mixture(stream, np.eye(game.categories), 0.0, out=category)
        numbers = np.empty((self.batch, game.continuous))
        if game.continuous:
            ops.fill_uniform(stream, -1.0, 1.0, out=numbers)
        return np.concatenate([category, numbers], axis=1)

    def copies(self, real: np.ndarray) -> np.ndarray:
        """The next moved copies of real samples (B, features)."""
        own, amounts = self.game.consistency, np.empty((self.batch, 5))
        self.game.ops.fill_uniform(self.streams["consistency"], -1.0, 1.0, out=amounts)
        how = (own.zoom, own.shear, own.shift, own.background)
        return moved_images(real, amounts, as_pair(own.size), *how)


def at_the_edges(channels: int, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """Images (16, 4 x 5 x channels) with NaN and infinity, and amounts that lead to halves."""
    random = np.random.default_rng(channels)
    X = random.normal(size=(16, 20 * channels)).astype(dtype)
    X[0, :3], X[1, -3:] = np.nan, np.inf
    return X, (random.integers(-4, 4, size=(16, 5)) / 4).astype(dtype)


#: zoom, shear, shift and background of `move_images`: halves, nothing, and far outside.
EDGES = [(0.5, 0.5, 1.0, -1.0), (0.0, 0.0, 0.0, 9.0), (0.99, 3e38, 3e38, 0.5)]


def moved_images(
    X: Any, amounts: Any, size: Any, zoom: float, shear: float, shift: float, back: float
) -> Any:
    """What `move_images` makes, pixel by pixel."""
    (h, w), rows = size, X.reshape(-1, *size, X.shape[-1] // (size[0] * size[1]))
    made = np.full_like(rows, back)
    for image, moved, (a, b, c, d, e) in zip(rows, made, amounts.reshape(-1, 5), strict=True):
        for i, j in np.ndindex(h, w):
            y, x = i - (h - 1) / 2, j - (w - 1) / 2
            row = round(y * (1 + zoom * d) + (h - 1) / 2 + shift * e)
            column = round(x * (1 + zoom * a) + (w - 1) / 2 + shift * c + shear * b * y)
            if 0 <= row < h and 0 <= column < w:
                moved[i, j] = image[row, column]
    return made.reshape(X.shape)


def conditional_step(
    game: mg.ConditionalGAN, draws: Draws, real: np.ndarray, labels: np.ndarray
) -> None:
    """A step of the conditional GAN, with non-saturating losses."""
    G, D, B = game.generator, game.discriminator, draws.batch
    for repeat in range(game.d_steps):
        rows = slice(repeat * B, (repeat + 1) * B) if game.fresh_real else slice(0, B)
        C = np.eye(CLASSES)[labels[rows]]
        if repeat == 0 or not game.same_noise:
            z = draws.noise("discriminator")
        _, dY = mg.bce_with_logits(D.forward(real[rows], condition=C), 1.0)
        D.backward(dY)
        of_real = D.parameters.grad.copy()
        fake = G.forward(z, condition=C).copy()
        _, dY = mg.bce_with_logits(D.forward(fake, condition=C), 0.0)
        D.backward(dY)
        D.parameters.grad += of_real
        game.discriminator_optimizer.step()
    for _ in range(game.g_steps):
        if not game.same_noise:
            z = draws.noise("generator")
        fake = G.forward(z, condition=C).copy()
        _, dY = mg.bce_with_logits(D.forward(fake, condition=C), 1.0)
        G.backward(D.backward(dY, parameter_grads=False))
        game.generator_optimizer.step()


def term(game: mg.InfoGAN, guess: np.ndarray, code: np.ndarray) -> tuple[float, np.ndarray]:
    """-weight E[log Q(c | x)] without its constants, and its gradient by Q's output."""
    K, B = game.categories, len(guess)
    logits, means = guess[:, :K], guess[:, K:]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    value = -(code[:, :K] * np.log(shares)).sum(axis=1)
    value += ((code[:, K:] - means) ** 2).sum(axis=1) / (2 * game.std**2)
    by_mean = (means - code[:, K:]) / game.std**2
    gradient = np.concatenate([shares - code[:, :K], by_mean], axis=1)
    return game.weight * value.mean(), game.weight * gradient / B


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def consistency_term(
    game: mg.InfoGAN, guess: np.ndarray, p: np.ndarray
) -> tuple[float, float, np.ndarray]:
    """The two parts of the term for copies with Q's output `guess`, and the gradient by it.

    The targets p are held. The gradient is by the chain rule through the softmax: dq is that by q.
    """
    (B, K), weight = p.shape, game.consistency.weight
    q = softmax(guess[:, :K])
    m = q.mean(axis=0)
    dq = (K * m - p / q) / B
    gradient = np.zeros_like(guess)
    gradient[:, :K] = weight * q * (dq - (q * dq).sum(axis=1, keepdims=True))
    cross_entropy = -(p * np.log(q)).sum(axis=1).mean()
    return weight * cross_entropy, weight * K / 2 * (m**2).sum(), gradient


def targets(game: mg.InfoGAN, guess: np.ndarray) -> np.ndarray:
    """p of the real images with Q's output `guess`."""
    return softmax(guess[:, : game.categories] / game.consistency.temperature)


def info_step(game: mg.InfoGAN, draws: Draws, real: np.ndarray) -> None:
    """A step of the InfoGAN, with non-saturating losses and without batch normalisation.

    Q's head and D's are run apart, and the gradients that they send down are added.
    """
    G, D, Q, B = game.generator, game.discriminator, game.recogniser, draws.batch
    trunk, head = D.split(game.trunk)
    for repeat in range(game.d_steps):
        rows = slice(repeat * B, (repeat + 1) * B) if game.fresh_real else slice(0, B)
        if repeat == 0 or not game.same_noise:
            z, code = draws.noise("discriminator"), draws.code("discriminator")
        _, dY = mg.bce_with_logits(head.forward(trunk.forward(real[rows])), 1.0)
        trunk.backward(head.backward(dY))
        of_real = D.parameters.grad.copy()
        features = trunk.forward(G.forward(z, condition=code))
        _, dY = mg.bce_with_logits(head.forward(features), 0.0)
        _, dguess = term(game, Q.forward(features), code)
        trunk.backward(head.backward(dY) + Q.backward(dguess, parameter_grads=False))
        D.parameters.grad += of_real
        of_q = np.zeros_like(Q.parameters.grad)
        if game.consistency is not None:
            total = D.parameters.grad.copy()
            p = targets(game, Q.predict(trunk.predict(real[rows])))
            guess = Q.forward(trunk.forward(draws.copies(real[rows])))
            D.parameters.grad[...] = 0.0
            trunk.backward(Q.backward(consistency_term(game, guess, p)[2]))
            D.parameters.grad += total
            of_q = Q.parameters.grad.copy()
        game.discriminator_optimizer.step()
    for _ in range(game.g_steps):
        if not game.same_noise:
            z, code = draws.noise("generator"), draws.code("generator")
        features = trunk.forward(G.forward(z, condition=code))
        _, dY = mg.bce_with_logits(head.forward(features), 1.0)
        _, dguess = term(game, Q.forward(features), code)
        down = head.backward(dY, parameter_grads=False) + Q.backward(dguess)
        G.backward(trunk.backward(down, parameter_grads=False))
        game.generator_optimizer.step()
        Q.parameters.grad += of_q  # of the latest update of D
        game.recogniser_optimizer.step()


def agree(one: mg.GAN, other: mg.GAN, rtol: float = 1e-10) -> bool:
    """Whether two games have the same parameters, but for rounding."""
    return all(
        np.allclose(net.parameters.data, other.networks[role].parameters.data, rtol, 1e-13)
        for role, net in one.networks.items()
    )


def require_members_alone(
    together: mg.GAN, alone: list[mg.GAN], captured: bool, *, rows: int, rel: float
) -> None:
    """Steps and samples of a population are those of its members, to the bit.

    The losses agree up to `rel`. Each step has `rows` real samples a member.
    """
    for game in (together, *alone):
        game.capture(captured)
    random = np.random.default_rng(0)
    for _ in range(4):
        real = random.normal(size=(len(alone), rows, FEATURES))
        labels = random.integers(CLASSES, size=(len(alone), rows))
        together.step(real, labels if together.takes_labels else None)
        for member, game in enumerate(alone):
            game.step(real[member], labels[member] if game.takes_labels else None)
    mine = together.losses()
    for member, game in enumerate(alone):
        for role, net in game.networks.items():
            ours = together.networks[role].parameters.data[member]
            np.testing.assert_array_equal(ours, net.parameters.data)
        np.testing.assert_array_equal(together.sample(5, 0)[member], game.sample(5, 0))
        for name, value in game.losses().items():
            assert mine[name][member] == pytest.approx(value, rel=rel, abs=0.0)
