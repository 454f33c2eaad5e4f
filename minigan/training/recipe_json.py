"""recipe.json: what a run is.

    {"minigan": version, "recipe": {...}, "gan": {...}, "data": {...}, "trainer": {...},
     "changes": {...}}

"recipe" holds the experiment's settings. "gan" and "data" are the definitions that the experiment
built from them. They let commands open the run without the experiment, and they show whether the
recipe still builds the same. "changes" records what was changed since.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from minigan.config import require_readable, require_registered
from minigan.data import DataSource
from minigan.data.source import data_shape, require_complete
from minigan.errors import UNEXPECTED, CheckpointError, ConfigError
from minigan.files import as_path
from minigan.gan import Game
from minigan.reading import parse_json, read_json
from minigan.text import count
from minigan.training.checkpoint import Checkpoint

RECIPE = "recipe.json"
MAX_BYTES = 16 << 20  # of a recipe.json; the checkpoint's copy of it has at most a quarter of that
#: The trainer's settings that may change while the run stays the same run.
CHANGEABLE = ("print_every", "checkpoint_every", "on_nan")
#: What the names of all fields that may change begin with.
MAY_CHANGE = ("recipe.", *(f"trainer.{name}" for name in CHANGEABLE))
Changes: TypeAlias = dict[str, tuple[Any, Any]]  # {"recipe.epochs": (30, 60)}
_MISSING = object()


def read_recipe(out: Path | str) -> dict[str, Any]:
    """Read a run folder's recipe.json.

    Raises:
        CheckpointError: the folder or the file is missing, or does not describe a run.
    """
    out = as_path(out)
    file = out / RECIPE
    try:
        description = read_json(file, MAX_BYTES)
    except FileNotFoundError:
        raise CheckpointError(f"{out} holds no run ({RECIPE} is missing)") from None
    except NotADirectoryError:
        raise CheckpointError(f"{out} is not a folder") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {file}: {error}") from error
    try:
        _check(description)
    except UNEXPECTED as error:
        raise not_a_run(out, error) from None
    assert isinstance(description, dict)
    return description


def not_a_run(out: Path, error: object) -> CheckpointError:
    """The error for a recipe.json that does not define a run."""
    return CheckpointError(f"{out / RECIPE} does not describe a run: {error}")


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
    """Raise `ConfigError` unless the parts that other code relies on exist and have their types."""
    try:
        _check(description)
    except UNEXPECTED as error:
        raise ConfigError(f"not a description of a run: {error}") from None


def _check(description: Any) -> None:
    for name in ("recipe", "gan", "data", "trainer"):
        if not isinstance(description[name], dict):
            raise TypeError(f"{name} is {_short(description[name])}")
    settings = [description["trainer"][name] for name in ("batch", "unit", *CHANGEABLE)]
    data = description["data"]
    try:
        shape = data_shape(data)
    except UNEXPECTED:
        raise ValueError(f"data.shape is {_short(data.get('shape', _MISSING))}") from None
    for size in (settings[0], *shape):
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size < 2**31:
            raise ValueError(f"{_short(size)} is not a size")
    changes = description.get("changes", {})
    if not isinstance(changes, dict):
        raise TypeError(f"changes are {_short(changes)}")
    for field, values in changes.items():
        if not field.startswith(MAY_CHANGE) or not isinstance(values, list) or not values:
            raise ValueError(f"changes hold {field}: {_short(values)}")


def require_same(
    folder: Path, checkpoint: Checkpoint, description: dict[str, Any], *, all_fields: bool = True
) -> None:
    """Raise `CheckpointError` unless a checkpoint was written by the run that is described.

    Args:
        folder: the run folder.
        checkpoint: one of its checkpoints.
        description: the content of its recipe.json. Changes that it records are no difference.
        all_fields: whether the fields that may change during a run must agree, too.
    """
    saved = checkpoint.metadata.get("run")
    if not isinstance(saved, dict):
        raise CheckpointError(f"the checkpoint in {folder} is not one of a run")
    saved = json.loads(json.dumps(saved))  # a copy, which gets the recorded changes
    for field, values in description.get("changes", {}).items():
        part, _, key = field.partition(".")
        there = saved.get(part)
        if isinstance(there, dict) and there.get(key) in values:
            there[key] = values[-1]
    changed = {
        field: pair
        for field, pair in differences(saved, description).items()
        if field.split(".")[0] not in ("minigan", "changes")
        and (all_fields or not field.startswith(MAY_CHANGE))
    }
    if changed:
        raise CheckpointError(
            f"{folder / RECIPE} is not what it was when the checkpoint was written: "
            + listed(changed)
        )


def require_same_parts(description: dict[str, Any], gan: Game, data: DataSource) -> None:
    """Raise `ConfigError` if the game or the data are not what the description says."""
    saved = json.loads(as_json({part: description[part] for part in ("gan", "data")}))
    now = json.loads(as_json({"gan": gan.to_config(), "data": data.to_config()}))
    for config in (saved["gan"], now["gan"]):  # the loss and the learning rates are state
        config.pop("loss", None)  # a game may choose these itself, and not have them
        for role in gan.optimizers:
            config.get(f"{role}_optimizer", {}).pop("lr", None)
    if saved != now:
        changed = listed(differences(saved, now))
        raise ConfigError(f"this run is not what it was when it started: {changed}")


def differences(old: Any, new: Any, *, name: str = "") -> dict[str, tuple[str, str]]:
    """Where two JSON values differ: {"gan.noise.dim": ("1", "2"), ...}; "missing" is a value."""
    pairs: list[tuple[str, Any, Any]]
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        pairs = [
            (f"{name}.{key}" if name else str(key), old.get(key, _MISSING), new.get(key, _MISSING))
            for key in sorted({*old, *new})
        ]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(f"{name}[{i}]", old[i], new[i]) for i in range(len(old))]
    elif old == new and isinstance(old, bool) == isinstance(new, bool):
        return {}
    else:
        return {name: (_short(old), _short(new))}
    found: dict[str, tuple[str, str]] = {}
    for inner, one, other in pairs:
        found |= differences(one, other, name=inner)
    return found


def listed(changed: Mapping[str, tuple[str, str]]) -> str:
    """The result of `differences` as text: "gan.noise.dim is 2, was 1; ..."."""
    pairs = changed.items()
    return "; ".join(f"{field} is {new}, was {old}" for field, (old, new) in pairs)


def _short(value: Any) -> str:
    if value is _MISSING:
        return "missing"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def change(
    description: dict[str, Any], changes: Mapping[str, Any], others: Sequence[str] = ()
) -> Changes:
    """Apply the changes of `Trainer.change` to a description; returns {field: (old, new)}.

    The description records them as {"changes": {field: [every value it had]}}, so that a
    checkpoint written before a change is recognised as one of the same run.

    Args:
        description: the content of recipe.json; changed in place.
        changes: {name: new value}.
        others: what else can be changed, for the error.

    Raises:
        ConfigError: a name that cannot be changed.
    """
    changed: Changes = {}
    for name, new in changes.items():
        part, _, key = name.rpartition(".")
        field = f"{part or 'trainer'}.{key}"
        there = description.get(part or "trainer")
        known = field.startswith("recipe.") or field in MAY_CHANGE
        if not known or not isinstance(there, dict) or key not in there:
            can = ", ".join([*CHANGEABLE, *others])
            raise ConfigError(f"{name!r} of this run cannot be changed, only recipe.* and {can}")
        old = there[key]
        if differences(old, new):
            changed[field] = (old, new)
            description.setdefault("changes", {}).setdefault(field, [old]).append(new)
            there[key] = new
    return changed


def as_json(value: dict[str, Any]) -> bytes:
    """A description as the bytes of a file; `ConfigError` if it is not JSON that is read again."""
    try:
        text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"
        parse_json(text)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"a recipe must be plain JSON: {error}") from None
