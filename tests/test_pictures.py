"""Grids and films, pixel by pixel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import minigan as mg
from minigan.evaluation.pictures import (
    GAP,
    GREY,
    MAX_FRAMES,
    evenly,
    grid,
    load_png,
    save_film,
    save_png,
)


def test_a_grid_is_laid_out_in_rows():
    images = np.arange(1, 6, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(3, 2)  # 2 x 3
    picture = grid(images, columns=2, tile=6)  # each pixel becomes 2 x 2
    assert picture.shape == (3 * (4 + GAP) + GAP, 2 * (6 + GAP) + GAP)
    for k in range(5):
        top, left = GAP + k // 2 * (4 + GAP), GAP + k % 2 * (6 + GAP)
        assert (picture[top : top + 4, left : left + 6] == k + 1).all()
    assert (picture != GREY).sum() == 5 * 24  # grey between them, and where the sixth would be


def test_a_grid_of_images_larger_than_a_tile_keeps_every_pixel():
    picture = grid(np.zeros((1, 30, 20), np.uint8), columns=1, tile=10)
    assert picture.shape == (30 + 2 * GAP, 20 + 2 * GAP)


def test_a_grid_of_a_list_says_what_is_wrong_with_it():
    with pytest.raises(mg.DTypeError, match="uint8 images, not int"):
        grid([[[0, 1]]], columns=1)


def test_a_grid_of_no_columns_or_of_floats():
    with pytest.raises(mg.ConfigError, match="columns must be an integer >= 1"):
        grid(np.zeros((4, 8, 8), np.uint8), columns=0)
    with pytest.raises(mg.DTypeError, match="uint8"):  # 0.5 would silently become 0
        grid(np.zeros((4, 8, 8), np.float32), columns=2)


def test_a_grid_magnifies_without_smoothing():
    image = np.array([[[0, 255], [7, 9]]], np.uint8)
    inner = grid(image, columns=1, tile=4)[GAP:-GAP, GAP:-GAP]
    np.testing.assert_array_equal(inner, image[0].repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("shape", [(0, 2, 2), (3, 2), (2, 0, 2)])
def test_what_is_no_grid(shape):
    with pytest.raises(mg.ShapeError):
        grid(np.zeros(shape, np.uint8), columns=2)


def test_a_png_keeps_every_byte(tmp_path):
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16)
    save_png(picture, tmp_path / "a.png")
    np.testing.assert_array_equal(load_png(tmp_path / "a.png"), picture)
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(mg.DataError, match="cannot read the picture"):
        load_png(tmp_path / "b.png")


def test_a_film_shows_its_frames_in_order_and_holds_the_last(tmp_path):
    shades = [10, 90, 170, 250]
    save_film(
        [(str(s), np.full((80, 100), s, np.uint8)) for s in shades], tmp_path / "a.gif", fps=4
    )
    seen = []
    with Image.open(tmp_path / "a.gif") as film:
        assert film.info["loop"] == 0  # again and again
        for k in range(film.n_frames):
            film.seek(k)
            pixel = film.convert("L").getpixel((50, 90))
            seen.append((pixel, film.info["duration"]))
    assert [round(pixel, -1) for pixel, _ in seen] == pytest.approx(shades, abs=10)
    assert [duration for _, duration in seen] == [250, 250, 250, 2000]


def test_a_long_film_is_thinned_evenly():
    assert evenly(range(5), 10) == [0, 1, 2, 3, 4]
    chosen = evenly(range(1000))
    assert len(chosen) == MAX_FRAMES
    assert (chosen[0], chosen[-1]) == (0, 999)
    assert set(np.diff(chosen)) <= {8, 9}


def test_a_film_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(mg.DataError, match="at least one frame"):
        save_film([], tmp_path / "a.gif")
    with pytest.raises(mg.FileError, match="cannot write"):
        save_film([("x", np.zeros((4, 4), np.uint8))], tmp_path / "no" / "a.gif")
    assert list(tmp_path.iterdir()) == []


def test_a_film_has_a_band_for_its_titles(tmp_path):
    """32 pixels above the picture, black but for the words."""
    frames = [("a title", np.full((80, 100), 90, np.uint8)), ("", np.full((80, 100), 90, np.uint8))]
    save_film(frames, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as film:
        assert film.size == (100, 112)
        assert film.info["duration"] == pytest.approx(1000 / 8, abs=10)  # eight a second
        pictures = []
        for k in range(film.n_frames):
            film.seek(k)
            pictures.append(np.asarray(film.convert("L")).astype(int))
    for picture, titled in zip(pictures, (True, False), strict=True):
        assert np.abs(picture[32:] - 90).max() <= 10
        assert (picture[:32].max() > 150) == titled
        assert picture[:2].max() < 50
        assert picture[30:32].max() < 50


@pytest.mark.parametrize(("most", "chosen"), [(1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (10, None)])
def test_some_of_ten(most, chosen):
    assert evenly(range(10), most) == (chosen or [*range(10)])


def test_the_scale_of_a_grid_is_the_nearest_whole_number():
    for h, w, tile, scale in ((8, 8, 112, 14), (28, 28, 112, 4), (28, 20, 112, 4), (20, 28, 112, 4),
                              (8, 8, 20, 2), (8, 8, 21, 3), (200, 200, 112, 1)):  # fmt: skip
        picture = grid(np.ones((1, h, w), np.uint8), columns=1, tile=tile)
        assert picture.shape == (h * scale + 2 * GAP, w * scale + 2 * GAP)


def test_a_colour_picture_is_read_as_grey(tmp_path):
    """Three equal channels, as earlier versions wrote, with or without a fourth."""
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16)
    save_png(picture, tmp_path / "grey.png")
    with Image.open(tmp_path / "grey.png") as image:
        assert (image.mode, image.size) == ("L", (16, 16))
        image.convert("RGB").save(tmp_path / "a.png")
        image.convert("RGBA").save(tmp_path / "b.png")
    for name in ("grey.png", "a.png", "b.png"):
        read = load_png(tmp_path / name)
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, picture)


BLUE, ORANGE = (0, 114, 178), (230, 159, 0)


def coloured(count: int = 4, height: int = 61, width: int = 85) -> list[tuple[None, np.ndarray]]:
    """White frames with a blue line at the left, and an orange square that moves."""
    frames = []
    for k in range(count):
        picture = np.full((height, width, 3), 255, np.uint8)
        picture[:, :3] = BLUE
        picture[50:, 3:] = np.linspace(249, 254, 82 * 11).reshape(11, 82, 1)  # almost white
        picture[20:40, 10 + 15 * k : 30 + 15 * k] = ORANGE
        frames.append((None, picture))
    return frames


def test_a_film_in_colour_has_one_palette(tmp_path):
    save_film(coloured(), tmp_path / "a.gif", fps=15)
    with Image.open(tmp_path / "a.gif") as film:
        assert (film.size, film.n_frames) == ((85, 61), 4)  # no band, since there is no title
        durations = []
        for k, (_, picture) in enumerate(coloured()):
            film.seek(k)
            durations.append(film.info["duration"])
            shown = np.asarray(film.convert("RGB")).astype(int)
            assert np.abs(shown - picture).max() <= 8
            assert (shown[(picture == 255).all(axis=-1)] == 255).all()  # not almost white
    assert durations == [70, 60, 70, 2000]  # a GIF has hundredths of a second: 3 frames in 0.20 s


def test_a_film_in_colour_stores_only_what_moves(tmp_path):
    random = np.random.default_rng(0)
    still = random.integers(0, 256, (100, 100, 3)).astype(np.uint8)
    frames = [(None, still.copy()) for _ in range(10)]
    for k, (_, picture) in enumerate(frames):
        picture[0, k] = picture[99, 99 - k] = 255 - picture[0, k]  # far from each other
    sizes = []
    for some in (frames[:1], frames):
        save_film(some, tmp_path / "a.gif")
        sizes.append((tmp_path / "a.gif").stat().st_size)
    assert sizes[1] < 2.0 * sizes[0]  # each frame has a copy of the palette


def test_a_film_in_colour_has_titles_too(tmp_path):
    save_film([("a title", coloured()[0][1])], tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as film:
        assert film.size == (85, 93)
        band = np.asarray(film.convert("RGB"))[:32]
    assert band.min() == 0
    assert band.max() > 200


def test_a_film_that_is_too_fast(tmp_path):
    with pytest.raises(mg.ConfigError, match="1 to 50 frames a second, not 51"):
        save_film(coloured(), tmp_path / "a.gif", fps=51)


@pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="there is no ffmpeg here"
)
def test_an_mp4_plays_everywhere(tmp_path):
    save_film(coloured(), tmp_path / "a.mp4", fps=5)
    words = ("ffprobe", "-v", "error", "-show_streams", "-of", "json", tmp_path / "a.mp4")
    probed = subprocess.run(words, capture_output=True, check=True).stdout
    (stream,) = json.loads(probed)["streams"]
    assert (stream["codec_name"], stream["pix_fmt"]) == ("h264", "yuv420p")
    assert (stream["width"], stream["height"]) == (86, 62)  # even
    assert int(stream["nb_frames"]) == 3 + 10  # the last one for two seconds
    assert float(stream["duration"]) == pytest.approx(2.6)
    words = (
        "ffmpeg",
        "-v",
        "error",
        "-i",
        tmp_path / "a.mp4",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    )
    raw = subprocess.run(words, capture_output=True, check=True).stdout
    shown = np.frombuffer(raw, np.uint8).reshape(13, 62, 86, 3).astype(int)
    for k in (0, 2, 3, 12):
        expected = coloured()[min(k, 3)][1]
        assert np.abs(shown[k, 25:35, 12:80] - expected[25:35, 12:80]).mean() < 8
    assert [*tmp_path.iterdir()] == [tmp_path / "a.mp4"]


def test_an_mp4_without_ffmpeg(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(mg.ConfigError, match="needs ffmpeg, which is not here"):
        save_film(coloured(), tmp_path / "a.mp4")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.skipif(os.name == "nt", reason="the script has a line for Unix")
@pytest.mark.parametrize("reads", [False, True])
def test_an_ffmpeg_that_fails(reads, tmp_path, monkeypatch):
    """Whether it reads its input or not, which then is a closed pipe."""
    script = tmp_path / "bin" / "ffmpeg"
    script.parent.mkdir()
    read = "sys.stdin.buffer.read()" if reads else "pass"
    said = "print('first\\nno encoder', file=sys.stderr)"
    script.write_text(f"#!{sys.executable}\nimport sys\n{read}\n{said}\nsys.exit(3)\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent))
    frames = [(None, np.zeros((500, 500, 3), np.uint8))]  # more than a pipe holds
    with pytest.raises(mg.ConfigError, match=r"ffmpeg cannot make this film: no encoder$"):
        save_film(frames, tmp_path / "a.mp4")
    assert [*tmp_path.iterdir()] == [script.parent]
