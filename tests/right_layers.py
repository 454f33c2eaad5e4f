"""Right layers of many sorts, which a check must not call wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigan as mg
from minigan.nn import LayerPass, Needs

Array = Any
LAYERS: dict[str, mg.Layer] = {}


def layer(name: str, of_pass: type, **declared: Any) -> None:
    """Add a layer of this pass; `declared` are attributes and methods of its definition."""
    LAYERS[name] = type(name, (mg.Layer,), {"bind": lambda self, b: of_pass(b), **declared})()


def sigmoid(X: Array) -> Array:
    return 1 / (1 + np.exp(-X))


def softplus(X: Array) -> Array:
    return np.maximum(X, 0) + np.log1p(np.exp(-np.abs(X)))


def swish_slope(X: Array) -> Array:
    return sigmoid(X) * (1 + X * (1 - sigmoid(X)))


def mish_slope(X: Array) -> Array:
    return np.tanh(softplus(X)) + X * (1 - np.tanh(softplus(X)) ** 2) * sigmoid(X)


#: Elementwise functions with their slopes. None declares its kinks; some have poles, or are defined
#: for positive numbers only.
ELEMENTWISE = {
    "swish": (lambda X: X * sigmoid(X), swish_slope),
    "mish": (lambda X: X * np.tanh(softplus(X)), mish_slope),
    "naive softplus": (lambda X: np.log(1 + np.exp(X)), sigmoid),
    "softsign": (lambda X: X / (1 + np.abs(X)), lambda X: (1 + np.abs(X)) ** -2.0),
    "hard tanh": (lambda X: np.clip(X, -1, 1), lambda X: np.abs(X) < 1),
    "relu6": (lambda X: np.clip(X, 0, 6), lambda X: (X > 0) & (X < 6)),
    "absolute value": (np.abs, np.sign),
    "shrinkage": (lambda X: X - np.clip(X, -0.5, 0.5), lambda X: np.abs(X) > 0.5),
    "logarithm": (np.log, lambda X: 1 / X),
    "logarithm of |X|": (lambda X: np.log(np.abs(X)), lambda X: 1 / X),
    "root": (np.sqrt, lambda X: 0.5 / np.sqrt(X)),
    "inverse": (lambda X: 1 / X, lambda X: -1 / X**2),
    "exponential": (np.exp, np.exp),
    "steep": (lambda X: np.exp(X * X / 2), lambda X: X * np.exp(X * X / 2)),
    "bell": (lambda X: np.exp(-X * X), lambda X: -2 * X * np.exp(-X * X)),
    "fast sine": (lambda X: np.sin(10 * X), lambda X: 10 * np.cos(10 * X)),
    "ninth power": (lambda X: X**9, lambda X: 9 * X**8),
    "tiny": (lambda X: 1e-6 * X * X, lambda X: 2e-6 * X),
    "huge": (lambda X: 1e6 * X * X, lambda X: 2e6 * X),
    "constant": (lambda X: 0 * X + 1, lambda X: 0 * X),
}


def elementwise(function: Any, slope: Any) -> type:
    class Pass(LayerPass):
        def forward(self, X, train):
            self.Y[...] = function(X)
            return self.Y

        def backward(self, dY, *, parameter_grads=True, input_grad=True):
            self.dX[...] = dY * slope(self.X)
            return self.dX

    return Pass


for name, formulas in ELEMENTWISE.items():
    layer(name, elementwise(*formulas))


class Softmax(LayerPass):
    def forward(self, X, train):
        E = np.exp(X - X.max(axis=-1, keepdims=True))
        self.Y[...] = E / E.sum(axis=-1, keepdims=True)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        self.dX[...] = self.Y * (dY - (dY * self.Y).sum(axis=-1, keepdims=True))
        return self.dX


class Normalised(LayerPass):
    """Along the features, or (in `LAYERS`: mixes_rows) the rows."""

    axis = -1

    def forward(self, X, train):
        self.s = np.sqrt(X.var(axis=self.axis, keepdims=True) + 1e-5)
        self.Y[...] = self.H = (X - X.mean(axis=self.axis, keepdims=True)) / self.s
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        along = dY - self.H * (dY * self.H).mean(axis=self.axis, keepdims=True)
        self.dX[...] = (along - dY.mean(axis=self.axis, keepdims=True)) / self.s
        return self.dX


class NormalisedRows(Normalised):
    axis = -2


class Noisy(LayerPass):
    """Y = X + 0.3 X noise in training, by a stream."""

    def __init__(self, binding):
        super().__init__(binding)
        self.stream, self.noise = binding.stream, binding.empty(*self.Y.shape[-2:])

    def forward(self, X, train):
        if train and not self.hold:
            self.ops.fill_normal(self.stream, 1.0, 0.3, out=self.noise)
        self.Y[...] = X * self.noise if train else X
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        self.dX[...] = dY * self.noise if self.train else dY
        return self.dX


class Deviation(LayerPass):
    """One more feature: the batch's mean standard deviation."""

    def forward(self, X, train):
        self.off = X - X.mean(axis=-2, keepdims=True)
        self.s = np.sqrt((self.off**2).mean(axis=-2, keepdims=True) + 1e-8)
        self.Y[..., :-1] = X
        self.Y[..., -1:] = self.s.mean(axis=-1, keepdims=True)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        rows, features = self.X.shape[-2:]
        last = dY[..., -1:].sum(axis=-2, keepdims=True) / (rows * features)
        self.dX[...] = dY[..., :-1] + last * self.off / self.s
        return self.dX


class Maxout(LayerPass):
    """The larger of two halves of the features, with its kink."""

    def forward(self, X, train):
        first, second = np.split(X, 2, axis=-1)
        self.off = first - second
        np.maximum(first, second, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        self.dX[...] = np.concatenate([dY * (self.off > 0), dY * (self.off <= 0)], axis=-1)
        return self.dX

    def kinks(self):
        return self.off


class Pairs(LayerPass):
    """The difference of two rows."""

    def forward(self, X, train):
        np.subtract(X[..., ::2, :], X[..., 1::2, :], out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        self.dX[..., ::2, :] = dY
        self.dX[..., 1::2, :] = -dY
        return self.dX


class FirstTwo(LayerPass):
    """The first two features, of at least two: other numbers are not refused."""

    def forward(self, X, train):
        self.Y[...] = X[..., :2]
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        self.dX[...] = 0.0
        self.dX[..., :2] = dY
        return self.dX


class Root(LayerPass):
    """Y = sqrt(v) X, with a parameter that must be positive."""

    def __init__(self, binding):
        super().__init__(binding)
        self.v, self.dv = binding.parameters["v"], binding.gradients["v"]

    def forward(self, X, train):
        self.Y[...] = np.sqrt(self.v) * X
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        if parameter_grads:
            self.dv[...] = (dY * self.X).sum(axis=-2, keepdims=True) / (2 * np.sqrt(self.v))
        self.dX[...] = np.sqrt(self.v) * dY
        return self.dX


class Unused(LayerPass):
    """A parameter without use, whose gradient is never written."""

    def forward(self, X, train):
        np.negative(X, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        np.negative(dY, out=self.dX)
        return self.dX


def ones(self, ops, stream, tensors):
    ops.fill(1.0, out=tensors["v"])


def halves(self, shape):
    if shape[1] % 2:
        raise mg.ShapeError("an even number of features")
    return shape[0], shape[1] // 2


layer("softmax", Softmax, needs=Needs.VALUES)
layer("normalised features", Normalised)
layer("normalised rows", NormalisedRows, mixes_rows=True)
layer("noise", Noisy)
layer("deviation", Deviation, mixes_rows=True, output_shape=lambda self, s: (s[0], s[1] + 1))
layer("maxout", Maxout, output_shape=halves)
layer("pairs", Pairs, rows_multiple=2, output_shape=lambda self, s: (s[0] // 2, s[1]))
layer("first two", FirstTwo, output_shape=lambda self, s: (s[0], 2))
layer("root of a parameter", Root, parameter_shapes=lambda self: {"v": (1, 3)}, initialise=ones)
layer("unused parameter", Unused, parameter_shapes=lambda self: {"v": (1, 3)})
layer("declares that rows mix, without need", elementwise(np.sin, np.cos), mixes_rows=True)
