"""Who owns a run folder: starts that were killed or raced, and the lock."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from test_training import contents, start

import minigan as mg
from minigan.training import lock as locks
from minigan.training.history import History
from minigan.training.lock import LOCK, WRITER, WriterLock, describe, require_unlocked, writer_of

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
    assert describe(tmp_path) == "process 7 on h?[2J (a?b)"
    for junk in ("", "[]", "{}", "7", "[" * 100_000):
        (tmp_path / WRITER).write_text(junk)
        assert describe(tmp_path) == "another process"
