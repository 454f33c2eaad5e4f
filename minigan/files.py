"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from minigan.errors import FileError


def write_whole(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` so that a reader finds the old file or the new one, never half.

    The bytes go to a temporary file in the same folder, which then takes the name.

    Raises:
        FileError: the file cannot be written; it says why.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
