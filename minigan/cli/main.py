"""The `minigan` command and its subcommands, one file each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import cast

from minigan.backend import chosen
from minigan.cli import doctor, explain, export, interpolate, ninja, profile, sample, score, show
from minigan.command_line import guard, path
from minigan.lessons.user_code import load_module
from minigan.version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="minigan",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Look at what the examples train: samples, scores, time, and every gradient.",
        epilog="""\
examples:
  python examples/mnist.py --out runs/digits
  minigan show runs/digits
  minigan sample runs/digits --n 100 --out grid.png
  minigan score runs/digits
  minigan interpolate runs/digits --out walk.gif
  minigan export runs/digits --to pytorch generator.safetensors
  minigan profile runs/digits
  minigan explain Linear
  minigan explain runs/digits
  minigan ninja new exercises
  minigan doctor""",
    )
    parser.add_argument(
        "--import",
        type=path,
        action="append",
        default=[],
        dest="modules",
        metavar="FILE",
        help="first run a Python file that registers the run's own classes",
    )
    parser.add_argument("--version", action="version", version=f"minigan {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (show, sample, score, interpolate, export, profile, explain, ninja, doctor):
        module.add(commands)
    args = parser.parse_args(argv)
    run = cast(Callable[[argparse.Namespace], int], args.run)

    def work() -> int:
        for file in args.modules:
            load_module(file)
        if getattr(args, "device", None) == "auto":
            print(chosen("auto"), file=sys.stderr)  # stdout is for the results
        return run(args)

    return guard(f"minigan {args.command}", work)
