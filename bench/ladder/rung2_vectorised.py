"""Rung 2: NumPy as one writes it first. The loops are in C; every result is a new array."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.ladder.start import (
    BATCH,
    BETA1,
    BETA2,
    DRAWN,
    EPS,
    FAKE_TARGET,
    GENERATOR_TARGET,
    LR,
    MEAN,
    MIN_LOG,
    MIN_VARIANCE,
    REAL_TARGET,
    STD,
    Array,
    Start,
    show,
)


class Vectorised:
    def __init__(self, start: Start) -> None:
        self.d_noise, self.g_noise, self.data = start.d_noise, start.g_noise, start.data
        self.G, self.D, self.dtype = start.G, start.D, start.G[0].dtype
        self.g_moments = [(np.zeros_like(W), np.zeros_like(W)) for W in self.G]  # m, v of each
        self.d_moments = [(np.zeros_like(W), np.zeros_like(W)) for W in self.D]  # m, v of each
        self.t = 0
        self.sums = np.zeros(3)  # (3,) of D's loss on real samples, on fake ones, of G's

    def step(self) -> None:
        self.t += 1
        # D's half: what it says of real samples and of fake ones.
        real = normals(self.data, self.dtype)
        _, _, fake = generate(self.G, uniforms(self.d_noise, self.dtype))
        of_real, of_fake = judge(self.D, real), judge(self.D, fake)
        real_grads, _ = judge_backward(self.D, real, of_real, REAL_TARGET)
        fake_grads, _ = judge_backward(self.D, fake, of_fake, FAKE_TARGET)
        grads = [a + b for a, b in zip(real_grads, fake_grads, strict=True)]
        adam(self.D, grads, self.d_moments, self.t)
        # G's half: what D, as it is now, says of fresh fake samples.
        z = uniforms(self.g_noise, self.dtype)
        H1, H2, fake = generate(self.G, z)
        of_g = judge(self.D, fake)
        _, dx = judge_backward(self.D, fake, of_g, GENERATOR_TARGET)
        grads = generate_backward(self.G, z, H1, H2, dx)
        adam(self.G, grads, self.g_moments, self.t)
        self.sums[0] += bce(of_real[-1], REAL_TARGET)
        self.sums[1] += bce(of_fake[-1], FAKE_TARGET)
        self.sums[2] += bce(of_g[-1], GENERATOR_TARGET)

    def parameters(self) -> tuple[Array, Array]:
        G, D = (np.concatenate([W.reshape(-1) for W in net]) for net in (self.G, self.D))
        return G, D

    def losses(self) -> Array:
        return self.sums / self.t


def linear_backward(X: Array, W: Array, dY: Array) -> tuple[Array, Array, Array]:
    """dW, db and dX"""
    return X.T @ dY, dY.sum(axis=0, keepdims=True), dY @ W.T


def elu(X: Array) -> Array:
    return np.where(X > 0, X, np.expm1(np.minimum(X, 0)))


def elu_backward(dY: Array, Y: Array) -> Array:
    return dY * np.where(Y > 0, 1, Y + 1)


def sigmoid(X: Array) -> Array:
    return 1 / (1 + np.exp(-X))


def sigmoid_backward(dY: Array, Y: Array) -> Array:
    return dY * Y * (1 - Y)


def generate(G: list[Array], z: Array) -> tuple[Array, Array, Array]:
    W1, b1, W2, b2, W3, b3 = G
    H1 = elu(z @ W1 + b1)  # (B, H)
    H2 = sigmoid(H1 @ W2 + b2)  # (B, H)
    return H1, H2, H2 @ W3 + b3  # (B, 1)


def generate_backward(G: list[Array], z: Array, H1: Array, H2: Array, dx: Array) -> list[Array]:
    W1, _, W2, _, W3, _ = G
    dW3, db3, dH2 = linear_backward(H2, W3, dx)
    dW2, db2, dH1 = linear_backward(H1, W2, sigmoid_backward(dH2, H2))
    dW1, db1, _ = linear_backward(z, W1, elu_backward(dH1, H1))
    return [dW1, db1, dW2, db2, dW3, db3]


def judge(D: list[Array], x: Array) -> tuple[Array, Array, Array, Array]:
    W1, b1, W2, b2, W3, b3 = D
    X = np.concatenate([x, (x - x.mean()) ** 2]).T  # (1, 2B)
    H1 = elu(X @ W1 + b1)  # (1, H)
    H2 = elu(H1 @ W2 + b2)  # (1, H)
    return X, H1, H2, sigmoid(H2 @ W3 + b3)  # (1, 1)


def judge_backward(
    D: list[Array], x: Array, seen: tuple[Array, Array, Array, Array], target: float
) -> tuple[list[Array], Array]:
    """The gradients of D, and dx (B, 1), of the BCE with a target."""
    W1, _, W2, _, W3, _ = D
    X, H1, H2, p = seen
    dp = (p - target) / np.maximum(p * (1 - p), MIN_VARIANCE)  # (1, 1)
    dW3, db3, dH2 = linear_backward(H2, W3, sigmoid_backward(dp, p))
    dW2, db2, dH1 = linear_backward(H1, W2, elu_backward(dH2, H2))
    dW1, db1, dX = linear_backward(X, W1, elu_backward(dH1, H1))
    dx = dX[:, :BATCH].T + 2 * (x - x.mean()) * dX[:, BATCH:].T  # (B, 1)
    return [dW1, db1, dW2, db2, dW3, db3], dx


def bce(p: Array, target: float) -> Array:
    log_p = np.maximum(np.log(p), MIN_LOG)
    log_q = np.maximum(np.log(1 - p), MIN_LOG)
    return -(target * log_p + (1 - target) * log_q).mean()


def adam(net: list[Array], grads: list[Array], moments: list[tuple[Array, Array]], t: int) -> None:
    """m and v are the running means of g and g^2; W = W - LR m^ / (sqrt(v^) + EPS)"""
    for i, g in enumerate(grads):
        m, v = moments[i]
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g**2
        m_hat, v_hat = m / (1 - BETA1**t), v / (1 - BETA2**t)
        net[i] = net[i] - LR * m_hat / (np.sqrt(v_hat) + EPS)
        moments[i] = m, v


def uniforms(random: Any, dtype: Any) -> Array:
    """(B, 1) in [0, 1)"""
    return random.random(DRAWN, dtype=np.float32)[:BATCH, None].astype(dtype, copy=False)


def normals(random: Any, dtype: Any) -> Array:
    """(B, 1), by Box and Muller: two uniforms make two normals."""
    u = uniforms(random, dtype).reshape(-1, 2)  # (B/2, 2)
    r, a = np.sqrt(-2 * np.log(1 - u[:, 0])), 2 * np.pi * u[:, 1]  # (B/2,)
    z = np.stack([r * np.cos(a), r * np.sin(a)], axis=1)  # (B/2, 2)
    return MEAN + STD * z.reshape(-1, 1)


if __name__ == "__main__":
    show(Vectorised)
