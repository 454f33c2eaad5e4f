"""minigan score: how good a run's samples are."""

from __future__ import annotations

import argparse
import json
from typing import Any

from minigan.cli.common import add_command, add_sampling, data_of_run
from minigan.command_line import path, positive
from minigan.errors import ConfigError
from minigan.evaluation import form_of
from minigan.files import write_whole
from minigan.training import limit_threads, load_run

SCORES = "scores.json"


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    parser = add_command(
        commands,
        "score",
        run,
        help="score samples against the data",
        description="Score a run's samples against the data it was trained on, and save the "
        f"scores in the run folder as {SCORES}. Images are judged by a classifier, which is "
        "trained once, in about two minutes, and kept in the cache. For a conditional GAN, another "
        "one is trained on its samples each time, in about a minute.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--n", type=positive, default=10_000, metavar="N", help="how many samples (default: 10,000)"
    )
    parser.add_argument(
        "--data-dir", type=path, metavar="DIR", help="the folder with the run's data files"
    )
    parser.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="for matrix products (default: what the BLAS library chooses)",
    )
    add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    """Sample, score, save, print."""
    trained = load_run(args.run_folder, device=args.device, best=args.best)
    gan = trained.gan
    if args.n < 2:
        raise ConfigError(f"scores need at least 2 samples, not {args.n}")
    with limit_threads(args.threads):
        data = data_of_run(trained, args.data_dir)
        scores, text = form_of(data).score_game(gan, data, args.n, args.seed)
    result = {"step": gan.step_count, "n": args.n, "seed": args.seed, **scores}
    written = json.dumps(result, indent=2, sort_keys=True) + "\n"
    try:
        print(written if args.json else text, end="" if args.json else "\n", flush=True)
    finally:  # the reader of the output may have ended
        write_whole(args.run_folder / SCORES, written.encode())
    return 0
