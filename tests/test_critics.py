"""Critics: losses of scores that are high on real samples; their columns; what is refused."""

from __future__ import annotations

import csv
from typing import ClassVar

import numpy as np
import pytest

import minigan as mg
from minigan.backend import numpy as ops
from minigan.cli.main import main

#: Each loss with D's on real and on generated samples, and G's, by their formulas.
LOSSES = {
    "Wasserstein": (mg.Wasserstein(), lambda y: -y, lambda y: y),
    "Hinge": (mg.Hinge(), lambda y: np.maximum(0, 1 - y), lambda y: np.maximum(0, 1 + y)),
}
PENALTIES = {"gradient penalty": mg.GradientPenalty(10), "R1": mg.R1(0.1)}
names = pytest.mark.parametrize("name", LOSSES)


def critic(loss: mg.Loss, *, dtype="float64", seed=0, in_d=(), **options) -> mg.GAN:
    G = mg.Sequential(mg.Linear(2, 6), mg.ELU(), mg.Linear(6, 1), seed=seed, dtype=dtype, name="g")
    D = mg.Sequential(
        *(mg.Linear(1, 6), *in_d, mg.LeakyReLU(0.2), mg.Linear(6, 1)),
        seed=seed,
        dtype=dtype,
        name="d",
    )
    rates = [mg.SGD(net.parameters, 1e-3) for net in (G, D)]
    return mg.GAN(G, D, mg.Normal(dim=2), loss, *rates, **options)


def gradients(loss, real, fake, for_g):
    """The gradients (..., n, 1) of scores (..., n, 1), as a step computes them."""
    n = real.shape[-2]
    Y = np.concatenate([real, fake], axis=-2)
    targets, dY, dY_for_g = np.zeros_like(Y), np.empty_like(Y), np.empty_like(for_g)
    loss.targets(ops, out=targets)
    loss.discriminator_gradient(ops, Y, targets, dY)
    loss.generator_gradient(ops, for_g, dY_for_g)
    return dY[..., :n, :], dY[..., n:, :], dY_for_g


def values(loss, *scores):
    """The losses (..., columns) of scores (..., n, 1): one step's."""
    real, fake, for_g = (Y[..., None, :, 0] for Y in scores)
    out = np.full((*real.shape[:-1], 3 + len(loss.columns)), np.nan)
    loss.values(ops, real, fake, for_g, out)
    return out[..., 0, :]


@names
def test_losses_are_the_means_of_their_formulas(name):
    loss, of_real, of_fake = LOSSES[name]
    real, fake, for_g = scores = 2 * np.random.default_rng(0).normal(size=(3, 7, 1))
    d_real, d_fake, g, *more = values(loss, *scores)
    assert d_real == pytest.approx(of_real(real).mean())
    assert d_fake == pytest.approx(of_fake(fake).mean())
    assert g == pytest.approx(-for_g.mean())
    assert more == pytest.approx([real.mean() - fake.mean()] * len(loss.columns))


@names
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_and_losses_of_a_population_are_those_of_its_members(name, dtype):
    loss = LOSSES[name][0]
    scores = 2 * np.random.default_rng(0).normal(size=(3, 2, 5, 1)).astype(dtype)
    together = gradients(loss, *scores)
    for k in range(2):
        alone = gradients(loss, *scores[:, k])
        for one, own in zip(together, alone, strict=True):
            assert own.dtype == dtype
            np.testing.assert_array_equal(one[k], own)
        np.testing.assert_array_equal(values(loss, *scores)[k], values(loss, *scores[:, k]))


@names
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_of_several_steps_are_those_of_each(name, dtype):
    """The losses of 64 steps are computed together, each in a column of one array."""
    loss = LOSSES[name][0]
    real, fake, for_g = 2 * np.random.default_rng(0).normal(size=(3, 64, 5)).astype(dtype)
    out = np.full((64, 3 + len(loss.columns)), np.nan, dtype)
    loss.values(ops, real, fake, for_g, out)
    for k in range(64):
        one = values(loss, *(Y[k, :, None] for Y in (real, fake, for_g)))
        np.testing.assert_allclose(out[k], one, rtol=1e-4, atol=1e-6)


def test_beyond_the_margin_hinge_has_no_gradient():
    """Nor at the margin: there one side of the kink has none."""
    real = np.array([[-3.0], [0.9], [1.0], [2.0]])
    of_real, of_fake, of_g = gradients(mg.Hinge(), real, -real, real)
    assert of_real.ravel().tolist() == [-0.25, -0.25, 0.0, 0.0]
    assert of_fake.ravel().tolist() == [0.25, 0.25, 0.0, 0.0]
    assert of_g.ravel().tolist() == [-0.25] * 4  # G has no margin
    assert np.isnan(values(mg.Hinge(), real * np.nan, real, real)[0])


# -- the sign -----------------------------------------------------------------------------


@names
def test_d_raises_real_scores_over_generated_ones_and_g_raises_its_own(name):
    """A critic is high on real samples. Each player's step moves its own goal in its direction."""
    gan = critic(LOSSES[name][0])
    D, G = gan.discriminator, gan.generator
    real = np.random.default_rng(0).normal(4, 1.25, (32, 1))
    gan.bind(32)
    gan.ops.copy(real, out=gan.real)
    for _ in range(5):
        fake_noise = np.empty((32, 2))
        stream = gan.streams["discriminator_noise"]
        gan.noise.fill(ops, mg.Stream(0, stream.name, stream.position), out=fake_noise)
        fake = G.predict(fake_noise)
        gap = D.predict(real).mean() - D.predict(fake).mean()
        gan.discriminator_step()
        assert D.predict(real).mean() - D.predict(fake).mean() > gap
    for _ in range(5):
        stream = gan.streams["generator_noise"]
        gan.noise.fill(ops, mg.Stream(0, stream.name, stream.position), out=fake_noise)
        score = D.predict(G.predict(fake_noise)).mean()
        gan.generator_step()
        assert D.predict(G.predict(fake_noise)).mean() > score


@names
def test_a_trained_critic_is_high_on_real_samples_and_g_follows(name):
    gan = critic(LOSSES[name][0], constraint=mg.Clip(0.5), d_steps=3)
    for optimizer in gan.optimizers.values():
        optimizer.lr = 0.02
    real = np.random.default_rng(0).normal(4, 0.5, (64, 1))
    start = gan.sample(500, seed=0).mean()
    for _ in range(40):
        gan.step(real)
    losses = gan.losses()
    D = gan.discriminator
    assert D.predict(real).mean() > D.predict(gan.sample(500, seed=0)).mean()
    assert gan.sample(500, seed=0).mean() > start + 0.5
    if name == "Wasserstein":
        assert losses["estimate"] == pytest.approx(-losses["d_real"] - losses["d_fake"])
        assert losses["estimate"] > 0.0


def test_undecided_is_the_loss_of_equal_scores():
    """Within the margin, whatever they are. No D does better if p = q."""
    loss, of_real, of_fake = LOSSES["Hinge"]
    for score in (-1.0, 0.0, 0.25, 1.0):
        assert (of_real(score) + of_fake(score)) / 2 == pytest.approx(loss.undecided())
    Y = 3 * np.random.default_rng(0).normal(size=(5, 1))  # on the same samples, real or not
    d_real, d_fake, *_ = values(loss, Y, Y, Y)
    assert (d_real + d_fake) / 2 >= loss.undecided() - 1e-12
    # Equal scores of a critic say nothing: both columns have the size of the scores.
    assert mg.Wasserstein().undecided() is None


# -- columns ------------------------------------------------------------------------------


def trainer(loss, penalty, out) -> mg.Trainer:
    gan = critic(loss, dtype="float32", penalty=penalty, d_steps=2, fresh_real=True)
    return mg.Trainer(
        gan, mg.Gaussian(), out, batch=8, print_every=5, checkpoint_every=5, progress=False
    )


@pytest.mark.parametrize(
    ("name", "penalty"), [("Wasserstein", "gradient penalty"), ("Hinge", "R1")]
)
def test_a_run_has_the_columns_of_its_loss_and_its_penalty_and_resumes_with_them(
    name, penalty, tmp_path, capsys
):
    parts = LOSSES[name][0], PENALTIES[penalty]
    trainer(*parts, tmp_path / "whole").fit(steps=20)
    trainer(*parts, tmp_path / "stopped").fit(steps=10)
    mg.Trainer.resume(tmp_path / "stopped", progress=False).fit(steps=20)
    one, other = (tmp_path / run / "checkpoint.safetensors" for run in ("whole", "stopped"))
    assert one.read_bytes() == other.read_bytes()
    columns = ["d_real", "d_fake", "g"]
    columns += [*parts[0].columns, "penalty", "slope"]
    histories = []
    for run in ("whole", "stopped"):
        with open(tmp_path / run / "history.csv", encoding="utf-8", newline="") as file:
            histories.append([*csv.DictReader(file)])
        assert [*histories[-1][0]][1 : 1 + len(columns)] == columns
    for one, other in zip(*histories, strict=True):
        assert {name: one[name] for name in columns} == {name: other[name] for name in columns}
        assert all(np.isfinite(float(one[name])) for name in columns)
        assert float(one["slope"]) > 0.0
    capsys.readouterr()
    assert main(["show", str(tmp_path / "stopped")]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in columns[3:])


def test_a_column_that_overflows_names_its_cause():
    """D's outputs are finite in each case, and only what is made of them is not."""
    gan = critic(mg.Wasserstein(), dtype="float32")
    gan.step(np.ones((1, 1)))
    gan.losses()
    gan._Y[:] = [[3e38], [-3e38]]  # on a real and on a generated sample
    gan.step_count += 1
    gan.records.add()
    with pytest.raises(mg.NonFiniteError, match=r"step 2: the loss estimate .* scores grow"):
        gan.losses()
    gan = critic(mg.Wasserstein(), dtype="float32", penalty=mg.R1())
    gan.step(np.ones((4, 1)))
    gan.losses()
    gan._penalty.norms[:] = 1e20
    gan.step_count += 1
    gan.records.add()
    with pytest.raises(mg.NonFiniteError, match=r"step 2: the loss penalty .* slope grows"):
        gan.losses()


# -- what is refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: mg.GradientPenalty(0), "GradientPenalty: weight"),
        (lambda: mg.GradientPenalty(-1.0), "GradientPenalty: weight"),
        (lambda: mg.GradientPenalty(float("nan")), "GradientPenalty: weight"),
        (lambda: mg.GradientPenalty(one_sided=1), "GradientPenalty: one_sided"),
        (lambda: mg.R1(0.0), "R1: gamma"),
        (lambda: mg.R1(gamma="1"), "R1: gamma"),
        (lambda: mg.R1(float("inf")), "R1: gamma"),
        (lambda: mg.R1(samples=0), "R1: samples"),
        (lambda: mg.R1(samples=2.5), "R1: samples"),
    ],
)
def test_bad_settings_of_a_penalty_are_named(make, words):
    with pytest.raises(mg.ConfigError, match=words):
        make()


def test_samples_of_r1_are_whole_packs_of_the_batch():
    D = mg.Sequential(mg.Pack(4), mg.Linear(8, 1), in_features=1)
    G = mg.Sequential(mg.Linear(2, 1))
    with pytest.raises(mg.ConfigError, match=r"packs of 4 samples, and 6 are not whole packs"):
        mg.GAN(G, D, mg.Normal(dim=2), penalty=mg.R1(1.0, 6))
    gan = mg.GAN(G, D, mg.Normal(dim=2), penalty=mg.R1(1.0, 8))
    with pytest.raises(mg.ConfigError, match=r"a batch of 4 has no 8 real samples"):
        gan.bind(4)
    gan.bind(8)


def test_a_loss_with_other_columns_needs_another_game():
    """The columns of a run are those that it has begun with."""
    gan = critic(mg.Wasserstein())
    with pytest.raises(
        mg.ConfigError, match=r"Hinge.* other columns than Wasserstein.* another GAN"
    ):
        gan.set_loss(mg.Hinge())
    assert gan.loss == mg.Wasserstein()
    gan = critic(mg.LeastSquares())
    gan.step(np.ones((4, 1)))
    gan.set_loss(mg.Hinge())  # whose targets are others
    gan.losses()
    gan.step(np.ones((4, 1)))
    assert gan.losses()["d_real"] == pytest.approx(np.maximum(0, 1 - gan._Y[:4]).mean())
    assert gan._targets.ravel().tolist() == [1.0] * 4 + [-1.0] * 4


def test_a_penalty_may_not_take_a_name_of_the_loss():
    class Taken(mg.Drift):
        columns: ClassVar = {"estimate": "nothing"}

    with pytest.raises(mg.ConfigError, match="the penalty has a loss called estimate"):
        critic(mg.Wasserstein(), penalty=Taken())
