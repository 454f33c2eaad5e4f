"""minigan sample: draw from a trained generator."""

from __future__ import annotations

import argparse
import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from minigan.cli.common import add_best, add_command, add_noise_seed, image_shape, source_of
from minigan.command_line import add_device, path, positive
from minigan.data.images import to_pixels
from minigan.errors import ConfigError
from minigan.evaluation import pictures
from minigan.files import write_whole
from minigan.training import load_run

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
    add_noise_seed(parser)
    parser.add_argument(
        "--out",
        type=path,
        default=Path("samples.png"),
        metavar="FILE",
        help="FILE.png: a grid; FILE.npy: the raw array, (n, h, w) or (n, features), as the "
        "generator makes it: float, images in [-1, 1] (default: samples.png)",
    )
    add_device(parser)
    add_best(parser)


def run(args: argparse.Namespace) -> int:
    """Draw and write."""
    if args.out.suffix not in (".png", ".npy"):
        raise ConfigError(f"--out must end in .png or .npy, not {args.out.name!r}")
    if args.out.suffix == ".png" and args.n > MAX_TILES:
        raise ConfigError(f"a picture holds at most {MAX_TILES:,} samples; write a .npy file")
    trained = load_run(args.run_folder, args.device, best=args.best)
    if args.out.suffix == ".png":
        shape = image_shape(args.run_folder, trained.data)
    gan = trained.gan
    samples = gan.ops.to_host(gan.sample(args.n, seed=args.seed))  # (n, features)
    if args.out.suffix == ".npy":
        save_array(samples, trained.data, args.out)
    else:
        columns = math.ceil(math.sqrt(args.n))
        pictures.save_png(pictures.grid(to_pixels(samples, shape), columns), args.out)
    print(f"{args.n:,} samples in {args.out}")
    return 0


def save_array(samples: Any, data: dict[str, Any], out: Path) -> None:
    """Write samples (n, features) as a .npy file, images as (n, h, w)."""
    source = source_of(data)
    shape = () if source is None else source.shape_of(data)[1:]
    samples = samples.reshape(len(samples), *(shape or samples.shape[1:]))
    buffer = io.BytesIO()
    np.save(buffer, samples, allow_pickle=False)
    write_whole(out, buffer.getvalue())
