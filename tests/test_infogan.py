"""InfoGAN: whose parameters the term reaches, in which half; its bound in nats; its codes."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from conditional_games import (
    CLASSES,
    CONTINUOUS,
    DIM,
    FEATURES,
    Draws,
    agree,
    info,
    info_step,
    labelled,
    require_members_alone,
    term,
)
from test_conditional import OPTIONS, differences

import minigan as mg

B, CODE = 6, CLASSES + CONTINUOUS
both = pytest.mark.parametrize("norm", [False, True], ids=["dense", "batch norm"])


def real_samples(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, FEATURES))


def step_by_step(game: mg.InfoGAN, steps: int = 3) -> bool:
    """Whether steps end where they end the long way round."""
    twin, draws = copy.deepcopy(game), Draws(game, B)
    for k in range(steps):
        real = real_samples(game.samples_of(B), k)
        game.step(real)
        info_step(twin, draws, real)
    return agree(game, twin)


@pytest.mark.parametrize("continuous", [0, 1, 2])
@pytest.mark.parametrize("options", OPTIONS)
def test_a_step_is_the_step_the_long_way_round(options, continuous):
    assert step_by_step(info(continuous=continuous, **OPTIONS[options]))


@pytest.mark.parametrize("trunk", [1, 3, 6])
def test_the_trunk_may_end_anywhere_before_the_last_layer(trunk):
    game = info()
    H = game.discriminator.shapes(1)[trunk][1]
    Q = mg.Sequential(mg.Linear(H, 4), mg.Tanh(), mg.Linear(4, CODE), name="q", dtype="float64")
    settings = {"weight": 0.7, "std": 0.8, "categories": CLASSES, "trunk": trunk}
    assert step_by_step(
        mg.InfoGAN(game.generator, game.discriminator, Q, mg.Normal(dim=DIM), **settings)
    )


@both
def test_the_trunk_s_gradient_is_the_sum_of_those_of_its_heads(norm):
    """Each head's from a pass of its own, the other's message being zero."""
    game = info(norm)
    game.step(real_samples(B))
    trunk, head = game.discriminator.split(game.trunk)
    dY = np.random.default_rng(1).normal(size=(B, 1))
    X, code = real_samples(B, 2), game._condition[-B:]
    two = game._d_for_g if not norm else game._on_fake
    parts = {}
    for which in ("both", "head", "Q"):
        if which == "both":
            two.forward(X)
            two.backward(dY)
            parts[which] = two.trunk.grad.copy()
            continue
        features = trunk.bind(B, keep_buffers=True)
        phi = features.forward(X)
        if which == "head":
            one = head.bind(B, keep_buffers=True)
            one.forward(phi)
            down = one.backward(dY)
        else:
            one = game.recogniser.bind(B, keep_buffers=True)
            _, dguess = term(game, one.forward(phi).copy(), two.code)
            down = one.backward(dguess)
        features.backward(down.copy())
        parts[which] = features.grad.copy()
    assert code.shape == two.code.shape
    total = parts["head"] + parts["Q"]
    assert np.abs(parts["head"]).max() > 1e-3
    assert np.abs(parts["Q"]).max() > 1e-3
    np.testing.assert_allclose(parts["both"], total, rtol=1e-10, atol=1e-14)


def softplus(x: np.ndarray) -> float:
    return float(np.logaddexp(0.0, x).mean())


def test_each_player_gets_the_gradient_of_its_loss():
    """D's trunk that of D's loss and the term, its head that of D's loss; G and Q theirs."""
    game = info()
    game.bind(B)
    game.real[...] = real = real_samples(B)
    draws = Draws(game, B)
    G, D, Q = (game.networks[role] for role in ("generator", "discriminator", "recogniser"))
    trunk, _ = D.split(game.trunk)
    z, code = draws.noise("discriminator"), draws.code("discriminator")
    fake = G.predict(z, code)
    before = {role: net.parameters.data.copy() for role, net in game.networks.items()}
    game.discriminator_step()
    for role in ("generator", "recogniser"):
        np.testing.assert_array_equal(game.networks[role].parameters.data, before[role])
    updated = D.parameters.data.copy()
    D.parameters.data = before["discriminator"]

    def of_d() -> float:
        return softplus(-D.predict(real)) + softplus(D.predict(fake))

    def of_term(X, code) -> float:
        return term(game, Q.predict(trunk.predict(X)), code)[0]

    for mine, theirs in differences(lambda: of_d() + of_term(fake, code), D.parameters):
        assert mine == pytest.approx(theirs, rel=1e-6, abs=1e-9)
    D.parameters.data = updated
    z, code = draws.noise("generator"), draws.code("generator")
    game.generator_step()
    np.testing.assert_array_equal(D.parameters.data, updated)
    for role in ("generator", "recogniser"):
        assert (game.networks[role].parameters.data != before[role]).all()
        game.networks[role].parameters.data = before[role]

    def of_g() -> float:
        X = G.predict(z, code)
        return softplus(-D.predict(X)) + of_term(X, code)

    for net in (G, Q):
        for mine, theirs in differences(of_g, net.parameters):
            assert mine == pytest.approx(theirs, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("options", OPTIONS)
@both
def test_each_half_leaves_the_others_and_their_statistics_alone(norm, options):
    game = info(norm, **OPTIONS[options])
    game.step(real_samples(game.samples_of(B)))

    def of(*roles):
        nets = [game.networks[role] for role in roles]
        arrays = [(net.parameters.data, net.parameters.grad, net.buffers.data) for net in nets]
        return [array.copy() for three in arrays for array in three]

    untouched, learning = of("recogniser"), of("discriminator")
    game.discriminator_step()
    for old, now in zip(untouched, of("recogniser"), strict=True):
        np.testing.assert_array_equal(old, now)
    assert (learning[0] != of("discriminator")[0]).any()
    untouched, learning = of("discriminator"), of("recogniser")
    game.generator_step()
    for old, now in zip(untouched, of("discriminator"), strict=True):
        np.testing.assert_array_equal(old, now)
    for old, now in zip(learning, of("recogniser"), strict=True):
        assert old.size == 0 or (old != now).any()


def test_each_network_learns_at_its_own_rate():
    """The term reaches the trunk at D's rate."""
    for frozen in ("generator", "discriminator", "recogniser"):
        game = info()
        game.optimizers[frozen].lr = 0.0
        before = {role: net.parameters.data.copy() for role, net in game.networks.items()}
        game.step(real_samples(B))
        for role, net in game.networks.items():
            assert (net.parameters.data != before[role]).any() == (role != frozen)


def test_the_recogniser_s_optimizer_is_by_default_like_the_generator_s():
    game = info()
    G, D, Q = (mg.Sequential.from_config(net.to_config()) for net in game.networks.values())
    settings = {"categories": CLASSES, "trunk": 4}
    rule = mg.RMSprop(G.parameters, 0.3, decay=mg.LinearDecay(9))
    like = mg.InfoGAN(G, D, Q, mg.Normal(dim=DIM), None, rule, **settings)
    assert like.recogniser_optimizer.to_config() == rule.to_config()
    assert like.recogniser_optimizer.parameters is Q.parameters
    plain = mg.InfoGAN(G, D, Q, mg.Normal(dim=DIM), **settings)
    assert plain.recogniser_optimizer.to_config() == mg.Adam(Q.parameters).to_config()


# -- the bound ------------------------------------------------------------------------------


@pytest.mark.parametrize("continuous", [0, 2])
def test_the_bound_is_reported_in_nats(continuous):
    """Of each step, from the guesses and the codes of G's half."""
    game, expected = info(continuous=continuous), []
    for k in range(3):
        game.step(real_samples(B, k))
        guess, code = game._d_for_g.guess, game._condition[-B:]
        logits, means = guess[:, :CLASSES], guess[:, CLASSES:]
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        category = np.log(shares[np.arange(B), code.argmax(axis=1)]).mean() + math.log(CLASSES)
        density = np.exp(-((code[:, CLASSES:] - means) ** 2) / (2 * game.std**2))
        density /= game.std * math.sqrt(2 * math.pi)
        expected.append((category, (np.log(density) + math.log(2.0)).sum(axis=1).mean()))
    losses = game.losses()
    assert [*losses][3:] == ["information", "code_information"][: 1 + bool(continuous)]
    assert losses["information"] == pytest.approx(np.mean(expected, axis=0)[0])
    if continuous:
        assert losses["code_information"] == pytest.approx(np.mean(expected, axis=0)[1])


def test_a_recogniser_that_knows_nothing_and_one_that_knows_all():
    """0 nats, and the entropy of the category, log K."""
    game = info(continuous=0)
    game.recogniser.parameters.data = np.zeros(game.recogniser.parameters.size)
    game.recogniser_optimizer.lr = 0.0
    game.step(real_samples(B))
    assert game.losses()["information"] == pytest.approx(0.0, abs=1e-15)
    game.step(real_samples(B))
    game._d_for_g.guess[...] = 50.0 * game._condition[-B:]
    game.records.forget()
    game.records.add()
    assert game.losses()["information"] == pytest.approx(math.log(CLASSES))


def test_codes_become_recognisable():
    game, data = info(penalty=mg.R1(0.1), std=0.5), labelled()
    rates = {"generator": 1e-2, "discriminator": 0.2, "recogniser": 1e-2}
    for role, lr in rates.items():
        game.optimizers[role].lr = lr
    game.bind(24)
    game.capture()
    for _ in range(400):
        game.read(data)
        game.step()
    game.losses()
    for _ in range(20):
        game.read(data)
        game.step()
    losses = game.losses()
    assert losses["information"] > 0.8 * math.log(CLASSES)
    samples, trunk = game.sample(300, seed=1), game.discriminator.split(game.trunk)[0]
    guess = game.recogniser.predict(trunk.predict(samples))[:, :CLASSES].argmax(axis=1)
    assert (guess == np.arange(300) % CLASSES).mean() > 0.9


# -- the codes ------------------------------------------------------------------------------


def test_categories_are_equally_likely_and_continuous_codes_uniform():
    """In each half, and of every category."""
    game, seen = info(), {"discriminator": [], "generator": []}
    game.bind(400)
    for _ in range(10):
        for half, found in seen.items():
            game.draw(half)
            first = 400 if half == "discriminator" else 800
            found.append(game._condition[first : first + 400].copy())
    for found in seen.values():
        code = np.concatenate(found)
        category, numbers = code[:, :CLASSES], code[:, CLASSES:]
        assert set(np.unique(category)) == {0.0, 1.0}
        assert (category.sum(axis=1) == 1.0).all()
        np.testing.assert_allclose(category.mean(axis=0), 1 / CLASSES, atol=0.03)
        assert -1.0 <= numbers.min() < -0.99
        assert 0.99 < numbers.max() < 1.0
        np.testing.assert_allclose(numbers.mean(axis=0), 0.0, atol=0.03)
        np.testing.assert_allclose(numbers.std(axis=0), 1 / math.sqrt(3), atol=0.03)
        assert abs(np.corrcoef(code.T) - np.eye(CODE))[:, CLASSES:].max() < 0.06
    assert (seen["discriminator"][0] != seen["generator"][0]).any()


def test_samples_by_wish():
    game = info(average=0.9)
    Z = game.draw_noise(7, seed=3)
    in_turn = np.eye(CLASSES)[np.arange(7) % CLASSES]
    drawn = game.draw_condition(7, seed=3)
    np.testing.assert_array_equal(drawn[:, :CLASSES], in_turn)
    assert (np.abs(drawn[:, CLASSES:]) < 1.0).all()
    assert len(np.unique(drawn[:, CLASSES:])) == 7 * CONTINUOUS
    np.testing.assert_array_equal(game.sample(7, 3), game.sampler.predict(Z, drawn))
    for codes in ([0.5, -2.0], np.full((7, 2), [0.5, -2.0])):
        asked = game.draw_condition(7, 3, labels=1, codes=codes)
        expected = np.concatenate([np.eye(CLASSES)[[1] * 7], np.full((7, 2), [0.5, -2.0])], axis=1)
        np.testing.assert_array_equal(asked, expected)
        made = game.sampler.predict(Z, expected)
        np.testing.assert_array_equal(game.sample(7, 3, labels=1, codes=codes), made)
    np.testing.assert_array_equal(  # integers, too
        game.draw_condition(2, 0, codes=[1, 0]), game.draw_condition(2, 0, codes=[1.0, 0.0])
    )
    assert game.draw_condition(0).shape == (0, CODE)
    assert game.classes == game.categories == CLASSES


def test_sampling_goes_on_or_repeats():
    game = info()
    first, second = game.draw_condition(4), game.draw_condition(4)
    assert (first[:, CLASSES:] != second[:, CLASSES:]).all()
    np.testing.assert_array_equal(game.draw_condition(4, 1), game.draw_condition(4, 1))
    assert game.state()[1]["stream/gan/sample_codes"] > 0


@pytest.mark.parametrize("captured", [False, True])
@both
def test_a_population_is_its_members_to_the_bit(norm, captured):
    together, alone = info(norm, seed=[3, 1]), [info(norm, seed=seed) for seed in (3, 1)]
    require_members_alone(together, alone, captured, rows=B, rel=1e-13)
    codes = np.arange(20.0).reshape(2, 5, 2)
    asked = together.draw_condition(5, 0, codes=codes)
    np.testing.assert_array_equal(asked[..., CLASSES:], codes)


# -- what is refused ------------------------------------------------------------------------


def nets(code: int = CODE, hidden: int = 5, guesses: int = CODE, **more: mg.Layer) -> tuple:
    first = more.get("q_first", mg.Linear(hidden, 4))
    return (
        mg.Sequential(mg.AppendCondition(DIM, code), mg.Linear(DIM + code, FEATURES), name="g"),
        mg.Sequential(
            *([more["d_first"]] if "d_first" in more else []),
            *(mg.Linear(more.get("d_in", FEATURES), 5), mg.Tanh(), mg.Linear(5, 1)),
            name="d",
        ),
        mg.Sequential(first, mg.Linear(4, guesses), name="q"),
    )


def game_of(*networks, **settings) -> mg.InfoGAN:
    return mg.InfoGAN(*networks, mg.Normal(dim=DIM), categories=CLASSES, **settings)


REFUSED = {
    "one category": (lambda: mg.InfoGAN(*nets(), mg.Normal(dim=DIM), categories=1), "categories"),
    "fewer than no codes": (lambda: game_of(*nets(), continuous=-1), "InfoGAN: continuous"),
    "no weight": (lambda: game_of(*nets(), weight=0.0), "InfoGAN: weight"),
    "no spread": (lambda: game_of(*nets(), std=0.0), "InfoGAN: std"),
    "no trunk": (lambda: game_of(*nets(), trunk=0), "InfoGAN: trunk"),
    "no head": (lambda: game_of(*nets(), trunk=3), "first 1 to 2 layers of the .* not 3"),
    "a G of other codes": (
        lambda: game_of(*nets(code=4)),
        "InfoGAN gives the generator 5 features, and it reads 4 features",
    ),
    "a Q of another trunk": (lambda: game_of(*nets(hidden=6)), "takes 6 features .* makes 5"),
    "a Q of other codes": (
        lambda: game_of(*nets(guesses=3)),
        "takes 5 features and makes 3; the trunk makes 5, and a code has 5",
    ),
    "a Q that packs": (
        lambda: game_of(*nets(q_first=mg.Pack(2, deviations=False), hidden=5)),
        "a Pack mixes the codes of several samples, so InfoGAN has none|features",
    ),
    "a D that packs": (
        lambda: game_of(*nets(d_first=mg.Pack(2, deviations=False), d_in=8)),
        "a Pack mixes the codes of several samples, so InfoGAN has none",
    ),
    "no Q": (lambda: game_of(*nets()[:2], None), "recogniser must be a Sequential, not None"),
    "no D": (
        lambda: game_of(nets()[0], None, nets()[2]),
        "discriminator must be a Sequential, not None",
    ),
    "an optimizer of another network": (
        lambda: game_of(*(n := nets()), recogniser_optimizer=mg.Adam(n[0].parameters)),
        "recogniser_optimizer was made for another network's parameters",
    ),
    "a Q of another dtype": (
        lambda: game_of(*nets()[:2], nets()[2].astype("float64")),
        "generator and recogniser must share dtype",
    ),
    "a discriminator without a trunk": (
        lambda: game_of(nets()[0], mg.Sequential(mg.Linear(FEATURES, 1), name="d"), nets()[2]),
        "the discriminator needs two layers",
    ),
    "labels of real samples": (
        lambda: info().step(real_samples(2), [0, 1]),
        "a step of InfoGAN takes no labels",
    ),
    "a category that is none": (lambda: info().sample(2, labels=3), "3 is no label: there are 3"),
    "too few codes": (lambda: info().sample(2, codes=[0.5]), "codes must be 2 finite numbers"),
    "one code": (lambda: info().sample(2, codes=0.5), "codes must be 2 finite numbers"),
    "rows of codes": (lambda: info().sample(2, codes=np.zeros((3, 2))), "or 2 rows of them"),
    "no number": (lambda: info().sample(2, codes=[np.nan, 0.0]), "2 finite numbers"),
    "words": (lambda: info().sample(2, codes=["a", "b"]), "codes must be numbers"),
    "codes of none": (
        lambda: info(continuous=0).sample(2, codes=[0.5]),
        "this InfoGAN has no continuous codes",
    ),
    "another weight": (lambda: setattr(info(), "weight", 2.0), "make another InfoGAN"),
    "more categories": (lambda: setattr(info(), "categories", 4), "make another InfoGAN"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_in_a_sentence(case):
    call, told = REFUSED[case]
    with pytest.raises((mg.ConfigError, mg.DTypeError, mg.ShapeError), match=told):
        call()
