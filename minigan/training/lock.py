"""One writer per run folder: two runs in one folder would spoil each other's files."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import platform
import shlex
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from minigan.errors import UNEXPECTED, BusyError, FileError
from minigan.files import require_regular, write_whole
from minigan.reading import read_json

log = logging.getLogger("minigan")

LOCK = ".lock"  # locked by the operating system, which unlocks it when the process ends
WRITER = "writer.json"  # names the process that holds the lock
MAX_BYTES = 1 << 20  # of writer.json
WAIT = 0.3  # seconds; `writer_of` holds the lock for a moment


class WriterLock:
    """A context manager: inside, this object alone writes the folder. It can be nested.

    The operating system's file lock decides, so nothing has to be cleaned up after a process
    that was killed. A forked process inherits this object, but not the lock: that stays with its
    parent.

    Raises:
        BusyError: another process (or another trainer of this one) is writing the folder.
        FileError: the folder cannot be written, or is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._inherited: FileLock | None = None
        self._make()

    def _make(self) -> None:
        self._lock = FileLock(self.folder / LOCK, timeout=WAIT, thread_local=False)
        self._process = os.getpid()
        self._locked: tuple[int, int] | None = None  # the `_identity` of the file that is locked
        self._signed: tuple[int, int] | None = None  # and that of writer.json

    @property
    def depth(self) -> int:
        """How many times this object has been entered in this process and not left."""
        return self._lock.lock_counter if self._process == os.getpid() else 0

    def require_held(self) -> None:
        """Raise an error unless the lock in the folder is still the one that this object holds.

        Raises:
            BusyError: the lock was removed, or the folder is another one, or this process was
                forked from the one that has the lock.
            FileError: the folder is missing.
        """
        _require_folder(self.folder)
        if self.depth == 0:
            raise _busy(self.folder, describe(self.folder))
        if _identity(self.folder / LOCK) != self._locked:
            require_unlocked(self.folder)
            raise BusyError(
                f"{self.folder} was replaced, or its {LOCK} removed, while a trainer was writing "
                "it; that trainer writes nothing more: resume the run"
            )

    def __enter__(self) -> WriterLock:
        _require_folder(self.folder)
        if self._process != os.getpid():
            # In older versions of filelock, deleting this would release the parent's lock.
            self._inherited = self._lock
            self._make()
        try:
            require_regular(self.folder / LOCK, follow_links=False)  # or it locks another file
            self._lock.acquire()
        except Timeout:
            raise _busy(self.folder, describe(self.folder)) from None
        except (OSError, NotImplementedError) as error:
            number = getattr(error, "errno", None)
            raise FileError(number, f"cannot lock {self.folder / LOCK}: {error}") from error
        if self.depth == 1:
            self._locked = _identity(self.folder / LOCK)
            try:
                self._sign()
            except BaseException:
                self._lock.release()
                raise
        return self

    def __exit__(self, *exc: object) -> None:
        if self.depth == 0:  # entered before a fork: the parent leaves it
            return
        if self.depth == 1 and _identity(self.folder / WRITER) == self._signed:
            with contextlib.suppress(OSError):
                (self.folder / WRITER).unlink(missing_ok=True)
        self._lock.release()

    def _sign(self) -> None:
        """Write writer.json; warn if a killed process left one behind."""
        if (self.folder / WRITER).exists():
            gone = describe(self.folder)
            log.warning("%s: taking over from %s, which ended abnormally", self.folder, gone)
        command = shlex.join([Path(sys.executable).name, *sys.argv])
        who = {"pid": os.getpid(), "host": platform.node(), "command": command}
        write_whole(self.folder / WRITER, json.dumps(who, indent=2).encode())
        self._signed = _identity(self.folder / WRITER)


def writer_of(folder: Path) -> str | None:
    """The process that is writing the folder now, or None. Writes nothing."""
    lock = folder / LOCK
    try:
        if require_regular(lock, follow_links=False) is not None:
            with FileLock(lock, timeout=WAIT):
                pass
    except Timeout:
        return describe(folder)
    except (OSError, NotImplementedError):  # a read-only folder has no writer
        pass
    return None


def require_unlocked(folder: Path) -> None:
    """Raise `BusyError` if another process is writing the folder."""
    who = writer_of(folder)
    if who is not None:
        raise _busy(folder, who)


def describe(folder: Path) -> str:
    """The process that writer.json names: "process 12 on host (command)"."""
    with contextlib.suppress(OSError, *UNEXPECTED):
        who = read_json(folder / WRITER, MAX_BYTES)
        return f"process {who['pid']} on {who['host']} ({who['command']})"
    return "another process"


def _busy(folder: Path, who: str) -> BusyError:
    return BusyError(
        f"{folder} is being written by {who}; let it end, or stop it, or choose another folder"
    )


def _identity(file: Path) -> tuple[int, int] | None:
    """The device and the number of a file; None if there is none."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _require_folder(folder: Path) -> None:
    """Raise `FileError` if the run folder is missing."""
    if not folder.is_dir():
        raise FileError(errno.ENOENT, f"the run folder {folder} was removed or renamed")
