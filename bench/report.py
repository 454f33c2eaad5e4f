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
from minigan.command_line import path, positive
from minigan.files import write_whole

T = TypeVar("T")
RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Plan:
    """What the command line requests.

    Attributes:
        out: the folder that the pages go to.
        rounds: turns of each worker.
        seconds: about how long a turn takes.
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


def in_turn(turns: Sequence[Callable[[], T | None]], rounds: int) -> list[list[T]]:
    """Take each turn in every round, so that a slow minute slows all alike.

    A round begins with another one each time, so that none always has the same predecessor.

    Args:
        turns: each returns what it measured, or None if it failed.
        rounds: how many of each.

    Returns:
        what each one measured.
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
    """The command without --out: readers need not know where the pages were written."""
    words = iter(["python", "-m", module, *argv])
    kept = []
    for word in words:
        if word == "--out":
            next(words, None)
        elif not word.startswith("--out="):
            kept.append(word)
    return shlex.join(kept)


def some_of(known: Mapping[str, object]) -> Callable[[str], tuple[str, ...]]:
    """A type for argparse: names with commas between them, in the order of `known`."""

    def names(text: str) -> tuple[str, ...]:
        given = text.split(",")
        for name in given:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return tuple(name for name in known if name in given)

    return names


def plan_of(
    parser: argparse.ArgumentParser,
    argv: Sequence[str],
    engines: Mapping[str, object],
    workloads: Mapping[str, object],
    full: tuple[int, float],
    quick: tuple[int, float],
    threads: tuple[int, ...] = (1,),
) -> tuple[argparse.Namespace, Plan]:
    """Add the flags of a `Plan` to the parser, and parse.

    Args:
        parser: with the flags that only this command has; --threads may be one of them.
        argv: the command line.
        engines, workloads: all names; the default is to measure all.
        full: rounds, and seconds of a turn.
        quick: the same with --quick.
        threads: the default of --threads.
    """
    parser.add_argument(
        "--rounds", type=positive, metavar="N", help=f"turns of each engine (default: {full[0]})"
    )
    for what, known in (("engines", engines), ("workloads", workloads)):
        parser.add_argument(
            f"--{what}",
            type=some_of(known),
            default=tuple(known),
            metavar="A,B",
            help=f"only these, of {', '.join(known)}",
        )
    parser.add_argument(
        "--out", type=path, metavar="DIR", help="the folder of the pages (default: bench/results)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="few short turns, few sizes: does everything work?"
    )
    args = parser.parse_args(argv)
    rounds, seconds = quick if args.quick else full
    rounds = args.rounds or rounds
    chosen = (args.engines, args.workloads, getattr(args, "threads", threads))
    whole = (tuple(engines), tuple(workloads), threads)
    if args.out is None and (args.quick or chosen != whole or rounds < full[0]):
        parser.error("--out DIR is needed: the default folder is only for the whole tables")
    return args, Plan(
        out=args.out or RESULTS,
        rounds=rounds,
        seconds=seconds,
        threads=chosen[-1],
        engines=args.engines,
        workloads=args.workloads,
        quick=args.quick,
        origin=machine.describe(command_of(parser.prog.split()[-1], argv)),
    )


def add_out(parser: argparse.ArgumentParser) -> None:
    """--out of a command that writes one page; see `out_of`."""
    parser.add_argument(
        "--out",
        type=page_file,
        metavar="FILE.md",
        help="the page; its numbers go to a .csv next to it (default: in bench/results)",
    )


def out_of(
    parser: argparse.ArgumentParser, args: argparse.Namespace, name: str, whole: bool
) -> Path:
    """The page to write: --out, or else the one of this name, if the measurement is whole."""
    if args.out is None and not whole:
        parser.error("--out FILE.md is needed: the default file is only for the whole table")
    return args.out or RESULTS / name


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
    """Print the body, and write it with its head as a page, and its numbers as a .csv next to it.

    Args:
        file: the page, a .md file; None prints only.
        head: the paragraphs before the body: title, introduction, origin.
        body: lines of Markdown.
        rows: of the CSV, the names of its columns first.
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


def put(page: str, name: str, lines: Sequence[str]) -> str:
    """The page with these lines between its marks of that name."""
    marks = (f"<!-- table: {name} -->\n", "<!-- end -->")
    head, mark, rest = page.partition(marks[0])
    _, end, tail = rest.partition(marks[1])
    if not mark or not end:
        raise ValueError(f"the page has no {marks[0].strip()} that ends in {marks[1]}")
    return head + mark + "".join(f"{line}\n" for line in lines) + end + tail
