"""--record: a run of an experiment that is recorded, and its replay page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minigan.command_line import positive
from minigan.data import DataSource
from minigan.gan import Game
from minigan.replay import camera_of
from minigan.replay.page import write_page
from minigan.replay.recorder import Recorder
from minigan.training import Trainer
from minigan.training.run_folder import FRAMES

DEFAULT = 0  # the value of --record without a number


def add_record(parser: argparse.ArgumentParser) -> None:
    """Add --record [EVERY]."""
    parser.add_argument(
        "--record",
        nargs="?",
        type=positive,
        const=DEFAULT,
        metavar="EVERY",
        help="record the run, to be watched by minigan replay and minigan film: a frame of each "
        "early step, later of every EVERY-th (default: a number that makes about 190 frames); a "
        "resumed run that was recorded is recorded without this flag",
    )


def camera_for(game: Game, data: DataSource, args: argparse.Namespace) -> Any:
    """What takes the frames of the run; None if it is not recorded.

    Raises:
        ConfigError: a population, or data that cannot be recorded.
    """
    goes_on = args.resume and (args.out / FRAMES).exists()
    return camera_of(game, data) if goes_on or args.record is not None else None


def record(trainer: Trainer, args: argparse.Namespace) -> None:
    """Have `fit` record the run, if `args.camera` is one."""
    if args.camera is not None:
        Recorder(trainer, args.camera, args.record or None)


def write_replay(trainer: Trainer) -> dict[str, Path | str]:
    """Write the page that replays the run, replay.html in its folder: {"replay": the file}."""
    if not (trainer.out / FRAMES).exists():
        return {"replay": "none: no step was left to record"}
    page = trainer.out / "replay.html"
    write_page(page, [trainer.out])
    return {"replay": page}
