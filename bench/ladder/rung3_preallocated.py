"""Rung 3: the same calls, but every result has its place. A step allocates nothing.

The buffers are made once, so each network's pass becomes an object that owns them.
"""

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
    HIDDEN,
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


class Preallocated:
    def __init__(self, start: Start) -> None:
        dtype = start.G[0].dtype
        self.d_noise, self.g_noise, self.data = start.d_noise, start.g_noise, start.data
        self.G, self.D = start.G, start.D
        self.generator = Generator(self.G, dtype)
        self.of_real, self.of_fake, self.of_g = (Judge(self.D, dtype) for _ in range(3))
        self.g_adam, self.d_adam = (
            Adam(self.G, self.generator.grads),
            Adam(self.D, self.of_real.grads),
        )
        self.u = np.empty(DRAWN, np.float32)  # (104,) fresh uniforms
        self.z = np.empty((BATCH, 1), dtype)  # (B, 1) noise
        self.real = np.empty((BATCH, 1), dtype)  # (B, 1) real samples
        self.r = np.empty(BATCH // 2, dtype)  # (B/2,) radii of Box and Muller
        self.a = np.empty(BATCH // 2, dtype)  # (B/2,) and angles
        self.sums = np.zeros(3)  # (3,) of D's loss on real samples, on fake ones, of G's
        self.t = 0

    def step(self) -> None:
        self.t += 1
        self.draw_real()
        self.draw_noise(self.d_noise)
        fake = self.generator.forward(self.z)
        self.of_real.forward(self.real)
        self.of_fake.forward(fake)
        self.of_real.backward(REAL_TARGET)
        self.of_fake.backward(FAKE_TARGET)
        for a, b in zip(self.of_real.grads, self.of_fake.grads, strict=True):
            np.add(a, b, out=a)
        self.d_adam.step(self.t)
        self.draw_noise(self.g_noise)
        fake = self.generator.forward(self.z)
        self.of_g.forward(fake)
        dx = self.of_g.backward(GENERATOR_TARGET)
        self.generator.backward(dx)
        self.g_adam.step(self.t)
        self.sums[0] += self.of_real.loss(REAL_TARGET)
        self.sums[1] += self.of_fake.loss(FAKE_TARGET)
        self.sums[2] += self.of_g.loss(GENERATOR_TARGET)

    def draw_noise(self, random: Any) -> None:
        random.random(out=self.u, dtype=np.float32)
        np.copyto(self.z[:, 0], self.u[:BATCH])

    def draw_real(self) -> None:
        self.data.random(out=self.u, dtype=np.float32)
        normals(self.u, self.r, self.a, self.real[:, 0])

    def parameters(self) -> tuple[Array, Array]:
        G, D = (np.concatenate([W.reshape(-1) for W in net]) for net in (self.G, self.D))
        return G, D

    def losses(self) -> Array:
        return self.sums / self.t


def normals(u: Array, r: Array, a: Array, x: Array) -> None:
    """x (..., B) from uniforms (..., DRAWN). Box and Muller: two uniforms make two normals."""
    np.copyto(r, u[..., 0:BATCH:2])
    np.copyto(a, u[..., 1:BATCH:2])
    np.subtract(1, r, out=r)
    np.log(r, out=r)
    np.multiply(r, -2, out=r)
    np.sqrt(r, out=r)
    np.multiply(a, 2 * np.pi, out=a)
    np.cos(a, out=x[..., 0::2])
    np.sin(a, out=x[..., 1::2])
    np.multiply(x[..., 0::2], r, out=x[..., 0::2])
    np.multiply(x[..., 1::2], r, out=x[..., 1::2])
    np.multiply(x, STD, out=x)
    np.add(x, MEAN, out=x)


class Generator:
    """G over one batch, with the memory that it needs."""

    def __init__(self, net: list[Array], dtype: Any) -> None:
        self.net = net
        self.grads = [np.empty_like(W) for W in net]  # like each W and b
        self.H1, self.H2 = (np.empty((BATCH, HIDDEN), dtype) for _ in "12")  # (B, H)
        self.dH1, self.dH2 = (np.empty((BATCH, HIDDEN), dtype) for _ in "12")  # (B, H)
        self.tmp = np.empty((BATCH, HIDDEN), dtype)  # (B, H)
        self.x, self.dz = (np.empty((BATCH, 1), dtype) for _ in "xz")  # (B, 1)

    def forward(self, z: Array) -> Array:
        W1, b1, W2, b2, W3, b3 = self.net
        self.z = z
        linear(z, W1, b1, out=self.H1)
        elu(self.H1, self.tmp)
        linear(self.H1, W2, b2, out=self.H2)
        sigmoid(self.H2)
        linear(self.H2, W3, b3, out=self.x)
        return self.x

    def backward(self, dx: Array) -> None:
        W1, _, W2, _, W3, _ = self.net
        dW1, db1, dW2, db2, dW3, db3 = self.grads
        linear_backward(self.H2, W3, dx, dW3, db3, self.dH2)
        sigmoid_backward(self.dH2, self.H2, self.tmp)
        linear_backward(self.H1, W2, self.dH2, dW2, db2, self.dH1)
        elu_backward(self.dH1, self.H1, self.tmp)
        linear_backward(self.z, W1, self.dH1, dW1, db1, self.dz)


class Judge:
    """D over one pack, with the memory that it needs."""

    def __init__(self, net: list[Array], dtype: Any) -> None:
        self.net = net
        self.grads = [np.empty_like(W) for W in net]  # like each W and b
        self.X, self.dX = (np.empty((1, 2 * BATCH), dtype) for _ in "12")  # (1, 2B)
        self.H1, self.H2 = (np.empty((1, HIDDEN), dtype) for _ in "12")  # (1, H)
        self.dH1, self.dH2 = (np.empty((1, HIDDEN), dtype) for _ in "12")  # (1, H)
        self.tmp = np.empty((1, HIDDEN), dtype)  # (1, H)
        self.p, self.dp, self.q = (np.empty((1, 1), dtype) for _ in "123")  # (1, 1)
        self.mean = np.empty((1, 1), dtype)  # (1, 1)
        self.deviations = np.empty((1, BATCH), dtype)  # (1, B)
        self.dx = np.empty((1, BATCH), dtype)  # (1, B)

    def forward(self, x: Array) -> None:
        W1, b1, W2, b2, W3, b3 = self.net
        x = x.reshape(1, BATCH)
        np.copyto(self.X[:, :BATCH], x)
        np.mean(x, axis=1, keepdims=True, out=self.mean)
        np.subtract(x, self.mean, out=self.deviations)
        np.multiply(self.deviations, self.deviations, out=self.X[:, BATCH:])
        linear(self.X, W1, b1, out=self.H1)
        elu(self.H1, self.tmp)
        linear(self.H1, W2, b2, out=self.H2)
        elu(self.H2, self.tmp)
        linear(self.H2, W3, b3, out=self.p)
        sigmoid(self.p)

    def backward(self, target: float) -> Array:
        """The gradients of D, and dx (B, 1), of the BCE with a target."""
        W1, _, W2, _, W3, _ = self.net
        dW1, db1, dW2, db2, dW3, db3 = self.grads
        p, dp, q = self.p, self.dp, self.q
        np.subtract(1, p, out=q)
        np.multiply(q, p, out=q)
        np.maximum(q, MIN_VARIANCE, out=q)
        np.subtract(p, target, out=dp)
        np.divide(dp, q, out=dp)
        sigmoid_backward(dp, p, q)
        linear_backward(self.H2, W3, dp, dW3, db3, self.dH2)
        elu_backward(self.dH2, self.H2, self.tmp)
        linear_backward(self.H1, W2, self.dH2, dW2, db2, self.dH1)
        elu_backward(self.dH1, self.H1, self.tmp)
        linear_backward(self.X, W1, self.dH1, dW1, db1, self.dX)
        np.multiply(self.deviations, 2, out=self.dx)
        np.multiply(self.dx, self.dX[:, BATCH:], out=self.dx)
        np.add(self.dx, self.dX[:, :BATCH], out=self.dx)
        return self.dx.reshape(BATCH, 1)

    def loss(self, target: float) -> Array:
        log_p, log_q = self.dp, self.q  # their memory; backward is done with it
        np.log(self.p, out=log_p)
        np.subtract(1, self.p, out=log_q)
        np.log(log_q, out=log_q)
        np.maximum(log_p, MIN_LOG, out=log_p)
        np.maximum(log_q, MIN_LOG, out=log_q)
        np.multiply(log_p, target, out=log_p)
        np.multiply(log_q, 1 - target, out=log_q)
        np.add(log_p, log_q, out=log_p)
        return -log_p[0, 0]


class Adam:
    """m and v are the running means of g and g^2; W = W - LR m^ / (sqrt(v^) + EPS)"""

    def __init__(self, net: list[Array], grads: list[Array]) -> None:
        # Each W with its gradient, m, v and two temporaries, all of one shape.
        self.rows = [
            (W, g, *(np.zeros_like(W) for _ in "mvab")) for W, g in zip(net, grads, strict=True)
        ]

    def step(self, t: int) -> None:
        for W, g, m, v, a, b in self.rows:
            np.multiply(m, BETA1, out=m)
            np.multiply(g, 1 - BETA1, out=a)
            np.add(m, a, out=m)
            np.multiply(v, BETA2, out=v)
            np.multiply(g, g, out=a)
            np.multiply(a, 1 - BETA2, out=a)
            np.add(v, a, out=v)
            np.divide(m, 1 - BETA1**t, out=a)
            np.divide(v, 1 - BETA2**t, out=b)
            np.sqrt(b, out=b)
            np.add(b, EPS, out=b)
            np.multiply(a, LR, out=a)
            np.divide(a, b, out=a)
            np.subtract(W, a, out=W)


def linear(X: Array, W: Array, b: Array, out: Array) -> None:
    np.matmul(X, W, out=out)
    np.add(out, b, out=out)


def linear_backward(X: Array, W: Array, dY: Array, dW: Array, db: Array, dX: Array) -> None:
    np.matmul(X.T, dY, out=dW)
    np.sum(dY, axis=0, keepdims=True, out=db)
    np.matmul(dY, W.T, out=dX)


def elu(X: Array, tmp: Array) -> None:
    """In place: max(x, exp(min(x, 0)) - 1) is x above zero and exp(x) - 1 below."""
    np.minimum(X, 0, out=tmp)
    np.expm1(tmp, out=tmp)
    np.maximum(X, tmp, out=X)


def elu_backward(dY: Array, Y: Array, tmp: Array) -> None:
    """In place: the slope min(y + 1, 1) is 1 above zero and exp(x) = y + 1 below."""
    np.add(Y, 1, out=tmp)
    np.minimum(tmp, 1, out=tmp)
    np.multiply(dY, tmp, out=dY)


def sigmoid(X: Array) -> None:
    np.negative(X, out=X)
    np.exp(X, out=X)
    np.add(X, 1, out=X)
    np.divide(1, X, out=X)


def sigmoid_backward(dY: Array, Y: Array, tmp: Array) -> None:
    np.subtract(1, Y, out=tmp)
    np.multiply(tmp, Y, out=tmp)
    np.multiply(dY, tmp, out=dY)


if __name__ == "__main__":
    show(Preallocated)
