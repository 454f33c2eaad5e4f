"""The history of a run: one CSV row a print interval."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from minigan.errors import CheckpointError, FileError
from minigan.files import write_whole


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
        """Add a row; numbers are written so that reading gives the same float back."""
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(self._line([row[name] for name in self.columns]))
        except OSError as error:
            raise FileError(f"cannot write {self.path}: {error.strerror or error}") from error

    def rewind(self, step: int) -> None:
        """Drop the rows after `step`, which a resumed run will write again.

        A file that is missing is begun anew.

        Raises:
            CheckpointError: the file is not a history with these columns.
        """
        if not self.path.exists():
            self.start()
        rows = [row for row in read_history(self.path, self.columns) if row["step"] <= step]
        lines = [self._line(list(self.columns))]
        lines += [
            self._line([int(row[c]) if c == "step" else row[c] for c in self.columns])
            for row in rows
        ]
        write_whole(self.path, "".join(lines).encode())

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
        text = path.read_bytes().decode("utf-8")
        whole_lines = text[: text.rfind("\n") + 1]
        reader = csv.reader(io.StringIO(whole_lines, newline=""), strict=True)
        header = tuple(next(reader, ()))
        if header[:1] != ("step",) or (columns is not None and header != columns):
            raise ValueError(f"its columns are {', '.join(header) or 'missing'}")
        return [
            dict(zip(header, (float(cell) for cell in row), strict=True)) for row in reader if row
        ]
    except FileNotFoundError:
        raise CheckpointError(f"there is no history at {path}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise CheckpointError(f"{path} is not a history: {error}") from error
