"""minigan film: a film of a recorded run."""

from __future__ import annotations

import argparse
from typing import Any

from minigan.cli.common import add_command, output
from minigan.command_line import positive
from minigan.replay.film import FPS, MOST_SHOTS, write_film

FILE = "film.gif"


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    parser = add_command(
        commands,
        "film",
        run,
        help="make a film of a recorded run, GIF or MP4",
        description="Make a film of a run that was trained with --record: samples with D's arrows, "
        "D, G and the losses, or images and the losses. It shows many of the first steps and fewer "
        "of the later ones. The last frame stays for two seconds.",
    )
    parser.add_argument(
        "--out",
        type=output,
        metavar="FILE",
        help=f"FILE.gif, or FILE.mp4 if ffmpeg is installed (default: {FILE} in the run folder)",
    )
    parser.add_argument(
        "--fps",
        type=positive,
        default=FPS,
        metavar="N",
        help=f"frames a second, at most 50 (default: {FPS})",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--frames",
        type=positive,
        metavar="N",
        help=f"at most N of the recorded frames, evenly chosen (default: {MOST_SHOTS})",
    )
    length.add_argument(
        "--seconds",
        type=positive,
        metavar="S",
        help="at most S seconds, and two more for the last frame",
    )


def run(args: argparse.Namespace) -> int:
    """Draw the film and write it."""
    out = args.run_folder / FILE if args.out is None else args.out
    frames = args.seconds * args.fps if args.seconds else args.frames or MOST_SHOTS
    made = write_film(args.run_folder, out, frames=frames, fps=args.fps)
    print(f"{made} in {out}")
    return 0
