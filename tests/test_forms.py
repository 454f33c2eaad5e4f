"""What is measured and drawn of a run, by the form of its data; and the commands on any form."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import on_samples, registered_only_here, spread
from scipy import stats
from test_figures import described

import minigan as mg
from minigan.cli.main import main as minigan
from minigan.cli.profile import random_data
from minigan.config import CLASSES
from minigan.data.images import to_floats, to_pixels
from minigan.evaluation import FORMS, Form, form_of, forms, plots, score_numbers
from minigan.evaluation.forms import generator_map
from minigan.evaluation.image_scores import frechet_distance
from minigan.evaluation.pictures import grid

RANDOM = np.random.default_rng(0)


class Circle(mg.DataSource):
    """Points on a circle, without end: a source of one's own."""

    size, features, shape = None, 2, ()

    def __init__(self, radius: float = 3.0, seed: int = 0) -> None:
        self.radius, self.seed, self.stream = radius, seed, mg.Stream(seed, "data")

    def draw(self, stream: mg.Stream, out: np.ndarray) -> None:
        angles = stream.words(len(out))[0] / 2**64 * 2 * np.pi
        out[:, 0], out[:, 1] = self.radius * np.cos(angles), self.radius * np.sin(angles)

    def next_batch(self, out: np.ndarray) -> None:
        self.draw(self.stream, out)

    def reference(self, n: int) -> np.ndarray:
        out = np.empty((n, 2))
        self.draw(mg.Stream(0, "data/reference"), out)
        return out

    def state(self) -> dict[str, int]:
        return {"position": self.stream.position}

    def load_state(self, state: dict[str, int]) -> None:
        self.stream.position = state["position"]

    def settings(self) -> dict[str, Any]:
        return {"radius": self.radius, "seed": self.seed}

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *context: Any) -> Circle:
        return cls(**settings)

    @classmethod
    def shape_of(cls, settings: dict[str, Any]) -> tuple[int, ...]:
        return cls.shape


class Table(Circle):
    """With an end. A row of numbers in two dimensions is no image."""

    size, shape = 50, (50, 1, 2)


class Given(Circle):
    """A run must be given it."""

    is_given = True


class Strip(Circle):
    """Images, each of two pixels, that are not `Images`."""

    form, shape = "image", (50, 1, 2)


class Album(Strip):
    """The same, which a run must be given."""

    is_given = True


class Shapeless(Circle):
    """Images that have no shape."""

    form = "image"


class Cloud(Circle):
    """Of a form that is unknown."""

    form = "cloud"


class Number(Circle):
    """Numbers that are not a `Distribution`."""

    form = "number"


OF_ONES_OWN = (Circle, Table, Given, Strip, Album, Shapeless, Cloud, Number)


@pytest.fixture
def registry() -> Iterator[None]:
    """Inside, the classes of one's own are registered."""
    with registered_only_here():
        for kind in OF_ONES_OWN:
            mg.register(kind)
        yield


def gaussian_game(noise: mg.Noise, slope: float = 1.25, shift: float = 4.0, **options: Any) -> Any:
    """A game whose G is slope z + shift."""
    G = mg.Sequential(mg.Linear(noise.dim, 1), name="g", dtype="float64")
    D = mg.Sequential(mg.Linear(1, 4), mg.ELU(), mg.Linear(4, 1), name="d", dtype="float64")
    G.parameters.named()["0.weight"][...] = slope
    G.parameters.named()["0.bias"][...] = shift
    return mg.GAN(G, D, noise, **options)


# -- which ------------------------------------------------------------------------------


def test_every_source_has_its_form(registry):
    for data, name in (
        (mg.Gaussian(), "number"),
        (mg.Samples(np.ones((3, 1))), "vector"),
        (mg.Images(np.zeros((3, 1, 1), np.uint8)), "image"),
        (Circle(), "vector"),
        (Table(), "vector"),
        (mg.Moons(), "plane"),
    ):
        assert data.form == name
        assert form_of(data) is FORMS[name]
    assert list(FORMS) == ["number", "image", "vector", "plane"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (Cloud(), r"^Cloud\.form is 'cloud'; known are number, image, vector, plane$"),
        (Strip(), r"^Strip\.form is 'image', so it must be .*Images$"),
        (Number(), r"^Number\.form is 'number', so it must be .*Distribution$"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_form_that_cannot_be(data, told):
    with pytest.raises(mg.ConfigError, match=told):
        form_of(data)


def test_a_form_of_ones_own(monkeypatch):
    class Clouds(Form):
        source = Cloud

    monkeypatch.setitem(FORMS, "cloud", Clouds())
    assert type(form_of(Cloud())) is Clouds
    for call in (
        lambda form: form.quick_score(None, None),
        lambda form: form.score(None, None),
        lambda form: form.draw(None, "", None, None, []),
    ):
        with pytest.raises(NotImplementedError):
            call(form_of(Cloud()))


# -- scores -----------------------------------------------------------------------------


def test_numbers_are_scored_against_their_distribution():
    samples, data = RANDOM.normal(3.0, 1.0, (500, 1)), mg.Gaussian(4.0, 1.25)
    scores, text = FORMS["number"].score(samples, data)
    assert scores == score_numbers(samples, data).to_dict()
    assert list(scores) == ["mean", "std", "ks", "wasserstein", "n"]
    assert scores["ks"] == pytest.approx(stats.ks_1samp(samples[:, 0], data.cdf).statistic)
    assert text == f"generated: {score_numbers(samples, data)}"


@pytest.mark.parametrize("features", [1, 2, 5])
def test_vectors_are_scored_by_their_frechet_distance(features):
    """To as many real samples, and beside it what two halves of those have."""
    X, samples = (RANDOM.normal(size=(n, features)) for n in (60, 40))
    data = mg.Samples(X, dtype="float64")
    scores, text = FORMS["vector"].score(samples, data)
    real = X[np.arange(40) * 60 // 40]
    assert scores == {
        "frechet": pytest.approx(frechet_distance(samples, real), rel=1e-12),
        "frechet_floor": pytest.approx(frechet_distance(real[::2], real[1::2]), rel=1e-12),
    }
    distances = f"{scores['frechet']:.4g} of 40 samples; two halves of the real ones have"
    assert text == f"Fréchet distance {distances} {scores['frechet_floor']:.4g}"
    few = mg.Samples(X[:4], dtype="float64")
    assert set(FORMS["vector"].score(samples, few)[0]) == set(scores)
    with pytest.raises(mg.DataError, match=r"at least 4 real samples, and these data have 3$"):
        FORMS["vector"].score(samples, mg.Samples(X[:3], dtype="float64"))


def test_scores_of_images_need_a_test_set():
    data = mg.Images(np.zeros((9, 2, 2), np.uint8))
    with pytest.raises(mg.DataError, match=r"a test set with labels: Images\.of\(image_set\)"):
        FORMS["image"].score(np.zeros((5, 4)), data)


def test_the_quick_score_of_numbers_is_the_distance_of_ten_thousand():
    game, data = gaussian_game(mg.Normal()), mg.Gaussian(4.0, 1.25)
    before = game.state()[1]
    expected = score_numbers(game.sample(10_000, seed=1), data).ks
    assert form_of(data).quick_score(data, game) == expected
    assert 0.0 < expected < 0.02
    assert game.state()[1] == before
    assert form_of(data).quick_score(data, gaussian_game(mg.Normal(), shift=5.0)) > 0.25


def test_the_quick_score_of_vectors_and_images_is_a_frechet_distance(tmp_path):
    game = on_samples(tmp_path, features=4).gan
    fake, before = game.sample(2000, seed=0), game.state()[1]
    pixels = RANDOM.integers(0, 256, (2100, 2, 2), dtype=np.uint8)
    X = RANDOM.normal(size=(4000, 4)).astype("float32")
    for data, real in (
        (mg.Images(pixels), to_floats(pixels[:2000])),
        (mg.Samples(X), X[::2]),
        (mg.Samples(X[:9]), X[:9]),
    ):
        score = form_of(data).quick_score(data, game)
        assert score == pytest.approx(frechet_distance(fake, real), rel=1e-9)
    assert game.state()[1] == before


@pytest.mark.parametrize(
    "data", [mg.Samples(np.ones((1, 4))), mg.Images(np.zeros((1, 2, 2), np.uint8))], ids=type
)
def test_one_sample_has_no_distance_and_no_best_checkpoint(data, tmp_path):
    score = functools.partial(form_of(data).quick_score, data)
    trainer = on_samples(tmp_path, features=4, data=data, score=score)
    assert np.isnan(score(trainer.gan))
    trainer.fit(steps=10)
    assert not (tmp_path / "best.safetensors").exists()
    assert mg.load_run(tmp_path).metadata["score"] is None


def test_two_samples_have_one(tmp_path):
    data = mg.Samples(RANDOM.normal(size=(2, 2)))
    score = functools.partial(form_of(data).quick_score, data)
    on_samples(tmp_path, data=data, score=score).fit(steps=10)
    assert mg.load_run(tmp_path, best=True).metadata["score"] > 0.0


# -- figures ----------------------------------------------------------------------------


def drawn(trainer: mg.Trainer) -> tuple[list[list[str]], str, Any]:
    """The panels of the figure of a run in words, what it prints, and the figure."""
    figure = plots.new_figure()
    history = mg.read_history(trainer.history.path)
    before = trainer.gan.state()[1]
    text = form_of(trainer.data).draw(figure, "a title", trainer.gan, trainer.data, history)
    figure.draw_without_rendering()
    assert trainer.gan.state()[1] == before
    title = figure._suptitle
    assert (title.get_text(), title.get_fontsize(), title.get_color()) == ("a title", 14, plots.INK)
    left, right = (axes.get_position() for axes in figure.axes)
    assert left.x1 < right.x0  # side by side
    return [described(axes) for axes in figure.axes], text, figure


def has_losses(panel: list[str]) -> None:
    assert panel[0] == "'losses, mean over each interval' of size 11.5"
    assert panel[1].startswith("'training step' ")
    for line, name in zip(panel[2:5], ("D real", "D fake", "G"), strict=True):
        assert line.startswith(f"{name}: ")
        assert ", 2 from 10 to 20," in line
    assert "0.69: D cannot tell" in panel[5]


AXES = {2: ("first", "second"), 5: ("first of 5 numbers", "second of 5 numbers")}


@pytest.mark.parametrize("features", [2, 5])
def test_the_figure_of_vectors_shows_their_first_two_numbers(features, tmp_path):
    trainer = on_samples(tmp_path, features)
    trainer.fit(steps=20)
    (left, right), text, figure = drawn(trainer)
    has_losses(right)
    x, y = AXES[features]
    assert left[0] == "'samples' of size 11.5"
    assert left[1].startswith(f"'{x}' ")
    assert f", '{y}' in black" in left[1]
    real, fake = figure.axes[0].collections
    np.testing.assert_array_equal(real.get_offsets(), trainer.data.reference(40)[:, :2])
    np.testing.assert_array_equal(fake.get_offsets(), trainer.gan.sample(2000, seed=0)[:, :2])
    assert left[2].startswith("real: #0072b2")
    assert left[3].startswith("generated: #e69f00")
    assert left[4].endswith(": real, generated")
    score = form_of(trainer.data).quick_score(trainer.data, trainer.gan)
    assert text == f"Fréchet distance of the samples {score:.4g}"


def test_the_figure_of_vectors_of_one_number_is_a_histogram(tmp_path):
    trainer = on_samples(tmp_path, 1)
    trainer.fit(steps=20)
    (left, right), text, figure = drawn(trainer)
    has_losses(right)
    assert left[1].startswith("'x' ")
    assert ", 'density' in black" in left[1]
    assert left[2] == "real: #0072b280 60 of area 1.000"
    assert left[3] == "generated: #e69f0080 60 of area 1.000"
    edges = [bar.get_x() for bar in figure.axes[0].containers[0]]
    numbers = np.concatenate([trainer.data.reference(40), trainer.gan.sample(2000, seed=0)])
    assert edges[0] == pytest.approx(numbers.min())
    assert text.startswith("Fréchet distance of the samples ")


def test_the_histogram_of_vectors_is_wide_enough_for_both():
    axes = plots.new_figure().subplots()
    plots.draw_vectors(axes, np.array([[0.0], [9.0]]), np.array([[1.0], [2.0]]))
    for bars in axes.containers:
        assert bars[0].get_x() == pytest.approx(0.0)
        assert bars[-1].get_x() + bars[-1].get_width() == pytest.approx(9.0)


def test_the_figure_of_a_source_of_ones_own(registry, tmp_path):
    trainer = on_samples(tmp_path, data=Circle())
    trainer.fit(steps=20)
    (left, right), _, figure = drawn(trainer)
    has_losses(right)
    real = figure.axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(np.linalg.norm(real, axis=1), np.full(2000, 3.0))
    assert left[0].startswith("'samples'")


def test_the_figure_of_images_shows_25_of_them(tmp_path):
    pixels = RANDOM.integers(0, 256, (40, 2, 3), dtype=np.uint8)
    trainer = on_samples(tmp_path, 6, data=mg.Images(pixels))
    trainer.fit(steps=20)
    (left, right), text, figure = drawn(trainer)
    has_losses(right)
    (image,) = figure.axes[0].get_images()
    expected = grid(to_pixels(trainer.gan.sample(25, seed=0), (2, 3)), columns=5)
    np.testing.assert_array_equal(image.get_array(), expected)
    assert (image.get_cmap().name, image.get_clim()) == ("gray", (0, 255))
    assert left[-1].endswith("shown False")  # no axes
    score = form_of(trainer.data).quick_score(trainer.data, trainer.gan)
    assert text == f"Fréchet distance of pixels {score:.4g}"


def test_the_figure_of_numbers_is_as_wide_as_they_went():
    """The data, or a generator that went elsewhere. The map is left out for wide noise."""
    for game, low, high in (
        (gaussian_game(mg.Normal()), 4 - 4.5 * 1.25, 4 + 4.5 * 1.25),
        (gaussian_game(mg.Normal(dim=2), 3.0, 50.0), 4 - 4.5 * 1.25, 50 + 4.5 * 18**0.5),
        (gaussian_game(mg.Normal(), 3.0, -50.0), -50 - 13.5, 4 + 4.5 * 1.25),
    ):
        figure = plots.new_figure()
        rows = [{"step": 1.0, "d_real": 0.5, "d_fake": 0.5, "g": 0.5}]
        data = mg.Gaussian(4.0, 1.25)
        text = form_of(data).draw(figure, "a title", game, data, rows)
        figure.draw_without_rendering()
        samples, bend, response, *_ = figure.axes
        np.testing.assert_allclose(samples.get_xlim(), (low, high), rtol=0.05)
        assert samples.get_xlim() == response.get_xlim()
        assert bool(bend.get_lines()) == (game.noise.dim == 1)
        first, second = text.splitlines()
        assert first == "real data: mean 4.000   std 1.250"
        assert second == f"generated: {score_numbers(game.sample(100_000, seed=1), data)}"


@pytest.mark.parametrize(
    ("loss", "label"),
    [(mg.NonSaturating(0.9, 0.1), (0.9, 0.1)), (mg.LeastSquares(0.5, -0.5), (0.5, -0.5))],
    ids=["targets of a probability", "targets of a score"],
)
def test_the_best_discriminator_aims_at_the_targets_of_the_loss(loss, label):
    figure, data = plots.new_figure(), mg.Gaussian(4.0, 1.25)
    game = gaussian_game(mg.Normal(), 1.0, 14.0, loss=loss)
    form_of(data).draw(figure, "", game, data, [])
    (best,) = (one for one in figure.axes[2].get_lines() if one.get_label() == "best D")
    assert best.get_ydata()[[80, -40]] == pytest.approx(label, abs=1e-3)  # at 4, and at 14


# -- the generator's map --------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("noise", [mg.Uniform(), mg.Uniform(-3.0, 5.0), mg.Normal(2.0, 0.5)])
def test_the_map_that_would_be_exact_has_the_noises_quantiles(noise, sign):
    """And turns with the generator."""
    data = mg.Gaussian(4.0, 1.25)
    game = gaussian_game(noise, slope=sign * 2.0)
    z, made, exact = generator_map(game, data)
    np.testing.assert_allclose(made, sign * 2.0 * z + 4.0)
    u = (np.arange(500) + 0.5) / 500
    if isinstance(noise, mg.Uniform):
        np.testing.assert_allclose(z, noise.low + (noise.high - noise.low) * u)
    else:
        np.testing.assert_allclose(z, stats.norm.ppf(u, 2.0, 0.5))
    np.testing.assert_allclose(exact, data.quantile(u if sign > 0 else 1 - u))


def test_a_generator_that_has_learned_the_map_lies_on_it():
    z, made, exact = generator_map(gaussian_game(mg.Normal()), mg.Gaussian(4.0, 1.25))
    np.testing.assert_allclose(made, exact)
    assert len(z) == 500


@dataclass(frozen=True)
class Coins(mg.Noise):
    """Noise of one's own, whose quantiles are not told."""

    dim: int = 1

    def fill(self, ops: Any, stream: mg.Stream, out: Any) -> None:
        ops.fill_uniform(stream, -1.0, 1.0, out=out)
        np.sign(out, out=out)


@dataclass(frozen=True)
class ToldCoins(Coins):
    """The same, told."""

    def quantile(self, u: Any) -> Any:
        return np.where(u < 0.5, -1.0, 1.0)


@pytest.mark.parametrize("noise", [mg.Normal(dim=2), mg.Uniform(dim=3), Coins(), ToldCoins(dim=2)])
def test_some_noise_has_no_map(noise):
    assert generator_map(gaussian_game(noise), mg.Gaussian()) is None


def test_noise_of_ones_own_has_one_if_it_tells_its_quantiles():
    z, made, _ = generator_map(gaussian_game(ToldCoins()), mg.Gaussian())
    assert list(z) == [-1.0] * 250 + [1.0] * 250
    np.testing.assert_allclose(made, 1.25 * z + 4.0)


# -- pictures of samples, and of walks through the noise ------------------------------------


@pytest.fixture
def saved(monkeypatch) -> list[Any]:
    """The figures that a form would save."""
    figures: list[Any] = []
    monkeypatch.setattr(forms, "save_figure", lambda figure, path: figures.append(figure))
    return figures


def lines_of(axes: Any) -> dict[str, np.ndarray]:
    """The curves of a panel by their labels, each (points, 2)."""
    return {line.get_label(): line.get_xydata() for line in axes.lines}


@pytest.mark.parametrize(("n", "bins"), [(1, 10), (900, 30), (20_000, 100)])
def test_samples_of_numbers_are_a_histogram_next_to_the_density(n, bins, saved):
    samples, data = RANDOM.normal(4.0, 1.0, size=(n, 1)), mg.Gaussian(4.0, 1.25)
    FORMS["number"].save_samples(Path("a.png"), samples, data.to_config())
    (axes,) = saved[0].axes
    heights, edges, _ = axes.patches[0].get_data()
    assert len(heights) == bins
    assert (heights * np.diff(edges)).sum() == pytest.approx(1.0)
    x, density = lines_of(axes)["real"].T
    np.testing.assert_allclose(density, data.density(x))


def test_the_histogram_is_wide_enough_for_samples_far_from_the_data(saved):
    samples, data = RANDOM.normal(40.0, 1.0, size=(900, 1)), mg.Gaussian(4.0, 1.25)
    FORMS["number"].save_samples(Path("a.png"), samples, data.to_config())
    _, edges, _ = saved[0].axes[0].patches[0].get_data()
    assert edges[0] < 0.0
    assert edges[-1] > samples.max()


def walks_of(game: mg.GAN, ends: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """What G makes on walks between noise vectors, and the noise."""
    Z = np.linspace(ends[:-1], ends[1:], steps, axis=1)  # (walks, steps, dim)
    made = game.sampler.predict(Z.reshape(-1, Z.shape[2])).reshape(*Z.shape[:2], -1)
    return made, Z


def test_a_walk_of_numbers_is_the_map_of_G(saved):
    game, data = gaussian_game(mg.Normal(), slope=2.0, shift=1.0), mg.Gaussian(4.0, 1.25)
    walks, Z = walks_of(game, np.array([[-1.0], [0.0], [2.0]]), 5)
    FORMS["number"].save_walks(Path("a.png"), walks, Z, game, data.to_config())
    (axes,) = saved[0].axes
    z, made = lines_of(axes)["G(z)"].T
    np.testing.assert_allclose(made, 2.0 * z + 1.0)
    z, exact = lines_of(axes)["exact map"].T
    np.testing.assert_allclose(exact, 1.25 * z + 4.0)
    np.testing.assert_allclose(lines_of(axes)["on the walks"][:, 0], Z.ravel())


def test_a_walk_through_noise_of_more_dimensions_is_a_path(saved):
    data = mg.Gaussian(4.0, 1.25)
    game = gaussian_game(mg.Normal(dim=3))
    walks, Z = walks_of(game, RANDOM.normal(size=(4, 3)), 5)
    FORMS["number"].save_walks(Path("a.png"), walks, Z, game, data.to_config())
    (axes,) = saved[0].axes
    (band,) = axes.patches
    assert band.get_y() == pytest.approx(4.0 - 2 * 1.25)
    assert band.get_height() == pytest.approx(4 * 1.25)
    along, made = lines_of(axes)["G on the way"].reshape(3, 6, 2)[:, :5].T  # without the gaps
    np.testing.assert_allclose(along[[0, 4]], [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(made.T, walks[:, :, 0])
    ends = lines_of(axes)["G at a noise vector"]
    np.testing.assert_array_equal(ends[:, 0], [0, 1, 2, 3])
    np.testing.assert_array_equal(ends[:, 1], [*walks[:, 0, 0], walks[-1, -1, 0]])


@pytest.mark.parametrize("features", [1, 3])
def test_walks_of_vectors_are_lines(features, saved):
    samples = mg.Samples(RANDOM.normal(size=(40, features)))  # a program must give them
    walks = RANDOM.normal(size=(2, 4, features))
    FORMS["vector"].save_samples(Path("a.png"), walks[0], samples.to_config())
    FORMS["vector"].save_walks(Path("a.png"), walks, np.ones((2, 4, 1)), None, samples.to_config())
    points = lines_of(saved[1].axes[0])["G on the way"].reshape(2, 5, 2)
    np.testing.assert_array_equal(points[:, :4, 1], walks[:, :, min(features, 2) - 1])
    assert np.isnan(points[:, 4, 1]).all()  # a gap: with classes the next one begins elsewhere


def test_real_samples_are_drawn_where_they_can_be_made(registry, saved):
    samples, vectors = RANDOM.normal(size=(50, 2)), FORMS["vector"]
    walks = samples.reshape(10, 5, 2)

    def drawn_by(save: Callable[..., None], *args: Any) -> list[str]:
        save(Path("a.png"), *args)
        return [points.get_label() for points in saved[-1].axes[0].collections]

    for data, real in ((Circle().to_config(), ["real"]), (Given().to_config(), [])):
        assert drawn_by(vectors.save_samples, samples, data) == [*real, "generated"]
        assert drawn_by(vectors.save_walks, walks, None, None, data) == real


def test_numbers_are_drawn_against_a_distribution_only(registry):
    with pytest.raises(mg.ConfigError, match=r"^Number\.form is 'number', so it must be .*Distrib"):
        FORMS["number"].save_samples(Path("a.png"), np.ones((5, 1)), Number().to_config())


def test_a_picture_holds_a_limited_number_of_images(monkeypatch, tmp_path):
    monkeypatch.setattr(forms, "MOST_TILES", 4)
    images = mg.Images(np.zeros((9, 2, 2), np.uint8)).to_config()
    FORMS["image"].save_samples(tmp_path / "a.png", np.zeros((4, 4)), images)
    with pytest.raises(mg.ConfigError, match="at most 4 images"):
        FORMS["image"].save_samples(tmp_path / "a.png", np.zeros((5, 4)), images)


def test_a_film_of_walks_goes_forward_and_backward(monkeypatch):
    """Each frame has the same step of every walk; the first and the last are not shown twice."""
    films: list[Any] = []
    monkeypatch.setattr(forms, "save_film", lambda frames, path, **how: films.append((frames, how)))
    images = mg.Images(np.zeros((9, 1, 1), np.uint8))
    walks = np.array([[-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])[..., None]  # (walks, steps, 1)
    FORMS["image"].save_walks(Path("a.gif"), walks, None, None, images.to_config())
    ((frames, how),) = films
    assert [title for title, _ in frames] == ["1 of 3", "2 of 3", "3 of 3", "2 of 3"]
    for (_, frame), step in zip(frames, (0, 1, 2, 1), strict=True):
        expected = grid(to_pixels(walks[:, step], (1, 1)), 2)
        np.testing.assert_array_equal(frame, expected)
    assert how == {"hold": 1 / 8}  # as long as every other frame


def test_a_film_is_of_images():
    for form in ("number", "vector"):
        with pytest.raises(mg.DataError, match="a film shows images"):
            FORMS[form].save_walks(Path("a.gif"), None, None, None, {})


# -- the commands, on data of any form ----------------------------------------------------------


COMMANDS: dict[str, list[str]] = {
    "show": [],
    "sample.npy": ["--n", "9", "--out", "sample.npy"],
    "sample.png": ["--n", "9", "--out", "sample.png"],
    "interpolate.npy": ["--rows", "2", "--steps", "3", "--out", "interpolate.npy"],
    "interpolate.png": ["--rows", "2", "--steps", "3", "--out", "interpolate.png"],
    "score": ["--n", "100"],
    "explain": [],
    "profile": ["--steps", "2", "--batch", "4"],
    "export": ["--to", "pytorch", "export.safetensors"],
}
PICTURES = ("sample.png", "interpolate.png")
UNKNOWN = "known are number, image, vector, plane"
NOT_HERE = dict.fromkeys(
    ("score", "explain", *PICTURES), "is not registered here: minigan --import"
)
LOST = dict.fromkeys(("score", "explain"), "only a program that has such")
#: Of each run: its data, whether their class is known to the command, and what cannot be done.
RUNS: dict[str, tuple[Callable[[], mg.DataSource], bool, dict[str, str]]] = {
    "samples": (lambda: mg.Samples(RANDOM.normal(size=(40, 2))), True, LOST),
    "points": (mg.Ring, True, {}),
    "endless": (Circle, True, {}),
    "endless, not known": (Circle, False, NOT_HERE),
    "finite": (Table, True, {}),
    "finite, not known": (Table, False, NOT_HERE),
    "given": (Given, True, LOST),
    "given, not known": (Given, False, NOT_HERE),
    "images": (Strip, True, {"score": "must be"}),
    "images, given": (Album, True, LOST),
    "images, not known": (Strip, False, NOT_HERE),
    "images of no shape": (
        Shapeless,
        True,
        {"score": "must be", "sample.png": "images", "interpolate.png": "images"},
    ),
    "of an unknown form": (Cloud, True, dict.fromkeys(("score", *PICTURES), UNKNOWN)),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """A short run on each."""
    made = {}
    with registered_only_here():
        for kind in OF_ONES_OWN:
            mg.register(kind)
        for name, (data, _, _) in RUNS.items():
            made[name] = tmp_path_factory.mktemp("runs") / "run"
            on_samples(made[name], data=data(), batch=4, score=spread).fit(steps=20)
    return made


def told_of(command: str, run: Path, capsys: pytest.CaptureFixture) -> None:
    """A command has done what it says."""
    gan, out = mg.load_run(run).gan, capsys.readouterr().out
    if command.endswith(".npy"):
        kept = np.load(command, allow_pickle=False)
        rows = 9 if command.startswith("sample") else 6
        assert kept.reshape(rows, 2).shape == (rows, 2)
        if rows == 9:
            np.testing.assert_array_equal(kept.reshape(9, 2), gan.sample(9, seed=0))
    elif command == "show":
        assert "trained    20 steps of 4 samples" in out
        assert f"data       {mg.load_run(run).data['data']}" in out
    elif command == "score":
        scores = json.loads((run / "scores.json").read_text())
        if mg.load_run(run).data["data"] == "Ring":
            assert scores["of_modes"] == 8
            return
        assert scores["frechet"] > scores["frechet_floor"] > 0.0
    elif command == "explain":
        assert "step 21, the next of its training, with 4 real samples" in out
    elif command == "profile":
        assert "a step takes" in out
    else:
        assert Path(COMMANDS[command][-1]).stat().st_size > 100


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", RUNS)
def test_a_command_works_or_says_in_a_sentence_what_is_lacking(
    command, name, runs, tmp_path, monkeypatch, capsys
):
    _, known, refused = RUNS[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minigan.data.samples.MOST_RANDOM", 2**12)
    with registered_only_here() if known else contextlib.nullcontext():
        for kind in OF_ONES_OWN if known else ():
            mg.register(kind)
        words = [command.partition(".")[0], str(runs[name]), *COMMANDS[command]]
        code = minigan(words)
    if command not in refused:
        assert code == 0
        told_of(command, runs[name], capsys)
        return
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"minigan {words[0]}: error: ")
    assert refused[command] in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"show", "profile"}))
def test_best_opens_the_best_checkpoint(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    on_samples(tmp_path / "run").fit(steps=10)  # without a score, so there is none
    assert minigan([command.partition(".")[0], "run", *COMMANDS[command], "--best"]) == 2
    assert "best.safetensors" in capsys.readouterr().err


def test_a_run_without_a_history_is_explained(registry, tmp_path, capsys):
    on_samples(tmp_path, data=Circle()).fit(steps=10)
    (tmp_path / "history.csv").unlink()
    assert minigan(["explain", str(tmp_path)]) == 0
    assert "step 11, the next of its training" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "rows"), [("images, given", 50), ("endless, not known", 256)])
def test_random_samples_are_as_many_as_the_runs_or_as_fit(name, rows, runs, registry, monkeypatch):
    monkeypatch.setattr("minigan.data.samples.MOST_RANDOM", 2**12)
    run = mg.load_run(runs[name])
    for kind in () if RUNS[name][1] else OF_ONES_OWN:
        del CLASSES["data"][kind.__name__]
    data = random_data(run)
    assert (type(data), data.size, data.features) == (mg.Samples, rows, 2)


def test_epochs_of_a_source_of_ones_own_are_shown(runs, registry, capsys):
    assert minigan(["show", str(runs["finite"])]) == 0
    assert "trained    20 steps of 4 samples, 1.6 epochs of 50\n" in capsys.readouterr().out
    assert minigan(["show", str(runs["endless"])]) == 0
    assert "trained    20 steps of 4 samples\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["images", "finite"])
def test_samples_are_kept_in_their_shape(name, runs, registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("sample", "interpolate"):
        assert minigan([command, str(runs[name]), *COMMANDS[f"{command}.npy"]]) == 0
    assert np.load("sample.npy").shape == (9, 1, 2)
    assert np.load("interpolate.npy").shape == (6, 1, 2)
