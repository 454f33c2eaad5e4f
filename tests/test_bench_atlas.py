"""The measurement of what a member of a population costs."""

from __future__ import annotations

import csv

import pytest

from bench import atlas

SINGLE = [100.0, 200.0, 100.0]  # a slow round


def times(group: float, both: float) -> dict[object, list[float]]:
    """A group and two workers that cost these shares of a single step."""
    shares = {0: 1.0, 8: group, 4: group, atlas.BOTH: both}
    return {size: [share * t for t in SINGLE] for size, share in shares.items()}


@pytest.mark.parametrize(
    ("group", "both", "code"), [(0.84, 0.49, 0), (0.86, 0.49, 1), (0.84, 0.51, 1)]
)
def test_a_cost_is_a_ratio_within_a_round_and_has_a_bar(group, both, code, tmp_path, monkeypatch):
    monkeypatch.setattr(atlas, "measure", lambda name, rounds, seconds: times(group, both))
    out = tmp_path / "page.md"
    assert atlas.main(["--quick", "--out", str(out)]) == code
    text = out.read_text()
    assert f"| 8 | {100 * group:.1f} | {group:.2f} | 0.85 |" in text
    assert f"| 4 in each of two workers | {100 * both:.1f} | {both:.2f} | 0.55 |" in text
    rows = [*csv.DictReader((tmp_path / "page.csv").read_text().splitlines())]
    assert [row["to_single"] for row in rows if row["members"] == "0"] == ["1.0000"] * 2


def test_two_processes_measure(monkeypatch):
    monkeypatch.setattr(atlas, "SIZES", ())
    found = atlas.measure("article", 2, 0.002)
    assert {size: len(turns) for size, turns in found.items()} == {0: 2, 8: 2, atlas.BOTH: 2}
    assert all(0.0 < t < 1e5 for turns in found.values() for t in turns)


def test_the_default_page_is_for_the_whole_table(capsys):
    with pytest.raises(SystemExit):
        atlas.main(["--quick"])
    assert "--out FILE.md is needed" in capsys.readouterr().err
