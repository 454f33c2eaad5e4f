"""The frames of a recorded run, appended to frames.jsonl as they come; see frame_format.py.

Frames are appended without waiting for the disk, so a power failure may take the last ones. They
are on the disk before a checkpoint is written that has their steps.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigan.checks import whole
from minigan.errors import UNEXPECTED, CheckpointError, ConfigError, OrderError
from minigan.files import append_whole, as_path, cannot_write, require_regular, write_whole
from minigan.training.frame_format import (
    LONGEST_HEADER,
    VERSION,
    as_line,
    bytes_of,
    decode,
    dtype_of,
    encode,
    parse_frame,
    parse_header,
    whole_lines,
)

MOST_BYTES = 1 << 30  # of the codes of all frames that are read together
MOST_FRAMES = 1 << 20


class Frames:
    """The frames of a run, appended to a file as they come.

    Args:
        path: the file. There is none before `start`.

    Attributes:
        header: of the file; None before `start`, or before `rewind` has read it.
        last: the step of the last frame; None if there is no frame.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: dict[str, Any] | None = None
        self.last: int | None = None
        self._synced = True  # whether all frames are on the disk

    def start(self, header: Mapping[str, Any]) -> None:
        """Begin an empty recording.

        Args:
            header: "form", "every", "arrays" and "scene".

        Raises:
            ConfigError: the header is not one that is read back.
            FileError: the file cannot be written.
        """
        try:
            line = as_line({"frames": VERSION, **header})
            self.header = parse_header(line)
        except UNEXPECTED as error:
            raise ConfigError(f"not the header of a recording: {error}") from None
        write_whole(self.path, line)
        self.last = None

    def add(
        self, step: int, values: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        """Add a frame. Frames of this step and of later ones are dropped before.

        Args:
            step: of the frame.
            values: numbers by name. Those that are not finite are stored as null.
            arrays: by name, each of its shape in the header; stored as float32 would be.

        Raises:
            OrderError: the recording was not begun.
            ShapeError: not the arrays of the header.
            FileError: the file cannot be written; it has no part of the frame.
        """
        if self.header is None:
            raise OrderError(f"{self.path} was not begun: call start, or rewind, before add")
        if self.last is not None and self.last >= step:
            self.rewind(step - 1)
        ranges, data = encode(arrays, self.header["arrays"])
        line = {
            "step": step,
            "values": {k: float(v) if math.isfinite(v) else None for k, v in values.items()},
            "ranges": ranges,
            "data": data,
        }
        append_whole(self.path, as_line(line), sync=False)
        self.last, self._synced = step, False

    def rewind(self, step: int) -> None:
        """Drop the frames after `step`, which a resumed run will take again. Reads the header.

        If there is no file, nothing is recorded. A line that is damaged is dropped, too, if no
        frame up to `step` follows it: it was being written when the power failed.

        Raises:
            CheckpointError: the file is not a recording, or a frame up to `step` is damaged.
            FileError: the file cannot be written.
        """
        self.header = self.last = None
        if not self.path.exists():
            return
        with _reading(self.path), self.path.open("rb") as file:
            header = parse_header(file.readline(LONGEST_HEADER))
            arrays, end, damage, last = header["arrays"], file.tell(), None, None
            for line in whole_lines(file, arrays):
                try:
                    frame = parse_frame(line, arrays)
                except UNEXPECTED as error:
                    damage = damage or error
                    continue
                if frame["step"] <= step:
                    if damage is not None:
                        raise damage
                    last, end = frame["step"], file.tell()
            size = os.fstat(file.fileno()).st_size
        if end < size:
            try:
                os.truncate(self.path, end)
            except OSError as error:
                raise cannot_write(self.path, error) from error
        self.header, self.last, self._synced = header, last, False

    def sync(self) -> None:
        """Return when all frames are on the disk, so that a power failure cannot take them."""
        if not self._synced:
            try:
                with self.path.open("ab") as file:
                    os.fsync(file.fileno())
            except OSError as error:
                raise cannot_write(self.path, error) from error
            self._synced = True


@dataclass(frozen=True)
class Recording:
    """The T frames that `read_frames` has read.

    Attributes:
        header: the first line: "form", "every", "arrays", "scene".
        steps: T steps, rising.
        values: by name, (T,) float64; NaN where a number was not finite.
        codes: by name, (T, *shape) uint8 or uint16; see the module for what they mean.
        ranges: by name, (T, 2) float64: [low, high] of an array whose range in the header is null.
    """

    header: dict[str, Any]
    steps: list[int]
    values: dict[str, NDArray[Any]]
    codes: dict[str, NDArray[Any]]
    ranges: dict[str, NDArray[Any]]

    def array(self, name: str) -> NDArray[np.float32]:
        """An array of all frames, decoded: (T, *shape) float32, NaN where it was not finite.

        Raises:
            ConfigError: there is no such array.
        """
        about = next((one for one in self.header["arrays"] if one["name"] == name), None)
        if about is None:
            raise ConfigError(f"the recording has no array {name!r}, only {[*self.codes]}")
        codes = self.codes[name]
        both = self.ranges[name] if about["range"] is None else np.asarray([about["range"]])
        low, high = both.T.reshape(2, -1, *[1] * (codes.ndim - 1))  # each (T or 1, 1, ..., 1)
        values = low + (codes - 1.0) / (about["levels"] - 1) * (high - low)
        return np.where(codes == 0, np.nan, values).astype(np.float32)


def read_header(path: Path) -> dict[str, Any]:
    """The header of a recording. Raises as `read_frames`."""
    with _reading(path), path.open("rb") as file:
        return parse_header(file.readline(LONGEST_HEADER))


def read_frames(path: Path | str, most: int | None = None) -> Recording:
    """Read the frames of a run.

    A last line without a newline is left out: its writer was killed, or is writing it now.

    Args:
        path: frames.jsonl.
        most: the most frames to read, chosen evenly, with the first and the last; None for all.

    Raises:
        CheckpointError: the file is missing, is not a recording, or is damaged.
        ConfigError: `most` is below 2.
    """
    path = as_path(path)
    if most is not None:
        whole("read_frames: most", most, 2)
    with _reading(path), path.open("rb") as file:
        header = parse_header(file.readline(LONGEST_HEADER))
        arrays, places = header["arrays"], [file.tell()]
        steps: list[int] = []
        for line in whole_lines(file, arrays):
            frame = parse_frame(line, arrays)
            if steps and frame["step"] <= steps[-1]:
                raise ValueError(f"step {frame['step']} comes after step {steps[-1]}")
            steps.append(frame["step"])
            places.append(file.tell())
            if len(steps) > MOST_FRAMES:
                raise ValueError(f"it has more than {MOST_FRAMES:,} frames")
        chosen = _evenly(len(steps), most)
        T, size = len(chosen), sum(map(bytes_of, arrays))
        if T * size > MOST_BYTES:
            raise ValueError(
                f"its {T:,} frames have {T * size:,} bytes, more than the {MOST_BYTES:,} that "
                "are read at once"
            )
        codes = {
            one["name"]: np.empty((T, *one["shape"]), dtype_of(one["levels"])) for one in arrays
        }
        frames = []
        for k, i in enumerate(chosen):
            file.seek(places[i])
            frames.append(parse_frame(file.readline(places[i + 1] - places[i]), arrays))
            for name, array in decode(frames[-1].pop("data"), arrays).items():
                codes[name][k] = array
        names = [*frames[0]["values"]] if frames else []
        if any(frame["values"].keys() != set(names) for frame in frames):
            raise ValueError("its frames have different values")
    values = {
        name: np.array([frame["values"][name] for frame in frames], float)  # null is NaN
        for name in names
    }
    own = [one["name"] for one in arrays if one["range"] is None]
    ranges = {name: np.array([f["ranges"][name] for f in frames], float) for name in own}
    ranges = {name: pairs.reshape(T, 2) for name, pairs in ranges.items()}
    return Recording(header, [steps[i] for i in chosen], values, codes, ranges)


def _evenly(count: int, most: int | None) -> list[int]:
    """At most `most` of the numbers 0 to count - 1, with the first and the last."""
    if most is None or most >= count:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Every error while the file is read becomes a `CheckpointError` of one sentence."""
    try:
        require_regular(path)
        yield
    except FileNotFoundError:
        raise CheckpointError(f"there is no recording at {path}") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except UNEXPECTED as error:
        raise CheckpointError(f"{path} is not a recording, or is damaged: {error}") from error
