"""minigan show: what a run folder holds."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from minigan.cli.common import add_command, data_shape
from minigan.cli.score import SCORES
from minigan.errors import CheckpointError
from minigan.gan.summary import summary
from minigan.text import columns, loss_title, printable
from minigan.training import Run, diagnose, load_checkpoint, load_run, read_history, read_recipe
from minigan.training.history import loss_columns
from minigan.training.lock import writer_of
from minigan.training.run import rates_of
from minigan.training.run_folder import BEST, HISTORY


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    add_command(
        commands,
        "show",
        run,
        help="show what a run is, how far it came, and how it did",
        description="Show a run's recipe, steps, losses, scores and files.",
    )


def run(args: argparse.Namespace) -> int:
    """Read the folder and print its content."""
    folder: Path = args.run_folder
    description = read_recipe(folder)
    print(f"run        {folder}")
    for key, value in description["recipe"].items():
        print(f"  {key:<17}{json.dumps(value)}")
    who = writer_of(folder)
    if who is not None:
        print(f"now        in training, by {who}")
    damaged: list[str] = []
    try:
        trained: Run | None = load_run(folder)
    except CheckpointError as error:
        trained = None
        damaged.append(str(error))
    if trained is not None:
        print_gan(trained)
    for show in (print_losses, print_best, print_scores):
        try:
            show(folder)
        except CheckpointError as error:
            damaged.append(str(error))
    print("files")
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.name.startswith("."):
            print(f"  {file.stat().st_size:>12,} bytes   {file.relative_to(folder).as_posix()}")
    if damaged:  # reported last, after everything that can be shown
        sys.stdout.flush()
        raise CheckpointError("; ".join(damaged))
    return 0


def print_gan(trained: Run) -> None:
    """The game, the data, the steps done, and what happened on the way."""
    gan, data = trained.gan, trained.data
    print("game")
    for line in summary(gan):
        print(f"  {printable(line)}")
    batch = gan.samples_of(trained.description["trainer"]["batch"])
    shape = data_shape(data)
    epochs = f", {gan.step_count * batch / shape[0]:.1f} epochs of {shape[0]:,}" if shape else ""
    print(f"data       {printable(data.get('dataset', data.get('data')))}")
    print(f"trained    {gan.step_count:,} steps of {batch} samples{epochs}")
    if trained.metadata.get("rollbacks"):
        print(f"diverged   {printable(trained.metadata['rollbacks'])} times, and was rolled back")
    for one in rates_of(trained.folder, trained.metadata):
        old, new = one["lr"]
        rate = printable(one["rate"])
        print(f"set        {rate}: {old:g} -> {new:g} after step {one['step']:,}")


def print_best(folder: Path) -> None:
    """The best checkpoint, if scores were taken; `CheckpointError` if it is damaged."""
    if (folder / BEST).exists():
        metadata = load_checkpoint(folder / BEST).metadata
        step, score = (printable(metadata.get(name)) for name in ("step", "score"))
        print(f"best       step {step}, by a score of {score}")


def print_losses(folder: Path) -> None:
    """The first and last rows of the history, and the failures that they show.

    Raises:
        CheckpointError: the history is missing or damaged.
    """
    rows = read_history(folder / HISTORY)
    if not rows:
        print("losses     none yet")
        return
    names = loss_columns(folder / HISTORY, list(rows[0]))
    table = [("losses   ", "step", *(printable(loss_title(name)) for name in names), "")]
    for row in rows if len(rows) <= 6 else [*rows[:3], None, *rows[-3:]]:
        if row is None:
            table.append(("", "...", *[""] * len(names), ""))
        else:
            losses = (f"{row[name]:.3f}" for name in names)
            table.append(("", f"{row['step']:,.0f}", *losses, ""))
    print(columns(table))
    shown = [name for name in ("auc", "g_grad", "diversity") if name in rows[-1]]
    measures = "   ".join(f"{name} {rows[-1][name]:.3g}" for name in shown)
    print(f"health     {measures or 'not measured'}")
    for failure in diagnose(rows):
        print(f"  ! {failure}\n    {failure.advice}")


def print_scores(folder: Path) -> None:
    """The scores that `minigan score` saved; `CheckpointError` if they are damaged."""
    try:
        scores = json.loads((folder / SCORES).read_text(encoding="utf-8"))
        step = int(scores["step"])
        shown = {
            printable(name): float(value)
            for name, value in scores.items()
            if isinstance(value, (int, float)) and name not in ("step", "n", "seed")
        }
    except FileNotFoundError:
        print(f"scores     none yet: minigan score {folder}")
        return
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise CheckpointError(f"{folder / SCORES} is damaged: {error}") from error
    print(f"scores     at step {step:,}")
    for name, value in shown.items():
        print(f"  {name:<20}{value:>12.4g}")
