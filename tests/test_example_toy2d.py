"""The 2-D experiment: its data, its recipes, and the commands on its runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from running import load_example

import minigan as mg
from minigan.cli.main import main as minigan

example = load_example("toy2d")


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """Run in an empty folder, where points.csv holds points."""
    monkeypatch.chdir(tmp_path)
    points = np.random.default_rng(0).normal(size=(50, 2))
    np.savetxt("points.csv", points, delimiter=",", header="x,y", comments="")


def small(*flags: object) -> list[str]:
    """Flags of a run that takes a moment."""
    sizes = ("--steps", 4, "--batch", 8, "--hidden", 8, "--threads", 1)
    return [*map(str, sizes), *map(str, flags)]


@pytest.mark.parametrize("data", [*example.TOYS, "points.csv"])
def test_a_run_on_each_data_opens_in_every_command(data, request, capsys):
    if data != "ring":  # one figure is painted for all
        request.getfixturevalue("unpainted")
    assert example.main(small("--data", data, "--out", "run")) == 0
    assert Path("run/toy2d.png").stat().st_size > (10_000 if data == "ring" else 0)
    assert example.main(["--out", "run", "--resume", "--threads", "1"]) == 0
    for words in (
        ["show", "run"],
        ["score", "run", "--n", "500"],
        ["sample", "run", "--n", "200", "--out", "a.png"],
        ["sample", "run", "--n", "9", "--out", "a.npy"],
        ["interpolate", "run", "--rows", "2", "--steps", "3", "--out", "b.png"],
        ["explain", "run"],
        ["profile", "run", "--steps", "2", "--batch", "4"],
    ):
        assert minigan(words) == 0, words
    assert np.load("a.npy").shape == (9, 2)
    scores = json.loads(Path("run/scores.json").read_text())
    assert scores.get("of_modes") == {"ring": 8, "grid": 25}.get(data)
    assert scores["sliced"] > 0.0


def test_the_recipes_differ_where_they_say():
    games = {name: example.build(recipe)[0] for name, recipe in example.RECIPES.items()}
    assert [games[name].penalty for name in ("plain", "packed")] == [None, None]
    assert games["packed"].discriminator.rows_multiple == example.RECIPES["packed"].pack > 1
    assert type(games["wgan_gp"].loss) is mg.Wasserstein
    assert type(games["wgan_gp"].penalty) is mg.GradientPenalty
    assert games["wgan_gp"].fresh_real
    assert [type(games[name].penalty) for name in ("r1", "stable")] == [mg.R1, mg.R1]
    assert games["stable"].average is not None


def test_the_grid_is_the_usual_one_in_another_unit():
    recipe = example.RECIPES["stable"]
    grid = example.points(example.Recipe(data="grid"))
    np.testing.assert_allclose(grid.modes * recipe.grid_unit, mg.Grid().modes, atol=1e-12)
    assert grid.std * recipe.grid_unit == pytest.approx(mg.Grid().std)


@pytest.mark.usefixtures("unpainted")
def test_the_folder_of_a_run_on_a_file_has_the_files_name(capsys):
    Path("points.csv").rename(Path("there").absolute().with_suffix(".csv"))
    file = Path("there.csv").absolute()
    assert example.main(small("--data", file)) == 0
    assert [path.name for path in Path("runs").iterdir()] == ["toy2d-there.csv-stable-seed0"]
    assert example.main(["--data", str(file), "--resume", "--threads", "1"]) == 0
    assert "continuing after step 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("rings", "--data must be ring, grid, spiral, moons or a file FILE.csv, not 'rings'"),
        ("none.csv", "cannot read none.csv"),
        ("bad.csv", "bad.csv, line 2: must be two finite numbers"),
    ],
)
def test_data_that_cannot_be_are_refused_in_a_sentence(data, said, capsys):
    Path("bad.csv").write_text("1,2\n3\n")
    assert example.main(small("--data", data, "--out", "run")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not Path("run").exists()


def test_a_population_trains_as_each_seed_alone():
    recipe = example.Recipe(steps=3, batch=8, hidden=8)
    samples = []
    for seeds in ([3, 4], 4):
        game, data = example.build(recipe, seeds)
        game.bind(recipe.batch)
        for _ in range(3):
            data.next_batch(out=game.real)
            game.step()
        samples.append(game.sample(5, seed=0))
    np.testing.assert_array_equal(samples[0][1], samples[1])
