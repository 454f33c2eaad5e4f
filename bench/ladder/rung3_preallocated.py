"""Rung 3: the same calls, but every result has its place. A step allocates nothing.

Each network owns the buffers of its results, so its kernels write there. The step is rung 1's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.ladder.rung2_vectorised import Vectorised
from bench.ladder.start import (
    BATCH,
    BETA1,
    BETA2,
    DRAWN,
    EPS,
    HIDDEN,
    LR,
    MEAN,
    MIN_LOG,
    MIN_VARIANCE,
    STD,
    Array,
    Start,
)


class Preallocated(Vectorised):
    def __init__(self, start: Start) -> None:
        super().__init__(start)
        dtype = self.dtype
        self.u = np.empty(DRAWN, np.float32)  # (104,) fresh uniforms
        self.z = np.empty((BATCH, 1), dtype)  # (B, 1) noise
        self.real = np.empty((BATCH, 1), dtype)  # (B, 1) real samples
        self.r, self.a = (np.empty(BATCH // 2, dtype) for _ in "ra")  # (B/2,) radii and angles

    def networks(self, start: Start) -> None:
        G, D = start.G, start.D
        self.generator = Network(G, BATCH)
        self.of_real, self.of_fake, self.of_g = (Discriminator(D, 1) for _ in range(3))
        self.g_adam = Adam(G, self.generator.grads)
        self.d_adam = Adam(D, self.of_real.grads)

    def add_gradients(self) -> None:
        for a, b in zip(self.of_real.grads, self.of_fake.grads, strict=True):
            np.add(a, b, out=a)

    def noise(self, random: Any) -> Array:
        random.random(out=self.u, dtype=np.float32)
        np.copyto(self.z[:, 0], self.u[:BATCH])
        return self.z

    def samples(self) -> Array:
        self.data.random(out=self.u, dtype=np.float32)
        normals(self.u, self.r, self.a, self.real[:, 0])
        return self.real


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


class Network:
    """G over some rows, with the memory that it needs."""

    def __init__(self, net: list[Array], rows: int) -> None:
        dtype = net[0].dtype
        self.net = net
        self.grads = [np.empty_like(W) for W in net]  # like each W and b
        self.X, self.dX = (np.empty((rows, len(net[0])), dtype) for _ in "12")  # (B, 1)
        self.H1, self.H2 = (np.empty((rows, HIDDEN), dtype) for _ in "12")  # (B, H)
        self.dH1, self.dH2 = (np.empty((rows, HIDDEN), dtype) for _ in "12")  # (B, H)
        self.tmp1, self.tmp2 = (np.empty((rows, HIDDEN), dtype) for _ in "12")  # (B, H)
        self.Y = np.empty((rows, 1), dtype)  # (B, 1)

    def forward(self, X: Array) -> Array:
        W1, b1, W2, b2, W3, b3 = self.net
        self.X = X
        self.linear(X, W1, b1, self.H1)
        self.elu(self.H1, self.tmp1)
        self.linear(self.H1, W2, b2, self.H2)
        self.second(self.H2, self.tmp2)
        self.linear(self.H2, W3, b3, self.Y)
        return self.Y

    def backward(self, dY: Array) -> Array:
        """The gradients of the parameters, and of X"""
        W1, _, W2, _, W3, _ = self.net
        dW1, db1, dW2, db2, dW3, db3 = self.grads
        self.linear_backward(self.H2, W3, dY, dW3, db3, self.dH2)
        self.second_backward(self.dH2, self.H2, self.tmp2)
        self.linear_backward(self.H1, W2, self.dH2, dW2, db2, self.dH1)
        self.elu_backward(self.dH1, self.H1, self.tmp1)
        self.linear_backward(self.X, W1, self.dH1, dW1, db1, self.dX)
        return self.dX

    def second(self, X: Array, tmp: Array) -> None:
        self.sigmoid(X)

    def second_backward(self, dY: Array, Y: Array, tmp: Array) -> None:
        self.sigmoid_backward(dY, Y, tmp)

    def linear(self, X: Array, W: Array, b: Array, out: Array) -> None:
        np.matmul(X, W, out=out)
        np.add(out, b, out=out)

    def linear_backward(
        self, X: Array, W: Array, dY: Array, dW: Array, db: Array, dX: Array
    ) -> None:
        np.matmul(X.T, dY, out=dW)
        np.sum(dY, axis=0, keepdims=True, out=db)
        np.matmul(dY, W.T, out=dX)

    def elu(self, X: Array, tmp: Array) -> None:
        """In place: max(x, exp(min(x, 0)) - 1) is x above zero and exp(x) - 1 below."""
        np.minimum(X, 0, out=tmp)
        np.expm1(tmp, out=tmp)
        np.maximum(X, tmp, out=X)

    def elu_backward(self, dY: Array, Y: Array, tmp: Array) -> None:
        """In place: the slope min(y + 1, 1) is 1 above zero and exp(x) = y + 1 below."""
        np.add(Y, 1, out=tmp)
        np.minimum(tmp, 1, out=tmp)
        np.multiply(dY, tmp, out=dY)

    def sigmoid(self, X: Array) -> None:
        np.negative(X, out=X)
        np.exp(X, out=X)
        np.add(X, 1, out=X)
        np.divide(1, X, out=X)

    def sigmoid_backward(self, dY: Array, Y: Array, tmp: Array) -> None:
        np.subtract(1, Y, out=tmp)
        np.multiply(tmp, Y, out=tmp)
        np.multiply(dY, tmp, out=dY)


class Discriminator(Network):
    """D over some packs, with the memory that it needs; rungs 3 and 4 have one pack."""

    def __init__(self, net: list[Array], packs: int) -> None:
        super().__init__(net, packs)  # X and dX are (P, 2B), H1 and its like (P, H)
        self.p = self.Y  # (P, 1)
        self.dp, self.q = (np.empty_like(self.p) for _ in "12")  # (P, 1)
        self.mean = np.empty((1, 1), self.p.dtype)  # (1, 1)
        self.deviations, self.dx = (np.empty((1, BATCH), self.p.dtype) for _ in "12")  # (1, B)

    def forward(self, x: Array) -> Array:
        self.pack(x.reshape(1, BATCH), 0)
        return self.score()

    def backward(self, target: Any) -> Array:
        """The gradients of D, and dx (B, 1), of the BCE with a target"""
        self.bce_backward(target)
        self.sigmoid_backward(self.dp, self.p, self.q)
        return self.unpack(super().backward(self.dp))

    def second(self, X: Array, tmp: Array) -> None:
        self.elu(X, tmp)

    def second_backward(self, dY: Array, Y: Array, tmp: Array) -> None:
        self.elu_backward(dY, Y, tmp)

    def pack(self, x: Array, row: int) -> None:
        """A row of X from samples x (1, B): they and their squared deviations"""
        np.copyto(self.X[row : row + 1, :BATCH], x)
        self.average(x)
        np.subtract(x, self.mean, out=self.deviations)
        np.multiply(self.deviations, self.deviations, out=self.X[row : row + 1, BATCH:])

    def average(self, x: Array) -> None:
        np.mean(x, axis=1, keepdims=True, out=self.mean)

    def score(self) -> Array:
        super().forward(self.X)
        self.sigmoid(self.p)
        return self.p

    def unpack(self, dX: Array) -> Array:
        """dx (B, 1) of the samples packed last, their mean held constant"""
        np.multiply(self.deviations, 2, out=self.dx)
        np.multiply(self.dx, dX[:, BATCH:], out=self.dx)
        np.add(self.dx, dX[:, :BATCH], out=self.dx)
        return self.dx.reshape(BATCH, 1)

    def loss(self, target: float) -> Array:
        log_p, log_q = self.dp, self.q  # their memory; backward is done with it
        log_likelihood(self.p, target, 1 - target, log_p, log_q)
        return -log_p[0, 0]

    def bce_backward(self, target: Any) -> None:
        np.subtract(1, self.p, out=self.q)
        np.multiply(self.q, self.p, out=self.q)
        np.maximum(self.q, MIN_VARIANCE, out=self.q)
        np.subtract(self.p, target, out=self.dp)
        np.divide(self.dp, self.q, out=self.dp)


def log_likelihood(p: Array, target: Any, other: Any, log_p: Array, log_q: Array) -> None:
    """log_p = target log(p) + other log(1 - p), with other = 1 - target: minus the BCE"""
    np.log(p, out=log_p)
    np.subtract(1, p, out=log_q)
    np.log(log_q, out=log_q)
    np.maximum(log_p, MIN_LOG, out=log_p)
    np.maximum(log_q, MIN_LOG, out=log_q)
    np.multiply(log_p, target, out=log_p)
    np.multiply(log_q, other, out=log_q)
    np.add(log_p, log_q, out=log_p)


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
