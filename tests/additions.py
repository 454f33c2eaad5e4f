"""Parts that users might add: a game, a loss, a penalty, two layers and an optimizer.

Each is written here as it would be outside the package, in at most 40 lines (test_additions.py
counts them), and works like minigan's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import minigan as mg


@mg.register
@dataclass(frozen=True)
class Pearson(mg.Loss):
    """D maximises E[D(real)] - E[D(fake)^2 / 4 + D(fake)] (Nowozin et al. 2016, table 2)."""

    capturable = True
    columns: ClassVar = {"chi2": "the discriminator, whose scores grow"}

    def discriminator_gradient(self, ops, Y, targets, dY):
        n = Y.shape[-2] // 2
        ops.fill(-1.0 / n, out=dY[..., :n, :])
        ops.mean_squared_error_gradient(Y[..., n:, :], -2.0, 4 * n, out=dY[..., n:, :])

    def generator_gradient(self, ops, Y, dY):
        ops.fill(-1.0 / Y.shape[-2], out=dY)

    def values(self, ops, real, fake, for_g, out):
        out[..., 0] = -real.mean(axis=-1)
        out[..., 1] = (fake**2 / 4 + fake).mean(axis=-1)
        out[..., 2] = -for_g.mean(axis=-1)
        out[..., 3] = -out[..., 0] - out[..., 1]


@mg.register
class WGAN(mg.Game):
    """Algorithm 1 of that paper as a game: a clipped critic, fresh data for each update."""

    capturable = True
    columns: Mapping[str, str] = {"critic": "the critic", "g": "the generator"}

    def bind_step(self, batch):
        G, D, ops = self.generator, self.discriminator, self.ops
        self.real = ops.empty((self.samples_per_step, D.in_features), D.dtype)
        self.z = ops.empty((batch, self.noise.dim), G.dtype)
        self.g = G.bind(batch)
        self.on_real, self.on_fake = D.bind(batch), D.bind(batch, own_gradients=True)
        self.up, self.down = (ops.empty((batch, 1), D.dtype) for _ in range(2))
        ops.fill(1.0 / batch, out=self.up)
        ops.fill(-1.0 / batch, out=self.down)
        self.keep([self.on_real.Y, self.on_fake.Y], self.values)

    def play(self):
        D, ops = self.discriminator.parameters, self.ops
        for k in range(self.d_steps):
            self.noise.fill(ops, self.streams["discriminator_noise"], out=self.z)
            self.on_fake.forward(self.g.forward(self.z))
            self.on_fake.backward(self.up, input_grad=False)
            self.on_real.forward(self.real[k * self.batch : (k + 1) * self.batch])
            self.on_real.backward(self.down, input_grad=False)
            ops.add(D.grad, self.on_fake.grad, out=D.grad)
            self.discriminator_optimizer.step()
            self.constraint.apply(ops, D)
        self.noise.fill(ops, self.streams["generator_noise"], out=self.z)
        self.on_fake.forward(self.g.forward(self.z))
        self.g.backward(self.on_fake.backward(self.down, parameter_grads=False), input_grad=False)
        self.generator_optimizer.step()

    def values(self, kept, out):
        real, fake = kept
        out[:, 0], out[:, 1] = fake.mean(axis=1) - real.mean(axis=1), -fake.mean(axis=1)


@mg.register
@dataclass(frozen=True)
class SmallWeights(mg.Penalty):
    """weight sum(w^2) / 2 over all of D's parameters, in a loss column of its own."""

    weight: float = 0.01
    columns: ClassVar = {"weights": "the discriminator's parameters"}

    def bind(self, update):
        return SmallWeightsPass(self.weight, update.D)


class SmallWeightsPass(mg.PenaltyPass):
    capturable = True

    def __init__(self, weight, D):
        self.weight, self.ops, self.parameters = weight, D.ops, D.parameters
        self.pull = D.ops.empty(D.parameters.data.shape, D.dtype)
        self.keeps = (D.parameters.data.reshape(1, -1),)

    def add_to_gradients(self):
        self.ops.scale(self.parameters.data, self.weight, out=self.pull)
        self.ops.add(self.parameters.grad, self.pull, out=self.parameters.grad)

    def values(self, kept, out):
        out[:, 0] = self.weight * np.square(kept[0]).sum(axis=1) / 2


@mg.register
@dataclass(frozen=True)
class OwnBatchNorm(mg.Layer):
    """Y = w (X - mean) / sqrt(var + 1e-5) + b over the batch; running statistics in evaluation."""

    in_features: int
    mixes_rows, mixes_rows_in_evaluation = True, False

    def parameter_shapes(self):
        return {"weight": (1, self.in_features), "bias": (1, self.in_features)}

    def buffer_shapes(self):
        return {"mean": (1, self.in_features), "var": (1, self.in_features)}

    def initialise(self, ops, stream, tensors):
        ops.fill(1.0, out=tensors["weight"])
        ops.fill(1.0, out=tensors["var"])

    def bind(self, binding):
        return OwnBatchNormPass(binding)


class OwnBatchNormPass(mg.LayerPass):
    def __init__(self, binding):
        super().__init__(binding)
        self.own, self.grads, self.running = binding.parameters, binding.gradients, binding.buffers

    def forward(self, X, train):
        mean, var = self.running["mean"], self.running["var"]
        if train:
            batch = X.mean(axis=-2, keepdims=True), X.var(axis=-2, keepdims=True)
            for running, now in zip((mean, var), batch, strict=True):
                running += 0.1 * (now - running)
            mean, var = batch
        self.std = np.sqrt(var + 1e-5)
        self.hat = (X - mean) / self.std
        self.Y[...] = self.own["weight"] * self.hat + self.own["bias"]
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        if parameter_grads:
            self.grads["weight"][...] = (dY * self.hat).sum(axis=-2, keepdims=True)
            self.grads["bias"][...] = dY.sum(axis=-2, keepdims=True)
        dhat = dY * self.own["weight"]
        if self.train:
            along = self.hat * (dhat * self.hat).mean(axis=-2, keepdims=True)
            dhat = dhat - dhat.mean(axis=-2, keepdims=True) - along
        self.dX[...] = dhat / self.std
        return self.dX if input_grad else None


@mg.register
@dataclass(frozen=True)
class Softsign(mg.Layer):
    """Y = X / (1 + |X|)."""

    def bind(self, binding):
        return SoftsignPass(binding)


class SoftsignPass(mg.LayerPass):
    def forward(self, X, train):
        self.Y[...] = X / (1 + np.abs(X))
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        self.dX[...] = dY / np.square(1 + np.abs(self.X))
        return self.dX


@mg.register
class Adagrad(mg.Optimizer):
    """square = square + g^2;   w = w - rate g / (sqrt(square) + eps)"""

    def __init__(self, parameters, lr=1e-2, eps=1e-8, decay=None):
        super().__init__(parameters, lr, decay)
        self.eps = eps
        self.square = self.ops.zeros(parameters.data.shape, parameters.dtype)

    def update(self):
        grad = self.parameters.grad
        self.square += np.square(grad)
        self.parameters.data -= self.rate * grad / (np.sqrt(self.square) + self.eps)

    def buffers(self):
        return {"square": self.square}

    def settings(self):
        return {**super().settings(), "eps": self.eps}
