"""The figure of the 1-D experiment, in words: what is drawn where, and how.

A change of its look is a change of these words.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib import colors
from matplotlib.patches import StepPatch
from running import run_python

import minigan as mg
from minigan.evaluation import Response, forms, plots


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
    for step in (patch for patch in axes.patches if isinstance(patch, StepPatch)):
        values, edges, _ = step.get_data()
        told.append(
            f"{step.get_label()}: {hexadecimal(step)} {len(values)} "
            f"of area {np.sum(values * np.diff(edges)):.3f}"
        )
    for bars in axes.containers:
        area = sum(bar.get_width() * bar.get_height() for bar in bars)
        told.append(f"{bars[0].get_label()}: {hexadecimal(bars[0])} {len(bars)} of area {area:.3f}")
    for text in axes.texts:
        told.append(f"{text.get_text()!r} at {text.get_position()} {text.get_ha()} {text.get_va()}")
    if (legend := axes.get_legend()) is not None:
        texts = legend.get_texts()
        rows = len({round(text.get_window_extent().y0) for text in texts})
        words = ", ".join(text.get_text() for text in texts)
        told.append(f"legend of {rows}, size {texts[0].get_fontsize():g}: {words}")
        told.append(f"framed: {legend.get_frame_on()}")
        assert legend.get_window_extent().y1 < axes.xaxis.get_tightbbox().y0  # below the axis
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
    {"step": k, "d_real": 0.7, "d_fake": 0.6, "g": g, "mean": 3 + g, "std": g}
    for k, g in ((1, 0.9), (2, 0.8), (3, 0.7))
]


def overview(generator_map: Any, pack: int, history: list[dict]) -> list[list[str]]:
    """The figure of a run: its game is only asked for samples, which are `SAMPLES`."""
    game: Any = SimpleNamespace(
        ops=SimpleNamespace(to_host=lambda X: X),
        sample=lambda n, seed: SAMPLES,
        discriminator=SimpleNamespace(condition_features=0),
        loss=mg.NonSaturating(),
        columns=("d_real", "d_fake", "g"),
    )
    response = Response(X, X / 8, 1 - X / 8, DENSITY / 2, pack)
    figure, data = plots.new_figure(), mg.Gaussian(4.0, 1.25)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forms, "generator_map", lambda *_: generator_map)
        patch.setattr(forms, "discriminator_response", lambda *_: response)
        patch.setattr(forms, "_range", lambda *_: (0.0, 8.0))
        forms.form_of(data).draw(figure, "a title", game, data, history)
    figure.draw_without_rendering()
    title = figure._suptitle
    scores = "mean 4.000 (real 4), std 1.733 (real 1.25), KS 0.136"
    assert title.get_text() == f"a title\n{scores}"
    assert (title.get_fontsize(), title.get_color()) == (14, plots.INK)
    assert figure.get_size_inches().tolist() == [10.0, 7.2]
    return [described(axes) for axes in figure.axes]


PANELS: dict[str, list[str]] = {
    "samples": [
        "'samples' of size 11.5",
        "'x' 0 to 8, 'density' in black 0 to 0.3351",
        "real: #0072B2 2 - None None, 400 from 0 to 8, mean 0.1245",
        "generated: #e69f00a6 100 of area 1.000",
        "legend of 1, size 10: generated, real",
        "framed: False",
        "spines left bottom; grid [(0.25, 0.6)]; shown True",
    ],
    "map": [
        "'G turns noise into data' of size 11.5",
        "'noise z' -0.05 to 1.05, 'x' in black -0.45 to 9.45",
        "exact map: #0072B2 2 - None None, 50 from 0 to 1, mean 5",
        "G(z): #E69F00 2 -- None None, 50 from 0 to 1, mean 4",
        "legend of 1, size 10: exact map, G(z)",
        "framed: False",
        "spines left bottom; grid [(0.25, 0.6)]; shown True",
    ],
    "response": [
        "'D against the best D' of size 11.5",
        "'x' 0 to 8, 'probability of real' in black -0.03 to 1.03",
        "best D: #333333 2 - None None, 50 from 0 to 8, mean 0.5",
        "D: #009E73 2 -- None None, 50 from 0 to 8, mean 0.5",
        "real p: #0072b22e up to 0.45",
        "generated q: #e69f002e up to 0.225",
        "legend of 2, size 10: real p, generated q, best D, D",
        "framed: False",
        "spines left bottom; grid [(0.25, 0.6)]; shown True",
    ],
    "losses": [
        "'losses, mean over each interval' of size 11.5",
        "'training step' 0.9 to 3.1, 'loss' in black 0.585 to 0.915",
        "D real: #009E73 2 - None None, 3 from 1 to 3, mean 0.7",
        "D fake: #009E73 2 -- None None, 3 from 1 to 3, mean 0.6",
        "G: #E69F00 2 - None None, 3 from 1 to 3, mean 0.8",
        "0.69: D cannot tell: #333333 1 : None None, 2 from 0 to 1, mean 0.6931",
        "legend of 2, size 10: D real, D fake, G, 0.69: D cannot tell",
        "framed: False",
        "spines left bottom; grid [(0.25, 0.6)]; shown True",
    ],
    "mean": [
        "'samples during training' of size 11.5",
        "'' 0.9 to 3.1, 'mean' in black 3.685 to 4.015",
        "generated: #E69F00 2 - None None, 3 from 1 to 3, mean 3.8",
        "real: #0072B2 1.4 - None None, 2 from 0 to 1, mean 4",
        "spines left bottom; grid [(0.25, 0.6)]; shown True",
    ],
    "std": [
        "'' of size 11.5",
        "'training step' 0.9 to 3.1, 'std' in black 0.6725 to 1.278",
        "generated: #E69F00 2 - None None, 3 from 1 to 3, mean 0.8",
        "real: #0072B2 1.4 - None None, 2 from 0 to 1, mean 1.25",
        "legend of 1, size 10: generated, real",
        "framed: False",
        "spines left bottom; grid [(0.25, 0.6)]; shown True",
    ],
}
FEW: dict[str, list[str]] = {
    "map": [
        "'G turns noise into data' of size 11.5",
        "'' 0 to 1, '' in black 0 to 1",
        "'the input of G is not\\none number' at (0.5, 0.5) center center",
        "spines left bottom; grid [(0.25, 0.6)]; shown False",
    ],
    "response": [
        "'D on packs of 5' of size 11.5",
        "'x of one sample of a pack' 0 to 8, 'probability of real' in black -0.03 to 1.03",
    ],
    "losses": [
        "'losses, mean over each interval' of size 11.5",
        "'training step' 0.945 to 1.055, 'loss' in black -0.875 to 0.775",
        "D real: #009E73 2 - o None, 1 from 1 to 1, mean 0.7",
        "D fake: #009E73 2 -- o None, 1 from 1 to 1, mean 0.6",
        "G: #E69F00 2 - o None, 1 from 1 to 1, mean -0.8",
        "0.69: D cannot tell: #333333 1 : None None, 2 from 0 to 1, mean 0.6931",
        "legend of 2, size 10: D real, D fake, G, 0.69: D cannot tell",
        "framed: False",
        "spines left bottom; grid [(0.25, 0.6)]; shown True",
    ],
}


def test_the_overview_in_words():
    panels = overview((X / 8, X, X + 1), 1, ROWS)
    assert dict(zip(PANELS, panels, strict=True)) == PANELS


def test_an_overview_of_what_is_less_simple():
    """Noise of more dimensions, a D of packs, a single row, a negative loss."""
    _, generator, response, losses, *_ = overview(None, 5, [ROWS[0] | {"g": -0.8}])
    assert {"map": generator, "response": response[:2], "losses": losses} == FEW


def test_a_history_without_measures_of_the_samples_can_be_drawn():
    *_, mean, std = overview(None, 1, [{"step": 1, "d_real": 0.7, "d_fake": 0.6, "g": 0.9}])
    assert mean[2].endswith("1 from 1 to 1, mean nan")
    assert std[2].endswith("1 from 1 to 1, mean nan")


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([0.5, 0.025], "linear"),
        ([0.5, 0.0249], "log"),
        ([0.5, 0.0], "linear"),
        ([0.5, -20.0], "linear"),
        ([], "linear"),
    ],
)
def test_losses_of_different_sizes_have_a_logarithmic_axis(losses, scale):
    """If it can be: none of them is zero or negative."""
    axes = plots.new_figure().subplots()
    plots.draw_losses(axes, [{"step": k, "g": g} for k, g in enumerate(losses)], ("g",), 0.25)
    assert axes.get_yscale() == scale


def test_the_steps_of_a_long_training_have_commas():
    axes = plots.new_figure().subplots()
    plots.draw_losses(axes, ROWS, ("d_real", "d_fake", "g"), 0.69)
    assert axes.xaxis.get_major_formatter()(12_000.0, 0) == "12,000"


@pytest.mark.parametrize(
    ("targets", "low", "high"), [((1.0, 0.0), -0.25, 1.25), ((-1.0, 3.0), -2.0, 4.0)]
)
def test_a_score_is_no_probability(targets, low, high):
    """Of squared errors D's output is drawn around its targets, however far it goes."""
    axes = plots.new_figure().subplots()
    response = Response(X, 90 * X, X / 8, DENSITY, 1, "score", targets)
    plots.draw_response(axes, response, mg.Gaussian(4.0, 1.25).density(response.x))
    assert axes.get_ylabel() == "output of D"
    assert axes.get_ylim() == (low, high)


def test_a_loss_without_targets_has_no_best_discriminator():
    axes = plots.new_figure().subplots()
    response = Response(X, 90 * X, None, DENSITY, 1, "score", None)
    plots.draw_response(axes, response, mg.Gaussian(4.0, 1.25).density(response.x))
    assert [line.get_label() for line in axes.lines] == ["D"]
    assert axes.get_ylabel() == "output of D"
    assert axes.get_ylim()[1] > 90 * 8


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_settings_of_the_user_change_nothing(suffix, tmp_path):
    G, D = (mg.Sequential(mg.Linear(4, n), name=str(n)) for n in (4, 1))
    game = mg.GAN(G, D, mg.Normal(dim=4))

    def saved(name: str) -> bytes:
        figure = plots.new_figure()
        forms.VectorForm().draw(figure, "a title", game, mg.Samples(np.eye(4)), ROWS)
        plots.save_figure(figure, tmp_path / f"{name}.{suffix}")
        return (tmp_path / f"{name}.{suffix}").read_bytes()

    plain = saved("plain")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.hashsalt": None}):
        assert saved("with settings") == plain
        assert matplotlib.rcParams["font.size"] == 30


DRAW = """
import os, sys
import numpy as np
from minigan.evaluation import plots
figure = plots.new_figure()
with plots.style():
    figure.suptitle("a title")
    figure.subplots().plot([1, 2], label="a line")
plots.save_figure(figure, sys.argv[1])
import matplotlib
print(os.environ.get("MPLBACKEND"), dict.__getitem__(matplotlib.rcParams, "backend"))
"""


def test_nothing_of_the_users_environment_reaches_a_file(tmp_path):
    """Neither settings that need LaTeX, nor a backend that is elsewhere, as in a notebook."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\nbackend: pdf\n")
    inline = "module://matplotlib_inline.backend_inline"
    said = {}
    for name, settings in {
        "settings": {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "MPLBACKEND": "nonsense"},
        "notebook": {"MPLBACKEND": inline, "MPLCONFIGDIR": str(tmp_path / "matplotlibrc")},
        "svg": {"MPLBACKEND": "svg"},
    }.items():
        said[name] = run_python("-c", DRAW, tmp_path / f"{name}.png", **settings).stdout.split()
    assert len({file.read_bytes() for file in tmp_path.glob("*.png")}) == 1
    assert said["svg"] == ["svg", "svg"]  # the user's programs still have their backend
    assert said["settings"] == ["nonsense", "pdf"]
    assert said["notebook"][0] == inline


def test_underflow_is_no_error_in_a_figure_even_if_it_is_one_for_the_user():
    x = np.linspace(0.0, 8.0, 9)
    figure = plots.new_figure()
    with np.errstate(all="raise"), plots.style():
        tail = np.full(9, 5e-324)
        p = mg.Gaussian(4.0, 1e-1).density(x)
        plots.draw_response(figure.subplots(), Response(x, x / 8, x / 8, tail, 1), p)


def test_a_response_far_above_its_density_stays_in_the_panel():
    """A needle of a density is cut at 1; a flat one is drawn to scale."""
    figure = plots.new_figure()
    axes = figure.subplots()
    p = mg.Gaussian(4.0, 1.25).density(X)
    plots.draw_response(axes, Response(X, X / 8, X / 8, 1e9 * DENSITY, 1), p)
    p, q = (area.get_paths()[0].vertices[:, 1].max() for area in axes.collections)
    assert p == pytest.approx(0.45)
    assert q == 1.0


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


def test_samples_outside_the_panel_take_their_share_of_the_histogram():
    x = np.linspace(0.0, 8.0, 9)
    axes = plots.new_figure().subplots()
    samples = np.concatenate([np.linspace(1.0, 7.0, 300), np.full(100, 50.0)])
    plots.draw_samples(axes, samples, mg.Gaussian(4.0, 1.25), x)
    heights, edges, _ = axes.patches[0].get_data()
    assert (heights * np.diff(edges)).sum() == pytest.approx(0.75)
