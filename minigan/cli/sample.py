"""minigan sample: draw from a trained generator."""

from __future__ import annotations

import argparse
from typing import Any

from minigan.cli.common import add_command, add_sampling, output, pictures_of, save_array
from minigan.command_line import positive
from minigan.errors import ConfigError
from minigan.text import count
from minigan.training import load_run

ROWS = 25  # of an array, by default


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
        "--n",
        type=positive,
        metavar="N",
        help="how many (default: as suits the picture, 25 images or 100,000 numbers; 25 in a "
        ".npy file)",
    )
    parser.add_argument(
        "--out",
        type=output,
        default="samples.png",
        metavar="FILE",
        help="FILE.png: a grid of images, or a histogram of numbers; FILE.npy: the raw array, "
        "(n, h, w) or (n, features), as the generator makes it: float, images in [-1, 1] "
        "(default: samples.png)",
    )
    add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    """Draw and write."""
    if args.out.suffix not in (".png", ".npy"):
        raise ConfigError(f"--out must end in .png or .npy, not {args.out.name!r}")
    trained = load_run(args.run_folder, device=args.device, best=args.best)
    form = pictures_of(trained) if args.out.suffix == ".png" else None
    n = args.n or (ROWS if form is None else form.shown)
    gan = trained.gan
    samples = gan.ops.to_host(gan.sample(n, seed=args.seed))  # (n, features)
    if form is None:
        save_array(args.out, samples, trained)
    else:
        form.save_samples(args.out, samples, trained.data)
    print(f"{count(n, 'sample')} in {args.out}")
    return 0
