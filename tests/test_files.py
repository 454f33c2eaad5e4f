"""Files are written whole or not at all, and their names reach the disk, too."""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_training import start

import minigan as mg
from minigan import files
from minigan.data.datasets import read_idx_folder
from minigan.data.download import cache_folder
from minigan.data.idx import read_idx
from minigan.evaluation import pictures, plots
from minigan.files import (
    TEMPORARY,
    absolute_path,
    as_path,
    make_folder,
    remove_leftovers,
    target_of,
    write_whole,
)
from minigan.training import require_free
from minigan.training.history import History
from minigan.training.recipe_json import read_recipe
from minigan.training.run import read_run

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


def while_writing(monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> None:
    """Call a function when the content of a file is written, before its name is."""
    fsync = os.fsync

    def calling(handle: int) -> None:
        if not is_folder(handle):
            call()
        fsync(handle)

    monkeypatch.setattr(os, "fsync", calling)


def test_a_temporary_file_is_next_to_its_target_and_ends_like_it(tmp_path, monkeypatch):
    seen: list[str] = []
    while_writing(monkeypatch, lambda: seen.extend(names(tmp_path)))
    for _ in range(2):
        write_whole(str(tmp_path / "a.png"), b"x")
        (tmp_path / "a.png").unlink()
    assert all(re.fullmatch(re.escape(TEMPORARY) + "[0-9a-f]{16}-a.png", name) for name in seen)
    assert len(set(seen)) == 2  # they cannot be predicted
    assert names(tmp_path) == set()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_after_an_error_the_old_file_stays_and_nothing_else(error, tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"old")

    def fail() -> None:
        assert len(names(tmp_path)) == 2
        raise error

    while_writing(monkeypatch, fail)
    with pytest.raises(mg.FileError if error is OSError else error):
        write_whole(tmp_path / "x", b"half")
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


# -- what else may be in the folder -----------------------------------------------------


def temporary(name: str, number: int = 0) -> str:
    """What the temporary file of a name may be called."""
    return f"{TEMPORARY}{number:016x}-{name}"


def test_only_leftovers_of_the_named_files_go(tmp_path):
    (tmp_path / "frames").mkdir()
    ours = [temporary("mine.csv"), temporary("mine.csv", 7), temporary("two-words.csv")]
    others = [
        temporary("other.csv"),  # another process may be writing it
        f"frames/{temporary('mine.csv')}",  # elsewhere
        ".tmp-1-mine.csv",  # a name that anybody may choose
        ".tmp-notes",
        f"{TEMPORARY}mine.csv",
        f"{TEMPORARY}0123-mine.csv",
        f"{temporary('mine.csv')}.bak",
        "mine.csv",
    ]
    for name in (*ours, *others):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (1e9, 1e9))
    (tmp_path / temporary("mine.csv", 8)).mkdir()
    remove_leftovers(tmp_path, "mine.csv", "two-words.csv")
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")}
    assert left == {*others, "frames", temporary("mine.csv", 8)}


def test_what_a_killed_writer_leaves_is_found_again(tmp_path, monkeypatch):
    """The longest name, too: only its end is in the temporary one."""
    long = "é" * 120 + ".csv"
    left: list[Path] = []
    while_writing(monkeypatch, lambda: left.extend(tmp_path.iterdir()))
    write_whole(tmp_path / long, b"")
    left[0].write_bytes(b"half")
    remove_leftovers(tmp_path, long)
    assert names(tmp_path) == {long}


def test_leftovers_in_a_folder_that_is_gone(tmp_path, monkeypatch):
    remove_leftovers(tmp_path / "gone", "mine.csv")
    for number in (1, 2):
        (tmp_path / temporary("mine.csv", number)).write_bytes(b"")
    unlink = Path.unlink

    def late(self: Path) -> None:  # another process was faster
        unlink(self)
        unlink(self)

    monkeypatch.setattr(Path, "unlink", late)
    remove_leftovers(tmp_path, "mine.csv")
    assert names(tmp_path) == set()


@pytest.mark.parametrize("name", ["x" * 255, "x" * 251 + ".png", "é" * 127, "鼠" * 83 + ".npy"])
def test_the_longest_names_can_be_written(name, tmp_path):
    for content in (b"old", b"new"):
        write_whole(tmp_path / name, content)
    assert (tmp_path / name).read_bytes() == b"new"
    assert names(tmp_path) == {name}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permissions of this kind")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o444])
def test_permissions_stay(mode, tmp_path, monkeypatch):
    file, seen = tmp_path / "x", []
    file.write_bytes(b"secret")
    file.chmod(mode)
    while_writing(
        monkeypatch, lambda: seen.extend(p.stat().st_mode & 0o777 for p in tmp_path.iterdir())
    )
    write_whole(file, b"newer secret", keep=tmp_path / "before")
    assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == {mode}
    assert set(seen) == {mode}  # while it is written, too


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permissions of this kind")
def test_a_new_file_has_the_permissions_that_the_user_chose(tmp_path):
    (tmp_path / "by hand").write_bytes(b"")
    write_whole(tmp_path / "x", b"")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "by hand").stat().st_mode


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.symlink_to(path.parent / "victim")


KINDS = [
    (Path.mkdir, "it is a folder"),
    pytest.param(pipe, "it is not a regular file", marks=POSIX),
    pytest.param(link, "it is a symbolic link", marks=POSIX),
]


@pytest.mark.parametrize(("make", "reason"), KINDS)
def test_what_is_no_regular_file_is_not_replaced(make, reason, tmp_path):
    (tmp_path / "victim").write_bytes(b"precious")
    make(tmp_path / "x")
    before = (tmp_path / "x").lstat()
    with pytest.raises(mg.FileError, match=f"cannot write .*x: {reason}"):
        write_whole(tmp_path / "x", b"new")
    assert (tmp_path / "x").lstat() == before
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert names(tmp_path) == {"x", "victim"}


@POSIX
def test_a_link_at_the_temporary_name_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "victim").write_bytes(b"precious")
    monkeypatch.setattr(os, "urandom", bytes)  # zeros: an attacker has guessed it
    planted = tmp_path / temporary("x")
    planted.symlink_to(tmp_path / "victim")
    with pytest.raises(mg.FileError, match="File exists"):
        write_whole(tmp_path / "x", b"new")
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert planted.is_symlink()


def test_threads_that_write_one_path(tmp_path):
    """Each reader finds a whole file, and no writer fails."""
    file, failed = tmp_path / "x", []
    contents = [bytes([65 + k]) * 40_000 for k in range(4)]
    write_whole(file, contents[0])

    def work(content: bytes) -> None:
        try:
            for _ in range(15):
                write_whole(file, content, keep=tmp_path / "before")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    torn = 0
    while any(thread.is_alive() for thread in threads):
        torn += file.read_bytes() not in contents
    assert (torn, failed) == (0, [])
    assert names(tmp_path) == {"x", "before"}


@POSIX
def test_a_users_link_stands_for_its_target(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "latest").symlink_to("sub/file")
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / "latest", "latest", "sub/../latest"):
        assert target_of(path) == (tmp_path / "sub" / "file").resolve()
    assert target_of("new") == Path("new")
    for path, reason in (("sub", "it is a folder"), (os.devnull, "it is not a regular file")):
        with pytest.raises(mg.FileError, match=f"cannot write .*: {reason}"):
            target_of(path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(mg.FileError, match="symbolic link"):
        target_of("loop")


# -- paths that users give --------------------------------------------------------------

#: Each takes a path, and must not take `~` for a folder's name.
TAKES_A_PATH: dict[str, Callable[[Path | str], object]] = {
    "save_checkpoint": lambda path: mg.save_checkpoint(path, {}, {}),
    "load_checkpoint": mg.load_checkpoint,
    "load_run": mg.load_run,
    "read_run": read_run,
    "read_recipe": read_recipe,
    "read_history": mg.read_history,
    "require_free": require_free,
    "load_images": lambda path: mg.load_images("mnist", path),
    "read_idx_folder": read_idx_folder,
    "read_idx": lambda path: read_idx(path, 1),
    "cache_folder": cache_folder,
    "save_png": lambda path: pictures.save_png(np.zeros((2, 2), np.uint8), path),
    "load_png": pictures.load_png,
    "save_film": lambda path: pictures.save_film([("a", np.zeros((99, 99), np.uint8))], path),
    "save_figure": lambda path: plots.save_figure(plots.new_figure(), path),
    "target_of": target_of,
}


@pytest.mark.parametrize("path", ["~nosuchuser/x.png", "", "a\0b", b"x.png", 3], ids=repr)
@pytest.mark.parametrize("name", TAKES_A_PATH)
def test_what_is_no_path_is_one_sentence(name, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "cache_folder" and path == "":
        pytest.skip("an empty setting is none")
    with pytest.raises(mg.ConfigError, match=r"path|cannot find ~nosuchuser/x\.png: "):
        TAKES_A_PATH[name](path)
    assert names(tmp_path) == set()


@pytest.mark.parametrize("name", TAKES_A_PATH)
def test_a_tilde_is_the_users_home_folder(name, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    where = str(tmp_path / "home")
    try:
        TAKES_A_PATH[name]("~/x.png")
    except mg.MiniganError as error:
        where = str(error)
    assert where.startswith("~/x.png holds no run") or str(tmp_path / "home") in where
    assert names(tmp_path / "elsewhere") == set()


def test_an_absolute_path_does_not_move_with_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = absolute_path("a")
    monkeypatch.chdir(tmp_path.parent)
    assert (path, absolute_path(path)) == (tmp_path / "a", path)
    assert as_path("a") == Path("a")  # as it was given


@pytest.mark.skipif(os.name == "nt", reason="Windows has no user numbers")
@pytest.mark.parametrize("call", [mg.load_run, lambda path: cache_folder()], ids=["run", "cache"])
def test_without_a_home_folder(call, tmp_path, monkeypatch):
    """An unknown user number and no HOME, as in a container."""
    import pwd

    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "MINIGAN_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(mg.ConfigError, match=r"(?i)cannot find .*: could not determine .*home"):
        call("~/x")
    assert names(tmp_path) == set()


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses paths of this length")
def test_a_thousand_missing_levels(tmp_path, monkeypatch):
    """More than Python's limit on recursion; and a path that the system refuses."""
    monkeypatch.setattr(files, "sync_folder", lambda folder: None)  # slow
    (tmp_path / "x").write_bytes(b"")
    deep = tmp_path.joinpath(*["a"] * 1000)
    assert make_folder(deep).is_dir()
    os.removedirs(deep)  # pytest cannot
    with pytest.raises(mg.FileError, match="cannot make folder"):
        make_folder(tmp_path.joinpath(*["b"] * 2100))
    assert names(tmp_path) == {"x"}
