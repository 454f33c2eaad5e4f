"""What is drawn of a recording is checked when it is opened: it may come from elsewhere."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import synthetic_recordings as synthetic

from minigan.cli.main import main
from minigan.errors import UNEXPECTED
from minigan.replay.film import Film
from minigan.replay.page import data_of
from minigan.replay.recorded_run import open_recorded
from minigan.replay.scene import check_scene
from minigan.training.frames import read_header

WRITERS: dict[str, Callable[[Path, list[int]], None]] = {
    "number": synthetic.number,
    "plane": synthetic.plane,
    "image": synthetic.image,
}
WRONG = [
    *[("number", key, None) for key in ("span", "density", "mean", "std", "z", "exact")],
    ("number", "span", [1, 1]), ("number", "span", [2, 1]), ("number", "span", [0, 1, 2]),
    ("number", "span", ["0", "1"]), ("number", "span", [0, 1e300]), ("number", "density", [1.0]),
    ("number", "density", [[0.1]] * 121), ("number", "noise", [0.5]), ("number", "mean", "4"),
    ("number", "exact_falling", [0.5] * 100), ("number", "targets", [1]), ("number", "pack", 0),
    ("number", "pack", 1.5), ("number", "output", 3),
    *[("plane", key, None) for key in ("span", "real", "pack", "output")],
    ("plane", "span", [[0, 1], [1, 0]]), ("plane", "span", [0, 1]), ("plane", "real", []),
    ("plane", "real", [[1, 2, 3]]), ("plane", "modes", [1, 2]), ("plane", "modes", [[1, "x"]]),
    *[("image", key, None) for key in ("shape", "columns", "output")],
    ("image", "shape", [5, 5]), ("image", "shape", [6.0, 5.0]), ("image", "shape", [6]),
    ("image", "columns", 0), ("image", "labels", [1]), ("image", "labels", ["a"] * 25),
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """By form, the folder of a run with two frames."""
    first = tmp_path_factory.mktemp("runs") / "run"
    synthetic.train(first)
    folders = {}
    for form, write in WRITERS.items():
        folders[form] = Path(shutil.copytree(first, first.with_name(form)))
        write(folders[form], [0, 1])
    return folders


@pytest.fixture(scope="module")
def headers(runs) -> dict[str, dict[str, Any]]:
    """By form, a right header. Tests change a copy."""
    return {form: read_header(run / synthetic.FRAMES) for form, run in runs.items()}


def refused(header: dict[str, Any]) -> str:
    """The reason why a header is refused."""
    with pytest.raises(UNEXPECTED) as caught:
        check_scene(header)
    return str(caught.value)


@pytest.mark.parametrize("form", WRITERS)
def test_a_right_scene_is_shown(form, runs):
    assert data_of(runs[form], 300, "run")["header"]["form"] == form
    opened = open_recorded(runs[form], 2)
    assert len(Film(opened.recording, "a title", opened.players, None)) == 2


@pytest.mark.parametrize(("form", "key", "value"), WRONG)
def test_a_scene_that_cannot_be_drawn_is_refused(form, key, value, headers):
    header = copy.deepcopy(headers[form])
    check_scene(header)
    if value is None:
        del header["scene"][key]
    else:
        header["scene"][key] = value
    refused(header)


@pytest.mark.parametrize(("form", "name", "shape"), [
    ("number", "density", [11, 11]), ("number", "learned", [11, 11]), ("number", "after", [100, 3]),
    ("number", "map", [1, 101]), ("plane", "field", [1681]), ("plane", "optimal", [1681]),
    ("plane", "grid", [858, 2]), ("plane", "push", [2, 400]), ("image", "after", [30, 25]),
    ("image", "score", [5, 5]),
])  # fmt: skip
def test_arrays_of_other_shapes_are_refused(form, name, shape, headers):
    header = copy.deepcopy(headers[form])
    next(one for one in header["arrays"] if one["name"] == name)["shape"] = shape
    refused(header)


@pytest.mark.parametrize(("form", "name"), [
    ("number", "before"), ("number", "push"), ("number", "density"), ("plane", "before"),
    ("plane", "push"), ("plane", "after"), ("image", "after"),
])  # fmt: skip
def test_arrays_that_are_missing_are_refused(form, name, headers):
    header = copy.deepcopy(headers[form])
    header["arrays"] = [one for one in header["arrays"] if one["name"] != name]
    refused(header)


def test_the_commands_refuse_it_in_a_sentence(runs, headers, tmp_path, capsys):
    run, out = Path(shutil.copytree(runs["image"], tmp_path / "run")), tmp_path / "out"
    out.mkdir()
    file = run / synthetic.FRAMES
    _, rest = file.read_bytes().split(b"\n", 1)
    for form, told in (
        ("number", "frames.jsonl is damaged: its first line lacks 'span'"),
        ("sound", "a film cannot show frames of the form 'sound'"),
    ):
        header = json.dumps(headers["image"] | {"form": form}).encode()
        file.write_bytes(header + b"\n" + rest)
        assert main(["film", str(run), "--out", str(out / "film.gif")]) == 2
        assert told in capsys.readouterr().err
    assert main(["film", str(run), "--frames", "1"]) == 2
    assert "frames must be an integer >= 2, not 1" in capsys.readouterr().err
    assert [*out.iterdir()] == []
