"""minigan interpolate: walk through the generator's noise."""

from __future__ import annotations

import argparse
import itertools
from typing import Any

import numpy as np

from minigan.cli.common import add_command, add_sampling, output, pictures_of, save_array
from minigan.command_line import positive
from minigan.errors import ConfigError
from minigan.evaluation import pictures
from minigan.evaluation.forms import MOST_TILES
from minigan.gan import Noise, Normal
from minigan.text import count
from minigan.training import load_run


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    parser = add_command(
        commands,
        "interpolate",
        run,
        help="walk from sample to sample through the noise",
        description="Walk from one noise vector to the next and show what the generator makes on "
        "the way. A generator that learned the data changes smoothly from image to image; one "
        "that memorised images jumps. Of numbers, the picture is G as a function of its noise.",
    )
    parser.add_argument("--rows", type=positive, default=8, metavar="N", help="walks (default: 8)")
    parser.add_argument(
        "--steps", type=positive, default=10, metavar="N", help="samples a walk (default: 10)"
    )
    parser.add_argument(
        "--out",
        type=output,
        default="interpolation.png",
        metavar="FILE",
        help="FILE.png: a row for each walk, or a figure of numbers; FILE.gif: a film of all "
        "walks side by side, of images; FILE.npy: the raw array, (rows * steps, h, w) or "
        "(rows * steps, features) (default: interpolation.png)",
    )
    add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    """Walk, and write the samples on the way."""
    if args.out.suffix not in (".png", ".gif", ".npy"):
        raise ConfigError(f"--out must end in .png, .gif or .npy, not {args.out.name!r}")
    if args.rows * args.steps > MOST_TILES:
        raise ConfigError(
            f"{args.rows} walks of {args.steps} samples are more than {MOST_TILES:,} samples"
        )
    if args.out.suffix == ".gif" and (args.rows > 100 or args.steps > pictures.MAX_FRAMES):
        raise ConfigError(f"a film has at most 100 walks of {pictures.MAX_FRAMES} images")
    trained = load_run(args.run_folder, device=args.device, best=args.best)
    gan = trained.gan
    ends = gan.ops.to_host(gan.draw_noise(args.rows + 1, args.seed))  # (rows + 1, dim)
    Z = walk(gan.noise, ends, args.steps)  # (rows * steps, dim)
    samples = gan.ops.to_host(gan.sampler.predict(gan.ops.from_host(Z, gan.generator.dtype)))
    if args.out.suffix == ".npy":
        save_array(args.out, samples, trained)
    else:
        walks, Z = (some.reshape(args.rows, args.steps, -1) for some in (samples, Z))
        pictures_of(trained).save_walks(args.out, walks, Z, gan, trained.data)
    print(f"{count(args.rows, 'walk')} of {count(args.steps, 'sample')} in {args.out}")
    return 0


def walk(noise: Noise, ends: Any, steps: int) -> Any:
    """Noise vectors on the way from each end (K + 1, dim) to the next: (K steps, dim).

    Uniform noise is walked in a straight line, which stays inside its cube. Normal noise lies
    near a sphere, and a straight line would leave it; the walk follows the great circle
    (sin((1 - t) a) z0 + sin(t a) z1) / sin(a),  a the angle between z0 and z1 as seen from the
    mean (Shoemake 1985).
    """
    t = (np.arange(steps) / max(steps - 1, 1))[:, None]  # (steps, 1), 0 to 1
    rows = []
    for start, end in itertools.pairwise(ends):
        if isinstance(noise, Normal):
            z0, z1 = start - noise.mean, end - noise.mean
            cosine = z0 @ z1 / max(float(np.linalg.norm(z0) * np.linalg.norm(z1)), 1e-12)
            angle = np.arccos(np.clip(cosine, -1.0, 1.0))
            if np.sin(angle) > 1e-6:
                a, b = np.sin((1.0 - t) * angle), np.sin(t * angle)
                rows.append(noise.mean + (a * z0 + b * z1) / np.sin(angle))
                continue
        rows.append((1.0 - t) * start + t * end)
    return np.concatenate(rows)
