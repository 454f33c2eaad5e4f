"""Resuming an experiment's run from the command line: flags, and which folder is meant."""

from __future__ import annotations

import argparse
import errno
import itertools
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from minigan.checks import whole
from minigan.errors import ConfigError, FileError
from minigan.files import make_folder
from minigan.training.recipe_json import CHANGEABLE, RECIPE


def add_resuming(parser: argparse.ArgumentParser) -> None:
    """Add --resume, --set and --on-nan."""
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --out from its checkpoint (default: the latest run of this "
        "recipe and seed)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_change,
        metavar="FIELD=VALUE",
        dest="changes",
        help="with --resume: change a setting of the run: the goal; print_every and "
        "checkpoint_every, both in the goal's unit; on_nan; generator_lr, discriminator_lr, of an "
        "InfoGAN recogniser_lr; can be repeated",
    )
    parser.add_argument(
        "--on-nan",
        choices=("stop", "rollback"),
        help="when training diverges: stop, or rollback to the last checkpoint and continue with "
        "half the learning rates, at most three times (default: stop)",
    )


def _change(text: str) -> tuple[str, Any]:
    """FIELD=VALUE, for argparse; `Trainer.change` checks both."""
    name, equals, value = text.partition("=")
    if not equals or not value or "." in name:
        raise argparse.ArgumentTypeError(f"must be FIELD=VALUE, not {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def changes_of(args: argparse.Namespace, goal: str) -> dict[str, Any]:
    """The changes of --set, as `Trainer.resume` takes them. With --resume, --NAME sets the goal."""
    if args.changes and not args.resume:
        raise ConfigError("--set changes an existing run: it needs --resume")
    if args.resume and args.on_nan is not None:
        raise ConfigError("--on-nan is for a new run; with --resume, use --set on_nan=...")
    given = getattr(args, goal, None) if args.resume else None
    pairs = [*args.changes, *([] if given is None else [(goal, given)])]
    changes = dict(pairs)
    for name in changes:
        if name not in (goal, *CHANGEABLE) and not name.endswith("_lr"):
            can = ", ".join([goal, *CHANGEABLE])
            raise ConfigError(
                f"{name!r} of this run cannot be changed, only {can} and learning rates "
                "(generator_lr, discriminator_lr)"
            )
    if len(changes) < len(pairs):
        raise ConfigError("one field is set twice")
    if goal in changes:
        changes[f"recipe.{goal}"] = whole(goal, changes.pop(goal), 0)
    return changes


def next_free(base: Path, make: bool) -> Path:
    """The first of `base`, `base`-2, `base`-3 ... that does not exist.

    Args:
        base: the first choice.
        make: also make the folder. If experiments start at the same time, this decides which of
            them gets it, and the others take the next ones.
    """
    names = (f"{base.name}-{number}" for number in itertools.count(2))
    outs = itertools.chain([base], map(base.with_name, names))
    free = (out for out in outs if not out.exists())
    if not make:
        return next(free)
    make_folder(base.parent)
    while True:
        try:
            return make_folder(next(free), exist_ok=False)
        except FileError as error:
            if error.errno != errno.EEXIST:
                raise


def how_to_resume(args: argparse.Namespace) -> str:
    """The message after an interruption: how to continue the run, if there is one."""
    if args.out is None or not (args.out / RECIPE).exists():
        return "interrupted; nothing was begun"
    words = ["python", sys.argv[0], "--out", str(args.out), "--resume"]
    for flag, name in (("--data-dir", "data_dir"), ("--threads", "threads")):
        if getattr(args, name, None) is not None:  # another number of threads gives other bits
            words += [flag, str(getattr(args, name))]
    if args.device != "cpu":
        words += ["--device", args.device]
    return f"interrupted; continue with: {shlex.join(words)}"
