"""Scores against known answers, and figures that can be drawn without a display."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import minigan as mg
from minigan.evaluation import discriminator_response, plots, score_gaussian


def exact(n: int = 100_000, mean: float = 4.0, std: float = 1.25) -> np.ndarray:
    """Samples that sit on the target's quantiles."""
    return stats.norm.ppf((np.arange(n) + 0.5) / n, mean, std)


def test_score_of_exact_samples_is_zero():
    score = score_gaussian(exact(), 4.0, 1.25)
    assert score.mean == pytest.approx(4.0, abs=1e-6)
    assert score.std == pytest.approx(1.25, rel=1e-4)
    assert score.ks == pytest.approx(0.5 / 100_000, rel=1e-3)
    assert score.wasserstein == pytest.approx(0.0, abs=1e-9)
    assert score.n == 100_000


def test_score_of_shifted_and_scaled_samples():
    shifted = score_gaussian(exact() + 0.5, 4.0, 1.25)
    assert shifted.wasserstein == pytest.approx(0.5)
    assert shifted.ks == pytest.approx(2 * stats.norm.cdf(0.25 / 1.25) - 1, abs=1e-4)
    wide = score_gaussian(4 + 2 * (exact() - 4), 4.0, 1.25)
    assert wide.wasserstein == pytest.approx(1.25 * np.sqrt(2 / np.pi), rel=1e-3)  # E|x - mean|
    point = score_gaussian(np.full((10, 1), 4.0), 4.0, 1.25)
    assert point.ks == pytest.approx(0.5)


def test_scores_of_few_samples_by_hand():
    score = score_gaussian(np.array([[0.0], [2.0]]), 0.0, 1.0)
    assert (score.mean, score.std, score.n) == (1.0, 1.0, 2)  # divided by n, not n - 1
    assert score.ks == pytest.approx(0.5)  # just below 0, where half of the normal one lies
    quartile = stats.norm.ppf(0.75)
    assert score.wasserstein == pytest.approx(((0 + quartile) + (2 - quartile)) / 2)
    text = str(score)
    for part in ("mean 1.000", "std 1.000", f"KS {score.ks:.4f}", "(2 samples)"):
        assert part in text
    assert score_gaussian(np.array([1.0, 1.0]), 0.0, 1.0).std == 0.0


def test_scores_of_nothing_are_refused():
    for samples in (np.zeros(0), np.zeros(1), np.array([1.0, np.nan])):
        with pytest.raises(mg.DataError):
            score_gaussian(samples, 4.0, 1.25)
    with pytest.raises(mg.ConfigError):
        score_gaussian(np.zeros(5), 4.0, 0.0)


def optimal_single() -> mg.Sequential:
    """A D whose logit is exactly log p/q for p = N(0, 1), q = N(1, 1):  1/2 - x."""
    D = mg.Sequential(mg.Linear(1, 1), dtype="float64")
    D.parameters.data[:] = [-1.0, 0.5]
    return D


def test_response_of_the_optimal_discriminator_is_the_optimal_response():
    x = np.linspace(-1.5, 2.5, 41)
    samples = exact(20_000, 1.0, 1.0)[:, None]
    response = discriminator_response(optimal_single(), samples, x, mg.Gaussian(0.0, 1.0).density)
    assert response.pack == 1
    np.testing.assert_allclose(response.learned, 1 / (1 + np.exp(x - 0.5)), rtol=1e-9)
    np.testing.assert_allclose(response.optimal, response.learned, atol=0.02)
    np.testing.assert_allclose(response.density, stats.norm.pdf(x, 1.0, 1.0), atol=0.01)


def test_response_with_smoothed_targets():
    x = np.linspace(-1.0, 2.0, 13)
    plain, smooth = (
        discriminator_response(
            optimal_single(),
            exact(20_000, 1.0, 1.0)[:, None],
            x,
            mg.Gaussian(0.0, 1.0).density,
            (real, fake),
        ).optimal
        for real, fake in ((1.0, 0.0), (0.9, 0.2))
    )
    np.testing.assert_allclose(smooth, 0.2 + 0.7 * plain)


@pytest.mark.parametrize("m", [2, 10])
def test_response_of_a_discriminator_of_packs(m):
    D = mg.Sequential(mg.Pack(m, deviations=False), mg.Linear(m, 1), dtype="float64")
    D.parameters.data[:] = [-1.0] * m + [m / 2]  # log of the product of p/q
    x = np.linspace(-3.0, 5.0, 81)
    random = np.random.default_rng(0).normal(1.0, 1.0, size=(20_000, 1))
    response = discriminator_response(D, random, x, mg.Gaussian(0.0, 1.0).density)
    assert response.pack == m
    assert (np.diff(response.learned) < 0).all()
    inside = (x > -1.0) & (x < 3.0)  # where there are samples enough to estimate q
    np.testing.assert_allclose(response.optimal[inside], response.learned[inside], atol=0.05)


def test_response_of_too_few_samples_is_refused():
    for samples in (np.zeros((1, 1)), np.array([[1.0], [np.nan]])):
        with pytest.raises(mg.DataError, match="finite samples"):
            discriminator_response(optimal_single(), samples, np.arange(3.0), np.ones_like)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    from minigan import files

    path = tmp_path / "x.bin"
    files.write_whole(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(mg.FileError, match="No space left"):
        files.write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.bin"]


def test_figure_is_written_whole_as_a_png(tmp_path):
    figure = plots.new_figure()
    figure.subplots().plot([1, 2])
    plots.save_figure(figure, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(mg.FileError, match="cannot write"):
        plots.save_figure(figure, tmp_path / "none" / "x.png")
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_a_collapsed_generator_can_still_be_drawn():
    samples = np.full((500, 1), 3.0)
    response = discriminator_response(
        optimal_single(), samples, np.linspace(0, 8, 9), mg.Gaussian(4, 1).density
    )
    assert np.isfinite(response.learned).all()
    assert np.isfinite(response.optimal).all()


def test_a_collapsed_generator_has_a_density_a_hair_wide():
    """Samples without any spread have no density; a jitter of 1e-9 gives them one."""
    x = np.array([0.0, 3.0 - 1e-7, 3.0, 3.0 + 1e-7, 8.0])
    response = discriminator_response(
        optimal_single(), np.full((500, 1), 3.0), x, mg.Gaussian(4, 1).density
    )
    width = 1e-9 * np.sqrt(1 + 500 ** (-2 / 5))  # jitter and Scott's factor for 500 samples
    assert response.density[2] == pytest.approx(stats.norm.pdf(0, scale=width), rel=0.15)
    assert (response.density[[0, 1, 3, 4]] == 0.0).all()
    np.testing.assert_allclose(response.optimal, [1, 1, 0, 1, 1], atol=1e-6)


def test_the_jitter_of_a_wide_generator_is_a_thousandth_of_its_spread():
    samples = np.repeat([0.0, 10.0], 200)[:, None]  # spread 5
    x = np.linspace(-8.0, 18.0, 200)
    response = discriminator_response(optimal_single(), samples, x, mg.Gaussian(4, 1).density)
    expected = stats.gaussian_kde(samples.ravel())(x)
    np.testing.assert_allclose(response.density, expected, rtol=0.01)


def test_the_density_is_that_of_the_first_twenty_thousand_samples():
    samples = np.concatenate([exact(20_000, 1.0, 1.0), np.full(5_000, 5.0)])
    x = np.array([1.0, 5.0])
    response = discriminator_response(optimal_single(), samples, x, stats.norm.pdf)
    np.testing.assert_allclose(
        response.density, stats.gaussian_kde(samples[:20_000])(x), rtol=0.02, atol=1e-5
    )


@pytest.mark.parametrize("output", ["probability", "score"])
def test_the_answers_of_other_losses_are_taken_as_they_are(output):
    x = np.linspace(-2.0, 2.0, 5)
    response = discriminator_response(
        optimal_single(), exact(100, 1.0, 1.0)[:, None], x, stats.norm.pdf, output=output
    )
    np.testing.assert_allclose(response.learned, 0.5 - x)
    np.testing.assert_array_equal(response.x, x)


def test_a_pack_in_which_one_sample_is_moved_by_hand():
    """D is the mean of its scores, in 32 packs at most, their first sample at x."""
    D = mg.Sequential(mg.Pack(2, deviations=False), mg.Linear(2, 1), dtype="float64")
    D.parameters.data[:] = [0.7, -0.4, 0.1]
    samples = np.random.default_rng(0).normal(1.0, 1.0, size=(200, 1))
    x = np.linspace(-3.0, 5.0, 9)
    response = discriminator_response(D, samples, x, stats.norm.pdf)
    others = samples[1:64:2, 0]  # the second of each of 32 packs
    logits = 0.7 * x[None] - 0.4 * others[:, None] + 0.1
    np.testing.assert_allclose(response.learned, (1 / (1 + np.exp(-logits))).mean(axis=0))
    ratio = np.log(stats.norm.pdf(x)) - np.log(response.density)
    both = np.interp(others, x, ratio)[:, None] + ratio
    np.testing.assert_allclose(response.optimal, (1 / (1 + np.exp(-both))).mean(axis=0))
    few = discriminator_response(D, samples[:7], x, stats.norm.pdf)
    logits = 0.7 * x[None] - 0.4 * samples[1:6:2] + 0.1
    np.testing.assert_allclose(few.learned, (1 / (1 + np.exp(-logits))).mean(axis=0))
