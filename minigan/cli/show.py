"""minigan show: what a run folder holds."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from minigan.cli.common import add_command
from minigan.cli.score import SCORES
from minigan.config import CLASSES
from minigan.data.source import data_shape
from minigan.errors import UNEXPECTED, CheckpointError
from minigan.gan import Loss
from minigan.gan.summary import summary
from minigan.reading import read_json
from minigan.text import columns, count, loss_title, printable_output, wrapped
from minigan.training import Run, diagnose, load_checkpoint, load_run, read_history, read_recipe
from minigan.training.health import LEGEND
from minigan.training.history import loss_columns
from minigan.training.lock import writer_of
from minigan.training.recipe_json import MAX_BYTES
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


@printable_output()
def run(args: argparse.Namespace) -> int:
    """Print what a run folder holds; at the end `CheckpointError`, if a part is damaged."""
    folder = args.run_folder
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
    if trained is None:
        print_definition(description)
    else:
        print_gan(trained)
    loss = None if trained is None else trained.gan.loss
    for part in (lambda folder: print_losses(folder, loss), print_best, print_scores):
        try:
            part(folder)
        except CheckpointError as error:
            damaged.append(str(error))
    print("files")
    for path in sorted(folder.glob("[!.]*")):
        files = [file for file in (path, *path.rglob("[!.]*")) if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        below = f": {count(len(files), 'file')}" if path.is_dir() else ""
        if files:
            print(f"  {size:>12,} bytes   {path.name}{below}")
    if damaged:  # reported last, after everything that can be shown
        sys.stdout.flush()
        raise CheckpointError("; ".join(damaged))
    return 0


def print_gan(trained: Run) -> None:
    """The game, the data, the steps done, and what happened on the way."""
    gan, data = trained.gan, trained.data
    print("game")
    for line in summary(gan):
        print(wrapped(f"  {line}", 4))
    batch = gan.samples_of(trained.description["trainer"]["batch"])
    shape = data_shape(data)
    epochs = f", {gan.step_count * batch / shape[0]:.1f} epochs of {shape[0]:,}" if shape else ""
    print(f"data       {data.get('dataset', data.get('data'))}")
    print(f"trained    {gan.step_count:,} steps of {batch} samples{epochs}")
    if trained.metadata.get("rollbacks"):
        print(f"diverged   {trained.metadata['rollbacks']} times, and was rolled back")
    for one in rates_of(trained.folder, trained.metadata):
        old, new = one["lr"]
        print(f"set        {one['rate']}: {old:g} -> {new:g} after step {one['step']:,}")


def print_definition(description: dict[str, Any]) -> None:
    """A game that cannot be built here: its settings and data, as they are in recipe.json."""
    print("game")
    for name, value in description["gan"].items():
        layers = value.get("layers") if isinstance(value, dict) else None
        parts = layers if isinstance(layers, list) else [value]
        print(wrapped(f"  {name}: {', '.join(map(part_as_text, parts))}", 4))
    print(f"data       {part_as_text(description['data'])}")


def part_as_text(config: Any) -> str:
    """The JSON of a part as "Tanh(slope=0.7)"; any other JSON as it is."""
    kind = next((kind for kind in CLASSES if isinstance(config, dict) and kind in config), None)
    if kind is None:
        return json.dumps(config)
    settings = (f"{k}={json.dumps(v)}" for k, v in config.items() if k != kind)
    return f"{config[kind]}({', '.join(settings)})"


def print_best(folder: Path) -> None:
    """The best checkpoint, if scores were taken; `CheckpointError` if it is damaged."""
    if not (folder / BEST).exists():
        return
    metadata = load_checkpoint(folder / BEST).metadata
    name = str(metadata.get("score_name") or "score").replace("_", " ")
    name = name.replace("<lambda>", "score")
    try:
        step, score = f"{metadata['step']:,}", f"{metadata['score']:.4g}"
    except UNEXPECTED as error:
        raise CheckpointError(f"{folder / BEST} has damaged metadata") from error
    print(wrapped(f"best       step {step}: {name} {score} (lower is better)", 11))


def print_losses(folder: Path, loss: Loss | None) -> None:
    """The first and last rows of the history, and the failures that they show.

    Args:
        folder: of the run.
        loss: of its game, for the advice; None if it cannot be built here.

    Raises:
        CheckpointError: the history is missing or damaged.
    """
    rows = read_history(folder / HISTORY)
    if not rows:
        print("losses     none yet")
        return
    names = loss_columns(folder / HISTORY, list(rows[0]))
    table = [("losses   ", "step", *(loss_title(name) for name in names), "")]
    for row in rows if len(rows) <= 6 else [*rows[:3], None, *rows[-3:]]:
        if row is None:
            table.append(("", "...", *[""] * len(names), ""))
        else:
            losses = (f"{row[name]:.3f}" for name in names)
            table.append(("", f"{row['step']:,.0f}", *losses, ""))
    print(columns(table))
    shown = [name for name in LEGEND if name in rows[-1]]
    print("health" if shown else "health     not measured")
    table = [(f"  {name:<9}", f"{rows[-1][name]:.3g}", LEGEND[name]) for name in shown]
    print(columns(table, left=2) if table else "", end="\n" if table else "")
    for failure in diagnose(rows, loss):
        lines = f"{wrapped(f'  ! {failure}', 4)}\n{wrapped(f'    {failure.advice}', 4)}"
        print(lines)


def print_scores(folder: Path) -> None:
    """The scores that `minigan score` saved; `CheckpointError` if they are damaged."""
    try:
        scores = read_json(folder / SCORES, MAX_BYTES)
        step = int(scores["step"])
        shown = {
            name: float(value)
            for name, value in scores.items()
            if isinstance(value, (int, float)) and name not in ("step", "n", "seed")
        }
    except FileNotFoundError:
        print(f"scores     none yet: minigan score {folder}")
        return
    except (OSError, *UNEXPECTED) as error:
        raise CheckpointError(f"{folder / SCORES} is damaged: {error}") from error
    print(f"scores     at step {step:,}")
    for name, value in shown.items():
        print(f"  {name:<20}{value:>12.4g}")
