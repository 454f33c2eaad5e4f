"""The history of a run: a CSV file with one row per print interval."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from minigan.errors import CheckpointError, ConfigError
from minigan.files import append_whole, as_path, require_regular, write_whole
from minigan.gan import Game
from minigan.text import loss_title
from minigan.training.health import MEASURES, shorten

LONGEST = 1 << 20  # characters of a line that is read


class History:
    """Rows of numbers, appended to a CSV file as they come.

    Args:
        path: the file.
        columns: its header; the first one is "step".

    Attributes:
        count: the number of rows.
        recent: the rows that `diagnose` needs.
    """

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self.columns = columns
        self.count = 0
        self.recent: list[dict[str, float]] = []
        self._pending: dict[str, Any] | None = None  # a row, until the file has it

    def start(self) -> None:
        """Begin an empty history."""
        write_whole(self.path, f"{','.join(self.columns)}\n".encode())
        self.count, self.recent = 0, []

    def add(self, row: dict[str, Any]) -> None:
        """Add a row. If it cannot be written, the next `flush` writes it."""
        self._pending = row
        self.flush()

    def flush(self) -> None:
        """Write the row that was added last, if the file does not have it yet."""
        if self._pending is not None:
            self.append(self._pending)
            self.recent = shorten([*self.recent, self._pending])
            self._pending = None
            self.count += 1

    def append(self, row: dict[str, Any]) -> None:
        """Write a row; reading the file gives the same floats back.

        The row is on the disk before this returns, so that a power failure cannot take the row of
        a step that a checkpoint already has.
        """
        cells = [row.get(name, math.nan) for name in self.columns]
        append_whole(self.path, f"{','.join(map(str, cells))}\n".encode(), sync=True)

    def rewind(self, step: int) -> None:
        """Drop the rows after `step`, which a resumed run will write again.

        A missing file is begun again.

        Raises:
            CheckpointError: the file is not a history with these columns.
        """
        if not self.path.exists():
            self.start()
        rows = read_history(self.path, self.columns)
        header, *lines = self.path.read_bytes().splitlines(keepends=True)
        kept = [line for line, row in zip(lines, rows, strict=False) if row["step"] <= step]
        if len(kept) < len(lines):  # a torn last line has no row
            write_whole(self.path, header, *kept)
        self._pending, self.count = None, len(kept)
        self.recent = shorten([row for row in rows if row["step"] <= step])


def read_history(
    path: Path | str, columns: tuple[str, ...] | None = None
) -> list[dict[str, float]]:
    """Read a history.csv: one dictionary per row, every value a float.

    A last line without a newline is left out: its writer was killed.

    Args:
        path: the file.
        columns: the header it must have; by default anything that begins with "step".

    Raises:
        CheckpointError: the file is missing or not a history.
    """
    path = as_path(path)
    try:
        require_regular(path)
        with path.open(encoding="utf-8", newline="\n") as file:
            reader = csv.reader(_whole_lines(file), strict=True)
            header = tuple(next(reader, ()))
            names = ", ".join(header) or "missing"
            if len(set(header)) < len(header):
                raise ValueError(f"two of its columns have one name: {names}")
            if header[:1] != ("step",) or (columns is not None and header != columns):
                raise ValueError(f"its columns are {names}")
            return [dict(zip(header, map(float, row), strict=True)) for row in reader]
    except FileNotFoundError:
        raise CheckpointError(f"there is no history at {path}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise CheckpointError(f"{path} is not a history: {error}") from error


def _whole_lines(file: TextIO) -> Iterator[str]:
    """The lines that end in a newline; `ValueError` for a line too long to be one of a history."""
    while line := file.readline(LONGEST):
        if line[-1] != "\n":
            if len(line) == LONGEST:
                raise ValueError(f"a line has more than {LONGEST:,} characters")
            return
        yield line


def columns_of(gan: Game) -> tuple[str, ...]:
    """The columns of a run's history; `ConfigError` if a loss has the name of another column."""
    rates = tuple(rate_column(gan, role) for role in sorted(gan.optimizers))
    columns = ("step", *gan.columns, *rates, *MEASURES, "rollbacks")
    titles = [loss_title(name) for name in gan.columns]
    for name, title in zip(gan.columns, titles, strict=True):
        if not name.isidentifier():
            raise ConfigError(f"a loss must have the name of a variable, not {name!r}")
        if columns.count(name) > 1 or name.endswith("_lr") or titles.count(title) > 1:
            raise ConfigError(f"a loss cannot be called {name!r}: another column is")
    return columns


def loss_columns(path: Path, columns: Sequence[str]) -> list[str]:
    """The losses among the columns of a history: neither rates nor measures.

    Raises:
        CheckpointError: there are none.
    """
    others = {"step", *MEASURES, "rollbacks"}
    losses = [name for name in columns if name not in others and not name.endswith("_lr")]
    if not losses:
        raise CheckpointError(f"{path} is not a history of a run: it has no losses")
    return losses


def rate_column(gan: Game, role: str) -> str:
    """The column of the learning rate of a role's optimizer: "d_lr"."""
    return f"{gan.letter(role).lower()}_lr"
