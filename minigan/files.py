"""Files are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minigan.errors import FileError

TEMPORARY = ".tmp-"  # what a file's name begins with until it is whole
WINDOWS = os.name == "nt"


@contextmanager
def whole_file(path: Path | str, keep: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which takes the name `path` at the end.

    So a reader finds the old file or the new one, never half, whenever the process is killed;
    and since the content reaches the disk before the name does, and the name before this
    returns, a power failure changes nothing in that. The temporary name ends like `path`, for
    writers that choose a format by it. After an error nothing is left of it.

    Args:
        path: the file.
        keep: another name for the old file, under which it stays.

    Raises:
        FileError: the file cannot be written; it says why, and `errno` too.
    """
    path = Path(path)
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    try:
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            if keep is not None and path.exists():
                _keep(path, keep)
            _replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_whole(path: Path | str, *pieces: bytes | memoryview, keep: Path | None = None) -> None:
    """Write pieces to `path` as `whole_file` does; `FileError` if it cannot be written."""
    with whole_file(path, keep) as temporary, temporary.open("wb") as file:
        for piece in pieces:
            file.write(piece)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk. Windows has no call for it; there it does nothing.

    (The folder's own name in the one above it is `make_folder`'s to bring there.)
    """
    if WINDOWS:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # file systems that keep no folders on a disk say so
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def make_folder(path: Path | str) -> Path:
    """Make a folder and those above it, if they are missing; `FileError` if that cannot be."""
    path = Path(path)
    try:
        new = [folder for folder in (path, *path.parents) if not folder.is_dir()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in new:
            sync_folder(folder.parent)
    except OSError as error:
        raise FileError(
            error.errno, f"cannot make folder {path}: {error.strerror or error}"
        ) from error
    return path


def _keep(path: Path, keep: Path) -> None:
    """Give a file a second name, so that at no moment it has none."""
    second = keep.with_name(f"{TEMPORARY}{os.getpid()}-{keep.name}")
    try:
        second.unlink(missing_ok=True)
        os.link(path, second)
    except OSError:  # a file system without links: for a moment only the new name is there
        _replace(path, keep)
    else:
        _replace(second, keep)
        second.unlink(missing_ok=True)  # a rename between two names of one file does nothing


def _replace(source: Path, target: Path) -> None:
    """Rename; on Windows again and again for a second, while somebody reads the target."""
    for _ in range(10 if WINDOWS else 0):
        with contextlib.suppress(PermissionError):
            source.replace(target)
            return
        time.sleep(0.1)
    source.replace(target)


def remove_leftovers(folder: Path, *names: str) -> None:
    """Remove the temporary files that a killed writer of `names` left in a folder.

    Those of other names may have a writer that lives, and go when they are an hour old.
    """
    for file in folder.rglob(f"{TEMPORARY}*"):
        with contextlib.suppress(OSError):  # in the way of nobody
            mine = file.parent == folder and file.name.split("-", 2)[-1] in names
            if mine or time.time() - file.stat().st_mtime > 3600.0:
                file.unlink()


def cannot_write(path: Path, error: OSError) -> FileError:
    """The error that says so, with the system's reason and its number."""
    return FileError(error.errno, f"cannot write {path}: {error.strerror or error}")
