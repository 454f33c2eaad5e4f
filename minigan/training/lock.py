"""One writer per run folder: two runs in one folder would spoil each other's files."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import shlex
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from minigan.errors import BusyError, FileError
from minigan.files import write_whole
from minigan.text import printable

log = logging.getLogger("minigan")

LOCK = ".lock"  # locked by the operating system, which unlocks it when the process ends
WRITER = "writer.json"  # names the process that holds the lock
WAIT = 0.3  # seconds; `writer_of` holds the lock for a moment


class WriterLock:
    """A context manager: inside, this object alone writes the folder. It can be nested.

    The operating system's file lock decides, so nothing has to be cleaned up after a process
    that was killed.

    Raises:
        BusyError: another process (or another trainer of this one) is writing the folder.
        FileError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / LOCK, timeout=WAIT, thread_local=False)

    @property
    def depth(self) -> int:
        """How many times this object has been entered and not left."""
        return self._lock.lock_counter

    def __enter__(self) -> WriterLock:
        try:
            if not _is_plain(self.folder / LOCK):
                raise OSError("it is not a regular file")
            self._lock.acquire()
        except Timeout:
            raise _busy(self.folder, describe(self.folder)) from None
        except (OSError, NotImplementedError) as error:
            number = getattr(error, "errno", None)
            raise FileError(number, f"cannot lock {self.folder / LOCK}: {error}") from error
        if self.depth == 1:
            try:
                self._sign()
            except BaseException:
                self._lock.release()
                raise
        return self

    def __exit__(self, *exc: object) -> None:
        if self.depth == 1:
            with contextlib.suppress(OSError):
                (self.folder / WRITER).unlink(missing_ok=True)
        self._lock.release()

    def _sign(self) -> None:
        """Write writer.json; warn if a killed process left one behind."""
        if (self.folder / WRITER).exists():
            gone = describe(self.folder)
            log.warning("%s: taking over from %s, which ended without a word", self.folder, gone)
        command = shlex.join([Path(sys.executable).name, *sys.argv])
        who = {"pid": os.getpid(), "host": platform.node(), "command": command}
        write_whole(self.folder / WRITER, json.dumps(who, indent=2).encode())


def writer_of(folder: Path) -> str | None:
    """The process that is writing the folder now, or None. Writes nothing."""
    lock = folder / LOCK
    try:
        if lock.exists() and _is_plain(lock):
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
    with contextlib.suppress(OSError, ValueError, RecursionError, LookupError, TypeError):
        who = json.loads((folder / WRITER).read_text(encoding="utf-8"))
        return printable(f"process {who['pid']} on {who['host']} ({who['command']})")
    return "another process"


def _busy(folder: Path, who: str) -> BusyError:
    return BusyError(
        f"{folder} is being written by {who}; let it end, or stop it, or choose another folder"
    )


def _is_plain(lock: Path) -> bool:
    """Whether a lock is, or can become, a regular file. A link would lock another file."""
    return not lock.is_symlink() and (lock.is_file() or not lock.exists())
