"""Rung 5: nothing is computed twice, and nothing that is not used.

One pass of G makes the fake samples of both halves, since G does not change between them; one
pass of D scores real and fake together. D's own gradients in G's half, and gradients of data and
of noise, are never computed. Noise and real samples are drawn for 64 steps at a time, and the
losses of 64 steps are computed together. The kernels and Adam are those of rung 4.
"""

from __future__ import annotations

import numpy as np

from bench.ladder import rung4_kernels
from bench.ladder.rung3_preallocated import log_likelihood, normals
from bench.ladder.rung4_kernels import Adam, flat
from bench.ladder.start import (
    BATCH,
    DRAWN,
    FAKE_TARGET,
    GENERATOR_TARGET,
    REAL_TARGET,
    Array,
    Start,
)

AHEAD = 64  # steps whose numbers are drawn, and whose losses are computed, at a time


class Shared(rung4_kernels.Kernels):
    def __init__(self, start: Start) -> None:
        super().__init__(start)
        B, dtype = BATCH, start.G[0].dtype
        # What 64 steps need and leave.
        self.u = np.empty((AHEAD, DRAWN), np.float32)  # (64, 104) fresh uniforms
        self.z = np.empty((AHEAD, 2 * B, 1), dtype)  # (64, 2B, 1) noise of D's half, and of G's
        self.real = np.empty((AHEAD, 1, B), dtype)  # (64, 1, B) real samples
        self.r, self.a = (np.empty((AHEAD, B // 2), dtype) for _ in "ra")  # (64, B/2)
        self.scores = np.empty((AHEAD, 3, 1), dtype)  # (64, 3, 1) on real, on fake, in G's half
        self.log_p, self.log_q = (np.empty((AHEAD, 3), dtype) for _ in "pq")  # (64, 3)
        self.aims = np.array([REAL_TARGET, FAKE_TARGET, GENERATOR_TARGET], dtype)  # (3,)
        self.counter_aims = 1 - self.aims  # (3,)
        self.sum = np.empty(3)  # (3,) of the losses of 64 steps, negative

    def networks(self, start: Start) -> None:
        self.G, G = flat(start.G)  # (2701,)
        self.D, D = flat(start.D)  # (12651,)
        # G's forward pass is over the noise of both halves, its backward pass over G's half.
        self.sampler, self.generator = Network(G, 2 * BATCH), Network(G, BATCH)
        for name in ("H1", "H2", "tmp1", "tmp2"):
            setattr(self.generator, name, getattr(self.sampler, name)[BATCH:])
        # D scores a real and a fake pack in its own half, and one pack in G's.
        self.both, self.of_g = Discriminator(D, 2), Discriminator(D, 1)
        self.of_g.learns = False
        self.targets = np.array([[REAL_TARGET], [FAKE_TARGET]], self.D.dtype)  # (2, 1)
        self.g_adam = Adam(self.G, self.generator.grad)
        self.d_adam = Adam(self.D, self.both.grad)

    def step(self) -> None:
        k = self.t % AHEAD
        if k == 0:
            self.draw()
        self.t += 1
        z, both, of_g = self.z[k], self.both, self.of_g
        fake = self.sampler.forward(z).reshape(2, BATCH)  # (2, B) of D's half, and of G's
        # D's half: the product itself adds both gradients.
        both.pack(self.real[k], 0)
        both.pack(fake[:1], 1)
        both.score()
        both.backward(self.targets)
        self.d_adam.step(self.t)
        # G's half: D only passes the gradient on.
        of_g.forward(fake[1:])
        self.generator.X = z[BATCH:]
        self.generator.backward(of_g.backward(GENERATOR_TARGET))
        self.g_adam.step(self.t)
        np.copyto(self.scores[k, :2], both.p)
        np.copyto(self.scores[k, 2:], of_g.p)
        if self.t % AHEAD == 0:
            self.add_losses(AHEAD)

    def draw(self) -> None:
        """The noise and the real samples of the next 64 steps."""
        u = self.u
        for half, stream in enumerate((self.d_noise, self.g_noise)):
            stream.random(out=u, dtype=np.float32)
            np.copyto(self.z[:, half * BATCH : (half + 1) * BATCH, 0], u[:, :BATCH])
        self.data.random(out=u, dtype=np.float32)
        normals(u, self.r, self.a, self.real[:, 0])

    def add_losses(self, steps: int) -> None:
        """A step needs only the gradient of a loss, so the losses of many steps are made here."""
        p = self.scores[:steps, :, 0]  # (steps, 3)
        log_p, log_q = self.log_p[:steps], self.log_q[:steps]  # (steps, 3), q = 1 - p
        log_likelihood(p, self.aims, self.counter_aims, log_p, log_q)
        np.add.reduce(log_p, axis=0, out=self.sum)
        np.subtract(self.sums, self.sum, out=self.sums)

    def losses(self) -> Array:
        before = self.sums.copy()  # (3,)
        self.add_losses(self.t % AHEAD)
        means = self.sums / self.t  # (3,)
        self.sums = before
        return means


class Network(rung4_kernels.Network):
    """A network that learns, or else only passes the gradient on to its input."""

    learns = True

    def linear_backward(
        self, X: Array, W: Array, dY: Array, dW: Array, db: Array, dX: Array
    ) -> None:
        if self.learns:
            np.dot(X.T, dY, out=dW)
            np.dot(self.ones, dY, out=db)
        if X is not self.X or not self.learns:
            np.dot(dY, W.T, out=dX)


class Discriminator(Network, rung4_kernels.Discriminator):
    def unpack(self, dX: Array) -> Array:
        return dX if self.learns else super().unpack(dX)
