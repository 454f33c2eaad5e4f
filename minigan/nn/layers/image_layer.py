"""What the layers that make images of images share: sizes, and errors that say what would fit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from minigan.errors import ShapeError
from minigan.nn.image import Image
from minigan.nn.layer import Layer, Shape


@dataclass(frozen=True)
class ImageLayer(Layer):
    """A layer from images X (B, h w c) to images Y (B, oh ow o).

    Attributes:
        channels_setting: the name of its setting for c.
    """

    channels_setting: ClassVar[str] = "channels"

    @property
    def image(self) -> Image:
        """(h, w, c), what goes in."""
        raise NotImplementedError

    @property
    def output_image(self) -> Image:
        """(oh, ow, o), what comes out."""
        raise NotImplementedError

    @property
    def in_features(self) -> int:
        """h w c"""
        return self.image.features

    def output_shape(self, shape: Shape) -> Shape:
        rows, features = shape
        if features != self.image.features:
            fits = " or ".join(self._that_have(features))
            raise ShapeError(
                f"{self._expects}, {self.image.features} features, and was given {features}"
                + (f"; {fits} would fit" if fits else "")
            )
        return rows, self.output_image.features

    def check_image(self, image: Image) -> None:
        fits = []
        if image[:2] != self.image[:2]:
            fits.append(f"size={image[:2]}")
        if image.channels != self.image.channels:
            fits.append(f"{self.channels_setting}={image.channels}")
        if fits:
            raise ShapeError(f"{self._expects}; {' and '.join(fits)} would fit")

    @property
    def _expects(self) -> str:
        name = type(self).__name__
        return f"{name} expects images of {self.image} (height x width x channels)"

    def _that_have(self, features: int) -> list[str]:
        """Settings of the size, or of the channels, whose images have this many features."""
        h, w, c = self.image
        fits = []
        side = math.isqrt(features // c)
        if side * side * c == features:
            fits.append(f"size=({side}, {side})")
        if features % (h * w) == 0:
            fits.append(f"{self.channels_setting}={features // (h * w)}")
        return fits
