"""Stratified noise: one number from each stratum of a batch, and plain noise for samples."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minigan as mg
from minigan.backend import numpy as ops

LOW, HIGH = -2.0, 3.0


def draw(batch: int, dim: int = 1, dtype: str = "float64", seed: int = 0, fills: int = 1):
    """Consecutive fills (fills, B, dim)."""
    noise, stream = mg.Stratified(LOW, HIGH, dim), mg.Stream(seed, "z")
    out = np.empty((fills, batch, dim), dtype)
    for one in out:
        noise.fill_batch(ops, stream, out=one)
    return out


def strata(Z):
    """The stratum of each number: Z (..., B, dim) cut into B equal parts of [LOW, HIGH)."""
    return np.floor((Z - LOW) / (HIGH - LOW) * Z.shape[-2]).astype(int)


def gan_with(noise: mg.Noise, seed: int | list[int] = 0, **options) -> mg.GAN:
    G = mg.Sequential(mg.Linear(noise.dim, 4), mg.ELU(), mg.Linear(4, 1), seed=seed, name="G")
    D = mg.Sequential(mg.Pack(2), mg.Linear(4, 4), mg.ELU(), mg.Linear(4, 1), seed=seed, name="D")
    return mg.GAN(G, D, noise, **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("batch", "dim"), [(1, 1), (2, 3), (100, 1), (128, 3), (1000, 2)])
def test_each_stratum_of_each_dimension_has_one_number(batch, dim, dtype):
    Z = draw(batch, dim, dtype, fills=3)
    places = np.sort((Z.astype("float64") - LOW) / (HIGH - LOW) * batch, axis=-2)
    from_centres = np.abs(places - np.arange(batch)[:, None] - 0.5)
    assert from_centres.max() <= 0.5 + 4 * batch * np.finfo(dtype).eps  # up to rounding


def test_orders_are_independent_of_each_other_and_of_the_rows():
    """Of dimensions, of batches, and of neighbours in a batch, which make a pack."""
    K = strata(draw(50, 2, fills=400))  # (400, 50, 2)
    first, second = K[..., 0].ravel(), K[..., 1].ravel()
    rows = np.tile(np.arange(50), 400)
    later = np.roll(K, 1, axis=0)[..., 0].ravel()
    limit = 4 / np.sqrt(first.size)
    for other in (second, rows, later):
        assert abs(np.corrcoef(first, other)[0, 1]) < limit
    # A row's neighbour is in another stratum, but in any other: the correlation is -1 / (B - 1).
    pairs = K[..., 0].reshape(400, 25, 2)
    assert np.corrcoef(pairs[..., 0].ravel(), pairs[..., 1].ravel())[0, 1] == pytest.approx(
        -1 / 49, abs=limit * np.sqrt(2)
    )
    assert np.abs(np.diff(pairs, axis=-1)).mean() == pytest.approx(51 / 3, rel=0.03)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_are_uniform_in_their_strata(dtype):
    """By the Kolmogorov-Smirnov distance, also in the first and in the last stratum alone."""
    Z = draw(20, 1, dtype, fills=1000)
    places = (Z - LOW) / (HIGH - LOW) * 20 - strata(Z)  # in [0, 1)
    for some in (places.ravel(), places[strata(Z) == 0], places[strata(Z) == 19]):
        steps = np.arange(1, some.size + 1) / some.size
        assert np.abs(np.sort(some) - steps).max() < 1.63 / np.sqrt(some.size)  # 1 % of the time


def test_a_mean_over_a_batch_varies_less():
    """Of f(u) = u by (HIGH - LOW)^2 / (12 B^3) instead of (HIGH - LOW)^2 / (12 B)."""
    B, width = 100, HIGH - LOW
    Z = draw(B, fills=1000)
    means = Z.mean(axis=(1, 2))
    assert means.mean() == pytest.approx((LOW + HIGH) / 2, abs=4 * width / np.sqrt(12e6 * 1000))
    assert means.var() == pytest.approx(width**2 / (12 * B**3), rel=0.2)
    # Of any smooth f by E[f'(u)^2] in the place of 1.
    waves = np.sin(Z).mean(axis=(1, 2))
    x = np.linspace(LOW, HIGH, 10_001)
    expected = (np.cos(x) ** 2).mean() * width**2 / (12 * B**3)
    assert waves.var() == pytest.approx(expected, rel=0.2)


def test_a_member_of_a_population_draws_as_it_does_alone():
    noise, seeds = mg.Stratified(LOW, HIGH, 3), [5, 2]
    together, stream = np.empty((2, 40, 3), "float32"), mg.Stream(seeds, "z")
    alone = [mg.Stream(seed, "z") for seed in seeds]
    for _ in range(3):
        noise.fill_batch(ops, stream, out=together)
        for k, own in enumerate(alone):
            out = np.empty((40, 3), "float32")
            noise.fill_batch(ops, own, out=out)
            np.testing.assert_array_equal(together[k], out)
    assert (together[0] != together[1]).any()


@pytest.mark.parametrize(
    "options", [{}, {"d_steps": 2, "g_steps": 2}, {"same_noise": True}], ids=str
)
def test_the_noise_of_each_half_of_a_step_is_stratified(options):
    gan = gan_with(mg.Stratified(LOW, HIGH, dim=2), **options)
    halves = []
    for _ in range(2):
        gan.step(np.ones((40, 1)))
        halves += [gan._d_z.copy(), gan._g_z.copy()]
    for Z in halves:
        assert (np.sort(strata(Z), axis=-2) == np.arange(40)[:, None]).all()
    assert (halves[0] != halves[2]).any()
    assert (halves[0] != halves[1]).any() == (not options.get("same_noise"))


@pytest.mark.parametrize("seed", [0, [3, 1]])
def test_samples_are_of_plain_noise(seed):
    """Scores of samples that cover the range too evenly would be flattered."""
    ours, plain = (gan_with(kind(LOW, HIGH, 2), seed) for kind in (mg.Stratified, mg.Uniform))
    for _ in range(2):
        np.testing.assert_array_equal(ours.draw_noise(50), plain.draw_noise(50))
        np.testing.assert_array_equal(ours.sample(50), plain.sample(50))
    np.testing.assert_array_equal(ours.draw_noise(50, seed=7), plain.draw_noise(50, seed=7))
    np.testing.assert_array_equal(
        ours.noise.quantile(np.array([0.25, 0.5])), plain.noise.quantile(np.array([0.25, 0.5]))
    )
    assert (np.sort(strata(ours.draw_noise(50)), axis=-2) != np.arange(50)[:, None]).any()


def test_a_captured_step_draws_the_same_noise_and_a_copy_goes_on_with_it():
    plain, taped = (gan_with(mg.Stratified(LOW, HIGH, 3), [3, 1]) for _ in range(2))
    for gan in (plain, taped):
        gan.bind(20)
    taped.capture()
    for seed in range(5):
        real = np.random.default_rng(seed).normal(size=(2, 20, 1))
        for gan in (plain, taped):
            gan.step(real)
            if seed == 2:
                twin = copy.deepcopy(gan)
    assert taped.recording.replay is not None
    np.testing.assert_array_equal(plain._z, taped._z)
    for seed in (3, 4):
        twin.step(np.random.default_rng(seed).normal(size=(2, 20, 1)))
    np.testing.assert_array_equal(plain._z, twin._z)


def test_a_noise_of_ones_own_may_fill_batches_in_its_own_way():
    """By default it fills them as it fills any other rows."""
    Z, again = np.empty((2, 30, 2))
    mg.Normal(dim=2).fill_batch(ops, mg.Stream(4, "z"), out=Z)
    mg.Normal(dim=2).fill(ops, mg.Stream(4, "z"), out=again)
    np.testing.assert_array_equal(Z, again)


@pytest.mark.parametrize(
    "settings",
    [{"low": 1.0, "high": 1.0}, {"low": float("nan")}, {"dim": 0}, {"dim": 1.5}],
    ids=str,
)
def test_bad_settings_are_named(settings):
    with pytest.raises(mg.ConfigError, match=r"Stratified: (low|high|dim)"):
        mg.Stratified(**settings)
