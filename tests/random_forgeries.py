"""Forgeries of a run folder that bytes choose, for the random search in fuzz_files.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from forging import MISSING, Change, Raw, description_of, dumps, places, state_of

NESTED = [Raw("[" * n + "]" * n) for n in (40, 300, 900, 5000)]
NESTED += [Raw('{"a":' * n + "1" + "}" * n) for n in (40, 300, 900, 5000)]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 7, 100, 10**5, 2**31 - 1, 2**31, 2**53, 2**63, 2**64),
    *(10**9, 10**12, 2**127, 2**300, -(2**300), 10**400, Raw("1" * 5000), 0.5, 1.5, -0.5),
    *(1e-320, 1e-30, 1e30, 1e39, 1e308, -1e308),
    *map(Raw, ("NaN", "Infinity", "-Infinity", "1e999", "-0.0", "1E400")),
    *("", "x", "\x1b[2J", "\x9b2J", "\u202e", "\ud800", "\0", "a\nb", "$x_{", "a" * 5000, "{}"),
    *("float64", "float32", "step", "epoch", "rollback", "stop", "../x", "/dev/zero", "%s", "{0}"),
    *([], {}, [1], [0, 0], [1, 2, 3], [None], [[]], ["a"], [10**400], [0.5] * 1000, {"a": 1}),
    *({"\x1b[2J": 1}, {"layer": "ReLU"}, {"network": "Sequential", "layers": []}, *NESTED),
    [{"step": 1, "rate": "\x1b[2J", "lr": [0.1, 0.2]}],
    [{"step": 2**300, "rate": "g", "lr": [1, 2]}],
]  # fmt: skip
KEYS = ["\x1b[2J", "a\nb", "", "x", "\ud800", "name", "batch", "gan", "layers", "seed", "a" * 3000]
KEYS += ["layer", "data", "game", "sha256", "position", "step", "g_lr"]
CELLS = [
    b"",
    b"nan",
    b"inf",
    b"-inf",
    b"1e400",
    b"1" * 5000,
    b"x",
    b"\x1b[2J",
    b"\xff",
    b'"',
    b"-1",
]
CELLS += [b"0", b"1e308", b"-1e308", b"0x10", b"1_0", b"\0", b'"a\nb"']
NAMES = ["\x1b[2Jx", "a\nb", "scores.json", "writer.json", "history.csv", ".lock"]


class Choices:
    """Choices that bytes make."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def below(self, n: int) -> int:
        """A number from 0 to n - 1; 0 when the bytes are used up."""
        two = self.data[self.at : self.at + 2]
        self.at += 2
        return int.from_bytes(two, "little") % n

    def of(self, values: Any) -> Any:
        """One of the values."""
        return values[self.below(len(values))]


def changes_of(choose: Choices, source: Path) -> list[Change]:
    """One to three changes of a run folder."""
    documents = {"recipe": description_of(source), "metadata": state_of(source)[1]}
    documents["metadata"].pop("run"), documents["metadata"].pop("sha256")
    tensors = state_of(source)[0]
    changes: list[Change] = []
    for _ in range(choose.of((1, 1, 1, 2, 3))):
        kind = choose.below(12)
        if kind < 8:
            part = choose.of(("recipe", "recipe", "recipe", "metadata"))
            changes.append((part, *_json_change(choose, documents[part])))
        elif kind < 10:
            changes.append(("tensor", *_tensor_change(choose, tensors)))
        else:
            changes.append(("file", *_file_change(choose, source)))
    # A change of a place inside one that was changed before has nowhere to go.
    return changes if len(changes) == 1 or kind >= 8 else _outermost(changes)


def _outermost(changes: list[Change]) -> list[Change]:
    kept: list[Change] = []
    for part, place, value in changes:
        taken = [p for other, p, _ in kept if other == part and part in ("recipe", "metadata")]
        if not any(place[: len(p)] == p[: len(place)] or place[:-1] == p[:-1] for p in taken):
            kept.append((part, place, value))
    return kept


def _json_change(choose: Choices, document: Any) -> tuple[tuple[Any, ...], Any]:
    """A place in JSON, and what comes there."""
    place = choose.of([at for at in places(document) if at])
    old = document
    for key in place:
        old = old[key]
    kind = choose.below(10)
    if kind == 0:
        return place, MISSING
    if kind == 1 and isinstance(old, dict):
        return (*place, choose.of(KEYS)), choose.of(VALUES)
    if kind == 2 and isinstance(old, dict) and old:  # the same key twice
        twice = json.dumps(choose.of(sorted(old)))
        return place, Raw(f"{dumps(old)[:-1]}, {twice}: {dumps(choose.of(VALUES))}}}")
    if kind == 3 and isinstance(old, (int, float)) and not isinstance(old, bool):
        return place, choose.of((old + 1, old * 2, old * 1000, -old, float(old), str(old), [old]))
    if kind == 4:  # another part of the same document
        other: Any = document
        for key in choose.of([at for at in places(document) if at and at != place]):
            other = other[key]
        return place, other
    if kind == 5 and isinstance(old, list):
        return place, choose.of(
            (old * 2, old[:-1], old[::-1], old * 100, dict(enumerate(old)) and {})
        )
    return place, choose.of(VALUES)


def _tensor_change(choose: Choices, tensors: dict[str, Any]) -> tuple[str, Any]:
    """A tensor, and what comes in its place."""
    name = choose.of(sorted(tensors))
    if choose.below(3) == 0:
        name = choose.of([name for name in sorted(tensors) if "clock" in name or "totals" in name])
    array = tensors[name].copy()
    kind = choose.below(9)
    if kind == 0:
        return name, None
    if kind == 1:
        return choose.of(
            (f"{name}\x1b[2J", "\x1b[2J", "x", "a\nb", "game/x", "__metadata__x")
        ), array
    if kind == 2:
        return name, choose.of((array[None], array[:0], array.ravel(), np.zeros((), array.dtype)))
    if kind == 3:
        return name, array.astype(choose.of(("float64", "float32", "int64", "bool", "float16")))
    worst: Any = (np.nan, np.inf, -1.0, -0.0, 0.5, 1e30, 3e38, 1e308, -1e308, 1e-40, 2.0**53, 1e15)
    with np.errstate(all="ignore"):
        if kind < 6:
            array[...] = choose.of(worst)
        elif array.size:
            array.flat[choose.below(array.size)] = choose.of(worst)
    return name, array


def _file_change(choose: Choices, source: Path) -> tuple[str, bytes]:
    """A file of the folder, and its new content."""
    name = choose.of(NAMES)
    if name in ("scores.json", "writer.json"):
        keys = ("step", "n", "seed", "ks", "pid", "host", "command", "frechet", "\x1b[2J")
        content = {key: choose.of(VALUES) if choose.below(2) else 1 for key in keys}
        return name, dumps(choose.of((content, content, content, [], choose.of(VALUES)))).encode()
    if name != "history.csv":
        return name, choose.of((b"", b"x", b"\0" * 1000))
    rows = [line.split(b",") for line in (source / name).read_bytes().splitlines()]
    for _ in range(1 + choose.below(3)):
        row = choose.of(rows)
        row[choose.below(len(row))] = choose.of(CELLS)
    if choose.below(4) == 0:
        rows.append([choose.of(CELLS)] * choose.below(40))
    ends = (b"\n", b"\n", b"\r\n", b"\n\n", b"\r", b"\0\n")
    return name, choose.of(ends).join(b",".join(row) for row in rows) + choose.of((b"\n", b""))
