"""The replay page in a real browser: its clock and its controls."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path

import pytest
import synthetic_recordings as synthetic
from replay_reader import Reader

from minigan.replay.page import write_page
from minigan.training.health import diagnose, shorten
from minigan.training.history import read_history

STABLE, ARTICLE = [0, 1, 2, 3, 5, 8, 13, 20, 28, 37, 47, 58], [1, 2, 4, 8, 16, 32]
CALM = {"reduced_motion": "reduce"}  # it does not begin to play by itself


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Of the runs `stable` and `article`, and of one.html and two.html, which replay them."""
    folder = tmp_path_factory.mktemp("replays")
    synthetic.train(folder / "stable")
    shutil.copytree(folder / "stable", folder / "article")
    synthetic.number(folder / "stable", STABLE)
    synthetic.number(folder / "article", ARTICLE)
    write_page(folder / "one.html", [folder / "stable"])
    write_page(folder / "two.html", [folder / "stable", folder / "article"])
    return folder


@pytest.fixture
def one(visits, folder) -> Reader:
    """A reader of the replay of `stable`, paused at step 0."""
    return Reader(visits.open(folder / "one.html", **CALM))


@pytest.fixture
def two(visits, folder) -> Reader:
    """A reader of the replay of both runs, paused at step 0."""
    return Reader(visits.open(folder / "two.html", **CALM))


def require_frame(reader: Reader, folder: Path, k: int, run: int = 0) -> None:
    """The values that are shown of a run are those of frame k of its recording."""
    recorded = synthetic.recording(folder).values
    shown = reader.values(run)
    for name, values in recorded.items():
        assert math.isclose(shown[name], values[k], rel_tol=1e-6), (name, k)


def test_keys_move_the_clock_by_frames(one, folder):
    k = 0
    one.is_at(0)
    for key, move in {
        "ArrowRight": 1,
        "Shift+ArrowRight": 10,
        "ArrowLeft": -1,
        "Home": -100,
        "End": 100,
        "Shift+ArrowLeft": -10,
    }.items():
        one.press(key)
        k = min(max(k + move, 0), len(STABLE) - 1)
        one.is_at(STABLE[k])
        require_frame(one, folder / "stable", k)
    one.press("Home", "ArrowLeft")
    one.is_at(0)


def test_buttons_move_the_clock_by_frames(one, folder):
    one.click("forward")
    one.click("forward")
    one.is_at(STABLE[2])
    require_frame(one, folder / "stable", 2)
    one.click("back")
    one.is_at(STABLE[1])


def test_the_slider_is_dragged(one, folder):
    slider = one.page.locator("#scrub")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    y = box["y"] + box["height"] / 2
    one.page.mouse.move(box["x"] + 8, y)
    one.page.mouse.down()
    seen = []
    for share in (0.3, 0.6, 0.95):
        one.page.mouse.move(box["x"] + share * box["width"], y, steps=3)
        one.settle()
        k = int(slider.input_value())
        one.is_at(STABLE[k])
        require_frame(one, folder / "stable", k)
        seen.append(k / (len(STABLE) - 1))
    one.page.mouse.up()
    assert seen == pytest.approx([0.3, 0.6, 0.95], abs=0.1)


def test_the_slider_has_the_arrow_keys_and_the_ends(one):
    one.page.focus("#scrub")
    one.press("ArrowRight", "ArrowRight", "ArrowLeft")
    one.is_at(STABLE[1])
    one.press("End")
    one.is_at(STABLE[-1])


def test_the_time_line_is_dragged(one, folder):
    line = one.page.locator("#timeline, [data-run='0'] canvas[data-view='timeline']").first
    line.scroll_into_view_if_needed()
    box = line.bounding_box()
    y = box["y"] + box["height"] / 2
    one.page.mouse.move(box["x"] + box["width"] * 0.5, y)
    one.page.mouse.down()
    seen = []
    for share in (0.5, 0.7, 0.999):
        one.page.mouse.move(box["x"] + share * box["width"], y, steps=3)
        one.settle()
        step, _ = one.moment()
        require_frame(one, folder / "stable", STABLE.index(step))
        seen.append(step)
    assert seen[0] in STABLE[4:8]
    assert seen[0] < seen[1] < seen[2] == STABLE[-1]
    one.page.mouse.move(box["x"] + 1, y)
    one.is_at(0)
    one.page.mouse.up()
    one.page.mouse.move(box["x"] + 0.5 * box["width"], y)  # no button is down
    one.settle()
    one.is_at(0)


def test_it_plays_at_the_chosen_speed_and_pauses(one, folder):
    """By a clock of the test's: 2 frames a second, then 1, then 10, and 60."""
    one.take_clock()
    one.page.select_option("#speed", "2")
    one.click("play")
    one.page.clock.run_for(2100)
    assert one.is_playing()
    one.is_at(STABLE[4])
    one.press("[")
    one.page.clock.run_for(1000)
    assert one.page.input_value("#speed") == "1"
    one.is_at(STABLE[5])
    one.press("Space")
    one.page.clock.run_for(3000)
    assert not one.is_playing()
    one.is_at(STABLE[5])
    one.press("]", "]", "]", "Space")
    one.page.clock.run_for(550)
    assert one.page.input_value("#speed") == "10"
    one.is_at(STABLE[10])
    one.page.clock.run_for(1000)
    one.is_at(STABLE[-1])
    assert not one.is_playing()  # it stops at the end, and begins again from there
    one.press("Space")
    one.page.clock.run_for(250)
    one.is_at(STABLE[2])
    one.press("Home", "]", "]", "]", "Space")
    one.page.clock.run_for(1000)
    require_frame(one, folder / "stable", -1)  # numbers change more slowly than frames, but all do


def test_it_plays_in_real_time(one):
    one.press("]", "]", "Space")  # 10 frames a second at least
    one.is_at(STABLE[-1])


def test_half_steps(one, folder):
    """D's half of a step comes before G's; step 0 has one place."""
    one.press("ArrowRight", "h")
    one.is_at(STABLE[1], "g")
    one.press("ArrowRight")
    one.is_at(STABLE[2], "d")
    require_frame(one, folder / "stable", 2)
    one.press("ArrowRight")
    one.is_at(STABLE[2], "g")
    one.press("Home")
    one.is_at(STABLE[0], "g")
    one.press("ArrowRight")
    one.is_at(STABLE[1], "d")
    one.toggle("half")
    one.is_at(STABLE[1], "g")
    one.press("ArrowRight")
    one.is_at(STABLE[2], "g")


def test_two_runs_share_a_clock(two, folder):
    """Each shows its latest frame up to the clock's step; both runs' frames are its places."""
    for step in sorted({*STABLE, *ARTICLE}):
        two.is_at(step)
        for run, (name, steps) in enumerate([("stable", STABLE), ("article", ARTICLE)]):
            shown = [k for k, own in enumerate(steps) if own <= step]
            if shown:
                require_frame(two, folder / name, shown[-1], run)
            else:
                assert all(math.isnan(value) for value in two.values(run).values())
        two.press("ArrowRight")
    two.is_at(STABLE[-1])


def test_it_never_plays_by_itself_and_is_slower_for_those_who_want_less_motion(visits, one, folder):
    usual = Reader(visits.open(folder / "one.html", reduced_motion="no-preference"))
    usual.page.wait_for_timeout(300)
    for reader in (one, usual):
        reader.is_at(0)
        assert not reader.is_playing()
    calm, speed = (float(reader.page.input_value("#speed")) for reader in (one, usual))
    assert calm <= 2 < speed


def test_a_screen_reader_hears_steps_but_not_every_frame_of_playing(one):
    live = one.page.locator("#live")
    assert live.get_attribute("aria-live") == "polite"
    one.press("ArrowRight", "ArrowRight")
    one.settle()
    assert str(STABLE[2]) in live.inner_text()
    picture = one.canvas("density")
    assert picture.get_attribute("role") == "img"
    before = picture.get_attribute("aria-label")
    one.press("ArrowRight")
    one.settle()
    assert picture.get_attribute("aria-label") != before
    one.take_clock()
    one.page.select_option("#speed", "10")
    one.press("Space")
    heard, step = set(), one.moment()
    for _ in range(4):
        one.page.clock.run_for(110)
        heard.add(live.inner_text())
    assert one.is_playing()
    assert one.moment() > step
    assert len(heard) == 1


def test_the_health_check_is_that_of_the_last_row_before_the_step(one, folder):
    """Of a history with a row after each step up to 20; runs of tiny networks collapse."""
    rows = read_history(folder / "stable" / "history.csv")
    report = one.page.locator("[data-run='0'] .health")
    seen = set()
    for step in STABLE:
        one.is_at(step)
        until = [row for row in rows if row["step"] <= step]
        for failure in (failures := diagnose(shorten(until))):
            assert failure.name in report.inner_text()
            assert failure.measure in report.inner_text()
            assert failure.advice in report.inner_text()
        assert report.locator(".failure").count() == len(failures)
        seen.add(len(failures))
        if until:
            assert one.values()["auc"] == pytest.approx(until[-1]["auc"], rel=1e-6)
            assert f"step {until[-1]['step']:.0f}" in one.page.inner_text("#values")
        assert not [text for text in one.texts() if re.search(r"NaN|undefined|null|\[object", text)]
        one.press("ArrowRight")
    assert len(seen) > 1
