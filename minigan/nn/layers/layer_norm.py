"""Layer normalisation: each row gets mean 0 and variance 1, then a learned shift and scale.

    m = mean of the F numbers x of a row,   v = mean of (x - m)^2,   s = sqrt(v + eps)
    n = (x - m) / s,    y = gamma n + beta

A row of the output depends on that row of the input alone, in training and in evaluation. Its
gradient has the same three paths as in batch normalisation, with a = gamma dy:

    dbeta = sum of dy,   dgamma = sum of dy n      over the rows
    dx = t(a),    t(a) = (a - mean of a - n mean of (a n)) / s

The derivative of n by x is t, too: t is symmetric. So tangents are J u = gamma t(u), and

    the gradient of <dy, J u> = sum of a t(u)   by gamma is the sum of dy t(u),   by x is
    -(mean of (u n) t(a) + mean of (a n) t(u) + mean of (a t(u)) n) / s

Ba, Kiros and Hinton, "Layer normalization", 2016, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from minigan.backend import Array, Backend, Stream
from minigan.checks import number, set_fields, whole
from minigan.config import register
from minigan.errors import ShapeError
from minigan.nn.layer import Binding, LayerPass, Shape
from minigan.nn.layers.normalisation import Normalisation


@register
@dataclass(frozen=True)
class LayerNorm(Normalisation):
    """y = gamma (x - m) / sqrt(v + eps) + beta, with m and v of each row.

    m and v are the mean and the variance of all F = n c numbers of a row of X (B, n c). gamma and
    beta (1, c) are repeated over its n pixels. For rows of features, n = 1, this is PyTorch's
    `LayerNorm(features)`. For images, n = h w, it is PyTorch's `GroupNorm(1, channels)`, the layer
    normalisation of convolutional critics. Y has the shape of X.

    Rows stay independent, so each has an input gradient of its own: a critic with a gradient
    penalty can be normalised in this way, and not by `BatchNorm` (Gulrajani et al. 2017, "Improved
    training of Wasserstein GANs", section 4).

    Args:
        channels: c, >= 1; the features must be a multiple of it, and at least two.
        eps: added to the variance, > 0.

    Raises:
        ConfigError: an invalid setting.
    """

    _: KW_ONLY
    eps: float = 1e-5

    def __post_init__(self) -> None:
        set_fields(
            self,
            channels=whole("LayerNorm: channels", self.channels, 1),
            eps=number("LayerNorm: eps", self.eps, above=0.0),
        )

    def output_shape(self, shape: Shape) -> Shape:
        if shape[1] < 2:
            raise ShapeError("LayerNorm was given rows of one number, which have no variance")
        return super().output_shape(shape)

    def pytorch(self) -> str:
        return f"torch.nn.LayerNorm({self.channels}, eps={self.eps})"

    def initialise(self, ops: Backend, stream: Stream, tensors: Mapping[str, Array]) -> None:
        ops.fill(1.0, out=tensors["gamma"])

    def bind(self, binding: Binding) -> LayerNormPass:
        return LayerNormPass(self.eps, binding)


class LayerNormPass(LayerPass):
    capturable = True

    def __init__(self, eps: float, binding: Binding) -> None:
        super().__init__(binding)
        self.eps = eps
        self.gamma, self.beta = binding.parameters["gamma"], binding.parameters["beta"]  # (1, c)
        self.dgamma, self.dbeta = binding.gradients["gamma"], binding.gradients["beta"]  # (1, c)
        rows, features = self.Y.shape[-2:]
        self.normalised = binding.empty(rows, features)  # (B, F), n of the latest forward
        self.std = binding.empty(rows, 1)  # (B, 1), s of the latest forward
        self.terms = binding.empty(rows, features)  # (B, F), a temporary

    def forward(self, X: Array, train: bool) -> Array:
        """n = (X - m) / sqrt(v + eps),   Y = gamma n + beta"""
        self.ops.normalise_rows(X, self.eps, self.std, out=self.normalised)
        self.ops.multiply_rows(self.normalised, self.gamma, out=self.Y)
        self.ops.add_rows(self.Y, self.beta, out=self.Y)
        return self.Y

    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """dX = (a - mean of a - n mean of (a n)) / sqrt(v + eps),   a = gamma dY"""
        if parameter_grads:
            self.ops.multiply(dY, self.normalised, out=self.terms)
            self.ops.sum_rows(self.terms, out=self.dgamma)
            self.ops.sum_rows(dY, out=self.dbeta)
        if not input_grad:
            return None
        self.ops.multiply_rows(dY, self.gamma, out=self.terms)
        self.ops.normalise_rows_backward(self.terms, self.normalised, self.std, out=self.dX)
        return self.dX

    def tangent(self, U: Array, out: Array) -> None:
        """J U = gamma t(U)"""
        self.ops.normalise_rows_backward(U, self.normalised, self.std, out=out)
        self.ops.multiply_rows(out, self.gamma, out=out)

    def tangent_gradients(self, U: Array, dY: Array) -> None:
        """dgamma = sum of dY t(U)"""
        self.ops.normalise_rows_backward(U, self.normalised, self.std, out=self.terms)
        self.ops.multiply(dY, self.terms, out=self.terms)
        self.ops.sum_rows(self.terms, out=self.dgamma)

    def curvature(self, U: Array, dY: Array, out: Array) -> None:
        """-(<U n> t(a) + <a n> t(U) + <a t(U)> n) / s, a = gamma dY

        <> is the mean of a row, n the normalised X.
        """
        self.ops.multiply_rows(dY, self.gamma, out=self.terms)
        self.ops.normalise_rows_curvature(self.terms, U, self.normalised, self.std, out=out)
