"""The results of a sweep as tables: a row for each run, and one for each setting."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from minigan.sweeps.plan import Planned, value_text
from minigan.sweeps.worker import Outcome
from minigan.text import columns, count

Row: TypeAlias = dict[str, Any]  # {column: value}; None is an empty cell
REASONS = 5  # why runs failed, as they are printed


def run_rows(runs: Sequence[Planned], outcomes: Sequence[Outcome]) -> list[Row]:
    """A row for each run: its settings, its score, its last losses and measures, why it failed."""
    measures = dict.fromkeys(name for one in outcomes for name in one.history if name != "step")
    return [
        {
            "run": run.name,
            **run.values,
            "seed": run.seed,
            "step": one.step,
            "score": one.score,
            **{f"last_{name}": one.history.get(name) for name in measures},  # some are fields, too
            "failed": one.failed,
        }
        for run, one in zip(runs, outcomes, strict=True)
    ]


def setting_rows(rows: Sequence[Row], fields: Sequence[str]) -> list[Row]:
    """A row for each setting: of how many runs, how many failed; the others' scores.

    Args:
        rows: of the runs.
        fields: the columns that are settings.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[field] for field in fields), []).append(row)
    made = []
    for values, group in groups.items():
        scores = [row["score"] for row in group if row["score"] is not None]
        made.append(
            {
                **dict(zip(fields, values, strict=True)),
                "runs": len(group),
                "failed": len(group) - len(scores),
                "mean": math.fsum(scores) / len(scores) if scores else None,
                "worst": max(scores, default=None),
                "best": min(scores, default=None),
            }
        )
    return made


def as_csv(rows: Sequence[Row], fields: Sequence[str]) -> bytes:
    """Rows as the bytes of a CSV file. None is an empty cell, except in the columns `fields`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        cells = (("" if v is None and k not in fields else value_text(v)) for k, v in row.items())
        writer.writerow(cells)
    return text.getvalue().encode()


@dataclass(frozen=True)
class Results:
    """What came of a sweep; as a text, the table of its settings and why runs failed.

    Attributes:
        fields: the names of the fields that were swept.
        score_name: what the scores are; lower is better.
        runs: a row for each run: "run", the settings, "seed", "step", "score" (None if it failed),
            the last row of its history ("last_g", ...), and "failed", the reason or None.
        settings: a row for each setting: the settings, "runs", "failed", "mean", "worst", "best".
    """

    fields: tuple[str, ...]
    score_name: str
    runs: list[Row]
    settings: list[Row]

    @classmethod
    def of(
        cls, fields: Sequence[str], runs: Sequence[Planned], outcomes: Sequence[Outcome]
    ) -> Results:
        """The results of runs, in their order."""
        rows = run_rows(runs, outcomes)
        names = [one.score_name for one in outcomes if one.score_name]
        return cls((*fields,), (*names, "score")[0], rows, setting_rows(rows, fields))

    @property
    def failed(self) -> int:
        """How many runs failed."""
        return sum(row["failed"] is not None for row in self.runs)

    def __str__(self) -> str:
        return "\n".join([self.as_table(), *([self.failures()] if self.failed else [])])

    def as_table(self) -> str:
        """The rows of the settings as a table. Fields with one value are left out."""
        rows = self.settings
        shown = [f for f in self.fields if len({value_text(row[f]) for row in rows}) > 1]
        scores = ("mean", "worst", "best")
        lines = [(*shown, "runs", "failed", *scores, "")]
        lowest = min((row["mean"] for row in rows if row["mean"] is not None), default=None)
        for row in rows:
            cells = [value_text(row[field]) for field in shown]
            cells += [str(row["runs"]), str(row["failed"])]
            cells += ["-" if row[name] is None else f"{row[name]:.4g}" for name in scores]
            best = len(rows) > 1 and lowest is not None and row["mean"] == lowest
            lines.append((*cells, "lowest mean" if best else ""))
        title = f"{self.score_name} at the last step, lower is better; over the seeds:"
        return f"{title}\n{columns(lines, left=len(shown))}"

    def failures(self) -> str:
        """How many runs failed, and why the first ones did."""
        failed = [row for row in self.runs if row["failed"] is not None]
        lines = [f"{len(failed):,} of {count(len(self.runs), 'run')} failed:"]
        lines += [f"  {row['run']}: {row['failed']}" for row in failed[:REASONS]]
        if len(failed) > REASONS:
            lines.append(f"  and {len(failed) - REASONS:,} more: see runs.csv")
        return "\n".join(lines)
