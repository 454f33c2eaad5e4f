"""Images as rows of features, and what to say about rows that are no such image."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from minigan.errors import ShapeError


class Image(NamedTuple):
    """h x w pixels with c channels, in a row of h w c features: the channels of a pixel together.

    A layer that takes images has the attribute `image`, and one that makes them `output_image`. One
    that takes rows of pixels of any number, such as batch normalisation, has `channels`.
    """

    height: int
    width: int
    channels: int

    @property
    def features(self) -> int:
        """h w c"""
        return self.height * self.width * self.channels

    def __str__(self) -> str:
        return f"{self.height} x {self.width} x {self.channels}"


def require_image(layer: Any, features: int) -> None:
    """Raise `ShapeError` unless so many features are an image that a layer takes."""
    wanted: Image = layer.image
    if features == wanted.features:
        return
    pixels, left = divmod(features, wanted.channels)
    side = math.isqrt(pixels)
    channels, rest = divmod(features, wanted.height * wanted.width)
    fits = []
    if not left and side * side == pixels:
        fits.append(f"size=({side}, {side})")
    if not rest:
        fits.append(f"{channels} channels")
    raise ShapeError(
        f"{type(layer).__name__} expects images of {wanted} (height x width x channels), "
        f"{wanted.features} features, and was given {features}"
        + (f"; {' or '.join(fits)} would fit" if fits else "")
    )


def require_same_pixels(layer: Any, image: Image) -> None:
    """Raise `ShapeError` if a layer would see other pixels in the features of these images."""
    wanted = getattr(layer, "image", image)
    channels = getattr(layer, "channels", image.channels)
    name = type(layer).__name__
    if wanted != image and wanted.features == image.features:
        raise ShapeError(f"{name} expects images of {wanted}, which are as long, but other pixels")
    if channels not in (image.channels, image.features):
        raise ShapeError(
            f"{name} expects pixels of {channels} channels; "
            f"{image.channels} would fit, or {image.features}, for each feature its own"
        )
