"""minigan sample: draw from a trained generator."""

from __future__ import annotations

import argparse
import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from minigan.cli.common import add_command, add_sampling, data_shape, image_shape
from minigan.command_line import path, positive
from minigan.data.images import to_pixels
from minigan.errors import ConfigError
from minigan.evaluation import pictures
from minigan.files import write_whole
from minigan.training import Run, load_run

MAX_TILES = 10_000  # of a picture; an array may have any number of samples


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    parser = add_command(
        commands,
        "sample",
        run,
        help="draw samples: a picture or an array",
        description="Draw samples from a run's generator (the averaged one, if it has one).",
    )
    parser.add_argument(
        "--n", type=positive, default=25, metavar="N", help="how many (default: 25)"
    )
    parser.add_argument(
        "--out",
        type=path,
        default=Path("samples.png"),
        metavar="FILE",
        help="FILE.png: a grid; FILE.npy: the raw array, (n, h, w) or (n, features), as the "
        "generator makes it: float, images in [-1, 1] (default: samples.png)",
    )
    add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    """Draw and write."""
    if args.out.suffix not in (".png", ".npy"):
        raise ConfigError(f"--out must end in .png or .npy, not {args.out.name!r}")
    if args.out.suffix == ".png" and args.n > MAX_TILES:
        raise ConfigError(f"a picture holds at most {MAX_TILES:,} samples; write a .npy file")
    trained = load_run(args.run_folder, args.device, best=args.best)
    gan = trained.gan
    samples = gan.ops.to_host(gan.sample(args.n, seed=args.seed))  # (n, features)
    write_samples(samples, trained, args.out, columns=math.ceil(math.sqrt(args.n)))
    print(f"{args.n:,} samples in {args.out}")
    return 0


def write_samples(samples: Any, trained: Run, out: Path, columns: int, tile: int = 112) -> None:
    """Write samples (n, features) to a .png file, as a grid, or to a .npy file.

    Args:
        samples: in a .npy file, images become (n, h, w).
        trained: the run that made them.
        out: the file.
        columns, tile: of the grid; see `pictures.grid`.

    Raises:
        DataError: a picture of samples that are not images.
    """
    if out.suffix == ".png":
        pixels = to_pixels(samples, image_shape(trained))
        pictures.save_png(pictures.grid(pixels, columns, tile), out)
        return
    shape = data_shape(trained.data)[1:] or samples.shape[1:]
    buffer = io.BytesIO()
    np.save(buffer, samples.reshape(len(samples), *shape), allow_pickle=False)
    write_whole(out, buffer.getvalue())
