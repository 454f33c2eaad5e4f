"""The benches' own machinery; what they measure is under bench/results/."""

from __future__ import annotations

import dataclasses

import pytest

import minigan as mg
from bench import dcgan, image_recipes, mnist_recipes
from examples.dcgan import RECIPES as CONVOLUTIONS
from examples.mnist import RECIPES

SMALL = {"data": "digits", "hidden": 4, "epochs": 1, "batch": 100}
TINY = {
    "mnist": dataclasses.replace(RECIPES["stable"], **SMALL),
    "dcgan": dataclasses.replace(CONVOLUTIONS["stable"], **SMALL, channels=2),
}


@pytest.fixture(autouse=True)
def scores_that_cost_nothing(monkeypatch):
    def score(words):
        print('{"frechet": 1.0, "histogram": [0.1], "speckle": 0.0, "seed": 0}')
        return 0

    monkeypatch.setattr(image_recipes, "minigan", score)


@pytest.mark.parametrize("example", TINY)
def test_a_bench_that_was_stopped_goes_on(example, tmp_path, monkeypatch):
    fit = mg.Trainer.fit

    def stopped(*args, **settings):
        raise KeyboardInterrupt

    job = image_recipes.Job(example, "stable", TINY[example], 3, tmp_path, None)
    monkeypatch.setattr(mg.Trainer, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):  # in its first epoch, before any checkpoint
        image_recipes.measure(job)
    monkeypatch.setattr(mg.Trainer, "fit", fit)
    assert image_recipes.measure(job)["seed"] == 3
    assert mg.load_run(tmp_path / "stable-seed3").gan.step_count == 15

    def trained(*args, **settings):
        raise AssertionError("a finished run was trained again")

    monkeypatch.setattr(mg.GAN, "step", trained)
    image_recipes.measure(job)  # finished: only scored again


def test_runs_of_another_recipe_are_refused(tmp_path):
    job = image_recipes.Job("mnist", "stable", TINY["mnist"], 0, tmp_path, None)
    image_recipes.measure(job)
    other = job._replace(recipe=dataclasses.replace(job.recipe, fake_target=0.1))
    with pytest.raises(mg.ConfigError, match="another recipe"):
        image_recipes.measure(other)


def test_rates_are_a_factor_on_both():
    recipe = image_recipes.changed(CONVOLUTIONS, "stable, rates doubled", {"rates": 2.0})
    own = CONVOLUTIONS["stable"]
    assert (recipe.d_lr, recipe.g_lr) == (2.0 * own.d_lr, 2.0 * own.g_lr)
    assert (recipe.name, recipe.data, recipe.epochs) == ("stable", "mnist", 10)


@pytest.mark.parametrize("bench", [dcgan, mnist_recipes])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "x.txt"], "must be a .md file"),
        (["--out", "no/such/x.md"], "must be a .md file"),
    ],
)
def test_refusals_come_before_the_work(bench, words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        bench.main(words)
    assert end.value.code == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
