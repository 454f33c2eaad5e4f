"""recipe.json: what a run is, and what may differ between two looks at it.

    {"minigan": version, "recipe": {...}, "gan": {...}, "data": {...}, "trainer": {...},
     "changes": {...}}

The recipe is the experiment's settings, from which it builds the rest. "gan" and "data" are the
definitions that were built: a check that the same recipe still builds the same, and all that a
command needs that knows nothing of the experiment. "changes" is a record of what was changed since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from minigan.config import CLASSES, require_readable, require_registered
from minigan.data import DataSource
from minigan.data.source import require_complete
from minigan.errors import CheckpointError, ConfigError
from minigan.gan import Game
from minigan.text import count
from minigan.training.checkpoint import Checkpoint

RECIPE = "recipe.json"
#: What of a description may change while the run stays what it is: words, intervals, and what
#: is done when it diverges.
CHANGEABLE = ("print_every", "checkpoint_every", "on_nan")
WORDS = ("recipe.", *(f"trainer.{name}" for name in CHANGEABLE))
Changes: TypeAlias = dict[str, tuple[Any, Any]]  # {"recipe.epochs": (30, 60)}


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


def require_startable(gan: Game, data: DataSource) -> None:
    """Raise `ConfigError` unless a game is untrained, and it and its data can be read back."""
    if gan.step_count:
        raise ConfigError(
            f"this GAN has taken {count(gan.step_count, 'step')} already: resume its run by "
            "Trainer.resume, or begin with an untrained one: GAN.from_config(gan.to_config())"
        )
    gan.require_readable()
    require_complete(data)
    if data.is_given:
        require_registered(data)
    else:
        require_readable(data, "cpu")


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
    source = CLASSES["data"].get(str(data.get("data")))
    if source is not None and issubclass(source, DataSource):
        try:
            sizes += source.shape_of(data)
        except (LookupError, TypeError, ValueError):
            raise ValueError(f"data.shape is {_short(data.get('shape', _MISSING))}") from None
    for size in sizes:
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size < 2**31:
            raise ValueError(f"{_short(size)} is no size")
    changes = description.get("changes", {})
    if not isinstance(changes, dict):
        raise TypeError(f"changes are {_short(changes)}")
    for field, values in changes.items():
        if not field.startswith(WORDS) or not isinstance(values, list) or not values:
            raise ValueError(f"changes hold {field}: {_short(values)}")


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
        raise CheckpointError(
            f"{folder / RECIPE} is not what it was when the checkpoint was written: "
            + listed(changed)
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


def listed(changed: Mapping[str, tuple[str, str]]) -> str:
    """What `differences` found, in words: "gan.noise.dim is 2, was 1; ..."."""
    return "; ".join(f"{field} is {new}, was {old}" for field, (old, new) in changed.items())


_MISSING = object()


def _short(value: Any) -> str:
    if value is _MISSING:
        return "missing"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def change(
    description: dict[str, Any], changes: Mapping[str, Any], others: Sequence[str] = ()
) -> Changes:
    """Apply the changes of `Trainer.change` to a description, and say what they are.

    The description keeps them, as {"changes": {field: [every value it had]}}: so a checkpoint
    from before a change is known to be of the same run.

    Args:
        description: what recipe.json holds; changed in place.
        changes: {name: new value}.
        others: what else can be changed, for the error.

    Raises:
        ConfigError: a name that cannot be changed.
    """
    changed: Changes = {}
    for name, new in changes.items():
        part, _, key = name.rpartition(".")
        part = part or "trainer"
        there = description.get(part)
        if not (part == "recipe" or (part == "trainer" and key in CHANGEABLE)) or not (
            isinstance(there, dict) and key in there
        ):
            can = ", ".join([*CHANGEABLE, *others])
            raise ConfigError(f"{name!r} of this run cannot be changed, only recipe.* and {can}")
        old = there[key]
        if differences(old, new):
            changed[f"{part}.{key}"] = (old, new)
            log_of_field = description.setdefault("changes", {}).setdefault(f"{part}.{key}", [old])
            log_of_field.append(new)
            there[key] = new
    return changed


#: By the game and the loss of an "objective", what is a class today; None: was never read.
LOSSES_OF_OLD: dict[tuple[Any, Any], dict[str, Any]] = {
    ("non_saturating", "bce"): {"loss": "NonSaturating", "probabilities": True},
    ("non_saturating", "bce_with_logits"): {"loss": "NonSaturating", "probabilities": False},
    ("minimax", "bce"): {
        "loss": "Minimax",
        "probabilities": True,
        "generator_target": None,
    },
    ("minimax", "bce_with_logits"): {
        "loss": "Minimax",
        "probabilities": False,
        "generator_target": None,
    },
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
    loss = {name: value for name, value in loss.items() if value is not None}
    added = {"game": "GAN", "loss": loss, "penalty": None, "constraint": None, "fresh_real": False}
    networks = {
        role: {"network": "Sequential", **gan[role]}
        for role in ("generator", "discriminator")
        if isinstance(gan.get(role), dict)
    }
    kept = {name: value for name, value in gan.items() if name != "objective"}
    return {**description, "gan": {**kept, **added, **networks}}


def description_hash(description: dict[str, Any]) -> str:
    """SHA-256 of a description, by which two runs are known to be the same."""
    return hashlib.sha256(as_json(description)).hexdigest()


def as_json(value: dict[str, Any]) -> bytes:
    """A description as the bytes of a file; `ConfigError` if it is no plain JSON."""
    try:
        return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a recipe must be plain JSON: {error}") from None
