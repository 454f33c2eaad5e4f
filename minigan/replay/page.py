"""Recorded runs as one HTML file, which shows them in any browser, without network or server.

The file holds page/page.html with the style, the scripts and the recordings in it. Its content
security policy lets this script run and no other, and forbids every request.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigan.checks import whole
from minigan.errors import ConfigError
from minigan.evaluation.plots import Rows
from minigan.files import as_path, write_whole
from minigan.gan import Loss
from minigan.replay.recorded_run import open_recorded
from minigan.text import loss_title
from minigan.training.health import diagnose, shorten

PAGE = Path(__file__).parent / "page"
#: The parts of the one script, in an order in which each uses only names of those before it.
SCRIPTS = (
    *("words.js", "words_views.js", "recording.js", "dots.js", "pen.js", "plot.js"),
    "views_shared.js",
    *("views_number.js", "views_map.js", "views_plane.js", "views_image.js"),
    *("panel.js", "report.js", "timeline.js", "player.js", "main.js"),
)
# Comments: lines, blocks of lines, and ends of lines. Those with a quote could be part of a text.
_COMMENT = re.compile(r"^ *(?://[^\n]*|/\*.*?\*/ *)$| +//[^\n\"'`]*$", re.MULTILINE | re.DOTALL)
_SPACE = re.compile(r"\s*[{};,]\s*|: ")  # of a style sheet, around marks that need none
# The end of a line of script that need not end there. (Rarely a comment is left at an end.)
_END = re.compile(r"^((?:(?!//).)*[{;,(\[])\n", re.MULTILINE)
MOST_FRAMES = 300  # of a run by default: at most 1 MB for numbers and points, 5 MB for images
DIGITS = 7  # of a number that is shown


def write_page(out: Path | str, folders: Sequence[Path | str], frames: int = MOST_FRAMES) -> None:
    """Write one HTML file that replays recorded runs on one clock.

    Args:
        out: the file, written whole or not at all.
        folders: of the runs, which may be of different forms.
        frames: of each run at most, evenly chosen, with the first and the last one.

    Raises:
        CheckpointError: a folder holds no run, no recording, or a damaged one.
        ConfigError: no folder, or fewer than two frames.
        FileError: the file cannot be written.
    """
    whole("frames", frames, 2)
    if not folders:
        raise ConfigError("a replay needs at least one run folder")
    paths = [as_path(folder) for folder in folders]
    names = [path.absolute().name for path in paths]
    runs = []
    for path, name in zip(paths, names, strict=True):
        runs.append(data_of(path, frames, name if names.count(name) == 1 else str(path)))
    write_whole(out, page({"runs": runs}).encode())


def page(recordings: dict[str, Any]) -> str:
    """The HTML file that shows {"runs": [...]}, each as `data_of` makes it."""
    style = _text("style.css")
    script = "\n".join(["(() => {", '"use strict";', *map(_text, SCRIPTS), "})();"])
    text = json.dumps(recordings, allow_nan=False, separators=(",", ":"))
    parts = {
        "STYLE": style,
        "STYLE_HASH": _hash(style),
        "SCRIPT": script,
        "SCRIPT_HASH": _hash(script),
        # "<" could end the element that holds it: "</script>" in the name of a folder.
        "RECORDING": text.replace("<", "\\u003c"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda hole: parts[hole[1]], _text("page.html"))


def _text(name: str) -> str:
    """A file of the page without indentation, most comments, and ends of lines that mean nothing.

    No text of these files may lie on several lines.
    """
    text = _COMMENT.sub("", (PAGE / name).read_text(encoding="utf-8"))
    text = "\n".join(line.strip() for line in text.splitlines() if line.strip())
    if name.endswith(".css"):
        return _SPACE.sub(lambda mark: mark[0].strip(), text)
    return _END.sub(r"\1", text) if name.endswith(".js") else text


def _hash(text: str) -> str:
    """The source of a content security policy that stands for an inline text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def data_of(folder: Path, frames: int, name: str) -> dict[str, Any]:
    """A recorded run as the page reads it.

    Args:
        folder: the run folder.
        frames: at most, evenly chosen.
        name: of the run on the page.

    Raises:
        CheckpointError: no run, no recording, or a damaged one.
        ConfigError: fewer than two frames.
    """
    run = open_recorded(folder, frames)
    recording = run.recording
    return {
        "name": name,
        "about": _about(run.description),
        "recipe": run.description["recipe"],
        "header": recording.header,
        "steps": recording.steps,
        "values": {key: _shown(values) for key, values in recording.values.items()},
        "ranges": {key: pairs.tolist() for key, pairs in recording.ranges.items()},
        "arrays": {key: packed(codes) for key, codes in recording.codes.items()},
        "columns": {column: loss_title(column) for column in run.columns},
        "players": run.players,
        "undecided": run.undecided,
        **_measures(run.rows, recording.steps, run.loss),
    }


def _about(description: dict[str, Any]) -> dict[str, str]:
    """What a run is, in a few names: its recipe and seed, and its game, loss and data."""
    recipe, gan = description["recipe"], description["gan"]
    named = {"recipe": recipe.get("name"), "seed": recipe.get("seed")}
    named["game"] = gan.get("game", "GAN")
    for part, config in (("loss", gan.get("loss")), ("data", description["data"])):
        named[part] = config.get(part) if isinstance(config, dict) else None
    return {key: str(value) for key, value in named.items() if value is not None}


def packed(codes: NDArray[Any]) -> str:
    """Codes (T, ...) as base64 of zlib of their differences in time, modulo 2^8 or 2^16.

    The first frame stays as it is. Of uint16 come all low bytes first, then all high ones: the
    high bytes of differences are mostly 0 or 255, which is small when compressed.
    """
    flat = codes.reshape(len(codes), -1)  # (T, n)
    changes = np.concatenate([flat[:1], flat[1:] - flat[:-1]])  # (T, n), wraps around
    if changes.dtype == np.uint8:
        raw = changes.tobytes()
    else:
        low, high = (changes & 0xFF).astype(np.uint8), (changes >> 8).astype(np.uint8)
        raw = low.tobytes() + high.tobytes()
    return base64.b64encode(zlib.compress(raw, 9)).decode()


def _shown(values: Any) -> list[float | None]:
    """Numbers with the digits that are shown; None for those that are not finite."""
    numbers = (float(f"{value:.{DIGITS}g}") for value in values)
    return [number if math.isfinite(number) else None for number in numbers]


def _measures(rows: Rows, steps: Sequence[int], loss: Loss | None) -> dict[str, Any]:
    """The history's rows that are the latest at some frame, and where the health check changes."""
    ends = [int(row["step"]) for row in rows]
    latest = np.searchsorted(ends, steps, side="right") - 1  # (T,) -1 before the first row
    kept = [rows[i] for i in sorted({*latest.tolist()} - {-1})]
    history = {key: _shown(row[key] for row in kept) for key in (kept[0] if kept else ())}
    if kept:
        history["step"] = [int(row["step"]) for row in kept]
    return {"history": history, "health": [*_changes(rows, loss)]}


def _changes(rows: Rows, loss: Loss | None) -> Iterator[dict[str, Any]]:
    """Each row at which the failures are others than before: {"step", "failures"}."""
    seen: Rows = []
    before: list[Any] = []
    for row in rows:
        seen = shorten([*seen, row])
        failures = [
            {"name": one.name, "measure": one.measure, "advice": one.advice}
            for one in diagnose(seen, loss)
        ]
        if failures != before:
            yield {"step": int(row["step"]), "failures": failures}
        before = failures
