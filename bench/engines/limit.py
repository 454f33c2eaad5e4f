"""The matrix products of a training step, and nothing else: no such engine can be faster.

These are the products of minigan's step, in its shapes. Gradients that nothing uses are not among
them: that of D's input while D learns, those of D's weights while G learns, that of G's input.
Biases, activations, losses, dropout, noise, data and optimizers are left out.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bench.workloads import Workload


class Limit:
    """Preallocated products, one after the other."""

    chunk = 1

    def __init__(self, workload: Workload, threads: int) -> None:
        # BLAS is set to `threads` by the environment. Small products are slower with two, and
        # minigan takes one for them.
        self.limits = threadpool_limits(1 if workload.one_dimensional else None, "blas")
        self.random = np.random.default_rng(0)
        self.products: list[tuple[Any, Any, Any]] = []  # (A, B, out) for out = A B
        batch, rows = workload.batch, workload.rows
        G, D = self.weights(workload.g_sizes), self.weights(workload.d_sizes)
        # G makes the samples of both halves at once; backward is for those of its own half.
        samples = self.forward(G, batch if workload.same_noise else 2 * batch)
        self.backward(D, self.forward(D, 2 * rows), parameter_grads=True)
        self.backward(D, self.forward(D, rows), parameter_grads=False)
        self.backward(G, [X[-batch:] for X in samples], parameter_grads=True)

    def run(self, steps: int) -> None:
        dot, products = np.dot, self.products
        for _ in range(steps):
            for A, B, out in products:
                dot(A, B, out)

    def losses(self) -> None:
        return None

    def weights(self, sizes: tuple[int, ...]) -> list[Any]:
        """W (in, out) of each Linear, of a size that keeps products from over- or underflow."""
        return [
            (self.random.uniform(-1, 1, (i, o)) / i**0.5).astype(np.float32)
            for i, o in pairwise(sizes)
        ]

    def numbers(self, *shape: int) -> Any:
        """Normal numbers of a shape, float32."""
        return self.random.normal(size=shape).astype(np.float32)

    def forward(self, net: list[Any], rows: int) -> list[Any]:
        """Add Y = X W for each layer; returns X (rows, in) of each, and the last Y (rows, out)."""
        X = [self.numbers(rows, n) for n in (len(net[0]), *(W.shape[1] for W in net))]
        self.products += [(X[i], W, X[i + 1]) for i, W in enumerate(net)]
        return X

    def backward(self, net: list[Any], X: list[Any], parameter_grads: bool) -> None:
        """Add dW = X^T dY of each layer, or else the gradient of the input; and dX = dY W^T."""
        dX = [self.numbers(*x.shape) for x in X]
        for i, W in reversed(list(enumerate(net))):
            if parameter_grads:
                self.products.append((X[i].T, dX[i + 1], np.empty_like(W)))
            if i > 0 or not parameter_grads:
                self.products.append((dX[i + 1], W.T, dX[i]))
