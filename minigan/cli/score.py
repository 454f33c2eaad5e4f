"""minigan score: how good a run's samples are."""

from __future__ import annotations

import argparse
import json
from typing import Any

from minigan.cli.common import add_best, add_command, add_noise_seed, add_threads, data_of_run
from minigan.command_line import add_device, path, positive
from minigan.errors import ConfigError
from minigan.evaluation import form_of
from minigan.files import write_whole
from minigan.training import Run, limit_threads, load_run

SCORES = "scores.json"


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    parser = add_command(
        commands,
        "score",
        run,
        help="score samples against the data",
        description="Score a run's samples against the data it was trained on; the scores are "
        f"kept in the run folder as {SCORES}. For images a classifier trained with this library "
        "is the judge; it is made once, in about a minute, and kept in the cache.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--n", type=positive, default=10_000, metavar="N", help="how many samples (default: 10,000)"
    )
    add_noise_seed(parser)
    parser.add_argument(
        "--data-dir", type=path, metavar="DIR", help="where the run's data are, as in training"
    )
    add_device(parser)
    add_threads(parser)
    add_best(parser)


def run(args: argparse.Namespace) -> int:
    """Sample, score, keep, print."""
    trained = load_run(args.run_folder, args.device, best=args.best)
    with limit_threads(args.threads):
        scores, text = score(trained, args)
    result = {
        "step": trained.gan.step_count,
        "n": args.n,
        "seed": args.seed,
        **scores,
    }
    written = json.dumps(result, indent=2, sort_keys=True) + "\n"
    print(written if args.json else text, end="" if args.json else "\n", flush=True)
    write_whole(args.run_folder / SCORES, written.encode())
    return 0


def score(trained: Run, args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The scores as JSON, and as a text to read."""
    if args.n < 2:
        raise ConfigError(f"scores need at least 2 samples, not {args.n}")
    data = data_of_run(trained, args.data_dir)
    samples = trained.gan.ops.to_host(trained.gan.sample(args.n, seed=args.seed))  # (n, features)
    return form_of(data).score(samples, data)
