"""Activations: ELU, ReLU, LeakyReLU, sigmoid, tanh.

Each is an elementwise function, so its Jacobian is diagonal and backward is a product:
dX = dY * f'(X). Four of them express f'(X) through their output Y, and ELU stores it. So none needs
its input: they work in place and overwrite the output of the layer before.
"""

from __future__ import annotations

from dataclasses import dataclass

from minigan.backend import Array
from minigan.checks import number, set_fields
from minigan.config import register
from minigan.nn.layer import Binding, Layer, LayerPass, Needs


class ActivationPass(LayerPass):
    """An elementwise layer bound to its buffers. A subclass has the two formulas."""

    capturable = True

    def forward(self, X: Array, train: bool) -> Array:
        self.apply(X, out=self.Y)
        return self.Y

    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        if not input_grad:
            return None
        self.apply_backward(dY, self.Y, out=self.dX)
        return self.dX

    def tangent(self, U: Array, out: Array) -> None:
        """out = U * f'(X)"""
        self.apply_backward(U, self.Y, out=out)

    def apply(self, X: Array, out: Array) -> None:
        raise NotImplementedError

    def apply_backward(self, dY: Array, Y: Array, out: Array) -> None:
        raise NotImplementedError


@register
@dataclass(frozen=True)
class ReLU(Layer):
    """Y = max(X, 0)."""

    in_place = True
    needs = Needs.SIGNS

    def pytorch(self) -> str:
        return "torch.nn.ReLU()"

    def bind(self, binding: Binding) -> ReLUPass:
        return ReLUPass(binding)


class ReLUPass(ActivationPass):
    capturable = True
    tangent = ActivationPass.tangent

    def apply(self, X: Array, out: Array) -> None:
        """Y = max(X, 0)"""
        self.ops.relu(X, out=out)

    def apply_backward(self, dY: Array, Y: Array, out: Array) -> None:
        """dX = dY where Y > 0, else 0"""
        self.ops.relu_backward(dY, Y, out=out)

    def kinks(self) -> Array | None:
        return self.Y


@register
@dataclass(frozen=True)
class LeakyReLU(Layer):
    """Y = X where X > 0, else slope X (Maas, Hannun and Ng 2013).

    Args:
        slope: the slope below zero, 0 <= slope < 1; the default is PyTorch's 0.01. With 0 it is
            computed as `ReLU`, since infinity times 0 would be NaN.
    """

    slope: float = 0.01
    in_place = True
    needs = Needs.SIGNS

    def __post_init__(self) -> None:
        set_fields(self, slope=number("LeakyReLU: slope", self.slope, at_least=0.0, below=1.0))

    def pytorch(self) -> str:
        return f"torch.nn.LeakyReLU({self.slope})"

    def bind(self, binding: Binding) -> ActivationPass:
        return LeakyReLUPass(self, binding) if self.slope else ReLUPass(binding)


class LeakyReLUPass(ActivationPass):
    capturable = True
    tangent = ActivationPass.tangent

    def __init__(self, layer: LeakyReLU, binding: Binding) -> None:
        super().__init__(binding)
        self.slope = layer.slope

    def apply(self, X: Array, out: Array) -> None:
        """Y = X where X > 0, else slope X"""
        self.ops.leaky_relu(X, self.slope, out=out)

    def apply_backward(self, dY: Array, Y: Array, out: Array) -> None:
        """dX = dY where Y > 0, else slope dY"""
        self.ops.leaky_relu_backward(dY, Y, self.slope, out=out)

    def kinks(self) -> Array | None:
        return self.Y


@register
@dataclass(frozen=True)
class ELU(Layer):
    """Y = X where X > 0, else alpha (e^X - 1) (Clevert, Unterthiner and Hochreiter 2016).

    Args:
        alpha: Y saturates at -alpha; > 0. With alpha = 1 the slope is continuous.
    """

    alpha: float = 1.0
    in_place = True
    needs = Needs.SIGNS  # for `kinks`; backward reads the slope that forward kept

    def __post_init__(self) -> None:
        set_fields(self, alpha=number("ELU: alpha", self.alpha, above=0.0))

    def pytorch(self) -> str:
        return f"torch.nn.ELU({self.alpha})"

    def bind(self, binding: Binding) -> ELUPass:
        return ELUPass(self, binding)


class ELUPass(ActivationPass):
    """Forward computes an exponential that is also the slope, so it is kept for backward."""

    capturable = True
    tangent = ActivationPass.tangent

    def __init__(self, layer: ELU, binding: Binding) -> None:
        super().__init__(binding)
        self.alpha = layer.alpha
        self.slope = binding.empty(*self.Y.shape[-2:])  # (B, F)

    def apply(self, X: Array, out: Array) -> None:
        """Y = X where X > 0, else alpha (e^X - 1);   slope = 1 where X > 0, else alpha e^X"""
        self.ops.elu(X, self.alpha, self.slope, out=out)

    def apply_backward(self, dY: Array, Y: Array, out: Array) -> None:
        """dX = dY * slope"""
        self.ops.elu_backward(dY, self.slope, out=out)

    def curvature(self, U: Array, dY: Array, out: Array) -> None:
        """dY U alpha e^X where X < 0, else 0"""
        self.ops.elu_curvature(dY, U, self.Y, self.slope, out=out)

    def kinks(self) -> Array | None:
        return self.Y


@register
@dataclass(frozen=True)
class Sigmoid(Layer):
    """Y = 1 / (1 + e^-X)."""

    in_place = True
    needs = Needs.VALUES

    def pytorch(self) -> str:
        return "torch.nn.Sigmoid()"

    def bind(self, binding: Binding) -> SigmoidPass:
        return SigmoidPass(binding)


class SigmoidPass(ActivationPass):
    capturable = True
    tangent = ActivationPass.tangent

    def apply(self, X: Array, out: Array) -> None:
        """Y = 1 / (1 + e^-X)"""
        self.ops.sigmoid(X, out=out)

    def apply_backward(self, dY: Array, Y: Array, out: Array) -> None:
        """dX = dY Y (1 - Y)"""
        self.ops.sigmoid_backward(dY, Y, out=out)

    def curvature(self, U: Array, dY: Array, out: Array) -> None:
        """dY U Y (1 - Y) (1 - 2 Y)"""
        self.ops.sigmoid_curvature(dY, U, self.Y, out=out)


@register
@dataclass(frozen=True)
class Tanh(Layer):
    """Y = tanh(X)."""

    in_place = True
    needs = Needs.VALUES

    def pytorch(self) -> str:
        return "torch.nn.Tanh()"

    def bind(self, binding: Binding) -> TanhPass:
        return TanhPass(binding)


class TanhPass(ActivationPass):
    capturable = True
    tangent = ActivationPass.tangent

    def apply(self, X: Array, out: Array) -> None:
        """Y = tanh(X)"""
        self.ops.tanh(X, out=out)

    def apply_backward(self, dY: Array, Y: Array, out: Array) -> None:
        """dX = dY (1 - Y^2)"""
        self.ops.tanh_backward(dY, Y, out=out)

    def curvature(self, U: Array, dY: Array, out: Array) -> None:
        """-2 dY U Y (1 - Y^2)"""
        self.ops.tanh_curvature(dY, U, self.Y, out=out)
