"""The replay page: what is written into it, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import start

import minigan as mg
from minigan.cli.main import main
from minigan.replay.page import PAGE, SCRIPTS, data_of, packed, page, write_page
from minigan.training import health
from minigan.training.frames import Frames
from minigan.training.run_folder import FRAMES

LARGEST = 100_000  # bytes of the page without recordings
ARRAYS = [
    {"name": "after", "shape": [6], "levels": 1023, "range": [-2.0, 2.0]},
    {"name": "push", "shape": [6], "levels": 255, "range": None},
    *({"name": name, "shape": [n], "levels": 9, "range": [-2.0, 2.0]}
      for name, n in (("before", 6), ("density", 9))),
]  # fmt: skip


def record(folder: Path, steps: int = 20, every: int = 1) -> Path:
    """A short run with a recording of random numbers; returns its folder."""
    trainer = start(folder, print_every=4, recipe={"name": "short", "seed": 3})
    trainer.fit(steps=steps)
    frames, random = Frames(folder / FRAMES), np.random.default_rng(0)
    scene = {"span": [-2.0, 2.0], "density": [0.25] * 9, "mean": 0.0, "std": 1.0}
    scene |= {"output": "probability", "targets": None, "pack": 1}
    frames.start({"form": "number", "every": every, "arrays": ARRAYS, "scene": scene})
    for step in range(0, steps + 1, every):
        values = {"d_real": 0.5 + step, "d_fake": 0.25, "g": np.nan, "mean": step / 3}
        arrays = {one["name"]: random.normal(size=one["shape"]) for one in ARRAYS}
        frames.add(step, values, arrays)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return record(tmp_path_factory.mktemp("runs") / "short")


def recording_in(html: str) -> Any:
    """The JSON in a page, found as a browser does: up to the first "</script"."""
    _, _, rest = html.partition('<script type="application/json" id="recording">')
    return json.loads(rest.partition("</script")[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_codes_are_packed_as_differences_that_wrap_around(dtype):
    most = np.iinfo(dtype).max
    codes = np.random.default_rng(1).integers(0, most, (5, 2, 3), dtype, endpoint=True)
    codes[0, 0, 0], codes[1, 0, 0], codes[2, 0, 0] = 0, most, 0
    raw = np.frombuffer(zlib.decompress(base64.b64decode(packed(codes))), np.uint8)
    if dtype == np.uint8:
        changes = raw.astype(np.int64)
    else:  # first all low bytes, then all high ones
        low, high = raw.reshape(2, -1).astype(np.int64)
        changes = low + 256 * high
    again = np.cumsum(changes.reshape(5, 6), axis=0) % (most + 1)
    np.testing.assert_array_equal(again.reshape(codes.shape), codes)


def test_a_run_as_the_page_reads_it(run):
    data = data_of(run, 300, "a name")
    assert (data["name"], data["steps"]) == ("a name", [*range(21)])
    about = {"recipe": "short", "seed": "3", "loss": "NonSaturating"}
    assert data["about"] == about | {"game": "GAN", "data": "Gaussian"}
    assert data["columns"] == {"d_real": "D real", "d_fake": "D fake", "g": "G"}
    assert data["players"] == ["d_real", "d_fake", "g"]
    assert data["undecided"] == pytest.approx(np.log(2.0))
    assert data["values"]["g"] == [None] * 21  # NaN is no JSON
    assert data["values"]["mean"][1] == 0.3333333
    assert [*data["arrays"]] == [one["name"] for one in ARRAYS]
    assert np.shape(data["ranges"]["push"]) == (21, 2)
    assert data["history"]["step"] == [4, 8, 12, 16, 20]
    assert len(data["history"]["auc"]) == 5


def test_fewer_frames_are_chosen_evenly_and_the_history_with_them(run):
    data = data_of(run, 3, "a name")
    assert data["steps"] == [0, 10, 20]
    assert data["values"]["d_real"] == [0.5, 10.5, 20.5]
    assert data["history"]["step"] == [8, 20]  # the latest rows at steps 10 and 20


def test_health_is_listed_where_it_changes(run, monkeypatch):
    failure = health.Failure("D saturated", "AUC of at least 1.0 in the last 3 rows", "less")

    def ill(rows: list[dict[str, float]], loss: mg.Loss) -> list[health.Failure]:
        assert isinstance(loss, mg.NonSaturating)
        latest = [row["step"] for row in rows[-2:]]  # the rows before count, too
        return [failure] if latest in ([4, 8], [8, 12]) else []

    monkeypatch.setattr("minigan.replay.page.diagnose", ill)
    listed = data_of(run, 300, "a name")["health"]
    assert [(one["step"], len(one["failures"])) for one in listed] == [(8, 1), (16, 0)]
    assert listed[0]["failures"][0]["name"] == "D saturated"


def test_the_page_is_small_and_holds_only_its_own_script(capsys):
    html = page({"runs": []})
    with capsys.disabled():
        print(f"\nthe page without recordings: {len(html.encode()):,} bytes")
    assert len(html.encode()) <= LARGEST
    script = html.rpartition("<script>")[2].partition("</script>")[0]
    style = html.partition("<style>")[2].partition("</style>")[0]
    for text in (script, style):  # the policy allows these texts and no others
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in html
    assert "default-src 'none'" in html
    assert re.findall(r"https?:|innerHTML|outerHTML|insertAdjacent|\beval\b", html) == []


def test_every_file_of_the_page_is_used():
    assert {file.name for file in PAGE.iterdir()} == {*SCRIPTS, "page.html", "style.css"}
    for file in PAGE.iterdir():
        lines = file.read_text(encoding="utf-8").splitlines()
        assert all(line.count("`") % 2 == 0 for line in lines), f"{file}: a text of several lines"
        assert len(lines) <= 350 or file.suffix == ".css", file


HOSTILE = [
    '</script><img src=x onerror="alert(1)">',
    "{{SCRIPT}}",
    "a <!-- b & \\u003c '\"",
    "数字",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_only_a_name(run, name):
    html = page({"runs": [data_of(run, 2, name)]})
    assert recording_in(html)["runs"][0]["name"] == name
    assert html.count("</script") == 2
    assert html.count("<img") == 0


def test_runs_of_one_name_are_called_by_their_paths(tmp_path, run):
    other = record(tmp_path / "there" / "short", steps=4)
    write_page(tmp_path / "page.html", [run, other])
    names = [one["name"] for one in recording_in((tmp_path / "page.html").read_text())["runs"]]
    assert names == [str(run), str(other)]
    write_page(tmp_path / "page.html", [run])
    assert recording_in((tmp_path / "page.html").read_text())["runs"][0]["name"] == "short"


LOSSES = [
    *(mg.NonSaturating(), mg.NonSaturating(probabilities=True)),
    *(mg.Minimax(), mg.Minimax(probabilities=True)),
    *(mg.LeastSquares(), mg.Hinge(), mg.Wasserstein(), None),
]


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("g_grad", [0.0, 1e-9])
def test_what_the_health_check_says_is_translated(loss, g_grad):
    """words.js has every piece of what minigan show says about health, with # for its numbers."""
    ill = {"auc": 1.0, "g_grad": g_grad, "diversity": 0.01}
    rows = [{"step": float(step), **ill} for step in range(health.PATIENCE)]
    failures = health.diagnose(rows, loss)
    assert len(failures) == 3
    words = (PAGE / "words.js").read_text(encoding="utf-8")
    known = set(re.findall(r'^  "(.+?)":', words[words.index("HEALTH_ZH") :], re.MULTILINE))
    for failure in failures:
        for sentence in (failure.name, failure.measure, failure.advice):
            pattern = re.sub(r"(?<![A-Za-z])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", "#", sentence)
            assert set(re.split("[:,;] ", pattern)) <= known, pattern


def test_a_loss_that_is_not_registered_has_no_undecided_value(run, monkeypatch):
    monkeypatch.setattr("minigan.replay.recorded_run.CLASSES", {"loss": {}})
    assert data_of(run, 2, "a name")["undecided"] is None


def refused(tmp_path: Path, folders: list[Any], frames: int = 300) -> str:
    """The error of `write_page`, which must not have written a file."""
    with pytest.raises(mg.MiniganError) as caught:
        write_page(tmp_path / "page.html", folders, frames)
    assert not (tmp_path / "page.html").exists()
    return str(caught.value)


def test_what_cannot_be_replayed_is_refused_in_a_sentence(tmp_path, run):
    assert "at least one run folder" in refused(tmp_path, [])
    assert "holds no run" in refused(tmp_path, [tmp_path])
    assert "frames must be" in refused(tmp_path, [run], frames=1)
    start(tmp_path / "silent").fit(steps=1)
    assert "--record" in refused(tmp_path, [run, tmp_path / "silent"])
    damaged = record(tmp_path / "damaged", steps=2)
    file = damaged / FRAMES
    header, first, *_ = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(header)
    assert "no frame yet" in refused(tmp_path, [damaged])
    file.write_bytes(header + first.replace(b'"step"', b'"stop"'))
    assert str(file) in refused(tmp_path, [damaged])
    file.unlink()
    file.mkdir()
    assert str(file) in refused(tmp_path, [damaged])


def test_a_run_without_a_row_of_history_can_be_watched(tmp_path):
    folder = record(tmp_path / "begun", steps=2)
    data = data_of(folder, 300, "begun")
    assert data["history"].get("step", []) in ([], [2])
    history = folder / "history.csv"
    history.write_text(history.read_text().splitlines(keepends=True)[0])
    data = data_of(folder, 300, "begun")
    assert (data["history"], data["health"]) == ({}, [])
    assert [*data["columns"]][:3] == ["d_real", "d_fake", "g"]


def test_the_command_writes_a_page(tmp_path, run, capsys):
    out = tmp_path / "page.html"
    assert main(["replay", str(run), str(run), "--out", str(out), "--frames", "5"]) == 0
    assert f"{out} (0." in capsys.readouterr().out
    runs = recording_in(out.read_text(encoding="utf-8"))["runs"]
    assert [one["steps"] for one in runs] == [[0, 5, 10, 15, 20]] * 2


def test_the_command_refuses_other_files(tmp_path, run, capsys):
    assert main(["replay", str(run), "--out", str(tmp_path / "page.png")]) == 2
    assert "must end in .html" in capsys.readouterr().err
    assert main(["replay", str(tmp_path / "nowhere")]) == 2
    assert "nowhere holds no run" in capsys.readouterr().err
