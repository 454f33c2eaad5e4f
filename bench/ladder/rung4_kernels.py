"""Rung 4: fewer and better calls. The parameters are one array, and each kernel suits NumPy.

Adam is one pass over a flat array; ELU keeps its slope; sums of rows are products; a minimum is
taken against an array; products go through np.dot. What is imported from rung 3 stays as it was.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bench.ladder.rung3_preallocated import normals, sigmoid, sigmoid_backward
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
    MIN_LOG,
    MIN_VARIANCE,
    REAL_TARGET,
    Array,
    Start,
    show,
)

BLOCK = 65536  # parameters that Adam updates at a time, so that they stay in the cache


class Kernels:
    def __init__(self, start: Start) -> None:
        dtype = start.G[0].dtype
        self.d_noise, self.g_noise, self.data = start.d_noise, start.g_noise, start.data
        self.G, G = flat(start.G)  # (2701,)
        self.D, D = flat(start.D)  # (12651,)
        self.generator = Generator(G, dtype)
        self.of_real, self.of_fake, self.of_g = (Judge(D, dtype) for _ in range(3))
        self.g_adam = Adam(self.G, self.generator.grad)
        self.d_adam = Adam(self.D, self.of_real.grad)
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
        np.add(self.of_real.grad, self.of_fake.grad, out=self.of_real.grad)  # all six at once
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
        return self.G, self.D

    def losses(self) -> Array:
        return self.sums / self.t


def flat(net: list[Array]) -> tuple[Array, list[Array]]:
    """All numbers of a network in one array (n,), and views of it, shaped as they were."""
    whole = np.empty(sum(W.size for W in net), net[0].dtype)  # (n,)
    ends = np.cumsum([W.size for W in net])
    views = [whole[end - W.size : end].reshape(W.shape) for W, end in zip(net, ends, strict=True)]
    for view, W in zip(views, net, strict=True):
        np.copyto(view, W)
    return whole, views


class Generator:
    """G over one batch, with the memory that it needs."""

    def __init__(self, net: list[Array], dtype: Any) -> None:
        self.net = net
        self.grad, self.grads = flat(net)  # (n,), and a view like each W and b
        self.H1, self.H2 = (np.empty((BATCH, HIDDEN), dtype) for _ in "12")  # (B, H)
        self.dH1, self.dH2 = (np.empty((BATCH, HIDDEN), dtype) for _ in "12")  # (B, H)
        self.slope, self.tmp = (np.empty((BATCH, HIDDEN), dtype) for _ in "12")  # (B, H)
        self.zero = np.zeros((BATCH, HIDDEN), dtype)  # (B, H) constants
        self.ones = np.ones((1, BATCH), dtype)  # (1, B) constants
        self.x, self.dz = (np.empty((BATCH, 1), dtype) for _ in "xz")  # (B, 1)

    def forward(self, z: Array) -> Array:
        W1, b1, W2, b2, W3, b3 = self.net
        self.z = z
        linear(z, W1, b1, out=self.H1)
        elu(self.H1, self.slope, self.zero, self.tmp)
        linear(self.H1, W2, b2, out=self.H2)
        sigmoid(self.H2)
        linear(self.H2, W3, b3, out=self.x)
        return self.x

    def backward(self, dx: Array) -> None:
        W1, _, W2, _, W3, _ = self.net
        dW1, db1, dW2, db2, dW3, db3 = self.grads
        linear_backward(self.H2, W3, dx, self.ones, dW3, db3, self.dH2)
        sigmoid_backward(self.dH2, self.H2, self.tmp)
        linear_backward(self.H1, W2, self.dH2, self.ones, dW2, db2, self.dH1)
        np.multiply(self.dH1, self.slope, out=self.dH1)
        linear_backward(self.z, W1, self.dH1, self.ones, dW1, db1, self.dz)


class Judge:
    """D over one pack, with the memory that it needs."""

    def __init__(self, net: list[Array], dtype: Any) -> None:
        self.net = net
        self.grad, self.grads = flat(net)  # (n,), and a view like each W and b
        self.X, self.dX = (np.empty((1, 2 * BATCH), dtype) for _ in "12")  # (1, 2B)
        self.H1, self.H2 = (np.empty((1, HIDDEN), dtype) for _ in "12")  # (1, H)
        self.dH1, self.dH2 = (np.empty((1, HIDDEN), dtype) for _ in "12")  # (1, H)
        self.slope1, self.slope2 = (np.empty((1, HIDDEN), dtype) for _ in "12")  # (1, H)
        self.tmp = np.empty((1, HIDDEN), dtype)  # (1, H)
        self.zero = np.zeros((1, HIDDEN), dtype)  # (1, H) constants
        self.ones = np.ones((1, 1), dtype)  # (1, 1) constant
        self.parts = np.full((BATCH, 1), 1 / BATCH, dtype)  # (B, 1) constants: x @ parts is a mean
        self.p, self.dp, self.q = (np.empty((1, 1), dtype) for _ in "123")  # (1, 1)
        self.mean = np.empty((1, 1), dtype)  # (1, 1)
        self.deviations = np.empty((1, BATCH), dtype)  # (1, B)
        self.dx = np.empty((1, BATCH), dtype)  # (1, B)

    def forward(self, x: Array) -> None:
        W1, b1, W2, b2, W3, b3 = self.net
        x = x.reshape(1, BATCH)
        np.copyto(self.X[:, :BATCH], x)
        np.dot(x, self.parts, out=self.mean)
        np.subtract(x, self.mean, out=self.deviations)
        np.multiply(self.deviations, self.deviations, out=self.X[:, BATCH:])
        linear(self.X, W1, b1, out=self.H1)
        elu(self.H1, self.slope1, self.zero, self.tmp)
        linear(self.H1, W2, b2, out=self.H2)
        elu(self.H2, self.slope2, self.zero, self.tmp)
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
        linear_backward(self.H2, W3, dp, self.ones, dW3, db3, self.dH2)
        np.multiply(self.dH2, self.slope2, out=self.dH2)
        linear_backward(self.H1, W2, self.dH2, self.ones, dW2, db2, self.dH1)
        np.multiply(self.dH1, self.slope1, out=self.dH1)
        linear_backward(self.X, W1, self.dH1, self.ones, dW1, db1, self.dX)
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
    """m = BETA1 m + g and v = BETA2 v + g^2; p = p - rate m / (sqrt(v) + small)

    These sums are the two means divided by (1 - BETA1) and (1 - BETA2). Everything constant
    meets in `rate` and `small`, two numbers a step, so four passes over memory are saved.
    """

    def __init__(self, data: Array, grad: Array) -> None:
        m, v = np.zeros_like(data), np.zeros_like(data)  # (n,), (n,)
        tmp = np.empty(min(BLOCK, data.size), data.dtype)  # (block,)
        self.blocks = []
        for start in range(0, data.size, BLOCK):
            part = slice(start, min(start + BLOCK, data.size))
            block = [array[part] for array in (data, grad, m, v)]
            self.blocks.append((*block, tmp[: part.stop - start]))

    def step(self, t: int) -> None:
        root = math.sqrt((1 - BETA2) / (1 - BETA2**t))
        rate, small = LR / root * (1 - BETA1) / (1 - BETA1**t), EPS / root
        for p, g, m, v, tmp in self.blocks:
            np.multiply(m, BETA1, out=m)
            np.add(m, g, out=m)
            np.multiply(v, BETA2, out=v)
            np.multiply(g, g, out=tmp)
            np.add(v, tmp, out=v)
            np.sqrt(v, out=tmp)
            np.add(tmp, small, out=tmp)
            np.divide(m, tmp, out=tmp)
            np.multiply(tmp, rate, out=tmp)
            np.subtract(p, tmp, out=p)


def linear(X: Array, W: Array, b: Array, out: Array) -> None:
    np.dot(X, W, out=out)
    np.add(out, b, out=out)


def linear_backward(
    X: Array, W: Array, dY: Array, ones: Array, dW: Array, db: Array, dX: Array
) -> None:
    np.dot(X.T, dY, out=dW)
    np.dot(ones, dY, out=db)
    np.dot(dY, W.T, out=dX)


def elu(X: Array, slope: Array, zero: Array, tmp: Array) -> None:
    """In place, from one exponential: slope = exp(min(x, 0)), and x becomes max(x, slope - 1)."""
    np.minimum(X, zero, out=tmp)
    np.exp(tmp, out=slope)
    np.subtract(slope, 1, out=tmp)
    np.maximum(X, tmp, out=X)


if __name__ == "__main__":
    show(Kernels)
