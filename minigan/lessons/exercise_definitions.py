"""The exercises, and the cases that each one is graded with.

The sizes that a product could mix up differ in every case, so that a forgotten transpose cannot
pass for right. What is right comes from differences of the library's forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import minigan.lessons.typical_mistakes as typical
import minigan.nn as nn
from minigan.backend import Array
from minigan.lessons.cases import case_of, numbers
from minigan.lessons.example_numbers import argument
from minigan.lessons.grader import Case, Exercise, Grads
from minigan.lessons.network_exercises import gan_step, gradient_penalty, network, two_heads
from minigan.nn.gradcheck import compare, compare_function

ALPHA = 1.5  # of ELU: not 1, so that forgetting it shows


# -- layers ---------------------------------------------------------------------------------


def _of_layer(
    layer: nn.Layer, X: Array, dY: Array, names: Mapping[str, str], seed: int = 0
) -> tuple[nn.Sequential, Array, Grads]:
    """The network, Y, and the gradients by differences."""
    net = nn.Sequential(layer, in_features=X.shape[1], seed=seed, dtype="float64")
    Y, both = compare(net, X, dY)
    found = {one.name: one.numeric for one in both}
    return net, Y, {name: found[key] for key, name in names.items()}


def _linear(case: int, B: int, fan_in: int, fan_out: int) -> Case:
    X, dY = numbers(case, "X", (B, fan_in)), numbers(case, "dY", (B, fan_out))
    names = {"0.weight": "dW", "0.bias": "db", "X": "dX"}
    net, _, numeric = _of_layer(nn.Linear(fan_in, fan_out), X, dY, names, case)
    given = {"dY": dY, "X": X, "W": net.parameters.named()["0.weight"]}
    return case_of(given, numeric, typical.LINEAR)


def _activation(layer: nn.Layer, mistakes: str, **given: float) -> Callable[..., Case]:
    """The cases of an activation that is differentiated from its output."""

    def make(case: int, *shape: int) -> Case:
        X, dY = numbers(case, "X", shape), numbers(case, "dY", shape)
        _, Y, numeric = _of_layer(layer, X, dY, {"X": "dX"})
        slope = numeric["dX"] / dY  # (B, F)
        every = mistakes + typical.ELEMENTWISE.lstrip()
        return case_of({"dY": dY, "Y": Y, **given}, numeric, every, {"slope": slope})

    return make


def _dropout(case: int, *shape: int) -> Case:
    X, dY = numbers(case, "X", shape), numbers(case, "dY", shape)
    layer = nn.Dropout((0.25, 0.6)[case])
    _, Y, numeric = _of_layer(layer, X, dY, {"X": "dX"}, case)
    mask = Y / X  # (B, F) 0 or about 1 / (1 - rate)
    return case_of({"dY": dY, "mask": mask}, numeric, typical.DROPOUT)


def _pack(case: int, packs: int, m: int, features: int) -> Case:
    X = numbers(case, "X", (packs * m, features))
    dY = numbers(case, "dY", (packs, 2 * m * features))
    _, _, numeric = _of_layer(nn.Pack(m), X, dY, {"X": "dX"})
    given = {"dY": dY, "X": X, "m": m}
    effects = {"dX": lambda packs: {"dX": packs.reshape(X.shape)}}  # of (P, m, F)
    return case_of(given, numeric, typical.PACK, effects=effects)


def _conv2d(
    case: int, B: int, h: int, w: int, c: int, o: int, kh: int, kw: int, s: int, p: int
) -> Case:
    layer = nn.Conv2d(c, o, (kh, kw), s, p, (h, w))
    oh, ow = layer.window.places
    rows = numbers(case, "X", (B, h * w * c)), numbers(case, "dY", (B, oh * ow * o))
    X, dY = rows[0].reshape(B, h, w, c), rows[1].reshape(B, oh, ow, o)
    names = {"0.weight": "dW", "0.bias": "db", "X": "dX"}
    net, _, numeric = _of_layer(layer, *rows, names, case)
    W = net.parameters.named()["0.weight"].reshape(kh, kw, c, o)
    shapes = {"dW": W.shape, "db": (o,), "dX": X.shape}
    numeric = {name: numeric[name].reshape(shape) for name, shape in shapes.items()}
    P = np.pad(X, ((0, 0), (p, p), (p, p), (0, 0)))  # (B, h + 2 p, w + 2 p, c)

    def seen(P: Array, tap: tuple[int, ...], step: int) -> Array:
        """The pixels of P under a tap in all places: a view (B, oh, ow, c)."""
        i, j = tap
        return P[:, i : i + step * oh : step, j : j + step * ow : step]

    def weight_gradient(step: int = s) -> Array:
        """dW, which is right with the default."""
        dW = np.empty(W.shape)
        for tap in np.ndindex(kh, kw):
            dW[tap] = np.tensordot(seen(P, tap, step), dY, axes=((0, 1, 2), (0, 1, 2)))
        return dW

    def image_gradient(
        W: Array = W, step: int = s, add: bool = True, first: int | None = p
    ) -> Array:
        """dX, which is right with the defaults; `first` is the first row and column to keep."""
        dP = np.zeros_like(P)
        for tap in np.ndindex(kh, kw):
            x = seen(dP, tap, step)
            x[...] = add * x + dY @ W[tap].T
        return dP if first is None else dP[:, first : first + h, first : first + w]

    made = {"weight_gradient": weight_gradient, "image_gradient": image_gradient}
    given = {"dY": dY, "X": X, "W": W, "s": s, "p": p}
    return case_of(given, numeric, typical.CONV2D, {**made, "B": B})


def _batch_norm(case: int, B: int, features: int) -> Case:
    X, dY = numbers(case, "X", (B, features)), numbers(case, "dY", (B, features))
    eps = 0.1  # large, so that forgetting it shows
    net = nn.Sequential(nn.BatchNorm(features, eps=eps), in_features=features, dtype="float64")
    net.parameters.data[:] = numbers(case, "gamma, beta", (2 * features,))
    found = {one.name: one.numeric for one in compare(net, X, dY)[1]}
    numeric = {"dgamma": found["0.gamma"], "dbeta": found["0.beta"], "dX": found["X"]}
    given = {"dY": dY, "X": X, "gamma": net.parameters.named()["0.gamma"].copy(), "eps": eps}
    stages = ("dgamma", "dbeta"), ("dX",)  # whose formula is usually written with them
    return case_of(given, numeric, typical.BATCH_NORM, {"B": B}, stages=stages)


def _projection(case: int, B: int, features: int, classes: int) -> Case:
    X, dY = numbers(case, "X", (B, features)), numbers(case, "dY", (B, 1))
    labels = np.arange(B) ** 2 % classes  # (B,): some classes have several samples, one has none
    onehot = np.eye(classes)[labels]  # (B, k)
    layer = nn.Projection(features, classes)
    net = nn.Sequential(layer, seed=case, dtype="float64", in_features=features)
    found = {one.name: one.numeric for one in compare(net, X, dY, condition=onehot)[1]}
    dW = found["0.weight"]  # (F, 1 + k), that of w in its first column
    numeric = {"dw": dW[:, :1], "db": found["0.bias"], "dV": dW[:, 1:].T, "dX": found["X"]}
    W = net.parameters.named()["0.weight"]
    given = {"dY": dY, "X": X, "labels": labels, "w": W[:, :1].copy(), "V": W[:, 1:].T.copy()}

    def last_of_each_class(A: Array) -> Array:
        """(k, F) from A (B, F)"""
        out = np.zeros((classes, features))
        out[labels] = A
        return out

    more = {"onehot": onehot, "last_of_each_class": last_of_each_class, "B": B}
    return case_of(given, numeric, typical.PROJECTION, more, sizes={"B": B})


# -- losses ---------------------------------------------------------------------------------


def _loss(
    loss: Callable[[Any, Any], tuple[float, Any]], names: tuple[str, str], mistakes: str
) -> Callable[..., Case]:
    """The cases of a loss with arguments of these names."""

    def make(case: int, B: int, K: int) -> Case:
        X, targets = (argument(name, numbers(case, name, (B, K))) for name in names)
        if case == 2:  # the answer should be safe for logits of any size
            X = np.array([[800.0, -800.0], [-30.0, 30.0], [5.0, -90.0]])
        both = compare_function(lambda at: loss(at, targets), X)
        return case_of(
            dict(zip(names, (X, targets), strict=True)),
            {f"d{names[0]}": both.numeric},
            mistakes,
            {"B": B, "K": K, "N": B * K},
            sizes={"B": B, "K": K, "B K": B * K} if "labels" in names else {"N": B * K, "B": B},
        )

    return make


SHAPES = ((4, 3), (2, 5))
LOSS_SHAPES = ((4, 3), (5, 2))
#: Windows that overlap, and end before the image does; without padding; with gaps between them.
CONVOLUTIONS = (
    (2, 4, 6, 2, 3, 3, 4, 2, 1),
    (3, 4, 3, 1, 2, 2, 3, 1, 0),
    (2, 3, 5, 3, 2, 1, 2, 3, 2),
)
_mse = _loss(nn.mean_squared_error, ("Y", "t"), typical.MEAN_SQUARED_ERROR)
_bce = _loss(nn.bce, ("P", "t"), typical.BCE)
_on_logits = _loss(nn.bce_with_logits, ("logits", "t"), typical.BCE_WITH_LOGITS)
_softmax = _loss(nn.softmax_cross_entropy, ("logits", "labels"), typical.SOFTMAX_CROSS_ENTROPY)

#: All of them, in their order.
EXERCISES: tuple[Exercise, ...] = (
    Exercise("ex01_linear.py", _linear, ((4, 2, 3), (3, 5, 2))),
    Exercise("ex02_relu.py", _activation(nn.ReLU(), typical.RELU), SHAPES),
    Exercise("ex03_sigmoid.py", _activation(nn.Sigmoid(), typical.SIGMOID), SHAPES),
    Exercise("ex04_tanh.py", _activation(nn.Tanh(), typical.TANH), SHAPES),
    Exercise("ex05_elu.py", _activation(nn.ELU(ALPHA), typical.ELU, alpha=ALPHA), SHAPES),
    Exercise("ex06_dropout.py", _dropout, ((4, 3), (3, 5))),
    Exercise("ex07_mean_squared_error.py", _mse, LOSS_SHAPES),
    Exercise("ex08_bce.py", _bce, LOSS_SHAPES),
    Exercise("ex09_bce_with_logits.py", _on_logits, (*LOSS_SHAPES, (3, 2))),
    Exercise("ex10_softmax_cross_entropy.py", _softmax, ((3, 4), (5, 3))),
    Exercise("ex11_pack.py", _pack, ((4, 3, 2), (3, 2, 4))),
    Exercise("ex12_network.py", network, ((5, 2, 3), (4, 3, 6))),
    Exercise("ex13_gan_step.py", gan_step, ((4, 2, 3), (5, 3, 2))),
    Exercise("ex14_conv2d.py", _conv2d, CONVOLUTIONS),
    Exercise("ex15_batch_norm.py", _batch_norm, ((4, 3), (5, 2))),
    Exercise("ex16_gradient_penalty.py", gradient_penalty, ((4, 3, 2), (3, 2, 5))),
    Exercise("ex17_projection.py", _projection, ((5, 3, 4), (6, 2, 3))),
    Exercise("ex18_two_heads.py", two_heads, ((5, 2, 4, 6, 3), (6, 3, 4, 2, 5))),
)
