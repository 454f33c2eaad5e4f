"""Points of one's own: a CSV file with two columns."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minigan.checks import number
from minigan.config import register
from minigan.data.samples import Samples
from minigan.data.source import ANOTHER_SOURCE
from minigan.data.toys import Plane
from minigan.errors import DataError, FileError
from minigan.files import as_path, require_regular
from minigan.text import count

MOST_POINTS = 10_000_000


@register
class Points(Samples, Plane):
    """The points of a CSV file, in a new order every epoch (see `Samples`).

    Args:
        file: two numbers a line, x and y; the first line may hold names instead.
        seed: of the order.
        unit: the points are divided by it, > 0: networks learn best from numbers around 1.
        device, dtype: of the batches.

    Raises:
        FileError: the file is missing or cannot be read.
        DataError: it holds anything else, or no point.
        ConfigError: an invalid setting.
    """

    fixed: ClassVar[Mapping[str, str]] = {
        **Samples.fixed,
        **dict.fromkeys(("file", "unit"), ANOTHER_SOURCE),
    }

    def __init__(
        self,
        file: Path | str,
        seed: int = 0,
        *,
        unit: float = 1.0,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        self.file = str(file)
        self.unit = number("Points: unit", unit, above=0.0)
        super().__init__(read_points(file) / self.unit, seed, device=device, dtype=dtype)

    def settings(self) -> dict[str, Any]:
        """A description as JSON, with the SHA-256 of the points."""
        return {**super().settings(), "file": self.file, "unit": self.unit}

    def describe(self) -> str:
        """What the data are, for people: "points.csv: 500 points"."""
        unit = "" if self.unit == 1.0 else f" in units of {self.unit:g}"
        return f"{self.file}: {count(self.size, 'point')}{unit}"

    @classmethod
    def find(
        cls, settings: dict[str, Any], folder: Path | None = None, *, device: str = "cpu"
    ) -> Points:
        """The points of the described file.

        Args:
            settings: what `settings()` returned.
            folder: where to look for the file instead of where it was.
            device: where batches are written.

        Raises:
            DataError: the file cannot be read, or holds other points.
        """
        file = Path(settings["file"])
        file = file if folder is None else folder / file.name
        options = {"unit": settings["unit"], "dtype": settings["dtype"], "device": device}
        try:
            found = cls(file, settings["seed"], **options)
        except FileError as error:
            raise DataError(str(error)) from error
        if found.sha256 != settings["sha256"]:
            raise DataError(f"it was trained on other points than those of {file}")
        return found

    @classmethod
    def stand_in(cls, settings: dict[str, Any], *, device: str = "cpu") -> Samples:
        """Standard normal numbers (N, 2)."""
        return Samples.stand_in(settings, device=device)


def read_points(file: Path | str) -> Any:
    """The points (N, 2) float64 of a CSV file.

    Raises:
        FileError: the file is missing, is no regular file, or cannot be read.
        DataError: a line does not hold two finite numbers, or there is none.
    """
    path = as_path(file)
    points: list[tuple[float, float]] = []
    try:
        require_regular(path)
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            for row in reader:
                if not row or (reader.line_num == 1 and not any(map(_is_number, row))):
                    continue  # an empty line; names
                if len(row) != 2 or not all(map(_is_number, row)):
                    raise DataError(
                        f"{path}, line {reader.line_num}: must be two finite numbers with a comma "
                        f"between them, not {','.join(row)[:40]!r}"
                    )
                points.append((float(row[0]), float(row[1])))
                if len(points) > MOST_POINTS:
                    raise DataError(f"{path} has more than the {MOST_POINTS:,} points accepted")
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    except (UnicodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV file: {error}") from error
    if not points:
        raise DataError(f"{path} has no points: two numbers a line, with a comma between them")
    return np.array(points, np.float64)


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
