"""Rung 1: lists and floats. The formulas as they stand, one multiplication at a time."""

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
    show,
)

Matrix = list[list[float]]  # a list of rows


class Loops:
    def __init__(self, start: Start) -> None:
        self.d_noise, self.g_noise, self.data = start.d_noise, start.g_noise, start.data
        self.G: list[Matrix] = [array.tolist() for array in start.G]
        self.D: list[Matrix] = [array.tolist() for array in start.D]
        # Of every number: the number itself, m and v of Adam.
        self.g_moments = [(zeros(W), zeros(W)) for W in self.G]
        self.d_moments = [(zeros(W), zeros(W)) for W in self.D]
        self.t = 0
        self.sums = [0.0, 0.0, 0.0]

    def step(self) -> None:
        self.t += 1
        # D's half: what it says of real samples and of fake ones.
        real = normals(self.data)
        _, _, fake = generate(self.G, uniforms(self.d_noise))
        of_real, of_fake = judge(self.D, real), judge(self.D, fake)
        real_grads, _ = judge_backward(self.D, real, of_real, REAL_TARGET)
        fake_grads, _ = judge_backward(self.D, fake, of_fake, FAKE_TARGET)
        grads = [each(lambda a, b: a + b, *two) for two in zip(real_grads, fake_grads, strict=True)]
        adam(self.D, grads, self.d_moments, self.t)
        # G's half: what D, as it is now, says of fresh fake samples.
        z = uniforms(self.g_noise)
        H1, H2, fake = generate(self.G, z)
        of_g = judge(self.D, fake)
        _, dx = judge_backward(self.D, fake, of_g, GENERATOR_TARGET)
        grads = generate_backward(self.G, z, H1, H2, dx)
        adam(self.G, grads, self.g_moments, self.t)
        self.sums[0] += bce(of_real[-1], REAL_TARGET)
        self.sums[1] += bce(of_fake[-1], FAKE_TARGET)
        self.sums[2] += bce(of_g[-1], GENERATOR_TARGET)

    def parameters(self) -> tuple[list[float], list[float]]:
        G, D = ([x for W in net for row in W for x in row] for net in (self.G, self.D))
        return G, D

    def losses(self) -> list[float]:
        return [total / self.t for total in self.sums]


def zeros(W: Matrix) -> Matrix:
    return [[0.0] * len(W[0]) for _ in W]


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


def linear(X: Matrix, W: Matrix, b: Matrix) -> Matrix:
    return [[y + c for y, c in zip(row, b[0], strict=True)] for row in matmul(X, W)]


def linear_backward(X: Matrix, W: Matrix, dY: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """dW, db and dX"""
    db = [[sum(column) for column in zip(*dY, strict=True)]]
    return matmul(transpose(X), dY), db, matmul(dY, transpose(W))


def elu(x: float) -> float:
    return x if x > 0 else math.expm1(x)


def elu_backward(dy: float, y: float) -> float:
    return dy if y > 0 else dy * (y + 1)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def sigmoid_backward(dy: float, y: float) -> float:
    return dy * y * (1 - y)


def generate(G: list[Matrix], z: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    W1, b1, W2, b2, W3, b3 = G
    H1 = each(elu, linear(z, W1, b1))  # (B, H)
    H2 = each(sigmoid, linear(H1, W2, b2))  # (B, H)
    return H1, H2, linear(H2, W3, b3)  # (B, 1)


def generate_backward(
    G: list[Matrix], z: Matrix, H1: Matrix, H2: Matrix, dx: Matrix
) -> list[Matrix]:
    W1, _, W2, _, W3, _ = G
    dW3, db3, dH2 = linear_backward(H2, W3, dx)
    dW2, db2, dH1 = linear_backward(H1, W2, each(sigmoid_backward, dH2, H2))
    dW1, db1, _ = linear_backward(z, W1, each(elu_backward, dH1, H1))
    return [dW1, db1, dW2, db2, dW3, db3]


def judge(D: list[Matrix], x: Matrix) -> tuple[Matrix, Matrix, Matrix, float]:
    W1, b1, W2, b2, W3, b3 = D
    samples = [row[0] for row in x]
    mean = sum(samples) / len(samples)
    X = [samples + [(s - mean) ** 2 for s in samples]]  # (1, 2B)
    H1 = each(elu, linear(X, W1, b1))  # (1, H)
    H2 = each(elu, linear(H1, W2, b2))  # (1, H)
    return X, H1, H2, sigmoid(linear(H2, W3, b3)[0][0])


def judge_backward(
    D: list[Matrix], x: Matrix, seen: tuple[Matrix, Matrix, Matrix, float], target: float
) -> tuple[list[Matrix], Matrix]:
    """The gradients of D, and dx (B, 1), of the BCE with a target."""
    W1, _, W2, _, W3, _ = D
    X, H1, H2, p = seen
    dp = (p - target) / max(p * (1 - p), MIN_VARIANCE)
    dW3, db3, dH2 = linear_backward(H2, W3, [[sigmoid_backward(dp, p)]])
    dW2, db2, dH1 = linear_backward(H1, W2, each(elu_backward, dH2, H2))
    dW1, db1, dX = linear_backward(X, W1, each(elu_backward, dH1, H1))
    mean = sum(row[0] for row in x) / len(x)
    dx = [[dX[0][i] + 2 * (x[i][0] - mean) * dX[0][len(x) + i]] for i in range(len(x))]
    return [dW1, db1, dW2, db2, dW3, db3], dx


def bce(p: float, target: float) -> float:
    log_p = max(math.log(p), MIN_LOG)
    log_q = max(math.log(1 - p), MIN_LOG)
    return -(target * log_p + (1 - target) * log_q)


def adam(
    net: list[Matrix], grads: list[Matrix], moments: list[tuple[Matrix, Matrix]], t: int
) -> None:
    """m and v are the running means of g and g^2; p = p - LR m^ / (sqrt(v^) + EPS)"""
    for W, dW, (M, V) in zip(net, grads, moments, strict=True):
        for w, dw, m, v in zip(W, dW, M, V, strict=True):
            for i, g in enumerate(dw):
                m[i] = BETA1 * m[i] + (1 - BETA1) * g
                v[i] = BETA2 * v[i] + (1 - BETA2) * g * g
                m_hat, v_hat = m[i] / (1 - BETA1**t), v[i] / (1 - BETA2**t)
                w[i] -= LR * m_hat / (math.sqrt(v_hat) + EPS)


def uniforms(random: Any) -> Matrix:
    """(B, 1) in [0, 1): the one thing that is not made of lists, to be that of the other rungs."""
    return [[u] for u in random.random(DRAWN, dtype="float32").tolist()[:BATCH]]


def normals(random: Any) -> Matrix:
    """(B, 1), by Box and Muller: two uniforms make two normals."""
    u = uniforms(random)
    x: Matrix = []
    for i in range(0, BATCH, 2):
        r = math.sqrt(-2 * math.log(1 - u[i][0]))
        a = 2 * math.pi * u[i + 1][0]
        x += [[MEAN + STD * r * math.cos(a)], [MEAN + STD * r * math.sin(a)]]
    return x


if __name__ == "__main__":
    show(Loops, steps=5)
