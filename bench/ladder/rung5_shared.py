"""Rung 5: nothing twice, and nothing for nobody. What is left is what the step needs.

One pass of G makes the fake samples of both halves, since G does not change between them; one
pass of D judges real and fake together. D's own gradients in G's half, and gradients of data and
of noise, are never made. Noise and real samples are drawn 64 steps at a time, and so are losses.
The kernels and Adam are those of rung 4.
"""

from __future__ import annotations

import numpy as np

from bench.ladder.rung3_preallocated import normals
from bench.ladder.rung4_kernels import Adam, elu, flat, linear, sigmoid, sigmoid_backward
from bench.ladder.start import (
    BATCH,
    DRAWN,
    FAKE_TARGET,
    GENERATOR_TARGET,
    HIDDEN,
    MIN_LOG,
    MIN_VARIANCE,
    REAL_TARGET,
    Array,
    Start,
    show,
)

AHEAD = 64  # steps whose numbers are drawn, and whose losses are made, at a time


class Shared:
    def __init__(self, start: Start) -> None:
        B, H, dtype = BATCH, HIDDEN, start.G[0].dtype
        self.streams = start.d_noise, start.g_noise, start.data
        self.G, self.g_net = flat(start.G)  # (2701,)
        self.D, self.d_net = flat(start.D)  # (12651,)
        self.g_grad, self.g_grads = flat(start.G)  # (2701,)
        self.d_grad, self.d_grads = flat(start.D)  # (12651,)
        self.g_adam, self.d_adam = Adam(self.G, self.g_grad), Adam(self.D, self.d_grad)
        # G over the noise of both halves; backward is for the second half of the rows only.
        self.H1, self.H2 = (np.empty((2 * B, H), dtype) for _ in "12")  # (2B, H)
        self.slope, self.tmp = (np.empty((2 * B, H), dtype) for _ in "12")  # (2B, H)
        self.x = np.empty((2, B), dtype)  # (2, B) fake samples of D's half, and of G's
        self.dH1, self.dH2 = (np.empty((B, H), dtype) for _ in "12")  # (B, H)
        self.dx = np.empty((1, B), dtype)  # (1, B)
        self.zero = np.zeros((2 * B, H), dtype)  # (2B, H) constants
        self.ones = np.ones((1, B), dtype)  # (1, B) constants
        # D over a real and a fake pack in its own half, and over one pack in G's.
        self.both, self.judge = Judge(self.d_net, 2, dtype), Judge(self.d_net, 1, dtype)
        self.targets = np.array([[REAL_TARGET], [FAKE_TARGET]], dtype)  # (2, 1)
        # What 64 steps need and leave.
        self.u = np.empty((AHEAD, DRAWN), np.float32)  # (64, 104) fresh uniforms
        self.z = np.empty((AHEAD, 2 * B, 1), dtype)  # (64, 2B, 1) noise of D's half, and of G's
        self.real = np.empty((AHEAD, 1, B), dtype)  # (64, 1, B) real samples
        self.r, self.a = (np.empty((AHEAD, B // 2), dtype) for _ in "ra")  # (64, B/2)
        self.verdicts = np.empty((AHEAD, 3, 1), dtype)  # (64, 3, 1) on real, on fake, in G's half
        self.log_p, self.log_q = (np.empty((AHEAD, 3), dtype) for _ in "pq")  # (64, 3)
        self.aims = np.array([REAL_TARGET, FAKE_TARGET, GENERATOR_TARGET], dtype)  # (3,)
        self.counter_aims = 1 - self.aims  # (3,)
        self.sum = np.empty(3)  # (3,) of the losses of 64 steps, negative
        self.sums = np.zeros(3)  # (3,) of D's loss on real samples, on fake ones, of G's
        self.t = 0

    def step(self) -> None:
        k = self.t % AHEAD
        if k == 0:
            self.draw()
        self.t += 1
        self.generate(self.z[k])
        both, judge = self.both, self.judge
        # D's half: both gradients are added by the product itself.
        both.see(0, self.real[k])
        both.see(1, self.x[:1])
        both.forward()
        both.backward(self.targets)
        both.parameter_gradients(self.d_grads)
        self.d_adam.step(self.t)
        # G's half: D is only a messenger.
        judge.see(0, self.x[1:])
        judge.forward()
        judge.backward(GENERATOR_TARGET)
        judge.input_gradient(self.dx)
        self.generate_backward(self.z[k, BATCH:])
        self.g_adam.step(self.t)
        np.copyto(self.verdicts[k, :2], both.p)
        np.copyto(self.verdicts[k, 2:], judge.p)
        if self.t % AHEAD == 0:
            self.make_losses(AHEAD)

    def generate(self, z: Array) -> None:
        """The fake samples of both halves, from noise (2B, 1)."""
        W1, b1, W2, b2, W3, b3 = self.g_net
        linear(z, W1, b1, out=self.H1)
        elu(self.H1, self.slope, self.zero, self.tmp)
        linear(self.H1, W2, b2, out=self.H2)
        sigmoid(self.H2)
        linear(self.H2, W3, b3, out=self.x.reshape(-1, 1))

    def generate_backward(self, z: Array) -> None:
        """The gradients of G from dx, for the rows of its own half."""
        _, _, W2, _, W3, _ = self.g_net
        dW1, db1, dW2, db2, dW3, db3 = self.g_grads
        H1, H2, slope, tmp = (A[BATCH:] for A in (self.H1, self.H2, self.slope, self.tmp))
        dx, dH1, dH2 = self.dx.reshape(-1, 1), self.dH1, self.dH2
        parameter_gradients(H2, dx, self.ones, dW3, db3)
        np.dot(dx, W3.T, out=dH2)
        sigmoid_backward(dH2, H2, tmp)
        parameter_gradients(H1, dH2, self.ones, dW2, db2)
        np.dot(dH2, W2.T, out=dH1)
        np.multiply(dH1, slope, out=dH1)
        parameter_gradients(z, dH1, self.ones, dW1, db1)  # and no gradient of z

    def draw(self) -> None:
        """The noise and the real samples of the next 64 steps."""
        (d_noise, g_noise, data), u = self.streams, self.u
        for half, stream in enumerate((d_noise, g_noise)):
            stream.random(out=u, dtype=np.float32)
            np.copyto(self.z[:, half * BATCH : (half + 1) * BATCH, 0], u[:, :BATCH])
        data.random(out=u, dtype=np.float32)
        normals(u, self.r, self.a, self.real[:, 0])

    def make_losses(self, steps: int) -> None:
        """Nobody reads a loss during a step, only its gradient; so here are those of many."""
        p = self.verdicts[:steps, :, 0]  # (steps, 3)
        log_p, log_q = self.log_p[:steps], self.log_q[:steps]  # (steps, 3), q = 1 - p
        np.log(p, out=log_p)
        np.subtract(1, p, out=log_q)
        np.log(log_q, out=log_q)
        np.maximum(log_p, MIN_LOG, out=log_p)
        np.maximum(log_q, MIN_LOG, out=log_q)
        np.multiply(log_p, self.aims, out=log_p)
        np.multiply(log_q, self.counter_aims, out=log_q)
        np.add(log_p, log_q, out=log_p)
        np.add.reduce(log_p, axis=0, out=self.sum)
        np.subtract(self.sums, self.sum, out=self.sums)

    def parameters(self) -> tuple[Array, Array]:
        return self.G, self.D

    def losses(self) -> Array:
        before = self.sums.copy()  # (3,)
        self.make_losses(self.t % AHEAD)
        means = self.sums / self.t  # (3,)
        self.sums = before
        return means


class Judge:
    """D over P packs."""

    def __init__(self, net: list[Array], packs: int, dtype: np.dtype) -> None:
        self.net, wide, narrow = net, (packs, HIDDEN), (packs, 1)
        self.X = np.empty((packs, 2 * BATCH), dtype)  # (P, 2B)
        self.H1, self.H2, self.dH1, self.dH2 = (np.empty(wide, dtype) for _ in "1212")  # (P, H)
        self.slope1, self.slope2, self.tmp = (np.empty(wide, dtype) for _ in "12t")  # (P, H)
        self.zero = np.zeros(wide, dtype)  # (P, H) constants
        self.p, self.dp, self.q = (np.empty(narrow, dtype) for _ in "123")  # (P, 1)
        self.ones = np.ones((1, packs), dtype)  # (1, P) constants
        self.parts = np.full((BATCH, 1), 1 / BATCH, dtype)  # (B, 1) constants: x @ parts is a mean
        self.mean = np.empty((1, 1), dtype)  # (1, 1)
        self.deviations = np.empty((1, BATCH), dtype)  # (1, B) of the pack seen last
        self.dX = np.empty((packs, 2 * BATCH), dtype)  # (P, 2B)

    def see(self, row: int, x: Array) -> None:
        """Pack samples x (1, B) with their squared deviations."""
        np.copyto(self.X[row : row + 1, :BATCH], x)
        np.dot(x, self.parts, out=self.mean)
        np.subtract(x, self.mean, out=self.deviations)
        np.multiply(self.deviations, self.deviations, out=self.X[row : row + 1, BATCH:])

    def forward(self) -> None:
        W1, b1, W2, b2, W3, b3 = self.net
        linear(self.X, W1, b1, out=self.H1)
        elu(self.H1, self.slope1, self.zero, self.tmp)
        linear(self.H1, W2, b2, out=self.H2)
        elu(self.H2, self.slope2, self.zero, self.tmp)
        linear(self.H2, W3, b3, out=self.p)
        sigmoid(self.p)

    def backward(self, targets: Array | float) -> None:
        """From the BCE to dH1: what the gradients of D and of its input both need."""
        _, _, W2, _, W3, _ = self.net
        p, dp, q = self.p, self.dp, self.q
        np.subtract(1, p, out=q)
        np.multiply(q, p, out=q)
        np.maximum(q, MIN_VARIANCE, out=q)
        np.subtract(p, targets, out=dp)
        np.divide(dp, q, out=dp)
        sigmoid_backward(dp, p, q)
        np.dot(dp, W3.T, out=self.dH2)
        np.multiply(self.dH2, self.slope2, out=self.dH2)
        np.dot(self.dH2, W2.T, out=self.dH1)
        np.multiply(self.dH1, self.slope1, out=self.dH1)

    def parameter_gradients(self, grads: list[Array]) -> None:
        dW1, db1, dW2, db2, dW3, db3 = grads
        parameter_gradients(self.H2, self.dp, self.ones, dW3, db3)
        parameter_gradients(self.H1, self.dH2, self.ones, dW2, db2)
        parameter_gradients(self.X, self.dH1, self.ones, dW1, db1)

    def input_gradient(self, dx: Array) -> None:
        """dx (1, B) of the samples, their mean held constant"""
        np.dot(self.dH1, self.net[0].T, out=self.dX)
        np.multiply(self.deviations, 2, out=dx)
        np.multiply(dx, self.dX[:, BATCH:], out=dx)
        np.add(dx, self.dX[:, :BATCH], out=dx)


def parameter_gradients(X: Array, dY: Array, ones: Array, dW: Array, db: Array) -> None:
    np.dot(X.T, dY, out=dW)
    np.dot(ones, dY, out=db)


if __name__ == "__main__":
    show(Shared)
