"""What all measurements share: a plan, turns, Markdown tables, and how a page is written."""

from __future__ import annotations

import argparse
import csv
import io
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench import machine
from minigan.command_line import path
from minigan.files import write_whole

T = TypeVar("T")
RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Plan:
    """What the command line requests."""

    out: Path  # the folder that the pages go to
    rounds: int  # turns of each worker
    seconds: float  # about how long a turn takes
    threads: tuple[int, ...]  # numbers of threads
    origin: str  # a paragraph about when, on what and by which command, for every page


def in_turn(turns: Sequence[Callable[[], T | None]], rounds: int) -> list[list[T]]:
    """Take each turn in every round, so that a slow minute slows all alike; what each measured.

    A round begins with another one each time, so that none always has the same predecessor. A turn
    that failed returns None.
    """
    results: list[list[T]] = [[] for _ in turns]
    for shift in range(rounds):
        for i in range(len(turns)):
            at = (i + shift) % len(turns)
            result = turns[at]()
            if result is not None:
                results[at].append(result)
    return results


# -- the command line -------------------------------------------------------------------


def parser_of(module: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser that shows the module's docstring as it is."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def command_of(module: str, argv: Sequence[str]) -> str:
    """The command that a page names."""
    return shlex.join(["python", "-m", module, *argv])


def plan_of(
    parser: argparse.ArgumentParser,
    argv: Sequence[str],
    full: tuple[int, float],
    quick: tuple[int, float],
    threads: tuple[int, ...] = (1,),
) -> tuple[argparse.Namespace, Plan]:
    """Parse; `full` and `quick` are (rounds, seconds of a turn) without and with --quick."""
    parser.add_argument(
        "--out", type=path, metavar="DIR", help="the folder of the pages (default: bench/results)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="few short turns, few sizes: does everything work?"
    )
    args = parser.parse_args(argv)
    if args.out is None and args.quick:
        parser.error("--out DIR is needed: the default folder is only for the whole tables")
    rounds, seconds = quick if args.quick else full
    origin = machine.describe(command_of(parser.prog.split()[-1], argv))
    return args, Plan(args.out or RESULTS, rounds, seconds, threads, origin)


def add_out(parser: argparse.ArgumentParser) -> None:
    """--out of a command that writes one page."""
    parser.add_argument(
        "--out",
        type=page_file,
        metavar="FILE.md",
        help="the page; its numbers go to a .csv next to it (default: in bench/results)",
    )


def page_file(text: str) -> Path:
    """A Markdown file in a folder that exists, for argparse."""
    file = path(text)
    if file.suffix != ".md" or not file.parent.is_dir():
        raise argparse.ArgumentTypeError(
            f"must be a .md file in a folder that exists, not {text!r}"
        )
    return file


def arguments(argv: Sequence[str] | None) -> list[str]:
    """Those given, or those of this process."""
    return list(sys.argv[1:] if argv is None else argv)


# -- pages ------------------------------------------------------------------------------


def number(value: float | None, digits: int = 2) -> str:
    """For a cell of a table; "" for None."""
    return "" if value is None else f"{value:,.{digits}f}"


def percent(share: float) -> str:
    """A share for a cell of a table: "99.31 %"."""
    return f"{100 * share:.2f} %"


def microseconds(value: float | None) -> str:
    """A time for a cell of a table, with a decimal below 1,000."""
    return number(value, 0 if value is not None and value >= 1000 else 1)


def turns_cell(times: Iterable[float]) -> str:
    """All times for a cell of a CSV."""
    return " ".join(f"{time:.3f}" for time in times)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> list[str]:
    """A Markdown table, its first `left` columns aligned left and the others right."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    cells = [[cell.replace("|", "/") for cell in row] for row in rows]
    return [
        f"| {' | '.join(head)} |",
        f"|{'|'.join(rule)}|",
        *(f"| {' | '.join(row)} |" for row in cells),
    ]


def write_page(
    file: Path | None, head: Sequence[str], body: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Print the body (lines of Markdown), and write the page, with rows as a .csv next to it.

    `head` is the paragraphs before the body. Without a file, only print.
    """
    print("\n".join(body), end="\n\n", flush=True)
    if file is None:
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    page = "\n\n".join(head) + "\n\n" + "\n".join(body) + "\n"
    write_whole(file, page.encode())
    write_whole(file.with_suffix(".csv"), text.getvalue().encode())
    print(f"written to {file} and .csv", flush=True)


def fill_page(page: Path, tables: Mapping[str, Sequence[str]]) -> None:
    """Put tables between the marks of their names in a page of the book."""
    text = page.read_text(encoding="utf-8")
    for name, lines in tables.items():
        head, mark, rest = text.partition(f"<!-- table: {name} -->\n")
        _, end, tail = rest.partition("<!-- end -->")
        if not mark or not end:
            raise ValueError(f"{page} has no table {name}")
        text = head + mark + "".join(f"{line}\n" for line in lines) + end + tail
    write_whole(page, text.encode())
    print(f"and to {page}", flush=True)
