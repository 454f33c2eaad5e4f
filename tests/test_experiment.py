"""An experiment of one's own, on a data source of one's own, gets everything an example has."""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import importlib.util
import json
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest
from harness import registered_only_here
from running import interrupted_at, run_python

import minigan as mg
from minigan.cli.main import main as minigan
from minigan.command_line import natural, real
from minigan.config import CLASSES
from minigan.experiment import Experiment, flag, resuming
from minigan.experiment.recipe import AUTO, flags_of, from_json, goal_of

SOURCE = Path(__file__).with_name("two_peaks.py")


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """Run in an empty folder; classes that the experiment registers are forgotten at the end."""
    monkeypatch.chdir(tmp_path)
    with registered_only_here():
        yield


@pytest.fixture
def own() -> ModuleType:
    """The experiment's module, fresh."""
    spec = importlib.util.spec_from_file_location("two_peaks", SOURCE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["two_peaks"] = module
    spec.loader.exec_module(module)
    return module


def contents(folder: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in Path(folder).iterdir() if file.suffix}


def test_it_is_one_page():
    assert len(SOURCE.read_text(encoding="utf-8").splitlines()) <= 60


def test_as_a_stranger_runs_it(own, unpainted, tmp_path, capsys):
    words = ["--steps", "40", "--out", "run"]
    assert own.experiment.main([*words, "--dry-run"]) == 0
    assert "nothing was trained" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    out = run_python(SOURCE, *words).stdout
    assert max(map(len, out.partition("run folder")[0].splitlines())) <= 80
    for line in (
        "recipe plain, seed 0, 40 steps of 64 samples, device cpu, 1 thread",
        "  data TwoPeaks: distance 2",
        "  G has 97 parameters: Linear(1, 32), LeakyReLU(0.2), Linear(32, 1)",
        "real data: mean 0.000   std 2.062",
        f"figure     {Path('run', 'two_peaks.png')}",
    ):
        assert line in out.splitlines()
    assert {"recipe.json", "history.csv", "best.safetensors", "two_peaks.png"} <= set(
        contents("run")
    )
    assert own.experiment.main(["--out", "run", "--resume"]) == 0
    assert "continuing after step 40" in capsys.readouterr().out


def test_its_flags_are_those_of_every_experiment(own, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        own.experiment.main(["--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "Teach a generator two peaks" in out
    for word in (
        *("--recipe {plain}", "--steps N", "--distance N", "--seed N", "--device", "--no-graph"),
        *("--threads N", "--out DIR", "--resume", "--set FIELD=VALUE", "--on-nan", "--show"),
        *("--dry-run", "of the peaks from 0 (default: 2.0)", "runs/two_peaks-RECIPE-seedN"),
    ):
        assert word in out
    assert "--data-dir" not in out
    assert "--hidden" not in out


def test_interrupted_and_resumed_it_ends_in_the_same_bytes(own, capsys):
    flags = ["--steps", "60", "--seed", "3", "--distance", "1.5"]
    assert own.experiment.main([*flags, "--out", "whole"]) == 0
    with interrupted_at(37):
        assert own.experiment.main([*flags, "--out", "cut"]) == 130
    assert "--out cut --resume" in capsys.readouterr().err
    assert own.experiment.main(["--out", "cut", "--resume"]) == 0
    assert contents("cut") == contents("whole")


@pytest.mark.usefixtures("unpainted")
def test_it_can_be_extended_and_changed(own, capsys):
    main = own.experiment.main
    assert main(["--steps", "20"]) == 0
    words = ["--resume", "--set", "steps=30", "--set", "print_every=5", "--set"]
    assert main([*words, "generator_lr=0.5", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "would set recipe.steps: 20 -> 30" in out
    assert "would set generator_lr: 0.001 -> 0.5" in out
    assert main([*words, "generator_lr=0.5"]) == 0
    run = mg.load_run("runs/two_peaks-plain-seed0")
    assert (run.gan.step_count, run.gan.generator_optimizer.lr) == (30, 0.5)
    assert run.description["changes"] == {
        "recipe.steps": [20, 30],
        "trainer.print_every": [1, 5],
    }
    assert run.metadata["rates"] == [{"step": 20, "rate": "generator_lr", "lr": [0.001, 0.5]}]
    assert minigan(["show", str(run.folder)]) == 0
    assert "generator_lr: 0.001 -> 0.5 after step 20" in capsys.readouterr().out


@pytest.mark.usefixtures("unpainted")
def test_what_does_not_go_with_the_run_is_refused(own, capsys):
    assert own.experiment.main(["--steps", "4", "--out", "run"]) == 0
    before = contents("run")
    for flags, told in (
        (["--seed", "1"], "holds a run with --seed 0, not 1"),
        (["--distance", "3"], "holds a run with --distance 2.0, not 3.0"),
        (["--steps", "3"], "has come to step 4 already, past 3"),
        (["--set", "hidden=3"], "'hidden' of this run cannot be changed, only steps, print_every"),
        (["--set", "steps="], "must be FIELD=VALUE, not 'steps='"),
        (["--set", "recipe.hidden=3"], "must be FIELD=VALUE"),
        (["--set", "distance=3"], "'distance' of this run cannot be changed"),
        (["--set", "generator_lr=-1"], "must be a finite number and >= 0"),
        (["--set", "painter_lr=1"], "'painter_lr' of this run cannot be changed"),
    ):
        try:
            code = own.experiment.main(["--out", "run", "--resume", *flags])
        except SystemExit as end:  # argparse's way
            code = end.code
        assert code == 2
        assert told in capsys.readouterr().err
        assert contents("run") == before


# -- the recipe is the one truth --------------------------------------------------------------


@pytest.mark.usefixtures("unpainted")
def test_a_program_that_builds_something_else_is_refused(own, capsys):
    """The definition that the recipe built once is a check on what it builds today."""
    assert own.experiment.main(["--steps", "4", "--out", "run"]) == 0

    def edited(recipe: Any, options: Any) -> Any:
        return own.build(dataclasses.replace(recipe, hidden=recipe.hidden + 1), options)

    changed = dataclasses.replace(own.experiment, build=edited)
    assert changed.main(["--out", "run", "--resume"]) == 2
    error = capsys.readouterr().err
    assert "run was trained with another GAN than is built now: " in error
    assert "gan.generator.layers[0].out_features is 33, was 32" in error
    assert error.count("\n") == 1

    def farther(recipe: Any, options: Any) -> Any:
        return own.build(dataclasses.replace(recipe, distance=3.0), options)

    changed = dataclasses.replace(own.experiment, build=farther)
    assert changed.main(["--out", "run", "--resume"]) == 2
    assert "was trained on other data: distance differ" in capsys.readouterr().err


@pytest.mark.usefixtures("unpainted")
def test_a_run_of_another_length_that_would_be_another_run(own, capsys):
    """Also where no learning rate falls: what the length decides is named."""

    def build(recipe: Any, options: Any) -> Any:
        game, data = own.build(recipe, options)
        rate = 0.1 / recipe.steps
        optimizers = [mg.Adam(net.parameters, rate) for net in (game.generator, game.discriminator)]
        return mg.GAN(game.generator, game.discriminator, game.noise, None, *optimizers), data

    changed = dataclasses.replace(own.experiment, build=build)
    assert changed.main(["--steps", "4", "--out", "run"]) == 0
    assert changed.main(["--steps", "8", "--out", "run", "--resume"]) == 2
    error = capsys.readouterr().err
    assert "gan.generator_optimizer.lr is 0.0125, was 0.025" in error
    assert "it cannot continue to 8 steps: start a new run" in error


@dataclasses.dataclass(frozen=True)
class Recipe:
    name: str = "a"
    epochs: int = flag(2, natural, "passes")
    betas: tuple[float, ...] = (0.5, 0.9)
    rate: float = flag(0.1, real, "of learning, in %", name="--learning-rate")
    data: str = flag("auto", str, "a set", choices=["auto", "mnist"])
    batch: int = 5


RECIPES = {"a": Recipe(), "b": Recipe("b", rate=0.2)}


def test_a_recipe_comes_back_from_json():
    saved = json.loads(json.dumps(dataclasses.asdict(RECIPES["b"]) | {"seed": 7}))
    assert from_json(Path("run"), saved, RECIPES) == (RECIPES["b"], 7)
    assert goal_of(RECIPES["a"]) == "epochs"
    assert [*flags_of(Recipe)] == ["epochs", "rate", "data"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"more": 1}, "its recipe has 'more'"),
        ({"batch": None}, "its recipe lacks 'batch'"),
        ({"name": None}, "its recipe lacks 'name'"),
        ({"seed": None}, "its recipe lacks 'seed'"),
        ({"seed": "x"}, "seed is 'x'"),
        ({"epochs": 2.5}, "epochs is 2.5"),
        ({"epochs": True}, "epochs is True"),
    ],
)
def test_what_is_no_recipe_of_the_experiment(change, told):
    saved = {**dataclasses.asdict(Recipe()), "seed": 7, **change}
    saved = {name: value for name, value in saved.items() if value is not None}
    with pytest.raises(mg.CheckpointError, match=f"run of another experiment: .*{told}"):
        from_json(Path("run"), saved, RECIPES)


def test_the_flags_of_a_recipe(capsys):
    seen = []

    def build(recipe: Recipe, options: Any) -> Any:
        seen.append(recipe)
        raise mg.DataError("no more is needed")

    experiment = Experiment("fields", RECIPES, build, "help")
    assert experiment.recipe() == RECIPES["a"]  # the first one
    assert experiment.main([]) == 2
    assert experiment.main(["--recipe", "b", "--epochs", "0", "--learning-rate", "3"]) == 2
    assert experiment.main(["--recipe", "b", "--data", "mnist"]) == 2
    assert seen == [
        Recipe(),
        Recipe("b", 0, rate=3.0),
        Recipe("b", rate=0.2, data="mnist"),
    ]
    with pytest.raises(SystemExit):
        experiment.main(["--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "--learning-rate N of learning, in % (default: the recipe's)" in out
    assert "--epochs N passes (default: 2)" in out
    assert "a set (default: auto)" in out
    assert "--data-dir" not in out
    with pytest.raises(mg.ConfigError, match=r"fields.py has no recipe 'c'; choose from a, b"):
        experiment.recipe("c")


def test_a_field_that_came_later_has_its_default():
    saved = {"name": "b", "epochs": 4, "batch": 5, "seed": 7}
    assert from_json(Path("run"), saved, RECIPES) == (Recipe("b", 4), 7)


def made(*fields: Any) -> Any:
    """A recipe of such fields, with the values 1."""
    kind = dataclasses.make_dataclass("Odd", [("name", str), *fields], frozen=True)
    return kind("a", *[1 for _ in fields])


STEPS, BATCH = ("steps", int), ("batch", int)


@pytest.mark.parametrize(
    ("recipes", "told"),
    [
        ({}, "objects of one dataclass"),
        ({"a": 1}, "objects of one dataclass"),
        ({"a": Recipe}, "objects of one dataclass"),
        ({"a": Recipe(), "b": made(STEPS, BATCH)}, "objects of one dataclass"),
        ({"a": made(BATCH)}, "either steps or epochs"),
        ({"a": made(STEPS, BATCH, ("epochs", int))}, "either steps or epochs"),
        ({"a": made(STEPS)}, "needs the fields name, batch, and either"),
        ({"a": made(STEPS, BATCH, ("seed", int))}, "cannot have the field 'seed'"),
        ({"a": made(STEPS, BATCH, ("out", int))}, "cannot have the field 'out'"),
        ({"b": Recipe()}, "under 'b' has the name 'a'"),
        ({"a": Recipe(betas=[0.5])}, "not kept by JSON"),
        ({"a": Recipe(betas={1: 2})}, "not kept by JSON"),
    ],
)
def test_recipes_that_are_none_are_refused_at_once(recipes, told):
    with pytest.raises(mg.ConfigError, match=told):
        Experiment("odd", recipes, lambda recipe, options: None, "help")


def test_a_dry_run_refuses_what_the_run_would(own, capsys):
    """Epochs of data without end."""

    def build(recipe: Recipe, options: Any) -> Any:
        return own.build(own.Recipe(), options)

    experiment = Experiment("odd", RECIPES, build, "help")
    for flags in (["--dry-run"], []):
        assert experiment.main(flags) == 2
        assert "no end, so no epochs" in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.usefixtures("unpainted")
def test_a_failing_build_is_not_the_folders_fault(own):
    """It is a traceback, in a new run and in a resumed one alike."""
    assert own.experiment.main(["--steps", "4", "--out", "run"]) == 0

    def broken(recipe: Any, options: Any) -> Any:
        raise ZeroDivisionError

    changed = dataclasses.replace(own.experiment, build=broken)
    for flags in (["--out", "run", "--resume"], ["--out", "new"]):
        with pytest.raises(ZeroDivisionError):
            changed.main(flags)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"build": lambda recipe, options: None},
            "build must return (game, data source), not None",
        ),
        ({"build": lambda recipe, options: (1, 2)}, "build must return (game, data source)"),
        ({"finish": lambda trainer, recipe: 5}, "finish must return {title: value} or None, not 5"),
        ({"watch": lambda trainer, recipe: trainer.every(1, "day", print)}, "unit must be one of"),
    ],
)
def test_what_a_part_of_an_experiment_must_return(own, change, told, capsys):
    changed = dataclasses.replace(own.experiment, **change)
    assert changed.main(["--steps", "4", "--out", "run"]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.usefixtures("unpainted")
def test_an_automatic_goal_is_a_number_when_training_begins(own, capsys):
    def build(recipe: Any, options: Any) -> Any:
        return own.build(dataclasses.replace(recipe, steps=4), options)

    recipes = {"plain": dataclasses.replace(own.experiment.recipe(), steps=AUTO)}
    changed = dataclasses.replace(own.experiment, recipes=recipes, build=build)
    assert changed.main(["--out", "run"]) == 2
    assert "settle must replace 'auto' by a number of steps" in capsys.readouterr().err
    assert not Path("run").exists()
    assert changed.main(["--out", "run", "--steps", "4"]) == 0
    settled = dataclasses.replace(
        changed, settle=lambda recipe, data: dataclasses.replace(recipe, steps=3)
    )
    assert settled.main(["--out", "settled"]) == 0
    assert mg.load_run("settled").gan.step_count == 3


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"name": "a/b"}, "part of file names"),
        ({"name": ""}, "part of file names"),
        ({"checkpoint_every": 0}, "checkpoint_every must be an integer >= 1"),
        ({"recipes": {"a": Recipe(epochs=3e2)}}, "epochs of the recipe 'a' must be an integer"),
    ],
)
def test_settings_of_an_experiment_are_checked_at_once(settings, told):
    fine = {"name": "odd", "recipes": RECIPES, "build": lambda recipe, options: None, "help": ""}
    with pytest.raises(mg.ConfigError, match=told):
        Experiment(**fine | settings)
    with pytest.raises(mg.ConfigError, match="bool makes True of any text"):
        flag(True, bool, "either way")


def test_a_failing_callback_says_where(own, capsys):
    def watch(trainer: mg.Trainer, recipe: Any) -> None:
        trainer.every(3, "step", lambda trainer: {}["missing"])

    changed = dataclasses.replace(own.experiment, watch=watch)
    assert changed.main(["--steps", "4", "--out", "run"]) == 2
    error = capsys.readouterr().err
    assert "called after step 3: KeyError: 'missing' (test_experiment.py, line " in error


def test_a_build_for_another_device_is_refused(own, cupy, capsys):
    """It would train where nobody asked it to."""

    def build(recipe: Any, options: Any) -> Any:
        return own.build(recipe, dataclasses.replace(options, device="cpu"))

    changed = dataclasses.replace(own.experiment, build=build)
    assert changed.main(["--steps", "4", "--out", "run", "--device", "cuda"]) == 2
    assert "builds its game on another device than --device" in capsys.readouterr().err


@pytest.mark.usefixtures("unpainted")
def test_a_resumed_run_is_described_with_its_rates_of_today(own, capsys):
    assert own.experiment.main(["--steps", "4", "--out", "run"]) == 0
    words = ["--steps", "8", "--out", "run", "--resume"]
    assert own.experiment.main([*words, "--set", "generator_lr=0.25"]) == 0
    assert "G learns by Adam: lr 0.25," in capsys.readouterr().out
    assert own.experiment.main(["--out", "run", "--resume"]) == 0
    out = capsys.readouterr().out
    assert "G learns by Adam: lr 0.25," in out
    assert "continuing after step 8; there is nothing left to train" in out


@pytest.mark.usefixtures("unpainted")
def test_the_latest_run_is_one_that_has_begun(own, capsys):
    assert own.experiment.main(["--steps", "4"]) == 0
    assert own.experiment.main(["--steps", "4"]) == 0
    Path("runs/two_peaks-plain-seed0-3").mkdir()  # of a start that was killed
    assert own.experiment.main(["--resume"]) == 0
    assert f"run folder {Path('runs', 'two_peaks-plain-seed0-2')}" in capsys.readouterr().out
    assert own.experiment.main(["--steps", "4"]) == 0
    assert Path("runs/two_peaks-plain-seed0-4/recipe.json").exists()


@pytest.mark.usefixtures("unpainted")
def test_watch_and_finish(own, capsys):
    seen = []

    def watch(trainer: mg.Trainer, recipe: Any) -> None:
        trainer.every(4, "step", lambda t: seen.append(t.gan.step_count))

    def finish(trainer: mg.Trainer, recipe: Any) -> dict[str, Any]:
        return {"distance": recipe.distance, "at": trainer.gan.step_count}

    changed = dataclasses.replace(own.experiment, watch=watch, finish=finish, files=["mine"])
    assert changed.main(["--steps", "10", "--out", "run"]) == 0
    assert seen == [4, 8]
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "run folder run",
        "distance   2.0",
        "at         10",
    ]
    assert not Path("run/two_peaks.png").exists()
    Path("taken/mine").mkdir(parents=True)
    assert changed.main(["--steps", "10", "--out", "taken"]) == 2
    assert "already holds a part of a run (mine)" in capsys.readouterr().err


def test_a_figure_that_fails_costs_no_run(own, monkeypatch, capsys):
    def fails(*args: Any) -> None:
        raise RuntimeError("latex could not be found")

    monkeypatch.setattr("minigan.evaluation.plots.save_figure", fails)
    for experiment in (own.experiment, dataclasses.replace(own.experiment, finish=fails)):
        out = f"run-{experiment.finish is None}"
        assert experiment.main(["--steps", "4", "--out", out]) == 2
        told = capsys.readouterr().err.splitlines()
        assert len(told) == 1
        assert f"called after training (the run in {out} is saved): RuntimeError: latex" in told[0]
        assert mg.load_run(out).gan.step_count == 4


@pytest.mark.usefixtures("unpainted")
def test_its_runs_open_in_the_commands(own, capsys):
    assert own.experiment.main(["--steps", "20", "--out", "run"]) == 0
    for words in (
        ["show", "run"],
        ["sample", "run", "--out", "a.npy", "--n", "7"],
        ["score", "run", "--n", "100"],
        ["explain", "run"],
        ["profile", "run", "--steps", "1"],
        ["interpolate", "run", "--out", "b.npy", "--rows", "2", "--steps", "3"],
        ["export", "run", "--to", "pytorch", "g.safetensors"],
    ):
        assert minigan(words) == 0, words
    assert (
        "two_peaks.py, recipe plain: batch 64"
        in run_python("-m", "minigan", "profile", SOURCE, "--steps", 1).stdout
    )
    assert np.load("a.npy").shape == (7, 1)
    assert np.load("b.npy").shape == (6, 1)
    for command in ("sample", "interpolate"):
        assert minigan([command, "run", "--out", "a.png"]) == 0
    capsys.readouterr()
    with mock.patch.dict(CLASSES["data"]):
        del CLASSES["data"]["TwoPeaks"]
        assert minigan(["sample", "run", "--out", "b.png"]) == 2
    assert "on TwoPeaks, which is not registered here: minigan --import" in capsys.readouterr().err


def test_the_way_to_continue_names_the_program(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["examples/two peaks.py", "--steps", "9"])
    (tmp_path / "recipe.json").touch()
    args = argparse.Namespace(out=tmp_path, device="cpu")
    assert resuming.how_to_resume(args).startswith(
        "interrupted; continue with: python 'examples/two peaks.py' --out "
    )


def test_the_way_to_continue_names_the_device_and_the_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    args = argparse.Namespace(out=Path(tmp_path.name), device="cpu", threads=2, data_dir=None)
    assert resuming.how_to_resume(args) == "interrupted; nothing was begun"
    (tmp_path / "recipe.json").touch()
    assert resuming.how_to_resume(args).endswith(
        f"--out {shlex.quote(tmp_path.name)} --resume --threads 2"
    )
    monkeypatch.chdir(Path(__file__).parent)
    args = argparse.Namespace(out=tmp_path, device="cuda:1", data_dir=tmp_path)
    assert resuming.how_to_resume(args).endswith(
        f"--data-dir {shlex.quote(str(tmp_path))} --device cuda:1"
    )


# -- several at once ----------------------------------------------------------------------


@pytest.mark.usefixtures("unpainted")
def test_experiments_that_start_at_once_get_a_folder_each(own, tmp_path, monkeypatch):
    """The second one starts just before the first one makes its run."""
    module = sys.modules[Experiment.__module__]
    describe, others = module.describe, [["--steps", "2"], ["--steps", "2"]]

    def meanwhile(*args: Any) -> None:
        if others:
            assert own.experiment.main(others.pop()) == 0
        describe(*args)

    monkeypatch.setattr(module, "describe", meanwhile)
    assert own.experiment.main(["--steps", "1"]) == 0
    runs = sorted(file.parent.name for file in Path("runs").rglob("recipe.json"))
    assert runs == ["two_peaks-plain-seed0", "two_peaks-plain-seed0-2", "two_peaks-plain-seed0-3"]


def test_a_new_folder_has_one_owner(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: resuming.next_free(tmp_path / "a" / "b", True), range(24)))
    numbers = ["b", *(f"b-{number}" for number in range(2, 25))]
    assert sorted(made) == sorted(tmp_path / "a" / name for name in numbers)
    assert resuming.next_free(tmp_path / "a" / "b", False) == tmp_path / "a" / "b-25"
    assert not (tmp_path / "a" / "b-25").exists()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(mg.FileError, match="cannot make folder"):
        resuming.next_free(tmp_path / "file" / "b", True)


def test_a_start_that_fails_leaves_no_folder(own, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(own.TwoPeaks, "to_config", lambda self: {"data": "unknown"})
    assert own.experiment.main(["--steps", "1"]) == 2
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_new_run_folder_that_cannot_be_made_is_tried_once(tmp_path, monkeypatch):
    def full(path: Path, **options: Any) -> Path:
        if path == tmp_path:
            return path
        tried.append(path)
        assert len(tried) == 1
        raise mg.FileError(28, "No space left on device")

    tried: list[Path] = []
    monkeypatch.setattr(resuming, "make_folder", full)
    with pytest.raises(mg.FileError, match="No space left"):
        resuming.next_free(tmp_path / "b", True)
