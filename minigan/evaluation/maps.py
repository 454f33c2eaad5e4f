"""A map of runs over two learning rates: where training works, and where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigan.evaluation import plots

BEST, LOST = 0.005, 1.0  # KS distances at the ends of the colours
MARKS = "X*oD"  # of the points that are marked


@plots.style()
def draw_maps(
    ks: Mapping[str, Any],
    cleared: Mapping[str, Any],
    rates: Any,
    points: Mapping[str, tuple[float, float]],
) -> Any:
    """A figure with a panel for each recipe. G's rate is on the vertical axis, D's on the other.

    The colour of a cell is the KS distance of its median seed; a number in it counts the seeds that
    are cleared. The colours go from light (good) to dark, and are told apart by colour-blind
    viewers and in greyscale.

    Args:
        ks: by recipe, (R, R, seeds): by G's rate, by D's, by seed. NaN counts as 1, lost.
        cleared: by recipe, (R, R, seeds), 1 for a run that is cleared, else 0.
        rates: (R,), ascending, R >= 2; of both axes.
        points: by name, rates (G's, D's) that are marked in every panel.

    Returns:
        a Matplotlib figure.
    """
    figure = plots.new_figure((9.0, 5.2))
    panels = figure.subplots(1, len(ks), sharex=True, sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, ks, strict=True):
        median = np.median(np.nan_to_num(ks[name], nan=LOST), axis=2)  # (R, R)
        mesh = panel.pcolormesh(rates, rates, median, norm="log", vmin=BEST, vmax=LOST)
        mesh.set_cmap("cividis_r")
        for (g, d), seeds in np.ndenumerate(np.sum(cleared[name], axis=2)):
            if seeds:
                panel.text(rates[d], rates[g], f"{seeds}", ha="center", va="center", size=9)
        for (point, (g_lr, d_lr)), mark in zip(points.items(), MARKS, strict=False):
            panel.plot(d_lr, g_lr, mark, color="white", mec="black", ms=13, label=point)
        panel.set(title=name, xlabel="learning rate of D", xscale="log", yscale="log")
        panel.grid(visible=False)
    panels[0].set_ylabel("learning rate of G")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(points))
    figure.colorbar(mesh, ax=panels, label="KS distance of the median seed")
    return figure
