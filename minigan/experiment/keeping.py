"""How a run is kept from the command line: its folder, resuming it, changing what may change."""

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
from minigan.training import Trainer
from minigan.training.description import RECIPE


def add_keeping(parser: argparse.ArgumentParser, recipe: Any) -> None:
    """Add --resume, --set and --on-nan.

    Of a recipe, --set changes the goal, if that is a flag. It changes intervals, learning rates,
    and what is done after divergence.
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
        help="go on with the run in --out from its checkpoint (without --out: with the latest run "
        "of this recipe and seed)",
    )
    parser.add_argument(
        "--set",
        action="append",
        type=change,
        metavar="FIELD=VALUE",
        dest="changes",
        help=f"with --resume: change what may change in a run ({known}); can be repeated",
    )
    parser.add_argument(
        "--on-nan",
        type=_on_nan,
        metavar="WHAT",
        help="when training diverges: stop, or rollback to the last checkpoint and go on with half "
        "the learning rates, at most three times (default: stop)",
    )


def changes_of(args: argparse.Namespace) -> dict[str, Any]:
    """What --set asks for, as `Trainer.resume` takes it."""
    if args.changes and not args.resume:
        raise ConfigError("--set changes a run that is there: it needs --resume")
    if args.resume and args.on_nan is not None:
        raise ConfigError("of a run that is there, --set on_nan=... changes it, not --on-nan")
    changes = dict(args.changes or [])
    if len(changes) < len(args.changes or []):
        raise ConfigError("--set names one field twice")
    return changes


def goal_asked(args: argparse.Namespace, name: str) -> int | None:
    """How far a resumed run shall go, by --NAME or by --set NAME=...; None if neither says."""
    given = getattr(args, name)
    asked: int | None = args.changes.pop(f"recipe.{name}", given)
    if given not in (None, asked):
        raise ConfigError(f"--{name} {given} and --set {name}={asked} disagree")
    if asked is not None:
        args.changes[f"recipe.{name}"] = asked
    return asked


def print_changes(trainer: Trainer) -> None:
    """What --set would change, for a dry run."""
    for field, (old, new) in trainer.changes.items():
        print(f"would set {field}: {old} -> {new}")


def next_free(base: Path) -> Path:
    """`base`, or with -2, -3 ... added: the first after all that exist."""
    return _numbered(base, max(_taken(base), default=0) + 1)


def latest_of(bases: Sequence[Path]) -> Path:
    """The latest run in any of the folders `base`, `base`-2, `base`-3 ...; else the first base."""
    runs = [
        _numbered(base, max(numbers))
        for base in bases
        if (numbers := [n for n in _taken(base) if (_numbered(base, n) / RECIPE).exists()])
    ]
    return max(runs, key=lambda run: (run / RECIPE).stat().st_mtime_ns, default=bases[0])


def _numbered(base: Path, number: int) -> Path:
    return base if number == 1 else base.with_name(f"{base.name}-{number}")


def _taken(base: Path) -> list[int]:
    """The numbers of the folders that exist."""
    taken = [1] if base.exists() else []
    for other in base.parent.glob(f"{glob.escape(base.name)}-*"):
        suffix = other.name.removeprefix(f"{base.name}-")
        taken += [int(suffix)] if suffix.isdecimal() else []
    return taken


def how_to_resume(args: argparse.Namespace) -> str:
    """What to say after an interruption: how to go on with the run, if there is one."""
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
