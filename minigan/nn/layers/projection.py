"""The projection discriminator's last layer: a logit that depends on a sample and its class.

    y = <x, w> + b + <x, v_j>  for a sample of class j

<x, w> + b says whether the features x are those of a real sample, and <x, v_j> whether they fit the
class (Miyato and Koyama, "cGANs with projection discriminator", 2018, equation 3, with a linear
psi).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from minigan.backend import Array, Backend, Stream
from minigan.config import register
from minigan.nn.init import check_scheme, initialise_affine
from minigan.nn.layer import Binding, LayerPass, Shape
from minigan.nn.layers.condition import ConditionedLayer


@register
@dataclass(frozen=True)
class Projection(ConditionedLayer):
    """y = <x, w> + b + <x, c V>, with X (B, F), the condition C (B, k), Y (B, 1).

    The weight (F, 1 + k) has w in its first column and after it a column v_j for each class j,
    which is row j of V (k, F). The bias is (1, 1).

    Args:
        in_features: F.
        condition_features: k, the number of classes.
        init: as of `Linear`.

    Raises:
        ConfigError: a size below one, or an unknown initialisation.
    """

    _: KW_ONLY
    init: str = "pytorch"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_scheme(self.init)

    def output_shape(self, shape: Shape) -> Shape:
        return self.rows_of(shape), 1

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"weight": (self.in_features, 1 + self.condition_features), "bias": (1, 1)}

    def multiplications(self, shape: Shape) -> int:
        return shape[0] * self.in_features * (1 + self.condition_features)

    def initialise(self, ops: Backend, stream: Stream, tensors: Mapping[str, Array]) -> None:
        initialise_affine(ops, stream, self.init, tensors["weight"], tensors["bias"])

    def bind(self, binding: Binding) -> ProjectionPass:
        return ProjectionPass(binding)


class ProjectionPass(LayerPass):
    """One forward and backward of `Projection`.

    All its products have the columns [w, v_1 ... v_k], of which m = [1, c] chooses.
    """

    capturable: ClassVar[bool] = True

    def __init__(self, binding: Binding) -> None:
        super().__init__(binding)
        rows, columns = self.dX.shape[-2], 1 + binding.condition.shape[-1]
        self.condition = binding.condition  # (B, k)
        self.weight = binding.parameters["weight"]  # (F, 1 + k)
        self.bias = binding.parameters["bias"]  # (1, 1)
        self.dweight = binding.gradients["weight"]  # (F, 1 + k)
        self.dbias = binding.gradients["bias"]  # (1, 1)
        self.chosen = binding.empty(rows, columns)  # m (B, 1 + k), [1, c]
        self.products = binding.empty(rows, columns)  # (B, 1 + k)
        self.ones = binding.empty(columns, 1)  # (1 + k, 1)
        self.ops.fill(1.0, out=self.chosen[..., :1])
        self.ops.fill(1.0, out=self.ones)

    def forward(self, X: Array, train: bool) -> Array:
        """y = the sum of x [w, v_1 ... v_k] m, + b"""
        self.ops.copy(self.condition, out=self.chosen[..., 1:])
        self._choose(X, self.Y)
        self.ops.add_rows(self.Y, self.bias, out=self.Y)
        return self.Y

    def _choose(self, X: Array, out: Array) -> None:
        """out (B, 1) = the sum over the columns of X W, times m"""
        self.ops.matmul(X, self.weight, out=self.products)
        self.ops.multiply(self.products, self.chosen, out=self.products)
        self.ops.matmul(self.products, self.ones, out=out)

    def _spread(self, dY: Array) -> Array:
        """dY m (B, 1 + k): the gradient by X W"""
        self.ops.matmul(dY, self.ones, out=self.products, transpose_B=True)
        self.ops.multiply(self.products, self.chosen, out=self.products)
        return self.products

    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """dW = X^T (dY m),   db = sum of dY,   dX = (dY m) W^T"""
        spread = self._spread(dY)
        if parameter_grads:
            self.ops.matmul(self.X, spread, out=self.dweight, transpose_A=True)
            self.ops.sum_rows(dY, out=self.dbias)
        if not input_grad:
            return None
        self.ops.matmul(spread, self.weight, out=self.dX, transpose_B=True)
        return self.dX

    def tangent(self, U: Array, out: Array) -> None:
        """out = the sum of u [w, v_1 ... v_k] m"""
        self._choose(U, out)

    def tangent_gradients(self, U: Array, dY: Array) -> None:
        """dW = U^T (dY m)"""
        self.ops.matmul(U, self._spread(dY), out=self.dweight, transpose_A=True)
