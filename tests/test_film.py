"""Films of recorded runs: what is drawn is what was recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image

import minigan as mg
from minigan.cli.main import main
from minigan.data.images import to_pixels
from minigan.evaluation.pictures import TILE, grid
from minigan.evaluation.plots import new_figure
from minigan.replay import panels, plane_panels
from minigan.replay.film import Film, panels_of, title_of
from minigan.replay.panels import labelled
from minigan.replay.recorded_run import loss_of
from minigan.training.frames import Frames, Recording, read_frames

STEPS = [0, 1, 3, 700]
LOSSES = ["d_real", "d_fake", "g"]
X, Z = np.linspace(0.0, 8.0, 17), np.linspace(0.0, 1.0, 5)
NUMBER = {"before": (300,), "push": (300,), "density": (17,), "learned": (17,), "map": (5,)}
PLANE = {"before": (40, 2), "after": (40, 2), "push": (40, 2), "field": (5, 5)}
GRID = {"grid": (2, 3, 4, 2)}
SCENES: dict[str, dict[str, Any]] = {
    "number": {
        "span": [0.0, 8.0],
        "density": mg.Gaussian(4.0, 1.25).density(X).tolist(),
        "mean": 4.0,
        "std": 1.25,
        "z": Z.tolist(),
        "exact": (8.0 * Z).tolist(),
        "exact_falling": (8.0 - 8.0 * Z).tolist(),
    },
    "plane": {"span": [[-1.0, 1.0], [-2.0, 0.0]], "real": [[0.0, -1.0], [0.5, -1.5]]},
    "image": {"shape": [3, 2], "columns": 5, "labels": None},
}


def record(path: Path, form: str, arrays: dict[str, tuple[int, ...]], **scene: Any) -> None:
    """Write a recording whose numbers differ from frame to frame and from place to place."""
    frames, random = Frames(path), np.random.default_rng(0)
    about = [
        {"name": name, "shape": [*shape], "levels": 4095, "range": None}
        for name, shape in arrays.items()
    ]
    shared = {"output": "score", "targets": [1.0, 0.0], "pack": 1}
    place = SCENES["plane" if form == "vector" else form]
    frames.start({"form": form, "every": 1, "arrays": about, "scene": {**place, **shared, **scene}})
    for k, step in enumerate(STEPS):
        values = {name: 0.5 + 0.1 * i + 0.01 * k for i, name in enumerate(LOSSES)}
        made = {name: random.uniform(0.0, 1.0, shape) for name, shape in arrays.items()}
        frames.add(step, {**values, "mean": 4.0 + k}, made)


def recording_of(
    folder: Path, form: str, arrays: dict[str, tuple[int, ...]], **scene: Any
) -> Recording:
    record(folder / "frames.jsonl", form, arrays, **scene)
    return read_frames(folder / "frames.jsonl")


def film_of(recording: Recording) -> Film:
    return Film(recording, "a title", LOSSES, 0.69)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory) -> Film:
    """A film of numbers with all panels: drawing what stays takes half a second."""
    folder = tmp_path_factory.mktemp("numbers")
    return film_of(recording_of(folder, "number", {**NUMBER, "optimal": (17,)}))


def bare_axes() -> Any:
    return new_figure().subplots()


def axes_of(film: Film, title: str) -> Any:
    (axes,) = (axes for axes in film.canvas.figure.axes if axes.get_title().startswith(title))
    return axes


def arrows_of(axes: Any) -> Any:
    """The arrows (n, 2) and their places (n, 2)."""
    (quiver,) = (one for one in axes.collections if hasattr(one, "U"))
    return np.stack([quiver.U, quiver.V], axis=-1), quiver.get_offsets()


def test_a_film_of_numbers_shows_what_was_recorded(numbers):
    film, recording = numbers, numbers.recording
    first, middle = film[0][1], film[2][1]
    assert first.shape == middle.shape == (496, 800, 3)
    assert first.dtype == np.uint8
    assert "step 3\u2007\u2007   mean 6.00" in film.title.get_text()

    samples, shown = axes_of(film, "samples"), slice(None, None, 3)
    dots, (arrows, places) = samples.lines[-1], arrows_of(samples)
    np.testing.assert_allclose(dots.get_xdata(), recording.array("before")[2, shown])
    np.testing.assert_allclose(places[:, 0], recording.array("before")[2, shown])
    np.testing.assert_array_equal(places[:, 1], dots.get_ydata())
    assert (samples.get_ylim()[0] < places[:, 1]).all()
    assert (places[:, 1] < 0.0).all()
    push = recording.array("push")[2, shown]
    short = push < 0.85  # the longest tenth are cut
    ratio = arrows[short, 0] / push[short]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)
    assert (arrows[:, 0] > 0.0).all()
    assert not arrows[:, 1].any()
    heights = samples.collections[0].get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(recording.array("density")[2].max())

    lines = axes_of(film, "G turns").lines
    np.testing.assert_array_equal(labelled(lines, "G(z)").get_ydata(), recording.array("map")[2])
    lines = axes_of(film, "D against").lines
    np.testing.assert_array_equal(labelled(lines, "D").get_ydata(), recording.array("learned")[2])
    best = labelled(lines, "best D").get_ydata()
    np.testing.assert_array_equal(best, recording.array("optimal")[2])
    areas = axes_of(film, "D against").collections
    shares = labelled(areas, "generated q").get_paths()[0].vertices[:, 1]
    density = recording.array("density")[2] / max(SCENES["number"]["density"])
    assert shares.max() == pytest.approx(min(0.45 * density.max(), 1.0))

    losses = axes_of(film, "losses")
    assert losses.lines[-1].get_xdata() == [3.0, 3.0]
    g = labelled(losses.lines, "G")
    np.testing.assert_array_equal(g.get_xdata(), STEPS)
    np.testing.assert_allclose(g.get_ydata(), recording.values["g"])
    places = losses.transData.transform([[step, 0.5] for step in STEPS])[:, 0]
    np.testing.assert_allclose(np.diff(places), np.diff(places)[0])  # equal distances of frames


def test_a_frame_does_not_depend_on_those_before(numbers):
    once = [numbers[k][1] for k in range(4)]
    assert all((one != once[0]).any() for one in once[1:])
    np.testing.assert_array_equal(numbers[1][1], once[1])
    np.testing.assert_array_equal(numbers[-1][1], once[3])
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "axes.facecolor": "black"}):
        np.testing.assert_array_equal(film_of(numbers.recording)[3][1], once[3])
        assert matplotlib.rcParams["font.size"] == 30
    with pytest.raises(IndexError):
        numbers[4]


def test_the_map_that_G_comes_close_to_is_drawn(tmp_path):
    rising = {"exact": Z, "exact_falling": -9.0 - Z}
    falling = {"exact": 9.0 + Z, "exact_falling": 1.0 - Z}
    for maps, chosen in ((rising, "exact"), (falling, "exact_falling")):
        scene = {name: one.tolist() for name, one in maps.items()}
        axes = bare_axes()
        panels.map_panel(axes, recording_of(tmp_path, "number", NUMBER, **scene))
        drawn = labelled(axes.lines, "exact map").get_ydata()
        np.testing.assert_array_equal(drawn, maps[chosen])


def test_a_recording_has_the_panels_that_it_can_fill(tmp_path):
    def chosen(form: str, arrays: dict[str, tuple[int, ...]]) -> list[str]:
        panels = panels_of(recording_of(tmp_path, form, arrays))
        return [panel.__name__.removesuffix("_panel") for panel in panels]

    assert chosen("number", NUMBER) == ["density", "map", "response"]
    arrays = {name: NUMBER[name] for name in ("before", "push", "density")}
    assert chosen("number", arrays) == ["density"]
    assert chosen("plane", PLANE | GRID) == ["field", "grid"]
    assert chosen("plane", PLANE) == ["field", "points"]
    assert chosen("plane", {"after": (40, 2)} | GRID) == ["grid", "points"]
    assert chosen("vector", {"after": (40, 2)}) == ["points"]
    assert chosen("image", {"after": (4, 6)}) == ["images"]


def test_a_critic_has_an_axis_for_all_frames(tmp_path):
    recording, axes = recording_of(tmp_path, "number", NUMBER, targets=None), bare_axes()
    move = panels.response_panel(axes, recording)
    low, high = axes.get_ylim()
    learned = recording.array("learned")
    assert low < np.quantile(learned, 0.01) < np.quantile(learned, 0.99) < high
    move(2)
    np.testing.assert_array_equal(labelled(axes.lines, "D").get_ydata(), learned[2])


def test_the_field_of_a_critic_is_less_its_median(tmp_path):
    recording, axes = recording_of(tmp_path, "plane", PLANE, targets=None), bare_axes()
    plane_panels.field_panel(axes, recording)(2)
    D = recording.array("field")[2]
    np.testing.assert_allclose(axes.images[0].get_array(), D - np.median(D))
    low, high = axes.images[0].get_clim()
    assert low == -high


def test_a_film_of_points_shows_what_was_recorded(tmp_path):
    recording = recording_of(tmp_path, "plane", PLANE | GRID)
    film = film_of(recording)
    assert film[2][1].shape == (592, 800, 3)
    axes = axes_of(film, "D, and")
    (shown,) = axes.images
    np.testing.assert_array_equal(shown.get_array(), recording.array("field")[2])
    assert sum(shown.get_clim()) == pytest.approx(1.0)  # around the middle of the targets
    assert shown.get_extent() == [-1.25, 1.25, -2.25, 0.25]  # five places, from end to end
    assert shown.origin == "lower"
    arrows, places = arrows_of(axes)
    np.testing.assert_allclose(places, recording.array("before")[2])
    x, y = recording.array("push")[2].T
    np.testing.assert_allclose(arrows[:, 0] * y, arrows[:, 1] * x, rtol=1e-5)
    assert (arrows > 0.0).all()
    assert np.linalg.norm(arrows, axis=1).max() == pytest.approx(panels.LONGEST * 2.0)
    np.testing.assert_array_equal(np.stack(axes.lines[-1].get_data(), -1), places)

    lines = axes_of(film, "G bends").lines[1:]
    expected = recording.array("grid")[2].reshape(6, 4, 2)
    np.testing.assert_array_equal([np.stack(line.get_data(), -1) for line in lines], expected)


def test_points_without_a_grid(tmp_path):
    recording, axes = recording_of(tmp_path, "vector", {"after": (40, 2)}), bare_axes()
    plane_panels.points_panel(axes, recording)(1)
    dots = np.stack(axes.lines[1].get_data(), -1)
    np.testing.assert_array_equal(dots, recording.array("after")[1])


def test_a_film_of_images_shows_what_was_recorded(tmp_path):
    recording = recording_of(tmp_path, "image", {"after": (25, 6)})
    recording.codes["after"][3, 4] = 0  # an image that is not finite
    film = film_of(recording)
    film[3]
    (shown,) = axes_of(film, "samples").images
    made = recording.array("after")[3]
    assert np.isnan(made[4]).all()
    made[4] = 0.0  # grey
    np.testing.assert_array_equal(shown.get_array(), grid(to_pixels(made, (3, 2)), 5, TILE))


@pytest.mark.parametrize(
    ("form", "arrays"), [("number", {**NUMBER, "optimal": (17,)}), ("plane", PLANE | GRID)]
)
def test_a_run_that_became_nan_has_a_film(form, arrays, tmp_path):
    recording = recording_of(tmp_path, form, arrays)
    for codes in recording.codes.values():
        codes[2:] = 0
    for values in recording.values.values():
        values[2:] = np.nan
    film = film_of(recording)
    assert (film[1][1] != film[2][1]).any()
    assert film.title.get_text() == "a title\nstep 3\u2007\u2007"  # without numbers
    assert (film[0][1] != film[1][1]).any()


def test_arrows_have_true_ratios_over_the_whole_film():
    push = np.linspace(0.0, 1.0, 101).reshape(1, 101, 1) * np.array([[[1.0]], [[-0.5]]])
    arrows = panels.shortened(push)  # (2, 101, 1)
    most = np.quantile(np.abs(push), 0.9)
    inside = np.abs(push) < most
    np.testing.assert_allclose(arrows[inside], push[inside] / most)
    np.testing.assert_allclose(np.abs(arrows[~inside]), 1.0)
    assert not panels.shortened(np.zeros((2, 3, 2))).any()


def test_the_axis_of_steps_has_round_ticks_that_do_not_touch():
    steps = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 50, 100, 500, 1000, 1500, 1730]
    ticks, labels = panels.legible_steps(steps)
    assert ticks == [0, 5, 10, 100, 1730]
    assert labels[-1] == "1,730"
    assert panels.legible_steps([7]) == ([7], ["7"])
    assert panels.legible_steps([0, 3]) == ([0, 1, 2, 3], ["0", "1", "2", "3"])


def test_a_form_that_no_film_shows():
    recording = Recording({"form": "sound", "arrays": [], "scene": {}}, [0], {}, {}, {})
    with pytest.raises(mg.DataError, match="frames of the form 'sound'"):
        panels_of(recording)
    with pytest.raises(mg.DataError, match="at least one frame"):
        Film(Recording({"form": "number"}, [], {}, {}, {}), "", LOSSES, None)


def test_a_title_says_what_is_known():
    recipe = {"name": "stable", "seed": 3}
    assert title_of({"recipe": recipe, "data": {"data": "Grid"}}) == "Grid, recipe 'stable', seed 3"
    assert title_of({"recipe": {}, "data": {"data": "Images", "dataset": "mnist"}}) == "mnist"


def test_the_loss_of_a_class_that_is_not_here_has_no_line():
    known = {"gan": {"loss": mg.NonSaturating().to_config()}}
    assert loss_of(known) == mg.NonSaturating()
    assert loss_of({"gan": {"loss": {"loss": "Elsewhere"}}}) is None
    assert loss_of({"gan": {}}) is None


@pytest.fixture
def run(tmp_path) -> Path:
    """A run of two steps, and a recording."""
    G, D = (mg.Sequential(mg.Linear(1, 1), name=name) for name in "gd")
    gan = mg.GAN(G, D, mg.Uniform(dim=1))
    settings: dict[str, Any] = {"print_every": 1, "recipe": {"name": "tiny"}, "progress": False}
    mg.Trainer(gan, mg.Gaussian(), tmp_path / "run", batch=4, **settings).fit(steps=2)
    record(tmp_path / "run" / "frames.jsonl", "number", NUMBER)
    return tmp_path / "run"


def test_the_command_writes_a_film_into_the_run_folder(run, capsys):
    assert main(["film", str(run), "--frames", "3"]) == 0
    assert capsys.readouterr().out == f"3 frames, 2.2 seconds in {run / 'film.gif'}\n"
    with Image.open(run / "film.gif") as made:
        assert (made.size, made.n_frames) == ((800, 496), 3)
        made.seek(2)
        assert made.info["duration"] == 2000


@pytest.mark.parametrize(
    ("words", "frames", "fps"),
    [((), 150, 15), (("--frames", "7"), 7, 15), (("--seconds", "3", "--fps", "20"), 60, 20)],
)
def test_how_long_a_film_is(words, frames, fps, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "minigan.cli.film.write_film", lambda run, out, **how: asked.append((out.name, how)) or ""
    )
    assert main(["film", "run", "--out", str(tmp_path / "a.mp4"), *words]) == 0
    assert asked == [("a.mp4", {"frames": frames, "fps": fps})]


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        (lambda file: file.unlink(), (), "has no recording"),
        (lambda file: file.write_bytes(file.read_bytes().split(b"\n")[0] + b"\n"), (), "no frame"),
        (lambda file: file.write_bytes(b"{}\n"), (), "frames.jsonl"),
        (None, ("--out", "film.png"), "a film ends in .gif or .mp4, not 'film.png'"),
    ],
)
def test_a_film_that_cannot_be(change, words, said, run, capsys, monkeypatch):
    monkeypatch.chdir(run.parent)
    if change is not None:
        change(run / "frames.jsonl")
    try:
        code: object = main(["film", str(run), *words])
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert said in capsys.readouterr().err
    assert not [*run.parent.rglob("*.gif"), *run.parent.rglob("*.png")]
