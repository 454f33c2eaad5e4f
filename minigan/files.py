"""Files are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minigan.errors import ConfigError, FileError

TEMPORARY = ".tmp-"  # what a file's name begins with until it is whole
WINDOWS = os.name == "nt"


def as_path(path: Path | str) -> Path:
    """A path that a user gave: absolute, so that a later `os.chdir` does not move it.

    A leading ~ is the user's home folder.

    Raises:
        ConfigError: an empty path, which would be the current folder, or an unknown user.
    """
    if not os.fspath(path):
        raise ConfigError("a path must not be empty")
    try:
        return Path(os.path.abspath(Path(path).expanduser()))
    except (RuntimeError, OSError) as error:  # no home folder; the current folder was removed
        raise ConfigError(f"cannot find {path}: {error}") from None


@contextmanager
def whole_file(path: Path | str, keep: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which is renamed to `path` at the end.

    A reader finds the old file or the new one, whenever the process is killed. The content is on
    the disk before the name is, and the name before this returns, so this holds for a power
    failure, too. The temporary name ends like `path`, for writers that choose a format by it.
    After an error the temporary file is removed.

    Args:
        path: the file.
        keep: the name under which the old file stays.

    Raises:
        FileError: the file cannot be written.
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
    """Write pieces to a file by `whole_file`; `FileError` if it cannot be written."""
    with whole_file(path, keep) as temporary, temporary.open("wb") as file:
        for piece in pieces:
            file.write(piece)


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk. Windows has no call for this."""
    if WINDOWS:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some file systems cannot do this, and need not
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def make_folder(path: Path | str) -> Path:
    """Make a folder and its parents, if they are missing; `FileError` if that fails."""
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
    """Give a file a second name, without a moment in which it has none."""
    second = keep.with_name(f"{TEMPORARY}{os.getpid()}-{keep.name}")
    try:
        second.unlink(missing_ok=True)
        os.link(path, second)
    except OSError:  # a file system without links: for a moment only the new name exists
        _replace(path, keep)
    else:
        _replace(second, keep)
        second.unlink(missing_ok=True)  # a rename between two names of one file does nothing


def _replace(source: Path, target: Path) -> None:
    """Rename a file. Windows refuses while another process reads the target: try for a second."""
    for _ in range(10 if WINDOWS else 0):
        with contextlib.suppress(PermissionError):
            source.replace(target)
            return
        time.sleep(0.1)
    source.replace(target)


def remove_leftovers(folder: Path, *names: str) -> None:
    """Remove the temporary files that a killed writer of `names` left in a folder.

    Those of other names may still be written. They are removed when they are an hour old.
    """
    for file in folder.rglob(f"{TEMPORARY}*"):
        with contextlib.suppress(OSError):  # harmless, if it stays
            mine = file.parent == folder and file.name.split("-", 2)[-1] in names
            if mine or time.time() - file.stat().st_mtime > 3600.0:
                file.unlink()


def cannot_write(path: Path, error: OSError) -> FileError:
    """A `FileError` with the operating system's reason and its number."""
    return FileError(error.errno, f"cannot write {path}: {error.strerror or error}")
