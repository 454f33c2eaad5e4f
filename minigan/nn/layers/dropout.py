"""Dropout: in training, set units to zero at random so that none can rely on another.

Inverted dropout (Srivastava et al. 2014, section 10): kept units are scaled up by
1 / (1 - rate) in training, so that evaluation is simply the identity.
"""

from __future__ import annotations

from dataclasses import dataclass

from minigan.backend import Array
from minigan.checks import number, set_fields
from minigan.config import register
from minigan.nn.layer import Binding, Layer, LayerPass, Needs


@register
@dataclass(frozen=True)
class Dropout(Layer):
    """Y = X * mask, each entry of mask 0 with probability `rate`, else 1 / (1 - rate).

    In evaluation Y = X. The rate is realised to the nearest multiple of 2^-16.

    Args:
        rate: the fraction dropped, 0 <= rate < 1.
    """

    rate: float = 0.5
    in_place = True
    needs = Needs.NOTHING
    keeps_signs = True  # a kept unit keeps its sign; a dropped one has dX = 0 whatever its sign

    def __post_init__(self) -> None:
        set_fields(self, rate=number("Dropout: rate", self.rate, at_least=0.0, below=1.0))

    def pytorch(self) -> str:
        return f"torch.nn.Dropout({self.rate})"

    def bind(self, binding: Binding) -> DropoutPass:
        return DropoutPass(self, binding)


class DropoutPass(LayerPass):
    capturable = True

    def __init__(self, layer: Dropout, binding: Binding) -> None:
        super().__init__(binding)
        self.rate = layer.rate
        self.stream = binding.stream
        self.mask = binding.empty(*self.Y.shape[-2:])  # (B, F)

    def forward(self, X: Array, train: bool) -> Array:
        """Y = X * mask in training, X in evaluation"""
        if not self._drops(train):
            return self._identity(X, self.Y)
        if not self.hold:
            self.ops.fill_dropout_mask(self.stream, self.rate, out=self.mask)
        self.ops.dropout(X, self.mask, out=self.Y)
        return self.Y

    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """dX = dY * mask, the mask of the forward pass"""
        if not input_grad:
            return None
        if not self._drops(self.train):
            return self._identity(dY, self.dX)
        self.ops.dropout_backward(dY, self.mask, out=self.dX)
        return self.dX

    def tangent(self, U: Array, out: Array) -> None:
        """out = U * mask, the mask of the forward pass"""
        if self._drops(self.train):
            self.ops.dropout(U, self.mask, out=out)
        else:
            self.ops.copy(U, out=out)

    def _drops(self, train: bool) -> bool:
        return train and self.rate > 0.0

    def _identity(self, X: Array, out: Array) -> Array:
        if out is not X:
            self.ops.copy(X, out=out)
        return out
