"""Rung 4: fewer and better calls. The parameters are one array, and each kernel suits NumPy.

Adam is one pass over a flat array; ELU keeps its slope; sums of rows are products; a minimum is
taken against an array; products go through np.dot. Everything else is rung 3's.
"""

from __future__ import annotations

import math

import numpy as np

from bench.ladder import rung3_preallocated
from bench.ladder.start import BATCH, BETA1, BETA2, EPS, HIDDEN, LR, Array, Start

BLOCK = 65536  # parameters that Adam updates at a time, so that they stay in the cache


class Kernels(rung3_preallocated.Preallocated):
    def networks(self, start: Start) -> None:
        self.G, G = flat(start.G)  # (2701,)
        self.D, D = flat(start.D)  # (12651,)
        self.generator = Network(G, BATCH)
        self.of_real, self.of_fake, self.of_g = (Discriminator(D, 1) for _ in range(3))
        self.g_adam = Adam(self.G, self.generator.grad)
        self.d_adam = Adam(self.D, self.of_real.grad)

    def add_gradients(self) -> None:
        np.add(self.of_real.grad, self.of_fake.grad, out=self.of_real.grad)  # all six at once

    def parameters(self) -> tuple[Array, Array]:
        return self.G, self.D


def flat(net: list[Array]) -> tuple[Array, list[Array]]:
    """All numbers of a network in one array (n,), and views of it, shaped as they were."""
    whole = np.empty(sum(W.size for W in net), net[0].dtype)  # (n,)
    ends = np.cumsum([W.size for W in net])
    views = [whole[end - W.size : end].reshape(W.shape) for W, end in zip(net, ends, strict=True)]
    for view, W in zip(views, net, strict=True):
        np.copyto(view, W)
    return whole, views


class Network(rung3_preallocated.Network):
    def __init__(self, net: list[Array], rows: int) -> None:
        super().__init__(net, rows)
        dtype = net[0].dtype
        self.grad, self.grads = flat(net)  # (n,), and a view like each W and b
        self.tmp = np.empty((rows, HIDDEN), dtype)  # (B, H); tmp1 and tmp2 keep slopes of ELU
        self.zero = np.zeros((rows, HIDDEN), dtype)  # (B, H) constants
        self.ones = np.ones((1, rows), dtype)  # (1, B) constants

    def linear(self, X: Array, W: Array, b: Array, out: Array) -> None:
        np.dot(X, W, out=out)
        np.add(out, b, out=out)

    def linear_backward(
        self, X: Array, W: Array, dY: Array, dW: Array, db: Array, dX: Array
    ) -> None:
        np.dot(X.T, dY, out=dW)
        np.dot(self.ones, dY, out=db)
        np.dot(dY, W.T, out=dX)

    def elu(self, X: Array, slope: Array) -> None:
        """In place, from one exponential: slope = exp(min(x, 0)), and x = max(x, slope - 1)."""
        zero, tmp = self.zero, self.tmp
        np.minimum(X, zero, out=tmp)
        np.exp(tmp, out=slope)
        np.subtract(slope, 1, out=tmp)
        np.maximum(X, tmp, out=X)

    def elu_backward(self, dY: Array, Y: Array, slope: Array) -> None:
        np.multiply(dY, slope, out=dY)


class Discriminator(Network, rung3_preallocated.Discriminator):
    def __init__(self, net: list[Array], packs: int) -> None:
        super().__init__(net, packs)
        self.parts = np.full((BATCH, 1), 1 / BATCH, self.p.dtype)  # (B, 1) constants

    def average(self, x: Array) -> None:
        np.dot(x, self.parts, out=self.mean)


class Adam:
    """m = BETA1 m + g and v = BETA2 v + g^2; p = p - rate m / (sqrt(v) + small)

    These sums are the two means divided by (1 - BETA1) and (1 - BETA2). Everything constant
    meets in `rate` and `small`, two numbers per step, so four passes over memory are saved.
    """

    def __init__(self, data: Array, grad: Array, block: int = BLOCK) -> None:
        m, v = np.zeros_like(data), np.zeros_like(data)  # (n,), (n,)
        tmp = np.empty(min(block, data.size), data.dtype)  # (block,)
        self.blocks = []
        for start in range(0, data.size, block):
            part = slice(start, min(start + block, data.size))
            arrays = [array[part] for array in (data, grad, m, v)]
            self.blocks.append((*arrays, tmp[: part.stop - start]))

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
