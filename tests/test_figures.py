"""The figure of the 1-D experiment, in words: what is drawn where, and how.

A change of its look is a change of these words. They hold for Matplotlib's own settings, whatever
those of the user are.
"""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib import colors

import minigan as mg
from minigan.evaluation import Response, plots, score_gaussian


def described(axes: Any) -> list[str]:
    """Of a panel: its words, its range, and a line for each thing in it."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    told = [
        f"{axes.get_title()!r} of size {axes.title.get_fontsize():g}",
        f"{axes.get_xlabel()!r} {left:.4g} to {right:.4g}, "
        f"{axes.get_ylabel()!r} in {axes.yaxis.label.get_color()} {low:.4g} to {high:.4g}",
    ]
    for line in axes.lines:
        x, y = (np.asarray(data, float) for data in line.get_data())
        label = "no label" if line.get_label().startswith("_") else line.get_label()
        told.append(
            f"{label}: {line.get_color()} {line.get_linewidth():g} "
            f"{line.get_linestyle()} {line.get_marker()} {line.get_alpha()}, "
            f"{len(x)} from {x[0]:.3g} to {x[-1]:.3g}, mean {y.mean():.4g}"
        )
    for area in axes.collections:
        top = area.get_paths()[0].vertices[:, 1].max()
        told.append(f"{area.get_label()}: {hexadecimal(area)} up to {top:.4g}")
    for bars in axes.containers:
        area = sum(bar.get_width() * bar.get_height() for bar in bars)
        told.append(f"{bars[0].get_label()}: {hexadecimal(bars[0])} {len(bars)} of area {area:.3f}")
    for text in axes.texts:
        told.append(f"{text.get_text()!r} at {text.get_position()} {text.get_ha()} {text.get_va()}")
    if (legend := axes.get_legend()) is not None:
        (x, y) = axes.transAxes.inverted().transform(legend.get_bbox_to_anchor().p0)
        texts = legend.get_texts()
        rows = len({round(text.get_window_extent().y0) for text in texts})
        told.append(
            f"legend of {rows}, at {x:.2f} {y:.2f}, size {texts[0].get_fontsize():g}: "
            + ", ".join(text.get_text() for text in texts)
        )
        told.append(f"framed: {legend.get_frame_on()}")
    spines = [name for name, spine in axes.spines.items() if spine.get_visible()]
    grid = [(line.get_alpha(), line.get_linewidth()) for line in axes.get_xgridlines()[:1]
            if line.get_visible()]  # fmt: skip
    told.append(f"spines {' '.join(spines)}; grid {grid}; shown {axes.axison}")
    return told


def hexadecimal(artist: Any) -> str:
    return colors.to_hex(np.ravel(artist.get_facecolor())[:4], keep_alpha=True)


X = np.linspace(0.0, 8.0, 50)
DENSITY = mg.Gaussian(4.0, 1.25).density(X)
SAMPLES = np.linspace(1.0, 7.0, 2000)[:, None]
ROWS = [
    {"step": k, "d_real": 0.7, "d_fake": 0.6, "g": g} for k, g in ((1, 0.9), (2, 0.8), (3, 0.7))
]


def overview(generator_map: Any, pack: int, history: list[dict]) -> list[list[str]]:
    figure = plots.new_figure()
    plots.draw_overview(
        figure,
        title="a title",
        samples=SAMPLES,
        score=score_gaussian(SAMPLES, 4.0, 1.25),
        target=mg.Gaussian(4.0, 1.25),
        generator_map=generator_map,
        response=Response(X, X / 8, 1 - X / 8, DENSITY / 2, pack),
        history=history,
        losses=("d_real", "d_fake", "g"),
        undecided=0.69,
    )
    figure.canvas.draw()
    title = figure._suptitle
    assert (title.get_text(), title.get_fontsize(), title.get_color()) == ("a title", 15, plots.INK)
    assert figure.get_size_inches().tolist() == [12.8, 7.2]
    return [described(axes) for axes in figure.axes]


PANELS: dict[str, list[str]] = {
    "samples": [
        "'samples: mean 4.000 (real 4), std 1.733 (real 1.25), KS 0.136' of size 10.5",
        "'x' 0 to 8, 'density' in black 0 to 0.3351",
        "real density p: #0072B2 2.2 - None None, 400 from 0 to 8, mean 0.1245",
        "generated: #e69f00a6 100 of area 1.000",
        "legend of 1, at 0.50 -0.16, size 9: generated, real density p, D(x), right",
        "framed: False",
        "spines left right bottom; grid [(0.2, 0.5)]; shown True",
    ],
    "map": [
        "'the generator bends noise into data' of size 10.5",
        "'noise z' -0.05 to 1.05, 'x' in black -0.45 to 9.45",
        "exact quantile map: #0072B2 2.2 - None None, 50 from 0 to 1, mean 5",
        "G(z): #E69F00 2.2 -- None None, 50 from 0 to 1, mean 4",
        "legend of 1, at 0.50 -0.16, size 9: exact quantile map, G(z)",
        "framed: False",
        "spines left right bottom; grid [(0.2, 0.5)]; shown True",
    ],
    "losses": [
        "'losses, mean over each print interval' of size 10.5",
        "'training step' 0.9 to 3.1, 'loss' in black 0 to 0.915",
        "D real: #0072B2 1.8 - None None, 3 from 1 to 3, mean 0.7",
        "D fake: #E69F00 1.8 - None None, 3 from 1 to 3, mean 0.6",
        "G: #009E73 1.8 - None None, 3 from 1 to 3, mean 0.8",
        "0.69: D cannot tell: #333333 0.8 : None None, 2 from 0 to 1, mean 0.69",
        "legend of 1, at 0.50 -0.16, size 9: D real, D fake, G, 0.69: D cannot tell",
        "framed: False",
        "spines left right bottom; grid [(0.2, 0.5)]; shown True",
    ],
    "response": [
        "'the discriminator against the best one, p / (p + q)' of size 10.5",
        "'x' 0 to 8, 'probability of real' in black 0 to 1",
        "optimal D*: #333333 2.2 - None None, 50 from 0 to 8, mean 0.5",
        "learned D: #009E73 2.2 -- None None, 50 from 0 to 8, mean 0.5",
        "no label: #333333 0.6 - None 0.5, 2 from 0 to 1, mean 0.5",
        "p (scaled): #0072b21f up to 0.45",
        "q, of G (scaled): #e69f002e up to 0.225",
        "legend of 1, at 0.50 -0.16, size 9: p (scaled), q, of G (scaled), optimal D*, learned D",
        "framed: False",
        "spines left right bottom; grid [(0.2, 0.5)]; shown True",
    ],
    "verdicts": [
        "'' of size 12",
        "'' 0 to 8, \"D's probability of real\" in #009E73 0 to 1",
        "D(x), right: #009E73 1.6 -- None None, 50 from 0 to 8, mean 0.5",
        "no label: #009E73 0.6 - None 0.5, 2 from 0 to 1, mean 0.5",
        "spines left right bottom; grid []; shown True",
    ],
}
FEW: dict[str, list[str]] = {
    "map": [
        "'the generator bends noise into data' of size 10.5",
        "'' 0 to 1, '' in black 0 to 1",
        "'noise has more than one dimension' at (0.5, 0.5) center center",
        "spines left right bottom; grid [(0.2, 0.5)]; shown False",
    ],
    "losses": [
        "'losses, mean over each print interval' of size 10.5",
        "'training step' 0.945 to 1.055, 'loss' in black -0.875 to 0.775",
        "D real: #0072B2 1.8 - o None, 1 from 1 to 1, mean 0.7",
        "D fake: #E69F00 1.8 - o None, 1 from 1 to 1, mean 0.6",
        "G: #009E73 1.8 - o None, 1 from 1 to 1, mean -0.8",
        "0.69: D cannot tell: #333333 0.8 : None None, 2 from 0 to 1, mean 0.69",
        "legend of 1, at 0.50 -0.16, size 9: D real, D fake, G, 0.69: D cannot tell",
        "framed: False",
        "spines left right bottom; grid [(0.2, 0.5)]; shown True",
    ],
    "response": [
        "'D on packs of 5, one sample moved to x, against the best D' of size 10.5",
    ],
}


def test_the_overview_in_words():
    panels = overview((X / 8, X, X + 1), 1, ROWS)
    assert dict(zip(PANELS, panels, strict=True)) == PANELS


def test_an_overview_of_what_is_less_simple():
    """Noise of more dimensions, a D of packs, a single row, a negative loss."""
    _, generator, losses, response, _ = overview(None, 5, [ROWS[0] | {"g": -0.8}])
    assert {"map": generator, "losses": losses, "response": response[:1]} == FEW


def test_losses_begin_at_zero_unless_one_is_below():
    for history, names, lowest in (
        ([], ("d_real", "g"), 0.0),
        (ROWS, ("d_real", "g"), 0.0),
        ([row | {"g": 0.0} for row in ROWS], ("g",), 0.0),
        ([ROWS[0] | {"g": -0.001}], ("d_real", "g"), -0.05),
    ):
        axes = plots.new_figure().subplots()
        plots.draw_losses(axes, history, names, None)
        assert axes.get_ylim()[0] == pytest.approx(lowest, abs=0.02)
        assert (axes.get_ylim()[0] == 0.0) == (lowest == 0.0)


def test_the_steps_of_a_long_training_have_commas():
    figure = plots.new_figure()
    axes = figure.subplots()
    plots.draw_losses(axes, ROWS, ("d_real", "d_fake", "g"), 0.69)
    assert axes.xaxis.get_major_formatter()(12_000.0, 0) == "12,000"


def test_a_response_far_above_its_density_stays_in_the_panel():
    """A needle of a density is cut at 1; a flat one is drawn to scale."""
    figure = plots.new_figure()
    axes = figure.subplots()
    plots.draw_response(axes, Response(X, X / 8, X / 8, 1e9 * DENSITY, 1), mg.Gaussian(4.0, 1.25))
    p, q = (area.get_paths()[0].vertices[:, 1].max() for area in axes.collections)
    assert p == pytest.approx(0.45)
    assert q == 1.0


@pytest.fixture(autouse=True)
def _settings_of_matplotlib():
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


WINDOWLESS = ["agg", "cairo", "pdf", "pgf", "ps", "svg", "template"]


@pytest.mark.parametrize("backend", [*WINDOWLESS, "Agg", "QtAgg", "TkAgg", "MacOSX"])
def test_a_figure_is_shown_where_there_is_a_window(backend, monkeypatch):
    monkeypatch.setattr("matplotlib.pyplot.get_backend", lambda: backend)
    if backend.lower() in WINDOWLESS:
        with pytest.raises(ValueError, match=f"{backend!r}, which opens no window"):
            plots.require_window()
    else:
        plots.require_window()


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan")])
def test_a_density_needs_a_width(std):
    with pytest.raises(ValueError, match="std must be"):
        mg.Gaussian(4.0, std)
