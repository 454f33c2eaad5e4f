"""minigan replay: recorded runs as one HTML file to watch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minigan.cli.common import output
from minigan.command_line import path, positive
from minigan.errors import ConfigError
from minigan.replay.page import MOST_FRAMES, write_page


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "replay",
        help="watch recorded runs in a browser: one HTML file, which needs no network",
        description="Write recorded runs into one HTML file that opens in any browser, without "
        "network or server. It plays the training: D's curve or field, G's samples and the arrows "
        "along which D pushes them, the losses, and what the health check says. Several runs play "
        "side by side on one clock. Record a run by training it with --record.",
    )
    parser.add_argument(
        "run_folders", type=path, nargs="+", metavar="RUN", help="the run folders, one or more"
    )
    parser.add_argument(
        "--out",
        type=output,
        default="replay.html",
        metavar="FILE",
        help="where to write the page (default: replay.html)",
    )
    parser.add_argument(
        "--frames",
        type=positive,
        default=MOST_FRAMES,
        metavar="N",
        help=f"of each run at most N frames, evenly chosen (default: {MOST_FRAMES})",
    )
    parser.set_defaults(run=run, command="replay")


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    folders: list[Path] = args.run_folders
    if args.out.suffix not in (".html", ".htm"):
        raise ConfigError(f"--out must end in .html, not {args.out.name!r}")
    write_page(args.out, folders, args.frames)
    size = args.out.stat().st_size / 1e6
    print(f"{args.out} ({size:.1f} MB): open it in a browser")
    return 0
