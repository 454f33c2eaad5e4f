"""Activations, each next to its backward; dropout and packing."""

from __future__ import annotations

from minigan.backend.base import Array
from minigan.backend.cuda.algebra import scaled_sum_of_rows
from minigan.backend.cuda.elementwise import elementwise


def relu(X: Array, out: Array) -> None:
    """out = max(X, 0)"""
    elementwise("relu", out=out, X=X)


def relu_backward(dY: Array, Y: Array, out: Array) -> None:
    """out = dY where Y > 0, else 0"""
    elementwise("relu_backward", out=out, X=dY, Y=Y)


def leaky_relu(X: Array, slope: float, out: Array) -> None:
    """out = X where X > 0, else slope X"""
    elementwise("leaky_relu", out=out, X=X, slope=slope)


def leaky_relu_backward(dY: Array, Y: Array, slope: float, out: Array) -> None:
    """out = dY where Y > 0, else slope dY"""
    elementwise("leaky_relu_backward", out=out, X=dY, Y=Y, slope=slope)


def elu(X: Array, alpha: float, slope: Array, out: Array) -> None:
    """out = X where X > 0, else alpha (exp(X) - 1);   slope = 1 where X > 0, else alpha exp(X)"""
    elementwise("elu", out=out, X=X, slope=slope, alpha=alpha)


def elu_backward(dY: Array, slope: Array, out: Array) -> None:
    """out = dY * slope"""
    elementwise("multiply", out=out, X=dY, Y=slope)


def elu_curvature(dY: Array, U: Array, Y: Array, slope: Array, out: Array) -> None:
    """out = dY U slope where Y <= 0, else 0"""
    elementwise("elu_curvature", out=out, dY=dY, U=U, Y=Y, slope=slope)


def sigmoid(X: Array, out: Array) -> None:
    """out = E / (1 + E) with E = exp(X), held below overflow"""
    elementwise("sigmoid", out=out, X=X)


def sigmoid_backward(dY: Array, Y: Array, out: Array) -> None:
    """out = dY Y (1 - Y)"""
    elementwise("sigmoid_backward", out=out, X=dY, Y=Y)


def sigmoid_curvature(dY: Array, U: Array, Y: Array, out: Array) -> None:
    """out = dY U Y (1 - Y) (1 - 2 Y)"""
    elementwise("sigmoid_curvature", out=out, dY=dY, U=U, Y=Y)


def tanh(X: Array, out: Array) -> None:
    """out = tanh(X)"""
    elementwise("tanh_forward", out=out, X=X)


def tanh_backward(dY: Array, Y: Array, out: Array) -> None:
    """out = dY (1 - Y^2)"""
    elementwise("tanh_backward", out=out, X=dY, Y=Y)


def tanh_curvature(dY: Array, U: Array, Y: Array, out: Array) -> None:
    """out = -2 dY U Y (1 - Y^2)"""
    elementwise("tanh_curvature", out=out, dY=dY, U=U, Y=Y)


# -- dropout and packing ----------------------------------------------------------------


def dropout(X: Array, mask: Array, out: Array) -> None:
    """out = X * mask, where the mask holds 0 (dropped) or 1 / (1 - rate) (kept)"""
    elementwise("multiply", out=out, X=X, Y=mask)


def dropout_backward(dY: Array, mask: Array, out: Array) -> None:
    """out = dY * mask"""
    elementwise("multiply", out=out, X=dY, Y=mask)


def pack_mean(X: Array, out: Array) -> None:
    """out (P, 1, F) = the mean of the m samples of each pack X (P, m, F)"""
    scaled_sum_of_rows(X, 1.0 / X.shape[-2], out)


def pack_deviations(X: Array, mean: Array, out: Array) -> None:
    """out (P, m, F) = (X - mean)^2"""
    elementwise("pack_deviations", out=out, X=X, Y=mean)


def pack_deviations_backward(dY: Array, X: Array, mean: Array, out: Array) -> None:
    """out (P, m, F) = 2 (X - mean) dY, the mean held constant"""
    elementwise("pack_deviations_backward", out=out, dY=dY, X=X, mean=mean)
