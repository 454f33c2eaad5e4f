"""Replays of runs that the examples recorded: they are small, and open without a complaint."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from replay_reader import Reader
from running import load_example

from minigan.replay.page import page, write_page
from minigan.training.frames import read_frames

#: Flags of short runs of each form, by a name for the run.
RUNS = {
    "article": "gaussian1d --recipe article --steps 60 --record 5",
    "stable": "gaussian1d --recipe stable --steps 300 --record 10",
    "ring": "toy2d --recipe stable --steps 150 --record 5",
    "digits": "mnist --data digits --epochs 3 --record 2",
    "classes": "cgan --data digits --recipe dense --epochs 1 --record 3",
}
FRAMES = 300  # of a page
LIMITS = {"number": 1.0, "plane": 1.0, "image": 5.0}  # MB, of such a page


def record(folder: Path, flags: str) -> None:
    """Run an example into a folder, without the figure that it draws at the end."""
    example, *words = flags.split()
    experiment = dataclasses.replace(
        load_example(example).experiment, finish=lambda trainer, recipe: {}
    )
    assert experiment.main([*words, "--threads", "1", "--out", str(folder)]) == 0


def size_of(folder: Path, file: Path) -> float:
    """MB of a page of 300 frames, if all are as large as the run's, which are fewer."""
    write_page(file, [folder])
    T, empty = len(read_frames(folder / "frames.jsonl").steps), len(page({"runs": []}))
    return 1e-6 * (empty + (file.stat().st_size - empty) * max(FRAMES / T, 1.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Of the recorded runs."""
    folder = tmp_path_factory.mktemp("recorded")
    for name, flags in RUNS.items():
        record(folder / name, flags)
    return folder


def test_pages_are_small(folder, tmp_path):
    for name in RUNS:
        form = read_frames(folder / name / "frames.jsonl").header["form"]
        assert size_of(folder / name, tmp_path / "page.html") <= LIMITS[form], name


@pytest.mark.slow
def test_a_page_of_mnist_is_small(mnist_folder, tmp_path, capsys):
    record(tmp_path / "run", f"mnist --data-dir {mnist_folder} --epochs 2 --record 5")
    size = size_of(tmp_path / "run", tmp_path / "page.html")
    print(f"a page of 300 frames of MNIST has {size:.1f} MB")
    assert size <= LIMITS["image"]


def test_recorded_runs_are_replayed(folder, tmp_path, visits):
    """All on one page: at its ends and in between, each shows its own numbers."""
    write_page(tmp_path / "page.html", [folder / name for name in RUNS])
    reader = Reader(visits.open(tmp_path / "page.html"))
    recordings = [read_frames(folder / name / "frames.jsonl") for name in RUNS]
    for keys in (["Home"], ["Shift+ArrowRight"] * 3, ["End"]):
        reader.press(*keys)
        reader.settle()
        step, _ = reader.moment()
        for run, recording in enumerate(recordings):
            shown = reader.values(run)
            k = max(k for k, own in enumerate(recording.steps) if own <= step)
            for name, values in recording.values.items():
                same = math.isclose(shown[name], values[k], rel_tol=1e-6)
                assert same or (math.isnan(shown[name]) and math.isnan(values[k])), (name, step)
