"""minigan ninja: exercises in backpropagation, which you solve and finite differences grade."""

from __future__ import annotations

import argparse
import importlib.resources
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from minigan.cli.common import print_help_by_default
from minigan.command_line import path
from minigan.errors import ConfigError, FileError
from minigan.files import make_folder, write_whole
from minigan.lessons.exercise_definitions import EXERCISES
from minigan.lessons.grader import Exercise, grade
from minigan.lessons.lookup import find
from minigan.text import GREEN, RED, coloured, count, wrapped


def add(commands: Any) -> None:
    """Add the subcommand's parser, with its two actions."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "ninja",
        help="write backward passes yourself, and have them graded",
        description="Exercises: backward passes with blanks, from Linear to a whole GAN step, "
        "and the two layers of a DCGAN. "
        "`new` writes them into a folder, `check` grades them: right, or "
        "wrong, with the largest error, its place and a hint. Finite differences decide.",
        epilog="Exercises: " + ", ".join(exercise.name for exercise in EXERCISES) + ".",
    )
    actions = parser.add_subparsers(metavar="ACTION")
    print_help_by_default(parser)
    new = actions.add_parser("new", help="write the exercises into a folder")
    check = actions.add_parser("check", help="grade the exercises in a folder")
    for action, run, name, folder in (
        (new, run_new, "new", "a folder; exercises that are already there stay as they are"),
        (check, run_check, "check", "the folder of `ninja new`"),
    ):
        action.add_argument("folder", type=path, metavar="FOLDER", help=folder)
        action.add_argument(
            "exercises",
            nargs="*",
            default=[],
            metavar="NAME",
            help="some exercises only, such as ex01 (default: all)",
        )
        action.set_defaults(run=run, command=f"ninja {name}")
    check.add_argument("--json", action="store_true", help="print JSON instead of sentences")


def find_exercises(names: Sequence[str]) -> list[Exercise]:
    """The exercises of these names: "ex01", "ex1", "linear", "ex01_linear.py"; by default all."""
    known: dict[str, Exercise] = {}
    for exercise in EXERCISES:
        number, _, what = exercise.name.partition("_")
        short = f"ex{int(number[2:])}"
        known |= dict.fromkeys((exercise.name, number, short, what), exercise)
    found = [find(name.removesuffix(".py"), known, "exercise", "minigan ninja") for name in names]
    return list(dict.fromkeys(found)) or list(EXERCISES)


def run_new(args: argparse.Namespace) -> int:
    """Copy the exercises that are not there yet into the folder."""
    files = [args.folder / exercise.file for exercise in find_exercises(args.exercises)]
    missing = [file for file in files if not file.exists()]
    if not missing:
        raise ConfigError(f"{args.folder} already holds these exercises; choose another folder")
    make_folder(args.folder)
    source = importlib.resources.files("minigan.lessons.exercises")
    for file in missing:
        write_whole(file, source.joinpath(file.name).read_bytes())
    if len(missing) < len(files):
        there = count(len(files) - len(missing), "exercise")
        print(f"{there} already there, left unchanged")
    folder = shlex.quote(str(args.folder))
    first = missing[0].stem.partition("_")[0]
    print(f"{args.folder}: {count(len(missing), 'exercise')} written. Open {missing[0]},")
    print(f"replace each ... and have it graded:  minigan ninja check {folder} {first}")
    return 0


def run_check(args: argparse.Namespace) -> int:
    """Grade; 0 if all the exercises are right."""
    if not args.folder.is_dir():
        what = "is not a folder" if args.folder.exists() else "does not exist"
        raise FileError(f"{args.folder} {what}; `minigan ninja new FOLDER` makes one")
    chosen = find_exercises(args.exercises)
    if not any((args.folder / exercise.file).exists() for exercise in EXERCISES):
        raise FileError(f"{args.folder} holds no exercises; `minigan ninja new` writes them")
    width = max(len(exercise.name) for exercise in EXERCISES)
    grades = []
    out = sys.stdout
    for exercise in chosen:
        grades.append(grade(exercise, args.folder / exercise.file))
        if not grades[-1].ended:  # what is still running must not print among our lines
            sys.stdout = sys.stderr
        if not args.json:
            verdict = f"{exercise.name:<{width}}  {grades[-1].verdict}"
            colours = {r"\S.*$": GREEN if grades[-1].right else RED}
            print(coloured(verdict, colours, out), file=out, flush=True)
            for line in grades[-1].lines:
                print(wrapped(f"    {line}", 4), file=out)
    right = sum(one.right for one in grades)
    if args.json:
        table = [{**asdict(one), "right": one.right} for one in grades]
        print(json.dumps(table, indent=2), file=out, flush=True)
    else:
        print(f"{right} of {len(grades)} right", file=out, flush=True)
    return 0 if right == len(grades) else 1
