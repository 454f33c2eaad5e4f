"""A run is a folder. This file knows what lies in it and how to take a trained GAN out of it.

recipe.json                        what was asked for, and the model it makes (see description.py)
history.csv                        losses and measures, a row a print interval
checkpoint.safetensors             the whole state
checkpoint-previous.safetensors    the one before it, should the newest be damaged
best.safetensors                   the one with the best score, if the run is scored
checkpoint-damaged.safetensors     a newest one that had to be passed over
writer.json                        who is training it now (see lock.py)
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigan.backend import get_backend
from minigan.checks import number, whole
from minigan.config import rebuild
from minigan.errors import CheckpointError, ConfigError, DamagedError
from minigan.gan import Game, Loss
from minigan.training.checkpoint import Checkpoint, load_checkpoint
from minigan.training.description import RECIPE, read_recipe, require_same
from minigan.training.history import read_history
from minigan.training.lock import printable

log = logging.getLogger("minigan")

HISTORY, CHECKPOINT = "history.csv", "checkpoint.safetensors"
PREVIOUS, BEST = "checkpoint-previous.safetensors", "best.safetensors"
DAMAGED = "checkpoint-damaged.safetensors"  # one that was passed over, for whoever wants to look


@dataclass(frozen=True)
class Run:
    """A run folder, opened to sample from it or to score it; `Trainer.resume` trains on.

    Attributes:
        folder: the run folder.
        description: what recipe.json holds.
        gan: the GAN as the checkpoint has it.
        metadata: the rest of the checkpoint: "step", "rollbacks", "score" ...
    """

    folder: Path
    description: dict[str, Any]
    gan: Game
    metadata: dict[str, Any]

    @property
    def recipe(self) -> dict[str, Any]:
        """The experiment's settings; {} if the run has none."""
        recipe = self.description["recipe"]
        assert isinstance(recipe, dict)  # checked by read_recipe
        return recipe

    @property
    def data(self) -> dict[str, Any]:
        """The description of the data that the run was trained on."""
        data = self.description["data"]
        assert isinstance(data, dict)  # checked by read_recipe
        return data


def load_run(
    folder: Path | str, device: str = "cpu", best: bool = False, previous: bool = False
) -> Run:
    """Open a run folder at its checkpoint, without its data.

    Args:
        folder: the run folder.
        device: where to put the GAN.
        best: take the checkpoint with the best score instead of the newest.
        previous: take the checkpoint before the newest.

    Raises:
        CheckpointError: no run there, no checkpoint yet, or one that is damaged.
        ConfigError: both `best` and `previous`.
        DeviceError: no such device.
    """
    if best and previous:
        raise ConfigError("the best checkpoint and the previous one are two: choose one")
    folder = Path(folder)
    get_backend(device)  # a wrong device is no fault of the run's
    description = read_recipe(folder)
    if best:
        path, checkpoint = folder / BEST, load_checkpoint(folder / BEST)
    elif previous:
        path, checkpoint = folder / PREVIOUS, load_checkpoint(folder / PREVIOUS)
    else:
        path, checkpoint = read_checkpoint(folder)
    # Compared before anything is built, so that a recipe cannot ask for more than there is.
    require_same(folder, checkpoint, description, words=False)
    gan = build_gan(folder, description, device)
    restore(gan, path, checkpoint)
    return Run(folder, description, gan, checkpoint.metadata)


def build_gan(folder: Path, description: dict[str, Any], device: str) -> Game:
    """The untrained GAN that a description names; `CheckpointError` if it names none."""
    try:
        return Game.from_config(description["gan"], device)
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder / RECIPE} does not describe a run: {error}") from error


def read_checkpoint(folder: Path) -> tuple[Path, Checkpoint]:
    """The newest checkpoint of a run that is sound, and its path.

    If the newest one is missing or damaged, that is the previous one, and a warning says so.

    Raises:
        CheckpointError: there is none, or the newest cannot be read for another reason.
    """
    path, previous = folder / CHECKPOINT, folder / PREVIOUS
    try:
        return path, load_checkpoint(path)
    except CheckpointError as error:
        if not previous.exists() or not (isinstance(error, DamagedError) or not path.exists()):
            raise
        try:
            checkpoint = load_checkpoint(previous)
        except CheckpointError as worse:
            raise CheckpointError(f"{error}; and {worse}") from error
        step = printable(checkpoint.metadata.get("step"))
        log.warning("%s; going back to %s of step %s", error, previous.name, step)
        return previous, checkpoint


def best_score(folder: Path, description: dict[str, Any]) -> float:
    """The score of best.safetensors; infinity, with a warning, if it is not this run's."""
    try:
        checkpoint = load_checkpoint(folder / BEST)
        require_same(folder, checkpoint, description, words=False)
    except CheckpointError as error:
        log.warning("%s: %s; the next one that is scored will replace it", folder / BEST, error)
        return math.inf
    score = checkpoint.metadata.get("score")
    return score if isinstance(score, float) else math.inf


def restore(gan: Game, path: Path, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's state into a GAN; `CheckpointError` if it does not fit."""
    metadata = checkpoint.metadata
    try:
        loss: Loss = rebuild("loss", metadata["loss"]) if "loss" in metadata else gan.loss
        if loss != gan.loss:
            gan.check_loss(loss)
        if any(name.startswith("game/") for name in checkpoint.tensors) and not gan.batch:
            gan.bind(metadata["run"]["trainer"]["batch"])  # a game's own arrays are of its batch
        gan.load_state(checkpoint.tensors, metadata["counters"])
        if loss != gan.loss:
            gan.set_loss(loss)
    except CheckpointError:
        raise
    except ConfigError as error:
        raise CheckpointError(f"{path} has a loss that does not fit: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} has damaged metadata") from error


def rates_of(path: Path, metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """The learning rates that were set in a run; `CheckpointError` if they are damaged."""
    try:
        return [
            {
                "step": whole("step", one["step"], 0),
                "rate": str(one["rate"]),
                "lr": [number("lr", lr, at_least=0.0) for lr in (one["lr"][0], one["lr"][1])],
            }
            for one in metadata.get("rates", [])
        ]
    except (LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} has damaged metadata: its rates") from error


def require_free(out: Path | str, *more: str) -> None:
    """Raise `ConfigError` if a folder holds a run, or a part of one, or any of `more`.

    What a start leaves that was killed before there was a run is in nobody's way.
    """
    if _was_killed_at_its_start(Path(out)):
        return
    for name in (RECIPE, HISTORY, CHECKPOINT, PREVIOUS, BEST, *more):
        if (Path(out) / name).exists():
            whole = (Path(out) / RECIPE).exists()  # else there is nothing to resume
            holds = "a run" if whole else "a part of a run"
            advice = "resume it, or choose" if whole else "choose"
            raise ConfigError(f"{out} already holds {holds} ({name}); {advice} another folder")


def _was_killed_at_its_start(out: Path) -> bool:
    """Whether there is a run's first checkpoint, and nothing that comes after it."""
    if any((out / name).exists() for name in (RECIPE, PREVIOUS, BEST)):
        return False
    try:
        rows = read_history(out / HISTORY) if (out / HISTORY).exists() else []
        return not rows and "run" in load_checkpoint(out / CHECKPOINT).metadata
    except CheckpointError:
        return False
