"""A map of runs over two learning rates: where training works, and where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigan.evaluation import plots

BEST, LOST = 0.005, 1.0  # KS distances at the ends of the colours
MARKS = "X*oD"  # of the points that are marked


@plots.style()
def draw_maps(table: Any, points: Mapping[str, tuple[float, float]]) -> Any:
    """A figure with a panel for each recipe. G's rate is on the vertical axis, D's on the other.

    The colour of a cell is the KS distance of its median seed, from light (good) to dark, which
    colour-blind viewers can tell apart, and a printer without colours. The number in a cell counts
    its seeds that are cleared; there is none where no seed is.

    Args:
        table: a structured array (runs,) with the fields recipe, g_lr, d_lr, ks and cleared. Every
            recipe has every pair of the rates, with equally many seeds. A KS of NaN counts as 1.
        points: by name, rates (G's, D's) that are marked in every panel.

    Returns:
        a Matplotlib figure.
    """
    recipes = list(dict.fromkeys(table["recipe"].tolist()))
    g_lrs, d_lrs = np.unique(table["g_lr"]), np.unique(table["d_lr"])  # (R,) and (C,)
    figure = plots.new_figure((9.0, 5.2))
    panels = figure.subplots(1, len(recipes), sharex=True, sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, recipes, strict=True):
        own = table[table["recipe"] == name]
        own = np.sort(own, order=["g_lr", "d_lr"]).reshape(len(g_lrs), len(d_lrs), -1)
        median = np.median(np.nan_to_num(own["ks"], nan=LOST), axis=2)  # (R, C)
        mesh = panel.pcolormesh(_edges(d_lrs), _edges(g_lrs), median, norm="log", cmap="cividis_r")
        mesh.set_clim(BEST, LOST)
        for (g, d), seeds in np.ndenumerate(own["cleared"].sum(axis=2)):
            if seeds:
                panel.text(d_lrs[d], g_lrs[g], f"{seeds}", ha="center", va="center", size=10)
        for (point, (g_lr, d_lr)), mark in zip(points.items(), MARKS, strict=False):
            panel.plot(d_lr, g_lr, mark, color="white", mec="black", ms=14, label=point)
        panel.set(title=name, xlabel="learning rate of D", xscale="log", yscale="log")
        panel.grid(visible=False)
    panels[0].set_ylabel("learning rate of G")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(points)))
    figure.colorbar(mesh, ax=panels, label="KS distance of the median seed")
    return figure


def _edges(rates: Any) -> Any:
    """The edges (n + 1,) of cells around rates (n,), halfway on a logarithmic axis."""
    logs = np.log(rates)
    step = logs[1:] - logs[:-1] if len(logs) > 1 else np.ones(1)
    between = logs[:-1] + step / 2 if len(logs) > 1 else logs[:0]
    return np.exp([logs[0] - step[0] / 2, *between, logs[-1] + step[-1] / 2])
