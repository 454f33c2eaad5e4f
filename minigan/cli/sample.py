"""minigan sample: draw from a trained generator."""

from __future__ import annotations

import argparse
from typing import Any

from minigan.cli.common import (
    add_command,
    add_sampling,
    codes,
    known_source,
    labels,
    output,
    pictures_of,
    save_array,
)
from minigan.command_line import natural, positive
from minigan.errors import ConfigError
from minigan.evaluation.grids import COLUMNS, ROWS, SHOWN, sample_classes, shown_classes
from minigan.text import count
from minigan.training import load_run


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    parser = add_command(
        commands,
        "sample",
        run,
        help="draw samples: a picture or an array",
        description="Draw samples from a run's generator (the averaged one, if it has one). You "
        "can ask a conditional GAN or an InfoGAN for classes. Those of an InfoGAN are its "
        "categories, which have no names: the picture shows which is which. Without --n, --label "
        f"and --labels, a picture of images shows {COLUMNS} of each class (of the first {ROWS}). "
        "Otherwise the classes take turns, sample by sample.",
    )
    parser.add_argument(
        "--n",
        type=positive,
        metavar="N",
        help=f"how many; with --labels how many of each class (default: {COLUMNS} with --labels; "
        f"else as suits the picture, {SHOWN} images or 100,000 numbers; {SHOWN} in a .npy file)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--label", type=natural, metavar="K", help="all samples are of class K")
    which.add_argument(
        "--labels",
        type=labels,
        metavar="LABELS",
        help="classes as digits, 0123456789, or with commas, 3,11: each is a row of the picture, "
        "and each column has the same noise. A .npy file has one class after the other",
    )
    parser.add_argument(
        "--codes",
        type=codes,
        metavar="C,C",
        help="of an InfoGAN: the values of the continuous codes, trained from -1 to 1; if the "
        "first is negative, write --codes=-1,0.5 (default: random; with --labels the same in each "
        "column)",
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
    gan, rows, columns = trained.gan, args.labels, None
    if args.n is None and args.label is None and rows is None and form is not None:
        rows = shown_classes(gan) if known_source(trained).form == "image" else None
    if rows:
        columns = args.n or COLUMNS
        samples = sample_classes(gan, rows, columns, args.seed, args.codes)  # (n, features)
    else:
        n = args.n or (SHOWN if form is None else form.shown)
        samples = gan.ops.to_host(gan.sample(n, args.seed, labels=args.label, codes=args.codes))
    if form is None:
        save_array(args.out, samples, trained)
    else:
        form.save_samples(args.out, samples, trained.data, columns)
    print(f"{count(len(samples), 'sample')} in {args.out}")
    return 0
