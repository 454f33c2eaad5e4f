"""Consistency: its gradients, whose parameters they reach, and what its copies leave alone."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from conditional_games import (
    CLASSES,
    CONTINUOUS,
    DIM,
    MOVED,
    Draws,
    consistency_term,
    info,
    moving,
    require_members_alone,
    targets,
    term,
)
from test_conditional import OPTIONS, differences
from test_infogan import real_samples, softplus, step_by_step

import minigan as mg

B = 6
both = pytest.mark.parametrize("norm", [False, True], ids=["dense", "batch norm"])


def run(net: mg.Sequential, X: np.ndarray, **options) -> np.ndarray:
    """Y of a training forward that leaves the running statistics alone."""
    return net.bind(len(X), keep_buffers=True, **options).forward(X).copy()


# -- gradients --------------------------------------------------------------------------------


@pytest.mark.parametrize("continuous", [0, 2])
@pytest.mark.parametrize("options", OPTIONS)
def test_a_step_is_the_step_the_long_way_round(options, continuous):
    assert step_by_step(moving(continuous=continuous, **OPTIONS[options]))


@both
def test_each_player_gets_the_gradient_of_its_loss(norm):
    """D's trunk those of three terms, Q those of two; the copies and their targets are held."""
    game = moving(norm)
    game.bind(B)
    game.real[...] = real = real_samples(B)
    draws = Draws(game, B)
    G, D, Q = (game.networks[role] for role in ("generator", "discriminator", "recogniser"))
    trunk, _ = D.split(game.trunk)
    code, copies = draws.code("discriminator"), draws.copies(real)
    assert (copies != real).any(axis=1).sum() > B // 2
    fake = run(G, draws.noise("discriminator"), condition=code)
    p, of_copies = targets(game, run(Q, run(trunk, real))), run(trunk, copies)
    before = {role: net.parameters.data.copy() for role, net in game.networks.items()}

    def of_consistency(features) -> float:
        return sum(consistency_term(game, run(Q, features), p)[:2])

    def of_d() -> float:
        logits = softplus(-run(D, real)) + softplus(run(D, fake))
        of_codes = term(game, run(Q, run(trunk, fake)), code)[0]
        return logits + of_codes + of_consistency(run(trunk, copies))

    game.discriminator_step()
    np.testing.assert_array_equal(Q.parameters.data, before["recogniser"])
    updated = D.parameters.data.copy()
    D.parameters.data = before["discriminator"]
    for mine, theirs in differences(of_d, D.parameters):
        assert mine == pytest.approx(theirs, rel=1e-6, abs=1e-9)
    D.parameters.data = updated
    code = draws.code("generator")
    fake = run(G, draws.noise("generator"), condition=code)
    game.generator_step()
    Q.parameters.data = before["recogniser"]

    def of_q() -> float:
        return term(game, run(Q, run(trunk, fake)), code)[0] + of_consistency(of_copies)

    for mine, theirs in differences(of_q, Q.parameters):
        assert mine == pytest.approx(theirs, rel=1e-6, abs=1e-9)


def test_the_two_parts_of_the_gradient():
    """Cross-entropy alone where all categories are equally likely; the balance where q is p."""
    game = moving(continuous=0)
    game.step(real_samples(B))
    bound = game._consistency
    random = np.random.default_rng(0)
    one = np.log([0.7, 0.2, 0.1])
    bound.logits[...] = [np.roll(one, k) for k in range(B)]  # m is (1/3, 1/3, 1/3)
    bound.p[...] = random.dirichlet(np.ones(CLASSES), size=B)
    p, q = bound.p.copy(), np.exp(bound.logits)
    bound._softmax(bound.logits, bound.q)
    bound._logit_gradient()
    np.testing.assert_allclose(bound.dlogits, MOVED.weight / B * (q - p), atol=1e-15)

    bound.logits[...] = logits = random.normal(size=(B, CLASSES))
    bound._softmax(bound.logits, bound.p)
    bound._softmax(bound.logits, bound.q)
    bound._logit_gradient()
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for k in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[k] = 1e-5
        up, down = (consistency_term(game, logits + h * step, p)[1] for h in (1, -1))
        assert bound.dlogits[k] == pytest.approx((up - down) / 2e-5, rel=1e-6, abs=1e-10)


@both
def test_the_trunk_s_gradient_is_the_sum_of_three(norm):
    """D's head, Q on generated samples and Q on copies, each in passes of its own."""
    game = moving(norm)
    game.bind(B)
    game.real[...] = real = real_samples(B)
    draws, Q = Draws(game, B), game.recogniser
    trunk, head = game.discriminator.split(game.trunk)
    code, copies = draws.code("discriminator"), draws.copies(real)
    fake = run(game.generator, draws.noise("discriminator"), condition=code)
    p = targets(game, run(Q, run(trunk, real)))

    def of_head(target):
        return head, lambda Y: mg.bce_with_logits(Y, target)[1]

    def sent_down(X, net, gradient) -> np.ndarray:
        """The trunk's gradient of what a net sends down, as a copy."""
        features, end = (one.bind(B, own_gradients=True, keep_buffers=True) for one in (trunk, net))
        features.backward(end.backward(gradient(end.forward(features.forward(X)))))
        return features.grad.copy()

    parts = [
        sent_down(real, *of_head(1.0)) + sent_down(fake, *of_head(0.0)),
        sent_down(fake, Q, lambda guess: term(game, guess, code)[1]),
        sent_down(copies, Q, lambda guess: consistency_term(game, guess, p)[2]),
    ]
    game.discriminator_step()
    assert min(np.abs(part).max() for part in parts) > 1e-3
    np.testing.assert_allclose(trunk.parameters.grad, sum(parts), rtol=1e-10, atol=1e-14)


@both
def test_steps_by_autograd(norm):
    """Three steps in PyTorch: the targets are detached, all else is left to autograd."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    from test_games_against_pytorch import Twin, minimise, rules

    F = torch.nn.functional
    game = moving(norm)
    twins = {role: Twin(net) for role, net in game.networks.items()}
    G, D, Q = (twins[role] for role in ("generator", "discriminator", "recogniser"))
    rule, draws, at = rules(twins, game), Draws(game, B), game.trunk
    game.bind(B)

    def of_codes(features, code):
        guess = Q(features)
        category = F.cross_entropy(guess[:, :CLASSES], code[:, :CLASSES].argmax(dim=1))
        error = ((guess[:, CLASSES:] - code[:, CLASSES:]) ** 2).sum(dim=1).mean()
        return game.weight * (category + error / (2 * game.std**2))

    for k in range(3):
        real = real_samples(B, k)
        game.step(real)
        copies, real = torch.tensor(draws.copies(real)), torch.tensor(real)
        z, code = (torch.tensor(draw("discriminator")) for draw in (draws.noise, draws.code))
        loss = F.softplus(-D(real)).mean()
        features = D(G(z, code).detach(), stop=at)
        loss = loss + F.softplus(D(features, first=at)).mean() + of_codes(features, code)
        still = Q(D(real, stop=at))[:, :CLASSES].detach()
        moved = Q(D(copies, stop=at))[:, :CLASSES]
        cross_entropy = F.cross_entropy(moved, F.softmax(still / MOVED.temperature, dim=1))
        shares = F.softmax(moved, dim=1).mean(dim=0)
        extra = MOVED.weight * (cross_entropy + CLASSES / 2 * (shares**2).sum())
        of_q = torch.autograd.grad(extra, Q.parameters(), retain_graph=True, allow_unused=True)
        minimise(loss + extra, rule["discriminator"])
        z, code = (torch.tensor(draw("generator")) for draw in (draws.noise, draws.code))
        features = D(G(z, code), stop=at)
        g = F.softplus(-D(features, first=at)).mean()
        held = sum(
            (one * gradient).sum() for one, gradient in zip(Q.parameters(), of_q, strict=True)
        )
        minimise(g + of_codes(features, code) + held, rule["generator"], rule["recogniser"])
        assert game.losses()["consistency"] == pytest.approx(cross_entropy.item(), rel=1e-9)
    for twin in twins.values():
        twin.require_same()


# -- a step ---------------------------------------------------------------------------------


@pytest.mark.parametrize("captured", [False, True])
@both
def test_a_population_is_its_members_to_the_bit(norm, captured):
    together, alone = moving(norm, seed=[3, 1]), [moving(norm, seed=seed) for seed in (3, 1)]
    require_members_alone(together, alone, captured, rows=B, rel=1e-13)


def test_copies_leave_the_running_statistics_alone():
    """D's follow real and generated samples, Q's generated ones of G's half."""
    game, without = moving(True), moving(True, consistency=None)
    statistics = game.recogniser.buffers.data.copy()
    for one in (game, without):
        one.bind(B)
        one.real[...] = real_samples(B)
        one.discriminator_step()
    assert (game.discriminator.parameters.data != without.discriminator.parameters.data).any()
    for role, net in game.networks.items():
        np.testing.assert_array_equal(net.buffers.data, without.networks[role].buffers.data)
    np.testing.assert_array_equal(game.recogniser.buffers.data, statistics)


def test_a_copy_of_a_bound_game_goes_on_to_the_same_bits():
    """And shares no array with it."""
    game = moving(True)
    game.capture()
    for k in range(2):
        game.step(real_samples(B, k))
    twin = copy.deepcopy(game)
    twin.capture()
    for one in (game, twin):
        for k in range(2, 4):
            one.step(real_samples(B, k))
    for role, net in game.networks.items():
        np.testing.assert_array_equal(net.parameters.data, twin.networks[role].parameters.data)
    assert game.losses() == twin.losses()
    assert game.state()[1] == twin.state()[1]
    assert game.state()[1]["stream/gan/consistency"] > 0


@pytest.mark.parametrize("fresh", [False, True])
def test_each_update_of_d_moves_its_real_images_by_new_amounts(fresh):
    game, draws = moving(d_steps=2, fresh_real=fresh), Draws(moving(), B)
    real = real_samples(game.samples_of(B))
    game.step(real)
    first, second = draws.copies(real[:B]), draws.copies(real[-B:])
    np.testing.assert_array_equal(game._consistency.copies, second)
    assert (first != second).any()


@both
def test_the_cross_entropy_is_reported_in_nats(norm):
    """Of the copies' guesses with their targets, in the latest update of D of each step."""
    game, expected = moving(norm), []
    for k in range(3):
        game.step(real_samples(B, k))
        logits, p = game._consistency.logits, game._consistency.p
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        expected.append(-(p * np.log(shares)).sum(axis=1).mean())
    losses = game.losses()
    assert [*losses][-3:] == ["information", "code_information", "consistency"]
    assert losses["consistency"] == pytest.approx(np.mean(expected))
    assert "consistency" not in info().columns


def test_two_kinds_of_images_become_the_two_categories():
    """Rows and columns: shifts change neither into the other. No label is used."""
    D = mg.Sequential(mg.Linear(16, 8), mg.LeakyReLU(0.2), mg.Linear(8, 1), seed=1, name="d")
    Q = mg.Sequential(mg.Linear(8, 2), seed=1, name="q")
    G = mg.Sequential(mg.AppendCondition(1, 2), mg.Linear(3, 16), seed=1, name="g")
    rules = {
        "discriminator_optimizer": mg.Adam(D.parameters, 1e-2),
        "recogniser_optimizer": mg.Adam(Q.parameters, 1e-2),
    }
    shifts = mg.Consistency(4, weight=5.0, zoom=0.0, shear=0.0, shift=1.0)
    game = mg.InfoGAN(
        *(G, D, Q, mg.Normal(dim=1)), **rules, categories=2, continuous=0, consistency=shifts
    )
    game.bind(40)
    game.capture()
    random = np.random.default_rng(0)
    for _ in range(200):
        column, at = random.integers(2, size=40), random.integers(1, 3, size=40)
        images = np.full((40, 4, 4), -1.0)
        images[column == 0, at[column == 0]] = 1.0
        images[column == 1, :, at[column == 1]] = 1.0
        game.step(images.reshape(40, 16))
    guess = Q.predict(D.split(2)[0].predict(game.real)).argmax(axis=1)
    assert abs((guess == column).mean() - 0.5) > 0.45


# -- what is refused ------------------------------------------------------------------------


def convolutional(size) -> mg.InfoGAN:
    """D takes images of 2 x 6."""
    k = CLASSES + CONTINUOUS
    G = mg.Sequential(mg.AppendCondition(DIM, k), mg.Linear(DIM + k, 12))
    D = mg.Sequential(mg.Conv2d(1, 2, 1, 1, 0, (2, 6)), mg.Tanh(), mg.Linear(24, 1), name="d")
    Q = mg.Sequential(mg.Linear(24, k), name="q")
    return mg.InfoGAN(
        *(G, D, Q, mg.Normal(dim=DIM)), categories=CLASSES, consistency=mg.Consistency(size)
    )


REFUSED = {
    "no weight": (lambda: mg.Consistency(weight=0.0), "Consistency: weight must be a .* > 0, not"),
    "no temperature": (lambda: mg.Consistency(temperature=0), "Consistency: temperature must be"),
    "mirrored": (lambda: mg.Consistency(zoom=1.0), "Consistency: zoom must be a .* < 1, not 1.0"),
    "less than none": (lambda: mg.Consistency(shift=-1), "Consistency: shift must be a .* >= 0"),
    "no size": (lambda: mg.Consistency(0), "Consistency: size must be an integer >= 1, or two"),
    "three sizes": (lambda: mg.Consistency((2, 2, 1)), "Consistency: size must be an integer"),
    "no number": (lambda: mg.Consistency(background=math.nan), "Consistency: background must be"),
    "images of another size": (
        lambda: moving(consistency=mg.Consistency(3)),
        "Consistency moves images of 3 x 3; D takes 4 features",
    ),
    "the same pixels in other rows": (
        lambda: convolutional((3, 4)),
        "Consistency moves images of 3 x 4; D takes images of 2 x 6",
    ),
    "a number": (lambda: moving(consistency=1.0), "consistency must be a Consistency, not 1.0"),
    "another one": (
        lambda: setattr(moving(), "consistency", mg.Consistency(2)),
        "make another InfoGAN",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_in_a_sentence(case):
    call, told = REFUSED[case]
    with pytest.raises((mg.ConfigError, mg.ShapeError), match=told):
        call()


def test_images_with_channels_and_of_a_convolution_fit():
    assert moving(consistency=mg.Consistency((1, 2))).consistency.size == (1, 2)
    assert convolutional((2, 6)).consistency.size == (2, 6)
