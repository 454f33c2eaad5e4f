"""The results of a sweep as a picture: scores against one field, or a map over two.

Of three fields or more, the map is over the first two, and a cell shows the lowest mean over the
others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigan.evaluation.plots import (
    INK,
    LOG_FROM,
    OTHERS,
    REAL,
    new_figure,
    save_figure,
    style,
)
from minigan.sweeps.plan import value_text
from minigan.sweeps.table import Results, Row

SIZE = (7.5, 5.0)  # inches
CELL = 0.75  # inches, of a map
LARGEST = 14.0  # inches, of a map
WRONG = OTHERS[2]  # the colour of failures
MOST_WRITTEN = 12  # values of a field; a finer map has no numbers in its cells


@style()
def draw(path: Path, title: str, results: Results, settings: dict[str, Any]) -> None:
    """Draw the picture.

    Args:
        path: a .png file.
        title: of the picture.
        results: of the sweep.
        settings: the values of each field.
    """
    rows, score_name = results.runs, results.score_name
    several = [field for field, values in settings.items() if len(values) > 1]
    if len(several) < 2:
        field = several[0] if several else None
        figure = new_figure(SIZE)
        _draw_line(figure.subplots(), rows, field, settings, score_name)
    else:
        x, y = (_in_order(settings[field]) for field in several[:2])
        figure = new_figure(
            (
                min(LARGEST, 3.5 + CELL * max(4, len(x))),
                min(LARGEST, 2.6 + CELL * max(3, len(y))),
            )
        )
        _draw_map(figure, rows, several, x, y, score_name)
    figure.suptitle(title, fontsize=13, color=INK)
    save_figure(figure, path)


def _in_order(values: Sequence[Any]) -> list[Any]:
    """Numbers from small to large; anything else as it was given."""
    return sorted(values) if all(type(one) in (int, float) for one in values) else [*values]


def _draw_line(
    axes: Any, rows: Sequence[Row], field: str | None, settings: dict[str, Any], score_name: str
) -> None:
    """A dot for each seed over the value of the field, and their mean."""
    values = _in_order(settings[field]) if field else [None]
    numbers = field is not None and all(type(value) in (int, float) for value in values)
    places = values if numbers else [*range(len(values))]
    of = [[row for row in rows if field is None or row[field] == value] for value in values]
    scores = [[row["score"] for row in group if row["score"] is not None] for group in of]
    for place, group in zip(places, scores, strict=True):
        axes.plot([place] * len(group), group, "o", color=REAL, ms=5, alpha=0.5, lw=0)
    means = [math.fsum(group) / len(group) if group else math.nan for group in scores]
    axes.plot(places, means, "-" if numbers else "_", color=INK, ms=24, label="mean")
    axes.plot([], [], "o", color=REAL, alpha=0.5, label="a seed")
    # Where all seeds failed there is no dot, but the axis goes there, too.
    axes.plot(places, [0.5] * len(places), "", transform=axes.get_xaxis_transform())
    look = {"ha": "center", "va": "top", "color": WRONG, "fontsize": 10}
    for place, group, good in zip(places, of, scores, strict=True):
        if len(good) < len(group):
            top = (place, 1.0), ("data", "axes fraction")
            axes.annotate(f"{len(group) - len(good)} failed", top[0], xycoords=top[1], **look)
    every = [score for group in scores for score in group]
    if min(every, default=0.0) > 0.0 and max(every) > LOG_FROM * min(every):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    if numbers and min(values) > 0 and max(values) > 4 * min(values):
        axes.set_xscale("log")
    axes.set_xticks(places, [value_text(value) if field else "" for value in values])
    axes.minorticks_off()
    axes.margins(x=0.1, y=0.12)
    axes.set(xlabel=field or "every seed", ylabel=f"{score_name}, lower is better")
    where = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "borderaxespad": 4.0}
    axes.legend(**where, ncols=2)  # below, where it hides no dot


def _draw_map(
    figure: Any,
    rows: Sequence[Row],
    fields: Sequence[str],
    x: Sequence[Any],
    y: Sequence[Any],
    score_name: str,
) -> None:
    """The mean over the seeds for each pair of values; of further fields, the lowest mean."""
    from matplotlib.colors import LogNorm, Normalize

    means = np.full((len(y), len(x)), np.nan)
    failed = np.zeros((len(y), len(x)), int)
    for j, above in enumerate(y):
        for i, across in enumerate(x):
            here = [row for row in rows if (row[fields[0]], row[fields[1]]) == (across, above)]
            means[j, i], failed[j, i] = _lowest_mean(here, fields[2:])
    known = means[np.isfinite(means)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    log = low > 0.0 and high > LOG_FROM * low
    norm = (LogNorm if log else Normalize)(low, high if high > low else low + 1e-12)
    axes = figure.subplots()
    image = axes.imshow(means, norm=norm, cmap="viridis_r", origin="lower", aspect="auto")
    axes.set_facecolor("#DDDDDD")  # where no run has a score
    axes.grid(False)
    if max(len(x), len(y)) <= MOST_WRITTEN:
        for j, i in np.ndindex(means.shape):
            _write_cell(axes, i, j, means[j, i], int(failed[j, i]), norm)
    axes.set_xticks(range(len(x)), [value_text(one) for one in x], rotation=45 * (len(x) > 6))
    axes.set_yticks(range(len(y)), [value_text(one) for one in y])
    axes.set(xlabel=fields[0], ylabel=fields[1])
    over = f", lowest over {', '.join(fields[2:])}" if fields[2:] else ""
    label = f"{score_name}:\nmean over the seeds{over}, lower is better"
    figure.colorbar(image, label=label, format="%g")


def _lowest_mean(rows: Sequence[Row], others: Sequence[str]) -> tuple[float, int]:
    """The lowest mean over the seeds, over all values of other fields; how many runs failed."""
    groups: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        if row["score"] is not None:
            groups.setdefault(tuple(row[field] for field in others), []).append(row["score"])
    means = [math.fsum(scores) / len(scores) for scores in groups.values()]
    return min(means, default=math.nan), sum(row["score"] is None for row in rows)


def _write_cell(axes: Any, i: int, j: int, mean: float, failed: int, norm: Any) -> None:
    """The mean in a cell, and how many runs failed, in a colour that can be read on it."""
    lines = [] if math.isnan(mean) else [f"{mean:.3g}"]
    if failed:
        lines.append(f"{failed} failed")
    dark = not math.isnan(mean) and norm(mean) > 0.5  # viridis_r is dark for large scores
    colour = "white" if dark else INK
    axes.text(i, j, "\n".join(lines), ha="center", va="center", fontsize=9, color=colour)
