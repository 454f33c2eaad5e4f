"""The `minigan` command and its subcommands, one file each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import cast

from minigan.backend import chosen
from minigan.cli import (
    doctor,
    explain,
    export,
    film,
    interpolate,
    ninja,
    profile,
    replay,
    sample,
    score,
    show,
    sweep,
)
from minigan.cli.common import print_help_by_default
from minigan.command_line import guard, path
from minigan.lessons.user_code import load_module
from minigan.version import __version__

EXAMPLES = """\
examples:
  python examples/mnist.py --out runs/digits
  minigan show runs/digits
  minigan replay runs/digits --out replay.html
  minigan sample runs/digits --n 100 --out grid.png
  minigan score runs/digits
  minigan interpolate runs/digits --out walk.gif
  minigan film runs/digits
  minigan export runs/digits --to pytorch generator.safetensors
  minigan sweep examples/gaussian1d.py --set d_lr=1e-3,6e-3 --seeds 0-9 --out runs/rates
  minigan profile runs/digits
  minigan explain Linear
  minigan explain runs/digits
  minigan ninja new exercises
  minigan doctor"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return guard("minigan", lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="minigan",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Look at what the examples train: samples, scores, time, and every gradient.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"minigan {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND")
    print_help_by_default(parser)
    for module in (
        show,
        replay,
        film,
        sample,
        score,
        interpolate,
        export,
        sweep,
        profile,
        explain,
        ninja,
        doctor,
    ):
        module.add(commands)
    # Before the command or after it: a subcommand's value would replace that of `parser`.
    for one, dest in ((parser, "modules"), *((one, "more") for one in commands.choices.values())):
        one.add_argument(
            "--import",
            type=path,
            action="append",
            default=[],
            dest=dest,
            metavar="FILE",
            help="first run a Python file that registers the run's own classes",
        )
    args = parser.parse_args(argv)
    run = cast(Callable[[argparse.Namespace], int], args.run)

    def work() -> int:
        for file in (*args.modules, *getattr(args, "more", [])):
            load_module(file)
        if getattr(args, "device", None) == "auto":
            print(chosen("auto"), file=sys.stderr)  # stdout is for the results
        return run(args)

    return guard(f"minigan {args.command}".rstrip(), work)
