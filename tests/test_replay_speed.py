"""How fast the replay page draws, in Chromium without a GPU. Measured and printed, not judged:

pytest -m slow -s tests/test_replay_speed.py

On an idle machine: other work takes frames away.
"""

from __future__ import annotations

import shutil

import pytest
import synthetic_recordings as synthetic
from replay_reader import Reader

from minigan.replay.page import write_page

#: While it plays at 60 frames a second for three seconds: frames of the screen, and of the
#: recording, a second; and the longest time between two of the screen's, in ms.
PLAY = """() => new Promise((done) => {
    const steps = new Set();
    const times = [];
    const look = (now) => {
        times.push(now);
        steps.add(document.getElementById("step").dataset.step);
        if (now - times[0] < 3000) { requestAnimationFrame(look); return; }
        const seconds = (now - times[0]) / 1000;
        const gaps = times.slice(1).map((time, i) => time - times[i]);
        done([(times.length - 1) / seconds, (steps.size - 1) / seconds, Math.max(...gaps)]);
    };
    document.getElementById("play").click();
    requestAnimationFrame(look);
})"""


def measure(title: str, reader: Reader) -> None:
    """Play for three seconds, and print how fast that went."""
    reader.page.select_option("#speed", "60")
    chromium = reader.page.context.new_cdp_session(reader.page)
    chromium.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy() -> float:
        """Seconds for which the page's main thread has had a core."""
        metrics = chromium.send("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in metrics if one["name"] == "TaskDuration")

    before = busy()
    screen, recorded, longest = reader.page.evaluate(PLAY)
    each = 1000 * (busy() - before) / (3 * screen)
    print(
        f"\n{title}: {screen:.0f} frames a second on the screen, {recorded:.0f} of the recording; "
        f"the longest took {longest:.0f} ms. The main thread works {each:.1f} ms a frame."
    )
    assert recorded > 0


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080)], ids=["1280x800", "1920x1080"])
@pytest.mark.parametrize("form", ["number", "plane"])
def test_frames_a_second_of_a_thousand_points(visits, tmp_path, form, size):
    synthetic.train(tmp_path / form)
    getattr(synthetic, form)(tmp_path / form, list(range(300)), n=1000)
    write_page(tmp_path / "page.html", [tmp_path / form])
    reader = Reader(visits.open(tmp_path / "page.html", size))
    measure(f"{form}, 1,000 points, {size[0]} x {size[1]}", reader)


@pytest.mark.slow
def test_frames_a_second_of_two_runs(visits, tmp_path):
    """The flagship's page: two runs on numbers, 300 points each, with three pictures each."""
    synthetic.train(tmp_path / "stable")
    synthetic.number(tmp_path / "stable", list(range(300)))
    shutil.copytree(tmp_path / "stable", tmp_path / "article")
    write_page(tmp_path / "page.html", [tmp_path / "article", tmp_path / "stable"])
    measure("two runs", Reader(visits.open(tmp_path / "page.html")))
