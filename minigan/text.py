"""Text for people: tables, lines that fit the terminal, colours, and what a terminal may get."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

BOLD, RED, GREEN, YELLOW = 1, 31, 32, 33  # parameters of the escape sequence CSI ... m
NARROWEST, WIDEST = 80, 100  # columns of prose

log = logging.getLogger("minigan")


def is_open(stream: Any) -> bool:
    """Whether a standard stream is there: pythonw has none, and daemons close them."""
    return stream is not None and not getattr(stream, "closed", False)


def disable_bar(progress: bool) -> bool | None:
    """The `disable` of a tqdm bar; None shows it if stderr is a terminal."""
    return None if progress and is_open(sys.stderr) else True


def columns(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table: the first `left` columns are aligned to the left, the others to the right.

    The last cell of a row is a remark, which may be of any length.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return "\n".join(lines)


def wrapped(text: str, indent: int = 0) -> str:
    """A sentence in lines that fit the terminal; those after the first are indented.

    A line has 80 to 100 columns, and 80 if stdout is not a terminal.
    """
    import shutil  # slow to import, and only the commands need it

    width = min(max(NARROWEST, shutil.get_terminal_size().columns), WIDEST)
    # The settings of a layer stay together, as in Linear(2, 3): they get hard spaces for a while.
    text = re.sub(r"(?<=\w)\([^()]{,40}\)", lambda part: part[0].replace(" ", "\xa0"), text)
    return textwrap.fill(
        text,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    ).replace("\xa0", " ")


def coloured(text: str, colours: Mapping[str, int], out: TextIO | None = None) -> str:
    """A text in which each match of a regular expression has its colour.

    It is unchanged if `out`, by default stdout, is not a terminal, or one without colours: with
    the environment variable NO_COLOR (https://no-color.org) or TERM=dumb, or an old console of
    Windows.
    """
    out = sys.stdout if out is None else out
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    old = sys.platform == "win32" and "WT_SESSION" not in os.environ
    if out is None or not out.isatty() or plain or old:
        return text
    for pattern, code in colours.items():
        text = re.sub(pattern, rf"\033[{code}m\g<0>\033[0m", text, flags=re.MULTILINE)
    return text


def times(shape: Sequence[int]) -> str:
    """A shape as "4 x 3"."""
    return " x ".join(str(n) for n in shape)


def count(n: int, noun: str) -> str:
    """A number and its noun: "1 epoch", "2,000 epochs"."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def loss_title(column: str) -> str:
    """The title of a loss column: "D real" for "d_real", "G" for "g"."""
    first, _, rest = column.partition("_")
    first = first.upper() if len(first) == 1 else first
    return f"{first} {rest.replace('_', ' ')}".rstrip()


def printable(text: object) -> str:
    """A text from a file, in one line and without the characters that control a terminal."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in str(text))


class _PrintableStream(io.TextIOBase):
    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write("\n".join(map(printable, text.split("\n"))))

    def flush(self) -> None:
        self.stream.flush()


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """For text of which parts come from files: what is printed inside has only printable lines."""
    with contextlib.redirect_stdout(_PrintableStream(sys.stdout)):
        yield


def _prepare(record: logging.LogRecord) -> bool:
    """Make a warning printable, since it may name what a file holds; say if it can be shown.

    Where no logging is set up, Python prints warnings on stderr, and fails if that was closed.
    """
    record.msg, record.args = printable(record.getMessage()), ()
    return log.hasHandlers() or is_open(sys.stderr)


log.addFilter(_prepare)
