"""The bench of the 2-D experiment: it can be stopped and repeated, and its bars count."""

from __future__ import annotations

import dataclasses
import json

import pytest

from bench import toy2d
from examples.toy2d import RECIPES

TINY = dataclasses.replace(RECIPES["stable"], steps=2, batch=4, hidden=2)


def row(**scores: float) -> dict:
    """A seed that clears every bar of the ring, but for these scores."""
    good = {"modes": 8, "of_modes": 8, "high_quality": 0.8, "reverse_kl": 0.01, "spread": 1.0}
    settings = json.loads(json.dumps(dataclasses.asdict(TINY) | {"seed": 0}))
    return {**good, "sliced": 0.1, "microseconds": 5.0, **scores, "recipe": settings}


def test_a_finished_seed_is_not_trained_again(tmp_path, monkeypatch):
    first = toy2d.measure(toy2d.Job(TINY, 3, tmp_path))
    assert first["of_modes"] == 8
    trained = []
    build = toy2d.build
    monkeypatch.setattr(toy2d, "build", lambda *args: trained.append(args[1]) or build(*args))
    assert toy2d.measure(toy2d.Job(TINY, 3, tmp_path)) == first
    assert trained == []
    other = dataclasses.replace(TINY, hidden=3)  # the recipe has changed since
    assert toy2d.measure(toy2d.Job(other, 3, tmp_path))["recipe"]["hidden"] == 3
    assert trained == [3]


@pytest.mark.parametrize(
    ("worse", "clear"),
    [
        ({}, True),
        ({"reverse_kl": 0.0101}, False),
        ({"high_quality": 0.799}, False),
        ({"modes": 7}, False),
    ],
)
def test_one_seed_below_a_bar_is_one_too_many(worse, clear):
    assert toy2d.clears([*[row()] * 19, row(**worse)], toy2d.BARS["ring"]) is clear


def test_the_grid_may_miss_a_mode_on_one_seed():
    assert toy2d.clears([*[row()] * 19, row(modes=7)], toy2d.BARS["grid"])
    assert not toy2d.clears([*[row()] * 18, *[row(modes=7)] * 2], toy2d.BARS["grid"])


def test_the_table_has_medians_and_the_worst():
    rows = [row(), row(modes=6, reverse_kl=0.5), row(high_quality=0.2)]
    (line,) = toy2d.table_of(rows)[2:]
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells == [
        *("`stable`", "2", "2 of 3", "8 (6)", "80.0% (20.0%)", "0.0100 (0.5000)", "1.00"),
        *("0.100 (0.100)", "5"),
    ]


def test_the_default_page_is_for_the_whole_table(capsys):
    for words in (["--quick"], ["--seeds", "3"], ["--recipe", "plain"], ["--data", "ring"]):
        with pytest.raises(SystemExit) as end:
            toy2d.parse(words)
        assert end.value.code == 2
        assert "--out FILE.md is needed" in capsys.readouterr().err
    jobs = toy2d.jobs_of(toy2d.parse([]))
    assert len(jobs) == 2 * 5 * 20
    quick = toy2d.jobs_of(toy2d.parse(["--quick", "--out", "x.md", "--data", "grid"]))
    assert {(job.recipe.data, job.recipe.steps) for job in quick} == {("grid", 200)}
    assert {job.seed for job in quick} == {0, 1}
