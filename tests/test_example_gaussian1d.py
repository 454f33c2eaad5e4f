"""The 1-D experiment as a stranger runs it: flags, files, refusals, and what comes out."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from running import ROOT, interrupted_at, load_example, run_python

import minigan as mg
from minigan.evaluation.forms import generator_map

SCRIPT = ROOT / "examples" / "gaussian1d.py"

example = load_example("gaussian1d")


def run(*flags: object, code: int = 0, **variables: str) -> subprocess.CompletedProcess:
    """The script as a subprocess."""
    return run_python(SCRIPT, *flags, code=code, **variables)


def test_a_short_run_writes_what_it_names(tmp_path):
    done = run("--steps", 60, "--out", tmp_path / "run")
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert names - {".lock"} == {
        "recipe.json",
        "history.csv",
        "checkpoint.safetensors",
        "checkpoint-previous.safetensors",
        "best.safetensors",
        "gaussian1d.png",
    }
    assert done.stdout.rstrip().endswith(str(tmp_path / "run" / "gaussian1d.png"))
    assert "KS" in done.stdout


@pytest.mark.usefixtures("unpainted")
def test_a_run_without_stdout_is_a_whole_run(tmp_path, monkeypatch):
    """As with `>&-` in a shell: Python sets sys.stdout to None."""
    monkeypatch.setattr(sys, "stdout", None)
    assert example.main(["--steps", "60", "--out", str(tmp_path / "run")]) == 0
    sys.stdout.close()  # the command has opened another one
    assert (tmp_path / "run" / "gaussian1d.png").exists()


def test_dry_run_writes_nothing(tmp_path, capsys):
    assert example.main(["--dry-run", "--out", str(tmp_path / "run")]) == 0
    assert "stable" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_help_teaches():
    text = run("--help").stdout
    for word in ("generator", "discriminator", "article", "stable", "--resume", "examples:"):
        assert word in text


def test_interrupted_and_resumed_run_ends_in_the_same_bytes(tmp_path, capsys):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert example.main(["--steps", "200", "--seed", "3", "--out", str(whole)]) == 0
    with interrupted_at(117):
        assert example.main(["--steps", "200", "--seed", "3", "--out", str(cut)]) == 130
    assert "--resume" in capsys.readouterr().err
    assert example.main(["--out", str(cut), "--resume"]) == 0
    for name in ("checkpoint.safetensors", "history.csv", "recipe.json", "gaussian1d.png"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.usefixtures("unpainted")
def test_article_run_can_be_extended_and_stable_cannot(tmp_path, capsys):
    run_folder = ["--out", str(tmp_path / "a")]
    assert example.main(["--recipe", "article", "--steps", "20", *run_folder]) == 0
    assert example.main(["--resume", "--steps", "40", *run_folder]) == 0
    assert mg.Trainer.resume(tmp_path / "a").gan.step_count == 40
    assert example.main(["--resume", *run_folder]) == 0  # does not fall back to 20
    assert "continuing after step 40" in capsys.readouterr().out
    assert example.main(["--resume", "--steps", "30", *run_folder]) == 2
    assert "step 40 already" in capsys.readouterr().err
    run_folder = ["--out", str(tmp_path / "s")]
    assert example.main(["--recipe", "stable", "--steps", "20", *run_folder]) == 0
    assert example.main(["--resume", "--steps", "40", *run_folder]) == 2
    assert "decay.end is 40, was 20" in capsys.readouterr().err


@pytest.mark.usefixtures("unpainted")
def test_default_folder_is_always_a_new_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for _ in range(3):
        assert example.main(["--steps", "2"]) == 0
    names = sorted(p.name for p in (tmp_path / "runs").iterdir())
    assert names == [f"gaussian1d-stable-seed0{s}" for s in ("", "-2", "-3")]
    assert example.main(["--steps", "2", "--resume"]) == 0  # the latest one
    assert "seed0-3" in capsys.readouterr().out.splitlines()[-1]


DAMAGE = [
    *[("x", 1), ("steps", "x"), ("steps", None), ("betas", [0.9]), ("betas", "ab"), ("mean", 7)],
    *[("std", "x"), ("real_target", 5), ("batch", "x"), ("average", "x"), ("d_slope", "x")],
    *[("pack", "x"), ("d_lr", "x"), ("seed", "x"), ("hidden", 7)],
]


class TestRefusals:
    """One sentence on stderr, exit code 2, nothing written."""

    @pytest.fixture(autouse=True)
    def _captured(self, capsys, unpainted):
        self.capsys = capsys

    def refused(self, *flags: object) -> str:
        try:
            code = example.main([str(flag) for flag in flags])
        except SystemExit as end:  # argparse's way
            code = end.code
        assert code == 2
        sentence = self.capsys.readouterr().err.strip().splitlines()[-1]
        assert "error:" in sentence
        return sentence

    def test_as_a_process(self, tmp_path):
        done = run("--device", "cuda", "--out", tmp_path / "run", code=2)
        assert "cuda" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize(
        ("flags", "told"),
        [
            (["--recipe", "magic"], "magic"),
            (["--steps", "0"], ">= 1"),
            (["--steps", "-5"], ">= 1"),
            (["--steps", "many"], ">= 1"),
            (["--seed", "-1"], ">= 0"),
            (["--device", "cuda"], "cuda"),
            (["--device", "abacus"], "abacus"),
            (["--colour"], "--colour"),
            (["--out", ""], "empty"),
        ],
    )
    def test_flags(self, flags, told, tmp_path):
        assert told in self.refused("--out", tmp_path / "run", *flags)
        assert not (tmp_path / "run").exists()

    def test_show_without_a_window(self, tmp_path):
        done = run("--show", "--out", tmp_path / "run", code=2, MPLBACKEND="Agg")
        assert "--show" in done.stderr
        assert not (tmp_path / "run").exists()

    def test_show_with_a_backend_that_is_not_here(self, tmp_path):
        done = run("--show", "--out", tmp_path / "run", code=2, MPLBACKEND="nonsense")
        assert "cannot open a window" in done.stderr.splitlines()[-1]
        assert "nonsense" in done.stderr.splitlines()[-1]
        assert not (tmp_path / "run").exists()

    def test_matplotlib_that_cannot_start(self, tmp_path, monkeypatch):
        (tmp_path / "matplotlibrc").write_bytes(b"# \xff")
        rc = str(tmp_path / "matplotlibrc")
        done = run("--steps", 1, "--out", tmp_path / "run", code=2, MATPLOTLIBRC=rc)
        assert "Matplotlib cannot start" in done.stderr.splitlines()[-1]
        assert not (tmp_path / "run").exists()

    def test_unwritable_folder(self, tmp_path):
        (tmp_path / "file").write_text("")
        assert "file" in self.refused("--steps", 5, "--out", tmp_path / "file" / "run")

    def test_taken_folder_of_a_dry_run(self, tmp_path):
        assert example.main(["--steps", "5", "--out", str(tmp_path / "run")]) == 0
        assert "already holds a run" in self.refused("--dry-run", "--out", tmp_path / "run")

    def test_taken_folder(self, tmp_path):
        assert example.main(["--steps", "5", "--out", str(tmp_path / "run")]) == 0
        assert "already holds a run" in self.refused("--steps", 5, "--out", tmp_path / "run")

    def test_resume_from_a_missing_folder(self, tmp_path):
        assert "no run" in self.refused("--resume", "--out", tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_resume_with_another_recipe_seed_or_experiment(self, tmp_path):
        assert example.main(["--steps", "5", "--out", str(tmp_path / "run")]) == 0
        resume = ("--resume", "--out", tmp_path / "run")
        assert "--recipe stable" in self.refused(*resume, "--recipe", "article")
        assert "--seed 0" in self.refused(*resume, "--seed", 1)
        recipe = tmp_path / "run" / "recipe.json"
        good = json.loads(recipe.read_text())
        for field, value in DAMAGE:
            bad = {**good, "recipe": {**good["recipe"], field: value}}
            recipe.write_text(json.dumps(bad))
            assert f"recipe.{field} is {json.dumps(value)}, was" in self.refused(*resume)
        for damaged in ("", "[" * 100_000, "{}", json.dumps({**good, "gan": 3})):
            recipe.write_text(damaged)
            self.refused(*resume)


def test_training_that_diverges_is_said_and_fails(tmp_path, monkeypatch, capsys):
    hot = dataclasses.replace(example.RECIPES["stable"], g_lr=1e30, d_lr=1e30)
    monkeypatch.setitem(example.RECIPES, "stable", hot)
    with np.errstate(all="ignore"):
        code = example.main(["--steps", "500", "--out", str(tmp_path / "run")])
    assert code == 1
    assert "training stopped: step" in capsys.readouterr().err


def test_the_article_recipe_is_the_articles():
    gan, data = example.build(example.RECIPES["article"], seed=0)
    assert gan.generator.layers == (
        mg.Linear(1, 50),
        mg.ELU(),
        mg.Linear(50, 50),
        mg.Sigmoid(),
        mg.Linear(50, 1),
    )
    assert gan.discriminator.layers == (
        mg.Pack(100),
        mg.Linear(200, 50),
        mg.ELU(),
        mg.Linear(50, 50),
        mg.ELU(),
        mg.Linear(50, 1),
        mg.Sigmoid(),
    )
    assert gan.noise == mg.Uniform(0, 1, dim=1)
    assert gan.loss == mg.NonSaturating(
        real_target=0.95, fake_target=0.0, generator_target=0.95, probabilities=True
    )
    for optimizer in (gan.generator_optimizer, gan.discriminator_optimizer):
        assert optimizer.to_config() == {
            "optimizer": "Adam",
            "lr": 2e-4,
            "betas": [0.9, 0.999],
            "eps": 1e-8,
            "weight_decay": 0.0,
            "decay": None,
        }
    assert (data.mean, data.std) == (4.0, 1.25)
    assert gan.average is None
    assert not gan.same_noise
    assert (example.RECIPES["article"].batch, example.RECIPES["article"].steps) == (100, 30_000)


def test_nothing_in_a_recipe_but_the_data_knows_the_answer():
    """The generator starts near zero and must travel to the data by its gradients alone."""
    for recipe in example.RECIPES.values():
        gan, _ = example.build(recipe, seed=0)
        samples = gan.sample(1000, seed=0)
        assert abs(samples.mean()) < 1.0
        assert samples.std() < 0.5


def test_the_exact_map_runs_the_way_the_generator_does():
    gan, data = example.build(example.RECIPES["stable"], seed=0)
    recipe = example.RECIPES["stable"]
    for sign in (1.0, -1.0):
        last = gan.sampler.parameters.named()["4.weight"]
        z, made, _ = generator_map(gan, data)
        if (made[-1] - made[0]) * sign < 0:
            last *= -1.0
        z, made, exact = generator_map(gan, data)
        np.testing.assert_allclose(made, gan.sampler.predict(z[:, None])[:, 0], rtol=1e-6)
        assert np.sign(exact[-1] - exact[0]) == sign
        ordered = exact if sign > 0 else exact[::-1]
        middle = np.interp(0.5, z, ordered)
        assert middle == pytest.approx(recipe.mean, abs=1e-2)
        assert np.interp(0.8413, z, ordered) == pytest.approx(recipe.mean + recipe.std, abs=1e-2)


@pytest.mark.usefixtures("unpainted")
def test_training_runs_on_one_blas_thread(tmp_path, monkeypatch):
    limits = []

    class Recorder:
        def __init__(self, limits: int, user_api: str) -> None:
            self.asked = (limits, user_api)

        def __enter__(self) -> None:
            limits.append(self.asked)

        def __exit__(self, *error: object) -> None:
            limits.append("off")

    def step(self, real=None):
        assert set(limits) == {(1, "blas")}
        original(self, real)

    original = mg.GAN.step
    monkeypatch.setattr("threadpoolctl.threadpool_limits", Recorder)
    monkeypatch.setattr(mg.GAN, "step", step)
    assert example.main(["--steps", "3", "--out", str(tmp_path / "run")]) == 0
