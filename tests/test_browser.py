"""The harness of the browser tests notices a page that complains or asks for something."""

from __future__ import annotations

import browser
import pytest

PAGE = "<!doctype html><html lang=en><head><meta charset=utf-8><title>t</title>{}</head></html>"


FAULTS = {
    "<script>console.error('no')</script>": "console: no",
    "<script>console.warn('hm')</script>": "console: hm",
    "<script>missing()</script>": "exception: missing is not defined",
    "<script>Promise.reject(new Error('late'))</script>": "exception: late",
    "<link rel=stylesheet href='other.css'>": "request: file://",
    "<script src='http://127.0.0.1:1/a.js'></script>": "request: http://127.0.0.1:1/a.js",
}


def test_faults_of_a_page_are_noticed(chromium, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(PAGE.format("".join(FAULTS)), encoding="utf-8")
    with pytest.raises(AssertionError, match="no"), browser.visits(chromium) as visits:
        visits.open(file)
    for complaint in FAULTS.values():
        assert any(each.startswith(complaint) for each in visits.complaints), complaint


def test_a_good_page_passes(visits, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(PAGE.format("<script>document.title = 'ran'</script>"), encoding="utf-8")
    assert visits.open(file).title() == "ran"


def test_a_chosen_chromium_is_the_only_one_looked_for(monkeypatch):
    monkeypatch.setenv("MINIGAN_CHROMIUM", "no-such-browser")
    assert browser.find_chromium() is None
    with pytest.raises(pytest.skip.Exception, match="MINIGAN_CHROMIUM"):
        browser.started().__enter__()
