"""Convolution and its transpose: two layers with the same three products.

`windows(X)` makes a row of what the kernel covers in each of its places (minigan/backend/window.py
has a drawing), so that a convolution is a matrix product. The transposed convolution is its
adjoint: the forward of each is the input gradient of the other.

                            Conv2d                         ConvTranspose2d
    forward                 Y  = windows(X) W              Y  = windows^T(X W^T)
    gradient of the weight  dW = windows(X)^T dY           dW = windows(dY)^T X
    gradient of the input   dX = windows^T(dY W^T)         dX = windows(dY) W

An image of h x w pixels with c channels is a row of h w c features, the channels of a pixel next to
each other. Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, derive
the sizes, and draw them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from minigan.backend import Array, Backend, Stream
from minigan.backend.window import Pair, Window, as_pair
from minigan.checks import flag, pair, set_fields, whole
from minigan.config import register
from minigan.errors import ConfigError
from minigan.nn.image import Image
from minigan.nn.init import check_scheme, initialise_affine
from minigan.nn.layer import Binding, LayerPass, Shape
from minigan.nn.layers.image_layer import ImageLayer


@dataclass(frozen=True)
class Convolution(ImageLayer):
    """What the two layers share: settings and parameters."""

    in_channels: int
    out_channels: int
    kernel: int | Pair = 4
    stride: int | Pair = 2
    padding: int | Pair = 1
    size: int | Pair = (28, 28)
    _: KW_ONLY
    bias: bool = True
    init: str = "pytorch"
    channels_setting = "in_channels"

    def __post_init__(self) -> None:
        name = type(self).__name__
        set_fields(
            self,
            in_channels=whole(f"{name}: in_channels", self.in_channels, 1),
            out_channels=whole(f"{name}: out_channels", self.out_channels, 1),
            kernel=pair(f"{name}: kernel", self.kernel, 1),
            stride=pair(f"{name}: stride", self.stride, 1),
            padding=pair(f"{name}: padding", self.padding, 0),
            size=as_pair(pair(f"{name}: size", self.size, 1)),
            bias=flag(f"{name}: bias", self.bias),
        )
        check_scheme(self.init)

    @property
    def image(self) -> Image:
        return Image(*as_pair(self.size), self.in_channels)

    @property
    def window(self) -> Window:
        """How the kernel moves over the larger of the two images."""
        raise NotImplementedError

    def _window(self, image: Image) -> Window:
        return Window(*image, as_pair(self.kernel), as_pair(self.stride), as_pair(self.padding))

    @property
    def weight_shape(self) -> Shape:
        """(kh kw channels of the larger image, channels of the smaller)."""
        return self.window.values, self.in_channels + self.out_channels - self.window.channels

    def parameter_shapes(self) -> dict[str, Shape]:
        shapes = {"weight": self.weight_shape}
        if self.bias:
            shapes["bias"] = (1, self.out_channels)
        return shapes

    def multiplications(self, shape: Shape) -> int:
        (oh, ow), (values, channels) = self.window.places, self.weight_shape
        return shape[0] * oh * ow * values * channels


@register
@dataclass(frozen=True)
class Conv2d(Convolution):
    """Y = windows(X) W + b, with X (B, h w c), W (kh kw c, o), b (1, o), Y (B, oh ow o).

    oh = floor((h + 2 ph - kh) / sh) + 1, and ow likewise: kernel 4, stride 2, padding 1 halve the
    size. As in other libraries the kernel is not turned around.

    Args:
        in_channels, out_channels: c and o, >= 1.
        kernel: (kh, kw), >= 1. Here and below, one number stands for both.
        stride: (sh, sw), >= 1: how many pixels apart its places are.
        padding: (ph, pw), >= 0: rows and columns of zeros on each side of the image.
        size: (h, w) of the images that go in.
        bias: whether to add b.
        init: as for `Linear`; see `minigan.nn.init`.

    Raises:
        ConfigError: an invalid setting, or a kernel larger than the image with its padding.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.window.places) < 1:
            (h, w), (ph, pw) = as_pair(self.size), as_pair(self.padding)
            raise ConfigError(
                f"Conv2d: a kernel of {_by(self.kernel)} does not fit into images of "
                f"{h} x {w} with a padding of {_by(self.padding)}; the largest that does is "
                f"{h + 2 * ph} x {w + 2 * pw}"
            )

    @property
    def window(self) -> Window:
        return self._window(self.image)

    @property
    def output_image(self) -> Image:
        return Image(*self.window.places, self.out_channels)

    def pytorch(self) -> str:
        return _pytorch(self)

    def initialise(self, ops: Backend, stream: Stream, tensors: Mapping[str, Array]) -> None:
        kh, kw = as_pair(self.kernel)
        fans = kh * kw * self.in_channels, kh * kw * self.out_channels
        initialise_affine(ops, stream, self.init, tensors["weight"], tensors.get("bias"), *fans)

    def bind(self, binding: Binding) -> Conv2dPass:
        return Conv2dPass(self, binding)


@register
@dataclass(frozen=True)
class ConvTranspose2d(Convolution):
    """Y = windows^T(X W^T) + b, with X (B, h w c), W (kh kw o, c), b (1, o), Y (B, oh ow o).

    oh = (h - 1) sh - 2 ph + kh + output padding, and ow likewise: kernel 4, stride 2, padding 1
    double the size. W is the weight of the convolution from o to c channels of which this is the
    adjoint.

    Args:
        in_channels, out_channels: c and o, >= 1.
        kernel: (kh, kw), >= 1. Here and below, one number stands for both.
        stride: (sh, sw), >= 1: how many pixels apart the places of the kernel are in the output.
        padding: (ph, pw), >= 0: rows and columns left out on each side of the output.
        size: (h, w) of the images that go in.
        output_padding: rows and columns added below and on the right, each less than the stride.
            With a stride of 2 a convolution makes images of the same size from images of two sizes.
            This chooses which of the two sizes comes out.
        bias: whether to add b.
        init: as for `Linear`; see `minigan.nn.init`. The scheme "pytorch" takes kh kw o for the fan
            in, as PyTorch does. Those of He and Glorot take kh kw c / (sh sw), the average number
            of products in a pixel of the output.

    Raises:
        ConfigError: an invalid setting, or an output without pixels.
    """

    _: KW_ONLY
    output_padding: int | Pair = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        more = pair("ConvTranspose2d: output_padding", self.output_padding, 0)
        set_fields(self, output_padding=more)
        if any(n >= stride for n, stride in zip(as_pair(more), as_pair(self.stride), strict=True)):
            raise ConfigError(
                f"ConvTranspose2d: an output_padding of {_by(more)} must be less than the stride, "
                f"{_by(self.stride)}"
            )
        h, w, _ = self.output_image
        if min(h, w) < 1:
            ph, pw = as_pair(self.padding)
            raise ConfigError(
                f"ConvTranspose2d: a padding of {_by(self.padding)} on each side leaves no pixel "
                f"of an output of {h + 2 * ph} x {w + 2 * pw}"
            )

    @property
    def output_image(self) -> Image:
        settings = (self.size, self.kernel, self.stride, self.padding, self.output_padding)
        sizes = zip(*map(as_pair, settings), strict=True)
        oh, ow = ((n - 1) * s - 2 * p + k + more for n, k, s, p, more in sizes)
        return Image(oh, ow, self.out_channels)

    @property
    def window(self) -> Window:
        return self._window(self.output_image)

    def pytorch(self) -> str:
        more = "" if self.output_padding == 0 else f", output_padding={self.output_padding}"
        return _pytorch(self, more)

    def initialise(self, ops: Backend, stream: Stream, tensors: Mapping[str, Array]) -> None:
        (kh, kw), (sh, sw) = as_pair(self.kernel), as_pair(self.stride)
        fan_in = max(1, kh * kw * self.in_channels // (sh * sw))
        fan_out = kh * kw * self.out_channels
        fans = fan_out if self.init == "pytorch" else fan_in, fan_out
        initialise_affine(ops, stream, self.init, tensors["weight"], tensors.get("bias"), *fans)

    def bind(self, binding: Binding) -> ConvTranspose2dPass:
        return ConvTranspose2dPass(self, binding)


class ConvolutionPass(LayerPass):
    """The buffers of both; a subclass has the two formulas."""

    capturable = True

    def __init__(self, layer: Convolution, binding: Binding) -> None:
        super().__init__(binding)
        self.window = layer.window
        self.weight = binding.parameters["weight"]  # (kh kw channels of the larger, of the smaller)
        self.bias = binding.parameters.get("bias")  # (1, o)
        self.dweight = binding.gradients["weight"]  # like weight
        self.dbias = binding.gradients.get("bias")  # (1, o)

    def add_bias(self) -> Array:
        """Y = Y + b at each pixel"""
        if self.bias is not None:
            self.ops.add_rows(self.Y, self.bias, out=self.Y)
        return self.Y


class Conv2dPass(ConvolutionPass):
    capturable = True

    def forward(self, X: Array, train: bool) -> Array:
        """Y = windows(X) W + b"""
        self.ops.convolve(X, self.weight, self.window, out=self.Y)
        return self.add_bias()

    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """dW = windows(X)^T dY,   db = sum over the pixels of dY,   dX = windows^T(dY W^T)"""
        if parameter_grads:
            self.ops.convolve_weight_gradient(self.X, dY, self.window, out=self.dweight)
            if self.dbias is not None:
                self.ops.sum_rows(dY, out=self.dbias)
        if not input_grad:
            return None
        self.ops.convolve_input_gradient(dY, self.weight, self.window, out=self.dX)
        return self.dX

    def tangent(self, U: Array, out: Array) -> None:
        """out = windows(U) W"""
        self.ops.convolve(U, self.weight, self.window, out=out)

    def tangent_gradients(self, U: Array, dY: Array) -> None:
        """dW = windows(U)^T dY"""
        self.ops.convolve_weight_gradient(U, dY, self.window, out=self.dweight)


class ConvTranspose2dPass(ConvolutionPass):
    capturable = True

    def forward(self, X: Array, train: bool) -> Array:
        """Y = windows^T(X W^T) + b"""
        self.ops.convolve_input_gradient(X, self.weight, self.window, out=self.Y)
        return self.add_bias()

    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """dW = windows(dY)^T X,   db = sum over the pixels of dY,   dX = windows(dY) W"""
        if parameter_grads:
            self.ops.convolve_weight_gradient(dY, self.X, self.window, out=self.dweight)
            if self.dbias is not None:
                self.ops.sum_rows(dY, out=self.dbias)
        if not input_grad:
            return None
        self.ops.convolve(dY, self.weight, self.window, out=self.dX)
        return self.dX

    def tangent(self, U: Array, out: Array) -> None:
        """out = windows^T(U W^T)"""
        self.ops.convolve_input_gradient(U, self.weight, self.window, out=out)

    def tangent_gradients(self, U: Array, dY: Array) -> None:
        """dW = windows(dY)^T U"""
        self.ops.convolve_weight_gradient(dY, U, self.window, out=self.dweight)


def _by(value: int | Pair) -> str:
    return "{} x {}".format(*as_pair(value))


def _pytorch(layer: Convolution, more: str = "") -> str:
    channels = f"{layer.in_channels}, {layer.out_channels}"
    walk = f"{layer.kernel}, {layer.stride}, {layer.padding}"
    bias = "" if layer.bias else ", bias=False"
    return f"torch.nn.{type(layer).__name__}({channels}, {walk}{more}{bias})"
