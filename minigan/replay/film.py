"""A film of a recorded run: what its figure shows, from the first step to the last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigan.errors import ConfigError, DataError
from minigan.evaluation.pictures import HOLD, save_film
from minigan.evaluation.plots import INK, new_figure, style
from minigan.files import as_path
from minigan.replay import panels, plane_panels
from minigan.replay.panels import Move, has
from minigan.replay.recorded_run import open_recorded
from minigan.text import count
from minigan.training.frames import Recording

FPS = 15
MOST_SHOTS = 150  # of a film by default: ten seconds
DPI = 80  # pixels an inch, so that a film is 800 pixels wide
WIDTH = 10.0  # inches
HEIGHTS = {"number": 6.2, "image": 5.4}  # inches; of any other form `HEIGHT`
HEIGHT = 7.4
#: Numbers of a frame in the title, with their titles.
MEASURES = {
    "mean": "mean {:.2f}",
    "std": "std {:.2f}",
    "ks": "KS {:.3f}",
    "modes": "{:.0f} modes",
    "high_quality": "{:.0%} of high quality",
}
FIGURE_SPACE = "\u2007"
Panel = Callable[[Any, Recording], Move]


class Film(Sequence[tuple[None, Any]]):
    """The frames of a recording as pictures, each drawn when it is asked for.

    What stays the same is drawn once. A frame is a copy of that, with what moves drawn over it.

    Args:
        recording: with at least one frame.
        title: the first line of the title; the step is in the second.
        names: the losses to draw.
        undecided: `Loss.undecided`.

    Raises:
        DataError: there are no frames, or none of a form that a film can show.
    """

    @style()
    def __init__(
        self, recording: Recording, title: str, names: Sequence[str], undecided: float | None
    ) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        if not recording.steps:
            raise DataError("a film needs at least one frame")
        self.recording = recording
        chosen = panels_of(recording)
        figure = new_figure((WIDTH, HEIGHTS.get(recording.header["form"], HEIGHT)))
        figure.set_dpi(DPI)
        canvas: Any = FigureCanvasAgg(figure)
        self.canvas = canvas
        at_the_left = {"x": 0.01, "ha": "left"}  # centred, it would move with every frame
        self.title = figure.suptitle(f"{title}\n{caption(recording, 0)}", color=INK, **at_the_left)
        self.first_line = title
        letters = [chr(ord("A") + i) for i in range(len(chosen))]
        if len(chosen) == 1:
            axes = figure.subplot_mosaic("AL")
        else:
            rows = "".join(letters), len(letters) * "L"
            axes = figure.subplot_mosaic("\n".join(rows), height_ratios=(5, 2))
        self.moves = [
            panel(axes[letter], recording) for letter, panel in zip(letters, chosen, strict=True)
        ]
        self.moves.append(panels.losses_panel(axes["L"], recording, names, undecided))
        for artist in self._moved(0):
            artist.set_animated(True)  # left out of what is drawn once
        canvas.draw()
        figure.set_layout_engine("none")  # everything stays where it is now
        self.background = canvas.copy_from_bbox(figure.bbox)

    def _moved(self, k: int) -> list[Any]:
        """What moves, set to frame k, in the order in which it is drawn."""
        self.title.set_text(f"{self.first_line}\n{caption(self.recording, k)}")
        return [self.title, *(artist for move in self.moves for artist in move(k))]

    def __len__(self) -> int:
        return len(self.recording.steps)

    @style()
    def __getitem__(self, k: Any) -> Any:
        """(None, picture (H, W, 3) uint8) of frame k: it has a title of its own."""
        if not -len(self) <= k < len(self):
            raise IndexError(k)
        self.canvas.restore_region(self.background)
        for artist in self._moved(k % len(self)):
            self.canvas.figure.draw_artist(artist)
        return None, np.array(self.canvas.buffer_rgba())[..., :3]


def panels_of(recording: Recording) -> list[Panel]:
    """The panels next to each other that a recording can fill.

    Raises:
        DataError: none.
    """
    there: dict[str, Panel]
    if recording.header["form"] == "number":
        there = {"density": panels.density_panel, "map": panels.map_panel}
        there["learned"] = panels.response_panel
    elif recording.header["form"] == "image":
        there = {"after": panels.images_panel}
    elif recording.header["form"] not in ("plane", "vector"):
        there = {}
    else:
        there = {"field": plane_panels.field_panel, "grid": plane_panels.grid_panel}
        if not {"field", "grid"} <= recording.codes.keys():
            there["after"] = plane_panels.points_panel
    chosen = [panel for name, panel in there.items() if has(recording, name)]
    if not chosen:
        raise DataError(f"a film cannot show frames of the form {recording.header['form']!r}")
    return chosen


def caption(recording: Recording, k: int) -> str:
    """The step of frame k and what was measured: "step 120   mean 3.98   std 1.21"."""
    measured = (
        form.format(recording.values[name][k])
        for name, form in MEASURES.items()
        if name in recording.values and np.isfinite(recording.values[name][k])
    )
    step, longest = f"{recording.steps[k]:,}", len(f"{recording.steps[-1]:,}")
    # A figure space is as wide as a digit.
    return "   ".join([f"step {step.ljust(longest, FIGURE_SPACE)}", *measured])


def title_of(description: dict[str, Any]) -> str:
    """What a run is, from its recipe.json: "Gaussian, recipe 'stable', seed 0"."""
    recipe, data = description["recipe"], description["data"]
    parts = [str(data.get("dataset", data.get("data")))]
    parts += [f"recipe {recipe['name']!r}"] if "name" in recipe else []
    parts += [f"seed {recipe['seed']}"] if "seed" in recipe else []
    return ", ".join(parts)


def write_film(folder: Path | str, path: Path | str, *, frames: int, fps: int = FPS) -> str:
    """Draw the film of a run that was recorded.

    Args:
        folder: the run folder.
        path: the film, .gif or .mp4.
        frames: the most frames to show; they are chosen evenly from those recorded.
        fps: frames a second.

    Returns:
        What the film is: "150 frames, 12 seconds".

    Raises:
        CheckpointError: nothing was recorded, or a file of the run is damaged.
        ConfigError: a path that is no film's; see also `save_film`.
        FileError: the film cannot be written.
    """
    folder, path = as_path(folder), as_path(path)
    if path.suffix not in (".gif", ".mp4"):
        raise ConfigError(f"a film ends in .gif or .mp4, not {path.name!r}")
    run = open_recorded(folder, frames)
    film = Film(run.recording, title_of(run.description), run.players, run.undecided)
    save_film(film, path, fps)
    return f"{count(len(film), 'frame')}, {len(film) / fps + HOLD:.3g} seconds"
