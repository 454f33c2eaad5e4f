"""Resuming an experiment's run from the command line: flags, and which folder is meant."""

from __future__ import annotations

import argparse
import dataclasses
import glob
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from minigan.command_line import positive, rate
from minigan.errors import ConfigError
from minigan.experiment.recipe import flags_of, goal_of
from minigan.training.recipe_json import RECIPE


def add_resuming(parser: argparse.ArgumentParser, recipe: Any) -> None:
    """Add --resume, --set and --on-nan.

    --set changes the goal (if that is a flag), intervals, learning rates, and on_nan.
    """
    goal, flags = goal_of(recipe), flags_of(recipe)
    kinds: dict[str, Callable[[str], Any]] = {
        **({goal: flags[goal].kind} if goal in flags else {}),
        "print_every": positive,
        "checkpoint_every": positive,
        "on_nan": _on_nan,
    }
    fields = {field.name for field in dataclasses.fields(recipe)}
    known = ", ".join([*kinds, "generator_lr", "discriminator_lr"])

    def change(text: str) -> tuple[str, Any]:
        name, equals, value = text.partition("=")
        kind = rate if name.endswith("_lr") and name not in fields else kinds.get(name)
        if not equals or kind is None:
            raise argparse.ArgumentTypeError(
                f"must be FIELD=VALUE with a field of {known}, not {text!r}"
            )
        try:
            return f"recipe.{name}" if name == goal else name, kind(value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{name}: {error}") from None

    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --out from its checkpoint (default: the latest run of this "
        "recipe and seed)",
    )
    parser.add_argument(
        "--set",
        action="append",
        type=change,
        metavar="FIELD=VALUE",
        dest="changes",
        help=f"with --resume: change a setting of the run ({known}); can be repeated",
    )
    parser.add_argument(
        "--on-nan",
        type=_on_nan,
        metavar="WHAT",
        help="when training diverges: stop, or rollback to the last checkpoint and continue with "
        "half the learning rates, at most three times (default: stop)",
    )


def changes_of(args: argparse.Namespace, goal: str) -> dict[str, Any]:
    """The changes of --set, as `Trainer.resume` takes them. With --resume, --NAME sets the goal."""
    if args.changes and not args.resume:
        raise ConfigError("--set changes an existing run: it needs --resume")
    if args.resume and args.on_nan is not None:
        raise ConfigError("--on-nan is for a new run; with --resume, use --set on_nan=...")
    given = getattr(args, goal, None) if args.resume else None
    pairs = [*(args.changes or []), *([] if given is None else [(f"recipe.{goal}", given)])]
    if len(dict(pairs)) < len(pairs):
        raise ConfigError("one field is set twice")
    return dict(pairs)


def next_free(base: Path) -> Path:
    """`base`, or the name after the last that exists of `base`, `base`-2, `base`-3 ..."""
    number = max(_numbered(base), default=0) + 1
    return base if number == 1 else base.with_name(f"{base.name}-{number}")


def latest_of(bases: Sequence[Path]) -> Path:
    """The latest run in any of the folders `base`, `base`-2, `base`-3 ...; else the first base."""
    runs = []
    for base in bases:
        there = {n: out for n, out in _numbered(base).items() if (out / RECIPE).exists()}
        runs += [there[max(there)]] if there else []
    return max(runs, key=lambda run: (run / RECIPE).stat().st_mtime_ns, default=bases[0])


def _numbered(base: Path) -> dict[int, Path]:
    """The folders that exist, by their numbers."""
    found = {1: base} if base.exists() else {}
    for other in base.parent.glob(f"{glob.escape(base.name)}-*"):
        suffix = other.name.removeprefix(f"{base.name}-")
        if suffix.isdecimal():
            found[int(suffix)] = other
    return found


def how_to_resume(args: argparse.Namespace) -> str:
    """The message after an interruption: how to continue the run, if there is one."""
    if args.out is None or not (args.out / RECIPE).exists():
        return "interrupted; nothing was begun"
    words = ["--out", str(args.out), "--resume"]
    for flag, name in (("--data-dir", "data_dir"), ("--threads", "threads")):
        if getattr(args, name, None) is not None:  # another number of threads gives other bits
            words += [flag, str(getattr(args, name))]
    if args.device != "cpu":
        words += ["--device", args.device]
    return f"interrupted; go on with: {shlex.join(words)}"


def _on_nan(text: str) -> str:
    """What to do with a run that diverges, for argparse."""
    if text not in ("stop", "rollback"):
        raise argparse.ArgumentTypeError(f"must be stop or rollback, not {text!r}")
    return text
