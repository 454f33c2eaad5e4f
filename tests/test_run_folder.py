"""Who owns a run folder: starts that were killed or raced, and the lock."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_training import contents, make, start

import minigan as mg
from minigan.training import lock as locks
from minigan.training.description import as_json, description_hash
from minigan.training.history import History
from minigan.training.lock import LOCK, WRITER, WriterLock, describe, require_unlocked, writer_of
from minigan.training.run import BEST

CHECKPOINT, PREVIOUS = "checkpoint.safetensors", "checkpoint-previous.safetensors"

# -- starts -----------------------------------------------------------------------------


def kill_a_start(folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave behind what a start does that dies before the history is begun."""
    unlink = Path.unlink
    with monkeypatch.context() as patch:
        patch.setattr(History, "start", lambda self: 1 / 0)
        patch.setattr(Path, "unlink", lambda *args, **options: None)  # the dead do not tidy up
        with pytest.raises(ZeroDivisionError):
            start(folder, seed=seed)
    assert Path.unlink is unlink
    assert (folder / CHECKPOINT).exists()


def test_a_start_that_was_killed_is_in_nobodys_way(tmp_path, monkeypatch):
    kill_a_start(tmp_path, 0, monkeypatch)
    start(tmp_path).fit(steps=20)
    with pytest.raises(mg.ConfigError, match="already holds a run"):
        start(tmp_path)


def test_the_checkpoint_of_a_killed_start_is_not_the_next_runs_previous_one(tmp_path, monkeypatch):
    kill_a_start(tmp_path, 5, monkeypatch)
    trainer = start(tmp_path)
    assert not (tmp_path / PREVIOUS).exists()
    (tmp_path / CHECKPOINT).write_bytes(b"rubbish")
    with pytest.raises(mg.CheckpointError):  # there is none of this run to go back to
        mg.Trainer.resume(tmp_path)
    assert trainer.gan.step_count == 0


def test_a_killed_start_leaves_the_same_run_as_a_free_folder(tmp_path, monkeypatch):
    kill_a_start(tmp_path / "again", 5, monkeypatch)
    for name in ("again", "free"):
        start(tmp_path / name).fit(steps=20)
    assert contents(tmp_path / "again") == contents(tmp_path / "free")


def test_of_two_who_start_at_once_the_second_is_refused(tmp_path, monkeypatch):
    """Both find the folder free; one has begun a run in it when the other gets the lock."""
    enter, raced = WriterLock.__enter__, []

    def overtaken(self: WriterLock) -> WriterLock:
        if not raced:
            raced.append(True)
            start(tmp_path, seed=5).fit(steps=10)
            raced.append(contents(tmp_path))
        return enter(self)

    monkeypatch.setattr(WriterLock, "__enter__", overtaken)
    with pytest.raises(mg.ConfigError, match="already holds a run"):
        start(tmp_path)
    assert contents(tmp_path) == raced[1]
    assert mg.Trainer.resume(tmp_path).gan.step_count == 10


@pytest.mark.parametrize("file", ["recipe.json", "history.csv", CHECKPOINT, PREVIOUS,
                                  "best.safetensors"])  # fmt: skip
def test_a_folder_with_any_part_of_a_run_is_not_free(file, tmp_path):
    (tmp_path / file).write_bytes(b"mine")
    with pytest.raises(mg.ConfigError, match=rf"already holds .*\({file}\)") as caught:
        start(tmp_path)
    advice = "resume it" if file == "recipe.json" else "a part of a run"
    assert advice in str(caught.value)
    assert (tmp_path / file).read_bytes() == b"mine"


@pytest.mark.parametrize("more", ["recipe.json", PREVIOUS, "best.safetensors", "a row"])
def test_a_start_that_went_on_is_not_a_killed_one(more, tmp_path, monkeypatch):
    kill_a_start(tmp_path, 5, monkeypatch)
    if more == "a row":
        (tmp_path / "history.csv").write_text("step\n1\n")
    else:
        (tmp_path / more).write_bytes(b"mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(mg.ConfigError, match="already holds"):
        start(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_checkpoint_of_something_else_is_no_killed_start(tmp_path):
    mg.save_checkpoint(tmp_path / CHECKPOINT, {"x": np.zeros(3)}, {"mine": 1})
    with pytest.raises(mg.ConfigError, match="already holds"):
        start(tmp_path)


@pytest.mark.parametrize("at", ["save", "history", "recipe"])
def test_a_start_that_fails_removes_what_it_wrote(at, tmp_path, monkeypatch):
    target = {"save": (mg.Trainer, "save"), "history": (History, "start")}.get(at)
    with monkeypatch.context() as patch:
        if target:
            patch.setattr(*target, lambda self: 1 / 0)
        else:
            module = "minigan.training.folder.write_whole"
            write = mg.training.folder.write_whole
            patch.setattr(
                module,
                lambda path, *pieces, **options: (
                    1 / 0 if Path(path).name == "recipe.json" else write(path, *pieces, **options)
                ),
            )
        with pytest.raises(ZeroDivisionError):
            start(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {LOCK}
    start(tmp_path).fit(steps=10)


# -- runs of version 0.1.0 ------------------------------------------------------------------

#: Losses, each with the objective that version 0.1.0 wrote for it.
OBJECTIVES = [
    (
        mg.NonSaturating(0.9, 0.1, 0.8),
        ("non_saturating", "bce_with_logits", 0.9, 0.1, 0.8),
    ),
    (
        mg.NonSaturating(0.9, 0.1, 0.8, probabilities=True),
        ("non_saturating", "bce", 0.9, 0.1, 0.8),
    ),
    (
        mg.LeastSquares(0.9, 0.1, 0.8),
        ("non_saturating", "mean_squared_error", 0.9, 0.1, 0.8),
    ),
    (mg.Minimax(0.9, 0.1), ("minimax", "bce_with_logits", 0.9, 0.1, 1.0)),
    (mg.Minimax(0.9, 0.1, probabilities=True), ("minimax", "bce", 0.9, 0.1, 1.0)),
]
FIELDS = ("game", "loss", "real_target", "fake_target", "generator_target")


def run_of(loss: mg.Loss, folder: Path) -> mg.Trainer:
    """A run of every kind of state, with a score that falls at every checkpoint."""
    plain = make()
    end = [mg.Sigmoid()] if loss.output == "probability" else []
    D = mg.Sequential(*plain.discriminator.layers, *end, name="d")
    decay = mg.LinearDecay(end=200)
    gan = mg.GAN(
        plain.generator, D, plain.noise, loss, plain.generator_optimizer,
        mg.SGD(D.parameters, 1e-2, momentum=0.5, decay=decay), average=0.9,
    )  # fmt: skip
    return mg.Trainer(
        gan, mg.Gaussian(), folder, batch=6, print_every=20, checkpoint_every=10,
        recipe={"name": "mine"}, score=falling, progress=False,
    )  # fmt: skip


def falling(gan: mg.GAN) -> float:
    return -float(gan.step_count)


def in_the_old_form(description: dict[str, Any], objective: tuple[Any, ...]) -> dict[str, Any]:
    """A description of a run as version 0.1.0 wrote it."""
    old = json.loads(json.dumps(description))
    gan = old["gan"]
    for new in ("game", "loss", "penalty", "constraint", "fresh_real"):
        del gan[new]
    for role in ("generator", "discriminator"):
        del gan[role]["network"]
    gan["objective"] = dict(zip(FIELDS, objective, strict=True))
    return old


def rewrite(folder: Path, objective: tuple[Any, ...]) -> None:
    """Make the run in a folder one that version 0.1.0 wrote."""
    description = in_the_old_form(json.loads((folder / "recipe.json").read_text()), objective)
    (folder / "recipe.json").write_bytes(as_json(description))
    for name in (CHECKPOINT, PREVIOUS, BEST):
        loaded = mg.load_checkpoint(folder / name)
        metadata = loaded.metadata | {
            "run": in_the_old_form(loaded.metadata["run"], objective),
            "run_sha256": description_hash(description),
        }
        del metadata["loss"]
        mg.save_checkpoint(folder / name, loaded.tensors, metadata)


def resumed(folder: Path, **options: Any) -> mg.Trainer:
    return mg.Trainer.resume(folder, score=falling, progress=False, **options)


@pytest.mark.parametrize(("loss", "objective"), OBJECTIVES, ids=repr)
def test_a_run_of_version_0_1_0_is_read_resumed_saved_and_opened_again(loss, objective, tmp_path):
    """It ends in the very bytes of a run that is new from the start."""
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, goal in ((old, 40), (new, 60)):
        run_of(loss, folder).fit(steps=goal)
    rewrite(old, objective)
    for options, step in (({}, 40), ({"best": True}, 40), ({"previous": True}, 30)):
        run = mg.load_run(old, **options)
        assert (run.gan.step_count, run.gan.loss, run.recipe) == (step, loss, {"name": "mine"})
    assert mg.read_recipe(old)["gan"] == mg.read_recipe(new)["gan"]
    before = (old / "recipe.json").read_bytes()
    trainer = resumed(old)
    assert trainer._folder.best == -40.0
    trainer.fit(steps=60)
    for name in (CHECKPOINT, PREVIOUS, BEST, "history.csv"):
        assert (old / name).read_bytes() == (new / name).read_bytes(), name
    assert (old / "recipe.json").read_bytes() == before
    for options, step in (({}, 60), ({"best": True}, 60), ({"previous": True}, 50)):
        assert mg.load_run(old, **options).gan.step_count == step
    resumed(old).fit(steps=70)
    assert mg.load_run(old).gan.step_count == 70


def test_a_run_of_version_0_1_0_may_be_changed_as_any_other(tmp_path):
    """recipe.json is written again then, in the form of today."""
    loss, objective = OBJECTIVES[1]
    run_of(loss, tmp_path).fit(steps=30)
    rewrite(tmp_path, objective)
    resumed(tmp_path, changes={"print_every": 5, "recipe.name": "ours"}).fit(steps=40)
    description = json.loads((tmp_path / "recipe.json").read_text())
    assert description["gan"]["loss"] == loss.to_config()
    assert "objective" not in description["gan"]
    assert resumed(tmp_path).print_every == 5
    assert mg.load_run(tmp_path).recipe == {"name": "ours"}
    (tmp_path / CHECKPOINT).write_bytes(b"rubbish")  # the one before it is in the old form
    assert resumed(tmp_path).gan.step_count == 30


def test_of_a_run_of_version_0_1_0_the_sound_checkpoint_is_taken(tmp_path):
    loss, objective = OBJECTIVES[0]
    run_of(loss, tmp_path).fit(steps=30)
    rewrite(tmp_path, objective)
    (tmp_path / CHECKPOINT).write_bytes(b"rubbish")
    trainer = resumed(tmp_path)
    assert (trainer.gan.step_count, trainer.gan.loss) == (20, loss)
    trainer.fit(steps=50)
    run_of(loss, tmp_path / "whole").fit(steps=50)
    assert (tmp_path / CHECKPOINT).read_bytes() == (tmp_path / "whole" / CHECKPOINT).read_bytes()


def test_a_loss_set_in_a_run_of_version_0_1_0_is_kept(tmp_path):
    loss, objective = OBJECTIVES[0]
    run_of(loss, tmp_path).fit(steps=30)
    rewrite(tmp_path, objective)
    trainer = resumed(tmp_path)
    trainer.gan.set_loss(mg.Minimax())
    trainer.fit(steps=40)
    assert mg.load_run(tmp_path).gan.loss == mg.Minimax()
    assert mg.load_run(tmp_path, previous=True).gan.loss == loss


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (("objective", "real_target"), 0.5, r"gan\.loss\.real_target is 0\.5, was 0\.9"),
        (("objective", "game"), "minimax", r"gan\.loss\.loss is .Minimax., was .NonSaturating."),
        (("objective", "loss"), "bce", r"gan\.loss\.probabilities is true, was false"),
        (("average",), 0.99, r"gan\.average is 0\.99, was 0\.9"),
        (("generator", "seed"), 5, r"gan\.generator\.seed is 5, was 0"),
    ],
    ids=str,
)
def test_a_recipe_of_version_0_1_0_that_was_changed_by_hand_is_refused(
    place, value, told, tmp_path
):
    loss, objective = OBJECTIVES[0]
    run_of(loss, tmp_path).fit(steps=20)
    rewrite(tmp_path, objective)
    description = json.loads((tmp_path / "recipe.json").read_text())
    target = description["gan"]
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    (tmp_path / "recipe.json").write_bytes(as_json(description))
    for opened in (mg.load_run, resumed):
        with pytest.raises(mg.CheckpointError, match=told):
            opened(tmp_path)


def test_a_minimax_of_squared_errors_is_refused(tmp_path):
    """Version 0.1.0 had one, with which nothing can be learned; there is none any more."""
    run_of(mg.LeastSquares(0.9, 0.1), tmp_path).fit(steps=20)
    rewrite(tmp_path, ("minimax", "mean_squared_error", 0.9, 0.1, 1.0))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for opened in (mg.load_run, resumed):
        words = "no loss 'mean_squared_error' in the game 'minimax'"
        with pytest.raises(mg.CheckpointError, match=words) as caught:
            opened(tmp_path)
        assert len(str(caught.value).splitlines()) == 1
        assert len(str(caught.value)) < 400
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("objective", [None, [], 7, {"real_target": "x"}, {"fake_target": None}])
def test_what_is_no_objective_is_one_sentence(objective, tmp_path):
    run_of(*OBJECTIVES[0][:1], tmp_path).fit(steps=20)
    rewrite(tmp_path, OBJECTIVES[0][1])
    description = json.loads((tmp_path / "recipe.json").read_text())
    description["gan"]["objective"] = objective
    (tmp_path / "recipe.json").write_bytes(as_json(description))
    for opened in (mg.load_run, resumed):
        with pytest.raises(mg.CheckpointError) as caught:
            opened(tmp_path)
        assert len(str(caught.value).splitlines()) == 1


# -- the lock ---------------------------------------------------------------------------


def test_a_lock_that_could_not_be_signed_is_given_back(tmp_path, monkeypatch):
    """A full disk, say: the next one must get in."""
    with monkeypatch.context() as disk:

        def full(*args: object) -> None:
            raise mg.FileError(28, "No space left on device")

        disk.setattr(locks, "write_whole", full)
        failed = WriterLock(tmp_path)
        with pytest.raises(mg.FileError, match="No space"):
            failed.__enter__()
    assert failed.depth == 0
    assert writer_of(tmp_path) is None
    require_unlocked(tmp_path)
    with WriterLock(tmp_path):
        assert describe(tmp_path).startswith(f"process {os.getpid()} on ")


def test_a_lock_is_nested_and_signed_once(tmp_path):
    lock = WriterLock(tmp_path)
    with lock:
        signed = (tmp_path / WRITER).read_bytes()
        assert json.loads(signed)["pid"] == os.getpid()
        with lock:
            assert lock.depth == 2
        assert lock.depth == 1
        assert (tmp_path / WRITER).read_bytes() == signed
        with pytest.raises(mg.BusyError, match=f"process {os.getpid()} "):
            WriterLock(tmp_path).__enter__()
        assert writer_of(tmp_path) == describe(tmp_path)
        with pytest.raises(mg.BusyError, match="let it end"):
            require_unlocked(tmp_path)
    assert lock.depth == 0
    assert not (tmp_path / WRITER).exists()
    assert writer_of(tmp_path) is None
    with lock:
        pass


def test_a_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), WriterLock(tmp_path):
        raise ZeroDivisionError
    assert writer_of(tmp_path) is None
    assert not (tmp_path / WRITER).exists()


def test_looking_writes_nothing(tmp_path):
    assert writer_of(tmp_path) is None
    require_unlocked(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_who_signed_is_told_in_printable_words(tmp_path):
    (tmp_path / WRITER).write_text(json.dumps({"pid": 7, "host": "h\x1b[2J", "command": "a\nb"}))
    assert describe(tmp_path) == "process 7 on h?[2J (a?b)"
    for junk in ("", "[]", "{}", "7", "[" * 100_000):
        (tmp_path / WRITER).write_text(junk)
        assert describe(tmp_path) == "another process"
