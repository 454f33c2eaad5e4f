"""What a run may change, what it may not, and what is left of a start or a save that failed."""

from __future__ import annotations

import errno
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from harness import start
from running import load_example

import minigan as mg
from minigan.training.checkpoint import Checkpoint
from minigan.training.run import as_json, change, differences, require_description, require_same

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
    require_same(tmp_path, checkpoint, recipe, words=False)  # words do not say what a run is
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
    assert resume()._best == 2.0
    for content in (b"rubbish", (tmp_path / "other" / "best.safetensors").read_bytes()):
        best.write_bytes(content)
        caplog.clear()
        assert resume()._best == math.inf
        assert "the next one that is scored will replace it" in caplog.text
    mg.Trainer.resume(tmp_path / "run", progress=False).save()  # without a score
    best.write_bytes((tmp_path / "run" / "checkpoint.safetensors").read_bytes())
    assert resume()._best == math.inf
    best.write_bytes(good)
    trainer = resume()
    trainer.fit(steps=10)
    assert best.read_bytes() == good  # 3 is worse than 2
    best.write_bytes(b"rubbish")
    trainer = resume()
    trainer.fit(steps=15)
    assert mg.load_run(tmp_path / "run", best=True).gan.step_count == 15


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
    trainer._defined["data"] = data
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
