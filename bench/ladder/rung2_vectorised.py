"""Rung 2: NumPy as one writes it first. The loops are in C; every result is a new array."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.ladder import rung1_loops
from bench.ladder.start import (
    BATCH,
    BETA1,
    BETA2,
    DRAWN,
    EPS,
    LR,
    MEAN,
    MIN_LOG,
    MIN_VARIANCE,
    STD,
    Array,
    Start,
)


class Vectorised(rung1_loops.Loops):
    def __init__(self, start: Start) -> None:
        self.dtype = start.G[0].dtype
        super().__init__(start)
        self.sums = np.zeros(3)  # (3,)

    def networks(self, start: Start) -> None:
        G, D = start.G, start.D
        self.generator = Network(G)
        self.of_real, self.of_fake, self.of_g = (Discriminator(D) for _ in range(3))
        self.g_adam = Adam(G, self.generator.grads)
        self.d_adam = Adam(D, self.of_real.grads)

    def add_gradients(self) -> None:
        pairs = zip(self.of_real.grads, self.of_fake.grads, strict=True)
        self.of_real.grads[:] = [a + b for a, b in pairs]

    def noise(self, random: Any) -> Array:
        """(B, 1) in [0, 1)"""
        return random.random(DRAWN, dtype=np.float32)[:BATCH, None].astype(self.dtype, copy=False)

    def samples(self) -> Array:
        """(B, 1), by Box and Muller: two uniforms make two normals."""
        u = self.noise(self.data).reshape(-1, 2)  # (B/2, 2)
        r, a = np.sqrt(-2 * np.log(1 - u[:, 0])), 2 * np.pi * u[:, 1]  # (B/2,)
        z = np.stack([r * np.cos(a), r * np.sin(a)], axis=1)  # (B/2, 2)
        return MEAN + STD * z.reshape(-1, 1)

    def parameters(self) -> tuple[Array, Array]:
        nets = self.generator.net, self.of_g.net
        G, D = (np.concatenate([W.reshape(-1) for W in net]) for net in nets)
        return G, D

    def losses(self) -> Array:
        return self.sums / self.t


class Network(rung1_loops.Network):
    def linear(self, X: Array, W: Array, b: Array) -> Array:
        return X @ W + b

    def linear_backward(self, X: Array, W: Array, dY: Array) -> tuple[Array, Array, Array]:
        return X.T @ dY, dY.sum(axis=0, keepdims=True), dY @ W.T

    def elu(self, X: Array) -> Array:
        return np.where(X > 0, X, np.expm1(np.minimum(X, 0)))

    def elu_backward(self, dY: Array, Y: Array) -> Array:
        return dY * np.where(Y > 0, 1, Y + 1)

    def sigmoid(self, X: Array) -> Array:
        return 1 / (1 + np.exp(-X))

    def sigmoid_backward(self, dY: Array, Y: Array) -> Array:
        return dY * Y * (1 - Y)


class Discriminator(Network, rung1_loops.Discriminator):
    def pack(self, x: Array) -> Array:
        return np.concatenate([x, (x - x.mean()) ** 2]).T

    def unpack(self, dX: Array) -> Array:
        return dX[:, :BATCH].T + 2 * (self.x - self.x.mean()) * dX[:, BATCH:].T

    def loss(self, target: float) -> Array:
        log_p = np.maximum(np.log(self.p), MIN_LOG)
        log_q = np.maximum(np.log(1 - self.p), MIN_LOG)
        return -(target * log_p + (1 - target) * log_q).mean()

    def bce_backward(self, target: float) -> Array:
        return (self.p - target) / np.maximum(self.p * (1 - self.p), MIN_VARIANCE)


class Adam(rung1_loops.Adam):
    def __init__(self, net: list[Array], grads: list[Array]) -> None:
        self.net, self.grads = net, grads
        self.moments = [(np.zeros_like(W), np.zeros_like(W)) for W in net]

    def step(self, t: int) -> None:
        for i, g in enumerate(self.grads):
            m, v = self.moments[i]
            m = BETA1 * m + (1 - BETA1) * g
            v = BETA2 * v + (1 - BETA2) * g**2
            m_hat, v_hat = m / (1 - BETA1**t), v / (1 - BETA2**t)
            self.net[i] = self.net[i] - LR * m_hat / (np.sqrt(v_hat) + EPS)
            self.moments[i] = m, v
