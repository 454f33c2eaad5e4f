"""The exercises: right answers pass, wrong ones do not, and each gets a hint that fits."""

from __future__ import annotations

import importlib.resources
import json
import re
import sys

import numpy as np
import pytest

from minigan.cli.main import main
from minigan.lessons import grader
from minigan.lessons.exercise_definitions import EXERCISES
from minigan.lessons.grader import grade
from minigan.nn.layers.linear import LinearPass

TEMPLATES = importlib.resources.files("minigan.lessons.exercises")
SIGMOID = "1 / (1 + np.exp(-logits))"
SOFTMAX = "np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)"
ONEHOT = "np.eye(logits.shape[1])[labels]"
PACKS = "X.reshape(-1, m, X.shape[1])"
STRAIGHT = "dY[:, : m * X.shape[1]].reshape(-1, m, X.shape[1])"
SQUARED = "dY[:, m * X.shape[1] :].reshape(-1, m, X.shape[1])"
OFF = f"({PACKS} - {PACKS}.mean(axis=1, keepdims=True))"
NETWORK = {
    "dlogits": f"({SIGMOID} - t) / len(X)",
    "dW2": "H.T @ dlogits",
    "db2": "dlogits.sum(axis=0, keepdims=True)",
    "dH": "dlogits @ W2.T",
    "dA": "dH * np.where(H > 0, 1, H + 1)",
    "dW1": "X.T @ dA",
    "db1": "dA.sum(axis=0, keepdims=True)",
}
D_SAYS = "(sigmoid(logits) - np.repeat([[1], [0]], B, axis=0))"
STEP = {
    "dlogits": f"{D_SAYS} / B",
    "dlogits#2": "(sigmoid(logits) - 1) / B",
    "dfake": "D.backward(dlogits, parameter_grads=False)",
}
TAPS = "\n    for tap in np.ndindex(W.shape[:2]):\n        "
CUT = "dP[:, p : p + X.shape[1], p : p + X.shape[2]]"


def dW_of(see: str = "seen(P, tap, places, s)", after: str = "") -> str:
    """The lines that fill in dW of a convolution, with something changed."""
    product = f"np.tensordot({see}, dY, ((0, 1, 2), (0, 1, 2)))"
    return f"np.zeros(W.shape){TAPS}dW[tap] = {product}{after}"


def dX_of(
    line: str = "x += dY @ W[tap].T", see: str = "seen(dP, tap, places, s)", cut: str = CUT
) -> str:
    """The same for dX."""
    return f"0\n    dP = np.zeros(P.shape){TAPS}x = {see}\n        {line}\n    dX = {cut}"


CONVOLUTION = {"dW": dW_of(), "db": "dY.sum(axis=(0, 1, 2))", "dX": dX_of()}
SPREAD = "np.sqrt(v + eps)"
BATCH_NORM = {
    "dgamma": "(dY * n).sum(axis=0, keepdims=True)",
    "dbeta": "dY.sum(axis=0, keepdims=True)",
    "dX": f"gamma / {SPREAD} * (dY - dbeta / len(X) - n * dgamma / len(X))",
}
PENALTY = {
    "V": "2 * G / len(X)",
    "U_Z": "V @ W1",
    "U_H": "U_Z * (1 - H**2)",
    "dW2": "U_H.sum(axis=0)[:, None]",
    "C": "-2 * E_H * U_Z * H * (1 - H**2)",
    "dW1": "V.T @ E_Z + X.T @ C",
    "db1": "C.sum(axis=0, keepdims=True)",
}
PROJECTION = {
    "dw": "X.T @ dY",
    "db": "dY.sum(axis=0, keepdims=True)",
    "dV": "np.zeros(V.shape)\n    np.add.at(dV, labels, dY * X)",
    "dX": "dY * (w.T + V[labels])",
}
LABELS = "np.eye(len(V))[labels]"
SOFTMAX_OF_Q = "np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)"
TWO_HEADS = {
    "dy": "1 / (1 + np.exp(-y)) / len(X)",
    "dlogits": f"({SOFTMAX_OF_Q} - category) / len(X)",
    "dmeans": "(means - code) / std**2 / len(X)",
    "dguess": "np.hstack([dlogits, dmeans])",
    "dW2": "H.T @ dy",
    "dW3": "H.T @ dguess",
    "dH": "dy @ W2.T + dguess @ W3.T",
    "dA": "dH * (1 - H**2)",
    "dW1": "X.T @ dA",
    "db1": "dA.sum(axis=0, keepdims=True)",
}
NORMS = "np.sqrt((G**2).sum(axis=1, keepdims=True))"

#: What belongs into the blanks.
RIGHT = {
    "ex01_linear": {
        "dW": "X.T @ dY",
        "db": "dY.sum(axis=0, keepdims=True)",
        "dX": "dY @ W.T",
    },
    "ex02_relu": {"dX": "dY * (Y > 0)"},
    "ex03_sigmoid": {"dX": "dY * Y * (1 - Y)"},
    "ex04_tanh": {"dX": "dY * (1 - Y**2)"},
    "ex05_elu": {"dX": "dY * np.where(Y > 0, 1, Y + alpha)"},
    "ex06_dropout": {"dX": "dY * mask"},
    "ex07_mean_squared_error": {"dY": "2 * (Y - t) / Y.size"},
    "ex08_bce": {"dP": "(P - t) / (P * (1 - P)) / P.size"},
    "ex09_bce_with_logits": {"dlogits": f"({SIGMOID} - t) / t.size"},
    "ex10_softmax_cross_entropy": {"dlogits": f"({SOFTMAX} - {ONEHOT}) / len(labels)"},
    "ex11_pack": {"dX": f"({STRAIGHT} + 2 * {OFF} * {SQUARED}).reshape(X.shape)"},
    "ex12_network": NETWORK,
    "ex13_gan_step": STEP,
    "ex14_conv2d": CONVOLUTION,
    "ex15_batch_norm": BATCH_NORM,
    "ex16_gradient_penalty": PENALTY,
    "ex17_projection": PROJECTION,
    "ex18_two_heads": TWO_HEADS,
}

#: What people write instead, and what a hint must say.
WRONG = [
    ("ex01_linear", {"dW": "dY.T @ X"}, "transposed"),
    ("ex01_linear", {"dW": "X @ dY"}, "transpose missing"),
    ("ex01_linear", {"dX": "dY @ W"}, "transpose missing"),
    ("ex01_linear", {"dW": "X.T @ dY / len(X)"}, "only sums"),
    ("ex01_linear", {"db": "dY.mean(axis=0, keepdims=True)"}, "only sums"),
    ("ex01_linear", {"db": "dY.sum(axis=0)"}, "keepdims"),
    ("ex01_linear", {"db": "dY"}, "backward sums the rows"),
    ("ex01_linear", {"db": "dY.sum(axis=1, keepdims=True)"}, "wrong axis"),
    ("ex01_linear", {"db": "np.full((1, dY.shape[1]), dY.sum())"}, "its own bias"),
    ("ex01_linear", {"dX": "-dY @ W.T"}, "sign"),
    ("ex01_linear", {"dW": "2 * X.T @ dY"}, "2 times the right one, everywhere"),
    ("ex01_linear", {"dW": "X.T (dY)"}, r"is a \* missing"),
    ("ex01_linear", {"db": "dY.sum()"}, "One number is not enough"),
    ("ex02_relu", {"dX": "dY"}, "every unit passes"),
    ("ex02_relu", {"dX": "dY * (Y >= 0)"}, "true everywhere"),
    ("ex02_relu", {"dX": "2 * dY * (Y > 0)"}, "constant factor"),
    ("ex02_relu", {"dX": "dY[:, :1] * (Y[:, :1] > 0)"}, r"shape \(4, 1\).*\(4, 3\)\.$"),
    ("ex03_sigmoid", {"dX": "dY"}, "not been multiplied"),
    ("ex02_relu", {"dX": "dY * Y"}, "multiplied by Y itself"),
    ("ex02_relu", {"dX": "np.maximum(dY, 0)"}, "forward decides"),
    ("ex02_relu", {"dX": "Y > 0"}, "multiplies it by dY"),
    ("ex02_relu", {"dX": "dY * (Y < 0)"}, "inverted|zero everywhere"),
    ("ex03_sigmoid", {"dX": "Y * (1 - Y)"}, "multiplies it by dY"),
    ("ex03_sigmoid", {"dX": "dY * forward(Y) * (1 - forward(Y))"}, "output already"),
    ("ex03_sigmoid", {"dX": "dY * (1 - Y)"}, "factor Y is missing"),
    ("ex03_sigmoid", {"dX": "dY * Y * (Y - 1)"}, "sign"),
    ("ex04_tanh", {"dX": "1 - Y**2"}, "multiplies it by dY"),
    ("ex04_tanh", {"dX": "dY * (1 - np.tanh(Y) ** 2)"}, "output already"),
    ("ex04_tanh", {"dX": "dY * (1 - Y)"}, "squared"),
    ("ex04_tanh", {"dX": "dY * (1 - Y) ** 2"}, r"not \(1 - Y\)\^2"),
    ("ex05_elu", {"dX": "np.where(Y > 0, dY, dY * Y)"}, "Y [+] alpha, not Y"),
    ("ex05_elu", {"dX": "np.where(Y > 0, dY, dY * (Y + 1))"}, "alpha is forgotten"),
    ("ex05_elu", {"dX": "np.where(Y > 0, dY, dY * alpha * np.exp(Y))"}, "X is gone"),
    ("ex05_elu", {"dX": "dY * (Y + alpha)"}, "slope is 1"),
    ("ex05_elu", {"dX": "dY * (Y > 0)"}, "as ReLU is"),
    ("ex05_elu", {"dX": "np.where(Y > 0, dY, dY * alpha * (Y + 1))"}, "add alpha to Y"),
    ("ex05_elu", {"dX": "np.where(Y > 0, dY, dY * (Y / alpha + 1))"}, "That is e"),
    ("ex06_dropout", {"dX": "dY"}, "mask is forgotten"),
    ("ex06_dropout", {"dX": "dY * (mask > 0)"}, "scale is forgotten"),
    ("ex06_dropout", {"dX": "dY * (mask == 0)"}, "inverted"),
    ("ex06_dropout", {"dX": "dY * np.random.permutation(mask)"}, "differences give [+-][0-9.]+$"),
    ("ex06_dropout", {"dX": "2 * dY * (mask > 0)"}, "yours is"),
    ("ex06_dropout", {"dX": "dY * mask**2"}, "applied twice"),
    ("ex06_dropout", {"dX": "dY / mask"}, "a division by 0"),
    ("ex07_mean_squared_error", {"dY": "2 * (Y - t)"}, "1/N is missing"),
    ("ex07_mean_squared_error", {"dY": "(Y - t) / Y.size"}, "The 2"),
    ("ex07_mean_squared_error", {"dY": "2 * (Y - t) / len(Y)"}, "all N = B O entries"),
    ("ex07_mean_squared_error", {"dY": "2 * (t - Y) / Y.size"}, "sign"),
    ("ex08_bce", {"dP": "(P - t) / P.size"}, "denominator"),
    ("ex08_bce", {"dP": "(P - t) / (P * (1 - P))"}, "1/N is missing"),
    ("ex08_bce", {"dP": "-t / P / P.size"}, "depends on P, too"),
    ("ex08_bce", {"dP": "(-t / P - (1 - t) / (1 - P)) / P.size"}, "one more sign"),
    ("ex09_bce_with_logits", {"dlogits": "(logits - t) / t.size"}, "sigmoid is forgotten"),
    ("ex09_bce_with_logits", {"dlogits": f"{SIGMOID} - t"}, "1/N is missing"),
    (
        "ex09_bce_with_logits",
        {"dlogits": "(np.exp(logits) / (1 + np.exp(logits)) - t) / t.size"},
        "exponential that is too large",
    ),
    ("ex09_bce_with_logits", {"dlogits": f"(t - {SIGMOID}) / t.size"}, "sign"),
    (
        "ex09_bce_with_logits",
        {"dlogits": f"({SIGMOID} - t) * {SIGMOID} * (1 - {SIGMOID}) / t.size"},
        "should cancel",
    ),
    ("ex10_softmax_cross_entropy", {"dlogits": f"{SOFTMAX} - {ONEHOT}"}, "1/B is missing"),
    ("ex10_softmax_cross_entropy", {"dlogits": f"{SOFTMAX} / len(labels)"}, "subtract 1"),
    (
        "ex10_softmax_cross_entropy",
        {"dlogits": f"({SOFTMAX} - {ONEHOT}) / logits.size"},
        "over the B rows",
    ),
    (
        "ex10_softmax_cross_entropy",
        {
            "dlogits": f"(np.exp(logits) / np.exp(logits).sum(axis=0) - {ONEHOT}) / len(labels)",
        },
        "wrong axis",
    ),
    (
        "ex10_softmax_cross_entropy",
        {"dlogits": f"({SOFTMAX} - labels[:, None]) / len(labels)"},
        "in that column only",
    ),
    (
        "ex10_softmax_cross_entropy",
        {"dlogits": f"(np.exp(logits) - {ONEHOT}) / len(labels)"},
        "divided by their sum",
    ),
    ("ex11_pack", {"dX": f"({SQUARED} + 2 * {OFF} * {STRAIGHT}).reshape(X.shape)"}, "swapped"),
    ("ex11_pack", {"dX": f"{STRAIGHT}.reshape(X.shape)"}, "deviations are forgotten"),
    (
        "ex11_pack",
        {"dX": f"(2 * {OFF} * {SQUARED}).reshape(X.shape)"},
        "samples themselves are forgotten",
    ),
    (
        "ex11_pack",
        {"dX": f"({STRAIGHT} + {OFF} * {SQUARED}).reshape(X.shape)"},
        "The 2",
    ),
    (
        "ex11_pack",
        {
            "dX": f"({STRAIGHT} + 2 * {OFF} * {SQUARED}"
            f" - (2 * {OFF} * {SQUARED}).mean(axis=1, keepdims=True)).reshape(X.shape)"
        },
        "counts as a constant|as a constant",
    ),
    ("ex12_network", {"dlogits": f"{SIGMOID} - t"}, "lacks its 1/B"),
    ("ex12_network", {"dA": "dH"}, "slope is forgotten"),
    ("ex12_network", {"dA": "dH * (H > 0)"}, "ReLU's slope"),
    ("ex12_network", {"dA": "dH * np.where(H > 0, 1, np.exp(H))"}, "exponential is of H"),
    ("ex12_network", {"dA": "np.where(H > 0, 1, H + 1)"}, "slope alone"),
    ("ex12_network", {"dlogits": f"{SIGMOID} / len(X)"}, "lacks the targets"),
    ("ex12_network", {"dH": "dlogits @ W2.T / len(X)"}, "dH is divided by B"),
    ("ex12_network", {"dW1": "H.T @ dA"}, "input is X, not H"),
    ("ex12_network", {"db1": "dH.sum(axis=0, keepdims=True)"}, "computed from dH"),
    ("ex12_network", {"dlogits": "(logits - t) / len(X)"}, "lacks the sigmoid"),
    ("ex12_network", {"dH": "dlogits @ W2"}, "transpose missing"),
    ("ex12_network", {"db1": "dA.mean(axis=0, keepdims=True)"}, "only sums"),
    ("ex12_network", {"dW2": "X.T @ dlogits"}, "input is H, not X"),
    ("ex12_network", {"db2": "len(X) * dlogits.sum(axis=0, keepdims=True)"}, "1/B missing"),
    ("ex12_network", {"dW2": "H.T @ dlogits / len(X)"}, "divided by B twice"),
    ("ex13_gan_step", {"dlogits": f"{D_SAYS} / (2 * B)"}, "sum of two means"),
    ("ex13_gan_step", {"dlogits": f"-{D_SAYS} / B"}, "sign"),
    ("ex13_gan_step", {"dlogits": "(sigmoid(logits) - 1) / B"}, "of generated samples is 0"),
    ("ex13_gan_step", {"dlogits": D_SAYS}, "1/B is missing"),
    ("ex13_gan_step", {"dlogits#2": "sigmoid(logits) - 1"}, "1/B is missing"),
    ("ex13_gan_step", {"dlogits#2": "sigmoid(logits) / B"}, "output 1 for its samples"),
    ("ex13_gan_step", {"dlogits#2": "-sigmoid(logits) / B"}, "minimax"),
    (
        "ex13_gan_step",
        {"dlogits": "(sigmoid(logits) - np.repeat([1, 0], B)) / B"},
        r"give all the shape \(n, 1\)",
    ),
    ("ex13_gan_step", {"dlogits": "0 * logits"}, "D has not moved"),
    ("ex13_gan_step", {"dlogits#2": "0 * logits"}, "G has not moved"),
    ("ex13_gan_step", {"dfake": "-D.backward(dlogits)"}, "sign"),
    ("ex14_conv2d", {"dW": dW_of(after="\n    dW = dW[::-1, ::-1]")}, "kernel is turned around"),
    ("ex14_conv2d", {"dX": dX_of("x += dY @ W[::-1, ::-1][tap].T")}, "kernel is turned around"),
    ("ex14_conv2d", {"db": "dY.sum(axis=0)"}, "axes 0, 1 and 2"),
    ("ex14_conv2d", {"db": "dY.sum(axis=(1, 2, 3))"}, "axes 0, 1 and 2"),
    ("ex14_conv2d", {"db": "dY.sum(axis=(0, 1))"}, "axes 0, 1 and 2"),
    ("ex14_conv2d", {"db": "dY.mean(axis=(0, 1, 2))"}, "only sums"),
    ("ex14_conv2d", {"db": "dY.sum(axis=(0, 1, 2), keepdims=True)"}, "no keepdims"),
    ("ex14_conv2d", {"db": "dY.sum()"}, "One number is not enough"),
    ("ex14_conv2d", {"dW": dW_of(after=" / len(X)")}, "only sums"),
    ("ex14_conv2d", {"dW": dW_of("seen(P, tap, places, 1)")}, "stride is forgotten"),
    ("ex14_conv2d", {"dX": dX_of(see="seen(dP, tap, places, 1)")}, "stride is forgotten"),
    ("ex14_conv2d", {"dX": dX_of("x[...] = dY @ W[tap].T")}, "Windows overlap"),
    ("ex14_conv2d", {"dX": dX_of(cut="dP")}, "padding is still there"),
    ("ex14_conv2d", {"dX": dX_of(cut="dP[:, : X.shape[1], : X.shape[2]]")}, "begins in row p"),
    ("ex14_conv2d", {"dX": dX_of(cut="dP[:, p:-p, p:-p]")}, "It is empty"),
    ("ex14_conv2d", {"dX": dX_of("x += dY @ W[tap]")}, "transpose missing"),
    ("ex14_conv2d", {"dX": dX_of("x -= dY @ W[tap].T")}, "sign"),
    ("ex14_conv2d", {"dX": dX_of("x = x + dY @ W[tap].T")}, "zero everywhere"),
    (
        "ex15_batch_norm",
        {"dX": f"gamma / {SPREAD} * (dY - dbeta - n * dgamma)"},
        "1/N is missing",
    ),
    ("ex15_batch_norm", {"dX": f"gamma / {SPREAD} * dY"}, "taken as constants"),
    ("ex15_batch_norm", {"dX": f"gamma / {SPREAD} * (dY - dbeta / len(X))"}, "path through v is"),
    (
        "ex15_batch_norm",
        {"dX": f"gamma / {SPREAD} * (dY - n * dgamma / len(X))"},
        "path through m is",
    ),
    (
        "ex15_batch_norm",
        {"dX": f"gamma / {SPREAD} * (dY - (dbeta + n * dgamma) / (len(X) - 1))"},
        "N rows, not N - 1",
    ),
    (
        "ex15_batch_norm",
        {"dX": f"(dY - dbeta / len(X) - n * dgamma / len(X)) / {SPREAD}"},
        "gamma is forgotten",
    ),
    (
        "ex15_batch_norm",
        {"dX": "gamma / (v + eps) * (dY - dbeta / len(X) - n * dgamma / len(X))"},
        "square root is forgotten",
    ),
    (
        "ex15_batch_norm",
        {"dX": "gamma / np.sqrt(v) * (dY - dbeta / len(X) - n * dgamma / len(X))"},
        "eps is forgotten",
    ),
    (
        "ex15_batch_norm",
        {"dX": "gamma * (dY - dbeta / len(X) - n * dgamma / len(X))"},
        "spread is forgotten",
    ),
    (
        "ex15_batch_norm",
        {"dX": f"gamma / {SPREAD} * (dY - dbeta / len(X) - dgamma / len(X))"},
        "through v lacks n",
    ),
    (
        "ex15_batch_norm",
        {"dX": f"gamma / {SPREAD} * (dY - dbeta / len(X) + n * dgamma / len(X))"},
        "sign of the path through v",
    ),
    (
        "ex15_batch_norm",
        {"dX": f"gamma / {SPREAD} * (dY + dbeta / len(X) - n * dgamma / len(X))"},
        "sign of the path through m",
    ),
    (
        "ex15_batch_norm",
        {"dX": f"gamma / {SPREAD} * gamma * (dY - dbeta / len(X) - n * dgamma / len(X))"},
        "gamma is there twice",
    ),
    ("ex15_batch_norm", {"dgamma": "(dY * X).sum(axis=0, keepdims=True)"}, "the normalised X"),
    (
        "ex15_batch_norm",
        {"dgamma": "(dY * (X - m)).sum(axis=0, keepdims=True)"},
        "the normalised X",
    ),
    ("ex15_batch_norm", {"dgamma": "dY.sum(axis=0, keepdims=True)"}, "dgamma holds dbeta"),
    ("ex15_batch_norm", {"dgamma": "(dY * n).mean(axis=0, keepdims=True)"}, "only summed"),
    ("ex15_batch_norm", {"dbeta": "dY.mean(axis=0, keepdims=True)"}, "only summed"),
    ("ex15_batch_norm", {"dbeta": "dY.sum(axis=0)"}, "keepdims"),
    ("ex15_batch_norm", {"dbeta": "dY.sum(axis=1, keepdims=True)"}, "wrong axis"),
    ("ex15_batch_norm", {"dbeta": "(gamma * dY).sum(axis=0, keepdims=True)"}, "no gamma here"),
    (
        "ex15_batch_norm",
        {"dgamma": "(gamma * dY * n).sum(axis=0, keepdims=True)"},
        "not in its derivative",
    ),
    ("ex16_gradient_penalty", {"V": "G / len(X)"}, "lacks the 2"),
    ("ex16_gradient_penalty", {"V": "2 * G"}, "V lacks 1/B"),
    ("ex16_gradient_penalty", {"V": "2 * G / G.size"}, "not over all B in entries"),
    ("ex16_gradient_penalty", {"V": "G"}, "gradient of P by G"),
    ("ex16_gradient_penalty", {"V": f"G / {NORMS} / len(X)"}, "mean of its square"),
    ("ex16_gradient_penalty", {"V": f"2 * (1 - 1 / {NORMS}) * G / len(X)"}, "here P is the mean"),
    (
        "ex16_gradient_penalty",
        {"V": f"2 * {NORMS} * (G / {NORMS}) / len(X)"},
        "NaN or infinity: is there a root",
    ),
    ("ex16_gradient_penalty", {"U_H": "U_Z"}, "multiplied by the slope of tanh"),
    ("ex16_gradient_penalty", {"U_H": "-2 * U_Z * H * (1 - H**2)"}, "belongs in the curvature"),
    (
        "ex16_gradient_penalty",
        {"dW2": "H.sum(axis=0)[:, None]"},
        "does not go through the tangents",
    ),
    ("ex16_gradient_penalty", {"dW2": "np.zeros(W2.shape)"}, "does not go through the tangents"),
    ("ex16_gradient_penalty", {"dW2": "(H * U_H).sum(axis=0)[:, None]"}, "no factor of <V, G>"),
    ("ex16_gradient_penalty", {"dW2": "U_H.sum(axis=0)"}, "shape"),
    ("ex16_gradient_penalty", {"dW1": "V.T @ E_Z"}, "curvature is forgotten"),
    ("ex16_gradient_penalty", {"C": "np.zeros(H.shape)"}, "curvature is forgotten"),
    ("ex16_gradient_penalty", {"dW1": "X.T @ C"}, "does not go through the tangents"),
    ("ex16_gradient_penalty", {"dW1": "X.T @ E_Z + X.T @ C"}, "is V, not X"),
    ("ex16_gradient_penalty", {"dW1": "V.T @ E_H + X.T @ C"}, "E_Z, not E_H"),
    ("ex16_gradient_penalty", {"dW1": "V.T @ (E_Z + C)"}, "the second term is X"),
    ("ex16_gradient_penalty", {"db1": "E_Z.sum(axis=0, keepdims=True)"}, "curvature alone"),
    ("ex16_gradient_penalty", {"db1": "(E_Z + C).sum(axis=0, keepdims=True)"}, "curvature alone"),
    ("ex16_gradient_penalty", {"db1": "np.zeros((1, H.shape[1]))"}, "zero everywhere"),
    ("ex16_gradient_penalty", {"db1": "C.mean(axis=0, keepdims=True)"}, "only sums"),
    ("ex16_gradient_penalty", {"C": "-E_H * U_Z * H * (1 - H**2)"}, "C lacks the 2"),
    ("ex16_gradient_penalty", {"C": "2 * E_H * U_Z * H * (1 - H**2)"}, "sign of C"),
    ("ex16_gradient_penalty", {"C": "-2 * E_H * U_Z * H"}, "H itself depends on Z"),
    ("ex16_gradient_penalty", {"C": "E_H * U_Z * (1 - H**2)"}, "has the slope of tanh in it"),
    (
        "ex16_gradient_penalty",
        {"C": "-2 * E_H * U_H * H * (1 - H**2)"},
        "once too often: it takes U_Z",
    ),
    ("ex16_gradient_penalty", {"C": "-2 * E_Z * U_Z * H * (1 - H**2)"}, "once too often.*and E_H"),
    ("ex16_gradient_penalty", {"C": "-2 * U_Z * H * (1 - H**2)"}, "factor E_H"),
    ("ex16_gradient_penalty", {"C": "-2 * E_H * H * (1 - H**2)"}, "factor U_Z"),
    ("ex16_gradient_penalty", {"C": "-2 * E_H * U_Z * H * (1 - H**2) / len(X)"}, "in V already"),
    (
        "ex17_projection",
        {"dV": "np.zeros(V.shape)\n    dV[labels] += dY * X"},
        r"does not add up equal labels\. Use np.add.at",
    ),
    ("ex17_projection", {"dV": f"{LABELS}.T @ X"}, "dY is forgotten"),
    ("ex17_projection", {"dV": f"{LABELS}.T @ dY + 0 * V"}, "X is forgotten"),
    ("ex17_projection", {"dV": "0 * V + X.T @ dY[:, 0]"}, "those of class j"),
    ("ex17_projection", {"dV": f"{LABELS}.T @ (dY * X) / len(X)"}, "only sums"),
    (
        "ex17_projection",
        {"dV": f"{LABELS}.T @ (dY * X) / np.maximum(1, {LABELS}.sum(0))[:, None]"},
        "mean over the samples of each class",
    ),
    ("ex17_projection", {"dV": f"(dY * X).T @ {LABELS}"}, "looks transposed"),
    ("ex17_projection", {"dw": "X.T @ dY / len(X)"}, "only sums"),
    ("ex17_projection", {"db": "dY.mean(axis=0, keepdims=True)"}, "only sums"),
    ("ex17_projection", {"dX": "dY @ w.T"}, "projection is forgotten"),
    ("ex17_projection", {"dX": "dY * V[labels]"}, "w is forgotten"),
    ("ex17_projection", {"dX": "w.T + V[labels]"}, "dY is forgotten"),
    ("ex17_projection", {"dX": "dY @ (w.T + V.sum(axis=0, keepdims=True))"}, "every class"),
    ("ex17_projection", {"dX": "dY * (w.T - V[labels])"}, "sign of the projection"),
    ("ex17_projection", {"dX": "dY * (w.T + V[labels]) / len(X)"}, "only sums"),
    ("ex18_two_heads", {"dy": "1 / (1 + np.exp(-y))"}, "dy lacks its 1/B"),
    ("ex18_two_heads", {"dy": "(1 / (1 + np.exp(-y)) - 1) / len(X)"}, "their target is 0"),
    ("ex18_two_heads", {"dy": "y / len(X)"}, "lacks the sigmoid"),
    ("ex18_two_heads", {"dguess": "-np.hstack([dlogits, dmeans])"}, "sign of the term"),
    ("ex18_two_heads", {"dlogits": f"(category - {SOFTMAX_OF_Q}) / len(X)"}, "sign of dlogits"),
    ("ex18_two_heads", {"dmeans": "(code - means) / std**2 / len(X)"}, "sign of dmeans"),
    ("ex18_two_heads", {"dlogits": f"{SOFTMAX_OF_Q} / len(X)"}, "category is forgotten"),
    ("ex18_two_heads", {"dlogits": "(logits - category) / len(X)"}, "softmax is forgotten"),
    (
        "ex18_two_heads",
        {
            "dlogits": f"{SOFTMAX_OF_Q}\n    logits = dlogits"
            f"\n    dlogits = ({SOFTMAX_OF_Q} - category) / len(X)"
        },
        "softmax is taken twice",
    ),
    (
        "ex18_two_heads",
        {"dlogits": "(np.exp(logits) / np.exp(logits).sum(axis=0) - category) / len(X)"},
        "wrong axis",
    ),
    ("ex18_two_heads", {"dlogits": f"{SOFTMAX_OF_Q} - category"}, "dlogits lacks its 1/B"),
    (
        "ex18_two_heads",
        {"dlogits": f"({SOFTMAX_OF_Q} - category) / category.size"},
        "not over all B K logits",
    ),
    ("ex18_two_heads", {"dmeans": "(means - code) / std**2"}, "dmeans lacks its 1/B"),
    (
        "ex18_two_heads",
        {"dlogits": f"{SOFTMAX_OF_Q} - category", "dmeans": "(means - code) / std**2"},
        "dlogits and dmeans lack their 1/B",
    ),
    ("ex18_two_heads", {"dmeans": "(means - code) / len(X)"}, "lacks 1/std"),
    ("ex18_two_heads", {"dmeans": "(means - code) / std / len(X)"}, "std is squared"),
    ("ex18_two_heads", {"dmeans": "2 * (means - code) / std**2 / len(X)"}, "factor 2 too many"),
    ("ex18_two_heads", {"dmeans": "(means - code) / (2 * std**2) / len(X)"}, "half of what"),
    ("ex18_two_heads", {"dmeans": "(means - code) / std**2 / code.size"}, "rows alone"),
    ("ex18_two_heads", {"dW3": "H.T @ dguess / len(X)"}, "in dguess already"),
    ("ex18_two_heads", {"dH": "dy @ W2.T\n    dH = dguess @ W3.T"}, "D's head is lost"),
    ("ex18_two_heads", {"dH": "dy @ W2.T"}, "gradient of Q is lost"),
    ("ex18_two_heads", {"dH": "dy @ W2.T - dguess @ W3.T"}, "Q's gradient is subtracted"),
    ("ex18_two_heads", {"dH": "(dy @ W2.T + dguess @ W3.T) / 2"}, "mean of both"),
    (
        "ex18_two_heads",
        {"dH": "dy @ W2.T + dlogits @ W3[:, : dlogits.shape[1]].T"},
        "means are forgotten",
    ),
    (
        "ex18_two_heads",
        {"dH": "dy @ W2.T + dmeans @ W3[:, dlogits.shape[1] :].T"},
        "logits are forgotten",
    ),
    ("ex18_two_heads", {"dA": "dH"}, "slope of tanh is forgotten"),
    ("ex18_two_heads", {"dA": "dH * (1 - np.tanh(H) ** 2)"}, "must not be taken again"),
    ("ex18_two_heads", {"dA": "dH * (1 - H**2) / len(X)"}, "in dy and dguess already"),
    ("ex18_two_heads", {"dW1": "X.T @ dH"}, "computed from dH"),
    ("ex18_two_heads", {"db1": "dA.mean(axis=0, keepdims=True)"}, "only sums"),
    ("ex18_two_heads", {"dW3": "H.T @ dlogits"}, "shape"),
]


def filled(name: str, values: dict[str, str]) -> str:
    """An exercise with something in each of its blanks; "dX#2" is the second one called dX."""
    text = TEMPLATES.joinpath(f"{name}.py").read_text(encoding="utf-8")
    for key in sorted(values, key=lambda key: "#" not in key):  # the second before the first
        blank, _, number = key.partition("#")
        places = list(re.finditer(rf"\b{blank} = (\.\.\.)", text))
        place = places[int(number or 1) - 1]
        text = text[: place.start(1)] + values[key] + text[place.end(1) :]
    return text


def graded(name: str, text: str, folder) -> grader.Grade:
    (exercise,) = (one for one in EXERCISES if one.name == name)
    file = folder / exercise.file
    file.write_text(text, encoding="utf-8")
    return grade(exercise, file)


@pytest.mark.parametrize("name", [one.name for one in EXERCISES])
def test_the_true_answer_is_right(name, tmp_path):
    verdict = graded(name, filled(name, RIGHT[name]), tmp_path)
    assert verdict.verdict == "right", verdict


@pytest.mark.parametrize(
    ("name", "values", "hint"), WRONG, ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(WRONG)]
)
def test_a_typical_mistake_is_wrong_and_gets_a_hint_that_fits(name, values, hint, tmp_path):
    np.random.seed(3)
    verdict = graded(name, filled(name, {**RIGHT[name], **values}), tmp_path)
    said = "\n".join(verdict.lines)
    assert verdict.verdict == "wrong", said
    assert re.search(hint, said), said
    if not re.search("shape|run|infinity|holds", said):
        assert re.search(r"is off by \d\.\d\de[+-]\d\d at \[\d", said), said


def test_a_transposed_square_is_recognised():
    right = np.arange(9.0).reshape(3, 3)
    case = grader.Case(lambda module: {}, {"dW": right}, {"dW": right})
    assert grader._hint(case, "dW", {"dW": right.T}) == "It is transposed"


def test_every_exercise_has_three_mistakes_and_more():
    for exercise in EXERCISES:
        assert sum(name == exercise.name for name, _, _ in WRONG) >= 3


@pytest.mark.parametrize("name", [one.name for one in EXERCISES])
def test_an_exercise_as_it_is_handed_out_is_blank(name, tmp_path):
    verdict = graded(name, filled(name, {}), tmp_path)
    assert verdict.verdict == "blank"
    assert verdict.lines == (f"{grader.count(len(RIGHT[name]), 'blank')} left",)


def test_a_hint_is_given_once_and_what_follows_is_not_looked_at(tmp_path):
    text = filled("ex13_gan_step", {**STEP, "dlogits": f"{D_SAYS} / (2 * B)"})
    lines = graded("ex13_gan_step", text, tmp_path).lines
    assert sum("sum of two means" in line for line in lines) == 1
    assert [line[:2] for line in lines] == ["D "] * 4 + ["G "]
    assert lines[-1].endswith("not checked until the above is right")


def test_what_is_computed_from_a_wrong_gradient_is_not_blamed(tmp_path):
    text = filled("ex15_batch_norm", {**BATCH_NORM, "dgamma": "(dY * X).sum(0, keepdims=True)"})
    lines = graded("ex15_batch_norm", text, tmp_path).lines
    assert lines[0].startswith("dgamma is off")
    assert lines[1:] == ("dX: not checked until the above is right",)


def test_what_is_written_of_an_exercise_with_blanks_is_graded(tmp_path):
    verdict = graded("ex01_linear", filled("ex01_linear", {"dW": "X.T @ dY"}), tmp_path)
    assert verdict.verdict == "blank"
    assert verdict.lines == ("2 blanks left", "right so far: dW")
    verdict = graded("ex01_linear", filled("ex01_linear", {"dW": "-X.T @ dY"}), tmp_path)
    assert verdict.lines[0] == "2 blanks left"
    assert "The sign is wrong" in verdict.lines[1]
    assert len(verdict.lines) == 2
    verdict = graded("ex01_linear", filled("ex01_linear", {"dW": "X @ dY"}), tmp_path)
    assert (verdict.verdict, verdict.lines[0]) == ("blank", "2 blanks left")
    assert "is a transpose missing" in verdict.lines[1]
    text = "def backward(dY, Y):\n    return dY[..., :] * (Y > 0)\n"  # no blank
    assert graded("ex02_relu", text, tmp_path).verdict == "right"


RIGHT_IN_OTHER_WORDS = [
    (
        "ex01_linear",
        "def backward(dY, X, W):\n    return np.einsum('bi,bo->io', X, dY), dY.sum(0)[None],"
        " np.einsum('bo,io->bi', dY, W)",
    ),
    (
        "ex01_linear",
        "def backward(dY, X, W):\n    return [X.T @ dY, np.ones((1, len(dY))) @ dY, (W @ dY.T).T]",
    ),
    ("ex02_relu", "def backward(dY, Y):\n    dY[Y <= 0] = 0\n    return dY"),
    (
        "ex02_relu",
        "def backward(dY: np.ndarray, Y: np.ndarray) -> np.ndarray:\n"
        "    return [[d if y > 0 else 0 for d, y in zip(*r)] for r in zip(dY, Y)]",
    ),
    (
        "ex03_sigmoid",
        "def backward(dY, Y):\n    dX = ...\n    dX = dY * Y * (1 - Y)\n    return dX",
    ),
    (
        "ex03_sigmoid",
        "def backward(dY, Y):\n    everything = ...\n    return dY[everything] * Y * (1 - Y)",
    ),
    (
        "ex04_tanh",
        "def backward(dY, Y):\n    from ex02_relu import forward\n    return dY * (1 - Y * Y)",
    ),
    ("ex04_tanh", "def backward(dY, Y):\n    return (dY * (1 - Y * Y)).astype(object)"),
]


@pytest.mark.parametrize(("name", "code"), RIGHT_IN_OTHER_WORDS)
def test_a_right_answer_in_other_words_is_right(name, code, tmp_path):
    graded("ex02_relu", filled("ex02_relu", RIGHT["ex02_relu"]), tmp_path)
    verdict = graded(name, f"import numpy as np\n\n\n{code}\n", tmp_path)
    assert verdict.verdict == "right", verdict


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_files_of_other_editors_are_read(encoding, tmp_path):
    text = filled("ex04_tanh", RIGHT["ex04_tanh"])
    text = ("# coding: latin-1, ä\n" if encoding == "latin-1" else "") + text
    file = tmp_path / "ex04_tanh.py"
    file.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    (exercise,) = (one for one in EXERCISES if one.name == "ex04_tanh")
    assert grade(exercise, file).verdict == "right"


def test_an_ellipsis_that_is_returned_is_a_blank(tmp_path):
    for line in ("return ...", "dX: object = ...\n    return dX"):
        text = f"def backward(dY, Y):\n    {line}\n"
        assert graded("ex02_relu", text, tmp_path).verdict == "blank"


def test_a_hint_that_needs_all_of_several_gradients_is_not_given_for_one(tmp_path):
    text = filled("ex12_network", {**NETWORK, "db2": "len(X) * dlogits.sum(axis=0, keepdims=True)"})
    said = "\n".join(graded("ex12_network", text, tmp_path).lines)
    assert "dlogits lacks" not in said
    text = filled("ex12_network", {**NETWORK, "db2": "1.7 * dlogits.sum(axis=0, keepdims=True)"})
    assert "everywhere" not in "\n".join(graded("ex12_network", text, tmp_path).lines)


def test_four_digits_are_asked_for(tmp_path):
    for factor, verdict in (("1.00001", "right"), ("1.001", "wrong")):
        text = filled("ex02_relu", {"dX": f"{factor} * dY * (Y > 0)"})
        assert graded("ex02_relu", text, tmp_path).verdict == verdict


def test_an_answer_that_leaves_python_is_wrong(tmp_path, capsys):
    text = "import sys\n\n\ndef backward(dY, Y):\n    sys.exit(0)\n"
    (tmp_path / "ex02_relu.py").write_text(text, encoding="utf-8")
    assert main(["ninja", "check", str(tmp_path)]) == 1
    assert "line 5: SystemExit" in capsys.readouterr().out


def test_a_missing_exercise_is_reported_and_can_be_written_again(tmp_path, capsys):
    folder = tmp_path / "my exercises"
    assert main(["ninja", "new", str(folder)]) == 0
    (folder / "ex04_tanh.py").unlink()
    mine = filled("ex01_linear", RIGHT["ex01_linear"])
    (folder / "ex01_linear.py").write_text(mine, encoding="utf-8")
    assert main(["ninja", "check", str(folder)]) == 1
    assert re.search(r"^ex04_tanh +missing$", capsys.readouterr().out, re.MULTILINE)
    assert main(["ninja", "new", str(folder)]) == 0
    out = capsys.readouterr().out
    assert f"{len(EXERCISES) - 1} exercises already there, left unchanged" in out
    assert "my exercises' ex04" in out
    assert (folder / "ex01_linear.py").read_text(encoding="utf-8") == mine
    assert main(["ninja", "check", str(folder), "LINEAR"]) == 0


def test_an_answer_in_single_precision_is_right(tmp_path):
    text = filled("ex04_tanh", {"dX": "(dY * (1 - Y**2)).astype(np.float32)"})
    assert graded("ex04_tanh", text, tmp_path).verdict == "right"


def test_differences_decide_and_not_the_library(tmp_path, monkeypatch):
    """Were the library's own backward wrong, a true answer would still pass."""
    original = LinearPass.backward

    def backward(self, dY, **wanted):
        dX = original(self, dY, **wanted)
        self.dweight *= 2.0
        return dX

    monkeypatch.setattr(LinearPass, "backward", backward)
    verdict = graded("ex01_linear", filled("ex01_linear", RIGHT["ex01_linear"]), tmp_path)
    assert verdict.verdict == "right"
    doubled = {**RIGHT["ex01_linear"], "dW": "2 * X.T @ dY"}
    assert graded("ex01_linear", filled("ex01_linear", doubled), tmp_path).verdict == "wrong"


BROKEN = [
    ("def backward(dY, Y:\n", "line 1"),
    ("import nothing_of_this_name\n", "nothing_of_this_name"),
    ("raise SystemExit(3)\n", "SystemExit"),
    ("x = 1\n", "Has it been renamed?"),
    ("def backward(dY, Y):\n    return undefined\n", "line 2: NameError"),
    ("def backward(dY, Y):\n    pass\n", "None"),
    ("def backward(dY, Y):\n    return 'dX'\n", "not an array of numbers"),
    ("def backward(dY, Y):\n    return [[1, 2], [3]]\n", "not an array of numbers"),
    ("def backward(dY, Y):\n    return 0 * dY\n", "zero everywhere"),
    ("def backward(dY, Y):\n    return dY.T * (Y.T > 0)\n", "transposed"),
    ("def backward(dY, Y):\n    return 3.5 * dY * (Y > 0)\n", "constant factor"),
    ("def backward(dY, Y):\n    dY *= Y > 0\n    return dY.tolist()\n", "right"),
]


@pytest.mark.parametrize(("text", "said"), BROKEN)
def test_files_of_every_kind_are_graded_in_a_sentence(text, said, tmp_path):
    verdict = graded("ex02_relu", text, tmp_path)
    assert said in "\n".join([verdict.verdict, *verdict.lines])
    assert "Traceback" not in str(verdict)


def test_results_in_another_order_are_reported(tmp_path):
    text = "def backward(dY, X, W):\n    return dY @ W.T, X.T @ dY, dY.sum(0, keepdims=True)\n"
    lines = graded("ex01_linear", text, tmp_path).lines
    assert "dW holds dX: return dW, db, dX, in this order" in lines


def test_false_hints_are_not_given(tmp_path):
    for values in ({"dlogits#2": "-1 / B + 0 * logits"}, {"dfake": "dlogits"}):
        text = filled("ex13_gan_step", {**STEP, **values})
        said = "\n".join(graded("ex13_gan_step", text, tmp_path).lines)
        assert "everywhere" not in said
        assert "NumPy broadcasts" not in said
    for line in ("dY[Y > 0]", "(dY * (Y > 0)).sum(axis=0)"):
        said = "\n".join(graded("ex02_relu", filled("ex02_relu", {"dX": line}), tmp_path).lines)
        assert "shape" in said
        assert "axis" not in said


def test_the_newest_text_is_graded_and_no_bytecode_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for condition, verdict in (("Y > 0", "right"), ("Y < 0", "wrong"), ("Y > 0", "right")):
        text = filled("ex02_relu", {"dX": f"dY * ({condition})"})  # always as long
        assert graded("ex02_relu", text, tmp_path).verdict == verdict
    helper = "from ex02_relu import backward as other\n\n\ndef backward(dY, Y):\n"
    helper += "    return other(dY, Y) * 0 + dY * (1 - Y**2)\n"
    assert graded("ex04_tanh", helper, tmp_path).verdict == "right"
    assert not (tmp_path / "__pycache__").exists()
    assert "ex02_relu" not in sys.modules


def test_a_file_is_run_as_it_is_written(tmp_path):
    """Nothing of ours is in force in it, such as annotations that are not evaluated."""
    text = "def f(x: int): ...\n\n\ndef backward(dY, Y):\n"
    text += "    return f.__annotations__['x']('1') * dY * (Y > 0)\n"
    assert graded("ex02_relu", text, tmp_path).verdict == "right"


def test_an_answer_without_an_end_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(grader, "PATIENCE", 0.2)
    stop = tmp_path / "stop"
    text = (
        "import pathlib, time\n\n\ndef backward(dY, Y):\n"
        f"    while not pathlib.Path({str(stop)!r}).exists():\n        time.sleep(0.01)\n"
    )
    verdict = graded("ex02_relu", text, tmp_path)
    stop.touch()
    assert verdict.verdict == "wrong"
    assert "an endless loop" in verdict.lines[0]


def test_what_still_runs_does_not_print_among_the_grades(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grader, "PATIENCE", 0.2)
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # put back at the end
    stop = tmp_path / "stop"
    text = (
        "import pathlib, time\n\n\ndef backward(dY, Y):\n"
        f"    while not pathlib.Path({str(stop)!r}).exists():\n"
        "        print('spin', flush=True)\n        time.sleep(0.001)\n"
    )
    (tmp_path / "ex02_relu.py").write_text(text, encoding="utf-8")
    right = filled("ex04_tanh", RIGHT["ex04_tanh"])
    (tmp_path / "ex04_tanh.py").write_text(right, encoding="utf-8")
    assert main(["ninja", "check", str(tmp_path), "relu", "tanh", "--json"]) == 1
    assert sys.stdout is sys.stderr  # from now on
    stop.touch()
    verdicts = [one["verdict"] for one in json.loads(capsys.readouterr().out)]
    assert verdicts == ["wrong", "right"]


def test_a_fault_of_the_grader_is_no_fault_of_the_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(grader, "_check", lambda case, got: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        graded("ex02_relu", filled("ex02_relu", RIGHT["ex02_relu"]), tmp_path)


def test_some_exercises_can_be_handed_out_and_graded_by_a_script(tmp_path, capsys):
    folder = tmp_path / "some"
    assert main(["ninja", "new", str(folder), "ex2", "tanh"]) == 0
    assert sorted(file.stem for file in folder.iterdir()) == ["ex02_relu", "ex04_tanh"]
    text = filled("ex02_relu", {"dX": "print('noise') or dY * (Y > 0)"})
    (folder / "ex02_relu.py").write_text(text, encoding="utf-8")
    capsys.readouterr()
    assert main(["ninja", "check", str(folder), "ex2", "tanh", "ex01", "--json"]) == 1
    done = capsys.readouterr()
    grades = json.loads(done.out)
    assert [(one["exercise"], one["verdict"], one["right"]) for one in grades] == [
        ("ex02_relu", "right", True),
        ("ex04_tanh", "blank", False),
        ("ex01_linear", "missing", False),
    ]
    assert "noise" in done.err
    assert main(["ninja", "check", str(folder), "ex2"]) == 0


def test_an_exercise_may_use_another_one(tmp_path):
    graded("ex02_relu", filled("ex02_relu", RIGHT["ex02_relu"]), tmp_path)
    text = "from ex02_relu import forward\n\n\ndef backward(dY, Y):\n    return dY * (1 - Y**2)\n"
    assert graded("ex04_tanh", text, tmp_path).verdict == "right"


# -- the command ------------------------------------------------------------------------


def test_new_and_check_on_the_command_line(tmp_path, capsys):
    folder = tmp_path / "a folder" / "exercises"
    assert main(["ninja", "new", str(folder)]) == 0
    assert len(list(folder.glob("ex*.py"))) == len(EXERCISES)
    assert main(["ninja", "check", str(folder)]) == 1
    assert f"0 of {len(EXERCISES)} right" in capsys.readouterr().out
    for name, values in RIGHT.items():
        (folder / f"{name}.py").write_text(filled(name, values), encoding="utf-8")
    assert main(["ninja", "check", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.count("  right\n") == len(EXERCISES)
    assert main(["ninja", "check", str(folder), "ex01", "ex09_bce_with_logits.py"]) == 0
    assert "2 of 2 right" in capsys.readouterr().out


REFUSED = [
    (["new", "."], "already holds these exercises"),
    (["check", "nowhere"], "nowhere does not exist"),
    (["check", "ex01_linear.py"], "ex01_linear.py is not a folder"),
    (["check", ".", "ex0"], "did you mean ex"),
    (["new", "elsewhere", "tank"], "did you mean tanh?"),
    (["check", ".", "ex01_liner"], "did you mean ex01_linear?"),
    (["check", "empty"], "holds no exercises"),
    (["check", ".", "ex99"], "no exercise 'ex99'"),
    (["check", ".", "nothing"], "no exercise 'nothing'; `minigan ninja` lists them"),
    (["check", "empty", "ex01"], "holds no exercises"),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(["ninja", "new", "."]) == 0
    mine = "# mine\n"
    (tmp_path / "ex01_linear.py").write_text(mine, encoding="utf-8")
    assert main(["ninja", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert (tmp_path / "ex01_linear.py").read_text(encoding="utf-8") == mine
