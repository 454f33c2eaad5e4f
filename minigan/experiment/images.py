"""Experiments on images: a named data set, grids of samples, and a film of the grids."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigan.command_line import natural
from minigan.data import Images, ImageSet, load_images
from minigan.errors import DataError, DownloadError
from minigan.evaluation import pictures, plots
from minigan.evaluation.grids import grid_of
from minigan.experiment.experiment import Experiment, Options
from minigan.experiment.recipe import AUTO, flag, goal_of
from minigan.files import make_folder
from minigan.training import Trainer, read_history

SOURCES = (AUTO, "mnist", "fashion", "digits")
DATA = (
    "auto: MNIST from --data-dir if it is given, else from the cache or by download, else "
    "(offline) scikit-learn's embedded 8 x 8 digits"
)
DATA_DIR = (
    "the four IDX files, gzipped or not, in DIR, in DIR/mnist or DIR/fashion, or in a folder raw "
    "of these (default: the environment variable MINIGAN_DATA_DIR, if set)"
)
MNIST_SIZE = 60_000  # images to train on
CURVES = (7.0, 4.5)  # inches
SAMPLES = "samples"  # the folder of the grids, in the run folder


def data_flag() -> Any:
    """The field `data` of a recipe: the name of a set of images."""
    return flag(AUTO, str, DATA, choices=SOURCES)


@dataclass(frozen=True)
class Epochs:
    """Reads a number of epochs from the command line, or "auto"; see `epochs_flag`."""

    epochs: int
    steps: int

    def __call__(self, text: str) -> str | int:
        return text if text == AUTO else natural(text)


def epochs_flag(epochs: int = 30, *, steps: int = 6000, batches: str = "steps") -> Any:
    """The field `epochs` of a recipe, which `epochs_of` reads.

    Args:
        epochs: what "auto" stands for.
        steps: the least number of steps of "auto": if `epochs` are fewer, it trains for more.
        batches: what takes a batch of real images, and is counted here, if it is not a step.
    """
    least = f"{AUTO}: {epochs}, or more if these are fewer than {steps:,} {batches}"
    help = f"passes over the data; {least}; 0 writes an untrained run"
    return flag(AUTO, Epochs(epochs, steps), help)


def epochs_of(recipe: Any, size: int) -> int:
    """How many epochs of `size` images a recipe trains for.

    A small set needs more of them: one epoch of scikit-learn's digits is only 14 steps.
    """
    if recipe.epochs != AUTO:
        return int(recipe.epochs)
    fields = {field.name: field for field in dataclasses.fields(recipe)}
    auto: Epochs = fields["epochs"].metadata["type"]
    least: int = math.ceil(auto.steps * recipe.batch / size)
    return max(auto.epochs, least)


def named_images(recipe: Any, options: Options, *, labelled: bool = False) -> Images:
    """The training images of the set that a recipe names.

    A dry run of a new run does not download them: then they are black.

    Args:
        recipe: its field `data` is a name for `load_images`.
        options: of the experiment.
        labelled: with the labels of the images, for a game that takes them.
    """
    try:
        images = load_images(recipe.data, options.data_dir, download=not options.dry_run)
    except DownloadError:
        if options.resume or not options.dry_run:
            raise
        name = "mnist" if recipe.data == AUTO else recipe.data
        black = np.broadcast_to(np.uint8(0), (MNIST_SIZE, 28, 28))
        labels = (np.arange(MNIST_SIZE) % 10).astype(np.uint8)
        images = ImageSet(name, black, labels, black, labels, "a download that is still to come")
    if images.note:
        print(images.note)
    given = {"labels": images.train_labels} if labelled else {}
    return Images.of(images, options.seed, device=options.device, **given)


def settled(recipe: Any, data: Images) -> Any:
    """The recipe with the name of the image set that was found, and a number of epochs."""
    changes: dict[str, Any] = {"data": data.dataset}
    if goal_of(recipe) == "epochs":
        changes["epochs"] = epochs_of(recipe, data.size)
    return dataclasses.replace(recipe, **changes)


def draw_grid(trainer: Trainer) -> Path:
    """Draw samples always from the same noise, as samples/epoch-NNNN.png in the run folder.

    With classes each row is a class, otherwise there are 25 samples.
    """
    assert isinstance(trainer.data, Images)
    file = make_folder(trainer.out / SAMPLES) / f"epoch-{trainer.epoch:04}.png"
    pictures.save_png(grid_of(trainer.gan, trainer.data.shape), file)
    return file


def draw_grids(trainer: Trainer, recipe: Any) -> None:
    """Draw a grid at the beginning, and after every row of the history."""
    if trainer.gan.step_count == 0:
        draw_grid(trainer)
    trainer.every(1, "row", draw_grid)


def draw_film(trainer: Trainer, title: str) -> Path:
    """Draw the grids of all epochs so far, as training.gif in the run folder."""
    files = (trainer.out / SAMPLES).glob("epoch-*.png")  # not of every epoch: some share a step
    named = [(file.stem.removeprefix("epoch-"), file) for file in files]
    there = sorted((int(number), file) for number, file in named if number.isdecimal())
    frames: list[tuple[str, Any]] = []
    for epoch, file in pictures.evenly([one for one in there if one[0] <= trainer.epoch]):
        try:
            picture = pictures.load_png(file)
            if frames and picture.shape != frames[0][1].shape:
                raise DataError(f"{file} has another size than the picture before it")
            frames.append((f"{title}, epoch {epoch}", picture))
        except DataError as error:  # the film is drawn without it
            print(f"left out of the film: {error}", file=sys.stderr)
    film = trainer.out / "training.gif"
    pictures.save_film(frames, film)
    return film


@plots.style()
def draw_curves(trainer: Trainer) -> dict[str, Path]:
    """Draw the columns of the loss and of the penalty, as curves.png in the run folder.

    Returns:
        {"curves": the file}, or nothing if neither has columns: most losses have none.
    """
    game = trainer.gan
    names = [*game.loss.columns, *(game.penalty.columns if game.penalty else ())]
    if not names:
        return {}
    figure, file = plots.new_figure(CURVES), trainer.out / "curves.png"
    plots.draw_losses(figure.subplots(), read_history(trainer.history.path), names, None)
    plots.save_figure(figure, file)
    return {"curves": file}


def draw_last(trainer: Trainer, recipe: Any) -> dict[str, Any]:
    """After training: the last grid again, as samples.png, the film of all grids, the curves."""
    samples = trainer.out / "samples.png"
    pictures.save_png(pictures.load_png(draw_grid(trainer)), samples)
    film = draw_film(trainer, f"{recipe.data}, {recipe.name}")
    made = {"samples": samples, "film": film, **draw_curves(trainer)}
    return {**made, "score it": f"minigan score {trainer.out}"}


@dataclass(frozen=True)
class ImageExperiment(Experiment):
    """An `Experiment` on a named set of images; its recipe has the field `data_flag()`.

    It draws a grid of samples with every row of the history, and samples.png and training.gif after
    training; also curves.png, if the loss or the penalty has columns of its own.
    """

    data_dir: str = DATA_DIR
    files: Sequence[str] = (SAMPLES,)
    settle: Callable[[Any, Any], Any] | None = settled
    watch: Callable[[Trainer, Any], None] | None = draw_grids
    finish: Callable[[Trainer, Any], dict[str, Any] | None] | None = draw_last
