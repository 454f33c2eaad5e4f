"""Thinc: its layers and its optimizer, with two activations and a loss that it lacks.

Thinc's backward pass always computes every gradient and adds them up, so those that G's half
leaves in D are cleared. Gradient clipping and parameter averages, on by default, are off: the
other engines have none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from thinc.api import Adam, Linear, Logistic, Model, Relu, chain

from bench.workloads import (
    BETAS,
    EPS,
    FAKE_TARGET,
    LR,
    MEAN,
    STD,
    Workload,
    random_pixels,
    shuffled,
)

F4 = np.float32


def activation(name: str, function: Callable[[Any], Any], slope: Callable[[Any], Any]) -> Model:
    """A layer without weights; `slope` is the derivative, of the result Y."""

    def forward(model: Model, X: Any, is_train: bool) -> tuple[Any, Callable[[Any], Any]]:
        Y = function(X)
        return Y, lambda dY: dY * slope(Y)

    return Model(name, forward)


def elu(X: Any) -> Any:
    """x, or exp(x) - 1 where x is negative."""
    return np.where(X > 0, X, np.expm1(np.minimum(X, 0)))


LAYERS = {
    "elu": lambda: activation("elu", elu, lambda Y: np.minimum(Y, 0) + 1),
    "tanh": lambda: activation("tanh", np.tanh, lambda Y: 1 - Y * Y),
    "sigmoid": Logistic,
}


def network(sizes: tuple[int, ...], activations: Sequence[str], dropout: float) -> Model:
    """Linears with an activation after each, and dropout after each ReLU."""
    layers = []
    for (i, o), name in zip(pairwise(sizes), activations, strict=True):
        layers += [Relu(o, i, dropout=dropout)] if name == "relu" else [Linear(o, i)]
        layers += [LAYERS[name]()] if name in LAYERS else []
    return chain(*layers).initialize()


def pack(x: Any) -> Any:
    """(B, 1) -> (1, 2B): the samples, then their squared deviations from their mean."""
    row = x.reshape(1, -1)
    return np.concatenate([row, (row - row.mean()) ** 2], axis=1)


def unpack_gradient(dpacked: Any, x: Any) -> Any:
    """The gradient (B, 1) of x, the mean held fixed, from that of `pack(x)`."""
    batch = len(x)
    return dpacked[:, :batch].T + 2 * (x - x.mean()) * dpacked[:, batch:].T


def bce(P: Any, targets: Any) -> tuple[Any, Any]:
    """Binary cross-entropy summed over rows, and its gradient."""
    log_p, log_q = np.maximum(np.log(P), -100), np.maximum(np.log(1 - P), -100)
    loss = -(targets * log_p + (1 - targets) * log_q).sum()
    return loss, (P - targets) / np.maximum(P * (1 - P), 1e-12)


class Thinc:
    """Thinc on NumPy."""

    chunk = 1

    def __init__(self, workload: Workload, threads: int) -> None:
        self.w = w = workload
        self.random = np.random.default_rng(0)
        self.G = network(w.g_sizes, w.g_activations, w.dropout)
        self.D = network(w.d_sizes, w.d_activations, w.dropout)
        self.g_adam, self.d_adam = (
            Adam(LR, beta1=BETAS[0], beta2=BETAS[1], eps=EPS, grad_clip=0.0, use_averages=False)
            for _ in "GD"
        )
        self.d_targets = np.repeat(np.array([[w.real_target], [FAKE_TARGET]], F4), w.rows, axis=0)
        self.g_targets = np.full((w.rows, 1), w.generator_target, F4)
        if not w.one_dimensional:
            self.X, self.index = random_pixels(), shuffled(w.batch)
        self.steps, self.d_sum, self.g_sum = 0, 0.0, 0.0

    def noise(self) -> Any:
        """G's input (B, features)."""
        z = self.random.random((self.w.batch, self.w.g_sizes[0]), F4)
        return z if self.w.one_dimensional else 2 * z - 1

    def real(self) -> Any:
        """Real samples (B, features)."""
        if self.w.one_dimensional:
            return MEAN + STD * self.random.standard_normal((self.w.batch, 1), F4)
        return (self.X[next(self.index)[0]].astype(F4) - F4(127.5)) / F4(127.5)

    def step(self) -> None:
        """One training step."""
        w, G, D = self.w, self.G, self.D
        seen = pack if w.one_dimensional else lambda x: x
        fake, g_backprop = G.begin_update(self.noise())
        P, d_backprop = D.begin_update(np.concatenate([seen(self.real()), seen(fake)]))
        loss, dP = bce(P, self.d_targets)
        self.d_sum += loss
        d_backprop(dP / w.rows)
        D.finish_update(self.d_adam)
        self.d_adam.step_schedules()

        if not w.same_noise:
            fake, g_backprop = G.begin_update(self.noise())
        P, d_backprop = D.begin_update(seen(fake))
        loss, dP = bce(P, self.g_targets)
        self.g_sum += loss
        dfake = d_backprop(dP / w.rows)
        for node in D.walk():
            for name in node.param_names:
                node.get_grad(name).fill(0)
        g_backprop(unpack_gradient(dfake, fake) if w.one_dimensional else dfake)
        G.finish_update(self.g_adam)
        self.g_adam.step_schedules()
        self.steps += 1

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    def losses(self) -> tuple[float, float]:
        scale = 1 / self.steps / self.w.rows
        return float(self.d_sum * scale), float(self.g_sum * scale)

    def parameters(self) -> tuple[int, int]:
        G, D = (
            sum(node.get_param(name).size for node in net.walk() for name in node.param_names)
            for net in (self.G, self.D)
        )
        return G, D
