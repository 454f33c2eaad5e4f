"""What a frame of a recording holds: against formulas, against a step by hand, and at no cost."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import conditional_games
import numpy as np
import pytest
from scipy import stats

import minigan as mg
from minigan.evaluation import score_numbers
from minigan.evaluation.grids import sample_classes
from minigan.evaluation.response import discriminator_response
from minigan.nn import Sequential
from minigan.replay import camera_of, number, plane
from minigan.replay.scene import check_scene
from minigan.training.frame_format import as_line, encode, parse_header

BATCH = 12  # of every game here


def net(*layers: mg.Layer, name: str, dtype: str = "float64", device: str = "cpu") -> Sequential:
    return Sequential(*layers, name=name, dtype=dtype, device=device)


def numbers(
    pack: int = 1, noise: mg.Noise | None = None, sigmoid: bool = False, **options: Any
) -> tuple[mg.GAN, mg.Gaussian]:
    """A game on numbers; with a pack of m, D sees the deviations, too."""
    where = {name: options.pop(name) for name in ("dtype", "device") if name in options}
    noise = noise or mg.Uniform(0, 1, dim=1)
    G = net(mg.Linear(noise.dim, 8), mg.ELU(), mg.Linear(8, 1), name="g", **where)
    first = [mg.Pack(pack), mg.Linear(2 * pack, 8)] if pack > 1 else [mg.Linear(1, 8)]
    last = [mg.Sigmoid()] if sigmoid else []
    D = net(*first, mg.Tanh(), mg.Linear(8, 1), *last, name="d", **where)
    return mg.GAN(G, D, noise, **options), mg.Gaussian(device=where.get("device", "cpu"))


def points(dim: int = 2, pack: int = 1, **options: Any) -> tuple[mg.GAN, mg.Ring]:
    """A game on the ring, with every kind of state that a look at it could change."""
    normalised = mg.Linear(8, 8, bias=False), mg.BatchNorm(8)
    G = net(mg.Linear(dim, 8), *normalised, mg.Dropout(0.3), mg.Linear(8, 2), name="g")
    packing = [mg.Pack(pack, deviations=False)] if pack > 1 else []
    layers = mg.Linear(2 * pack, 8), *normalised, mg.Dropout(0.3), mg.Linear(8, 1)
    D = net(*packing, *layers, name="d")
    return mg.GAN(G, D, mg.Normal(dim=dim), average=0.9, **options), mg.Ring()


def rows() -> tuple[mg.GAN, mg.Samples]:
    """A game on rows of three numbers."""
    G = net(mg.Linear(2, 3), name="g")
    data = mg.Samples(np.random.default_rng(0).normal(size=(50, 3)), dtype="float64")
    return mg.GAN(G, net(mg.Linear(3, 1), name="d"), mg.Normal(dim=2)), data


def images(game: mg.GAN | None = None) -> tuple[mg.GAN, mg.Images]:
    """A game on images of 2 x 2 pixels."""
    if game is None:
        G = net(mg.Linear(2, 6), mg.Dropout(0.5), mg.Linear(6, 4), mg.Tanh(), name="g")
        D = net(mg.Linear(4, 6), mg.Tanh(), mg.Linear(6, 1), name="d")
        game = mg.GAN(G, D, mg.Normal(dim=2), average=0.5)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (50, 2, 2), dtype=np.uint8)
    labels = {"labels": random.integers(3, size=50)} if game.takes_labels else {}
    return game, mg.Images(pixels, dtype="float64", **labels)


GAMES: dict[str, Callable[[], tuple[mg.GAN, Any]]] = {
    "numbers": numbers,
    "packs of numbers": lambda: numbers(4, loss=mg.NonSaturating(probabilities=True), sigmoid=True),
    "a critic of numbers": lambda: numbers(noise=mg.Normal(dim=3), loss=mg.Wasserstein()),
    "points": points,
    "packs of points": lambda: points(dim=3, pack=3),
    "rows": rows,
    "images": images,
    "images of classes": lambda: images(conditional_games.conditional()),
    "images of codes": lambda: images(conditional_games.info()),
}


def train(game: mg.GAN, data: Any, steps: int = 1) -> None:
    game.bind(BATCH)
    for _ in range(steps):
        game.read(data)
        game.step()


def frame(game: mg.GAN, data: Any, steps: int = 1) -> tuple[Any, dict, dict]:
    """A camera, and its frame of the last of some steps."""
    camera = camera_of(game, data)
    train(game, data, steps - 1)
    camera.before(game)
    train(game, data)
    return camera, *camera.take(game)


def everything(game: mg.GAN) -> dict[str, Any]:
    """All that a look at a game could change."""
    tensors, counters = game.state()
    found = {name: np.copy(value) for name, value in tensors.items()} | counters
    for role, one in game.networks.items():
        found[f"gradient/{role}"] = one.parameters.grad.copy()
    return found


# -- a frame ----------------------------------------------------------------------------


@pytest.mark.parametrize("make", GAMES.values(), ids=[*GAMES])
def test_a_frame_is_as_the_header_says_and_looking_changes_nothing(make):
    game, data = make()
    unseen = copy.deepcopy(game), copy.deepcopy(data)
    for one in (game, unseen[0]):
        one.capture()
    camera = camera_of(game, data)
    train(game, data, 2)
    train(*unseen, 2)
    old = everything(unseen[0])
    camera.before(game)
    np.testing.assert_equal(everything(game), old)
    train(game, data)
    train(*unseen)
    values, arrays = camera.take(game)
    np.testing.assert_equal(everything(game), everything(unseen[0]))
    assert game.losses() == unseen[0].losses()

    assert arrays.keys() == {one["name"] for one in camera.arrays}
    assert all(type(value) is float for value in values.values())
    header = {"form": camera.form, "every": 1, "arrays": camera.arrays, "scene": camera.scene}
    check_scene(parse_header(as_line({"frames": 1, **header})))
    encode(arrays, camera.arrays)  # has the shapes
    again = camera_of(*make())  # of an untrained game, as a resumed run makes it first
    assert (again.arrays, again.scene) == (camera.arrays, camera.scene)


@pytest.mark.parametrize(
    "make",
    [
        numbers,
        lambda: numbers(4, loss=mg.NonSaturating(0.9, 0.1, 0.8, probabilities=True), sigmoid=True),
        lambda: numbers(noise=mg.Normal(dim=3), loss=mg.Wasserstein()),
        lambda: numbers(loss=mg.LeastSquares()),
    ],
    ids=["logits", "packs", "critic", "squares"],
)
def test_the_push_is_the_gradient_that_the_half_of_G_sends_back(make):
    """A step on the noise of the frames: D's half, then G's half, whose `dfake` is kept."""
    game, data = make()
    game.bind(number.SHOWN)
    game.read(data)
    camera = camera_of(game, data)
    camera.before(game)
    game.discriminator_step()
    Z = game.draw_noise(number.SHOWN, 0)
    game._g_z[...] = Z
    fake = game._g_sampler.forward(game._g_z, train=True).copy()
    back, kept = game._d_for_g.backward, []
    game._d_for_g.backward = lambda *a, **k: kept.append(back(*a, **k).copy()) or back(*a, **k)
    game.update_generator()
    _, arrays = camera.take(game)
    np.testing.assert_allclose(arrays["push"], -kept[0][:, 0], rtol=1e-9, atol=1e-15)
    np.testing.assert_array_equal(arrays["before"], fake[:, 0])
    np.testing.assert_allclose(arrays["after"], game.generator.predict(Z)[:, 0])
    assert np.abs(arrays["after"] - arrays["before"]).max() > 1e-5
    assert np.abs(arrays["push"]).min() > 0.0


def test_a_frame_needs_the_samples_before_its_step():
    game, data = numbers()
    camera, _, _ = frame(game, data)
    with pytest.raises(mg.OrderError, match="call before"):
        camera.take(game)


def test_what_cannot_be_recorded_is_refused():
    G, D = (mg.Sequential(mg.Linear(1, 1), seed=[0, 1], name=name) for name in "gd")
    with pytest.raises(mg.ConfigError, match="a population cannot be recorded"):
        camera_of(mg.GAN(G, D, mg.Normal()), mg.Gaussian())
    game, data = numbers()
    data = type("Cloud", (mg.Gaussian,), {"form": "cloud"})()
    with pytest.raises(mg.ConfigError, match="cloud"):
        camera_of(game, data)


@pytest.mark.parametrize("name", ["numbers", "packs of numbers", "points", "images", "rows"])
@pytest.mark.filterwarnings("error")
def test_numbers_that_are_not_finite_stay_so(name):
    game, data = GAMES[name]()
    camera, _, _ = frame(game, data)
    camera.before(game)
    for one in (game.generator, game.sampler):
        one.parameters.data[...] = np.nan
    values, arrays = camera.take(game)
    assert np.isnan(arrays["after"]).all()
    assert "before" not in arrays or np.isfinite(arrays["before"]).all()
    assert all(np.isnan(value) for value in values.values())
    for array in ("density", "optimal", "map", "grid", "score"):
        assert array not in arrays or np.isnan(arrays[array]).all(), array


# -- numbers ----------------------------------------------------------------------------


def known(noise: mg.Noise, loss: mg.Loss | None = None, pack: int = 1) -> tuple[mg.GAN, Any]:
    """G(z) = z (the sum, if there are several), and D(x) = x - 4 or the mean over its pack."""
    G = net(mg.Linear(noise.dim, 1), name="g")
    packing = [mg.Pack(pack, deviations=False)] if pack > 1 else []
    D = net(*packing, mg.Linear(pack, 1), name="d")
    for one, weight in ((G, 1.0), (D, 1.0 / pack)):
        one.parameters.data[...] = weight
    G.parameters.data[-1], D.parameters.data[-1] = 0.0, -4.0
    return mg.GAN(G, D, noise, loss), mg.Gaussian()


def look(game: mg.GAN, data: Any) -> tuple[Any, dict, dict]:
    """A frame of a game that is not trained."""
    camera = camera_of(game, data)
    camera.before(game)
    return camera, *camera.take(game)


@pytest.mark.parametrize("dim", [1, 2])
def test_the_density_and_the_best_D_of_a_known_G(dim):
    """q is normal with mean 4.5 and std 1.5; of noise of one number it is known almost exactly."""
    noise = mg.Normal(4.5 / dim, 1.5 / np.sqrt(dim), dim=dim)
    loss = mg.NonSaturating(real_target=0.9, fake_target=0.2)
    camera, values, arrays = look(*known(noise, loss))
    x = np.linspace(*camera.scene["span"], number.PLACES)
    p, q = stats.norm.pdf(x, 4.0, 1.25), stats.norm.pdf(x, 4.5, 1.5)
    np.testing.assert_allclose(camera.scene["density"], p, rtol=1e-4)
    middle = slice(20, -20)  # three standard deviations: beyond, there is hardly a sample
    np.testing.assert_allclose(
        arrays["density"][middle], q[middle], atol=0.003 if dim == 1 else 0.02
    )
    best = 0.2 + 0.7 * p / (p + q)
    np.testing.assert_allclose(
        arrays["optimal"][middle], best[middle], atol=0.01 if dim == 1 else 0.05
    )
    np.testing.assert_allclose(arrays["learned"], 1 / (1 + np.exp(4.0 - x)), atol=1e-6)
    assert (values["mean"], values["std"]) == pytest.approx((4.5, 1.5), abs=0.03)
    ks = np.abs(stats.norm.cdf(x, 4.0, 1.25) - stats.norm.cdf(x, 4.5, 1.5)).max()
    assert values["ks"] == pytest.approx(ks, abs=0.003 if dim == 1 else 0.02)
    assert ("map" in arrays) == ("z" in camera.scene) == (dim == 1)
    if dim == 1:
        scene = camera.scene
        np.testing.assert_allclose(arrays["map"], scene["z"], atol=1e-3)
        u = stats.norm.cdf(scene["z"], 4.5, 1.5)
        np.testing.assert_allclose(scene["exact"], stats.norm.ppf(u, 4.0, 1.25), atol=2e-3)
        np.testing.assert_allclose(scene["exact_falling"], scene["exact"][::-1], atol=1e-3)
        np.testing.assert_allclose(scene["noise"], arrays["before"], atol=1e-3)


def test_the_distance_is_that_of_the_scores():
    game, data = numbers(noise=mg.Normal(dim=2))
    _, values, _ = look(game, data)
    score = score_numbers(game.generator.predict(game.draw_noise(10_000, 1)), data)
    assert (values["mean"], values["std"]) == pytest.approx((score.mean, score.std))
    assert values["ks"] == pytest.approx(score.ks, abs=0.005)


def test_samples_that_leave_the_picture_are_kept_and_have_no_density_in_it():
    camera, values, arrays = look(*known(mg.Normal(30.0, 0.1)))
    after = next(one for one in camera.arrays if one["name"] == "after")
    assert after["range"][1] > arrays["after"].max() > 29.0
    assert after["levels"] <= 65_535
    assert arrays["density"].max() == 0.0
    assert values["ks"] == pytest.approx(1.0, abs=1e-3)


def test_D_of_packs_is_a_mean_over_packs_with_one_sample_replaced():
    game, data = known(mg.Normal(4.2, 1.4), mg.LeastSquares(), pack=3)
    camera, _, arrays = look(game, data)
    packs = arrays["after"][: 3 * 4].reshape(4, 3)
    x = np.linspace(*camera.scene["span"], number.PLACES)
    expected = (x + packs[:, 1:].sum(axis=1).mean()) / 3.0 - 4.0
    np.testing.assert_allclose(arrays["learned"], expected, atol=1e-9)
    samples, of_figure = arrays["after"][:12, None], (data.density, (1.0, 0.0), "score")
    same = discriminator_response(game.discriminator, samples, x, *of_figure)
    np.testing.assert_allclose(arrays["learned"], same.learned, atol=1e-9)
    ratio = stats.norm.logpdf(x, 4.0, 1.25) - stats.norm.logpdf(x, 4.2, 1.4)
    at = stats.norm.logpdf(packs, 4.0, 1.25) - stats.norm.logpdf(packs, 4.2, 1.4)
    others = at[:, 1:].sum(axis=1)
    best = (1 / (1 + np.exp(-others[:, None] - ratio))).mean(axis=0)
    np.testing.assert_allclose(arrays["optimal"][15:-15], best[15:-15], atol=0.02)


def test_a_loss_without_targets_has_no_best_D():
    camera, _, arrays = look(*known(mg.Normal(), mg.Wasserstein()))
    assert "optimal" not in arrays
    assert camera.scene["targets"] is None
    assert camera.scene["output"] == "score"


# -- points and rows --------------------------------------------------------------------


def test_the_best_D_of_points_and_the_grid():
    """Data of one round hill of std 1, and a G that makes one of std 1.5."""
    noise = mg.Normal(0.0, 1.5, dim=2)
    G, D = net(mg.Linear(2, 2), name="g"), net(mg.Linear(2, 1), name="d")
    G.parameters.data[...] = [1, 0, 0, 1, 0, 0]
    D.parameters.data[...] = [1, 2, 0]
    game, data = mg.GAN(G, D, noise), mg.Grid(1, std=1.0)
    camera, values, arrays = look(game, data)
    assert values.keys() == {"modes", "high_quality", "sliced"}
    high = 1 - np.exp(-2.0)  # within 3 standard deviations of the data, 2 of its own
    assert values["high_quality"] == pytest.approx(high, abs=0.03)
    assert values["modes"] == 1.0
    x, y = (np.linspace(*ends, plane.SIDE) for ends in camera.scene["span"])
    field = 1 / (1 + np.exp(-(x + 2.0 * y[:, None])))
    np.testing.assert_allclose(arrays["field"], field, atol=2e-4)
    r2 = x**2 + y[:, None] ** 2
    h2 = (x[1] - x[0]) ** 2
    p, q = (np.exp(-r2 / (2 * v)) / v for v in (1.0 + h2, 2.25 + h2))
    seen = r2 < 4.0
    assert np.abs(arrays["optimal"] - p / (p + q))[seen].max() < 0.12  # 1,000 samples
    assert np.abs(arrays["optimal"] - p / (p + q))[seen].mean() < 0.04
    z = noise.quantile(np.linspace(0.005, 0.995, plane.LINES))
    np.testing.assert_allclose(arrays["grid"][0, :, 3, 0], z)
    np.testing.assert_allclose(arrays["grid"][1, :, 3, 1], z)
    assert camera.scene["modes"] == [[0.0, 0.0]]


def test_places_and_densities_are_by_row_and_column():
    histogram = plane.Histogram(((-3.0, 3.0), (0.0, 6.0)))
    X = np.array([[1.4, 1.0]])
    k = histogram.nearest(X)[0]
    np.testing.assert_allclose(histogram.places[k], X[0], atol=0.11)
    q = histogram.density(X)  # (K,)
    assert int(q.argmax()) == k
    assert q.max() == pytest.approx(histogram.peak, rel=0.2)


def test_where_there_is_nothing_the_best_D_is_undecided():
    """All real points are far from the corner, all generated ones are at 0."""
    game, data = points()
    game.generator.parameters.data[...] = 0.0
    _, _, arrays = look(game, data)
    side = plane.SIDE // 2
    assert arrays["optimal"][side, side] < 0.01  # at 0, where only generated ones are
    assert arrays["optimal"].max() > 0.9  # on the ring
    assert arrays["optimal"][0, 0] == pytest.approx(0.5, abs=0.05)


def test_points_far_from_the_diagonal_are_as_fine(tmp_path):
    """Both coordinates have one range, which is then wider than the picture."""
    (game, _), steps = points(), []
    for x in (0.0, 5.0):
        (tmp_path / "some.csv").write_text(f"{x},0\n{x + 1},1\n")
        camera = camera_of(game, mg.Points(tmp_path / "some.csv"))
        low, high = camera.arrays[0]["range"]
        steps.append((high - low) / (camera.arrays[0]["levels"] - 1))
    assert steps[1] == pytest.approx(steps[0], rel=0.01)


def test_rows_are_shown_by_their_first_two_numbers():
    game, data = rows()
    camera, values, arrays = frame(game, data)
    made = game.generator.predict(game.draw_noise(plane.SHOWN, 0))
    np.testing.assert_allclose(arrays["after"], made[:, :2])
    assert (values, [*arrays]) == ({}, ["after"])
    np.testing.assert_array_equal(plane.pairs([[3.0], [4.0]]), [[3.0, 0.0], [4.0, 0.0]])
    assert camera.scene["modes"] is None


# -- images -----------------------------------------------------------------------------


def test_images_are_those_of_the_averaged_G_with_what_D_says():
    game, data = images()
    camera, values, arrays = frame(game, data, steps=3)
    np.testing.assert_allclose(arrays["after"], game.sample(25, 0))
    Y = game.discriminator.predict(arrays["after"])[:, 0]
    np.testing.assert_allclose(arrays["score"], 1 / (1 + np.exp(-Y)))
    D, slope = game.discriminator, -1 / (1 + np.exp(Y)) / 25  # of -log sigmoid(Y)
    D.forward(arrays["after"], train=False)
    dX = D.backward(slope[:, None], parameter_grads=False)
    np.testing.assert_allclose(arrays["push"], np.linalg.norm(dX, axis=1))
    assert (camera.scene["shape"], camera.scene["columns"]) == ([2, 2], 5)
    assert (camera.scene["labels"], values) == (None, {})


@pytest.mark.parametrize("name", ["images of classes", "images of codes"])
def test_images_of_classes_are_asked_for_by_class(name):
    game, data = GAMES[name]()
    camera, _, arrays = frame(game, data, steps=3)
    np.testing.assert_allclose(arrays["after"], sample_classes(game, [0, 1, 2], 4, 0))
    labels = camera.scene["labels"]
    assert (labels, camera.scene["columns"]) == ([0] * 4 + [1] * 4 + [2] * 4, 4)
    condition = np.eye(3)[labels] if game.takes_labels else None
    Y = game.discriminator.predict(arrays["after"], condition)[:, 0]
    np.testing.assert_allclose(arrays["score"], 1 / (1 + np.exp(-Y)))


# -- devices ----------------------------------------------------------------------------


def test_a_frame_of_the_gpu_is_that_of_the_cpu(cupy):
    del cupy
    taken = [frame(*numbers(4, dtype="float32", device=d), steps=2) for d in ("cpu", "cuda")]
    (_, values, arrays), (_, others, twins) = taken
    assert values == pytest.approx(others, rel=1e-4)
    for name, array in arrays.items():
        assert type(twins[name]) is np.ndarray
        np.testing.assert_allclose(twins[name], array, rtol=1e-3, atol=1e-4, err_msg=name)
