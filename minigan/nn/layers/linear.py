"""The affine layer, Y = X W + b: the only one with learned numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from minigan.backend import Array, Backend, Stream
from minigan.checks import flag, set_fields, whole
from minigan.config import register
from minigan.errors import ShapeError
from minigan.nn.init import check_scheme, initialise_affine
from minigan.nn.layer import Binding, Layer, LayerPass, Shape


@register
@dataclass(frozen=True)
class Linear(Layer):
    """Y = X W + b, with X (B, in), weight W (in, out), bias b (1, out), Y (B, out).

    Args:
        in_features, out_features: sizes, >= 1.
        bias: whether to add b.
        init: "pytorch" (default), "kaiming_uniform", "kaiming_normal", "xavier_uniform"
            or "xavier_normal"; see `minigan.nn.init`.

    Raises:
        ConfigError: a size below one, or an unknown initialisation.
    """

    in_features: int
    out_features: int
    _: KW_ONLY
    bias: bool = True
    init: str = "pytorch"

    def __post_init__(self) -> None:
        set_fields(
            self,
            in_features=whole("Linear: in_features", self.in_features, 1),
            out_features=whole("Linear: out_features", self.out_features, 1),
            bias=flag("Linear: bias", self.bias),
        )
        check_scheme(self.init)

    def output_shape(self, shape: Shape) -> Shape:
        rows, features = shape
        if features != self.in_features:
            raise ShapeError(f"{self} was given {features} features; it expects {self.in_features}")
        return rows, self.out_features

    def parameter_shapes(self) -> dict[str, Shape]:
        shapes = {"weight": (self.in_features, self.out_features)}
        if self.bias:
            shapes["bias"] = (1, self.out_features)
        return shapes

    def multiplications(self, shape: Shape) -> int:
        return shape[0] * self.in_features * self.out_features

    def pytorch(self) -> str:
        bias = "" if self.bias else ", bias=False"
        return f"torch.nn.Linear({self.in_features}, {self.out_features}{bias})"

    def initialise(self, ops: Backend, stream: Stream, tensors: Mapping[str, Array]) -> None:
        initialise_affine(ops, stream, self.init, tensors["weight"], tensors.get("bias"))

    def bind(self, binding: Binding) -> LinearPass:
        return LinearPass(binding)


class LinearPass(LayerPass):
    """One forward and backward of `Linear`."""

    capturable = True

    def __init__(self, binding: Binding) -> None:
        super().__init__(binding)
        self.weight = binding.parameters["weight"]  # (in, out)
        self.bias = binding.parameters.get("bias")  # (1, out)
        self.dweight = binding.gradients["weight"]  # (in, out)
        self.dbias = binding.gradients.get("bias")  # (1, out)

    def forward(self, X: Array, train: bool) -> Array:
        """Y = X W + b"""
        self.ops.matmul(X, self.weight, out=self.Y)
        if self.bias is not None:
            self.ops.add_rows(self.Y, self.bias, out=self.Y)
        return self.Y

    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """dW = X^T dY,   db = sum of the rows of dY,   dX = dY W^T"""
        if parameter_grads:
            self.ops.matmul(self.X, dY, out=self.dweight, transpose_A=True)
            if self.dbias is not None:
                self.ops.sum_rows(dY, out=self.dbias)
        if not input_grad:
            return None
        self.ops.matmul(dY, self.weight, out=self.dX, transpose_B=True)
        return self.dX

    def tangent(self, U: Array, out: Array) -> None:
        """out = U W"""
        self.ops.matmul(U, self.weight, out=out)

    def tangent_gradients(self, U: Array, dY: Array) -> None:
        """dW = U^T dY"""
        self.ops.matmul(U, dY, out=self.dweight, transpose_A=True)
