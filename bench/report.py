"""What every section shares: what was asked for, and how a page is written."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigan.files import write_whole

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Plan:
    """What the command line asks for.

    Attributes:
        out: the folder that the pages go to.
        rounds: slices of each worker, or starts of each command.
        seconds: about how long a slice takes.
        threads: numbers of threads; sections that measure only one take the first.
        engines, workloads: names.
        quick: fewer sizes and steps: does everything work?
        origin: a paragraph about when, on what and by which command, for every page.
    """

    out: Path
    rounds: int
    seconds: float
    threads: tuple[int, ...]
    engines: tuple[str, ...]
    workloads: tuple[str, ...]
    quick: bool
    origin: str


def number(value: float | None, digits: int = 2) -> str:
    """For a cell of a table; "" for None."""
    return "" if value is None else f"{value:,.{digits}f}"


def microseconds(value: float | None) -> str:
    """A time for a cell of a table, with a decimal where that says something."""
    return number(value, 0 if value is not None and value >= 1000 else 1)


def threads_of(count: int) -> str:
    """ "1 thread", "2 threads"."""
    return f"{count} thread" + ("" if count == 1 else "s")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> list[str]:
    """A Markdown table, its first `left` columns set to the left and the others to the right."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    lines = [_row(head), "|" + "|".join(rule) + "|"]
    return lines + [_row([cell.replace("|", "/") for cell in row]) for row in rows]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def write_page(
    plan: Plan,
    name: str,
    title: str,
    introduction: str,
    body: Sequence[str],
    head: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    """Print a page and write it as NAME.md, and its numbers as NAME.csv.

    Args:
        plan: where to, and what is said of the origin.
        name: of the files.
        title, introduction: the page's head; the origin is added.
        body: lines of Markdown.
        head, rows: of the CSV.
    """
    print("\n".join(body), end="\n\n", flush=True)
    lines = [f"# {title}", "", introduction, "", plan.origin, "", *body]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    write_whole(plan.out / f"{name}.md", ("\n".join(lines) + "\n").encode())
    write_whole(plan.out / f"{name}.csv", text.getvalue().encode())
    print(f"written to {plan.out / name}.md and .csv", flush=True)
