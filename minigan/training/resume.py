"""Going on with a run: its parts are made again, compared, and given the checkpoint's state."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from minigan.config import CLASSES, rebuild
from minigan.data import DataSource
from minigan.errors import CheckpointError, ConfigError
from minigan.gan import Game
from minigan.training.checkpoint import Checkpoint
from minigan.training.description import (
    RECIPE,
    as_json,
    differences,
    listed,
    read_recipe,
    require_same,
)
from minigan.training.folder import signature
from minigan.training.keeper import Keeper
from minigan.training.lock import require_unlocked
from minigan.training.run import BEST, best_score, build_gan, read_checkpoint

AnyKeeper = TypeVar("AnyKeeper", bound=Keeper)


@dataclass(frozen=True)
class OpenedRun:
    """The files of a run, read and compared.

    Attributes:
        out: the run folder.
        description: of recipe.json.
        path, checkpoint: the newest checkpoint that is sound.
        seen: what tells it from another one that is written meanwhile.
    """

    out: Path
    description: dict[str, Any]
    path: Path
    checkpoint: Checkpoint
    seen: tuple[int, int, int] | None


def open_run(out: Path) -> OpenedRun:
    """Read a run that shall go on.

    Raises:
        CheckpointError: no run there, or not as its checkpoint says; the fields are named.
        BusyError: another process is writing the folder.
    """
    description = read_recipe(out)
    require_unlocked(out)
    seen = signature(out)  # before it is read: a writer may come in between
    path, checkpoint = read_checkpoint(out)
    require_same(out, checkpoint, description)
    return OpenedRun(out, description, path, checkpoint, seen)


def resume(
    cls: type[AnyKeeper],
    opened: OpenedRun,
    gan: Game | None,
    data: DataSource | None,
    device: str,
    changes: Mapping[str, Any],
    score: Callable[[Game], float] | None,
    progress: bool,
) -> AnyKeeper:
    """The work of `Trainer.resume`, which says what the arguments are and what is raised."""
    out, description = opened.out, opened.description
    if gan is None:
        gan = build_gan(out, description, device)
    else:
        require_same_gan(out, description["gan"], gan)
    data = _same_data(out, description["data"], data, device)
    run = cls.__new__(cls)
    try:
        run._configure(
            gan, data, out, description["trainer"], description["recipe"], score, progress
        )
    except (LookupError, TypeError) as error:
        raise CheckpointError(f"{out / RECIPE} does not describe a run: {error}") from error
    run._load(opened.path, opened.checkpoint)
    run.history.read_columns()  # an error, if it is damaged
    run._resumed_from, run._folder.saved = opened.path, gan.step_count
    run._folder.seen = opened.seen
    run._record = description.get("changes", {})
    run.change(changes)
    if score is not None and (out / BEST).exists():
        run._folder.best = best_score(out, run.description())
    return run


def require_same_gan(out: Path, saved: dict[str, Any], gan: Game) -> None:
    """Raise `CheckpointError` unless a game has the definition that a run was started with.

    Args:
        out: the run folder.
        saved: "gan" of its recipe.json.
        gan: the game.
    """
    if not isinstance(gan, Game):
        raise ConfigError(f"resume takes a GAN, not {gan!r}")
    changed = differences(saved, json.loads(as_json(gan.to_config())), "gan")
    if changed:
        raise CheckpointError(
            f"{out} was trained with another GAN than is built now: {listed(changed)}"
        )


def _same_data(
    out: Path, saved: dict[str, Any], data: DataSource | None, device: str
) -> DataSource:
    """The run's data source: rebuilt from its description, or `data` if it is the same."""
    if data is None:
        try:
            source: DataSource = rebuild("data", saved, device)
            return source
        except ConfigError as error:
            kind = CLASSES["data"].get(str(saved.get("data")))
            if kind is not None and getattr(kind, "is_given", False):
                raise ConfigError(
                    f"{out} was trained on {kind.__name__}; pass them: resume(..., data=...)"
                ) from None
            raise CheckpointError(f"{out / RECIPE} does not describe a run: {error}") from error
    if not hasattr(data, "to_config"):
        raise ConfigError("resume takes a data source; wrap an array: mg.Samples(X)")
    theirs = data.to_config()
    fields = [key for key in {**saved, **theirs} if saved.get(key) != theirs.get(key)]
    if fields:
        raise ConfigError(f"{out} was trained on other data: {', '.join(fields)} differ")
    return data
