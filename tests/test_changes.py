"""What a run may change, what it may not, and what is left of a start or a save that failed."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from harness import start
from running import load_example

import minigan as mg
from minigan.training.history import History

gaussian1d = load_example("gaussian1d")


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


def test_a_start_that_was_killed_is_in_nobodys_way(tmp_path, monkeypatch):
    unlink = Path.unlink
    monkeypatch.setattr(History, "start", lambda self: 1 / 0)
    monkeypatch.setattr(Path, "unlink", lambda *args, **options: None)  # the dead do not tidy up
    with pytest.raises(ZeroDivisionError):
        start(tmp_path)
    monkeypatch.undo()
    assert Path.unlink is unlink
    assert (tmp_path / "checkpoint.safetensors").exists()
    start(tmp_path).fit(steps=20)
    with pytest.raises(mg.ConfigError, match="already holds a run"):
        start(tmp_path)


def test_only_damage_is_passed_over(tmp_path, monkeypatch):
    """A file that cannot be read now, or by this version, is none the worse for it."""
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
        (["--resume", "--set", "d_lr=3"], "d_lr=3"),
        (["--resume", "--set", "steps"], "FIELD=VALUE"),
        (["--resume", "--set", "steps=x"], ">= 1"),
        (["--resume", "--set", "on_nan=pray"], "pray"),
        (["--resume", "--set", "steps=40", "--steps", "50"], "disagree"),
        (["--resume", "--on-nan", "stop"], "--set on_nan"),
        (["--set", "steps=40"], "--resume"),
    ):
        try:
            code = gaussian1d.main([*flags, *run])
        except SystemExit as end:  # argparse's way
            code = end.code
        assert code == 2
        assert told in capsys.readouterr().err
