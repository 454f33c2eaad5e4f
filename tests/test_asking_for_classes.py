"""Samples of a class: on the command line, in grids, and in walks from class to class."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import minigan as mg
from minigan.cli.common import codes, labels
from minigan.cli.interpolate import walk
from minigan.cli.main import main
from minigan.data.images import to_pixels
from minigan.evaluation import form_of, forms, plots
from minigan.evaluation.forms import generator_map
from minigan.evaluation.grids import grid_of, sample_classes, shown_classes
from minigan.evaluation.pictures import grid, load_png
from minigan.evaluation.plane import field_of, limits, warped_grid
from minigan.experiment import images

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (12, 4, 4), dtype=np.uint8)


def conditional(classes: int, features: int = 16, dim: int = 2) -> mg.ConditionalGAN:
    """An untrained game, whose samples depend on the noise and on the class."""
    G = mg.Sequential(
        *(mg.AppendCondition(dim, classes), mg.Linear(dim + classes, features), mg.Tanh()), name="g"
    )
    D = mg.Sequential(
        mg.AppendCondition(features, classes), mg.Linear(features + classes, 1), name="d"
    )
    return mg.ConditionalGAN(G, D, mg.Normal(dim=dim))


def info(features: int = 16, dim: int = 2) -> mg.InfoGAN:
    """The same with three categories and two continuous codes."""
    G = mg.Sequential(
        *(mg.AppendCondition(dim, 5), mg.Linear(dim + 5, features), mg.Tanh()), name="g"
    )
    D = mg.Sequential(mg.Linear(features, 8), mg.ReLU(), mg.Linear(8, 1), name="d")
    return mg.InfoGAN(
        G, D, mg.Sequential(mg.Linear(8, 5), name="q"), mg.Normal(dim=dim), categories=3
    )


def plain() -> mg.GAN:
    G = mg.Sequential(mg.Linear(2, 16), mg.Tanh(), name="g")
    return mg.GAN(G, mg.Sequential(mg.Linear(16, 1), name="d"), mg.Normal(dim=2))


RUNS: dict[str, Any] = {
    "CGAN": lambda: (conditional(3), mg.Images(PIXELS, labels=np.arange(12) % 3)),
    "INFO": lambda: (info(), mg.Images(PIXELS)),
    "GAN": lambda: (plain(), mg.Images(PIXELS)),
    "VECTORS": lambda: (
        conditional(3, 2),
        mg.Samples(RANDOM.normal(size=(9, 2)), labels=np.arange(9) % 3),
    ),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """An untrained run of each."""
    folders = {}
    for name, make in RUNS.items():
        folders[name] = tmp_path_factory.mktemp("runs") / name
        mg.Trainer(*make(), folders[name], batch=3, progress=False)
    return folders


@pytest.fixture
def minigan(runs, tmp_path, monkeypatch):
    """Runs the command in an empty folder; returns the exit code."""
    monkeypatch.chdir(tmp_path)

    def command(words: str) -> int:
        try:
            return main([str(runs.get(word, word)) for word in words.split()])
        except SystemExit as end:  # argparse's way
            return int(end.code)

    return command


def array(name: str) -> np.ndarray:
    made = np.load(name, allow_pickle=False)
    return made.reshape(len(made), -1)


def conditions(game: mg.Game, n: int, label: int, **options: Any) -> np.ndarray:
    return np.array(game.draw_condition(n, 0, label, **options))


# -- minigan sample ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CGAN", "INFO"])
def test_one_class(name, runs, minigan):
    assert minigan(f"sample {name} --label 2 --n 5 --out a.npy") == 0
    assert minigan(f"sample {name} --label 2 --n 5 --out a.png") == 0
    expected = mg.load_run(runs[name]).gan.sample(5, seed=0, labels=2)
    np.testing.assert_array_equal(array("a.npy"), expected)
    np.testing.assert_array_equal(load_png("a.png"), grid(to_pixels(expected, (4, 4)), 3))


@pytest.mark.parametrize("name", ["CGAN", "INFO"])
def test_a_class_a_row_and_the_same_noise_and_codes_in_a_column(name, runs, minigan, capsys):
    for out in ("a.npy", "a.png"):
        assert minigan(f"sample {name} --labels 201 --n 5 --seed 7 --out {out}") == 0
    gan = mg.load_run(runs[name]).gan
    C = np.concatenate([gan.draw_condition(5, 7, label) for label in (2, 0, 1)])
    np.testing.assert_array_equal(C[:, :3].argmax(axis=1), np.repeat([2, 0, 1], 5))
    np.testing.assert_array_equal(C[:5, 3:], C[5:10, 3:])
    expected = gan.sampler.predict(np.tile(gan.draw_noise(5, 7), (3, 1)), C)
    made = array("a.npy")
    np.testing.assert_allclose(made, expected, atol=1e-6)
    np.testing.assert_array_equal(load_png("a.png"), grid(to_pixels(made, (4, 4)), 5, 56))
    assert "15 samples in a.png" in capsys.readouterr().out
    assert minigan(f"sample {name} --labels 20 --out b.npy") == 0
    assert len(array("b.npy")) == 2 * 10


def test_a_picture_shows_every_class_if_nothing_is_asked_for(runs, minigan):
    assert minigan("sample CGAN") == 0
    gan = mg.load_run(runs["CGAN"]).gan
    rows = np.concatenate([gan.sample(10, seed=0, labels=label) for label in range(3)])
    expected = grid(to_pixels(rows, (4, 4)), columns=10, tile=56)
    np.testing.assert_array_equal(load_png("samples.png"), expected)
    for flags, n in (("--n 6 --out a.npy", 6), ("--out a.npy", 25)):
        assert minigan(f"sample CGAN {flags}") == 0
        np.testing.assert_array_equal(array("a.npy"), gan.sample(n, seed=0))  # they take turns
    assert minigan("sample CGAN --n 6 --out a.png") == 0
    expected = grid(to_pixels(gan.sample(6, seed=0), (4, 4)), 3)
    np.testing.assert_array_equal(load_png("a.png"), expected)


def test_codes_are_those_that_were_asked_for(runs, minigan):
    gan = mg.load_run(runs["INFO"]).gan
    for flags, label in (("--label 1", 1), ("--labels 1,", 1), ("", None)):
        assert minigan(f"sample INFO {flags} --codes=-1,0.5 --n 4 --out a.npy") == 0
        expected = gan.sample(4, seed=0, labels=label, codes=[-1.0, 0.5])
        np.testing.assert_array_equal(array("a.npy"), expected)


def test_points_of_some_classes(minigan, capsys):
    for flags, n in (("--labels 02", 20), ("", 2000)):
        assert minigan(f"sample VECTORS {flags} --out a.png") == 0
        assert f"{n:,} samples" in capsys.readouterr().out


def test_labels_are_digits_or_numbers_with_commas():
    assert labels("0123456789") == [*range(10)]
    assert labels("3,11") == [3, 11]
    assert labels("11,") == [11]
    assert codes("0.5,-1") == [0.5, -1.0]


# -- minigan interpolate ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["CGAN", "INFO"])
def test_from_class_to_class(name, runs, minigan, capsys):
    """Each walk has noise of its own, and each class of the walk is met."""
    assert minigan(f"interpolate {name} --labels 201 --rows 4 --steps 5 --out a.npy") == 0
    assert "4 walks of 9 samples in a.npy" in capsys.readouterr().out
    gan, walks = mg.load_run(runs[name]).gan, array("a.npy").reshape(4, 9, 16)
    for at, label in ((0, 2), (4, 0), (8, 1)):
        np.testing.assert_allclose(walks[:, at], gan.sample(4, seed=0, labels=label), atol=1e-6)
    C = 0.75 * conditions(gan, 4, 2) + 0.25 * conditions(gan, 4, 0)
    expected = gan.sampler.predict(gan.draw_noise(4, 0), C.astype("float32"))
    np.testing.assert_allclose(walks[:, 1], expected, atol=1e-6)
    assert minigan(f"interpolate {name} --labels 201 --rows 4 --steps 5 --out a.png") == 0
    expected = grid(to_pixels(walks.reshape(36, 16), (4, 4)), 9, tile=72)
    np.testing.assert_array_equal(load_png("a.png"), expected)


def test_along_a_code(runs, minigan, capsys):
    """A walk for each category; the noise changes after the last one."""
    gan = mg.load_run(runs["INFO"]).gan
    Z = gan.draw_noise(2, 0)
    for code, rows in itertools.product((0, 1), (None, 5)):
        flags = "" if rows is None else f"--rows {rows}"
        assert minigan(f"interpolate INFO --code {code} {flags} --steps 3 --out a.npy") == 0
        assert f"{rows or 3} walks of 3 samples" in capsys.readouterr().out
        walks = array("a.npy").reshape(rows or 3, 3, 16)
        for i, made in enumerate(walks):
            values = np.zeros((3, 2))
            values[:, code] = [-2.0, 0.0, 2.0]
            C = conditions(gan, 3, i % 3, codes=values)
            expected = gan.sampler.predict(Z[[i // 3] * 3], C)
            np.testing.assert_allclose(made, expected, atol=1e-6)


def test_a_walk_through_the_noise_is_of_one_class(runs, minigan):
    gan = mg.load_run(runs["CGAN"]).gan
    assert minigan("interpolate CGAN --rows 4 --steps 3 --out a.npy") == 0
    Z = walk(gan.noise, gan.draw_noise(5, 0), 3).astype("float32")  # (12, 2)
    C = np.eye(3, dtype="float32")[np.repeat([0, 1, 2, 0], 3)]
    np.testing.assert_allclose(array("a.npy"), gan.sampler.predict(Z, C), atol=1e-6)


def test_films_of_walks(minigan):
    for flags, frames in (("--labels 012 --steps 4", 12), ("--code 1 --steps 4", 6)):
        assert minigan(f"interpolate INFO {flags} --out a.gif") == 0
        with Image.open("a.gif") as film:  # forward and backward
            assert film.n_frames == frames


def test_walks_of_points(minigan):
    """There is a picture of those through the noise, and an array of all."""
    assert minigan("interpolate VECTORS --out a.png") == 0
    assert minigan("interpolate VECTORS --labels 02 --out a.npy") == 0


# -- what is refused --------------------------------------------------------------------


NONE = "takes noise alone, no labels or codes"
REFUSED = [
    ("sample CGAN --label 3", "3 is no label: there are 3 classes, 0 to 2"),
    ("sample CGAN --labels 0,11", "11 is no label"),
    ("sample INFO --label 3", "3 is no label"),
    ("sample GAN --label 0", NONE),
    ("sample GAN --labels 01", NONE),
    ("sample GAN --codes 1,1", NONE),
    ("sample CGAN --codes 1,1", "has no codes"),
    ("sample INFO --codes 1", "codes must be 2 finite numbers"),
    ("sample INFO --codes 1,2,3", "codes must be 2 finite numbers"),
    ("sample INFO --codes 1e300,0", "codes must be 2 finite numbers"),
    ("sample INFO --codes 1,x", "argument --codes: must be a number, not 'x'"),
    ("sample INFO --codes 1,inf", "argument --codes: must be a number, not 'inf'"),
    ("sample CGAN --label 1 --labels 01", "--labels: not allowed with argument --label"),
    ("sample CGAN --label seven", "argument --label: must be an integer >= 0"),
    ("sample CGAN --labels 1;2", "argument --labels: must be an integer >= 0, not ';'"),
    ("sample CGAN --labels 1,,2", "argument --labels: must be an integer >= 0, not ''"),
    ("sample CGAN --labels=", "argument --labels: must be digits such as 0123"),
    ("interpolate CGAN --labels 1", "needs at least two --labels"),
    ("interpolate CGAN --labels 12 --steps 1", "and two --steps"),
    ("interpolate CGAN --labels 13", "3 is no label"),
    ("interpolate CGAN --code 0", "there is no continuous code 0: the ConditionalGAN has none"),
    ("interpolate INFO --code 2", "no continuous code 2: the InfoGAN has 2 codes, 0 to 1"),
    ("interpolate INFO --code first", "argument --code: must be an integer >= 0"),
    ("interpolate INFO --code 1 --labels 01", "--labels: not allowed with argument --code"),
    ("interpolate GAN --labels 01", NONE),
    ("interpolate GAN --code 1", "no continuous code 1: the GAN has none"),
    ("interpolate CGAN --labels 012 --steps 2000", "8 walks of 3999 samples are more than"),
    ("interpolate CGAN --labels 012 --steps 61 --out a.gif", "a film has at most"),
    ("interpolate VECTORS --labels 01", "can be drawn only of images: write a .npy file"),
]


@pytest.mark.parametrize(("words", "told"), REFUSED)
def test_what_a_run_does_not_have_is_one_sentence(words, told, minigan, tmp_path, capsys):
    assert minigan(words) == 2
    *usage, line = capsys.readouterr().err.splitlines()
    assert line.startswith(f"minigan {words.split()[0]}: error: ")
    assert told in line
    assert not usage or usage[0].startswith("usage: ")
    assert list(tmp_path.iterdir()) == []


# -- grids ------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "rows"), [(2, 2), (10, 10), (26, 20)])
def test_a_grid_has_a_row_for_each_class(classes, rows):
    game = conditional(classes)
    assert shown_classes(game) == [*range(rows)]
    samples = sample_classes(game, range(rows), 10, seed=0)
    before = game.state()[1]
    picture = grid_of(game, (4, 4))
    np.testing.assert_array_equal(picture, grid(to_pixels(samples, (4, 4)), 10, 56))
    assert picture.shape == (rows * 60 + 4, 10 * 60 + 4)
    assert game.state()[1] == before  # the same one again


def test_a_grid_without_classes_has_25_images():
    game = plain()
    assert shown_classes(game) == []
    expected = grid(to_pixels(game.sample(25, seed=0), (4, 4)), columns=5)
    np.testing.assert_array_equal(grid_of(game, (4, 4)), expected)


@pytest.mark.parametrize("name", ["CGAN", "INFO"])
def test_a_run_draws_them_and_its_film_and_its_figure(name, tmp_path):
    class Recipe:
        data, name = "digits", "stable"

    trainer = mg.Trainer(*RUNS[name](), tmp_path, batch=3, progress=False)
    images.draw_grids(trainer, Recipe)
    expected = grid_of(trainer.gan, (4, 4))
    np.testing.assert_array_equal(load_png(tmp_path / "samples" / "epoch-0000.png"), expected)
    assert expected.shape == (3 * 60 + 4, 10 * 60 + 4)
    images.draw_last(trainer, Recipe)
    np.testing.assert_array_equal(load_png(tmp_path / "samples.png"), expected)
    with Image.open(tmp_path / "training.gif") as film:
        assert film.size == (604, 32 + 184)
    figure = plots.new_figure()
    form_of(trainer.data).draw(figure, "a title", trainer.gan, trainer.data, [])
    (shown,) = figure.axes[0].get_images()
    np.testing.assert_array_equal(shown.get_array(), expected)


# -- panels that need one input ---------------------------------------------------------


def test_what_depends_on_the_condition_is_left_out_of_a_figure(monkeypatch):
    """G of noise and a condition is no map of the noise; D of a condition is no map of x."""
    monkeypatch.setattr(forms, "QUICK_NUMBERS", 500)
    for game, panels in (
        (info(2), ["samples", "D, and where it pushes samples"]),
        (conditional(3, 2), ["samples"]),
    ):
        samples = game.sample(500, seed=1)
        span = limits(mg.Ring().reference(2000), samples)
        assert warped_grid(game) is None
        assert (field_of(game, samples, span) is None) == (len(panels) == 1)
        figure = plots.new_figure()
        form_of(mg.Ring()).draw(figure, "a title", game, mg.Ring(), [])
        titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
        assert titles == [*panels, "losses, mean over each interval"]
        assert (figure.axes[0].get_xlim(), figure.axes[0].get_ylim()) == span


@pytest.mark.parametrize("reads", [False, True])
def test_the_figure_of_numbers_says_what_it_leaves_out(reads, monkeypatch):
    monkeypatch.setattr(forms, "DRAWN", 500)
    game = conditional(3, 1, 1) if reads else info(1, 1)
    data, figure = mg.Gaussian(), plots.new_figure()
    assert generator_map(game, data) is None
    form_of(data).draw(figure, "a title", game, data, [])
    _, of_g, of_d, *_ = figure.axes
    assert of_g.texts[0].get_text() == "the input of G is not\none number"
    assert [text.get_text() for text in of_d.texts] == ["D reads\na condition"] * reads
    assert of_d.get_title() == "D against the best D"
    assert bool(of_d.lines) != reads


def test_a_dry_run_of_images_that_are_not_here_has_ten_classes(monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise mg.DownloadError("no network")

    monkeypatch.setattr(images, "load_images", fail)
    monkeypatch.setattr(images, "MNIST_SIZE", 30)
    options: Any = SimpleNamespace(data_dir=None, dry_run=True, resume=False, seed=0, device="cpu")
    data = images.named_images(SimpleNamespace(data="mnist"), options, labelled=True)
    assert (data.size, data.classes) == (30, 10)
