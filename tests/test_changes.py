"""What a run may change, what it may not, and what is left of a start or a save that failed."""

from __future__ import annotations

import errno
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from harness import poisoned, registered_only_here, start
from running import load_example

import minigan as mg
from minigan import files
from minigan.cli.main import main as minigan
from minigan.evaluation import pictures
from minigan.training.checkpoint import Checkpoint
from minigan.training.recipe_json import (
    as_json,
    change,
    differences,
    require_description,
    require_same,
)

gaussian1d, mnist = load_example("gaussian1d"), load_example("mnist")


def test_a_changed_recipe_is_refused_and_the_fields_are_named(tmp_path):
    start(tmp_path, recipe={"epochs": 3, "lr": 0.1}).fit(steps=10)
    file = tmp_path / "recipe.json"
    good = json.loads(file.read_text())
    for path, value, told in (
        (("recipe", "lr"), 0.2, "recipe.lr is 0.2, was 0.1"),
        (("recipe", "more"), 1, "recipe.more is 1, was missing"),
        (("trainer", "print_every"), 7, "trainer.print_every is 7, was 10"),
        (("gan", "average"), 0.99, "gan.average is 0.99, was 0.9"),
        (("gan", "noise", "dim"), True, "gan.noise.dim is true, was 2"),
        (("data", "seed"), 1, "data.seed is 1, was 0"),
    ):
        changed = json.loads(json.dumps(good))
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        file.write_text(json.dumps(changed))
        with pytest.raises(mg.MiniganError) as caught:
            mg.Trainer.resume(tmp_path)
        if path != ("gan", "noise", "dim"):  # (of which no GAN can be built)
            assert told in str(caught.value)
    file.write_text(json.dumps(good))
    mg.Trainer.resume(tmp_path)


def test_what_is_safe_to_change_is_changed_and_said(tmp_path, capsys):
    start(tmp_path, recipe={"epochs": 3}).fit(steps=10)
    changes = {"print_every": 4, "checkpoint_every": 8, "on_nan": "rollback", "recipe.epochs": 9}
    trainer = mg.Trainer.resume(tmp_path, changes=changes)
    assert json.loads((tmp_path / "recipe.json").read_text())["recipe"] == {"epochs": 3}  # not yet
    trainer.fit(steps=20)
    out = capsys.readouterr().out
    for told in ("trainer.print_every: 10 -> 4", "recipe.epochs: 3 -> 9", "on_nan: stop -> rol"):
        assert told in out
    rows = mg.read_history(tmp_path / "history.csv")
    assert [row["step"] for row in rows] == [10, 12, 16, 20]
    again = mg.Trainer.resume(tmp_path, progress=False)
    assert (again.print_every, again.on_nan, again.recipe) == (4, "rollback", {"epochs": 9})
    for wrong in ("batch", "unit", "recipe.unknown", "gan.average", "trainer.batch", ""):
        with pytest.raises(mg.ConfigError, match="cannot be changed"):
            mg.Trainer.resume(tmp_path, changes={wrong: 1})
    for name, value in (("print_every", 0), ("on_nan", "pray")):
        with pytest.raises(mg.ConfigError, match=name):
            mg.Trainer.resume(tmp_path, changes={name: value})


def test_a_change_outlives_a_kill_and_a_fallback(tmp_path):
    """recipe.json remembers what was changed, so older checkpoints are known to be its own."""
    start(tmp_path, recipe={"betas": [0.5, 0.9]}).fit(steps=20)
    changes = {"print_every": 7, "recipe.betas": [0.0, 0.9]}
    mg.Trainer.resume(tmp_path, changes=changes, progress=False).fit(steps=20)  # no step, no save
    mg.Trainer.resume(tmp_path, progress=False)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"rubbish")
    trainer = mg.Trainer.resume(tmp_path, progress=False)
    assert (trainer.gan.step_count, trainer.print_every) == (15, 7)
    trainer.fit(steps=30)
    assert (tmp_path / "checkpoint-damaged.safetensors").read_bytes() == b"rubbish"
    file = tmp_path / "recipe.json"
    good = json.loads(file.read_text())
    file.write_text(json.dumps(good | {"recipe": {"betas": [0.1, 0.9]}}))  # by hand
    with pytest.raises(mg.CheckpointError, match=r"recipe\.betas\[0\] is 0\.1, was 0\.0"):
        mg.Trainer.resume(tmp_path)


def test_a_fit_that_fails_after_a_fallback_can_be_repeated(tmp_path):
    start(tmp_path).fit(steps=20)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"rubbish")
    trainer = mg.Trainer.resume(tmp_path, progress=False)
    good = (tmp_path / "history.csv").read_bytes()
    (tmp_path / "history.csv").write_bytes(b"rubbish")
    with pytest.raises(mg.CheckpointError, match="not a history"):
        trainer.fit(steps=30)
    (tmp_path / "history.csv").write_bytes(good)
    trainer.fit(steps=30)
    assert mg.load_run(tmp_path).gan.step_count == 30


def test_a_word_that_is_a_dictionary_may_change(tmp_path):
    start(tmp_path, recipe={"opts": {"lr": 1}, "o[0]": 1}).fit(steps=10)
    changes = {"recipe.opts": {"lr": 2}, "recipe.o[0]": 5}
    mg.Trainer.resume(tmp_path, changes=changes, progress=False).fit(steps=10)
    assert mg.Trainer.resume(tmp_path, progress=False).recipe == {"opts": {"lr": 2}, "o[0]": 5}


def test_only_damage_is_passed_over(tmp_path, monkeypatch):
    """A file that cannot be read now, or by this version, is not treated as damaged."""
    start(tmp_path).fit(steps=20)
    with monkeypatch.context() as later:
        later.setattr("minigan.training.checkpoint.FORMAT_VERSION", 99)
        loaded = mg.load_checkpoint
        mg.save_checkpoint(tmp_path / "checkpoint.safetensors", {}, {})
    with pytest.raises(mg.CheckpointError, match="format 99"):
        mg.Trainer.resume(tmp_path)

    def unreadable(*args: object, **options: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as now:
        now.setattr(Path, "open", unreadable)
        with pytest.raises(mg.CheckpointError, match="Too many open files"):
            loaded(tmp_path / "checkpoint.safetensors")
    assert not (tmp_path / "checkpoint-damaged.safetensors").exists()


def test_saving_between_resume_and_fit(tmp_path):
    """`save` does first what `fit` would: a damaged file does not take the sound one's place."""
    start(tmp_path).fit(steps=20)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"rubbish")
    trainer = mg.Trainer.resume(tmp_path, progress=False)
    trainer.save()
    for name in ("checkpoint", "checkpoint-previous"):
        assert mg.load_checkpoint(tmp_path / f"{name}.safetensors").metadata["step"] == 15
    trainer.fit(steps=20)


@pytest.mark.usefixtures("unpainted")
def test_set_on_the_command_line(tmp_path, capsys):
    run = ["--out", str(tmp_path / "run")]
    assert gaussian1d.main(["--recipe", "article", "--steps", "20", *run]) == 0
    assert gaussian1d.main(["--resume", "--set", "steps=30", "--set", "print_every=5", *run]) == 0
    out = capsys.readouterr().out
    assert "set recipe.steps: 20 -> 30" in out
    assert "set trainer.print_every: 1 -> 5" in out
    rows = mg.read_history(tmp_path / "run" / "history.csv")
    assert [row["step"] for row in rows][-3:] == [20, 25, 30]
    assert gaussian1d.main(["--resume", "--dry-run", "--set", "steps=44", *run]) == 0
    assert "would set recipe.steps: 30 -> 44" in capsys.readouterr().out
    assert gaussian1d.main(["--resume", "--set", "steps=3", "--set", "steps=4", *run]) == 2
    assert "twice" in capsys.readouterr().err
    for flags, told in (
        (["--resume", "--set", "d_lr=3"], "'d_lr' of this run"),
        (["--resume", "--set", "steps"], "FIELD=VALUE"),
        (["--resume", "--set", "steps=x"], "steps must be an integer"),
        (["--resume", "--set", "on_nan=pray"], "pray"),
        (["--resume", "--set", "steps=40", "--steps", "50"], "twice"),
        (["--resume", "--on-nan", "stop"], "--set on_nan"),
        (["--set", "steps=40"], "--resume"),
    ):
        try:
            code = gaussian1d.main([*flags, *run])
        except SystemExit as end:  # argparse's way
            code = end.code
        assert code == 2
        assert told in capsys.readouterr().err


# -- changes while it runs ----------------------------------------------------------------


def at(step: int, trainer: mg.Trainer, changes: Mapping[str, Any]) -> mg.Trainer:
    """The trainer, which will be changed at a step."""

    def change_now(trainer: mg.Trainer) -> None:
        if trainer.gan.step_count == step:
            trainer.change(changes)

    trainer.every(step, "step", change_now)
    return trainer


def rates(folder: Path, **options: bool) -> list[dict[str, Any]] | None:
    """The record of learning rates in a checkpoint, None if there is none."""
    return mg.load_run(folder, **options).metadata.get("rates")


def lrs(gan: mg.Game) -> tuple[float, float]:
    return gan.generator_optimizer.lr, gan.discriminator_optimizer.lr


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("[!.]*.*")}


def test_an_interval_changed_in_a_fit_counts_from_then_on_and_is_written_at_once(tmp_path, capsys):
    trainer = start(tmp_path, recipe={"epochs": 3}, progress=True)
    at(10, trainer, {"print_every": 4, "recipe.epochs": 9, "checkpoint_every": 100})
    written = []
    trainer.every(11, "step", lambda trainer: written.append(mg.read_recipe(tmp_path)))
    trainer.fit(steps=21)
    assert [row["step"] for row in trainer.history.recent] == [10, 12, 16, 20, 21]
    assert mg.load_run(tmp_path, previous=True).gan.step_count == 5  # at 10 it was not due any more
    assert written[0]["trainer"]["print_every"] == 4
    assert written[0]["recipe"] == {"epochs": 9}
    assert written[0]["changes"]["trainer.checkpoint_every"] == [5, 100]
    out = capsys.readouterr().out.splitlines()
    told = [line for line in out if line.startswith("set ")]
    assert sorted(told) == [
        "set recipe.epochs: 3 -> 9",
        "set trainer.checkpoint_every: 5 -> 100",
        "set trainer.print_every: 10 -> 4",
    ]
    assert out.index(told[0]) == 1  # after the row of step 10
    assert mg.Trainer.resume(tmp_path, progress=False).print_every == 4


@pytest.mark.parametrize("write", [lambda t: t.fit(steps=20), lambda t: t.save()])
def test_a_change_before_a_fit_is_written_by_it_or_by_save(write, tmp_path):
    trainer = start(tmp_path)
    trainer.fit(steps=10)
    before = contents(tmp_path)
    trainer.change({"on_nan": "rollback"})
    trainer.change({"generator_lr": 0.25})
    assert trainer.changes == {
        "trainer.on_nan": ("stop", "rollback"),
        "generator_lr": (0.001, 0.25),
    }
    assert contents(tmp_path) == before
    write(trainer)
    assert trainer.changes == {}
    resumed = mg.Trainer.resume(tmp_path, progress=False)
    assert (resumed.on_nan, resumed.gan.generator_optimizer.lr) == ("rollback", 0.25)


def test_what_is_changed_to_what_it_is_is_not_written(tmp_path):
    trainer = start(tmp_path, recipe={"betas": [0.5, 0.9]}, progress=True)
    trainer.fit(steps=10)
    before = {file: file.stat().st_ino for file in tmp_path.iterdir()}
    trainer.change({"print_every": 10, "recipe.betas": [0.5, 0.9], "discriminator_lr": 0.01})
    trainer.change({})
    assert trainer.changes == {}
    trainer.fit(steps=10)
    assert {file: file.stat().st_ino for file in tmp_path.iterdir()} == before


def test_a_rate_is_state_and_saved_at_once(tmp_path):
    """Whoever is killed right after has it in the checkpoint, and so has the run that goes on."""
    changes = {"generator_lr": 0.0005, "discriminator_lr": 0}
    kept = []
    for name in ("whole", "cut"):
        trainer = at(7, start(tmp_path / name), changes)
        trainer.every(7, "step", lambda trainer: kept.append(mg.load_run(trainer.out)))
        if name == "whole":
            trainer.fit(steps=30)
            continue
        trainer.every(8, "step", lambda trainer: 1 / 0)
        with pytest.raises(mg.CallbackError):
            trainer.fit(steps=30)
    for run in (kept[0], kept[-1], mg.load_run(tmp_path / "cut")):
        assert run.gan.step_count == 7
        assert lrs(run.gan) == (0.0005, 0.0)
        assert run.metadata["rates"] == [
            {"step": 7, "rate": "generator_lr", "lr": [0.001, 0.0005]},
            {"step": 7, "rate": "discriminator_lr", "lr": [0.01, 0.0]},
        ]
    before = contents(tmp_path / "cut")
    resumed = mg.Trainer.resume(tmp_path / "cut", progress=False)
    assert contents(tmp_path / "cut") == before
    resumed.fit(steps=30)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert mg.read_recipe(tmp_path / "cut")["gan"] == start(tmp_path / "x").gan.to_config()
    row = resumed.history.recent[-1]
    assert row["d_lr"] == 0.0
    assert row["g_lr"] == pytest.approx(0.0005 * (1 - 29 / 10_000))


def test_show_tells_of_every_rate_that_was_set(tmp_path, capsys):
    trainer = at(
        12, start(tmp_path, print_every=1000, checkpoint_every=1000), {"generator_lr": 0.25}
    )
    trainer.fit(steps=15)
    trainer.change({"generator_lr": 1e-6})
    trainer.fit(steps=1200)
    trainer.change({"discriminator_lr": 0.125})
    trainer.save()
    assert minigan(["show", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("set")] == [
        "set        generator_lr: 0.001 -> 0.25 after step 12",
        "set        generator_lr: 0.25 -> 1e-06 after step 15",
        "set        discriminator_lr: 0.01 -> 0.125 after step 1,200",
    ]
    assert "G learns by Adam: lr 1e-06," in out


def test_an_earlier_checkpoint_does_not_know_a_later_rate(tmp_path, capsys):
    trainer = at(13, start(tmp_path), {"generator_lr": 0.25})
    at(5, trainer, {"generator_lr": 0.5})
    trainer.every(14, "step", lambda trainer: 1 / 0)  # before the goal is saved
    with pytest.raises(mg.CallbackError):
        trainer.fit(steps=14)
    assert mg.load_run(tmp_path).gan.generator_optimizer.lr == 0.25
    (tmp_path / "checkpoint.safetensors").write_bytes(b"rubbish")
    resumed = mg.Trainer.resume(tmp_path, progress=False)
    assert (resumed.gan.step_count, resumed.gan.generator_optimizer.lr) == (10, 0.5)
    resumed.fit(steps=15)
    assert rates(tmp_path) == [{"step": 5, "rate": "generator_lr", "lr": [0.001, 0.5]}]
    capsys.readouterr()
    assert minigan(["show", str(tmp_path)]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("set ")]
    assert told == ["set        generator_lr: 0.001 -> 0.5 after step 5"]


def test_a_rollback_halves_the_rate_that_was_set(tmp_path):
    """It goes back to the checkpoint that was written then, which is not a scheduled one."""
    trainer = at(7, start(tmp_path, data=poisoned(9), on_nan="rollback"), {"generator_lr": 0.25})
    with np.errstate(all="ignore"):
        trainer.fit(steps=12)
    assert trainer.rollbacks == 1
    run = mg.load_run(tmp_path)
    assert lrs(run.gan) == (0.125, 0.005)
    assert rates(tmp_path) == [{"step": 7, "rate": "generator_lr", "lr": [0.001, 0.25]}]


def test_a_rate_by_resume(tmp_path):
    start(tmp_path).fit(steps=10)
    trainer = mg.Trainer.resume(tmp_path, changes={"generator_lr": 0.5}, progress=False)
    assert trainer.changes == {"generator_lr": (0.001, 0.5)}
    assert rates(tmp_path) is None
    trainer.fit(steps=10)  # no step to take
    assert rates(tmp_path) == [{"step": 10, "rate": "generator_lr", "lr": [0.001, 0.5]}]
    assert mg.load_run(tmp_path).gan.generator_optimizer.lr == 0.5


REFUSED_CHANGES = [
    *[
        ({name: 1}, f"'{name}' of this run cannot be changed, only recipe.* and print_every, check")
        for name in ("critic_lr", "lr", "g_lr", "generator.lr", "trainer.generator_lr", "batch")
    ],
    ({"recipe.lr": 1}, "'recipe.lr' of this run cannot be changed"),
    *[
        ({"discriminator_lr": value}, "discriminator_lr must be a finite number and >= 0, not")
        for value in (-0.1, "0.1", None, True)
    ],
    *[({"discriminator_lr": value}, "") for value in (math.nan, math.inf)],
    *[({"print_every": n}, "print_every must be an integer >= 1") for n in (0, -1, 2.5, "3")],
    ({"checkpoint_every": 0}, "checkpoint_every must be an integer >= 1"),
    ({"on_nan": "pray"}, "on_nan must be 'stop' or 'rollback', not 'pray'"),
    *[({"recipe.x": value}, "plain JSON") for value in (math.nan, print, {1, 2}, [math.inf])],
]


@pytest.mark.parametrize("within", [False, True], ids=["before a fit", "in a fit"])
@pytest.mark.parametrize(("bad", "told"), REFUSED_CHANGES, ids=lambda value: str(value)[:40])
def test_of_changes_that_cannot_be_made_none_is(bad, told, within, tmp_path):
    """Also those beside it that could, and whichever comes first."""
    good = {"generator_lr": 0.5, "checkpoint_every": 2, "recipe.y": 2, "on_nan": "rollback"}
    trainer = start(tmp_path, recipe={"x": 1, "y": 1})
    before = trainer.description(), contents(tmp_path), trainer.gan.state()[1]

    def refuse(trainer: mg.Trainer) -> None:
        for changes in (bad, {**good, **bad}, {**bad, **good, **bad}):
            with pytest.raises(mg.ConfigError) as caught:
                trainer.change(changes)
            assert told in str(caught.value)
            assert trainer.changes == {}
            assert lrs(trainer.gan) == (0.001, 0.01)
            assert trainer.description() == before[0]
            assert (trainer.checkpoint_every, trainer.on_nan) == (5, "stop")

    if within:
        trainer.every(1, "step", refuse)
        trainer.fit(steps=1)
    else:
        refuse(trainer)
        assert contents(tmp_path) == before[1]
        trainer.fit(steps=1)
    assert rates(tmp_path) is None
    assert mg.Trainer.resume(tmp_path, progress=False).description() == before[0]


def test_a_rate_that_is_none_names_those_there_are(tmp_path):
    with pytest.raises(mg.ConfigError, match=r"on_nan, generator_lr, discriminator_lr$"):
        start(tmp_path).change({"critic_lr": 0.5})


def test_a_value_is_kept_as_it_was_when_it_was_given(tmp_path):
    trainer, betas = start(tmp_path, recipe={"betas": [0.5, 0.9]}), [0.0, 0.9]
    trainer.change({"recipe.betas": betas})
    betas.append(1.0)
    trainer.fit(steps=5)
    assert mg.Trainer.resume(tmp_path, progress=False).recipe == {"betas": [0.0, 0.9]}
    assert mg.read_recipe(tmp_path)["changes"] == {"recipe.betas": [[0.5, 0.9], [0.0, 0.9]]}


@pytest.mark.parametrize("full", ["recipe.json", "checkpoint.safetensors"])
def test_a_change_that_a_full_disk_keeps_out_is_written_by_the_next_fit(
    full, tmp_path, monkeypatch
):
    """Or the checkpoints that follow would not fit the recipe."""
    trainer = start(tmp_path)
    trainer.fit(steps=10)
    trainer.change({"print_every": 4, "generator_lr": 0.5})
    replace = files._replace

    def disk(source: Path, target: Path) -> None:
        if target.name == full:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_replace", disk)
        with pytest.raises(mg.FileError, match="No space left"):
            trainer.fit(steps=20)
    trainer.fit(steps=10)  # no step to take
    run = mg.Trainer.resume(tmp_path, progress=False)
    assert (run.print_every, run.gan.generator_optimizer.lr) == (4, 0.5)
    trainer.fit(steps=20)
    assert mg.Trainer.resume(tmp_path, progress=False).gan.step_count == 20


#: Of each example: its module, flags of a short run, the rate of its generator.
EXAMPLES: dict[str, tuple[ModuleType, list[str], float]] = {
    "gaussian1d": (gaussian1d, ["--steps", "20"], 0.0012),
    "mnist": (mnist, ["--data", "digits", "--hidden", "8", "--epochs", "1"], 0.002),
}


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_rate_on_the_command_line(name, tmp_path, monkeypatch, capsys):
    module, flags, rate = EXAMPLES[name]
    monkeypatch.setattr(pictures, "save_film", lambda frames, path: None)
    run = ["--threads", "1", "--out", str(tmp_path / "run")]
    assert module.experiment.main([*flags, *run]) == 0
    before = contents(tmp_path / "run")
    flag = ["--resume", "--set", "generator_lr=0.0005"]
    assert module.experiment.main([*flag, "--dry-run", *run]) == 0
    assert f"would set generator_lr: {rate} -> 0.0005\n" in capsys.readouterr().out
    assert contents(tmp_path / "run") == before
    assert module.experiment.main([*flag, *run]) == 0
    assert f"\nset generator_lr: {rate} -> 0.0005\n" in capsys.readouterr().out
    assert mg.load_run(tmp_path / "run").gan.generator_optimizer.lr == 0.0005
    done = mg.load_run(tmp_path / "run").gan.step_count
    assert rates(tmp_path / "run") == [{"step": done, "rate": "generator_lr", "lr": [rate, 0.0005]}]
    for wish, told in (
        ("d_lr=0.1", "'d_lr' of this run cannot be changed"),  # a word of the recipe
        ("g_lr=0.1", "print_every, checkpoint_every, on_nan, generator_lr, discriminator_lr\n"),
        ("critic_lr=0.1", "'critic_lr' of this run cannot be changed"),
        *[
            (f"generator_lr={x}", "must be a finite number and >= 0")
            for x in ("x", "-1", "nan", "inf")
        ],
    ):
        try:
            code = module.experiment.main(["--resume", "--set", wish, *run])
        except SystemExit as end:  # argparse's way
            code = end.code
        assert code == 2
        assert told in capsys.readouterr().err
    assert mg.load_run(tmp_path / "run").gan.generator_optimizer.lr == 0.0005


# -- what is compared -------------------------------------------------------------------

DIFFERENCES = [
    ({"a": 1}, {"a": 1}, {}),
    ({"a": 1}, {"a": 2}, {"a": ("1", "2")}),
    ({"a": 1}, {}, {"a": ("1", "missing")}),
    ({}, {"a": None}, {"a": ("missing", "null")}),
    ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, {"a.b[1]": ("2", "3")}),
    ({"a": {"b": [1, 2]}}, {"a": {"b": [1]}}, {"a.b": ("[1, 2]", "[1]")}),
    ({"a": [1]}, {"a": 1}, {"a": ("[1]", "1")}),
    ({"a": 1}, {"a": [1]}, {"a": ("1", "[1]")}),
    ({"a": {"b": 1}}, {"a": 1}, {"a": ('{"b": 1}', "1")}),
    ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, {"a[0].b": ("1", "2")}),
    ({"a": True}, {"a": 1}, {"a": ("true", "1")}),
    ({"a": 0}, {"a": False}, {"a": ("0", "false")}),
    ({"a": 1}, {"a": 1.0}, {}),  # the same number
    ({"b": 1, "a": 1}, {"a": 2, "b": 2}, {"a": ("1", "2"), "b": ("1", "2")}),
    ({"a": "x" * 70}, {"a": 1}, {"a": ('"' + "x" * 56 + "...", "1")}),
    ({"a": "x" * 59}, {"a": 1}, {"a": ('"' + "x" * 56 + "...", "1")}),
    ({"a": "x" * 58}, {"a": 1}, {"a": ('"' + "x" * 58 + '"', "1")}),
]


@pytest.mark.parametrize(("old", "new", "found"), DIFFERENCES)
def test_differences_by_hand(old, new, found):
    assert differences(old, new) == found
    assert [*differences(old, new)] == sorted(found)
    turned = {field: (there, here) for field, (here, there) in found.items()}
    assert differences(new, old) == turned


def description() -> dict:
    return {
        "recipe": {"epochs": 3, "betas": [0.5, 0.9]},
        "trainer": {"batch": 8, "print_every": 10, "checkpoint_every": 5, "on_nan": "stop"},
    }


def test_a_change_is_made_and_remembered():
    told = description()
    assert change(told, {}) == {}
    assert change(told, {"print_every": 10, "recipe.epochs": 3}) == {}
    assert told == description()  # nothing to remember
    changed = change(told, {"trainer.print_every": 4, "recipe.betas": [0.0, 0.9]})
    assert changed == {
        "trainer.print_every": (10, 4),
        "recipe.betas": ([0.5, 0.9], [0.0, 0.9]),
    }
    assert told["trainer"]["print_every"] == 4
    assert told["recipe"]["betas"] == [0.0, 0.9]
    assert change(told, {"print_every": 6}) == {"trainer.print_every": (4, 6)}
    assert told["changes"] == {
        "trainer.print_every": [10, 4, 6],
        "recipe.betas": [[0.5, 0.9], [0.0, 0.9]],
    }
    for wrong in ("batch", "trainer.batch", "recipe", "recipe.none", "data.seed", "x", ""):
        with pytest.raises(
            mg.ConfigError, match=r"cannot be changed, only recipe\.\* and print_ev"
        ):
            change(told, {wrong: 1})


def test_a_checkpoint_of_another_run_is_not_taken(tmp_path):
    """Not even by a run that is equal but for one field; of its own the changes are known."""
    start(tmp_path / "a", recipe={"epochs": 3}).fit(steps=5)
    start(tmp_path / "b", recipe={"epochs": 4}).fit(steps=5)
    start(tmp_path / "c", data=mg.Gaussian(seed=1)).fit(steps=5)
    name = "checkpoint.safetensors"
    checkpoint = mg.load_checkpoint(tmp_path / "a" / name)
    for other, told in (("b", "recipe.epochs is 4, was 3"), ("c", "data.seed is 1, was 0")):
        recipe = mg.read_recipe(tmp_path / other)
        with pytest.raises(mg.CheckpointError, match=told):
            require_same(tmp_path, checkpoint, recipe)
    recipe = mg.read_recipe(tmp_path / "b")
    require_same(tmp_path, checkpoint, recipe, all_fields=False)  # the recipe may change
    for values, known in (([3, 4], True), ([2, 4], False), ([3, 9], False)):
        changed = recipe | {"changes": {"recipe.epochs": values}}
        if known:
            require_same(tmp_path, checkpoint, changed)
        else:
            with pytest.raises(mg.CheckpointError):
                require_same(tmp_path, checkpoint, changed)
    assert checkpoint.metadata["run"]["recipe"] == {"epochs": 3}  # it was only compared
    require_same(tmp_path, checkpoint, mg.read_recipe(tmp_path / "a") | {"minigan": "0.0"})
    with pytest.raises(mg.CheckpointError, match="not one of a run"):
        require_same(tmp_path, Checkpoint({}, {"mine": 1}), recipe)


def test_a_run_is_opened_at_any_of_its_checkpoints(tmp_path):
    start(tmp_path, score=lambda gan: abs(gan.step_count - 10)).fit(steps=20)
    assert mg.load_run(tmp_path).gan.step_count == 20
    assert mg.load_run(str(tmp_path), previous=True).gan.step_count == 15
    best = mg.load_run(tmp_path, best=True)
    assert (best.gan.step_count, best.metadata["step"], best.metadata["score"]) == (10, 10, 0.0)
    assert best.folder == tmp_path
    with pytest.raises(mg.ConfigError, match="choose one"):
        mg.load_run(tmp_path, best=True, previous=True)
    (tmp_path / "checkpoint-previous.safetensors").unlink()
    with pytest.raises(mg.CheckpointError, match=r"no checkpoint at .*previous"):
        mg.load_run(tmp_path, previous=True)


def test_a_best_that_is_not_of_this_run_is_replaced(tmp_path, caplog):
    """With a warning: damaged, of another run, or without a score."""
    start(tmp_path / "other", data=mg.Gaussian(seed=1), score=lambda gan: -9.0).fit(steps=5)
    start(tmp_path / "run", score=lambda gan: 2.0).fit(steps=5)
    best = tmp_path / "run" / "best.safetensors"
    good = best.read_bytes()
    resume = lambda: mg.Trainer.resume(  # noqa: E731
        tmp_path / "run", score=lambda gan: 3.0, progress=False
    )
    assert resume()._folder.best == 2.0
    for content in (b"rubbish", (tmp_path / "other" / "best.safetensors").read_bytes()):
        best.write_bytes(content)
        caplog.clear()
        assert resume()._folder.best == math.inf
        assert "the next one that is scored will replace it" in caplog.text
    mg.Trainer.resume(tmp_path / "run", progress=False).save()  # without a score
    best.write_bytes((tmp_path / "run" / "checkpoint.safetensors").read_bytes())
    assert resume()._folder.best == math.inf
    best.write_bytes(good)
    trainer = resume()
    trainer.fit(steps=10)
    assert best.read_bytes() == good  # 3 is worse than 2
    best.write_bytes(b"rubbish")
    trainer = resume()
    trainer.fit(steps=15)
    assert mg.load_run(tmp_path / "run", best=True).gan.step_count == 15


def test_a_recipe_is_not_nested_without_end():
    recipe = {}
    recipe["itself"] = nested = []
    for _ in range(100_000):
        nested.append(nested := [])
    with pytest.raises(mg.ConfigError, match="a recipe must be plain JSON"):
        as_json(recipe)


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": [math.nan]}, object(), {1, 2}])
def test_a_recipe_is_plain_json(value, tmp_path):
    """NaN and infinity are not: other programs could not read them."""
    with pytest.raises(mg.ConfigError, match="a recipe must be plain JSON"):
        start(tmp_path / "run", recipe={"x": value})
    assert not (tmp_path / "run").exists()


DATA = mg.Gaussian().to_config()


@pytest.mark.parametrize(
    "data",
    [
        DATA | {"data": "Martian"},
        DATA | {"data": None},
        DATA | {"colour": 1},
        DATA | {"std": -1.0},
        {},
    ],
    ids=str,
)
def test_data_that_no_description_defines(data, tmp_path):
    """The files of the run agree with each other, but no such data source exists."""
    trainer = start(tmp_path)
    trainer._description["data"] = data
    vars(trainer.data)["to_config"] = lambda: data
    trainer.save()
    description = mg.read_recipe(tmp_path) | {"data": data}
    (tmp_path / "recipe.json").write_bytes(as_json(description))
    with pytest.raises(mg.CheckpointError, match="does not describe a run"):
        mg.Trainer.resume(tmp_path)


@pytest.mark.parametrize("field", ["gan", "data", "trainer", "recipe"])
@pytest.mark.parametrize("value", [None, [], 3, "x"], ids=str)
def test_a_description_has_four_dictionaries(field, value, tmp_path):
    start(tmp_path)
    good = mg.read_recipe(tmp_path)
    for bad in (good | {field: value}, {key: good[key] for key in good if key != field}):
        (tmp_path / "recipe.json").write_bytes(as_json(bad))
        with pytest.raises(mg.CheckpointError, match=r"recipe\.json does not describe a run"):
            mg.read_recipe(tmp_path)


SIZES = [0, -1, True, 1.0, "8", None, 2**31]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sizes_of_a_description_are_believable(size, tmp_path):
    """Checked before anything of this size is made."""
    start(tmp_path)
    good = mg.read_recipe(tmp_path)
    changes = [{"trainer": good["trainer"] | {"batch": size}}]
    for kind, shape in (("Samples", [3, 2]), ("Images", [3, 2, 2])):
        for i in range(len(shape)):
            changed = [*shape[:i], size, *shape[i + 1 :]]
            changes.append({"data": {"data": kind, "shape": changed}})
        changes.append({"data": {"data": kind, "shape": [*shape, 1]}})
        changes.append({"data": {"data": kind, "shape": 3}})
        require_description(good | {"data": {"data": kind, "shape": shape}})
    for change_ in changes:
        with pytest.raises(mg.ConfigError, match="not a description of a run"):
            require_description(good | change_)
    largest = {"data": "Samples", "shape": [2**31 - 1, 1]}
    require_description(good | {"data": largest})


@pytest.mark.parametrize(
    "error", [KeyError, IndexError, TypeError, ValueError, AttributeError, ZeroDivisionError]
)
def test_a_description_that_a_class_of_ones_own_cannot_read(error, tmp_path):
    class Unsure(mg.Samples):
        @classmethod
        def shape_of(cls, settings):
            raise error("such settings")

    start(tmp_path)
    bad = mg.read_recipe(tmp_path) | {"data": {"data": "Unsure"}}
    with registered_only_here():
        mg.register(Unsure)
        with pytest.raises(mg.ConfigError, match=r"of a run: data\.shape is missing$"):
            require_description(bad)


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({}, True),
        ({"recipe.epochs": [3, 4]}, True),
        ({"trainer.on_nan": ["stop"]}, True),
        ({"trainer.batch": [3, 4]}, False),
        ({"data.seed": [3, 4]}, False),
        ({"recipe.epochs": []}, False),
        ({"recipe.epochs": [3, 4], "data.seed": [3, 4]}, False),
        ({"recipe.epochs": [3, 4], "trainer.on_nan": []}, False),
        ({"recipe.epochs": 4}, False),
        ([], False),
        ("recipe.", False),
    ],
    ids=str,
)
def test_changes_in_a_description(changes, valid, tmp_path):
    start(tmp_path)
    described = mg.read_recipe(tmp_path) | {"changes": changes}
    if valid:
        require_description(described)
    else:
        with pytest.raises(mg.ConfigError, match="not a description of a run"):
            require_description(described)


# -- what is printed --------------------------------------------------------------------


def lines_of(capsys: pytest.CaptureFixture) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if "D real" in line]


def test_a_line_of_numbers_and_one_of_samples(tmp_path, capsys):
    start(tmp_path / "one", progress=True).fit(steps=10)
    row = mg.read_history(tmp_path / "one" / "history.csv")[0]
    (line,) = lines_of(capsys)
    losses = f"D real {row['d_real']:.3f}  D fake {row['d_fake']:.3f}  G {row['g']:.3f}"
    samples = f"samples: mean {row['mean']:.3f}  std {row['std']:.3f}"
    assert line == f"step      10   {losses}   {samples}"
    G, D = mg.Sequential(mg.Linear(1, 2), name="g"), mg.Sequential(mg.Linear(2, 1), name="d")
    data = mg.Samples(np.random.default_rng(0).normal(size=(40, 2)))
    settings = {"batch": 8, "unit": "epoch", "print_every": 1}
    mg.Trainer(mg.GAN(G, D, mg.Normal()), data, tmp_path / "two", **settings).fit(epochs=2)
    lines = lines_of(capsys)
    assert [line[: len("epoch    1   step       5   ")] for line in lines] == [
        "epoch    1   step       5   ",
        "epoch    2   step      10   ",
    ]
    for line in lines:
        assert re.search(r"   [ \d,]{8} samples/s$", line)
        assert "mean" not in line


def test_no_progress_prints_nothing(tmp_path, capsys):
    trainer = start(tmp_path, progress=False)
    trainer.fit(steps=10)
    mg.Trainer.resume(tmp_path, changes={"print_every": 3}, progress=False).fit(steps=20)
    assert capsys.readouterr() == ("", "")  # nor a bar, which tqdm shows on stderr


@pytest.mark.parametrize("value", [2**200, -(10**400), [[[2**200]]]], ids=["2**200", "long", "in"])
def test_a_number_that_no_reader_accepts_is_not_written(value, tmp_path):
    with pytest.raises(mg.ConfigError, match="has more than 128 bits"):
        mg.save_checkpoint(tmp_path / "file", {}, {"x": value})
    for arguments, recipe in (({}, {"x": value}), ({"seed": 2**200}, {})):
        generator, discriminator = (mg.Sequential(mg.Linear(1, 1), name=name) for name in "GD")
        game = mg.GAN(generator, discriminator, mg.Normal())
        data = mg.Samples(np.zeros((8, 1)), **arguments)
        with pytest.raises(mg.ConfigError, match="has more than 128 bits"):
            mg.Trainer(game, data, tmp_path / "run", batch=2, recipe=recipe)
    assert not [*tmp_path.rglob("*.*")]


def test_a_recipe_that_is_nested_too_deep_is_not_written(tmp_path):
    deep: list[object] = []
    for _ in range(40):
        deep = [deep]
    with pytest.raises(mg.ConfigError, match="levels deep"):
        mg.save_checkpoint(tmp_path / "file", {}, {"x": deep})
