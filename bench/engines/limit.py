"""The matrix products of a training step, and nothing else: what no such engine can beat.

These are the products of minigan's step, in its shapes. Where nobody reads a gradient there is
none: not of D's input while D learns, not of D's weights while G learns, not of G's input.
Biases, activations, losses, dropout, noise, data and optimizers are left out.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bench.workloads import Workload

Sizes = tuple[int, ...]


class Limit:
    """Preallocated products, one after the other."""

    chunk = 1

    def __init__(self, workload: Workload, threads: int) -> None:
        # BLAS is set to `threads` by the environment. Small products are slower with two, and
        # minigan takes one for them.
        self.limits = threadpool_limits(1 if workload.one_dimensional else None, "blas")
        self.random = np.random.default_rng(0)
        batch, rows = workload.batch, workload.rows
        G, D = self.weights(workload.g_sizes), self.weights(workload.d_sizes)
        real_and_fake, judge = self.buffers(D, 2 * rows), self.buffers(D, rows)
        # G makes the samples of both halves at once; backward is for those of its own half.
        sampler = self.buffers(G, batch if workload.same_noise else 2 * batch)
        own_half = (*([array[-batch:] for array in arrays] for arrays in sampler[:2]), sampler[2])
        self.products = [
            *self.forward(G, sampler),
            *self.forward(D, real_and_fake),
            *self.backward(D, real_and_fake, parameter_grads=True, input_grad=False),
            *self.forward(D, judge),
            *self.backward(D, judge, parameter_grads=False, input_grad=True),
            *self.backward(G, own_half, parameter_grads=True, input_grad=False),
        ]
        self.sizes = [sum(W.size for W in net) for net in (G, D)]

    def run(self, steps: int) -> None:
        dot, products = np.dot, self.products
        for _ in range(steps):
            for A, B, out in products:
                dot(A, B, out)

    def losses(self) -> None:
        return None

    def parameters(self) -> tuple[int, int]:
        return self.sizes[0], self.sizes[1]

    def weights(self, sizes: Sizes) -> list[Any]:
        """W (in, out) of each Linear, of a size that keeps products from over- or underflow."""
        return [
            (self.random.uniform(-1, 1, (i, o)) / i**0.5).astype(np.float32)
            for i, o in pairwise(sizes)
        ]

    def buffers(self, net: list[Any], rows: int) -> tuple[list[Any], list[Any], list[Any]]:
        """Of one pass: activations (rows, features) of each layer, their gradients, and dW."""
        sizes = [net[0].shape[0], *(W.shape[1] for W in net)]
        values, gradients = (
            [self.random.normal(size=(rows, n)).astype(np.float32) for n in sizes] for _ in "XY"
        )
        return values, gradients, [np.empty_like(W) for W in net]

    @staticmethod
    def forward(net: list[Any], buffers: tuple[list[Any], ...]) -> list[Any]:
        """Y = X W for each layer."""
        X = buffers[0]
        return [(X[i], W, X[i + 1]) for i, W in enumerate(net)]

    @staticmethod
    def backward(
        net: list[Any], buffers: tuple[list[Any], ...], parameter_grads: bool, input_grad: bool
    ) -> list[Any]:
        """dW = X^T dY and dX = dY W^T for each layer, the last one first."""
        X, dX, dW = buffers
        products = []
        for i in reversed(range(len(net))):
            if parameter_grads:
                products.append((X[i].T, dX[i + 1], dW[i]))
            if input_grad or i > 0:
                products.append((dX[i + 1], net[i].T, dX[i]))
        return products
