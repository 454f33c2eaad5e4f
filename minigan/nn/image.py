"""Images as rows of features, and what to say about rows that are no such image."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from minigan.errors import ShapeError


class Image(NamedTuple):
    """h x w pixels with c channels, in a row of h w c features: the channels of a pixel together.

    A layer that takes images has the attribute `image`, and one that makes them `output_image`. A
    network has both; they are None where its features are no images.
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
        fits.append(f"{_setting(layer)}={channels}")
    raise ShapeError(
        f"{_expects(layer)}, {wanted.features} features, and was given {features}"
        + (f"; {' or '.join(fits)} would fit" if fits else "")
    )


def require_same_image(layer: Any, image: Image) -> None:
    """Raise `ShapeError` unless a layer takes this image, which the layer before it makes."""
    fits = []
    if image[:2] != layer.image[:2]:
        fits.append(f"size={image[:2]}")
    if image.channels != layer.image.channels:
        fits.append(f"{_setting(layer)}={image.channels}")
    if fits:
        raise ShapeError(f"{_expects(layer)}; {' and '.join(fits)} would fit")


def _expects(layer: Any) -> str:
    return f"{type(layer).__name__} expects images of {layer.image} (height x width x channels)"


def _setting(layer: Any) -> str:
    return "in_channels" if hasattr(layer, "in_channels") else "channels"


def as_rows(shape: tuple[int, ...], image: Image) -> str:
    """For an error: how to make rows of an array of such images; "" if it is none."""
    rows = f"reshape({', '.join(map(str, (*shape[:1], image.features)))})"
    if shape[1:] == image or (image.channels == 1 and shape[1:] == image[:2]):
        return f"; {rows} would fit"
    if shape[1:] == (image.channels, *image[:2]):
        return f"; transpose(0, 2, 3, 1).{rows} would fit, which puts the channels last"
    return ""
