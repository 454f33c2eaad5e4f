"""The replay page in a real browser: what its views draw, and the values at the pointer."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import synthetic_recordings as synthetic
from replay_reader import Reader, numbers

from minigan.replay.page import write_page

STEPS = [0, 1, 2, 3, 5, 8, 13, 20, 28, 37, 47, 58]
#: The runs of the page and their views.
RUNS = {
    "number": ("density", "discriminator", "map"),
    "plane": ("field", "warp"),
    "image": ("grid",),
    "labelled": ("grid",),
}
VIEWS = [(view, run) for run, views in enumerate(RUNS.values()) for view in views]
HALF_A_DIGIT = 0.005  # relative: what a number with three digits is rounded by, at most

#: The canvases with more or fewer pixels than they take on the screen.
STRETCHED = """() => [...document.querySelectorAll("canvas")].filter((canvas) => {
    const { width, height } = canvas.getBoundingClientRect();
    return width !== canvas.width || height !== canvas.height;
}).map((canvas) => canvas.dataset.view ?? canvas.id)"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Of runs of each form, and of page.html, which replays them all."""
    folder = tmp_path_factory.mktemp("replays")
    synthetic.train(folder / "number")
    for run in list(RUNS)[1:]:
        shutil.copytree(folder / "number", folder / run)
    synthetic.number(folder / "number", STEPS)
    synthetic.plane(folder / "plane", STEPS)
    synthetic.image(folder / "image", STEPS)
    synthetic.image(folder / "labelled", STEPS, labels=True)
    write_page(folder / "page.html", [folder / run for run in RUNS])
    return folder


@pytest.fixture
def reader(visits, folder) -> Reader:
    """A reader of the replay, paused at step 0."""
    high = (1280, 1400)  # with room for four runs in the time line
    return Reader(visits.open(folder / "page.html", high, color_scheme="light"))


def pictures(reader: Reader) -> list[int]:
    """A number for each view, which stands for all its pixels."""
    return [reader.pixels(view, run)["hash"] for view, run in VIEWS]


def test_each_picture_is_of_its_frame_alone(reader):
    """It differs from frame to frame, and is the same again when the reader comes back."""
    assert all(reader.pixels(view, run)["colours"] > 10 for view, run in VIEWS)
    seen = [pictures(reader)]
    for key in ("ArrowRight", "Shift+ArrowRight", "Home"):
        reader.press(key)
        seen.append(pictures(reader))
    assert seen[-1] == seen[0]
    for view, *hashes in zip(VIEWS, *seen[:-1], strict=True):
        assert len({*hashes}) == 3, view


def test_half_steps_show_the_samples_before_and_after(reader):
    """Runs of images have no halves: their picture stays the same."""
    reader.press("h", "ArrowRight", "ArrowRight", "ArrowRight")
    reader.is_at(STEPS[2], "d")
    before = pictures(reader)
    reader.press("ArrowRight")
    reader.is_at(STEPS[2], "g")
    changed = {v for v, a, b in zip(VIEWS, before, pictures(reader), strict=True) if a != b}
    assert {("density", 0), ("discriminator", 0), ("map", 0), ("field", 1)} <= changed
    assert ("grid", 2) not in changed


def test_the_best_d_is_shown_on_request(reader):
    shown, first = reader.page.is_checked("#optimal"), pictures(reader)
    assert not shown  # in the plane it would take the place of D's field
    reader.press("o")
    assert reader.page.is_checked("#optimal") is not shown
    changed = {v for v, a, b in zip(VIEWS, first, pictures(reader), strict=True) if a != b}
    assert changed == {("discriminator", 0), ("field", 1)}
    reader.toggle("optimal")
    assert reader.page.is_checked("#optimal") is shown
    assert pictures(reader) == first


def test_without_a_best_d_there_is_no_switch_for_it(visits, folder, tmp_path):
    shutil.copytree(folder / "number", tmp_path / "run")
    synthetic.number(tmp_path / "run", STEPS, optimal=False)
    write_page(tmp_path / "page.html", [tmp_path / "run"])
    reader = Reader(visits.open(tmp_path / "page.html"))
    assert not reader.page.is_visible("#optimal")
    before = reader.pixels("discriminator")
    reader.press("o")
    assert reader.pixels("discriminator") == before


def test_the_tip_of_a_number_has_its_x_its_d_and_its_push(reader, folder):
    """At frame 10 and both its halves, across the strip of samples at the picture's foot."""
    k, recorded = 10, synthetic.recording(folder / "number")
    push, learned = recorded.array("push")[k], recorded.array("learned")[k]
    reader.press("h", "End", "ArrowLeft")
    for half, name in (("g", "after"), ("d", "before")):
        reader.press("ArrowLeft")
        reader.is_at(STEPS[k], half)
        samples, shares, found = recorded.array(name)[k], [], []
        for share, lines in reader.tips("density", 0.75):
            if len(lines) != 3:
                continue  # no sample is near
            x, d, pushed = (numbers(line)[-1] for line in lines)
            i = np.abs(samples - x).argmin()
            assert x == pytest.approx(samples[i], rel=HALF_A_DIGIT)
            assert d == pytest.approx(at(x, learned), rel=HALF_A_DIGIT, abs=2e-3)
            assert pushed == pytest.approx(push[i], rel=3 * HALF_A_DIGIT, abs=5e-4)
            shares.append(share)
            found.append(x)
        assert len(found) >= 10
        assert max(found) - min(found) > 3.5  # samples fill [0.5, 4.5], or are 0.3 further on
        slope, start = np.polyfit(shares, found, 1)
        assert 9 < slope < 13  # the span is 10 wide, and the picture a little wider
        assert np.abs(start + slope * np.array(shares) - found).max() < 0.4  # drawn where they are


def test_the_tip_of_a_curve_has_its_values(reader, folder):
    """Where no sample is near: D and the best D, and both densities."""
    k, recorded = 1, synthetic.recording(folder / "number")
    density = np.array(recorded.header["scene"]["density"])
    curves = {
        "discriminator": [recorded.array("learned")[k], recorded.array("optimal")[k]],
        "density": [density, recorded.array("density")[k]],
    }
    reader.press("ArrowRight", "o")
    for view, wanted in curves.items():
        checked = 0
        for _, lines in reader.tips(view, 0.3, 24):
            x, *values = (numbers(line)[-1] for line in lines)
            if x < 4.6 or len(values) != 2:
                continue  # a sample may be near, and its tip has other values
            for value, curve in zip(values, wanted, strict=True):
                assert value == pytest.approx(at(x, curve), rel=0.02, abs=3e-3)
            checked += 1
        assert checked >= 5


def at(x: float, curve: np.ndarray) -> float:
    """A curve of the synthetic runs on numbers at x, linear between its places."""
    return float(np.interp(x, np.linspace(-1, 9, 121), curve))


def test_the_tip_of_a_point_has_its_place_its_d_and_its_push(reader, folder):
    k, recorded = len(STEPS) - 1, synthetic.recording(folder / "plane")
    samples, push, field = (recorded.array(name)[k] for name in ("after", "push", "field"))
    rows = np.linspace(-3, 3, 41)
    reader.press("End")
    checked = 0
    for y in (0.35, 0.5):
        for _, lines in reader.tips("field", y, 60, run=1):
            if not any("push" in line for line in lines):
                continue  # no sample is near
            point, d, pushed = numbers(lines[0])[-2:], numbers(lines[1])[-1], numbers(lines[2])[-2:]
            i = np.abs(samples - point).sum(axis=1).argmin()
            assert point == pytest.approx(samples[i], rel=HALF_A_DIGIT, abs=1e-3)
            expected = np.interp(point[1], rows, [np.interp(point[0], rows, row) for row in field])
            assert d == pytest.approx(expected, rel=HALF_A_DIGIT, abs=2e-3)
            assert pushed == pytest.approx(push[i], rel=HALF_A_DIGIT, abs=5e-4)
            checked += 1
    assert checked >= 4


@pytest.mark.parametrize(("run", "columns"), [("image", 5), ("labelled", 4)])
def test_the_tip_of_an_image_has_its_score_and_its_gradient(reader, folder, run, columns):
    k, recorded, index = 1, synthetic.recording(folder / run), list(RUNS).index(run)
    score, push = recorded.array("score")[k], recorded.array("push")[k]
    classes = [*range(10)] if run == "labelled" else []
    reader.press("ArrowRight")
    seen = []
    for y in (0.3, 0.5, 0.7):
        for _, (image, *names, says, norm) in reader.tips("grid", y, 24, run=index):
            i = int(numbers(image)[-1]) - 1
            assert [numbers(name)[-1] for name in names] == classes[i // 4 : i // 4 + 1]
            assert numbers(says)[-1] == pytest.approx(score[i], rel=HALF_A_DIGIT, abs=1e-3)
            assert numbers(norm)[-1] == pytest.approx(push[i], rel=HALF_A_DIGIT, abs=1e-4)
            seen.append(i)
    assert len({*seen}) >= 12  # of three rows, most images
    assert {i % columns for i in seen} == {*range(columns)}


def test_values_are_read_with_the_keyboard(reader):
    """A picture has the focus: arrow keys move a cross, and what is there is said."""
    reader.canvas("density").focus()
    reader.press(*["ArrowRight"] * 3, "ArrowUp")
    reader.settle()
    reader.is_at(0)  # these keys did not move the clock
    assert reader.page.is_visible("#tip")
    first = reader.page.inner_text("#live")
    assert numbers(first)
    reader.press(*["ArrowLeft"] * 8)
    reader.settle()
    assert reader.page.inner_text("#live") != first
    reader.press("Escape")
    reader.settle()
    assert not reader.page.is_visible("#tip")
    reader.press("ArrowRight")
    reader.is_at(1)


def test_pictures_follow_the_theme(reader):
    light = [reader.pixels(view, run)["corner"] for view, run in VIEWS]
    reader.page.emulate_media(color_scheme="dark")
    dark = [reader.pixels(view, run)["corner"] for view, run in VIEWS]
    assert min(map(brightness, light)) > 200
    assert max(map(brightness, dark)) < 60


def test_what_frames_share_follows_language_theme_and_size(reader):
    """Legends and axes are drawn once. A canvas has one pixel for each pixel of the screen."""
    page = reader.page

    def some() -> list[int]:
        views = [("density", 0), ("warp", 1), ("grid", 3)]
        return [reader.pixels(view, run)["hash"] for view, run in views]

    def require_two_ways(there, back) -> None:
        there()
        assert all(a != b for a, b in zip(first, some(), strict=True))
        back()
        assert some() == first

    def resize(width: int) -> None:
        page.set_viewport_size({"width": width, "height": 1400})
        reader.settle()
        assert page.evaluate(STRETCHED) == []

    first = some()
    require_two_ways(lambda: reader.press("l"), lambda: reader.press("l"))
    require_two_ways(
        lambda: page.emulate_media(color_scheme="dark"),
        lambda: page.emulate_media(color_scheme="light"),
    )
    require_two_ways(lambda: resize(1111), lambda: resize(1280))


def brightness(pixel: int) -> float:
    """The mean of red, green and blue, of a pixel as an integer of 32 bits."""
    return sum((pixel >> shift) & 255 for shift in (0, 8, 16)) / 3
