"""Exercises in writing backward passes: the files that are handed out.

The solutions are the library itself; there are no others here.
"""

from __future__ import annotations

import difflib
import importlib.resources
from collections.abc import Sequence
from pathlib import Path

from minigan.errors import ConfigError
from minigan.files import make_folder, write_whole
from minigan.lessons.judge import Exercise, Grade, grade
from minigan.lessons.problems import EXERCISES


def write_exercises(
    folder: Path, exercises: Sequence[Exercise] = EXERCISES
) -> tuple[list[Path], list[Path]]:
    """Copy exercises into a folder, which is made; those that are there are left alone.

    Returns:
        The files that were written, and those that were there.
    """
    make_folder(folder)
    source = importlib.resources.files("minigan.lessons.exercises")
    written, there = [], []
    for exercise in exercises:
        file = folder / exercise.file
        if file.exists():
            there.append(file)
            continue
        write_whole(file, source.joinpath(exercise.file).read_bytes())
        written.append(file)
    return written, there


def find_exercises(names: Sequence[str]) -> list[Exercise]:
    """The exercises of these names: "ex01", "linear", "ex01_linear.py"; without a name all.

    Raises:
        ConfigError: a name that is none; it says which is near.
    """
    known: dict[str, Exercise] = {}
    for exercise in EXERCISES:
        number, _, what = exercise.name.partition("_")
        short = f"ex{int(number[2:])}"  # ex1 for ex01
        known |= dict.fromkeys((exercise.name, number, short, what), exercise)
    found = []
    for name in names:
        stem = name.casefold().removesuffix(".py")
        if stem not in known:
            near = difflib.get_close_matches(stem, known, n=1)
            meant = f"did you mean {near[0]}? They are " if near else "they are "
            raise ConfigError(
                f"there is no exercise {name!r}; {meant}{', '.join(e.name for e in EXERCISES)}"
            )
        found.append(known[stem])
    return list(dict.fromkeys(found)) or list(EXERCISES)


__all__ = ["EXERCISES", "Grade", "find_exercises", "grade", "write_exercises"]
