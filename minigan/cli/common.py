"""What the subcommands share: arguments, and the data of a run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minigan.command_line import add_device, path, seed
from minigan.config import CLASSES
from minigan.data import DataSource
from minigan.errors import CheckpointError, DataError
from minigan.training import Run


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], help: str, description: str
) -> argparse.ArgumentParser:
    """Add a subcommand that works on a run folder, `args.run_folder`."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=description)
    parser.add_argument("run_folder", type=path, metavar="RUN", help="the run folder")
    parser.set_defaults(run=run, command=name)
    return parser


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


def source_of(data: dict[str, Any]) -> type[DataSource] | None:
    """The class of a run's data; None if it is not registered here."""
    source: Any = CLASSES["data"].get(str(data.get("data")))
    return source  # type: ignore[no-any-return]


def data_shape(data: dict[str, Any]) -> tuple[int, ...]:
    """The shape (N, ...) of all samples of a run's data; () if unknown or endless."""
    source = source_of(data)
    return () if source is None else source.shape_of(data)


def image_shape(run: Run) -> tuple[int, int]:
    """Height and width of the images that a run makes; `DataError` if it makes none."""
    source, shape = source_of(run.data), data_shape(run.data)
    if source is None or source.form != "image" or len(shape) != 3:
        name = run.data.get("data", "unknown data")
        raise DataError(
            f"{run.folder} holds a run on {name}, not on images (N, h, w); a .npy file can hold "
            "any samples"
        )
    return shape[1], shape[2]


def data_of_run(run: Run, data_dir: Path | None) -> DataSource:
    """The data that a run was trained on, at the beginning.

    Args:
        run: the run.
        data_dir: the folder with the data files, from --data-dir.

    Raises:
        DataError: the data are not here, or differ.
        CheckpointError: the run does not describe them.
    """
    source, name = source_of(run.data), run.data.get("data", "unknown data")
    if source is None:
        raise DataError(
            f"{run.folder} holds a run on {name}, which is not registered here: "
            "minigan --import FILE.py ..."
        )
    settings = {key: value for key, value in run.data.items() if key != "data"}
    try:
        return source.find(settings, data_dir)
    except DataError as error:
        where = "" if source.form == "image" else f" holds a run on {name}, not on images"
        raise DataError(f"{run.folder}{where}: {error}") from error
    except (LookupError, TypeError) as error:
        raise CheckpointError(f"{run.folder} does not describe its data: {error!r}") from error
