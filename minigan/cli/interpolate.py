"""minigan interpolate: walk through the generator's noise, from class to class, or along a code."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigan.cli.common import (
    add_command,
    add_sampling,
    known_source,
    labels,
    output,
    pictures_of,
    save_array,
)
from minigan.command_line import natural, positive
from minigan.errors import ConfigError
from minigan.evaluation import pictures
from minigan.evaluation.forms import MOST_TILES
from minigan.gan import Game, Noise, Normal
from minigan.text import count
from minigan.training import load_run

ROWS = 8  # walks
REACH = 2.0  # a walk along a code leads from -2 to 2 (Chen et al., "InfoGAN", 2016, figure 2)


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    parser = add_command(
        commands,
        "interpolate",
        run,
        help="walk from sample to sample: through the noise, from class to class, along a code",
        description="Walk from one noise vector to the next and show what the generator makes on "
        "the way. A generator that learned the data changes smoothly from image to image; one "
        "that memorised images jumps. Of numbers, the picture is G as a function of its noise. "
        "If the run has classes, each walk is of one class, and the classes take turns. --labels "
        "and --code walk from class to class and along a code; the noise of a walk stays the same.",
    )
    parser.add_argument(
        "--rows",
        type=positive,
        metavar="N",
        help=f"walks (default: {ROWS}; with --code one for each category)",
    )
    parser.add_argument(
        "--steps",
        type=positive,
        default=10,
        metavar="N",
        help="samples per walk; with --labels from each class to the next (default: 10)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--labels",
        type=labels,
        metavar="LABELS",
        help="37 or 3,7: walk from class 3 to class 7; 371: and from there to class 1. Each walk "
        "has its own noise. The classes of an InfoGAN are its categories, which have no names",
    )
    which.add_argument(
        "--code",
        type=natural,
        metavar="K",
        help=f"of an InfoGAN: walk along its continuous code K (0 is the first) from {-REACH:g} to "
        f"{REACH:g}; it is trained from -1 to 1. Each walk is of one category; all have the same "
        "noise, and the other codes are 0",
    )
    parser.add_argument(
        "--out",
        type=output,
        default="interpolation.png",
        metavar="FILE",
        help="FILE.png: a row for each walk, or a figure of numbers; FILE.gif: a film of all "
        "walks side by side, of images; FILE.npy: the raw array, (walks * samples, h, w) or "
        "(walks * samples, features) (default: interpolation.png)",
    )
    add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    """Walk, and write the samples on the way."""
    if args.out.suffix not in (".png", ".gif", ".npy"):
        raise ConfigError(f"--out must end in .png, .gif or .npy, not {args.out.name!r}")
    trained = load_run(args.run_folder, device=args.device, best=args.best)
    gan, form = trained.gan, None
    if args.out.suffix != ".npy":
        form = pictures_of(trained)
        if (args.labels or args.code is not None) and known_source(trained).form != "image":
            raise ConfigError(
                "walks from class to class and along codes can be drawn only of images: write a "
                ".npy file"
            )
    rows, steps = args.rows or ROWS, args.steps
    if args.labels:
        steps = (len(args.labels) - 1) * (steps - 1) + 1
    elif args.code is not None:
        rows = args.rows or gan.classes or ROWS
    check_size(args.out, rows, steps)
    if args.labels:
        Z, C = from_class_to_class(gan, args.labels, rows, steps, args.seed)
    elif args.code is not None:
        Z, C = along_code(gan, args.code, rows, steps, args.seed)
    else:
        Z, C = through_noise(gan, rows, steps, args.seed)
    made = gan.sampler.predict(*(None if one is None else _rows(gan, one) for one in (Z, C)))
    samples = gan.ops.to_host(made)  # (rows * steps, features)
    if form is None:
        save_array(args.out, samples, trained)
    else:
        form.save_walks(args.out, samples.reshape(rows, steps, -1), Z, gan, trained.data)
    print(f"{count(rows, 'walk')} of {count(steps, 'sample')} in {args.out}")
    return 0


def _rows(gan: Game, walks: Any) -> Any:
    """Walks (rows, steps, k) as an array (rows steps, k) on the game's device."""
    return gan.ops.from_host(walks.reshape(-1, walks.shape[2]), gan.generator.dtype)


def check_size(out: Path, rows: int, steps: int) -> None:
    """Raise `ConfigError` if these are more walks than a file can hold."""
    if rows * steps > MOST_TILES:
        raise ConfigError(f"{rows} walks of {steps} samples are more than {MOST_TILES:,} samples")
    if out.suffix == ".gif" and (rows > 100 or steps > pictures.MAX_FRAMES):
        raise ConfigError(f"a film has at most 100 walks of {pictures.MAX_FRAMES} images")


def through_noise(gan: Game, rows: int, steps: int, seed: int) -> tuple[Any, Any]:
    """Noise (rows, steps, dim) from vector to vector, and the condition (rows, steps, k) or None.

    With classes, walk i is of class i mod `classes`.
    """
    ends = gan.ops.to_host(gan.draw_noise(rows + 1, seed))  # (rows + 1, dim)
    Z = walk(gan.noise, ends, steps).reshape(rows, steps, -1)
    condition = gan.draw_condition(rows, seed)  # (rows, k)
    if condition is None:
        return Z, None
    return Z, gan.ops.to_host(condition)[:, None].repeat(steps, axis=1)


def from_class_to_class(
    gan: Game, labels: Sequence[int], rows: int, steps: int, seed: int
) -> tuple[Any, Any]:
    """The same noise along a walk (rows, steps, dim), and conditions (rows, steps, k) between ends.

    Between labels i and j it is (1 - t) row_i + t row_j, where a row is 1 at the class and 0
    elsewhere. The steps are equal, and those of each label are among them.

    Raises:
        ConfigError: fewer than two labels, fewer steps than labels, or labels that the game does
            not have.
    """
    if len(labels) < 2 or steps < len(labels):
        raise ConfigError("a walk from class to class needs at least two --labels and two --steps")
    Z = gan.ops.to_host(gan.draw_noise(rows, seed))[:, None].repeat(steps, axis=1)
    ends = [gan.ops.to_host(gan.draw_condition(rows, seed, label)) for label in labels]
    at = np.linspace(0.0, len(labels) - 1.0, steps)[:, None]  # (steps, 1)
    weights = np.maximum(1.0 - np.abs(at - np.arange(len(labels))), 0.0)  # (steps, labels)
    return Z, weights @ np.stack(ends, axis=1)


def along_code(gan: Game, code: int, rows: int, steps: int, seed: int) -> tuple[Any, Any]:
    """The noise (rows, steps, dim), and conditions (rows, steps, k) along a continuous code.

    Walk i is of category i mod `classes`. All have the same noise until each category had its turn.

    Raises:
        ConfigError: the game has no such code.
    """
    continuous: int = getattr(gan, "continuous", 0)
    if code >= continuous:
        raise ConfigError(
            f"there is no continuous code {code}: the {type(gan).__name__} has "
            + (f"{count(continuous, 'code')}, 0 to {continuous - 1}" if continuous else "none")
        )
    codes = np.zeros((steps, continuous))
    codes[:, code] = np.linspace(-REACH, REACH, steps)
    walks = np.arange(rows)
    noise = gan.ops.to_host(gan.draw_noise(-(-rows // gan.classes), seed))  # (turns, dim)
    Z = noise[walks // gan.classes][:, None].repeat(steps, axis=1)
    C = [gan.draw_condition(steps, seed, label, codes) for label in walks % gan.classes]
    return Z, np.stack([gan.ops.to_host(rows) for rows in C])


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
