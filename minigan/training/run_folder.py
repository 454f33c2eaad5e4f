"""The files of a run folder, and the one object that writes them.

recipe.json                        what the run is (see recipe_json.py)
history.csv                        losses and measures, one row per print interval
frames.jsonl                       what `minigan replay` shows, if the run is recorded
checkpoint.safetensors             the whole state
checkpoint-previous.safetensors    the checkpoint before it, in case the newest is damaged
best.safetensors                   the checkpoint with the best score, if the run is scored
checkpoint-damaged.safetensors     a damaged checkpoint that was set aside
checkpoint-unused.safetensors      the first checkpoint of a start that was killed, set aside
writer.json                        the process that is training the run now (see lock.py)
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from minigan.errors import BusyError, CheckpointError, ConfigError
from minigan.files import (
    as_path,
    cannot_write,
    make_folder,
    remove_leftovers,
    require_regular,
    sync_folder,
    write_whole,
)
from minigan.training.checkpoint import load_checkpoint
from minigan.training.frames import Frames
from minigan.training.history import History, read_history
from minigan.training.lock import LOCK, WRITER, WriterLock
from minigan.training.recipe_json import RECIPE

log = logging.getLogger("minigan")

HISTORY, CHECKPOINT = "history.csv", "checkpoint.safetensors"
FRAMES = "frames.jsonl"
PREVIOUS, BEST = "checkpoint-previous.safetensors", "best.safetensors"
DAMAGED, UNUSED = "checkpoint-damaged.safetensors", "checkpoint-unused.safetensors"
WRITTEN = (RECIPE, HISTORY, CHECKPOINT, PREVIOUS, BEST, FRAMES)
OWN = (*WRITTEN, DAMAGED, UNUSED, WRITER, LOCK)

#: Numbers that change when a file is written; None if there is no file.
Signature: TypeAlias = tuple[int, int, int] | None


class RunFolder:
    """A run folder that is being written.

    Args:
        path: the folder.
        columns: of the history.

    Attributes:
        history: its history.csv.
        frames: its frames.jsonl, which only a recorded run has.
        lock: inside it, this object alone writes the folder.
        saved: the step of the checkpoint; None if it is not known.
        best: the score of best.safetensors; infinity if there is none.
        seen: the `signature` of each file as this object wrote or read it last.
    """

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self.history = History(path / HISTORY, columns)
        self.frames = Frames(path / FRAMES)
        self.lock = WriterLock(path)
        self.saved: int | None = None
        self.best = math.inf
        self.seen: dict[str, Signature] = {}

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
            _set_aside(self.path / CHECKPOINT, UNUSED)  # of a start that was killed
            try:
                save()  # initial weights may have been changed by hand
                with self.writing(HISTORY):
                    self.history.start()
                self.write_recipe(description)  # last: this makes it a run
            except BaseException:
                for name, mine in self.seen.items():
                    if signature(self.path / name) == mine:
                        (self.path / name).unlink(missing_ok=True)
                raise

    def open(self) -> None:
        """Check that the folder is as this object left it, and remove temporary files."""
        self.require_unchanged()
        for name in WRITTEN:
            try:
                require_regular(self.path / name, follow_links=False)  # now, not when written
            except OSError as error:
                raise cannot_write(self.path / name, error) from error
        remove_leftovers(self.path, *WRITTEN, WRITER)

    def require_unchanged(self) -> None:
        """Raise an error if the folder is another one, or another program changed its files.

        Raises:
            BusyError: the lock or a file is not as this object left it.
            FileError: the folder is missing.
        """
        self.lock.require_held()
        for name, mine in self.seen.items():
            if signature(self.path / name) != mine:
                raise BusyError(
                    f"{self.path}: {name} was changed by another trainer or program since this "
                    "trainer read or wrote it; resume it again"
                )

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Check the folder; inside, its file `name` may be written. Raises as `require_unchanged`.

        All files that a resumed run reads are written in such a block.
        """
        self.require_unchanged()
        try:
            yield self.path / name
        finally:
            self.seen[name] = signature(self.path / name)

    def settle(self, path: Path) -> None:
        """Make the checkpoint at `path` the newest one, if it is the previous one.

        The damaged one is set aside.
        """
        if path.name != PREVIOUS:
            return
        self.lock.require_held()  # not require_unchanged: the damage has changed the file
        newest = self.path / CHECKPOINT
        try:
            _set_aside(newest, DAMAGED)
            (self.path / PREVIOUS).replace(newest)
            sync_folder(self.path)
        except OSError as error:
            raise cannot_write(newest, error) from error
        finally:
            self.seen[CHECKPOINT] = signature(newest)

    def rewind(self, step: int) -> None:
        """Drop the rows and the frames after `step`; see `History.rewind` and `Frames.rewind`."""
        self.require_unchanged()
        self.history.rewind(step)
        self.seen[HISTORY] = signature(self.history.path)  # not after an error: it may be mended
        self.frames.rewind(step)
        if self.frames.header is not None:
            self.seen[FRAMES] = signature(self.frames.path)

    def write_recipe(self, description: bytes) -> None:
        """Write recipe.json."""
        with self.writing(RECIPE) as recipe:
            write_whole(recipe, description)

    def flush(self) -> None:
        """Write the row of the history that could not be written before, if there is one."""
        with self.writing(HISTORY):
            self.history.flush()

    def add_row(self, row: dict[str, Any]) -> None:
        """Add a row to the history."""
        with self.writing(HISTORY):
            self.history.add(row)

    def start_frames(self, header: Mapping[str, Any]) -> None:
        """Begin frames.jsonl; see `Frames.start`."""
        with self.writing(FRAMES):
            self.frames.start(header)

    def add_frame(
        self, step: int, values: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        """Add a frame; see `Frames.add`."""
        with self.writing(FRAMES):
            self.frames.add(step, values, arrays)

    def write(self, pieces: tuple[bytes, memoryview], step: int) -> None:
        """Write a checkpoint; the one before it stays as checkpoint-previous.safetensors.

        Args:
            pieces: of `checkpoint.encode`.
            step: the step of its state.
        """
        with self.writing(CHECKPOINT) as newest:
            self.frames.sync()  # first: no checkpoint is of a later step than frames that are lost
            write_whole(newest, *pieces, keep=self.path / PREVIOUS)
        self.saved = step

    def write_scored(self, pieces: tuple[bytes, memoryview], score: float) -> None:
        """Write the checkpoint once more, with its score; if none was lower, it is the best, too.

        Args:
            pieces: of `checkpoint.encode`.
            score: lower is better; NaN and infinity are never the best.
        """
        with self.writing(CHECKPOINT) as newest:
            # If the process is killed in between, a resumed run writes both again.
            if not math.isfinite(score):
                log.warning("%s: a score of %s cannot be the best", self.path, score)
            elif score < self.best:
                write_whole(self.path / BEST, *pieces)
                self.best = score
            write_whole(newest, *pieces)


def signature(file: Path) -> Signature:
    """The `Signature` of a file."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def is_own(path: Path) -> bool:
    """Whether a path is, or would be, a file that a run keeps in its folder."""
    name = path.name.casefold()  # Windows and macOS ignore the case
    run = {*WRITTEN} - {name}
    plain = re.sub(r"-\d+(\.safetensors)$", r"\1", name)  # of files that were set aside
    return plain in OWN and any((path.parent / other).exists() for other in run)


def _set_aside(file: Path, name: str) -> None:
    """Rename a file, if it is there, to `name`, or the first free one of name-2, name-3 ..."""
    first = file.with_name(name)
    others = (first.with_stem(f"{first.stem}-{number}") for number in itertools.count(2))
    if file.exists():
        file.replace(next(one for one in itertools.chain([first], others) if not one.exists()))


def require_free(out: Path | str, *more: str) -> None:
    """Raise `ConfigError` if a folder holds a run, a part of one, or any of the files `more`.

    A start that was killed before there was a run does not count.
    """
    out = as_path(out)
    there = [name for name in (*WRITTEN, *more) if (out / name).exists()]
    if not there or _was_killed_at_its_start(out):
        return
    whole = there[0] == RECIPE  # else there is nothing to resume
    holds, advice = ("a run", "resume it, or choose") if whole else ("a part of a run", "choose")
    raise ConfigError(f"{out} already holds {holds} ({there[0]}); {advice} another folder")


def _was_killed_at_its_start(out: Path) -> bool:
    """Whether there is the checkpoint of a run at step 0, and none of the files that follow it."""
    if any((out / name).exists() for name in (RECIPE, PREVIOUS, BEST, FRAMES)):
        return False
    try:
        rows = read_history(out / HISTORY) if (out / HISTORY).exists() else []
        metadata = load_checkpoint(out / CHECKPOINT).metadata
        return not rows and "run" in metadata and metadata.get("step") == 0
    except CheckpointError:
        return False
