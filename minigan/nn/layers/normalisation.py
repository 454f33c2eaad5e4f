"""What layers that normalise share: a learned scale and shift for each channel."""

from __future__ import annotations

from dataclasses import dataclass

from minigan.errors import ShapeError
from minigan.nn.image import Image
from minigan.nn.layer import Layer, Shape


@dataclass(frozen=True)
class Normalisation(Layer):
    """A layer whose formula ends in y = gamma n + beta, with a gamma and a beta for each channel.

    Rows of features (B, c) have a channel for each feature. In images (B, h w c) the channels are
    those of every pixel.
    """

    channels: int
    in_place = True  # n is kept for backward, which needs neither X nor Y

    def output_shape(self, shape: Shape) -> Shape:
        if shape[1] % self.channels:
            raise ShapeError(
                f"{self} was given {shape[1]} features; it expects a multiple of its "
                f"{self.channels} channels"
            )
        return shape

    def check_image(self, image: Image) -> None:
        if self.channels not in (image.channels, image.features):
            raise ShapeError(
                f"{type(self).__name__} expects {self.channels} channels; "
                f"channels={image.channels} would fit, or channels={image.features} to treat each "
                "feature as a channel"
            )

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"gamma": (1, self.channels), "beta": (1, self.channels)}
