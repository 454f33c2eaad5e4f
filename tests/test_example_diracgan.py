"""The Dirac-GAN: every path is the one that theory says, and the figure shows it."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from running import ROOT, load_example, run_python

import minigan as mg

example = load_example("diracgan")
RATE = 0.1
RECIPES = example.RECIPES
Recipe, Simultaneous, play = example.Recipe, example.Simultaneous, example.play


def game(loss: mg.Loss, kind: type[mg.GAN] = mg.GAN, **settings: Any) -> Any:
    """A recipe of which only the game matters."""
    return Recipe("", "", loss, settings, kind)


def distances(path: Any) -> Any:
    return np.hypot(*path.T)


def ellipse(path: Any, d_steps: int = 1) -> Any:
    """What alternating steps of the Wasserstein game leave as it is."""
    theta, psi = path.T
    return d_steps * theta**2 + psi**2 - d_steps * RATE * theta * psi


# -- the paths --------------------------------------------------------------------------


def test_simultaneous_steps_of_the_wasserstein_game_move_outwards():
    """By the same factor each time."""
    r = distances(play(game(mg.Wasserstein(), Simultaneous)))
    np.testing.assert_allclose(r[1:] / r[:-1], math.hypot(1, RATE), rtol=1e-14)
    assert r[-1] > 100


def test_simultaneous_steps_of_the_minimax_game_move_outwards():
    """The factor depends on D's score of the sample."""
    path = play(RECIPES["minimax, simultaneous"])
    theta, psi = path[:-1].T
    r = distances(path)
    sigmoid = 1 / (1 + np.exp(-theta * psi))
    np.testing.assert_allclose(r[1:] / r[:-1], np.hypot(1, RATE * sigmoid), rtol=1e-14)
    assert (np.diff(r) > 0).all()
    assert r[-1] > 2


@pytest.mark.parametrize("d_steps", [1, 5])
def test_alternating_steps_of_the_wasserstein_game_stay_on_an_ellipse(d_steps):
    path = play(game(mg.Wasserstein(), d_steps=d_steps))
    np.testing.assert_allclose(ellipse(path, d_steps), d_steps, rtol=1e-13)
    assert distances(path).min() > 0.97
    turns = np.unwrap(np.arctan2(*path.T[::-1]))
    assert turns[0] - turns[-1] > 15 * 2 * math.pi


def test_alternating_steps_of_the_minimax_game_stay_near_a_circle():
    r = distances(play(RECIPES["minimax, alternating"], steps=3000))
    assert r.min() > 0.99
    assert r.max() < 1.02
    assert abs(r[-300:].mean() / r[:300].mean() - 1) < 0.002


def test_five_steps_of_d_stretch_the_orbit_and_do_not_end_it():
    path = play(RECIPES["minimax, 5 D steps"])
    assert distances(path).min() > 0.99
    widest, highest = abs(path).max(axis=0)
    assert highest / widest == pytest.approx(math.sqrt(5), rel=0.02)


def test_the_non_saturating_game_approaches_as_one_over_the_root_of_time():
    rate, steps = 0.02, 5000
    r = distances(play(RECIPES["non-saturating"], rate, steps))
    time = rate * np.arange(steps + 1)
    np.testing.assert_allclose(r, 1 / np.sqrt(1 + time / 8), rtol=0.04)


@pytest.mark.parametrize("start", [(1.0, 0.0), (0.1, 0.0)])
def test_simultaneous_steps_of_the_non_saturating_game_end_on_a_circle(start):
    """From outside and from inside."""
    path = play(game(mg.NonSaturating(), Simultaneous), steps=4000, start=start)
    np.testing.assert_allclose(distances(path[-200:]), math.sqrt(2 * RATE), rtol=0.02)


def test_clipping_leaves_the_ellipse_that_touches_the_bounds():
    path = play(RECIPES["WGAN, clipped"])[100:]
    np.testing.assert_allclose(ellipse(path), 0.5**2 * (1 - RATE**2 / 4), rtol=1e-3)
    assert abs(path[:, 1]).max() <= 0.5
    assert distances(path).min() > 0.48


def test_the_gradient_penalty_leaves_a_cycle():
    """Its width is that of two half turns of damped oscillators around -1 and 1."""
    half_turn = math.exp(-math.pi / math.sqrt(3))
    width = (1 + half_turn) / (1 - half_turn)
    for start in ((1.0, 0.0), (0.1, 0.0), (3.0, 0.0)):
        path = play(RECIPES["WGAN-GP"], 0.01, 4000, start)[-1000:]
        np.testing.assert_allclose([path[:, 0].min(), path[:, 0].max()], [-width, width], rtol=5e-3)
        assert distances(path).min() > 1.1


def test_a_strong_gradient_penalty_rests_at_the_wrong_place():
    """At 2 weight, with the sample far from the data."""
    path = play(game(mg.Wasserstein(), penalty=mg.GradientPenalty(2.0)))
    np.testing.assert_allclose(path[-1], [-4, 0], atol=1e-6)


@pytest.mark.parametrize("kind", [mg.GAN, Simultaneous])
@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_r1_comes_to_rest_at_the_equilibrium(gamma, kind):
    recipe = game(mg.NonSaturating(), kind, penalty=mg.R1(gamma))
    assert distances(play(recipe))[-1] < 1e-6
    named = RECIPES[f"R1, gamma {gamma:g}"]
    assert (named.loss, named.settings) == (recipe.loss, recipe.settings)


def test_r1_shrinks_areas_by_one_minus_rate_times_gamma():
    """The triangle of 0 and a step: this is the determinant of a step, near the equilibrium."""
    theta, psi = play(RECIPES["R1, gamma 0.3"], start=(1e-3, 0.0)).T
    area = theta[:-1] * psi[1:] - psi[:-1] * theta[1:]
    np.testing.assert_allclose(area[1:] / area[:-1], 1 - RATE * 0.3, rtol=1e-6)


def test_only_r1_comes_to_rest():
    ends = {name: distances(play(recipe))[-1] for name, recipe in RECIPES.items()}
    assert {name for name, end in ends.items() if end < 1e-6} == {"R1, gamma 0.3", "R1, gamma 1"}
    assert min(end for end in ends.values() if end >= 1e-6) > 0.25


@pytest.mark.parametrize(
    "name", [n for n, recipe in RECIPES.items() if recipe.eigenvalues != "none"]
)
def test_the_eigenvalues_are_those_of_the_gradients(name):
    """The Jacobian's trace and determinant, by central differences of what the engine computes."""
    recipe, small = RECIPES[name], 1e-4
    theta, psi = small * np.array([[1, -1, 0, 0], [0, 0, 1, -1]])
    gan = example.build(recipe._replace(game=Simultaneous), RATE, theta, psi)
    gan.step()
    G, D = (-net.parameters.grad[:, 0] for net in gan.networks.values())
    field = np.stack([G, gan.d_steps * D])  # (2, 4)
    jacobian = (field[:, ::2] - field[:, 1::2]) / (2 * small)
    shown = recipe.eigenvalues
    numbers = [float(number) for number in re.findall(r"-?\d+\.\d+", shown)]
    turning = shown.endswith("i")
    first = complex(numbers[0] if len(numbers) > 1 else 0, numbers[-1]) if turning else numbers[0]
    second = first.conjugate() if turning else numbers[1]
    assert np.trace(jacobian) == pytest.approx((first + second).real, abs=0.01)
    assert np.linalg.det(jacobian) == pytest.approx((first * second).real, abs=0.01)


@pytest.mark.parametrize("name", RECIPES)
def test_a_replayed_game_is_the_same(name):
    gan = example.build(RECIPES[name], RATE, [1.0], [0.0])
    for _ in range(50):
        gan.step()
    end = [net.parameters.data.item() for net in gan.networks.values()]
    assert not gan.recording.on
    assert play(RECIPES[name], RATE, 50)[-1].tolist() == end


# -- the command ------------------------------------------------------------------------


def test_the_command_prints_a_table_and_draws_a_figure(tmp_path):
    """As a stranger runs it."""
    figure = tmp_path / "paths.png"
    done = run_python(ROOT / "examples" / "diracgan.py", "--steps", 50, "--out", figure)
    head, *rows, last = done.stdout.splitlines()
    assert head.split() == ["distance", "at", "step", "0", "25", "50", "eigenvalues"]
    assert [row.split("  ")[0] for row in rows] == list(RECIPES)
    for row, recipe in zip(rows, RECIPES.values(), strict=True):
        assert row.endswith(f"{recipe.eigenvalues}  {recipe.verdict}")
    assert last == f"figure {figure}"
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_the_page_shows_what_the_command_prints(tmp_path, capsys):
    assert example.main(["--out", str(tmp_path / "paths.png")]) == 0
    *table, _ = capsys.readouterr().out.splitlines()
    page = (ROOT / "docs" / "diracgan.md").read_text(encoding="utf-8")
    assert "```text\n" + "\n".join(table) + "\n```" in page


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        example.main(["--help"])
    shown = capsys.readouterr().out
    for word in ("Mescheder", "theta", "--rate", "0.1", "1000", "diracgan.png", "eigenvalues"):
        assert word in shown


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (["--out", "figure.txt"], 2, "--out must end in .png or .svg, not 'figure.txt'"),
        (["--rate", "-1"], 2, "lr"),
        (["--rate", "5"], 1, "training stopped: step "),
    ],
)
def test_refusals_are_one_sentence(flags, code, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert example.main(flags) == code
    (sentence,) = capsys.readouterr().err.splitlines()
    assert told in sentence
    assert list(tmp_path.iterdir()) == []


# -- the figure -------------------------------------------------------------------------


def test_the_figure_has_each_path_its_verdict_and_the_bounds():
    paths = {name: play(recipe, RATE, 20) for name, recipe in RECIPES.items()}
    figure = example.draw(paths)
    assert len(figure.axes) == 9
    for axes, (name, recipe) in zip(figure.axes, RECIPES.items(), strict=True):
        assert axes.get_title() == f"{name}\n{recipe.verdict}"
        path, start, equilibrium = axes.lines
        np.testing.assert_array_equal(path.get_xydata(), paths[name])
        assert start.get_xydata().tolist() == [[1.0, 0.0]]
        assert equilibrium.get_xydata().tolist() == [[0.0, 0.0]]
        bounds = [patch.get_y() for patch in axes.patches]
        assert sorted(bounds) == ([-0.5, 0.5] if name == "WGAN, clipped" else [])


def test_arrows_of_the_figure_are_the_gradients():
    """Of the Wasserstein game a rotation; five steps of D count five times."""
    figure = example.draw({name: np.zeros((1, 2)) for name in RECIPES})
    of = {name: axes.collections[0] for name, axes in zip(RECIPES, figure.axes, strict=True)}
    arrows = of["Wasserstein"]
    theta, psi = arrows.get_offsets().T
    np.testing.assert_allclose(arrows.U, psi / np.hypot(theta, psi), rtol=1e-12)
    np.testing.assert_allclose(arrows.V, -theta / np.hypot(theta, psi), rtol=1e-12)
    stretched = of["minimax, 5 D steps"]
    np.testing.assert_allclose(stretched.V * psi, -5 * stretched.U * theta, rtol=1e-9)


def test_the_kept_figure_is_that_of_the_example():
    """Its words; Matplotlib's version decides how lines are written in a file."""
    svg = (ROOT / "docs" / "figures" / "diracgan.svg").read_text(encoding="utf-8")
    kept = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    words = [word for name, recipe in RECIPES.items() for word in (name, recipe.verdict)]
    assert [word for word in kept if word in words] == words
