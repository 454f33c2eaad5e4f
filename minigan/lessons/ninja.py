"""Exercises in writing backward passes: the files that are handed out.

The solutions are the library itself; there are no others here.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence
from pathlib import Path

from minigan.errors import ConfigError
from minigan.files import make_folder, write_whole
from minigan.lessons.judge import Exercise, Grade, grade
from minigan.lessons.problems import EXERCISES


def write_exercises(folder: Path) -> list[Path]:
    """Copy all exercises into a folder, which is made; `ConfigError` rather than overwrite one."""
    there = [exercise.file for exercise in EXERCISES if (folder / exercise.file).exists()]
    if there:
        raise ConfigError(f"{folder} already holds {there[0]}; choose another folder")
    make_folder(folder)
    source = importlib.resources.files("minigan.lessons.exercises")
    for exercise in EXERCISES:
        text = source.joinpath(exercise.file).read_text(encoding="utf-8")
        write_whole(folder / exercise.file, text.encode())
    return [folder / exercise.file for exercise in EXERCISES]


def find_exercises(names: Sequence[str]) -> list[Exercise]:
    """The exercises whose names begin so; all without a name. `ConfigError` if one fits none."""
    found = []
    for name in names:
        stem = name.removesuffix(".py")
        fits = [exercise for exercise in EXERCISES if exercise.name.startswith(stem)]
        if not fits or not stem:
            known = ", ".join(exercise.name for exercise in EXERCISES)
            raise ConfigError(f"there is no exercise {name!r}; they are {known}")
        found += [exercise for exercise in fits if exercise not in found]
    return found or list(EXERCISES)


__all__ = ["EXERCISES", "Grade", "find_exercises", "grade", "write_exercises"]
