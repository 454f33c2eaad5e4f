"""What an experiment prints before a run, and draws after it."""

from __future__ import annotations

import argparse
from typing import Any

from minigan.backend import chosen, device_name
from minigan.data import DataSource
from minigan.evaluation import form_of, plots
from minigan.experiment.recipe import goal_of
from minigan.gan import Game
from minigan.gan.summary import summary
from minigan.parallel.program import leading, processes_here
from minigan.text import count, printable_output, wrapped
from minigan.training import Trainer, read_history, suitable_threads
from minigan.training.schedule import epoch_end
from minigan.training.threads import cores_of_each

MOST_THREADS = 4  # by default; larger numbers gain little at these sizes


def choose_threads(game: Game, batch: int, workers: int) -> int:
    """The number of threads without --threads, in each of the processes."""
    cores = cores_of_each(processes_here(workers))
    return suitable_threads(game, batch) or min(MOST_THREADS, cores)


def _processes(args: argparse.Namespace) -> str:
    ranks = leading()
    if ranks is not None:
        return f"{count(ranks.size, 'MPI rank')} of "
    return "" if args.workers == 1 else f"{count(args.workers, 'worker')} of "


@printable_output()  # the recipe of a resumed run comes from a file
def describe(recipe: Any, game: Game, data: DataSource, args: argparse.Namespace) -> None:
    """Print what will be trained, and how."""
    goal, batch = goal_of(recipe), game.samples_of(recipe.batch)
    length = count(getattr(recipe, goal), goal.removesuffix("s"))
    if goal == "epochs" and data.size is not None:
        steps = epoch_end(recipe.epochs, data.size, batch)
        length += f" = {count(steps, 'step')}"
    noun = "image" if data.form == "image" else "sample"
    print(
        f"recipe {recipe.name}, seed {args.seed}, {length} of {count(batch, noun)}, "
        f"device {device_name(args.device)}, {_processes(args)}{count(args.threads, 'thread')}"
    )
    if args.device != "cpu":
        print(f"  {chosen(args.device)}")
    print(f"  data {data.describe()}")
    for line in summary(game):
        print(wrapped(f"  {line}", 4))
    print(f"  run folder {args.out}", flush=True)


def draw_figure(name: str, title: str, trainer: Trainer, show: bool) -> dict[str, Any]:
    """Draw the figure for the form of the data, and print the scores.

    Args:
        name: of the file, in the run folder.
        title: of the figure; the step is added.
        trainer: after training.
        show: also open the figure in a window.

    Returns:
        {"figure": the file}
    """
    history = read_history(trainer.history.path)

    def draw(figure: Any) -> str:
        form, at = form_of(trainer.data), f"{title}, step {trainer.gan.step_count:,}"
        return form.draw(figure, at, trainer.gan, trainer.data, history)

    figure = plots.new_figure()
    print(draw(figure))
    file = trainer.out / name
    plots.save_figure(figure, file)
    if show:
        plots.show(draw)
    return {"figure": file}
