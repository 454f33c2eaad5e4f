"""Points in the plane: their scores against known answers, and the figure."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan.evaluation import FORMS, form_of, plots, score_points
from minigan.evaluation.modes import sliced_wasserstein
from minigan.evaluation.plane import SIDE, field_of, limits, warped_grid

RANDOM = np.random.default_rng(0)
SQUARE = ((-2.0, 2.0), (-1.0, 3.0))


# -- scores -----------------------------------------------------------------------------


def test_real_samples_have_the_scores_of_a_true_gaussian():
    for data, K in ((mg.Ring(), 8), (mg.Grid(std=0.2), 25)):
        score = score_points(data.reference(20_000), data)
        assert (score.modes, score.of_modes, score.n) == (K, K, 20_000)
        assert score.high_quality == pytest.approx(1 - np.exp(-4.5), abs=0.003)
        assert 0.0 < score.reverse_kl < 0.003
        # Of r^2 / 2, cut off at r = 3: (1 - (1 + 9/2) exp(-9/2)) / (1 - exp(-9/2))
        cut = (1 - 5.5 * np.exp(-4.5)) / (1 - np.exp(-4.5))
        assert score.spread == pytest.approx(np.sqrt(cut), abs=0.01)
        assert score.sliced < 2 * score.sliced_floor


def test_scores_of_few_samples_by_hand():
    """Two at one mode, one of them too far out; one near another; one nearest to it, but lost."""
    data = mg.Ring(4, radius=2.0, std=0.1)
    X = [[2.0, 0.2], [2.0, -0.31], [0.1, 2.0], [0.0, 5.0]]
    score = score_points(X, data)
    assert (score.modes, score.of_modes, score.n) == (2, 4, 4)
    assert score.high_quality == 0.5
    assert score.reverse_kl == pytest.approx(np.log(2.0))  # half and half of four modes
    assert score.spread == pytest.approx(np.sqrt((0.2**2 + 0.1**2) / 2 / 2) / 0.1)
    assert list(score.to_dict()) == [
        *("modes", "of_modes", "high_quality", "reverse_kl", "spread", "sliced", "sliced_floor"),
        "n",
    ]
    assert "modes 2 of 4   high quality 50.0%   reverse KL 0.6931   spread 1.12" in str(score)
    lost = score_points([[9.0, 9.0], [9.0, 9.0]], data)
    assert (lost.modes, lost.high_quality) == (0, 0.0)
    assert lost.reverse_kl == pytest.approx(np.log(4.0))
    assert "spread" not in lost.to_dict()  # NaN is no JSON
    json.dumps(lost.to_dict(), allow_nan=False)


def test_data_without_modes_have_a_distance_alone(tmp_path):
    score = score_points(mg.Moons().reference(500), mg.Moons())
    assert list(score.to_dict()) == ["sliced", "sliced_floor", "n"]
    assert str(score).startswith("sliced W1 ")
    (tmp_path / "one.csv").write_text("1,2\n3,4\n5,6\n")
    of_three = score_points([[1.0, 2.0], [3.0, 4.0]], mg.Points(tmp_path / "one.csv"))
    assert of_three.n == 2


def test_the_sliced_distance_of_shifted_points():
    """A shift by s moves the projection on direction t by s cos(t); |cos| has the mean 2 / pi."""
    X = RANDOM.normal(size=(500, 2))
    assert sliced_wasserstein(X, X) == 0.0
    assert sliced_wasserstein(X, X + np.array([3.0, 0.0])) == pytest.approx(6 / np.pi, rel=2e-3)
    assert sliced_wasserstein(X, np.repeat(X, 2, axis=0)) == pytest.approx(0.0, abs=1e-12)
    assert sliced_wasserstein(np.zeros((1, 2)), X) == pytest.approx(
        sliced_wasserstein(X, np.zeros((1, 2)))
    )


@pytest.mark.parametrize("X", [np.zeros((1, 2)), np.zeros((5, 3)), [[0, 0], [0, np.inf]]])
def test_what_cannot_be_scored_is_refused(X):
    with pytest.raises(mg.DataError, match="finite samples"):
        score_points(X, mg.Ring())


# -- the figure -------------------------------------------------------------------------


def plane_game(pack: int = 1, noise: mg.Noise | None = None, **options: Any) -> mg.GAN:
    """G(z) = z, and D(x) = first + 2 second, of packs the sum over them."""
    noise = noise or mg.Normal(dim=2)
    G = mg.Sequential(mg.Linear(noise.dim, 2), name="g", dtype="float64")
    packing = [mg.Pack(pack, deviations=False)] if pack > 1 else []
    D = mg.Sequential(*packing, mg.Linear(2 * pack, 1), name="d", dtype="float64")
    G.parameters.data[...] = 0.0
    G.parameters.named()["0.weight"][...] = np.eye(2)[np.arange(noise.dim) % 2]
    D.parameters.data[...] = 0.0
    D.parameters.named()[f"{len(packing)}.weight"][:, 0] = [1.0, 2.0] * pack
    return mg.GAN(G, D, noise, **options)


def test_the_field_is_D_and_arrows_lower_the_loss_of_G():
    X = RANDOM.normal(size=(300, 2))
    field = field_of(plane_game(loss=mg.Wasserstein()), X, SQUARE)
    np.testing.assert_allclose(field.D, field.x + 2.0 * field.y[:, None], atol=1e-12)
    assert (field.x[0], field.x[-1], field.y[0], field.y[-1], len(field.x)) == (-2, 2, -1, 3, SIDE)
    assert field.output == "score"
    np.testing.assert_array_equal(field.at, X[: len(field.at)])
    np.testing.assert_allclose(field.push, [[1.0, 2.0]] * len(field.at) / np.float64(len(field.at)))
    logits = field_of(plane_game(loss=mg.NonSaturating()), X, SQUARE)
    assert logits.output == "probability"
    y = field.at @ [1.0, 2.0]
    np.testing.assert_allclose(logits.D, 1 / (1 + np.exp(-field.D)), atol=1e-12)
    expected = (1 / (1 + np.exp(y)) / len(y))[:, None] * [1.0, 2.0]  # -d/dx of -log sigmoid(D)
    np.testing.assert_allclose(logits.push, expected, atol=1e-12)


def test_D_of_packs_is_a_mean_over_packs_with_one_point_replaced():
    X = RANDOM.normal(size=(300, 2))
    field = field_of(plane_game(3, loss=mg.Wasserstein()), X, SQUARE)
    others = X[:48].reshape(16, 3, 2)[:, 1:].sum(axis=1).mean(axis=0) @ [1.0, 2.0]
    np.testing.assert_allclose(field.D, field.x + 2.0 * field.y[:, None] + others, atol=1e-12)
    assert len(field.at) % 3 == 0


def test_looking_at_a_game_changes_nothing():
    G = mg.Sequential(mg.Linear(2, 2), name="g")
    layers = (mg.Linear(2, 4), mg.BatchNorm(4), mg.Dropout(0.5), mg.Linear(4, 1))
    game = mg.GAN(G, mg.Sequential(*layers, name="d"), mg.Normal(dim=2))
    game.bind(10)
    game.step()
    (tensors, counters), grad = game.state(), game.discriminator.parameters.grad.copy()
    before = {name: np.copy(value) for name, value in tensors.items()}
    field_of(game, RANDOM.normal(size=(50, 2)), SQUARE)
    after, counted = game.state()
    assert counted == counters
    for name, value in after.items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    np.testing.assert_array_equal(game.discriminator.parameters.grad, grad)


def test_the_grid_of_the_noise_has_cells_of_equal_mass():
    down, across = warped_grid(plane_game(noise=mg.Uniform(-1.0, 1.0, dim=2)))
    lines = np.linspace(-0.99, 0.99, 17)
    np.testing.assert_allclose(down[:, :, 0], np.repeat(lines[:, None], 201, axis=1))
    np.testing.assert_allclose(across[:, :, 1], down[:, :, 0])
    np.testing.assert_allclose(down[3, :, 1], np.linspace(-0.99, 0.99, 201))
    normal, _ = warped_grid(plane_game())
    assert normal[0, 0, 0] == pytest.approx(-2.5758, abs=1e-4)  # the quantile at 0.005
    for noise in (mg.Normal(dim=1), mg.Normal(dim=3)):
        assert warped_grid(plane_game(noise=noise)) is None


def test_the_limits_are_a_square_around_all_points():
    (left, right), (low, high) = limits(np.array([[0.0, 0.0], [4.0, 1.0]]), np.zeros((0, 2)))
    assert right - left == pytest.approx(high - low)
    assert (left + right) / 2 == pytest.approx(2.0)
    assert (low + high) / 2 == pytest.approx(0.5)
    assert left < 0.0 < 4.0 < right


@pytest.mark.parametrize(
    ("options", "panels"),
    [({}, 4), ({"noise": mg.Normal(dim=3)}, 3), ({"pack": 4, "loss": mg.LeastSquares()}, 4)],
)
def test_the_figure_has_its_panels(options, panels):
    figure, data = plots.new_figure(), mg.Ring()
    assert form_of(data) is FORMS["plane"]
    text = form_of(data).draw(figure, "a title", plane_game(**options), data, [])
    assert text.startswith("generated: modes ")
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    bent = ["G bends the noise's grid"] if panels == 4 else []
    losses = "losses, mean over each interval"
    assert titles == ["samples", "D, and where it pushes samples", *bent, losses]
    assert figure.get_suptitle().startswith("a title\nmodes ")


def test_the_quick_score_is_the_sliced_distance():
    game, data = plane_game(), mg.Moons()
    form, samples = form_of(data), plane_game().sample(10_000, seed=1)
    expected = sliced_wasserstein(samples, data.reference(10_000))
    assert form.quick_score(data, game) == expected
    assert form.quick_name == "sliced Wasserstein distance"
    scores, text = form.score(samples, data)
    assert scores == score_points(samples, data).to_dict()
    assert text == f"generated: {score_points(samples, data)}"
