"""examples/atlas.py on a tiny map."""

from __future__ import annotations

import numpy as np
import pytest
from running import load_example

from minigan.evaluation import score_gaussian

FLAGS = ["--size", "2", "--seeds", "2", "--steps", "30"]


@pytest.fixture(scope="module")
def atlas():
    return load_example("atlas")


def test_a_map_goes_on_and_its_members_are_single_runs(atlas, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(atlas, "SAMPLES", 500)
    flags = [*FLAGS, "--out", str(tmp_path)]
    assert atlas.main(flags) == 0
    whole = (tmp_path / "map.csv").read_bytes()
    table = np.genfromtxt(
        tmp_path / "map.csv", delimiter=",", names=True, encoding="utf-8", dtype=None
    )
    assert len(table) == 2 * 2 * 2 * 2
    assert (tmp_path / "map.svg").stat().st_size > 1000
    groups = sorted((tmp_path / "groups").glob("*.csv"))
    kept = groups[0].stat().st_mtime_ns
    groups[-1].unlink()  # as after a kill
    assert atlas.main(flags) == 0
    assert (tmp_path / "map.csv").read_bytes() == whole
    assert groups[0].stat().st_mtime_ns == kept
    last = table[-1]
    recipe = atlas.replace(atlas.RECIPES["stable"], steps=30, g_lr=last["g_lr"], d_lr=last["d_lr"])
    gan, data = atlas.build(recipe, int(last["seed"]))
    gan.bind(recipe.batch)
    for _ in range(30):
        data.next_batch(out=gan.real)
        gan.step()
    score = score_gaussian(gan.sample(500, atlas.SAMPLE_SEED), recipe.mean, recipe.std)
    assert [last["mean"], last["std"]] == pytest.approx([score.mean, score.std], rel=1e-3)


def test_another_map_needs_another_folder(atlas, tmp_path, capsys):
    (tmp_path / "map_of.txt").write_text("another")
    assert atlas.main([*FLAGS, "--out", str(tmp_path)]) == 2
    assert "holds another map" in capsys.readouterr().err
