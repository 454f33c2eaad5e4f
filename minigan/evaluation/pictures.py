"""Pictures of images: grids, and films of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigan.backend import ANY, checked_array
from minigan.checks import whole
from minigan.errors import DataError, DTypeError, ShapeError
from minigan.files import as_path, write_whole

TILE = 112  # about this many screen pixels a side for each image
SMALL_TILE = 56  # the same, in a grid with a row for each class: 10 are as wide as 5 large ones
GAP = 4  # screen pixels between tiles
GREY = 112  # of the gaps: images of digits are black at their edges
BAND = 32  # screen pixels above a film, for the title
HOLD = 2.0  # seconds that the last frame of a film stays
MAX_FRAMES = 120  # of a film; of a longer training, evenly chosen ones


def grid(pixels: Any, columns: int, tile: int = TILE) -> Any:
    """Lay images out in rows, magnified without smoothing, with grey gaps between them.

    Args:
        pixels: (N, h, w) uint8, N >= 1.
        columns: images per row; the last row may be short.
        tile: about how many screen pixels a side each image is to have.

    Returns:
        (H, W) uint8.

    Raises:
        ConfigError: columns < 1.
        ShapeError, DTypeError: not images, or none.
    """
    pixels, columns = checked_array("images", pixels, ANY), whole("grid: columns", columns, 1)
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise ShapeError(f"a grid takes images (N >= 1, h, w), not {pixels.shape}")
    if pixels.dtype != np.uint8:
        raise DTypeError(f"a grid takes uint8 images, not {pixels.dtype}; see to_pixels")
    n, h, w = pixels.shape
    rows, scale = -(-n // columns), max(1, round(tile / max(h, w)))
    tiles = pixels.repeat(scale, axis=1).repeat(scale, axis=2)  # (N, scale h, scale w)
    height, width = tiles.shape[1] + GAP, tiles.shape[2] + GAP
    canvas = np.full((rows * height + GAP, columns * width + GAP), GREY, np.uint8)
    for k, image in enumerate(tiles):
        top, left = GAP + k // columns * height, GAP + k % columns * width
        canvas[top : top + height - GAP, left : left + width - GAP] = image
    return canvas


def save_png(pixels: Any, path: Path | str) -> None:
    """Write a grey picture (H, W) uint8, whole or not at all; `FileError` if it cannot be."""
    from PIL import Image  # slow to import, as everywhere below

    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "png")
    write_whole(as_path(path), data.getvalue())


def load_png(path: Path | str) -> Any:
    """Read a grey picture that `save_png` wrote: (H, W) uint8.

    Raises:
        DataError: the file is not such a picture.
    """
    from PIL import Image

    path = as_path(path)
    try:
        with Image.open(path) as picture:
            return np.array(picture.convert("L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read the picture {path}: {error}") from error


def evenly(items: Sequence[Any], most: int = MAX_FRAMES) -> list[Any]:
    """At most `most` of the items, evenly chosen, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


def save_film(
    frames: Sequence[tuple[str, Any]], path: Path | str, fps: int = 8, hold: float = HOLD
) -> None:
    """Write an animated GIF that runs again and again, whole or not at all.

    Args:
        frames: (title, picture (H, W) uint8), of equal size; see `evenly` for long films.
        path: the file.
        fps: frames a second.
        hold: seconds for which the last frame stays.

    Raises:
        DataError: there are no frames.
        FileError: the file cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not frames:
        raise DataError("a film needs at least one frame")
    font = ImageFont.load_default(BAND // 2)
    shown = []
    for title, picture in frames:
        frame = Image.fromarray(np.pad(picture, ((BAND, 0), (0, 0))))  # black above the picture
        ImageDraw.Draw(frame).text((8, BAND // 2), title, 255, font, anchor="lm")
        shown.append(frame)
    durations = [1000 / fps] * (len(shown) - 1) + [1000 * hold]  # milliseconds
    data = io.BytesIO()
    shown[0].save(data, "gif", save_all=True, append_images=shown[1:], duration=durations, loop=0)
    write_whole(as_path(path), data.getvalue())
