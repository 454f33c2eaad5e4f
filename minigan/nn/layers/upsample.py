"""Nearest-neighbour upsampling: each pixel becomes a block of equal pixels.

Followed by a convolution with a stride of 1 it replaces a transposed convolution. If the kernel of
a transposed convolution is not a multiple of the stride, its windows overlap unevenly, which can
show as a checkerboard (Odena, Dumoulin and Olah, "Deconvolution and checkerboard artifacts", 2016).
"""

from __future__ import annotations

from dataclasses import dataclass

from minigan.backend import Array
from minigan.backend.window import Pair, as_pair
from minigan.checks import pair, set_fields, whole
from minigan.config import register
from minigan.nn.image import Image
from minigan.nn.layer import Binding, LayerPass
from minigan.nn.layers.image_layer import ImageLayer


@register
@dataclass(frozen=True)
class Upsample2d(ImageLayer):
    """Y[fh i + a, fw j + b] = X[i, j] for 0 <= a < fh and 0 <= b < fw.

    X (B, h w c) becomes Y (B, fh h fw w c).

    Args:
        channels: c, >= 1.
        factor: (fh, fw), >= 1; one number stands for both.
        size: (h, w) of the images that go in.

    Raises:
        ConfigError: an invalid setting.
    """

    channels: int
    factor: int | Pair = 2
    size: int | Pair = (28, 28)

    def __post_init__(self) -> None:
        set_fields(
            self,
            channels=whole("Upsample2d: channels", self.channels, 1),
            factor=pair("Upsample2d: factor", self.factor, 1),
            size=as_pair(pair("Upsample2d: size", self.size, 1)),
        )

    @property
    def image(self) -> Image:
        return Image(*as_pair(self.size), self.channels)

    @property
    def output_image(self) -> Image:
        (h, w), (fh, fw) = as_pair(self.size), as_pair(self.factor)
        return Image(fh * h, fw * w, self.channels)

    def pytorch(self) -> str:
        # Its "nearest" rounds wrongly for some factors, such as 41.
        return f"torch.nn.Upsample(scale_factor={self.factor}, mode='nearest-exact')"

    def bind(self, binding: Binding) -> Upsample2dPass:
        return Upsample2dPass(self, binding)


class Upsample2dPass(LayerPass):
    capturable = True

    def __init__(self, layer: Upsample2d, binding: Binding) -> None:
        super().__init__(binding)
        self.size = as_pair(layer.size)
        self.factor = as_pair(layer.factor)

    def forward(self, X: Array, train: bool) -> Array:
        """Y[fh i + a, fw j + b] = X[i, j]"""
        self.ops.upsample(X, self.size, self.factor, out=self.Y)
        return self.Y

    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """dX[i, j] = sum over a and b of dY[fh i + a, fw j + b]"""
        if not input_grad:
            return None
        self.ops.upsample_backward(dY, self.size, self.factor, out=self.dX)
        return self.dX

    def tangent(self, U: Array, out: Array) -> None:
        """out[fh i + a, fw j + b] = U[i, j]"""
        self.ops.upsample(U, self.size, self.factor, out=out)
