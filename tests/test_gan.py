"""One adversarial step, against the same step taken the long way round."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
from conditional_games import conditional, info, labelled, moving
from draws import normals, uniforms
from harness import peak_memory

import minigan as mg
from minigan.backend import numpy as ops
from minigan.nn import LayerPass


def article(seed=0, **options) -> mg.GAN:
    """The article's 1-D networks and losses."""
    G = mg.Sequential(
        mg.Linear(1, 50),
        mg.ELU(),
        mg.Linear(50, 50),
        mg.Sigmoid(),
        mg.Linear(50, 1),
        seed=seed,
        name="generator",
    )
    D = mg.Sequential(
        mg.Pack(100),
        mg.Linear(200, 50),
        mg.ELU(),
        mg.Linear(50, 50),
        mg.ELU(),
        mg.Linear(50, 1),
        mg.Sigmoid(),
        seed=seed,
        name="discriminator",
    )
    return mg.GAN(
        G,
        D,
        mg.Uniform(0, 1, dim=1),
        mg.NonSaturating(0.95, generator_target=0.95, probabilities=True),
        mg.Adam(G.parameters, lr=2e-4),
        mg.Adam(D.parameters, lr=2e-4),
        **options,
    )


def images(hidden: int = 256, dropout: float = 0.2, **options) -> mg.GAN:
    """Networks of the size of the MNIST experiment."""

    def block(n_in: int, n_out: int) -> list[mg.Layer]:
        return [mg.Linear(n_in, n_out), mg.ReLU(), mg.Dropout(dropout)]

    G = mg.Sequential(
        *block(100, hidden),
        *block(hidden, hidden),
        mg.Linear(hidden, 784),
        mg.Tanh(),
        name="generator",
    )
    D = mg.Sequential(
        *block(784, hidden), *block(hidden, hidden), mg.Linear(hidden, 1), name="discriminator"
    )
    return mg.GAN(G, D, mg.Uniform(-1, 1, dim=100), **options)


def small(seed=0, dtype="float64", **options) -> mg.GAN:
    G = mg.Sequential(
        mg.Linear(2, 6), mg.ELU(), mg.Linear(6, 3), seed=seed, dtype=dtype, name="generator"
    )
    D = mg.Sequential(
        mg.Linear(3, 5), mg.ELU(), mg.Linear(5, 1), seed=seed, dtype=dtype, name="discriminator"
    )
    loss = options.pop("loss", None)
    if "seed_of_noise" in options:
        options["seed"] = options.pop("seed_of_noise")
    return mg.GAN(
        G,
        D,
        mg.Normal(dim=2),
        loss,
        mg.Adam(G.parameters, lr=1e-2),
        mg.Adam(D.parameters, lr=2e-2),
        **options,
    )


def real_samples(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(4, 1.25, size=shape)


def long_way_round(
    gan: mg.GAN, reals: list[np.ndarray], game: str, same_noise: bool, repeats: int
) -> None:
    """Steps by separate forwards and backwards, gradients added by hand; changes `gan`."""
    G, D = gan.generator, gan.discriminator
    noise_d, noise_g = mg.Stream(0, "gan/discriminator_noise"), mg.Stream(0, "gan/generator_noise")
    z = np.empty((len(reals[0]), 2))
    for real in reals:
        for repeat in range(repeats):
            if repeat == 0 or not same_noise:
                gan.noise.fill(gan.ops, noise_d, out=z)
            fake = G.forward(z).copy()
            _, dreal = mg.bce_with_logits(D.forward(real), 0.9)
            D.backward(dreal)
            grad = D.parameters.grad.copy()
            _, dfake = mg.bce_with_logits(D.forward(fake), 0.1)
            D.backward(dfake)
            D.parameters.grad[:] += grad
            gan.discriminator_optimizer.step()
        for _ in range(repeats):
            if not same_noise:
                gan.noise.fill(gan.ops, noise_g, out=z)
            score = D.forward(G.forward(z).copy())
            if game == "minimax":
                _, dY = mg.bce_with_logits(score, 0.1)
                dY = -dY
            else:
                _, dY = mg.bce_with_logits(score, 0.8)
            G.backward(D.backward(dY))
            gan.generator_optimizer.step()


@pytest.mark.parametrize("game", ["non_saturating", "minimax"])
@pytest.mark.parametrize("same_noise", [False, True])
@pytest.mark.parametrize("repeats", [1, 3])
def test_step_equals_the_long_way_round(game, same_noise, repeats):
    loss = mg.Minimax(0.9, 0.1) if game == "minimax" else mg.NonSaturating(0.9, 0.1, 0.8)
    options = {"same_noise": same_noise, "d_steps": repeats, "g_steps": repeats}
    fast, slow = (small(loss=loss, **options) for _ in range(2))
    reals = [real_samples(8, 3, seed=s) for s in range(5)]
    for real in reals:
        fast.step(real)
    long_way_round(slow, reals, game, same_noise, repeats)
    for net in ("generator", "discriminator"):
        np.testing.assert_allclose(
            getattr(fast, net).parameters.data, getattr(slow, net).parameters.data, rtol=1e-9
        )


def test_reported_losses_are_the_means_since_the_last_report():
    gan, twin = small(), small()
    each = []
    for s in range(4):
        gan.step(real_samples(8, 3, seed=s))
        twin.step(real_samples(8, 3, seed=s))
        each.append(twin.losses())
    total = gan.losses()
    for name in ("d_real", "d_fake", "g"):
        assert total[name] == pytest.approx(np.mean([loss[name] for loss in each]))
    gan.step(real_samples(8, 3, seed=9))
    assert gan.losses()["g"] != pytest.approx(total["g"], rel=1e-12)


#: Each loss with targets 0.9, 0.2, 0.7, and its terms by hand.
LOSSES = {
    "bce": (mg.NonSaturating(0.9, 0.2, 0.7, probabilities=True), mg.bce),
    "logits": (mg.NonSaturating(0.9, 0.2, 0.7), mg.bce_with_logits),
    "minimax bce": (mg.Minimax(0.9, 0.2, probabilities=True), mg.bce),
    "minimax logits": (mg.Minimax(0.9, 0.2), mg.bce_with_logits),
    "squared": (mg.LeastSquares(0.9, 0.2, 0.7), mg.mean_squared_error),
    "Wasserstein": (mg.Wasserstein(), lambda Y, t: (Y.mean() if t == 0.2 else -Y.mean(), None)),
    "hinge": (
        mg.Hinge(),
        lambda Y, t: (
            -Y.mean() if t == 0.7 else np.maximum(0, 1 + (Y if t == 0.2 else -Y)).mean(),
            None,
        ),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("options", [{}, {"same_noise": True}, {"d_steps": 2, "g_steps": 3}])
def test_reported_losses_are_those_of_the_last_scores(name, options):
    """D's on real and on fake samples in its half, and G's in its own, by the loss functions."""
    loss, of = LOSSES[name]
    last = [mg.Sigmoid()] if loss.output == "probability" else []
    G = mg.Sequential(mg.Linear(2, 6), mg.ELU(), mg.Linear(6, 3), dtype="float64", name="g")
    D = mg.Sequential(mg.Pack(2), mg.Linear(12, 1), *last, dtype="float64", name="d")
    gan = mg.GAN(G, D, mg.Normal(dim=2), loss, **options)
    sums = np.zeros(3)
    for seed in range(3):
        gan.step(real_samples(8, 3, seed=seed))
        scores, of_g = gan._both.Y, gan._d_for_g.Y
        assert scores.shape == (8, 1)
        minimax = isinstance(loss, mg.Minimax)
        generator = -of(of_g, 0.2)[0] if minimax else of(of_g, 0.7)[0]
        sums += [of(scores[:4], 0.9)[0], of(scores[4:], 0.2)[0], generator]
    losses = gan.losses()
    assert [*losses] == ["d_real", "d_fake", "g", *loss.columns]
    np.testing.assert_allclose([*losses.values()][:3], sums / 3, rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradients_of_a_loss_are_those_of_its_values(name):
    """By the scores of real, of generated, and of samples in G's half, four of each."""
    loss, _ = LOSSES[name]
    P = np.random.default_rng(0).uniform(0.1, 0.9, (3, 4, 1))

    def of(which: int, column: int):
        def function(X):
            scores = P.copy()
            scores[which] = X
            out = np.empty((1, 3 + len(loss.columns)))
            loss.values(ops, *(v.reshape(1, 4) for v in scores), out)
            grads = [np.empty((4, 1)) for _ in range(3)]
            targets, dY = np.empty((8, 1)), np.empty((8, 1))
            loss.targets(ops, out=targets)
            loss.discriminator_gradient(ops, scores[:2].reshape(8, 1), targets, dY)
            grads[:2] = dY[:4], dY[4:]
            loss.generator_gradient(ops, scores[2], grads[2])
            return float(out[0, column]), grads[which]

        return function

    for k in range(3):
        report = mg.gradcheck_function(of(k, k), P[k])
        assert report.ok, f"{name}, {k}\n{report}"


@pytest.mark.parametrize("steps", [1, 63, 64, 65, 130])
def test_losses_of_any_number_of_steps(steps):
    """They are computed 64 steps at a time; the means do not depend on it."""
    gan, twin = small(), small()
    each = []
    for seed in range(steps):
        for one in (gan, twin):
            one.step(real_samples(8, 3, seed=seed))
        each.append([*twin.losses().values()])
    np.testing.assert_allclose([*gan.losses().values()], np.mean(each, axis=0), rtol=1e-10)


def test_another_loss_is_for_the_steps_to_come():
    gan, twin = small(), small()
    for g in (gan, twin):
        g.step(real_samples(8, 3))
    expected = twin.losses()
    gan.set_loss(mg.Minimax(0.7))
    assert gan.loss == mg.Minimax(0.7)
    gan.records.make()
    assert gan.losses() == expected
    gan.step(real_samples(8, 3, seed=1))
    losses = gan.losses()
    assert losses["g"] < 0.0  # minimax: D's loss on generated samples is G's gain
    of_real = mg.bce_with_logits(gan._both.Y[:8], 0.7)[0]
    assert losses["d_real"] == pytest.approx(of_real, rel=1e-12)


def test_a_loss_that_cannot_be_kept_is_refused_in_the_middle_of_training():
    @dataclasses.dataclass(frozen=True)
    class Unregistered(mg.Minimax):
        pass

    gan = small()
    for loss, words in (
        (Unregistered(), "not registered"),
        ("minimax", "must be a Loss"),
        (mg.NonSaturating(probabilities=True), "end the discriminator in a Sigmoid"),
    ):
        with pytest.raises(mg.ConfigError, match=words):
            gan.set_loss(loss)
    assert gan.loss == mg.NonSaturating()


def test_generator_half_leaves_the_discriminator_and_its_gradients_alone():
    gan = small()
    gan.step(real_samples(8, 3))
    D = gan.discriminator
    D.parameters.grad[:] = 7.0
    before = D.parameters.data.copy()
    gan.generator_step()
    assert (D.parameters.grad == 7.0).all()
    np.testing.assert_array_equal(D.parameters.data, before)


def test_discriminator_half_leaves_the_generator_and_its_gradients_alone():
    gan = small()
    gan.step(real_samples(8, 3))
    G = gan.generator
    G.parameters.grad[:] = 7.0
    before = G.parameters.data.copy()
    gan.discriminator_step()
    assert (G.parameters.grad == 7.0).all()
    np.testing.assert_array_equal(G.parameters.data, before)


def count_products(gan: mg.GAN, batch: int, features: int, monkeypatch) -> int:
    """Matrix products in one step."""
    from minigan.backend import numpy as ops

    gan.step(real_samples(batch, features))
    count = [0]
    matmul = ops.matmul

    def counting(*args, **kwargs):
        count[0] += 1
        return matmul(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ops, "matmul", counting)
        gan.step(real_samples(batch, features))
    return count[0]


def test_a_step_does_no_product_whose_result_nobody_reads(monkeypatch):
    # Two Linears each. D half: G 2 (for both noises), D 2, dW 2 and one dX. G half: D 2, D's dX 2,
    # G's dW 2 and one dX.
    needed = (2 + 2 + 2 + 1) + (2 + 2 + 2 + 1)
    assert count_products(small(), 8, 3, monkeypatch) == needed
    assert count_products(small(same_noise=True), 8, 3, monkeypatch) == needed
    # Every further update of D needs samples of its own, unless the noise is the same.
    assert count_products(small(d_steps=2), 8, 3, monkeypatch) == needed + 2 + (2 + 2 + 1)
    assert count_products(small(d_steps=2, same_noise=True), 8, 3, monkeypatch) == needed + 5
    # And of G in any case, since G has changed.
    assert count_products(small(g_steps=2), 8, 3, monkeypatch) == needed + 2 + (2 + 2 + 2 + 1)


def test_repeated_steps_of_either_player():
    gan = small(d_steps=3, g_steps=2)
    gan.step(real_samples(8, 3))
    assert gan.discriminator_optimizer.step_count == 3
    assert gan.generator_optimizer.step_count == 2
    assert gan.step_count == 1


def test_two_learning_rates_and_decay():
    gan = small()
    assert gan.discriminator_optimizer.rate == 2 * gan.generator_optimizer.rate
    G, D = gan.generator, gan.discriminator
    decayed = mg.GAN(
        G,
        D,
        mg.Normal(dim=2),
        generator_optimizer=mg.Adam(G.parameters, 0.1, decay=mg.LinearDecay(end=2)),
        discriminator_optimizer=mg.Adam(D.parameters, 0.1, decay=mg.LinearDecay(end=2)),
    )
    for _ in range(3):
        decayed.step(real_samples(8, 3))
    assert decayed.generator_optimizer.rate == 0.0
    before = G.parameters.data.copy()
    decayed.step(real_samples(8, 3))
    np.testing.assert_array_equal(G.parameters.data, before)


def test_moving_average_by_hand_and_sampling_with_it():
    gan = small(average=0.9)
    expected = gan.generator.parameters.data.copy()
    for t in range(30):
        gan.step(real_samples(8, 3, seed=t))
        d = min(0.9, (1 + t) / (10 + t))
        expected = d * expected + (1 - d) * gan.generator.parameters.data
    np.testing.assert_allclose(gan.average.network.parameters.data, expected, rtol=1e-10)
    assert gan.sampler is gan.average.network
    z = np.empty((5, 2))
    gan.noise.fill(gan.ops, mg.Stream(7, "gan/sample"), out=z)
    np.testing.assert_array_equal(gan.sample(5, seed=7), gan.average.network.predict(z))


@pytest.mark.parametrize("shape", [(1, 3), (40, 3), (500, 3)])
def test_noise_by_hand_from_the_words_of_its_stream(shape):
    u, z = (draw(mg.Stream(4, "z"), shape[0] * shape[1]) for draw in (uniforms, normals))
    for noise, expected in (
        (mg.Uniform(-2.0, 3.0, dim=3), -2.0 + 5.0 * u),
        (mg.Normal(0.5, 2.0, dim=3), 0.5 + 2.0 * z),
    ):
        out = np.empty(shape)
        noise.fill(mg.backend.numpy, mg.Stream(4, "z"), out=out)
        np.testing.assert_allclose(out.ravel(), expected, rtol=1e-6, atol=1e-6)


def test_sampling_goes_on_or_repeats():
    gan = small()
    first, second = gan.sample(5), gan.sample(5)
    assert (first != second).any()
    np.testing.assert_array_equal(gan.sample(5, seed=1), gan.sample(5, seed=1))
    assert gan.sample(0).shape == (0, 3)
    with pytest.raises(mg.ConfigError):
        gan.sample(-1)


def test_least_squares_gan_steps():
    gan = small(loss=mg.LeastSquares())
    gan.step(real_samples(8, 3))
    assert np.isfinite(list(gan.losses().values())).all()


def test_a_population_is_its_members_to_the_bit():
    seeds = [5, 2]
    together, alone = article(seeds, average=0.9), [article(s, average=0.9) for s in seeds]
    for t in range(20):
        real = np.stack([real_samples(100, 1, seed=100 * s + t) for s in seeds]).astype("float32")
        together.step(real)
        for k, gan in enumerate(alone):
            gan.step(real[k])
    losses = together.losses()
    samples = together.sample(50, seed=3)
    for k, gan in enumerate(alone):
        for net in ("generator", "discriminator", "sampler"):
            np.testing.assert_array_equal(
                getattr(together, net).parameters.data[k], getattr(gan, net).parameters.data
            )
        np.testing.assert_array_equal(samples[k], gan.sample(50, seed=3))
        assert losses["g"][k] == pytest.approx(gan.losses()["g"])


BUDGET = 64 * 1024  # bytes


def step_peak(gan: mg.GAN, data: mg.Gaussian | mg.Samples, batch: int) -> int:
    """The most memory that one training step holds beyond what was there before, in bytes."""
    gan.bind(batch)

    def step() -> None:
        gan.read(data)
        gan.step()

    for _ in range(3):  # warm up the pool of temporaries
        step()
    return peak_memory(step)


def pixels() -> mg.Samples:
    return mg.Samples(np.zeros((1000, 784), "float32"))


def test_a_step_allocates_next_to_nothing():
    assert step_peak(article(average=0.999), mg.Gaussian(), 100) <= BUDGET
    assert step_peak(images(average=0.999), pixels(), 100) <= BUDGET


ALLOCATION = {
    "article": (lambda: article(average=0.999), mg.Gaussian, 4000),
    # A member's half of D's input is strided, which some NumPy versions buffer, by at most
    # 8,192 elements an operand; beyond that nothing may grow.
    "population": (lambda: article([0, 1, 2]), lambda: mg.Gaussian(seed=[0, 1, 2]), 16_000),
    "images": (lambda: images(64, average=0.999), pixels, 400),
    "float64, normal noise": (
        lambda: wide(mg.NonSaturating()),
        lambda: mg.Samples(np.zeros((1000, 3)), dtype="float64"),
        16000,
    ),
    "squared error": (
        lambda: wide(mg.LeastSquares()),
        lambda: mg.Samples(np.zeros((1000, 3)), dtype="float64"),
        16000,
    ),
    "hinge, RMSprop": (
        lambda: wide(mg.Hinge(), mg.RMSprop),
        lambda: mg.Samples(np.zeros((1000, 3)), dtype="float64"),
        16000,
    ),
    "conditional": (
        lambda: conditional("embed", penalty=mg.R1(0.1)),
        lambda: labelled(n=1000),
        16_000,
    ),
    "InfoGAN": (lambda: info(True, average=0.9), lambda: labelled(n=1000), 16_000),
    "consistency": (lambda: moving(d_steps=2), lambda: labelled(n=1000), 16_000),
}


def wide(loss: mg.Loss, rule: type[mg.Optimizer] = mg.Adam) -> mg.GAN:
    """Every activation, over a batch so large that any temporary shows."""
    options = {"dtype": "float64"}
    G = mg.Sequential(
        *(mg.Linear(2, 4), mg.LeakyReLU(0.2), mg.Linear(4, 4), mg.Tanh(), mg.Linear(4, 3)),
        **options,
    )
    D = mg.Sequential(
        *(mg.Linear(3, 4), mg.ELU(1.5), mg.Dropout(0.5), mg.Linear(4, 4), mg.Sigmoid()),
        mg.Linear(4, 1),
        **options,
    )
    return mg.GAN(G, D, mg.Normal(dim=2), loss, rule(G.parameters), rule(D.parameters))


@pytest.mark.parametrize("case", ALLOCATION)
def test_a_step_allocates_nothing_that_grows_with_the_batch(case):
    gan, data, batch = ALLOCATION[case]
    small_peak = step_peak(gan(), data(), batch // 4)
    large_peak = step_peak(gan(), data(), batch)
    assert large_peak - small_peak < 16 * 1024, f"{small_peak} bytes, then {large_peak} bytes"


@pytest.mark.parametrize(
    ("kernel", "case"),
    [
        ("relu", "images"),
        ("elu", "article"),
        ("elu_backward", "population"),
        ("sigmoid_backward", "article"),
        ("pack_deviations", "article"),
        ("leaky_relu", "squared error"),
        ("leaky_relu_backward", "squared error"),
        ("tanh_backward", "squared error"),
        ("fill_normal", "float64, normal noise"),
        ("fill_dropout_mask", "float64, normal noise"),
        ("bce_with_logits_gradient", "float64, normal noise"),
        ("mean_squared_error_gradient", "squared error"),
        ("hinge_gradient", "hinge, RMSprop"),
        ("softmax_cross_entropy_gradient", "InfoGAN"),
        ("matmul", "conditional"),
        ("move_images", "consistency"),
    ],
)
def test_the_allocation_tests_would_notice_a_temporary(kernel, case, monkeypatch):
    from minigan.backend import numpy as ops

    original = getattr(ops, kernel)

    def wasteful(*args, **kwargs):
        result = kwargs.get("out", args[-1])
        temporary = result.copy()  # held while the kernel runs
        original(*args, **kwargs)
        del temporary

    monkeypatch.setattr(ops, kernel, wasteful)
    with pytest.raises(AssertionError, match="bytes"):
        test_a_step_allocates_nothing_that_grows_with_the_batch(case)


def test_config_and_state_rebuild_the_gan():
    gan = images(hidden=8, average=0.9)
    for s in range(3):
        gan.step(np.random.default_rng(s).uniform(-1, 1, (10, 784)))
    tensors, counters = gan.state()
    twin = mg.GAN.from_config(gan.to_config())
    twin.load_state({k: v.copy() for k, v in tensors.items()}, counters)
    for g in (gan, twin):
        g.step(np.random.default_rng(9).uniform(-1, 1, (10, 784)))
    for name, array in gan.state()[0].items():
        np.testing.assert_array_equal(array, twin.state()[0][name])
    assert gan.state()[1] == twin.state()[1]


def test_a_wrong_state_is_refused_before_anything_changes():
    gan = small()
    gan.step(real_samples(8, 3))
    tensors, counters = gan.state()
    tensors = {k: v.copy() for k, v in tensors.items()}
    twin = small()
    before = {k: v.copy() for k, v in twin.state()[0].items()}

    def damaged(**changes):
        return {**tensors, **changes}

    name = "generator/0.weight"
    missing = {k: v for k, v in tensors.items() if k != name}
    for bad in (
        missing,
        damaged(extra=np.zeros(3)),
        damaged(**{name: np.zeros((2, 5))}),
        damaged(**{name: tensors[name].astype("float32")}),
        damaged(**{name: tensors[name] * np.nan}),
    ):
        with pytest.raises(mg.CheckpointError):
            twin.load_state(bad, counters)
    for mine, other in (("float32", "float64"), ("float64", "float32")):
        with pytest.raises(mg.CheckpointError, match=rf"is {other} .* expected {mine}"):
            small(dtype=mine).load_state(*small(dtype=other).state())
    for bad_counters in (
        {},
        None,
        [*counters],
        {**counters, "step": -1},
        {**counters, "step": 1.5},
        {**counters, "step": True},
        {**counters, "more": 1},
    ):
        with pytest.raises(mg.CheckpointError):
            twin.load_state(tensors, bad_counters)
    for name in counters:
        for bad in (-1, 1.5, True, "1", None):
            with pytest.raises(mg.CheckpointError, match=f"counter '{name}' is {bad!r}"):
                twin.load_state(tensors, counters | {name: bad})
    for name in tensors:
        with pytest.raises(mg.CheckpointError, match=f"tensor '{name}' holds NaN or infinity"):
            twin.load_state(damaged(**{name: tensors[name] * np.inf}), counters)
    for bad_tensors in (None, [*tensors], [*tensors.items()]):
        with pytest.raises(mg.CheckpointError, match="two dictionaries"):
            twin.load_state(bad_tensors, counters)
    for k, v in twin.state()[0].items():
        np.testing.assert_array_equal(v, before[k])


class TestRefusals:
    def test_real_samples(self):
        gan = small()
        with pytest.raises(mg.ShapeError, match="real samples"):
            gan.step()
        with pytest.raises(mg.ShapeError, match=r"real data has shape .*\(batch, 3\)"):
            gan.step(real_samples(8, 2))
        bad = real_samples(8, 3)
        bad[3, 1] = np.nan
        with pytest.raises(mg.DataError, match="NaN"):
            gan.step(bad)
        with pytest.raises(mg.ShapeError, match="multiple of 100"):
            article().step(real_samples(150, 1))

    def test_networks_that_do_not_fit(self):
        G, D = small().generator, small().discriminator
        with pytest.raises(mg.ShapeError, match="noise"):
            mg.GAN(G, D, mg.Normal(dim=3))
        with pytest.raises(mg.ShapeError, match="makes 3"):
            mg.GAN(G, mg.Sequential(mg.Linear(4, 1), dtype="float64"), mg.Normal(dim=2))
        with pytest.raises(mg.ShapeError, match="end in 1"):
            mg.GAN(G, mg.Sequential(mg.Linear(3, 2), dtype="float64"), mg.Normal(dim=2))
        with pytest.raises(mg.ConfigError, match="share"):
            mg.GAN(G, mg.Sequential(mg.Linear(3, 1)), mg.Normal(dim=2))
        for of_g, of_d in (([0, 1], [0]), ([0], [0, 1]), ([0], 0), (0, [0])):
            g = mg.Sequential(mg.Linear(2, 3), seed=of_g)
            with pytest.raises(mg.ConfigError, match="share dtype, device and population"):
                mg.GAN(g, mg.Sequential(mg.Linear(3, 1), seed=of_d), mg.Normal(dim=2))
        for optimizers in ((D, D), (G, G), (D, G)):
            made = [mg.Adam(net.parameters) for net in optimizers]
            with pytest.raises(mg.ConfigError, match="another network"):
                mg.GAN(G, D, mg.Normal(dim=2), None, *made)

    def test_packs_are_for_the_discriminator(self):
        G = mg.Sequential(mg.Pack(2), mg.Linear(4, 1), name="g")
        D = mg.Sequential(mg.Linear(1, 1), name="d")
        with pytest.raises(mg.ConfigError, match="one sample per row; Pack is for D"):
            mg.GAN(G, D, mg.Normal())

    def test_a_noise_seed_for_each_member(self):
        G = mg.Sequential(mg.Linear(1, 1), name="g", seed=[0, 1])
        D = mg.Sequential(mg.Linear(1, 1), name="d", seed=[0, 1])
        for seed in (3, [1], [1, 2, 3]):
            with pytest.raises(mg.ConfigError, match="one noise seed for each member"):
                mg.GAN(G, D, mg.Normal(), seed=seed)
        with pytest.raises(mg.ConfigError, match="one noise seed for each member"):
            small(seed_of_noise=[1, 2])
        assert mg.GAN(G, D, mg.Normal(), seed=[4, 5]).streams["sample"].seeds == (4, 5)

    def test_settings(self):
        for make in (
            lambda: small(d_steps=0),
            lambda: small(d_steps=1001),
            lambda: small(g_steps=1001),
            lambda: small(average=1.0),
            lambda: small(same_noise=1),
            lambda: small(fresh_real="no"),
            lambda: mg.NonSaturating(real_target=1.1),
            lambda: mg.NonSaturating(generator_target=-0.1),
            lambda: mg.Minimax(fake_target=1.1),
            lambda: mg.Minimax(probabilities=1),
            lambda: mg.LeastSquares(real_target=float("inf")),
            lambda: mg.Drift(epsilon=0.0),
            lambda: mg.Clip(limit=0.0),
            lambda: mg.Uniform(1, 0),
            lambda: mg.Normal(std=0.0),
            lambda: mg.Uniform(dim=0),
            lambda: mg.Uniform(0, float("inf")),
            lambda: mg.Normal(mean=float("nan")),
            lambda: mg.LeastSquares(real_target="1"),
            lambda: mg.Adam(small().generator.parameters, betas=(0.9,)),
            lambda: mg.Adam(small().generator.parameters, lr=float("inf")),
        ):
            with pytest.raises(mg.ConfigError):
                make()


def test_a_loss_that_is_no_longer_finite_names_step_and_network():
    gan = small()
    for s in range(3):
        gan.step(real_samples(8, 3, seed=s))
    gan.generator.parameters.data[0] = np.inf
    with np.errstate(all="ignore"):
        gan.step(real_samples(8, 3))
        gan.step(real_samples(8, 3))
    with pytest.raises(mg.NonFiniteError, match=r"step 4: the loss d_fake.*the generator"):
        gan.losses()


def test_undecided_loss_is_that_of_saying_the_middle():
    for loss in (
        mg.NonSaturating(),
        mg.NonSaturating(real_target=0.95, probabilities=True),
        mg.Minimax(fake_target=0.1),
        mg.NonSaturating(0.8, 0.3),
        mg.NonSaturating(1.0, 1.0),
        mg.Minimax(0.0, 0.0),
        mg.LeastSquares(),
        mg.LeastSquares(2.0, -0.5),
    ):
        a, b = loss.real_target, loss.fake_target
        of = mg.mean_squared_error if isinstance(loss, mg.LeastSquares) else mg.bce
        middle = np.full((1, 1), (a + b) / 2)
        expected = (of(middle, a)[0] + of(middle, b)[0]) / 2
        assert loss.undecided() == pytest.approx(expected, abs=1e-15), loss
    assert mg.Loss().undecided() is None


def test_a_step_without_real_samples_does_not_go_unnoticed():
    gan = small()
    gan.bind(8)
    with np.errstate(all="ignore"):
        gan.step()
    with pytest.raises(mg.NonFiniteError, match=r"step 1: the loss d_real.*real data"):
        gan.losses()


def test_parameters_are_checked_as_well_as_losses():
    gan = small()
    gan.step(real_samples(8, 3))
    gan.check_finite()
    gan.discriminator.parameters.data[3] = np.nan
    with pytest.raises(mg.NonFiniteError, match="discriminator holds a parameter"):
        gan.check_finite()


def test_one_bad_loss_among_good_ones_is_remembered():
    from minigan.backend import numpy as ops

    losses = np.array([[1, 1, 1], [1, np.nan, 1], [1, 1, np.inf], [1, 1, 1]])
    for pieces in ([losses], [losses[:1], losses[1:]], [losses[:2], losses[2:]]):
        totals = np.zeros((2, 3))
        for piece in pieces:
            ops.record_losses(piece, totals)
        assert totals[1].tolist() == [4, 1, 2]
        assert totals[0, 0] == 4.0


def test_noise_has_the_seed_that_was_asked_for():
    draws = []
    for seed in (None, 0, 1):
        gan = small(seed=0, **({} if seed is None else {"seed_of_noise": seed}))
        gan.step(real_samples(8, 3))
        draws.append(gan._z.copy())
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


def test_losses_are_not_invented():
    gan = small()
    with pytest.raises(mg.OrderError, match="no steps"):
        gan.losses()
    gan.step(real_samples(8, 3))
    gan.losses()
    with pytest.raises(mg.OrderError, match="no steps"):
        gan.losses()


def test_an_empty_batch_and_a_wrong_population_are_refused():
    assert small().passes() == []  # not bound yet
    with pytest.raises(mg.ShapeError, match="multiple"):
        small().step(np.zeros((0, 3)))
    with pytest.raises(mg.ShapeError, match=r"\(2, batch, 1\)"):
        article([0, 1]).step(np.zeros((1, 100, 1)))
    G = mg.Sequential(mg.Linear(1, 1), seed=0)
    with pytest.raises(mg.ConfigError, match="two networks"):
        mg.GAN(G, G, mg.Normal())


def test_values_too_large_for_the_dtype_are_refused():
    with pytest.raises(mg.DataError, match="infinity"):
        article().step(np.full((100, 1), 1e300))


def test_auto_and_cpu_are_the_same_device_here():
    G = mg.Sequential(mg.Linear(1, 1), device="auto", name="g")
    mg.GAN(G, mg.Sequential(mg.Linear(1, 1), device="cpu", name="d"), mg.Normal())


def test_the_loss_must_fit_the_end_of_the_discriminator():
    G = mg.Sequential(mg.Linear(1, 1), name="g")
    logits = mg.Sequential(mg.Linear(1, 1), name="d")
    probabilities = mg.Sequential(mg.Linear(1, 1), mg.Sigmoid(), name="d")
    with pytest.raises(mg.ConfigError, match="end the discriminator in a Sigmoid"):
        mg.GAN(G, logits, mg.Normal(), mg.NonSaturating(probabilities=True))
    with pytest.raises(mg.ConfigError, match="end the discriminator in a Linear"):
        mg.GAN(G, probabilities, mg.Normal())
    mg.GAN(G, logits, mg.Normal())
    mg.GAN(G, probabilities, mg.Normal(), mg.NonSaturating(probabilities=True))


def test_parts_of_the_wrong_kind_are_named():
    G, D = mg.Sequential(mg.Linear(1, 1), name="g"), mg.Sequential(mg.Linear(1, 1), name="d")
    for what, make in {
        "loss": lambda: mg.GAN(G, D, mg.Normal(), "minimax"),
        "penalty": lambda: mg.GAN(G, D, mg.Normal(), penalty=0.1),
        "constraint": lambda: mg.GAN(G, D, mg.Normal(), constraint=mg.Clip),
        "noise": lambda: mg.GAN(G, D, mg.Normal),
        "generator_optimizer": lambda: mg.GAN(G, D, mg.Normal(), None, 1e-3),
        "discriminator must": lambda: mg.GAN(G, "D", mg.Normal()),
        "net.parameters": lambda: mg.Adam(G),
        "batch": lambda: mg.GAN(G, D, mg.Normal()).bind(32.0),
        "rows": lambda: G.bind(32.0),
        "seed": lambda: mg.GAN(G, D, mg.Normal()).sample(3, seed=[0, 1]),
    }.items():
        with pytest.raises(mg.ConfigError, match=what):
            make()


# -- layers defined outside minigan ------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Keeping(mg.Layer):
    """LeakyReLU(0.2) in plain NumPy: forward keeps an array that the pass does not know."""

    def bind(self, binding):
        return KeepingPass(binding)


class KeepingPass(LayerPass):
    def forward(self, X, train):
        self.slope = np.where(X > 0, 1.0, 0.2)
        self.Y[...] = X * self.slope
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        assert self.X.shape == dY.shape
        self.dX[...] = dY * self.slope
        return self.dX


@dataclasses.dataclass(frozen=True)
class Capturable(mg.Layer):
    """The same by the backend's words, so that it can be recorded, and cut."""

    def bind(self, binding):
        return CapturablePass(binding)


class CapturablePass(LayerPass):
    capturable = True

    def forward(self, X, train):
        self.ops.leaky_relu(X, 0.2, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        self.ops.leaky_relu_backward(dY, self.X, 0.2, out=self.dX)
        return self.dX


@pytest.mark.parametrize("layer", [Keeping(), Capturable()], ids=["keeps", "capturable"])
@pytest.mark.parametrize(
    "settings", [{}, {"same_noise": True}, {"d_steps": 2}, {"d_steps": 2, "g_steps": 3}], ids=str
)
def test_layers_from_outside_work_in_both_networks(layer, settings):
    def trained(activation):
        G, D = (
            mg.Sequential(
                *(mg.Linear(n, 5), activation, mg.Linear(5, 1)), name=name, dtype="float64"
            )
            for n, name in ((2, "g"), (1, "d"))
        )
        gan = mg.GAN(G, D, mg.Uniform(0, 1, dim=2), average=0.9, **settings)
        for _ in range(4):
            gan.step(real_samples(6, 1))
        return gan

    mine, ours = trained(layer), trained(mg.LeakyReLU(0.2))
    assert mine._together == (isinstance(layer, Capturable) and not ours.same_noise)
    titles = sorted(title for title, _ in mine.passes())
    of_g = 1 if mine._together or ours.same_noise else 2
    assert titles == ["D in G's half", "D in its half", *["G"] * of_g]
    assert len({id(bound) for _, bound in mine.passes()}) == len(titles)
    for role in ("generator", "discriminator"):
        np.testing.assert_allclose(
            getattr(mine, role).parameters.data, getattr(ours, role).parameters.data, rtol=1e-12
        )
    assert list(mine.state()[1].values()) == list(ours.state()[1].values())  # but for names


@dataclasses.dataclass(frozen=True)
class Asking(mg.Layer):
    """Passes everything on, and remembers whether it was asked to train."""

    capturable: bool
    asked: list

    def bind(self, binding):
        bound = (CutPass if self.capturable else AskingPass)(binding)
        bound.asked = self.asked
        return bound


class AskingPass(LayerPass):
    def forward(self, X, train):
        self.asked.append(train)
        np.copyto(self.Y, X)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        np.copyto(self.dX, dY)
        return self.dX


class CutPass(LayerPass):
    capturable = True  # not true, but nothing is recorded here
    forward, backward = AskingPass.forward, AskingPass.backward


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize(
    ("options", "passes"),  # of G and of D in one step
    [
        ({}, (1, 2)),
        ({"same_noise": True}, (1, 2)),
        ({"d_steps": 2}, (2, 3)),
        ({"d_steps": 2, "same_noise": True}, (1, 3)),
        ({"g_steps": 3}, (3, 4)),
        ({"g_steps": 3, "same_noise": True}, (3, 4)),
    ],
    ids=str,
)
def test_both_networks_train_in_a_step_and_only_there(options, passes, cut):
    of_g: list[bool] = []
    of_d: list[bool] = []
    G = mg.Sequential(mg.Linear(2, 3), Asking(cut, of_g), name="g")
    D = mg.Sequential(Asking(cut, of_d), mg.Linear(3, 1), name="d")
    gan = mg.GAN(G, D, mg.Normal(dim=2), **options)
    gan.step(real_samples(6, 3))
    more = 0 if cut or gan.same_noise else 1  # G's halves are two passes
    assert of_g == [True] * (passes[0] + more)
    assert of_d == [True] * passes[1]
    for half, run in (("discriminator", (1, 1)), ("generator", (1, 1))):
        of_g.clear()
        of_d.clear()
        getattr(gan, f"{half}_step")()
        assert (of_g, of_d) == ([True] * run[0], [True] * run[1])
    of_g.clear()
    gan.sample(5)
    gan.sample(5, seed=1)
    assert of_g == [False, False]


@dataclasses.dataclass(frozen=True)
class Fresh(mg.Layer):
    """Y = X, in an array of its own at each pass, and the end of a generator."""

    def bind(self, binding):
        return FreshPass(binding)


class FreshPass(LayerPass):
    def forward(self, X, train):
        return X * 1.0

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        return dY * 1.0


@pytest.mark.parametrize("same_noise", [False, True])
def test_a_result_in_another_array_arrives_where_it_was_promised(same_noise):
    def trained(*last):
        G = mg.Sequential(mg.Linear(2, 1), *last, name="g", dtype="float64")
        D = mg.Sequential(mg.Linear(1, 4), mg.Tanh(), mg.Linear(4, 1), name="d", dtype="float64")
        gan = mg.GAN(G, D, mg.Uniform(0, 1, dim=2), same_noise=same_noise)
        for _ in range(3):
            gan.step(real_samples(6, 1))
        return G.parameters.data

    np.testing.assert_allclose(trained(Fresh()), trained(), rtol=1e-12)
    bound = mg.Sequential(Fresh(), in_features=2).bind(3)
    assert bound.forward(np.ones((3, 2), "float32")) is bound.Y


def test_a_copy_goes_on_with_the_mean_of_the_losses():
    """Also if they were read before, so that the mean is not over all steps."""
    gan, real = small(), np.ones((4, 3))
    gan.step(real)
    gan.losses()
    gan.step(real)
    twin = copy.deepcopy(gan)
    assert twin.losses() == gan.losses()


@pytest.mark.parametrize("bare", ["generator", "discriminator"])
def test_a_network_without_parameters_plays_too(bare):
    nets = {
        "generator": mg.Sequential(mg.Linear(1, 1), name="G"),
        "discriminator": mg.Sequential(mg.Linear(1, 1), name="D"),
    } | {bare: mg.Sequential(mg.Tanh(), in_features=1)}
    gan = mg.GAN(**nets, noise=mg.Normal(), average=0.9)
    before = {role: net.parameters.data.copy() for role, net in nets.items()}
    for captured in (False, True):
        gan.capture(captured)
        for _ in range(3):
            gan.step(np.ones((4, 1)))
        assert all(np.isfinite(loss) for loss in gan.losses().values())
    for role, net in nets.items():
        assert (role == bare) == np.array_equal(net.parameters.data, before[role])
    assert gan.sample(2).shape == (2, 1)
    gan.load_state(*gan.state())


@pytest.mark.parametrize("batch", [10**15, 10**18, 10**30])
def test_a_batch_beyond_the_memory_is_refused_in_a_sentence(batch):
    """From some size on, no array has such a shape, whatever the memory."""
    generator, discriminator = (mg.Sequential(mg.Linear(1, 1), name=name) for name in "GD")
    game = mg.GAN(generator, discriminator, mg.Normal())
    with pytest.raises(mg.ConfigError, match="needs more memory than there is"):
        game.bind(batch)
