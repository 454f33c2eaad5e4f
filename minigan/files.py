"""Files are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minigan.errors import FileError


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which takes the name `path` at the end.

    So a reader finds the old file or the new one, never half. The temporary name ends like
    `path`, for writers that choose a format by it. After an error nothing is left of it.

    Raises:
        FileError: the file cannot be written; it says why.
    """
    path = Path(path)
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error


def make_folder(path: Path | str) -> Path:
    """Make a folder and those above it, if they are missing; `FileError` if that cannot be."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make folder {path}: {error.strerror or error}") from error
    return path


def write_whole(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` whole or not at all; `FileError` if it cannot be written."""
    with whole_file(path) as temporary:
        temporary.write_bytes(data)
