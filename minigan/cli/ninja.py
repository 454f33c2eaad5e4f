"""minigan ninja: exercises in backpropagation, written by you and graded by differences."""

from __future__ import annotations

import argparse
import shlex
import textwrap
from typing import Any

from minigan.cli.common import count, path
from minigan.errors import ConfigError, FileError
from minigan.lessons.ninja import EXERCISES, find_exercises, grade, write_exercises


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
    new.set_defaults(run=run_new, command="ninja new")
    check = actions.add_parser("check", help="grade what is there")
    check.add_argument("folder", type=path, metavar="FOLDER", help="the folder of `ninja new`")
    check.add_argument(
        "exercises",
        nargs="*",
        default=[],
        metavar="NAME",
        help="some exercises only, such as ex01 (default: all that are there)",
    )
    check.set_defaults(run=run_check, command="ninja check")


def run_new(args: argparse.Namespace) -> int:
    """Write the exercises that are not there yet."""
    written, there = write_exercises(args.folder)
    if not written:
        raise ConfigError(f"{args.folder} already holds all exercises; choose another folder")
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
    there = [one for one in chosen if args.exercises or (args.folder / one.file).exists()]
    if not there:
        raise FileError(f"{args.folder} holds no exercises; `minigan ninja new` writes them")
    width = max(len(one.name) for one in EXERCISES)
    done = 0
    for exercise in there:
        verdict = grade(exercise, args.folder / exercise.file)
        done += verdict.right
        print(f"{verdict.exercise:<{width}}  {verdict.verdict}", flush=True)
        for line in verdict.lines:
            print(textwrap.fill(line, 96, initial_indent="    ", subsequent_indent="    "))
    gone = [one.name for one in chosen if one not in there]
    if gone:
        print(f"not there: {', '.join(gone)} (`minigan ninja new` writes what is missing)")
    print(f"{done} of {len(there)} right")
    return 0 if done == len(there) else 1
