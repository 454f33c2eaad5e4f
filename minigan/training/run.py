"""A run is a folder. This file knows what lies in it and how to take a trained GAN out of it.

recipe.json                        what was asked for, and the model it makes
history.csv                        losses and measures, a row a print interval
checkpoint.safetensors             the whole state
checkpoint-previous.safetensors    the one before it, should the newest be damaged
best.safetensors                   the one with the best score, if the run is scored
checkpoint-damaged.safetensors     a newest one that had to be passed over
writer.json                        who is training it now (see lock.py)
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from minigan.backend import get_backend
from minigan.config import rebuild
from minigan.errors import CheckpointError, ConfigError, DamagedError
from minigan.gan import Game, Loss
from minigan.training.checkpoint import Checkpoint, load_checkpoint
from minigan.training.history import read_history

log = logging.getLogger("minigan")

RECIPE, HISTORY, CHECKPOINT = "recipe.json", "history.csv", "checkpoint.safetensors"
PREVIOUS, BEST = "checkpoint-previous.safetensors", "best.safetensors"
DAMAGED = "checkpoint-damaged.safetensors"  # one that was passed over, for whoever wants to look
#: What of a description may change while the run stays what it is: words, intervals, and what
#: is done when it diverges.
CHANGEABLE = ("print_every", "checkpoint_every", "on_nan")
WORDS = ("recipe.", *(f"trainer.{name}" for name in CHANGEABLE))
Changes: TypeAlias = dict[str, tuple[Any, Any]]  # {"recipe.epochs": (30, 60)}


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
        step = checkpoint.metadata.get("step")
        log.warning("%s; going back to %s of step %s", error, previous.name, step)
        return previous, checkpoint


def require_same(
    folder: Path, checkpoint: Checkpoint, description: dict[str, Any], words: bool = True
) -> None:
    """Raise `CheckpointError` unless a checkpoint was written by the run that is described.

    Args:
        folder: the run folder.
        checkpoint: one of it.
        description: what its recipe.json holds. What `change` did since is no difference.
        words: whether what can change during a run (`WORDS`) must agree, too.
    """
    saved = checkpoint.metadata.get("run")
    if not isinstance(saved, dict):
        raise CheckpointError(f"the checkpoint in {folder} is not one of a run")
    saved = _in_todays_form(
        json.loads(json.dumps(saved))
    )  # a copy, in which known changes are made
    for field, values in description.get("changes", {}).items():
        part, _, key = field.partition(".")
        there = saved.get(part)
        if isinstance(there, dict) and there.get(key) in values:
            there[key] = values[-1]
    changed = {
        field: pair
        for field, pair in differences(saved, description).items()
        if field.split(".")[0] not in ("minigan", "changes")
        and (words or not field.startswith(WORDS))
    }
    if changed:
        told = "; ".join(f"{field} is {new}, was {old}" for field, (old, new) in changed.items())
        raise CheckpointError(
            f"{folder / RECIPE} is not what it was when the checkpoint was written: {told}"
        )


def differences(old: Any, new: Any, name: str = "") -> dict[str, tuple[str, str]]:
    """Where two JSON values differ: {"gan.noise.dim": ("1", "2"), ...}; "missing" is a value."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found: dict[str, tuple[str, str]] = {}
        for key in sorted({*old, *new}):
            inner = f"{name}.{key}" if name else str(key)
            found |= differences(old.get(key, _MISSING), new.get(key, _MISSING), inner)
        return found
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        found = {}
        for i, (mine, theirs) in enumerate(zip(old, new, strict=True)):
            found |= differences(mine, theirs, f"{name}[{i}]")
        return found
    if old == new and isinstance(old, bool) == isinstance(new, bool):
        return {}
    return {name: (_short(old), _short(new))}


_MISSING = object()


def _short(value: Any) -> str:
    if value is _MISSING:
        return "missing"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def change(description: dict[str, Any], changes: Mapping[str, Any]) -> Changes:
    """Apply the changes of `Trainer.resume` to a description, and say what they are.

    The description keeps them, as {"changes": {field: [every value it had]}}: so a checkpoint
    from before a change is known to be of the same run.
    """
    changed: Changes = {}
    for name, new in changes.items():
        part, _, key = name.rpartition(".")
        part = part or "trainer"
        there = description.get(part)
        if not (part == "recipe" or (part == "trainer" and key in CHANGEABLE)) or not (
            isinstance(there, dict) and key in there
        ):
            can = ", ".join(CHANGEABLE)
            raise ConfigError(f"{name!r} of this run cannot be changed, only recipe.* and {can}")
        old = there[key]
        if differences(old, new):
            changed[f"{part}.{key}"] = (old, new)
            log_of_field = description.setdefault("changes", {}).setdefault(f"{part}.{key}", [old])
            log_of_field.append(new)
            there[key] = new
    return changed


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


def read_recipe(out: Path | str) -> dict[str, Any]:
    """Read a run folder's recipe.json.

    Raises:
        CheckpointError: the folder or the file is missing, or it is no JSON object.
    """
    out = Path(out)
    try:
        if (out / RECIPE).exists() and not (out / RECIPE).is_file():
            raise ValueError("it is not a regular file")
        description = _in_todays_form(json.loads((out / RECIPE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise CheckpointError(f"{out} holds no run ({RECIPE} is missing)") from None
    except NotADirectoryError:
        raise CheckpointError(f"{out} is not a folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot read {out / RECIPE}: {error}") from error
    try:
        require_description(description)
    except ConfigError as error:
        raise CheckpointError(f"{out / RECIPE} does not describe a run: {error}") from None
    assert isinstance(description, dict)
    return description


#: By the game and the loss of an "objective", what is a class today.
LOSSES_OF_OLD: dict[tuple[Any, Any], dict[str, Any]] = {
    ("non_saturating", "bce"): {"loss": "NonSaturating", "probabilities": True},
    ("non_saturating", "bce_with_logits"): {"loss": "NonSaturating", "probabilities": False},
    ("minimax", "bce"): {"loss": "Minimax", "probabilities": True},
    ("minimax", "bce_with_logits"): {"loss": "Minimax", "probabilities": False},
    ("non_saturating", "mean_squared_error"): {"loss": "LeastSquares"},
}


def _in_todays_form(description: Any) -> Any:
    """A description in which version 0.1.0's "objective" is a loss, and every part has its type."""
    gan = description.get("gan") if isinstance(description, dict) else None
    if not isinstance(gan, dict) or not isinstance(gan.get("objective"), dict):
        return description
    loss = dict(gan["objective"])
    of = (loss.pop("game", "non_saturating"), loss.pop("loss", "bce_with_logits"))
    if of not in LOSSES_OF_OLD:
        raise CheckpointError(f"there is no loss {of[1]!r} in the game {of[0]!r} any more")
    loss |= LOSSES_OF_OLD[of]
    if loss["loss"] == "Minimax":
        loss.pop("generator_target", None)  # it was never read
    added = {"game": "GAN", "loss": loss, "penalty": None, "constraint": None, "fresh_real": False}
    networks = {
        role: {"network": "Sequential", **gan[role]}
        for role in ("generator", "discriminator")
        if isinstance(gan.get(role), dict)
    }
    kept = {name: value for name, value in gan.items() if name != "objective"}
    return {**description, "gan": {**kept, **added, **networks}}


def require_description(description: Any) -> None:
    """Raise `ConfigError` unless what others rely on is there, and of its kind."""
    try:
        _look_at(description)
    except (LookupError, TypeError, ValueError) as error:
        raise ConfigError(f"not a description of a run: {error}") from None


def _look_at(description: Any) -> None:
    for name in ("recipe", "gan", "data", "trainer"):
        if not isinstance(description[name], dict):
            raise TypeError(f"{name} is {_short(description[name])}")
    data, sizes = description["data"], [description["trainer"]["batch"]]
    dimensions = {"Samples": 2, "Images": 3}.get(str(data.get("data")))
    if dimensions is not None:
        shape = data["shape"]
        if not isinstance(shape, list) or len(shape) != dimensions:
            raise ValueError(f"data.shape is {_short(shape)}")
        sizes += shape
    for size in sizes:
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size < 2**31:
            raise ValueError(f"{_short(size)} is no size")
    changes = description.get("changes", {})
    if not isinstance(changes, dict):
        raise TypeError(f"changes are {_short(changes)}")
    for field, values in changes.items():
        if not field.startswith(WORDS) or not isinstance(values, list) or not values:
            raise ValueError(f"changes hold {field}: {_short(values)}")


def description_hash(description: dict[str, Any]) -> str:
    """SHA-256 of a description, by which two runs are known to be the same."""
    return hashlib.sha256(as_json(description)).hexdigest()


def as_json(value: dict[str, Any]) -> bytes:
    """A description as the bytes of a file; `ConfigError` if it is no plain JSON."""
    try:
        return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a recipe must be plain JSON: {error}") from None
