"""The files of a run, as the one trainer that writes them keeps them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from minigan.errors import BusyError
from minigan.files import cannot_write, make_folder, remove_leftovers, sync_folder, write_whole
from minigan.training.description import RECIPE
from minigan.training.history import History
from minigan.training.lock import WRITER, WriterLock
from minigan.training.run import BEST, CHECKPOINT, DAMAGED, HISTORY, PREVIOUS, require_free


class Folder:
    """A run folder that is being written.

    Args:
        path: the folder.
        columns: of the history, if that is yet to be made.

    Attributes:
        history: its history.csv.
        lock: who holds it alone writes here.
        saved: the step of the checkpoint; None if it is not known.
        best: the score of best.safetensors; infinity if there is none.
    """

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self.history = History(path / HISTORY, columns)
        self.lock = WriterLock(path)
        self.saved: int | None = None
        self.best = math.inf
        self.seen = signature(path)  # of the checkpoint, as this object left it, or found it

    def begin(self, description: bytes, save: Callable[[], None]) -> None:
        """Make the files of a new run, or none of them.

        Args:
            description: of recipe.json.
            save: writes the first checkpoint.

        Raises:
            ConfigError: the folder holds a run already.
        """
        require_free(self.path)
        make_folder(self.path)
        with self.lock:
            require_free(self.path)  # nobody else began here meanwhile
            (self.path / CHECKPOINT).unlink(missing_ok=True)  # of a start that was killed
            try:
                save()  # a beginning that was changed by hand cannot be drawn from the seed
                self.history.start()
                write_whole(self.path / RECIPE, description)  # last: this makes it a run
            except BaseException:
                for name in (CHECKPOINT, HISTORY, RECIPE):
                    (self.path / name).unlink(missing_ok=True)
                raise

    def require_unchanged(self) -> None:
        """Raise `BusyError` if another trainer has written the checkpoint; remove leftovers."""
        if self.seen != signature(self.path):
            raise BusyError(
                f"{self.path} was trained by somebody else since this trainer read it; "
                "resume it anew"
            )
        remove_leftovers(self.path, RECIPE, HISTORY, CHECKPOINT, PREVIOUS, BEST, WRITER)

    def settle(self, path: Path) -> None:
        """After a fallback to the checkpoint at `path`: it becomes the newest one.

        The one that was passed over is set aside.
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
            step: that it was taken after.
            score: lower is better; NaN if none was taken. The best checkpoint is kept.
        """
        # The best goes first: whoever dies in between writes both again.
        if math.isfinite(score) and score < self.best:
            write_whole(self.path / BEST, *pieces)
            self.best = score
        write_whole(self.path / CHECKPOINT, *pieces, keep=self.path / PREVIOUS)
        self.seen, self.saved = signature(self.path), step


def signature(path: Path) -> tuple[int, int, int] | None:
    """What tells a folder's checkpoint from another without reading it; None if there is none."""
    try:
        status = (path / CHECKPOINT).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
