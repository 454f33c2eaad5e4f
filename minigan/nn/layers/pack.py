"""Packing: the discriminator gets m samples at once, as one input.

A discriminator that sees one sample at a time cannot notice that all samples look alike. One that
sees m of them can (Lin, Khetan, Fanti and Oh, "PacGAN", 2018). It is easier still if the pack is
followed by each sample's squared deviation from the pack's mean (a minibatch statistic, as in
Salimans et al. 2016, section 3.2).
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from minigan.backend import Array
from minigan.checks import flag, set_fields, whole
from minigan.config import register
from minigan.errors import ShapeError
from minigan.nn.layer import Binding, Layer, LayerPass, Needs, Shape


@register
@dataclass(frozen=True)
class Pack(Layer):
    """(B, F) -> (B/m, 2 m F): packs of m samples, then their squared deviations.

    Row p of the output is  x_1 ... x_m  (x_1 - c)^2 ... (x_m - c)^2,  where c is the mean
    of the pack, taken as a constant: no gradient flows through it (it is *detached*).

    Args:
        size: m, the samples in a pack, >= 1. The batch must be a multiple of it.
        deviations: whether to append the squared deviations; without them (B/m, m F).
    """

    size: int
    _: KW_ONLY
    deviations: bool = True
    needs = Needs.VALUES  # backward reads the samples from the output

    def __post_init__(self) -> None:
        set_fields(
            self,
            size=whole("Pack: size", self.size, 1),
            deviations=flag("Pack: deviations", self.deviations),
        )

    @property
    def rows_multiple(self) -> int:  # type: ignore[override]
        """The rows of a pack stay together."""
        return self.size

    def output_shape(self, shape: Shape) -> Shape:
        rows, features = shape
        if rows % self.size:
            raise ShapeError(f"{self} was given {rows} rows; it expects a multiple of {self.size}")
        return rows // self.size, self.size * features * (2 if self.deviations else 1)

    def bind(self, binding: Binding) -> PackPass:
        return PackPass(self, binding)


class PackPass(LayerPass):
    capturable = True

    def __init__(self, layer: Pack, binding: Binding) -> None:
        super().__init__(binding)
        population = binding.population
        rows, features = self.dX.shape[-2:]
        self.packed = (*population, rows // layer.size, layer.size, features)  # (P, m, F)
        self.deviations = layer.deviations
        width = layer.size * features  # m F
        self.samples = self.Y[..., :width].reshape(self.packed)  # (P, m, F), a view of Y
        if self.deviations:
            self.squares = self.Y[..., width:].reshape(self.packed)  # (P, m, F), a view of Y
            self.mean = binding.empty(rows // layer.size, 1, features)  # (P, 1, F)
        self.dX_packed = self.dX.reshape(self.packed)  # (P, m, F), a view of dX
        self.width = width

    def forward(self, X: Array, train: bool) -> Array:
        """Y = [x_1 ... x_m, (x_1 - c)^2 ... (x_m - c)^2] with c the pack's mean"""
        X = X.reshape(self.packed)
        self.ops.copy(X, out=self.samples)
        if self.deviations:
            if not self.hold:
                self.ops.pack_mean(X, out=self.mean)
            self.ops.pack_deviations(X, self.mean, out=self.squares)
        return self.Y

    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """dx_i = dy_i + 2 (x_i - c) dy_(m+i), with c constant"""
        if not input_grad:
            return None
        dsamples = dY[..., : self.width].reshape(self.packed)  # (P, m, F)
        if not self.deviations:
            self.ops.copy(dsamples, out=self.dX_packed)
            return self.dX
        dsquares = dY[..., self.width :].reshape(self.packed)  # (P, m, F)
        self.ops.pack_deviations_backward(dsquares, self.samples, self.mean, out=self.dX_packed)
        self.ops.add(self.dX_packed, dsamples, out=self.dX_packed)
        return self.dX

    def tangent(self, U: Array, out: Array) -> None:
        """out = [u_1 ... u_m, 2 (x_1 - c) u_1 ...], with c constant"""
        U = U.reshape(self.packed)  # (P, m, F)
        self.ops.copy(U, out=out[..., : self.width].reshape(self.packed))
        if self.deviations:
            squares = out[..., self.width :].reshape(self.packed)  # (P, m, F)
            self.ops.pack_deviations_backward(U, self.samples, self.mean, out=squares)

    def curvature(self, U: Array, dY: Array, out: Array) -> None:
        """2 dy_(m+i) u_i; without deviations 0"""
        U, out = U.reshape(self.packed), out.reshape(self.packed)  # (P, m, F)
        if not self.deviations:
            self.ops.fill(0.0, out=out)
            return
        dsquares = dY[..., self.width :].reshape(self.packed)  # (P, m, F)
        self.ops.multiply(dsquares, U, out=out)
        self.ops.scale(out, 2.0, out=out)
