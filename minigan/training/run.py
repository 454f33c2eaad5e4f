"""Opening a run: `load_run` to use its GAN, `read_run` to train on."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from minigan.backend import get_backend
from minigan.checks import flag, number, whole
from minigan.config import rebuild
from minigan.data import DataSource
from minigan.data.source import data_shape, described
from minigan.errors import UNEXPECTED, CheckpointError, ConfigError, DamagedError, ShapeError
from minigan.files import as_path
from minigan.gan import Game, Loss
from minigan.nn import Layer
from minigan.text import times
from minigan.training.checkpoint import Checkpoint, load_checkpoint
from minigan.training.lock import require_unlocked
from minigan.training.recipe_json import (
    RECIPE,
    as_json,
    differences,
    listed,
    not_a_run,
    read_recipe,
    require_same,
)
from minigan.training.run_folder import BEST, CHECKPOINT, PREVIOUS, Signature, signature

log = logging.getLogger("minigan")


@dataclass(frozen=True)
class Run:
    """A run folder, opened to sample from it or to score it; `Trainer.resume` trains on.

    Attributes:
        folder: the run folder.
        description: the content of recipe.json.
        gan: the GAN with the state of the checkpoint.
        metadata: the rest of the checkpoint: "step", "rollbacks", "score" ...
    """

    folder: Path
    description: dict[str, Any]
    gan: Game
    metadata: dict[str, Any]

    @property
    def recipe(self) -> dict[str, Any]:
        """The experiment's settings; {} if the run has none."""
        recipe: dict[str, Any] = self.description["recipe"]
        return recipe

    @property
    def data(self) -> dict[str, Any]:
        """The description of the data that the run was trained on."""
        data: dict[str, Any] = self.description["data"]
        return data


def load_run(
    folder: Path | str, *, device: str = "cpu", best: bool = False, previous: bool = False
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
    best, previous = flag("load_run: best", best), flag("load_run: previous", previous)
    if best and previous:
        raise ConfigError("the best checkpoint and the previous one are two: choose one")
    folder = as_path(folder)
    get_backend(device)  # an unusable device is reported before anything else
    description = read_recipe(folder)
    if best or previous:
        path = folder / (BEST if best else PREVIOUS)
        checkpoint = load_checkpoint(path)
    else:
        path, checkpoint = read_checkpoint(folder)
    # Before anything is built: a recipe changed by hand could describe enormous networks.
    require_same(folder, checkpoint, description, all_fields=False)
    require_parameters(folder, description, checkpoint)
    gan = build_gan(folder, description, device)
    restore(gan, path, checkpoint)
    return Run(folder, description, gan, checkpoint.metadata)


def require_parameters(folder: Path, description: dict[str, Any], checkpoint: Checkpoint) -> None:
    """Raise `CheckpointError` unless a checkpoint has the parameters that a description defines.

    So the networks that are built next are no larger than the file is.
    """
    for role, network in description["gan"].items():
        if not isinstance(network, dict) or not isinstance(network.get("layers"), list):
            continue
        members = network.get("seed")
        population = (len(members),) if isinstance(members, list) else ()
        for i, config in enumerate(network["layers"]):
            try:
                layer: Layer = rebuild("layer", config)
            except ConfigError as error:
                raise not_a_run(folder, error) from error
            for name, shape in layer.parameter_shapes().items():
                tensor = checkpoint.tensors.get(f"{role}/{i}.{name}")
                if tensor is None or tensor.shape != (*population, *shape):
                    raise CheckpointError(
                        f"the checkpoint in {folder} has no {times(shape)} {name} of layer {i} "
                        f"of the {role}, as {RECIPE} describes it"
                    )


def build_gan(folder: Path, description: dict[str, Any], device: str) -> Game:
    """The untrained GAN that a description defines; `CheckpointError` if it defines none."""
    try:
        gan = Game.from_config(description["gan"], device=device)
        shape, features = data_shape(description["data"]), gan.generator.out_features
        if shape and math.prod(shape[1:]) != features:
            raise ShapeError(
                f"its data are {times(shape)}; its generator makes {features} features"
            )
    except UNEXPECTED as error:
        raise not_a_run(folder, error) from error
    return gan


def read_checkpoint(folder: Path) -> tuple[Path, Checkpoint]:
    """The newest undamaged checkpoint of a run, and its path.

    If the newest one is missing or damaged, this is the previous one, and a warning says so.

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
        step = checkpoint.metadata.get("step")
        log.warning("%s; going back to %s of step %s", error, previous.name, step)
        return previous, checkpoint


def best_score(folder: Path, description: dict[str, Any]) -> float:
    """The score of best.safetensors; infinity, with a warning, if it is not from this run."""
    try:
        checkpoint = load_checkpoint(folder / BEST)
        require_same(folder, checkpoint, description, all_fields=False)
    except CheckpointError as error:
        log.warning("%s: %s; the next one that is scored will replace it", folder / BEST, error)
        return math.inf
    score = checkpoint.metadata.get("score")
    return score if isinstance(score, float) else math.inf


def restore(gan: Game, path: Path, checkpoint: Checkpoint) -> None:
    """Give a GAN the state of a checkpoint; `CheckpointError` if it does not fit."""
    metadata = checkpoint.metadata
    try:
        loss: Loss = rebuild("loss", metadata["loss"])
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
    except UNEXPECTED as error:
        raise CheckpointError(f"{path} has damaged metadata") from error


def rates_of(path: Path, metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """The learning rates that were set during a run; `CheckpointError` if they are damaged."""
    try:
        return [
            {
                "step": whole("step", one["step"], 0),
                "rate": str(one["rate"]),
                "lr": [number("lr", lr, at_least=0.0) for lr in (one["lr"][0], one["lr"][1])],
            }
            for one in metadata.get("rates", [])
        ]
    except UNEXPECTED as error:
        raise CheckpointError(f"{path} has damaged metadata: its rates") from error


class RunFiles(NamedTuple):
    """What `read_run` read."""

    out: Path
    description: dict[str, Any]  # the content of recipe.json
    path: Path  # of the newest undamaged checkpoint
    checkpoint: Checkpoint
    seen: Signature  # of the folder's checkpoint


def read_run(out: Path | str) -> RunFiles:
    """Read a run that is to continue, before anything is built: recipe.json may have been edited.

    Raises:
        CheckpointError: no run there, or recipe.json and the checkpoint disagree; the error
            names the fields.
        BusyError: another process is writing the folder.
    """
    out = as_path(out)
    description = read_recipe(out)
    require_unlocked(out)
    seen = signature(out / CHECKPOINT)  # first: another process may write the checkpoint meanwhile
    path, checkpoint = read_checkpoint(out)
    require_same(out, checkpoint, description)
    require_parameters(out, description, checkpoint)
    return RunFiles(out, description, path, checkpoint, seen)


def same_game(out: Path, description: dict[str, Any], gan: Game | None, device: str) -> Game:
    """The run's game: rebuilt from its definition, or `gan` if it has the same definition.

    Raises:
        CheckpointError: it has another one, or the run's cannot be rebuilt.
        ConfigError: it is not a game.
    """
    if gan is None:
        return build_gan(out, description, device)
    if not isinstance(gan, Game):
        raise ConfigError(f"resume takes a GAN, not {gan!r}")
    changed = differences(description["gan"], json.loads(as_json(gan.to_config())), name="gan")
    if changed:
        raise CheckpointError(
            f"{out} was trained with another GAN than is built now: {listed(changed)}"
        )
    return gan


def same_data(out: Path, saved: dict[str, Any], data: DataSource | None, device: str) -> DataSource:
    """The run's data source: rebuilt from its description, or `data` if it is the same.

    Raises:
        CheckpointError: the run's cannot be rebuilt.
        ConfigError: it must be given, or `data` is another one.
    """
    if data is None:
        try:
            source: DataSource = rebuild("data", saved, device)
            return source
        except ConfigError as error:
            kind, _ = described(saved)
            if kind is not None and kind.is_given:
                raise ConfigError(
                    f"{out} was trained on {kind.__name__}; pass them: resume(..., data=...)"
                ) from None
            raise not_a_run(out, error) from error
    if not isinstance(data, DataSource):
        raise ConfigError("resume takes a data source; wrap an array: mg.Samples(X)")
    theirs = data.to_config()
    fields = [key for key in {**saved, **theirs} if saved.get(key) != theirs.get(key)]
    if fields:
        raise ConfigError(f"{out} was trained on other data: {', '.join(fields)} differ")
    return data
