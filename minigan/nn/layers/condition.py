"""Layers that read the condition: a second input of the network, for which no gradient is needed.

In a conditional GAN the condition of a sample is its label, as a row that is 1 at its class and 0
elsewhere (Mirza and Osindero, "Conditional generative adversarial nets", 2014). In an InfoGAN it is
the code that the generator turns into a sample. It is given to a pass when that is bound:

    net.bind(rows, condition=C)         net.predict(X, condition=C)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from minigan.backend import Array, Backend, Stream
from minigan.backend.window import Pair, as_pair
from minigan.checks import pair, set_fields, whole
from minigan.config import register
from minigan.errors import ShapeError
from minigan.nn.image import Image
from minigan.nn.init import check_scheme, initialise_affine
from minigan.nn.layer import Binding, Layer, LayerPass, Shape
from minigan.nn.layers.image_layer import ImageLayer


@dataclass(frozen=True)
class ConditionedLayer(Layer):
    """A layer from rows X (B, in_features) and a condition C (B, condition_features)."""

    in_features: int
    condition_features: int

    def __post_init__(self) -> None:
        name = type(self).__name__
        set_fields(
            self,
            in_features=whole(f"{name}: in_features", self.in_features, 1),
            condition_features=whole(f"{name}: condition_features", self.condition_features, 1),
        )

    def rows_of(self, shape: Shape) -> int:
        """The rows of an input; `ShapeError` if it has other features."""
        rows, features = shape
        if features != self.in_features:
            raise ShapeError(f"{self} was given {features} features; it expects {self.in_features}")
        return rows


@register
@dataclass(frozen=True)
class AppendCondition(ConditionedLayer):
    """Y = [x, c]: appends the condition C (B, k) to X (B, F), which makes Y (B, F + k).

    Args:
        in_features: F.
        condition_features: k.

    Raises:
        ConfigError: a size below one.
    """

    def output_shape(self, shape: Shape) -> Shape:
        return self.rows_of(shape), self.in_features + self.condition_features

    def bind(self, binding: Binding) -> AppendPass:
        return AppendPass(binding, pixels=1)


@register
@dataclass(frozen=True)
class AppendChannels(ImageLayer):
    """Appends the condition to every pixel: (B, h w c) and C (B, k) make (B, h w (c + k)).

    Each number of the condition is a channel that has this value everywhere. X is copied, since the
    channels of a pixel lie next to each other.

    Args:
        channels: c, of the images that go in.
        condition_features: k.
        size: (h, w) of the images; one number stands for both.

    Raises:
        ConfigError: a size below one.
    """

    channels: int
    condition_features: int
    size: int | Pair = (28, 28)

    def __post_init__(self) -> None:
        set_fields(
            self,
            channels=whole("AppendChannels: channels", self.channels, 1),
            condition_features=whole(
                "AppendChannels: condition_features", self.condition_features, 1
            ),
            size=as_pair(pair("AppendChannels: size", self.size, 1)),
        )

    @property
    def image(self) -> Image:
        h, w = as_pair(self.size)
        return Image(h, w, self.channels)

    @property
    def output_image(self) -> Image:
        return self.image._replace(channels=self.channels + self.condition_features)

    def bind(self, binding: Binding) -> AppendPass:
        return AppendPass(binding, pixels=self.image.height * self.image.width)


class AppendPass(LayerPass):
    """One forward and backward of `AppendCondition`, and of `AppendChannels` (n pixels)."""

    capturable: ClassVar[bool] = True

    def __init__(self, binding: Binding, pixels: int) -> None:
        super().__init__(binding)
        self.condition = binding.condition[..., None, :]  # (B, 1, k)
        self.count = pixels  # n
        self.channels = self.dX.shape[-1] // pixels  # c
        self.dX_pixels = self.pixels(self.dX)  # (B, n, c), a view
        Y = self.pixels(self.Y)  # (B, n, c + k), a view
        self.kept = Y[..., : self.channels]  # (B, n, c), a view
        self.appended = Y[..., self.channels :]  # (B, n, k), a view

    def pixels(self, X: Array) -> Array:
        """X (B, n channels) as (B, n, channels), a view."""
        return X.reshape(*X.shape[:-1], self.count, X.shape[-1] // self.count)

    def forward(self, X: Array, train: bool) -> Array:
        """Y = [x, c] at each pixel"""
        self.ops.copy(self.pixels(X), out=self.kept)
        self.ops.copy(self.condition, out=self.appended)
        return self.Y

    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """dX = the part of dY that belongs to x"""
        if not input_grad:
            return None
        self.ops.copy(self.pixels(dY)[..., : self.channels], out=self.dX_pixels)
        return self.dX

    def tangent(self, U: Array, out: Array) -> None:
        """out = [u, 0]"""
        pixels = self.pixels(out)
        self.ops.copy(self.pixels(U), out=pixels[..., : self.channels])
        self.ops.fill(0.0, out=pixels[..., self.channels :])


@register
@dataclass(frozen=True)
class Embedding(ConditionedLayer):
    """Y = [x, c E]: appends learned numbers, X (B, F) and C (B, k) make Y (B, F + size).

    Row j of E (k, size) is what the network learns about class j: c E is that row if the condition
    is 1 at class j and 0 elsewhere.

    Args:
        in_features: F.
        condition_features: k.
        size: how many numbers are learned for each class.
        init: as of a `Linear` from k numbers to `size`, of which E is the weight.

    Raises:
        ConfigError: a size below one, or an unknown initialisation.
    """

    size: int
    _: KW_ONLY
    init: str = "pytorch"

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, size=whole("Embedding: size", self.size, 1))
        check_scheme(self.init)

    def output_shape(self, shape: Shape) -> Shape:
        return self.rows_of(shape), self.in_features + self.size

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"weight": (self.condition_features, self.size)}

    def multiplications(self, shape: Shape) -> int:
        return shape[0] * self.condition_features * self.size

    def initialise(self, ops: Backend, stream: Stream, tensors: Mapping[str, Array]) -> None:
        initialise_affine(ops, stream, self.init, tensors["weight"], None)

    def bind(self, binding: Binding) -> EmbeddingPass:
        return EmbeddingPass(binding)


class EmbeddingPass(LayerPass):
    """One forward and backward of `Embedding`."""

    capturable: ClassVar[bool] = True

    def __init__(self, binding: Binding) -> None:
        super().__init__(binding)
        self.condition = binding.condition  # (B, k)
        self.weight = binding.parameters["weight"]  # E (k, size)
        self.dweight = binding.gradients["weight"]  # (k, size)
        self.features = self.dX.shape[-1]  # F
        self.kept = self.Y[..., : self.features]  # (B, F), a view
        self.appended = self.Y[..., self.features :]  # (B, size), a view

    def forward(self, X: Array, train: bool) -> Array:
        """Y = [x, c E]"""
        self.ops.copy(X, out=self.kept)
        self.ops.matmul(self.condition, self.weight, out=self.appended)
        return self.Y

    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """dE = C^T dY of what was appended: row j adds up the dY of the samples of class j"""
        if parameter_grads:
            appended = dY[..., self.features :]  # (B, size)
            self.ops.matmul(self.condition, appended, out=self.dweight, transpose_A=True)
        if not input_grad:
            return None
        self.ops.copy(dY[..., : self.features], out=self.dX)
        return self.dX

    def tangent(self, U: Array, out: Array) -> None:
        """out = [u, 0]"""
        self.ops.copy(U, out=out[..., : self.features])
        self.ops.fill(0.0, out=out[..., self.features :])
