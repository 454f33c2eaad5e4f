"""Text for people: tables, numbers with nouns, names of losses."""

from __future__ import annotations

from collections.abc import Sequence


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
    """A text from a file, without the characters that control a terminal."""
    return "".join(c if c.isprintable() else "?" for c in str(text))
