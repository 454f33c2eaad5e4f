"""Files are written whole or not at all, and their names reach the disk, too."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_training import start

import minigan as mg
from minigan import files
from minigan.files import TEMPORARY, make_folder, remove_leftovers, whole_file, write_whole
from minigan.training.history import History

POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no call to sync a folder")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# -- the order on the disk --------------------------------------------------------------


def is_folder(handle: int) -> bool:
    return stat.S_ISDIR(os.fstat(handle).st_mode)


class Disk:
    """What was asked of the disk, in order: contents and folders synced, names given.

    Attributes:
        events: ("content" or "folder", inode) for a sync, ("name", inode of the folder) for a
            rename, a link or a new folder.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[tuple[str, int]] = []
        fsync, replace, link, mkdir = os.fsync, Path.replace, os.link, Path.mkdir

        def noting_sync(handle: int) -> None:
            kind = "folder" if is_folder(handle) else "content"
            self.events.append((kind, os.fstat(handle).st_ino))
            fsync(handle)

        def noting_replace(source: Path, target: Path) -> Path:
            self.events.append(("moved", source.stat().st_ino))
            result = replace(source, target)
            self.events.append(("name", Path(target).parent.stat().st_ino))
            return result

        def noting_link(source: Path, target: Path) -> None:
            link(source, target)
            self.events.append(("name", Path(target).parent.stat().st_ino))

        def noting_mkdir(path: Path, *args: object, **options: object) -> None:
            new = not path.exists()
            mkdir(path, *args, **options)
            if new:
                self.events.append(("name", path.parent.stat().st_ino))

        monkeypatch.setattr(os, "fsync", noting_sync)
        monkeypatch.setattr(Path, "replace", noting_replace)
        monkeypatch.setattr(os, "link", noting_link)
        monkeypatch.setattr(Path, "mkdir", noting_mkdir)

    def lost_names(self) -> int:
        """How many names a power failure could take: no sync of their folder came after them."""
        return sum(
            kind == "name" and ("folder", inode) not in self.events[i:]
            for i, (kind, inode) in enumerate(self.events)
        )


def unsupported(*args: object) -> None:
    """What a file system without links does."""
    raise OSError(errno.ENOTSUP, "not here")


def by_hand(folder: Path) -> Callable[[], object]:
    return lambda: write_whole(folder / "x", b"new")


def kept(folder: Path) -> Callable[[], object]:
    (folder / "x").write_bytes(b"old")
    return lambda: write_whole(folder / "x", b"new", keep=folder / "before")


def kept_without_links(folder: Path) -> Callable[[], object]:
    def write() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "link", unsupported)
            write_whole(folder / "x", b"new", keep=folder / "before")

    (folder / "x").write_bytes(b"old")
    return write


def folders(folder: Path) -> Callable[[], object]:
    return lambda: make_folder(folder / "a" / "b" / "c")


def a_start(folder: Path) -> Callable[[], object]:
    return lambda: start(folder / "runs" / "mine")


def a_history(folder: Path) -> Callable[[], object]:
    history = History(folder / "h.csv", ("step",))
    history.start()
    for step in (1, 2, 3):
        history.append({"step": step})
    return lambda: history.rewind(2)


def a_fallback(folder: Path) -> Callable[[], object]:
    """The previous checkpoint takes the damaged one's name, and nothing is written after that."""
    trainer = start(folder / "run")
    trainer.fit(steps=20)
    trainer.save()  # so that the previous one is of step 20, too, and no row is dropped
    (folder / "run" / "checkpoint.safetensors").write_bytes(b"rubbish")
    resumed = mg.Trainer.resume(folder / "run", progress=False)
    return lambda: resumed.fit(steps=20)


RENAMING = [by_hand, kept, kept_without_links, folders, a_start, a_history, a_fallback]


@POSIX
@pytest.mark.parametrize("what", RENAMING, ids=lambda what: what.__name__)
def test_every_new_name_reaches_the_disk(what, tmp_path, monkeypatch):
    act = what(tmp_path)
    with monkeypatch.context() as patch:
        disk = Disk(patch)
        act()
    assert any(kind == "name" for kind, _ in disk.events)
    assert disk.lost_names() == 0, disk.events


@POSIX
@pytest.mark.parametrize("what", [by_hand, kept, a_start, a_history], ids=lambda w: w.__name__)
def test_content_reaches_the_disk_before_its_name(what, tmp_path, monkeypatch):
    act = what(tmp_path)
    with monkeypatch.context() as patch:
        disk = Disk(patch)
        act()
    moved = [(i, inode) for i, (kind, inode) in enumerate(disk.events) if kind == "moved"]
    new = [(i, inode) for i, inode in moved if ("content", inode) in disk.events]
    assert new
    for i, inode in new:
        assert ("content", inode) in disk.events[:i]
    unsynced = {inode for _, inode in moved} - {inode for _, inode in new}
    assert len(unsynced) == (what is kept)  # the old file, whose second name it is


@POSIX
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_folder_that_cannot_be_synced(number, tmp_path, monkeypatch):
    """Some file systems have no such thing; any other reason is an error."""
    fsync = os.fsync

    def refuse(handle: int) -> None:
        if is_folder(handle):
            raise OSError(number, os.strerror(number))
        fsync(handle)

    opened = len(os.listdir("/dev/fd"))
    monkeypatch.setattr(os, "fsync", refuse)
    if number == errno.EIO:
        with pytest.raises(mg.FileError, match="cannot write") as caught:
            write_whole(tmp_path / "x", b"new")
        assert caught.value.errno == number
    else:
        write_whole(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"
    assert len(os.listdir("/dev/fd")) == opened  # and its handle is closed


# -- whole or not at all ----------------------------------------------------------------


def test_pieces_follow_each_other(tmp_path):
    write_whole(tmp_path / "x", b"one", memoryview(b"two"), b"")
    assert (tmp_path / "x").read_bytes() == b"onetwo"
    assert names(tmp_path) == {"x"}


def test_a_temporary_file_is_beside_its_target_and_ends_like_it(tmp_path):
    with whole_file(str(tmp_path / "a.png")) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name == f"{TEMPORARY}{os.getpid()}-a.png"
        temporary.write_bytes(b"x")
        assert names(tmp_path) == {temporary.name}
    assert names(tmp_path) == {"a.png"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_after_an_error_the_old_file_stays_and_nothing_else(error, tmp_path):
    (tmp_path / "x").write_bytes(b"old")

    def write() -> None:
        with whole_file(tmp_path / "x") as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(mg.FileError if error is OSError else error):
        write()
    assert names(tmp_path) == {"x"}
    assert (tmp_path / "x").read_bytes() == b"old"


@pytest.mark.parametrize("links", [True, False])
def test_the_old_file_is_kept_under_another_name(links, tmp_path, monkeypatch):
    if not links:
        monkeypatch.setattr(os, "link", unsupported)
    for k in range(3):
        write_whole(tmp_path / "x", bytes([k]), keep=tmp_path / "before")
        assert names(tmp_path) == ({"x", "before"} if k else {"x"})
        assert (tmp_path / "x").read_bytes() == bytes([k])
        if k:
            assert (tmp_path / "before").read_bytes() == bytes([k - 1])


def test_two_names_of_one_file(tmp_path):
    """As a kill between the two renamings leaves it; renaming one to the other does nothing."""
    (tmp_path / "x").write_bytes(b"old")
    os.link(tmp_path / "x", tmp_path / "before")
    write_whole(tmp_path / "x", b"new", keep=tmp_path / "before")
    assert names(tmp_path) == {"x", "before"}
    assert (tmp_path / "x").read_bytes() == b"new"
    assert (tmp_path / "before").read_bytes() == b"old"


def test_a_second_name_left_by_a_killed_writer_is_replaced(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    (tmp_path / f"{TEMPORARY}{os.getpid()}-before").write_bytes(b"left")
    write_whole(tmp_path / "x", b"new", keep=tmp_path / "before")
    assert names(tmp_path) == {"x", "before"}
    assert (tmp_path / "before").read_bytes() == b"old"


def test_errors_carry_the_systems_reason(tmp_path):
    with pytest.raises(mg.FileError, match=r"cannot write .*: No such file") as caught:
        write_whole(tmp_path / "no" / "x", b"")
    assert caught.value.errno == errno.ENOENT
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(mg.FileError, match="cannot make folder") as caught:
        make_folder(tmp_path / "file" / "run")
    assert caught.value.errno in (errno.ENOTDIR, errno.EEXIST)
    with pytest.raises(mg.FileError, match="cannot make folder"):
        make_folder(tmp_path / "file")


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    assert make_folder(str(tmp_path)) == tmp_path
    assert make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    (tmp_path / "a" / "b" / "x").write_bytes(b"")
    make_folder(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == {"x"}


@pytest.mark.parametrize("refusals", [0, 9, 10])
def test_windows_tries_for_a_second(refusals, tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"old")
    replace, left, slept = Path.replace, [refusals], []

    def refusing(self: Path, target: Path) -> Path:
        if left[0] > 0:
            left[0] -= 1
            raise PermissionError(errno.EACCES, "in use")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refusing)
    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setattr(time, "sleep", slept.append)
    write_whole(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"
    assert sum(slept) == pytest.approx(0.1 * refusals)
    left[0] = 11
    with pytest.raises(mg.FileError, match="in use"):
        write_whole(tmp_path / "x", b"newer")


def test_leftovers_of_named_files_go_at_once_and_others_after_an_hour(tmp_path):
    now = time.time()
    (tmp_path / "frames").mkdir()
    ages = {
        ".tmp-1-mine.csv": 0.0,
        ".tmp-99-mine.csv": 0.0,
        ".tmp-1-two-words.csv": 0.0,
        ".tmp-1-other.csv": 3500.0,
        ".tmp-2-other.csv": 3700.0,
        "frames/.tmp-1-mine.csv": 0.0,  # of this name, but elsewhere
        "frames/.tmp-2-mine.csv": 3700.0,
        "mine.csv": 9999.0,
    }
    for name, age in ages.items():
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (now - age, now - age))
    remove_leftovers(tmp_path, "mine.csv", "two-words.csv")
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {".tmp-1-other.csv", "frames/.tmp-1-mine.csv", "mine.csv"}
