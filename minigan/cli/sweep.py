"""minigan sweep: an experiment over a grid of settings and seeds."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minigan.cli.common import cores
from minigan.command_line import add_device, guard, path, positive
from minigan.errors import ConfigError
from minigan.evaluation import plots
from minigan.sweeps import sweep
from minigan.sweeps.plan import FOLDERS, PICTURE, RUNS, TABLE
from minigan.sweeps.values import read_seeds, split

WAIT = 10  # seconds, for a Dask scheduler
EPILOG = """\
examples:
  minigan sweep examples/gaussian1d.py --set d_lr=1e-3,6e-3 --seeds 0-9 --out runs/rates
  minigan sweep examples/gaussian1d.py --set d_lr=1e-3,6e-3 --set g_lr=1e-3,2e-3 \\
      --set steps=5000 --seeds 0,1,2 --jobs 2 --out runs/map
  minigan sweep examples/toy2d.py --set "betas=(0,0.99),(0.5,0.999)" --out runs/betas
  minigan sweep examples/toy2d.py --seeds 0-99 --dask tcp://10.0.0.1:8786 --out /shared/toys

Run the same command again to go on after an interruption, or with more values or seeds to add
runs. Every run is a folder in OUT/runs, which other minigan commands open. Results are in
OUT/runs.csv, OUT/table.csv and OUT/sweep.png. The exit code is 1 if a run failed."""


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "sweep",
        help="train an experiment over a grid of settings and seeds, several runs at a time",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Train an experiment once for each combination of settings and seeds, and\n"
        "show mean, worst and best score over the seeds, and how many runs failed.",
        epilog=EPILOG,
    )
    add = parser.add_argument
    add("file", type=path, metavar="EXPERIMENT", help="the Python file of an experiment")
    add(
        "--set",
        action="append",
        default=[],
        type=_values,
        metavar="FIELD=V1,V2",
        dest="settings",
        help="values of any field of the recipe; a tuple in brackets: betas=(0,0.9),(0.5,0.9); can "
        "be repeated",
    )
    add(
        "--seeds",
        type=read_seeds,
        default=(0,),
        metavar="SEEDS",
        help="such as 0-9 or 0,3,7 (default: 0)",
    )
    add(
        "--recipe", metavar="NAME", help="where the other settings come from (default: its default)"
    )
    add("--out", type=path, required=True, metavar="OUT", help="the folder of the sweep")
    add("--data-dir", type=path, metavar="DIR", help="the folder with the data, as in training")
    add(
        "--jobs",
        type=positive,
        metavar="N",
        help="runs at a time, each in a process (default: one for each core, or for each --threads "
        "cores)",
    )
    add(
        "--threads",
        type=positive,
        default=1,
        metavar="N",
        help="for the matrix products of each run (default: 1). Part of the sweep: other numbers "
        "can change the last bits of a run",
    )
    add(
        "--dask",
        metavar="ADDRESS",
        help="train on the workers of this Dask scheduler, which must see the same files; needs "
        'pip install "minigan[dask]"',
    )
    add_device(parser)
    parser.set_defaults(run=run, command="sweep")


def run(args: argparse.Namespace) -> int:
    """Train what is left to train, and print the table; 1 if a run failed."""
    return guard("minigan sweep", lambda: _run(args), lambda: _how_to_continue(args.out))


def _run(args: argparse.Namespace) -> int:
    fields = [field for field, _ in args.settings]
    if len({*fields}) < len(fields):
        raise ConfigError("one field is given by two --set; write --set FIELD=V1,V2")
    plots.new_figure()  # before training: a broken Matplotlib
    with _workers(args):
        results = sweep(
            args.file,
            dict(args.settings),
            args.seeds,
            out=args.out,
            recipe=args.recipe,
            threads=args.threads,
            device=args.device,
            data_dir=args.data_dir,
        )
    print(results.as_table())
    print(f"runs       {args.out / FOLDERS}\ntables     {args.out / TABLE}, {args.out / RUNS}")
    print(f"picture    {args.out / PICTURE}", flush=True)
    if results.failed:
        print(results.failures(), file=sys.stderr)
    return 1 if results.failed else 0


@contextlib.contextmanager
def _workers(args: argparse.Namespace) -> Iterator[None]:
    """Inside, joblib trains where --jobs or --dask says."""
    import joblib  # slow to import, and only this command needs it

    if args.dask is None:
        jobs = args.jobs or max(1, cores() // args.threads)
        with joblib.parallel_config("loky", n_jobs=jobs):
            yield
        return
    if args.jobs is not None:
        raise ConfigError("--jobs is for this machine; with --dask, the cluster's workers count")
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError('--dask needs Dask: pip install "minigan[dask]"') from None
    try:
        client: Any = Client(args.dask, timeout=WAIT)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ConfigError(f"no Dask scheduler answers at {args.dask}: {reason}") from None
    with client, joblib.parallel_config("dask"):
        yield


def _values(text: str) -> tuple[str, list[str]]:
    """FIELD=V1,V2, for argparse; the recipe's field decides what the values are."""
    name, equals, values = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"must be FIELD=VALUE,VALUE, not {text!r}")
    return name, split(values)


def _how_to_continue(out: Path) -> str:
    """The message after an interruption."""
    if not (out / FOLDERS).exists():
        return "interrupted; nothing was begun"
    words = shlex.join(["minigan", *sys.argv[1:]])
    return f"interrupted; go on with: {words}"
