"""A run is a folder. This file knows what lies in it and how to take a trained GAN out of it.

recipe.json               what was asked for, and the model it makes
history.csv               losses and sample statistics, a row a print interval
checkpoint.safetensors    the whole state
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigan.backend import get_backend
from minigan.errors import CheckpointError, ConfigError
from minigan.gan import GAN
from minigan.training.checkpoint import Checkpoint, load_checkpoint

RECIPE, HISTORY, CHECKPOINT = "recipe.json", "history.csv", "checkpoint.safetensors"


@dataclass(frozen=True)
class Run:
    """A run folder, opened to sample from it or to score it; `Trainer.resume` trains on.

    Attributes:
        folder: the run folder.
        description: what recipe.json holds.
        gan: the GAN as the checkpoint has it.
    """

    folder: Path
    description: dict[str, Any]
    gan: GAN

    @property
    def recipe(self) -> dict[str, Any]:
        """The experiment's settings; {} if the run has none."""
        recipe = self.description.get("recipe")
        return recipe if isinstance(recipe, dict) else {}

    @property
    def data(self) -> dict[str, Any]:
        """The description of the data that the run was trained on."""
        data = self.description["data"]
        assert isinstance(data, dict)  # checked by load_run
        return data


def load_run(folder: Path | str, device: str = "cpu") -> Run:
    """Open a run folder at its checkpoint, without its data.

    Raises:
        CheckpointError: no run there, no checkpoint yet, or one that is damaged.
        DeviceError: no such device.
    """
    folder = Path(folder)
    get_backend(device)  # a wrong device is no fault of the run's
    description = read_recipe(folder)
    gan = build_gan(folder, description, device)
    restore(gan, folder, read_checkpoint(folder, description))
    return Run(folder, description, gan)


def build_gan(folder: Path, description: dict[str, Any], device: str) -> GAN:
    """The untrained GAN that a description names; `CheckpointError` if it names none."""
    try:
        if not isinstance(description["data"], dict):
            raise TypeError("its data are no description")
        return GAN.from_config(description["gan"], device)
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder / RECIPE} does not describe a run: {error}") from error


def read_checkpoint(folder: Path, description: dict[str, Any]) -> Checkpoint:
    """Read a run's checkpoint; `CheckpointError` unless it belongs to the description."""
    try:
        batch = description["trainer"]["batch"]
        model = model_hash(description["gan"], description["data"], batch)
    except (LookupError, TypeError) as error:
        raise CheckpointError(f"{folder / RECIPE} does not describe a run: {error}") from error
    checkpoint = load_checkpoint(folder / CHECKPOINT)
    if checkpoint.metadata.get("model") != model:
        raise CheckpointError(f"the checkpoint in {folder} belongs to another recipe")
    return checkpoint


def restore(gan: GAN, folder: Path, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's state into a GAN; `CheckpointError` if it does not fit."""
    try:
        gan.load_state(checkpoint.tensors, checkpoint.metadata["counters"])
    except CheckpointError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder / CHECKPOINT} has damaged metadata") from error


def require_free(out: Path | str, *more: str) -> None:
    """Raise `ConfigError` if a folder holds a run, or a part of one, or any of `more`."""
    for name in (RECIPE, HISTORY, CHECKPOINT, *more):
        if (Path(out) / name).exists():
            whole = (Path(out) / RECIPE).exists()  # else there is nothing to resume
            holds = "a run" if whole else "a part of a run"
            advice = "resume it, or choose" if whole else "choose"
            raise ConfigError(f"{out} already holds {holds} ({name}); {advice} another folder")


def read_recipe(out: Path | str) -> dict[str, Any]:
    """Read a run folder's recipe.json.

    Raises:
        CheckpointError: the folder or the file is missing, or it is no JSON object.
    """
    out = Path(out)
    try:
        description = json.loads((out / RECIPE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{out} holds no run ({RECIPE} is missing)") from None
    except NotADirectoryError:
        raise CheckpointError(f"{out} is not a folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot read {out / RECIPE}: {error}") from error
    if not isinstance(description, dict):
        raise CheckpointError(f"{out / RECIPE} does not describe a run")
    return description


def model_hash(gan: dict[str, Any], data: dict[str, Any], batch: int) -> str:
    """SHA-256 of what a checkpoint belongs to: model, data and batch.

    A learning rate changed later is state, not recipe.
    """
    return hashlib.sha256(as_json({"gan": gan, "data": data, "batch": batch})).hexdigest()


def as_json(value: dict[str, Any]) -> bytes:
    """A description as the bytes of a file; `ConfigError` if it is no plain JSON."""
    try:
        return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a recipe must be plain JSON: {error}") from None
