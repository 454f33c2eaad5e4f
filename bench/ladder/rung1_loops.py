"""Rung 1: lists and floats. The formulas as they stand, one multiplication at a time.

Here is the whole step. Each later rung overrides only what it changes.
"""

from __future__ import annotations

import math
from typing import Any

from bench.ladder.start import (
    BATCH,
    BETA1,
    BETA2,
    DRAWN,
    EPS,
    FAKE_TARGET,
    GENERATOR_TARGET,
    LR,
    MEAN,
    MIN_LOG,
    MIN_VARIANCE,
    REAL_TARGET,
    STD,
    Start,
)

Matrix = list[list[float]]  # a list of rows


class Loops:
    """`step` trains D, then G, and adds up the losses; `losses` are their means over all steps."""

    def __init__(self, start: Start) -> None:
        self.d_noise, self.g_noise, self.data = start.d_noise, start.g_noise, start.data
        self.t = 0
        self.sums: Any = [0.0] * 3  # of D's loss on real samples, on fake ones, of G's
        self.networks(start)

    def networks(self, start: Start) -> None:
        """The networks, D once for each batch that it scores, and their optimizers."""
        G, D = ([W.tolist() for W in net] for net in (start.G, start.D))
        self.generator: Any = Network(G)
        self.of_real, self.of_fake, self.of_g = (Discriminator(D) for _ in range(3))
        self.g_adam: Any = Adam(G, self.generator.grads)
        self.d_adam: Any = Adam(D, self.of_real.grads)

    def step(self) -> None:
        self.t += 1
        # D's half: it scores real samples and fake ones.
        self.of_real.forward(self.samples())
        self.of_fake.forward(self.generator.forward(self.noise(self.d_noise)))
        self.of_real.backward(REAL_TARGET)
        self.of_fake.backward(FAKE_TARGET)
        self.add_gradients()
        self.d_adam.step(self.t)
        # G's half: D, as it is now, scores new fake samples.
        self.of_g.forward(self.generator.forward(self.noise(self.g_noise)))
        self.generator.backward(self.of_g.backward(GENERATOR_TARGET))
        self.g_adam.step(self.t)
        self.sums[0] += self.of_real.loss(REAL_TARGET)
        self.sums[1] += self.of_fake.loss(FAKE_TARGET)
        self.sums[2] += self.of_g.loss(GENERATOR_TARGET)

    def add_gradients(self) -> None:
        """D's gradients on real samples plus those on fake ones"""
        pairs = zip(self.of_real.grads, self.of_fake.grads, strict=True)
        self.of_real.grads[:] = [each(lambda a, b: a + b, *pair) for pair in pairs]

    def noise(self, random: Any) -> Matrix:
        """(B, 1) in [0, 1). All rungs draw the same numbers, so these are not made with lists."""
        return [[u] for u in random.random(DRAWN, dtype="float32").tolist()[:BATCH]]

    def samples(self) -> Matrix:
        """(B, 1), by Box and Muller: two uniforms make two normals."""
        u = self.noise(self.data)
        x: Matrix = []
        for i in range(0, BATCH, 2):
            r = math.sqrt(-2 * math.log(1 - u[i][0]))
            a = 2 * math.pi * u[i + 1][0]
            x += [[MEAN + STD * r * math.cos(a)], [MEAN + STD * r * math.sin(a)]]
        return x

    def parameters(self) -> tuple[Any, Any]:
        """G's (2701,) and D's (12651,), each weight followed by its bias"""
        nets = self.generator.net, self.of_g.net
        G, D = ([x for W in net for row in W for x in row] for net in nets)
        return G, D

    def losses(self) -> Any:
        return [total / self.t for total in self.sums]


class Network:
    """G over one batch: three Linears, the first two followed by ELU and sigmoid."""

    def __init__(self, net: list[Matrix]) -> None:
        self.net = net
        self.grads: list[Matrix] = []  # `backward` puts them here, one for each W and b

    def forward(self, X: Matrix) -> Matrix:
        W1, b1, W2, b2, W3, b3 = self.net
        self.X = X  # (B, 1)
        self.H1 = self.elu(self.linear(X, W1, b1))  # (B, H)
        self.H2 = self.second(self.linear(self.H1, W2, b2))  # (B, H)
        return self.linear(self.H2, W3, b3)  # (B, 1)

    def backward(self, dY: Matrix) -> Matrix:
        """The gradients of the parameters, and of X"""
        W1, _, W2, _, W3, _ = self.net
        dW3, db3, dH2 = self.linear_backward(self.H2, W3, dY)
        dW2, db2, dH1 = self.linear_backward(self.H1, W2, self.second_backward(dH2, self.H2))
        dW1, db1, dX = self.linear_backward(self.X, W1, self.elu_backward(dH1, self.H1))
        self.grads[:] = dW1, db1, dW2, db2, dW3, db3
        return dX

    def second(self, X: Matrix) -> Matrix:
        """The activation after the second Linear"""
        return self.sigmoid(X)

    def second_backward(self, dY: Matrix, Y: Matrix) -> Matrix:
        return self.sigmoid_backward(dY, Y)

    def linear(self, X: Matrix, W: Matrix, b: Matrix) -> Matrix:
        return [[y + c for y, c in zip(row, b[0], strict=True)] for row in matmul(X, W)]

    def linear_backward(self, X: Matrix, W: Matrix, dY: Matrix) -> tuple[Matrix, Matrix, Matrix]:
        """dW, db and dX"""
        db = [[sum(column) for column in zip(*dY, strict=True)]]
        return matmul(transpose(X), dY), db, matmul(dY, transpose(W))

    def elu(self, X: Matrix) -> Matrix:
        return each(lambda x: x if x > 0 else math.expm1(x), X)

    def elu_backward(self, dY: Matrix, Y: Matrix) -> Matrix:
        return each(lambda dy, y: dy if y > 0 else dy * (y + 1), dY, Y)

    def sigmoid(self, X: Matrix) -> Matrix:
        return each(lambda x: 1 / (1 + math.exp(-x)), X)

    def sigmoid_backward(self, dY: Matrix, Y: Matrix) -> Matrix:
        return each(lambda dy, y: dy * y * (1 - y), dY, Y)


class Discriminator(Network):
    """D over one pack: ELU twice, a sigmoid at the end, and the binary cross-entropy."""

    def forward(self, x: Matrix) -> Matrix:
        self.x = x  # (B, 1)
        self.p = self.sigmoid(super().forward(self.pack(x)))  # (1, 1)
        return self.p

    def backward(self, target: Any) -> Matrix:
        """The gradients of D, and dx (B, 1), of the BCE with a target"""
        dp = self.bce_backward(target)
        return self.unpack(super().backward(self.sigmoid_backward(dp, self.p)))

    def second(self, X: Matrix) -> Matrix:
        return self.elu(X)

    def second_backward(self, dY: Matrix, Y: Matrix) -> Matrix:
        return self.elu_backward(dY, Y)

    def pack(self, x: Matrix) -> Matrix:
        """(1, 2B): the samples and their squared deviations from their mean"""
        samples = [row[0] for row in x]
        mean = sum(samples) / len(samples)
        return [samples + [(s - mean) ** 2 for s in samples]]

    def unpack(self, dX: Matrix) -> Matrix:
        """dx (B, 1), the mean held constant"""
        B = len(self.x)
        mean = sum(row[0] for row in self.x) / B
        return [[dX[0][i] + 2 * (self.x[i][0] - mean) * dX[0][B + i]] for i in range(B)]

    def loss(self, target: float) -> float:
        (p,) = self.p[0]
        log_p, log_q = max(math.log(p), MIN_LOG), max(math.log(1 - p), MIN_LOG)
        return -(target * log_p + (1 - target) * log_q)

    def bce_backward(self, target: float) -> Matrix:
        return each(lambda p: (p - target) / max(p * (1 - p), MIN_VARIANCE), self.p)


class Adam:
    """m and v are the running means of g and g^2; w = w - LR m^ / (sqrt(v^) + EPS)"""

    def __init__(self, net: list[Matrix], grads: list[Matrix]) -> None:
        self.net, self.grads = net, grads
        self.moments = [tuple(each(lambda w: 0.0, W) for _ in "mv") for W in net]

    def step(self, t: int) -> None:
        for W, dW, (M, V) in zip(self.net, self.grads, self.moments, strict=True):
            for w, dw, m, v in zip(W, dW, M, V, strict=True):
                for i, g in enumerate(dw):
                    m[i] = BETA1 * m[i] + (1 - BETA1) * g
                    v[i] = BETA2 * v[i] + (1 - BETA2) * g * g
                    m_hat, v_hat = m[i] / (1 - BETA1**t), v[i] / (1 - BETA2**t)
                    w[i] -= LR * m_hat / (math.sqrt(v_hat) + EPS)


def each(function: Any, *matrices: Matrix) -> Matrix:
    """The function of each entry (or of entries in the same place)."""
    return [
        [function(*entries) for entries in zip(*rows, strict=True)]
        for rows in zip(*matrices, strict=True)
    ]


def transpose(A: Matrix) -> Matrix:
    return [list(column) for column in zip(*A, strict=True)]


def matmul(A: Matrix, B: Matrix) -> Matrix:
    columns = transpose(B)
    product = []
    for row in A:
        product.append([sum(a * b for a, b in zip(row, c, strict=True)) for c in columns])
    return product
