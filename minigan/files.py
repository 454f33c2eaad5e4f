"""Files are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import re
import stat
import time
from pathlib import Path

from minigan.errors import ConfigError, FileError

TEMPORARY = ".minigan-"  # what a file's name begins with until it is whole
_TEMPORARY = re.compile(re.escape(TEMPORARY) + "[0-9a-f]{16}-(.*)", re.DOTALL)
TAIL = 64  # bytes at the end of a file's name that its temporary name has, too
WINDOWS = os.name == "nt"


def as_path(path: Path | str) -> Path:
    """A path that a user gave. A leading ~ is the user's home folder.

    Raises:
        ConfigError: no path; an empty one, which would be the current folder; an unknown user.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ConfigError(f"a path is a str or a Path, not {path!r}")
    if not os.fspath(path):
        raise ConfigError("a path must not be empty")
    if "\0" in os.fspath(path):
        raise ConfigError(f"a path cannot contain a zero byte: {path!r}")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"cannot find {path}: {error}") from None


def absolute_path(path: Path | str) -> Path:
    """A path that a user gave, which a later `os.chdir` does not move. Raises as `as_path`."""
    path = as_path(path)
    try:
        return path.absolute()
    except OSError as error:  # the current folder was removed
        raise ConfigError(f"cannot find {path}: {error}") from None


def target_of(path: Path | str) -> Path:
    """The file that a user's path stands for: where a link leads.

    Raises:
        ConfigError: as `as_path`.
        FileError: it is a folder, a pipe or a device, which cannot be written whole.
    """
    path = as_path(path)
    try:
        require_regular(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def require_regular(path: Path, *, follow_links: bool = True) -> int | None:
    """The permissions of a regular file; None if there is no such file.

    Raises:
        OSError: it is something else, such as a pipe, which could be read or written without end.
    """
    try:
        mode = os.stat(path, follow_symlinks=follow_links).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISREG(mode):
        return mode & 0o777
    kinds = {stat.S_IFDIR: "it is a folder", stat.S_IFLNK: "it is a symbolic link"}
    raise OSError(kinds.get(stat.S_IFMT(mode), "it is not a regular file"))


def write_whole(path: Path | str, *pieces: bytes | memoryview, keep: Path | None = None) -> None:
    """Write pieces to a temporary file in the same folder, and rename it to `path`.

    A reader finds the old file or the new one, whenever the process is killed. The content is on
    the disk before the name is, and the name before this returns, so this holds for a power
    failure, too. After an error the temporary file is removed. The new file has the old one's
    permissions. If two threads or processes write one path, the last one wins.

    Args:
        path: the file. A link is refused: in a folder from elsewhere it could lead to any file
            of the user's. Commands follow the links that their user names, see `target_of`.
        pieces: the content.
        keep: the name under which the old file stays.

    Raises:
        FileError: the file cannot be written, or is not a regular file.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        mode = require_regular(path, follow_links=False)
        created = functools.partial(os.open, mode=0o666 if mode is None else mode)
        file = open(temporary, "xb", opener=created)  # noqa: SIM115  "x" follows no link
        try:
            with file:
                if mode is not None and stat.S_IMODE(os.fstat(file.fileno()).st_mode) != mode:
                    os.chmod(temporary, mode)  # the umask took some of it away
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            if keep is not None:
                _keep(path, keep)
            _replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def append_whole(path: Path, line: bytes, *, sync: bool) -> None:
    """Add a line to the end of a file, completely or not at all.

    Args:
        path: the file; it is made if it is missing.
        line: with its newline.
        sync: whether the line is on the disk before this returns.

    Raises:
        FileError: the file cannot be written; it is as it was.
    """
    try:
        with path.open("ab", buffering=0) as file:
            end = file.tell()
            try:
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if sync:
                    os.fsync(file.fileno())
            except BaseException:
                file.truncate(end)  # or the next line would continue this one
                raise
    except OSError as error:
        raise cannot_write(path, error) from error


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


def make_folder(path: Path | str, *, exist_ok: bool = True) -> Path:
    """Make a folder and its parents, if they are missing.

    Raises:
        FileError: that fails; without `exist_ok`, also if it is there: its errno is EEXIST.
    """
    path = Path(path)
    try:
        above = itertools.takewhile(lambda folder: not folder.is_dir(), path.parents)
        new = [*reversed(list(above)), *([] if exist_ok and path.is_dir() else [path])]
        for folder in new:  # `mkdir(parents=True)` calls itself for each level
            folder.mkdir(exist_ok=exist_ok or folder != path)
            sync_folder(folder.parent)
    except OSError as error:
        raise FileError(
            error.errno, f"cannot make folder {path}: {error.strerror or error}"
        ) from error
    return path


def _temporary(path: Path) -> Path:
    """A new name in the folder of a file. It ends like the file's, but is never too long."""
    return path.with_name(f"{TEMPORARY}{os.urandom(8).hex()}-{_tail(path.name)}")


def _tail(name: str) -> str:
    """The last `TAIL` bytes of a file's name, with the suffix."""
    return os.fsencode(name)[-TAIL:].decode(errors="ignore")


def _keep(path: Path, keep: Path) -> None:
    """Give a file, if it is there, a second name, without a moment in which it has none."""
    second = _temporary(keep)
    try:
        os.link(path, second)
    except FileNotFoundError:  # there is none
        return
    except OSError:  # a file system without links: for a moment only the new name exists
        with contextlib.suppress(FileNotFoundError):  # another thread did this first
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
    """Remove the temporary files that killed writers of `names` left in a folder.

    The caller makes sure that no other process is writing these names.
    """
    mine = {_tail(name) for name in names}
    with contextlib.suppress(OSError):  # they are harmless
        for file in list(folder.iterdir()):
            found = _TEMPORARY.fullmatch(file.name)
            if found is not None and found[1] in mine:
                with contextlib.suppress(OSError):
                    file.unlink()


def cannot_write(path: Path, error: OSError) -> FileError:
    """A `FileError` with the operating system's reason and its number."""
    return FileError(error.errno, f"cannot write {path}: {error.strerror or error}")
