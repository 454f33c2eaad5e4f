"""Batch normalisation by hand, and whose statistics a step of a game updates."""

from __future__ import annotations

import copy
import itertools
import threading
from typing import Any

import numpy as np
import pytest
import test_capture
import test_gan
import test_threads

import minigan as mg

B = 6  # real samples of an update
ALL_GAMES = [
    {"d_steps": 1, "g_steps": 1, "same_noise": False, "fresh_real": False},
    {"d_steps": 3, "g_steps": 1, "same_noise": False, "fresh_real": True},
    {"d_steps": 1, "g_steps": 2, "same_noise": True, "fresh_real": False},
    {"d_steps": 2, "g_steps": 3, "same_noise": False, "fresh_real": False},
    {"d_steps": 2, "g_steps": 2, "same_noise": True, "fresh_real": True},
]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def image_gan(dtype: str = "float64", seed: Any = 0, **options: Any) -> mg.GAN:
    """A small DCGAN on images of 8 x 8 pixels, with batch norm in both networks."""
    G = mg.Sequential(
        *(mg.Linear(3, 8), mg.BatchNorm(8), mg.ReLU(), mg.ConvTranspose2d(2, 3, size=2)),
        *(mg.BatchNorm(3), mg.ReLU(), mg.Upsample2d(3, size=4)),
        *(mg.Conv2d(3, 1, 3, 1, size=8), mg.Tanh()),
        name="g", dtype=dtype, seed=seed,
    )  # fmt: skip
    D = mg.Sequential(
        *(mg.Conv2d(1, 3, size=8), mg.LeakyReLU(0.2), mg.Conv2d(3, 4, size=4), mg.BatchNorm(4)),
        *(mg.LeakyReLU(0.2), mg.Linear(16, 5), mg.BatchNorm(5), mg.LeakyReLU(0.2)),
        mg.Linear(5, 1),
        name="d", dtype=dtype, seed=seed,
    )  # fmt: skip
    return mg.GAN(G, D, mg.Normal(dim=3), **{"average": 0.9, **options})


def images(gan: mg.GAN, seed: int) -> np.ndarray:
    """Real samples for a step of B."""
    n = B * (gan.d_steps if gan.fresh_real else 1)
    return np.tanh(normal(*gan.population, n, 64, seed=seed)).astype(gan.generator.dtype)


def train(gan: mg.GAN, steps: int = 4) -> mg.GAN:
    for t in range(steps):
        gan.step(images(gan, t))
    return gan


# -- the layer ------------------------------------------------------------------------------


def test_statistics_by_hand():
    """The batch is divided by the biased spread; the running variance follows the unbiased one."""
    net = mg.Sequential(mg.BatchNorm(2, eps=0.5, momentum=0.25), in_features=6, dtype="float64")
    net.parameters.data = [2.0, 3.0, -1.0, 4.0]  # gamma, beta
    mean, variance = np.zeros(2), np.ones(2)
    for seed in range(3):
        X = normal(4, 6, seed=seed) + 5.0
        pixels = X.reshape(12, 2)
        m = pixels.sum(0) / 12
        v = ((pixels - m) ** 2).sum(0) / 12
        Y = (pixels - m) / np.sqrt(v + 0.5) * [2.0, 3.0] + [-1.0, 4.0]
        np.testing.assert_allclose(net.forward(X), Y.reshape(4, 6), rtol=1e-12)
        mean = 0.75 * mean + 0.25 * m
        variance = 0.75 * variance + 0.25 * v * 12 / 11
    buffers = net.buffers.named()
    np.testing.assert_allclose(buffers["0.running_mean"][0], mean, rtol=1e-12)
    np.testing.assert_allclose(buffers["0.running_variance"][0], variance, rtol=1e-12)
    Y = (X.reshape(12, 2) - mean) / np.sqrt(variance + 0.5) * [2.0, 3.0] + [-1.0, 4.0]
    np.testing.assert_allclose(net.predict(X), Y.reshape(4, 6), rtol=1e-12)


def test_evaluation_changes_no_statistics():
    net = train(image_gan()).discriminator
    before = net.buffers.data.copy()
    net.forward(images(image_gan(), 9), train=False)
    net.backward(np.ones((B, 1)))
    net.predict(images(image_gan(), 9))
    np.testing.assert_array_equal(net.buffers.data, before)


# -- in a game --------------------------------------------------------------------------------


def textbook(gan: mg.GAN, reals: list[np.ndarray]) -> None:
    """Steps by separate passes of D over real and generated samples; changes `gan`."""
    G, D = gan.generator, gan.discriminator
    z = np.empty((B, 3))

    def generate(which: str) -> np.ndarray:
        gan.noise.fill(gan.ops, gan.streams[f"{which}_noise"], out=z)
        return G.forward(z).copy()  # G's statistics: once

    for real in reals:
        for k in range(gan.d_steps):
            if k == 0 or not gan.same_noise:
                fake = generate("discriminator")
            batch = real[k * B : (k + 1) * B] if gan.fresh_real else real
            D.backward(mg.bce_with_logits(D.forward(batch), 1.0)[1])  # D's statistics: real,
            grad = D.parameters.grad.copy()
            D.backward(mg.bce_with_logits(D.forward(fake), 0.0)[1])  # then generated
            D.parameters.grad += grad
            gan.discriminator_optimizer.step()
        for k in range(gan.g_steps):
            if not gan.same_noise:
                fake = generate("generator")
            elif k > 0:
                fake = G.forward(z).copy()  # G has changed: a new batch
            before = D.buffers.data.copy()
            G.backward(D.backward(mg.bce_with_logits(D.forward(fake), 1.0)[1]))
            D.buffers.data = before  # D only passes the gradient on: its statistics stay
            gan.generator_optimizer.step()
        gan.average.update()
        gan.average.network.forward(z)


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("options", ALL_GAMES, ids=lambda some: str([*some.values()]))
def test_a_step_is_that_of_the_textbook(options, captured):
    ours, book = image_gan(**options), image_gan(**options)
    reals = [images(ours, t) for t in range(4)]
    ours.capture(captured)
    for real in reals:
        ours.step(real)
    assert (ours.recording.replay is not None) == captured
    textbook(book, reals)
    for mine, theirs in (
        (ours.generator, book.generator),
        (ours.discriminator, book.discriminator),
        (ours.sampler, book.sampler),
    ):
        for flat in ("parameters", "buffers"):
            given, right = getattr(mine, flat).data, getattr(theirs, flat).data
            np.testing.assert_allclose(given, right, rtol=1e-8, atol=1e-10)
            assert given.size


def test_real_and_generated_samples_have_statistics_of_their_own():
    """In numbers: D's running mean after one step, if its first layer normalises."""
    G = mg.Sequential(mg.Linear(2, 2), name="g", dtype="float64")
    D = mg.Sequential(
        mg.BatchNorm(2, momentum=0.3), mg.Linear(2, 1), in_features=2, dtype="float64"
    )
    gan = mg.GAN(G, D, mg.Normal(dim=2))
    Z = np.empty((8, 2))
    gan.noise.fill(gan.ops, mg.Stream(0, "gan/discriminator_noise"), out=Z)
    real, fake = normal(8, 2) + 4.0, G.predict(Z)
    output = D.bind(8, keep_buffers=True).forward(real).copy()
    gan.step(real)
    mean = 0.7 * (0.7 * 0.0 + 0.3 * real.mean(0)) + 0.3 * fake.mean(0)
    variance = 0.7 * (0.7 * 1.0 + 0.3 * real.var(0, ddof=1)) + 0.3 * fake.var(0, ddof=1)
    np.testing.assert_allclose(D.buffers.data, [*mean, *variance], rtol=1e-12)
    np.testing.assert_allclose(gan._Y[:8], output, rtol=1e-12)  # as if there were no fake


@pytest.mark.parametrize("average", [None, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sample_does_not_depend_on_its_neighbours(average, dtype):
    gan = train(image_gan(dtype, average=average))
    for n in (1, 10, 1025):
        many = gan.sample(1500, seed=3) if n > 1000 else gan.sample(25, seed=3)
        np.testing.assert_array_equal(many[:n], gan.sample(n, seed=3))


def test_the_averaged_generator_has_statistics_of_its_own():
    """In numbers: after one step, of the noise of G's half and the averaged weights."""
    G = mg.Sequential(mg.Linear(3, 2), mg.BatchNorm(2, momentum=0.3), name="g", dtype="float64")
    D = mg.Sequential(mg.Linear(2, 1), name="d", dtype="float64")
    gan = mg.GAN(G, D, mg.Normal(dim=3), average=0.9)
    Z = np.empty((8, 3))
    gan.noise.fill(gan.ops, mg.Stream(0, "gan/generator_noise"), out=Z)
    gan.step(normal(8, 2))
    weights = gan.sampler.parameters.named()
    hidden = Z @ weights["0.weight"] + weights["0.bias"]  # (8, 2)
    right = [*0.3 * hidden.mean(0), *0.7 + 0.3 * hidden.var(0, ddof=1)]
    np.testing.assert_allclose(gan.sampler.buffers.data, right, rtol=1e-12)
    assert (gan.sampler.buffers.data != G.buffers.data).all()


def test_a_captured_step_is_the_step_to_the_bit():
    for dtype, options in itertools.product(("float32", "float64"), ALL_GAMES[1:3]):
        plain, captured = image_gan(dtype, **options), image_gan(dtype, **options)
        captured.capture()
        assert test_capture.same_state(train(plain), train(captured))
        assert captured.recording.replay is not None
        assert plain.losses() == captured.losses()


def test_a_captured_population_whose_images_have_gaps():
    """D's input is a part of an array, so that the images of a population have gaps between."""

    def make() -> mg.GAN:
        G = mg.Sequential(
            *(mg.Linear(3, 4), mg.BatchNorm(1), mg.ConvTranspose2d(1, 2, size=2)),
            name="g", seed=[3, 1],
        )  # fmt: skip
        D = mg.Sequential(
            *(mg.BatchNorm(2), mg.Conv2d(2, 3, size=4), mg.Linear(12, 1)),
            name="d", seed=[3, 1], in_features=32,
        )  # fmt: skip
        return mg.GAN(G, D, mg.Normal(dim=3))

    plain, captured = make(), make()
    captured.capture()
    for t in range(4):
        for gan in (plain, captured):
            gan.step(normal(2, B, 32, seed=t))
    assert captured.recording.replay is not None
    assert test_capture.same_state(plain, captured)


@pytest.mark.parametrize("captured", [False, True])
def test_a_step_allocates_nothing(captured):
    """64 KiB, the budget of every step; the windows of this batch alone are more."""
    gan = image_gan("float32")
    gan.bind(64)
    gan.capture(captured)
    data = mg.Samples(np.tanh(normal(256, 64)))
    assert test_gan.step_peak(gan, data, 64) < test_gan.BUDGET
    window = gan.discriminator.layers[0].window
    assert 64 * window.places[0] * window.places[1] * window.values * 4 >= test_gan.BUDGET


def test_a_population_is_its_members():
    together = train(image_gan(seed=[3, 1]))
    for k, seed in enumerate((3, 1)):
        alone = image_gan(seed=seed)
        for t in range(4):
            alone.step(images(together, t)[k])
        for role in ("generator", "discriminator"):
            for flat in ("parameters", "buffers"):
                np.testing.assert_allclose(
                    getattr(together.networks[role], flat).data[k],
                    getattr(alone.networks[role], flat).data,
                    rtol=1e-8,
                    atol=1e-10,
                )


def test_copies_and_states_hold_the_statistics():
    gan = train(image_gan())
    tensors, counters = gan.state()
    names = "discriminator.buffers/3.running_mean", "generator.average.buffers/1.running_variance"
    assert tensors.keys() >= set(names)
    saved = {name: array.copy() for name, array in tensors.items()}
    restored = mg.GAN.from_config(gan.to_config())
    restored.load_state(saved, counters)
    twins = [restored, copy.deepcopy(gan)]
    gan.step(images(gan, 9))
    for twin in twins:
        for name, array in twin.state()[0].items():
            np.testing.assert_array_equal(array, saved[name])
        twin.step(images(gan, 9))
        assert test_capture.same_state(gan, twin)
    other = gan.generator.astype("float32")
    np.testing.assert_array_equal(other.buffers.data, gan.generator.buffers.data.astype("float32"))
    assert not np.shares_memory(other.buffers.data, gan.generator.buffers.data)


@pytest.mark.parametrize("role", ["generator", "discriminator"])
def test_statistics_that_are_no_numbers_are_found(role):
    gan = train(image_gan())
    gan.networks[role].buffers.data[-1] = np.nan
    with pytest.raises(mg.NonFiniteError, match=rf"step 4: the {role}'s running statistics are"):
        gan.check_finite()
    tensors, counters = gan.state()
    with pytest.raises(mg.CheckpointError, match=r"buffers/.*running_variance"):
        image_gan().load_state(tensors, counters)


def test_threads_predict_at_the_same_time():
    gan = train(image_gan())
    calls = [
        *(lambda n=n: gan.sample(n, seed=n) for n in (3, 40)),
        *(lambda n=n: gan.discriminator.predict(images(gan, n)) for n in (1, 2)),
    ]
    right = [call() for call in calls]
    start = threading.Barrier(len(calls))

    def work(call: Any) -> list[Any]:
        start.wait(test_threads.WAIT)
        return [call() for _ in range(20)]

    found = test_threads.run(*(lambda call=call: work(call) for call in calls))
    for results, expected in zip(found, right, strict=True):
        for result in results:
            np.testing.assert_array_equal(result, expected)
