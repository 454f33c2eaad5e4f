"""Pictures of images: tiles, grids, a film of the training."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigan.checks import whole
from minigan.errors import DataError, DTypeError, ShapeError
from minigan.evaluation.plots import new_figure
from minigan.files import whole_file, write_whole

TILE = 112  # about this many screen pixels a side for each image
GAP = 4  # screen pixels between tiles
MAX_FRAMES = 120  # of a film; of a longer training, evenly chosen ones


def grid(pixels: Any, columns: int, tile: int = TILE) -> Any:
    """Lay images out in rows, magnified without smoothing, black between them.

    Args:
        pixels: (N, h, w) uint8, N >= 1.
        columns: images a row; the last row may be short.
        tile: about how many screen pixels a side each image is to have.

    Returns:
        (H, W) uint8.

    Raises:
        ConfigError: columns < 1.
        ShapeError, DTypeError: not images, or none.
    """
    pixels, columns = np.asarray(pixels), whole("grid: columns", columns, 1)
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise ShapeError(f"a grid takes images (N >= 1, h, w), not {pixels.shape}")
    if pixels.dtype != np.uint8:
        raise DTypeError(f"a grid takes uint8 images, not {pixels.dtype}; see to_pixels")
    n, h, w = pixels.shape
    rows, scale = -(-n // columns), max(1, round(tile / max(h, w)))
    height, width = h * scale + GAP, w * scale + GAP
    canvas = np.zeros((rows * height + GAP, columns * width + GAP), np.uint8)
    for k, image in enumerate(pixels):
        top, left = GAP + k // columns * height, GAP + k % columns * width
        canvas[top : top + h * scale, left : left + w * scale] = image.repeat(scale, 0).repeat(
            scale, 1
        )
    return canvas


def save_png(pixels: Any, path: Path | str) -> None:
    """Write a grey picture (H, W) uint8, whole or not at all; `FileError` if it cannot be."""
    from matplotlib.image import imsave

    data = io.BytesIO()
    imsave(data, np.stack([pixels] * 3, axis=-1), format="png")  # RGB bytes are kept exactly
    write_whole(path, data.getvalue())


def evenly(items: Sequence[Any], most: int = MAX_FRAMES) -> list[Any]:
    """At most `most` of the items, evenly chosen, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


def save_film(frames: Sequence[tuple[str, Any]], path: Path | str, fps: int = 8) -> None:
    """Write an animated GIF whose last frame stays a second longer.

    Args:
        frames: (title, picture (H, W) grey), of equal size; see `evenly` for long films.
        path: the file.
        fps: frames a second.

    Raises:
        DataError: there are no frames.
        FileError: the file cannot be written.
    """
    from matplotlib.animation import PillowWriter

    if not frames:
        raise DataError("a film needs at least one frame")
    height, width = np.shape(frames[0][1])[:2]
    dpi, band = 100, 32  # band: screen pixels for the title
    figure = new_figure((width / dpi, (height + band) / dpi))
    figure.set_layout_engine("none")
    figure.set_facecolor("black")
    axes = figure.add_axes((0.0, 0.0, 1.0, height / (height + band)))
    axes.set_axis_off()
    shown = axes.imshow(frames[0][1], cmap="gray", vmin=0, vmax=255, interpolation="none")
    title = figure.text(0.02, 1.0 - band / 2 / (height + band), "", color="white", va="center")
    writer = PillowWriter(fps=fps)
    with whole_file(path) as temporary, writer.saving(figure, str(temporary), dpi):
        for words, picture in [*frames, *[frames[-1]] * fps]:
            shown.set_data(picture)
            title.set_text(words)
            writer.grab_frame()


def load_png(path: Path | str) -> Any:
    """Read a grey picture that `save_png` wrote: (H, W) uint8.

    Raises:
        DataError: the file is not such a picture.
    """
    from matplotlib.image import imread

    try:
        picture = np.asarray(imread(path))
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"cannot read the picture {path}: {error}") from error
    if picture.ndim == 3:
        picture = picture[..., 0]
    return np.rint(picture * 255).astype(np.uint8) if picture.dtype.kind == "f" else picture
