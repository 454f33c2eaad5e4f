"""Records a run: takes frames while a trainer trains, and keeps them in its run folder."""

from __future__ import annotations

import operator
from typing import Any

from minigan.backend.float_errors import ignore_float_errors
from minigan.errors import ConfigError
from minigan.replay.camera import Camera
from minigan.replay.schedule import FrameSteps, default_gap
from minigan.training import Trainer
from minigan.training.frames import read_header
from minigan.training.run_folder import FRAMES

SAME = operator.itemgetter("name", "shape", "levels")  # of an array in two headers


class Recorder:
    """Has the frames of a run taken during `Trainer.fit`, into frames.jsonl.

    It changes nothing in the run. A recording that is there already is continued. Otherwise it
    begins with frame 0, the untrained state, or in a run that has begun with the next frame that is
    due. The last frame is of the step at which `fit` ends.

    Args:
        trainer: whose run is recorded.
        camera: takes the frames, of `camera_of(trainer.gan, trainer.data)`.
        every: the longest gap between frames, in steps; by default that of the recording, or the
            number that gives a run up to the goal of the first `fit` about 190 frames. See
            `FrameSteps`.

    Raises:
        ConfigError: not a number of steps; or the recording has another one, or other arrays.
        CheckpointError: frames.jsonl is not a recording.
    """

    def __init__(self, trainer: Trainer, camera: Camera, every: int | None = None) -> None:
        self.trainer = trainer
        self.camera = camera
        path = trainer.out / FRAMES
        if path.exists():
            header = read_header(path)
            kept = header["every"]
            if every not in (None, kept):
                raise ConfigError(
                    f"{trainer.out} is recorded with at most {kept:,} steps between frames, not "
                    f"{every}: leave the number out"
                )
            arrays = [SAME(one) for one in header["arrays"]]
            if header["form"] != camera.form or arrays != [SAME(one) for one in camera.arrays]:
                raise ConfigError(
                    f"{path} has other frames than are recorded now: remove it, or choose "
                    "another folder"
                )
            every = kept
        self._steps = None if every is None else FrameSteps(every)
        self._before: int | None = None  # the step after which the camera saw G's samples
        # A frame that is taken and not yet in the file: (step, values, arrays).
        self._taken: tuple[int, dict[str, float], dict[str, Any]] | None = None
        trainer.at(self.next, self)

    def __repr__(self) -> str:  # errors in a fit begin with it
        return "the recorder"

    @property
    def steps(self) -> FrameSteps:
        """The steps of the frames. Within `fit`, whose goal decides them if nothing else does."""
        if self._steps is None:
            self._steps = FrameSteps(default_gap(self.trainer.goal))
        return self._steps

    def next(self, step: int) -> int:
        """The first step after `step` that is one of a frame, or the one before it."""
        frame = self._frame_after(step)
        return max(frame - 1, step + 1)

    def _frame_after(self, step: int) -> int:
        """The first step of a frame after `step`: of the schedule, or the goal."""
        frame, goal = self.steps.after(step), self.trainer.goal
        return min(frame, goal) if goal > step else frame

    @ignore_float_errors
    def __call__(self, trainer: Trainer) -> None:
        """Take the frame of the present step, if it has one; remember G's samples for the next."""
        game, folder, step = trainer.gan, trainer.folder, trainer.gan.step_count
        if folder.frames.header is None:
            folder.start_frames(self._header())
        if step == 0:
            self.camera.before(game)
        seen = step == 0 or self._before == step - 1
        # A resumed run begins at a step whose frame it has.
        if seen and self._frame_after(step - 1) == step and folder.frames.last != step:
            if self._taken is None or self._taken[0] != step:
                values, arrays = self.camera.take(game)
                self._taken = step, {**game.latest_losses(), **values}, arrays
            folder.add_frame(*self._taken)  # may fail: a camera takes a frame only once
            self._taken = None
        if self._frame_after(step) == step + 1:
            self.camera.before(game)
            self._before, self._taken = step, None

    def _header(self) -> dict[str, Any]:
        camera = self.camera
        return {
            "form": camera.form,
            "every": self.steps.every,
            "arrays": camera.arrays,
            "scene": camera.scene,
        }
