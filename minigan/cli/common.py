"""What the subcommands share: arguments, and the data of a run."""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minigan.command_line import add_device, natural, path, real, seed
from minigan.data import DataSource
from minigan.data.source import data_shape, described
from minigan.errors import CheckpointError, ConfigError, DataError, FileError
from minigan.evaluation import Form, form_of
from minigan.files import target_of, write_whole
from minigan.training import Run
from minigan.training.run_folder import is_own


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], help: str, description: str
) -> argparse.ArgumentParser:
    """Add a subcommand that works on a run folder, `args.run_folder`."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=description)
    parser.add_argument("run_folder", type=path, metavar="RUN", help="the run folder")
    parser.set_defaults(run=run, command=name)
    return parser


def print_help_by_default(parser: argparse.ArgumentParser) -> None:
    """Without a subcommand, a command prints its help."""

    def run(args: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    parser.set_defaults(run=run, command="")


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def output(text: str) -> Path:
    """The path of a file that a command writes, for argparse; a link stands for its target."""
    try:
        file = target_of(text)
    except (ConfigError, FileError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if is_own(file):
        raise argparse.ArgumentTypeError(f"{file} belongs to a run: choose another file")
    return file


def labels(text: str) -> list[int]:
    """Labels for argparse: each digit of 0123, or the numbers of 3,11."""
    parts = text.removesuffix(",").split(",") if "," in text else [*text]
    if not parts:
        raise argparse.ArgumentTypeError("must be digits such as 0123, or numbers such as 3,11")
    return [natural(part) for part in parts]


def codes(text: str) -> list[float]:
    """Numbers with commas between them, for argparse."""
    return [real(part) for part in text.split(",")]


def add_best(parser: argparse.ArgumentParser) -> None:
    """--best, for the commands that open a run."""
    parser.add_argument(
        "--best",
        action="store_true",
        help="take best.safetensors, with the best score during training, instead of the newest "
        "checkpoint",
    )


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """--seed, --device and --best, for the commands that draw samples from a run."""
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="of the noise (default: 0)"
    )
    add_device(parser)
    add_best(parser)


def known_source(run: Run) -> type[DataSource]:
    """The class of a run's data; `DataError` if it is not registered here."""
    source, _ = described(run.data)
    if source is None:
        raise DataError(
            f"{run.folder} holds a run on {run.data.get('data', 'unknown data')}, which is not "
            "registered here: minigan --import FILE.py ..."
        )
    return source


def pictures_of(run: Run) -> Form:
    """The form of a run's samples, which draws them.

    Raises:
        DataError: the class of the data is not registered here.
        ConfigError: as `form_of`.
    """
    return form_of(known_source(run))


def save_array(out: Path, samples: Any, run: Run) -> None:
    """Write samples (n, features) into a .npy file, in the shape that they have in the data."""
    shape = data_shape(run.data)[1:] or samples.shape[1:]
    buffer = io.BytesIO()
    np.save(buffer, samples.reshape(len(samples), *shape), allow_pickle=False)
    write_whole(out, buffer.getvalue())


def data_of_run(run: Run, data_dir: Path | None) -> DataSource:
    """The data that a run was trained on, at the beginning.

    Args:
        run: the run.
        data_dir: the folder with the data files, from --data-dir.

    Raises:
        DataError: the data are not here, or differ.
        CheckpointError: the run does not describe them.
    """
    source, (_, settings) = known_source(run), described(run.data)
    try:
        return source.find(settings, data_dir)
    except DataError as error:
        kind = run.data["data"]
        where = "" if source.form == "image" else f" holds a run on {kind}, not on images"
        raise DataError(f"{run.folder}{where}: {error}") from error
    except (LookupError, TypeError) as error:
        raise CheckpointError(f"{run.folder} does not describe its data: {error!r}") from error
