"""Pictures of images: grids, and films of them."""

from __future__ import annotations

import contextlib
import io
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigan.backend import ANY, checked_array
from minigan.checks import whole
from minigan.errors import ConfigError, DataError, DTypeError, ShapeError
from minigan.files import as_path, write_whole

TILE = 112  # about this many screen pixels a side for each image
SMALL_TILE = 56  # the same, in a grid with a row for each class: 10 are as wide as 5 large ones
GAP = 4  # screen pixels between tiles
GREY = 112  # of the gaps: images of digits are black at their edges
BAND = 32  # screen pixels above a film, for the title
HOLD = 2.0  # seconds that the last frame of a film stays
MAX_FRAMES = 120  # of a film; of a longer training, evenly chosen ones
MOST_FPS = 50  # frames a second of a film: browsers slow a faster GIF down
SAMPLED = 6  # frames from which the colours of a GIF are chosen
SAME = 255  # in a GIF in colour, no colour: the pixel is as in the frame before


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
    frames: Sequence[tuple[str | None, Any]],
    path: Path | str,
    fps: int = 8,
    hold: float = HOLD,
) -> None:
    """Write a film, whole or not at all: an animated GIF that runs again and again, or an MP4.

    A picture is asked for when it is written (of a colour GIF, `SAMPLED` of them twice), so
    `frames` may be a sequence that draws on demand.

    Args:
        frames: (title, picture), of equal size; a picture is (H, W) grey or (H, W, 3) red, green
            and blue, uint8. The title stands in a black band above the picture; None leaves out
            the band. See `evenly` for long films.
        path: the file; .mp4 makes an MP4, which needs ffmpeg.
        fps: frames a second, 1 to 50: browsers slow a faster GIF down.
        hold: seconds for which the last frame stays.

    Raises:
        ConfigError: another `fps`; an MP4 without ffmpeg.
        DataError: there are no frames.
        FileError: the file cannot be written.
    """
    path, fps = as_path(path), whole("save_film: fps", fps, 1)
    if fps > MOST_FPS:
        raise ConfigError(f"a film has 1 to {MOST_FPS} frames a second, not {fps}")
    if not len(frames):
        raise DataError("a film needs at least one frame")
    write = _mp4 if path.suffix == ".mp4" else _gif
    write_whole(path, write(frames, fps, hold))


def _shot(frame: tuple[str | None, Any]) -> Any:
    """A frame as a Pillow image, with its title in a band above it."""
    from PIL import Image, ImageDraw, ImageFont

    title, picture = frame
    if title is None:
        return Image.fromarray(picture)
    above = ((BAND, 0), *((0, 0),) * (picture.ndim - 1))
    shot = Image.fromarray(np.pad(picture, above))  # black
    white = 255 if picture.ndim == 2 else (255, 255, 255)
    font = ImageFont.load_default(BAND // 2)
    ImageDraw.Draw(shot).text((8, BAND // 2), title, white, font, anchor="lm")
    return shot


def _gif(frames: Sequence[tuple[str | None, Any]], fps: int, hold: float) -> bytes:
    """An animated GIF; frames in colour share one palette, chosen from `SAMPLED` of them.

    With a palette for each frame, colours would flicker, and unchanged pixels would be stored.
    """
    from PIL import Image

    palette = None
    if frames[0][1].ndim == 3:
        some = [np.asarray(_shot(frame)) for frame in evenly(frames, SAMPLED)]
        palette = _palette(Image.fromarray(np.concatenate(some)))

    def shots() -> Iterator[Any]:
        for frame in frames:
            shot = _shot(frame)
            yield (
                shot
                if palette is None
                else shot.quantize(palette=palette, dither=Image.Dither.NONE)
            )

    # A GIF counts hundredths of a second. The ends of frames are rounded, so that errors cancel.
    ends = [round(100 * k / fps) for k in range(len(frames))]
    durations = [10 * (end - start) for start, end in itertools.pairwise(ends)] + [1000 * hold]
    data, (first, *rest) = io.BytesIO(), shots()
    kept = {} if palette is None else {"transparency": SAME, "optimize": True}
    first.save(data, "gif", save_all=True, append_images=rest, duration=durations, loop=0, **kept)
    return data.getvalue()


def _palette(image: Any) -> Any:
    """At most `SAME` colours for an image, as a Pillow image; the most frequent one is exact."""
    from PIL import Image

    palette = image.quantize(SAME, Image.Quantize.MEDIANCUT)
    _, background = max(image.getcolors(image.width * image.height))
    colours = np.tile(np.array(background, np.uint8), (256, 1))  # also those that are left over
    used = np.array(palette.getpalette()[: 3 * SAME], np.uint8).reshape(-1, 3)
    colours[: len(used)] = used
    near = np.abs(colours.astype(int) - background).max(axis=1) <= 8
    colours[near] = background  # Pillow finds the nearest colour of a few neighbouring ones
    palette.putpalette(colours.tobytes())
    return palette


def _mp4(frames: Sequence[tuple[str | None, Any]], fps: int, hold: float) -> bytes:
    """An MP4 that every player plays: H.264, 4:2:0, an even width and height."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise ConfigError("an .mp4 film needs ffmpeg, which is not here: install it, or write .gif")

    def raw() -> Iterator[bytes]:
        """RGB bytes of each frame; the last one is repeated."""
        for frame in frames:
            picture = np.asarray(_shot(frame).convert("RGB"))
            odd = [(0, n % 2) for n in picture.shape[:2]]
            last = np.pad(picture, (*odd, (0, 0)), mode="edge").tobytes()
            yield last
        yield from itertools.repeat(last, round(hold * fps) - 1)

    height, width = (n + n % 2 for n in _shot(frames[0]).size[::-1])
    with tempfile.TemporaryDirectory(prefix="minigan-") as folder:
        film, said = Path(folder, "film.mp4"), Path(folder, "errors.txt")
        given = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps))
        made = ("-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart")
        words = (program, "-v", "error", *given, "-i", "-", *made, str(film))
        with said.open("wb") as errors:
            pipe = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=errors, stderr=errors)
            try:
                assert pipe.stdin is not None
                with contextlib.suppress(BrokenPipeError), pipe.stdin:
                    for piece in raw():
                        pipe.stdin.write(piece)
                code = pipe.wait()
            except BaseException:
                pipe.kill()
                pipe.wait()
                raise
        if code:
            lines = said.read_text(errors="replace").split("\n")
            why = next((line for line in reversed(lines) if line.strip()), f"exit code {code}")
            raise ConfigError(f"ffmpeg cannot make this film: {why}")
        return film.read_bytes()
