"""The benches' own machinery; what they measure is under bench/results/."""

from __future__ import annotations

import dataclasses

import pytest

import minigan as mg
from bench import mnist_recipes as bench
from examples.mnist import RECIPES


@pytest.fixture
def tiny(monkeypatch):
    """The bench on embedded digits and narrow networks, with scores that cost nothing."""
    monkeypatch.setattr(bench, "load_images", lambda *args: mg.load_images("digits"))
    recipe = dataclasses.replace(RECIPES["stable"], hidden=4, epochs=1)
    monkeypatch.setitem(bench.RECIPES, "stable", recipe)

    def score(words):
        print('{"frechet": 1.0, "histogram": [0.1], "speckle": 0.0, "seed": 0}')
        return 0

    monkeypatch.setattr(bench, "minigan", score)
    return recipe


def test_a_bench_that_was_stopped_goes_on(tiny, tmp_path, monkeypatch):
    fit = mg.Trainer.fit

    def stopped(*args, **settings):
        raise KeyboardInterrupt

    job = ("stable", 3, tmp_path, None)
    monkeypatch.setattr(mg.Trainer, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):  # in its first epoch, before any checkpoint
        bench.measure(job)
    monkeypatch.setattr(mg.Trainer, "fit", fit)
    assert bench.measure(job)["seed"] == 3
    assert mg.load_run(tmp_path / "stable-seed3").gan.step_count == 15
    bench.measure(job)  # finished: only scored again


def test_runs_of_another_recipe_are_refused(tiny, tmp_path, monkeypatch):
    bench.measure(("stable", 0, tmp_path, None))
    monkeypatch.setitem(bench.RECIPES, "stable", dataclasses.replace(tiny, fake_target=0.1))
    with pytest.raises(mg.ConfigError, match="another recipe"):
        bench.measure(("stable", 0, tmp_path, None))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "x.txt"], "must be a .md file"),
        (["--out", "no/such/x.md"], "must be a .md file"),
    ],
)
def test_refusals_come_before_the_work(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        bench.main(words)
    assert end.value.code == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
