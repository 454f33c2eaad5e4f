"""The history of a run: one CSV row a print interval."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from minigan.errors import CheckpointError, ConfigError
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
            raise ConfigError(f"cannot write {self.path}: {error.strerror or error}") from error

    def rewind(self, step: int) -> None:
        """Drop the rows after `step`, which a resumed run will write again."""
        rows = [row for row in read_history(self.path) if row["step"] <= step]
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


def read_history(path: Path | str) -> list[dict[str, float]]:
    """Read a history.csv: one dictionary a row, every value a float.

    Raises:
        CheckpointError: the file is missing or not a history.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise CheckpointError(f"there is no history at {path}") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a history: {error}") from error
