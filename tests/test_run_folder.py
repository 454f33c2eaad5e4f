"""Who owns a run folder: starts that were killed or raced, and the lock."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from running import ROOT, run_python
from test_training import contents, failing_once, start

import minigan as mg
from minigan.cli.main import main as minigan
from minigan.files import TEMPORARY
from minigan.training import lock as locks
from minigan.training.history import History
from minigan.training.lock import LOCK, WRITER, WriterLock, describe, require_unlocked, writer_of
from minigan.training.run_folder import is_own, signature

CHECKPOINT, PREVIOUS = "checkpoint.safetensors", "checkpoint-previous.safetensors"
POSIX = pytest.mark.skipif(os.name == "nt", reason="an open file cannot be removed; no fork")

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
                                  "best.safetensors", "frames.jsonl"])  # fmt: skip
def test_a_folder_with_any_part_of_a_run_is_not_free(file, tmp_path):
    (tmp_path / file).write_bytes(b"mine")
    with pytest.raises(mg.ConfigError, match=rf"already holds .*\({file}\)") as caught:
        start(tmp_path)
    advice = "resume it" if file == "recipe.json" else "a part of a run"
    assert advice in str(caught.value)
    assert (tmp_path / file).read_bytes() == b"mine"


@pytest.mark.parametrize(
    "more", ["recipe.json", PREVIOUS, "best.safetensors", "frames.jsonl", "a row"]
)
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


def test_a_checkpoint_alone_is_a_part_of_a_run(tmp_path):
    """Its recipe and history were lost, its steps were not."""
    start(tmp_path).fit(steps=10)
    for name in ("recipe.json", "history.csv", PREVIOUS):
        (tmp_path / name).unlink()
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(mg.ConfigError, match="already holds a part of a run"):
        start(tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_the_checkpoints_of_killed_starts_are_set_aside(tmp_path, monkeypatch):
    """Their weights may have been changed by hand."""
    kept = []
    for seed in (5, 6):
        kill_a_start(tmp_path, seed, monkeypatch)
        kept.append((tmp_path / CHECKPOINT).read_bytes())
    start(tmp_path)
    names = ("checkpoint-unused.safetensors", "checkpoint-unused-2.safetensors")
    assert [(tmp_path / name).read_bytes() for name in names] == kept
    assert kept[0] != kept[1]


def test_the_second_damaged_checkpoint_leaves_the_first_one(tmp_path):
    start(tmp_path).fit(steps=20)
    for rubbish in (b"one", b"two"):
        (tmp_path / CHECKPOINT).write_bytes(rubbish)
        trainer = mg.Trainer.resume(tmp_path, progress=False)
        trainer.fit(steps=trainer.gan.step_count + 20)
    names = ("checkpoint-damaged.safetensors", "checkpoint-damaged-2.safetensors")
    assert [(tmp_path / name).read_bytes() for name in names] == [b"one", b"two"]


def test_after_a_damaged_one_was_set_aside_a_fit_that_failed_is_repeated(tmp_path):
    """The trainer knows the checkpoint that took its place."""
    start(tmp_path).fit(steps=20)
    (tmp_path / CHECKPOINT).write_bytes(b"rubbish")
    trainer = mg.Trainer.resume(tmp_path, progress=False)  # at step 10
    trainer.every(15, "step", failing_once())
    with pytest.raises(mg.CallbackError):
        trainer.fit(steps=40)
    trainer.fit(steps=40)
    assert mg.load_run(tmp_path).gan.step_count == 40


@pytest.mark.parametrize("at", ["save", "history", "recipe"])
def test_a_start_that_fails_removes_what_it_wrote(at, tmp_path, monkeypatch):
    target = {"save": (mg.Trainer, "save"), "history": (History, "start")}.get(at)
    with monkeypatch.context() as patch:
        if target:
            patch.setattr(*target, lambda self: 1 / 0)
        else:
            module = "minigan.training.run_folder.write_whole"
            write = mg.training.run_folder.write_whole
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


def test_a_start_that_fails_removes_only_its_own_files(tmp_path, monkeypatch):
    def lose_the_folder(history: History) -> None:
        history.path.with_name(CHECKPOINT).write_bytes(b"theirs")
        raise ZeroDivisionError

    monkeypatch.setattr(History, "start", lose_the_folder)
    with pytest.raises(ZeroDivisionError):
        start(tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == b"theirs"


# -- the folder that a trainer holds -----------------------------------------------------


def test_a_run_folder_is_absolute_and_never_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert start("run").out == tmp_path / "run"
    assert start("~/run").out == tmp_path / "home" / "run"
    assert mg.Trainer.resume("~/run").out == tmp_path / "home" / "run"
    for make in (start, mg.Trainer.resume):
        with pytest.raises(mg.ConfigError, match="must not be empty"):
            make("")


@pytest.mark.parametrize("when", ["before fit", "in a callback", "after resume", "damaged"])
def test_another_current_folder_moves_no_file(when, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    trainer = start("run")
    if when in ("after resume", "damaged"):
        trainer.fit(steps=20)
        if when == "damaged":
            Path("run", CHECKPOINT).write_bytes(b"rubbish")
        trainer = mg.Trainer.resume("run", progress=False)
    if when == "in a callback":
        trainer.every(15, "step", lambda trainer: os.chdir(tmp_path / "elsewhere"))
    else:
        os.chdir(tmp_path / "elsewhere")
    trainer.fit(steps=40)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    start(tmp_path / "whole").fit(steps=40)
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def swap(run: Path, other: Path) -> None:
    """Give another run the name of this one."""
    run.rename(run.with_name("away"))
    other.rename(run)


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name != LOCK}


@POSIX
@pytest.mark.parametrize("at", [0, 15, 20])  # before fit; before a save; before a row and a save
def test_a_run_that_took_the_folders_place_is_left_alone(at, tmp_path):
    trainer = start(tmp_path / "run")
    start(tmp_path / "other", seed=5).fit(steps=10)
    before = files(tmp_path / "other")
    if at:
        trainer.every(at, "step", lambda trainer: swap(tmp_path / "run", tmp_path / "other"))
        match = r"run was replaced, or its \.lock removed"
    else:
        swap(tmp_path / "run", tmp_path / "other")
        match = "run: checkpoint.safetensors was changed by another trainer"
    with pytest.raises(mg.BusyError, match=match):
        trainer.fit(steps=40)
    assert files(tmp_path / "run") == before
    assert "recipe.json" in files(tmp_path / "away")


@POSIX
@pytest.mark.parametrize("at", [0, 15])
def test_a_run_folder_that_was_removed_is_not_made_again(at, tmp_path):
    trainer = start(tmp_path / "run")
    trainer.every(15, "step", lambda trainer: shutil.rmtree(tmp_path / "run"))
    if not at:
        shutil.rmtree(tmp_path / "run")
    for _ in range(2):
        with pytest.raises(mg.FileError, match=r"run folder .*run was removed or renamed"):
            trainer.fit(steps=40)
    assert not (tmp_path / "run").exists()


@POSIX
@pytest.mark.parametrize("taken", [False, True])
def test_a_lock_that_was_removed_is_noticed_before_the_next_write(taken, tmp_path):
    trainer = start(tmp_path)
    held = []

    def remove(trainer: mg.Trainer) -> None:
        if trainer.gan.step_count == 15:
            (tmp_path / LOCK).unlink()
        if taken:  # by another process, say
            held.append(WriterLock(tmp_path).__enter__())
            (tmp_path / CHECKPOINT).write_bytes(b"theirs")

    trainer.every(15, "step", remove)
    match = "is being written by process" if taken else "removed, while a trainer was writing it"
    with pytest.raises(mg.BusyError, match=match):
        trainer.fit(steps=40)
    assert (tmp_path / WRITER).exists() == taken  # the other one's signature
    if taken:
        assert (tmp_path / CHECKPOINT).read_bytes() == b"theirs"
        held.pop().__exit__()
    else:
        trainer.fit(steps=40)  # nothing else has changed
        assert mg.load_run(tmp_path).gan.step_count == 40


@pytest.mark.parametrize("name", [CHECKPOINT, "history.csv", "recipe.json", "frames.jsonl"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_file_that_another_program_changed_is_not_written_over(name, gone, tmp_path):
    def change(trainer: mg.Trainer) -> None:
        (tmp_path / name).unlink() if gone else (tmp_path / name).write_bytes(b"theirs")

    trainer = start(tmp_path)
    header = {"form": "number", "every": 1, "scene": {}}
    header["arrays"] = [{"name": "x", "shape": [1], "levels": 2, "range": None}]
    trainer.every(12, "step", lambda trainer: trainer.folder.start_frames(header))
    trainer.every(15, "step", change)
    with pytest.raises(mg.BusyError, match=rf"{name} was changed by another .*resume it again"):
        trainer.fit(steps=40)
    assert not (tmp_path / name).exists() if gone else (tmp_path / name).read_bytes() == b"theirs"
    assert not (tmp_path / WRITER).exists()


def test_a_change_of_settings_checks_the_folder_too(tmp_path):
    def change(trainer: mg.Trainer) -> None:
        (tmp_path / "recipe.json").write_bytes(b"theirs")
        trainer.change({"print_every": 5})

    trainer = start(tmp_path)
    trainer.every(15, "step", change)
    with pytest.raises(mg.BusyError, match=r"recipe\.json was changed"):
        trainer.fit(steps=40)
    assert (tmp_path / "recipe.json").read_bytes() == b"theirs"


def test_a_run_that_another_trainer_has_taken_over_is_left_alone(tmp_path):
    """Both went back to the previous checkpoint, which becomes the newest only once."""
    start(tmp_path).fit(steps=20)
    (tmp_path / CHECKPOINT).write_bytes(b"rubbish")
    late = mg.Trainer.resume(tmp_path, progress=False)
    mg.Trainer.resume(tmp_path, progress=False).fit(steps=40)
    before = files(tmp_path)
    with pytest.raises(mg.BusyError, match="resume it again"):
        late.fit(steps=60)
    assert files(tmp_path) == before


def test_a_checkpoint_that_was_written_while_it_was_read_is_noticed(tmp_path, monkeypatch):
    start(tmp_path).fit(steps=20)
    read = mg.training.run.read_checkpoint

    def overtaken(folder: Path) -> object:
        found = read(folder)
        (folder / CHECKPOINT).write_bytes(b"theirs")
        return found

    monkeypatch.setattr(mg.training.run, "read_checkpoint", overtaken)
    with pytest.raises(mg.BusyError, match="resume it again"):
        mg.Trainer.resume(tmp_path, progress=False).fit(steps=40)
    assert (tmp_path / CHECKPOINT).read_bytes() == b"theirs"


def test_a_rollback_checks_the_folder_too(tmp_path):
    """It drops rows of the history, which may be another run's by now."""
    history, trainer = tmp_path / "history.csv", start(tmp_path, on_nan="rollback")
    theirs = history.read_bytes() + b",".join([b"99"] * len(trainer.history.columns)) + b"\n"

    def diverge(trainer: mg.Trainer) -> None:
        history.write_bytes(theirs)
        trainer.gan.generator.parameters.data = np.nan * trainer.gan.generator.parameters.data

    trainer.every(15, "step", diverge)
    with pytest.raises(mg.BusyError, match=r"history\.csv was changed"):
        trainer.fit(steps=40)
    assert history.read_bytes() == theirs


def test_a_file_of_the_same_size_and_time_is_another_one(tmp_path):
    """Some programs that copy files keep the time."""
    file, copy = tmp_path / "file", tmp_path / "copy"
    for path in (file, copy):
        path.write_bytes(b"1")
        os.utime(path, (1e9, 1e9))
    before = signature(file)
    assert before == signature(file)
    copy.replace(file)
    assert signature(file) != before


def test_fit_removes_what_killed_writers_left(tmp_path):
    trainer = start(tmp_path)
    names = (CHECKPOINT, PREVIOUS, "recipe.json", "history.csv", "best.safetensors", WRITER)
    names += ("frames.jsonl",)
    for name in names:
        (tmp_path / f"{TEMPORARY}{0:016x}-{name}").touch()
    trainer.fit(steps=1)
    assert not list(tmp_path.glob(f"{TEMPORARY}*"))


def test_every_file_that_a_run_keeps_is_its_own(tmp_path):
    own = [CHECKPOINT, PREVIOUS, "recipe.json", "history.csv", "best.safetensors", WRITER, LOCK]
    own += ["checkpoint-damaged.safetensors", "checkpoint-unused-2.safetensors", "HISTORY.CSV"]
    own += ["frames.jsonl"]
    assert not any(is_own(tmp_path / name) for name in own)  # no run is here
    for name in (CHECKPOINT, "history.csv"):
        (tmp_path / name).touch()
    assert [name for name in own if not is_own(tmp_path / name)] == []
    assert not is_own(tmp_path / "samples.png")


# -- forks ------------------------------------------------------------------------------


@POSIX
def test_a_forked_process_leaves_its_parents_folder_alone(tmp_path):
    done = run_python(ROOT / "tests" / "forks.py", tmp_path, PYTHONWARNINGS="ignore")
    first, step, *refused, locked, end = done.stdout.splitlines()
    assert (first, step) == ("fine", "10")
    assert refused == ["BusyError", "BusyError", "fine"]
    assert (locked, end) == ("still locked", "20 False")


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


def test_a_lock_is_the_objects_in_whichever_thread(tmp_path):
    """A function that training calls may save in a thread of its own."""
    lock, depths = WriterLock(tmp_path), []

    def nested() -> None:
        with lock:
            depths.append(lock.depth)

    with lock:
        thread = threading.Thread(target=nested)
        thread.start()
        thread.join()
    assert (depths, lock.depth) == ([2], 0)


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
    assert str(mg.BusyError(describe(tmp_path))) == "process 7 on h?[2J (a b)"
    for junk in ("", "[]", "{}", "7", "[" * 100_000):
        (tmp_path / WRITER).write_text(junk)
        assert describe(tmp_path) == "another process"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes of this kind")
def test_a_lock_is_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / LOCK)
    with pytest.raises(mg.FileError, match="it is not a regular file"):
        WriterLock(tmp_path).__enter__()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no links of this kind")
@pytest.mark.parametrize(
    "name",
    [
        "history.csv",
        CHECKPOINT,
        PREVIOUS,
        "best.safetensors",
        "recipe.json",
        WRITER,
        "scores.json",
        "frames.jsonl",
    ],
)
def test_a_link_in_a_run_folder_is_not_followed(name, tmp_path, capsys):
    """A run folder from elsewhere may hold one, to any file of the user's."""
    folder, victim = tmp_path / "run", tmp_path / "victim"
    start(folder, score=lambda gan: 1.0).fit(steps=20)
    (folder / name).touch()
    (folder / name).rename(victim)
    (folder / name).symlink_to(victim)
    before = victim.read_bytes()
    if name == "scores.json":
        assert minigan(["score", str(folder), "--n", "10"]) == 2
        assert "it is a symbolic link" in capsys.readouterr().err
    else:
        trainer = mg.Trainer.resume(folder, progress=False, score=lambda gan: -gan.step_count)
        with pytest.raises(mg.FileError, match="it is a symbolic link"):
            trainer.fit(steps=21)
        assert trainer.gan.step_count == 20  # refused before any work
    assert victim.read_bytes() == before
    assert (folder / name).is_symlink()
