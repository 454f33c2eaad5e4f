"""A recorded run, opened to be shown: by the replay page, or as a film."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigan.checks import whole
from minigan.config import CLASSES, rebuild
from minigan.errors import UNEXPECTED, CheckpointError
from minigan.evaluation.plots import LOSSES, Rows
from minigan.gan import Loss
from minigan.replay.scene import check_scene
from minigan.training import read_history, read_recipe
from minigan.training.frames import Recording, read_frames
from minigan.training.history import loss_columns
from minigan.training.run_folder import FRAMES, HISTORY


@dataclass(frozen=True)
class RecordedRun:
    """What `open_recorded` has read.

    Attributes:
        description: the content of recipe.json.
        recording: the frames, at least one.
        rows: of the history.
        loss: of the game; None if it has none, or one that is not registered here.
        columns: the names of the losses that are recorded.
        players: those of the two players; all, if none has a player's name.
    """

    description: dict[str, Any]
    recording: Recording
    rows: Rows
    loss: Loss | None
    columns: list[str]

    @property
    def players(self) -> list[str]:
        return [name for name in self.columns if name in LOSSES] or self.columns

    @property
    def undecided(self) -> float | None:
        """`Loss.undecided` of the loss, if it is known."""
        return None if self.loss is None else self.loss.undecided()


def open_recorded(folder: Path, frames: int) -> RecordedRun:
    """Open a run that was trained with --record.

    Args:
        folder: the run folder.
        frames: at most, >= 2, evenly chosen, with the first and the last one.

    Raises:
        CheckpointError: no run, no recording, or a damaged one.
        ConfigError: fewer than two frames.
    """
    whole("frames", frames, 2)
    description = read_recipe(folder)
    if not (folder / FRAMES).exists():
        raise CheckpointError(
            f"{folder} has no recording ({FRAMES} is missing): train a run with --record, as in "
            "python examples/gaussian1d.py --record"
        )
    recording = read_frames(folder / FRAMES, frames)
    try:
        check_scene(recording.header)
    except UNEXPECTED as error:
        why = f"its first line lacks {error}" if isinstance(error, KeyError) else error
        raise CheckpointError(f"{folder / FRAMES} is damaged: {why}") from error
    if not recording.steps:
        raise CheckpointError(f"{folder / FRAMES} holds no frame yet")
    rows = read_history(folder / HISTORY)
    names = loss_columns(folder / HISTORY, [*rows[0]]) if rows else [*recording.values]
    columns = [name for name in names if name in recording.values]
    return RecordedRun(description, recording, rows, loss_of(description), columns)


def loss_of(description: dict[str, Any]) -> Loss | None:
    """The loss of a described game; None if it has none, or one that is not registered here."""
    config = description["gan"].get("loss")
    if not isinstance(config, dict) or config.get("loss") not in CLASSES["loss"]:
        return None
    loss: Loss = rebuild("loss", config)
    return loss
