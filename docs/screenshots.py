"""Takes the pictures of the replay page for the book and the README, into docs/figures/.

    python docs/screenshots.py STABLE ARTICLE

STABLE and ARTICLE are runs of examples/gaussian1d.py with these recipes, trained with --record. It
needs Chromium and Playwright, as the tests of the page do.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import browser  # noqa: E402

from minigan.replay.page import write_page  # noqa: E402

#: The file, the runs on the page, and the frame, as a part of the time line.
PICTURES = (("replay-gaussian1d", 1, 0.3), ("replay-two", 2, 0.5))


def main(runs: list[str]) -> None:
    """Write the pages, open them, and take the pictures."""
    with tempfile.TemporaryDirectory() as folder, browser.started() as chromium:
        for name, count, place in PICTURES:
            page = Path(folder) / f"{name}.html"
            write_page(page, runs[:count])
            tab = chromium.new_page(viewport={"width": 1280, "height": 800})
            tab.goto(page.as_uri())
            tab.wait_for_selector("#step[data-step]")
            last = int(tab.get_attribute("#scrub", "max"))
            # `fill` would focus it, and scroll.
            tab.eval_on_selector(
                "#scrub",
                "(it, at) => { it.value = at; it.dispatchEvent(new Event('input')); }",
                round(place * last),
            )
            tab.wait_for_timeout(500)  # until it is drawn
            tab.screenshot(path=ROOT / "docs" / "figures" / f"{name}.png")
            tab.close()


if __name__ == "__main__":
    main(sys.argv[1:])
