"""Where a kernel lies on an image: the geometry of a convolution.

    image, height x width, with a border of zeros          one window for each place

    0 0 0 0 0 0                                            0 0 0 . . .     . . 0 0 0 .
    0 a b c d 0      kernel 3, stride 2, padding 1         0 a b . . .     . b c d . .
    0 e f g h 0                                            0 e f . . .     . f g h . .
    0 i j k l 0                                            . . . . . .     . . . . . .

An image of h x w pixels with c channels is a row of h w c features, the channels of a pixel next to
each other. Its windows are rows of kh kw c features: one for each place of the kernel. A tap is a
position (i, j) in the kernel.
"""

from __future__ import annotations

from typing import NamedTuple

Pair = tuple[int, int]  # of rows and of columns


def as_pair(value: int | Pair) -> Pair:
    """One number for both rows and columns, as two."""
    return value if isinstance(value, tuple) else (value, value)


class Window(NamedTuple):
    """A kernel of (kh, kw) pixels that moves over images (h, w, c) by (sh, sw) pixels."""

    height: int  # h
    width: int  # w
    channels: int  # c
    kernel: Pair  # (kh, kw)
    stride: Pair  # (sh, sw)
    padding: Pair  # (ph, pw), rows and columns of zeros on each side

    @property
    def places(self) -> Pair:
        """(oh, ow), how many places the kernel has; less than one if it does not fit.

        oh = floor((h + 2 ph - kh) / sh) + 1
        """
        sizes = zip((self.height, self.width), self.kernel, self.stride, self.padding, strict=True)
        oh, ow = ((n + 2 * p - k) // s + 1 for n, k, s, p in sizes)
        return oh, ow

    @property
    def features(self) -> int:
        """h w c, the length of an image."""
        return self.height * self.width * self.channels

    @property
    def values(self) -> int:
        """kh kw c, the length of a window."""
        return self.kernel[0] * self.kernel[1] * self.channels
