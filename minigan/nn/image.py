"""Images as rows of features."""

from __future__ import annotations

from typing import NamedTuple


class Image(NamedTuple):
    """h x w pixels with c channels, in a row of h w c features: the channels of a pixel together.

    A layer that takes images has the attribute `image`, and one that makes them `output_image`. A
    network has both. They are None where its features are not an image.
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


def as_rows(shape: tuple[int, ...], image: Image) -> str:
    """For an error: how to make rows of an array of such images; "" if it has another shape."""
    rows = f"reshape({', '.join(map(str, (*shape[:1], image.features)))})"
    if shape[1:] == image or (image.channels == 1 and shape[1:] == image[:2]):
        return f"; {rows} would fit"
    if shape[1:] == (image.channels, *image[:2]):
        return f"; transpose(0, 2, 3, 1).{rows} would fit, which puts the channels last"
    return ""
