"""The history of a run: one CSV row a print interval."""

from __future__ import annotations

import csv
import errno
import io
import os
from pathlib import Path
from typing import Any

from minigan.errors import CheckpointError
from minigan.files import cannot_write, write_whole
from minigan.training.lock import printable


class History:
    """Rows of numbers, appended to a CSV file as they come.

    Args:
        path: the file.
        columns: its header; the first one is "step".
    """

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self.columns = columns

    def start(self) -> None:
        """Begin an empty history."""
        write_whole(self.path, self._line(list(self.columns)).encode())

    def append(self, row: dict[str, Any]) -> None:
        """Add a row; numbers are written so that reading gives the same float back.

        The row is on the disk before this returns, so that a checkpoint never knows of a step
        whose row a power failure can take.
        """
        line = self._line([row[name] for name in self.columns]).encode()
        try:
            with self.path.open("ab", buffering=0) as file:
                end = file.tell()
                try:
                    if file.write(line) < len(line):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    os.fsync(file.fileno())
                except BaseException:
                    file.truncate(end)  # or the next row would go on in this line
                    raise
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def rewind(self, step: int) -> None:
        """Drop the rows after `step`, which a resumed run will write again.

        A file that is missing is begun anew.

        Raises:
            CheckpointError: the file is not a history with these columns.
        """
        if not self.path.exists():
            self.start()
        rows = read_history(self.path, self.columns)
        header, *lines = self.path.read_bytes().splitlines(keepends=True)
        kept = [line for line, row in zip(lines, rows, strict=False) if row["step"] <= step]
        if len(kept) < len(lines):  # a torn last line is one that has no row
            write_whole(self.path, header, *kept)

    @staticmethod
    def _line(cells: list[Any]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        return text.getvalue()


def read_history(
    path: Path | str, columns: tuple[str, ...] | None = None
) -> list[dict[str, float]]:
    """Read a history.csv: one dictionary a row, every value a float.

    A last line without its newline was being written when the run died; it is left out.

    Args:
        path: the file.
        columns: what its header must be; by default anything that begins with "step".

    Raises:
        CheckpointError: the file is missing or not a history.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is not a regular file")
        text = path.read_bytes().decode("utf-8")
        whole_lines = text[: text.rfind("\n") + 1]
        reader = csv.reader(io.StringIO(whole_lines, newline=""), strict=True)
        header = tuple(next(reader, ()))
        if header[:1] != ("step",) or (columns is not None and header != columns):
            raise ValueError(f"its columns are {printable(', '.join(header)) or 'missing'}")
        return [dict(zip(header, (float(cell) for cell in row), strict=True)) for row in reader]
    except FileNotFoundError:
        raise CheckpointError(f"there is no history at {path}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise CheckpointError(f"{path} is not a history: {error}") from error
