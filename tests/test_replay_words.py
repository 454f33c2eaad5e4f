"""The replay page in a real browser: two languages, small windows, other readers, bad data."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import browser
import pytest
import synthetic_recordings as synthetic
from replay_reader import Reader

from minigan.replay.page import PAGE, SCRIPTS, write_page

STEPS = [0, 1, 2, 3, 5, 8, 13, 20, 28, 37, 47, 58]
HOSTILE = "</script><img src=x onerror=alert(1)>&lt;b&gt;"
HOSTILE_NAME = HOSTILE.replace("/", "_")  # of a folder
#: Words of Latin letters that a Chinese reader knows, or that are names.
ALSO_CHINESE = {
    *("minigan", "replay", "English", "AUC", "KS", "Wasserstein", "logit", "dropout"),
    *("Shift", "Home", "End", "Tab", "Esc", "GAN", "stable", "NonSaturating", "Gaussian"),
}

#: Names of losses and of numbers in frames, by which the page asks for their words.
RECORDED = {
    *("d_real", "d_fake", "g", "penalty", "slope", "estimate"),
    *("information", "code_information", "consistency"),
    *("mean", "std", "ks", "modes", "high_quality", "sliced"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Of three runs and page.html, which replays them; and of a hostile run and hostile.html."""
    folder = tmp_path_factory.mktemp("replays")
    synthetic.train(folder / "number")
    for name in ("plane", "image"):
        shutil.copytree(folder / "number", folder / name)
    synthetic.number(folder / "number", STEPS)
    synthetic.plane(folder / "plane", STEPS)
    synthetic.image(folder / "image", STEPS, labels=True)
    write_page(folder / "page.html", [folder / name for name in ("number", "plane", "image")])
    synthetic.train(folder / HOSTILE_NAME, HOSTILE)
    synthetic.number(folder / HOSTILE_NAME, STEPS)
    write_page(folder / "hostile.html", [folder / HOSTILE_NAME])
    return folder


@pytest.fixture(scope="module")
def words(chromium) -> dict[str, dict[str, Any]]:
    """The words of the page by language and key."""
    files = [PAGE / name for name in SCRIPTS if name.startswith("words")]
    page = chromium.new_page()
    found = page.evaluate("\n".join(file.read_text("utf-8") for file in files) + "\nWORDS")
    page.close()
    return found


def holes(text: Any) -> set[str]:
    """The {placeholders} of a text."""
    return set(re.findall(r"\{(\w+)\}", json.dumps(text)))


def test_both_languages_have_the_same_words(words):
    assert words["en"].keys() == words["zh"].keys()
    for key, text in words["en"].items():
        other = words["zh"][key]
        assert text, key
        assert other, key
        assert holes(text) == holes(other), key
        assert isinstance(text, str) or [len(x) for x in text] == [len(x) for x in other], key


def test_the_scripts_use_the_words_that_there_are(words):
    scripts = [PAGE / name for name in SCRIPTS if not name.startswith("words")]
    code = "\n".join(file.read_text("utf-8") for file in [*scripts, PAGE / "page.html"])
    known, asked = words["en"], set(re.findall(r'\bt\(\s*"(\w+)"', code))
    asked |= set(re.findall(r'data-(?:words|label|help)="(\w+)"', code))
    assert asked - known.keys() == set()
    quoted = set(re.findall(r'"(\w+)"', code))
    unused = {key for key in known if key not in quoted and not key.endswith("Help")}
    assert sorted(unused - RECORDED) == []


def test_every_word_changes_with_the_language(visits, folder, words):
    reader = Reader(visits.open(folder / "page.html"))
    html = reader.page.locator("html")
    assert html.get_attribute("lang") == "en"
    reader.press("h", "o", "ArrowRight", "ArrowRight")
    assert not re.search(r"[\u4e00-\u9fff]", " ".join(set(reader.texts()) - LANGUAGE_BUTTON))
    reader.press("l")
    reader.settle()
    assert html.get_attribute("lang") == "zh-CN"
    assert left_in_english([reader.page.title(), *reader.texts()]) == []
    reader.canvas("density").focus()  # the tip, and what is said
    reader.settle()
    assert left_in_english([reader.page.inner_text("#tip"), reader.page.inner_text("#live")]) == []
    reader.press("Escape")
    reader.click("language")
    reader.settle()
    assert html.get_attribute("lang") == "en"
    assert not re.search(r"[\u4e00-\u9fff]", " ".join(set(reader.texts()) - LANGUAGE_BUTTON))


LANGUAGE_BUTTON = {"中文", "中文 (show the page in Chinese)"}  # of the English page


def left_in_english(texts: list[str]) -> list[str]:
    """The texts that have words of Latin letters which a Chinese page should not have."""
    names = {"number", "plane", "image"}  # of the runs
    allowed = ALSO_CHINESE | names | {"name", "seed"}  # fields of the recipe
    return [text for text in texts if not allowed.issuperset(re.findall(r"[A-Za-z]{2,}", text))]


def test_a_browser_in_chinese_gets_a_chinese_page(visits, folder):
    page = visits.open(folder / "hostile.html", locale="zh-CN")
    Reader(page)
    assert page.get_attribute("html", "lang") == "zh-CN"


def test_axe_finds_nothing(visits, folder):
    """On a desktop and a phone, in light and dark, at rest and in the midst of things."""
    from axe_playwright_python.sync_playwright import Axe

    reader = Reader(visits.open(folder / "page.html", color_scheme="light"))
    page, axe = reader.page, Axe()

    def require_nothing(**options: Any) -> None:
        reader.settle()
        results = axe.run(page, **options)
        assert results.violations_count == 0, results.generate_report()

    require_nothing()
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    reader.press("h", "Shift+ArrowRight", "ArrowRight", "l")
    page.emulate_media(color_scheme="dark")
    require_nothing()
    page.set_viewport_size({"width": browser.PHONE[0], "height": browser.PHONE[1]})
    page.emulate_media(color_scheme="light")
    assert reader.tip_at("density", 0.5, 0.5)
    require_nothing()
    # The tip is hidden from screen readers, which hear its text elsewhere; its contrast counts.
    page.evaluate("document.getElementById('tip').removeAttribute('aria-hidden')")
    require_nothing(context="#tip", options={"runOnly": ["color-contrast"]})


def test_a_phone_shows_everything_without_scrolling_sideways(visits, folder):
    reader = Reader(visits.open(folder / "page.html", browser.PHONE, has_touch=True))
    width, height = browser.PHONE
    for language in ("en", "zh-CN"):
        page = reader.page
        assert page.get_attribute("html", "lang") == language
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for name in ("play", "back", "forward", "scrub", "speed", "half", "optimal"):
            box = page.locator(f"#{name}").bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert 0 <= box["y"] <= height - box["height"], f"{name} is not in sight"
        reader.press("l")
    page.tap("#forward")
    reader.is_at(1)
    page.tap("label:has(#half)")
    page.tap("#forward")
    reader.is_at(2, "d")
    canvas = reader.canvas("density")
    canvas.evaluate("(canvas) => canvas.scrollIntoView({ block: 'center' })")
    canvas.tap()
    reader.settle()
    assert page.is_visible("#tip")
    box = page.locator("#tip").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


def test_the_pictures_have_more_room_than_the_time_line(visits, folder):
    """On a desktop, where it is always in sight, with three runs."""
    page = Reader(visits.open(folder / "page.html")).page
    assert page.locator("#dock").bounding_box()["height"] <= 0.5 * browser.DESKTOP[1]


def test_what_has_the_focus_is_not_behind_the_dock(visits, folder):
    page = Reader(visits.open(folder / "page.html")).page
    dock = page.locator("#dock").bounding_box()["y"]
    pictures = page.locator("figure canvas").all()
    for canvas in pictures:
        canvas.focus()
        box = canvas.bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= dock, canvas.get_attribute("data-view")
    assert len(pictures) == 6


def test_a_window_without_room_for_a_plot_is_no_error(visits, folder):
    reader = Reader(visits.open(folder / "page.html"))
    for width in (170, 100, 40):
        reader.page.set_viewport_size({"width": width, "height": 400})
        reader.settle()
    assert reader.page.locator("#error").is_hidden()


def test_names_are_shown_as_text(visits, folder):
    """Of a run folder and of a recipe."""
    page = Reader(visits.open(folder / "hostile.html")).page
    assert page.inner_text("[data-run='0'] h2") == HOSTILE_NAME
    assert HOSTILE in page.inner_text("[data-run='0'] .about >> nth=0")
    assert page.locator("img").count() == 0


def change(html: str, edit: Any) -> str:
    """A replay whose data `edit` has changed in place, or replaced by what it returns."""
    start = html.index('id="recording">') + len('id="recording">')
    end = html.index("</script>", start)
    data = json.loads(html[start:end])
    made = edit(data)
    text = made if isinstance(made, str) else json.dumps(data).replace("<", "\\u003c")
    return html[:start] + text + html[end:]


def cut(data: Any) -> None:
    arrays = data["runs"][0]["arrays"]
    arrays["after"] = arrays["after"][: len(arrays["after"]) // 2]


DAMAGED = {
    "cut short": cut,
    "no base64": lambda data: data["runs"][0]["arrays"].update(after="?!"),
    "no array": lambda data: data["runs"][0]["arrays"].pop("after"),
    "another shape": lambda data: data["runs"][0]["header"]["arrays"][0].update(shape=[7]),
    "no frames": lambda data: data["runs"][0].update(steps=[]),
    "no runs": lambda data: data.update(runs=[]),
    "no header": lambda data: data["runs"][0].pop("header"),
    "no JSON": lambda data: "{",
}


def test_damaged_data_give_one_sentence(visits, folder, tmp_path, words):
    html = (folder / "hostile.html").read_text("utf-8")
    page = visits.open(folder / "hostile.html")
    for name, edit in DAMAGED.items():
        (tmp_path / f"{name}.html").write_text(change(html, edit), encoding="utf-8")
        visits.show(page, tmp_path / f"{name}.html")
        page.locator("#error").wait_for(timeout=4000)
        assert page.inner_text("#error") == words["en"]["errorDamaged"], name
        assert page.locator("canvas[data-view]").count() == 0
        assert not page.is_visible("#dock")


def test_an_old_browser_gets_one_sentence(visits, folder, words):
    """One without DecompressionStream."""
    page = visits.open(folder / "hostile.html")
    page.add_init_script("delete globalThis.DecompressionStream")
    visits.show(page, folder / "hostile.html")
    page.locator("#error").wait_for(timeout=4000)
    assert page.inner_text("#error") == words["en"]["errorOldBrowser"]
