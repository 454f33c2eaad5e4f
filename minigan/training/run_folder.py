"""The files of a run folder, and the one object that writes them.

recipe.json                        what the run is (see recipe_json.py)
history.csv                        losses and measures, one row per print interval
checkpoint.safetensors             the whole state
checkpoint-previous.safetensors    the checkpoint before it, in case the newest is damaged
best.safetensors                   the checkpoint with the best score, if the run is scored
checkpoint-damaged.safetensors     a damaged checkpoint that was set aside
writer.json                        the process that is training the run now (see lock.py)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from minigan.errors import BusyError, CheckpointError, ConfigError
from minigan.files import cannot_write, make_folder, remove_leftovers, sync_folder, write_whole
from minigan.training.checkpoint import load_checkpoint
from minigan.training.history import History, read_history
from minigan.training.lock import WRITER, WriterLock
from minigan.training.recipe_json import RECIPE

HISTORY, CHECKPOINT = "history.csv", "checkpoint.safetensors"
PREVIOUS, BEST = "checkpoint-previous.safetensors", "best.safetensors"
DAMAGED = "checkpoint-damaged.safetensors"


class RunFolder:
    """A run folder that is being written.

    Args:
        path: the folder.
        columns: of the history.

    Attributes:
        history: its history.csv.
        lock: inside it, this object alone writes the folder.
        saved: the step of the checkpoint; None if it is not known.
        best: the score of best.safetensors; infinity if there is none.
        seen: the `signature` of the checkpoint that this object wrote or read last.
    """

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self.history = History(path / HISTORY, columns)
        self.lock = WriterLock(path)
        self.saved: int | None = None
        self.best = math.inf
        self.seen = signature(path)

    def begin(self, description: bytes, save: Callable[[], None]) -> None:
        """Make the files of a new run, or none of them.

        Args:
            description: the content of recipe.json.
            save: writes the first checkpoint.

        Raises:
            ConfigError: the folder holds a run already.
        """
        require_free(self.path)
        make_folder(self.path)
        with self.lock:
            require_free(self.path)  # another process may have begun a run here meanwhile
            (self.path / CHECKPOINT).unlink(missing_ok=True)  # of a start that was killed
            try:
                save()  # initial weights may have been changed by hand
                self.history.start()
                write_whole(self.path / RECIPE, description)  # last: this makes it a run
            except BaseException:
                for name in (CHECKPOINT, HISTORY, RECIPE):
                    (self.path / name).unlink(missing_ok=True)
                raise

    def require_unchanged(self) -> None:
        """Raise `BusyError` if another trainer wrote the checkpoint; remove temporary files."""
        if self.seen != signature(self.path):
            raise BusyError(
                f"{self.path} was trained by another trainer since this one read it; "
                "resume it again"
            )
        remove_leftovers(self.path, RECIPE, HISTORY, CHECKPOINT, PREVIOUS, BEST, WRITER)

    def settle(self, path: Path) -> None:
        """Make the checkpoint at `path` the newest one, if it is the previous one.

        The damaged one is set aside.
        """
        if path.name != PREVIOUS:
            return
        try:
            if (self.path / CHECKPOINT).exists():
                (self.path / CHECKPOINT).replace(self.path / DAMAGED)
            path.replace(self.path / CHECKPOINT)
            sync_folder(self.path)
        except OSError as error:
            raise cannot_write(self.path / CHECKPOINT, error) from error
        self.seen = signature(self.path)

    def write(self, pieces: tuple[bytes, memoryview], step: int, score: float) -> None:
        """Write a checkpoint; the one before it stays as checkpoint-previous.safetensors.

        Args:
            pieces: of `checkpoint.encode`.
            step: the step of its state.
            score: lower is better; NaN if none was taken. The best checkpoint is kept.
        """
        # The best goes first: if the process is killed in between, a resumed run writes both again.
        if math.isfinite(score) and score < self.best:
            write_whole(self.path / BEST, *pieces)
            self.best = score
        write_whole(self.path / CHECKPOINT, *pieces, keep=self.path / PREVIOUS)
        self.seen, self.saved = signature(self.path), step


def signature(path: Path) -> tuple[int, int, int] | None:
    """Numbers that change when a folder's checkpoint is written; None if there is no checkpoint."""
    try:
        status = (path / CHECKPOINT).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def require_free(out: Path | str, *more: str) -> None:
    """Raise `ConfigError` if a folder holds a run, a part of one, or any of the files `more`.

    A start that was killed before there was a run does not count.
    """
    out = Path(out)
    names = (RECIPE, HISTORY, CHECKPOINT, PREVIOUS, BEST, *more)
    there = [name for name in names if (out / name).exists()]
    if not there or _was_killed_at_its_start(out):
        return
    whole = there[0] == RECIPE  # else there is nothing to resume
    holds, advice = ("a run", "resume it, or choose") if whole else ("a part of a run", "choose")
    raise ConfigError(f"{out} already holds {holds} ({there[0]}); {advice} another folder")


def _was_killed_at_its_start(out: Path) -> bool:
    """Whether there is the first checkpoint of a run, and none of the files that follow it."""
    if any((out / name).exists() for name in (RECIPE, PREVIOUS, BEST)):
        return False
    try:
        rows = read_history(out / HISTORY) if (out / HISTORY).exists() else []
        return not rows and "run" in load_checkpoint(out / CHECKPOINT).metadata
    except CheckpointError:
        return False
