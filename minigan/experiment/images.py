"""Experiments on images: a named data set, grids of samples, and a film of the grids."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigan.data import Images, ImageSet, load_images
from minigan.data.images import to_pixels
from minigan.errors import DataError, DownloadError
from minigan.evaluation import pictures
from minigan.experiment.experiment import Experiment, Options
from minigan.experiment.recipe import AUTO, flag
from minigan.files import make_folder
from minigan.training import Trainer

SOURCES = (AUTO, "mnist", "fashion", "digits")
DATA = (
    "auto: MNIST from --data-dir or the cache, else by download, else (offline) scikit-learn's "
    "embedded 8 x 8 digits"
)
DATA_DIR = (
    "the four IDX files, gzipped or not, in DIR or in DIR/mnist or DIR/fashion (default: the "
    "environment variable MINIGAN_DATA_DIR, if set)"
)
GRID_SEED = 0  # the same noise for every grid, so that the same images change
SAMPLES = "samples"  # the folder of the grids, in the run folder


def data_flag() -> Any:
    """The field `data` of a recipe: the name of a set of images."""
    return flag(AUTO, str, DATA, choices=SOURCES)


def named_images(recipe: Any, options: Options) -> Images:
    """The training images of the set that a recipe names.

    A dry run of a new run does not download them: then they are black.

    Args:
        recipe: its field `data` is a name for `load_images`.
        options: of the experiment.
    """
    try:
        images = load_images(recipe.data, options.data_dir, download=not options.dry_run)
    except DownloadError:
        if options.resume or not options.dry_run:
            raise
        name = "mnist" if recipe.data == AUTO else recipe.data
        black, labels = np.broadcast_to(np.uint8(0), (60_000, 28, 28)), np.zeros(60_000, np.uint8)
        images = ImageSet(name, black, labels, black, labels, "a download that is still to come")
    if images.note:
        print(images.note)
    return Images.of(images, options.seed, options.device)


def name_found(recipe: Any, data: Images) -> Any:
    """The recipe with the name of the image set that was found."""
    return dataclasses.replace(recipe, data=data.dataset)


def draw_grid(trainer: Trainer) -> Path:
    """Draw 25 samples always from the same noise, as samples/epoch-NNNN.png in the run folder."""
    assert isinstance(trainer.data, Images)
    samples = trainer.gan.ops.to_host(trainer.gan.sample(25, seed=GRID_SEED))  # (25, h w)
    file = make_folder(trainer.out / SAMPLES) / f"epoch-{trainer.epoch:04}.png"
    pictures.save_png(pictures.grid(to_pixels(samples, trainer.data.shape), columns=5), file)
    return file


def draw_film(trainer: Trainer, title: str) -> Path:
    """Draw the grids of all epochs so far, as training.gif in the run folder."""
    files = {e: trainer.out / SAMPLES / f"epoch-{e:04}.png" for e in range(trainer.epoch + 1)}
    there = [(e, file) for e, file in files.items() if file.exists()]  # epochs may share a step
    frames = []
    for epoch, file in pictures.evenly(there):
        try:
            frames.append((f"{title}, epoch {epoch}", pictures.load_png(file)))
        except DataError as error:  # the film is drawn without it
            print(f"left out of the film: {error}", file=sys.stderr)
    film = trainer.out / "training.gif"
    pictures.save_film(frames, film)
    return film


def draw_last_grid_and_film(trainer: Trainer, recipe: Any) -> dict[str, Any]:
    """After training: the last grid again, as samples.png, and the film of all grids."""
    samples = trainer.out / "samples.png"
    pictures.save_png(pictures.load_png(draw_grid(trainer)), samples)
    film = draw_film(trainer, f"{recipe.data}, {recipe.name}")
    return {"samples": samples, "film": film, "score it": f"minigan score {trainer.out}"}


@dataclass(frozen=True)
class ImageExperiment(Experiment):
    """An `Experiment` on a named set of images; its recipe has the field `data_flag()`.

    After training it draws samples.png and training.gif.
    """

    data_dir: str = DATA_DIR
    files: Sequence[str] = (SAMPLES,)
    settle: Callable[[Any, Any], Any] | None = name_found
    finish: Callable[[Trainer, Any], dict[str, Any] | None] | None = draw_last_grid_and_film
