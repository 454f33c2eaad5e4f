"""One writer a run folder: two runs in one folder would spoil each other's files."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from minigan.errors import BusyError, FileError
from minigan.files import write_whole

log = logging.getLogger("minigan")

LOCK = ".lock"  # what the system locks; it goes with its process, however that ends
WRITER = "writer.json"  # who holds it, for people; what a killed process leaves behind
WAIT = 0.3  # seconds; whoever only looks (`writer_of`) holds the lock for a moment


class WriterLock:
    """A context manager: inside, this object alone writes the folder. It can be nested.

    The system's own file lock is what decides, so nothing has to be cleaned up after a
    process that was killed; `writer.json` only says who it is.

    Raises:
        BusyError: another process (or another trainer of this one) is writing the folder.
        FileError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / LOCK, timeout=WAIT)
        self.depth = 0  # how often this object has entered

    def __enter__(self) -> WriterLock:
        if self.depth == 0:
            try:
                _require_plain(self.folder)
                self._lock.acquire()
            except Timeout:
                raise _busy(self.folder, describe(self.folder)) from None
            except FileError:
                raise
            except (OSError, NotImplementedError) as error:
                number = getattr(error, "errno", None)
                raise FileError(number, f"cannot lock {self.folder / LOCK}: {error}") from error
            try:
                self._sign()
            except BaseException:
                self._lock.release()
                raise
        self.depth += 1
        return self

    def __exit__(self, *exc: object) -> None:
        self.depth -= 1
        if self.depth == 0:
            with contextlib.suppress(OSError):
                (self.folder / WRITER).unlink(missing_ok=True)
            self._lock.release()

    def _sign(self) -> None:
        """Write who holds the lock; say so if somebody did not give it back."""
        if (self.folder / WRITER).exists():
            gone = describe(self.folder)
            log.warning("%s: taking over from %s, which ended without a word", self.folder, gone)
        who = {
            "pid": os.getpid(),
            "host": platform.node(),
            "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        }
        write_whole(self.folder / WRITER, json.dumps(who, indent=2).encode())


def writer_of(folder: Path, wait: float = 0.0) -> str | None:
    """Who is writing the folder now, as words, or None; writes nothing itself.

    Args:
        folder: the run folder.
        wait: seconds, in case it is only somebody who looks, too.
    """
    if not (folder / LOCK).exists():
        return None
    lock = FileLock(folder / LOCK, timeout=wait)
    try:
        _require_plain(folder)
        lock.acquire()
    except Timeout:
        return describe(folder)
    except (OSError, NotImplementedError):
        return None  # a folder that can only be read
    lock.release()
    return None


def require_unlocked(folder: Path) -> None:
    """Raise `BusyError` if somebody is writing the folder."""
    who = writer_of(folder, WAIT)
    if who is not None:
        raise _busy(folder, who)


def describe(folder: Path) -> str:
    """Who signed the lock last: "process 12 on host (command)"."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        who: Any = json.loads((folder / WRITER).read_text(encoding="utf-8"))
        if isinstance(who, dict) and who:
            return printable(
                f"process {who.get('pid')} on {who.get('host')} ({who.get('command')})"
            )
    return "another process"


def printable(text: object) -> str:
    """A stranger's words without what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in str(text))


def _busy(folder: Path, who: str) -> BusyError:
    return BusyError(
        f"{folder} is being written by {who}; let it end, or stop it, or choose another folder"
    )


def _require_plain(folder: Path) -> None:
    """`FileError` if the lock is a link to somewhere else, or no file."""
    lock = folder / LOCK
    if lock.is_symlink() or (lock.exists() and not lock.is_file()):
        raise FileError(f"cannot lock {lock}: it is not a regular file")
