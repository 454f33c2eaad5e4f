"""minigan ninja: exercises in backpropagation, written by you and graded by differences."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import textwrap
from dataclasses import asdict
from typing import Any

from minigan.command_line import path
from minigan.errors import ConfigError, FileError
from minigan.lessons.ninja import EXERCISES, find_exercises, grade, write_exercises
from minigan.text import count


def add(commands: Any) -> None:
    """Add the subcommand's parser, and its two."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "ninja",
        help="write backward passes yourself, and have them graded",
        description="Exercises: backward passes with blanks, from Linear to a whole GAN step. "
        "`new` writes them into a folder, `check` grades them: exact, approximately right, or "
        "wrong, with the largest difference, its place and a hint. Finite differences judge.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    new = actions.add_parser("new", help="write the exercises into a folder")
    new.add_argument(
        "folder", type=path, metavar="FOLDER", help="a folder; exercises that are there stay"
    )
    _add_names(new, "some exercises only, such as ex01 (default: all)")
    new.set_defaults(run=run_new, command="ninja new")
    check = actions.add_parser("check", help="grade what is there")
    check.add_argument("folder", type=path, metavar="FOLDER", help="the folder of `ninja new`")
    _add_names(check, "some exercises only, such as ex01 (default: all)")
    check.add_argument("--json", action="store_true", help="print JSON instead of sentences")
    check.set_defaults(run=run_check, command="ninja check")


def _add_names(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("exercises", nargs="*", default=[], metavar="NAME", help=help)


def run_new(args: argparse.Namespace) -> int:
    """Write the exercises that are not there yet."""
    written, there = write_exercises(args.folder, find_exercises(args.exercises))
    if not written:
        raise ConfigError(f"{args.folder} already holds these exercises; choose another folder")
    if there:
        print(f"{count(len(there), 'exercise')} there already, and left as they are")
    folder = shlex.quote(str(args.folder))
    first = written[0].stem.partition("_")[0]
    print(f"{args.folder}: {count(len(written), 'exercise')} written. Open {written[0]},")
    print(f"replace each ... and have it graded:  minigan ninja check {folder} {first}")
    return 0


def run_check(args: argparse.Namespace) -> int:
    """Grade; 0 if everything that was asked for is right."""
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
        if not grades[-1].ended:  # what still runs shall not print among our lines
            sys.stdout = sys.stderr
        if not args.json:
            print(f"{exercise.name:<{width}}  {grades[-1].verdict}", file=out, flush=True)
            for line in grades[-1].lines:
                said = textwrap.fill(line, 96, initial_indent="    ", subsequent_indent="    ")
                print(said, file=out)
    right = sum(one.right for one in grades)
    if args.json:
        table = [{**asdict(one), "right": one.right} for one in grades]
        print(json.dumps(table, indent=2), file=out, flush=True)
    else:
        print(f"{right} of {len(grades)} right", file=out, flush=True)
    return 0 if right == len(grades) else 1
